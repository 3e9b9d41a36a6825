"""Setting up: accounts, limits, links and mandates change only as the rules say."""

from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.auth.models import OrganizationKind, Role
from app.main import Service, create_app
from app.payments import two_people
from app.payments.context import Context
from tests.contracts.fake_source import FakePayroll
from tests.support.clock import FakeClock
from tests.support.connected import connect
from tests.support.house import (
    ACCOUNT_IBAN,
    SECOND_IBAN,
    House,
    Person,
    add_organization,
    add_person,
    document,
    lines,
    link,
)


def _put_limit(person: Person, house: House, amount: str) -> Any:
    body = {"per_batch": {"amount": amount, "currency": "EUR"}}
    return person.call("PUT", f"/v1/debtor-accounts/{house.account_id}/payment-limit", json=body)


def test_lowering_a_limit_holds_at_once(house: House) -> None:
    """A lower limit is in force with the answer."""
    answer = _put_limit(house.boss, house, "100.00")

    assert (answer.status_code, answer.json()["per_batch"]["limit"]["amount"]) == (200, "100.00")


def test_raising_a_limit_waits_for_a_second_admin(house: House) -> None:
    """A raise is 202 and changes nothing; the same person cannot complete it, a second admin can."""
    second = add_person(house.ctx, house.client, house.employer_id, (Role.ADMIN,), email="second@jansen.example")

    asked, again = (_put_limit(house.boss, house, "90000.00") for _ in range(2))
    limit = house.boss.get(f"/v1/debtor-accounts/{house.account_id}/payment-limit").json()
    assert (asked.status_code, again.status_code) == (202, 202)
    assert limit["per_batch"]["limit"]["amount"] == "50000.00"
    other = _put_limit(second, house, "95000.00")
    assert other.status_code == 202
    confirmed = _put_limit(house.boss, house, "95000.00")

    assert (confirmed.status_code, confirmed.json()["per_batch"]["limit"]["amount"]) == (200, "95000.00")


def test_a_raise_holds_after_a_day_also_without_a_second_admin(house: House, clock: FakeClock) -> None:
    """In a one-person firm a raise counts after twenty-four hours, not a minute before."""
    _put_limit(house.boss, house, "90000.00")
    clock.forward(hours=23, minutes=59)
    before = house.boss.get(f"/v1/debtor-accounts/{house.account_id}/payment-limit").json()
    clock.forward(minutes=1)
    after = house.boss.get(f"/v1/debtor-accounts/{house.account_id}/payment-limit").json()

    assert before["per_batch"]["limit"]["amount"] == "50000.00"
    assert after["per_batch"]["limit"]["amount"] == "90000.00"


def test_a_pending_raise_is_not_a_limit_yet(house: House) -> None:
    """A batch between the limit and the asked raise is refused."""
    _put_limit(house.boss, house, "90000.00")
    batch = house.uploaded_batch(document(lines(8, cents=700_000)))

    assert house.boss.approve(batch).json()["code"] == "payment_limit_exceeded"


def test_nothing_is_approved_without_a_limit(house: House) -> None:
    """An account without any limit: 422 `limit_not_set`."""
    body = {"iban": SECOND_IBAN, "holder_name": "Bakkerij"}
    account = house.boss.post(f"/v1/employers/{house.employer_id}/debtor-accounts", body).json()
    stated = {"holder_name": "Bakkerij", "authorised_person": "J", "evidence": "E"}
    house.boss.post(f"/v1/debtor-accounts/{account['id']}/confirmation", stated)
    batch = house.uploaded_batch(document(payer_iban=SECOND_IBAN))
    moved = house.boss.call(
        "PATCH",
        f"/v1/payment-batches/{batch['id']}",
        json={"debtor_account_id": account["id"]},
        headers={"If-Match": '"r1"'},
    ).json()

    assert house.boss.approve(moved).json()["code"] == "limit_not_set"


def test_a_suspended_account_pays_nothing_more(house: House) -> None:
    """Suspended, an account bars approving, and handing out what was approved before."""
    approved = house.uploaded_batch(document(lines(2)), year=2026, period=9, run_number=1)
    house.boss.approve(approved)
    waiting = house.uploaded_batch(document(lines(3, cents=100_000)), year=2026, period=10, run_number=1)

    house.boss.call("PATCH", f"/v1/debtor-accounts/{house.account_id}", json={"state": "suspended"})

    assert house.boss.approve(house.batch(waiting["id"])).json()["code"] == "account_not_confirmed"
    assert house.boss.get(f"/v1/payment-batches/{approved['id']}/file").status_code == 409


_STATED = {"holder_name": "Bakkerij Jansen B.V.", "authorised_person": "J. Jansen", "evidence": "Bank statement"}


def _suspended(house: House) -> str:
    """Suspend the account; return the path of its confirmation."""
    house.boss.call("PATCH", f"/v1/debtor-accounts/{house.account_id}", json={"state": "suspended"})
    return f"/v1/debtor-accounts/{house.account_id}/confirmation"


def test_a_suspended_account_comes_back_by_two_admins(house: House) -> None:
    """One admin asks and nothing is paid; the same person does not complete it, a second one who says the same does."""
    second = add_person(house.ctx, house.client, house.employer_id, (Role.ADMIN,), email="second@jansen.example")
    path = _suspended(house)

    asked, again = (house.boss.post(path, _STATED) for _ in range(2))
    waiting = house.boss.approve(house.uploaded_batch())
    confirmed = second.post(path, _STATED)

    assert (asked.status_code, again.status_code, asked.json()["kind"]) == (202, 202, "account_resumed")
    assert waiting.json()["code"] == "account_not_confirmed"
    assert (confirmed.status_code, confirmed.json()["state"]) == (201, "confirmed")
    assert house.boss.post(path, _STATED).status_code == 409


def test_a_suspended_account_comes_back_after_a_day(house: House, clock: FakeClock) -> None:
    """Where there is one admin a day stands in for the second, and not a minute less."""
    path = _suspended(house)
    house.boss.post(path, _STATED)
    clock.forward(hours=23, minutes=59)
    early = two_people.apply_due(house.ctx)
    clock.forward(minutes=1)

    assert (early, two_people.apply_due(house.ctx)) == (0, 1)
    assert house.boss.get(f"/v1/debtor-accounts/{house.account_id}").json()["state"] == "confirmed"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"iban": "NL91ABNA0417164301", "holder_name": "J"}, "/iban"),
        ({"iban": "TR330006100519786457841326", "holder_name": "J"}, "/iban"),
        ({"iban": SECOND_IBAN, "holder_name": "王小明"}, "/holder_name"),
        ({"iban": SECOND_IBAN, "holder_name": "A" * 71}, "/holder_name"),
    ],
)
def test_a_wrong_account_is_refused_with_the_field(house: House, body: dict[str, str], pointer: str) -> None:
    """Each fault names its field; the IBAN is not repeated."""
    answer = house.boss.post(f"/v1/employers/{house.employer_id}/debtor-accounts", body)

    assert answer.status_code == 422
    assert pointer in [each["pointer"] for each in answer.json()["errors"]]
    assert body["iban"] not in answer.text


def test_the_same_account_twice_is_a_conflict(house: House) -> None:
    """The same IBAN twice in one employer is refused, however it is spelled."""
    body = {"iban": "nl91 abna 0417 1643 00", "holder_name": "J"}

    assert house.boss.post(f"/v1/employers/{house.employer_id}/debtor-accounts", body).status_code == 409
    assert house.boss.get(f"/v1/debtor-accounts/{house.account_id}").json()["iban"] == ACCOUNT_IBAN


def test_go_live_never_moves_earlier(house: House) -> None:
    """Later is possible, after a day or with a second admin; earlier is 422 at once."""
    later = link(house.boss, house.administration_id, house.employer_id, house.account_id, go_live_on="2026-12-01")
    earlier = link(house.boss, house.administration_id, house.employer_id, house.account_id, go_live_on="2026-10-31")

    assert (later.status_code, earlier.status_code) == (202, 422)
    assert earlier.json()["errors"][0]["code"] == "go_live_earlier"


def _another_administration(house: House) -> str:
    body = {"number": "2", "name": "Jansen Advies"}
    return str(house.boss.post(f"/v1/connections/{house.connection_id}/administrations", body).json()["id"])


@pytest.mark.parametrize(
    ("rule", "pointer"),
    [
        ({"kind": "when_it_suits"}, "/pay_day_rule/kind"),
        ({}, "/pay_day_rule/kind"),
        ({"kind": "day_of_month"}, "/pay_day_rule/value"),
        ({"kind": "day_of_month", "value": 32}, "/pay_day_rule/value"),
        ({"kind": "last_bank_day", "roll": "sideways"}, "/pay_day_rule/roll"),
    ],
)
def test_a_rule_that_gives_no_pay_day_is_refused(house: House, rule: dict[str, Any], pointer: str) -> None:
    """No run could be given a date by it, so none would be fetched: it is refused when it is set, and when changed."""
    other = _another_administration(house)

    first = link(house.boss, other, house.employer_id, house.account_id, pay_day_rule=rule)
    changed = link(house.boss, house.administration_id, house.employer_id, house.account_id, pay_day_rule=rule)

    for answer in (first, changed):
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert house.uploaded_batch()["status"] == "pending"


def test_the_pay_day_rule_of_the_link_gives_the_date(house: House) -> None:
    """A run whose file names no possible date is paid on the day of the rule; the same rule again is no change."""
    other = _another_administration(house)
    rules = ({"kind": "last_bank_day"}, {"kind": "last_bank_day", "roll": "previous"})
    linked, again = (link(house.boss, other, house.employer_id, house.account_id, pay_day_rule=rule) for rule in rules)

    batch = replace(house, administration_id=other).uploaded_batch(document(day="2026-11-02"), year=2026, period=11)

    full = {"kind": "last_bank_day", "value": None, "roll": "previous"}
    assert [each.status_code for each in (linked, again)] == [200, 200]
    assert linked.json()["link"]["pay_day_rule"] == again.json()["link"]["pay_day_rule"] == full
    assert batch["requested_execution_date"] == "2026-11-30"


def test_an_office_links_only_under_a_live_mandate(ctx: Context, client: TestClient, house: House) -> None:
    """Without a mandate the employer does not exist for the office; with one it may link; revoked, it may not see."""
    office_id = add_organization(ctx, OrganizationKind.OFFICE, "Kantoor Noord")
    clerk = add_person(ctx, client, office_id, (Role.ADMIN,), email="clerk@kantoor.example")
    connection = clerk.post("/v1/connections", {"organization_id": str(office_id), "kind": "upload"}).json()
    administration = clerk.post(
        f"/v1/connections/{connection['id']}/administrations", {"number": "1", "name": "Jansen"}
    ).json()
    path = f"/v1/employers/{house.employer_id}/mandates/{office_id}"

    before = link(clerk, administration["id"], house.employer_id, house.account_id)
    granted = house.boss.call("PUT", path, json={"sees_salaries": False})
    half = link(clerk, administration["id"], house.employer_id, house.account_id)
    accepted = clerk.call("PUT", path, json={})
    linked = link(clerk, administration["id"], house.employer_id, house.account_id)
    moved = link(clerk, administration["id"], house.employer_id, house.account_id, go_live_on="2026-12-01")
    house.boss.call("DELETE", path)

    assert (before.status_code, half.status_code) == (404, 404)
    assert (granted.status_code, accepted.status_code, linked.status_code) == (200, 200, 200)
    assert moved.status_code == 403, "a change of a link comes from the employer's side"
    assert clerk.get("/v1/employers").json() == []


def test_a_connection_that_did_not_pass_is_not_used(house: House, client: TestClient) -> None:
    """Before its check, and with new credentials, a connection is not asked: 409 on sync."""
    connection = house.boss.post(
        "/v1/connections",
        {
            "organization_id": str(house.employer_id),
            "kind": "nmbrs_soap",
            "username": "salaris@bakkerij.example",
            "token": "wrong",
            "domain": "bakkerij",
        },
    ).json()

    checked = house.boss.post(f"/v1/connections/{connection['id']}/check").json()

    assert connection["state"] == "unchecked"
    assert checked["state"] == "failed"
    assert [each["outcome"] for each in checked["checks"] if each["outcome"] == "denied"]
    assert "wrong" not in str(checked)


def test_the_secret_of_a_connection_is_never_shown(house: House) -> None:
    """The API token is in no answer, and not readable in the database; the webhook address is shown once."""
    body = {
        "organization_id": str(house.employer_id),
        "kind": "nmbrs_soap",
        "username": "salaris@bakkerij.example",
        "token": "very-secret-token",
        "domain": "bakkerij",
    }
    made = house.boss.post("/v1/connections", body)
    shown = house.boss.get(f"/v1/connections/{made.json()['id']}")

    assert "very-secret-token" not in made.text + shown.text
    assert made.json()["webhook_url"].endswith("/webhooks/paymentsbatch")
    assert shown.json()["webhook_url"] is None
    with house.ctx.engine.connect() as connection:
        sealed = connection.exec_driver_sql("SELECT secret_sealed FROM connection WHERE kind = 'nmbrs_soap'").scalar()
    assert b"very-secret-token" not in bytes(sealed or b"")


def test_a_rotated_webhook_address_works_for_a_grace_time(house: House, clock: FakeClock) -> None:
    """The old address goes on for 72 hours beside the new one, and is 404 afterwards."""
    body = {
        "organization_id": str(house.employer_id),
        "kind": "nmbrs_soap",
        "username": "salaris@bakkerij.example",
        "token": "t",
        "domain": "bakkerij",
    }
    made = house.boss.post("/v1/connections", body).json()
    old = made["webhook_url"].replace("http://127.0.0.1:8000", "")
    new = house.boss.post(f"/v1/connections/{made['id']}/webhook-token").json()["webhook_url"]
    new = new.replace("http://127.0.0.1:8000", "")

    during = [house.client.post(path).status_code for path in (old, new)]
    clock.forward(hours=73)
    after = [house.client.post(path).status_code for path in (old, new)]

    assert (during, after) == ([202, 202], [404, 202])


def test_without_a_grace_time_a_leaked_webhook_address_ends_with_its_replacement(
    house: House, payroll: FakePayroll, service: Service
) -> None:
    """How an operator ends one at once: the setting, a restart, and then another address; in every process."""
    connected = connect(house, payroll)
    policy = replace(house.ctx.policy, webhook_token_grace_hours=0)
    restarted = create_app(replace(service, context=replace(house.ctx, policy=policy)), with_worker=False)
    assert connected.webhook(run_id=1).status_code == 202

    with TestClient(restarted) as client:
        boss = replace(house.boss, client=client)
        new = boss.post(f"/v1/connections/{connected.connection_id}/webhook-token").json()["webhook_url"]
        answers = [
            each.post(path, json={"run_id": 1}).status_code
            for path in (connected.webhook_path, new.replace("http://127.0.0.1:8000", ""))
            for each in (client, house.client)
        ]

    assert answers == [404, 404, 202, 202]
