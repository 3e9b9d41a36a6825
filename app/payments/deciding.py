"""What people do with a pending batch before it is approved: date, account, lines, kinds, acknowledgements, endings."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlmodel import Session, select

from app.auth import proposals
from app.auth.actor import Actor
from app.auth.models import Role
from app.core.clock import amsterdam_date
from app.core.errors import Conflict, Forbidden, Invalid, NotFound, PreconditionFailed, Problem, RoleMissing
from app.payments import bank_profiles, calendar, claims, line_rows, receiving, revising
from app.payments.context import Context
from app.payments.errors import ExecutionDateImpossible, NotABankDay
from app.payments.findings import ACCOUNT_CHANGES
from app.payments.locks import lock_batch
from app.payments.models import (
    CLOSED,
    BatchStatus,
    CreditTransfer,
    DebtorAccount,
    Decision,
    Finding,
    PaymentBatch,
    PayrollRun,
    RememberedKind,
    RunState,
    TransferKind,
)
from app.payments.revising import Change
from app.payments.transitions import Action, Move, authorise, move, tell

# Lines that wait because they may pay somebody twice: setting them free takes two people (`releasing`).
NEEDS_TWO_PEOPLE = frozenset({"run_changed_after_approval"})
_NEVER_BACK = frozenset({"gone_at_source"})


class TwoPeopleNeeded(Conflict):
    """One person's click is not enough here."""

    code = "two_people_needed"
    title = "This takes two people"


class AnotherPersonNeeded(Forbidden):
    """Who changed the batch here does not also confirm that money goes to another account."""

    code = "another_person_needed"
    title = "Another person confirms this"


def require_revision(batch: PaymentBatch, revision: int) -> None:
    """Refuse when the caller looked at another revision."""
    if batch.revision != revision:
        raise PreconditionFailed(
            f"You looked at revision {revision}; the batch is at revision {batch.revision}. Look at it again.",
            extra={"revision": batch.revision},
        )


def check_date(day: date, account: DebtorAccount, ctx: Context) -> None:
    """Refuse an execution date on which, or so late that, the bank cannot execute; with the nearest possible days."""
    problem = calendar.date_problem(day, now=ctx.now(), profile=bank_profiles.profile_for(account.iban))
    if problem is None:
        return
    kind = NotABankDay if problem.code == "not_a_bank_day" else ExecutionDateImpossible
    raise kind(
        problem.english,
        errors=[Problem(pointer="/requested_execution_date", code=problem.code, message=problem.english)],
        extra={
            "reason": problem.code,
            "nearest_before": problem.before.isoformat() if problem.before else None,
            "nearest_after": problem.after.isoformat() if problem.after else None,
            "detail_nl": problem.dutch,
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A change of date or account; None leaves it as it is."""

    requested_execution_date: date | None = None
    debtor_account_id: UUID | None = None


def edit_batch(ctx: Context, session: Session, actor: Actor, batch_id: UUID, revision: int, edit: Edit) -> PaymentBatch:
    """Change date or account of a pending batch: a new revision, approvals so far void."""
    also = {edit.debtor_account_id} if edit.debtor_account_id else set()
    batch = lock_batch(session, batch_id, also_accounts=also)
    authorise(actor, batch, Action.EDIT)
    if edit.debtor_account_id not in (None, batch.debtor_account_id):
        _require_own_people(actor, batch, "From which account is paid")
    require_revision(batch, revision)
    account = session.get(DebtorAccount, edit.debtor_account_id or batch.debtor_account_id)
    if account is None or account.employer_id != batch.employer_id:
        message = "Choose an account of this employer."
        raise Invalid(errors=[Problem(pointer="/debtor_account_id", code="account", message=message)])
    day = edit.requested_execution_date or batch.requested_execution_date
    check_date(day, account, ctx)
    values = {
        "requested_execution_date": day,
        "debtor_account_id": account.id,
        "edited_by": actor.user_id,
    }
    if (day, account.id) == (batch.requested_execution_date, batch.debtor_account_id):
        _save_anew(ctx, session, actor, batch)
        return batch
    details = {
        "requested_execution_date": day.isoformat(),
        "debtor_account_id": str(account.id),
        "was": {
            "requested_execution_date": batch.requested_execution_date.isoformat(),
            "debtor_account_id": str(batch.debtor_account_id),
        },
    }
    change = Change(event="batch.edited", actor=actor.as_history(), values=values, details=details)
    revising.revise(ctx, session, batch, change)
    return batch


def _save_anew(ctx: Context, session: Session, actor: Actor, batch: PaymentBatch) -> None:
    """Make a revision of what the rows hold by now, when it is not what the digest says: else nobody could approve."""
    if not revising.stands(ctx, session, batch):
        details = {"reason": "content_changed"}
        change = Change(event="batch.judged_again", actor=actor.as_history(), values={}, details=details)
        revising.revise(ctx, session, batch, change)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineDecision:
    """What a person wants with a line; None leaves decision or kind as it is."""

    decision: Decision | None
    kind: TransferKind | None
    reason: str | None


def decide_line(
    ctx: Context,
    session: Session,
    actor: Actor,
    batch_id: UUID,
    transfer_id: UUID,
    revision: int,
    wanted: LineDecision,
) -> CreditTransfer:
    """Exclude, hold or put back a line, or change its kind: a new revision, approvals so far void."""
    batch = lock_batch(session, batch_id)
    authorise(actor, batch, Action.DECIDE)
    require_revision(batch, revision)
    row = session.get(CreditTransfer, transfer_id, with_for_update=True)
    if row is None or row.batch_id != batch.id:
        raise NotFound("No such line in this batch.")
    if wanted.decision is Decision.PAY and row.decision != Decision.PAY:
        _require_own_people(actor, batch, "That a line is paid after all")
    if wanted.kind not in (None, row.kind):
        _require_own_people(actor, batch, "What kind of payment a line is")
    before = {"decision": row.decision, "kind": row.kind}
    _decide(session, row, wanted)
    if wanted.kind is not None and wanted.kind != row.kind:
        _change_kind(ctx, session, actor, batch, row, wanted.kind)
    session.add(row)
    session.flush()
    if before == {"decision": row.decision, "kind": row.kind}:
        return row
    # Excluding and holding are no edits for four eyes; putting back and changing the kind are.
    is_edit = row.decision == Decision.PAY
    change = Change(
        event="batch.line_decided",
        actor=actor.as_history(),
        values={"edited_by": actor.user_id} if is_edit else {},
        details={
            "transfer_id": str(row.id),
            "position": row.position,
            "decision": row.decision,
            "kind": row.kind,
            "was": before,
            "reason": wanted.reason,
        },
    )
    revising.revise(ctx, session, batch, change)
    session.refresh(row)
    return row


def _require_own_people(actor: Actor, batch: PaymentBatch, what: str) -> None:
    """Refuse an office: it holds and leaves out lines and proposes a date, and no more."""
    if not actor.roles_at(batch.employer_id) & {Role.ADMIN, Role.APPROVER}:
        raise RoleMissing(
            f"{what} is decided by an admin or approver of the employer. An office holds and leaves out lines and "
            "proposes a date."
        )


def _decide(session: Session, row: CreditTransfer, wanted: LineDecision) -> None:
    if wanted.decision is None or wanted.decision == row.decision:
        return
    if wanted.decision is not Decision.PAY and not wanted.reason:
        message = "Say why the line is not paid."
        raise Invalid(errors=[Problem(pointer="/reason", code="reason_missing", message=message)])
    if wanted.decision is Decision.PAY:
        _may_be_put_back(row, wanted.reason)
        claims.refuse_held(session, row.obligation_id)
        row.hold_code = None
    row.decision, row.decision_reason = wanted.decision, wanted.reason


def _may_be_put_back(row: CreditTransfer, reason: str | None) -> None:
    if row.hold_code in _NEVER_BACK:
        raise Conflict("The line is no longer in the run at the source; it cannot be paid from here.")
    if row.hold_code in NEEDS_TWO_PEOPLE:
        raise TwoPeopleNeeded(
            "This line came into the run after a part of it was approved. Paying it takes two people who say whether "
            "it replaces another line or is additional: POST .../transfers/{id}/release."
        )
    if row.hold_code in CLOSED:
        raise Conflict("The line was closed as paid elsewhere or not owed; it is not paid by this batch.")
    if row.hold_code is not None and not reason:
        message = "Say why this line is paid although it looks paid already."
        raise Invalid(errors=[Problem(pointer="/reason", code="reason_missing", message=message)])


def _change_kind(
    ctx: Context, session: Session, actor: Actor, batch: PaymentBatch, row: CreditTransfer, kind: TransferKind
) -> None:
    """Change what a line is, remember it for the next run, and write its text by the rules of the new kind."""
    row.kind = kind
    line_rows.rewrite_text(row)
    known = session.get(RememberedKind, (batch.administration_id, row.creditor_iban))
    remembered = known or RememberedKind(
        administration_id=batch.administration_id,
        creditor=row.creditor_iban,
        kind=kind,
        chosen_by=actor.user_id,
        chosen_at=ctx.now(),
    )
    remembered.kind, remembered.chosen_by, remembered.chosen_at = kind, actor.user_id, ctx.now()
    session.add(remembered)


def acknowledge(
    ctx: Context, session: Session, actor: Actor, batch_id: UUID, finding_id: UUID, *, note: str | None
) -> Finding:
    """Confirm a finding by name. It makes no new revision, and survives readings that judge the same values."""
    batch = lock_batch(session, batch_id)
    authorise(actor, batch, Action.ACKNOWLEDGE)
    finding = session.get(Finding, finding_id)
    if finding is None or finding.batch_id != batch.id:
        raise NotFound("No such finding on this batch.")
    if not finding.needs_acknowledgement:
        raise Conflict("This finding needs no acknowledgement.")
    alone = _must_be_another_person(session, actor, batch, finding, amsterdam_date(ctx.now()))
    if finding.acknowledged_at is None:
        finding.acknowledged_at, finding.acknowledged_by = ctx.now(), actor.user_id
        finding.acknowledgement_note = note
        session.add(finding)
        details = {"finding": finding.code, "finding_id": str(finding.id), "note": note, **alone}
        tell(session, batch, event="batch.acknowledged", actor=actor.as_history(), now=ctx.now(), details=details)
    return finding


def _must_be_another_person(
    session: Session, actor: Actor, batch: PaymentBatch, finding: Finding, today: date
) -> dict[str, bool]:
    """Refuse who edited the batch as the one who confirms where money goes, unless there is nobody else."""
    if finding.code not in ACCOUNT_CHANGES or batch.edited_by != actor.user_id:
        return {}
    if not proposals.is_one_person_firm(session, batch.employer_id, today):
        raise AnotherPersonNeeded(
            "You changed this batch, so another admin or approver of the employer confirms an account that changed."
        )
    return {"one_person_firm": True}


def end_batch(
    ctx: Context, session: Session, actor: Actor, batch_id: UUID, revision: int, *, action: Action, reason: str
) -> PaymentBatch:
    """Reject or cancel a pending batch, with a reason. Its run can be offered again."""
    batch = lock_batch(session, batch_id)
    authorise(actor, batch, action)
    require_revision(batch, revision)
    revising.void_approvals(session, batch, reason=action.value, ctx=ctx)
    to = BatchStatus.REJECTED if action is Action.REJECT else BatchStatus.CANCELLED
    step = Move(
        to=to,
        event=f"batch.{to.value}",
        actor=actor.as_history(),
        now=ctx.now(),
        values={"status_reason": reason},
        details={"reason": reason},
    )
    move(session, batch, step)
    return batch


def may_offer(actor: Actor, run: PayrollRun) -> None:
    """Refuse who may not offer this run again."""
    actor.needs_employer_role(run.employer_id, "admin", "approver", "office_admin", "office_preparer")


def offer_again(ctx: Context, session: Session, actor: Actor, run_id: UUID) -> PaymentBatch:
    """Offer a run again whose batches all ended without a file, from its last reading."""
    from app.payments.fetching import open_reading  # noqa: PLC0415

    run = session.get(PayrollRun, run_id)
    if run is None or run.employer_id not in actor.readable_employers:
        raise NotFound("No such payroll run.")
    may_offer(actor, run)
    if run.state != RunState.FETCHED or run.reading_id is None:
        raise Conflict(f"The run is {run.state}; only a run that was fetched can be offered again.")
    reading = open_reading(ctx, session, run.id, run.reading_id, actor=actor.as_history(), offer_again=True)
    receiving.take_in(ctx, session, run.id, reading)
    batch = session.exec(
        select(PaymentBatch).where(PaymentBatch.run_id == run.id, PaymentBatch.status == BatchStatus.PENDING)
    ).one_or_none()
    if batch is None:
        raise Conflict("Every line of this run is in a batch already, or is paid.")
    return batch
