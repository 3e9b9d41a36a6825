"""Files and the bank: hand out, deliver, withdraw, and what the bank or a person says afterwards."""

from base64 import b64encode
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from sqlmodel import Session

from app.auth.actor import Actor
from app.auth.models import Proposal, ProposalOutcome, Scope
from app.auth.proposals import AnotherProposalOpen, ProposalNotRecorded
from app.auth.web import ActorDep, SessionDep
from app.core import idempotency
from app.core.database import transaction
from app.core.errors import (
    Conflict,
    Invalid,
    NotFound,
    PreconditionFailed,
    PreconditionRequired,
    Problem,
)
from app.core.idempotency import KeyReused
from app.core.web import RevisionDep, answer, outcome_answer, problems, router
from app.payments import bank_reports, comparing_files, delivering, holds, revealing, statements, two_people
from app.payments.api import schemas, views
from app.payments.api.common import (
    ContextDep,
    KeyDep,
    attempt_of,
    dump,
    notes_refusals,
    once,
    xml_body,
)
from app.payments.approving import AccountNotConfirmed, visible_batch
from app.payments.bank_reports import NotOurFile, ReportUnreadable
from app.payments.comparing_files import FileUnreadable, NotOurs
from app.payments.context import Context
from app.payments.delivering import DOWNLOAD, Asked, DryRunOnly, ExecutionDatePassed, HandedIn, HashDiffers
from app.payments.errors import AlreadyClaimed, NotAllowedNow
from app.payments.holds import Held
from app.payments.models import CreditTransfer, PaymentBatch
from app.payments.releasing import StillClaimed
from app.payments.restored import ReleaseNotRecorded
from app.payments.retention import Erased
from app.payments.statements import RELEASING, Fact, Said, TooEarly
from app.payments.transitions import Action, MovedMeanwhile, authorise, require_rights
from app.payments.two_people import Wanted

routes = router(prefix="/v1", tags=["files and the bank"])
_ACTS = (Conflict, NotAllowedNow, MovedMeanwhile, KeyReused)
_TWO_PEOPLE = (*_ACTS, AnotherProposalOpen, ProposalNotRecorded)
# A file that leaves for the first time, or again.
_AGAINST_RELEASE = (Held, AccountNotConfirmed, ExecutionDatePassed, DryRunOnly, ReleaseNotRecorded)
WAITING: dict[int | str, dict[str, Any]] = {
    202: {"model": schemas.ProposalOut, "description": "Asked for; it waits for a second person"}
}


def _body(ctx: Context, session: Session, actor: Actor, batch: PaymentBatch) -> dict[str, Any]:
    return dump(views.batch_out(ctx, session, actor, batch))


def proposed(
    ctx: Context, session: Session, actor: Actor, batch_id: UUID, proposal: Proposal
) -> tuple[int, dict[str, Any]]:
    """Return the batch when both people said so, else the proposal that waits."""
    if proposal.outcome != ProposalOutcome.APPLIED:
        return 202, dump(views.proposals_out(session, actor, [proposal])[0])
    session.flush()
    session.expire_all()
    return 201, _body(ctx, session, actor, session.get_one(PaymentBatch, batch_id))


@routes.get("/payment-batches/{batch_id}/files", response_model=list[schemas.FileOut], responses=problems())
def list_files(ctx: ContextDep, actor: ActorDep, session: SessionDep, batch_id: UUID) -> Response:
    """Return every file ever stored for the batch, void ones included, with what the bank will show; no bytes."""
    actor.needs_scope(Scope.READ)
    batch = visible_batch(session, actor, batch_id)
    seen = revealing.seen_by(ctx, session, actor, batch)
    return answer(200, [dump(views.file_out(row, seen)) for row in delivering.files_of(session, batch.id)])


_FILE_RESPONSES: dict[int | str, dict[str, Any]] = {
    **problems(Conflict, NotAllowedNow, Erased, *_AGAINST_RELEASE),
    200: {"content": {"application/xml": {}}, "description": "The stored bytes"},
}


@routes.get("/payment-batches/{batch_id}/file", responses=_FILE_RESPONSES, response_class=Response)
@notes_refusals(Action.HAND_OUT)
def get_file(
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    batch_id: UUID,
    dry: Annotated[int, Query(ge=0, le=1)] = 0,
    reason: Annotated[schemas.Reason | None, Query()] = None,
) -> Response:
    """Hand out the only file of the batch: the stored bytes, with their hash. Every hand-out is in the history."""
    return _hand_out(ctx, session, actor, batch_id, Asked(dry=bool(dry), reason=reason))


@routes.get("/payment-batches/{batch_id}/files/{n}", responses=_FILE_RESPONSES, response_class=Response)
@notes_refusals(Action.HAND_OUT)
def get_file_number(
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    batch_id: UUID,
    n: int,
    dry: Annotated[int, Query(ge=0, le=1)] = 0,
    reason: Annotated[schemas.Reason | None, Query()] = None,
) -> Response:
    """Hand out file `n` of the batch."""
    return _hand_out(ctx, session, actor, batch_id, Asked(n=min(max(n, 0), 10_000), dry=bool(dry), reason=reason))


def _hand_out(ctx: Context, session: Session, actor: Actor, batch_id: UUID, asked: Asked) -> Response:
    visible_batch(session, actor, batch_id)
    out = delivering.hand_out(ctx, session, actor, batch_id, asked)
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="{out.name}"',
        "Repr-Digest": f"sha-256=:{b64encode(bytes.fromhex(out.file.sha256)).decode()}:",
        "X-Content-Type-Options": "nosniff",
    }
    if out.fetched_before:
        headers["X-Fetched-Before"] = "true"
    return Response(out.data, media_type="application/xml", headers=headers)


@routes.post(
    "/payment-batches/{batch_id}/deliveries",
    status_code=201,
    response_model=schemas.BatchOut,
    responses=problems(*_ACTS, PreconditionFailed, PreconditionRequired, HashDiffers, *_AGAINST_RELEASE),
)
@notes_refusals(Action.DELIVER)
def deliver(
    request: Request,
    ctx: ContextDep,
    actor: ActorDep,
    key: KeyDep,
    batch_id: UUID,
    revision: RevisionDep,
    body: schemas.NewDelivery,
) -> Response:
    """Say that the file was handed in at the bank, or send it through a channel.

    No transaction is open while a channel is used; what it cannot know becomes `delivery_unknown`, never a second try.
    """
    attempt = attempt_of(request, ctx, actor, key, body)
    with transaction(ctx.engine) as session:
        require_rights(actor, visible_batch(session, actor, batch_id), Action.DELIVER)
        before = idempotency.stored(session, attempt)
    if before is not None:
        return outcome_answer(before)
    said = HandedIn(revision=revision, n=body.file, note=body.note, hash_seen=body.hash_seen)
    if body.channel != DOWNLOAD:
        delivering.send(ctx, actor, batch_id, said, body.channel)
    try:
        with transaction(ctx.engine) as session:

            def act() -> tuple[int, dict[str, Any]]:
                if body.channel == DOWNLOAD:
                    delivering.deliver(ctx, session, actor, batch_id, said)
                return 201, _body(ctx, session, actor, visible_batch(session, actor, batch_id))

            outcome = idempotency.once(session, attempt, act)
    except HashDiffers as refusal:
        delivering.note_wrong_hash(ctx, actor, batch_id, refusal)
        raise
    return outcome_answer(outcome)


@routes.post(
    "/payment-batches/{batch_id}/withdrawals",
    status_code=201,
    response_model=schemas.BatchOut,
    responses={**problems(*_TWO_PEOPLE), **WAITING},
)
@notes_refusals(Action.WITHDRAW)
def withdraw(
    request: Request,
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    key: KeyDep,
    batch_id: UUID,
    body: schemas.NewWithdrawal,
) -> Response:
    """Two people say that a handed-out file is not at the bank: the batch is pending again, with new ids to come."""
    batch = visible_batch(session, actor, batch_id)
    require_rights(actor, batch, Action.WITHDRAW)

    def act() -> tuple[int, dict[str, Any]]:
        authorise(actor, batch, Action.WITHDRAW)
        payload = {"file": body.file, "revision": batch.revision}
        wanted = Wanted(kind=two_people.FILE_WITHDRAWAL, target=batch_id, reason=body.reason, payload=payload)
        proposal = two_people.act(ctx, session, actor, wanted)
        return proposed(ctx, session, actor, batch_id, proposal)

    return once(session, attempt_of(request, ctx, actor, key, body), act)


@routes.post(
    "/payment-batches/{batch_id}/statements",
    status_code=201,
    response_model=schemas.BatchOut,
    responses={**problems(*_TWO_PEOPLE, TooEarly), **WAITING},
)
@notes_refusals(Action.STATE)
def state(
    request: Request,
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    key: KeyDep,
    batch_id: UUID,
    body: schemas.NewStatement,
) -> Response:
    """Say what the bank did. Accepted and executed take one person; refused and not executed take two."""
    asked = visible_batch(session, actor, batch_id)
    require_rights(actor, asked, Action.STATE)
    fact = Fact(body.statement)

    def act() -> tuple[int, dict[str, Any]]:
        authorise(actor, asked, Action.STATE)
        if fact in RELEASING:
            proposal = two_people.act(ctx, session, actor, _statement(asked, body))
            return proposed(ctx, session, actor, batch_id, proposal)
        said = Said(
            fact=fact,
            reason=body.reason,
            n=body.file,
            transfer_ids=body.transfer_ids,
            reason_code=body.reason_code,
        )
        details = {"by": "one_person"}
        batch = statements.apply(ctx, session, batch_id, said, actor.as_history(), details=details)
        return 201, _body(ctx, session, actor, batch)

    return once(session, attempt_of(request, ctx, actor, key, body), act)


def _statement(batch: PaymentBatch, body: schemas.NewStatement) -> Wanted:
    ids = None if body.transfer_ids is None else sorted(str(each) for each in body.transfer_ids)
    payload = {
        "fact": body.statement,
        "file": body.file,
        "transfer_ids": ids,
        "reason_code": body.reason_code,
        "revision": batch.revision,
    }
    return Wanted(kind=two_people.STATEMENT, target=batch.id, reason=body.reason, payload=payload)


_XML_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/xml": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@routes.post(
    "/status-reports",
    status_code=201,
    response_model=schemas.StatusReportOut,
    responses=problems(Conflict, NotOurFile, ReportUnreadable, NotAllowedNow, Erased),
    openapi_extra=_XML_BODY,
)
def take_report(
    ctx: ContextDep, actor: ActorDep, session: SessionDep, data: Annotated[bytes, Depends(xml_body)]
) -> Response:
    """Upload a status report (pain.002) of the bank. The same report again changes nothing.

    What it closes is applied. What it refuses waits for a second person, who uploads it too or confirms the proposal:
    an uploaded report is a person's statement.
    """
    actor.needs_scope(Scope.FILES)
    taken = bank_reports.take_upload(ctx, session, actor, data)
    session.flush()
    session.expire_all()
    batch = session.get_one(PaymentBatch, taken.batch.id)
    proposal = taken.proposal
    body = schemas.StatusReportOut(
        payment_batch_id=batch.id,
        file=taken.file.n,
        is_new=taken.is_new,
        lines=dict(taken.counts),
        strangers=taken.strangers,
        disagreements=list(taken.disagreements),
        contradictions=taken.contradictions,
        asks_a_person=taken.asks_a_person,
        waits_because=taken.waits_because,
        proposal=None if proposal is None else views.proposals_out(session, actor, [proposal])[0],
        batch=views.batch_out(ctx, session, actor, batch),
    )
    return answer(201, dump(body))


@routes.post(
    "/payment-files/comparison",
    response_model=schemas.ComparedOut,
    responses=problems(NotOurs, FileUnreadable, Erased),
    openapi_extra=_XML_BODY,
)
def compare_file(
    ctx: ContextDep, actor: ActorDep, session: SessionDep, data: Annotated[bytes, Depends(xml_body)]
) -> Response:
    """Compare a payment file that you hold with the stored one: identical to a batch's, or what differs.

    Who may not see salaries is told whether it is the same, and not where it differs: that would answer guesses.
    """
    actor.needs_scope(Scope.READ)
    found = comparing_files.compare(ctx, session, actor.readable_employers, data)
    if not revealing.seen_by(ctx, session, actor, found.batch).shows_salaries:
        found = comparing_files.without_places(found)
    body = schemas.ComparedOut(
        payment_batch_id=found.batch.id,
        file=found.file.n,
        message_id=found.file.message_id,
        is_identical=found.is_identical,
        is_void=found.file.voided_at is not None,
        differences=[
            schemas.DifferenceOut(line=each.line, fields=list(each.fields), what=each.what)
            for each in found.differences
        ],
    )
    return answer(200, dump(body))


@routes.post(
    "/transfers/{transfer_id}/return",
    status_code=201,
    response_model=schemas.BatchOut,
    responses={**problems(*_TWO_PEOPLE, Erased), **WAITING},
)
def return_line(
    request: Request,
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    key: KeyDep,
    transfer_id: UUID,
    body: schemas.NewReturn,
) -> Response:
    """Two people say that the money of an executed line came back; it can then be paid again by a new act."""
    batch = visible_batch(session, actor, visible_line(session, actor, transfer_id).batch_id)
    batch_id = batch.id
    two_people.require_rights(actor, two_people.LINE_RETURN, batch.employer_id)

    def act() -> tuple[int, dict[str, Any]]:
        wanted = Wanted(
            kind=two_people.LINE_RETURN,
            target=transfer_id,
            reason=body.reason,
            payload={"reason_code": body.reason_code},
        )
        return proposed(ctx, session, actor, batch_id, two_people.act(ctx, session, actor, wanted))

    return once(session, attempt_of(request, ctx, actor, key, body), act)


def visible_line(session: Session, actor: Actor, transfer_id: UUID) -> CreditTransfer:
    """Return a line of an employer that the actor may look at; `NotFound` otherwise."""
    row = session.get(CreditTransfer, transfer_id)
    if row is None:
        raise NotFound("No such batch.")  # in the words that somebody else's line gets
    visible_batch(session, actor, row.batch_id)
    return row


@routes.post(
    "/payment-batches/{batch_id}/holds", status_code=201, response_model=schemas.BatchOut, responses=problems(*_ACTS)
)
def hold(
    request: Request,
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    key: KeyDep,
    batch_id: UUID,
    body: schemas.NewHold,
) -> Response:
    """Bar approving and handing out, with a reason."""
    require_rights(actor, visible_batch(session, actor, batch_id), Action.HOLD)

    def act() -> tuple[int, dict[str, Any]]:
        batch = holds.place_by_person(ctx, session, actor, batch_id, reason=body.reason)
        return 201, _body(ctx, session, actor, batch)

    return once(session, attempt_of(request, ctx, actor, key, body), act)


@routes.post(
    "/payment-batches/{batch_id}/holds/{hold_id}/lifting",
    status_code=201,
    response_model=schemas.BatchOut,
    responses={**problems(*_TWO_PEOPLE), **WAITING},
)
@notes_refusals(Action.LIFT_HOLD)
def lift_hold(
    request: Request,
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    key: KeyDep,
    batch_id: UUID,
    hold_id: UUID,
    body: schemas.NewHold,
) -> Response:
    """Lift a hold. One that a person placed takes one person; one that the service placed takes two."""
    batch = visible_batch(session, actor, batch_id)
    require_rights(actor, batch, Action.LIFT_HOLD)

    def act() -> tuple[int, dict[str, Any]]:
        if holds.lift_own(ctx, session, actor, batch_id, hold_id, reason=body.reason):
            return 201, _body(ctx, session, actor, session.get_one(PaymentBatch, batch_id))
        wanted = Wanted(kind=two_people.HOLD_LIFTING, target=hold_id, reason=body.reason, payload={})
        return proposed(ctx, session, actor, batch_id, two_people.act(ctx, session, actor, wanted))

    return once(session, attempt_of(request, ctx, actor, key, body), act)


@routes.post(
    "/payment-batches/{batch_id}/transfers/{transfer_id}/release",
    status_code=201,
    response_model=schemas.BatchOut,
    responses={**problems(*_TWO_PEOPLE, StillClaimed, AlreadyClaimed), **WAITING},
)
def release_line(
    request: Request,
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    key: KeyDep,
    batch_id: UUID,
    transfer_id: UUID,
    body: schemas.NewRelease,
) -> Response:
    """Two people set a line free that came into a run after an approval: it replaces another line, or is additional."""
    batch = visible_batch(session, actor, batch_id)
    two_people.require_rights(actor, two_people.LINE_RELEASE, batch.employer_id)
    if visible_line(session, actor, transfer_id).batch_id != batch.id:
        raise NotFound("No such line in this batch.")
    if (body.replaces is None) != body.additional:
        message = "Say either which line this one replaces, or that it is additional."
        raise Invalid(errors=[Problem(pointer="/replaces", code="replaces_or_additional", message=message)])

    def act() -> tuple[int, dict[str, Any]]:
        authorise(actor, batch, Action.DECIDE)
        replaces = None if body.replaces is None else str(body.replaces)
        wanted = Wanted(
            kind=two_people.LINE_RELEASE, target=transfer_id, reason=body.reason, payload={"replaces": replaces}
        )
        return proposed(ctx, session, actor, batch_id, two_people.act(ctx, session, actor, wanted))

    return once(session, attempt_of(request, ctx, actor, key, body), act)
