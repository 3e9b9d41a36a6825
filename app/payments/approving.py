"""Approving a batch: the last look at everything before money can move.

Order: who may -> the PIN (its try committed first) -> a fresh reading (no transaction open) -> the file built and
checked from the revision that was shown -> then, under the locks, everything once more, the approval, the claims, the
file.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Session, col, select

from app.auth.actor import Actor
from app.auth.pins import (
    PinAttempt,
    PinChangedRecently,
    PinIncorrect,
    PinLocked,
    PinNotSet,
    refuse_changed_recently,
    verify_pin,
)
from app.core import history, history_witness
from app.core.columns import any_of
from app.core.database import transaction
from app.core.errors import AppError, Conflict, NotFound
from app.core.history import Fact
from app.core.money import cents_to_text
from app.payments import (
    accounts,
    building,
    claims,
    digest,
    doubles,
    fetching,
    filing,
    freshness,
    holds,
    policies,
    revising,
    tiers,
)
from app.payments.building import Prepared
from app.payments.context import Context
from app.payments.deciding import check_date, require_revision
from app.payments.errors import BatchChanged, LimitNotSet, PaymentLimitExceeded
from app.payments.filing import BatchContent
from app.payments.freshness import SourceState
from app.payments.limits import exceeded
from app.payments.lines import Line
from app.payments.locks import lock_batch_to_pay
from app.payments.models import (
    AccountState,
    AdministrationLink,
    Approval,
    BatchStatus,
    CreditTransfer,
    DebtorAccount,
    Finding,
    LinkMode,
    PaymentBatch,
    PayrollRun,
    TransferStatus,
)
from app.payments.transitions import Action, Move, authorise, move, tell


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


class ApprovalNotRecorded(Conflict):
    """An approval stands in the database that nobody gave through this service."""

    code = "approval_not_recorded"
    title = "An approval is not in the history"


class RunNotLocked(Conflict):
    """The employer pays only runs that are locked at the source, and this one is not."""

    code = "run_not_locked"
    title = "The run is not locked at the source"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """An approval as asked for: which batch, of which digest, with which PIN.

    `revision` None: the digest alone says what was shown, because it covers the revision. `without_source`: the
    approver says by name that they approve although the source cannot be asked.
    """

    batch_id: UUID
    revision: int | None
    digest: str
    pin: str
    without_source: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What an approval found out before the locks were taken."""

    prepared: Prepared
    source_state: SourceState


def prepare_approval(ctx: Context, actor: Actor, wish: Wish) -> Ready:
    """Do everything of an approval that needs no lock: rights, PIN, freshness, the file. Opens its own transactions."""
    with transaction(ctx.engine) as session:
        batch = visible_batch(session, actor, wish.batch_id)
        authorise(actor, batch, Action.APPROVE)
    check_pin(ctx, actor, wish.pin, [wish.batch_id])
    return prepare_checked(ctx, actor, wish)


def prepare_checked(ctx: Context, actor: Actor, wish: Wish) -> Ready:
    """Do what is left of the preparation when the PIN was checked."""
    with transaction(ctx.engine) as session:
        batch = visible_batch(session, actor, wish.batch_id)
        authorise(actor, batch, Action.APPROVE)
        _require_shown(batch, wish)
    state = freshness.ensure_fresh(ctx, wish.batch_id, is_acknowledged=wish.without_source)
    with transaction(ctx.engine) as session:
        doubles.judge_again(ctx, session, wish.batch_id)
    with transaction(ctx.engine) as session:
        batch = visible_batch(session, actor, wish.batch_id)
        _require_shown(batch, wish)
        content = revising.content_of(ctx, session, batch)
        check_ready(ctx, session, content)
    return Ready(prepared=building.prepare(content, ctx.now()), source_state=state)


def visible_batch(session: Session, actor: Actor, batch_id: UUID) -> PaymentBatch:
    """Return a batch of an employer that the actor may look at; `NotFound` otherwise."""
    batch = session.get(PaymentBatch, batch_id, populate_existing=True)
    if batch is None or batch.employer_id not in actor.readable_employers:
        raise NotFound("No such batch.")
    return batch


def check_pin(ctx: Context, actor: Actor, pin: str, batch_ids: Sequence[UUID]) -> None:
    """Check the PIN; a refusal goes to the history in a transaction of its own, whatever becomes of the request."""
    attempt = PinAttempt(
        user_id=actor.user_id,
        token_id=actor.token_id,
        pin=pin,
        secret=ctx.identifier_secret,
        now=ctx.now(),
        new_id=ctx.new_id,
    )
    try:
        verify_pin(ctx.engine, attempt)
        refuse_changed_recently(ctx.engine, actor.user_id, ctx.now(), employers=_employers_of(ctx, batch_ids))
    except (PinIncorrect, PinLocked, PinNotSet, PinChangedRecently) as refusal:
        for batch_id in batch_ids:
            note_refusal(ctx, actor, batch_id, refusal)
        raise


def _employers_of(ctx: Context, batch_ids: Sequence[UUID]) -> set[UUID]:
    with transaction(ctx.engine) as session:
        return set(session.exec(select(PaymentBatch.employer_id).where(any_of(col(PaymentBatch.id), batch_ids))))


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
    if wish.revision is not None:
        require_revision(batch, wish.revision)
    if batch.digest != wish.digest:
        raise BatchChanged(
            "The digest you send is not the digest of the batch as it is. Look at it again and approve what you see.",
            extra={"comparison": f"/v1/payment-batches/{batch.id}/comparison"},
        )


def approve_batch(ctx: Context, session: Session, actor: Actor, wish: Wish, ready: Ready) -> PaymentBatch:
    """Approve under the locks. The last needed approval takes the claims and stores the file; else the batch waits."""
    batch = lock_batch_to_pay(session, wish.batch_id)
    authorise(actor, batch, Action.APPROVE)
    _require_shown(batch, wish)
    content = revising.content_of(ctx, session, batch)
    covered = filing.digest_content(content)
    if digest.digest(covered) != batch.digest or ready.prepared.digest != batch.digest:
        raise BatchChanged(
            "What the file would hold is not what was shown, as after an upgrade. Save the batch with the date that it "
            "has (PATCH), and look at every line again: nothing else should have changed."
        )
    check_ready(ctx, session, content)
    doubles.refuse_paid_meanwhile(session, batch)
    _add_approval(ctx, session, actor, batch, ready.source_state)
    needed = policies.needed_for(ctx, session, batch)
    given = policies.given_approvals(ctx, session, batch)
    missing = tiers.still_missing(needed, given)
    _require_recorded(session, batch, {each.user_id for each in given} - {actor.user_id})
    details = {
        "given": len(given),
        "required": needed.count,
        "reasons": list(needed.reasons),
        "one_person_firm": needed.is_one_person_firm,
        "source": ready.source_state,
    }
    if missing:
        details["missing"] = missing
        batch.approved_frame = digest.frame(covered)
        tell(session, batch, event="batch.approval_given", actor=actor.as_history(), now=ctx.now(), details=details)
        return batch
    values = {"approved_at": ctx.now(), "approved_frame": digest.frame(covered)}
    return _complete(ctx, session, actor, content, ready, values=values, details=details)


def check_ready(ctx: Context, session: Session, content: BatchContent) -> None:
    """Refuse a batch that cannot be approved now. Asked before the file is built, and again under the locks."""
    if not content.paid:
        raise NothingToPay(
            "No line of this batch is to be paid: every one is invalid, held, excluded or closed. Put a line back "
            "(PATCH .../transfers/{id}), or reject the batch; what is still owed stays on the list of unpaid lines."
        )
    holds.refuse_when_held(session, content.batch)
    check_account(content.account)
    _check_locked_run(session, content.batch)
    _check_acknowledged(session, content.batch)
    check_date(content.batch.requested_execution_date, content.account, ctx)
    if content.batch.mode == LinkMode.LIVE:
        _check_limits(ctx, session, content)


def check_account(account: DebtorAccount) -> None:
    """Refuse an account that the employer has not confirmed, or has suspended."""
    if account.state != AccountState.CONFIRMED:
        raise AccountNotConfirmed(
            f"The account is {account.state}. An employer admin confirms it with "
            f"POST /v1/debtor-accounts/{account.id}/confirmation; one that was suspended takes two of them, or a day."
        )


def _check_locked_run(session: Session, batch: PaymentBatch) -> None:
    link = session.get(AdministrationLink, batch.administration_id)
    run = session.get_one(PayrollRun, batch.run_id)
    if link is not None and link.needs_locked_run and run.is_locked is False:
        raise RunNotLocked("Lock the run in the payroll package and fetch it again; this employer asks for that.")


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
            f"{len(waiting)} of the findings wait for an admin or approver to confirm them: "
            f"POST /v1/payment-batches/{batch.id}/findings/{{finding_id}}/acknowledgement.",
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


def _add_approval(ctx: Context, session: Session, actor: Actor, batch: PaymentBatch, source_state: SourceState) -> None:
    before = session.exec(
        select(Approval).where(
            Approval.batch_id == batch.id, Approval.revision == batch.revision, Approval.user_id == actor.user_id
        )
    ).one_or_none()
    if before is not None and before.voided_at is None:
        raise AlreadyApprovedByYou("Your approval of this revision counts already; another person's is needed.")
    row = before or Approval(
        id=ctx.new_id(),
        batch_id=batch.id,
        revision=batch.revision,
        user_id=actor.user_id,
        token_id=actor.token_id,
        digest=batch.digest,
        approved_at=ctx.now(),
    )
    row.approved_at, row.token_id, row.voided_at, row.void_reason = ctx.now(), actor.token_id, None, None
    row.source_state = source_state
    session.add(row)
    session.flush()


def _require_recorded(session: Session, batch: PaymentBatch, others: Collection[UUID]) -> None:
    """Refuse when an approval that counts is a row and nothing else: the history must know of it, under its key."""
    rows = session.exec(
        select(Approval).where(
            Approval.batch_id == batch.id, Approval.revision == batch.revision, any_of(col(Approval.user_id), others)
        )
    )
    for row in rows:
        said = history_witness.last_said_of_batch(
            session,
            batch.employer_id,
            batch.id,
            actor_id=row.user_id,
            events=("batch.approval_given", "batch.recalled"),
        )
        wanted = (batch.revision, batch.digest, str(row.token_id))
        if said is None or said["event"] == "batch.recalled" or _approved_by(said) != wanted:
            raise ApprovalNotRecorded(
                "The database holds an approval of this batch of which the history knows nothing, so nothing was "
                "approved. Tell the operator at once (docs/operations.md, chapter The history). Giving the batch "
                "another date (PATCH) voids all its approvals."
            )


def _approved_by(said: Mapping[str, Any]) -> tuple[object, ...]:
    return said["details"].get("revision"), said["details"].get("digest"), said["actor"].get("token_id")


def _complete(
    ctx: Context,
    session: Session,
    actor: Actor,
    content: BatchContent,
    ready: Ready,
    *,
    values: Mapping[str, Any],
    details: Mapping[str, Any],
) -> PaymentBatch:
    batch = content.batch
    if batch.mode == LinkMode.LIVE:
        claims.take(session, batch, content.paid, now=ctx.now(), new_id=ctx.new_id)
    files = [building.file_row(ctx, batch, built, n) for n, built in enumerate(ready.prepared.files, start=1)]
    session.add_all(files)
    for file, instructions in zip(files, content.files(), strict=True):
        for named, (_, rows) in zip(file.instructions, instructions, strict=True):
            _put_in_file(session, batch.id, rows, file.n, named["payment_information_id"])
    stored = [{"message_id": file.message_id, "sha256": file.sha256, "sha1": file.sha1} for file in files]
    step = Move(
        to=BatchStatus.APPROVED,
        event="batch.approved",
        actor=actor.as_history(),
        now=ctx.now(),
        values=values,
        details={**details, **stored[0], "files": stored},
    )
    move(session, batch, step)
    if ready.source_state in (SourceState.UNREACHABLE, SourceState.DENIED):
        # Approved on an older reading: as soon as the source answers again, a difference bars the hand-out.
        fetching.defer_fetch(session, batch.run_id)
    session.expire_all()
    return session.get_one(PaymentBatch, batch.id)


def _put_in_file(session: Session, batch_id: UUID, rows: Sequence[Line], n: int, payment_information_id: str) -> None:
    session.execute(
        sa.update(CreditTransfer)
        .where(col(CreditTransfer.batch_id) == batch_id, any_of(col(CreditTransfer.id), [row.id for row in rows]))
        .values(status=TransferStatus.IN_FILE, file_n=n, payment_information_id=payment_information_id)
        .execution_options(synchronize_session=False)  # the session is expired when all of it is stored
    )
