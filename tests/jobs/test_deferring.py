"""Jobs are deferred in the caller's transaction: together with its rows, or not at all."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from app.core.database import transaction
from app.jobs.deferring import defer
from tests.end_to_end.town import until
from tests.support.postgres import TestDatabase


def _jobs(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(sa.text("SELECT count(*) FROM procrastinate_jobs")).scalar_one())


def _rows(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(sa.text("SELECT count(*) FROM organization")).scalar_one())


_INSERT = sa.text("INSERT INTO organization VALUES (gen_random_uuid(), 'employer', 'X', now())")


def test_a_job_that_waits_already_leaves_the_transaction_usable(engine: Engine) -> None:
    """The second poke finds a waiting job: the row beside it is committed all the same, and one job waits."""
    deferred = []
    for _ in range(2):
        with transaction(engine) as session:
            session.execute(_INSERT)
            deferred.append(defer(session, "sync_runs", {"connection_id": "c"}, queueing_lock="sync:c"))

    assert deferred == [True, False]
    assert (_rows(engine), _jobs(engine)) == (2, 1)


def test_two_transactions_that_poke_at_the_same_moment_make_one_job_and_keep_both_rows(
    engine: Engine, database: TestDatabase
) -> None:
    """Neither sees the other's job beforehand; the later one collides, and its row is committed all the same."""

    def poke() -> bool:
        with transaction(engine) as session:
            session.execute(_INSERT)
            return defer(session, "sync_runs", {"connection_id": "c"}, queueing_lock="sync:c")

    with ThreadPoolExecutor(max_workers=1) as other:
        with transaction(engine) as session:
            session.execute(_INSERT)
            assert defer(session, "sync_runs", {"connection_id": "c"}, queueing_lock="sync:c")
            later = other.submit(poke)
            until(lambda: _waiting_for_locks(database), "the other transaction to wait for this one")
        assert later.result(timeout=30) is False

    assert (_rows(engine), _jobs(engine)) == (2, 1)


def _waiting_for_locks(database: TestDatabase) -> bool:
    superuser = sa.create_engine(database.superuser_url, poolclass=sa.NullPool)
    with superuser.connect() as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return int(connection.execute(sa.text(query)).scalar_one()) > 0


class _Stop(Exception):
    pass


@pytest.mark.parametrize("row_first", [True, False])
def test_a_rollback_takes_the_job_along(engine: Engine, row_first: bool) -> None:
    """A job never commits alone, also not when deferring is the first thing a transaction does."""
    with pytest.raises(_Stop), transaction(engine) as session:  # noqa: PT012 - the whole transaction fails
        if row_first:
            session.execute(_INSERT)
        defer(session, "sync_runs", {"connection_id": "c"}, queueing_lock="sync:c")
        raise _Stop

    assert (_rows(engine), _jobs(engine)) == (0, 0)
