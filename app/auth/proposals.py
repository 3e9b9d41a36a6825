"""Acts of two people: one asks, another confirms.

Where only settings change, a day's waiting may stand in for the second person; for what frees money that holds only in
a firm of one person, and the history says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import rfc8785
import sqlalchemy as sa
from sqlmodel import Session, col, select

from app.auth.models import Membership, Proposal, ProposalOutcome, Role
from app.auth.people import Act, names_of
from app.core import history, history_witness
from app.core.clock import amsterdam_date
from app.core.errors import Conflict, NotFound
from app.core.history import Fact, HistoryActor

WAITS = timedelta(hours=24)
# Whoever has not confirmed by then looks at something that is no longer as it was asked.
ENDS_AFTER = timedelta(days=30)
DECIDERS = (Role.ADMIN, Role.APPROVER)
_ENDINGS = ("proposal.confirmed", "proposal.waited", "proposal.withdrawn", "proposal.expired")


class ProposalNotRecorded(Conflict):
    """A proposal stands in the database that nobody made through this service."""

    code = "proposal_not_recorded"
    title = "A proposal is not in the history"


class AnotherProposalOpen(Conflict):
    """Something else was asked for the same target and waits for its second person."""

    code = "another_proposal_open"
    title = "Another proposal is open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is asked. `a_day_suffices`: after a day it is done without a second person. `roles` may ask for it."""

    organization_id: UUID
    kind: str
    target: UUID
    payload: Mapping[str, Any]
    reason: str
    a_day_suffices: bool
    roles: tuple[str, ...] = DECIDERS


def ask(session: Session, act: Act, user_id: UUID, wanted: Ask) -> Proposal:
    """Ask for an act, or confirm what another person asked for; it may be done now when the outcome is `applied`.

    Asking for the same again changes nothing. Asking for something else on the same target is `AnotherProposalOpen`.
    """
    session.flush()
    found = open_on(session, wanted.organization_id, wanted.kind, wanted.target)
    if found is not None and is_past(found, act.now):
        _expire(session, act, found)
        found = None
    if found is not None and not is_decider(
        session, wanted.organization_id, found.proposed_by, amsterdam_date(act.now), *wanted.roles
    ):
        # Who asked has left: what they wanted no longer counts as one of two people.
        _end(found, act.now, ProposalOutcome.WITHDRAWN)
        _tell(session, act, found, "proposal.withdrawn")
        session.add(found)
        session.flush()
        found = None
    if found is None:
        return _make(session, act, user_id, wanted)
    if dict(found.payload) != dict(wanted.payload):
        raise AnotherProposalOpen(
            "Something else was asked here before and waits for a second person. Confirm or withdraw that first.",
            extra={"proposal_id": str(found.id)},
        )
    if found.proposed_by != user_id:
        require_recorded(session, found)
        found.confirmed_by = user_id
        _end(found, act.now, ProposalOutcome.APPLIED)
        _tell(session, act, found, "proposal.confirmed")
    elif found.waits_until is not None and found.waits_until <= act.now:
        require_recorded(session, found)
        _end(found, act.now, ProposalOutcome.APPLIED)
        _tell(session, act, found, "proposal.waited")
    session.add(found)
    session.flush()
    return found


def open_on(session: Session, organization_id: UUID, kind: str, target: UUID) -> Proposal | None:
    """Return what is asked of this kind on this target and waits, locked; there is one at most."""
    return session.exec(
        select(Proposal)
        .where(
            Proposal.organization_id == organization_id,
            Proposal.kind == kind,
            Proposal.target == target,
            col(Proposal.ended_at).is_(None),
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()


def _make(session: Session, act: Act, user_id: UUID, wanted: Ask) -> Proposal:
    row = Proposal(
        id=act.new_id(),
        organization_id=wanted.organization_id,
        kind=wanted.kind,
        target=wanted.target,
        payload=dict(wanted.payload),
        reason=wanted.reason,
        proposed_by=user_id,
        proposed_at=act.now,
        waits_until=act.now + WAITS if wanted.a_day_suffices else None,
    )
    try:
        with session.begin_nested():
            session.add(row)
    except sa.exc.IntegrityError as error:
        raise AnotherProposalOpen("Somebody asked for this at the same moment; look again.") from error
    _tell(session, act, row, "proposal.made")
    return row


def is_past(row: Proposal, now: datetime) -> bool:
    """Say whether an open proposal waited so long for a second person that it counts no more.

    Where a day suffices it is done after that day, or as soon as the service runs again.
    """
    return row.ended_at is None and row.waits_until is None and row.proposed_at + ENDS_AFTER <= now


def _expire(session: Session, act: Act, row: Proposal) -> None:
    _end(row, act.now, ProposalOutcome.EXPIRED)
    session.add(row)
    session.flush()
    _tell(session, act, row, "proposal.expired")


def past(session: Session, now: datetime) -> list[UUID]:
    """Return the open proposals that waited too long for a second person."""
    statement = select(Proposal.id).where(
        col(Proposal.ended_at).is_(None),
        col(Proposal.waits_until).is_(None),
        col(Proposal.proposed_at) <= now - ENDS_AFTER,
    )
    return list(session.exec(statement.order_by(col(Proposal.proposed_at))))


def expire(session: Session, act: Act, proposal_id: UUID) -> None:
    """End a proposal that waited too long, unless somebody confirmed or ended it at this moment."""
    statement = select(Proposal).where(Proposal.id == proposal_id).with_for_update()
    row = session.exec(statement.execution_options(populate_existing=True)).one()
    if is_past(row, act.now):
        _expire(session, act, row)


def require_recorded(session: Session, row: Proposal) -> None:
    """Refuse a proposal that is a row and nothing else: the history must know who asked for what, under its key.

    One that the history saw end stays ended, whatever its row says.
    """
    made = history_witness.said_at(
        session, row.organization_id, row.proposed_at, actor_id=row.proposed_by, event="proposal.made"
    )
    since = row.proposed_at - timedelta(days=1)  # no clock is wrong by more
    ended = history_witness.is_said_since(session, row.organization_id, since, events=_ENDINGS, naming=str(row.id))
    if ended or not any(_is_of(session, row, said["details"]) for said in made):
        raise ProposalNotRecorded(
            "The database holds an open proposal that the history knows nothing of, or saw end, so nothing was done. "
            "Tell the operator at once (docs/operations.md, chapter The history), withdraw it "
            "(DELETE /v1/proposals/{id}), and ask anew.",
            extra={"proposal_id": str(row.id)},
        )


def _is_of(session: Session, row: Proposal, told: Mapping[str, Any]) -> bool:
    if {**_details(row), "asked": told.get("asked")} != told:
        return False
    try:
        asked = _asked(row)
    except (rfc8785.CanonicalizationError, ValueError):
        return False  # nothing that this service wrote
    return history_witness.is_marked(session, row.organization_id, asked, told["asked"])


def _end(row: Proposal, now: datetime, outcome: ProposalOutcome) -> None:
    row.ended_at, row.outcome = now, outcome


def withdraw(session: Session, act: Act, proposal: Proposal) -> Proposal:
    """End a proposal without doing what it asks."""
    if proposal.ended_at is not None:
        raise Conflict(f"The proposal is {proposal.outcome} already.")
    _end(proposal, act.now, ProposalOutcome.WITHDRAWN)
    session.add(proposal)
    _tell(session, act, proposal, "proposal.withdrawn")
    return proposal


def see(session: Session, proposal_id: UUID, organizations: frozenset[UUID]) -> Proposal:
    """Return a proposal of one of these organizations as it is now, not locked; `NotFound` otherwise."""
    return _of(session.get(Proposal, proposal_id), organizations)


def find(session: Session, proposal_id: UUID, organizations: frozenset[UUID]) -> Proposal:
    """Return a proposal of one of these organizations, locked; `NotFound` otherwise."""
    statement = select(Proposal).where(Proposal.id == proposal_id).with_for_update()
    return _of(session.exec(statement.execution_options(populate_existing=True)).one_or_none(), organizations)


def _of(row: Proposal | None, organizations: frozenset[UUID]) -> Proposal:
    if row is None or row.organization_id not in organizations:
        raise NotFound("No such proposal.")
    return row


def due(session: Session, now: datetime) -> list[UUID]:
    """Return the open proposals whose day of waiting is over."""
    statement = (
        select(Proposal.id)
        .where(col(Proposal.ended_at).is_(None), col(Proposal.waits_until) <= now)
        .order_by(col(Proposal.proposed_at))
    )
    return list(session.exec(statement))


def finish_waiting(session: Session, act: Act, proposal_id: UUID, *roles: str) -> Proposal | None:
    """Mark a proposal whose day is over as done and return it, locked; None when it is not open and due any more.

    None also when who asked holds none of these roles (admin or approver when none is given) by now: it ends then.
    """
    statement = select(Proposal).where(Proposal.id == proposal_id).with_for_update()
    row = session.exec(statement.execution_options(populate_existing=True)).one()
    if row.ended_at is not None or row.waits_until is None or row.waits_until > act.now:
        return None
    require_recorded(session, row)
    stays = is_decider(session, row.organization_id, row.proposed_by, amsterdam_date(act.now), *roles)
    _end(row, act.now, ProposalOutcome.APPLIED if stays else ProposalOutcome.WITHDRAWN)
    session.add(row)
    _tell(session, act, row, "proposal.waited" if stays else "proposal.withdrawn")
    return row if stays else None


def deciders(session: Session, organization_id: UUID, today: date, *roles: str) -> set[UUID]:
    """Return who holds one of these roles (admin or approver when none is given) in an organization today."""
    statement = select(Membership.user_id).where(
        Membership.organization_id == organization_id,
        col(Membership.role).in_(roles or DECIDERS),
        sa.or_(col(Membership.ends_on).is_(None), col(Membership.ends_on) >= today),
    )
    return set(session.exec(statement))


def is_decider(session: Session, organization_id: UUID, user_id: UUID, today: date, *roles: str) -> bool:
    """Say whether a person (still) holds one of these roles (admin or approver when none is given)."""
    return user_id in deciders(session, organization_id, today, *roles)


def is_one_person_firm(session: Session, organization_id: UUID, today: date) -> bool:
    """Say whether nobody but one person could decide here; shown as such wherever two would be asked for."""
    return len(deciders(session, organization_id, today)) <= 1


def proposer(session: Session, row: Proposal) -> HistoryActor:
    """Return who asked, as they stand in the history."""
    return HistoryActor(kind="user", id=row.proposed_by, name=names_of(session, [row.proposed_by])[row.proposed_by])


def _tell(session: Session, act: Act, row: Proposal, event: str) -> None:
    details = _details(row)
    if event == "proposal.made":
        details["asked"] = history_witness.mark(session, row.organization_id, _asked(row))
    history.record(
        session,
        Fact(organization_id=row.organization_id, event=event, actor=act.actor, occurred_at=act.now, details=details),
    )


def _details(row: Proposal) -> dict[str, Any]:
    return {
        "proposal_id": str(row.id),
        "kind": row.kind,
        "target": str(row.target),
        "reason": row.reason,
        "waits_until": row.waits_until.astimezone(UTC).isoformat() if row.waits_until else None,
    }


def _asked(row: Proposal) -> bytes:
    """Return what exactly was asked. It may name accounts and people, so the history has a keyed hash of it."""
    return rfc8785.dumps(dict(row.payload))
