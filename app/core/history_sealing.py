"""Seals: records that state where the history stood. Once a day, and once after a key came to an older history.

A seal is of use outside the database: there, somebody who cuts off the end of the history cannot reach it. Each is
given to a witness once it is committed; the log is the first one.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy import Engine
from sqlmodel import Session

from app.core import history
from app.core.clock import AMSTERDAM
from app.core.database import transaction
from app.core.history import OPERATOR, SEALED, SYSTEM, Fact, Head, HistoryActor

_LOG = structlog.get_logger(__name__)
# A sealed head is evidence, not chatter: its line is written whatever LOONSTROOM_LOG_LEVEL says of all others.
logging.getLogger(__name__).setLevel(logging.INFO)
# Histories with a record of an earlier day that no seal states yet.
_DUE = sa.text(
    "SELECT head.organization_id FROM history_head head JOIN history_entry entry "
    "ON entry.organization_id = head.organization_id AND entry.sequence = head.sealed_sequence + 1 "
    "WHERE head.sequence > head.sealed_sequence AND head.mac IS NOT NULL AND entry.occurred_at < :today "
    "ORDER BY head.organization_id"
)
_OLDER = sa.text("SELECT organization_id FROM history_head WHERE mac IS NULL ORDER BY organization_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedHead:
    """What a witness keeps: the seal itself, by number and mac. It covers every record up to it."""

    organization_id: UUID
    sequence: int
    mac: bytes
    sealed_at: datetime


Witness = Callable[[SealedHead], None]


def log_head(head: SealedHead) -> None:
    """Write a sealed head to the log, which the database does not reach."""
    _LOG.info("history_sealed", organization_id=str(head.organization_id), sequence=head.sequence, mac=head.mac.hex())


def seal_due(engine: Engine, now: datetime, *, witness: Witness = log_head) -> list[SealedHead]:
    """Seal every history that has an unsealed record of an earlier day (Amsterdam); return the new heads.

    Harmless to repeat, and by two workers at once: what is due is asked again under the lock of the head.
    """
    today = now.astimezone(AMSTERDAM).replace(hour=0, minute=0, second=0, microsecond=0)
    with transaction(engine) as session:
        due = list(session.execute(_DUE, {"today": today}).scalars())
    return _seal_all(engine, due, now=now, actor=SYSTEM, witness=witness)


def seal_older(
    engine: Engine, now: datetime, *, reason: str | None = None, witness: Witness = log_head
) -> list[SealedHead]:
    """Seal every history without a mac. The operator's act: from here on these records cannot change.

    Nobody can tell here whether they are older than the key or were stripped of their macs: the caller knows.
    """
    with transaction(engine) as session:
        older = without_mac(session)
    return _seal_all(engine, older, now=now, actor=OPERATOR, witness=witness, reason=reason)


def without_mac(session: Session) -> list[UUID]:
    """Return the organizations whose history has no mac: nothing is added to it until it is sealed."""
    return list(session.execute(_OLDER).scalars())


def _seal_all(
    engine: Engine,
    organizations: list[UUID],
    *,
    now: datetime,
    actor: HistoryActor,
    witness: Witness,
    reason: str | None = None,
) -> list[SealedHead]:
    sealed = []
    for organization_id in organizations:
        with transaction(engine) as session:
            is_new = _seal(session, organization_id, now=now, actor=actor, reason=reason)
        if is_new:
            sealed.append(_head_of(engine, organization_id, now))
            witness(sealed[-1])
    return sealed


def _seal(session: Session, organization_id: UUID, *, now: datetime, actor: HistoryActor, reason: str | None) -> bool:
    head = history.lock_head(session, organization_id)
    if head.sequence == head.sealed_sequence:
        return False
    details = _statement(head) if reason is None else {**_statement(head), "reason": reason}
    history.record(
        session,
        Fact(organization_id=organization_id, event=SEALED, actor=actor, occurred_at=now, details=details),
    )
    return True


def _statement(head: Head) -> dict[str, object]:
    """Return what a seal says: where the history stood, and how many records came since the seal before."""
    return {
        "sequence": head.sequence,
        "hash": head.link.hash.hex(),
        "mac": None if head.link.mac is None else head.link.mac.hex(),
        "count": head.sequence - head.sealed_sequence,
    }


def _head_of(engine: Engine, organization_id: UUID, now: datetime) -> SealedHead:
    query = sa.text(
        "SELECT entry.sequence, entry.mac FROM history_head head JOIN history_entry entry "
        "ON entry.organization_id = head.organization_id AND entry.sequence = head.sealed_sequence "
        "WHERE head.organization_id = :id"
    )
    with transaction(engine) as session:
        row = session.execute(query, {"id": organization_id}).one()
    return SealedHead(organization_id=organization_id, sequence=row.sequence, mac=row.mac, sealed_at=now)
