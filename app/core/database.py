"""The one way to the database: an engine, and `transaction()`, which alone commits."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy
from sqlalchemy import Engine
from sqlmodel import Session

from app.core.history_chain import HistoryKeys

# A stuck lock must become an error of one request, not a pile of waiting ones.
_OPTIONS = (
    "-c timezone=UTC -c lock_timeout=10000 -c statement_timeout=60000 -c idle_in_transaction_session_timeout=120000"
)
_BEFORE_COMMIT = "before_commit"
# Execution option of an engine: the keys that seal the history. `core.history` refuses to write without them.
HISTORY_KEYS = "loonstroom_history_keys"


def create_engine(url: str, *, pool_size: int = 20, history_keys: HistoryKeys | None = None) -> Engine:
    """Return an engine on PostgreSQL through psycopg 3, READ COMMITTED: money is guarded by row locks (ADR 0001).

    Without `history_keys` it reads history but writes none.
    """
    return sqlalchemy.create_engine(
        url,
        pool_size=pool_size,
        max_overflow=10,
        pool_timeout=30,
        pool_pre_ping=True,
        hide_parameters=True,
        execution_options={HISTORY_KEYS: history_keys},
        connect_args={"options": _OPTIONS, "connect_timeout": 10},
    )


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """Give a session; commit when the block ends well, roll everything back otherwise.

    What was registered with `before_commit` runs last, inside the same transaction: the history heads are locked after
    every other lock, as short as possible.
    """
    with Session(engine, expire_on_commit=False, autoflush=True) as session, session.begin():
        yield session
        hooks: list[Callable[[Session], None]] = session.info.pop(_BEFORE_COMMIT, [])
        for hook in hooks:
            hook(session)


def before_commit(session: Session, hook: Callable[[Session], None]) -> None:
    """Run this at the very end of the session's transaction; the same hook only once."""
    hooks: list[Callable[[Session], None]] = session.info.setdefault(_BEFORE_COMMIT, [])
    if hook not in hooks:
        hooks.append(hook)
