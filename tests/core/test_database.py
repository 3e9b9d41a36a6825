from collections.abc import Iterator
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError, OperationalError

from app.core.database import (
    Principal,
    create_engine,
    execute_alone,
    for_driver,
    on_behalf_of,
    single_statement,
    transaction,
)
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


def test_a_statement_alone_is_committed_when_it_returned(one_connection: Engine) -> None:
    """Whoever looks afterwards sees the row, and transactions are transactions again."""
    assert execute_alone(one_connection, for_driver(_INSERT), {"name": "kept"}) == 1
    with pytest.raises(ZeroDivisionError), transaction(one_connection) as session:  # noqa: PT012 - the transaction fails
        session.execute(_INSERT, {"name": "rolled back"})
        _ = 1 // 0
    with one_connection.connect() as other:
        assert other.execute(sa.text("SELECT name FROM organization")).scalars().all() == ["kept"]


def test_a_statement_alone_fails_as_others_do(one_connection: Engine) -> None:
    """An error of the driver is the mapper's error of that kind, and the connection is good for the next one."""
    refused = for_driver(sa.text("INSERT INTO organization VALUES (gen_random_uuid(), 'nobody', :name, now())"))

    with pytest.raises(IntegrityError) as caught:
        execute_alone(one_connection, refused, {"name": "a secret name"})

    assert not caught.value.connection_invalidated
    pid = _pid(one_connection)
    assert execute_alone(one_connection, for_driver(_INSERT), {"name": "kept"}) == 1
    assert _pid(one_connection) == pid


def test_a_statement_alone_whose_connection_ends_says_so(database: TestDatabase, one_connection: Engine) -> None:
    """PostgreSQL goes away under it: nobody knows what became of it, and the next one has another connection."""
    pid = _pid(one_connection)
    end = for_driver(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(OperationalError) as caught:
        execute_alone(one_connection, end, {})

    assert caught.value.connection_invalidated
    assert _pid(one_connection) != pid


def test_a_statement_alone_without_a_database_says_so(database: TestDatabase) -> None:
    """No connection to be had is an error of the mapper too, as everywhere."""
    nowhere = create_engine(str(sa.make_url(database.app_url).set(database="nowhere").render_as_string(False)))
    with pytest.raises(OperationalError):
        execute_alone(nowhere, for_driver(_INSERT), {"name": "lost"})


def test_a_statement_alone_works_for_no_person(one_connection: Engine) -> None:
    """Row security would not know for whom; a mistake of ours, told before anything is sent."""
    person = on_behalf_of(one_connection, Principal(person_id=uuid4(), organizations=frozenset()))
    with pytest.raises(ValueError, match="not for a person"):
        execute_alone(person, for_driver(_INSERT), {"name": "lost"})
