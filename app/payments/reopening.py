"""An approved batch made pending again: recalled, given another date, or its file withdrawn.

Before a file is handed out that is free. Afterwards it may lie at the bank, and only two people who say that it does
not can take it back. A file that was ever stored stays stored, marked void.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Session, col, select

from app.auth.actor import Actor
from app.core.errors import NotFound
from app.core.history import HistoryActor
from app.payments import claims, fetching, holds, obligations, progress, rereading, revising
from app.payments.context import Context
from app.payments.deciding import check_date, require_revision
from app.payments.errors import NotAllowedNow
from app.payments.locks import lock_batch
from app.payments.making import Setting
from app.payments.models import (
    CLOSED,
    AdministrationLink,
    Approval,
    BatchStatus,
    Claim,
    CreditTransfer,
    DebtorAccount,
    Decision,
    PaymentBatch,
    PaymentFile,
    PayrollRun,
    RunState,
    TransferStatus,
)
from app.payments.transitions import Action, Move, authorise, move, tell

FILE_WITHDRAWN = "file_withdrawn"


def recall_approval(ctx: Context, session: Session, actor: Actor, batch_id: UUID) -> PaymentBatch:
    """Take one's approval back, free while the file was never handed out: claims are released and the file is void."""
    batch = lock_batch(session, batch_id)
    authorise(actor, batch, Action.RECALL)
    if batch.status == BatchStatus.APPROVED:
        _refuse_handed_out(live_files(session, batch.id))
        return _reopen(
            ctx, session, batch, Reopening(event="batch.recalled", fact="recalled", actor=actor.as_history())
        )
    mine = session.exec(
        select(Approval).where(
            Approval.batch_id == batch.id,
            Approval.revision == batch.revision,
            Approval.user_id == actor.user_id,
            col(Approval.voided_at).is_(None),
        )
    ).one_or_none()
    if mine is None:
        raise NotFound("You have no approval on this revision.")
    mine.voided_at, mine.void_reason = ctx.now(), "recalled"
    session.add(mine)
    tell(session, batch, event="batch.recalled", actor=actor.as_history(), now=ctx.now(), details={})
    return batch


def reissue(ctx: Context, session: Session, actor: Actor, batch_id: UUID, revision: int, day: date) -> PaymentBatch:
    """Give an approved batch another execution date, only while its file was never handed out.

    The file is void, ids are new, claims are released, and approval is asked for again.
    """
    batch = lock_batch(session, batch_id)
    authorise(actor, batch, Action.REISSUE)
    require_revision(batch, revision)
    _refuse_handed_out(live_files(session, batch.id))
    check_date(day, session.get_one(DebtorAccount, batch.debtor_account_id), ctx)
    how = Reopening(
        event="batch.reissued",
        fact="reissued",
        actor=actor.as_history(),
        values={"requested_execution_date": day, "edited_by": actor.user_id},
        details={"requested_execution_date": day.isoformat(), "was": batch.requested_execution_date.isoformat()},
    )
    return _reopen(ctx, session, batch, how)


def live_files(session: Session, batch_id: UUID) -> Sequence[PaymentFile]:
    """Return the files of a batch that are not void, locked, in order."""
    return session.exec(
        select(PaymentFile)
        .where(PaymentFile.batch_id == batch_id, col(PaymentFile.voided_at).is_(None))
        .order_by(col(PaymentFile.n))
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()


def _refuse_handed_out(files: Sequence[PaymentFile]) -> None:
    if any(file.handed_out_at is not None for file in files):
        raise NotAllowedNow(
            "The file was handed out, so it may be at the bank. Only two people who say that it is not can withdraw it "
            "(POST .../withdrawals)."
        )


def check_withdrawal(session: Session, batch: PaymentBatch, n: int) -> PaymentFile:
    """Return the file that would be withdrawn; refuse one that is at the bank, or that nobody ever fetched."""
    files = live_files(session, batch.id)
    file = next((each for each in files if each.n == n), None)
    if file is None:
        raise NotFound("This batch has no such file.")
    if all(each.handed_out_at is None for each in files):
        # One that stayed here while another of its batch left can be neither recalled nor reissued: it is withdrawn.
        raise NotAllowedNow("The file was never handed out: recall the approval instead.")
    if file.delivered_at is not None:
        raise NotAllowedNow(
            "The file was handed in at the bank. If the bank does not execute it, say so with a statement "
            "(POST .../statements)."
        )
    return file


def withdraw_file(
    ctx: Context, session: Session, batch_id: UUID, n: int, *, reason: str, actor: HistoryActor
) -> PaymentBatch:
    """Take a handed-out file back because it is not at the bank. The two people are the caller's affair.

    When no other file of the batch may be at the bank, the batch is pending again; else this file's lines leave it.
    """
    batch = lock_batch(session, batch_id)
    file = check_withdrawal(session, batch, n)
    others = [each for each in live_files(session, batch.id) if each.n != n and each.handed_out_at is not None]
    if not others:
        how = Reopening(event="file.withdrawn", fact="withdrawn", actor=actor, details={"reason": reason, "file": n})
        return _reopen(ctx, session, batch, how)
    _void(ctx, session, [file], "withdrawn")
    rows = session.exec(
        select(CreditTransfer).where(CreditTransfer.batch_id == batch.id, CreditTransfer.file_n == n)
    ).all()
    claims.release(session, batch.id, fact="withdrawn", now=ctx.now(), obligations=[row.obligation_id for row in rows])
    for row in rows:
        row.status, row.decision = TransferStatus.EXCLUDED, Decision.EXCLUDE
        row.decision_reason, row.hold_code = reason, FILE_WITHDRAWN
        row.file_n = row.payment_information_id = None  # the next file may have this number
        session.add(row)
    details = {"reason": reason, "file": n, "lines": len(rows)}
    progress.settle(ctx, session, batch, event="file.withdrawn", actor=actor, details=details)
    return batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopening:
    """How a batch becomes pending again: the history's event, the fact that releases its claims, and who."""

    event: str
    fact: str
    actor: HistoryActor
    values: dict[str, Any] | None = None
    details: dict[str, Any] | None = None


def _reopen(ctx: Context, session: Session, batch: PaymentBatch, how: Reopening) -> PaymentBatch:
    void_files(ctx, session, batch, how.fact)
    _supersede_other_pending(ctx, session, how.actor, batch)
    batch = session.get_one(PaymentBatch, batch.id)
    run = session.get_one(PayrollRun, batch.run_id)
    _follow_last_reading(ctx, session, batch, run)
    _leave_out_what_is_paid(session, batch)
    holds.lift(ctx, session, batch, code="source_changed", actor=how.actor)
    change = revising.Change(
        event=how.event,
        actor=how.actor,
        values={"approved_at": None, **(how.values or {})},
        details=how.details or {},
    )
    revising.revise(ctx, session, batch, change)
    if run.source_kind != "upload":
        fetching.defer_fetch(session, batch.run_id)
    return batch


def _follow_last_reading(ctx: Context, session: Session, batch: PaymentBatch, run: PayrollRun) -> None:
    """Write on the lines what the run's last reading says, when it was taken in after the batch was approved.

    Without it a line that is known to be gone could be approved again: the last equal reading may be minutes old.
    """
    if run.reading_id is None or run.reading_id == batch.reading_id or run.state == RunState.ERASED:
        return
    link = session.get_one(AdministrationLink, run.administration_id)
    reading = fetching.open_reading(ctx, session, run.id, run.reading_id)
    owed = obligations.owed_lines(ctx, session, run, reading.document, reading_id=run.reading_id)
    rereading.rewrite_batch(ctx, session, batch, Setting(run, link, reading), owed)


def _leave_out_what_is_paid(session: Session, batch: PaymentBatch) -> None:
    """Leave out what another batch pays by now, or what was closed, whatever the source says of it."""
    is_held = sa.exists().where(
        col(Claim.obligation_id) == col(CreditTransfer.obligation_id), col(Claim.state).in_(claims.HELD_STATES)
    )
    # A line of zero or less is closed without a claim.
    is_closed = col(CreditTransfer.status).in_(CLOSED)
    rows = session.exec(
        select(CreditTransfer).where(CreditTransfer.batch_id == batch.id, sa.or_(is_held, is_closed))
    ).all()
    for row in rows:
        row.decision = Decision.EXCLUDE
        if row.status in CLOSED:
            row.hold_code = row.status
        else:
            row.decision_reason = row.decision_reason or "Another batch pays this line."
        session.add(row)
    session.flush()


def void_files(ctx: Context, session: Session, batch: PaymentBatch, fact: str) -> None:
    """Mark the files of a batch void, take its lines out of them and release its claims."""
    _void(ctx, session, live_files(session, batch.id), fact)
    claims.release(session, batch.id, fact=fact, now=ctx.now())
    is_in_file = col(CreditTransfer.status) == TransferStatus.IN_FILE
    # Also those that are not paid by it any more: the next file may have its number, and the bank does not mean them.
    session.execute(
        sa.update(CreditTransfer)
        .where(col(CreditTransfer.batch_id) == batch.id, sa.or_(is_in_file, col(CreditTransfer.file_n).is_not(None)))
        .values(
            status=sa.case((is_in_file, TransferStatus.PAYABLE.value), else_=col(CreditTransfer.status)),
            file_n=None,
            payment_information_id=None,
        )
    )
    session.expire_all()


def _void(ctx: Context, session: Session, files: Sequence[PaymentFile], reason: str) -> None:
    for file in files:
        file.voided_at, file.void_reason = ctx.now(), reason
        session.add(file)
    session.flush()


def _supersede_other_pending(ctx: Context, session: Session, actor: HistoryActor, batch: PaymentBatch) -> None:
    """A run has one pending batch at most: the reopened one takes the place of what was made after it."""
    other = session.exec(
        select(PaymentBatch)
        .where(PaymentBatch.run_id == batch.run_id, PaymentBatch.status == BatchStatus.PENDING)
        .with_for_update()
    ).one_or_none()
    if other is not None:
        revising.void_approvals(session, other, reason="superseded", ctx=ctx)
        step = Move(
            to=BatchStatus.SUPERSEDED,
            event="batch.superseded",
            actor=actor,
            now=ctx.now(),
            values={"status_reason": "An earlier batch of the same run was recalled."},
            details={"by": str(batch.id)},
        )
        move(session, other, step)
