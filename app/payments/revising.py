"""Making a revision of a batch: the status of its lines, its findings, totals and digest, all from the rows alone.

Whoever changes a row that the digest covers calls `revise`; nothing else computes these values.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Any
from uuid import UUID

import rfc8785
import sqlalchemy as sa
from sqlmodel import Session, col, select

from app.core.clock import amsterdam_date
from app.core.columns import any_of
from app.core.history import HistoryActor
from app.core.money import MAXIMUM_STATED_CENTS
from app.payments import (
    bank_profiles,
    claims,
    digest,
    filing,
    guarding,
    identifiers,
    known_payees,
    lines,
    near_runs,
    rules,
)
from app.payments.comparing import Comparison
from app.payments.context import Context
from app.payments.errors import CanonicalChanged
from app.payments.filing import PAID, BatchContent
from app.payments.findings import CATALOGUE, Draft
from app.payments.lines import Line
from app.payments.models import (
    CLOSED,
    Approval,
    BatchStatus,
    Claim,
    ClaimWay,
    DebtorAccount,
    Decision,
    Finding,
    LinkMode,
    Obligation,
    PaymentBatch,
    PayrollRun,
    Severity,
    SourceReading,
    TransferStatus,
)
from app.payments.transitions import Move, move

_STATUS_OF_DECISION = {
    Decision.PAY: TransferStatus.PAYABLE,
    Decision.EXCLUDE: TransferStatus.EXCLUDED,
    Decision.HOLD: TransferStatus.HELD,
}

# A line that a person closed while its batch was pending stays closed in every later revision.
_CLOSED = {status.value: status for status in CLOSED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is revised and by whom; `values` are columns of the batch that change with it."""

    event: str
    actor: HistoryActor
    values: Mapping[str, Any]
    details: Mapping[str, Any]


def revise(ctx: Context, session: Session, batch: PaymentBatch, change: Change) -> None:
    """Make the next revision of a pending batch whose rows were changed; approvals so far are void.

    The caller holds the batch's lock.
    """
    void_approvals(session, batch, reason=change.event, ctx=ctx)
    revision = batch.revision + 1
    # A picture of the batch as it will be, outside the session: only the compare-and-set below writes the row.
    wanted = PaymentBatch(**{**batch.model_dump(), **change.values, "revision": revision})
    values = {**change.values, **compute(ctx, session, wanted), "revision": revision}
    step = Move(
        to=BatchStatus.PENDING,
        event=change.event,
        actor=change.actor,
        now=ctx.now(),
        values=values,
        details=change.details,
    )
    move(session, batch, step)
    guarding.bar(ctx, session, batch)


def void_approvals(session: Session, batch: PaymentBatch, *, reason: str, ctx: Context) -> None:
    """Void every approval of the batch that still counts."""
    session.execute(
        sa.update(Approval)
        .where(col(Approval.batch_id) == batch.id, col(Approval.voided_at).is_(None))
        .values(voided_at=ctx.now(), void_reason=reason)
    )


def compute(ctx: Context, session: Session, batch: PaymentBatch) -> dict[str, Any]:
    """Compute line statuses, findings, totals and digest for the batch as its rows stand; return its columns."""
    account = session.get_one(DebtorAccount, batch.debtor_account_id)
    transfers = lines.of_batch(session, batch.id)
    renewed = _renew_attempts(ctx, session, transfers)
    run = session.get_one(PayrollRun, batch.run_id)
    compared = known_payees.compare_batch(session, batch, run, transfers, home_country=account.iban[:2])
    facts = _facts(ctx, session, batch, account, transfers, compared.comparison)
    drafts = rules.judge([rule_line(row) for row in transfers], facts)
    settled = settle_statuses(transfers, drafts)
    lines.store(session, renewed, "attempt", "end_to_end_id")
    lines.store(session, settled, "status")
    paying = {row.position: row.creditor_iban for row in transfers if row.status in PAID}
    guarding.store_comparison(session, batch, compared, paying, lines=len(transfers))
    keys = _store_findings(ctx, session, batch, transfers, drafts)
    content = BatchContent(
        batch=batch,
        account=account,
        transfers=transfers,
        acknowledgement_keys=keys,
        environment=ctx.policy.environment,
    )
    paid = content.paid
    return {
        "number_of_transactions": len(paid),
        "control_sum_cents": sum(row.amount_cents for row in paid),
        "digest": digest.digest(filing.digest_content(content)),
    }


def content_of(ctx: Context, session: Session, batch: PaymentBatch) -> BatchContent:
    """Return the batch with its rows, as its digest and file are made of."""
    return BatchContent(
        batch=batch,
        account=session.get_one(DebtorAccount, batch.debtor_account_id, populate_existing=True),
        transfers=lines.of_batch(session, batch.id),
        acknowledgement_keys=acknowledgement_keys(session, batch.id),
        environment=ctx.policy.environment,
    )


def stands(ctx: Context, session: Session, batch: PaymentBatch) -> bool:
    """Say whether the digest of a batch is that of its rows by now: after an upgrade files may be written otherwise."""
    return digest.digest(filing.digest_content(content_of(ctx, session, batch))) == batch.digest


def canonical_bytes(ctx: Context, session: Session, batch: PaymentBatch) -> bytes:
    """Return the bytes that the digest of a batch is made of; `CanonicalChanged` when the rows give others by now.

    After an approval a line that was left out may be closed or go at the source, and the account be set otherwise: what
    the digest covers beside the lines was kept then. The lines that are paid change no more.
    """
    content = content_of(ctx, session, batch)
    framed = batch.approved_frame
    if framed is not None and framed["revision"] == batch.revision:
        data = digest.framed_bytes(framed, filing.approved_lines(content, framed))
    else:
        data = digest.canonical_bytes(filing.digest_content(content))
    if sha256(data).hexdigest() != batch.digest:
        raise CanonicalChanged(
            "The bytes of this digest cannot be put together any more. Of a batch that nobody approved they last as "
            "long as its lines and account stay as they were; of one that was approved, its rows were changed in the "
            "database, or an older version approved it. What was approved stands in the file and in the history."
        )
    return data


def acknowledgement_keys(session: Session, batch_id: UUID) -> list[str]:
    """Return the keys of the findings that need acknowledgement, sorted: they are a part of the digest."""
    rows = session.exec(
        select(Finding.code, Finding.judged_hash).where(
            Finding.batch_id == batch_id, col(Finding.needs_acknowledgement).is_(True)
        )
    )
    return sorted(f"{code}:{judged}" for code, judged in rows)


def _renew_attempts(ctx: Context, session: Session, transfers: Sequence[Line]) -> list[Line]:
    """Give each line the attempt that a claim on it would have now; return those that had another."""
    attempts = claims.next_attempts(session, [row.obligation_id for row in transfers])
    changed = []
    for row in transfers:
        attempt = attempts[row.obligation_id]
        identifier = identifiers.end_to_end_id(ctx.identifier_secret, row.obligation_id, attempt)
        if (row.attempt, row.end_to_end_id) != (attempt, identifier):
            row.attempt, row.end_to_end_id = attempt, identifier
            changed.append(row)
    return changed


def rule_line(row: Line) -> rules.RuleLine:
    """Return a line as the rules look at it."""
    return rules.RuleLine(
        position=row.position,
        status_pays=row.decision == Decision.PAY,
        hold_code=row.hold_code,
        kind=row.kind,
        creditor_name=row.creditor_name,
        creditor_name_original=row.creditor_name_original,
        creditor_iban=row.creditor_iban,
        creditor_bic=row.creditor_bic,
        amount_cents=row.amount_cents,
        currency=row.currency,
        remittance_kind=row.remittance_kind,
        remittance_text=row.remittance_text,
        remittance_text_original=row.remittance_text_original,
        reference_type=row.reference_type,
        source_debtor_iban=row.source_debtor_iban,
        source_creditor_bic=row.source_creditor_bic,
        source_execution_date=row.source_execution_date,
    )


def _facts(
    ctx: Context,
    session: Session,
    batch: PaymentBatch,
    account: DebtorAccount,
    transfers: Sequence[Line],
    comparison: Comparison,
) -> rules.BatchFacts:
    run = session.get_one(PayrollRun, batch.run_id)
    reading = session.get_one(SourceReading, batch.reading_id)
    extras = reading.extras or {}
    return rules.BatchFacts(
        debtor_iban=account.iban,
        requested_execution_date=batch.requested_execution_date,
        today=amsterdam_date(ctx.now()),
        run_description=run.description,
        run_is_locked=run.is_locked,
        is_upload=run.source_kind == "upload" or reading.payment_date_asked is None,
        source_debtor_iban=extras.get("source_debtor_iban"),
        source_execution_date=_read_date(extras.get("source_execution_date")),
        people_in_run=extras.get("people_in_run"),
        people_missing=extras.get("people_missing", 0),
        paid_before_in_period=partly_paid(
            claimed_in_period(session, run, [row.creditor_iban for row in transfers], [batch.requested_execution_date]),
            transfers,
        ),
        profile=bank_profiles.profile_for(account.iban),
        batch_booking=account.batch_booking,
        comparison=comparison,
        own_accounts=known_payees.own_accounts(session, batch),
        is_live=batch.mode == LinkMode.LIVE,
    )


def _read_date(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def partly_paid(paid: Collection[tuple[str, int]], transfers: Sequence[Line]) -> int:
    """Return how many accounts these lines pay that other runs of the period pay or paid too.

    Lines that wait are not counted; one that looks paid and was put back on purpose is: that is somebody's word, and
    the employer is to know of it.
    """
    paying = {row.creditor_iban for row in transfers if row.decision == Decision.PAY}
    return len(paying.intersection(creditor for creditor, _ in paid))


def claimed_in_period(
    session: Session, run: PayrollRun, creditors: Sequence[str], paid_on: Iterable[date | None]
) -> set[tuple[str, int]]:
    """Return (creditor, cents) that other runs of this employer and period are paying or have paid.

    `paid_on` are the days on which these would be paid: where periods cannot be compared, what is claimed near them is
    of this period.
    """
    statement = (
        select(Obligation.creditor, Obligation.amount_cents)
        .join(Claim, col(Claim.obligation_id) == col(Obligation.id))
        .where(
            Obligation.employer_id == run.employer_id,
            Obligation.run_id != run.id,
            any_of(col(Obligation.creditor), creditors),
            col(Claim.state).in_(claims.HELD_STATES),
            col(Claim.way) != ClaimWay.WAIVED,
        )
    )
    found = set(session.exec(statement.where(Obligation.year == run.year, Obligation.period == run.period_start)))
    days = near_runs.days_of(session, run, paid_on)
    beside = near_runs.runs_beside(session, run, days)
    if beside:
        is_near = near_runs.is_near(col(Claim.requested_execution_date), days, run)
        found.update(session.exec(statement.where(any_of(col(Obligation.run_id), beside), is_near)))
    return found


def settle_statuses(transfers: Iterable[Line], drafts: Sequence[Draft]) -> list[Line]:
    """Give each line the status that it should have, and return those that had another.

    A person's decision stands; a line that would be paid but has an error becomes invalid, the others go on.
    """
    wrong = {draft.position for draft in drafts if CATALOGUE[draft.code].severity is Severity.ERROR}
    changed = []
    for row in transfers:
        status = _settled(row, is_wrong=row.position in wrong)
        if row.status != status:
            row.status = status
            changed.append(row)
    return changed


def _settled(row: Line, *, is_wrong: bool) -> TransferStatus:
    if row.hold_code in _CLOSED:
        return _CLOSED[row.hold_code]
    status = _STATUS_OF_DECISION[Decision(row.decision)]
    return TransferStatus.INVALID if is_wrong and status in PAID else status


def _store_findings(
    ctx: Context,
    session: Session,
    batch: PaymentBatch,
    transfers: Sequence[Line],
    drafts: Sequence[Draft],
) -> list[str]:
    """Replace the findings, keeping those that say the same of the same: their acknowledgements survive."""
    session.flush()
    by_position = {row.position: row for row in transfers}
    known = {
        (row.code, row.transfer_id, row.judged_hash): row
        for row in session.exec(select(Finding).where(Finding.batch_id == batch.id))
    }
    kept = set()
    fresh = []
    for draft in drafts:
        row = by_position[draft.position] if draft.position is not None else None
        key = (draft.code, row.id if row else None, _judged_hash(draft, row))
        if key in known:
            kept.add(known[key].id)
        else:
            fresh.append(_finding_values(ctx, batch, draft, key))
    gone = [row.id for row in known.values() if row.id not in kept]
    if gone:
        session.execute(sa.delete(Finding).where(any_of(col(Finding.id), gone)))
    if fresh:
        session.execute(sa.insert(Finding), fresh)
    return acknowledgement_keys(session, batch.id)


def _judged_hash(draft: Draft, row: Line | None) -> str:
    """Return the hash of what was judged: an acknowledgement holds for exactly these values of this obligation."""
    judged: dict[str, Any] = {"code": draft.code, "figures": dict(draft.figures), **draft.judged}
    if row is not None:
        judged |= {
            "obligation": str(row.obligation_id),
            "iban": row.creditor_iban,
            "name": row.creditor_name_original,
            # A line that nobody can pay may hold more than RFC 8785 writes as a number.
            "cents": row.amount_cents if abs(row.amount_cents) <= MAXIMUM_STATED_CENTS else str(row.amount_cents),
            "text": row.remittance_text_original,
            "kind": row.kind,
        }
    return sha256(rfc8785.dumps(judged)).hexdigest()[:32]


def _finding_values(
    ctx: Context, batch: PaymentBatch, draft: Draft, key: tuple[str, UUID | None, str]
) -> dict[str, Any]:
    entry = CATALOGUE[draft.code]
    return {
        "id": ctx.new_id(),
        "batch_id": batch.id,
        "transfer_id": key[1],
        "code": draft.code,
        "severity": entry.severity,
        "field": draft.field,
        "figures": dict(draft.figures),
        "needs_acknowledgement": entry.needs_acknowledgement,
        "judged_hash": key[2],
    }
