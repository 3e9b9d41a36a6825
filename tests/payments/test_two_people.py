"""What frees money takes two people; what sets up takes two, or a day."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlmodel import Session
from structlog.testing import capture_logs

from app.auth import people
from app.auth.models import Role
from app.auth.proposals import Proposal
from app.core.database import transaction
from app.core.errors import Conflict
from app.payments import holds, policies, reopening, retention, syncing, two_people
from app.payments.context import Context
from app.payments.models import PaymentBatch
from app.payments.tasks import TickIncomplete, work
from tests.support.clock import FakeClock
from tests.support.house import House, Person, act, add_account, document, lines, link
from tests.support.waiting import until_somebody_waits


def _path(batch: dict[str, Any], what: str) -> str:
    return f"/v1/payment-batches/{batch['id']}/{what}"


def _handed_out(house: House) -> dict[str, Any]:
    batch = house.approved()
    house.handed_out(batch["id"])
    return house.batch(batch["id"])


def test_a_handed_out_file_is_withdrawn_by_two_people(house: House) -> None:
    """One person asks, another confirms: the file is void, its lines can be approved again under new ids."""
    second = house.second_person()
    batch = _handed_out(house)
    before = house.transfers(batch["id"])[0]["end_to_end_id"]

    asked = house.boss.post(_path(batch, "withdrawals"), {"reason": "Not read in."})
    again = house.boss.post(_path(batch, "withdrawals"), {"reason": "Not read in."})
    still = house.batch(batch["id"])
    done = second.post(_path(batch, "withdrawals"), {"reason": "Looked at the bank: it is not there."})

    assert (asked.status_code, again.status_code, done.status_code) == (202, 202, 201)
    assert asked.json()["id"] == again.json()["id"]
    assert (still["status"], still["proposals"]) == ("approved", [asked.json()["id"]])
    assert (done.json()["status"], done.json()["revision"]) == ("pending", 2)
    assert house.transfers(batch["id"])[0]["end_to_end_id"] != before
    void = house.boss.get(_path(batch, "files")).json()[0]
    assert (void["void_reason"], void["voided_at"] is not None) == ("withdrawn", True)


def test_a_file_that_was_never_handed_out_is_recalled_not_withdrawn(house: House) -> None:
    """Nobody can say of a file that stayed here that it is not at the bank."""
    house.second_person()
    batch = house.approved()

    answer = house.boss.post(_path(batch, "withdrawals"), {"reason": "r"})

    assert (answer.status_code, answer.json()["code"]) == (409, "not_allowed_now")


def test_nothing_delivered_is_withdrawn(house: House) -> None:
    """From `delivered` there is no way back to pending, with however many people."""
    house.second_person()
    batch = house.delivered()

    answer = house.boss.post(_path(batch, "withdrawals"), {"reason": "r"})

    assert (answer.status_code, answer.json()["code"]) == (409, "not_allowed_now")
    assert house.batch(batch["id"])["status"] == "delivered"


def test_in_a_firm_of_one_person_a_day_stands_in_for_the_second(house: House, ctx: Context, clock: FakeClock) -> None:
    """Who is alone waits a day, and the sweep then does it; not an hour earlier."""
    batch = _handed_out(house)
    asked = house.boss.post(_path(batch, "withdrawals"), {"reason": "Not read in."})

    clock.forward(hours=23)
    early = two_people.apply_due(ctx)
    clock.forward(hours=2)
    due = two_people.apply_due(ctx)

    assert asked.json()["waits_until"] is not None
    assert (early, due) == (0, 1)
    assert house.batch(batch["id"])["status"] == "pending"


def test_with_a_second_person_there_no_day_suffices(house: House, ctx: Context, clock: FakeClock) -> None:
    """Where there is another approver, only that person can confirm what frees money."""
    house.second_person()
    batch = _handed_out(house)
    asked = house.boss.post(_path(batch, "withdrawals"), {"reason": "Not read in."})

    clock.forward(days=3)
    done = two_people.apply_due(ctx)
    alone = house.boss.post(f"/v1/proposals/{asked.json()['id']}/confirmation")

    assert (asked.json()["waits_until"], done) == (None, 0)
    assert (alone.status_code, alone.json()["code"]) == (403, "another_person_needed")


def test_what_somebody_asked_who_left_does_not_count(house: House, ctx: Context) -> None:
    """A proposal of a person who has no role here any more ends; the next person begins anew."""
    leaver = house.second_person("leaver")
    house.second_person("third")
    batch = _handed_out(house)
    first = leaver.post(_path(batch, "withdrawals"), {"reason": "Not read in."})
    with transaction(ctx.engine) as session:
        people.end_membership(
            session, act(ctx), user_id=leaver.id, organization_id=house.employer_id, role=Role.APPROVER
        )

    second = house.boss.post(_path(batch, "withdrawals"), {"reason": "Not read in."})

    assert second.status_code == 202
    assert second.json()["id"] != first.json()["id"]


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("withdrawals", {"reason": "Not read in."}),
        ("statements", {"statement": "refused", "reason": "Seen at the bank", "reason_code": "AC01"}),
    ],
)
def test_what_ended_the_state_it_needs_is_answered_again(house: House, what: str, body: dict[str, str]) -> None:
    """Whoever repeats an act with its key, because its answer was lost, gets that answer, not a conflict."""
    second = house.second_person()
    batch = house.delivered() if what == "statements" else _handed_out(house)
    key = {"Idempotency-Key": "one act"}
    house.boss.post(_path(batch, what), body)
    done = second.post(_path(batch, what), body, headers=key)

    again = second.post(_path(batch, what), body, headers=key)

    assert (done.status_code, again.status_code) == (201, 201)
    assert again.json() == done.json()


def test_a_refusal_takes_two_people_and_frees_the_lines(house: House) -> None:
    """One person's word that the bank refused a file frees nothing; with a second the lines are unpaid again."""
    second = house.second_person()
    batch = house.delivered()
    said = {"statement": "refused", "reason": "Seen in internet banking", "reason_code": "AC01"}

    one = house.boss.post(_path(batch, "statements"), said)
    unpaid_before = house.boss.get("/v1/unpaid-transfers").json()
    two = second.post(_path(batch, "statements"), said)
    unpaid = house.boss.get("/v1/unpaid-transfers").json()

    assert (one.status_code, two.status_code) == (202, 201)
    assert (unpaid_before, len(unpaid)) == ([], 3)
    assert house.batch(batch["id"])["status"] == "refused"
    assert {line["bank_reason"] for line in house.transfers(batch["id"])} == {"AC01"}


def test_a_false_refusal_of_a_stolen_token_frees_nothing(house: House) -> None:
    """Two tokens of one person are one person."""
    house.second_person()
    batch = house.delivered()
    said = {"statement": "refused", "reason": "r"}
    stolen = _another_token(house)

    answers = [house.boss.post(_path(batch, "statements"), said), stolen.post(_path(batch, "statements"), said)]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert house.batch(batch["id"])["status"] == "delivered"


def _another_token(house: House) -> Person:
    from app.auth.models import Scope  # noqa: PLC0415

    with transaction(house.ctx.engine) as session:
        user = people.find_user(session, house.boss.email)
        issued = people.issue_token(session, act(house.ctx), user=user, scopes=frozenset(Scope), days=30)
        return Person(id=user.id, email=user.email, token=issued.token, client=house.client)


def test_not_executed_can_be_said_only_after_the_signature_expired(house: House, clock: FakeClock) -> None:
    """Until then somebody may still sign at the bank."""
    second = house.second_person()
    batch = house.delivered()
    said = {"statement": "not_executed", "reason": "Never signed."}

    early = house.boss.post(_path(batch, "statements"), said)
    clock.forward(days=40)
    late = [person.post(_path(batch, "statements"), said).status_code for person in (house.boss, second)]

    assert (early.status_code, early.json()["code"]) == (409, "too_early")
    assert "until then the bank may still execute" in early.json()["detail"]
    # 25 November plus the 28 days of ABN AMRO is 23 December; the next bank day is the 24th.
    assert early.json()["possible_from"] == "2026-12-24"
    assert late == [202, 201]


def test_lack_of_funds_frees_nothing_before_the_bank_stops_trying(house: House, clock: FakeClock) -> None:
    """AM04 is no end: the bank tries again for some days."""
    house.second_person()
    batch = house.delivered()
    said = {"statement": "refused", "reason": "No funds", "reason_code": "AM04"}

    early = house.boss.post(_path(batch, "statements"), said)
    clock.forward(days=20)
    late = house.boss.post(_path(batch, "statements"), said)

    assert (early.json()["code"], late.status_code) == ("too_early", 202)


def test_executed_takes_one_person_from_the_execution_date_on(house: House, clock: FakeClock) -> None:
    """Closing is one person's word, but not before it can be true."""
    batch = house.delivered()
    said = {"statement": "executed", "reason": "On the statement of account"}

    early = house.boss.post(_path(batch, "statements"), said)
    clock.forward(days=7)
    late = house.boss.post(_path(batch, "statements"), said)

    assert early.json()["code"] == "too_early"
    assert "until then the bank executes nothing" in early.json()["detail"]
    assert (late.status_code, late.json()["status"]) == (201, "executed")
    assert {line["status"] for line in house.transfers(batch["id"])} == {"executed"}


def test_some_lines_executed_leave_the_batch_open(house: House, clock: FakeClock) -> None:
    """The batch shows the least advanced of its lines; partly executed is read from the counts."""
    batch = house.delivered()
    clock.forward(days=7)
    first = house.transfers(batch["id"])[0]["id"]
    said = {"statement": "executed", "reason": "r", "transfer_ids": [first]}

    partly = house.boss.post(_path(batch, "statements"), said).json()
    rest = house.boss.post(_path(batch, "statements"), {"statement": "executed", "reason": "r"}).json()

    assert (partly["status"], partly["counts"]) == ("delivered", {"executed": 1, "in_file": 2})
    assert rest["status"] == "executed"


def test_a_return_takes_two_people_and_makes_the_line_payable_once(house: House, clock: FakeClock) -> None:
    """Money that came back can be paid again by a new act, under a new id."""
    second = house.second_person()
    batch = house.delivered()
    clock.forward(days=7)
    house.boss.post(_path(batch, "statements"), {"statement": "executed", "reason": "r"})
    line = house.transfers(batch["id"])[0]
    path = f"/v1/transfers/{line['id']}/return"

    one = house.boss.post(path, {"reason": "Account closed", "reason_code": "AC04"})
    two = second.post(path, {"reason": "Account closed", "reason_code": "AC04"})
    follow_up = house.boss.post("/v1/follow-up-batches", {"transfer_ids": [line["id"]]})
    twice = house.boss.post("/v1/follow-up-batches", {"transfer_ids": [line["id"]]})

    assert (one.status_code, two.status_code) == (202, 201)
    assert house.transfers(batch["id"])[0]["status"] == "returned"
    assert (follow_up.status_code, twice.status_code) == (201, 422)
    assert house.transfers(follow_up.json()["id"])[0]["end_to_end_id"] != line["end_to_end_id"]
    assert house.batch(batch["id"])["status"] == "executed"


def test_a_different_proposal_on_the_same_thing_is_a_conflict(house: House) -> None:
    """Two people confirm one and the same thing, or nothing."""
    second = house.second_person()
    batch = house.delivered()
    house.boss.post(_path(batch, "statements"), {"statement": "refused", "reason": "r"})
    first = house.transfers(batch["id"])[0]["id"]

    other = second.post(_path(batch, "statements"), {"statement": "refused", "reason": "r", "transfer_ids": [first]})

    assert (other.status_code, other.json()["code"]) == (409, "another_proposal_open")


def test_a_withdrawn_proposal_does_nothing(house: House) -> None:
    """What was asked for can be taken back; the second person then begins anew."""
    second = house.second_person()
    batch = house.delivered()
    said = {"statement": "refused", "reason": "r"}
    asked = house.boss.post(_path(batch, "statements"), said).json()

    gone = house.boss.call("DELETE", f"/v1/proposals/{asked['id']}")
    after = second.post(_path(batch, "statements"), said)

    assert (gone.json()["outcome"], after.status_code) == ("withdrawn", 202)


def test_a_confirmation_does_what_was_proposed(house: House) -> None:
    """The second person can confirm a proposal by its id."""
    second = house.second_person()
    batch = house.delivered()
    asked = house.boss.post(_path(batch, "statements"), {"statement": "refused", "reason": "r"}).json()

    shown = second.get("/v1/proposals").json()
    done = second.post(f"/v1/proposals/{asked['id']}/confirmation")

    assert [each["id"] for each in shown] == [asked["id"]]
    assert (done.status_code, done.json()["outcome"]) == (201, "applied")
    assert house.batch(batch["id"])["status"] == "refused"


def test_a_hold_of_a_person_is_lifted_by_one_of_the_service_by_two(house: House, ctx: Context) -> None:
    """Who placed a hold decides how many lift it."""
    second = house.second_person()
    batch = house.uploaded_batch()
    mine = house.boss.post(_path(batch, "holds"), {"reason": "Wait for the auditor."}).json()["holds"][0]
    lifted = house.boss.post(_path(batch, f"holds/{mine['id']}/lifting"), {"reason": "Heard."})
    with transaction(ctx.engine) as session:
        row = session.get_one(PaymentBatch, UUID(batch["id"]))
        holds.place(ctx, session, row, code="run_withdrawn", reason="Undone at the source.")
    theirs = house.batch(batch["id"])["holds"][0]

    one = house.boss.post(_path(batch, f"holds/{theirs['id']}/lifting"), {"reason": "Is right."})
    barred = house.boss.approve(house.batch(batch["id"]))
    two = second.post(_path(batch, f"holds/{theirs['id']}/lifting"), {"reason": "Is right."})

    assert (lifted.status_code, lifted.json()["holds"]) == (201, [])
    assert (one.status_code, barred.json()["code"], two.json()["holds"]) == (202, "held", [])


def test_who_confirms_a_moment_too_late_hears_that_it_is_done(house: House, ctx: Context) -> None:
    """What was asked for can no longer be done because somebody just did it: that is what is said."""
    second, third = house.second_person(), house.second_person("third")
    batch = house.uploaded_batch()
    with transaction(ctx.engine) as session:
        row = session.get_one(PaymentBatch, UUID(batch["id"]))
        holds.place(ctx, session, row, code="run_withdrawn", reason="Undone at the source.")
    hold = house.batch(batch["id"])["holds"][0]["id"]
    asked = house.boss.post(_path(batch, f"holds/{hold}/lifting"), {"reason": "Is right."}).json()

    with transaction(ctx.engine) as session:
        seen = session.get_one(Proposal, UUID(asked["id"]))  # as the one who comes too late saw it
        done = second.post(f"/v1/proposals/{asked['id']}/confirmation")
        assert seen.ended_at is None
        too_late = people.authenticate(session, third.token, now=ctx.now())
        with pytest.raises(Conflict, match="applied already"):
            two_people.confirm(ctx, session, too_late, UUID(asked["id"]))

    assert done.status_code == 201


def test_a_changed_link_waits_for_a_second_admin_or_a_day(house: House, ctx: Context, clock: FakeClock) -> None:
    """Another account for an administration is no one person's decision at once."""
    account = add_account(house.boss, house.employer_id, iban="NL39RABO0300065264")

    asked = link(house.boss, house.administration_id, house.employer_id, account)
    now = _linked_account(house)
    clock.forward(hours=25)
    two_people.apply_due(ctx)

    assert (asked.status_code, now) == (202, house.account_id)
    assert _linked_account(house) == account


def test_a_second_admin_changes_the_link_at_once(house: House) -> None:
    """With two admins nobody waits."""
    second = house.second_person("admin2", Role.ADMIN)
    account = add_account(house.boss, house.employer_id, iban="NL39RABO0300065264")

    answers = [link(each, house.administration_id, house.employer_id, account) for each in (house.boss, second)]

    assert [answer.status_code for answer in answers] == [202, 200]
    assert _linked_account(house) == account


def _linked_account(house: House) -> str:
    rows = house.boss.get(f"/v1/connections/{house.connection_id}/administrations").json()
    return str(rows[0]["link"]["debtor_account_id"])


def test_a_new_approver_waits_for_a_second_admin_or_a_day(house: House, ctx: Context, clock: FakeClock) -> None:
    """Nobody makes an accomplice an approver within the day."""
    body = {"email": "deputy@jansen.example", "name": "Deputy", "role": "approver", "ends_on": "2026-12-31"}

    asked = house.boss.post(f"/v1/employers/{house.employer_id}/members", body)
    before = house.boss.get(f"/v1/employers/{house.employer_id}/approval-policy").json()["approvers"]
    clock.forward(hours=25)
    two_people.apply_due(ctx)
    after = house.boss.get(f"/v1/employers/{house.employer_id}/approval-policy").json()["approvers"]
    clock.forward(days=60)
    ended = house.boss.get(f"/v1/employers/{house.employer_id}/approval-policy").json()["approvers"]

    assert (asked.status_code, before, after, ended) == (202, 1, 2, 1)


@pytest.mark.parametrize("role", ["admin", "approver", "auditor"])
def test_removing_a_role_waits_too(house: House, ctx: Context, clock: FakeClock, role: str) -> None:
    """A role is taken away by two admins, or after a day."""
    person = house.second_person("leaver", Role(role))
    path = f"/v1/employers/{house.employer_id}/members/{person.id}"

    asked = house.boss.call("DELETE", path, params={"role": role})
    clock.forward(hours=25)
    two_people.apply_due(ctx)
    left = {each["email"] for each in house.boss.get(f"/v1/employers/{house.employer_id}/members").json()}

    assert asked.status_code == 202
    assert person.email not in left


def test_the_last_admin_cannot_ask_to_leave(house: House) -> None:
    """It could not be done when its day is over, so it is refused when it is asked."""
    path = f"/v1/employers/{house.employer_id}/members/{house.boss.id}"

    refused = house.boss.call("DELETE", path, params={"role": "admin"})

    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert house.boss.get("/v1/proposals").json() == []


def test_a_role_is_not_asked_for_a_day_that_is_over(house: House) -> None:
    """A deputy whose last day was yesterday would never be one; today is possible."""
    body = {"email": "deputy@jansen.example", "name": "Deputy", "role": "approver"}
    path = f"/v1/employers/{house.employer_id}/members"

    refused, asked = (house.boss.post(path, {**body, "ends_on": day}) for day in ("2026-11-17", "2026-11-18"))

    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/ends_on")
    assert asked.status_code == 202


@pytest.mark.parametrize("how", ["a day", "another admin"])
def test_settings_asked_by_who_is_no_admin_any_more_do_not_count(
    house: House, ctx: Context, clock: FakeClock, how: str
) -> None:
    """Still an approver, but no admin: about settings this person does not decide any more."""
    asker = house.second_person("asker", Role.ADMIN, Role.APPROVER)
    path = f"/v1/employers/{house.employer_id}/approval-policy"
    tiers = [{"tiers": [{"from": {"amount": "0.00"}, "required": count}]} for count in (2, 1)]
    assert house.boss.call("PUT", path, json=tiers[0]).status_code == 200
    assert asker.call("PUT", path, json=tiers[1]).status_code == 202
    with transaction(ctx.engine) as session:
        people.end_membership(session, act(ctx), user_id=asker.id, organization_id=house.employer_id, role=Role.ADMIN)

    if how == "a day":
        clock.forward(hours=25)
        two_people.apply_due(ctx)
    else:
        assert house.boss.call("PUT", path, json=tiers[1]).status_code == 202

    assert house.boss.get(path).json()["tiers"][0]["required"] == 2


@pytest.mark.parametrize("before", [None, 1])
def test_tiers_that_are_looser_than_those_of_this_moment_wait(house: House, ctx: Context, before: int | None) -> None:
    """Two admins at once: whoever comes second is judged against what the first one set."""
    other = house.second_person("admin2", Role.ADMIN)
    path = f"/v1/employers/{house.employer_id}/approval-policy"
    if before is not None:
        assert house.boss.call("PUT", path, json=_tiers(before)).status_code == 200

    with ThreadPoolExecutor(1) as pool:
        with transaction(ctx.engine) as session:
            people.lock_people(session, house.employer_id)
            asker = people.authenticate(session, house.boss.token, now=ctx.now()).as_history()
            policies.store_tiers(ctx, session, house.employer_id, [{"from_cents": 0, "required": 3}], asker)
            session.flush()
            asking = pool.submit(other.call, "PUT", path, json=_tiers(2))
            until_somebody_waits(ctx.engine)

        assert asking.result().status_code == 202
    assert house.boss.get(path).json()["tiers"][0]["required"] == 3


def _tiers(required: int) -> dict[str, Any]:
    return {"tiers": [{"from": {"amount": "0.00"}, "required": required}]}


def test_terms_that_are_shorter_than_those_of_this_moment_wait(house: House, ctx: Context) -> None:
    """What one admin just made longer is not made shorter again by another who had not seen it."""
    other = house.second_person("admin2", Role.ADMIN)
    path = f"/v1/employers/{house.employer_id}/retention"

    with ThreadPoolExecutor(1) as pool:
        with transaction(ctx.engine) as session:
            people.lock_people(session, house.employer_id)
            asker = people.authenticate(session, house.boss.token, now=ctx.now()).as_history()
            longer = retention.Terms(lines_months=240, sources_months=13)
            retention.store_terms(ctx, session, house.employer_id, longer, asker)
            session.flush()
            asking = pool.submit(other.call, "PUT", path, json={"lines_months": 100, "sources_months": 13})
            until_somebody_waits(ctx.engine)

        assert asking.result().status_code == 202
    assert house.boss.get(path).json()["lines_months"] == 240


def test_the_last_admin_stays(house: House, ctx: Context, clock: FakeClock) -> None:
    """Nobody locks an employer out of its own house: the proposal ends undone."""
    house.boss.call("DELETE", f"/v1/employers/{house.employer_id}/members/{house.boss.id}", params={"role": "admin"})
    clock.forward(hours=25)

    assert two_people.apply_due(ctx) == 0
    assert house.boss.get("/v1/proposals").json() == []
    assert house.boss.get(f"/v1/employers/{house.employer_id}/members").status_code == 200


def test_what_is_asked_of_another_tenant_does_not_exist(house: House, other_house: House) -> None:
    """Ids in bodies are checked like ids in addresses."""
    batch = house.uploaded_batch(document(lines(3)))
    line = house.transfers(batch["id"])[0]["id"]

    several = other_house.boss.post(
        "/v1/approvals", {"items": [{"batch_id": batch["id"], "digest": batch["digest"]}], "pin": "271828"}
    )
    follow_up = other_house.boss.post("/v1/follow-up-batches", {"transfer_ids": [line]})

    assert several.status_code == 404
    assert (follow_up.status_code, follow_up.json()["errors"][0]["code"]) == (422, "not_unpaid")


def test_clients_stay_apart(client: TestClient) -> None:
    """The routes of two people need a token like all others."""
    assert client.get("/v1/proposals").status_code == 401


def test_rejecting_and_offering_again_is_no_way_round_two_people(house: House) -> None:
    """A line that came after an approval waits for two people in the next batch too, whoever ended the first."""
    run = {"year": 2026, "period": 11, "run_number": 1}
    house.approved(document(lines(2)), **run)
    late = house.upload(document(lines(3)), **run).json()
    first = house.batch(late["payment_batch_ids"][-1])
    house.boss.post(_path(first, "rejection"), {"reason": "r"}, headers={"If-Match": '"r1"'})

    again = house.boss.post(f"/v1/payroll-runs/{late['id']}/batches").json()

    assert (first["counts"], again["counts"]) == ({"held": 1}, {"held": 1})
    assert house.transfers(again["id"])[0]["hold_code"] == "run_changed_after_approval"


def test_a_late_line_that_went_and_came_back_still_waits(house: House) -> None:
    """Taken out of the run and put in again, a line that came after an approval is not paid by one person either."""
    run = {"year": 2026, "period": 11, "run_number": 1}
    house.approved(document(lines(2)), **run)
    late = house.upload(document(lines(3)), **run).json()["payment_batch_ids"][-1]
    house.upload(document(lines(2)), **run)
    gone = house.transfers(late)[0]

    house.upload(document(lines(3)), **run)
    back = house.transfers(late)[0]

    assert (gone["status"], gone["hold_code"]) == ("excluded", "gone_at_source")
    assert (back["status"], back["hold_code"]) == ("held", "run_changed_after_approval")


@pytest.mark.parametrize("of", ["this batch", "the batch before"])
def test_a_late_line_does_not_replace_itself(house: House, of: str) -> None:
    """Under its id of another batch either: it would be closed as not owed and offered for payment at once."""
    second = house.second_person()
    run = {"year": 2026, "period": 11, "run_number": 1}
    house.approved(document(lines(2)), **run)
    late = house.upload(document(lines(3)), **run).json()
    first = house.batch(late["payment_batch_ids"][-1])
    house.boss.post(_path(first, "rejection"), {"reason": "r"}, headers={"If-Match": '"r1"'})
    again = house.boss.post(f"/v1/payroll-runs/{late['id']}/batches").json()
    itself = {"this batch": again, "the batch before": first}[of]
    body = {"reason": "r", "replaces": house.transfers(itself["id"])[0]["id"], "additional": False}
    path = _path(again, f"transfers/{house.transfers(again['id'])[0]['id']}/release")

    answers = [person.post(path, body) for person in (house.boss, second)]

    assert [(each.status_code, each.json()["errors"][0]["code"]) for each in answers] == [(422, "replaces_itself")] * 2
    assert house.transfers(again["id"])[0]["status"] == "held"


def test_what_cannot_be_judged_now_waits_on(house: House, ctx: Context, clock: FakeClock) -> None:
    """A key that is missing for an hour does not end what waited for a day: it is done when the key is back."""
    run = {"year": 2026, "period": 11, "run_number": 1}
    batch = house.approved(document(lines(2)), **run)
    house.handed_out(batch["id"])
    house.upload(document(lines(3)), **run)
    house.boss.post(_path(batch, "withdrawals"), {"reason": "Not read in."})
    clock.forward(hours=25)

    with ctx.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE source_reading SET raw_sealed = raw_sealed || '\\x00'::bytea")
    unreadable, waiting = two_people.apply_due(ctx), len(house.boss.get("/v1/proposals").json())
    with ctx.engine.begin() as connection:
        whole = "substring(raw_sealed from 1 for length(raw_sealed) - 1)"
        connection.exec_driver_sql(f"UPDATE source_reading SET raw_sealed = {whole}")

    assert (unreadable, waiting) == (0, 1)
    assert two_people.apply_due(ctx) == 1
    assert house.batch(batch["id"])["status"] == "pending"


def test_a_hold_that_is_about_more_by_now_is_not_lifted_for_what_it_was_about(
    house: House, ctx: Context, clock: FakeClock
) -> None:
    """One line had gone at the source when somebody looked; a second one goes while that person waits for a day."""
    run = {"year": 2026, "period": 11, "run_number": 1}
    batch = house.approved(document(lines(3)), **run)
    house.upload(document(lines(2)), **run)
    (hold,) = house.batch(batch["id"])["holds"]
    asked = house.boss.post(_path(batch, f"holds/{hold['id']}/lifting"), {"reason": "That one left, and is paid."})

    house.upload(document(lines(1)), **run)
    house.upload(document(lines(1)), **run)
    clock.forward(hours=25)

    assert (asked.status_code, two_people.apply_due(ctx)) == (202, 0)
    (after,) = house.batch(batch["id"])["holds"]
    assert (hold["reason"][:8], after["reason"][:8]) == ("1 lines ", "2 lines ")
    assert house.events().count("batch.held") == 2


def test_a_late_line_that_a_follow_up_pays_is_not_set_free_in_its_first_batch(house: House) -> None:
    """Two people set it free in the follow-up that pays it; in the batch that is recalled afterwards nobody does."""
    second = house.second_person()
    run = {"year": 2026, "period": 11, "run_number": 1}
    house.approved(document(lines(2)), **run)
    late = house.upload(document(lines(4)), **run).json()["payment_batch_ids"][-1]
    additional = {"reason": "Both are owed", "additional": True}

    def set_free(batch_id: str, line: str) -> list[Any]:
        path = f"/v1/payment-batches/{batch_id}/transfers/{line}/release"
        return [person.post(path, additional) for person in (house.boss, second)]

    def approve(batch_id: str) -> None:
        house.acknowledge_all(house.batch(batch_id))
        for person in (house.boss, second):
            if house.batch(batch_id)["status"] == "pending":
                assert person.approve(house.batch(batch_id)).status_code == 201
        assert house.batch(batch_id)["status"] == "approved"

    first, other = (each["id"] for each in house.transfers(late))
    assert set_free(late, first)[-1].status_code == 201
    approve(late)
    follow_up = house.boss.post("/v1/follow-up-batches", {"transfer_ids": [other]}).json()["id"]
    assert set_free(follow_up, house.transfers(follow_up)[0]["id"])[-1].status_code == 201
    approve(follow_up)
    recalled = [house.boss, second]
    while house.batch(late)["status"] == "approved":
        recalled.pop().call("DELETE", f"/v1/payment-batches/{late}/approvals/mine")

    answers = set_free(late, other)

    assert [(each.status_code, each.json()["code"]) for each in answers] == [(409, "already_claimed")] * 2
    assert answers[0].json()["payment_batch_id"] == follow_up


def _corrected(house: House, nothing: str) -> tuple[dict[str, Any], str, Any]:
    """Approve a run in which one line pays nothing, and read it again with that line as it should be.

    Return the batch of the late line, the path that sets it free, and the line of nothing.
    """
    run = {"year": 2026, "period": 11, "run_number": 1}
    first, second = lines(2)
    approved = house.approved(document([first, replace(second, amount=nothing)]), **run)
    late = house.upload(document([first, replace(second, amount="1800.00")]), **run).json()["payment_batch_ids"][-1]
    (wrong,) = [each for each in house.transfers(approved["id"]) if each["status"] == "invalid"]
    (corrected,) = house.transfers(late)
    return house.batch(late), _path({"id": late}, f"transfers/{corrected['id']}/release"), wrong


@pytest.mark.parametrize("amount", ["0.00", "-12.50"])
def test_a_late_line_replaces_one_of_nothing_or_less(house: House, amount: str) -> None:
    """What stood there by mistake is closed as not owed, and the corrected line is paid."""
    second = house.second_person()
    late, path, wrong = _corrected(house, amount)
    body = {"reason": "Corrected", "replaces": wrong["id"], "additional": False}

    asked, done = (person.post(path, body) for person in (house.boss, second))

    assert (asked.status_code, done.status_code) == (202, 201), done.text
    assert house.batch(late["id"])["counts"] == {"payable": 1}
    assert house.boss.get(f"/v1/payment-batches/{_batch_before(house, late)}").json()["counts"]["waived"] == 1


def _batch_before(house: House, late: dict[str, Any]) -> str:
    (found,) = [each["id"] for each in house.boss.get("/v1/payment-batches").json() if each["id"] != late["id"]]
    return str(found)


def test_a_firm_of_one_person_replaces_a_line_of_nothing_after_a_day(
    house: House, ctx: Context, clock: FakeClock
) -> None:
    """The tick does it, and what comes after it."""
    late, path, wrong = _corrected(house, "0.00")
    house.boss.post(path, {"reason": "Corrected", "replaces": wrong["id"], "additional": False})
    clock.forward(hours=25)

    work(ctx).tick()

    assert house.batch(late["id"])["counts"] == {"payable": 1}
    assert "history.sealed" in house.events()


@pytest.mark.parametrize("error", ["IntegrityError", "KeyError"])
def test_a_proposal_that_cannot_be_applied_stops_no_other(
    house: House, other_house: House, ctx: Context, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    """What nobody foresaw of one employer is told in the log, by its kind alone; that of others is done."""
    mine, theirs = (_handed_out(each)["id"] for each in (house, other_house))
    for each, batch in ((house, mine), (other_house, theirs)):
        each.boss.post(_path({"id": batch}, "withdrawals"), {"reason": "Not read in."})
    clock.forward(hours=25)
    withdraw = reopening.withdraw_file

    def refused(ctx: Context, session: Session, batch_id: UUID, *more: Any, **named: Any) -> PaymentBatch:
        if str(batch_id) == mine and error == "KeyError":
            raise KeyError("revision")
        if str(batch_id) == mine:
            session.execute(sa.text("UPDATE payment_batch SET revision = 0 WHERE id = :id"), {"id": batch_id})
        return withdraw(ctx, session, batch_id, *more, **named)

    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr(reopening, "withdraw_file", refused)
        work(ctx).tick()
    meanwhile = [house.batch(mine)["status"], other_house.batch(theirs)["status"]]
    work(ctx).tick()

    told = [each for each in logs if each["event"] == "proposal_not_applied"]
    assert [(each["error"], "revision" in str(each)) for each in told] == [(error, False)]
    assert meanwhile == ["approved", "pending"]
    assert house.batch(mine)["status"] == "pending"


def test_a_part_of_the_tick_that_fails_stops_no_other(
    ctx: Context, house: House, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Polls that fail keep nothing from being done or sealed; the log names the part, and the tick has failed."""
    batch = _handed_out(house)
    house.boss.post(_path(batch, "withdrawals"), {"reason": "Not read in."})
    clock.forward(hours=25)

    def fails(_: Context) -> None:
        raise ValueError("NL91ABNA0417164300")

    monkeypatch.setattr(syncing, "tick", fails)
    with capture_logs() as logs, pytest.raises(TickIncomplete, match=r"^poll$"):
        work(ctx).tick()

    told = [each for each in logs if each["event"] == "tick_part_failed"]
    assert [(each["part"], each["error"], "ABNA" in str(each)) for each in told] == [("poll", "ValueError", False)]
    assert house.batch(batch["id"])["status"] == "pending"
    assert "history.sealed" in house.events()
