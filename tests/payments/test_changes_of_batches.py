"""A second month after a first one, over REST on real PostgreSQL: what is asked, held, shown and remembered."""

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.auth.models import Membership, Role
from app.core.clock import amsterdam_date
from app.core.database import transaction
from app.payments import holds
from app.payments.context import Context
from app.payments.models import PaymentBatch
from tests.contracts.fake_source import FakePayroll
from tests.payments.payments_of import dutch_iban
from tests.payments.payroll_document import Line
from tests.support.clock import FakeClock
from tests.support.house import SECOND_IBAN, House, Person, add_account, add_person, document, lines, link
from tests.support.jobs import work_off

_ELSEWHERE = dutch_iban(777, bank="RABO")
_REMARKS = {"uploaded", "people_not_checked"}


def _upload(house: House, rows: list[Line], *, period: int = 12, run: int = 1) -> dict[str, Any]:
    return house.uploaded_batch(document(rows), year=2026, period=period, run_number=run)


def _pay(house: House, rows: list[Line], *, period: int = 11, run: int = 1) -> dict[str, Any]:
    batch = _upload(house, rows, period=period, run=run)
    house.acknowledge_all(batch)
    approved = house.boss.approve(batch)
    assert approved.status_code == 201, approved.text
    found: dict[str, Any] = approved.json()
    return found


def _administration(house: House, **changes: Any) -> House:
    """Return the house with a second administration."""
    path = f"/v1/connections/{house.connection_id}/administrations"
    made = house.boss.post(path, {"number": "2", "name": "Two"}).json()
    assert link(house.boss, made["id"], house.employer_id, house.account_id, **changes).status_code == 200
    return replace(house, administration_id=made["id"])


def _codes(house: House, batch: dict[str, Any]) -> list[str]:
    return [each["code"] for each in house.findings(batch["id"]) if each["code"] not in _REMARKS]


def _comparison(person: Person, batch: dict[str, Any], query: str = "") -> dict[str, Any]:
    answer = person.get(f"/v1/payment-batches/{batch['id']}/comparison{query}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def _swapped(rows: list[Line]) -> list[Line]:
    return [replace(rows[0], iban=rows[1].iban), replace(rows[1], iban=rows[0].iban), *rows[2:]]


def _moved(rows: list[Line], count: int) -> list[Line]:
    return [replace(row, iban=dutch_iban(9_000 + n)) if n < count else row for n, row in enumerate(rows)]


def _crew(count: int) -> list[Line]:
    return [replace(row, iban=dutch_iban(100 + n), name=f"Persoon {n}") for n, row in enumerate(lines(count))]


def test_an_unchanged_month_asks_nothing(house: House) -> None:
    """The second month, equal to the cent: no finding, no question, everybody counted as the same."""
    first = _pay(house, lines(3))

    second = _upload(house, lines(3)[::-1])

    assert _codes(house, second) == []
    assert house.boss.approve(second).status_code == 201
    shown = _comparison(house.boss, second)
    assert (shown["same_count"], shown["counts"]["new"], shown["is_first"]) == (3, 0, False)
    assert shown["previous"]["id"] == first["id"]
    assert (shown["previous"]["period"], shown["previous"]["number_of_transactions"]) == (11, 3)


def test_the_first_batch_asks_once_and_only_that(house: House) -> None:
    """Nothing is known yet: one question about the whole, no list of strangers; not approved without its answer."""
    answer = house.upload(document(lines(3)), year=2026, period=11)
    batch = house.batch(answer.json()["payment_batch_ids"][0])
    stranger = replace(house.boss, client=house.client)

    assert _codes(house, batch) == ["first_batch"]
    refused = house.boss.post(
        f"/v1/payment-batches/{batch['id']}/approvals",
        {"digest": batch["digest"], "pin": "271828"},
        headers={"If-Match": '"r1"'},
    )
    assert refused.json()["code"] == "acknowledgement_needed"
    assert stranger.acknowledge(batch) == ["first_batch"]
    assert house.boss.approve(batch).status_code == 201
    assert _comparison(house.boss, batch)["is_first"] is True


def test_a_dry_run_asks_nothing_and_is_the_baseline(house: House) -> None:
    """In a dry run nothing is asked; the first real batch is compared with it, and asks."""
    trying = _administration(house, mode="dry_run")
    dry = _upload(trying, lines(3), period=10)
    assert _codes(house, dry) == []
    assert house.boss.approve(dry).status_code == 201
    assert link(house.boss, trying.administration_id, house.employer_id, house.account_id).status_code == 200

    live = _upload(trying, [replace(lines(3)[0], iban=_ELSEWHERE), *lines(3)[1:]], period=11)

    assert _codes(house, live) == ["first_batch", "account_changed"]
    assert _comparison(house.boss, live)["previous"]["id"] == dry["id"]


def test_swapped_accounts_must_be_confirmed_one_by_one(house: House) -> None:
    """Two swapped accounts are two questions; the batch is approved only after both are answered."""
    _pay(house, lines(3))
    second = _upload(house, _swapped(lines(3)))

    assert sorted(_codes(house, second)) == ["account_changed", "account_changed"]
    assert house.boss.approve(second).json()["code"] == "acknowledgement_needed"
    assert house.boss.acknowledge(second) == ["account_changed", "account_changed"]
    assert house.boss.approve(second).status_code == 201


def test_what_was_confirmed_and_paid_is_known_next_month(house: House) -> None:
    """A change asks once; going back to the old account is told and asks nothing."""
    rows = lines(3)
    changed = [replace(rows[0], iban=_ELSEWHERE), *rows[1:]]
    _pay(house, rows, period=9)
    _pay(house, changed, period=10)

    assert _codes(house, _upload(house, changed, period=11)) == []
    house_batch = _upload(house, rows, period=12)
    back = _comparison(house.boss, house_batch)["changed_account"]

    assert _codes(house, house_batch) == ["account_changed_back"]
    assert [(each["position"], each["paid_before"]) for each in back] == [(1, True)]


@pytest.mark.parametrize("way", ["waiver", "paid-elsewhere"])
def test_a_line_that_no_file_paid_made_its_account_nobodys(house: House, way: str) -> None:
    """A smuggled account whose line was closed as not owed, or paid by hand, is asked about again next month."""
    rows = lines(3)
    smuggled = [replace(rows[0], iban=_ELSEWHERE), *rows[1:]]
    _pay(house, rows, period=9)
    noticed = _upload(house, smuggled, period=10)
    line = house.transfers(noticed["id"])[0]["id"]
    assert house.boss.post(f"/v1/transfers/{line}/{way}", {"reason": "Not that account"}).status_code == 201
    assert house.boss.approve(house.batch(noticed["id"])).status_code == 201

    later = _upload(house, smuggled, period=11)

    assert _codes(house, later) == ["account_changed"]


def test_a_closed_line_is_no_first_payment(house: House) -> None:
    """Nothing was paid yet but one line closed by hand: the question about the first batch is still asked."""
    batch = _upload(house, lines(3), period=10)
    line = house.transfers(batch["id"])[0]["id"]
    assert house.boss.post(f"/v1/transfers/{line}/waiver", {"reason": "Not owed"}).status_code == 201

    later = house.upload(document(lines(3)), year=2026, period=11).json()["payment_batch_ids"][0]

    assert _codes(house, house.batch(later)) == ["first_batch"]


def test_a_recalled_payment_made_nobody_known(house: House) -> None:
    """A claim that was released paid nobody: the account of the recalled batch is not known."""
    _pay(house, lines(3), period=10)
    recalled = _pay(house, [replace(lines(3)[0], iban=_ELSEWHERE), *lines(3)[1:]], period=11)
    house.boss.call("DELETE", f"/v1/payment-batches/{recalled['id']}/approvals/mine")

    later = _upload(house, [replace(lines(3)[0], iban=_ELSEWHERE), *lines(3)[1:]], period=12)

    assert _codes(house, later) == ["account_changed"]
    assert _comparison(house.boss, later)["previous"]["period"] == 10


def test_another_administration_of_the_employer_knows_people_too(house: House) -> None:
    """Who was paid by one administration and comes to another on another account is a changed account."""
    rows = lines(3)
    second = _administration(house)
    _pay(house, rows[:1], period=11)
    _pay(second, rows[1:], period=11)

    joined = _upload(second, [*rows[1:], replace(rows[0], iban=_ELSEWHERE)], period=12)

    assert _codes(second, joined) == ["account_changed"]


def test_another_employers_payments_make_nobody_known(house: House, other_house: House) -> None:
    """What one employer paid says nothing about the people of another: there they are new, not changed."""
    _pay(other_house, lines(4), period=10)
    _pay(house, lines(3), period=11)

    batch = _upload(house, [*lines(3), lines(4)[3]])

    assert _codes(house, batch) == ["new_payees"]
    assert _comparison(house.boss, batch)["new"][0]["paid_before"] is False


def test_new_and_gone_people_are_lists_and_no_questions(house: House) -> None:
    """Joiners are one list with their lines, leavers one remark; the batch can be approved at once."""
    _pay(house, lines(4))

    batch = _upload(house, [*lines(3), replace(lines(1)[0], name="Nieuw, Nina", iban=_ELSEWHERE)])
    found = {each["code"]: each for each in house.findings(batch["id"])}
    shown = _comparison(house.boss, batch)

    assert found["new_payees"]["message_nl"] == "1 nieuw, nooit eerder betaald: regel 4."
    assert "payees_gone" in found
    assert [each["creditor"]["name"] for each in shown["new"]] == ["Nieuw, Nina"]
    assert [each["previous_creditor"]["name"] for each in shown["gone"]] == ["Medewerker D"]
    assert shown["gone"][0]["amount"] is None
    assert house.boss.approve(batch).status_code == 201


def test_a_comma_slip_is_asked_about(house: House) -> None:
    """Ten times last month's salary: a question, with both amounts and the percentage in the comparison."""
    _pay(house, lines(3))
    batch = _upload(house, [replace(lines(3)[0], amount="25000.00"), *lines(3)[1:]])

    (change,) = _comparison(house.boss, batch)["changed_amount"]

    assert _codes(house, batch) == ["amount_jumped"]
    assert (change["previous_amount"]["amount"], change["amount"]["amount"]) == ("2500.00", "25000.00")
    assert change["percent"] == 900


@pytest.mark.parametrize("amount", ["0.00", "2400.00"])
def test_both_amounts_of_a_change_are_shown(house: House, amount: str) -> None:
    """Also where nothing is left of what was paid."""
    _pay(house, lines(3))
    batch = _upload(house, [replace(lines(3)[0], amount=amount), *lines(3)[1:]])

    (change,) = _comparison(house.boss, batch)["changed_amount"]

    assert change["previous_amount"] == {"amount": "2500.00", "currency": "EUR"}
    assert change["amount"] == {"amount": amount, "currency": "EUR"}


def test_holiday_pay_is_expected(house: House) -> None:
    """In May everybody gets far more: one remark that says so, no question, the peak in the comparison."""
    _pay(house, lines(3), period=4)
    batch = _upload(house, [replace(row, amount=f"{4000 + n}.00") for n, row in enumerate(lines(3))], period=5)

    assert _codes(house, batch) == ["peak_expected"]
    assert _comparison(house.boss, batch)["expected_peak"] == {"code": "holiday_pay", "direction": "up"}


def test_a_garnishment_that_is_gone_or_taken_out_is_asked_about(house: House) -> None:
    """The bailiff of last month is not in this run; or is, and a person takes the line out."""
    bailiff = Line(name="Gerechtsdeurwaarder Groot", iban=_ELSEWHERE, amount="150.00", text="Dossier 12/34")
    _pay(house, [*lines(2), bailiff])

    assert "third_party_left_out" in _codes(house, _upload(house, lines(2), period=12))
    there = _upload(house, [*lines(2), bailiff], period=12, run=2)
    assert "third_party_left_out" not in _codes(house, there)
    line = house.transfers(there["id"])[2]
    house.boss.call(
        "PATCH",
        f"/v1/payment-batches/{there['id']}/transfers/{line['id']}",
        json={"decision": "exclude", "reason": "ended"},
        headers={"If-Match": '"r1"'},
    )
    assert "third_party_left_out" in _codes(house, there)


def test_a_bonus_run_misses_nobody_and_the_next_salaries_are_compared_with_salaries(house: House) -> None:
    """A bonus in a paid period is told to be extra, and the month after it is compared with the salaries."""
    salaries = _pay(house, lines(4), period=10)
    bonus = _upload(house, [replace(lines(1)[0], amount="300.00")], period=10, run=2)

    assert "payees_gone" not in _codes(house, bonus)
    assert "amount_jumped" not in _codes(house, bonus)
    assert _comparison(house.boss, bonus)["is_extra"] is True
    house.acknowledge_all(bonus)
    assert house.boss.approve(bonus).status_code == 201
    next_month = _upload(house, lines(4), period=11)
    assert _codes(house, next_month) == []
    assert _comparison(house.boss, next_month)["previous"]["id"] == salaries["id"]


def test_the_employers_other_account_is_asked_about(house: House) -> None:
    """A line to another account that the employer pays from is a question."""
    add_account(house.boss, house.employer_id, iban=SECOND_IBAN)
    batch = _upload(house, [*lines(2), replace(lines(1)[0], name="Firma", iban=SECOND_IBAN)], period=11)

    assert "own_account" in _codes(house, batch)


def test_an_acknowledged_change_survives_and_another_change_asks_again(house: House) -> None:
    """A confirmed account stays confirmed when the date changes; another account on the line is a new question."""
    _pay(house, lines(3))
    batch = _upload(house, [replace(lines(3)[0], iban=_ELSEWHERE), *lines(3)[1:]])
    assert house.acknowledge_all(batch) == ["account_changed"]

    house.boss.call(
        "PATCH",
        f"/v1/payment-batches/{batch['id']}",
        json={"requested_execution_date": "2026-11-26"},
        headers={"If-Match": '"r1"'},
    )

    after = house.batch(batch["id"])
    assert (after["revision"], after["acknowledgements_open"]) == (2, 0)
    other = _upload(house, [replace(lines(3)[0], iban=dutch_iban(778)), *lines(3)[1:]], run=2)
    assert other["acknowledgements_open"] == 1


def test_many_changed_accounts_hold_the_batch_until_it_is_lifted(ctx: Context, house: House) -> None:
    """Three of ten on another account: on hold, also when all are confirmed; once lifted it stays lifted."""
    _pay(house, _crew(10))
    batch = _upload(house, _moved(_crew(10), 3))
    house.acknowledge_all(batch)

    barred = house.boss.approve(batch)

    assert (barred.status_code, barred.json()["code"]) == (409, "held")
    assert [each["code"] for each in house.batch(batch["id"])["holds"]] == ["many_accounts_changed"]
    assert "many_accounts_changed" in _codes(house, batch)
    _lift(ctx, batch)
    line = house.transfers(batch["id"])[9]
    house.boss.call(
        "PATCH",
        f"/v1/payment-batches/{batch['id']}/transfers/{line['id']}",
        json={"decision": "exclude", "reason": "left"},
        headers={"If-Match": '"r1"'},
    )
    changed = house.batch(batch["id"])
    assert changed["holds"] == []
    assert house.boss.approve(changed).status_code == 201


def _lift(ctx: Context, batch: dict[str, Any]) -> None:
    with transaction(ctx.engine) as session:
        row = session.execute(sa.select(PaymentBatch).where(PaymentBatch.id == batch["id"])).scalar_one()  # type: ignore[arg-type]
        holds.lift(ctx, session, row, code="many_accounts_changed", actor=holds.SYSTEM)


def test_many_changed_accounts_hold_a_follow_up_as_well(ctx: Context, house: House) -> None:
    """Left out of a batch whose hold was lifted, and offered in one of their own, they are looked at again."""
    _pay(house, _crew(8))
    batch = _upload(house, _moved(_crew(8), 3))
    for line in house.transfers(batch["id"])[:3]:
        path = f"/v1/payment-batches/{batch['id']}/transfers/{line['id']}"
        headers = {"If-Match": f'"r{house.batch(batch["id"])["revision"]}"'}
        house.boss.call("PATCH", path, json={"decision": "exclude", "reason": "Odd"}, headers=headers)
    _lift(ctx, batch)
    house.acknowledge_all(batch)
    assert house.boss.approve(house.batch(batch["id"])).status_code == 201
    left = [each["transfer"]["id"] for each in house.boss.get("/v1/unpaid-transfers").json()]

    follow_up = house.boss.post("/v1/follow-up-batches", {"transfer_ids": left}).json()

    assert (len(left), [each["code"] for each in follow_up["holds"]]) == (3, ["many_accounts_changed"])


def test_a_first_batch_with_people_known_elsewhere_is_not_held(house: House) -> None:
    """Another administration pays people of these names on other accounts: the first batch asks its one question."""
    _pay(house, _crew(5))

    first = _upload(_administration(house), _moved(_crew(5), 5), period=11)

    assert (first["holds"], _codes(house, first)) == ([], ["first_batch"])


def test_a_new_reading_with_many_changed_accounts_holds_the_batch(
    ctx: Context, house: House, payroll: FakePayroll
) -> None:
    """Two changed accounts when it was made, three when it was read again: on hold from then on."""
    administration = payroll.add_administration("2100", number="9970")
    linked = _synced(ctx, house, payroll)
    payroll.add_run(administration, document=document(_crew(6)), period=11)
    (first,) = _read(ctx, house, linked)
    assert house.boss.approve(first).status_code == 201
    run = payroll.add_run(administration, document=document(_moved(_crew(6), 2)), period=12)
    (made,) = _read(ctx, house, linked)
    payroll.set_document(administration, run, document(_moved(_crew(6), 3)))

    (again,) = _read(ctx, house, linked)

    assert (made["holds"], made["id"]) == ([], again["id"])
    assert [each["code"] for each in again["holds"]] == ["many_accounts_changed"]


def _synced(ctx: Context, house: House, payroll: FakePayroll) -> str:
    """Connect the payroll package and link its only administration; return the administration's id."""
    login = {
        "username": payroll.credentials.username,
        "token": payroll.credentials.secret,
        "domain": payroll.credentials.domain,
    }
    body = {"organization_id": str(house.employer_id), "kind": "nmbrs_soap", **login}
    connection = house.boss.post("/v1/connections", body).json()
    house.boss.post(f"/v1/connections/{connection['id']}/check")
    found = house.boss.get(f"/v1/connections/{connection['id']}/administrations").json()[0]
    assert link(house.boss, found["id"], house.employer_id, house.account_id).status_code == 200
    work_off(ctx)
    return str(found["id"])


def _read(ctx: Context, house: House, administration_id: str) -> list[dict[str, Any]]:
    house.boss.post(f"/v1/administrations/{administration_id}/sync")
    work_off(ctx)
    found: list[dict[str, Any]] = house.boss.get(
        f"/v1/payment-batches?administration_id={administration_id}&status=pending"
    ).json()
    return found


def test_two_changed_accounts_hold_nothing(house: House) -> None:
    """Two of ten are two questions, and no hold."""
    _pay(house, _crew(10))

    assert _upload(house, _moved(_crew(10), 2))["holds"] == []


def _edited_by_boss(house: House) -> dict[str, Any]:
    _pay(house, lines(3))
    batch = _upload(house, [replace(lines(3)[0], iban=_ELSEWHERE), *lines(3)[1:]])
    house.boss.call(
        "PATCH",
        f"/v1/payment-batches/{batch['id']}",
        json={"requested_execution_date": "2026-11-26"},
        headers={"If-Match": '"r1"'},
    )
    return house.batch(batch["id"])


def test_who_edited_the_batch_does_not_confirm_its_accounts(ctx: Context, client: TestClient, house: House) -> None:
    """With a second admin or approver in the firm, that person confirms; the editor is refused."""
    second = add_person(ctx, client, house.employer_id, (Role.APPROVER,), email="second@jansen.example")
    batch = _edited_by_boss(house)
    finding = next(each for each in house.findings(batch["id"]) if each["code"] == "account_changed")
    path = f"/v1/payment-batches/{batch['id']}/findings/{finding['id']}/acknowledgement"

    refused = house.boss.post(path)

    assert (refused.status_code, refused.json()["code"]) == (403, "another_person_needed")
    assert second.post(path).status_code == 200
    assert house.boss.approve(batch).status_code == 201


def test_who_has_left_is_nobody_who_could_confirm(ctx: Context, house: House, clock: FakeClock) -> None:
    """A deputy whose last day is over makes no second person: who is alone confirms alone."""
    deputy = house.second_person("deputy", Role.APPROVER)
    with transaction(ctx.engine) as session:
        membership = session.get_one(Membership, (deputy.id, house.employer_id, Role.APPROVER))
        membership.ends_on = amsterdam_date(ctx.now())
        session.add(membership)
    clock.forward(days=1)

    batch = _edited_by_boss(house)

    assert "account_changed" in house.acknowledge_all(batch)


def test_a_one_person_firm_confirms_its_own_edit_and_history_says_so(house: House) -> None:
    """There is nobody else: allowed, and recorded."""
    batch = _edited_by_boss(house)

    assert house.boss.acknowledge(batch) == ["account_changed"]
    told = next(
        each for each in house.boss.get("/v1/history?limit=1000").json() if each["event"] == "batch.acknowledged"
    )
    assert told["facts"]["details"]["one_person_firm"] is True


def test_the_comparison_is_masked_and_cut(ctx: Context, client: TestClient, house: House) -> None:
    """An auditor sees counts and masked accounts; lists are cut at the limit, counts are not."""
    auditor = add_person(ctx, client, house.employer_id, (Role.AUDITOR,), email="auditor@jansen.example")
    _pay(house, lines(3))
    batch = _upload(house, [replace(row, amount=f"{3500 + n}.00") for n, row in enumerate(_swapped(lines(3)))])

    answer = auditor.get(f"/v1/payment-batches/{batch['id']}/comparison?limit=1")
    shown = answer.json()

    assert shown["counts"]["changed_account"] == 2
    assert len(shown["changed_account"]) == len(shown["changed_amount"]) == 1
    for secret in ("Medewerker", "3500", "2500", lines(3)[0].iban, lines(3)[1].iban):
        assert secret not in answer.text
    assert shown["changed_amount"][0]["percent"] is None
    assert _comparison(house.boss, batch)["changed_amount"][0]["percent"] == 40
