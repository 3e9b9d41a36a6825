"""A payment file that a payroll package exported, uploaded by hand: the same way from here on as a fetched one."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlmodel import Session, col, select

from app.auth.actor import Actor
from app.auth.models import Role
from app.core.clock import amsterdam_date
from app.core.database import transaction
from app.core.errors import Conflict, Invalid
from app.payments import comparing_files, fetching, making, near_runs, receiving
from app.payments import reading as documents
from app.payments.connections import UPLOAD, visible_administration
from app.payments.context import Context
from app.payments.errors import UnreadableDocument
from app.payments.locks import lock_administration
from app.payments.models import (
    AdministrationLink,
    BatchStatus,
    Connection,
    PaymentBatch,
    PayrollRun,
    RunIdentity,
    RunState,
)
from app.payments.ports import SourceBatch, SourceRun
from app.payments.retention import Erased
from app.payments.totals import content_key, totals_problems


class DocumentUnreadable(Invalid):
    """The bytes are no payroll SEPA file."""

    code = "document_unreadable"
    title = "The file cannot be read"


class TotalsDiffer(Invalid):
    """The totals in the document do not add up; nothing was made of it."""

    code = "totals_differ"
    title = "The totals do not add up"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunName:
    """How the uploader names the run; what is not given follows from the document."""

    year: int | None = None
    period: int | None = None
    run_number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """What an upload led to: the run, and whether it was there already with the same content."""

    run_id: UUID
    is_new: bool


def upload(ctx: Context, actor: Actor, administration_id: UUID, data: bytes, name: RunName) -> Uploaded:
    """Take an uploaded document in. The same content again gives the existing run; nothing is stored of a bad one."""
    with transaction(ctx.engine) as session:
        _may_upload(session, actor, administration_id)
    run, is_new = _run_of(ctx, administration_id, data, name)
    reading_id = fetching.store_raw(ctx, run.id, data, payment_date=None, extras={})
    with transaction(ctx.engine) as session:
        reading = fetching.open_reading(ctx, session, run.id, reading_id, actor=actor.as_history())
        receiving.take_in(ctx, session, run.id, reading)
    return Uploaded(run_id=run.id, is_new=is_new)


def _run_of(ctx: Context, administration_id: UUID, data: bytes, name: RunName) -> tuple[PayrollRun, bool]:
    """Return the run that the document is of, and whether it is new; the document itself is let go."""
    document = _read(data)
    with transaction(ctx.engine) as session:
        _refuse_own_file(session, administration_id, document)
        return _find_or_make_run(ctx, session, administration_id, document, name)


def _may_upload(session: Session, actor: Actor, administration_id: UUID) -> None:
    administration = visible_administration(session, actor, administration_id)
    connection = session.get_one(Connection, administration.connection_id)
    link = session.get(AdministrationLink, administration_id)
    if link is None:
        raise Conflict("Link the administration to an employer and an account first.")
    if link.employer_id not in actor.readable_employers:
        raise Conflict("The employer does not let your office work for it (any more); it grants a mandate first.")
    if connection.kind != UPLOAD and not link.uploads_allowed:
        raise Conflict(
            "This administration is read from its payroll package; uploading beside it is off. The employer can allow "
            "it in the link of the administration (uploads_allowed)."
        )
    if connection.organization_id in actor.organizations:
        actor.needs_membership_role(connection.organization_id, Role.ADMIN, Role.PREPARER)
    else:
        actor.needs_employer_role(link.employer_id, Role.ADMIN, "office_admin", "office_preparer")


class RunNotPayable(Conflict):
    """The upload is of a run that is known and is not payable."""

    code = "run_not_payable"
    title = "This run is not payable"


class OwnFile(Conflict):
    """The file is one that was made here, not one that a payroll package exported."""

    code = "own_file"
    title = "This file was made here"


def _refuse_own_file(session: Session, administration_id: UUID, document: SourceBatch) -> None:
    """A payment file of ours, uploaded as if it were a payroll run, would pay everybody in it once more."""
    link = session.get_one(AdministrationLink, administration_id)
    found = comparing_files.stored_as(session, document.message_id, frozenset({link.employer_id}))
    batch_id = comparing_files.batch_with_our_ids(session, link.employer_id, document) if found is None else found[1].id
    if batch_id is not None:
        raise OwnFile(
            f"This is the payment file of batch {batch_id}, made here. Upload what the payroll package exported. To "
            "see whether this file is still as it was stored, send it to POST /v1/payment-files/comparison.",
            extra={"payment_batch_id": str(batch_id)},
        )


def _read(data: bytes) -> SourceBatch:
    try:
        document = documents.read_document(data)
    except UnreadableDocument as fault:
        raise DocumentUnreadable(fault.explanation, extra={"reason": fault.code}) from fault
    problems = totals_problems(document)
    if problems:
        raise TotalsDiffer(
            "The own totals of the file do not add up, so nothing was made of it. Do not take it to the bank either: "
            "export it again, or ask the payroll office.",
            errors=problems,
        )
    if not document.transfers:
        raise DocumentUnreadable("The file holds no payments.", extra={"reason": "no_payments"})
    return document


def _find_or_make_run(
    ctx: Context, session: Session, administration_id: UUID, document: SourceBatch, name: RunName
) -> tuple[PayrollRun, bool]:
    lock_administration(session, administration_id)
    key = content_key(document, year=name.year, period=name.period, run_number=name.run_number)
    identity = session.get(RunIdentity, (administration_id, UPLOAD, key))
    if identity is not None:
        return _kept(session.get_one(PayrollRun, identity.run_id)), False
    link = session.get_one(AdministrationLink, administration_id)
    known = _same_run(session, administration_id, name)
    if known is not None:
        _kept(known)
        # The same run under another name: its lines stay the same obligations, and cannot be paid twice.
        _name(ctx, session, administration_id, key, known)
        return known, False
    seen = _as_run(ctx, session, administration_id, document, name)
    run = fetching.new_run(ctx, link, seen, source_kind=UPLOAD, discovered_by="upload")
    if fetching.is_of_erased_period(session, run):
        raise Erased(fetching.PERIOD_ERASED)
    session.add(run)
    session.flush()
    _name(ctx, session, administration_id, key, run)
    if not key.startswith(near_runs.OF_A_RUN) and name.year is not None and name.period is not None:
        # Its lines are what it is known again by; that its period was given, and not guessed, is known by this name.
        _name(ctx, session, administration_id, f"{near_runs.OF_A_PERIOD}{name.year}-{name.period}-{key}", run)
    receiving.tell_run(ctx, session, run, "run.seen", {"state": run.state, "discovered_by": "upload"})
    return run, True


def _kept(run: PayrollRun) -> PayrollRun:
    if run.state == RunState.ERASED:
        raise Erased("This run was paid long ago and its lines were erased. It cannot be taken in again.")
    if run.state in (RunState.IGNORED, RunState.WITHDRAWN):
        raise RunNotPayable(f"{run.reason} An upload does not change that.", extra={"reason": run.reason_code})
    return run


def _same_run(session: Session, administration_id: UUID, name: RunName) -> PayrollRun | None:
    """Return the run with this year, period and number, when all three are given and it is known already."""
    if name.year is None or name.period is None or name.run_number is None:
        return None
    statement = select(PayrollRun).where(
        PayrollRun.administration_id == administration_id,
        PayrollRun.year == name.year,
        PayrollRun.period_start == name.period,
        PayrollRun.number == name.run_number,
    )
    return session.exec(statement.order_by(col(PayrollRun.first_seen_at))).first()


def _name(ctx: Context, session: Session, administration_id: UUID, key: str, run: PayrollRun) -> None:
    session.add(
        RunIdentity(
            administration_id=administration_id,
            source_kind=UPLOAD,
            external_id=key,
            run_id=run.id,
            last_seen_at=ctx.now(),
        )
    )
    session.flush()


def _as_run(ctx: Context, session: Session, administration_id: UUID, document: SourceBatch, name: RunName) -> SourceRun:
    """Name the run: what was given, else the month of the document's execution date, and the next free number."""
    day = _execution_date(document) or amsterdam_date(ctx.now())
    year, period = name.year or day.year, name.period or day.month
    numbers = session.exec(
        select(PayrollRun.number)
        .where(PayrollRun.administration_id == administration_id, PayrollRun.year == year)
        .order_by(col(PayrollRun.number).desc())
        .limit(1)
    ).first()
    texts = {transfer.remittance_text for transfer in document.transfers}
    described = next(iter(texts)) if len(texts) == 1 else ""
    return SourceRun(
        external_id="",
        number=name.run_number or (numbers or 0) + 1,
        year=year,
        period_start=period,
        period_end=period,
        description=described[:100],
        made_at=ctx.now(),
        is_locked=True,
    )


def _execution_date(document: SourceBatch) -> date | None:
    dates = [block.requested_execution_date for block in document.instructions if block.requested_execution_date]
    return dates[0] if dates else None


def batch_of_run(session: Session, run_id: UUID) -> PaymentBatch | None:
    """Return the newest batch of a run that is not ended, else the newest."""
    rows = session.exec(
        select(PaymentBatch).where(PaymentBatch.run_id == run_id).order_by(col(PaymentBatch.created_at).desc())
    ).all()
    live = [row for row in rows if row.status not in making.ENDED_WITHOUT_FILE]
    pending = [row for row in live if row.status == BatchStatus.PENDING]
    return next(iter([*pending, *live, *rows]), None)
