"""Who am I, employers, and what an employer lets an office do."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request, Response
from pydantic import BaseModel, ConfigDict, StrictBool, StringConstraints
from sqlmodel import Session

from app.auth import people
from app.auth.actor import Actor
from app.auth.models import Mandate, Organization, Role, Scope
from app.auth.people import Act
from app.auth.web import ActorDep, SessionDep
from app.core import idempotency
from app.core.errors import Conflict, NotFound
from app.core.idempotency import KeyReused
from app.core.ids import new_id
from app.core.web import (
    answer,
    attempt_to,
    idempotency_key,
    now_of,
    outcome_answer,
    problems,
    router,
)

routes = router(prefix="/v1", tags=["people"])
KeyDep = Annotated[str | None, Depends(idempotency_key)]


class NewEmployer(BaseModel):
    """An employer to add."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, StringConstraints(min_length=1, max_length=140)]


class OrganizationOut(BaseModel):
    """An employer or an office."""

    id: UUID
    kind: str
    name: str
    created_at: datetime


class MembershipOut(BaseModel):
    """An organization with the roles that the caller holds there; `office_` roles are held through a mandate."""

    id: UUID
    kind: str
    name: str
    roles: list[str]
    sees_salaries: bool


class MeOut(BaseModel):
    """Who is asking, with which rights."""

    user_id: UUID
    email: str
    name: str
    scopes: list[str]
    organizations: list[MembershipOut]


class NewMandate(BaseModel):
    """What an employer lets an office do."""

    model_config = ConfigDict(extra="forbid")

    sees_salaries: StrictBool = False


class MandateOut(BaseModel):
    """A mandate between an office and an employer."""

    office_id: UUID
    employer_id: UUID
    granted_at: datetime | None
    accepted_at: datetime | None
    revoked_at: datetime | None
    sees_salaries: bool


def act_of(request: Request, actor: Actor) -> Act:
    """Return who acts now, for the use cases of people."""
    return Act(actor=actor.as_history(), now=now_of(request), new_id=new_id)


@routes.get("/me", response_model=MeOut, responses=problems())
def me(actor: ActorDep, session: SessionDep) -> Response:
    """Who is asking: the person, the token's scopes, and the organizations with roles."""
    rows = people.organizations(session, actor.organizations | frozenset(actor.mandates))
    body = MeOut(
        user_id=actor.user_id,
        email=actor.email,
        name=actor.name,
        scopes=sorted(actor.scopes),
        organizations=[_membership(actor, row) for row in rows],
    )
    return answer(200, body.model_dump(mode="json"))


def _membership(actor: Actor, row: Organization) -> MembershipOut:
    roles = actor.offices.get(row.id) or actor.roles_at(row.id)
    return MembershipOut(
        id=row.id, kind=row.kind, name=row.name, roles=sorted(roles), sees_salaries=actor.sees_salaries(row.id)
    )


@routes.post("/employers", status_code=201, response_model=OrganizationOut, responses=problems(KeyReused))
def add_employer(request: Request, actor: ActorDep, session: SessionDep, key: KeyDep, body: NewEmployer) -> Response:
    """Add an employer. An office's admin gets a requested mandate; anybody else becomes its first admin."""
    actor.needs_scope(Scope.PREPARE)

    def act() -> tuple[int, dict[str, Any]]:
        return 201, _organization(people.add_employer(session, act_of(request, actor), actor, name=body.name))

    attempt = None if key is None else attempt_to(request, actor.user_id, key, body.model_dump(mode="json"))
    outcome = idempotency.once(session, attempt, act)
    return outcome_answer(outcome, Location=f"/v1/employers/{outcome.body['id']}")


@routes.get("/employers", response_model=list[OrganizationOut], responses=problems())
def list_employers(actor: ActorDep, session: SessionDep) -> Response:
    """Return the employers that the caller may look at, by name."""
    actor.needs_scope(Scope.READ)
    rows = people.organizations(session, actor.readable_employers)
    return answer(200, [_organization(row) for row in rows])


@routes.get("/employers/{employer_id}", response_model=OrganizationOut, responses=problems())
def get_employer(actor: ActorDep, session: SessionDep, employer_id: UUID) -> Response:
    """Return one employer."""
    actor.needs_scope(Scope.READ)
    return answer(200, _organization(_visible_employer(session, actor, employer_id)))


@routes.put("/employers/{employer_id}/mandates/{office_id}", response_model=MandateOut, responses=problems(Conflict))
def put_mandate(
    request: Request, actor: ActorDep, session: SessionDep, employer_id: UUID, office_id: UUID, body: NewMandate
) -> Response:
    """Grant a mandate (employer admin), or accept one that was granted (office admin)."""
    actor.needs_scope(Scope.PREPARE)
    act = act_of(request, actor)
    if Role.ADMIN in actor.employers.get(employer_id, frozenset()):
        mandate = people.grant_mandate(
            session,
            act,
            office_id=office_id,
            employer_id=employer_id,
            granted_by=actor.user_id,
            sees_salaries=body.sees_salaries,
        )
    elif Role.ADMIN in actor.offices.get(office_id, frozenset()):
        mandate = people.accept_mandate(
            session, act, office_id=office_id, employer_id=employer_id, accepted_by=actor.user_id
        )
    else:
        raise NotFound("No such mandate.")
    return answer(200, _mandate(mandate))


@routes.delete("/employers/{employer_id}/mandates/{office_id}", response_model=MandateOut, responses=problems())
def delete_mandate(
    request: Request, actor: ActorDep, session: SessionDep, employer_id: UUID, office_id: UUID
) -> Response:
    """End a mandate; either side may."""
    actor.needs_scope(Scope.PREPARE)
    is_employer = Role.ADMIN in actor.employers.get(employer_id, frozenset())
    is_office = Role.ADMIN in actor.offices.get(office_id, frozenset())
    if not (is_employer or is_office):
        raise NotFound("No such mandate.")
    mandate = people.revoke_mandate(session, act_of(request, actor), office_id=office_id, employer_id=employer_id)
    return answer(200, _mandate(mandate))


def _visible_employer(session: Session, actor: Actor, employer_id: UUID) -> Organization:
    row = session.get(Organization, employer_id) if employer_id in actor.readable_employers else None
    if row is None:
        raise NotFound("No such employer.")
    return row


def _organization(row: Organization) -> dict[str, Any]:
    body = OrganizationOut(id=row.id, kind=row.kind, name=row.name, created_at=row.created_at)
    return body.model_dump(mode="json")


def _mandate(row: Mandate) -> dict[str, Any]:
    body = MandateOut(
        office_id=row.office_id,
        employer_id=row.employer_id,
        granted_at=row.granted_at,
        accepted_at=row.accepted_at,
        revoked_at=row.revoked_at,
        sees_salaries=row.sees_salaries,
    )
    return body.model_dump(mode="json")
