"""Handing a stored file out, and hearing from people that it is at the bank. Nothing is ever built here."""

from dataclasses import dataclass
from uuid import UUID

from sqlmodel import Session, col, select

from app.auth.actor import Actor
from app.core.errors import Conflict, Invalid, NotFound, Problem
from app.payments import bank_profiles, calendar, claims, holds
from app.payments.approving import check_account, file_place
from app.payments.context import Context
from app.payments.deciding import require_revision
from app.payments.errors import NotAllowedNow
from app.payments.locks import lock_batch
from app.payments.models import BatchStatus, DebtorAccount, Delivery, LinkMode, PaymentBatch, PaymentFile
from app.payments.transitions import Action, Move, authorise, move, tell


class ExecutionDatePassed(Conflict):
    """It is too late to hand the file in for its execution date."""

    code = "execution_date_passed"
    title = "Too late for the execution date"


class DryRunOnly(Conflict):
    """The batch is a dry run."""

    code = "dry_run"
    title = "This is a dry run"


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOut:
    """What is handed out: the stored bytes, and whether somebody fetched them before."""

    file: PaymentFile
    data: bytes
    fetched_before: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which file is asked for: its number, whether a dry run is wanted on purpose, and why after delivery."""

    n: int = 1
    dry: bool = False
    reason: str | None = None


def hand_out(ctx: Context, session: Session, actor: Actor, batch_id: UUID, asked: Asked) -> HandOut:
    """Return the stored bytes of a file. The caller commits before the first byte leaves.

    Only the first hand-out marks the claims; every one is in the history with who fetched it before.
    """
    batch = lock_batch(session, batch_id)
    authorise(actor, batch, Action.HAND_OUT)
    file = _current_file(session, batch, asked.n)
    _check_mode(batch, asked)
    first = file.handed_out_at is None
    if first and batch.mode == LinkMode.LIVE:
        holds.refuse_when_held(session, batch)
        account = session.get_one(DebtorAccount, batch.debtor_account_id)
        check_account(account)
        _check_in_time(ctx, batch, account)
        file.handed_out_at = ctx.now()
        session.add(file)
        claims.mark_handed_out(session, batch.id)
    if batch.status != BatchStatus.APPROVED and not asked.reason:
        message = "The file was delivered already; say with ?reason= why you need it again."
        raise Invalid(errors=[Problem(pointer="/reason", code="reason_missing", message=message)])
    details = {
        "message_id": file.message_id,
        "sha256": file.sha256,
        "first": first,
        "reason": asked.reason,
    }
    tell(session, batch, event="file.handed_out", actor=actor.as_history(), now=ctx.now(), details=details)
    data = ctx.keyring.open(file.content_sealed, file_place(batch.employer_id, file.id))
    return HandOut(file=file, data=data, fetched_before=not first)


def _current_file(session: Session, batch: PaymentBatch, n: int) -> PaymentFile:
    file = session.exec(
        select(PaymentFile)
        .where(
            PaymentFile.batch_id == batch.id,
            PaymentFile.revision == batch.revision,
            PaymentFile.n == n,
            col(PaymentFile.voided_at).is_(None),
        )
        .with_for_update()
    ).one_or_none()
    if file is None:
        raise NotFound("This batch has no such file.")
    return file


def _check_mode(batch: PaymentBatch, asked: Asked) -> None:
    if batch.mode == LinkMode.DRY_RUN and not asked.dry:
        raise DryRunOnly("This file is of a dry run and must not go to a bank. Add ?dry=1 to look at it.")


def _check_in_time(ctx: Context, batch: PaymentBatch, account: DebtorAccount) -> None:
    profile = bank_profiles.profile_for(account.iban)
    latest = calendar.release_before(batch.requested_execution_date, profile)
    if ctx.now() > latest:
        raise ExecutionDatePassed(
            f"The file had to be handed in before {latest.isoformat()}. Recall the approval, choose another execution "
            "date and approve again.",
            extra={"release_before": latest.isoformat(), "choices": ["recall"]},
        )


def deliver(
    ctx: Context, session: Session, actor: Actor, batch_id: UUID, revision: int, *, note: str | None
) -> PaymentBatch:
    """Take an employer's word that the file was handed in at the bank."""
    batch = lock_batch(session, batch_id)
    authorise(actor, batch, Action.DELIVER)
    require_revision(batch, revision)
    if batch.mode == LinkMode.DRY_RUN:
        raise DryRunOnly("A dry run is never delivered.")
    file = _current_file(session, batch, 1)
    if file.handed_out_at is None:
        raise NotAllowedNow("The file was never handed out, so it cannot be at the bank. Download it first.")
    session.add(
        Delivery(
            id=ctx.new_id(),
            file_id=file.id,
            channel="download",
            outcome="accepted",
            reported_by=actor.user_id,
            reported_at=ctx.now(),
            note=note,
        )
    )
    step = Move(
        to=BatchStatus.DELIVERED,
        event="batch.delivered",
        actor=actor.as_history(),
        now=ctx.now(),
        values={"delivered_at": ctx.now()},
        details={"message_id": file.message_id, "sha256": file.sha256, "note": note},
    )
    move(session, batch, step)
    return batch


def files_of(session: Session, batch_id: UUID) -> list[PaymentFile]:
    """Return every file ever stored for a batch, newest revision first."""
    return list(
        session.exec(
            select(PaymentFile)
            .where(PaymentFile.batch_id == batch_id)
            .order_by(col(PaymentFile.revision).desc(), col(PaymentFile.n))
        )
    )
