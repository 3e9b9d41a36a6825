"""Making a batch of a reading: of the lines that no batch of this run has yet."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from app.core.columns import any_of
from app.core.history import SYSTEM
from app.payments import bank_profiles, calendar, claims, guarding, holds, line_rows, revising
from app.payments.context import Context
from app.payments.models import (
    CLOSED,
    AdministrationLink,
    BatchStatus,
    CreditTransfer,
    DebtorAccount,
    Decision,
    HoldScope,
    PaymentBatch,
    PaymentFile,
    PayrollRun,
    TransferStatus,
)
from app.payments.obligations import OwedLine
from app.payments.readings import Reading
from app.payments.transitions import tell
from app.payments.waiting import reasons_to_wait

SOURCE_CHANGED = "source_changed"
ENDED_WITHOUT_FILE = frozenset(
    {BatchStatus.REJECTED, BatchStatus.CANCELLED, BatchStatus.SUPERSEDED, BatchStatus.EXPIRED}
)


@dataclass(frozen=True, slots=True)
class Setting:
    """Which run was read, for whom, and what was read."""

    run: PayrollRun
    link: AdministrationLink
    reading: Reading


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch with its lines, which nobody judged yet; `details` are for the history."""

    batch: PaymentBatch
    details: dict[str, Any]


def write_batch(ctx: Context, session: Session, setting: Setting, lines: Sequence[OwedLine]) -> NewBatch | None:
    """Write a batch of the lines that no batch of this run has yet; after an approval those wait for people.

    None when there is no such line. Whoever calls this calls `judge_batch` afterwards, in the same transaction.
    """
    run = setting.run
    earlier = session.exec(select(PaymentBatch.id, PaymentBatch.status).where(PaymentBatch.run_id == run.id)).all()
    with_file = [identifier for identifier, status in earlier if status not in ENDED_WITHOUT_FILE]
    # Lines of a batch that ended without a file come back only when a person offers them again; what is new, or was
    # corrected since, is in no batch yet.
    earlier_ids = [identifier for identifier, _ in earlier]
    in_batches = with_file if setting.reading.offer_again else earlier_ids
    taken = obligations_in(session, in_batches) | settled(session, run.id, [line.obligation_id for line in lines])
    fresh = [line for line in lines if line.obligation_id not in taken]
    if not fresh:
        return None
    waiting = reasons_to_wait(session, run, fresh)
    batch = _new_batch(ctx, session, setting)
    if setting.reading.offer_again and puts_back(session, run.id, fresh):
        batch.edited_by = setting.reading.actor.id
    session.add(batch)
    session.flush()
    line_rows.insert_lines(ctx, session, batch, fresh, waiting, first_position=1)
    return NewBatch(batch, {"run_id": str(run.id), "lines": len(fresh), "after_approval": bool(with_file)})


def settled(session: Session, run_id: UUID, obligation_ids: Sequence[UUID]) -> set[UUID]:
    """Return what is being paid, was paid, or was closed: of zero or less without a claim, by the line alone."""
    closed = (
        select(CreditTransfer.obligation_id)
        .join(PaymentBatch, col(PaymentBatch.id) == col(CreditTransfer.batch_id))
        .where(
            PaymentBatch.run_id == run_id,
            col(CreditTransfer.status).in_(CLOSED),
        )
    )
    return claims.held(session, obligation_ids) | set(session.exec(closed))


def puts_back(session: Session, run_id: UUID, lines: Sequence[OwedLine]) -> bool:
    """Say whether people left out or held one of these lines in a batch of the run: offering it again puts it back."""
    statement = select(CreditTransfer.id).where(
        col(CreditTransfer.batch_id).in_(select(PaymentBatch.id).where(PaymentBatch.run_id == run_id)),
        any_of(col(CreditTransfer.obligation_id), [line.obligation_id for line in lines]),
        CreditTransfer.decision != Decision.PAY,
        col(CreditTransfer.hold_code).is_(None),
    )
    return session.exec(statement.limit(1)).first() is not None


def judge_batch(ctx: Context, session: Session, made: NewBatch, reading: Reading) -> None:
    """Judge the lines of a new batch, and tell of it."""
    batch = made.batch
    for name, value in revising.compute(ctx, session, batch).items():
        setattr(batch, name, value)
    session.add(batch)
    session.flush()
    tell(session, batch, event="batch.made", actor=reading.actor, now=ctx.now(), details=made.details)
    guarding.bar(ctx, session, batch)


def compare_with_approved(ctx: Context, session: Session, run: PayrollRun, lines: Sequence[OwedLine]) -> None:
    """Bar the hand-out of an approved batch that pays what the source lists no longer, or lists otherwise.

    Account and amount are what the obligation is; name and text may differ beside them. Note equality otherwise.
    Every reading that was taken in is compared, also one that changes the pending batch of the same run.
    """
    listed = {line.obligation_id: (line.transfer.creditor_name, line.transfer.remittance_text) for line in lines}
    approved = session.exec(
        select(PaymentBatch).where(PaymentBatch.run_id == run.id, PaymentBatch.status == BatchStatus.APPROVED)
    ).all()
    for batch in approved:
        paid = session.exec(
            select(
                CreditTransfer.obligation_id,
                CreditTransfer.creditor_name_original,
                CreditTransfer.remittance_text_original,
            ).where(CreditTransfer.batch_id == batch.id, CreditTransfer.status == TransferStatus.IN_FILE)
        ).all()
        gone = sum(obligation_id not in listed for obligation_id, _, _ in paid)
        changed = sum(listed.get(obligation_id, (name, text)) != (name, text) for obligation_id, name, text in paid)
        if _has_left(session, batch):
            changed = 0  # who is paid, and what, is as the source says: no reason to stop it at the bank
        if gone + changed == 0:
            batch.source_equal_at = ctx.now()
            session.add(batch)
        else:
            reason = (
                f"{_differences(gone, changed)} Recall the approval and look at the batch again; when the file may be "
                "at the bank already, stop it there."
            )
            _bar(ctx, session, batch, reason)


def _bar(ctx: Context, session: Session, batch: PaymentBatch, reason: str) -> None:
    """Put the batch on hold; by a new hold when it is about more or less by now: who looked did not see that."""
    before = [
        hold for hold in holds.of_batch(session, batch) if (hold.scope, hold.code) == (HoldScope.BATCH, SOURCE_CHANGED)
    ]
    if any(hold.reason == reason for hold in before):
        return
    if before:
        holds.lift(ctx, session, batch, code=SOURCE_CHANGED, actor=SYSTEM)
    holds.place(ctx, session, batch, code=SOURCE_CHANGED, reason=reason)


def _has_left(session: Session, batch: PaymentBatch) -> bool:
    statement = select(PaymentFile.id).where(
        PaymentFile.batch_id == batch.id,
        col(PaymentFile.handed_out_at).is_not(None),
        col(PaymentFile.voided_at).is_(None),
    )
    return session.exec(statement.limit(1)).first() is not None


def _differences(gone: int, changed: int) -> str:
    said = []
    if gone:
        said.append(f"{gone} lines of this batch are no longer in the run at the source.")
    if changed:
        said.append(f"{changed} lines of this batch have another name or description at the source since.")
    return " ".join(said)


def obligations_in(session: Session, batch_ids: Sequence[UUID]) -> set[UUID]:
    """Return what is owed by lines of these batches."""
    return set(
        session.exec(select(CreditTransfer.obligation_id).where(any_of(col(CreditTransfer.batch_id), batch_ids)))
    )


def _new_batch(ctx: Context, session: Session, setting: Setting) -> PaymentBatch:
    now = ctx.now()
    link = setting.link
    return PaymentBatch(
        id=ctx.new_id(),
        employer_id=link.employer_id,
        administration_id=link.administration_id,
        run_id=setting.run.id,
        reading_id=setting.reading.row.id,
        debtor_account_id=link.debtor_account_id,
        mode=link.mode,
        status=BatchStatus.PENDING,
        revision=1,
        digest="",
        requested_execution_date=_execution_date(ctx, session, setting),
        number_of_transactions=0,
        control_sum_cents=0,
        source_equal_at=setting.reading.row.fetched_at,
        created_at=now,
        updated_at=now,
    )


def _execution_date(ctx: Context, session: Session, setting: Setting) -> date:
    """An upload proposes the date of its own file when that is possible; else the pay-day rule decides."""
    account = session.get_one(DebtorAccount, setting.link.debtor_account_id)
    profile = bank_profiles.profile_for(account.iban)
    now = ctx.now()
    if setting.run.source_kind == "upload":
        dates = {block.requested_execution_date for block in setting.reading.document.instructions}
        proposed = next(iter(dates)) if len(dates) == 1 else None
        if proposed is not None and calendar.date_problem(proposed, now=now, profile=profile) is None:
            return proposed
    return default_execution_date(ctx, setting.run, setting.link, account)


def default_execution_date(ctx: Context, run: PayrollRun, link: AdministrationLink, account: DebtorAccount) -> date:
    """Return the execution date that the pay-day rule gives for this run, or the first possible day."""
    return proposed_date(ctx, run, link, account).day


def proposed_date(
    ctx: Context, run: PayrollRun, link: AdministrationLink, account: DebtorAccount
) -> calendar.ProposedDate:
    """Return what the pay-day rule says about this run, and what is possible of it now."""
    return calendar.default_execution_date(
        calendar.parse_pay_day_rule(link.pay_day_rule),
        now=ctx.now(),
        run_year=run.year,
        period_start=run.period_start,
        period_end=run.period_end,
        frequency=run.frequency,
        profile=bank_profiles.profile_for(account.iban),
    )
