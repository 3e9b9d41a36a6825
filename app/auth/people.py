"""Organizations, people, memberships, mandates and tokens: how they come to be, each in the history."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Protocol
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Session, col, select

from app.auth.actor import Actor
from app.auth.models import (
    ROLES_OF,
    ApiToken,
    Mandate,
    Membership,
    Organization,
    OrganizationKind,
    Role,
    Scope,
    User,
)
from app.auth.pins import hash_pin
from app.core import history
from app.core.clock import amsterdam_date
from app.core.database import also_for
from app.core.errors import Conflict, Invalid, NotFound, Problem, Unauthenticated
from app.core.history import Fact, HistoryActor
from app.core.ids import NewId, new_token, token_hash

LONGEST_APPROVE_TOKEN = timedelta(days=90)
LONGEST_TOKEN = timedelta(days=366)
LONGEST_GRACE = timedelta(days=30)
# How exactly the last use of a token is known: not every request writes a row.
_USE_IS_NOTED_AFTER = timedelta(minutes=5)
_EMAIL = re.compile(r"[^\s@<>\"']{1,64}@[^\s@<>\"']{1,190}")
_LONGEST_NAME = 140


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Who acts now, and where new ids come from; every use case of this page needs the three."""

    actor: HistoryActor
    now: datetime
    new_id: NewId


class Named(Protocol):
    """Somebody by id and name: a `User`, or a `Known` person of whom no more is shown."""

    @property
    def id(self) -> UUID: ...  # noqa: D102 - the protocol says what it is

    @property
    def name(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a tenant learns of somebody who is not one of its members: who it is, and no more (ADR 0021)."""

    id: UUID
    name: str


def add_organization(session: Session, act: Act, *, kind: OrganizationKind, name: str) -> Organization:
    """Add an employer or an office; `Invalid` names the field."""
    organization = Organization(id=act.new_id(), kind=kind, name=_checked_name(name), created_at=act.now)
    also_for(session, organization.id)
    session.add(organization)
    session.flush()
    _tell(session, act, organization.id, f"{kind}.added", {"name": organization.name})
    return organization


def add_user(session: Session, act: Act, *, email: str, name: str) -> User:
    """Add a person, or return the one with this e-mail."""
    address = _checked_email(email)
    known = session.exec(select(User).where(User.email == address)).one_or_none()
    return _new_user(session, act, address, name) if known is None else known


def invite(session: Session, act: Act, *, email: str, name: str) -> Known:
    """Return the person with this e-mail, added when nobody has it: for a tenant, who sees only its own members."""
    address = _checked_email(email)
    known = find_known(session, address)
    if known is None:
        user = _new_user(session, act, address, name)
        known = Known(id=user.id, name=user.name)
    return known


def find_known(session: Session, email: str) -> Known | None:
    """Return the person with this e-mail, whoever's member it is; only id and name. None when nobody has it."""
    query = sa.text("SELECT id, name FROM loonstroom_known(:email)")
    row = session.execute(query, {"email": email.strip().lower()}).one_or_none()
    return None if row is None else Known(id=row.id, name=row.name)


def names_of(session: Session, ids: Iterable[UUID]) -> dict[UUID, str]:
    """Return the names of people by id, also of those who have left: a name stays beside an act for ever."""
    query = sa.text("SELECT id, name FROM loonstroom_names(:ids)")
    return {row.id: row.name for row in session.execute(query, {"ids": sorted(set(ids))})}


def unattended(session: Session, token_ids: Iterable[UUID]) -> frozenset[UUID]:
    """Return those of these tokens that programs use; of tokens of other people nothing else is shown."""
    query = sa.text("SELECT loonstroom_unattended(:ids)")
    return frozenset(session.execute(query, {"ids": sorted(set(token_ids))}).scalars())


def _checked_email(email: str) -> str:
    address = email.strip().lower()
    if not _EMAIL.fullmatch(address):
        raise Invalid(errors=[Problem(pointer="/email", code="email", message="Write an e-mail address, name@host.")])
    return address


def _new_user(session: Session, act: Act, address: str, name: str) -> User:
    user = User(id=act.new_id(), email=address, name=_checked_name(name), created_at=act.now)
    session.add(user)
    session.flush()
    return user


def lock_people(session: Session, organization_id: UUID) -> Organization:
    """Lock who decides what in an organization: two changes of it are judged one after the other.

    Before anything else that they lock, proposals included. Nobody who only names the organization waits for it.
    """
    organization = session.get(Organization, organization_id, with_for_update={"key_share": True})
    if organization is None:
        raise NotFound("No such organization.")
    return organization


def add_membership(
    session: Session, act: Act, *, user: Named, organization_id: UUID, role: Role, ends_on: date | None = None
) -> Membership:
    """Give a person a role in an organization, a deputy until `ends_on`. Roles add up; a repeated one moves its end.

    `Conflict` when the last admin who stays would get an end.
    """
    organization = lock_people(session, organization_id)
    if role not in ROLES_OF[OrganizationKind(organization.kind)]:
        allowed = ", ".join(sorted(ROLES_OF[OrganizationKind(organization.kind)]))
        message = f"An {organization.kind} knows the roles {allowed}."
        raise Invalid(errors=[Problem(pointer="/role", code="role_of_kind", message=message)])
    known = session.get(Membership, (user.id, organization_id, role), populate_existing=True)
    if known is not None and known.ends_on == ends_on:
        return known
    if known is not None and known.ends_on is None:
        _refuse_last_admin(session, known)
    membership = known or Membership(user_id=user.id, organization_id=organization_id, role=role, created_at=act.now)
    membership.ends_on = ends_on
    session.add(membership)
    details = {"user_id": str(user.id), "name": user.name, "role": role}
    _tell(
        session, act, organization_id, "member.added", {**details, "ends_on": ends_on.isoformat() if ends_on else None}
    )
    return membership


def end_membership(session: Session, act: Act, *, user_id: UUID, organization_id: UUID, role: Role) -> None:
    """Take a role away. The last admin of an organization stays."""
    membership = check_ending(session, user_id=user_id, organization_id=organization_id, role=role)
    session.delete(membership)
    session.flush()
    _tell(session, act, organization_id, "member.removed", {"user_id": str(user_id), "role": role})


def check_ending(session: Session, *, user_id: UUID, organization_id: UUID, role: Role) -> Membership:
    """Return the membership, locked; refuse to take away what is not there, and the last admin."""
    lock_people(session, organization_id)
    membership = session.get(Membership, (user_id, organization_id, role), with_for_update=True)
    if membership is None:
        raise NotFound("This person does not have this role here.")
    _refuse_last_admin(session, membership)
    return membership


def _refuse_last_admin(session: Session, membership: Membership) -> None:
    """Refuse to end the role of the only admin who stays. Right under `lock_people` only: two could leave at once."""
    if membership.role != Role.ADMIN:
        return
    others = session.exec(
        select(Membership.user_id).where(
            Membership.organization_id == membership.organization_id,
            Membership.role == Role.ADMIN,
            Membership.user_id != membership.user_id,
            col(Membership.ends_on).is_(None),
        )
    ).first()
    if others is None:
        raise Conflict("This is the last admin; make somebody else admin first.")


def set_first_pin(session: Session, act: Act, *, user: User, pin: str, secret: bytes) -> None:
    """Set the PIN of a person who has none yet; `secret` keys it. Changing one is another, guarded act."""
    if user.pin_hash is not None:
        raise Conflict(
            "This person has a PIN already. To set another one: `user pin --reset`; it approves nothing for 24 hours."
        )
    user.pin_hash, user.pin_set_at = hash_pin(pin, user_id=user.id, secret=secret), act.now
    session.add(user)
    for organization_id in _organizations_of(session, user.id):
        _tell(session, act, organization_id, "pin.set", {"user_id": str(user.id), "name": user.name})


def change_pin(session: Session, act: Act, *, user: User, pin: str, secret: bytes) -> None:
    """Set a PIN anew. For a day nothing is approved with it, unless another approver confirms the change."""
    user.pin_hash = hash_pin(pin, user_id=user.id, secret=secret)
    user.pin_set_at = user.pin_changed_at = act.now
    user.pin_locked_at = user.pin_change_confirmed_by = None
    session.add(user)
    for organization_id in _organizations_of(session, user.id):
        _tell(session, act, organization_id, "pin.changed", {"user_id": str(user.id), "name": user.name})


def confirm_pin_change(session: Session, act: Act, *, user_id: UUID, confirmed_by: UUID, organization_id: UUID) -> User:
    """Another approver says that a changed PIN is really this person's."""
    user = session.get(User, user_id, with_for_update=True)
    if user is None or user.pin_changed_at is None:
        raise NotFound("This person has not changed their PIN.")
    if user_id == confirmed_by:
        raise Conflict("Another approver confirms a changed PIN, not the person who changed it.")
    user.pin_change_confirmed_by = confirmed_by
    session.add(user)
    _tell(session, act, organization_id, "pin.change_confirmed", {"user_id": str(user.id), "name": user.name})
    return user


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """A new token: the row, and the token itself, which is shown once."""

    row: ApiToken
    token: str


def issue_token(
    session: Session, act: Act, *, user: User, scopes: frozenset[Scope], days: int, is_unattended: bool = False
) -> IssuedToken:
    """Issue a token with these scopes, ending after so many days: 90 at most when it may approve, else 366.

    An unattended one is for a program: where several approvals are needed, one of them at most comes from such a token.
    """
    issued = _new_token(session, act, user_id=user.id, scopes=scopes, days=days, is_unattended=is_unattended)
    _tell_token(session, act, user, issued.row, "token.issued", {"days": days})
    return issued


def _new_token(
    session: Session, act: Act, *, user_id: UUID, scopes: frozenset[Scope], days: int, is_unattended: bool
) -> IssuedToken:
    longest = LONGEST_APPROVE_TOKEN if Scope.APPROVE in scopes else LONGEST_TOKEN
    if not 0 < days <= longest.days:
        message = f"Choose 1 to {longest.days} days for these scopes."
        raise Invalid(errors=[Problem(pointer="/days", code="days", message=message)])
    token = new_token("lst")
    row = ApiToken(
        id=act.new_id(),
        user_id=user_id,
        token_hash=token_hash(token),
        scopes=sorted(scopes),
        created_at=act.now,
        expires_at=act.now + timedelta(days=days),
        is_unattended=is_unattended,
    )
    session.add(row)
    return IssuedToken(row=row, token=token)


def _tell_token(
    session: Session, act: Act, user: User, row: ApiToken, event: str, more: Mapping[str, int | str]
) -> None:
    details = {"token_id": str(row.id), "name": user.name, "scopes": row.scopes, "is_unattended": row.is_unattended}
    for organization_id in _organizations_of(session, user.id):
        _tell(session, act, organization_id, event, {**details, **more})


def rotate_token(session: Session, act: Act, *, token_id: UUID, days: int, grace: timedelta) -> IssuedToken:
    """Issue another token for the same person, scopes and use; the old one goes on for the grace time, not longer.

    `Conflict` when the old one has ended: who held it then has to be asked again, as for a new token.
    """
    old = session.get(ApiToken, token_id, with_for_update=True)
    if old is None:
        raise NotFound("No such token.")
    if old.revoked_at is not None or old.expires_at <= act.now:
        raise Conflict("This token has ended; issue a new one.")
    if not timedelta(0) <= grace <= LONGEST_GRACE:
        message = f"Choose 0 to {LONGEST_GRACE // timedelta(hours=1)} hours."
        raise Invalid(errors=[Problem(pointer="/grace_hours", code="grace_hours", message=message)])
    scopes = frozenset(Scope(scope) for scope in old.scopes)
    issued = _new_token(session, act, user_id=old.user_id, scopes=scopes, days=days, is_unattended=old.is_unattended)
    old.expires_at = min(old.expires_at, act.now + grace)
    session.add(old)
    more: dict[str, int | str] = {"days": days, "replaces": str(old.id), "grace_hours": grace // timedelta(hours=1)}
    _tell_token(session, act, session.get_one(User, old.user_id), issued.row, "token.rotated", more)
    return issued


def tokens_of(session: Session, user: User) -> list[ApiToken]:
    """Return the tokens of a person that have not been revoked, the oldest first."""
    statement = select(ApiToken).where(ApiToken.user_id == user.id, col(ApiToken.revoked_at).is_(None))
    return list(session.exec(statement.order_by(col(ApiToken.created_at), col(ApiToken.id))))


def revoke_token(session: Session, act: Act, *, token_id: UUID) -> ApiToken:
    """End a token now."""
    row = session.get(ApiToken, token_id)
    if row is None:
        raise NotFound("No such token.")
    row.revoked_at = row.revoked_at or act.now
    session.add(row)
    for organization_id in _organizations_of(session, row.user_id):
        _tell(session, act, organization_id, "token.revoked", {"token_id": str(row.id)})
    return row


def operator_acting_for(session: Session, user: User, act: Act) -> Actor:
    """Return the operator acting on behalf of a person, with that person's rights; never with the scope to approve."""
    pretended = ApiToken(
        id=act.new_id(),
        user_id=user.id,
        token_hash="",
        scopes=[Scope.READ, Scope.PREPARE, Scope.FILES],
        created_at=act.now,
        expires_at=act.now,
    )
    return replace(_actor(session, pretended, user, act.now), name=f"operator for {user.name}")


def authenticate(session: Session, token: str, *, now: datetime) -> Actor:
    """Return who holds this token; `Unauthenticated` when it is unknown, ended or revoked, without saying which."""
    found = session.exec(
        select(ApiToken, User)
        .join(User, col(User.id) == col(ApiToken.user_id))
        .where(ApiToken.token_hash == token_hash(token))
    ).one_or_none()
    if found is None or found[0].revoked_at is not None or found[0].expires_at <= now:
        raise Unauthenticated(
            "Send `Authorization: Bearer <token>` with a token that is valid.", headers={"WWW-Authenticate": "Bearer"}
        )
    row, user = found
    if row.last_used_at is None or row.last_used_at <= now - _USE_IS_NOTED_AFTER:
        row.last_used_at = now
        session.add(row)
    return _actor(session, row, user, now)


def _actor(session: Session, token: ApiToken, user: User, now: datetime) -> Actor:
    held: dict[str, dict[UUID, set[str]]] = {kind: {} for kind in OrganizationKind}
    memberships = session.exec(
        select(Membership.organization_id, Membership.role, Organization.kind)
        .join(Organization, col(Organization.id) == col(Membership.organization_id))
        .where(
            Membership.user_id == user.id,
            sa.or_(col(Membership.ends_on).is_(None), col(Membership.ends_on) >= amsterdam_date(now)),
        )
    )
    for organization_id, role, kind in memberships:
        held[kind].setdefault(organization_id, set()).add(role)
    offices = held[OrganizationKind.OFFICE]
    mandates: dict[UUID, set[str]] = {}
    salaries: set[UUID] = set()
    for mandate in live_mandates(session, offices=frozenset(offices)):
        mandates.setdefault(mandate.employer_id, set()).update(offices[mandate.office_id])
        if mandate.sees_salaries:
            salaries.add(mandate.employer_id)
    return Actor(
        user_id=user.id,
        email=user.email,
        name=user.name,
        token_id=token.id,
        scopes=frozenset(token.scopes),
        employers={key: frozenset(value) for key, value in held[OrganizationKind.EMPLOYER].items()},
        offices={key: frozenset(value) for key, value in offices.items()},
        mandates={key: frozenset(value) for key, value in mandates.items()},
        salaries_through_mandate=frozenset(salaries),
    )


def live_mandates(session: Session, *, offices: frozenset[UUID]) -> list[Mandate]:
    """Return the mandates of these offices that are granted, accepted and not revoked."""
    if not offices:
        return []
    return list(
        session.exec(
            select(Mandate).where(
                col(Mandate.office_id).in_(offices),
                col(Mandate.granted_at).is_not(None),
                col(Mandate.accepted_at).is_not(None),
                col(Mandate.revoked_at).is_(None),
            )
        )
    )


def add_employer(session: Session, act: Act, actor: Actor, *, name: str) -> Organization:
    """Add an employer. An office's admin gets a requested mandate with it; anybody else becomes its first admin."""
    employer = add_organization(session, act, kind=OrganizationKind.EMPLOYER, name=name)
    offices = [office for office, roles in actor.offices.items() if Role.ADMIN in roles]
    for office_id in offices:
        session.add(
            Mandate(
                office_id=office_id,
                employer_id=employer.id,
                created_at=act.now,
                accepted_by=actor.user_id,
                accepted_at=act.now,
            )
        )
        _tell(session, act, employer.id, "mandate.requested", {"office_id": str(office_id)})
    if not offices:
        user = session.get_one(User, actor.user_id)
        add_membership(session, act, user=user, organization_id=employer.id, role=Role.ADMIN)
    return employer


def grant_mandate(
    session: Session, act: Act, *, office_id: UUID, employer_id: UUID, granted_by: UUID, sees_salaries: bool
) -> Mandate:
    """The employer lets an office work for it. Live when the office asked for it, or once the office accepts."""
    also_for(session, office_id)  # its name and its history; anything but an office goes no further
    office = session.get(Organization, office_id)
    if office is None or office.kind != OrganizationKind.OFFICE:
        raise NotFound("No such office.")
    mandate = session.get(Mandate, (office_id, employer_id))
    if mandate is None:
        mandate = Mandate(office_id=office_id, employer_id=employer_id, created_at=act.now)
    mandate.granted_by, mandate.granted_at = granted_by, act.now
    mandate.revoked_at, mandate.sees_salaries = None, sees_salaries
    session.add(mandate)
    details = {"office_id": str(office_id), "office": office.name, "sees_salaries": sees_salaries}
    _tell(session, act, employer_id, "mandate.granted", details)
    _tell(session, act, office_id, "mandate.granted", {"employer_id": str(employer_id)})
    return mandate


def accept_mandate(session: Session, act: Act, *, office_id: UUID, employer_id: UUID, accepted_by: UUID) -> Mandate:
    """The office takes on a mandate that the employer granted."""
    mandate = session.get(Mandate, (office_id, employer_id))
    if mandate is None or mandate.granted_at is None or mandate.revoked_at is not None:
        raise NotFound("No such mandate has been granted.")
    also_for(session, employer_id)
    mandate.accepted_by, mandate.accepted_at = accepted_by, act.now
    session.add(mandate)
    _tell(session, act, employer_id, "mandate.accepted", {"office_id": str(office_id)})
    return mandate


def revoke_mandate(session: Session, act: Act, *, office_id: UUID, employer_id: UUID) -> Mandate:
    """Either side ends the mandate; from here on the office sees nothing of the employer."""
    mandate = session.get(Mandate, (office_id, employer_id))
    if mandate is None:
        raise NotFound("No such mandate.")
    also_for(session, employer_id)
    mandate.revoked_at = act.now
    session.add(mandate)
    _tell(session, act, employer_id, "mandate.revoked", {"office_id": str(office_id)})
    return mandate


def find_user(session: Session, email: str) -> User:
    """Return the person with this e-mail; `NotFound` otherwise."""
    user = session.exec(select(User).where(User.email == email.strip().lower())).one_or_none()
    if user is None:
        raise NotFound("Nobody with this e-mail; add them with `user add`.")
    return user


def organizations(session: Session, ids: frozenset[UUID]) -> list[Organization]:
    """Return these organizations, by name."""
    return list(session.exec(select(Organization).where(col(Organization.id).in_(ids)).order_by(Organization.name)))


def _organizations_of(session: Session, user_id: UUID) -> list[UUID]:
    session.flush()
    statement = sa.select(col(Membership.organization_id)).where(col(Membership.user_id) == user_id).distinct()
    return list(session.execute(statement).scalars())


def _checked_name(name: str) -> str:
    cleaned = " ".join(name.split())
    if not cleaned or len(cleaned) > _LONGEST_NAME or not cleaned.isprintable():
        message = f"Write a name of 1 to {_LONGEST_NAME} printable characters."
        raise Invalid(errors=[Problem(pointer="/name", code="name", message=message)])
    return cleaned


def _tell(session: Session, act: Act, organization_id: UUID, event: str, details: dict[str, object]) -> None:
    history.record(
        session,
        Fact(organization_id=organization_id, event=event, actor=act.actor, occurred_at=act.now, details=details),
    )
