"""Frauds by one person at the employer and with a stolen token, tried as the fraudster would."""

from dataclasses import replace
from typing import Any

import httpx2

from app.auth import people
from app.auth.models import Role, Scope
from app.core.database import transaction
from app.payments import two_people
from app.payments.context import Context
from tests.payments.payments_of import dutch_iban
from tests.support.clock import FakeClock
from tests.support.house import (
    SECOND_IBAN,
    WRONG_PIN,
    House,
    Person,
    act,
    add_account,
    add_person,
    document,
    lines,
)


def _outcome(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


def _refused(house: House, event: str = "approval.refused") -> list[str]:
    told = house.boss.get("/v1/history?limit=1000").json()
    return [each["facts"]["details"]["code"] for each in reversed(told) if each["event"] == event]


def _patch(person: Person, batch: dict[str, Any], **body: Any) -> httpx2.Response:
    headers = {"If-Match": f'"r{batch["revision"]}"'}
    return person.call("PATCH", f"/v1/payment-batches/{batch['id']}", json=body, headers=headers)


def _decide(person: Person, batch: dict[str, Any], line: dict[str, Any], **body: Any) -> httpx2.Response:
    path = f"/v1/payment-batches/{batch['id']}/transfers/{line['id']}"
    return person.call("PATCH", path, json=body, headers={"If-Match": f'"r{batch["revision"]}"'})


def _tiers(house: House, required: int) -> None:
    body = {"tiers": [{"from": {"amount": "0.00"}, "required": required}]}
    answer = house.boss.call("PUT", f"/v1/employers/{house.employer_id}/approval-policy", json=body)
    assert answer.status_code == 200, answer.text


def test_an_accomplice_does_not_approve_on_the_day_they_are_asked_for(
    house: House, other_house: House, ctx: Context, clock: FakeClock
) -> None:
    """An admin alone asks for a second approver, who has PIN and token already: for a day the batch is not theirs."""
    _tiers(house, 2)
    batch = house.uploaded_batch()
    accomplice = other_house.boss
    body = {"email": accomplice.email, "name": "Boss", "role": "approver"}

    asked = house.boss.post(f"/v1/employers/{house.employer_id}/members", body)
    again = house.boss.post(f"/v1/proposals/{asked.json()['id']}/confirmation")
    clock.forward(hours=23)
    two_people.apply_due(ctx)
    mine, theirs = house.boss.approve(batch), accomplice.approve(batch)

    assert (asked.status_code, _outcome(again)) == (202, (403, "another_person_needed"))
    assert (mine.json()["status"], theirs.status_code) == ("pending", 404)
    assert {"proposal.made", "access.refused"} <= set(house.events())
    assert "member.added" not in house.events()[-5:]


def test_the_approval_of_somebody_who_was_removed_does_not_count(house: House, ctx: Context, clock: FakeClock) -> None:
    """Two are needed; one approved and is no approver any more when the other approves: that is one approval."""
    _tiers(house, 2)
    leaver = house.second_person("leaver")
    third = house.second_person("third")
    batch = house.uploaded_batch()
    leaver.approve(batch)
    with transaction(ctx.engine) as session:
        people.end_membership(
            session, act(ctx), user_id=leaver.id, organization_id=house.employer_id, role=Role.APPROVER
        )

    second = house.boss.approve(house.batch(batch["id"]))
    last = third.approve(house.batch(batch["id"]))

    assert (second.status_code, second.json()["status"]) == (201, "pending")
    assert last.json()["status"] == "approved"


def test_a_deputy_whose_time_is_over_does_not_count(house: House, ctx: Context, clock: FakeClock) -> None:
    """An approval given in time by a deputy does not complete a batch after the last day of the deputy."""
    _tiers(house, 2)
    body = {"email": "deputy@jansen.example", "name": "Deputy", "role": "approver", "ends_on": "2026-11-20"}
    deputy = add_person(ctx, house.client, house.employer_id, (), email="deputy@jansen.example")
    house.boss.post(f"/v1/employers/{house.employer_id}/members", body)
    clock.forward(hours=25)
    two_people.apply_due(ctx)
    batch = house.uploaded_batch(document(day="2026-11-27"))
    given = deputy.approve(batch)
    clock.forward(days=4)

    alone = house.boss.approve(house.batch(batch["id"]))

    assert (given.status_code, len(given.json()["approvals"])) == (201, 1)
    assert alone.json()["status"] == "pending"


def test_a_raise_and_an_approval_by_one_person_in_one_day_is_no_raise(house: House) -> None:
    """However the raise is dressed, as a higher limit, none at all or one that ends: it waits, and the limit stands."""
    batch = house.uploaded_batch(document(lines(8, cents=700_000)))
    path = f"/v1/debtor-accounts/{house.account_id}/payment-limit"
    raises: list[dict[str, Any]] = [
        {"per_batch": {"amount": "90000.00"}},
        {"per_day": {"amount": "90000.00"}},
        {"per_batch": {"amount": "90000.00"}, "ends_on": "2026-11-18"},
    ]

    statuses = [house.boss.call("PUT", path, json=body).status_code for body in [*raises, raises[0], raises[0]]]
    refused = house.boss.approve(batch)

    assert statuses == [202] * 5
    assert _outcome(refused) == (422, "payment_limit_exceeded")
    assert _refused(house) == ["payment_limit_exceeded"]
    assert house.events().count("limit.raise_asked") == 5


def test_another_account_right_before_the_approval_is_seen(house: House, clerk: Person) -> None:
    """The office cannot; an admin who puts the batch on another account meanwhile: what was shown is not approved."""
    other = add_account(house.boss, house.employer_id, iban=SECOND_IBAN)
    admin = house.second_person("admin", Role.ADMIN)
    shown = house.uploaded_batch()
    tried = _patch(clerk, shown, debtor_account_id=other)
    moved = _patch(admin, shown, debtor_account_id=other)

    stale = house.boss.approve(shown)
    blind = house.boss.approve(house.batch(shown["id"]))

    assert (_outcome(tried), moved.status_code, stale.status_code) == ((403, "role_missing"), 200, 412)
    assert _outcome(blind) == (409, "acknowledgement_needed")
    assert [each["code"] for each in blind.json()["findings"]] == ["source_account_differs"]
    told = house.boss.get(f"/v1/payment-batches/{shown['id']}/history").json()
    edit = next(each for each in told if each["event"] == "batch.edited")
    assert (edit["actor"], edit["facts"]["details"]["was"]["debtor_account_id"]) == ("Admin", house.account_id)


def test_what_was_confirmed_of_one_account_is_not_confirmed_of_another(house: House) -> None:
    """The package pays from another account; confirmed for the one that was shown, and asked again for a third."""
    other = add_account(house.boss, house.employer_id, iban=SECOND_IBAN)
    batch = house.uploaded_batch(document(payer_iban=dutch_iban(55)))
    assert house.acknowledge_all(batch) == ["source_account_differs"]
    confirmed = house.batch(batch["id"])

    assert _patch(house.boss, confirmed, debtor_account_id=other).status_code == 200

    assert confirmed["acknowledgements_open"] == 0
    assert _outcome(house.boss.approve(house.batch(batch["id"]))) == (409, "acknowledgement_needed")
    assert house.acknowledge_all(batch) == ["source_account_differs"]


def test_who_moves_a_batch_to_another_account_does_not_approve_it_alone(house: House) -> None:
    """With a second approver there, one person cannot both move the money and approve it."""
    house.second_person()
    other = add_account(house.boss, house.employer_id, iban=SECOND_IBAN)
    batch = house.uploaded_batch()
    _patch(house.boss, batch, debtor_account_id=other)
    house.acknowledge_all(batch)

    answer = house.boss.approve(house.batch(batch["id"]))

    assert (answer.status_code, answer.json()["status"]) == (201, "pending")
    assert answer.json()["approval_reasons"] == ["four_eyes"]


def test_everybody_left_out_but_oneself_is_shown(house: House) -> None:
    """One line left is one line shown: the warning, the lines left out with their reasons, and who did it."""
    batch = house.uploaded_batch(document(lines(4)))
    for line in house.transfers(batch["id"])[1:]:
        now = house.batch(batch["id"])
        assert _decide(house.boss, now, line, decision="exclude", reason="Later").status_code == 200

    now = house.batch(batch["id"])
    assert now["counts"] == {"payable": 1, "excluded": 3}
    assert "one_line" in [each["code"] for each in house.findings(batch["id"])]
    assert house.events().count("batch.line_decided") == 3
    assert house.boss.approve(now).json()["status"] == "approved"
    assert len(house.boss.get("/v1/unpaid-transfers").json()) == 3


def test_lines_of_a_file_are_in_no_follow_up(house: House) -> None:
    """What is in a file, handed out or at the bank cannot be offered again, by nobody and in no state."""
    batch = house.approved()
    ids = [line["id"] for line in house.transfers(batch["id"])]
    answers = []
    for step in (lambda: None, lambda: house.handed_out(batch["id"]), lambda: house.deliver(batch["id"])):
        step()
        answers.append(house.boss.post("/v1/follow-up-batches", {"transfer_ids": ids[:1]}))

    assert [answer.json()["errors"][0]["code"] for answer in answers] == ["not_unpaid"] * 3


# -------------------------------------------------------------------------------------------------- a stolen token


def test_a_stolen_token_without_its_pin_approves_nothing(house: House) -> None:
    """No PIN, five guesses, and then not even the right one: each guess stands in the history."""
    batch = house.uploaded_batch()
    path = f"/v1/payment-batches/{batch['id']}/approvals"
    headers = {"If-Match": '"r1"'}

    without = house.boss.post(path, {"digest": batch["digest"]}, headers=headers)
    guesses = [house.boss.approve(batch, pin=WRONG_PIN) for _ in range(5)]
    right = house.boss.approve(batch)

    assert without.status_code == 422
    assert [_outcome(answer) for answer in guesses] == [(403, "pin_incorrect")] * 5
    assert _outcome(right) == (403, "pin_locked")
    assert _refused(house) == ["pin_incorrect"] * 5 + ["pin_locked"]
    assert house.batch(batch["id"])["approvals"] == []


def test_a_stolen_token_that_may_not_approve_is_noticed(house: House, ctx: Context) -> None:
    """With the right PIN and without the scope nothing is approved, and the employer can read that it was tried."""
    batch = house.uploaded_batch()
    with transaction(ctx.engine) as session:
        user = people.find_user(session, house.boss.email)
        issued = people.issue_token(
            session, act(ctx), user=user, scopes=frozenset({Scope.READ, Scope.PREPARE}), days=30
        )
    thief = replace(house.boss, token=issued.token)

    tried = [
        thief.approve(batch),
        thief.get(f"/v1/payment-batches/{batch['id']}/file"),
        thief.post(f"/v1/payment-batches/{batch['id']}/withdrawals", {"reason": "r"}),
    ]

    assert [_outcome(answer) for answer in tried] == [(403, "scope_missing")] * 3
    assert _refused(house) == ["scope_missing"]
    assert "scope_missing" in _refused(house, "access.refused")
