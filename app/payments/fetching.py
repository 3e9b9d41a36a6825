"""Asking payroll sources: which runs there are, and what to pay for one of them.

No transaction is open while the network is used. What a source answers is committed raw, sealed and hashed, before
anybody parses it. Every function may run twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Any, cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import defer as leave_out
from sqlmodel import Session, col, select

from app.core.clock import amsterdam_date
from app.core.copying import large_value
from app.core.crypto import Place
from app.core.database import transaction
from app.core.history import SYSTEM, HistoryActor
from app.jobs.deferring import defer
from app.payments import making, readings, receiving, rules, withdrawing
from app.payments import reading as documents
from app.payments.connections import open_source
from app.payments.context import Context
from app.payments.errors import FaultKind, SourceFault, UnreadableDocument
from app.payments.locks import lock_administration
from app.payments.models import (
    Administration,
    AdministrationLink,
    BatchStatus,
    Connection,
    ConnectionState,
    DebtorAccount,
    Obligation,
    PaymentBatch,
    PayrollRun,
    RunIdentity,
    RunState,
    SourceReading,
    TransferKind,
)
from app.payments.ports import PayrollSource, SourceRun
from app.payments.readings import Reading, ReadingOutcome
from app.payments.receiving import tell_run
from app.payments.retention import Erased

FETCH_RUN = "fetch_run"
# The document of a run may come later than the run itself; a fault that time ends is retried the same way.
RETRY_SECONDS = (30, 120, 600, 3600)
PERIOD_ERASED = (
    "This period was paid long ago and its lines were erased, so nobody can see whether this pays somebody twice. "
    "It is not payable here."
)
_NOT_FETCHED = (RunState.IGNORED, RunState.WITHDRAWN, RunState.ERASED)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """What to ask the source about one run, with everything needed to ask it.

    `known` are the readings of the run that had been taken in when it was asked.
    """

    run: PayrollRun
    known: frozenset[UUID]
    external_id: str
    administration: str
    payment_date: date
    source: PayrollSource


def defer_fetch(session: Session, run_id: UUID, *, not_before: datetime | None = None) -> None:
    """Have a run fetched by a worker; once, however often this is called before it starts."""
    defer(session, FETCH_RUN, {"run_id": str(run_id)}, queueing_lock=f"fetch:{run_id}", not_before=not_before)


def fetch_run(ctx: Context, run_id: UUID) -> ReadingOutcome | None:
    """Fetch the payments of a run and take them in; what fails is written on the run, and retried if time helps."""
    question = _question(ctx, run_id)
    if question is None:
        return None
    try:
        reading_id = _ask(ctx, question)
        return None if reading_id is None else _read(ctx, question, reading_id)
    except SourceFault as fault:
        _note_fault(ctx, question, fault)
    except UnreadableDocument as fault:
        _note_unreadable(ctx, question, fault)
    return None


def read_again(ctx: Context, run_id: UUID, *, timeout_seconds: float) -> ReadingOutcome | None:
    """Read a fetched run again now, for an approval; None when there is no document. Faults are the caller's."""
    question = _question(ctx, run_id, timeout_seconds=timeout_seconds)
    if question is None:
        return None
    reading_id = _ask(ctx, question, retry_when_empty=False)
    return None if reading_id is None else _read(ctx, question, reading_id)


def can_be_asked(session: Session, run: PayrollRun) -> bool:
    """Say whether the connection of a run may be asked now."""
    administration = session.get_one(Administration, run.administration_id)
    return usable(session.get_one(Connection, administration.connection_id))


def _question(ctx: Context, run_id: UUID, *, timeout_seconds: float | None = None) -> _Question | None:
    with transaction(ctx.engine) as session:
        run = session.exec(select(PayrollRun).where(PayrollRun.id == run_id).with_for_update()).one_or_none()
        if run is None or run.state in _NOT_FETCHED:
            return None
        administration = session.get_one(Administration, run.administration_id)
        connection = session.get_one(Connection, administration.connection_id)
        link = session.get(AdministrationLink, administration.id)
        # A run that was done again is known by more than one id: the one that was listed last is the one that is there.
        identity = session.exec(
            select(RunIdentity.external_id)
            .where(RunIdentity.run_id == run.id, RunIdentity.source_kind == connection.kind)
            .order_by(col(RunIdentity.last_seen_at).desc())
        ).first()
        if link is None or identity is None or not usable(connection):
            return None
        if run.state != RunState.FETCHED:
            run.state = RunState.FETCHING
        if run.payment_date_asked is None:
            # Sent the same each time, so that two readings of one run can be compared.
            account = session.get_one(DebtorAccount, link.debtor_account_id)
            run.payment_date_asked = making.default_execution_date(ctx, run, link, account)
        session.add(run)
        return _Question(
            run=run,
            known=readings.readings_taken_in(session, run.id),
            external_id=identity,
            administration=administration.external_id,
            payment_date=run.payment_date_asked,
            source=open_source(ctx, connection, timeout_seconds=timeout_seconds),
        )


def usable(connection: Connection) -> bool:
    """Say whether a connection may be asked: only after it passed its check, and while it exists."""
    return connection.deleted_at is None and connection.state == ConnectionState.PASSED and connection.kind != "upload"


def _ask(ctx: Context, question: _Question, *, retry_when_empty: bool = True) -> UUID | None:
    """Fetch the document and commit it raw; None when there is none yet."""
    run = _as_source_run(question)
    answer = question.source.fetch_payments(question.administration, run, payment_date=question.payment_date)
    if not answer.content.strip():
        if retry_when_empty:
            _note_no_document(ctx, question)
        return None
    extras = _extras(question, run)
    return store_raw(ctx, question.run.id, answer.content, payment_date=question.payment_date, extras=extras)


def _as_source_run(question: _Question) -> SourceRun:
    run = question.run
    return SourceRun(
        external_id=question.external_id,
        number=run.number,
        year=run.year,
        period_start=run.period_start,
        period_end=run.period_end,
        description=run.description,
        made_at=run.made_at,
        is_locked=bool(run.is_locked),
        frequency=run.frequency,
    )


def _extras(question: _Question, run: SourceRun) -> dict[str, Any]:
    """Ask who is in the run and which account the source pays from. Not knowing is shown, and stops nothing."""
    extras: dict[str, Any] = {}
    try:
        people = question.source.run_employees(question.administration, run)
        extras["people_in_run"] = None if people is None else len(people)
    except SourceFault as fault:
        extras["people_fault"] = fault.code
    try:
        account = question.source.debtor_account(question.administration)
        extras["company_iban"] = None if account is None else account.iban
    except SourceFault as fault:
        extras["company_fault"] = fault.code
    return extras


def store_raw(ctx: Context, run_id: UUID, content: bytes, *, payment_date: date | None, extras: dict[str, Any]) -> UUID:
    """Commit what a source answered, sealed and hashed, before it is parsed; return the reading's id."""
    with transaction(ctx.engine) as session:
        run = session.get_one(PayrollRun, run_id)
        identifier = ctx.new_id()
        session.add(
            SourceReading(
                id=identifier,
                run_id=run_id,
                fetched_at=ctx.now(),
                payment_date_asked=payment_date,
                raw_sealed=ctx.keyring.seal(content, reading_place(run.employer_id, identifier)),
                raw_sha256=sha256(content).hexdigest(),
                size_bytes=len(content),
                extras=extras,
            )
        )
        return identifier


def reading_place(employer_id: UUID, reading_id: UUID) -> Place:
    """Return where a raw reading lives, as its seal binds it."""
    return Place(tenant=employer_id, column="source_reading.raw", row=reading_id)


def _read(ctx: Context, question: _Question, reading_id: UUID) -> ReadingOutcome:
    """Take the answer in, unless another that differs was taken in since the question.

    Nobody knows which of the two is newer: that of a worker that stood still may be of an hour ago. It is kept, and the
    run is asked again.
    """
    run_id = question.run.id
    with transaction(ctx.engine) as session:
        reading = open_reading(ctx, session, run_id, reading_id)
        lock_administration(session, question.run.administration_id)
        if readings.is_contradicted(session, run_id, reading, known=question.known):
            readings.leave_out(session, reading)
            defer_fetch(session, run_id)
            return ReadingOutcome.LATE
        return receiving.take_in(ctx, session, run_id, reading)


def open_reading(
    ctx: Context,
    session: Session,
    run_id: UUID,
    reading_id: UUID,
    *,
    actor: HistoryActor = SYSTEM,
    offer_again: bool = False,
) -> Reading:
    """Return a stored reading, parsed; `UnreadableDocument` when it is no payroll SEPA file."""
    without_bytes = leave_out(cast("Any", SourceReading.raw_sealed))
    row = session.get_one(SourceReading, reading_id, options=[without_bytes])
    if row.erased_at is not None:
        raise Erased(
            f"What the source said then was erased on {row.erased_at.date().isoformat()}. Fetch the run again."
        )
    run = session.get_one(PayrollRun, run_id)
    document = documents.read_document(_raw(ctx, session, run, reading_id))
    extras = dict(row.extras or {})
    people = extras.get("people_in_run")
    if people is not None:
        payees = {
            (transfer.creditor_name, transfer.creditor_iban)
            for block in document.instructions
            for transfer in block.transfers
            if rules.propose_kind(transfer.creditor_name, block.purpose_of(transfer)) is TransferKind.SALARY
        }
        extras["people_missing"] = max(0, people - len(payees))
    return Reading(row=row, document=document, extras=extras, actor=actor, offer_again=offer_again)


def _raw(ctx: Context, session: Session, run: PayrollRun, reading_id: UUID) -> bytes:
    sealed = large_value(session, "source_reading", "raw_sealed", reading_id)
    return ctx.keyring.open(sealed, reading_place(run.employer_id, reading_id))


def _note_no_document(ctx: Context, question: _Question) -> None:
    fault = SourceFault(
        kind=FaultKind.WAIT,
        code="document_not_there_yet",
        operation="",
        explanation="The run is there, its payment document is not yet; it is asked for again.",
    )
    _note_fault(ctx, question, fault, final_state=RunState.EMPTY)


def _note_fault(
    ctx: Context, question: _Question, fault: SourceFault, *, final_state: RunState = RunState.FAILED
) -> None:
    """Write what went wrong on the run and in the history; try again by itself when time may help.

    Nothing is written when another reading was taken in since the question: the run is known better by now.
    """
    run_id = question.run.id
    with transaction(ctx.engine) as session:
        run = session.exec(select(PayrollRun).where(PayrollRun.id == run_id).with_for_update()).one()
        if readings.readings_taken_in(session, run_id) - question.known:
            return
        run.attempts += 1
        waits = fault.kind is FaultKind.WAIT and run.attempts <= len(RETRY_SECONDS)
        again_at = ctx.now() + timedelta(seconds=RETRY_SECONDS[run.attempts - 1]) if waits else None
        is_news = run.reason_code != fault.code
        if run.state != RunState.FETCHED:
            run.state = RunState.FETCHING if waits else final_state
            run.reason_code, run.operation = fault.code, fault.operation or None
            run.reason = fault.explanation
        run.next_attempt_at = again_at
        session.add(run)
        if again_at is not None:
            defer_fetch(session, run_id, not_before=again_at)
        if is_news or not waits:
            details = {
                "code": fault.code,
                "operation": fault.operation,
                "explanation": fault.explanation,
                "tried_again_at": again_at.isoformat() if again_at else None,
            }
            tell_run(ctx, session, run, "run.not_fetched", details)


def _note_unreadable(ctx: Context, question: _Question, fault: UnreadableDocument) -> None:
    # Half an answer may be whole next time; a document that stays unreadable needs a person.
    _note_fault(
        ctx,
        question,
        SourceFault(kind=FaultKind.WAIT, code=fault.code, operation="", explanation=fault.explanation),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunList:
    """What a source lists for an administration: its runs of these years, and who is asking because of what."""

    runs: Sequence[SourceRun]
    years: Sequence[int]
    discovered_by: str
    hinted: frozenset[str] = frozenset()


def note_runs(ctx: Context, administration_id: UUID, listed: RunList) -> int:
    """Write down the runs a source lists; have the new ones fetched. Return how many were new.

    A run that a webhook named is read again. A run that is no longer listed is withdrawn once that has lasted.
    """
    new = 0
    with transaction(ctx.engine) as session:
        administration = lock_administration(session, administration_id)
        link = session.get(AdministrationLink, administration_id)
        if link is None:
            return 0
        connection = session.get_one(Connection, administration.connection_id)
        for run in listed.runs:
            # A list of runs does not say how often an administration pays; the list of administrations did.
            run = replace(run, frequency=run.frequency or administration.frequency)  # noqa: PLW2901
            new += _note_run(ctx, session, connection, link, run, listed)
        withdrawing.note_absent(ctx, session, administration_id, connection.kind, listed.runs, listed.years)
    return new


def _note_run(
    ctx: Context,
    session: Session,
    connection: Connection,
    link: AdministrationLink,
    seen: SourceRun,
    listed: RunList,
) -> bool:
    identity = session.get(RunIdentity, (link.administration_id, connection.kind, seen.external_id))
    if identity is not None:
        identity.last_seen_at = ctx.now()
        session.add(identity)
        known = session.get_one(PayrollRun, identity.run_id)
        _update_run(ctx, session, known, seen, read_again=seen.external_id in listed.hinted)
        return False
    before = _done_again(session, connection, link, seen, listed.runs)
    run = before or _add_run(ctx, session, connection, link, seen, listed.discovered_by)
    name = RunIdentity(
        administration_id=link.administration_id,
        source_kind=connection.kind,
        external_id=seen.external_id,
        run_id=run.id,
        last_seen_at=ctx.now(),
    )
    session.add(name)
    session.flush()
    is_new = before is None
    details = {"state": run.state, "discovered_by": listed.discovered_by, "done_again": not is_new}
    tell_run(ctx, session, run, "run.seen", details)
    _update_run(ctx, session, run, seen, read_again=not is_new)
    return is_new


def _add_run(
    ctx: Context,
    session: Session,
    connection: Connection,
    link: AdministrationLink,
    seen: SourceRun,
    discovered_by: str,
) -> PayrollRun:
    run = new_run(ctx, link, seen, source_kind=connection.kind, discovered_by=discovered_by)
    if is_before_go_live(seen, link):
        run.state, run.reason_code = RunState.IGNORED, "before_go_live"
        run.reason = f"The run was made before the go-live date {link.go_live_on.isoformat()} and is not payable."
    elif is_of_erased_period(session, run):
        run.state, run.reason_code, run.reason = RunState.IGNORED, "period_erased", PERIOD_ERASED
    session.add(run)
    session.flush()
    return run


def _done_again(
    session: Session,
    connection: Connection,
    link: AdministrationLink,
    seen: SourceRun,
    listed: Sequence[SourceRun],
) -> PayrollRun | None:
    """Return the run that this one takes the place of: same year, period and number, and no longer listed itself.

    Undone and done again at the source, it comes under a new id. It stays the same run, so that its lines stay the same
    obligations and cannot be paid twice. Two runs that are listed side by side are two runs, whatever their numbers.
    """
    candidates = session.exec(
        select(PayrollRun).where(
            PayrollRun.administration_id == link.administration_id,
            PayrollRun.year == seen.year,
            PayrollRun.period_start == seen.period_start,
            PayrollRun.number == seen.number,
        )
    )
    present = {run.external_id for run in listed}
    for run in candidates:
        names = session.exec(
            select(RunIdentity.external_id).where(
                RunIdentity.run_id == run.id, RunIdentity.source_kind == connection.kind
            )
        ).all()
        if names and not present.intersection(names):
            return run
    return None


def is_before_go_live(seen: SourceRun, link: AdministrationLink) -> bool:
    """Say whether a run was made before the administration went live; a run without a moment counts as new."""
    return seen.made_at is not None and amsterdam_date(seen.made_at) < link.go_live_on


def is_of_erased_period(session: Session, run: PayrollRun) -> bool:
    """Say whether lines of this employer and period were erased: who was paid then can no longer be compared."""
    statement = (
        select(PayrollRun.id)
        .join(Obligation, col(Obligation.run_id) == col(PayrollRun.id))
        .where(
            PayrollRun.employer_id == run.employer_id,
            PayrollRun.year == run.year,
            PayrollRun.period_start == run.period_start,
            PayrollRun.state == RunState.ERASED,
        )
    )
    return session.exec(statement.limit(1)).first() is not None


def new_run(
    ctx: Context, link: AdministrationLink, seen: SourceRun, *, source_kind: str, discovered_by: str
) -> PayrollRun:
    """Return the row of a run that nobody saw before."""
    return PayrollRun(
        id=ctx.new_id(),
        administration_id=link.administration_id,
        employer_id=link.employer_id,
        source_kind=source_kind,
        year=seen.year,
        period_start=seen.period_start,
        period_end=seen.period_end,
        number=seen.number,
        frequency=seen.frequency,
        description=seen.description,
        made_at=seen.made_at,
        is_locked=seen.is_locked,
        state=RunState.SEEN,
        discovered_by=discovered_by,
        first_seen_at=ctx.now(),
    )


def _update_run(ctx: Context, session: Session, run: PayrollRun, seen: SourceRun, *, read_again: bool) -> None:
    """Follow what a source may change on a run; have it fetched again when asked, or when nothing is under way."""
    run.description, run.is_locked, run.absent_since = seen.description, seen.is_locked, None
    if run.state == RunState.WITHDRAWN:
        run.state, run.reason_code, run.reason, run.attempts = RunState.SEEN, None, None, 0
        read_again = True
    session.add(run)
    session.flush()
    overdue = run.next_attempt_at is None or run.next_attempt_at <= ctx.now()
    waits = run.state in (RunState.SEEN, RunState.FETCHING) and overdue
    if waits or (read_again and run.state not in (RunState.IGNORED, RunState.WITHDRAWN)):
        defer_fetch(session, run.id)


_OPEN = (BatchStatus.PENDING, BatchStatus.APPROVED)
_UNFETCHED = (RunState.SEEN, RunState.FETCHING, RunState.FAILED, RunState.EMPTY, RunState.DOUBTFUL)


def fetch_again(ctx: Context, session: Session, administration_id: UUID, *, actor: HistoryActor) -> Sequence[UUID]:
    """Have every run that was not fetched, or whose batch is not at the bank yet, read again now."""
    still_open = select(PaymentBatch.run_id).where(col(PaymentBatch.status).in_(_OPEN))
    runs = session.exec(
        select(PayrollRun).where(
            PayrollRun.administration_id == administration_id,
            sa.or_(
                col(PayrollRun.state).in_(_UNFETCHED),
                sa.and_(col(PayrollRun.state) == RunState.FETCHED, col(PayrollRun.id).in_(still_open)),
            ),
        )
    ).all()
    for run in runs:
        run.attempts, run.next_attempt_at = 0, None
        if run.state in (RunState.FAILED, RunState.EMPTY, RunState.DOUBTFUL):
            run.state = RunState.SEEN
        session.add(run)
        session.flush()
        _forget_waiting(session, run.id)
        defer_fetch(session, run.id)
        tell_run(ctx, session, run, "run.fetch_asked", {}, actor)
    return [run.id for run in runs]


def _forget_waiting(session: Session, run_id: UUID) -> None:
    """Bring a waiting retry forward: the new job takes its place."""
    session.execute(
        sa.text("UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE queueing_lock = :lock AND status = 'todo'"),
        {"lock": f"fetch:{run_id}"},
    )
