"""What people and the bank say of lines after a file was handed out, and what follows from it.

What closes (accepted, executed) takes one person. What frees a claim, so that somebody may be paid again (refused, not
executed, returned), takes a report fetched by a bank channel, or two people.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from app.core.clock import amsterdam_date
from app.core.columns import any_of
from app.core.errors import Conflict, Invalid, NotFound, Problem
from app.core.history import SYSTEM, HistoryActor
from app.payments import bank_profiles, calendar, claims, holds, progress, reopening
from app.payments.context import Context
from app.payments.errors import NotAllowedNow
from app.payments.guarding import PAID_AFTER_REFUSAL
from app.payments.locks import lock_batch
from app.payments.models import (
    BankStatus,
    BatchStatus,
    CreditTransfer,
    DebtorAccount,
    LinkMode,
    PaymentBatch,
    PaymentFile,
    TransferStatus,
)
from app.payments.reason_codes import ReasonFlag, reason_meaning
from app.payments.retention import refuse_erased

NO_FUNDS = "AM04"
DUPLICATE = frozenset({"AM05", "DUPL"})


class TooEarly(Conflict):
    """This can only be said later: until then it cannot be true, or the bank may still execute the lines."""

    code = "too_early"
    title = "It is too early to say this"


class Fact(StrEnum):
    """What can be said of lines that are in a file."""

    ACCEPTED = "accepted"
    EXECUTED = "executed"
    REFUSED = "refused"
    NOT_EXECUTED = "not_executed"


RELEASING = frozenset({Fact.REFUSED, Fact.NOT_EXECUTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A statement: what, of which lines (None: every open line of the file, or of all files), and why.

    `reason_code` is the bank's code where it gave one.
    """

    fact: Fact
    reason: str
    n: int | None = None
    transfer_ids: Sequence[UUID] | None = None
    reason_code: str | None = None


def lines_of(session: Session, batch: PaymentBatch, said: Said) -> list[CreditTransfer]:
    """Return the open lines that a statement is about; `Invalid` when one of those named is not in a file now."""
    statement = (
        select(CreditTransfer)
        .where(CreditTransfer.batch_id == batch.id, CreditTransfer.status == TransferStatus.IN_FILE)
        .order_by(col(CreditTransfer.position))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if said.n is not None:
        statement = statement.where(CreditTransfer.file_n == said.n)
    if said.transfer_ids is not None:
        statement = statement.where(any_of(col(CreditTransfer.id), said.transfer_ids))
    rows = list(session.exec(statement))
    missing = set(said.transfer_ids or ()) - {row.id for row in rows}
    if missing:
        message = f"Of the lines named here, {len(missing)} stand in no file of this batch, or are not open any more."
        raise Invalid(errors=[Problem(pointer="/transfer_ids", code="transfer", message=message)])
    if not rows:
        raise NotAllowedNow("No line of this batch is open at the bank.")
    return rows


def check(ctx: Context, session: Session, batch: PaymentBatch, said: Said) -> list[CreditTransfer]:
    """Refuse what cannot be said of this batch now; return the lines it is about."""
    if batch.mode == LinkMode.DRY_RUN:
        raise NotAllowedNow("A dry run never goes to a bank.")
    rows = lines_of(session, batch, said)
    numbers = {row.file_n for row in rows}
    files = [file for file in reopening.live_files(session, batch.id) if file.n in numbers]
    if any(file.handed_out_at is None for file in files):
        raise NotAllowedNow("The file was never handed out, so the bank cannot have said anything of it.")
    account = session.get_one(DebtorAccount, batch.debtor_account_id)
    said_before = {code for row in rows for code in (row.bank_reason or "").split(",")}
    profile = bank_profiles.profile_for(account.iban)
    first = _possible_from(said, batch.requested_execution_date, profile, said_before)
    if first is not None and amsterdam_date(ctx.now()) < first:
        meanwhile = "executes nothing" if said.fact is Fact.EXECUTED else "may still execute these lines"
        raise TooEarly(
            f"This can be said from {first.isoformat()}: until then the bank {meanwhile}.",
            extra={"possible_from": first.isoformat()},
        )
    return rows


def _possible_from(
    said: Said, execution_date: date, profile: bank_profiles.BankProfile, said_before: Collection[str]
) -> date | None:
    """Return the first day on which a fact can be true, None when it always can.

    `said_before` are the reasons that the bank gave for these lines in its reports.
    """
    if said.fact is Fact.EXECUTED:
        return execution_date
    days = []
    if said.fact is Fact.NOT_EXECUTED:
        # Who has to sign at the bank may still do so until the signature expires.
        days.append(calendar.next_bank_day(execution_date + timedelta(days=profile.signature_days)))
    if said.fact in RELEASING and any(_is_lack_of_funds(code) for code in (said.reason_code or "", *said_before)):
        # The bank itself tries again for some days; a second file would pay twice.
        days.append(calendar.add_bank_days(execution_date, profile.retry_bank_days + 1))
    return max(days, default=None)


def _is_lack_of_funds(code: str) -> bool:
    return reason_meaning(code).flag is ReasonFlag.FUNDS


def apply(
    ctx: Context, session: Session, batch_id: UUID, said: Said, actor: HistoryActor, *, details: dict[str, Any]
) -> PaymentBatch:
    """Apply a statement: the caller has seen to it that enough people, or the bank itself, say so."""
    batch = lock_batch(session, batch_id)
    rows = check(ctx, session, batch, said)
    obligations = [row.obligation_id for row in rows]
    _mark_files(ctx, session, batch, rows, said)
    for row in rows:
        _mark(ctx, row, said)
        session.add(row)
    session.flush()
    if said.fact is Fact.EXECUTED:
        claims.spend(session, batch.id, obligations)
    if said.fact in RELEASING:
        claims.release(session, batch.id, fact=said.fact.value, now=ctx.now(), obligations=obligations)
    told = {"lines": len(rows), "reason": said.reason, "reason_code": said.reason_code, "file": said.n, **details}
    progress.settle(ctx, session, batch, event=f"bank.{said.fact.value}", actor=actor, details=told)
    return batch


def _mark(ctx: Context, row: CreditTransfer, said: Said) -> None:
    """Write on a line what was said of it. That the bank said both stays there: it bars whoever pays the line again."""
    row.bank_said_at = ctx.now()
    row.bank_reason = said.reason_code or row.bank_reason
    is_contradicted = row.bank_status == BankStatus.CONTRADICTION
    match said.fact:
        case Fact.ACCEPTED:
            row.bank_status = row.bank_status if is_contradicted else BankStatus.ACCEPTED
        case Fact.EXECUTED:
            row.bank_status, row.status = BankStatus.SETTLED, TransferStatus.EXECUTED
        case Fact.REFUSED:
            row.bank_status = row.bank_status if is_contradicted else BankStatus.REJECTED
            row.status = TransferStatus.REFUSED
        case Fact.NOT_EXECUTED:
            row.status = TransferStatus.REFUSED
            row.bank_reason = row.bank_reason or Fact.NOT_EXECUTED


def _mark_files(
    ctx: Context, session: Session, batch: PaymentBatch, rows: Sequence[CreditTransfer], said: Said
) -> None:
    """Note on the files that the bank has them; one is accepted as a whole only when the statement is of all of it."""
    numbers = {row.file_n for row in rows}
    for file in reopening.live_files(session, batch.id):
        if file.n not in numbers or said.fact is Fact.NOT_EXECUTED:
            continue
        file.delivered_at, file.unknown_since = file.delivered_at or ctx.now(), None
        if said.fact is Fact.ACCEPTED and said.transfer_ids is None:
            file.bank_status, file.awaits_signature = BankStatus.ACCEPTED, False
        session.add(file)
    session.flush()


def return_line(
    ctx: Context, session: Session, transfer_id: UUID, *, reason: str, reason_code: str | None, actor: HistoryActor
) -> CreditTransfer:
    """Take note that the money of an executed line came back: it can be paid again, by a new and explicit act."""
    row, batch = locked_line(session, transfer_id)
    check_return(row)
    claims.release_spent(session, batch.id, fact="returned", now=ctx.now(), obligations=[row.obligation_id])
    row.status, row.bank_reason, row.bank_said_at = TransferStatus.RETURNED, reason_code, ctx.now()
    session.add(row)
    details = {"transfer_id": str(row.id), "position": row.position, "reason": reason, "reason_code": reason_code}
    progress.settle(ctx, session, batch, event="bank.returned", actor=actor, details=details)
    return row


def check_return(row: CreditTransfer) -> None:
    """Refuse a return of a line that was not executed."""
    if row.status != TransferStatus.EXECUTED:
        raise NotAllowedNow(f"The line is {row.status}; only an executed one can come back.")


def locked_line(session: Session, transfer_id: UUID) -> tuple[CreditTransfer, PaymentBatch]:
    """Return a line and its batch, both locked, with the account before them."""
    row = session.get(CreditTransfer, transfer_id)
    if row is None:
        raise NotFound("No such line.")
    batch = lock_batch(session, row.batch_id)
    refuse_erased(batch)
    session.refresh(row, with_for_update=True)
    return row, batch


def note_contradiction(ctx: Context, session: Session, row: CreditTransfer, batch: PaymentBatch, text: str) -> None:
    """The bank says that a line was paid after all which was freed before: bar whatever pays it again."""
    row.bank_status, row.bank_said_at = BankStatus.CONTRADICTION, ctx.now()
    session.add(row)
    session.flush()
    for other in open_batches_beside(session, batch, obligation_id=row.obligation_id):
        if not holds.has(session, other, code=PAID_AFTER_REFUSAL):
            holds.place(ctx, session, other, code=PAID_AFTER_REFUSAL, reason=text, actor=SYSTEM)


def open_batches_beside(
    session: Session, batch: PaymentBatch, *, obligation_id: UUID | None = None
) -> Sequence[PaymentBatch]:
    """Return the other pending and approved batches that pay this obligation, or any of a batch's."""
    mine = select(CreditTransfer.obligation_id).where(CreditTransfer.batch_id == batch.id)
    paid = select(CreditTransfer.batch_id).where(
        col(CreditTransfer.obligation_id).in_(mine)
        if obligation_id is None
        else CreditTransfer.obligation_id == obligation_id
    )
    return session.exec(
        select(PaymentBatch).where(
            col(PaymentBatch.id).in_(paid),
            PaymentBatch.id != batch.id,
            col(PaymentBatch.status).in_((BatchStatus.PENDING, BatchStatus.APPROVED)),
        )
    ).all()


def file_by_message_id(session: Session, message_id: str) -> PaymentFile | None:
    """Return the stored file with this message id, None when it is not ours."""
    return session.exec(select(PaymentFile).where(PaymentFile.message_id == message_id)).one_or_none()
