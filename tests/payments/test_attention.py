"""What a person should look at: shown as long as it holds, written in the history once; and batches that expire."""

from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from app.auth.models import Role
from app.core.database import transaction
from app.payments import expiring
from app.payments.attention import PROOF_WITHIN_BANK_DAYS, last_day_without_proof
from app.payments.bank_days import add_bank_days
from app.payments.context import Context
from tests.payments.test_bank_reports import report_on, upload
from tests.support.clock import FakeClock
from tests.support.house import House


@pytest.mark.parametrize("offset", range(20))
def test_the_last_day_without_proof_is_the_last_one(offset: int) -> None:
    """On every day around Christmas: that day is three bank days ago or more, and the day after it is not."""
    today = date(2026, 12, 20) + timedelta(days=offset)

    last = last_day_without_proof(today)

    assert add_bank_days(last, PROOF_WITHIN_BANK_DAYS) <= today
    assert add_bank_days(last + timedelta(days=1), PROOF_WITHIN_BANK_DAYS) > today


def test_a_batch_without_proof_is_listed_after_three_bank_days(house: House, ctx: Context, clock: FakeClock) -> None:
    """Delivered on Wednesday: on Monday it is listed, and told once; a word of the bank ends it."""
    batch = house.delivered()
    path = "/v1/payment-batches?attention=no_proof"
    clock.forward(days=4)
    sunday = house.boss.get(path).json()
    clock.forward(days=1)

    monday = house.boss.get(path).json()
    told = [expiring.note_attention(ctx), expiring.note_attention(ctx)]
    upload(house.boss, report_on(batch, status="RCVD"))

    assert (sunday, [each["id"] for each in monday]) == ([], [batch["id"]])
    assert "no_proof" in monday[0]["attention"]
    assert (told[1], house.events().count("batch.attention")) == (0, 1)
    assert house.boss.get(path).json() == []


def test_a_file_that_was_fetched_and_never_heard_of_is_asked_after(house: House, clock: FakeClock) -> None:
    """At the cut-off we ask; a bank day after the execution date it is an alarm; it is never issued again."""
    batch = house.approved()
    house.handed_out(batch["id"])
    seen = []
    for days in (0, 8, 1):
        clock.forward(days=days)
        seen.append(set(house.batch(batch["id"])["attention"]))

    assert "handed_out_no_word" not in seen[0]
    assert {"handed_out_no_word"} <= seen[1]
    assert "no_word_after_execution_date" in seen[2]
    allowed = {each["action"]: each["allowed"] for each in house.batch(batch["id"])["allowed_actions"]}
    assert not allowed["reissue"]


def test_where_nobody_can_approve_it_is_an_alarm(house: House, ctx: Context) -> None:
    """The only approver's role ended, or the PIN is locked: each waiting batch says so, and the history once."""
    batch = house.uploaded_batch()
    house.second_person("second")
    assert house.batch(batch["id"])["attention"] == []
    with transaction(ctx.engine) as session:
        session.execute(sa.text("UPDATE membership SET ends_on = '2020-01-01' WHERE role = 'approver'"))
    ended = house.batch(batch["id"])["attention"]
    with transaction(ctx.engine) as session:
        session.execute(sa.text("UPDATE membership SET ends_on = NULL"))
        session.execute(sa.text("UPDATE user_account SET pin_locked_at = now()"))
    locked = house.batch(batch["id"])["attention"]

    told = [expiring.note_attention(ctx), expiring.note_attention(ctx)]

    assert (ended, locked, told) == (["nobody_can_approve"], ["nobody_can_approve"], [1, 0])
    with transaction(ctx.engine) as session:
        session.execute(sa.text("UPDATE user_account SET pin_locked_at = NULL"))
    assert house.batch(batch["id"])["attention"] == []


def test_a_batch_that_nobody_decides_on_expires_after_two_warnings(
    house: House, ctx: Context, clock: FakeClock
) -> None:
    """Warned at 60 and at 80 days after the execution date, ended at 90; its lines stay on the unpaid list."""
    batch = house.uploaded_batch()
    ended = []
    for days in (66, 1, 21, 10):
        clock.forward(days=days)
        ended.append(expiring.expire(ctx))

    assert ended == [0, 0, 0, 1]
    later = house.second_person("later", Role.ADMIN)  # the tokens of before have ended
    told = [each["event"] for each in later.get("/v1/history?limit=1000").json()]
    assert told.count("batch.expiry_warned") == 2
    assert later.get(f"/v1/payment-batches/{batch['id']}").json()["status"] == "expired"
    assert len(later.get("/v1/unpaid-transfers").json()) == 3


def test_without_two_warnings_nothing_expires(house: House, ctx: Context, clock: FakeClock) -> None:
    """A service that slept for months warns first; each sweep gives one warning at most."""
    batch = house.uploaded_batch()
    clock.forward(days=300)

    steps = [expiring.expire(ctx) for _ in range(3)]

    assert steps == [0, 0, 1]
    later = house.second_person("later")
    assert later.get(f"/v1/payment-batches/{batch['id']}").json()["status"] == "expired"


def test_what_was_handed_out_never_expires(house: House, ctx: Context, clock: FakeClock) -> None:
    """It may be at the bank: only people end it."""
    batch = house.approved()
    house.handed_out(batch["id"])
    clock.forward(days=300)

    steps = [expiring.expire(ctx) for _ in range(3)]

    assert steps == [0, 0, 0]
    later = house.second_person("later")
    assert later.get(f"/v1/payment-batches/{batch['id']}").json()["status"] == "approved"
