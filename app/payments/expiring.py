"""Batches that nobody decided on: warned about twice, then ended. Never one whose file was handed out."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Session, col, select

from app.core.clock import amsterdam_date
from app.core.database import transaction
from app.core.history import SYSTEM
from app.payments import attention, bank_profiles, policies, reopening, revising
from app.payments.context import Context
from app.payments.locks import lock_batch
from app.payments.models import BankStatus, BatchStatus, DebtorAccount, LinkMode, PaymentBatch, PaymentFile
from app.payments.transitions import Move, move, tell, tell_attention

# Days after the execution date: the first warning, the second, the end.
WARN_AFTER = (60, 80)
EXPIRES_AFTER = 90
_OPEN = (BatchStatus.PENDING, BatchStatus.APPROVED)
# Of the delivered ones, of which there are more every month, only those of which a person may still have to be told.
_UNSAID = (
    sa.exists()
    .where(
        col(PaymentFile.batch_id) == col(PaymentBatch.id),
        col(PaymentFile.voided_at).is_(None),
        sa.or_(col(PaymentFile.bank_status) == BankStatus.NONE, col(PaymentFile.awaits_signature)),
    )
    .correlate(PaymentBatch)
)
_IS_WATCHED = sa.and_(
    col(PaymentBatch.mode) == LinkMode.LIVE,
    sa.or_(
        col(PaymentBatch.status).in_((*_OPEN, BatchStatus.DELIVERY_UNKNOWN)),
        sa.and_(col(PaymentBatch.status) == BatchStatus.DELIVERED, _UNSAID),
    ),
)
_MOST = 500


def expire(ctx: Context) -> int:
    """Warn about and end the batches whose execution date is long past; return how many ended."""
    today = amsterdam_date(ctx.now())
    with transaction(ctx.engine) as session:
        old = session.exec(
            select(PaymentBatch.id)
            .where(
                col(PaymentBatch.status).in_(_OPEN),
                PaymentBatch.requested_execution_date <= today - timedelta(days=WARN_AFTER[0]),
            )
            .limit(_MOST)
        ).all()
    return sum(_one(ctx, batch_id, today) for batch_id in old)


def _one(ctx: Context, batch_id: UUID, today: date) -> bool:
    with transaction(ctx.engine) as session:
        batch = lock_batch(session, batch_id)
        files = reopening.live_files(session, batch.id)
        if batch.status not in _OPEN or any(file.handed_out_at is not None for file in files):
            return False
        days = (today - batch.requested_execution_date).days
        if batch.expiry_warnings < len(WARN_AFTER):
            if days >= WARN_AFTER[batch.expiry_warnings]:
                _warn(ctx, session, batch)
            return False
        if days < EXPIRES_AFTER:
            return False
        reopening.void_files(ctx, session, batch, "expired")
        revising.void_approvals(session, batch, reason="expired", ctx=ctx)
        reason = f"Nobody decided within {EXPIRES_AFTER} days after the execution date."
        step = Move(
            to=BatchStatus.EXPIRED,
            event="batch.expired",
            actor=SYSTEM,
            now=ctx.now(),
            values={"status_reason": reason},
            details={"reason": reason},
        )
        move(session, batch, step)
        return True


def _warn(ctx: Context, session: Session, batch: PaymentBatch) -> None:
    batch.expiry_warnings += 1
    session.add(batch)
    session.flush()
    ends = batch.requested_execution_date + timedelta(days=EXPIRES_AFTER)
    details = {"warning": batch.expiry_warnings, "expires_on": ends.isoformat()}
    tell(session, batch, event="batch.expiry_warned", actor=SYSTEM, now=ctx.now(), details=details)


def note_attention(ctx: Context) -> int:
    """Write down, once each, what a person should look at; return how many were new."""
    with transaction(ctx.engine) as session:
        rows = session.exec(
            select(PaymentBatch, DebtorAccount.iban)
            .join(DebtorAccount, col(DebtorAccount.id) == col(PaymentBatch.debtor_account_id))
            .where(_IS_WATCHED)
            .order_by(col(PaymentBatch.id))
        ).all()
        files = _files_of_watched(session)
        alone = policies.employers_without_approver(ctx, session, [batch for batch, _ in rows])
        news = [
            (batch.id, codes)
            for batch, iban in rows
            if (codes := _news(ctx, batch, files[batch.id], iban, somebody_can_approve=batch.employer_id not in alone))
        ]
    for batch_id, _ in news:
        _note(ctx, batch_id)
    return sum(len(codes) for _, codes in news)


def _files_of_watched(session: Session) -> Mapping[UUID, Sequence[PaymentFile]]:
    """Return the files of all these batches at once: one look for each would be thousands in a busy month."""
    found: defaultdict[UUID, list[PaymentFile]] = defaultdict(list)
    files = select(PaymentFile).join(PaymentBatch, col(PaymentBatch.id) == col(PaymentFile.batch_id))
    for file in session.exec(files.where(_IS_WATCHED, col(PaymentFile.voided_at).is_(None))):
        found[file.batch_id].append(file)
    return found


def _news(
    ctx: Context, batch: PaymentBatch, files: Sequence[PaymentFile], iban: str, *, somebody_can_approve: bool
) -> list[str]:
    standing = attention.Standing.of(batch, files, somebody_can_approve=somebody_can_approve)
    codes = attention.of_batch(standing, bank_profiles.profile_for(iban), ctx.now())
    return [code for code in codes if code not in batch.noted_attention]


def _note(ctx: Context, batch_id: UUID) -> None:
    with transaction(ctx.engine) as session:
        batch = lock_batch(session, batch_id)
        iban = session.get_one(DebtorAccount, batch.debtor_account_id).iban
        alone = policies.employers_without_approver(ctx, session, [batch])
        codes = _news(ctx, batch, reopening.live_files(session, batch.id), iban, somebody_can_approve=not alone)
        if codes:
            tell_attention(session, batch, codes, now=ctx.now())
