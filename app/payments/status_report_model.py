"""What a status report (pain.002) says, as values: codes, ids and texts as the bank wrote them, nothing judged.

Source: the ISO 20022 message definition of CustomerPaymentStatusReport.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from app.core.money import decimal_text_to_cents


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a status was given: an ISO code or the bank's own, and whatever the bank adds in words."""

    code: str | None = None
    proprietary: str | None = None
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedStatus:
    """A status that the bank gives, with its reasons. `code` is None where it names something without a status."""

    code: str | None = None
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCount:
    """How many payments the bank counts under a status; both as written."""

    code: str | None
    count_text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedTotals:
    """How many payments of how much together the bank read in the original, and how it counts them by status."""

    count_text: str | None = None
    sum_text: str | None = None
    by_status: tuple[StatusCount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionStatus:
    """What the bank says of one payment, with as much of the payment as it repeats.

    `payment_information_id` is that of the block around it, or its own in pain.002.001.02, which has no blocks.
    """

    payment_information_id: str | None
    end_to_end_id: str | None
    instruction_id: str | None
    statement: StatedStatus
    amount_text: str | None
    currency: str | None
    creditor_name: str | None
    creditor_iban: str | None

    @property
    def amount_cents(self) -> int | None:
        """The repeated amount in euro cents; None when there is none, or none in whole cents of euros."""
        if self.amount_text is None or self.currency != "EUR":
            return None
        try:
            return decimal_text_to_cents(self.amount_text)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionStatus:
    """One block of a report: what the bank says of a payment instruction, and of the payments that it names in it."""

    payment_information_id: str | None
    statement: StatedStatus
    totals: StatedTotals
    transactions: tuple[TransactionStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """A whole report. `created_at` is aware, in UTC, and None when the bank's text is no moment.

    `group` speaks of the file. `loose_transactions` stand outside any block, as pain.002.001.02 has them. Nothing is
    merged: an instruction or a payment that the bank mentions twice is here twice, in the order of the report.
    """

    schema: str
    message_id: str | None
    created_at_text: str | None
    created_at: datetime | None
    original_message_id: str | None
    original_message_name: str | None
    group: StatedStatus
    group_totals: StatedTotals
    instructions: tuple[InstructionStatus, ...]
    loose_transactions: tuple[TransactionStatus, ...]

    @property
    def transactions(self) -> Iterator[TransactionStatus]:
        """Every payment that the report names, in blocks or outside."""
        for instruction in self.instructions:
            yield from instruction.transactions
        yield from self.loose_transactions
