"""Revealing: an auditor sees the unmasked lines of one batch, with one token, for a while; everybody can see that.

The reason is in the history before the first line is shown. Nothing is remembered beyond the reveal: when it ends, the
same token sees masked lines again.
"""

from datetime import timedelta
from uuid import UUID

from sqlmodel import Session, col, func, select

from app.auth.actor import Actor
from app.auth.models import Membership, Role
from app.core.errors import TooManyRequests
from app.payments.approving import visible_batch
from app.payments.context import Context
from app.payments.models import PaymentBatch, Reveal
from app.payments.retention import refuse_erased
from app.payments.transitions import Action, authorise, tell
from app.payments.visibility import Viewer, Visibility, visibility

LASTS = timedelta(minutes=15)
_DAY = timedelta(hours=24)
MOST_A_DAY = 20


class TooManyReveals(TooManyRequests):
    """One person looked into too many batches today: that is copying, not auditing."""

    code = "too_many_reveals"
    title = "Too many batches revealed"


def reveal(ctx: Context, session: Session, actor: Actor, batch_id: UUID, *, reason: str) -> Reveal:
    """Reveal a batch to this auditor's token for 15 minutes, and write who, which batch and why to the history.

    `RoleMissing` for anybody but an auditor of the employer; `TooManyReveals` beyond 20 in 24 hours.
    """
    batch = visible_batch(session, actor, batch_id)
    authorise(actor, batch, Action.REVEAL)
    refuse_erased(batch)
    # Two at one moment wait for each other here, so that they cannot both be the last one allowed.
    session.get_one(Membership, (actor.user_id, batch.employer_id, Role.AUDITOR), with_for_update=True)
    now = ctx.now()
    today = select(func.count()).where(
        Reveal.user_id == actor.user_id, Reveal.employer_id == batch.employer_id, col(Reveal.made_at) > now - _DAY
    )
    if session.exec(today).one() >= MOST_A_DAY:
        raise TooManyReveals(f"At most {MOST_A_DAY} batches are revealed to one person in 24 hours.")
    row = Reveal(
        id=ctx.new_id(),
        employer_id=batch.employer_id,
        batch_id=batch.id,
        user_id=actor.user_id,
        token_id=actor.token_id,
        reason=reason,
        made_at=now,
        ends_at=now + LASTS,
    )
    session.add(row)
    details = {"reveal_id": str(row.id), "reason": reason, "ends_at": row.ends_at.isoformat()}
    tell(session, batch, event="batch.revealed", actor=actor.as_history(), now=now, details=details)
    return row


def viewer_of(ctx: Context, session: Session, actor: Actor) -> Viewer:
    """Return who looks, with the batches that are revealed to this token now."""
    if not any(Role.AUDITOR in roles for roles in actor.employers.values()):
        return Viewer(actor=actor)
    open_now = select(Reveal.batch_id).where(Reveal.token_id == actor.token_id, col(Reveal.ends_at) > ctx.now())
    return Viewer(actor=actor, revealed=frozenset(session.exec(open_now)))


def seen_by(ctx: Context, session: Session, actor: Actor, batch: PaymentBatch) -> Visibility:
    """Return how much this person sees of the lines of a batch now."""
    return visibility(viewer_of(ctx, session, actor), batch.employer_id, batch.id)
