"""History: what happened, append-only, numbered without gaps for each organization.

A record's payload is canonical JSON (RFC 8785) and never changes. Records made in a transaction are written at its very
end, heads locked in the order of organization ids, so that history never adds a deadlock and a rolled-back fact leaves
no trace and no gap. Each record carries the hash and the mac of the chains up to it (`core.history_chain`, ADR 0014).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import rfc8785
import sqlalchemy as sa
from sqlmodel import Field, Session, SQLModel

from app.core.columns import moment
from app.core.database import HISTORY_KEYS, before_commit
from app.core.errors import Unavailable
from app.core.history_chain import START, HistoryKeys, Link, next_link, organization_key

_PENDING = "history"
# The event of a record that states where the history stood: the head before it.
SEALED = "history.sealed"

_LOCK = sa.text(
    "INSERT INTO history_head (organization_id, sequence, hash) VALUES (:organization_id, 0, :start) "
    "ON CONFLICT (organization_id) DO UPDATE SET sequence = history_head.sequence "
    "RETURNING sequence, hash, mac, sealed_sequence"
)
# Records and head in one statement, whatever their number.
_APPEND = sa.text(
    """
    WITH head AS (
        UPDATE history_head
        SET sequence = :head_sequence, hash = :head_hash, mac = :head_mac, sealed_sequence = :sealed_sequence
        WHERE organization_id = :organization_id
    )
    INSERT INTO history_entry (
        organization_id, key_id, sequence, occurred_at, event, actor_kind, actor_id, administration_id,
        payment_batch_id, payload, hash, mac
    )
    SELECT CAST(:organization_id AS uuid), CAST(:key_id AS text), record.*
    FROM unnest(
        CAST(:sequences AS bigint[]), CAST(:occurred_ats AS timestamptz[]), CAST(:events AS text[]),
        CAST(:actor_kinds AS text[]), CAST(:actor_ids AS uuid[]), CAST(:administration_ids AS uuid[]),
        CAST(:payment_batch_ids AS uuid[]), CAST(:payloads AS text[]), CAST(:hashes AS bytea[]), CAST(:macs AS bytea[])
    ) AS record
    """
)


class HistoryKeyMissing(Exception):
    """Somebody writes history through an engine that was built without the keys."""


class HistoryNotSealed(Unavailable):
    """There are only records without a mac: older than the key and not sealed yet, or stripped of their macs."""

    code = "history_not_sealed"
    title = "The history cannot be added to now"


class HistoryHead(SQLModel, table=True):
    """Where an organization's history stands: its last record, and its last seal. Locked while one is added."""

    __tablename__ = "history_head"

    organization_id: UUID = Field(primary_key=True)
    sequence: int = Field(sa_type=sa.BigInteger)
    hash: bytes
    mac: bytes | None = None
    sealed_sequence: int = Field(default=0, sa_type=sa.BigInteger, sa_column_kwargs={"server_default": sa.text("0")})


class HistoryEntry(SQLModel, table=True):
    """One record. `payload` is canonical JSON; the id columns beside it only serve queries and repeat what it says.

    `mac` and `key_id` are empty in records from before there was a key; the first seal covers them.
    """

    __tablename__ = "history_entry"
    __table_args__ = (
        sa.Index("ix_history_entry_batch", "payment_batch_id", "organization_id", "sequence"),
        sa.Index("ix_history_entry_newest", "organization_id", "occurred_at", "sequence"),
        sa.CheckConstraint("sequence > 0", name="ck_history_entry_sequence"),
        sa.CheckConstraint("(mac IS NULL) = (key_id IS NULL)", name="ck_history_entry_mac"),
    )

    organization_id: UUID = Field(primary_key=True)
    sequence: int = Field(primary_key=True, sa_type=sa.BigInteger)
    occurred_at: datetime = moment()
    event: str
    actor_kind: str
    actor_id: UUID | None = None
    administration_id: UUID | None = None
    payment_batch_id: UUID | None = None
    payload: str
    hash: bytes
    mac: bytes | None = None
    key_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where a history stands: number of the last record, its hash and mac, and the number of the last seal."""

    organization_id: UUID
    sequence: int
    link: Link
    sealed_sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryActor:
    """Who did it: `user` (with id and name), `operator` (the command line), `system`, `source` or `bank`."""

    kind: str
    id: UUID | None = None
    name: str = ""
    token_id: UUID | None = None


SYSTEM = HistoryActor(kind="system", name="Loonstroom")
OPERATOR = HistoryActor(kind="operator", name="operator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that happened to an organization. `details` holds JSON without secrets, salaries or people's IBANs."""

    organization_id: UUID
    event: str
    actor: HistoryActor
    occurred_at: datetime
    administration_id: UUID | None = None
    payment_batch_id: UUID | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


def record(session: Session, fact: Fact) -> None:
    """Add a fact to the history of its organization, in the session's transaction."""
    session.info.setdefault(_PENDING, []).append(fact)
    before_commit(session, _write)


def lock_head(session: Session, organization_id: UUID) -> Head:
    """Return where an organization's history stands, locked until the transaction ends. One statement."""
    row = session.execute(_LOCK, {"organization_id": organization_id, "start": START.hash}).one()
    return Head(
        organization_id=organization_id,
        sequence=row.sequence,
        link=Link(hash=row.hash, mac=row.mac),
        sealed_sequence=row.sealed_sequence,
    )


def keys_of(session: Session) -> HistoryKeys:
    """Return the keys that seal the history, as the engine was given them."""
    keys: HistoryKeys | None = session.connection().get_execution_options().get(HISTORY_KEYS)
    if keys is None:
        message = "this engine was built without history keys, so it writes no history"
        raise HistoryKeyMissing(message)
    return keys


def _write(session: Session) -> None:
    facts: list[Fact] = session.info.pop(_PENDING, [])
    session.flush()
    keys = keys_of(session)
    for organization_id in sorted({fact.organization_id for fact in facts}):
        mine = [fact for fact in facts if fact.organization_id == organization_id]
        head = lock_head(session, organization_id)
        _require_sealed(head, mine)
        key = organization_key(keys.keys[keys.current], organization_id)
        session.execute(_APPEND, _appended(head, mine, key, keys.current))


def _require_sealed(head: Head, facts: Sequence[Fact]) -> None:
    """Only a seal may follow records that have no mac.

    Otherwise whoever strips every mac and rewrites the records would have the service itself seal the forgery.
    """
    if head.sequence > 0 and head.link.mac is None and facts[0].event != SEALED:
        raise HistoryNotSealed(
            "The records of this history have no mac. The operator finds out why, and what to do (docs/operations.md, "
            "chapter The history)."
        )


def _appended(head: Head, facts: Sequence[Fact], key: bytes, key_id: str) -> dict[str, Any]:
    """Return the parameters of `_APPEND`: the new records as columns, and the new head."""
    link, sealed = head.link, head.sealed_sequence
    payloads, links = [], []
    for sequence, fact in enumerate(facts, start=head.sequence + 1):
        payload = canonical_payload(fact, sequence)
        link = next_link(key, link, payload)
        sealed = sequence if fact.event == SEALED else sealed
        payloads.append(payload)
        links.append(link)
    return {
        "organization_id": head.organization_id,
        "head_sequence": head.sequence + len(facts),
        "head_hash": link.hash,
        "head_mac": link.mac,
        "sealed_sequence": sealed,
        "key_id": key_id,
        "sequences": list(range(head.sequence + 1, head.sequence + len(facts) + 1)),
        "occurred_ats": [fact.occurred_at for fact in facts],
        "events": [fact.event for fact in facts],
        "actor_kinds": [fact.actor.kind for fact in facts],
        "actor_ids": [fact.actor.id for fact in facts],
        "administration_ids": [fact.administration_id for fact in facts],
        "payment_batch_ids": [fact.payment_batch_id for fact in facts],
        "payloads": payloads,
        "hashes": [each.hash for each in links],
        "macs": [each.mac for each in links],
    }


def canonical_payload(fact: Fact, sequence: int) -> str:
    """Return the canonical JSON of a record: everything it says, its place in the sequence included."""
    content: dict[str, Any] = {
        "organization_id": str(fact.organization_id),
        "sequence": sequence,
        "occurred_at": fact.occurred_at.isoformat(),
        "event": fact.event,
        "actor": {
            "kind": fact.actor.kind,
            "id": _text(fact.actor.id),
            "name": fact.actor.name,
            "token_id": _text(fact.actor.token_id),
        },
        "administration_id": _text(fact.administration_id),
        "payment_batch_id": _text(fact.payment_batch_id),
        "details": dict(fact.details),
    }
    return rfc8785.dumps(content).decode()


def _text(identifier: UUID | None) -> str | None:
    return None if identifier is None else str(identifier)
