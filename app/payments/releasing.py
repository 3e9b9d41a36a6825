"""Setting a line free that came into a run after a part of it was approved: it replaces another line, or is additional.

Two people say which; that is seen to by the caller.
"""

from uuid import UUID

from sqlmodel import Session, select

from app.core.errors import Conflict, Invalid, NotFound, Problem
from app.core.history import HistoryActor
from app.payments import claims, revising
from app.payments.context import Context
from app.payments.deciding import NEEDS_TWO_PEOPLE
from app.payments.errors import NotAllowedNow
from app.payments.models import (
    BatchStatus,
    ClaimWay,
    CreditTransfer,
    Decision,
    PaymentBatch,
    TransferStatus,
)
from app.payments.statements import locked_line


class StillClaimed(Conflict):
    """The line that would be replaced is being paid, or was paid."""

    code = "replaced_line_is_claimed"
    title = "The replaced line is being paid"


def check_release(session: Session, transfer_id: UUID, replaces: UUID | None) -> tuple[CreditTransfer, PaymentBatch]:
    """Return a waiting line and its batch; refuse what does not wait, and a replaced line that has a claim."""
    row = session.get(CreditTransfer, transfer_id)
    if row is None:
        raise NotFound("No such line.")
    batch = session.get_one(PaymentBatch, row.batch_id)
    if batch.status != BatchStatus.PENDING or row.hold_code not in NEEDS_TWO_PEOPLE:
        raise NotAllowedNow("Only a line that waits because the run changed after an approval is set free here.")
    claims.refuse_held(session, row.obligation_id)
    if replaces is not None:
        _check_replaced(session, batch, row, replaces)
    return row, batch


def _check_replaced(session: Session, batch: PaymentBatch, row: CreditTransfer, replaces: UUID) -> CreditTransfer:
    other = session.get(CreditTransfer, replaces)
    of_same_run = other is not None and session.get_one(PaymentBatch, other.batch_id).run_id == batch.run_id
    if other is None or not of_same_run:
        message = "Choose a line of the same payroll run."
        raise Invalid(errors=[Problem(pointer="/replaces", code="replaces", message=message)])
    if other.obligation_id == row.obligation_id:
        # In a batch that ended the same line stands under another id: closing that one would close this one.
        message = "Choose another line: this is the line itself, as it stands in this batch or in an earlier one."
        raise Invalid(errors=[Problem(pointer="/replaces", code="replaces_itself", message=message)])
    if claims.held(session, [other.obligation_id]):
        raise StillClaimed(
            "The line that this one would replace is being paid, or was paid. Withdraw that first; or, when both are "
            'owed, say that this line is "additional".'
        )
    return other


def release_line(
    ctx: Context, session: Session, transfer_id: UUID, replaces: UUID | None, *, reason: str, actor: HistoryActor
) -> PaymentBatch:
    """Set a waiting line free. A replaced line is closed as not owed, so that it can never be paid as well."""
    row, batch = locked_line(session, transfer_id)
    check_release(session, transfer_id, replaces)
    if replaces is not None:
        other = _check_replaced(session, batch, row, replaces)
        _close_replaced(ctx, session, batch, other, reason)
    row.decision, row.decision_reason, row.hold_code = Decision.PAY, reason, None
    session.add(row)
    session.flush()
    details = {
        "transfer_id": str(row.id),
        "position": row.position,
        "replaces": str(replaces) if replaces else None,
        "reason": reason,
    }
    change = revising.Change(event="batch.line_released", actor=actor, values={"edited_by": actor.id}, details=details)
    revising.revise(ctx, session, batch, change)
    return batch


def _close_replaced(ctx: Context, session: Session, batch: PaymentBatch, other: CreditTransfer, reason: str) -> None:
    # The replaced line may wait here as well, after an earlier batch: then it is this row that must not be paid.
    waits_here = session.exec(
        select(CreditTransfer).where(
            CreditTransfer.batch_id == batch.id, CreditTransfer.obligation_id == other.obligation_id
        )
    ).one_or_none()
    other = waits_here or other
    home = session.get_one(PaymentBatch, other.batch_id)
    claims.close(session, home, other, way=ClaimWay.WAIVED, now=ctx.now(), new_id=ctx.new_id)
    other.status, other.decision_reason = TransferStatus.WAIVED, reason
    if home.id == batch.id:
        other.decision, other.hold_code = Decision.EXCLUDE, TransferStatus.WAIVED.value
    session.add(other)
