"""Webhooks are let in by the bucket of their connection, fetched a handful at a time."""

import asyncio
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Engine

from app.core.rate_limits import Rate
from app.webhooks.admission import Admission
from tests.support.clock import FakeClock

CONNECTION = UUID(int=7)


def _admitted(admission: Admission, engine: Engine, clock: FakeClock, tries: int) -> int:
    async def run() -> list[bool]:
        return await asyncio.gather(*(admission.admit(engine, CONNECTION, clock()) for _ in range(tries)))

    return sum(asyncio.run(run()))


def _used(engine: Engine, clock: FakeClock) -> timedelta:
    with engine.connect() as connection:
        until = connection.execute(sa.text("SELECT used_until FROM rate_limit")).scalar_one()
    return timedelta(seconds=round((until - clock()).total_seconds()))


def test_webhooks_at_once_share_one_handful(engine: Engine, clock: FakeClock) -> None:
    """Sixteen that come together go once to the database, and the next four live of the rest."""
    admission = Admission(Rate(per_second=1, at_once=1_000))
    assert _admitted(admission, engine, clock, 16) == 16
    assert _used(engine, clock) == timedelta(seconds=20)
    assert _admitted(admission, engine, clock, 4) == 4
    assert _used(engine, clock) == timedelta(seconds=20)
    assert _admitted(admission, engine, clock, 1) == 1
    assert _used(engine, clock) == timedelta(seconds=40)


def test_no_more_are_let_in_than_the_bucket_holds(engine: Engine, clock: FakeClock) -> None:
    """At once or one after the other, in one process or in two."""
    rate = Rate(per_second=1, at_once=105)
    processes = [Admission(rate), Admission(rate)]
    assert sum(_admitted(each, engine, clock, 100) for each in processes) == 105


def test_what_was_fetched_is_forgotten_after_a_moment(engine: Engine, clock: FakeClock) -> None:
    """A handful is not kept for later, when the bucket may have been emptied by others."""
    admission = Admission(Rate(per_second=1, at_once=1_000))
    assert _admitted(admission, engine, clock, 1) == 1
    clock.forward(seconds=5)
    assert _admitted(admission, engine, clock, 1) == 1
    assert _used(engine, clock) == timedelta(seconds=20 - 5 + 20)
