"""Which lines of a reading must wait for a person, because their run or their period was paid in part already."""

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Session, col, select

from app.core.columns import any_of
from app.payments import claims, revising
from app.payments.models import BatchStatus, Claim, CreditTransfer, Obligation, PaymentBatch, PayrollRun, TransferStatus
from app.payments.obligations import OwedLine

GONE = "gone_at_source"
RUN_CHANGED = "run_changed_after_approval"


def reasons_to_wait(session: Session, run: PayrollRun, lines: Sequence[OwedLine]) -> dict[UUID, str]:
    """Return why lines must wait for a person, by obligation."""
    codes: dict[UUID, set[str | None]] = {}
    for obligation_id, code in session.exec(
        select(CreditTransfer.obligation_id, CreditTransfer.hold_code)
        .join(PaymentBatch, col(PaymentBatch.id) == col(CreditTransfer.batch_id))
        .where(PaymentBatch.run_id == run.id)
    ):
        codes.setdefault(obligation_id, set()).add(code)
    any_claim, is_paying = _has_claims(session, run.id), _is_paying(session, run.id)
    # The day that a source was asked about is the batch's own; an upload is proposed for that of its document.
    paid_on = {line.execution_date for line in lines} if run.source_kind == "upload" else {run.payment_date_asked}
    elsewhere = revising.claimed_in_period(session, run, [line.written.creditor for line in lines], paid_on)
    waiting: dict[UUID, str] = {}
    for line in lines:
        seen = codes.get(line.obligation_id)
        # A line that waited still does as long as the run pays anybody: neither ending its batch and offering the run
        # again, nor taking it out at the source and putting it back, frees it. A recall does: nothing was paid then.
        still_waits = seen is not None and seen <= {RUN_CHANGED, GONE} and is_paying
        if (seen is None and any_claim) or still_waits:
            waiting[line.obligation_id] = RUN_CHANGED
        elif (line.written.creditor, line.amount_cents) in elsewhere:
            waiting[line.obligation_id] = "possibly_already_paid"
    return waiting


def _has_claims(session: Session, run_id: UUID, *which: sa.ColumnElement[bool]) -> bool:
    statement = select(Obligation.id).where(
        Obligation.run_id == run_id, sa.exists().where(col(Claim.obligation_id) == col(Obligation.id), *which)
    )
    return session.exec(statement.limit(1)).first() is not None


def _is_paying(session: Session, run_id: UUID) -> bool:
    """Say whether lines of a run are being paid, were paid, or were in a file that left the house."""
    held = sa.or_(col(Claim.state).in_(claims.HELD_STATES), col(Claim.was_handed_out))
    return _has_claims(session, run_id, held)


def follow_left_lines(session: Session, run_id: UUID, present: Sequence[UUID]) -> None:
    """Lines that earlier batches left unpaid are owed as long as the source lists them, and no longer."""
    left = (
        sa.update(CreditTransfer)
        .where(
            col(CreditTransfer.batch_id) == col(PaymentBatch.id),
            col(PaymentBatch.run_id) == run_id,
            col(PaymentBatch.status) != BatchStatus.PENDING,
            col(CreditTransfer.status).in_((TransferStatus.INVALID, TransferStatus.HELD, TransferStatus.EXCLUDED)),
        )
        .execution_options(synchronize_session=False)
    )
    is_there = any_of(col(CreditTransfer.obligation_id), present)
    back = RUN_CHANGED if _is_paying(session, run_id) else None
    session.execute(left.where(is_there, col(CreditTransfer.hold_code) == GONE).values(hold_code=back))
    session.execute(
        left.where(~is_there, sa.func.coalesce(col(CreditTransfer.hold_code), "") != GONE).values(hold_code=GONE)
    )
    session.expire_all()


def unlisted(session: Session, run_id: UUID, present: Sequence[UUID]) -> list[UUID]:
    """Return what a run ever owed and a reading with these obligations lists no longer."""
    statement = select(Obligation.id).where(Obligation.run_id == run_id, ~any_of(col(Obligation.id), present))
    return sorted(session.exec(statement))
