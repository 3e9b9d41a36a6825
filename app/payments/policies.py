"""What an employer asks for before a batch is approved: how many people, and who they could be."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Session, col, select

from app.auth import proposals
from app.auth.actor import Actor
from app.auth.models import Membership, Role, User
from app.auth.people import unattended
from app.core import history
from app.core.clock import amsterdam_date
from app.core.columns import any_of
from app.core.errors import Invalid
from app.core.history import Fact, HistoryActor
from app.payments import accounts, claims, readings
from app.payments.context import Context
from app.payments.limits import exceeded
from app.payments.models import Administration as AdministrationRow
from app.payments.models import (
    Approval,
    ApprovalPolicy,
    BatchStatus,
    Claim,
    ClaimWay,
    Connection,
    CreditTransfer,
    LinkMode,
    PaymentBatch,
    PayrollRun,
    TransferStatus,
)
from app.payments.tiers import ONE_APPROVER, Given, Requirement, Situation, requirement, tier_problems

_UPLOAD = "upload"


def tiers_of(session: Session, employer_id: UUID) -> Sequence[Mapping[str, int]]:
    """Return the tiers of an employer; one approver for every amount when none were set."""
    row = session.get(ApprovalPolicy, employer_id)
    return ONE_APPROVER if row is None else row.tiers


def is_first(session: Session, employer_id: UUID) -> bool:
    """Say whether an employer never set its tiers: the first setting needs no second person."""
    return session.get(ApprovalPolicy, employer_id) is None


def check_tiers(tiers: Sequence[Mapping[str, int]]) -> None:
    """Refuse tiers that make no sense."""
    problems = tier_problems(tiers)
    if problems:
        raise Invalid(errors=problems)


def store_tiers(
    ctx: Context, session: Session, employer_id: UUID, tiers: Sequence[Mapping[str, int]], actor: HistoryActor
) -> None:
    """Write the tiers of an employer, from now on."""
    row = session.get(ApprovalPolicy, employer_id, with_for_update=True)
    before = None if row is None else list(row.tiers)
    set_by = actor.id
    if set_by is None:
        message = "tiers are set by a person"
        raise ValueError(message)
    if row is None:
        row = ApprovalPolicy(employer_id=employer_id, tiers=[], set_at=ctx.now(), set_by=set_by)
    row.tiers, row.set_at, row.set_by = [dict(tier) for tier in tiers], ctx.now(), set_by
    session.add(row)
    fact = Fact(
        organization_id=employer_id,
        event="policy.set",
        actor=actor,
        occurred_at=ctx.now(),
        details={"tiers": row.tiers, "was": before},
    )
    history.record(session, fact)


def approvers_of(session: Session, employer_id: UUID, today: date) -> frozenset[UUID]:
    """Return who could approve for an employer today."""
    return frozenset(proposals.deciders(session, employer_id, today, Role.APPROVER))


def employers_without_approver(ctx: Context, session: Session, batches: Iterable[PaymentBatch]) -> set[UUID]:
    """Return the employers of pending batches for whom nobody could approve today, whatever the amount.

    To approve takes the role, for as long as it lasts, and a PIN that is set and not locked.
    """
    employer_ids = {batch.employer_id for batch in batches if batch.status == BatchStatus.PENDING}
    today = amsterdam_date(ctx.now())
    able: Any = (
        select(Membership.organization_id)
        .join(User, col(User.id) == col(Membership.user_id))
        .where(
            any_of(col(Membership.organization_id), employer_ids),
            Membership.role == Role.APPROVER,
            sa.or_(col(Membership.ends_on).is_(None), col(Membership.ends_on) >= today),
            col(User.pin_hash).is_not(None),
            col(User.pin_locked_at).is_(None),
        )
    )
    return set(employer_ids) - set(session.exec(able))


def given_approvals(ctx: Context, session: Session, batch: PaymentBatch) -> list[Given]:
    """Return the approvals of the batch's revision that count: of people who are approvers still, as of now."""
    approvers = approvers_of(session, batch.employer_id, amsterdam_date(ctx.now()))
    statement = select(Approval.user_id, Approval.token_id).where(
        Approval.batch_id == batch.id, Approval.revision == batch.revision, col(Approval.voided_at).is_(None)
    )
    rows = session.exec(statement).all()
    programs = unattended(session, [token_id for _, token_id in rows])
    return [Given(user_id=person, is_unattended=token in programs) for person, token in rows if person in approvers]


def needed_for(ctx: Context, session: Session, batch: PaymentBatch, *, source_denied: bool = False) -> Requirement:
    """Return how many approvals a batch needs now, and why."""
    denied = source_denied or _source_was_denied(session, batch)
    situation = Situation(
        tier_cents=batch.control_sum_cents + _live_beside(session, batch),
        tiers=tiers_of(session, batch.employer_id),
        editor=batch.edited_by,
        approvers=approvers_of(session, batch.employer_id, amsterdam_date(ctx.now())),
        over_soft_limit=_over_soft_limit(ctx, session, batch),
        source_denied=denied,
        upload_beside_live=_is_upload_beside_live(session, batch),
    )
    return requirement(situation)


def _source_was_denied(session: Session, batch: PaymentBatch) -> bool:
    statement = select(Approval.id).where(
        Approval.batch_id == batch.id,
        Approval.revision == batch.revision,
        Approval.source_state == "denied",
        col(Approval.voided_at).is_(None),
    )
    return session.exec(statement.limit(1)).first() is not None


def _live_beside(session: Session, batch: PaymentBatch) -> int:
    """Return the cents claimed by other batches of the same run, or of the same account and date."""
    same_run = sa.select(col(PaymentBatch.id)).where(col(PaymentBatch.run_id) == batch.run_id)
    same_day = sa.and_(
        col(Claim.debtor_account_id) == batch.debtor_account_id,
        col(Claim.requested_execution_date) == batch.requested_execution_date,
    )
    statement = sa.select(sa.func.coalesce(sa.func.sum(col(Claim.amount_cents)), 0)).where(
        col(Claim.state).in_(claims.HELD_STATES),
        col(Claim.way) == ClaimWay.FILE,
        col(Claim.batch_id) != batch.id,
        sa.or_(same_day, col(Claim.batch_id).in_(same_run)),
    )
    return int(session.execute(statement).scalar_one())


def _over_soft_limit(ctx: Context, session: Session, batch: PaymentBatch) -> bool:
    if batch.mode != LinkMode.LIVE or batch.number_of_transactions == 0:
        return False
    uses = accounts.limit_uses(ctx, session, batch.debtor_account_id, batch.requested_execution_date, soft=True)
    if all(use.limit_cents is None for use in uses):
        return False
    largest = session.execute(
        sa.select(sa.func.max(col(CreditTransfer.amount_cents))).where(
            col(CreditTransfer.batch_id) == batch.id, col(CreditTransfer.status) == TransferStatus.PAYABLE
        )
    ).scalar_one()
    return bool(exceeded(uses, largest_line_cents=largest or 0, total_cents=batch.control_sum_cents))


def _is_upload_beside_live(session: Session, batch: PaymentBatch) -> bool:
    """Say whether a batch comes from a file that was uploaded beside a live connection, as a run of its own or not."""
    statement = (
        select(Connection.kind, PayrollRun.source_kind)
        .join(AdministrationRow, col(AdministrationRow.connection_id) == col(Connection.id))
        .join(PayrollRun, col(PayrollRun.administration_id) == col(AdministrationRow.id))
        .where(PayrollRun.id == batch.run_id)
    )
    connection_kind, source_kind = session.exec(statement).one()
    if connection_kind == _UPLOAD:
        return False
    return source_kind == _UPLOAD or readings.is_uploaded(session, batch.reading_id)


def may_change(actor: Actor, employer_id: UUID) -> None:
    """Refuse who may not change what an employer asks for."""
    actor.needs_employer_role(employer_id, Role.ADMIN)
