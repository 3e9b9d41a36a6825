"""A reading of a run on its way in, and what can become of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from app.core import memory
from app.core.columns import any_of
from app.core.history import SYSTEM, HistoryActor
from app.payments.models import SourceReading
from app.payments.ports import SourceBatch
from app.payments.totals import lines_hash


class ReadingOutcome(StrEnum):
    """What became of a reading."""

    DOUBTFUL = "doubtful"
    EMPTY = "empty"
    UNCHANGED = "unchanged"
    BATCH_MADE = "batch_made"
    BATCH_REVISED = "batch_revised"
    LATE = "late"


@dataclass(slots=True, kw_only=True)
class Reading:
    """A document that was read, with the row that keeps its raw bytes. `extras` is what else the source said.

    `offer_again`: a person offers the lines of batches that ended without a file once more.
    """

    row: SourceReading
    document: SourceBatch
    extras: Mapping[str, Any] = field(default_factory=dict)
    offer_again: bool = False
    actor: HistoryActor = SYSTEM

    def let_go(self) -> None:
        """Forget the document, once its lines are rows: of a large run it takes as much memory as judging it does."""
        is_large = len(self.document.transfers) > _LARGE
        del self.document
        if is_large:
            memory.give_back()


_LARGE = 5_000
# A reading that nobody looked at yet, and one that came too late to be looked at.
_NOT_TAKEN_IN = ("raw", ReadingOutcome.LATE.value)


def readings_taken_in(session: Session, run_id: UUID) -> frozenset[UUID]:
    """Return the readings of a run that were taken in, whatever came of them."""
    taken = select(SourceReading.id).where(
        SourceReading.run_id == run_id, col(SourceReading.outcome).not_in(_NOT_TAKEN_IN)
    )
    return frozenset(session.exec(taken))


def is_newest_whole(session: Session, run_id: UUID) -> bool:
    """Say whether the newest reading that was taken in had payments that add up: what an older one says is past."""
    newest = (
        select(SourceReading.outcome)
        .where(SourceReading.run_id == run_id, col(SourceReading.outcome).not_in(_NOT_TAKEN_IN))
        .order_by(col(SourceReading.fetched_at).desc(), col(SourceReading.id).desc())
        .limit(1)
    )
    return session.exec(newest).first() == "read"


def is_uploaded(session: Session, reading_id: UUID) -> bool:
    """Say whether a reading is a file that somebody uploaded: a source is always asked for a payment date."""
    asked = select(col(SourceReading.payment_date_asked)).where(SourceReading.id == reading_id)
    return session.exec(asked).one() is None


def is_contradicted(session: Session, run_id: UUID, reading: Reading, *, known: frozenset[UUID]) -> bool:
    """Say whether a reading that was taken in since (not among those `known` when it was asked for) says otherwise.

    No clock is asked: those of two machines may differ by more than the two readings are apart.
    """
    since = readings_taken_in(session, run_id) - known
    rows = session.exec(
        select(SourceReading.outcome, SourceReading.lines_hash).where(any_of(col(SourceReading.id), list(since)))
    ).all()
    same = ("read", lines_hash(reading.document)) if rows else None
    return any(row != same for row in rows)


def leave_out(session: Session, reading: Reading) -> None:
    """Keep a reading as evidence, and take nothing from it."""
    reading.row.outcome = ReadingOutcome.LATE
    session.add(reading.row)
