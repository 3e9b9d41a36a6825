"""Lines that are still to be paid: the list, follow-up batches, paid elsewhere, not owed."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request, Response

from app.auth.models import Scope
from app.auth.web import ActorDep, SessionDep
from app.core.errors import Conflict, NotFound
from app.core.idempotency import KeyReused
from app.core.paging import CursorText, bad_cursor, next_link, parts_of
from app.core.web import answer, problems, router
from app.payments import revealing, unpaid
from app.payments.api import schemas, views
from app.payments.api.bank import visible_line
from app.payments.api.common import ContextDep, KeyDep, attempt_of, dump, once
from app.payments.bank_days import in_dutch
from app.payments.errors import AlreadyClaimed, ExecutionDateImpossible, NotABankDay, NotAllowedNow
from app.payments.models import ClaimWay, CreditTransfer, PaymentBatch
from app.payments.unpaid import FollowUp, Unpaid
from app.payments.visibility import Visibility, visibility

routes = router(prefix="/v1", tags=["unpaid lines"])


@routes.get("/unpaid-transfers", response_model=list[schemas.UnpaidOut], responses=problems())
def list_unpaid(
    request: Request,
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    employer_id: Annotated[UUID | None, Query()] = None,
    cursor: CursorText = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Response:
    """Return the lines that were not paid and still are to be, the oldest pay day first.

    `X-Total-Count` is their number on all pages.
    """
    actor.needs_scope(Scope.READ)
    employers = actor.readable_employers
    if employer_id is not None:
        if employer_id not in employers:
            raise NotFound("No such employer.")
        employers = frozenset({employer_id})
    after = _place(cursor)
    every = unpaid.unpaid_lines(ctx, session, employers)
    lines = [line for line in every if after is None or line.place > after]
    viewer = revealing.viewer_of(ctx, session, actor)
    codes = views.finding_codes(session, [line.transfer.id for line in lines[:limit]])
    shown = [
        dump(_unpaid(line, codes.get(line.transfer.id, []), visibility(viewer, line.batch.employer_id, line.batch.id)))
        for line in lines[:limit]
    ]
    more = next_link(request, *map(str, lines[limit - 1].place)) if len(lines) > limit else {}
    return answer(200, shown, **{"X-Total-Count": str(len(every)), **more})


def _place(cursor: str | None) -> tuple[date, int, UUID] | None:
    if cursor is None:
        return None
    day, position, identifier = parts_of(cursor, 3)
    try:
        return date.fromisoformat(day), int(position), UUID(identifier)
    except ValueError as error:
        raise bad_cursor() from error


def _unpaid(line: Unpaid, codes: Sequence[str], seen: Visibility) -> schemas.UnpaidOut:
    late = line.late_since
    return schemas.UnpaidOut(
        transfer=views.transfer_out(line.transfer, codes, seen),
        payment_batch_id=line.batch.id,
        employer_id=line.batch.employer_id,
        run=views.run_short(line.run, seen),
        late_since=late,
        text_nl="nog te betalen" if late is None else f"te laat sinds {in_dutch(late)}",
    )


@routes.post(
    "/follow-up-batches",
    status_code=201,
    response_model=schemas.BatchOut,
    responses=problems(Conflict, KeyReused, NotABankDay, ExecutionDateImpossible),
)
def make_follow_up(
    request: Request,
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    key: KeyDep,
    body: schemas.NewFollowUp,
) -> Response:
    """Offer unpaid lines of one run again, in a batch with its own approval."""
    actor.needs_scope(Scope.PREPARE)

    def act() -> tuple[int, dict[str, Any]]:
        wanted = FollowUp(transfer_ids=body.transfer_ids, requested_execution_date=body.requested_execution_date)
        batch = unpaid.make_follow_up(ctx, session, actor, wanted)
        return 201, dump(views.batch_out(ctx, session, actor, batch))

    return once(session, attempt_of(request, ctx, actor, key, body), act)


@routes.post(
    "/transfers/{transfer_id}/paid-elsewhere",
    status_code=201,
    response_model=schemas.TransferOut,
    responses=problems(Conflict, KeyReused, NotAllowedNow, AlreadyClaimed),
)
def paid_elsewhere(
    request: Request,
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    key: KeyDep,
    transfer_id: UUID,
    body: schemas.Ending,
) -> Response:
    """Say that a line was paid by other means; it leaves the list, and no batch can pay it any more."""
    visible_line(session, actor, transfer_id)
    unpaid.may_close(session, actor, transfer_id)

    def act() -> tuple[int, dict[str, Any]]:
        row = unpaid.close_line(ctx, session, actor, transfer_id, way=ClaimWay.ELSEWHERE, reason=body.reason)
        return 201, _line(ctx, session, actor, row)

    return once(session, attempt_of(request, ctx, actor, key, body), act)


@routes.post(
    "/transfers/{transfer_id}/waiver",
    status_code=201,
    response_model=schemas.TransferOut,
    responses=problems(Conflict, KeyReused, NotAllowedNow, AlreadyClaimed),
)
def waive(
    request: Request,
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    key: KeyDep,
    transfer_id: UUID,
    body: schemas.Ending,
) -> Response:
    """Say that a line is not owed; it leaves the list, and no batch can pay it any more."""
    visible_line(session, actor, transfer_id)
    unpaid.may_close(session, actor, transfer_id)

    def act() -> tuple[int, dict[str, Any]]:
        row = unpaid.close_line(ctx, session, actor, transfer_id, way=ClaimWay.WAIVED, reason=body.reason)
        return 201, _line(ctx, session, actor, row)

    return once(session, attempt_of(request, ctx, actor, key, body), act)


def _line(ctx: ContextDep, session: SessionDep, actor: ActorDep, row: CreditTransfer) -> dict[str, Any]:
    batch = session.get_one(PaymentBatch, row.batch_id)
    codes = views.finding_codes(session, [row.id]).get(row.id, [])
    return dump(views.transfer_out(row, codes, revealing.seen_by(ctx, session, actor, batch)))
