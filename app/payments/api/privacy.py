"""Who may see salaries for a while, and who did."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request, Response
from sqlmodel import Session, col, select

from app.auth.actor import Actor
from app.auth.models import Role, Scope, User
from app.auth.web import ActorDep
from app.core.columns import any_of
from app.core.errors import Conflict
from app.core.idempotency import KeyReused
from app.core.web import SessionDep, answer, problems, router
from app.payments import revealing
from app.payments.api import schemas
from app.payments.api.common import ContextDep, KeyDep, attempt_of, dump, notes_refusals, once
from app.payments.approving import visible_batch
from app.payments.models import Reveal
from app.payments.revealing import TooManyReveals
from app.payments.transitions import Action
from app.payments.visibility import Viewer, shown_text, visibility

routes = router(prefix="/v1", tags=["privacy"])


@routes.post(
    "/payment-batches/{batch_id}/reveals",
    status_code=201,
    response_model=schemas.RevealOut,
    responses=problems(Conflict, KeyReused, TooManyReveals),
)
@notes_refusals(Action.REVEAL)
def reveal(
    request: Request,
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    key: KeyDep,
    batch_id: UUID,
    body: schemas.NewReveal,
) -> Response:
    """Show an auditor the lines of a batch unmasked, with this token, for 15 minutes. The history says so, with why."""
    visible_batch(session, actor, batch_id)

    def act() -> tuple[int, dict[str, Any]]:
        row = revealing.reveal(ctx, session, actor, batch_id, reason=body.reason)
        session.flush()
        return 201, _out(session, actor, [row])[0]

    return once(session, attempt_of(request, ctx, actor, key, body), act)


@routes.get("/employers/{employer_id}/reveals", response_model=list[schemas.RevealOut], responses=problems())
def list_reveals(
    actor: ActorDep,
    session: SessionDep,
    employer_id: UUID,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Response:
    """Return who looked at which batch unmasked, and why, newest first."""
    actor.needs_scope(Scope.READ)
    actor.needs_employer_role(employer_id, Role.ADMIN, Role.APPROVER, Role.AUDITOR)
    rows = session.exec(
        select(Reveal)
        .where(Reveal.employer_id == employer_id)
        .order_by(col(Reveal.made_at).desc(), col(Reveal.id).desc())
        .limit(limit)
    ).all()
    return answer(200, _out(session, actor, rows))


def _out(session: Session, actor: Actor, rows: Sequence[Reveal]) -> list[dict[str, Any]]:
    found = select(User.id, User.name).where(any_of(col(User.id), {row.user_id for row in rows}))
    names = dict(session.exec(found).all())
    viewer = Viewer(actor=actor)
    return [
        dump(
            schemas.RevealOut(
                id=row.id,
                payment_batch_id=row.batch_id,
                employer_id=row.employer_id,
                user=names[row.user_id],
                reason=shown_text(row.reason, visibility(viewer, row.employer_id)) or "",
                made_at=row.made_at,
                ends_at=row.ends_at,
            )
        )
        for row in rows
    ]
