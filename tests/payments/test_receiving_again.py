"""Reading a run more than once: identities stay, changes are shown, nothing is offered twice."""

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from app.core.database import transaction
from app.payments.context import Context
from app.payments.making import ENDED_WITHOUT_FILE
from app.payments.models import BatchStatus
from app.payments.transitions import MOVES
from tests.contracts.fake_source import FakePayroll
from tests.payments.payroll_document import Line
from tests.support.house import House, document, lines, link
from tests.support.jobs import work_off


def _count(house: House) -> int:
    return len(house.boss.get("/v1/payment-batches").json())


def test_the_same_file_again_is_the_same_run(house: House) -> None:
    """Uploaded again, in another order and with other ids, a file gives 200 with the run that is there."""
    rows = lines(3)
    first = house.upload(document(rows))

    again = house.upload(
        document([Line(**{**vars(row), "end_to_end_id": f"X{n}"}) for n, row in enumerate(rows[::-1])])
    )

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert _count(house) == 1
    assert house.batch(first.json()["payment_batch_ids"][0])["revision"] == 1


def test_two_equal_payments_on_purpose_are_both_paid(house: House) -> None:
    """Twice the same person, account and amount in one run: two lines, two claims, both in the file."""
    row = lines(1)[0]
    batch = house.uploaded_batch(document([row, Line(**{**vars(row), "text": "Onkosten november"})]))

    approved = house.boss.approve(batch)

    assert approved.status_code == 201, approved.text
    file = house.boss.get(f"/v1/payment-batches/{batch['id']}/file").text
    assert file.count(row.iban) == 2
    assert len({line["end_to_end_id"] for line in house.transfers(batch["id"])}) == 2


def test_what_a_person_left_out_stays_out_when_it_went_and_came_back(house: House) -> None:
    """Taken out at the source and put in again, a line that was excluded here is not paid by that."""
    run = {"year": 2026, "period": 11, "run_number": 1}
    batch = house.uploaded_batch(document(lines(3)), **run)
    for n in (1, 2):
        line = house.transfers(batch["id"])[n]
        house.boss.call(
            "PATCH",
            f"/v1/payment-batches/{batch['id']}/transfers/{line['id']}",
            json={"decision": "exclude", "reason": "Left the firm"},
            headers={"If-Match": f'"r{n}"'},
        )
    house.upload(document(lines(2)), **run)

    house.upload(document(lines(3)), **run)

    assert [line["status"] for line in house.transfers(batch["id"])] == ["payable", "excluded", "held"]


def test_totals_that_differ_make_nothing(house: House) -> None:
    """A file whose control sum is wrong is refused with both figures, and no run is left."""
    answer = house.upload(document(lines(2)).replace(b"<CtrlSum>5001.00</CtrlSum>", b"<CtrlSum>5001.01</CtrlSum>"))

    assert (answer.status_code, answer.json()["code"]) == (422, "totals_differ")
    assert "5001.00" in answer.text
    assert house.boss.get("/v1/payroll-runs").json() == []


def test_a_bad_line_is_invalid_and_the_others_are_paid(house: House) -> None:
    """One wrong IBAN: the batch is approved without it, and the line stays invalid with its finding."""
    rows = lines(3)
    bad = Line(**{**vars(rows[1]), "iban": "NL52ABNA7650143245"})
    batch = house.uploaded_batch(document([rows[0], bad, rows[2]]))

    assert batch["counts"] == {"payable": 2, "invalid": 1}
    assert house.boss.approve(batch).status_code == 201
    statuses = [line["status"] for line in house.transfers(batch["id"])]
    assert statuses == ["in_file", "invalid", "in_file"]
    finding = next(each for each in house.findings(batch["id"]) if each["code"] == "iban_invalid")
    assert (finding["position"], finding["field"]) == (2, "creditor.iban")
    assert finding["remedy"]


def test_a_third_party_stands_apart_without_sala(house: House) -> None:
    """A bailiff's line is written in an instruction of its own, without the salary purpose."""
    bailiff = Line(name="Gerechtsdeurwaarder Groot", iban="NL64TRIO0379501686", amount="150.00", text="Dossier 12/34")
    batch = house.uploaded_batch(document([*lines(2), bailiff]))
    house.boss.approve(batch)

    file = house.boss.get(f"/v1/payment-batches/{batch['id']}/file").text

    salaries, third = file.split("<PmtInf>")[1:]
    assert "<CtgyPurp><Cd>SALA</Cd></CtgyPurp>" in salaries
    assert "CtgyPurp" not in third
    assert ("Groot" in salaries, "Groot" in third) == (False, True)


@pytest.mark.parametrize("decision", ["exclude", "hold"])
def test_a_line_left_out_needs_a_reason_and_is_not_paid(house: House, decision: str) -> None:
    """Excluding and holding ask for a reason, make a new revision, and leave the line out of the file."""
    batch = house.uploaded_batch()
    line = house.transfers(batch["id"])[0]

    def decide(revision: int, **body: Any) -> Any:
        return house.boss.call(
            "PATCH",
            f"/v1/payment-batches/{batch['id']}/transfers/{line['id']}",
            json=body,
            headers={"If-Match": f'"r{revision}"'},
        )

    assert decide(1, decision=decision).json()["errors"][0]["code"] == "reason_missing"
    assert decide(1, decision=decision, reason="left the company").status_code == 200
    assert house.boss.approve(batch).status_code == 412
    assert house.boss.approve(house.batch(batch["id"])).status_code == 201
    assert line["creditor"]["iban"] not in house.boss.get(f"/v1/payment-batches/{batch['id']}/file").text


def test_the_same_amount_in_another_run_of_the_period_waits(house: House) -> None:
    """Same account, cents and period as what is being paid: the line waits, and is put back only with a reason."""
    first = house.uploaded_batch(document(lines(2)), year=2026, period=11, run_number=1)
    house.boss.approve(first)

    second = house.uploaded_batch(document(lines(3)), year=2026, period=11, run_number=2)

    assert second["counts"] == {"held": 2, "payable": 1}
    line = house.transfers(second["id"])[0]
    assert line["hold_code"] == "possibly_already_paid"
    path = f"/v1/payment-batches/{second['id']}/transfers/{line['id']}"
    bare = house.boss.call("PATCH", path, json={"decision": "pay"}, headers={"If-Match": '"r1"'})
    said = house.boss.call("PATCH", path, json={"decision": "pay", "reason": "bonus"}, headers={"If-Match": '"r1"'})
    assert (bare.status_code, said.status_code) == (422, 200)


def test_a_rejected_run_can_be_offered_again_with_the_same_obligations(house: House) -> None:
    """After a rejection the run is not offered by itself, but on request; the lines keep their end-to-end ids."""
    batch = house.uploaded_batch()
    before = [line["end_to_end_id"] for line in house.transfers(batch["id"])]
    house.boss.post(f"/v1/payment-batches/{batch['id']}/rejection", {"reason": "wrong"}, headers={"If-Match": '"r1"'})
    assert house.upload().status_code == 200
    assert _count(house) == 1

    again = house.boss.post(f"/v1/payroll-runs/{batch['run']['id']}/batches")

    assert again.status_code == 201, again.text
    assert [line["end_to_end_id"] for line in house.transfers(again.json()["id"])] == before
    assert house.boss.approve(again.json()).status_code == 201


def test_a_dry_run_claims_nothing_and_is_never_delivered(house: House) -> None:
    """In a dry run everything happens but paying: a DRY file, shown on purpose only, and no delivery."""
    other = house.boss.post(
        f"/v1/connections/{house.connection_id}/administrations", {"number": "77", "name": "Dry"}
    ).json()
    body = {
        "employer_id": str(house.employer_id),
        "debtor_account_id": house.account_id,
        "go_live_on": "2026-11-01",
        "mode": "dry_run",
    }
    house.boss.call("PUT", f"/v1/administrations/{other['id']}/link", json=body)
    run = house.boss.call(
        "POST",
        f"/v1/administrations/{other['id']}/payroll-files",
        content=document(),
        headers={"Content-Type": "application/xml"},
    ).json()
    batch = house.batch(run["payment_batch_ids"][0])
    approved = house.boss.approve(batch)

    assert approved.json()["file"]["message_id"].startswith("DRY")
    assert house.boss.get(f"/v1/payment-batches/{batch['id']}/file").json()["code"] == "dry_run"
    assert house.boss.get(f"/v1/payment-batches/{batch['id']}/file?dry=1").status_code == 200
    delivered = house.boss.post(f"/v1/payment-batches/{batch['id']}/deliveries", headers={"If-Match": '"r1"'})
    assert delivered.status_code == 409
    limit = house.boss.get(f"/v1/debtor-accounts/{house.account_id}/payment-limit?execution_date=2026-11-25").json()
    assert limit["per_day"]["used"]["amount"] == "0.00"


def test_a_run_of_the_dry_run_is_not_paid_by_uploading_it_again(house: House) -> None:
    """It was paid from elsewhere then: after going live it can be neither taken in nor offered."""
    run = {"year": 2026, "period": 11, "run_number": 1}
    path = f"/v1/connections/{house.connection_id}/administrations"
    dry = replace(house, administration_id=house.boss.post(path, {"number": "77", "name": "Dry"}).json()["id"])
    link(house.boss, dry.administration_id, house.employer_id, house.account_id, mode="dry_run")
    known = dry.upload(document(lines(3)), **run).json()
    link(house.boss, dry.administration_id, house.employer_id, house.account_id, mode="live")

    again = dry.upload(document(lines(3)), **run)
    changed = dry.upload(document(lines(4)), **run)
    offered = house.boss.post(f"/v1/payroll-runs/{known['id']}/batches")

    assert [each.json()["code"] for each in (again, changed, offered)] == ["run_not_payable"] * 2 + ["conflict"]
    assert [house.batch(each)["status"] for each in known["payment_batch_ids"]] == ["cancelled"]


def test_going_live_leaves_an_erased_run_erased(house: House, ctx: Context) -> None:
    """Its lines are gone, and it says so; the others of the dry run are not payable."""
    path = f"/v1/connections/{house.connection_id}/administrations"
    dry = replace(house, administration_id=house.boss.post(path, {"number": "77", "name": "Dry"}).json()["id"])
    link(house.boss, dry.administration_id, house.employer_id, house.account_id, mode="dry_run")
    erased, other = (dry.upload(document(lines(n)), run_number=n).json()["id"] for n in (2, 3))
    with transaction(ctx.engine) as session:
        session.execute(sa.text("UPDATE payroll_run SET state = 'erased' WHERE id = :id"), {"id": erased})

    link(house.boss, dry.administration_id, house.employer_id, house.account_id, mode="live")

    with transaction(ctx.engine) as session:
        rows = session.execute(sa.text("SELECT CAST(id AS text), state FROM payroll_run")).all()
    assert {erased: "erased", other: "ignored"}.items() <= {row[0]: row[1] for row in rows}.items()


def test_nothing_leads_back_from_delivered() -> None:
    """From `delivered` no chain of moves leads to where the money could be paid again; an ended batch never moves."""
    reached, before = {BatchStatus.DELIVERED}, set()
    while reached != before:
        before = set(reached)
        reached |= {to for status in before for to in MOVES.get(status, frozenset())}

    assert reached == {BatchStatus.DELIVERED, BatchStatus.ACCEPTED, BatchStatus.EXECUTED, BatchStatus.REFUSED}
    assert set(MOVES).isdisjoint(ENDED_WITHOUT_FILE | {BatchStatus.EXECUTED, BatchStatus.REFUSED})


def test_a_file_fetched_twice_is_the_same_and_says_so(house: House) -> None:
    """Every hand-out gives the same bytes; a later one is marked, and after delivery it needs a reason."""
    batch = house.uploaded_batch()
    house.boss.approve(batch)
    path = f"/v1/payment-batches/{batch['id']}/file"

    first, second = house.boss.get(path), house.boss.get(path)
    head = house.boss.call("HEAD", path)
    house.deliver(batch["id"])
    late, reasoned = house.boss.get(path), house.boss.get(f"{path}?reason=lost")

    assert first.content == second.content == reasoned.content
    assert ("x-fetched-before" in first.headers, "x-fetched-before" in second.headers) == (False, True)
    assert (head.status_code, head.content) == (405, b"")
    assert late.status_code == 422
    assert house.events().count("file.handed_out") == 4


def test_a_four_weekly_administration_gets_a_four_weekly_pay_day(
    ctx: Context, house: House, payroll: FakePayroll
) -> None:
    """How often an administration pays is remembered from the list of administrations, for the date it is paid on."""
    administration = payroll.add_administration("2100", number="13", frequency="four_weeks")
    payroll.add_run(administration, document=document(), period=12, frequency=None)
    connection = house.boss.post(
        "/v1/connections",
        {
            "organization_id": str(house.employer_id),
            "kind": "nmbrs_soap",
            "username": payroll.credentials.username,
            "token": payroll.credentials.secret,
            "domain": payroll.credentials.domain,
        },
    ).json()
    house.boss.post(f"/v1/connections/{connection['id']}/check")
    found = house.boss.get(f"/v1/connections/{connection['id']}/administrations").json()[0]
    link(house.boss, found["id"], house.employer_id, house.account_id)
    house.boss.post(f"/v1/administrations/{found['id']}/sync")
    work_off(ctx)

    (run,) = [each for each in house.boss.get("/v1/payroll-runs").json() if each["administration_id"] == found["id"]]
    assert run["frequency"] == "four_weeks"
