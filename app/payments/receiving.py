"""Taking a reading of a run in: obligations, lines, findings and batch, under the administration's lock.

The same for every source. A reading may be taken in twice, by two workers, or again weeks later: unique constraints and
the lock make that harmless, and nothing that was approved changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Session, col, select

from app.core import history
from app.core.columns import any_of
from app.core.copying import copy_rows
from app.core.history import SYSTEM, Fact, HistoryActor
from app.payments import bank_profiles, calendar, claims, guarding, holds, identifiers, revising, rules
from app.payments.context import Context
from app.payments.locks import lock_accounts, lock_administration
from app.payments.models import (
    AdministrationLink,
    BatchKind,
    BatchStatus,
    Claim,
    CreditTransfer,
    DebtorAccount,
    Decision,
    HoldScope,
    Obligation,
    PaymentBatch,
    PayrollRun,
    RememberedKind,
    RunState,
    SourceReading,
    TransferKind,
    TransferStatus,
)
from app.payments.ports import RemittanceKind, SourceBatch, SourceTransfer
from app.payments.rules import WrittenLine
from app.payments.totals import lines_hash, totals_problems
from app.payments.transitions import tell

ENDED_WITHOUT_FILE = frozenset(
    {BatchStatus.REJECTED, BatchStatus.CANCELLED, BatchStatus.SUPERSEDED, BatchStatus.EXPIRED}
)

GONE = "gone_at_source"
RUN_CHANGED = "run_changed_after_approval"
_STAYS_AS_IT_IS = frozenset({GONE, TransferStatus.PAID_ELSEWHERE.value, TransferStatus.WAIVED.value})


class ReadingOutcome(StrEnum):
    """What became of a reading."""

    DOUBTFUL = "doubtful"
    EMPTY = "empty"
    UNCHANGED = "unchanged"
    BATCH_MADE = "batch_made"
    BATCH_REVISED = "batch_revised"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A document that was read, with the row that keeps its raw bytes. `extras` is what else the source said."""

    row: SourceReading
    document: SourceBatch
    extras: Mapping[str, Any] = field(default_factory=dict)
    offer_again: bool = False
    actor: HistoryActor = SYSTEM


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    obligation_id: UUID
    transfer: SourceTransfer
    written: WrittenLine
    debtor_iban: str
    execution_date: date | None


def take_in(ctx: Context, session: Session, run_id: UUID, reading: Reading) -> ReadingOutcome:
    """Take a reading of a run in and return what became of it. Repeating it changes nothing.

    A document whose totals do not add up makes the run `doubtful` and no batch, and never touches a pending one.
    """
    run = session.get_one(PayrollRun, run_id)
    lock_administration(session, run.administration_id)
    session.refresh(run)
    link = session.get_one(AdministrationLink, run.administration_id)
    _stamp(reading)
    session.add(reading.row)
    problems = totals_problems(reading.document)
    if problems:
        return _doubtful(ctx, session, run, reading, [problem.message for problem in problems])
    if not reading.document.transfers:
        return _empty(ctx, session, run, reading)
    lock_accounts(session, {link.debtor_account_id})
    lines = _lines(ctx, session, run, reading)
    was_ever_fetched = run.state == RunState.FETCHED
    run.state, run.reason_code, run.reason, run.operation = RunState.FETCHED, None, None, None
    run.next_attempt_at, run.reading_id = None, reading.row.id
    session.add(run)
    session.flush()
    if was_ever_fetched:
        _follow_left_lines(session, run.id, [line.obligation_id for line in lines])
    pending = _pending_batch(session, run.id)
    if pending is not None:
        return _revise_pending(ctx, session, pending, lines, reading)
    return _make_batch(ctx, session, _Setting(run, link, reading, was_ever_fetched), lines)


@dataclass(frozen=True, slots=True)
class _Setting:
    run: PayrollRun
    link: AdministrationLink
    reading: Reading
    was_ever_fetched: bool


def _stamp(reading: Reading) -> None:
    instructions = reading.document.instructions
    reading.row.outcome = "read"
    reading.row.lines_hash = lines_hash(reading.document)
    reading.row.extras = {
        **reading.extras,
        "schema": reading.document.schema,
        "source_debtor_iban": instructions[0].debtor_iban if instructions else None,
        "source_execution_date": _written_date(instructions[0].requested_execution_date) if instructions else None,
    }


def _written_date(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _doubtful(
    ctx: Context, session: Session, run: PayrollRun, reading: Reading, messages: Sequence[str]
) -> ReadingOutcome:
    reading.row.outcome = "doubtful"
    if run.state != RunState.FETCHED:
        run.state, run.reason_code = RunState.DOUBTFUL, "totals_differ"
        run.reason = (
            "The totals in the payment document do not add up, so nothing was made of it. "
            + " ".join(messages)
            + " Have the run checked in the payroll package, then fetch it again."
        )
        run.next_attempt_at = None
        session.add(run)
    tell_run(ctx, session, run, "run.doubtful", {"problems": list(messages)}, reading.actor)
    return ReadingOutcome.DOUBTFUL


def _empty(ctx: Context, session: Session, run: PayrollRun, reading: Reading) -> ReadingOutcome:
    reading.row.outcome = "empty"
    if run.state != RunState.FETCHED:
        run.state, run.reason_code = RunState.EMPTY, "no_payments"
        run.reason = "The payment document of this run holds no payments."
        run.next_attempt_at = None
        session.add(run)
    tell_run(ctx, session, run, "run.empty", {}, reading.actor)
    return ReadingOutcome.EMPTY


def _lines(ctx: Context, session: Session, run: PayrollRun, reading: Reading) -> list[_Line]:
    """Return the lines with their obligations, which are made where they do not exist yet."""
    kinds = _known_kinds(session, run.administration_id)
    prepared = [
        (transfer, rules.write_line(transfer, category_purpose=block.category_purpose, known_kind=None), block)
        for block in reading.document.instructions
        for transfer in block.transfers
    ]
    if kinds:
        prepared = [
            (
                transfer,
                rules.write_line(
                    transfer, category_purpose=block.category_purpose, known_kind=kinds.get(written.creditor)
                ),
                block,
            )
            for transfer, written, block in prepared
        ]
    ids = _obligation_ids(ctx, session, run, reading, [(transfer, written) for transfer, written, _ in prepared])
    return [
        _Line(
            obligation_id=identifier,
            transfer=transfer,
            written=written,
            debtor_iban=block.debtor_iban,
            execution_date=block.requested_execution_date,
        )
        for identifier, (transfer, written, block) in zip(ids, prepared, strict=True)
    ]


def _known_kinds(session: Session, administration_id: UUID) -> dict[str, str]:
    """Return the kinds that people chose before in this administration, by creditor account."""
    rows = session.exec(
        select(RememberedKind.creditor, RememberedKind.kind).where(
            RememberedKind.administration_id == administration_id
        )
    )
    return dict(rows.all())


# As `_obligation_ids` gives them; the middle three are the key.
_OBLIGATION_COLUMNS = (
    *("id", "administration_id", "run_id", "employer_id", "year", "period"),
    *("creditor", "amount_cents", "n"),
    *("first_reading_id", "created_at"),
)


def _obligation_ids(
    ctx: Context,
    session: Session,
    run: PayrollRun,
    reading: Reading,
    lines: Sequence[tuple[SourceTransfer, WrittenLine]],
) -> list[UUID]:
    keys = _obligation_keys(lines)
    statement = select(Obligation.id, Obligation.creditor, Obligation.amount_cents, Obligation.n).where(
        Obligation.run_id == run.id
    )
    known = {(creditor, cents, n): identifier for identifier, creditor, cents, n in session.exec(statement)}
    fresh = {key: ctx.new_id() for key in keys if key not in known}
    before = (run.administration_id, run.id, run.employer_id, run.year, run.period_start)
    after = (reading.row.id, ctx.now())
    rows = ((identifier, *before, *key, *after) for key, identifier in fresh.items())
    copy_rows(session, "obligation", _OBLIGATION_COLUMNS, rows)
    return [known.get(key) or fresh[key] for key in keys]


def _obligation_keys(lines: Sequence[tuple[SourceTransfer, WrittenLine]]) -> list[tuple[str, int, int]]:
    """Return (creditor, cents, n) of each line: equal payments are told apart by n, in the order of their texts."""
    order = sorted(range(len(lines)), key=lambda index: (lines[index][0].remittance_text, lines[index][0].position))
    seen: dict[tuple[str, int], int] = {}
    keys: dict[int, tuple[str, int, int]] = {}
    for index in order:
        transfer, written = lines[index]
        pair = (written.creditor, transfer.amount_cents or 0)
        seen[pair] = seen.get(pair, 0) + 1
        keys[index] = (*pair, seen[pair])
    return [keys[index] for index in range(len(lines))]


def _pending_batch(session: Session, run_id: UUID) -> PaymentBatch | None:
    return session.exec(
        select(PaymentBatch)
        .where(PaymentBatch.run_id == run_id, PaymentBatch.status == BatchStatus.PENDING)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()


def _make_batch(ctx: Context, session: Session, setting: _Setting, lines: Sequence[_Line]) -> ReadingOutcome:
    """Make a batch of the lines that no batch of this run has yet; after an approval those wait for people."""
    run = setting.run
    earlier = session.exec(select(PaymentBatch.id, PaymentBatch.status).where(PaymentBatch.run_id == run.id)).all()
    with_file = [identifier for identifier, status in earlier if status not in ENDED_WITHOUT_FILE]
    if earlier and not with_file and not setting.reading.offer_again:
        return ReadingOutcome.UNCHANGED
    # Lines of a batch that ended without a file come back only when a person offers them again.
    in_batches = with_file if setting.reading.offer_again else [identifier for identifier, _ in earlier]
    taken = _obligations_in(session, in_batches) | claims.held(session, [line.obligation_id for line in lines])
    fresh = [line for line in lines if line.obligation_id not in taken]
    if with_file:
        _compare_with_approved(ctx, session, run, {line.obligation_id for line in lines})
    if not fresh:
        return ReadingOutcome.UNCHANGED
    waiting = _holds(session, run, fresh)
    batch = _new_batch(ctx, session, setting)
    session.add(batch)
    session.flush()
    _insert_lines(ctx, session, batch, fresh, waiting, first_position=1)
    for name, value in revising.compute(ctx, session, batch).items():
        setattr(batch, name, value)
    session.add(batch)
    session.flush()
    tell(
        session,
        batch,
        event="batch.made",
        actor=setting.reading.actor,
        now=ctx.now(),
        details={"run_id": str(run.id), "lines": len(fresh), "after_approval": bool(with_file)},
    )
    guarding.hold_many_changes(ctx, session, batch)
    return ReadingOutcome.BATCH_MADE


def _compare_with_approved(ctx: Context, session: Session, run: PayrollRun, present: set[UUID]) -> None:
    """Bar the hand-out of an approved batch that pays what the source no longer lists; note equality otherwise."""
    approved = session.exec(
        select(PaymentBatch).where(PaymentBatch.run_id == run.id, PaymentBatch.status == BatchStatus.APPROVED)
    ).all()
    for batch in approved:
        paid = session.exec(
            select(CreditTransfer.obligation_id).where(
                CreditTransfer.batch_id == batch.id, CreditTransfer.status == TransferStatus.IN_FILE
            )
        )
        gone = len(set(paid) - present)
        if gone == 0:
            batch.source_equal_at = ctx.now()
            session.add(batch)
        elif not holds.active(session, scope=HoldScope.BATCH, target_id=batch.id, code="source_changed"):
            reason = (
                f"{gone} lines of this batch are no longer in the run at the source. Recall the approval and look at "
                "the batch again; when the file may be at the bank already, stop it there."
            )
            holds.place(ctx, session, batch, code="source_changed", reason=reason)


def _obligations_in(session: Session, batch_ids: Sequence[UUID]) -> set[UUID]:
    return set(
        session.exec(select(CreditTransfer.obligation_id).where(any_of(col(CreditTransfer.batch_id), batch_ids)))
    )


def _holds(session: Session, run: PayrollRun, lines: Sequence[_Line]) -> dict[UUID, str]:
    """Return why lines must wait for a person, by obligation."""
    codes: dict[UUID, set[str | None]] = {}
    for obligation_id, code in session.exec(
        select(CreditTransfer.obligation_id, CreditTransfer.hold_code)
        .join(PaymentBatch, col(PaymentBatch.id) == col(CreditTransfer.batch_id))
        .where(PaymentBatch.run_id == run.id)
    ):
        codes.setdefault(obligation_id, set()).add(code)
    any_claim, is_paying = _has_claims(session, run.id), _is_paying(session, run.id)
    elsewhere = revising.claimed_in_period(session, run, [line.written.creditor for line in lines])
    waiting: dict[UUID, str] = {}
    for line in lines:
        seen = codes.get(line.obligation_id)
        # A line that waited still does as long as the run pays anybody: neither ending its batch and offering the run
        # again, nor taking it out at the source and putting it back, frees it. A recall does: nothing was paid then.
        still_waits = seen is not None and seen <= {RUN_CHANGED, GONE} and is_paying
        if (seen is None and any_claim) or still_waits:
            waiting[line.obligation_id] = RUN_CHANGED
        elif (line.written.creditor, line.transfer.amount_cents or 0) in elsewhere:
            waiting[line.obligation_id] = "possibly_already_paid"
    return waiting


def _has_claims(session: Session, run_id: UUID, *which: sa.ColumnElement[bool]) -> bool:
    statement = select(Obligation.id).where(
        Obligation.run_id == run_id, sa.exists().where(col(Claim.obligation_id) == col(Obligation.id), *which)
    )
    return session.exec(statement.limit(1)).first() is not None


def _is_paying(session: Session, run_id: UUID) -> bool:
    """Say whether lines of a run are being paid, were paid, or were in a file that left the house."""
    held = sa.or_(col(Claim.state).in_(claims.HELD_STATES), col(Claim.was_handed_out))
    return _has_claims(session, run_id, held)


def _new_batch(ctx: Context, session: Session, setting: _Setting) -> PaymentBatch:
    now = ctx.now()
    link = setting.link
    return PaymentBatch(
        id=ctx.new_id(),
        employer_id=link.employer_id,
        administration_id=link.administration_id,
        run_id=setting.run.id,
        reading_id=setting.reading.row.id,
        debtor_account_id=link.debtor_account_id,
        mode=link.mode,
        status=BatchStatus.PENDING,
        revision=1,
        digest="",
        requested_execution_date=_execution_date(ctx, session, setting),
        number_of_transactions=0,
        control_sum_cents=0,
        source_equal_at=now,
        created_at=now,
        updated_at=now,
    )


def _execution_date(ctx: Context, session: Session, setting: _Setting) -> date:
    """An upload proposes the date of its own file when that is possible; else the pay-day rule decides."""
    account = session.get_one(DebtorAccount, setting.link.debtor_account_id)
    profile = bank_profiles.profile_for(account.iban)
    now = ctx.now()
    if setting.run.source_kind == "upload":
        dates = {block.requested_execution_date for block in setting.reading.document.instructions}
        proposed = next(iter(dates)) if len(dates) == 1 else None
        if proposed is not None and calendar.date_problem(proposed, now=now, profile=profile) is None:
            return proposed
    return default_execution_date(ctx, setting.run, setting.link, account)


def default_execution_date(ctx: Context, run: PayrollRun, link: AdministrationLink, account: DebtorAccount) -> date:
    """Return the execution date that the pay-day rule gives for this run, or the first possible day after it."""
    return calendar.default_execution_date(
        calendar.parse_pay_day_rule(link.pay_day_rule),
        now=ctx.now(),
        run_year=run.year,
        period_start=run.period_start,
        period_end=run.period_end,
        frequency=run.frequency,
        profile=bank_profiles.profile_for(account.iban),
    ).date


_TRANSFER_COLUMNS = (
    *("id", "batch_id", "obligation_id", "position", "status", "decision", "hold_code", "attempt", "end_to_end_id"),
    *("amount_cents", "currency", "kind", "creditor_name", "creditor_name_original", "creditor_iban", "creditor_bic"),
    *("remittance_kind", "remittance_text", "remittance_text_original", "reference_type", "reference_issuer"),
    *("source_end_to_end_id", "source_debtor_iban", "source_creditor_bic", "source_execution_date"),
)


def _insert_lines(
    ctx: Context,
    session: Session,
    batch: PaymentBatch,
    lines: Sequence[_Line],
    waiting: Mapping[UUID, str],
    *,
    first_position: int,
) -> None:
    attempts = claims.next_attempts(session, [line.obligation_id for line in lines])
    rows = (
        _transfer_values(ctx, batch, line, waiting.get(line.obligation_id), attempts[line.obligation_id])
        for line in lines
    )
    numbered = ({**row, "position": position} for position, row in enumerate(rows, start=first_position))
    copy_rows(
        session, "credit_transfer", _TRANSFER_COLUMNS, ([row[name] for name in _TRANSFER_COLUMNS] for row in numbered)
    )


def _transfer_values(
    ctx: Context, batch: PaymentBatch, line: _Line, hold_code: str | None, attempt: int
) -> dict[str, Any]:
    """Return a line as `revising` will leave it unless it finds an error, so that it has nothing to write anew."""
    cents = line.transfer.amount_cents or 0
    # A line of nothing or less is never payable, not even until it is judged: the table itself refuses that.
    pays = TransferStatus.PAYABLE if cents > 0 else TransferStatus.INVALID
    return {
        "id": ctx.new_id(),
        "batch_id": batch.id,
        "obligation_id": line.obligation_id,
        "status": TransferStatus.HELD if hold_code else pays,
        "decision": Decision.HOLD if hold_code else Decision.PAY,
        "hold_code": hold_code,
        "attempt": attempt,
        "end_to_end_id": identifiers.end_to_end_id(ctx.identifier_secret, line.obligation_id, attempt),
        "amount_cents": cents,
        **_source_values(line),
    }


def _source_values(line: _Line) -> dict[str, Any]:
    """The columns that a new reading may change on a line of the same obligation."""
    written, transfer = line.written, line.transfer
    return {
        "kind": written.kind,
        "currency": transfer.currency,
        "creditor_name": written.creditor_name,
        "creditor_name_original": transfer.creditor_name,
        "creditor_iban": written.creditor_iban,
        "creditor_bic": written.creditor_bic,
        "remittance_kind": written.remittance_kind,
        "remittance_text": written.remittance_text,
        "remittance_text_original": transfer.remittance_text,
        "reference_type": written.reference_type,
        "reference_issuer": written.reference_issuer,
        "source_end_to_end_id": transfer.end_to_end_id,
        "source_debtor_iban": line.debtor_iban,
        "source_creditor_bic": transfer.creditor_bic,
        "source_execution_date": line.execution_date,
    }


def rewrite_text(row: CreditTransfer) -> None:
    """Write the remittance text of a line anew by the rules of its kind, from what the source gave."""
    if row.remittance_kind == RemittanceKind.STRUCTURED:
        return
    text = rules.written_text(row.remittance_text_original, TransferKind(row.kind))
    row.remittance_text = text
    row.remittance_kind = RemittanceKind.UNSTRUCTURED if text else RemittanceKind.NONE


def _revise_pending(
    ctx: Context, session: Session, batch: PaymentBatch, lines: Sequence[_Line], reading: Reading
) -> ReadingOutcome:
    """Bring a pending batch in line with a new reading; unchanged lines keep date, account, decisions and consent."""
    before = {row.obligation_id: row for row in revising.transfers_of(session, batch.id)}
    others = [
        identifier
        for identifier, status in session.exec(
            select(PaymentBatch.id, PaymentBatch.status).where(
                PaymentBatch.run_id == batch.run_id, PaymentBatch.id != batch.id
            )
        )
        if status not in ENDED_WITHOUT_FILE or batch.kind == BatchKind.FOLLOW_UP
    ]
    taken = _obligations_in(session, others) | claims.held(session, [line.obligation_id for line in lines])
    mine = [line for line in lines if line.obligation_id in before or line.obligation_id not in taken]
    run = session.get_one(PayrollRun, batch.run_id)
    back = [line for line in mine if line.obligation_id in before and before[line.obligation_id].hold_code == GONE]
    waits = _holds(session, run, back)
    changed = [
        line
        for line in mine
        if line.obligation_id in before
        and _update(before[line.obligation_id], line, waits=waits.get(line.obligation_id))
    ]
    added = [line for line in mine if line.obligation_id not in before]
    gone = _mark_gone(before, {line.obligation_id for line in mine})
    session.execute(
        sa.update(PaymentBatch)
        .where(col(PaymentBatch.id) == batch.id)
        .values(source_equal_at=ctx.now(), reading_id=reading.row.id)
    )
    session.refresh(batch)
    if not (changed or added or gone):
        return ReadingOutcome.UNCHANGED
    session.add_all(before.values())
    session.flush()
    if added:
        waiting = _holds(session, run, added)
        last = max(row.position for row in before.values())
        _insert_lines(ctx, session, batch, added, waiting, first_position=last + 1)
    details = {"changed": len(changed), "added": len(added), "gone": gone}
    revising.revise(
        ctx,
        session,
        batch,
        revising.Change(event="batch.read_again", actor=reading.actor, values={}, details=details),
    )
    return ReadingOutcome.BATCH_REVISED


def _update(row: CreditTransfer, line: _Line, *, waits: str | None) -> bool:
    """Write what the source says now on a line; a kind that a person chose stays. Say whether it differed.

    `waits` is why a line that is back must wait for people.
    """
    values = _source_values(line)
    if row.hold_code == GONE:
        values |= {"hold_code": waits, "decision": Decision.HOLD if waits else Decision.PAY}
    values = {name: value for name, value in values.items() if getattr(row, name) != value}
    for name, value in values.items():
        setattr(row, name, value)
    # Ids and dates of the document are not what is paid: another one makes no new revision.
    return bool(values.keys() - {"source_end_to_end_id", "source_execution_date"})


def _follow_left_lines(session: Session, run_id: UUID, present: Sequence[UUID]) -> None:
    """Lines that earlier batches left unpaid are owed as long as the source lists them, and no longer."""
    left = (
        sa.update(CreditTransfer)
        .where(
            col(CreditTransfer.batch_id) == col(PaymentBatch.id),
            col(PaymentBatch.run_id) == run_id,
            col(PaymentBatch.status) != BatchStatus.PENDING,
            col(CreditTransfer.status).in_((TransferStatus.INVALID, TransferStatus.HELD, TransferStatus.EXCLUDED)),
        )
        .execution_options(synchronize_session=False)
    )
    is_there = any_of(col(CreditTransfer.obligation_id), present)
    back = RUN_CHANGED if _is_paying(session, run_id) else None
    session.execute(left.where(is_there, col(CreditTransfer.hold_code) == GONE).values(hold_code=back))
    session.execute(
        left.where(~is_there, sa.func.coalesce(col(CreditTransfer.hold_code), "") != GONE).values(hold_code=GONE)
    )
    session.expire_all()


def _mark_gone(before: Mapping[UUID, CreditTransfer], present: set[UUID]) -> int:
    gone = [
        row for identifier, row in before.items() if identifier not in present and row.hold_code not in _STAYS_AS_IT_IS
    ]
    for row in gone:
        row.hold_code, row.decision = GONE, Decision.EXCLUDE
    return len(gone)


def tell_run(
    ctx: Context,
    session: Session,
    run: PayrollRun,
    event: str,
    details: Mapping[str, Any],
    actor: HistoryActor = SYSTEM,
) -> None:
    """Record something about a run in its employer's history."""
    history.record(
        session,
        Fact(
            organization_id=run.employer_id,
            event=event,
            actor=actor,
            occurred_at=ctx.now(),
            administration_id=run.administration_id,
            details={"run_id": str(run.id), "run_number": run.number, "year": run.year, **details},
        ),
    )
