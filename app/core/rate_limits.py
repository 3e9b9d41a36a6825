"""A bucket of requests for each token, kept in the database: every process that serves shares it.

The bucket holds so many requests at once and fills again at a steady rate. It is one column: the moment until which the
owner has used it up (the generic cell rate algorithm, as ATM traffic is metered). The table is not logged: what a crash
loses is a few seconds of counting, and no request waits for the disk because of it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, Session, SQLModel

from app.core.columns import moment
from app.core.errors import TooManyRequests

_CLOCKS_DIFFER = timedelta(minutes=1)  # more than the clocks of two machines do


class RateLimit(SQLModel, table=True):
    """Until when a bucket is used up. `bucket` is the kind and the id of its owner."""

    __tablename__ = "rate_limit"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)

    bucket: str = Field(primary_key=True)
    used_until: datetime = moment()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How many requests a second in the long run, and how many at once after a pause."""

    per_second: float
    at_once: int

    @property
    def interval(self) -> timedelta:
        """The time in which one request comes back."""
        return timedelta(seconds=1 / self.per_second)

    @property
    def retry_after_seconds(self) -> int:
        """What `Retry-After` says: whoever is refused has one request back within one interval."""
        return max(1, ceil(1 / self.per_second))


def take(session: Session | sa.Connection, bucket: str, rate: Rate, *, now: datetime, count: int = 1) -> bool:
    """Take requests out of a bucket; False when it does not hold so many, and then nothing is written.

    Two at the same moment wait for each other on the row, so together they never take more than there is. A bucket that
    is used up until long after it could be was written before a clock was set back: it begins anew.
    """
    used = _column("used_until")
    full = now + rate.interval * rate.at_once
    begun = sa.case((used > full + _CLOCKS_DIFFER, sa.literal(now)), else_=sa.func.greatest(used, now))
    after = begun + sa.literal(rate.interval * count)
    first = insert(RateLimit).values(bucket=bucket, used_until=now + rate.interval * count)
    statement = first.on_conflict_do_update(
        index_elements=[_column("bucket")], set_={"used_until": after}, where=after <= full
    ).returning(used)
    return session.execute(statement).first() is not None


def too_many(rate: Rate) -> TooManyRequests:
    """Return the refusal of somebody whose bucket is empty."""
    return TooManyRequests(
        f"At most {rate.at_once} at once, then {rate.per_second:g} a second. Wait the seconds in Retry-After.",
        headers={"Retry-After": str(rate.retry_after_seconds)},
    )


def _column(name: str) -> sa.Column[Any]:
    return RateLimit.__table__.c[name]  # type: ignore[attr-defined,no-any-return]
