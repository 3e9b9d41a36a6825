"""A file that the bank has taken, and what became of it."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from hashlib import sha1, sha256

from simulators.bank.clock import AMSTERDAM
from simulators.bank.order import Batch, PaymentOrder, euros


class UploadState(StrEnum):
    """Where an upload stands."""

    WAITING = "waiting_for_signatures"
    SIGNED = "signed"
    EXECUTED = "executed"
    REMOVED = "removed"
    EXPIRED = "expired"


@dataclass(slots=True, kw_only=True)
class Upload:
    """An accepted file. `refused` and `returned` hold reason codes by EndToEndId: not debited, and come back."""

    id: int
    order: PaymentOrder
    data: bytes
    file_name: str | None
    received_at: datetime
    signatures_needed: int
    signature_days: int
    warnings: tuple[str, ...] = ()
    signed_by: list[str] = field(default_factory=list)
    signed_at: datetime | None = None
    removed_at: datetime | None = None
    refused: dict[str, str] = field(default_factory=dict)
    returned: dict[str, str] = field(default_factory=dict)

    def state(self, now: datetime) -> UploadState:
        """Where it stands at a moment."""
        if self.removed_at is not None:
            return UploadState.REMOVED
        if self.signed_at is None:
            last = self.received_at + timedelta(days=self.signature_days)
            return UploadState.EXPIRED if now > last else UploadState.WAITING
        executed = all(self.is_executed(batch, now) for batch in self.order.batches)
        return UploadState.EXECUTED if executed else UploadState.SIGNED

    def is_executed(self, batch: Batch, now: datetime) -> bool:
        """Whether the batch has been debited: signed, and its day has come."""
        return self.signed_at is not None and self.execution_day(batch) <= now.astimezone(AMSTERDAM).date()

    def execution_day(self, batch: Batch) -> date:
        """The day it is debited; who signs later than the day asked for is served on the day of signing."""
        signed = batch.execution_date if self.signed_at is None else self.signed_at.astimezone(AMSTERDAM).date()
        return max(batch.execution_date, signed)

    def shown(self, now: datetime) -> dict[str, object]:
        """What a bank's screen shows of it."""
        return {
            "id": self.id,
            "message_id": self.order.message_id,
            "schema": self.order.schema,
            "file_name": self.file_name,
            "state": self.state(now),
            "sha256": sha256(self.data).hexdigest(),
            "sha1": sha1(self.data, usedforsecurity=False).hexdigest(),  # a figure that banks show to compare
            "number": self.order.count,
            "total": euros(self.order.cents),
            "batches": [
                {
                    "payment_information_id": batch.payment_information_id,
                    "number": len(batch.transfers),
                    "total": euros(batch.cents),
                    "debtor_iban": batch.debtor_iban,
                    "execution_date": batch.execution_date.isoformat(),
                }
                for batch in self.order.batches
            ],
            "warnings": list(self.warnings),
            "signatures_needed": self.signatures_needed,
            "signed_by": list(self.signed_by),
            "received_at": self.received_at.isoformat(),
        }
