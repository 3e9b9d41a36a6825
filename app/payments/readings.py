"""A reading of a run on its way in, and what can become of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from app.core.history import SYSTEM, HistoryActor
from app.payments.models import SourceReading
from app.payments.ports import SourceBatch


class ReadingOutcome(StrEnum):
    """What became of a reading."""

    DOUBTFUL = "doubtful"
    EMPTY = "empty"
    UNCHANGED = "unchanged"
    BATCH_MADE = "batch_made"
    BATCH_REVISED = "batch_revised"


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
        del self.document
