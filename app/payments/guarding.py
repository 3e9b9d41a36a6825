"""What a revision leaves behind about its comparison: the row that is shown later, and a hold when too much changed."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from app.core.history import SYSTEM
from app.payments import holds
from app.payments.change_findings import changed_accounts, many
from app.payments.comparing import Change
from app.payments.context import Context
from app.payments.known_payees import Compared
from app.payments.models import BankStatus, BatchComparison, CreditTransfer, Hold, HoldScope, PaymentBatch

MANY_ACCOUNTS_CHANGED = "many_accounts_changed"
PAID_AFTER_REFUSAL = "paid_after_refusal"
WITHDRAWN_AT_BANK = "withdrawn_file_at_bank"
_PAID = (
    "What the bank said of a line of this batch contradicts what is known of it from an earlier one: it may be paid "
    "already. Find out at the bank what really happened before anything is signed."
)
_WITHDRAWN = (
    "The bank reports on a file that was withdrawn here because it was not at the bank, and this batch pays of it. "
    "Find out at the bank what is executed before anything of this batch goes out."
)


def store_comparison(
    session: Session, batch: PaymentBatch, compared: Compared, paying: Mapping[int, str], *, lines: int
) -> None:
    """Keep what the batch looked like beside the last paid run; `paying` are the lines that are paid, of `lines`."""
    comparison = compared.comparison
    marks = changed_accounts(comparison, paying)
    values: dict[str, Any] = {
        "revision": batch.revision,
        "previous_run_id": compared.previous_run_id,
        "previous_batch_id": compared.previous_batch_id,
        "is_first": comparison.is_first,
        "is_extra": comparison.is_extra,
        "same_count": comparison.same_count,
        "peak": None if comparison.peak is None else {"code": comparison.peak.code, "is_up": comparison.peak.is_up},
        "changes": [_written(change) for change in comparison.changes],
        "changed_accounts": marks if many(len(marks), lines) else [],
    }
    row = session.get(BatchComparison, batch.id)
    if row is None:
        row = BatchComparison(batch_id=batch.id, held_accounts=[], **values)
    for name, value in values.items():
        setattr(row, name, value)
    session.add(row)
    session.flush()


def bar(ctx: Context, session: Session, batch: PaymentBatch) -> None:
    """Put what a new batch or revision must wait for on the batch: whoever makes one calls this."""
    hold_many_changes(ctx, session, batch)
    _hold_what_may_be_paid(ctx, session, batch)


def _hold_what_may_be_paid(ctx: Context, session: Session, batch: PaymentBatch) -> None:
    """Put the batch on hold when the bank says that an earlier one paid lines of it, or has a withdrawn file of them.

    Two people lift it; for this batch it stays lifted then.
    """
    for code, earlier, reason in (
        (PAID_AFTER_REFUSAL, col(CreditTransfer.bank_status) == BankStatus.CONTRADICTION, _PAID),
        (WITHDRAWN_AT_BANK, col(CreditTransfer.batch_id).in_(_barred(batch)), _WITHDRAWN),
    ):
        if _pays_of(session, batch, earlier) and not holds.had(session, batch, code=code):
            holds.place(ctx, session, batch, code=code, reason=reason)


def _barred(batch: PaymentBatch) -> Any:
    return (
        select(PaymentBatch.id)
        .join(Hold, col(Hold.target_id) == col(PaymentBatch.id))
        .where(PaymentBatch.run_id == batch.run_id, Hold.code == WITHDRAWN_AT_BANK, col(Hold.lifted_at).is_(None))
    )


def _pays_of(session: Session, batch: PaymentBatch, earlier: sa.ColumnElement[bool]) -> bool:
    """Say whether lines of this batch are owed by such lines of other batches, which are all of the same run."""
    others = select(PaymentBatch.id).where(PaymentBatch.run_id == batch.run_id, PaymentBatch.id != batch.id)
    mine = select(CreditTransfer.obligation_id).where(CreditTransfer.batch_id == batch.id)
    statement = select(CreditTransfer.id).where(
        col(CreditTransfer.batch_id).in_(others), earlier, col(CreditTransfer.obligation_id).in_(mine)
    )
    return session.exec(statement.limit(1)).first() is not None


def hold_many_changes(ctx: Context, session: Session, batch: PaymentBatch) -> None:
    """Put the batch on hold when many people are to be paid on an account that is new for them.

    Two people lift it. What they lifted it for stays lifted: only an account that no hold of this batch was about
    makes another one.
    """
    row = session.get_one(BatchComparison, batch.id)
    fresh = set(row.changed_accounts) - set(row.held_accounts)
    if not fresh:
        return
    if holds.active(session, scope=HoldScope.BATCH, target_id=batch.id, code=MANY_ACCOUNTS_CHANGED):
        holds.lift(ctx, session, batch, code=MANY_ACCOUNTS_CHANGED, actor=SYSTEM)
    row.held_accounts = sorted({*row.held_accounts, *fresh})
    session.add(row)
    count = len(row.changed_accounts)
    reason = (
        f"{count} lines go to an account on which that person was never paid before. Somebody may have changed the "
        "accounts in the payroll package: two people look at it and lift this together."
    )
    holds.place(ctx, session, batch, code=MANY_ACCOUNTS_CHANGED, reason=reason)


def _written(change: Change) -> dict[str, Any]:
    """Return a change as it is kept: lines by their ids, and what does not stand on them; nothing that is empty."""
    values = {
        "kind": change.kind.value,
        "line": None if change.line is None else str(change.line.id),
        "previous": None if change.previous is None else str(change.previous.id),
        "old_iban": change.old_iban,
        "paid_before": change.paid_before,
        "before_cents": change.before_cents,
        "after_cents": change.after_cents,
    }
    return {name: value for name, value in values.items() if value}
