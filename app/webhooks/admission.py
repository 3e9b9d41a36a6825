"""How many webhooks of a connection are kept: its bucket in the database, fetched from a few at a time.

Every process that serves shares the bucket. Fetching one by one would have every webhook of a connection wait for the
row of its bucket; so each process takes a handful, and what it did not use in a few seconds is forgotten.
"""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Engine

from app.core.database import transaction
from app.core.rate_limits import Rate, take

_HANDFULS = 50
_LARGEST_HANDFUL = 20
_KEPT_FOR = timedelta(seconds=5)


class Admission:
    """Lets webhooks in by the bucket of their connection. For one event loop; `fetch` may run in any thread."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._handful = max(1, min(_LARGEST_HANDFUL, rate.at_once // _HANDFULS))
        self._held: dict[UUID, tuple[int, datetime]] = {}

    def spend(self, connection_id: UUID, now: datetime) -> bool:
        """Let one webhook in by what was fetched before; False when nothing is left of that."""
        left, until = self._held.pop(connection_id, (0, now))
        if left == 0 or until <= now:
            return False
        if left > 1:
            self._held[connection_id] = (left - 1, until)
        return True

    def fetch(self, engine: Engine, connection_id: UUID, now: datetime) -> int:
        """Return how many were fetched from the bucket: a handful, one when it is nearly empty, or none."""
        bucket = f"webhook:{connection_id}"
        with transaction(engine) as session:
            for count in sorted({self._handful, 1}, reverse=True):
                if take(session, bucket, self.rate, now=now, count=count):
                    return count
        return 0

    def keep(self, connection_id: UUID, count: int, now: datetime) -> None:
        """Keep what was fetched beyond the webhook that it was fetched for."""
        left, _ = self._held.get(connection_id, (0, now))
        if left + count > 0:
            self._held[connection_id] = (left + count, now + _KEPT_FOR)
