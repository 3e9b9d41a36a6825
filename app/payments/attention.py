"""What a person should look at: a file that was handed out and never heard of, a batch without proof.

Pure. The sweep writes each code once in the history; the view shows them as long as they hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Self

from app.core.clock import amsterdam_date
from app.payments import calendar
from app.payments.bank_profiles import BankProfile
from app.payments.models import BankStatus, BatchStatus, LinkMode, PaymentBatch, PaymentFile

PROOF_WITHIN_BANK_DAYS = 3
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a batch is, as far as it matters here."""

    status: str
    is_live: bool
    requested_execution_date: date
    delivered_at: datetime | None
    is_handed_out: bool
    is_proven: bool
    awaits_signature: bool
    bank_contradicts: bool
    somebody_can_approve: bool

    @classmethod
    def of(cls, batch: PaymentBatch, files: Sequence[PaymentFile], *, somebody_can_approve: bool) -> Self:
        """Return the standing of a batch with its files that are not void, and whether its employer has approvers."""
        return cls(
            status=batch.status,
            is_live=batch.mode == LinkMode.LIVE,
            requested_execution_date=batch.requested_execution_date,
            delivered_at=batch.delivered_at,
            is_handed_out=any(file.handed_out_at is not None for file in files),
            is_proven=all(file.bank_status != BankStatus.NONE for file in files),
            awaits_signature=any(file.awaits_signature for file in files),
            bank_contradicts=batch.bank_contradicts,
            somebody_can_approve=somebody_can_approve,
        )


def of_batch(standing: Standing, profile: BankProfile, now: datetime) -> list[str]:
    """Return the codes of what a person should look at."""
    if not standing.is_live:
        return []
    known = {
        "delivery_unknown": standing.status == BatchStatus.DELIVERY_UNKNOWN,
        "nobody_can_approve": standing.status == BatchStatus.PENDING and not standing.somebody_can_approve,
        "approve_today": _approve_today(standing, profile, now),
        "file_not_handed_out": _not_handed_out(standing, profile, now),
        "handed_out_no_word": _no_word(standing, profile, now),
        "no_word_after_execution_date": _no_word_after(standing, now),
        "no_proof": _no_proof(standing, now),
        "awaits_bank_signature": standing.awaits_signature,
        "bank_contradicts": standing.bank_contradicts,
    }
    return [code for code, holds in known.items() if holds]


def _approve_today(standing: Standing, profile: BankProfile, now: datetime) -> bool:
    until = calendar.approve_before(standing.requested_execution_date, profile)
    return standing.status == BatchStatus.PENDING and amsterdam_date(now) >= amsterdam_date(until)


def _not_handed_out(standing: Standing, profile: BankProfile, now: datetime) -> bool:
    until = calendar.release_before(standing.requested_execution_date, profile)
    waits = standing.status == BatchStatus.APPROVED and not standing.is_handed_out
    return waits and amsterdam_date(now) >= amsterdam_date(until)


def _no_word(standing: Standing, profile: BankProfile, now: datetime) -> bool:
    """Say whether it is time to ask: the file was fetched and the cut-off has come; was it handed in."""
    until = calendar.release_before(standing.requested_execution_date, profile)
    return standing.status == BatchStatus.APPROVED and standing.is_handed_out and now >= until


def _no_word_after(standing: Standing, now: datetime) -> bool:
    """A bank day after the execution date it is an alarm."""
    first = calendar.next_bank_day(standing.requested_execution_date)
    waits = standing.status == BatchStatus.APPROVED and standing.is_handed_out
    return waits and amsterdam_date(now) >= first


def last_day_without_proof(today: date) -> date:
    """Return the last day of delivery for which the bank should have said something by now."""
    day = calendar.add_bank_days(today, -PROOF_WITHIN_BANK_DAYS - 1)
    while calendar.add_bank_days(day + _DAY, PROOF_WITHIN_BANK_DAYS) <= today:
        day += _DAY
    return day


def _no_proof(standing: Standing, now: datetime) -> bool:
    """Delivered three bank days ago, and nothing shows that the bank has it."""
    if standing.status != BatchStatus.DELIVERED or standing.delivered_at is None or standing.is_proven:
        return False
    return amsterdam_date(standing.delivered_at) <= last_day_without_proof(amsterdam_date(now))
