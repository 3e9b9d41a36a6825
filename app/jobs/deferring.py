"""The one function that defers jobs, on the connection of the caller's transaction.

An event and its job commit together or not at all. The trap this page exists for: when a job with the same queueing
lock waits already, the engine's INSERT fails and leaves the caller's transaction aborted; a later COMMIT then silently
rolls back, and an acknowledged webhook is gone. So each job is deferred inside a savepoint of its own. Most of the time
a look beforehand spares that: when many webhooks come at once, a job waits already for all but the first.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import cast

import procrastinate
import psycopg
import sqlalchemy as sa
from procrastinate import SyncPsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued
from procrastinate.types import JSONValue
from psycopg.pq import TransactionStatus
from sqlmodel import Session

# Never opened: it only ever writes on the connections it is handed.
_APP = procrastinate.App(connector=SyncPsycopgConnector())
# Whether a job with the parameter `queueing_lock` waits; served by the unique index that keeps such jobs apart.
_JOBS = sa.table("procrastinate_jobs", sa.column("queueing_lock", sa.Text), sa.column("status"))
IS_WAITING = (
    sa.select(sa.literal_column("1"))
    .where(_JOBS.c.queueing_lock == sa.bindparam("queueing_lock"), _JOBS.c.status == sa.literal_column("'todo'"))
    .exists()
)
_IS_WAITING = sa.select(IS_WAITING)


def defer(
    session: Session,
    task: str,
    arguments: Mapping[str, str],
    *,
    queueing_lock: str | None = None,
    not_before: datetime | None = None,
) -> bool:
    """Defer a job in the session's transaction; False when one with this queueing lock waits already.

    Arguments are ids, never secrets or amounts: the engine logs them.
    """
    if queueing_lock is not None and session.execute(_IS_WAITING, {"queueing_lock": queueing_lock}).scalar_one():
        return False
    connection = _driver_connection(session)
    deferrer = _APP.configure_task(
        task,
        connection=connection,
        queueing_lock=queueing_lock,
        schedule_at=not_before,
    )
    try:
        with connection.transaction():
            deferrer.defer(**cast("dict[str, JSONValue]", dict(arguments)))
    except AlreadyEnqueued:
        return False
    return True


def _driver_connection(session: Session) -> psycopg.Connection:
    connection = cast("psycopg.Connection", session.connection().connection.driver_connection)
    if connection.info.transaction_status is TransactionStatus.IDLE:
        # psycopg would otherwise take the savepoint for a transaction of its own, and commit the job alone.
        session.execute(sa.text("SELECT 1"))
    return connection
