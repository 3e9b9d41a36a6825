"""Batches: look, change, approve, reject, hand out, deliver."""

from base64 import b64encode
from typing import Annotated, Any
from uuid import UUID

import sqlalchemy as sa
from fastapi import Query, Request, Response
from sqlmodel import Session, col, select

from app.auth.actor import Actor
from app.auth.models import Scope
from app.auth.web import ActorDep
from app.core import idempotency
from app.core.database import transaction
from app.core.errors import Conflict, NotFound, PreconditionFailed, PreconditionRequired
from app.core.idempotency import KeyReused
from app.core.web import PageDep, RevisionDep, SessionDep, answer, next_link, problems, router
from app.payments import approving, deciding, delivering, digest, filing, revising
from app.payments.api import schemas, views
from app.payments.api.common import ContextDep, KeyDep, attempt_of, dump, etag, once, outcome_answer
from app.payments.approving import Wish, visible_batch
from app.payments.context import Context
from app.payments.deciding import Edit, LineDecision
from app.payments.delivering import Asked
from app.payments.errors import (
    AlreadyClaimed,
    BatchChanged,
    ExecutionDateImpossible,
    LimitNotSet,
    NotABankDay,
    NotAllowedNow,
    PaymentLimitExceeded,
    SourceUnreachable,
)
from app.payments.models import BatchStatus, CreditTransfer, Finding, PaymentBatch
from app.payments.transitions import Action

routes = router(prefix="/v1", tags=["payment batches"])
_CHANGES = (PreconditionFailed, PreconditionRequired, Conflict, KeyReused)


def _body(ctx: Context, session: Session, actor: Actor, batch: PaymentBatch) -> dict[str, Any]:
    return dump(views.batch_out(ctx, session, actor, batch))


@routes.get("/payment-batches", response_model=list[schemas.BatchOut], responses=problems())
def list_batches(
    request: Request,
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    page: PageDep,
    status: Annotated[BatchStatus | None, Query()] = None,
    employer_id: Annotated[UUID | None, Query()] = None,
    administration_id: Annotated[UUID | None, Query()] = None,
) -> Response:
    """Return the batches of the caller's employers, newest first."""
    actor.needs_scope(Scope.READ)
    employers = actor.readable_employers & {employer_id} if employer_id else actor.readable_employers
    statement = (
        select(PaymentBatch)
        .where(col(PaymentBatch.employer_id).in_(employers))
        .order_by(col(PaymentBatch.created_at).desc(), col(PaymentBatch.id).desc())
        .limit(page.limit + 1)
    )
    if status is not None:
        statement = statement.where(PaymentBatch.status == status)
    if administration_id is not None:
        statement = statement.where(PaymentBatch.administration_id == administration_id)
    if page.cursor is not None:
        key = sa.tuple_(col(PaymentBatch.created_at), col(PaymentBatch.id))
        statement = statement.where(key < sa.tuple_(page.cursor.moment, page.cursor.id))
    rows = list(session.exec(statement))
    more = rows[: page.limit]
    headers = next_link(request, more[-1].created_at, more[-1].id) if len(rows) > page.limit else {}
    return answer(200, [dump(each) for each in views.batches_out(ctx, session, actor, more)], **headers)


@routes.get("/payment-batches/{batch_id}", response_model=schemas.BatchOut, responses=problems())
def get_batch(ctx: ContextDep, actor: ActorDep, session: SessionDep, batch_id: UUID) -> Response:
    """Return one batch; its ETag is what changes and approvals need."""
    actor.needs_scope(Scope.READ)
    batch = visible_batch(session, actor, batch_id)
    return answer(200, _body(ctx, session, actor, batch), ETag=etag(batch.revision))


@routes.patch(
    "/payment-batches/{batch_id}",
    response_model=schemas.BatchOut,
    responses=problems(*_CHANGES, NotABankDay, ExecutionDateImpossible),
)
def change_batch(
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    batch_id: UUID,
    revision: RevisionDep,
    body: schemas.BatchChange,
) -> Response:
    """Change the execution date or the debtor account; approvals given so far are void then."""
    visible_batch(session, actor, batch_id)
    edit = Edit(requested_execution_date=body.requested_execution_date, debtor_account_id=body.debtor_account_id)
    batch = deciding.edit_batch(ctx, session, actor, batch_id, revision, edit)
    return answer(200, _body(ctx, session, actor, batch), ETag=etag(batch.revision))


@routes.get("/payment-batches/{batch_id}/transfers", response_model=schemas.TransferPage, responses=problems())
def list_transfers(
    actor: ActorDep,
    session: SessionDep,
    batch_id: UUID,
    after: Annotated[int, Query(ge=0, le=1_000_000, description="The position of the last line seen")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Response:
    """Return the lines of a batch in order, with the digest of the batch at the same moment."""
    actor.needs_scope(Scope.READ)
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    batch = visible_batch(session, actor, batch_id)
    rows = list(
        session.exec(
            select(CreditTransfer)
            .where(CreditTransfer.batch_id == batch.id, CreditTransfer.position > after)
            .order_by(col(CreditTransfer.position))
            .limit(limit + 1)
        )
    )
    shown = rows[:limit]
    codes: dict[UUID | None, list[str]] = {}
    for transfer_id, code in session.exec(
        select(Finding.transfer_id, Finding.code).where(Finding.batch_id == batch.id).order_by(Finding.code)
    ):
        codes.setdefault(transfer_id, []).append(code)
    sees = actor.sees_salaries(batch.employer_id)
    body = schemas.TransferPage(
        batch_digest=batch.digest,
        batch_revision=batch.revision,
        items=[views.transfer_out(row, codes.get(row.id, []), sees_salaries=sees) for row in shown],
    )
    path = f"/v1/payment-batches/{batch.id}/transfers?after={shown[-1].position}&limit={limit}" if shown else ""
    headers = {"Link": f'<{path}>; rel="next"'} if len(rows) > limit else {}
    return answer(200, dump(body), ETag=etag(batch.revision), **headers)


@routes.patch(
    "/payment-batches/{batch_id}/transfers/{transfer_id}",
    response_model=schemas.TransferOut,
    responses=problems(*_CHANGES),
)
def change_transfer(
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    batch_id: UUID,
    transfer_id: UUID,
    revision: RevisionDep,
    body: schemas.LineChange,
) -> Response:
    """Exclude, hold or put back a line, or change its kind; approvals given so far are void then."""
    batch = visible_batch(session, actor, batch_id)
    wanted = LineDecision(decision=body.decision, kind=body.kind, reason=body.reason)
    row = deciding.decide_line(ctx, session, actor, batch_id, transfer_id, revision, wanted)
    codes = session.exec(select(Finding.code).where(Finding.transfer_id == row.id)).all()
    session.refresh(batch)
    out = views.transfer_out(row, codes, sees_salaries=actor.sees_salaries(batch.employer_id))
    return answer(200, dump(out), ETag=etag(batch.revision))


@routes.get("/payment-batches/{batch_id}/findings", response_model=list[schemas.FindingOut], responses=problems())
def list_findings(actor: ActorDep, session: SessionDep, batch_id: UUID) -> Response:
    """Return every finding on the batch and its lines: what is wrong, where, and what to do."""
    actor.needs_scope(Scope.READ)
    batch = visible_batch(session, actor, batch_id)
    rows = session.exec(
        select(Finding, CreditTransfer.position)
        .join(CreditTransfer, col(CreditTransfer.id) == col(Finding.transfer_id), isouter=True)
        .where(Finding.batch_id == batch.id)
        .order_by(col(CreditTransfer.position).nulls_first(), col(Finding.code))
    )
    return answer(200, [dump(views.finding_out(row, position)) for row, position in rows])


@routes.post(
    "/payment-batches/{batch_id}/findings/{finding_id}/acknowledgement",
    response_model=schemas.FindingOut,
    responses=problems(Conflict, KeyReused),
)
def acknowledge(
    request: Request,
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    key: KeyDep,
    batch_id: UUID,
    finding_id: UUID,
    body: schemas.Acknowledgement,
) -> Response:
    """Confirm a finding by name. It makes no new revision."""
    visible_batch(session, actor, batch_id)

    def act() -> tuple[int, dict[str, Any]]:
        row = deciding.acknowledge(ctx, session, actor, batch_id, finding_id, note=body.note)
        line = session.get(CreditTransfer, row.transfer_id) if row.transfer_id else None
        return 200, dump(views.finding_out(row, line.position if line else None))

    return once(session, attempt_of(request, ctx, actor, key, body), act)


@routes.post(
    "/payment-batches/{batch_id}/approvals",
    status_code=201,
    response_model=schemas.BatchOut,
    responses=problems(
        *_CHANGES,
        BatchChanged,
        NotAllowedNow,
        AlreadyClaimed,
        LimitNotSet,
        PaymentLimitExceeded,
        NotABankDay,
        ExecutionDateImpossible,
        SourceUnreachable,
    ),
)
def approve(
    request: Request,
    ctx: ContextDep,
    actor: ActorDep,
    revision: RevisionDep,
    key: KeyDep,
    batch_id: UUID,
    body: schemas.NewApproval,
) -> Response:
    """Approve the digest that was shown, with a PIN. The last needed approval claims the lines and stores the file.

    No transaction is open while the source is asked once more, so this route has no session of its own.
    """
    attempt = attempt_of(request, ctx, actor, key, None if key is None else _without_pin(body))
    with transaction(ctx.engine) as session:
        visible_batch(session, actor, batch_id)
        before = idempotency.stored(session, attempt)
    if before is not None:
        return outcome_answer(before)
    wish = Wish(batch_id=batch_id, revision=revision, digest=body.digest, pin=body.pin.get_secret_value())
    prepared = approving.prepare_approval(ctx, actor, wish)
    with transaction(ctx.engine) as session:

        def act() -> tuple[int, dict[str, Any]]:
            batch = approving.approve_batch(ctx, session, actor, wish, prepared)
            return 201, _body(ctx, session, actor, batch)

        outcome = idempotency.once(session, attempt, act)
    return outcome_answer(outcome)


class _Digest(schemas.Strict):
    digest: str


def _without_pin(body: schemas.NewApproval) -> _Digest:
    return _Digest(digest=body.digest)


@routes.delete(
    "/payment-batches/{batch_id}/approvals/mine",
    response_model=schemas.BatchOut,
    responses=problems(Conflict),
)
def recall(ctx: ContextDep, actor: ActorDep, session: SessionDep, batch_id: UUID) -> Response:
    """Take one's approval back; free while the file was never handed out."""
    visible_batch(session, actor, batch_id)
    batch = approving.recall_approval(ctx, session, actor, batch_id)
    return answer(200, _body(ctx, session, actor, batch), ETag=etag(batch.revision))


def _end(  # noqa: PLR0913 - the parts of a request
    request: Request,
    ctx: Context,
    actor: Actor,
    session: Session,
    *,
    key: str | None,
    batch_id: UUID,
    revision: int,
    body: schemas.Ending,
    action: Action,
) -> Response:
    visible_batch(session, actor, batch_id)

    def act() -> tuple[int, dict[str, Any]]:
        batch = deciding.end_batch(ctx, session, actor, batch_id, revision, action=action, reason=body.reason)
        return 200, _body(ctx, session, actor, batch)

    return once(session, attempt_of(request, ctx, actor, key, body), act)


@routes.post("/payment-batches/{batch_id}/rejection", response_model=schemas.BatchOut, responses=problems(*_CHANGES))
def reject(
    request: Request,
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    key: KeyDep,
    batch_id: UUID,
    revision: RevisionDep,
    body: schemas.Ending,
) -> Response:
    """Reject the batch with a reason. Its run can be offered again."""
    return _end(
        request, ctx, actor, session, key=key, batch_id=batch_id, revision=revision, body=body, action=Action.REJECT
    )


@routes.post("/payment-batches/{batch_id}/cancellation", response_model=schemas.BatchOut, responses=problems(*_CHANGES))
def cancel(
    request: Request,
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    key: KeyDep,
    batch_id: UUID,
    revision: RevisionDep,
    body: schemas.Ending,
) -> Response:
    """Cancel the batch with a reason. Its run can be offered again."""
    return _end(
        request, ctx, actor, session, key=key, batch_id=batch_id, revision=revision, body=body, action=Action.CANCEL
    )


@routes.get(
    "/payment-batches/{batch_id}/canonical",
    responses={**problems(), 200: {"content": {"application/octet-stream": {}}}},
    response_class=Response,
)
def canonical(ctx: ContextDep, actor: ActorDep, session: SessionDep, batch_id: UUID) -> Response:
    """Return the bytes that the digest is made of, for who may see salaries."""
    actor.needs_scope(Scope.READ)
    batch = visible_batch(session, actor, batch_id)
    if not actor.sees_salaries(batch.employer_id):
        raise NotFound("Only people who may see salaries can see what the digest is made of.")
    content = revising.content_of(ctx, session, batch)
    data = digest.canonical_bytes(filing.digest_content(content))
    return Response(
        data, media_type="application/octet-stream", headers={"Cache-Control": "no-store", "ETag": etag(batch.revision)}
    )


@routes.get("/payment-batches/{batch_id}/files", response_model=list[schemas.FileOut], responses=problems())
def list_files(actor: ActorDep, session: SessionDep, batch_id: UUID) -> Response:
    """Return every file ever stored for the batch, void ones included; no bytes."""
    actor.needs_scope(Scope.READ)
    batch = visible_batch(session, actor, batch_id)
    sees = actor.sees_salaries(batch.employer_id)
    return answer(
        200, [dump(views.file_out(row, sees_salaries=sees)) for row in delivering.files_of(session, batch.id)]
    )


_FILE_RESPONSES: dict[int | str, dict[str, Any]] = {
    **problems(Conflict),
    200: {"content": {"application/xml": {}}, "description": "The stored bytes"},
}


@routes.get("/payment-batches/{batch_id}/file", responses=_FILE_RESPONSES, response_class=Response)
def get_file(
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    batch_id: UUID,
    dry: Annotated[int, Query(ge=0, le=1)] = 0,
    reason: Annotated[schemas.Reason | None, Query()] = None,
) -> Response:
    """Hand out the only file of the batch: the stored bytes, with their hash. Every hand-out is in the history."""
    return _hand_out(ctx, session, actor, batch_id, Asked(n=1, dry=bool(dry), reason=reason))


@routes.get("/payment-batches/{batch_id}/files/{n}", responses=_FILE_RESPONSES, response_class=Response)
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
        "Content-Disposition": f'attachment; filename="{out.file.message_id}.xml"',
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
    responses=problems(*_CHANGES),
)
def deliver(
    request: Request,
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    key: KeyDep,
    batch_id: UUID,
    revision: RevisionDep,
    body: schemas.NewDelivery,
) -> Response:
    """Say that the file was handed in at the bank."""
    visible_batch(session, actor, batch_id)

    def act() -> tuple[int, dict[str, Any]]:
        batch = delivering.deliver(ctx, session, actor, batch_id, revision, note=body.note)
        return 201, _body(ctx, session, actor, batch)

    return once(session, attempt_of(request, ctx, actor, key, body), act)
