"""The one way to the database: an engine, and `transaction()`, which alone commits."""

import select
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import psycopg
import sqlalchemy
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import InvalidatePoolError
from sqlmodel import Session

from app.core.history_chain import HistoryKeys

# A stuck lock must become an error of one request, not a pile of waiting ones.
_OPTIONS = (
    "-c timezone=UTC -c lock_timeout=10000 -c statement_timeout=60000 -c idle_in_transaction_session_timeout=120000"
)
_BEFORE_COMMIT = "before_commit"
_AFTER_COMMIT = "after_commit"
# Execution option of an engine: the keys that seal the history. `core.history` refuses to write without them.
HISTORY_KEYS = "loonstroom_history_keys"
# Execution option of an engine: for whom its transactions work, None for nobody.
_PRINCIPAL = "loonstroom_principal"
_FOR_SERVICE = " -c loonstroom.service=on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """For whom a transaction works: a person, and the organizations whose rows they may come by (ADR 0021)."""

    person_id: UUID
    organizations: frozenset[UUID]


def create_engine(
    url: str, *, pool_size: int = 20, history_keys: HistoryKeys | None = None, is_service: bool = False
) -> Engine:
    """Return an engine on PostgreSQL through psycopg 3, READ COMMITTED: money is guarded by row locks (ADR 0001).

    Without `history_keys` it reads history but writes none. Row security shows it nothing until `on_behalf_of` says for
    whom it works; with `is_service` it works for all tenants, on connections of its own (ADR 0021).
    """
    engine = sqlalchemy.create_engine(
        url,
        pool_size=pool_size,
        max_overflow=10,
        pool_timeout=30,
        hide_parameters=True,
        execution_options={HISTORY_KEYS: history_keys},
        connect_args={"options": _OPTIONS + (_FOR_SERVICE if is_service else ""), "connect_timeout": 10},
    )
    event.listen(engine, "checkout", _refuse_dead)
    event.listen(engine, "begin", _say_for_whom)
    return engine


def on_behalf_of(engine: Engine, principal: Principal) -> Engine:
    """Return the same engine, on the same connections, whose transactions work for this person."""
    return engine.execution_options(**{_PRINCIPAL: principal})


def _say_for_whom(connection: Connection) -> None:
    """Say at the begin of a transaction for whom it works; forgotten when it ends.

    SET and not `SELECT set_config(...)`: a transaction may still choose its isolation level afterwards. Both values are
    ids, written by UUID itself.
    """
    principal: Principal | None = connection.get_execution_options().get(_PRINCIPAL)
    if principal is None:
        return
    organizations = ",".join(str(UUID(int=each.int)) for each in principal.organizations)
    connection.exec_driver_sql(
        f"SET LOCAL loonstroom.person = '{UUID(int=principal.person_id.int)}'; "
        f"SET LOCAL loonstroom.organizations = '{organizations}'",
        execution_options={"no_parameters": True},
    )


def also_for(session: Session, organization_id: UUID) -> None:
    """Let the rest of this transaction work for one more organization: one that is being made, or met by a mandate.

    The only way in which the request of a person sees more than where that person's rights come from. Who calls it is
    listed in ADR 0021, and a test holds the list.
    """
    session.execute(
        sqlalchemy.text(
            "SELECT set_config('loonstroom.organizations', "
            "concat_ws(',', nullif(current_setting('loonstroom.organizations', true), ''), CAST(:id AS text)), true)"
        ),
        {"id": str(organization_id)},
    )


def _refuse_dead(connection: Any, _record: object, _proxy: object) -> None:
    """Have the pool replace connections that ended while they lay idle, as after a restart of PostgreSQL.

    SQLAlchemy's own `pool_pre_ping` asks PostgreSQL each time, a quarter of the time that a webhook takes. A socket on
    which nothing arrived has not been closed either; only when something did, PostgreSQL is asked.
    """
    idle = cast("psycopg.Connection", connection)
    if idle.closed or (_has_news(idle) and not _still_answers(idle)):
        raise InvalidatePoolError


def _has_news(idle: psycopg.Connection) -> bool:
    poll = select.poll()
    poll.register(idle.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _still_answers(idle: psycopg.Connection) -> bool:
    try:
        idle.execute("SELECT 1")
        idle.rollback()
    except psycopg.OperationalError:
        return False
    return True


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """Give a session; commit when the block ends well, roll everything back otherwise.

    What was registered with `before_commit` runs last, inside the same transaction: the history heads are locked after
    every other lock, as short as possible. What was registered with `after_commit` runs when everything is committed
    and the connection is back: an error there reaches the caller, and undoes nothing.
    """
    with Session(engine, expire_on_commit=False, autoflush=True) as session, session.begin():
        yield session
        hooks: list[Callable[[Session], None]] = session.info.pop(_BEFORE_COMMIT, [])
        for hook in hooks:
            hook(session)
    followers: list[Callable[[], None]] = session.info.pop(_AFTER_COMMIT, [])
    for follow in followers:
        follow()


@contextmanager
def single_statement(engine: Engine) -> Iterator[Connection]:
    """Give a connection for one statement that is a transaction by itself: it is committed when it has returned.

    For what happens so often that BEGIN and COMMIT would be most of the work.
    """
    with engine.connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverStatement:
    """A statement as the driver takes it, made once: its text, and the values that never change."""

    text: str
    constants: Mapping[str, Any]


def for_driver(statement: sqlalchemy.Executable) -> DriverStatement:
    """Return a statement as the driver takes it; values that the driver cannot know come in its own wrappers."""
    compiled = cast("Any", statement).compile(dialect=sqlalchemy.make_url("postgresql+psycopg://").get_dialect()())
    return DriverStatement(text=str(compiled), constants=compiled.params)


def execute_alone(engine: Engine, statement: DriverStatement, values: Mapping[str, Any]) -> int:
    """Execute one statement as a transaction by itself; it is committed when this returns how many rows it wrote.

    Past the database mapper, which takes as long as PostgreSQL for a statement that is always the same: for webhooks.
    On the pool's connections, so with its checks, and with its errors (`DBAPIError`). For the service alone: nothing
    says here for which person it works.
    """
    if engine.get_execution_options().get(_PRINCIPAL) is not None:
        message = "a statement alone works for the service, not for a person"
        raise ValueError(message)
    lent = None
    try:
        lent = engine.raw_connection()
        with _committing_each(cast("psycopg.Connection", lent.driver_connection)) as driver:
            return driver.execute(statement.text, {**statement.constants, **values}).rowcount
    except psycopg.Error as error:
        is_gone = lent is not None and cast("psycopg.Connection", lent.driver_connection).closed
        if lent is not None and is_gone:
            lent.invalidate(error)
        raise sqlalchemy.exc.DBAPIError.instance(
            None,
            None,
            error,
            psycopg.Error,
            hide_parameters=True,
            connection_invalidated=is_gone,
            dialect=engine.dialect,
        ) from error
    finally:
        if lent is not None:
            lent.close()


@contextmanager
def _committing_each(driver: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """Have each statement of this block committed by itself."""
    driver.autocommit = True
    try:
        yield driver
    finally:
        if not driver.closed:
            driver.autocommit = False


def before_commit(session: Session, hook: Callable[[Session], None]) -> None:
    """Run this at the very end of the session's transaction; the same hook only once."""
    hooks: list[Callable[[Session], None]] = session.info.setdefault(_BEFORE_COMMIT, [])
    if hook not in hooks:
        hooks.append(hook)


def after_commit(session: Session, follow: Callable[[], None]) -> None:
    """Run this once the session's transaction is committed, before its caller goes on; never after a rollback."""
    session.info.setdefault(_AFTER_COMMIT, []).append(follow)
