"""Handing a stored file out, and getting it to the bank: by a person, or through a channel. Nothing is built here."""

from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Session, col, select

from app.auth.actor import Actor
from app.core.columns import any_of
from app.core.database import transaction
from app.core.errors import AppError, Conflict, Invalid, NotFound, Problem
from app.core.history import HistoryActor
from app.payments import bank_profiles, building, calendar, claims, holds, progress, reopening, restored
from app.payments.approving import check_account
from app.payments.context import Context
from app.payments.deciding import require_revision
from app.payments.errors import NotAllowedNow
from app.payments.identifiers import file_name
from app.payments.locks import lock_batch
from app.payments.models import (
    BankStatus,
    BatchStatus,
    CreditTransfer,
    DebtorAccount,
    Delivery,
    LinkMode,
    PaymentBatch,
    PaymentFile,
    TransferStatus,
)
from app.payments.ports import BankChannel, ChannelAnswer, ChannelOutcome
from app.payments.retention import refuse_erased
from app.payments.transitions import RULES, Action, authorise, tell, tell_attention

DOWNLOAD = "download"
HASH_DIGITS = 8


class ExecutionDatePassed(Conflict):
    """It is too late to hand the file in for its execution date."""

    code = "execution_date_passed"
    title = "Too late for the execution date"


class DryRunOnly(Conflict):
    """The batch is a dry run."""

    code = "dry_run"
    title = "This is a dry run"


class HashDiffers(Conflict):
    """What the bank shows is not the hash of the stored file: another file was handed in."""

    code = "hash_differs"
    title = "The file at the bank is not the stored file"


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOut:
    """What is handed out: the stored bytes, and who fetched them before."""

    file: PaymentFile
    name: str
    data: bytes
    fetched_before: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which file is asked for: its number, whether a dry run is wanted on purpose, and why after delivery.

    `n` None: the only file of the batch.
    """

    n: int | None = None
    dry: bool = False
    reason: str | None = None


def hand_out(ctx: Context, session: Session, actor: Actor, batch_id: UUID, asked: Asked) -> HandOut:
    """Return the stored bytes of a file. The caller commits, which counts the release, before the first byte leaves.

    Only the first hand-out marks the claims; every one is in the history with who fetched it before.
    """
    batch = lock_batch(session, batch_id)
    authorise(actor, batch, Action.HAND_OUT)
    file = _current_file(session, batch, asked.n)
    refuse_erased(batch)
    _check_mode(batch, asked)
    if batch.mode == LinkMode.LIVE:
        restored.refuse_behind(ctx, session, batch.employer_id)
    first = file.handed_out_at is None
    if first and batch.mode == LinkMode.LIVE:
        _release(ctx, session, batch, file)
    if (batch.status != BatchStatus.APPROVED or file.delivered_at is not None) and not asked.reason:
        message = "The file was delivered already; say with ?reason= why you need it again."
        raise Invalid(errors=[Problem(pointer="query:reason", code="reason_missing", message=message)])
    details = {"message_id": file.message_id, "sha256": file.sha256, "first": first, "reason": asked.reason}
    tell(session, batch, event="file.handed_out", actor=actor.as_history(), now=ctx.now(), details=details)
    restored.count_hand_out(ctx, session, batch, file)
    return HandOut(file=file, name=_name(session, batch, file), data=_bytes(ctx, batch, file), fetched_before=not first)


def _name(session: Session, batch: PaymentBatch, file: PaymentFile) -> str:
    account = session.get_one(DebtorAccount, batch.debtor_account_id)
    return file_name(file.message_id, bank_profiles.profile_for(account.iban).maximum_file_name_length)


def _release(ctx: Context, session: Session, batch: PaymentBatch, file: PaymentFile) -> None:
    """Let a file leave the house for the first time: from here on it may be at the bank."""
    holds.refuse_when_held(session, batch)
    account = session.get_one(DebtorAccount, batch.debtor_account_id)
    check_account(account)
    _check_in_time(ctx, batch, account)
    file.handed_out_at = ctx.now()
    session.add(file)
    claims.mark_handed_out(session, batch.id, obligations_in(session, batch.id, file.n))


def obligations_in(session: Session, batch_id: UUID, n: int) -> list[UUID]:
    """Return the obligations that file `n` of a batch pays."""
    statement = select(CreditTransfer.obligation_id).where(
        CreditTransfer.batch_id == batch_id, CreditTransfer.file_n == n
    )
    return list(session.exec(statement))


def _bytes(ctx: Context, batch: PaymentBatch, file: PaymentFile) -> bytes:
    return ctx.keyring.open(file.content_sealed, building.file_place(batch.employer_id, file.id))


def _current_file(session: Session, batch: PaymentBatch, n: int | None) -> PaymentFile:
    files = reopening.live_files(session, batch.id)
    if n is None and len(files) > 1:
        numbers = [file.n for file in files]
        raise Conflict(
            f"This batch has {len(files)} files; ask for each by its number (.../files/1 to .../files/{max(numbers)}).",
            extra={"files": numbers},
        )
    found = next((file for file in files if n in (None, file.n)), None)
    if found is None:
        raise NotFound("This batch has no such file.")
    return found


def _check_mode(batch: PaymentBatch, asked: Asked) -> None:
    if batch.mode == LinkMode.DRY_RUN and not asked.dry:
        raise DryRunOnly("This file is of a dry run and must not go to a bank. Add ?dry=1 to look at it.")


def _check_in_time(ctx: Context, batch: PaymentBatch, account: DebtorAccount) -> None:
    profile = bank_profiles.profile_for(account.iban)
    latest = calendar.release_before(batch.requested_execution_date, profile)
    if ctx.now() > latest:
        raise ExecutionDatePassed(
            f"The file had to be handed in before {latest.isoformat()}. Give the batch another execution date "
            f"(POST /v1/payment-batches/{batch.id}/reissue), or recall the approval.",
            extra={"release_before": latest.isoformat(), "choices": ["reissue", "recall"]},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedIn:
    """A person's word that a file was handed in. `hash_seen`: the first digits of the hash that the bank shows."""

    revision: int
    n: int | None = None
    note: str | None = None
    hash_seen: str | None = None


def deliver(ctx: Context, session: Session, actor: Actor, batch_id: UUID, said: HandedIn) -> PaymentBatch:
    """Take an employer's word that a file was handed in at the bank, with the hash seen there where it shows one."""
    batch = lock_batch(session, batch_id)
    authorise(actor, batch, Action.DELIVER)
    require_revision(batch, said.revision)
    if batch.mode == LinkMode.DRY_RUN:
        raise DryRunOnly("A dry run is never delivered.")
    file = _current_file(session, batch, said.n)
    if file.handed_out_at is None:
        raise NotAllowedNow("The file was never handed out, so it cannot be at the bank. Download it first.")
    if file.delivered_at is not None:
        raise NotAllowedNow("This file was delivered already.")
    profile = bank_profiles.profile_for(session.get_one(DebtorAccount, batch.debtor_account_id).iban)
    check_hash(profile, file, said.hash_seen)
    file.delivered_at, file.unknown_since = ctx.now(), None
    session.add(file)
    session.add(
        Delivery(
            id=ctx.new_id(),
            file_id=file.id,
            channel=DOWNLOAD,
            outcome=ChannelOutcome.ACCEPTED,
            reported_by=actor.user_id,
            reported_at=ctx.now(),
            note=said.note,
            hash_seen=said.hash_seen,
        )
    )
    details = {"message_id": file.message_id, "sha256": file.sha256, "note": said.note, "hash_seen": said.hash_seen}
    progress.settle(ctx, session, batch, event="batch.delivered", actor=actor.as_history(), details=details)
    return batch


def check_hash(profile: bank_profiles.BankProfile, file: PaymentFile, seen: str | None) -> None:
    """Refuse a hash that is not of the stored file; where the bank shows one, it must be said."""
    if seen is None:
        if not profile.shows_hash:
            return
        message = (
            f"{profile.name} shows a hash of the file: give its first {HASH_DIGITS} characters. They must be "
            "those of the stored file."
        )
        raise Invalid(errors=[Problem(pointer="/hash_seen", code="hash_missing", message=message)])
    digits = seen.lower().replace(" ", "")
    if not any(whole.startswith(digits) for whole in (file.sha256, file.sha1)):
        raise HashDiffers(
            "The bank shows another hash than that of the stored file: what lies at the bank is not what was approved. "
            "Do not sign it there; remove it, fetch the file again and hand that in.",
            extra={"message_id": file.message_id},
        )


def note_wrong_hash(ctx: Context, actor: Actor, batch_id: UUID, refusal: AppError) -> None:
    """Write down that a file at the bank is not ours, whatever becomes of the request."""
    with transaction(ctx.engine) as session:
        batch = session.get(PaymentBatch, batch_id)
        if batch is not None and batch.employer_id in actor.readable_employers:
            details = {"code": refusal.code}
            tell(session, batch, event="file.hash_differs", actor=actor.as_history(), now=ctx.now(), details=details)


def send(ctx: Context, actor: Actor, batch_id: UUID, said: HandedIn, channel_name: str) -> None:
    """Send a file through a channel, once. `Unknown` is committed before the first byte leaves."""
    channel = ctx.channels.get(channel_name)
    if channel is None:
        message = f"There is no channel of this name. Use {', '.join([DOWNLOAD, *sorted(ctx.channels)])}."
        raise Invalid(errors=[Problem(pointer="/channel", code="channel", message=message)])
    with transaction(ctx.engine) as session:
        batch = lock_batch(session, batch_id)
        authorise(actor, batch, Action.DELIVER)
        require_revision(batch, said.revision)
        if batch.mode == LinkMode.DRY_RUN:
            raise DryRunOnly("A dry run is never delivered.")
        file = _current_file(session, batch, said.n)
        if file.handed_out_at is not None:
            raise NotAllowedNow("The file was handed out already, so it may be at the bank; it is not sent as well.")
        restored.refuse_behind(ctx, session, batch.employer_id)
        _release(ctx, session, batch, file)
        restored.count_hand_out(ctx, session, batch, file)
        delivery = _begin(ctx, session, actor, batch, file, channel_name)
        data = _bytes(ctx, batch, file)
    answer = channel.send(data, message_id=file.message_id)
    conclude(ctx, delivery.id, answer)


def _begin(
    ctx: Context, session: Session, actor: Actor, batch: PaymentBatch, file: PaymentFile, channel: str
) -> Delivery:
    file.unknown_since = ctx.now()
    delivery = Delivery(
        id=ctx.new_id(),
        file_id=file.id,
        channel=channel,
        outcome=ChannelOutcome.UNKNOWN,
        reported_by=actor.user_id,
        reported_at=ctx.now(),
    )
    session.add(file)
    session.add(delivery)
    details = {"message_id": file.message_id, "sha256": file.sha256, "channel": channel}
    progress.settle(ctx, session, batch, event="file.sending", actor=actor.as_history(), details=details)
    return delivery


def conclude(ctx: Context, delivery_id: UUID, answer: ChannelAnswer) -> None:
    """Write down what a channel said of a delivery whose outcome was unknown; an unknown one stays unknown."""
    with transaction(ctx.engine) as session:
        delivery = session.get_one(Delivery, delivery_id)
        file = session.get_one(PaymentFile, delivery.file_id)
        batch = lock_batch(session, file.batch_id)
        session.refresh(delivery, with_for_update=True)
        session.refresh(file)
        if delivery.outcome != ChannelOutcome.UNKNOWN or file.voided_at is not None:
            return
        delivery.reference = answer.reference or delivery.reference
        delivery.outcome, delivery.note = answer.outcome, answer.explanation or None
        session.add(delivery)
        actor = HistoryActor(kind="bank", name=delivery.channel)
        if answer.outcome is ChannelOutcome.ACCEPTED:
            file.delivered_at, file.unknown_since = ctx.now(), None
            session.add(file)
            details = {"message_id": file.message_id, "channel": delivery.channel}
            progress.settle(ctx, session, batch, event="batch.delivered", actor=actor, details=details)
        elif answer.outcome is ChannelOutcome.REFUSED and _is_decided(batch, file):
            _note_late_refusal(session, batch, file, actor, ctx)
        elif answer.outcome is ChannelOutcome.REFUSED:
            reason = answer.explanation or "The bank did not take the file."
            reopening.withdraw_file(ctx, session, batch.id, file.n, reason=reason, actor=actor)


def _is_decided(batch: PaymentBatch, file: PaymentFile) -> bool:
    """Say whether people or a report told meanwhile what became of a file that was sent."""
    return file.delivered_at is not None or batch.status not in RULES[Action.WITHDRAW].statuses


def _note_late_refusal(
    session: Session, batch: PaymentBatch, file: PaymentFile, actor: HistoryActor, ctx: Context
) -> None:
    """The channel refuses a file of which people or a report said meanwhile that the bank has it: nothing is freed.

    Its lines are marked as contradicted, so that a person finds out which of the two is true.
    """
    paying = (TransferStatus.IN_FILE, TransferStatus.EXECUTED)
    marked = session.execute(
        sa.update(CreditTransfer)
        .where(
            col(CreditTransfer.batch_id) == batch.id,
            col(CreditTransfer.file_n) == file.n,
            col(CreditTransfer.status).in_(paying),
        )
        .values(bank_status=BankStatus.CONTRADICTION, bank_said_at=ctx.now())
        .returning(col(CreditTransfer.id))
    ).all()
    if not marked:
        return  # everybody says the same: it was refused
    details = {"message_id": file.message_id, "sha256": file.sha256, "file": file.n}
    tell(session, batch, event="file.refused_late", actor=actor, now=ctx.now(), details=details)
    batch.bank_contradicts = True
    tell_attention(session, batch, ["bank_contradicts"], now=ctx.now())


def ask_about_unknown(ctx: Context) -> int:
    """Ask the channels about every delivery whose outcome is unknown; nothing is sent again. Return how many ended."""
    with transaction(ctx.engine) as session:
        rows = session.exec(
            select(Delivery, PaymentFile)
            .join(PaymentFile, col(PaymentFile.id) == col(Delivery.file_id))
            .where(
                Delivery.outcome == ChannelOutcome.UNKNOWN,
                col(PaymentFile.voided_at).is_(None),
                any_of(col(Delivery.channel), sorted(ctx.channels)),
            )
        ).all()
    ended = 0
    for delivery, file in rows:
        channel: BankChannel = ctx.channels[delivery.channel]
        answer = channel.ask(message_id=file.message_id, reference=delivery.reference)
        if answer.outcome is not ChannelOutcome.UNKNOWN:
            conclude(ctx, delivery.id, answer)
            ended += 1
    return ended


def files_of(session: Session, batch_id: UUID) -> list[PaymentFile]:
    """Return every file ever stored for a batch, newest revision first."""
    return list(
        session.exec(
            select(PaymentFile)
            .where(PaymentFile.batch_id == batch_id)
            .order_by(col(PaymentFile.revision).desc(), col(PaymentFile.n))
        )
    )
