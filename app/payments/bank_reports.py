"""A bank's status report (pain.002) laid upon the stored file it is about.

Every report of a file is kept; what its lines are is computed from all of them: order and repeats do not matter. What
closes a line is applied. What would free one is applied when reports say so that a channel fetched from the bank
itself; an uploaded report is a person's statement, and a second person must say the same.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from app.auth.actor import Actor
from app.auth.models import Proposal
from app.auth.proposals import AnotherProposalOpen, ProposalNotRecorded
from app.core.crypto import Place
from app.core.errors import Invalid
from app.core.history import HistoryActor
from app.payments import claims, holds, progress, statements, two_people
from app.payments.context import Context
from app.payments.errors import NotAllowedNow, UnreadableDocument
from app.payments.guarding import WITHDRAWN_AT_BANK
from app.payments.line_states import NOTHING_HEARD, LineStage, LineState, advance
from app.payments.locks import lock_batch
from app.payments.models import (
    BankStatus,
    BatchStatus,
    CreditTransfer,
    LinkMode,
    PaymentBatch,
    PaymentFile,
    StatusReportRow,
    TransferStatus,
)
from app.payments.reason_codes import ReasonFlag
from app.payments.retention import refuse_erased
from app.payments.statements import Fact, Said, TooEarly
from app.payments.status_report_model import StatusReport
from app.payments.status_reports import read_status_report
from app.payments.status_resolution import DisagreementKind, Resolution
from app.payments.status_resolving import resolve
from app.payments.transitions import Action, authorise, tell_attention
from app.payments.two_people import Wanted

BY_HAND = "upload"
_ASKS_A_PERSON = frozenset({ReasonFlag.POSSIBLE_TWIN})


class NotOurFile(Invalid):
    """The report is about a file that was not made here for this employer."""

    code = "not_our_file"
    title = "The report is not about a file of yours"


class ReportUnreadable(Invalid):
    """The bytes are no status report."""

    code = "report_unreadable"
    title = "The status report cannot be read"


@dataclass(slots=True, kw_only=True)
class Taken:
    """What became of a report: the batch, its lines by what the bank says, and what a person must look at."""

    batch: PaymentBatch
    file: PaymentFile
    is_new: bool
    counts: Mapping[str, int]
    strangers: int
    disagreements: Sequence[str]
    proposal: Proposal | None = None
    waits_because: str | None = None
    contradictions: int = 0
    asks_a_person: int = 0
    details: dict[str, Any] = field(default_factory=dict)


def read(data: bytes) -> StatusReport:
    """Return the report in these bytes; `ReportUnreadable` says why not."""
    try:
        return read_status_report(data)
    except UnreadableDocument as fault:
        raise ReportUnreadable(fault.explanation, extra={"reason": fault.code}) from fault


def take_upload(ctx: Context, session: Session, actor: Actor, data: bytes) -> Taken:
    """Take a report in that a person uploaded."""
    report = read(data)
    file = _file_of(session, report)
    batch = None if file is None else session.get(PaymentBatch, file.batch_id)
    if file is None or batch is None or batch.employer_id not in actor.readable_employers:
        raise NotOurFile("No file with the message id that this report names was made here for an employer of yours.")
    authorise(actor, batch, Action.REPORT)
    arrival = _Arrival(data=data, report=report, channel=BY_HAND, actor=actor.as_history(), person=actor)
    return _take(ctx, session, file, arrival)


def take_from_channel(ctx: Context, session: Session, data: bytes, *, channel: str) -> Taken:
    """Take a report in that a channel fetched from the bank: it frees claims by itself."""
    report = read(data)
    file = _file_of(session, report)
    if file is None:
        raise NotOurFile("No file with this message id was made here.")
    bank = HistoryActor(kind="bank", name=channel)
    return _take(ctx, session, file, _Arrival(data=data, report=report, channel=channel, actor=bank, person=None))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrival:
    data: bytes
    report: StatusReport
    channel: str
    actor: HistoryActor
    person: Actor | None


def _file_of(session: Session, report: StatusReport) -> PaymentFile | None:
    named = (report.original_message_id or "").strip()
    return statements.file_by_message_id(session, named) if named else None


def _take(ctx: Context, session: Session, file: PaymentFile, arrival: _Arrival) -> Taken:
    batch = lock_batch(session, file.batch_id)
    refuse_erased(batch)
    session.refresh(file, with_for_update=True)
    if batch.mode == LinkMode.DRY_RUN or file.handed_out_at is None:
        raise NotAllowedNow("This file never left the house, so no bank can report on it.")
    is_new = _store(ctx, session, batch, file, arrival)
    if file.voided_at is not None:
        return _of_void_file(ctx, session, batch, file, arrival, is_new=is_new)
    rows = _lines(session, file)
    heard = [(channel, _resolve(each, rows, file)) for channel, each in _all_reports(ctx, session, batch, file)]
    states = _states([resolution for _, resolution in heard])
    by_bank = _states([resolution for channel, resolution in heard if channel != BY_HAND])
    mine = _resolve(arrival.report, rows, file)
    unfit = sorted({each.kind.value for each in mine.disagreements})
    picture = _Picture(rows=rows, states=states, by_bank=by_bank, arrival=arrival, disagreements=unfit)
    taken = _follow(ctx, session, batch, file, picture)
    taken.is_new = is_new
    taken.strangers = len(mine.strangers)
    return taken


def _store(ctx: Context, session: Session, batch: PaymentBatch, file: PaymentFile, arrival: _Arrival) -> bool:
    identifier = ctx.new_id()
    values = {
        "id": identifier,
        "employer_id": batch.employer_id,
        "file_id": file.id,
        "raw_sealed": ctx.keyring.seal(arrival.data, report_place(batch.employer_id, identifier)),
        "raw_sha256": sha256(arrival.data).hexdigest(),
        "message_id": (arrival.report.message_id or "")[:100],
        "channel": arrival.channel,
        "uploaded_by": arrival.person.user_id if arrival.person else None,
        "received_at": ctx.now(),
        "outcome": {},
    }
    statement = insert(StatusReportRow).values(values).on_conflict_do_nothing().returning(col(StatusReportRow.id))
    if session.execute(statement).first() is not None:
        return True
    if arrival.person is None:
        _confirm_upload(session, file, values)
    return False


def _confirm_upload(session: Session, file: PaymentFile, values: Mapping[str, Any]) -> None:
    """Note on a report that a person uploaded before that the bank itself gave the same."""
    session.execute(
        sa.update(StatusReportRow)
        .where(
            col(StatusReportRow.file_id) == file.id,
            col(StatusReportRow.raw_sha256) == values["raw_sha256"],
            col(StatusReportRow.channel) == BY_HAND,
        )
        .values(channel=values["channel"])
    )


def report_place(employer_id: UUID, report_id: UUID) -> Place:
    """Return where the bytes of a report live, as their seal binds them."""
    return Place(tenant=employer_id, column="status_report.raw", row=report_id)


def _lines(session: Session, file: PaymentFile) -> list[CreditTransfer]:
    statement = (
        select(CreditTransfer)
        .where(CreditTransfer.batch_id == file.batch_id, CreditTransfer.file_n == file.n)
        .order_by(col(CreditTransfer.position))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return list(session.exec(statement))


def _all_reports(
    ctx: Context, session: Session, batch: PaymentBatch, file: PaymentFile
) -> list[tuple[str, StatusReport]]:
    """Return every report on a file, each with the channel that it came through."""
    rows = session.exec(select(StatusReportRow).where(StatusReportRow.file_id == file.id))
    return [
        (row.channel, read_status_report(ctx.keyring.open(row.raw_sealed, report_place(batch.employer_id, row.id))))
        for row in rows
    ]


def _resolve(report: StatusReport, rows: Sequence[CreditTransfer], file: PaymentFile) -> Resolution:
    instructions: dict[str, list[str]] = {}
    for row in rows:
        instructions.setdefault(row.payment_information_id or "", []).append(row.end_to_end_id)
    amounts = {row.end_to_end_id: row.amount_cents for row in rows}
    accounts = {row.end_to_end_id: row.creditor_iban for row in rows}
    return resolve(report, instructions, message_id=file.message_id, amounts_cents=amounts, accounts=accounts)


def _states(resolved: Sequence[Resolution]) -> dict[str, LineState]:
    states: dict[str, LineState] = {}
    for resolution in resolved:
        for line in resolution.lines:
            state = states.get(line.end_to_end_id, NOTHING_HEARD)
            for statement in line.standing.statements:
                state = advance(state, statement)
            states[line.end_to_end_id] = state
    return states


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """The lines of a file with what all reports say of them, and what those say that channels fetched (`by_bank`)."""

    rows: Sequence[CreditTransfer]
    states: Mapping[str, LineState]
    by_bank: Mapping[str, LineState]
    arrival: _Arrival
    disagreements: Sequence[str]

    def state(self, row: CreditTransfer) -> LineState:
        return self.states.get(row.end_to_end_id, NOTHING_HEARD)

    def is_refused_by_bank(self, row: CreditTransfer) -> bool:
        return self.by_bank.get(row.end_to_end_id, NOTHING_HEARD).stage is LineStage.REJECTED


def _follow(ctx: Context, session: Session, batch: PaymentBatch, file: PaymentFile, picture: _Picture) -> Taken:
    stages = {row.id: picture.state(row).stage for row in picture.rows}
    paid = [row for row in picture.rows if stages[row.id] is LineStage.SETTLED and row.status == TransferStatus.IN_FILE]
    refused = [
        row for row in picture.rows if stages[row.id] is LineStage.REJECTED and row.status == TransferStatus.IN_FILE
    ]
    contradicted = [row for row in picture.rows if _contradicts(row, stages[row.id])]
    fresh = [row.id for row in contradicted if row.bank_status != BankStatus.CONTRADICTION]
    for row in picture.rows:
        _write(ctx, row, picture.state(row))
        if row in paid:
            row.status = TransferStatus.EXECUTED
        session.add(row)
    session.flush()
    for row in contradicted:
        statements.note_contradiction(ctx, session, row, batch, _CONTRADICTION)
    two_people.end_overtaken(ctx, session, batch, fresh, n=file.n)
    claims.spend(session, batch.id, [row.obligation_id for row in paid])
    _write_file(ctx, session, file, picture)
    taken = Taken(
        batch=batch,
        file=file,
        is_new=True,
        counts=dict(Counter(stage.value for stage in stages.values())),
        strangers=0,
        disagreements=picture.disagreements,
        contradictions=len(contradicted),
    )
    details = {"file": file.n, "message_id": file.message_id, "lines": taken.counts, "channel": picture.arrival.channel}
    if contradicted:
        details["contradictions"] = len(contradicted)
    if picture.disagreements:
        details["disagreements"] = list(picture.disagreements)
    progress.settle(ctx, session, batch, event="bank.reported", actor=picture.arrival.actor, details=details)
    if contradicted or not _ANOTHER_FILE.isdisjoint(picture.disagreements):
        _ask_to_look(ctx, session, batch)
    _free(ctx, session, taken, refused, picture)
    return taken


# What a report says of the file that may mean that another one lies at the bank.
_ANOTHER_FILE = frozenset(
    {DisagreementKind.ACCOUNT, DisagreementKind.AMOUNT, DisagreementKind.COUNT, DisagreementKind.SUM}
)


def _ask_to_look(ctx: Context, session: Session, batch: PaymentBatch) -> None:
    """The bank says both, or something else than was handed in: a person finds out what is true."""
    batch.bank_contradicts = True
    session.add(batch)
    session.flush()
    tell_attention(session, batch, ["bank_contradicts"], now=ctx.now())


_CONTRADICTION = (
    "The bank says that a line was executed which was freed before, and this batch pays it again. Find out at the bank "
    "what really happened before anything is signed."
)


def _contradicts(row: CreditTransfer, stage: LineStage) -> bool:
    """Say whether the bank says both, or otherwise than people said here: they freed a line, or closed it as executed.

    A line that somebody called executed and the bank refused is paid to nobody, and stands on no list.
    """
    was_freed = row.status == TransferStatus.REFUSED and stage is LineStage.SETTLED
    was_closed = row.status == TransferStatus.EXECUTED and stage is LineStage.REJECTED
    return stage is LineStage.CONTRADICTION or was_freed or was_closed


def _write(ctx: Context, row: CreditTransfer, state: LineState) -> None:
    check = state.name_check
    row.bank_status = BankStatus(state.stage.value)
    row.name_check = None if check is None else check.code
    row.name_check_proposal = None if check is None else check.proposed_name
    codes = sorted({(reason.code or reason.proprietary or "").strip() for reason in state.reasons} - {""})
    row.bank_reason = ",".join([*codes, *sorted(state.unknown_codes)])[:100] or row.bank_reason
    row.bank_said_at = ctx.now()


def _write_file(ctx: Context, session: Session, file: PaymentFile, picture: _Picture) -> None:
    """Whatever the bank says of a file proves that it has it; it is accepted when every line that it pays is."""
    states = [picture.state(row) for row in picture.rows]
    stages = {state.stage for state in states}
    if stages == {LineStage.NONE}:
        return
    file.delivered_at, file.unknown_since = file.delivered_at or ctx.now(), None
    file.awaits_signature = any(state.awaiting_bank_signature for state in states)
    going = stages - {LineStage.REJECTED}
    if not going:
        file.bank_status = BankStatus.REJECTED
    elif going <= {LineStage.ACCEPTED, LineStage.SETTLED}:
        file.bank_status = BankStatus.SETTLED if going == {LineStage.SETTLED} else BankStatus.ACCEPTED
    elif file.bank_status == BankStatus.NONE:
        file.bank_status = BankStatus.RECEIVED
    session.add(file)
    session.flush()


def _free(ctx: Context, session: Session, taken: Taken, refused: Sequence[CreditTransfer], picture: _Picture) -> None:
    """Free the lines that the bank refused: at once when the bank itself told us, else when a second person agrees.

    What only an uploaded report refuses stays one person's word, whatever a channel brings of other lines.
    """
    asking = [row for row in refused if picture.state(row).flags & _ASKS_A_PERSON]
    plain = [row for row in refused if row not in asking]
    if picture.arrival.person is None:
        plain = [row for row in plain if picture.is_refused_by_bank(row)]
    taken.asks_a_person = len(asking)
    if not plain or taken.batch.status in (BatchStatus.EXECUTED, BatchStatus.REFUSED):
        return
    codes = {row.bank_reason for row in plain}
    said = Said(
        fact=Fact.REFUSED,
        reason="pain.002",
        n=taken.file.n,
        transfer_ids=[row.id for row in plain],
        reason_code=_one_code(plain, picture, codes),
    )
    try:
        if picture.arrival.person is None:
            details = {"by": "channel", "channel": picture.arrival.channel}
            taken.batch = statements.apply(ctx, session, taken.batch.id, said, picture.arrival.actor, details=details)
        else:
            taken.proposal = two_people.act(ctx, session, picture.arrival.person, _wanted(taken.batch, said))
    except (TooEarly, AnotherProposalOpen, ProposalNotRecorded) as waits:
        taken.waits_because = waits.detail


def _one_code(rows: Sequence[CreditTransfer], picture: _Picture, codes: set[str | None]) -> str | None:
    """Return the code that decides when lines may be freed: lack of funds, if any line has it."""
    if any(ReasonFlag.FUNDS in picture.state(row).flags for row in rows):
        return statements.NO_FUNDS
    only = next(iter(codes)) if len(codes) == 1 else None
    return only if only and "," not in only else None


def _wanted(batch: PaymentBatch, said: Said) -> Wanted:
    payload = {
        "fact": said.fact.value,
        "file": said.n,
        "transfer_ids": sorted(str(each) for each in said.transfer_ids or ()),
        "reason_code": said.reason_code,
        "revision": batch.revision,
    }
    return Wanted(kind=two_people.STATEMENT, target=batch.id, reason=said.reason, payload=payload)


def _of_void_file(
    ctx: Context, session: Session, batch: PaymentBatch, file: PaymentFile, arrival: _Arrival, *, is_new: bool
) -> Taken:
    """Take a report on a file that two people said was not at the bank: if the bank has it, bar everything else."""
    has_it = any(state.stage is not LineStage.REJECTED for state in _loose_states(arrival.report))
    if has_it:
        reason = (
            f"The bank reports on the file {file.message_id}, which was withdrawn here because it was not at the bank. "
            "Find out there what is executed before anything of this batch goes out."
        )
        for each in [batch, *statements.open_batches_beside(session, batch)]:
            if not holds.has(session, each, code=WITHDRAWN_AT_BANK):
                holds.place(ctx, session, each, code=WITHDRAWN_AT_BANK, reason=reason, actor=arrival.actor)
        _ask_to_look(ctx, session, batch)
    return Taken(
        batch=batch, file=file, is_new=is_new, counts={}, strangers=0, disagreements=(), contradictions=int(has_it)
    )


def _loose_states(report: StatusReport) -> list[LineState]:
    said = [report.group, *(each.statement for each in report.instructions)]
    said += [each.statement for each in report.transactions]
    return [advance(NOTHING_HEARD, statement) for statement in said if statement.code is not None]


def reports_of(session: Session, batch_id: UUID) -> list[StatusReportRow]:
    """Return the reports on the files of a batch, oldest first."""
    statement = (
        select(StatusReportRow)
        .join(PaymentFile, col(PaymentFile.id) == col(StatusReportRow.file_id))
        .where(PaymentFile.batch_id == batch_id)
        .order_by(col(StatusReportRow.received_at), sa.text("status_report.id"))
    )
    return list(session.exec(statement))
