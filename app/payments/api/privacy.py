"""Who may see salaries for a while and who did, and how long what is personal is kept."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from fastapi import Request, Response
from sqlmodel import Session, col, select

from app.auth.actor import Actor
from app.auth.models import ProposalOutcome, Role, Scope
from app.auth.people import lock_people, names_of
from app.auth.proposals import AnotherProposalOpen, ProposalNotRecorded
from app.auth.web import ActorDep, SessionDep
from app.core.errors import Conflict, NotFound
from app.core.idempotency import KeyReused
from app.core.paging import LongPageDep
from app.core.web import answer, problems, router
from app.payments import retention, revealing, two_people
from app.payments.api import schemas, views
from app.payments.api.bank import WAITING
from app.payments.api.common import ContextDep, KeyDep, attempt_of, dump, notes_refusals, once
from app.payments.approving import visible_batch
from app.payments.models import Retention, Reveal
from app.payments.retention import Erased, Terms
from app.payments.revealing import TooManyReveals
from app.payments.transitions import Action, require_rights
from app.payments.two_people import Wanted
from app.payments.visibility import Viewer, shown_text, visibility

routes = router(prefix="/v1", tags=["privacy"])


@routes.post(
    "/payment-batches/{batch_id}/reveals",
    status_code=201,
    response_model=schemas.RevealOut,
    responses=problems(Conflict, KeyReused, TooManyReveals, Erased),
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
    require_rights(actor, visible_batch(session, actor, batch_id), Action.REVEAL)

    def act() -> tuple[int, dict[str, Any]]:
        row = revealing.reveal(ctx, session, actor, batch_id, reason=body.reason)
        session.flush()
        return 201, _out(session, actor, [row])[0]

    return once(session, attempt_of(request, ctx, actor, key, body), act)


@routes.get("/employers/{employer_id}/reveals", response_model=list[schemas.RevealOut], responses=problems())
def list_reveals(
    request: Request, actor: ActorDep, session: SessionDep, employer_id: UUID, page: LongPageDep
) -> Response:
    """Return who looked at which batch unmasked, and why, newest first."""
    actor.needs_scope(Scope.READ)
    actor.needs_employer_role(employer_id, Role.ADMIN, Role.APPROVER, Role.AUDITOR)
    statement = select(Reveal).where(Reveal.employer_id == employer_id)
    rows = session.exec(page.newest_first(statement, col(Reveal.made_at), col(Reveal.id))).all()
    shown, headers = page.cut(request, rows, lambda row: (row.made_at, row.id))
    return answer(200, _out(session, actor, shown), **headers)


@routes.get("/employers/{employer_id}/retention", response_model=schemas.RetentionOut, responses=problems())
def get_retention(actor: ActorDep, session: SessionDep, employer_id: UUID) -> Response:
    """Return how long an employer keeps what is personal."""
    actor.needs_scope(Scope.READ)
    if employer_id not in actor.readable_employers:
        raise NotFound("No such employer.")
    return answer(200, _terms(session, employer_id))


@routes.put(
    "/employers/{employer_id}/retention",
    response_model=schemas.RetentionOut,
    responses={**problems(Conflict, AnotherProposalOpen, ProposalNotRecorded), **WAITING},
)
def put_retention(
    ctx: ContextDep, actor: ActorDep, session: SessionDep, employer_id: UUID, body: schemas.RetentionIn
) -> Response:
    """Set the terms. Longer ones hold at once; shorter ones, which erase, wait for a second admin or a day."""
    retention.may_change(actor, employer_id)
    wanted = Terms(lines_months=body.lines_months, sources_months=body.sources_months)
    retention.check_terms(wanted)
    lock_people(session, employer_id)  # or what is shorter than the terms of this moment would not wait
    if not retention.is_shorter(retention.terms_of(session, employer_id), wanted):
        retention.store_terms(ctx, session, employer_id, wanted, actor.as_history())
        return answer(200, _terms(session, employer_id))
    asked = Wanted(kind=two_people.RETENTION, target=employer_id, reason="shorter terms", payload=asdict(wanted))
    proposal = two_people.act(ctx, session, actor, asked)
    if proposal.outcome == ProposalOutcome.APPLIED:
        return answer(200, _terms(session, employer_id))
    return answer(202, dump(views.proposals_out(session, actor, [proposal])[0]))


def _terms(session: Session, employer_id: UUID) -> dict[str, Any]:
    session.flush()
    terms = retention.terms_of(session, employer_id)
    body = schemas.RetentionOut(
        employer_id=employer_id,
        lines_months=terms.lines_months,
        sources_months=terms.sources_months,
        technical_days=retention.TECHNICAL_DAYS,
        is_default=session.get(Retention, employer_id) is None,
    )
    return dump(body)


def _out(session: Session, actor: Actor, rows: Sequence[Reveal]) -> list[dict[str, Any]]:
    names = names_of(session, [row.user_id for row in rows])
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
