"""Batches: look, change, approve, reject, hand out, deliver."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import sqlalchemy as sa
from fastapi import Depends, Query, Request, Response
from pydantic import SecretStr
from sqlmodel import Session, col, select

from app.auth.actor import Actor
from app.auth.models import Scope
from app.auth.pins import PinChangedRecently, PinIncorrect, PinLocked, PinNotSet
from app.auth.web import ActorDep, SessionDep
from app.core import idempotency
from app.core.clock import AMSTERDAM, amsterdam_date
from app.core.database import transaction
from app.core.errors import AppError, Conflict, PreconditionFailed, PreconditionRequired
from app.core.idempotency import KeyReused
from app.core.paging import PageDep
from app.core.web import RevisionDep, answer, outcome_answer, problem_body, problems, router
from app.payments import approving, deciding, refusals, reopening, revealing, revising
from app.payments.api import schemas, views
from app.payments.api.common import (
    ContextDep,
    KeyDep,
    attempt_of,
    dump,
    etag,
    notes_refusals,
    once,
)
from app.payments.approving import (
    AccountNotConfirmed,
    AcknowledgementNeeded,
    AlreadyApprovedByYou,
    ApprovalNotRecorded,
    NothingToPay,
    RunNotLocked,
    Wish,
    visible_batch,
)
from app.payments.attention import last_day_without_proof
from app.payments.context import Context
from app.payments.deciding import AnotherPersonNeeded, Edit, LineDecision, TwoPeopleNeeded
from app.payments.doubles import PaidMeanwhile
from app.payments.errors import (
    AlreadyClaimed,
    BatchChanged,
    CanonicalChanged,
    ExecutionDateImpossible,
    FileCheckFailed,
    FileContentRefused,
    LimitNotSet,
    NotABankDay,
    NotAllowedNow,
    PaymentLimitExceeded,
    SourceUnreachable,
)
from app.payments.freshness import SourceChanged
from app.payments.holds import Held
from app.payments.models import BankStatus, BatchStatus, CreditTransfer, Finding, LinkMode, PaymentBatch, PaymentFile
from app.payments.retention import Erased, refuse_erased
from app.payments.transitions import Action, MovedMeanwhile, require_rights
from app.payments.visibility import SalariesHidden, require_salaries

routes = router(prefix="/v1", tags=["payment batches"])
_CHANGES = (PreconditionFailed, PreconditionRequired, Conflict, NotAllowedNow, MovedMeanwhile)
_ACTS = (*_CHANGES, KeyReused)
_PIN = (PinIncorrect, PinLocked, PinNotSet, PinChangedRecently)
# Everything that can stand in the way of an approval, beside what stands in the way of any act.
_AGAINST_APPROVING = (
    *(*_PIN, BatchChanged, SourceChanged, SourceUnreachable, PaidMeanwhile, AlreadyApprovedByYou, AlreadyClaimed),
    ApprovalNotRecorded,
    *(NothingToPay, Held, AccountNotConfirmed, RunNotLocked, AcknowledgementNeeded, LimitNotSet, PaymentLimitExceeded),
    *(NotABankDay, ExecutionDateImpossible, FileContentRefused, FileCheckFailed),
)


def _body(ctx: Context, session: Session, actor: Actor, batch: PaymentBatch) -> dict[str, Any]:
    return dump(views.batch_out(ctx, session, actor, batch))


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFilter:
    """Which batches a list holds; None is no condition."""

    status: BatchStatus | None
    employer_id: UUID | None
    administration_id: UUID | None
    attention: Literal["no_proof", "bank_contradicts"] | None


def batch_filter(
    status: Annotated[BatchStatus | None, Query()] = None,
    employer_id: Annotated[UUID | None, Query()] = None,
    administration_id: Annotated[UUID | None, Query()] = None,
    attention: Annotated[Literal["no_proof", "bank_contradicts"] | None, Query()] = None,
) -> BatchFilter:
    """Return the conditions of a list of batches."""
    return BatchFilter(status=status, employer_id=employer_id, administration_id=administration_id, attention=attention)


@routes.get("/payment-batches", response_model=list[schemas.BatchOut], responses=problems())
def list_batches(
    request: Request,
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    page: PageDep,
    wanted: Annotated[BatchFilter, Depends(batch_filter)],
) -> Response:
    """Return the batches of the caller's employers, newest first.

    `attention=no_proof`: those delivered three bank days ago or more of which nothing shows that the bank has them;
    `attention=bank_contradicts`: those of which the bank's reports contradict each other, or what is known here.
    """
    actor.needs_scope(Scope.READ)
    employers = actor.readable_employers & {wanted.employer_id} if wanted.employer_id else actor.readable_employers
    statement = select(PaymentBatch).where(col(PaymentBatch.employer_id).in_(employers))
    if wanted.status is not None:
        statement = statement.where(PaymentBatch.status == wanted.status)
    if wanted.administration_id is not None:
        statement = statement.where(PaymentBatch.administration_id == wanted.administration_id)
    match wanted.attention:
        case "no_proof":
            statement = statement.where(_without_proof(ctx))
        case "bank_contradicts":
            statement = statement.where(col(PaymentBatch.bank_contradicts))
    rows = session.exec(page.newest_first(statement, col(PaymentBatch.created_at), col(PaymentBatch.id))).all()
    shown, headers = page.cut(request, rows, lambda row: (row.created_at, row.id))
    return answer(200, [dump(each) for each in views.batches_out(ctx, session, actor, shown)], **headers)


def _without_proof(ctx: Context) -> sa.ColumnElement[bool]:
    last = last_day_without_proof(amsterdam_date(ctx.now()))
    until = datetime.combine(last + timedelta(days=1), time(), tzinfo=AMSTERDAM)
    silent = sa.exists().where(
        col(PaymentFile.batch_id) == col(PaymentBatch.id),
        col(PaymentFile.voided_at).is_(None),
        col(PaymentFile.bank_status) == BankStatus.NONE,
    )
    return sa.and_(
        col(PaymentBatch.status) == BatchStatus.DELIVERED,
        col(PaymentBatch.mode) == LinkMode.LIVE,
        col(PaymentBatch.delivered_at) < until,
        silent,
    )


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
    ctx: ContextDep,
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
    seen = revealing.seen_by(ctx, session, actor, batch)
    body = schemas.TransferPage(
        batch_digest=batch.digest,
        batch_revision=batch.revision,
        items=[views.transfer_out(row, codes.get(row.id, []), seen) for row in shown],
    )
    path = f"/v1/payment-batches/{batch.id}/transfers?after={shown[-1].position}&limit={limit}" if shown else ""
    headers = {"Link": f'<{path}>; rel="next"'} if len(rows) > limit else {}
    return answer(200, dump(body), ETag=etag(batch.revision), **headers)


@routes.patch(
    "/payment-batches/{batch_id}/transfers/{transfer_id}",
    response_model=schemas.TransferOut,
    responses=problems(*_CHANGES, TwoPeopleNeeded, AlreadyClaimed),
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
    out = views.transfer_out(row, codes, revealing.seen_by(ctx, session, actor, batch))
    return answer(200, dump(out), ETag=etag(batch.revision))


@routes.get("/payment-batches/{batch_id}/findings", response_model=list[schemas.FindingOut], responses=problems())
def list_findings(
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    batch_id: UUID,
    after: Annotated[int, Query(ge=0, le=10_000_000, description="How many findings were seen already")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> Response:
    """Return the findings on the batch and then on its lines: what is wrong, where, and what to do."""
    actor.needs_scope(Scope.READ)
    batch = visible_batch(session, actor, batch_id)
    rows = session.exec(
        select(Finding, CreditTransfer.position)
        .join(CreditTransfer, col(CreditTransfer.id) == col(Finding.transfer_id), isouter=True)
        .where(Finding.batch_id == batch.id)
        .order_by(col(CreditTransfer.position).nulls_first(), col(Finding.code), col(Finding.id))
        .offset(after)
        .limit(limit + 1)
    ).all()
    seen = revealing.seen_by(ctx, session, actor, batch)
    path = f"/v1/payment-batches/{batch.id}/findings?after={after + limit}&limit={limit}"
    headers = {"Link": f'<{path}>; rel="next"'} if len(rows) > limit else {}
    return answer(200, [dump(views.finding_out(row, position, seen)) for row, position in rows[:limit]], **headers)


@routes.post(
    "/payment-batches/{batch_id}/findings/{finding_id}/acknowledgement",
    response_model=schemas.FindingOut,
    responses=problems(Conflict, NotAllowedNow, KeyReused, AnotherPersonNeeded),
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
    batch = visible_batch(session, actor, batch_id)
    require_rights(actor, batch, Action.ACKNOWLEDGE)

    def act() -> tuple[int, dict[str, Any]]:
        row = deciding.acknowledge(ctx, session, actor, batch_id, finding_id, note=body.note)
        line = session.get(CreditTransfer, row.transfer_id) if row.transfer_id else None
        seen = revealing.seen_by(ctx, session, actor, batch)
        return 200, dump(views.finding_out(row, line.position if line else None, seen))

    return once(session, attempt_of(request, ctx, actor, key, body), act)


@routes.post(
    "/payment-batches/{batch_id}/approvals",
    status_code=201,
    response_model=schemas.BatchOut,
    responses=problems(*_ACTS, *_AGAINST_APPROVING),
)
@notes_refusals(Action.APPROVE)
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
        require_rights(actor, visible_batch(session, actor, batch_id), Action.APPROVE)
        before = idempotency.stored(session, attempt)
    if before is not None:
        return outcome_answer(before)
    wish = Wish(
        batch_id=batch_id,
        revision=revision,
        digest=body.digest,
        pin=body.pin.get_secret_value(),
        without_source=body.approve_without_source,
    )
    prepared = approving.prepare_approval(ctx, actor, wish)
    with transaction(ctx.engine) as session:

        def act() -> tuple[int, dict[str, Any]]:
            batch = approving.approve_batch(ctx, session, actor, wish, prepared)
            return 201, _body(ctx, session, actor, batch)

        outcome = idempotency.once(session, attempt, act)
    return outcome_answer(outcome)


class _Digest(schemas.Strict):
    digest: str
    without_source: bool


def _without_pin(body: schemas.NewApproval) -> _Digest:
    return _Digest(digest=body.digest, without_source=body.approve_without_source)


@routes.post("/approvals", response_model=schemas.ApprovalsOut, responses=problems(Conflict, KeyReused, *_PIN))
def approve_several(
    request: Request, ctx: ContextDep, actor: ActorDep, key: KeyDep, body: schemas.NewApprovals
) -> Response:
    """Approve several batches with one PIN. Each stands by itself: one that cannot be approved stops no other.

    Every item has its own status: 201 with the batch, or the problem. Who may not approve one of them approves none.
    """
    content = body.model_copy(update={"pin": SecretStr("")})
    attempt = attempt_of(request, ctx, actor, key, content)
    with transaction(ctx.engine) as session:
        before = idempotency.stored(session, attempt)
    for item in body.items:
        with refusals.noted(ctx, actor, item.batch_id, Action.APPROVE), transaction(ctx.engine) as session:
            require_rights(actor, visible_batch(session, actor, item.batch_id), Action.APPROVE)
    if before is not None:
        return outcome_answer(before)
    pin = body.pin.get_secret_value()
    approving.check_pin(ctx, actor, pin, [item.batch_id for item in body.items])
    items = [_approve_one(ctx, actor, item) for item in body.items]
    with transaction(ctx.engine) as session:
        outcome = idempotency.once(session, attempt, lambda: (200, {"items": items}))
    return outcome_answer(outcome)


def _approve_one(ctx: Context, actor: Actor, item: schemas.ApprovalItem) -> dict[str, Any]:
    wish = Wish(
        batch_id=item.batch_id, revision=None, digest=item.digest, pin="", without_source=item.approve_without_source
    )
    try:
        with refusals.noted(ctx, actor, item.batch_id, Action.APPROVE):
            prepared = approving.prepare_checked(ctx, actor, wish)
            with transaction(ctx.engine) as session:
                batch = approving.approve_batch(ctx, session, actor, wish, prepared)
                body = _body(ctx, session, actor, batch)
    except AppError as refusal:
        problem = problem_body(refusal)
        return {"batch_id": str(item.batch_id), "status": refusal.status, "batch": None, "problem": problem}
    return {"batch_id": str(item.batch_id), "status": 201, "batch": body, "problem": None}


@routes.delete(
    "/payment-batches/{batch_id}/approvals/mine",
    response_model=schemas.BatchOut,
    responses=problems(Conflict, NotAllowedNow, MovedMeanwhile),
)
@notes_refusals(Action.RECALL)
def recall(ctx: ContextDep, actor: ActorDep, session: SessionDep, batch_id: UUID) -> Response:
    """Take one's approval back; free while the file was never handed out."""
    visible_batch(session, actor, batch_id)
    batch = reopening.recall_approval(ctx, session, actor, batch_id)
    return answer(200, _body(ctx, session, actor, batch), ETag=etag(batch.revision))


@routes.post(
    "/payment-batches/{batch_id}/reissue",
    response_model=schemas.BatchOut,
    responses=problems(*_ACTS, NotABankDay, ExecutionDateImpossible),
)
@notes_refusals(Action.REISSUE)
def reissue(
    request: Request,
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    key: KeyDep,
    batch_id: UUID,
    revision: RevisionDep,
    body: schemas.NewDate,
) -> Response:
    """Give an approved batch another execution date, only while its file was never handed out; it is approved anew."""
    require_rights(actor, visible_batch(session, actor, batch_id), Action.REISSUE)

    def act() -> tuple[int, dict[str, Any]]:
        day = body.requested_execution_date
        batch = reopening.reissue(ctx, session, actor, batch_id, revision, day)
        return 200, _body(ctx, session, actor, batch)

    return once(session, attempt_of(request, ctx, actor, key, body), act)


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
    require_rights(actor, visible_batch(session, actor, batch_id), action)

    def act() -> tuple[int, dict[str, Any]]:
        batch = deciding.end_batch(ctx, session, actor, batch_id, revision, action=action, reason=body.reason)
        return 200, _body(ctx, session, actor, batch)

    return once(session, attempt_of(request, ctx, actor, key, body), act)


@routes.post("/payment-batches/{batch_id}/rejection", response_model=schemas.BatchOut, responses=problems(*_ACTS))
@notes_refusals(Action.REJECT)
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


@routes.post("/payment-batches/{batch_id}/cancellation", response_model=schemas.BatchOut, responses=problems(*_ACTS))
@notes_refusals(Action.CANCEL)
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
    responses={
        **problems(Erased, SalariesHidden, CanonicalChanged),
        200: {"content": {"application/octet-stream": {}}},
    },
    response_class=Response,
)
def canonical(ctx: ContextDep, actor: ActorDep, session: SessionDep, batch_id: UUID) -> Response:
    """Return the bytes that the digest is made of, for who may see salaries."""
    actor.needs_scope(Scope.READ)
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    batch = visible_batch(session, actor, batch_id)
    require_salaries(revealing.seen_by(ctx, session, actor, batch), "What the digest is made of")
    refuse_erased(batch)
    data = revising.canonical_bytes(ctx, session, batch)
    return Response(
        data, media_type="application/octet-stream", headers={"Cache-Control": "no-store", "ETag": etag(batch.revision)}
    )
