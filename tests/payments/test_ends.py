"""Ends of the calendar, and holds: answered in words, never with an error on our side."""

import pytest

from app.core.database import transaction
from app.core.history import OPERATOR
from app.payments import expiring, holds
from app.payments.models import PaymentBatch
from tests.support.clock import FakeClock
from tests.support.house import House

DAYS = ["0001-01-01", "1969-12-31", "9999-01-01", "9999-12-01", "9999-12-31"]


@pytest.mark.parametrize("day", DAYS)
def test_days_at_the_ends_of_the_calendar_are_answered(house: House, day: str) -> None:
    """The first and last days that can be written lead to an answer on every route that takes a day."""
    batch = house.uploaded_batch()
    answers = [
        house.boss.get(f"/v1/debtor-accounts/{house.account_id}/payment-limit?execution_date={day}"),
        house.boss.get(f"/v1/bank-days?from={day}&to={day}"),
        house.boss.get(f"/v1/bank-days?from=2026-11-01&to={day}"),
        house.boss.call(
            "PATCH",
            f"/v1/payment-batches/{batch['id']}",
            json={"requested_execution_date": day},
            headers={"If-Match": '"r1"'},
        ),
        house.boss.call(
            "PUT",
            f"/v1/administrations/{house.administration_id}/link",
            json={
                "employer_id": str(house.employer_id),
                "debtor_account_id": house.account_id,
                "go_live_on": day,
                "mode": "live",
            },
        ),
    ]

    assert [answer.status_code for answer in answers if answer.status_code >= 500] == []
    assert answers[3].status_code == 422


def test_a_hold_bars_the_approval_and_says_why(house: House) -> None:
    """While a hold is in force the batch cannot be approved: 409 with the reason; lifted, it can."""
    batch = house.uploaded_batch()
    with transaction(house.ctx.engine) as session:
        row = session.get_one(PaymentBatch, batch["id"])
        holds.place(house.ctx, session, row, code="by_hand", reason="Wait for the auditor.")

    barred = house.boss.approve(batch)
    with transaction(house.ctx.engine) as session:
        row = session.get_one(PaymentBatch, batch["id"])
        holds.lift(house.ctx, session, row, code="by_hand", actor=OPERATOR)

    assert (barred.status_code, barred.json()["code"]) == (409, "held")
    assert "Wait for the auditor." in barred.json()["detail"]
    assert house.boss.approve(batch).status_code == 201


def test_the_lines_of_a_batch_that_expired_are_unpaid(house: House, clock: FakeClock) -> None:
    """An approved batch that nobody handed out ends after 90 days: its lines are on the list and can be paid again."""
    batch = house.approved()
    for days in (70, 20, 10):  # to the first warning, to the second, to the end
        clock.forward(days=days)
        expiring.expire(house.ctx)

    person = house.second_person()  # the first one's token has ended by now
    unpaid = person.get("/v1/unpaid-transfers").json()
    again = person.post("/v1/follow-up-batches", {"transfer_ids": [each["transfer"]["id"] for each in unpaid]})

    assert person.get(f"/v1/payment-batches/{batch['id']}").json()["status"] == "expired"
    assert [each["transfer"]["status"] for each in unpaid] == ["payable"] * 3
    assert (again.status_code, again.json()["counts"]) == (201, {"payable": 3})
