"""Every POST that acts takes an Idempotency-Key: the same key and body act once and give the same answer."""

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from fastapi import FastAPI

from app.auth import people
from app.auth.models import Role, Scope
from app.core.database import transaction
from tests.contracts.fake_source import FakePayroll
from tests.support.connected import add_connection
from tests.support.house import PIN, SECOND_IBAN, House, Person, act, document, lines

# What only compares, takes raw files (known again by their content), or is called by payroll packages.
_WITHOUT = {
    "/v1/payment-files/comparison",
    "/v1/status-reports",
    "/v1/administrations/{administration_id}/payroll-files",
    "/client/{webhook_token}/webhooks/paymentsbatch",
}
_REPLAYED = "idempotent-replayed"


def _takes_key(operation: dict[str, Any]) -> bool:
    return "idempotency-key" in {each["name"].lower() for each in operation.get("parameters", ())}


def test_every_post_that_acts_takes_a_key(app: FastAPI) -> None:
    """The documentation says of each route whether it takes a key, and only what cannot act twice takes none."""
    posts = {path: each["post"] for path, each in app.openapi()["paths"].items() if "post" in each}

    without = {path for path, operation in posts.items() if not _takes_key(operation)}

    assert without == _WITHOUT
    assert len(posts) > 25


def _ending(house: House, what: str) -> tuple[str, dict[str, Any]]:
    """Return what ends a line or a batch of a new run."""
    batch_id = house.uploaded_batch()["id"]
    if what in {"paid-elsewhere", "waiver"}:
        return f"/v1/transfers/{house.transfers(batch_id)[0]['id']}/{what}", {"reason": "r"}
    return f"/v1/payment-batches/{batch_id}/{what}", {"reason": "r"}


def _call(house: House, payroll: FakePayroll, name: str) -> tuple[str, dict[str, Any]]:
    """Return path and body of one cheap call by its name."""
    employer = f"/v1/employers/{house.employer_id}"
    if name in {"rejection", "cancellation", "holds", "paid-elsewhere", "waiver"}:
        return _ending(house, name)
    if name in {"check", "webhook-token"}:
        made = add_connection(house.boss, house.employer_id, payroll)
        return f"/v1/connections/{made['id']}/{name}", {}
    if name == "sync":
        payroll.add_administration("2100")
        made = add_connection(house.boss, house.employer_id, payroll)
        rows = house.boss.get(f"/v1/connections/{made['id']}/administrations").json()
        return f"/v1/administrations/{rows[0]['id']}/sync", {}
    if name == "acknowledgement":
        sent = house.upload(document(lines(2))).json()
        batch_id = sent["payment_batch_ids"][0]
        finding = next(each for each in house.findings(batch_id) if each["needs_acknowledgement"])
        return f"/v1/payment-batches/{batch_id}/findings/{finding['id']}/acknowledgement", {}
    if name == "confirmation":
        account = house.boss.post(f"{employer}/debtor-accounts", {"iban": SECOND_IBAN, "holder_name": "J"}).json()
        stated = {"holder_name": "J", "authorised_person": "J", "evidence": "E"}
        return f"/v1/debtor-accounts/{account['id']}/confirmation", stated
    upload = {"organization_id": str(house.employer_id), "kind": "upload"}
    return {
        "employers": ("/v1/employers", {"name": "Slagerij"}),
        "connections": ("/v1/connections", upload),
        "administrations": (f"/v1/connections/{house.connection_id}/administrations", {"number": "2", "name": "N"}),
        "debtor-accounts": (f"{employer}/debtor-accounts", {"iban": SECOND_IBAN, "holder_name": "J"}),
        "members": (f"{employer}/members", {"email": "a@b.example", "name": "A", "role": "approver"}),
    }[name]


@pytest.mark.parametrize(
    "name",
    [
        *("employers", "connections", "administrations", "debtor-accounts", "confirmation", "members"),
        *("check", "webhook-token", "sync", "acknowledgement", "rejection", "cancellation", "holds"),
        *("paid-elsewhere", "waiver"),
    ],
)
def test_a_repeated_act_is_done_once_and_answered_the_same(house: House, payroll: FakePayroll, name: str) -> None:
    """The second time nothing new stands in the history and the answer is the first one, without what is shown once."""
    path, body = _call(house, payroll, name)
    headers = {"Idempotency-Key": f"once-{name}", "If-Match": '"r1"'}

    first = house.boss.post(path, body, headers=headers)
    told = house.events()
    second = house.boss.post(path, body, headers=headers)

    assert first.status_code in {200, 201, 202}, first.text
    assert (second.status_code, second.headers.get(_REPLAYED)) == (first.status_code, "true")
    assert {**second.json(), "webhook_url": None} == {**first.json(), "webhook_url": None}
    assert house.events() == told
    assert _REPLAYED not in first.headers


def test_the_webhook_address_is_shown_once_and_kept_nowhere(house: House, payroll: FakePayroll) -> None:
    """A repeated call that made an address gives the same connection without it, and no stored answer holds it."""
    made = add_connection(house.boss, house.employer_id, payroll)
    headers = {"Idempotency-Key": "rotate"}
    path = f"/v1/connections/{made['id']}/webhook-token"

    first, second = (house.boss.post(path, headers=headers) for _ in range(2))

    secret = first.json()["webhook_url"].split("/")[-3]
    assert second.json()["webhook_url"] is None
    with house.ctx.engine.connect() as connection:
        stored = connection.exec_driver_sql("SELECT answer::text FROM idempotency_key").scalars().all()
    assert len(stored) == 1
    assert secret not in "".join(stored)


def test_a_key_with_another_secret_is_another_request(house: House, payroll: FakePayroll) -> None:
    """The token of a connection counts in what a key stands for, though it is stored nowhere in the clear."""
    credentials = payroll.credentials
    body = {
        "organization_id": str(house.employer_id),
        "kind": "nmbrs_soap",
        "username": credentials.username,
        "token": credentials.secret,
        "domain": credentials.domain,
    }
    headers = {"Idempotency-Key": "connect"}

    first = house.boss.post("/v1/connections", body, headers=headers)
    other = house.boss.post("/v1/connections", {**body, "token": "another"}, headers=headers)

    assert first.status_code == 201
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    "name",
    ["acknowledgement", "rejection", "cancellation", "holds", "paid-elsewhere", "waiver", "approvals", "reveals"],
)
def test_a_stored_answer_is_not_for_a_token_that_may_not_act(house: House, payroll: FakePayroll, name: str) -> None:
    """A key is easily guessed, and names, accounts and totals stand in answers: the token must be good for the act."""
    person = house.second_person("auditor", Role.AUDITOR) if name == "reveals" else house.boss
    path, body = _looking(house, name) if name in {"approvals", "reveals"} else _call(house, payroll, name)
    headers = {"Idempotency-Key": "1", "If-Match": '"r1"'}
    done = person.post(path, body, headers=headers)

    # Reading is what revealing takes; every other act takes more than that.
    weaker = _with_scopes(house, person, Scope.FILES if name == "reveals" else Scope.READ)
    replay = weaker.post(path, body, headers=headers)

    assert done.status_code in {200, 201}, done.text
    assert (replay.status_code, replay.json()["code"]) == (403, "scope_missing")


def _looking(house: House, name: str) -> tuple[str, dict[str, Any]]:
    batch = house.uploaded_batch()
    if name == "approvals":
        items = [{"batch_id": batch["id"], "digest": batch["digest"]}]
        return "/v1/approvals", {"items": items, "pin": PIN}
    return f"/v1/payment-batches/{batch['id']}/reveals", {"reason": "Audit of the year 2026"}


@pytest.mark.parametrize(
    "name", ["approvals", "deliveries", "withdrawals", "statements", "lifting", "batches", "confirmation"]
)
def test_a_stored_answer_of_what_moves_money_is_not_for_a_weaker_token(house: House, name: str) -> None:
    """The same for each act on money, from the approval to what the bank refused: rights come before what is stored."""
    path, body = _moving(house, name)
    headers = {"Idempotency-Key": "1", "If-Match": '"r1"'}
    done = house.boss.post(path, body, headers=headers)

    replay = _with_scopes(house, house.boss, Scope.READ).post(path, body, headers=headers)

    assert done.status_code in {200, 201, 202}, done.text
    assert (replay.status_code, replay.json()["code"]) == (403, "scope_missing")


def _moving(house: House, name: str) -> tuple[str, dict[str, Any]]:
    """Return path and body of an act on money that the boss may do now, as one of two people where it takes two."""
    second = house.second_person("second", Role.ADMIN, Role.APPROVER)
    batch = house.uploaded_batch()
    path = f"/v1/payment-batches/{batch['id']}"
    why = {"reason": "r"}
    if name == "approvals":
        return f"{path}/approvals", {"digest": batch["digest"], "pin": PIN}
    if name == "lifting":
        held = house.boss.post(f"{path}/holds", why).json()
        return f"{path}/holds/{held['holds'][0]['id']}/lifting", why
    if name == "batches":
        house.boss.post(f"{path}/rejection", why, headers={"If-Match": '"r1"'})
        return f"/v1/payroll-runs/{batch['run']['id']}/batches", {}
    house.boss.approve(batch)
    if name == "deliveries":
        return f"{path}/deliveries", {"hash_seen": sha256(house.handed_out(batch["id"])).hexdigest()[:8]}
    house.handed_out(batch["id"])
    return _of_file(house, second, batch["id"], name)


def _of_file(house: House, second: Person, batch_id: str, name: str) -> tuple[str, dict[str, Any]]:
    path, why = f"/v1/payment-batches/{batch_id}", {"reason": "r"}
    if name == "withdrawals":
        return f"{path}/withdrawals", why
    if name == "confirmation":
        asked = second.post(f"{path}/withdrawals", why).json()
        return f"/v1/proposals/{asked['id']}/confirmation", {}
    house.deliver(batch_id)
    line = house.transfers(batch_id)[0]["id"]
    return f"{path}/statements", {"statement": "refused", "transfer_ids": [line], **why}


def _with_scopes(house: House, person: Person, *scopes: Scope) -> Person:
    with transaction(house.ctx.engine) as session:
        user = people.find_user(session, person.email)
        issued = people.issue_token(session, act(house.ctx), user=user, scopes=frozenset(scopes), days=30)
        return replace(person, token=issued.token)


@pytest.mark.parametrize("name", ["follow-up-batches", "debtor-accounts", "confirmation", "connections", "members"])
def test_a_stored_answer_is_not_for_who_left(house: House, payroll: FakePayroll, name: str) -> None:
    """Whoever has no role at an employer any more sees nothing of it, by an old key either."""
    path, body = _follow_up(house) if name == "follow-up-batches" else _call(house, payroll, name)
    leaver = house.second_person("leaver", Role.ADMIN)
    headers = {"Idempotency-Key": "1"}
    done = leaver.post(path, body, headers=headers)
    with transaction(house.ctx.engine) as session:
        people.end_membership(
            session, act(house.ctx), user_id=leaver.id, organization_id=house.employer_id, role=Role.ADMIN
        )

    replay = leaver.post(path, body, headers=headers)

    assert done.status_code in {201, 202}, done.text
    assert (replay.status_code, replay.json()["code"]) == (404, "not_found")


def _follow_up(house: House) -> tuple[str, dict[str, Any]]:
    """Return the offer of a line that was left out of an approved batch."""
    batch = house.uploaded_batch()
    line = house.transfers(batch["id"])[0]["id"]
    left_out = {"decision": "exclude", "reason": "Wait"}
    path = f"/v1/payment-batches/{batch['id']}/transfers/{line}"
    house.boss.call("PATCH", path, json=left_out, headers={"If-Match": '"r1"'})
    assert house.boss.approve(house.batch(batch["id"])).status_code == 201
    return "/v1/follow-up-batches", {"transfer_ids": [line]}
