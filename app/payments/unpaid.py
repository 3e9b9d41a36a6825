"""Lines that were not paid: listed until they are in another batch, paid elsewhere, or not owed.

They left their batch (invalid, held, excluded), came back from the bank, or their batch ended without a file. Nobody
silently drops out of a run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Session, col, select

from app.auth.actor import Actor
from app.auth.models import Scope
from app.core.clock import amsterdam_date
from app.core.columns import any_of
from app.core.errors import Conflict, Invalid, NotFound, Problem
from app.payments import claims, guarding, making, revising, waiting
from app.payments.context import Context
from app.payments.deciding import check_date
from app.payments.errors import NotAllowedNow
from app.payments.locks import lock_accounts, lock_administration
from app.payments.models import (
    AdministrationLink,
    BatchKind,
    BatchStatus,
    Claim,
    ClaimWay,
    CreditTransfer,
    DebtorAccount,
    Decision,
    LinkMode,
    PaymentBatch,
    PayrollRun,
    RunState,
    SourceReading,
    TransferKind,
    TransferStatus,
)
from app.payments.statements import locked_line
from app.payments.transitions import tell

LEFT = (
    TransferStatus.INVALID,
    TransferStatus.HELD,
    TransferStatus.EXCLUDED,
    TransferStatus.REFUSED,
    TransferStatus.RETURNED,
)
_CLOSING = {ClaimWay.ELSEWHERE: TransferStatus.PAID_ELSEWHERE, ClaimWay.WAIVED: TransferStatus.WAIVED}
_PREPARERS = ("admin", "approver", "office_admin", "office_preparer")
# Columns that a follow-up batch takes over from the line as it was.
_COPIED = (
    "obligation_id",
    "kind",
    "creditor_name",
    "creditor_name_original",
    "creditor_iban",
    "creditor_bic",
    "amount_cents",
    "currency",
    "remittance_kind",
    "remittance_text",
    "remittance_text_original",
    "reference_type",
    "reference_issuer",
    "source_end_to_end_id",
    "source_debtor_iban",
    "source_creditor_bic",
    "source_execution_date",
)
# A line waiting for one of these still waits in a follow-up batch: making one is no way round two people.
_STILL_HELD = frozenset({"run_changed_after_approval", "possibly_already_paid"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpaid:
    """A line that is still to be paid. `late_since`: the pay day that went by, for salaries."""

    transfer: CreditTransfer
    batch: PaymentBatch
    run: PayrollRun
    late_since: date | None

    @property
    def place(self) -> tuple[date, int, UUID]:
        """Where the line stands in the list: by pay day, then as in its batch."""
        return self.batch.requested_execution_date, self.transfer.position, self.transfer.id


def unpaid_lines(ctx: Context, session: Session, employers: frozenset[UUID]) -> list[Unpaid]:
    """Return what these employers still owe, the oldest pay day first."""
    newest: dict[UUID, tuple[CreditTransfer, PaymentBatch, PayrollRun]] = {}
    for row, batch, run in session.exec(_left(employers)):
        newest.setdefault(row.obligation_id, (row, batch, run))
    today = amsterdam_date(ctx.now())
    lines = [
        Unpaid(transfer=row, batch=batch, run=run, late_since=_late_since(row, batch, today))
        for row, batch, run in newest.values()
    ]
    return sorted(lines, key=lambda line: line.place)


def _late_since(row: CreditTransfer, batch: PaymentBatch, today: date) -> date | None:
    is_late = row.kind == TransferKind.SALARY and batch.requested_execution_date < today
    return batch.requested_execution_date if is_late else None


def _unlisted(employers: frozenset[UUID]) -> Any:
    """Select what the sources of these employers list no longer: once for the whole list, not for each of its lines."""
    run = sa.orm.aliased(PayrollRun)
    return select(sa.func.unnest(run.unlisted)).where(
        any_of(col(run.employer_id), employers), sa.func.cardinality(run.unlisted) > 0
    )


def _left(employers: frozenset[UUID]) -> Any:
    other, other_batch = sa.orm.aliased(CreditTransfer), sa.orm.aliased(PaymentBatch)
    settled = sa.exists().where(
        col(Claim.obligation_id) == col(CreditTransfer.obligation_id), col(Claim.state).in_(claims.HELD_STATES)
    )
    waits = sa.exists().where(
        col(other.obligation_id) == col(CreditTransfer.obligation_id),
        col(other_batch.id) == col(other.batch_id),
        col(other_batch.status) == BatchStatus.PENDING,
    )
    # Whatever became of the line: one that the bank refused after the source had corrected it is gone as well.
    gone = sa.or_(
        sa.func.coalesce(col(CreditTransfer.hold_code), "") == waiting.GONE,
        col(CreditTransfer.obligation_id).in_(_unlisted(employers)),
    )
    return (
        select(CreditTransfer, PaymentBatch, PayrollRun)
        .join(PaymentBatch, col(PaymentBatch.id) == col(CreditTransfer.batch_id))
        .join(PayrollRun, col(PayrollRun.id) == col(PaymentBatch.run_id))
        .where(
            any_of(col(PaymentBatch.employer_id), employers),
            PaymentBatch.mode == LinkMode.LIVE,
            PaymentBatch.status != BatchStatus.PENDING,
            PayrollRun.state == RunState.FETCHED,
            col(CreditTransfer.status).not_in((TransferStatus.IN_FILE, TransferStatus.EXECUTED)),
            sa.or_(col(CreditTransfer.status).in_(LEFT), col(PaymentBatch.status).in_(making.ENDED_WITHOUT_FILE)),
            col(CreditTransfer.amount_cents) > 0,
            ~gone,
            ~settled,
            ~waits,
        )
        .order_by(col(PaymentBatch.created_at).desc(), col(PaymentBatch.id).desc())
    )


def close_line(
    ctx: Context, session: Session, actor: Actor, transfer_id: UUID, *, way: ClaimWay, reason: str
) -> CreditTransfer:
    """Say that a line was paid by other means, or is not owed: it leaves the list and can be paid by no batch."""
    may_close(session, actor, transfer_id)
    row, batch = locked_line(session, transfer_id)
    _check_closable(row, batch, way)
    _refuse_waiting_elsewhere(session, row)
    claims.close(session, batch, row, way=way, now=ctx.now(), new_id=ctx.new_id)
    row.status, row.decision_reason = _CLOSING[way], reason
    details = {"transfer_id": str(row.id), "position": row.position, "reason": reason}
    event = "line.paid_elsewhere" if way is ClaimWay.ELSEWHERE else "line.waived"
    if batch.status == BatchStatus.PENDING:
        row.decision, row.hold_code = Decision.EXCLUDE, _CLOSING[way].value
        session.add(row)
        session.flush()
        change = revising.Change(event=event, actor=actor.as_history(), values={}, details=details)
        revising.revise(ctx, session, batch, change)
        session.refresh(row)
        return row
    session.add(row)
    session.flush()
    tell(session, batch, event=event, actor=actor.as_history(), now=ctx.now(), details=details)
    return row


def may_close(session: Session, actor: Actor, transfer_id: UUID) -> None:
    """Refuse who may never close this line."""
    row = session.get(CreditTransfer, transfer_id)
    batch = None if row is None else session.get(PaymentBatch, row.batch_id)
    if batch is None or batch.employer_id not in actor.readable_employers:
        raise NotFound("No such line.")
    actor.needs_employer_role(batch.employer_id, "admin", "approver")
    actor.needs_scope(Scope.PREPARE)


def _check_closable(row: CreditTransfer, batch: PaymentBatch, way: ClaimWay) -> None:
    if batch.mode != LinkMode.LIVE:
        raise NotAllowedNow("This line is of a dry run; nothing is owed for it here.")
    ended = batch.status in making.ENDED_WITHOUT_FILE or batch.status == BatchStatus.PENDING
    if row.status not in LEFT and not (ended and row.status == TransferStatus.PAYABLE):
        raise NotAllowedNow(f"The line is {row.status}; only a line that is not paid can be closed this way.")
    if row.amount_cents <= 0 and way is not ClaimWay.WAIVED:
        raise NotAllowedNow(
            "A line of zero or less is no payment, so it was not paid elsewhere either. Say that it is not owed "
            "(POST .../waiver), with what became of it as the reason."
        )


def _refuse_waiting_elsewhere(session: Session, row: CreditTransfer) -> None:
    """A line is closed in the batch it waits in: closed elsewhere it would still be offered there, and bar approval."""
    waits_in = session.exec(
        select(PaymentBatch.id)
        .join(CreditTransfer, col(CreditTransfer.batch_id) == col(PaymentBatch.id))
        .where(
            CreditTransfer.obligation_id == row.obligation_id,
            PaymentBatch.id != row.batch_id,
            PaymentBatch.status == BatchStatus.PENDING,
        )
    ).first()
    if waits_in is not None:
        raise NotAllowedNow(
            "The line waits in a newer batch of this run; close it there.", extra={"payment_batch_id": str(waits_in)}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """Which unpaid lines are offered again, all of one run, and perhaps on which date."""

    transfer_ids: Sequence[UUID]
    requested_execution_date: date | None = None


def make_follow_up(ctx: Context, session: Session, actor: Actor, wanted: FollowUp) -> PaymentBatch:
    """Offer unpaid lines of one run in a batch of their own, with its own approval and claims."""
    lines = _chosen(ctx, session, actor, wanted)
    run = lines[0].run
    actor.needs_employer_role(run.employer_id, *_PREPARERS)
    lock_administration(session, run.administration_id)
    link = session.get_one(AdministrationLink, run.administration_id)
    account = lock_accounts(session, {link.debtor_account_id})[link.debtor_account_id]
    _refuse_second_pending(session, run)
    # Under the lock once more: what was unpaid may be in another batch by now.
    lines = _chosen(ctx, session, actor, wanted)
    batch = _new_batch(ctx, session, run, link, account, wanted)
    batch.edited_by = actor.user_id  # who puts lines back, perhaps on another date, is not their only approver
    session.add(batch)
    session.flush()
    session.execute(
        sa.insert(CreditTransfer),
        [_copied(ctx, batch, line.transfer, position) for position, line in enumerate(lines, start=1)],
    )
    for name, value in revising.compute(ctx, session, batch).items():
        setattr(batch, name, value)
    session.add(batch)
    session.flush()
    details = {"run_id": str(run.id), "lines": len(lines), "from": sorted({str(line.batch.id) for line in lines})}
    tell(session, batch, event="batch.follow_up_made", actor=actor.as_history(), now=ctx.now(), details=details)
    guarding.bar(ctx, session, batch)
    return batch


def _chosen(ctx: Context, session: Session, actor: Actor, wanted: FollowUp) -> list[Unpaid]:
    ids = set(wanted.transfer_ids)
    found = [line for line in unpaid_lines(ctx, session, actor.readable_employers) if line.transfer.id in ids]
    if len(found) != len(ids):
        listed = {line.transfer.id for line in found}
        places = [place for place, each in enumerate(wanted.transfer_ids) if each not in listed]
        message = (
            "This line is not on the list of unpaid lines (any more): it is in another batch, paid or closed. "
            "Look again with GET /v1/unpaid-transfers."
        )
        raise Invalid(
            errors=[Problem(pointer=f"/transfer_ids/{place}", code="not_unpaid", message=message) for place in places]
        )
    if len({line.run.id for line in found}) != 1:
        message = "Choose lines of one payroll run; make a batch for each run."
        raise Invalid(errors=[Problem(pointer="/transfer_ids", code="one_run", message=message)])
    return found


def _refuse_second_pending(session: Session, run: PayrollRun) -> None:
    pending = session.exec(
        select(PaymentBatch.id).where(PaymentBatch.run_id == run.id, PaymentBatch.status == BatchStatus.PENDING)
    ).first()
    if pending is not None:
        raise Conflict(
            "A batch of this run waits for approval already; approve, reject or cancel it first.",
            extra={"payment_batch_id": str(pending)},
        )


def _new_batch(
    ctx: Context,
    session: Session,
    run: PayrollRun,
    link: AdministrationLink,
    account: DebtorAccount,
    wanted: FollowUp,
) -> PaymentBatch:
    if run.reading_id is None:
        raise Conflict("This run was never read; fetch it first.")
    if wanted.requested_execution_date is not None:
        check_date(wanted.requested_execution_date, account, ctx)
    day = wanted.requested_execution_date or making.default_execution_date(ctx, run, link, account)
    now = ctx.now()
    return PaymentBatch(
        id=ctx.new_id(),
        employer_id=run.employer_id,
        administration_id=run.administration_id,
        run_id=run.id,
        reading_id=run.reading_id,
        debtor_account_id=account.id,
        kind=BatchKind.FOLLOW_UP,
        mode=link.mode,
        status=BatchStatus.PENDING,
        revision=1,
        digest="",
        requested_execution_date=day,
        number_of_transactions=0,
        control_sum_cents=0,
        source_equal_at=session.get_one(SourceReading, run.reading_id).fetched_at,
        created_at=now,
        updated_at=now,
    )


def _copied(ctx: Context, batch: PaymentBatch, row: CreditTransfer, position: int) -> dict[str, object]:
    waits = row.hold_code in _STILL_HELD
    return {
        **{name: getattr(row, name) for name in _COPIED},
        "id": ctx.new_id(),
        "batch_id": batch.id,
        "position": position,
        "status": TransferStatus.HELD,
        "decision": Decision.HOLD if waits else Decision.PAY,
        "hold_code": row.hold_code if waits else None,
        "attempt": 1,
        "end_to_end_id": "",
    }
