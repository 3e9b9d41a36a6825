"""Refused attempts that somebody should know of: written to the history in a transaction of their own.

The request itself is rolled back, so nothing it wrote would stay. What matters is acting on money: approving,
recalling, rejecting, cancelling, fetching the file, saying that it is at the bank.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from sqlmodel import Session

from app.auth.actor import Actor
from app.auth.pins import PinChangedRecently, PinIncorrect, PinLocked, PinNotSet
from app.core import history
from app.core.database import transaction
from app.core.errors import AppError, Forbidden, NotFound
from app.core.history import Fact, HistoryActor
from app.payments.context import Context
from app.payments.models import PaymentBatch
from app.payments.transitions import Action

# Who owns the batch learns that it was asked for, and not by whom: people of another tenant are not shown to it.
STRANGER = HistoryActor(kind="user", name="Iemand van een andere organisatie")
# `approving.check_pin` has written these already.
_WRITTEN_ALREADY = (PinIncorrect, PinLocked, PinNotSet, PinChangedRecently)


@contextmanager
def noted(ctx: Context, actor: Actor, batch_id: UUID, action: Action) -> Iterator[None]:
    """Write it to the history when what happens inside is refused; the refusal goes on as it was.

    A missing role or scope and a batch that is not the actor's are always written, an approval whatever the reason.
    """
    try:
        yield
    except _WRITTEN_ALREADY:
        raise
    except AppError as refusal:
        if action is Action.APPROVE or isinstance(refusal, Forbidden | NotFound):
            with transaction(ctx.as_service().engine) as session:  # also the owner of the batch learns of it
                _note(ctx, session, actor, batch_id=batch_id, action=action, refusal=refusal)
        raise


def _note(ctx: Context, session: Session, actor: Actor, *, batch_id: UUID, action: Action, refusal: AppError) -> None:
    batch = session.get(PaymentBatch, batch_id)
    if batch is not None and batch.employer_id in actor.readable_employers:
        if isinstance(refusal, NotFound):
            return  # the batch is theirs; it only has no such file or approval
        event = "approval.refused" if action is Action.APPROVE else "access.refused"
        _record(ctx, session, batch, actor.as_history(), event=event, action=action, refusal=refusal)
        return
    if batch is not None:
        _record(ctx, session, batch, STRANGER, event="access.refused", action=action, refusal=refusal)
    for organization_id in actor.organizations:
        fact = Fact(
            organization_id=organization_id,
            event="access.refused",
            actor=actor.as_history(),
            occurred_at=ctx.now(),
            details={"code": refusal.code, "action": action.value, "asked": str(batch_id)},
        )
        history.record(session, fact)


def _record(
    ctx: Context,
    session: Session,
    batch: PaymentBatch,
    actor: HistoryActor,
    *,
    event: str,
    action: Action,
    refusal: AppError,
) -> None:
    fact = Fact(
        organization_id=batch.employer_id,
        event=event,
        actor=actor,
        occurred_at=ctx.now(),
        administration_id=batch.administration_id,
        payment_batch_id=batch.id,
        details={"code": refusal.code, "action": action.value, "revision": batch.revision},
    )
    history.record(session, fact)
