"""What a batch says can be done with it: what is refused is not offered, and the reason is the refusal's code."""

from typing import Any
from uuid import UUID

import pytest

from app.auth.models import Role
from tests.contracts.fake_source import FakePayroll
from tests.support.clock import FakeClock
from tests.support.connected import connect
from tests.support.house import House, Person, add_account, document, lines


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
