"""Whether a batch that waited looks paid by now: another run of its period was approved after it was last judged.

When a batch is made, lines that another run of the period pays already are held, and a period that was partly paid is
asked about. Two batches that wait side by side see nothing of each other then; so the second is judged once more when
somebody approves it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlmodel import Session, col, select

from app.core.errors import Conflict
from app.core.history import SYSTEM
from app.payments import lines, near_runs, revising
from app.payments.context import Context
from app.payments.lines import Line
from app.payments.locks import lock_batch
from app.payments.models import (
    BatchStatus,
    Decision,
    Finding,
    PaymentBatch,
    PayrollRun,
    TransferStatus,
)

LOOKS_PAID = "possibly_already_paid"
_ASKS = "partly_paid_period"


class PaidMeanwhile(Conflict):
    """Another run of the period was approved at this moment, and pays what this batch would pay."""

    code = "paid_meanwhile"
    title = "Another batch pays this at the same moment"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Doubts:
    """What is new since the batch was judged: lines that must wait, and whether the period must be asked about."""

    lines: Sequence[Line] = ()
    asks: bool = False

    @property
    def are_any(self) -> bool:
        return bool(self.lines) or self.asks


def judge_again(ctx: Context, session: Session, batch_id: UUID) -> None:
    """Hold the lines of a pending batch that another run pays by now, and ask what must be asked, in a new revision."""
    batch = lock_batch(session, batch_id)
    if batch.status != BatchStatus.PENDING:
        return
    doubts = _doubts(session, batch)
    if not doubts.are_any:
        return
    for row in doubts.lines:
        row.decision, row.hold_code = Decision.HOLD, LOOKS_PAID
    lines.store(session, doubts.lines, "decision", "hold_code")
    details = {"held": len(doubts.lines), "reason": LOOKS_PAID if doubts.lines else _ASKS}
    change = revising.Change(event="batch.judged_again", actor=SYSTEM, values={}, details=details)
    revising.revise(ctx, session, batch, change)


def refuse_paid_meanwhile(session: Session, batch: PaymentBatch) -> None:
    """Refuse, under the locks, a batch of which something was paid between the last look and this moment."""
    if _doubts(session, batch).are_any:
        raise PaidMeanwhile("Look at the batch again: another run of the same period was approved at this moment.")


def _doubts(session: Session, batch: PaymentBatch) -> _Doubts:
    run = session.get_one(PayrollRun, batch.run_id)
    if not _has_company(session, run, batch):
        return _Doubts()
    transfers = lines.of_batch(session, batch.id)
    creditors = [row.creditor_iban for row in transfers]
    paid = revising.claimed_in_period(session, run, creditors, [batch.requested_execution_date])
    return _Doubts(
        lines=[row for row in transfers if _would_pay(row) and (row.creditor_iban, row.amount_cents) in paid],
        asks=revising.partly_paid(paid, transfers) > _asked_about(session, batch),
    )


def _has_company(session: Session, run: PayrollRun, batch: PaymentBatch) -> bool:
    """Say whether the employer has another run of this period at all; mostly it has not, and nothing more is asked.

    One whose period cannot be compared is perhaps of this one when it is paid near this batch.
    """
    statement = select(PayrollRun.id).where(
        PayrollRun.employer_id == run.employer_id,
        PayrollRun.year == run.year,
        PayrollRun.period_start == run.period_start,
        PayrollRun.id != run.id,
    )
    if session.exec(statement.limit(1)).first() is not None:
        return True
    days = near_runs.days_of(session, run, [batch.requested_execution_date])
    return bool(near_runs.runs_beside(session, run, days))


def _would_pay(row: Line) -> bool:
    """Say whether a line is paid because nobody said otherwise; one that was put back with a reason stays as it is."""
    return row.status == TransferStatus.PAYABLE and row.decision_reason is None


def _asked_about(session: Session, batch: PaymentBatch) -> int:
    figures = session.exec(
        select(col(Finding.figures)).where(Finding.batch_id == batch.id, Finding.code == _ASKS)
    ).first()
    return int(figures["count"]) if figures else 0
