"""Changing the encryption key while running: every sealed value is opened with its own key and sealed with the current.

One value at a time, each in a transaction of its own, and written only when nobody changed it meanwhile: a request
that reads or replaces the value at the same moment is never in the way and never undone. What was done stays done, so
an interrupted rotation is simply started again. The values themselves tell which are left: each names its key.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql import distinct_on
from sqlmodel import Session

from app.core import history
from app.core.crypto import HEAD_BYTES, MARK_BYTES, Keyring, Place, SealBroken, key_named_by, mark_of
from app.core.database import transaction
from app.core.history import OPERATOR, Fact

SEALED_SUFFIX = "_sealed"
_PAGE = 500
# A process shows in PostgreSQL which key it seals with, so that nobody takes a key away that is still in use.
_SEALS_WITH = "loonstroom seals with "
_SEALING = sa.text(
    "SELECT substr(application_name, :skip) AS key_id, count(*) AS sessions FROM pg_stat_activity "
    "WHERE datname = current_database() AND starts_with(application_name, :prefix) GROUP BY 1"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedColumn:
    """A column of sealed values. `tenant` and `organization` are SQL over one row of its table.

    The tenant is what the seal binds; the organization is whose history tells of a rotation.
    """

    table: str
    column: str
    tenant: str
    organization: str

    @property
    def name(self) -> str:
        """The name that the seal binds: table and column, without the suffix."""
        return f"{self.table}.{self.column.removesuffix(SEALED_SUFFIX)}"

    @property
    def rows(self) -> sa.TableClause:
        """The table, as far as sealing knows it: always the same object, or a query would join it with itself."""
        return _rows_of(self.table, self.column)

    @property
    def is_filled(self) -> sa.ColumnElement[bool]:
        """Whether there is a value: a connection may have no secret, and a value past its term may be emptied."""
        return sa.func.octet_length(self.rows.c[self.column]) > 0

    @property
    def mark(self) -> sa.ColumnElement[bytes]:
        """The first bytes of the value, which name its key."""
        return _first_bytes(self.rows.c[self.column], MARK_BYTES)

    def one(self, row_id: UUID) -> sa.Select[tuple[bytes, UUID, UUID]]:
        """Select one value with its tenant and organization."""
        rows = self.rows
        whose = [
            sa.literal_column(f"({sql})", sa.Uuid).label(name)
            for name, sql in (("tenant", self.tenant), ("organization", self.organization))
        ]
        value = rows.c[self.column].label("sealed")
        return sa.select(value, *whose).select_from(rows).where(rows.c.id == row_id, self.is_filled)

    def exchange(self, row_id: UUID, head: bytes, fresh: bytes) -> sa.Executable:
        """Compare and set. The head holds a random nonce, so it is equal only while the value is as it was read."""
        rows = self.rows
        is_as_read = _first_bytes(rows.c[self.column], HEAD_BYTES) == head
        change = sa.update(rows).where(rows.c.id == row_id, is_as_read).values({self.column: fresh})
        return change.returning(rows.c.id)


@cache
def _rows_of(table: str, column: str) -> sa.TableClause:
    return sa.table(table, sa.column("id", sa.Uuid), sa.column(column, sa.LargeBinary))


def _first_bytes(value: sa.ColumnElement[bytes], count: int) -> sa.ColumnElement[bytes]:
    # Numbers, not parameters: PostgreSQL groups by an expression only where it sees that it is the same one.
    return sa.func.substring(value, sa.literal_column("1"), sa.literal_column(str(count)), type_=sa.LargeBinary)


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of the values of one column: sealed anew, and those that no key here opens, by row."""

    resealed: int = 0
    broken: list[UUID] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """The surroundings of a rotation. `progress` is called after each value with its column and the tally so far."""

    engine: Engine
    keyring: Keyring
    clock: Callable[[], datetime]
    progress: Callable[[SealedColumn, Tally], None]
    told: set[UUID] = field(default_factory=set)

    def reseal(self, column: SealedColumn) -> Tally:
        """Seal every value of a column with the current key, in the order of ids; return what became of them.

        What is sealed with another key while this runs, by a process that still has that key in front, may be missed:
        count afterwards, and do it again.
        """
        tally = Tally()
        for row_id in self._left(column):
            try:
                tally.resealed += self._reseal_one(column, row_id)
            except SealBroken:
                tally.broken.append(row_id)
            self.progress(column, tally)
        return tally

    def _left(self, column: SealedColumn) -> Iterator[UUID]:
        """Give the ids of values under another key. Ids only: one value may have megabytes."""
        rows = column.rows
        left = sa.select(rows.c.id).where(column.is_filled, column.mark != mark_of(self.keyring.current))
        after = UUID(int=0)
        while True:
            with transaction(self.engine) as session:
                page = list(session.execute(left.where(rows.c.id > after).order_by(rows.c.id).limit(_PAGE)).scalars())
            if not page:
                return
            yield from page
            after = page[-1]

    def _reseal_one(self, column: SealedColumn, row_id: UUID) -> bool:
        """Say whether the value was sealed anew; not when it is gone, changed meanwhile, or under the current key."""
        with transaction(self.engine) as session:
            row = session.execute(column.one(row_id)).one_or_none()
            if row is None or row.sealed[:MARK_BYTES] == mark_of(self.keyring.current):
                return False
            place = Place(tenant=row.tenant, column=column.name, row=row_id)
            fresh = self.keyring.seal(self.keyring.open(row.sealed, place), place)
            if session.execute(column.exchange(row_id, row.sealed[:HEAD_BYTES], fresh)).first() is None:
                return False
            self._tell(session, row.organization, key_named_by(row.sealed[:MARK_BYTES]))
        self.told.add(row.organization)
        return True

    def _tell(self, session: Session, organization_id: UUID, before: str) -> None:
        """One record for each organization and run of the command, in the transaction of the first value it changes."""
        if organization_id in self.told:
            return
        details = {"key_id": self.keyring.current, "previous_key_id": before}
        fact = Fact(
            organization_id=organization_id,
            event="keys.rotated",
            actor=OPERATOR,
            occurred_at=self.clock(),
            details=details,
        )
        history.record(session, fact)


def values_by_key(session: Session, column: SealedColumn) -> Mapping[str, int]:
    """Return how many values of a column each key seals, by key id. Reads the first bytes of every value."""
    query = sa.select(column.mark, sa.func.count()).where(column.is_filled).group_by(column.mark)
    found: Counter[str] = Counter()
    for mark, count in session.execute(query):
        found[key_named_by(mark)] += count
    return found


def keys_not_opening(session: Session, column: SealedColumn, keyring: Keyring) -> list[str]:
    """Return the ids of keys that are here by name and do not open what a key of that name sealed in this column.

    One value of each is tried: another key of the same name opens none of them.
    """
    rows = column.rows
    one_of_each = (
        sa.select(rows.c.id).where(column.is_filled).ext(distinct_on(column.mark)).order_by(column.mark, rows.c.id)
    )
    found = []
    for row_id in session.execute(one_of_each).scalars().all():
        row = session.execute(column.one(row_id)).one_or_none()
        if row is None or (key := key_named_by(row.sealed[:MARK_BYTES])) not in keyring.keys:
            continue
        try:
            keyring.open(row.sealed, Place(tenant=row.tenant, column=column.name, row=row_id))
        except SealBroken:
            found.append(key)
    return sorted(found)


def history_records_by_key(session: Session) -> Mapping[str, int]:
    """Return how many records of all histories each history key sealed; those from before there was a key as `none`."""
    query = sa.text("SELECT coalesce(key_id, 'none') AS key_id, count(*) AS records FROM history_entry GROUP BY 1")
    return {row.key_id: row.records for row in session.execute(query)}


def sealing_name(key_id: str) -> str:
    """Return the name under which a process that seals with this key is connected to PostgreSQL."""
    return f"{_SEALS_WITH}{key_id}"


def sessions_by_key(session: Session) -> Mapping[str, int]:
    """Return how many sessions of running processes seal with each key, by key id."""
    values = {"prefix": _SEALS_WITH, "skip": len(_SEALS_WITH) + 1}
    return {row.key_id: row.sessions for row in session.execute(_SEALING, values)}
