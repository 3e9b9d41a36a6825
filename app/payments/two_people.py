"""Everything that takes two people: who may ask and confirm, what is checked at both moments, and what is then done.

One person asks, another asks for the same (or confirms the proposal): then it is done. Settings need no second person
after a day. What frees money always does, except in a firm of one person, where a day stands in for the second.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import structlog
from sqlmodel import Session

from app.auth import people, proposals
from app.auth.actor import Actor
from app.auth.models import Proposal, ProposalOutcome, Role, Scope
from app.auth.people import Act
from app.auth.proposals import Ask
from app.core.clock import amsterdam_date
from app.core.database import transaction
from app.core.errors import AppError, Conflict, NotFound, Unavailable
from app.core.history import SYSTEM, HistoryActor
from app.core.log import frames_of
from app.payments import accounts, connections, holds, policies, releasing, reopening, retention, statements
from app.payments.accounts import Confirmation
from app.payments.context import Context
from app.payments.deciding import AnotherPersonNeeded
from app.payments.locks import lock_accounts, lock_batch
from app.payments.models import (
    AdministrationLink,
    CreditTransfer,
    DebtorAccount,
    Hold,
    HoldScope,
    PaymentBatch,
)
from app.payments.statements import Fact, Said
from app.payments.transitions import Action, require_status

_LOG = structlog.get_logger(__name__)
_EMPLOYER = (Role.ADMIN, Role.APPROVER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An act of two people as asked for: of which kind, about what, with what, and why."""

    kind: str
    target: UUID
    reason: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of act. `frees_money`: a day never stands in for the second person where there is one.

    `check` refuses what is not possible now and returns the employer; `apply` does it.
    """

    scope: Scope
    roles: tuple[str, ...]
    frees_money: bool
    check: Callable[[Context, Session, Wanted], UUID]
    apply: Callable[[Context, Session, Wanted, HistoryActor], None]


def act(ctx: Context, session: Session, actor: Actor, wanted: Wanted) -> Proposal:
    """Ask for an act of two people, or confirm it when another asked for the same; it is done when both have."""
    kind = KINDS[wanted.kind]
    employer_id = kind.check(ctx, session, wanted)
    require_rights(actor, wanted.kind, employer_id)
    today = amsterdam_date(ctx.now())
    asked = Ask(
        organization_id=employer_id,
        kind=wanted.kind,
        target=wanted.target,
        payload=wanted.payload,
        reason=wanted.reason,
        a_day_suffices=not kind.frees_money or proposals.is_one_person_firm(session, employer_id, today),
        roles=kind.roles,
    )
    proposal = proposals.ask(session, _act_of(ctx, actor), actor.user_id, asked)
    if proposal.outcome == ProposalOutcome.APPLIED:
        kind.apply(ctx, session, _as_wanted(proposal), actor.as_history())
    return proposal


def require_rights(actor: Actor, kind: str, employer_id: UUID) -> None:
    """Refuse who may never ask for, or confirm, an act of this kind at this employer."""
    actor.needs_employer_role(employer_id, *KINDS[kind].roles)
    actor.needs_scope(KINDS[kind].scope)


def confirm(ctx: Context, session: Session, actor: Actor, proposal_id: UUID) -> Proposal:
    """Confirm what another person asked for."""
    seen = proposals.see(session, proposal_id, actor.readable_employers)
    _refuse_ended(seen)
    # What it is about is locked before the proposal, as when somebody asks for the same: no two wait in a circle.
    try:
        KINDS[seen.kind].check(ctx, session, _as_wanted(seen))
    except AppError:
        session.refresh(seen)  # when it was done at this moment, that is why it cannot be done any more
        _refuse_ended(seen)
        raise
    row = proposals.find(session, proposal_id, actor.readable_employers)
    _refuse_ended(row)
    if proposals.is_past(row, ctx.now()):
        raise Conflict(f"Nobody confirmed this in {proposals.ENDS_AFTER.days} days, so it ended. Ask for it anew.")
    if row.proposed_by == actor.user_id and (row.waits_until is None or row.waits_until > ctx.now()):
        raise AnotherPersonNeeded("You asked for this yourself; another person confirms it.")
    return act(ctx, session, actor, _as_wanted(row))


def _refuse_ended(row: Proposal) -> None:
    if row.ended_at is not None:
        raise Conflict(f"The proposal is {row.outcome} already.")


def withdraw(ctx: Context, session: Session, actor: Actor, proposal_id: UUID) -> Proposal:
    """End a proposal; any admin or approver of the employer may."""
    row = proposals.find(session, proposal_id, actor.readable_employers)
    actor.needs_employer_role(row.organization_id, *_EMPLOYER)
    actor.needs_scope(Scope.PREPARE)
    return proposals.withdraw(session, _act_of(ctx, actor), row)


def end_overtaken(
    ctx: Context, session: Session, batch: PaymentBatch, transfer_ids: Collection[UUID], *, n: int
) -> None:
    """End what was asked about these lines of file `n`: the bank has said something else of them since."""
    row = proposals.open_on(session, batch.employer_id, STATEMENT, batch.id) if transfer_ids else None
    if row is None:
        return
    said = said_of(_as_wanted(row))
    is_named = said.transfer_ids is None or not set(transfer_ids).isdisjoint(said.transfer_ids)
    if is_named and said.n in (None, n):
        proposals.withdraw(session, Act(actor=SYSTEM, now=ctx.now(), new_id=ctx.new_id), row)


def apply_due(ctx: Context) -> int:
    """Do what was asked for a day ago and needs no second person; return how many. What is impossible by then ends.

    So does what nobody confirmed in thirty days.
    """
    with transaction(ctx.engine) as session:
        waiting, past = proposals.due(session, ctx.now()), proposals.past(session, ctx.now())
    for proposal_id in past:
        _expire_one(ctx, proposal_id)
    return sum(_apply_one(ctx, proposal_id) for proposal_id in waiting)


def _expire_one(ctx: Context, proposal_id: UUID) -> None:
    """Each by itself: what keeps one employer's history from being written to must not stop what is due of others."""
    try:
        with transaction(ctx.engine) as session:
            proposals.expire(session, Act(actor=SYSTEM, now=ctx.now(), new_id=ctx.new_id), proposal_id)
    except Unavailable as error:
        _LOG.warning("proposal_not_expired", proposal_id=str(proposal_id), code=error.code)
    except Exception as error:  # noqa: BLE001 - whatever it is: what is due of others is done
        _LOG.error(
            "proposal_not_expired", proposal_id=str(proposal_id), error=type(error).__name__, at=frames_of(error)
        )


def _apply_one(ctx: Context, proposal_id: UUID) -> bool:
    """Each by itself: what cannot be done now waits on, the next tick tries again, and what is due of others is done.

    Of what nobody foresaw only the kind of error is told: its words may repeat what it is about.
    """
    try:
        return _apply_or_end(ctx, proposal_id)
    except Unavailable as error:
        _LOG.warning("proposal_not_applied", proposal_id=str(proposal_id), code=error.code)
    except Exception as error:  # noqa: BLE001 - also a kind or a payload of another version, a document unreadable by now
        _LOG.error(
            "proposal_not_applied", proposal_id=str(proposal_id), error=type(error).__name__, at=frames_of(error)
        )
    return False


def _apply_or_end(ctx: Context, proposal_id: UUID) -> bool:
    system = Act(actor=SYSTEM, now=ctx.now(), new_id=ctx.new_id)
    try:
        with transaction(ctx.engine) as session:
            seen = session.get_one(Proposal, proposal_id)
            if holds.bars_since(session, seen.organization_id, seen.proposed_at):
                return False  # it may have been stopped after the moment to which the database was set back
            kind, wanted = KINDS[seen.kind], _as_wanted(seen)
            kind.check(ctx, session, wanted)
            row = proposals.finish_waiting(session, system, proposal_id, *kind.roles)
            if row is None:
                return False
            kind.apply(ctx, session, wanted, proposals.proposer(session, row))
            return True
    except Unavailable:
        raise  # nothing is known of what it was about
    except AppError:
        # What it was about has changed since: it can no longer be done, and the history says that it ended.
        with transaction(ctx.engine) as session:
            row = session.get_one(Proposal, proposal_id, with_for_update=True)
            if row.ended_at is None:
                proposals.withdraw(session, system, row)
        return False


def _as_wanted(row: Proposal) -> Wanted:
    return Wanted(kind=row.kind, target=row.target, reason=row.reason, payload=row.payload)


def _act_of(ctx: Context, actor: Actor) -> Act:
    return Act(actor=actor.as_history(), now=ctx.now(), new_id=ctx.new_id)


def _batch(session: Session, batch_id: UUID) -> PaymentBatch:
    batch = session.get(PaymentBatch, batch_id)
    if batch is None:
        raise NotFound("No such batch.")
    return batch


# ------------------------------------------------------------------------------------ what frees money


def _require_asked_of(batch: PaymentBatch, wanted: Wanted) -> None:
    """Refuse what was said of another revision: the file that lies at the bank now is not the one that was meant."""
    if wanted.payload.get("revision", batch.revision) != batch.revision:
        raise Conflict("The batch was approved anew since this was asked for; look at the bank again, and ask again.")


def _check_withdrawal(ctx: Context, session: Session, wanted: Wanted) -> UUID:
    del ctx
    batch = _batch(session, wanted.target)
    require_status(batch, Action.WITHDRAW)
    batch = lock_batch(session, batch.id)
    _require_asked_of(batch, wanted)
    reopening.check_withdrawal(session, batch, wanted.payload["file"])
    return batch.employer_id


def _withdraw(ctx: Context, session: Session, wanted: Wanted, actor: HistoryActor) -> None:
    reopening.withdraw_file(ctx, session, wanted.target, wanted.payload["file"], reason=wanted.reason, actor=actor)


def said_of(wanted: Wanted) -> Said:
    """Return the statement that a proposal holds."""
    ids = wanted.payload.get("transfer_ids")
    return Said(
        fact=Fact(wanted.payload["fact"]),
        reason=wanted.reason,
        n=wanted.payload.get("file"),
        transfer_ids=None if ids is None else [UUID(each) for each in ids],
        reason_code=wanted.payload.get("reason_code"),
    )


def _check_statement(ctx: Context, session: Session, wanted: Wanted) -> UUID:
    batch = _batch(session, wanted.target)
    require_status(batch, Action.STATE)
    batch = lock_batch(session, batch.id)
    _require_asked_of(batch, wanted)
    statements.check(ctx, session, batch, said_of(wanted))
    return batch.employer_id


def _state(ctx: Context, session: Session, wanted: Wanted, actor: HistoryActor) -> None:
    details = {"by": "two_people"}
    statements.apply(ctx, session, wanted.target, said_of(wanted), actor, details=details)


def _check_return(ctx: Context, session: Session, wanted: Wanted) -> UUID:
    del ctx
    row = session.get(CreditTransfer, wanted.target)
    if row is None:
        raise NotFound("No such line.")
    statements.check_return(row)
    batch = _batch(session, row.batch_id)
    retention.refuse_erased(batch)
    return batch.employer_id


def _return(ctx: Context, session: Session, wanted: Wanted, actor: HistoryActor) -> None:
    code = wanted.payload.get("reason_code")
    statements.return_line(ctx, session, wanted.target, reason=wanted.reason, reason_code=code, actor=actor)


def _replaces(wanted: Wanted) -> UUID | None:
    replaces = wanted.payload.get("replaces")
    return None if replaces is None else UUID(replaces)


def _check_release(ctx: Context, session: Session, wanted: Wanted) -> UUID:
    del ctx
    _, batch = releasing.check_release(session, wanted.target, _replaces(wanted))
    return batch.employer_id


def _release(ctx: Context, session: Session, wanted: Wanted, actor: HistoryActor) -> None:
    releasing.release_line(ctx, session, wanted.target, _replaces(wanted), reason=wanted.reason, actor=actor)


def _check_hold(ctx: Context, session: Session, wanted: Wanted) -> UUID:
    del ctx
    hold = session.get(Hold, wanted.target)
    if hold is None or hold.scope not in (HoldScope.BATCH, HoldScope.EMPLOYER) or hold.target_id is None:
        raise NotFound("No such hold on a batch or an employer.")
    if hold.lifted_at is not None:
        raise Conflict("The hold was lifted already.")
    if hold.scope == HoldScope.EMPLOYER:
        return hold.target_id
    return _batch(session, hold.target_id).employer_id


def _lift(ctx: Context, session: Session, wanted: Wanted, actor: HistoryActor) -> None:
    hold = session.get_one(Hold, wanted.target, with_for_update=True)
    if hold.scope == HoldScope.EMPLOYER:
        holds.lift_of_employer(ctx, session, hold, reason=wanted.reason, actor=actor)
    elif hold.target_id is not None:
        holds.lift(ctx, session, _batch(session, hold.target_id), code=hold.code, actor=actor)


# -------------------------------------------------------------------------------------- what is set up


def _check_tiers(ctx: Context, session: Session, wanted: Wanted) -> UUID:
    del ctx
    policies.check_tiers(wanted.payload["tiers"])
    return _lock_settings(session, wanted.target)


def _lock_settings(session: Session, employer_id: UUID) -> UUID:
    """Lock what an employer asks for, before the proposal: who sets it without one locks it first as well."""
    return people.lock_people(session, employer_id).id


def _set_tiers(ctx: Context, session: Session, wanted: Wanted, actor: HistoryActor) -> None:
    policies.store_tiers(ctx, session, wanted.target, wanted.payload["tiers"], actor)


def _terms(wanted: Wanted) -> retention.Terms:
    payload = wanted.payload
    return retention.Terms(lines_months=payload["lines_months"], sources_months=payload["sources_months"])


def _check_terms(ctx: Context, session: Session, wanted: Wanted) -> UUID:
    del ctx
    retention.check_terms(_terms(wanted))
    return _lock_settings(session, wanted.target)


def _set_terms(ctx: Context, session: Session, wanted: Wanted, actor: HistoryActor) -> None:
    retention.store_terms(ctx, session, wanted.target, _terms(wanted), actor)


def _check_link(ctx: Context, session: Session, wanted: Wanted) -> UUID:
    del ctx
    link = session.get(AdministrationLink, wanted.target)
    if link is None:
        raise NotFound("No such link.")
    connections.check_changed_link(session, link, connections.link_from(wanted.payload))
    return link.employer_id


def _change_link(ctx: Context, session: Session, wanted: Wanted, actor: HistoryActor) -> None:
    link = session.get_one(AdministrationLink, wanted.target, with_for_update=True)
    connections.change_link(ctx, session, link, connections.link_from(wanted.payload), actor)


def _stated(wanted: Wanted) -> Confirmation:
    return Confirmation(**wanted.payload)


def _check_resuming(ctx: Context, session: Session, wanted: Wanted) -> UUID:
    del ctx
    account = session.get(DebtorAccount, wanted.target)
    if account is None:
        raise NotFound("No such debtor account.")
    accounts.check_confirmation(account, _stated(wanted))
    return account.employer_id


def _resume(ctx: Context, session: Session, wanted: Wanted, actor: HistoryActor) -> None:
    account = lock_accounts(session, {wanted.target})[wanted.target]
    accounts.put_confirmation(ctx, session, account, _stated(wanted), actor)


def _check_member(ctx: Context, session: Session, wanted: Wanted) -> UUID:
    del ctx
    return _lock_settings(session, UUID(wanted.payload["organization_id"]))


def _check_removal(ctx: Context, session: Session, wanted: Wanted) -> UUID:
    del ctx
    organization_id = UUID(wanted.payload["organization_id"])
    people.check_ending(
        session, user_id=wanted.target, organization_id=organization_id, role=Role(wanted.payload["role"])
    )
    return organization_id


def _add_member(ctx: Context, session: Session, wanted: Wanted, actor: HistoryActor) -> None:
    act_now = Act(actor=actor, now=ctx.now(), new_id=ctx.new_id)
    ends_on = wanted.payload["ends_on"]
    user = people.find_known(session, wanted.payload["email"])
    if user is None:
        raise NotFound("Nobody with this e-mail any more.")
    people.add_membership(
        session,
        act_now,
        user=user,
        organization_id=UUID(wanted.payload["organization_id"]),
        role=Role(wanted.payload["role"]),
        ends_on=None if ends_on is None else date.fromisoformat(ends_on),
    )


def _remove_member(ctx: Context, session: Session, wanted: Wanted, actor: HistoryActor) -> None:
    people.end_membership(
        session,
        Act(actor=actor, now=ctx.now(), new_id=ctx.new_id),
        user_id=wanted.target,
        organization_id=UUID(wanted.payload["organization_id"]),
        role=Role(wanted.payload["role"]),
    )


def _frees(
    check: Callable[[Context, Session, Wanted], UUID], apply: Callable[[Context, Session, Wanted, HistoryActor], None]
) -> Kind:
    return Kind(scope=Scope.APPROVE, roles=_EMPLOYER, frees_money=True, check=check, apply=apply)


def _sets(
    check: Callable[[Context, Session, Wanted], UUID], apply: Callable[[Context, Session, Wanted, HistoryActor], None]
) -> Kind:
    return Kind(scope=Scope.PREPARE, roles=(Role.ADMIN,), frees_money=False, check=check, apply=apply)


FILE_WITHDRAWAL = "file_withdrawal"
STATEMENT = "statement"
LINE_RETURN = "line_return"
LINE_RELEASE = "line_release"
HOLD_LIFTING = "hold_lifting"
APPROVAL_POLICY = "approval_policy"
LINK_CHANGE = "link_change"
ACCOUNT_RESUMED = "account_resumed"
MEMBER_ADDED = "member_added"
MEMBER_REMOVED = "member_removed"
RETENTION = "retention"

KINDS: Mapping[str, Kind] = {
    FILE_WITHDRAWAL: _frees(_check_withdrawal, _withdraw),
    STATEMENT: _frees(_check_statement, _state),
    LINE_RETURN: _frees(_check_return, _return),
    LINE_RELEASE: _frees(_check_release, _release),
    HOLD_LIFTING: _frees(_check_hold, _lift),
    APPROVAL_POLICY: _sets(_check_tiers, _set_tiers),
    LINK_CHANGE: _sets(_check_link, _change_link),
    ACCOUNT_RESUMED: _sets(_check_resuming, _resume),
    MEMBER_ADDED: _sets(_check_member, _add_member),
    MEMBER_REMOVED: _sets(_check_removal, _remove_member),
    RETENTION: _sets(_check_terms, _set_terms),
}
