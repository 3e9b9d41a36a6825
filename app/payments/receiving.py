"""Taking a reading of a run in: obligations, lines, findings and batch, under the administration's lock.

The same for every source. A reading may be taken in twice, by two workers, or again weeks later: unique constraints and
the lock make that harmless, and nothing that was approved changes.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlmodel import Session, select

from app.core import history
from app.core.history import SYSTEM, Fact, HistoryActor
from app.payments import making, obligations, rereading, revising
from app.payments.context import Context
from app.payments.locks import lock_accounts, lock_administration
from app.payments.making import NewBatch, Setting
from app.payments.models import AdministrationLink, BatchStatus, PaymentBatch, PayrollRun, RunState
from app.payments.readings import Reading, ReadingOutcome, leave_out
from app.payments.retention import Erased
from app.payments.totals import lines_hash, totals_problems
from app.payments.waiting import follow_left_lines, unlisted


def take_in(ctx: Context, session: Session, run_id: UUID, reading: Reading) -> ReadingOutcome:
    """Take a reading of a run in and return what became of it. Repeating it changes nothing.

    A document whose totals do not add up makes the run `doubtful` and no batch, and never touches a pending one.
    """
    run = session.get_one(PayrollRun, run_id)
    lock_administration(session, run.administration_id)
    session.refresh(run)
    if run.state == RunState.ERASED:
        raise Erased("The lines of this run were erased after their term. It cannot be taken in again.")
    if run.state in (RunState.IGNORED, RunState.WITHDRAWN):
        # It was made unpayable while its document was on its way.
        leave_out(session, reading)
        return ReadingOutcome.LATE
    link = session.get_one(AdministrationLink, run.administration_id)
    _stamp(reading)
    session.add(reading.row)
    problems = totals_problems(reading.document)
    if problems:
        return _doubtful(ctx, session, run, reading, [problem.message for problem in problems])
    if not reading.document.transfers:
        return _empty(ctx, session, run, reading)
    lock_accounts(session, {link.debtor_account_id})
    written = _write_lines(ctx, session, Setting(run, link, reading))
    # From here on the rows say everything: two hundred megabytes less beside those of a large run.
    reading.let_go()
    return _judge(ctx, session, written, reading)


_Written = NewBatch | tuple[PaymentBatch, Mapping[str, int]] | None


def _write_lines(ctx: Context, session: Session, setting: Setting) -> _Written:
    """Write the lines of a document in a new batch or in the pending one; None when nothing differs."""
    run, row = setting.run, setting.reading.row
    lines = obligations.owed_lines(ctx, session, run, setting.reading.document, reading_id=row.id)
    was_ever_taken_in = run.reading_id is not None  # a run that was withdrawn since is being fetched, and has lines
    run.state, run.reason_code, run.reason, run.operation = RunState.FETCHED, None, None, None
    run.next_attempt_at, run.reading_id = None, row.id
    present = [line.obligation_id for line in lines]
    run.unlisted = unlisted(session, run.id, present) if was_ever_taken_in else []
    session.add(run)
    session.flush()
    if was_ever_taken_in:
        follow_left_lines(session, run.id, present)
        making.compare_with_approved(ctx, session, run, lines)
    pending = _pending_batch(session, run.id)
    if pending is None:
        return making.write_batch(ctx, session, setting, lines)
    details = rereading.rewrite_batch(ctx, session, pending, setting, lines)
    return None if details is None else (pending, details)


def _judge(ctx: Context, session: Session, written: _Written, reading: Reading) -> ReadingOutcome:
    if written is None:
        return ReadingOutcome.UNCHANGED
    if isinstance(written, NewBatch):
        making.judge_batch(ctx, session, written, reading)
        return ReadingOutcome.BATCH_MADE
    batch, details = written
    change = revising.Change(event="batch.read_again", actor=reading.actor, values={}, details=details)
    revising.revise(ctx, session, batch, change)
    return ReadingOutcome.BATCH_REVISED


def _stamp(reading: Reading) -> None:
    blocks = reading.document.instructions
    # A block that names none says nothing of what the others pay from, or when.
    accounts = (block.debtor_iban for block in blocks if block.debtor_iban)
    days = (block.requested_execution_date for block in blocks if block.requested_execution_date)
    reading.row.outcome = "read"
    reading.row.lines_hash = lines_hash(reading.document)
    reading.row.extras = {
        **reading.extras,
        "schema": reading.document.schema,
        "source_debtor_iban": next(accounts, None),
        "source_execution_date": next((day.isoformat() for day in days), None),
    }


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
    making.compare_with_approved(ctx, session, run, [])
    if run.state != RunState.FETCHED:
        run.state, run.reason_code = RunState.EMPTY, "no_payments"
        run.reason = "The payment document of this run holds no payments."
        run.next_attempt_at = None
        session.add(run)
    tell_run(ctx, session, run, "run.empty", {}, reading.actor)
    return ReadingOutcome.EMPTY


def _pending_batch(session: Session, run_id: UUID) -> PaymentBatch | None:
    return session.exec(
        select(PaymentBatch)
        .where(PaymentBatch.run_id == run_id, PaymentBatch.status == BatchStatus.PENDING)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()


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
