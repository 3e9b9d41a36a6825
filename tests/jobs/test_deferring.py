"""Jobs are deferred in the caller's transaction: together with its rows, or not at all."""

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from app.core.database import transaction
from app.jobs.deferring import defer


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
