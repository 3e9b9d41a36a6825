"""Workers: what the sweep does with the jobs of those that died."""

import asyncio

import sqlalchemy as sa
from sqlalchemy import Engine

from app.core.database import transaction
from app.jobs.deferring import defer
from app.jobs.working import Work, build_app, requeue_stalled
from app.main import conninfo
from tests.support.postgres import TestDatabase


def _defer(engine: Engine, name: str, lock: str) -> None:
    with transaction(engine) as session:
        defer(session, "fetch_run", {"run_id": name}, queueing_lock=lock)


def _die_with_everything(engine: Engine) -> None:
    """Leave every job behind as a worker does that was killed: being done, by nobody any more."""
    with transaction(engine) as session:
        session.execute(sa.text("UPDATE procrastinate_jobs SET status = 'doing', worker_id = NULL"))


def _jobs(engine: Engine) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT args ->> 'run_id', status FROM procrastinate_jobs ORDER BY id"))
        return [(str(row[0]), str(row[1])) for row in rows]


def test_a_stalled_job_whose_twin_waits_does_not_keep_the_others_stalled(
    engine: Engine, database: TestDatabase
) -> None:
    """The one that waits already takes its place; the jobs behind it are queued again in the same sweep."""
    _defer(engine, "first", "fetch:a")
    _defer(engine, "second", "fetch:b")
    _die_with_everything(engine)
    _defer(engine, "twin of the first", "fetch:a")

    async def sweep() -> None:
        app = build_app(conninfo(database.app_url), Work(tasks={"fetch_run": lambda **_: None}, tick=lambda: None))
        async with app.open_async():
            await requeue_stalled(app)

    asyncio.run(sweep())

    assert _jobs(engine) == [("second", "todo"), ("twin of the first", "todo")]
