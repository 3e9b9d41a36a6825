"""The bucket: exactly so many at once, a steady rate after that, shared by every process, fair to the others."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from app.core.database import transaction
from app.core.rate_limits import Rate, take, too_many
from tests.support.clock import FakeClock
from tests.support.postgres import TestDatabase

TEN = Rate(per_second=2, at_once=10)


def _take(engine: Engine, clock: FakeClock, bucket: str = "a", rate: Rate = TEN) -> bool:
    with transaction(engine) as session:
        return take(session, bucket, rate, now=clock())


def _taken(engine: Engine, clock: FakeClock, tries: int, bucket: str = "a") -> int:
    return sum(_take(engine, clock, bucket) for _ in range(tries))


def test_a_bucket_gives_what_it_holds_and_no_more(engine: Engine, clock: FakeClock) -> None:
    """Ten at once are taken; the eleventh is refused."""
    assert _taken(engine, clock, 25) == 10


def test_a_bucket_fills_at_its_rate(engine: Engine, clock: FakeClock) -> None:
    """Two come back every second, and never more than the bucket holds."""
    _taken(engine, clock, 10)
    clock.forward(seconds=3)
    assert _taken(engine, clock, 25) == 6
    clock.forward(days=3)
    assert _taken(engine, clock, 25) == 10


def test_who_is_refused_is_served_after_the_time_that_was_said(engine: Engine, clock: FakeClock) -> None:
    """Retry-After is true: so many seconds later one is taken again."""
    slow = Rate(per_second=0.4, at_once=3)
    while _take(engine, clock, rate=slow):
        continue
    seconds = int(too_many(slow).headers["Retry-After"])
    clock.forward(seconds=seconds)
    assert (seconds, _take(engine, clock, rate=slow)) == (3, True)


def test_buckets_are_apart(engine: Engine, clock: FakeClock) -> None:
    """Who empties his own takes nothing from another."""
    _taken(engine, clock, 50, "a")
    assert _taken(engine, clock, 25, "b") == 10


def test_a_clock_that_was_set_back_shuts_nobody_out(engine: Engine, clock: FakeClock) -> None:
    """An hour back, and the bucket begins anew; a few seconds, as two machines may differ, give nothing away."""
    _taken(engine, clock, 10)
    clock.forward(seconds=-5)
    assert _taken(engine, clock, 25) == 0
    clock.forward(hours=-1)
    assert _taken(engine, clock, 25) == 10


def test_two_processes_share_one_bucket(database: TestDatabase, engine: Engine) -> None:
    """Eighty tries at once over two pools of connections: ten are taken, not twenty and not eleven."""
    other = database.engine()
    clock = FakeClock()
    with ThreadPoolExecutor(max_workers=16) as threads:
        taken = list(threads.map(lambda n: _take(engine if n % 2 else other, clock), range(80)))
    other.dispose()
    assert sum(taken) == 10


def test_a_refusal_writes_nothing(engine: Engine, clock: FakeClock) -> None:
    """A flood beyond the bucket costs the database no new rows and no new versions of one."""
    _taken(engine, clock, 10)
    version = sa.text("SELECT ctid::text FROM rate_limit")
    with engine.connect() as connection:
        before = connection.execute(version).scalars().all()
    _taken(engine, clock, 10)
    with engine.connect() as connection:
        assert connection.execute(version).scalars().all() == before


def test_no_request_waits_for_the_disk_because_of_a_bucket(engine: Engine) -> None:
    """The table is not logged: a bucket is not worth a write to disk for each request."""
    with engine.connect() as connection:
        kind = connection.execute(sa.text("SELECT relpersistence FROM pg_class WHERE relname = 'rate_limit'"))
        assert kind.scalar_one() == "u"


@given(per_second=st.floats(0.01, 1000), at_once=st.integers(1, 1000))
def test_what_is_said_to_who_waits_is_a_whole_positive_number(per_second: float, at_once: int) -> None:
    """Retry-After is whole seconds, at least one, and not shorter than one interval."""
    rate = Rate(per_second=per_second, at_once=at_once)
    said = too_many(rate).headers["Retry-After"]
    assert said.isdigit()
    assert timedelta(seconds=int(said)) >= rate.interval - timedelta(microseconds=1)


@pytest.mark.parametrize("field", ["per_second", "at_once"])
def test_the_refusal_names_the_rate(field: str) -> None:
    """Whoever is refused reads what is allowed."""
    assert f"{getattr(TEN, field):g}" in too_many(TEN).detail
