"""What a batch says can be done with it: what is refused is not offered, and the reason is the refusal's code."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from app.auth import people
from app.auth.models import Role, Scope
from app.core.database import transaction
from app.payments import holds
from tests.contracts.fake_source import FakePayroll
from tests.support.clock import FakeClock
from tests.support.connected import connect
from tests.support.house import (
    PIN,
    WRONG_PIN,
    House,
    Person,
    act,
    add_account,
    add_person,
    document,
    lines,
)


def _reasons(batch: dict[str, Any], action: str) -> list[str]:
    (found,) = [each for each in batch["allowed_actions"] if each["action"] == action]
    assert found["allowed"] is (found["reasons"] == [])
    return list(found["reasons"])


def _held(house: House) -> dict[str, Any]:
    batch = house.uploaded_batch()
    house.boss.post(f"/v1/payment-batches/{batch['id']}/holds", {"reason": "Wait for the accountant"})
    return house.batch(batch["id"])


def _too_late(house: House, clock: FakeClock) -> dict[str, Any]:
    batch = house.uploaded_batch()
    clock.forward(days=10)
    return house.batch(batch["id"])


def _without_limit(house: House) -> dict[str, Any]:
    account = add_account(house.boss, house.employer_id, iban="NL39RABO0300065264", per_batch=None)
    return _moved_to(house, account)


def _moved_to(house: House, account: str) -> dict[str, Any]:
    batch = house.uploaded_batch()
    answer = house.boss.call(
        "PATCH",
        f"/v1/payment-batches/{batch['id']}",
        json={"debtor_account_id": account},
        headers={"If-Match": f'"r{batch["revision"]}"'},
    )
    assert answer.status_code == 200, answer.text
    house.acknowledge_all(batch)
    return house.batch(batch["id"])


def _suspended(house: House) -> dict[str, Any]:
    batch = house.uploaded_batch()
    answer = house.boss.call("PATCH", f"/v1/debtor-accounts/{house.account_id}", json={"state": "suspended"})
    assert answer.status_code == 200, answer.text
    return house.batch(batch["id"])


def _over_the_limit(house: House) -> dict[str, Any]:
    return house.uploaded_batch(document(lines(3, cents=2_000_000)))


def _one_line_over(house: House) -> dict[str, Any]:
    limit = {"per_transfer": {"amount": "2501.00"}, "per_batch": {"amount": "50000.00"}}
    answer = house.boss.call("PUT", f"/v1/debtor-accounts/{house.account_id}/payment-limit", json=limit)
    assert answer.status_code in {200, 202}, answer.text
    return house.uploaded_batch()


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (_held, "held"),
        (_without_limit, "limit_not_set"),
        (_suspended, "account_not_confirmed"),
        (_over_the_limit, "payment_limit_exceeded"),
        (_one_line_over, "payment_limit_exceeded"),
    ],
)
def test_an_approval_that_will_be_refused_is_not_offered(house: House, make: Any, code: str) -> None:
    """The batch says beforehand with which code an approval would be refused, and it is refused with that code."""
    batch = make(house)

    assert _reasons(batch, "approve") == [code]
    assert house.boss.approve(batch).json()["code"] == code


def test_a_date_that_is_over_is_told_before_approving(house: House, clock: FakeClock) -> None:
    """A batch whose pay day went by says so; with a possible date it can be approved."""
    batch = _too_late(house, clock)

    assert _reasons(batch, "approve") == ["execution_date_impossible"]
    assert house.boss.approve(batch).json()["code"] == "execution_date_impossible"
    assert _reasons(batch, "edit") == []


def test_a_run_that_must_be_locked_first_is_told(house: House, payroll: FakePayroll) -> None:
    """Where the employer asks for locked runs, an unlocked one says why it cannot be approved."""
    connected = connect(house, payroll, needs_locked_run=True)
    batch = connected.fetched(lines(2))

    assert _reasons(batch, "approve") == ["run_not_locked"]
    assert house.boss.approve(batch).json()["code"] == "run_not_locked"


def test_exactly_on_the_limit_is_offered(house: House) -> None:
    """50,000.00 of 50,000.00 fits, as it does when it is approved."""
    batch = house.uploaded_batch(document(lines(1, cents=5_000_000)))

    assert _reasons(batch, "approve") == []
    assert house.boss.approve(batch).status_code == 201


def test_a_file_that_will_not_be_handed_out_is_not_offered(house: House, clock: FakeClock) -> None:
    """A hold, and then a date that went by, bar the first hand-out; the batch says so with the refusals' codes."""
    batch = house.approved()
    path = f"/v1/payment-batches/{batch['id']}"
    house.boss.post(f"{path}/holds", {"reason": "Wait"})
    held = house.batch(batch["id"])
    refused = house.boss.get(f"{path}/file").json()["code"]
    house.boss.post(f"{path}/holds/{held['holds'][0]['id']}/lifting", {"reason": "Go"})
    clock.forward(days=10)

    late = house.batch(batch["id"])

    assert (_reasons(held, "hand_out"), refused) == (["held"], "held")
    assert _reasons(late, "hand_out") == ["execution_date_passed"]
    assert house.boss.get(f"{path}/file").json()["code"] == "execution_date_passed"
    assert (_reasons(late, "reissue"), _reasons(late, "recall")) == ([], [])


def test_nothing_is_offered_that_has_no_object(house: House) -> None:
    """No approval of one's own, no hold, no open question: there is nothing to recall, to lift or to confirm."""
    second = house.second_person("other", Role.ADMIN, Role.APPROVER)
    assert _two_approve(house).status_code == 200
    batch = house.uploaded_batch()

    before = {name: _reasons(batch, name) for name in ("recall", "lift_hold", "acknowledge")}
    house.boss.approve(batch)

    assert before == {
        "recall": ["not_approved_by_you"],
        "lift_hold": ["no_hold"],
        "acknowledge": ["nothing_to_acknowledge"],
    }
    assert _reasons(house.batch(batch["id"]), "approve") == ["already_approved_by_you"]
    assert _reasons(house.batch(batch["id"]), "recall") == []
    assert _reasons(_as_seen_by(second, batch["id"]), "recall") == ["not_approved_by_you"]


def _two_approve(house: House) -> Any:
    body = {"tiers": [{"from": {"amount": "0.00"}, "required": 2}]}
    return house.boss.call("PUT", f"/v1/employers/{house.employer_id}/approval-policy", json=body)


def _as_seen_by(person: Person, batch_id: UUID) -> dict[str, Any]:
    seen: dict[str, Any] = person.get(f"/v1/payment-batches/{batch_id}").json()
    return seen


def test_who_may_not_see_salaries_learns_nothing_of_limits(house: House) -> None:
    """To an auditor the batch does not say that it is over a limit: that would tell something of the total."""
    auditor = house.second_person("auditor", Role.AUDITOR)
    batch = _over_the_limit(house)

    assert _reasons(_as_seen_by(auditor, batch["id"]), "approve") == ["role_missing"]


def _without_pin(house: House) -> Person:
    roles = (Role.APPROVER,)
    return add_person(house.ctx, house.client, house.employer_id, roles, email="new@jansen.example", pin=None)


def _with_locked_pin(house: House) -> Person:
    person = house.second_person("locked")
    batch = house.uploaded_batch(document(lines(2)), year=2026, period=9, run_number=1)
    assert [person.approve(batch, pin=WRONG_PIN).status_code for _ in range(5)] == [403] * 5
    return person


def _with_changed_pin(house: House) -> Person:
    person = house.second_person("changed")
    with transaction(house.ctx.engine) as session:
        people.change_pin(
            session,
            act(house.ctx),
            user=people.find_user(session, person.email),
            pin=PIN,
            secret=house.ctx.identifier_secret,
        )
    return person


@pytest.mark.parametrize(
    ("make", "code"),
    [(_without_pin, "pin_not_set"), (_with_locked_pin, "pin_locked"), (_with_changed_pin, "pin_changed_recently")],
)
def test_a_pin_that_will_be_refused_is_told_beforehand(house: House, make: Any, code: str) -> None:
    """Who has no PIN, a locked one or one set anew a moment ago reads so in the batch; others approve."""
    person = make(house)
    batch = house.uploaded_batch()

    assert _reasons(_as_seen_by(person, batch["id"]), "approve") == [code]
    assert person.approve(batch).json()["code"] == code
    assert _reasons(house.batch(batch["id"]), "approve") == []


@pytest.mark.parametrize("on_everything", [True, False])
def test_a_file_is_not_offered_again_past_a_hold_on_everything(house: House, *, on_everything: bool) -> None:
    """A restored database gives no file, also none that was given before; a hold of the batch alone stops no copy."""
    batch = house.approved()
    house.handed_out(batch["id"])
    if on_everything:
        with transaction(house.ctx.engine) as session:
            assert holds.place_on_system(house.ctx, session, code="database_restored", reason="Restored")
    else:
        house.boss.post(f"/v1/payment-batches/{batch['id']}/holds", {"reason": "Wait"})

    offered = _reasons(house.batch(batch["id"]), "hand_out")
    given = house.boss.get(f"/v1/payment-batches/{batch['id']}/file")

    assert offered == (["held"] if on_everything else [])
    assert given.status_code == (409 if on_everything else 200)


def test_a_batch_says_what_its_approvals_lack(house: House) -> None:
    """Of two approvals that are needed: none, one, and one whose giver is no approver any more."""
    second = house.second_person("other", Role.ADMIN, Role.APPROVER)
    assert _two_approve(house).status_code == 200
    batch = house.uploaded_batch()
    second.approve(batch)
    one_given = house.batch(batch["id"])
    _leaves(house, second)

    left = house.batch(batch["id"])

    assert batch["approvals_missing"] == ["more_approvals"]
    assert (len(one_given["approvals"]), one_given["approvals_missing"]) == (1, ["more_approvals"])
    assert house.boss.approve(left).json()["approvals_missing"] == ["more_approvals"]


def _leaves(house: House, person: Person) -> None:
    with transaction(house.ctx.engine) as session:
        people.end_membership(
            session, act(house.ctx), user_id=person.id, organization_id=house.employer_id, role=Role.APPROVER
        )


def test_programs_alone_are_told_to_be_not_enough(house: House) -> None:
    """Two approvals of two programs are two of two, and the batch says that a person is missing."""
    second = house.second_person("other", Role.ADMIN, Role.APPROVER)
    assert _two_approve(house).status_code == 200
    batch = house.uploaded_batch()
    for person in (house.boss, second):
        assert _as_program(house, person).approve(batch).status_code == 201

    waiting = house.batch(batch["id"])

    assert (waiting["status"], len(waiting["approvals"])) == ("pending", 2)
    assert waiting["approvals_missing"] == ["approval_by_a_person"]


def _as_program(house: House, person: Person) -> Person:
    with transaction(house.ctx.engine) as session:
        user = people.find_user(session, person.email)
        issued = people.issue_token(
            session, act(house.ctx), user=user, scopes=frozenset(Scope), days=1, is_unattended=True
        )
    return replace(person, token=issued.token)
