"""Approvals by several people: tiers, four eyes, soft limits, programs, changed PINs, sources that do not answer."""

from dataclasses import replace
from typing import Any

import pytest

from app.auth import people
from app.auth.models import Role, Scope
from app.core.database import transaction
from app.payments import accounts
from app.payments.context import Context
from tests.contracts.fake_source import FakePayroll, right_missing, unreachable
from tests.support.clock import FakeClock
from tests.support.house import PIN, House, Person, act, document, lines, link
from tests.support.jobs import work_off


def _tiers(house: House, *tiers: tuple[str, int], by: Person | None = None) -> Any:
    body = {"tiers": [{"from": {"amount": amount}, "required": required} for amount, required in tiers]}
    return (by or house.boss).call("PUT", f"/v1/employers/{house.employer_id}/approval-policy", json=body)


def test_the_tier_of_the_amount_says_how_many_approve(house: House) -> None:
    """7,503 euros is over 5,000: the first approval counts and is not enough, the second completes it."""
    second = house.second_person()
    assert _tiers(house, ("0.00", 1), ("5000.00", 2)).status_code == 200
    batch = house.uploaded_batch()

    first = house.boss.approve(batch)
    then = second.approve(house.batch(batch["id"]))

    assert (batch["required_approvals"], batch["approval_reasons"]) == (2, ["tier"])
    assert (first.status_code, first.json()["status"], len(first.json()["approvals"])) == (201, "pending", 1)
    assert (then.status_code, then.json()["status"]) == (201, "approved")


def test_one_person_never_approves_twice(house: House) -> None:
    """The second approval of the same person is a conflict, with whatever token."""
    house.second_person()
    _tiers(house, ("0.00", 2))
    batch = house.uploaded_batch()
    house.boss.approve(batch)

    again = house.boss.approve(batch)

    assert (again.status_code, again.json()["code"]) == (409, "already_approved_by_you")


def test_splitting_a_run_escapes_no_tier(house: House) -> None:
    """The tier counts what else is live for the same run, or for the same account and date."""
    house.second_person()
    _tiers(house, ("0.00", 1), ("10000.00", 2))
    first = house.uploaded_batch(document(lines(3)), year=2026, period=11, run_number=1)
    house.boss.approve(first)
    other = house.uploaded_batch(document(lines(3, cents=260_000)), year=2026, period=11, run_number=2)
    for finding in house.findings(other["id"]):
        if finding["needs_acknowledgement"]:
            house.boss.post(f"/v1/payment-batches/{other['id']}/findings/{finding['id']}/acknowledgement")

    answer = house.boss.approve(house.batch(other["id"]))

    assert (first["required_approvals"], answer.json()["required_approvals"]) == (1, 2)
    assert answer.json()["status"] == "pending"


def test_an_edit_voids_the_approvals_so_far(house: House) -> None:
    """What the second person approves is what the first approved, or the first approves again."""
    second = house.second_person()
    _tiers(house, ("0.00", 2))
    batch = house.uploaded_batch()
    house.boss.approve(batch)
    house.boss.call(
        "PATCH",
        f"/v1/payment-batches/{batch['id']}",
        json={"requested_execution_date": "2026-11-26"},
        headers={"If-Match": '"r1"'},
    )

    stale = second.approve(batch)
    fresh = second.approve(house.batch(batch["id"]))

    assert (stale.status_code, fresh.json()["status"], len(fresh.json()["approvals"])) == (412, "pending", 1)


def test_who_edited_last_is_not_the_only_approver(house: House) -> None:
    """Four eyes: an editor's approval counts, and another person's is needed beside it."""
    second = house.second_person()
    batch = house.uploaded_batch()
    house.boss.call(
        "PATCH",
        f"/v1/payment-batches/{batch['id']}",
        json={"requested_execution_date": "2026-11-26"},
        headers={"If-Match": '"r1"'},
    )
    edited = house.batch(batch["id"])

    mine = house.boss.approve(edited)
    theirs = second.approve(house.batch(batch["id"]))

    assert edited["approval_reasons"] == ["four_eyes"]
    assert (mine.status_code, mine.json()["status"]) == (201, "pending")
    assert theirs.json()["status"] == "approved"


def test_leaving_a_line_out_is_no_edit_for_four_eyes(house: House) -> None:
    """Excluding can pay nobody: one approver may do it alone."""
    house.second_person()
    batch = house.uploaded_batch()
    line = house.transfers(batch["id"])[0]
    house.boss.call(
        "PATCH",
        f"/v1/payment-batches/{batch['id']}/transfers/{line['id']}",
        json={"decision": "exclude", "reason": "Later"},
        headers={"If-Match": '"r1"'},
    )

    assert house.boss.approve(house.batch(batch["id"])).json()["status"] == "approved"


def _leave_out(house: House, batch: dict[str, Any]) -> str:
    """Exclude the second line of a batch and return its id."""
    line = str(house.transfers(batch["id"])[1]["id"])
    answer = house.boss.call(
        "PATCH",
        f"/v1/payment-batches/{batch['id']}/transfers/{line}",
        json={"decision": "exclude", "reason": "Later"},
        headers={"If-Match": f'"r{batch["revision"]}"'},
    )
    assert answer.status_code == 200
    return line


def test_who_offers_a_line_again_that_was_left_out_does_not_approve_it_alone(house: House) -> None:
    """A follow-up batch is a putting back, and perhaps another date: an edit for four eyes."""
    second = house.second_person()
    batch = house.uploaded_batch()
    line = _leave_out(house, batch)
    house.boss.approve(house.batch(batch["id"]))
    follow_up = house.boss.post("/v1/follow-up-batches", {"transfer_ids": [line]}).json()

    mine = house.boss.approve(follow_up).json()
    theirs = second.approve(house.batch(follow_up["id"])).json()

    assert (mine["status"], theirs["status"]) == ("pending", "approved")


@pytest.mark.parametrize("corrected", [False, True], ids=["as it was", "with a corrected line that waits already"])
def test_ending_a_batch_and_offering_its_run_again_is_a_putting_back(house: House, *, corrected: bool) -> None:
    """The new batch pays the line that people had left out: who offers it again is not its only approver."""
    second, named = house.second_person(), {"year": 2026, "period": 11, "run_number": 1}
    batch = house.uploaded_batch(document(lines(3)), **named)
    _leave_out(house, batch)
    ended = house.boss.post(
        f"/v1/payment-batches/{batch['id']}/cancellation", {"reason": "r"}, headers={"If-Match": '"r2"'}
    )
    assert ended.status_code == 200
    if corrected:
        first, *others = lines(3)
        house.upload(document([replace(first, amount="2501.00"), *others]), **named)
    run = house.boss.get("/v1/payroll-runs").json()[0]["id"]
    again = house.boss.post(f"/v1/payroll-runs/{run}/batches").json()
    house.acknowledge_all(again)

    mine = house.boss.approve(again).json()
    theirs = second.approve(house.batch(again["id"])).json()

    assert (again["counts"], mine["status"], theirs["status"]) == ({"payable": 3}, "pending", "approved")


def test_a_firm_of_one_person_is_shown_as_such(house: House) -> None:
    """Who is alone approves alone, also their own edit; batch and history say so."""
    batch = house.uploaded_batch()
    house.boss.call(
        "PATCH",
        f"/v1/payment-batches/{batch['id']}",
        json={"requested_execution_date": "2026-11-26"},
        headers={"If-Match": '"r1"'},
    )
    approved = house.boss.approve(house.batch(batch["id"]))
    told = house.boss.get(f"/v1/payment-batches/{batch['id']}/history").json()[0]

    assert (batch["one_person_firm"], approved.json()["status"]) == (True, "approved")
    assert told["facts"]["details"]["one_person_firm"] is True


def test_over_a_soft_limit_one_more_approves(house: House) -> None:
    """The first approval is 201 and still pending, with the reason; exactly on the limit nobody is asked."""
    second = house.second_person()
    body = {"per_batch": {"amount": "50000.00"}, "soft_per_batch": {"amount": "7502.99"}}
    path = f"/v1/debtor-accounts/{house.account_id}/payment-limit"
    house.boss.call("PUT", path, json=body)
    batch = house.uploaded_batch()

    first = house.boss.approve(batch)
    then = second.approve(house.batch(batch["id"]))

    assert (first.status_code, first.json()["status"], first.json()["approval_reasons"]) == (
        201,
        "pending",
        ["over_soft_limit"],
    )
    assert then.json()["status"] == "approved"
    assert batch["limit"]["per_batch"]["soft_limit"]["amount"] == "7502.99"


def test_a_raise_that_ends_leaves_the_limit_before_it(house: House, clock: FakeClock) -> None:
    """A limit raised until a day is the old one the day after."""
    admin = house.second_person("admin2", Role.ADMIN)
    path = f"/v1/debtor-accounts/{house.account_id}/payment-limit"
    raised = {"per_batch": {"amount": "90000.00"}, "ends_on": "2026-11-30"}
    answers = [person.call("PUT", path, json=raised) for person in (house.boss, admin)]

    during = house.boss.get(path).json()["per_batch"]["limit"]["amount"]
    clock.forward(days=14)
    after = house.boss.get(path).json()["per_batch"]["limit"]["amount"]

    assert [answer.status_code for answer in answers] == [202, 200]
    assert (during, after) == ("90000.00", "50000.00")


def _limit(house: House, person: Person, amount: str, **more: str) -> int:
    path = f"/v1/debtor-accounts/{house.account_id}/payment-limit"
    return person.call("PUT", path, json={"per_batch": {"amount": amount}, **more}).status_code


def _limit_now(house: House) -> str:
    path = f"/v1/debtor-accounts/{house.account_id}/payment-limit"
    return str(house.boss.get(path).json()["per_batch"]["limit"]["amount"])


def test_one_person_makes_no_lasting_limit_of_a_raise_that_ends(house: House, clock: FakeClock) -> None:
    """Less than what is in force today, for longer than it is in force, is a raise: it waits for a second person."""
    admin = house.second_person("admin2", Role.ADMIN)
    for person in (house.boss, admin):
        _limit(house, person, "90000.00", ends_on="2026-11-30")

    tried = [_limit(house, house.boss, "89999.00"), _limit(house, house.boss, "89999.00", ends_on="2026-12-31")]
    done = _limit(house, house.boss, "80000.00", ends_on="2026-11-28")
    between = _limit_now(house)
    clock.forward(days=14)

    assert (tried, done, between) == ([202, 202], 200, "80000.00")
    assert _limit_now(house) == "50000.00"


def test_a_lowering_that_ends_first_gives_no_more_than_it_found(house: House, clock: FakeClock) -> None:
    """Lowered until the 30th and, within that, lowered until the 28th: on the 29th the first lowering holds still."""
    _limit(house, house.boss, "1000.00", ends_on="2026-11-30")
    _limit(house, house.boss, "900.00", ends_on="2026-11-28")
    clock.forward(days=11)

    assert _limit_now(house) == "1000.00"


def test_a_raise_asked_by_somebody_who_left_is_none(house: House, ctx: Context, clock: FakeClock) -> None:
    """Neither after its day nor with the word of another: who asked no longer decides there."""
    admin = house.second_person("admin2", Role.ADMIN)
    _limit(house, admin, "90000.00")
    with transaction(ctx.engine) as session:
        people.end_membership(session, act(ctx), user_id=admin.id, organization_id=house.employer_id, role=Role.ADMIN)

    clock.forward(hours=25)
    waited = _limit_now(house)
    settled = accounts.settle_raises(ctx)
    confirmed = _limit(house, house.boss, "90000.00")

    assert (waited, settled, confirmed, _limit_now(house)) == ("50000.00", 0, 202, "50000.00")
    assert house.events()[-2:] == ["limit.raise_ended", "limit.raise_asked"]


def test_a_raise_that_waited_stays_when_who_asked_leaves_later(house: House, ctx: Context, clock: FakeClock) -> None:
    """Once its day is over it is written down as the limit, and is nobody's wish any more."""
    admin = house.second_person("admin2", Role.ADMIN)
    _limit(house, admin, "90000.00")
    clock.forward(hours=25)
    settled = [accounts.settle_raises(ctx), accounts.settle_raises(ctx)]
    with transaction(ctx.engine) as session:
        people.end_membership(session, act(ctx), user_id=admin.id, organization_id=house.employer_id, role=Role.ADMIN)

    assert (settled, _limit_now(house)) == ([1, 0], "90000.00")
    assert house.events()[-2:] == ["limit.raised", "member.removed"]


def test_where_two_are_needed_one_of_them_is_no_program(house: House, ctx: Context) -> None:
    """Two unattended tokens are not two people at their desks; one of them and a person are enough."""
    programs = [_unattended(house.second_person(name), ctx) for name in ("first", "second")]
    _tiers(house, ("0.00", 2))
    batch = house.uploaded_batch()

    answers = [program.approve(house.batch(batch["id"])) for program in programs]
    person = house.boss.approve(house.batch(batch["id"]))

    assert [answer.json()["status"] for answer in answers] == ["pending", "pending"]
    assert person.json()["status"] == "approved"


def _unattended(person: Person, ctx: Context) -> Person:
    with transaction(ctx.engine) as session:
        user = people.find_user(session, person.email)
        issued = people.issue_token(session, act(ctx), user=user, scopes=frozenset(Scope), days=30, is_unattended=True)
        return Person(id=user.id, email=user.email, token=issued.token, client=person.client)


def test_a_pin_that_was_set_anew_approves_nothing_for_a_day(house: House, ctx: Context, clock: FakeClock) -> None:
    """Who resets a PIN cannot use it at once; the try stands in the history."""
    house.second_person()
    batch = house.uploaded_batch()
    _reset_pin(house.boss, ctx)

    refused = house.boss.approve(batch)
    clock.forward(hours=25)
    later = house.boss.approve(house.batch(batch["id"]))

    assert (refused.status_code, refused.json()["code"]) == (403, "pin_changed_recently")
    assert "approval.refused" in house.events()
    assert later.status_code == 201


def test_another_approver_confirms_a_changed_pin(house: House, ctx: Context) -> None:
    """With the word of another approver nobody waits; one's own word is not enough."""
    second = house.second_person()
    batch = house.uploaded_batch()
    _reset_pin(house.boss, ctx)
    path = f"/v1/employers/{house.employer_id}/members/{house.boss.id}/pin-confirmation"

    own = house.boss.post(path)
    other = second.post(path)

    assert (own.status_code, other.status_code) == (409, 201)
    assert house.boss.approve(batch).status_code == 201


def test_who_approves_elsewhere_confirms_no_pin_for_this_employer(
    house: House, other_house: House, ctx: Context
) -> None:
    """Whoever had a PIN reset cannot have it confirmed by an accomplice at an employer of their own."""
    house.second_person()
    batch = house.uploaded_batch()
    with transaction(ctx.engine) as session:
        boss = people.find_user(session, house.boss.email)
        people.add_membership(session, act(ctx), user=boss, organization_id=other_house.employer_id, role=Role.AUDITOR)
    _reset_pin(house.boss, ctx)

    elsewhere = other_house.boss.post(
        f"/v1/employers/{other_house.employer_id}/members/{house.boss.id}/pin-confirmation"
    )
    refused = house.boss.approve(batch)

    assert elsewhere.status_code == 201
    assert (refused.status_code, refused.json()["code"]) == (403, "pin_changed_recently")


def _reset_pin(person: Person, ctx: Context) -> None:
    with transaction(ctx.engine) as session:
        people.change_pin(
            session, act(ctx), user=people.find_user(session, person.email), pin=PIN, secret=ctx.identifier_secret
        )


def test_several_batches_are_approved_in_one_act_each_by_itself(house: House) -> None:
    """One that cannot be approved stops no other; each has its own answer."""
    first = house.uploaded_batch(document(lines(2)), year=2026, period=10, run_number=1)
    second = house.uploaded_batch(document(lines(3, cents=300_000)), year=2026, period=11, run_number=2)
    items = [{"batch_id": each["id"], "digest": each["digest"]} for each in (first, second)]
    items[1]["digest"] = "0" * 64

    answer = house.boss.post("/v1/approvals", {"items": items, "pin": PIN})

    outcomes = [(each["status"], each["problem"] and each["problem"]["code"]) for each in answer.json()["items"]]
    assert (answer.status_code, outcomes) == (200, [(201, None), (412, "batch_changed")])
    assert [house.batch(each["id"])["status"] for each in (first, second)] == ["approved", "pending"]


def test_one_that_was_approved_meanwhile_stops_no_other(house: House) -> None:
    """Another approver was first with one of two batches: the other is approved, and the answer tells them apart."""
    first = house.uploaded_batch(document(lines(2)), year=2026, period=10, run_number=1)
    second = house.uploaded_batch(document(lines(3, cents=300_000)), year=2026, period=11, run_number=2)
    assert house.second_person().approve(first).status_code == 201
    items = [{"batch_id": each["id"], "digest": each["digest"]} for each in (first, second)]

    answer = house.boss.post("/v1/approvals", {"items": items, "pin": PIN})

    outcomes = [(each["status"], each["problem"] and each["problem"]["code"]) for each in answer.json()["items"]]
    assert (answer.status_code, outcomes) == (200, [(409, "not_allowed_now"), (201, None)])
    assert house.batch(second["id"])["status"] == "approved"


def test_the_problem_of_one_of_several_says_as_much_as_alone(house: House, clock: FakeClock) -> None:
    """A date that is over is told with field, rule and remedy, as it is when a batch is approved by itself."""
    batch = house.uploaded_batch()
    clock.forward(days=10)
    items = [{"batch_id": batch["id"], "digest": batch["digest"]}]

    several = house.boss.post("/v1/approvals", {"items": items, "pin": PIN}).json()["items"][0]["problem"]

    assert several["errors"][0]["pointer"] == "/requested_execution_date"
    assert several == house.boss.approve(batch).json()


def test_a_wrong_pin_approves_none_of_several(house: House) -> None:
    """The PIN is checked once, before anything."""
    batch = house.uploaded_batch()
    items = [{"batch_id": batch["id"], "digest": batch["digest"]}]

    answer = house.boss.post("/v1/approvals", {"items": items, "pin": "314159"})

    assert (answer.status_code, answer.json()["code"]) == (403, "pin_incorrect")
    assert house.batch(batch["id"])["status"] == "pending"


def test_a_repeated_act_on_several_batches_gets_the_stored_answer(house: House) -> None:
    """The same key and body give the same answer; another body with the key is refused."""
    batch = house.uploaded_batch()
    body = {"items": [{"batch_id": batch["id"], "digest": batch["digest"]}], "pin": PIN}
    headers = {"Idempotency-Key": "several-1"}

    answers = [house.boss.post("/v1/approvals", body, headers=headers) for _ in range(2)]
    other = house.boss.post("/v1/approvals", {**body, "items": body["items"] * 2}, headers=headers)

    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("tiers", "code"),
    [
        ([("1.00", 1)], "tiers"),
        ([("0.00", 1), ("0.00", 2)], "tier_order"),
        ([("0.00", 2), ("100.00", 1)], "tier_order"),
    ],
)
def test_tiers_that_make_no_sense_are_refused(house: House, tiers: list[tuple[str, int]], code: str) -> None:
    """The first tier is from zero, amounts rise, and more money never needs fewer people."""
    answer = _tiers(house, *tiers)

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, code)


def test_stricter_tiers_hold_at_once_looser_ones_wait(house: House) -> None:
    """Nobody alone makes it easier to pay."""
    admin = house.second_person("admin2", Role.ADMIN)
    strict = _tiers(house, ("0.00", 2))
    stricter = _tiers(house, ("0.00", 3))
    looser = _tiers(house, ("0.00", 1))
    still = house.boss.get(f"/v1/employers/{house.employer_id}/approval-policy").json()["tiers"][0]["required"]
    confirmed = _tiers(house, ("0.00", 1), by=admin)

    assert [each.status_code for each in (strict, stricter, looser, confirmed)] == [200, 200, 202, 200]
    assert still == 3


# ------------------------------------------------------------------------------------ a source that does not answer


def _connected_batch(house: House, payroll: FakePayroll, ctx: Context) -> dict[str, Any]:
    bakery = payroll.add_administration("100")
    payroll.add_run(bakery, document=document(lines(3)))
    body = {
        "organization_id": str(house.employer_id),
        "kind": "nmbrs_soap",
        "username": payroll.credentials.username,
        "token": payroll.credentials.secret,
        "domain": payroll.credentials.domain,
    }
    connection = house.boss.post("/v1/connections", body).json()
    house.boss.post(f"/v1/connections/{connection['id']}/check")
    administration = house.boss.get(f"/v1/connections/{connection['id']}/administrations").json()[0]
    link(house.boss, administration["id"], house.employer_id, house.account_id)
    house.boss.post(f"/v1/administrations/{administration['id']}/sync")
    work_off(ctx)
    batch_id = house.boss.get("/v1/payment-batches").json()[0]["id"]
    house.acknowledge_all(house.batch(batch_id))
    return house.batch(batch_id)


def _approve(person: Person, batch: dict[str, Any], **more: Any) -> Any:
    return person.post(
        f"/v1/payment-batches/{batch['id']}/approvals",
        {"digest": batch["digest"], "pin": PIN, **more},
        headers={"If-Match": f'"r{batch["revision"]}"'},
    )


def test_an_unreachable_source_is_approved_without_by_name(
    house: House, payroll: FakePayroll, ctx: Context, clock: FakeClock
) -> None:
    """Silence stops the approval; saying by name that one approves without the source does it, for 24 hours."""
    batch = _connected_batch(house, payroll, ctx)
    payroll.fail("fetch_payments", unreachable())
    clock.forward(hours=1)

    silent = _approve(house.boss, batch)
    named = _approve(house.boss, batch, approve_without_source=True)

    assert (silent.status_code, silent.json()["code"]) == (503, "source_unreachable")
    assert (named.status_code, named.json()["status"]) == (201, "approved")
    assert named.json()["approvals"][0]["source_state"] == "unreachable"


def test_after_a_day_nothing_stands_in_for_the_source(
    house: House, payroll: FakePayroll, ctx: Context, clock: FakeClock
) -> None:
    """An equal reading of yesterday morning proves nothing any more."""
    batch = _connected_batch(house, payroll, ctx)
    payroll.fail("fetch_payments", unreachable())
    clock.forward(hours=25)

    answer = _approve(house.boss, batch, approve_without_source=True)

    assert (answer.status_code, answer.json()["code"]) == (503, "source_unreachable")
    assert house.batch(batch["id"])["approvals"] == []


def test_a_source_that_denies_us_asks_for_a_second_person(
    house: House, payroll: FakePayroll, ctx: Context, clock: FakeClock
) -> None:
    """A right that was taken away may be somebody hiding a change: two people approve without it."""
    second = house.second_person()
    batch = _connected_batch(house, payroll, ctx)
    payroll.fail("fetch_payments", right_missing())
    clock.forward(hours=1)

    first = _approve(house.boss, batch, approve_without_source=True)
    then = _approve(second, house.batch(batch["id"]), approve_without_source=True)

    assert (first.json()["status"], first.json()["approval_reasons"]) == ("pending", ["source_denied"])
    assert then.json()["status"] == "approved"


def test_a_later_difference_bars_the_hand_out(
    house: House, payroll: FakePayroll, ctx: Context, clock: FakeClock
) -> None:
    """Approved without the source: when it answers again and says something else, the file stays here."""
    batch = _connected_batch(house, payroll, ctx)
    payroll.fail("fetch_payments", unreachable())
    clock.forward(hours=1)
    _approve(house.boss, batch, approve_without_source=True)
    payroll.heal()
    payroll.set_only_document(document(lines(3, cents=250_001)))

    work_off(ctx)
    answer = house.boss.get(f"/v1/payment-batches/{batch['id']}/file")

    assert (answer.status_code, answer.json()["code"]) == (409, "held")


def test_a_run_that_must_be_locked_is_not_approved_before(house: House, payroll: FakePayroll, ctx: Context) -> None:
    """An employer may choose to pay locked runs only."""
    batch = _connected_batch(house, payroll, ctx)
    other = house.second_person("admin2", Role.ADMIN)
    for person in (house.boss, other):
        link(person, batch["administration"]["id"], house.employer_id, house.account_id, needs_locked_run=True)

    answer = _approve(house.boss, batch)

    assert (answer.status_code, answer.json()["code"]) == (409, "run_not_locked")
