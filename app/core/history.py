"""History: what happened, append-only, numbered without gaps for each organization.

A record's payload is canonical JSON (RFC 8785) and never changes. Records made in a transaction are written at its very
end, heads locked in the order of organization ids, so that history never adds a deadlock and a rolled-back fact leaves
no trace and no gap.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import rfc8785
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, Session, SQLModel

from app.core.columns import moment
from app.core.database import before_commit

_PENDING = "history"


class HistoryHead(SQLModel, table=True):
    """The number of the last record of an organization; locked while one is added."""

    __tablename__ = "history_head"

    organization_id: UUID = Field(primary_key=True)
    sequence: int = Field(sa_type=sa.BigInteger)


class HistoryEntry(SQLModel, table=True):
    """One record. `payload` is canonical JSON; the id columns beside it only serve queries and repeat what it says."""

    __tablename__ = "history_entry"
    __table_args__ = (
        sa.Index("ix_history_entry_batch", "payment_batch_id", "organization_id", "sequence"),
        sa.CheckConstraint("sequence > 0", name="ck_history_entry_sequence"),
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


def _write(session: Session) -> None:
    facts: list[Fact] = session.info.pop(_PENDING, [])
    session.flush()
    for organization_id in sorted({fact.organization_id for fact in facts}):
        mine = [fact for fact in facts if fact.organization_id == organization_id]
        last = _advance_head(session, organization_id, len(mine))
        rows = [_row(fact, last - len(mine) + n) for n, fact in enumerate(mine, start=1)]
        session.execute(sa.insert(HistoryEntry), rows)


def _advance_head(session: Session, organization_id: UUID, count: int) -> int:
    statement = (
        insert(HistoryHead)
        .values(organization_id=organization_id, sequence=count)
        .on_conflict_do_update(
            index_elements=["organization_id"],
            set_={"sequence": HistoryHead.__table__.c.sequence + count},  # type: ignore[attr-defined]
        )
        .returning(HistoryHead.__table__.c.sequence)  # type: ignore[attr-defined]
    )
    return int(session.execute(statement).scalar_one())


def _row(fact: Fact, sequence: int) -> dict[str, Any]:
    return {
        "organization_id": fact.organization_id,
        "sequence": sequence,
        "occurred_at": fact.occurred_at,
        "event": fact.event,
        "actor_kind": fact.actor.kind,
        "actor_id": fact.actor.id,
        "administration_id": fact.administration_id,
        "payment_batch_id": fact.payment_batch_id,
        "payload": canonical_payload(fact, sequence),
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
