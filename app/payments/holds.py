"""Holds: rows that bar approving and handing out, each with its reason. Blocked is no status of a batch."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Session, col, select

from app.auth.actor import Actor
from app.core import history
from app.core.columns import any_of
from app.core.errors import Conflict, NotFound
from app.core.history import SYSTEM, Fact, HistoryActor
from app.payments.context import Context
from app.payments.locks import lock_batch
from app.payments.models import Administration, Hold, HoldScope, PaymentBatch
from app.payments.transitions import Action, authorise, require_rights, require_status, tell

BY_PERSON = "placed_by_person"


class Held(Conflict):
    """A hold bars this for now."""

    code = "held"
    title = "On hold"


def active(session: Session, *, scope: HoldScope, target_id: UUID | None, code: str) -> bool:
    """Say whether such a hold is in force."""
    statement = select(Hold.id).where(
        Hold.scope == scope, Hold.target_id == target_id, Hold.code == code, col(Hold.lifted_at).is_(None)
    )
    return session.exec(statement).first() is not None


def has(session: Session, batch: PaymentBatch, *, code: str) -> bool:
    """Say whether a batch itself has a hold with this code."""
    return active(session, scope=HoldScope.BATCH, target_id=batch.id, code=code)


def had(session: Session, batch: PaymentBatch, *, code: str) -> bool:
    """Say whether a batch has, or ever had, a hold of its own with this code."""
    statement = select(Hold.id).where(Hold.scope == HoldScope.BATCH, Hold.target_id == batch.id, Hold.code == code)
    return session.exec(statement.limit(1)).first() is not None


def of_batch(session: Session, batch: PaymentBatch) -> list[Hold]:
    """Return every hold that bars this batch: its own and its account's, connection's, employer's, the system's."""
    return list(of_batches(session, [batch])[batch.id])


def of_batches(session: Session, batches: Sequence[PaymentBatch]) -> Mapping[UUID, Sequence[Hold]]:
    """Return the holds that bar each of these batches, oldest first; asked once for all of them."""
    connections = _connections(session, batches)
    targets = {batch.id: _targets(batch, connections) for batch in batches}
    barring = {target for each in targets.values() for target in each}
    found = session.exec(
        select(Hold)
        .where(
            col(Hold.lifted_at).is_(None),
            sa.or_(
                col(Hold.scope) == HoldScope.SYSTEM,
                any_of(col(Hold.target_id), [target for _, target in barring if target is not None]),
            ),
        )
        .order_by(col(Hold.placed_at))
    ).all()
    return {
        identifier: [hold for hold in found if hold.scope == HoldScope.SYSTEM or (hold.scope, hold.target_id) in each]
        for identifier, each in targets.items()
    }


def _connections(session: Session, batches: Sequence[PaymentBatch]) -> Mapping[UUID, UUID]:
    """Return the connection of each administration of these batches."""
    administrations = {batch.administration_id for batch in batches}
    statement = select(Administration.id, Administration.connection_id)
    return dict(session.exec(statement.where(any_of(col(Administration.id), administrations))).all())


def _targets(batch: PaymentBatch, connections: Mapping[UUID, UUID]) -> set[tuple[str, UUID | None]]:
    return {
        (HoldScope.BATCH, batch.id),
        (HoldScope.ACCOUNT, batch.debtor_account_id),
        (HoldScope.CONNECTION, connections.get(batch.administration_id)),
        (HoldScope.EMPLOYER, batch.employer_id),
    }


def refuse_when_held(session: Session, batch: PaymentBatch) -> None:
    """Raise `Held` with every reason when something bars this batch."""
    found = of_batch(session, batch)
    if found:
        raise held([(hold.code, hold.reason) for hold in found])


def refuse_when_all_held(session: Session, employer_id: UUID) -> None:
    """Raise `Held` when a hold bars everything, or everything of this employer."""
    found = session.exec(
        select(Hold)
        .where(
            col(Hold.lifted_at).is_(None),
            sa.or_(
                col(Hold.scope) == HoldScope.SYSTEM,
                sa.and_(col(Hold.scope) == HoldScope.EMPLOYER, col(Hold.target_id) == employer_id),
            ),
        )
        .order_by(col(Hold.placed_at))
    ).all()
    if found:
        raise held([(hold.code, hold.reason) for hold in found])


def bars_since(session: Session, employer_id: UUID, moment: datetime) -> bool:
    """Say whether everything is on hold, or everything of this employer by a hold that was placed after a moment."""
    statement = select(Hold.id).where(
        col(Hold.lifted_at).is_(None),
        sa.or_(
            col(Hold.scope) == HoldScope.SYSTEM,
            sa.and_(
                col(Hold.scope) == HoldScope.EMPLOYER,
                col(Hold.target_id) == employer_id,
                col(Hold.placed_at) > moment,
            ),
        ),
    )
    return session.exec(statement.limit(1)).first() is not None


def held(reasons: Sequence[tuple[str, str]]) -> Held:
    """Return the refusal that names these holds, each by code and reason."""
    listed = [{"code": code, "reason": reason} for code, reason in reasons]
    return Held(" ".join(reason for _, reason in reasons), extra={"holds": listed})


def place(
    ctx: Context, session: Session, batch: PaymentBatch, *, code: str, reason: str, actor: HistoryActor = SYSTEM
) -> Hold:
    """Put a hold on a batch."""
    hold = Hold(
        id=ctx.new_id(),
        scope=HoldScope.BATCH,
        target_id=batch.id,
        code=code,
        reason=reason,
        placed_at=ctx.now(),
        placed_by=actor.id,
    )
    session.add(hold)
    tell(session, batch, event="batch.held", actor=actor, now=ctx.now(), details={"code": code, "reason": reason})
    return hold


def lift(ctx: Context, session: Session, batch: PaymentBatch, *, code: str, actor: HistoryActor) -> None:
    """Lift the holds with this code from a batch."""
    for hold in of_batch(session, batch):
        if hold.code == code and hold.scope == HoldScope.BATCH:
            hold.lifted_at, hold.lifted_by = ctx.now(), actor.id
            session.add(hold)
            tell(session, batch, event="batch.hold_lifted", actor=actor, now=ctx.now(), details={"code": code})


def place_by_person(ctx: Context, session: Session, actor: Actor, batch_id: UUID, *, reason: str) -> PaymentBatch:
    """Put a hold on a batch by hand; any preparer may."""
    batch = lock_batch(session, batch_id)
    authorise(actor, batch, Action.HOLD)
    place(ctx, session, batch, code=BY_PERSON, reason=reason, actor=actor.as_history())
    return batch


def lift_own(ctx: Context, session: Session, actor: Actor, batch_id: UUID, hold_id: UUID, *, reason: str) -> bool:
    """Lift a hold that a person placed; False when it is another kind of hold, which takes two people.

    A hold on a batch is lifted while the batch may still be approved or handed out. One on the employer bars what is
    not made yet as well, so it is lifted through any of its batches, whatever became of that.
    """
    batch = lock_batch(session, batch_id)
    hold = session.get(Hold, hold_id, with_for_update=True)
    require_rights(actor, batch, Action.LIFT_HOLD)
    if hold is None or hold.scope != HoldScope.EMPLOYER:
        require_status(batch, Action.LIFT_HOLD)
    if hold is None or (hold.scope, hold.target_id) not in (
        (HoldScope.BATCH, batch.id),
        (HoldScope.EMPLOYER, batch.employer_id),
    ):
        raise NotFound("No such hold on this batch.")
    if hold.lifted_at is not None:
        raise Conflict("The hold was lifted already.")
    if hold.code != BY_PERSON:
        return False
    hold.lifted_at, hold.lifted_by = ctx.now(), actor.user_id
    session.add(hold)
    details = {"code": hold.code, "reason": reason}
    tell(session, batch, event="batch.hold_lifted", actor=actor.as_history(), now=ctx.now(), details=details)
    return True


def place_on_system(ctx: Context, session: Session, *, code: str, reason: str) -> bool:
    """Put a hold on everything; False when one with this code is in force. Only the operator lifts it."""
    if active(session, scope=HoldScope.SYSTEM, target_id=None, code=code):
        return False
    session.add(
        Hold(id=ctx.new_id(), scope=HoldScope.SYSTEM, target_id=None, code=code, reason=reason, placed_at=ctx.now())
    )
    return True


def lift_system(ctx: Context, session: Session, codes: Collection[str]) -> list[str]:
    """Lift the holds on everything with these codes; return the codes of what was lifted."""
    rows = session.exec(
        select(Hold)
        .where(Hold.scope == HoldScope.SYSTEM, col(Hold.code).in_(codes), col(Hold.lifted_at).is_(None))
        .with_for_update()
    ).all()
    for hold in rows:
        hold.lifted_at = ctx.now()
        session.add(hold)
    return sorted({hold.code for hold in rows})


def place_on_employer(
    ctx: Context, session: Session, employer_id: UUID, *, code: str, reason: str, actor: HistoryActor
) -> bool:
    """Put a hold on everything of an employer; two of its people lift it. False when it has this very one.

    With another reason it is another hold: what is to be looked for a second time must not hide behind the first.
    """
    same = select(Hold.id).where(
        *(Hold.scope == HoldScope.EMPLOYER, Hold.target_id == employer_id),
        *(Hold.code == code, Hold.reason == reason, col(Hold.lifted_at).is_(None)),
    )
    if session.exec(same.limit(1)).first() is not None:
        return False
    session.add(
        Hold(
            id=ctx.new_id(),
            scope=HoldScope.EMPLOYER,
            target_id=employer_id,
            code=code,
            reason=reason,
            placed_at=ctx.now(),
            placed_by=actor.id,
        )
    )
    _tell_employer(ctx, session, employer_id, event="employer.held", actor=actor, details={"code": code})
    return True


def lift_of_employer(ctx: Context, session: Session, hold: Hold, *, reason: str, actor: HistoryActor) -> None:
    """Lift a hold on an employer."""
    if hold.target_id is None:
        raise NotFound("No such hold on an employer.")
    hold.lifted_at, hold.lifted_by = ctx.now(), actor.id
    session.add(hold)
    details = {"code": hold.code, "reason": reason}
    _tell_employer(ctx, session, hold.target_id, event="employer.hold_lifted", actor=actor, details=details)


def _tell_employer(
    ctx: Context, session: Session, employer_id: UUID, *, event: str, actor: HistoryActor, details: Mapping[str, Any]
) -> None:
    fact = Fact(organization_id=employer_id, event=event, actor=actor, occurred_at=ctx.now(), details=details)
    history.record(session, fact)
