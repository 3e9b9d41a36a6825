"""Verifying a history: every record, the columns beside it, both chains, the seals and the head (ADR 0014).

Only reads. The first thing that is wrong is named with its place; what comes after it proves nothing any more.
"""

import json
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Session

from app.core.errors import TooManyRequests
from app.core.history import SEALED, HistoryEntry, HistoryHead, keys_of
from app.core.history_chain import START, Link, next_hash, next_mac

_ROWS_AT_ONCE = 1_000
_VERIFYING = 720_181  # advisory locks: of persons who verify now
_TURN_SECONDS = 30
_ENTRY = HistoryEntry.__table__  # type: ignore[attr-defined]
_HEAD = HistoryHead.__table__  # type: ignore[attr-defined]


class Fault(StrEnum):
    """What is wrong with a history at the place that is named."""

    MISSING = "missing"  # the record with this number is not there
    UNEXPECTED = "unexpected"  # a record with this number should not be there
    ALTERED = "altered"  # the hash does not follow from the payload and the record before
    FORGED = "forged"  # the hash follows, the mac does not: rewritten by somebody without the key
    UNKNOWN_KEY = "unknown_key"  # its key is not among ours
    NOT_SEALED = "not_sealed"  # no mac where there must be one
    COLUMNS_DIFFER = "columns_differ"  # a column beside the payload says something else than the payload
    SEAL_DIFFERS = "seal_differs"  # a seal states another head than the record before it
    HEAD_DIFFERS = "head_differs"  # the head does not say what the last record says
    NOT_AS_EXPECTED = "not_as_expected"  # another record stands where a head kept elsewhere points


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The first place where the history does not prove itself."""

    sequence: int
    what: Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownHead:
    """A head that was kept outside the database: the mac of a record, by its number."""

    sequence: int
    mac: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What verifying found. `sealed_at` is the time of the last seal; `unsealed` counts records older than the key."""

    organization_id: UUID
    records: int
    unsealed: int
    first_broken: Broken | None
    head_sequence: int
    head_mac: bytes | None
    sealed_at: datetime | None

    @property
    def verified(self) -> bool:
        """Say whether everything holds."""
        return self.first_broken is None


def verify(session: Session, organization_id: UUID, *, expected: KnownHead | None = None) -> Verdict:
    """Verify the history of an organization. The session must see one snapshot: see `snapshot`.

    `expected` is a head from a place that the database does not reach. It is the only thing that shows that the end of
    the history was cut off and the head set back with it.
    """
    head = head_row(session, organization_id)
    walk = _Walk(organization_id, keys_of(session).of(organization_id), expected)
    with closing(records(session, organization_id)) as rows:
        broken = next((fault for row in rows if (fault := walk.step(row))), None)
    return Verdict(
        organization_id=organization_id,
        records=walk.records,
        unsealed=walk.unsealed,
        first_broken=broken or walk.end(head),
        head_sequence=0 if head is None else head["sequence"],
        head_mac=None if head is None else head["mac"],
        sealed_at=walk.sealed_at,
    )


def snapshot(session: Session) -> None:
    """Have everything this session reads be of one moment. Called before it reads anything."""
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})


def take_turn(session: Session, person_id: UUID) -> None:
    """Have a person verify one history after the other, until the transaction ends; `TooManyRequests` otherwise.

    Verifying reads every record and keeps a processor busy for as long: many at once would keep webhooks waiting.
    """
    turn = sa.func.pg_try_advisory_xact_lock(_VERIFYING, sa.func.hashtext(str(person_id)))
    if not session.execute(sa.select(turn)).scalar_one():
        raise TooManyRequests(
            "You are verifying a history already. Wait for that answer, and ask again then.",
            headers={"Retry-After": str(_TURN_SECONDS)},
        )


def head_row(session: Session, organization_id: UUID) -> sa.RowMapping | None:
    """Return the head of a history as it is stored; None when there is none."""
    statement = sa.select(_HEAD).where(_HEAD.c.organization_id == organization_id)
    return session.execute(statement).mappings().one_or_none()


def records(session: Session, organization_id: UUID) -> Generator[sa.RowMapping, None, None]:
    """Give the rows of a history in order, read from the database bit by bit."""
    statement = sa.select(_ENTRY).where(_ENTRY.c.organization_id == organization_id).order_by(_ENTRY.c.sequence)
    with session.execute(statement, execution_options={"yield_per": _ROWS_AT_ONCE}) as found:
        yield from found.mappings()


class _Walk:
    """Goes along the records; keeps where both chains should stand."""

    def __init__(self, organization_id: UUID, keys: Mapping[str, bytes], expected: KnownHead | None) -> None:
        self._organization_id = organization_id
        self._keys = keys
        self._expected = expected
        self._link = START
        self._seal = 0
        self.records = 0
        self.unsealed = 0
        self.sealed_at: datetime | None = None

    def step(self, row: sa.RowMapping) -> Broken | None:
        """Check the next row; return what is wrong with it."""
        due = self.records + 1
        if row["sequence"] != due:
            kind = Fault.MISSING if row["sequence"] > due else Fault.UNEXPECTED
            return Broken(sequence=min(due, row["sequence"]), what=kind)
        fault = self._fault(row)
        if fault is not None:
            return Broken(sequence=due, what=fault)
        self.records = due
        self._link = Link(hash=row["hash"], mac=row["mac"])
        if row["mac"] is None:
            self.unsealed = due
        if row["event"] == SEALED:
            self._seal, self.sealed_at = due, row["occurred_at"]
        return None

    def _fault(self, row: sa.RowMapping) -> Fault | None:
        if row["hash"] != next_hash(self._link, row["payload"]):
            return Fault.ALTERED
        fault = self._fault_of_mac(row)
        if fault is not None:
            return fault
        said, details = _said(row["payload"])
        if said != _beside(row, self._organization_id):
            return Fault.COLUMNS_DIFFER
        if row["event"] == SEALED and not self._states_the_head(details):
            return Fault.SEAL_DIFFERS
        expected = self._expected
        if expected is not None and expected.sequence == row["sequence"] and expected.mac != row["mac"]:
            return Fault.NOT_AS_EXPECTED
        return None

    def _fault_of_mac(self, row: sa.RowMapping) -> Fault | None:
        opens = self.unsealed == self.records
        if row["mac"] is None:
            return None if opens else Fault.NOT_SEALED
        if opens and self.records > 0 and row["event"] != SEALED:
            return Fault.NOT_SEALED
        key = self._keys.get(row["key_id"])
        if key is None:
            return Fault.UNKNOWN_KEY
        return None if row["mac"] == next_mac(key, self._link, row["payload"]) else Fault.FORGED

    def _states_the_head(self, details: Mapping[str, Any]) -> bool:
        mac = None if self._link.mac is None else self._link.mac.hex()
        stated = (details.get("sequence"), details.get("mac"), details.get("hash"))
        return stated == (self.records, mac, self._link.hash.hex())

    def end(self, head: sa.RowMapping | None) -> Broken | None:
        """Check that the history ends where its head, and the head kept elsewhere, say."""
        last = self.records
        expected = 0 if self._expected is None else self._expected.sequence
        promised = max(expected, 0 if head is None else head["sequence"])
        if last == 0 or promised > last:
            return Broken(sequence=last + 1, what=Fault.MISSING)
        if head is None or head["sequence"] < last:
            return Broken(sequence=last if head is None else head["sequence"] + 1, what=Fault.HEAD_DIFFERS)
        if (head["hash"], head["mac"], head["sealed_sequence"]) != (self._link.hash, self._link.mac, self._seal):
            return Broken(sequence=last, what=Fault.HEAD_DIFFERS)
        return Broken(sequence=last, what=Fault.NOT_SEALED) if self._link.mac is None else None


def _beside(row: sa.RowMapping, organization_id: UUID) -> dict[str, Any]:
    """Return what the columns beside the payload say."""
    return {
        "organization_id": str(organization_id),
        "sequence": row["sequence"],
        "occurred_at": row["occurred_at"],
        "event": row["event"],
        "actor_kind": row["actor_kind"],
        "actor_id": _text(row["actor_id"]),
        "administration_id": _text(row["administration_id"]),
        "payment_batch_id": _text(row["payment_batch_id"]),
    }


def _said(payload: str) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Return what a payload says of the columns, and its details; nothing when it is none of our making.

    A record from before there was a key can be rewritten into anything that hashes rightly.
    """
    try:
        content = json.loads(payload)
        said = {name: content[name] for name in ("organization_id", "sequence", "event")}
        said |= {name: content[name] for name in ("administration_id", "payment_batch_id")}
        said |= {"actor_kind": content["actor"]["kind"], "actor_id": content["actor"]["id"]}
        said["occurred_at"] = datetime.fromisoformat(content["occurred_at"])
        return said, dict(content["details"])
    except (ValueError, KeyError, TypeError):
        return {}, {}


def _text(identifier: UUID | None) -> str | None:
    return None if identifier is None else str(identifier)
