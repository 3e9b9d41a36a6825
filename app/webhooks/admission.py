"""How many webhooks of a connection are kept: its bucket in the database, fetched from a few at a time.

Every process that serves shares the bucket. Fetching one by one would have every webhook of a connection wait for the
row of its bucket; so each process takes a handful, and what it did not use in a few seconds is forgotten.
"""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID
from weakref import WeakValueDictionary

from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from app.core.database import single_statement
from app.core.rate_limits import Rate, take

_HANDFULS = 50
_LARGEST_HANDFUL = 200
_KEPT_FOR = timedelta(seconds=5)


class Admission:
    """Lets webhooks in by the bucket of their connection. For one event loop."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._handful = max(1, min(_LARGEST_HANDFUL, rate.at_once // _HANDFULS))
        self._held: dict[UUID, tuple[int, datetime]] = {}
        self._fetching: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    async def admit(self, engine: Engine, connection_id: UUID, now: datetime) -> bool:
        """Take one webhook out of the bucket of its connection; False when it is empty.

        One at a time fetches for a connection: those that come meanwhile live of what it brings.
        """
        if self._spend(connection_id, now):
            return True
        fetching = self._fetching.setdefault(connection_id, asyncio.Lock())
        async with fetching:
            if self._spend(connection_id, now):
                return True
            fetched = await run_in_threadpool(self._fetch, engine, connection_id, now)
            if fetched > 1:
                self._held[connection_id] = (fetched - 1, now + _KEPT_FOR)
            return fetched > 0

    def _spend(self, connection_id: UUID, now: datetime) -> bool:
        """Let one webhook in by what was fetched before; False when nothing is left of that."""
        left, until = self._held.pop(connection_id, (0, now))
        if left == 0 or until <= now:
            return False
        if left > 1:
            self._held[connection_id] = (left - 1, until)
        return True

    def _fetch(self, engine: Engine, connection_id: UUID, now: datetime) -> int:
        """Return how many were fetched from the bucket: a handful, one when it is nearly empty, or none."""
        bucket = f"webhook:{connection_id}"
        for count in sorted({self._handful, 1}, reverse=True):
            with single_statement(engine) as connection:
                if take(connection, bucket, self.rate, now=now, count=count):
                    return count
        return 0
