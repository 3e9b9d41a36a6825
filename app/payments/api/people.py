"""How many approvers an employer asks for, who may do what there, and acts that wait for a second person."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query, Request, Response
from sqlmodel import Session, col, select

from app.auth import people, proposals
from app.auth.actor import Actor
from app.auth.models import Membership, Proposal, ProposalOutcome, Role, Scope, User
from app.auth.people import Act
from app.auth.proposals import AnotherProposalOpen, ProposalNotRecorded
from app.auth.web import ActorDep, SessionDep
from app.core.clock import amsterdam_date
from app.core.columns import any_of
from app.core.errors import Conflict, Invalid, NotFound, Problem
from app.core.idempotency import KeyReused
from app.core.paging import LongPageDep
from app.core.web import answer, problems, router
from app.payments import policies, tiers, two_people
from app.payments.api import schemas, views
from app.payments.api.bank import WAITING
from app.payments.api.common import ContextDep, KeyDep, attempt_of, dump, once
from app.payments.api.schemas import money
from app.payments.context import Context
from app.payments.deciding import AnotherPersonNeeded
from app.payments.errors import AlreadyClaimed, NotAllowedNow
from app.payments.two_people import Wanted

routes = router(prefix="/v1", tags=["people and approvals"])


def _visible(actor: Actor, employer_id: UUID) -> None:
    if employer_id not in actor.readable_employers:
        raise NotFound("No such employer.")


def _policy(ctx: Context, session: Session, employer_id: UUID) -> dict[str, Any]:
    approvers = policies.approvers_of(session, employer_id, amsterdam_date(ctx.now()))
    rows = policies.tiers_of(session, employer_id)
    body = schemas.PolicyOut(
        employer_id=employer_id,
        tiers=[schemas.Tier.model_construct(amount=money(row["from_cents"]), required=row["required"]) for row in rows],
        approvers=len(approvers),
        one_person_firm=len(approvers) <= 1,
    )
    return dump(body)


@routes.get("/employers/{employer_id}/approval-policy", response_model=schemas.PolicyOut, responses=problems())
def get_policy(ctx: ContextDep, actor: ActorDep, session: SessionDep, employer_id: UUID) -> Response:
    """Return how many approvers an employer asks for, by amount, and how many there are."""
    actor.needs_scope(Scope.READ)
    _visible(actor, employer_id)
    return answer(200, _policy(ctx, session, employer_id))


@routes.put(
    "/employers/{employer_id}/approval-policy",
    response_model=schemas.PolicyOut,
    responses={**problems(Conflict, AnotherProposalOpen, ProposalNotRecorded), **WAITING},
)
def put_policy(
    ctx: ContextDep, actor: ActorDep, session: SessionDep, employer_id: UUID, body: schemas.PolicyIn
) -> Response:
    """Set the tiers. The first setting and stricter ones hold at once; looser ones wait for a second admin or a day."""
    actor.needs_scope(Scope.PREPARE)
    policies.may_change(actor, employer_id)
    wanted = [{"from_cents": tier.amount.cents, "required": tier.required} for tier in body.tiers]
    policies.check_tiers(wanted)
    people.lock_people(session, employer_id)  # or two at one moment would both be the first, or both be stricter
    if policies.is_first(session, employer_id) or not tiers.is_looser(policies.tiers_of(session, employer_id), wanted):
        policies.store_tiers(ctx, session, employer_id, wanted, actor.as_history())
        return answer(200, _policy(ctx, session, employer_id))
    asked = Wanted(
        kind=two_people.APPROVAL_POLICY, target=employer_id, reason="looser tiers", payload={"tiers": wanted}
    )
    proposal = two_people.act(ctx, session, actor, asked)
    if proposal.outcome == ProposalOutcome.APPLIED:
        return answer(200, _policy(ctx, session, employer_id))
    return answer(202, dump(views.proposals_out(session, actor, [proposal])[0]))


@routes.get("/employers/{employer_id}/members", response_model=list[schemas.MemberOut], responses=problems())
def list_members(actor: ActorDep, session: SessionDep, employer_id: UUID) -> Response:
    """Return who has which role at an employer."""
    actor.needs_scope(Scope.READ)
    actor.needs_employer_role(employer_id, Role.ADMIN, Role.APPROVER, Role.AUDITOR)
    rows = session.exec(
        select(Membership, User)
        .join(User, col(User.id) == col(Membership.user_id))
        .where(Membership.organization_id == employer_id)
        .order_by(User.name, Membership.role)
    )
    return answer(200, [dump(_member(membership, user)) for membership, user in rows])


def _member(membership: Membership, user: User) -> schemas.MemberOut:
    return schemas.MemberOut(
        user_id=user.id,
        name=user.name,
        email=user.email,
        role=membership.role,
        ends_on=membership.ends_on,
        has_pin=user.pin_hash is not None,
        pin_changed_at=user.pin_changed_at,
        pin_change_confirmed=user.pin_change_confirmed_by is not None,
    )


@routes.post(
    "/employers/{employer_id}/members",
    status_code=201,
    response_model=schemas.ProposalOut,
    responses={**problems(Conflict, KeyReused, AnotherProposalOpen, ProposalNotRecorded), **WAITING},
)
def add_member(
    request: Request,
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    key: KeyDep,
    employer_id: UUID,
    body: schemas.NewMember,
) -> Response:
    """Ask for a role for a person, for a deputy until a day. A second admin, or a day, makes it so."""
    actor.needs_scope(Scope.PREPARE)
    actor.needs_employer_role(employer_id, Role.ADMIN)
    if body.ends_on is not None and body.ends_on < amsterdam_date(ctx.now()):
        message = "The last day of a role is today or later; DELETE takes a role away."
        raise Invalid(errors=[Problem(pointer="/ends_on", code="date_in_past", message=message)])

    def act() -> tuple[int, dict[str, Any]]:
        person = Act(actor=actor.as_history(), now=ctx.now(), new_id=ctx.new_id)
        user = people.invite(session, person, email=body.email, name=body.name)
        wanted = Wanted(
            kind=two_people.MEMBER_ADDED,
            target=user.id,
            reason=f"{body.role}: {body.name}",
            payload={
                "organization_id": str(employer_id),
                "email": body.email.strip().lower(),
                "role": body.role,
                "ends_on": body.ends_on.isoformat() if body.ends_on else None,
            },
        )
        return _proposed(session, actor, two_people.act(ctx, session, actor, wanted))

    return once(session, attempt_of(request, ctx, actor, key, body), act)


def _proposed(session: Session, actor: Actor, proposal: Proposal) -> tuple[int, dict[str, Any]]:
    status = 201 if proposal.outcome == ProposalOutcome.APPLIED else 202
    return status, dump(views.proposals_out(session, actor, [proposal])[0])


@routes.delete(
    "/employers/{employer_id}/members/{user_id}",
    response_model=schemas.ProposalOut,
    responses={**problems(Conflict, AnotherProposalOpen, ProposalNotRecorded), **WAITING},
)
def remove_member(
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    employer_id: UUID,
    user_id: UUID,
    role: Annotated[Role, Query()],
) -> Response:
    """Ask for a role to be taken away. A second admin, or a day, makes it so."""
    actor.needs_scope(Scope.PREPARE)
    actor.needs_employer_role(employer_id, Role.ADMIN)
    if session.get(Membership, (user_id, employer_id, role)) is None:
        raise NotFound("This person does not have this role here.")
    wanted = Wanted(
        kind=two_people.MEMBER_REMOVED,
        target=user_id,
        reason=f"no longer {role.value}",
        payload={"organization_id": str(employer_id), "role": role.value},
    )
    status, body = _proposed(session, actor, two_people.act(ctx, session, actor, wanted))
    return answer(200 if status == 201 else status, body)  # noqa: PLR2004 - nothing is made by taking away


@routes.post(
    "/employers/{employer_id}/members/{user_id}/pin-confirmation",
    status_code=201,
    response_model=schemas.MembersOut,
    responses=problems(Conflict, KeyReused),
)
def confirm_pin_change(
    request: Request,
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    key: KeyDep,
    employer_id: UUID,
    user_id: UUID,
) -> Response:
    """Another approver says that a changed PIN is really this person's, so that they need not wait a day."""
    actor.needs_scope(Scope.APPROVE)
    actor.needs_employer_role(employer_id, Role.APPROVER)
    rows = session.exec(
        select(Membership).where(Membership.organization_id == employer_id, Membership.user_id == user_id)
    ).all()
    if not rows:
        raise NotFound("This person has no role here.")

    def act() -> tuple[int, dict[str, Any]]:
        person = Act(actor=actor.as_history(), now=ctx.now(), new_id=ctx.new_id)
        user = people.confirm_pin_change(
            session, person, user_id=user_id, confirmed_by=actor.user_id, organization_id=employer_id
        )
        return 201, {"items": [dump(_member(row, user)) for row in rows]}

    return once(session, attempt_of(request, ctx, actor, key, None), act)


@routes.get("/proposals", response_model=list[schemas.ProposalOut], responses=problems())
def list_proposals(
    request: Request,
    actor: ActorDep,
    session: SessionDep,
    page: LongPageDep,
    state: Annotated[Literal["open", "all"], Query()] = "open",
) -> Response:
    """Return what waits for a second person at the caller's employers, newest first."""
    actor.needs_scope(Scope.READ)
    statement = select(Proposal).where(any_of(col(Proposal.organization_id), actor.employers))
    if state == "open":
        statement = statement.where(col(Proposal.ended_at).is_(None))
    rows = session.exec(page.newest_first(statement, col(Proposal.proposed_at), col(Proposal.id))).all()
    shown, headers = page.cut(request, rows, lambda row: (row.proposed_at, row.id))
    return answer(200, [dump(each) for each in views.proposals_out(session, actor, shown)], **headers)


@routes.post(
    "/proposals/{proposal_id}/confirmation",
    status_code=201,
    response_model=schemas.ProposalOut,
    responses=problems(Conflict, NotAllowedNow, KeyReused, AnotherPersonNeeded, ProposalNotRecorded, AlreadyClaimed),
)
def confirm_proposal(
    request: Request, ctx: ContextDep, actor: ActorDep, session: SessionDep, key: KeyDep, proposal_id: UUID
) -> Response:
    """Confirm, as the second person, what another asked for; it is done at once."""
    seen = proposals.see(session, proposal_id, actor.readable_employers)
    two_people.require_rights(actor, seen.kind, seen.organization_id)

    def act() -> tuple[int, dict[str, Any]]:
        return _proposed(session, actor, two_people.confirm(ctx, session, actor, proposal_id))

    return once(session, attempt_of(request, ctx, actor, key, None), act)


@routes.delete("/proposals/{proposal_id}", response_model=schemas.ProposalOut, responses=problems(Conflict))
def withdraw_proposal(ctx: ContextDep, actor: ActorDep, session: SessionDep, proposal_id: UUID) -> Response:
    """End a proposal without doing what it asks."""
    row = two_people.withdraw(ctx, session, actor, proposal_id)
    return answer(200, dump(views.proposals_out(session, actor, [row])[0]))
