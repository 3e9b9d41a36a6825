"""Waiting until PostgreSQL has somebody wait for a lock: what two people at one moment look like in a test."""

import time

import sqlalchemy as sa
from sqlalchemy import Engine

_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
_PATIENCE_SECONDS = 30


def until_somebody_waits(engine: Engine) -> None:
    """Return once a session of this database waits for a lock of another one; fail when none ever does."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        with engine.connect() as connection:
            if connection.execute(sa.text(_WAITING)).scalar_one():
                return
    message = "nobody waits for a lock"
    raise AssertionError(message)
