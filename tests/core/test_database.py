from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from app.core.database import create_engine, single_statement, transaction
from tests.support.postgres import TestDatabase

_PID = sa.text("SELECT pg_backend_pid()")
_INSERT = sa.text("INSERT INTO organization VALUES (gen_random_uuid(), 'employer', :name, now())")


@pytest.fixture
def one_connection(database: TestDatabase) -> Iterator[Engine]:
    """An engine that keeps one connection."""
    database.empty()
    engine = create_engine(database.app_url, pool_size=1, is_service=True)
    yield engine
    engine.dispose()


def _pid(engine: Engine) -> int:
    with transaction(engine) as session:
        return int(session.execute(_PID).scalar_one())


def _terminate(database: TestDatabase, pid: int) -> None:
    """End a connection as a restart of PostgreSQL does, and wait until it is gone."""
    superuser = sa.create_engine(database.superuser_url, poolclass=sa.NullPool)
    with superuser.connect() as connection:
        ended = connection.execute(sa.text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid}).scalar_one()
    assert ended is True


def test_a_connection_that_ended_while_idle_is_replaced(database: TestDatabase, one_connection: Engine) -> None:
    """After a restart of PostgreSQL the next request works: it never gets a connection that is dead."""
    pid = _pid(one_connection)
    assert _pid(one_connection) == pid
    _terminate(database, pid)
    assert _pid(one_connection) != pid


def test_a_connection_with_news_that_still_answers_is_kept(database: TestDatabase, one_connection: Engine) -> None:
    """Something to read on an idle connection is not always its end: here it is a notification."""
    with single_statement(one_connection) as connection:
        connection.execute(sa.text("LISTEN gossip"))
    pid = _pid(one_connection)
    superuser = sa.create_engine(database.superuser_url, poolclass=sa.NullPool)
    with superuser.begin() as connection:
        connection.execute(sa.text("NOTIFY gossip"))
    assert _pid(one_connection) == pid


def test_a_single_statement_is_committed_when_it_returned(one_connection: Engine) -> None:
    """Whoever looks afterwards, over another connection, sees the row; and transactions are transactions again."""
    with single_statement(one_connection) as connection:
        connection.execute(_INSERT, {"name": "kept"})
        with one_connection.connect() as other:
            assert other.execute(sa.text("SELECT name FROM organization")).scalars().all() == ["kept"]
    with pytest.raises(ZeroDivisionError), transaction(one_connection) as session:  # noqa: PT012 - the transaction fails
        session.execute(_INSERT, {"name": "rolled back"})
        _ = 1 // 0
    with one_connection.connect() as other:
        assert other.execute(sa.text("SELECT name FROM organization")).scalars().all() == ["kept"]
