"""Asking the history whether a person did something, before it is acted on.

Who has the database can write a row; a record with its mac is only written by who has the key (ADR 0014).
"""

import hmac
import json
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Session, col, select

from app.core.errors import Unavailable
from app.core.history import HistoryEntry, keys_of
from app.core.history_chain import START, Link, mark_key, next_mac, organization_key

Said = Mapping[str, Any]
_MAC_BYTES = 32


class HistoryKeyUnknown(Unavailable):
    """A record is sealed with a history key that this process does not have: whether it holds cannot be told here."""

    code = "history_key_unknown"
    title = "The history cannot be asked now"


def last_said_of_batch(
    session: Session, organization_id: UUID, batch_id: UUID, *, actor_id: UUID, events: Collection[str]
) -> Said | None:
    """Return the last record of this person and batch among these events; None when there is none, or it is forged."""
    statement = (
        select(HistoryEntry)
        .where(
            HistoryEntry.organization_id == organization_id,
            HistoryEntry.payment_batch_id == batch_id,
            HistoryEntry.actor_id == actor_id,
            col(HistoryEntry.event).in_(events),
        )
        .order_by(col(HistoryEntry.sequence).desc())
        .limit(1)
    )
    entry = session.exec(statement).first()
    said = None if entry is None else _genuine(session, entry)
    of_batch = said is not None and said["payment_batch_id"] == str(batch_id)
    return said if said is not None and of_batch and _is_by(said, actor_id) and said["event"] in events else None


def said_at(session: Session, organization_id: UUID, moment: datetime, *, actor_id: UUID, event: str) -> list[Said]:
    """Return the records of this event by this person from exactly this moment, without those that are forged."""
    statement = select(HistoryEntry).where(
        HistoryEntry.organization_id == organization_id, HistoryEntry.occurred_at == moment
    )
    said = [_genuine(session, entry) for entry in session.exec(statement)]
    return [each for each in said if each is not None and _is_by(each, actor_id) and each["event"] == event]


def is_said_since(
    session: Session, organization_id: UUID, moment: datetime, *, events: Collection[str], naming: str
) -> bool:
    """Say whether a record of one of these events, from this moment on, names an id. One that is forged counts too."""
    statement = select(HistoryEntry.sequence).where(
        HistoryEntry.organization_id == organization_id,
        HistoryEntry.occurred_at >= moment,
        col(HistoryEntry.event).in_(events),
        col(HistoryEntry.payload).contains(naming, autoescape=True),
    )
    return session.exec(statement.limit(1)).first() is not None


def _is_by(said: Said, actor_id: UUID) -> bool:
    return bool(said["actor"]["id"] == str(actor_id))


def _genuine(session: Session, entry: HistoryEntry) -> Said | None:
    """Return what a record says when its mac follows from the record before it; the columns beside it are not read."""
    said: dict[str, Any] = json.loads(entry.payload)
    return said if _mac_holds(session, entry) and said["sequence"] == entry.sequence else None


def _mac_holds(session: Session, entry: HistoryEntry) -> bool:
    before = _before(session, entry)
    if entry.key_id is None or entry.mac is None or before is None:
        return False
    key = organization_key(_master(session, entry.key_id), entry.organization_id)
    return hmac.compare_digest(next_mac(key, before, entry.payload), entry.mac)


def _before(session: Session, entry: HistoryEntry) -> Link | None:
    if entry.sequence == 1:
        return START
    row = session.execute(
        sa.select(col(HistoryEntry.hash), col(HistoryEntry.mac)).where(
            col(HistoryEntry.organization_id) == entry.organization_id,
            col(HistoryEntry.sequence) == entry.sequence - 1,
        )
    ).one_or_none()
    if row is None or any(each is not None and len(each) != _MAC_BYTES for each in row):
        return None
    return Link(hash=row.hash, mac=row.mac)


def mark(session: Session, organization_id: UUID, content: bytes) -> str:
    """Return a keyed hash by which a record can say what was meant without showing it, as `key:hash`."""
    keys = keys_of(session)
    return f"{keys.current}:{_marked(keys.keys[keys.current], organization_id, content)}"


def is_marked(session: Session, organization_id: UUID, content: bytes, marked: object) -> bool:
    """Say whether a mark is that of this content."""
    key_id, _, value = str(marked).partition(":")
    return hmac.compare_digest(_marked(_master(session, key_id), organization_id, content), value)


def _master(session: Session, key_id: str) -> bytes:
    """Return a history key. One that is not here proves nothing, neither that a record holds nor that it is forged."""
    master = keys_of(session).keys.get(key_id)
    if master is None:
        raise HistoryKeyUnknown(
            "The history has a record about this that is sealed with a key which this process was not given. Start "
            "every process with all history keys. When none was ever left out, somebody wrote into the database."
        )
    return master


def _marked(master: bytes, organization_id: UUID, content: bytes) -> str:
    return hmac.digest(mark_key(master, organization_id), content, "sha256").hex()
