"""The history, as JSON and as CSV."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Request, Response

from app.auth.actor import Actor
from app.auth.models import Role, Scope
from app.auth.web import ActorDep, SessionDep
from app.core import history_proof
from app.core.errors import RoleMissing
from app.core.history_proof import Verdict
from app.core.paging import CursorText, bad_cursor, next_link, parts_of
from app.core.web import answer, problems, router
from app.payments import reporting
from app.payments.api import schemas
from app.payments.api.common import dump
from app.payments.approving import visible_batch
from app.payments.reporting import HistoryLine, HistoryQuestion
from app.payments.visibility import Viewer, visibility

routes = router(prefix="/v1", tags=["history"])
_LINES = 100
_MOST_CSV_LINES = 100_000


@routes.get("/payment-batches/{batch_id}/history", response_model=list[schemas.HistoryOut], responses=problems())
def batch_history(
    request: Request,
    actor: ActorDep,
    session: SessionDep,
    batch_id: UUID,
    cursor: CursorText = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> Response:
    """Return what happened to a batch, newest first."""
    actor.needs_scope(Scope.READ)
    batch = visible_batch(session, actor, batch_id)
    question = _question(actor, limit=limit + 1, before=_decoded(cursor), batch_id=batch.id)
    lines = reporting.history_lines(session, question)
    more = _next(request, lines[limit - 1]) if len(lines) > limit else {}
    return answer(200, _out(lines[:limit]), **more)


@routes.get(
    "/history",
    response_model=list[schemas.HistoryOut],
    responses={**problems(), 200: {"content": {"text/csv": {}}, "description": "Records, newest first"}},
)
def history(
    request: Request,
    actor: ActorDep,
    session: SessionDep,
    cursor: CursorText = None,
    limit: Annotated[int | None, Query(ge=1, le=1000, description="100 without it; as CSV 100,000")] = None,
    format: Annotated[Literal["json", "csv"] | None, Query()] = None,  # noqa: A002 - the name in the address
) -> Response:
    """Return what happened in the caller's organizations, newest first; `Accept: text/csv` or `?format=csv` for CSV."""
    actor.needs_scope(Scope.READ)
    wants_csv = format == "csv" or (format is None and "text/csv" in request.headers.get("accept", ""))
    most = limit or (_MOST_CSV_LINES if wants_csv else _LINES)
    lines = reporting.history_lines(session, _question(actor, limit=most + 1, before=_decoded(cursor)))
    shown = lines[:most]
    # Of a CSV as well: one that ends half-way must not pass for all of it.
    more = _next(request, shown[-1]) if len(lines) > most else {}
    return _csv(shown, more) if wants_csv else answer(200, _out(shown), **more)


@routes.get("/history/verification", response_model=list[schemas.VerificationOut], responses=problems(RoleMissing))
def verification(actor: ActorDep, session: SessionDep) -> Response:
    """Verify the history of the caller's organizations: every record, both chains, the seals and the head."""
    actor.needs_scope(Scope.READ)
    organizations = sorted(each for each in actor.organizations if _roles(actor, each) & {Role.ADMIN, Role.AUDITOR})
    if not organizations:
        raise RoleMissing("This needs one of the roles admin, auditor in an organization.")
    history_proof.snapshot(session)
    history_proof.take_turn(session, actor.user_id)
    return answer(200, [_verdict(history_proof.verify(session, each)) for each in organizations])


def _roles(actor: Actor, organization_id: UUID) -> frozenset[str]:
    return actor.employers.get(organization_id, frozenset()) | actor.offices.get(organization_id, frozenset())


def _verdict(verdict: Verdict) -> dict[str, object]:
    broken = verdict.first_broken
    return dump(
        schemas.VerificationOut(
            organization_id=verdict.organization_id,
            verified=verdict.verified,
            records=verdict.records,
            unsealed=verdict.unsealed,
            first_broken=None if broken is None else schemas.HistoryFault(sequence=broken.sequence, what=broken.what),
            head=schemas.VerifiedHead(
                sequence=verdict.head_sequence,
                mac=None if verdict.head_mac is None else verdict.head_mac.hex(),
                sealed_at=verdict.sealed_at,
            ),
        )
    )


def _question(
    actor: Actor,
    *,
    limit: int,
    before: tuple[datetime, UUID, int] | None = None,
    batch_id: UUID | None = None,
) -> HistoryQuestion:
    organizations = actor.readable_employers | frozenset(actor.offices)
    viewer = Viewer(actor=actor)
    return HistoryQuestion(
        organizations=organizations,
        with_totals_of=frozenset(each for each in organizations if visibility(viewer, each).shows_salaries),
        payment_batch_id=batch_id,
        before=before,
        limit=limit,
    )


def _csv(lines: Sequence[HistoryLine], more: Mapping[str, str]) -> Response:
    headers = {"Cache-Control": "no-store", "Content-Disposition": 'attachment; filename="historie.csv"', **more}
    return Response(reporting.as_csv(lines), media_type="text/csv; charset=utf-8", headers=headers)


def _out(lines: Sequence[HistoryLine]) -> list[dict[str, object]]:
    return [
        dump(
            schemas.HistoryOut(
                organization_id=line.organization_id,
                sequence=line.sequence,
                occurred_at=line.occurred_at,
                event=line.event,
                result=line.result,
                account=line.account,
                administration=line.administration,
                details=line.details,
                actor=line.actor,
                payment_batch_id=line.payment_batch_id,
                facts=dict(line.facts),
            )
        )
        for line in lines
    ]


def _next(request: Request, last: HistoryLine) -> dict[str, str]:
    return next_link(request, last.occurred_at.isoformat(), str(last.organization_id), str(last.sequence))


def _decoded(cursor: str | None) -> tuple[datetime, UUID, int] | None:
    if cursor is None:
        return None
    moment, organization, sequence = parts_of(cursor, 3)
    try:
        parsed = (datetime.fromisoformat(moment), UUID(organization), int(sequence))
    except ValueError as error:
        raise bad_cursor() from error
    if parsed[0].tzinfo is None or not 0 < parsed[2] < 2**63:
        raise bad_cursor()
    return parsed
