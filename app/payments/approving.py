"""Approving a batch: the last look at everything before money can move.

Order: who may -> the PIN (its try committed first) -> a fresh reading (no transaction open) -> the file built and
checked from the revision that was shown -> then, under the locks, everything once more, the approval, the claims, the
file.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha1, sha256
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Session, col, select

from app.auth.actor import Actor
from app.auth.pins import PinAttempt, PinIncorrect, PinLocked, PinNotSet, verify_pin
from app.core import history
from app.core.crypto import Place
from app.core.database import transaction
from app.core.errors import AppError, Conflict, NotFound
from app.core.history import Fact
from app.core.money import cents_to_text
from app.payments import accounts, bank_profiles, claims, digest, fetching, filing, holds, revising, sepa
from app.payments.context import Context
from app.payments.deciding import check_date, require_revision
from app.payments.errors import (
    BatchChanged,
    FileCheckFailed,
    FileContentRefused,
    LimitNotSet,
    NotAllowedNow,
    PaymentLimitExceeded,
    SourceFault,
    SourceUnreachable,
    UnreadableDocument,
)
from app.payments.filing import BatchContent
from app.payments.limits import exceeded
from app.payments.locks import lock_batch
from app.payments.models import (
    AccountState,
    Approval,
    BatchStatus,
    CreditTransfer,
    DebtorAccount,
    Finding,
    LinkMode,
    PaymentBatch,
    PaymentFile,
    PayrollRun,
    TransferStatus,
)
from app.payments.receiving import ReadingOutcome
from app.payments.sepa_model import FileContent
from app.payments.transitions import Action, Move, authorise, move, tell

FRESH_FOR = timedelta(minutes=15)
REQUIRED_APPROVALS = 1


class AccountNotConfirmed(Conflict):
    """The debtor account is not confirmed by the employer."""

    code = "account_not_confirmed"
    title = "The debtor account is not confirmed"


class NothingToPay(Conflict):
    """No line of the batch can be paid."""

    code = "nothing_to_pay"
    title = "The batch has no payable line"


class AcknowledgementNeeded(Conflict):
    """Findings wait for somebody to confirm them."""

    code = "acknowledgement_needed"
    title = "Findings must be acknowledged first"


class AlreadyApprovedByYou(Conflict):
    """This person approved this revision already."""

    code = "already_approved_by_you"
    title = "You approved this already"


class SourceChanged(Conflict):
    """The payroll source could not confirm that the run is still what is shown."""

    code = "source_changed"
    title = "The source does not confirm this run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """An approval as asked for: which batch, at which revision, of which digest, with which PIN."""

    batch_id: UUID
    revision: int
    digest: str
    pin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A file that was built and checked from a revision, before the locks were taken."""

    revision: int
    digest: str
    content: FileContent
    data: bytes


def prepare_approval(ctx: Context, actor: Actor, wish: Wish) -> Prepared:
    """Do everything of an approval that needs no lock: rights, PIN, freshness, the file. Opens its own transactions."""
    with transaction(ctx.engine) as session:
        batch = visible_batch(session, actor, wish.batch_id)
        authorise(actor, batch, Action.APPROVE)
    check_pin(ctx, actor, wish)
    with transaction(ctx.engine) as session:
        batch = visible_batch(session, actor, wish.batch_id)
        authorise(actor, batch, Action.APPROVE)
        _require_shown(batch, wish)
    ensure_fresh(ctx, wish.batch_id)
    with transaction(ctx.engine) as session:
        batch = visible_batch(session, actor, wish.batch_id)
        _require_shown(batch, wish)
        content = revising.content_of(ctx, session, batch)
        check_ready(ctx, session, content)
        return _built(content, ctx.now())


def visible_batch(session: Session, actor: Actor, batch_id: UUID) -> PaymentBatch:
    """Return a batch of an employer that the actor may look at; `NotFound` otherwise."""
    batch = session.get(PaymentBatch, batch_id, populate_existing=True)
    if batch is None or batch.employer_id not in actor.readable_employers:
        raise NotFound("No such batch.")
    return batch


def check_pin(ctx: Context, actor: Actor, wish: Wish) -> None:
    """Check the PIN; a refusal goes to the history in a transaction of its own, whatever becomes of the request."""
    attempt = PinAttempt(user_id=actor.user_id, token_id=actor.token_id, pin=wish.pin, now=ctx.now(), new_id=ctx.new_id)
    try:
        verify_pin(ctx.engine, attempt)
    except (PinIncorrect, PinLocked, PinNotSet) as refusal:
        note_refusal(ctx, actor, wish.batch_id, refusal)
        raise


def note_refusal(ctx: Context, actor: Actor, batch_id: UUID, refusal: AppError) -> None:
    """Write an attempt that was refused to the history of the batch's employer."""
    with transaction(ctx.engine) as session:
        batch = session.get(PaymentBatch, batch_id)
        if batch is None or batch.employer_id not in actor.readable_employers:
            return
        history.record(
            session,
            Fact(
                organization_id=batch.employer_id,
                event="approval.refused",
                actor=actor.as_history(),
                occurred_at=ctx.now(),
                administration_id=batch.administration_id,
                payment_batch_id=batch.id,
                details={"code": refusal.code, "revision": batch.revision},
            ),
        )


def _require_shown(batch: PaymentBatch, wish: Wish) -> None:
    require_revision(batch, wish.revision)
    if batch.digest != wish.digest:
        raise BatchChanged(
            "The digest you send is not the digest of the batch as it is. Look at it again and approve what you see.",
            extra={"comparison": f"/v1/payment-batches/{batch.id}"},
        )


def ensure_fresh(ctx: Context, batch_id: UUID) -> None:
    """See to it that the source was equal at most fifteen minutes ago: else read the run again, now.

    A difference makes a new revision (the approval then fails on its revision). A source that does not answer, refuses
    or answers nonsense stops the approval; nothing has been counted then.
    """
    with transaction(ctx.engine) as session:
        batch = session.get_one(PaymentBatch, batch_id)
        run = session.get_one(PayrollRun, batch.run_id)
        is_fresh = ctx.now() - batch.source_equal_at <= FRESH_FOR
    if is_fresh or run.source_kind == "upload":
        return
    try:
        outcome = fetching.read_again(ctx, run.id, timeout_seconds=ctx.policy.freshness_timeout_seconds)
    except SourceFault as fault:
        raise SourceUnreachable(
            "The run could not be read again at the source, so nothing was approved. " + fault.explanation,
            extra={"fault": fault.code, "operation": fault.operation},
        ) from fault
    except UnreadableDocument as fault:
        raise SourceUnreachable(
            "The source's answer could not be used, so nothing was approved. " + fault.explanation,
            extra={"fault": fault.code},
        ) from fault
    if outcome is None or outcome in (ReadingOutcome.DOUBTFUL, ReadingOutcome.EMPTY):
        raise SourceChanged(
            "The source no longer gives a payment document for this run that adds up. Ask the payroll office what "
            "happened to the run; nothing was approved."
        )


def _built(content: BatchContent, now: datetime) -> Prepared:
    wanted = filing.file_content(content, created_at=now.replace(microsecond=0))
    profile = bank_profiles.profile_for(content.account.iban)
    lines = len(content.paid)
    if lines > profile.maximum_transactions_per_file:
        raise FileCheckFailed(
            f"{profile.name} takes at most {profile.maximum_transactions_per_file} payments in a file; this batch has "
            f"{lines}. Exclude lines and offer the run again for the rest.",
            extra={"maximum": profile.maximum_transactions_per_file},
        )
    try:
        data = sepa.build_file(wanted)
    except sepa.SepaFileRefused as refusal:
        if not refusal.is_written:
            raise FileContentRefused(
                "A file of this batch would not be right, so nothing was approved.", errors=refusal.errors
            ) from refusal
        raise FileCheckFailed(
            "The file did not pass its checks, so it was not stored and nothing was approved.", errors=refusal.errors
        ) from refusal
    return Prepared(revision=content.batch.revision, digest=content.batch.digest, content=wanted, data=data)


def approve_batch(ctx: Context, session: Session, actor: Actor, wish: Wish, prepared: Prepared) -> PaymentBatch:
    """Approve under the locks. The last needed approval takes the claims and stores the file; else the batch waits."""
    batch = lock_batch(session, wish.batch_id)
    authorise(actor, batch, Action.APPROVE)
    _require_shown(batch, wish)
    content = revising.content_of(ctx, session, batch)
    if digest.digest(filing.digest_content(content)) != batch.digest or prepared.digest != batch.digest:
        raise BatchChanged("What the file would hold has changed since the batch was shown. Save it again and look.")
    check_ready(ctx, session, content)
    given = _add_approval(ctx, session, actor, batch)
    if given < REQUIRED_APPROVALS:
        details = {"given": given, "required": REQUIRED_APPROVALS}
        tell(session, batch, event="batch.approval_given", actor=actor.as_history(), now=ctx.now(), details=details)
        return batch
    return _complete(ctx, session, actor, content, prepared)


def check_ready(ctx: Context, session: Session, content: BatchContent) -> None:
    """Refuse a batch that cannot be approved now. Asked before the file is built, and again under the locks."""
    if not content.paid:
        raise NothingToPay("Every line is invalid, held or excluded.")
    holds.refuse_when_held(session, content.batch)
    check_account(content.account)
    _check_acknowledged(session, content.batch)
    check_date(content.batch.requested_execution_date, content.account, ctx)
    if content.batch.mode == LinkMode.LIVE:
        _check_limits(ctx, session, content)


def check_account(account: DebtorAccount) -> None:
    """Refuse an account that the employer has not confirmed, or has suspended."""
    if account.state != AccountState.CONFIRMED:
        raise AccountNotConfirmed(
            f"The account is {account.state}. An employer admin confirms it with "
            f"POST /v1/debtor-accounts/{account.id}/confirmation."
        )


def _check_acknowledged(session: Session, batch: PaymentBatch) -> None:
    waiting = session.exec(
        select(Finding.id, Finding.code).where(
            Finding.batch_id == batch.id,
            col(Finding.needs_acknowledgement).is_(True),
            col(Finding.acknowledged_at).is_(None),
        )
    ).all()
    if waiting:
        raise AcknowledgementNeeded(
            f"{len(waiting)} findings wait for a person to confirm them.",
            extra={"findings": [{"id": str(identifier), "code": code} for identifier, code in waiting]},
        )


def _check_limits(ctx: Context, session: Session, content: BatchContent) -> None:
    batch = content.batch
    if not accounts.limits_of(ctx, session, batch.debtor_account_id).is_set:
        raise LimitNotSet(
            "Set a payment limit on the account first: "
            f"PUT /v1/debtor-accounts/{batch.debtor_account_id}/payment-limit."
        )
    paid = content.paid
    over = exceeded(
        accounts.limit_uses(ctx, session, batch.debtor_account_id, batch.requested_execution_date),
        largest_line_cents=max(row.amount_cents for row in paid),
        total_cents=sum(row.amount_cents for row in paid),
    )
    if over:
        first = over[0]
        raise PaymentLimitExceeded(
            f"The limit {first.kind.value} is EUR {cents_to_text(first.limit_cents)}, "
            f"EUR {cents_to_text(first.used_cents)} of it is used, "
            f"and this asks EUR {cents_to_text(first.asked_cents)}.",
            extra={
                "exceeded": [
                    {
                        "kind": each.kind.value,
                        "limit": _money(each.limit_cents),
                        "used": _money(each.used_cents),
                        "asked": _money(each.asked_cents),
                    }
                    for each in over
                ]
            },
        )


def _money(cents: int) -> dict[str, str]:
    return {"amount": cents_to_text(cents), "currency": "EUR"}


def _add_approval(ctx: Context, session: Session, actor: Actor, batch: PaymentBatch) -> int:
    valid = session.exec(
        select(Approval.user_id).where(
            Approval.batch_id == batch.id, Approval.revision == batch.revision, col(Approval.voided_at).is_(None)
        )
    ).all()
    if actor.user_id in valid:
        raise AlreadyApprovedByYou("Your approval of this revision counts already; another person's is needed.")
    earlier = session.exec(
        select(Approval).where(
            Approval.batch_id == batch.id, Approval.revision == batch.revision, Approval.user_id == actor.user_id
        )
    ).one_or_none()
    row = earlier or Approval(
        id=ctx.new_id(),
        batch_id=batch.id,
        revision=batch.revision,
        user_id=actor.user_id,
        token_id=actor.token_id,
        digest=batch.digest,
        approved_at=ctx.now(),
    )
    row.approved_at, row.token_id, row.voided_at, row.void_reason = ctx.now(), actor.token_id, None, None
    session.add(row)
    return len(valid) + 1


def _complete(ctx: Context, session: Session, actor: Actor, content: BatchContent, prepared: Prepared) -> PaymentBatch:
    batch, paid = content.batch, content.paid
    if batch.mode == LinkMode.LIVE:
        claims.take(session, batch, paid, now=ctx.now(), new_id=ctx.new_id)
    file = _file_row(ctx, batch, prepared)
    session.add(file)
    session.execute(
        sa.update(CreditTransfer)
        .where(col(CreditTransfer.batch_id) == batch.id, col(CreditTransfer.status) == TransferStatus.PAYABLE)
        .values(status=TransferStatus.IN_FILE)
    )
    details: dict[str, Any] = {"message_id": file.message_id, "sha256": file.sha256, "sha1": file.sha1}
    step = Move(
        to=BatchStatus.APPROVED,
        event="batch.approved",
        actor=actor.as_history(),
        now=ctx.now(),
        values={"approved_at": ctx.now()},
        details=details,
    )
    move(session, batch, step)
    session.expire_all()
    return session.get_one(PaymentBatch, batch.id)


def file_place(employer_id: UUID, file_id: UUID) -> Place:
    """Return where the bytes of a file live, as their seal binds them."""
    return Place(tenant=employer_id, column="payment_file.content", row=file_id)


def _file_row(ctx: Context, batch: PaymentBatch, prepared: Prepared) -> PaymentFile:
    identifier = ctx.new_id()
    content = prepared.content
    return PaymentFile(
        id=identifier,
        batch_id=batch.id,
        revision=batch.revision,
        n=1,
        message_id=content.message_id,
        file_schema=content.schema,
        file_created_at=content.created_at,
        content_sealed=ctx.keyring.seal(prepared.data, file_place(batch.employer_id, identifier)),
        sha256=sha256(prepared.data).hexdigest(),
        sha1=sha1(prepared.data, usedforsecurity=False).hexdigest(),
        size_bytes=len(prepared.data),
        number_of_transactions=sum(each.number_of_transactions for each in content.instructions),
        control_sum_cents=sum(each.control_sum_cents for each in content.instructions),
        instructions=[
            {
                "payment_information_id": each.payment_information_id,
                "category_purpose": each.category_purpose,
                "number_of_transactions": each.number_of_transactions,
                "control_sum": cents_to_text(each.control_sum_cents),
            }
            for each in content.instructions
        ],
        stored_at=ctx.now(),
    )


def recall_approval(ctx: Context, session: Session, actor: Actor, batch_id: UUID) -> PaymentBatch:
    """Take one's approval back, free while the file was never handed out: claims are released and the file is void."""
    batch = lock_batch(session, batch_id)
    authorise(actor, batch, Action.RECALL)
    mine = session.exec(
        select(Approval).where(
            Approval.batch_id == batch.id,
            Approval.revision == batch.revision,
            Approval.user_id == actor.user_id,
            col(Approval.voided_at).is_(None),
        )
    ).one_or_none()
    if batch.status == BatchStatus.PENDING:
        if mine is None:
            raise NotFound("You have no approval on this revision.")
        mine.voided_at, mine.void_reason = ctx.now(), "recalled"
        session.add(mine)
        tell(session, batch, event="batch.recalled", actor=actor.as_history(), now=ctx.now(), details={})
        return batch
    return _recall_file(ctx, session, actor, batch)


def _recall_file(ctx: Context, session: Session, actor: Actor, batch: PaymentBatch) -> PaymentBatch:
    files = session.exec(
        select(PaymentFile)
        .where(PaymentFile.batch_id == batch.id, col(PaymentFile.voided_at).is_(None))
        .with_for_update()
    ).all()
    if any(file.handed_out_at is not None for file in files):
        raise NotAllowedNow(
            "The file was handed out, so it may be at the bank. Only two people who say that it is not can withdraw it."
        )
    for file in files:
        file.voided_at = ctx.now()
        session.add(file)
    claims.release(session, batch.id, fact="recalled", now=ctx.now())
    _supersede_other_pending(ctx, session, actor, batch)
    session.execute(
        sa.update(CreditTransfer)
        .where(col(CreditTransfer.batch_id) == batch.id, col(CreditTransfer.status) == TransferStatus.IN_FILE)
        .values(status=TransferStatus.PAYABLE)
    )
    session.expire_all()
    batch = session.get_one(PaymentBatch, batch.id)
    holds.lift(ctx, session, batch, code="source_changed", actor=actor.as_history())
    change = revising.Change(event="batch.recalled", actor=actor.as_history(), values={"approved_at": None}, details={})
    revising.revise(ctx, session, batch, change)
    if session.get_one(PayrollRun, batch.run_id).source_kind != "upload":
        fetching.defer_fetch(session, batch.run_id)
    return batch


def _supersede_other_pending(ctx: Context, session: Session, actor: Actor, batch: PaymentBatch) -> None:
    """A run has one pending batch at most: the recalled one takes the place of what was made after it."""
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
            actor=actor.as_history(),
            now=ctx.now(),
            values={"status_reason": "An earlier batch of the same run was recalled."},
            details={"by": str(batch.id)},
        )
        move(session, other, step)
