"""Connections, administrations, links, uploads, and the runs that were seen."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from sqlmodel import Session, col, select

from app.auth.actor import Actor
from app.auth.models import ProposalOutcome, Role, Scope
from app.auth.proposals import AnotherProposalOpen, ProposalNotRecorded
from app.auth.web import ActorDep, SessionDep
from app.core import idempotency
from app.core.columns import any_of
from app.core.database import transaction
from app.core.errors import Conflict, NotFound
from app.core.idempotency import Attempt, KeyReused, Outcome
from app.core.paging import PageDep
from app.core.web import answer, outcome_answer, problems, router
from app.payments import connections, deciding, fetching, syncing, two_people, uploading
from app.payments.api import schemas, views
from app.payments.api.bank import WAITING
from app.payments.api.common import ContextDep, KeyDep, attempt_of, dump, once, xml_body
from app.payments.connections import ConnectionNotPassed, Link, NewConnection
from app.payments.context import Context
from app.payments.models import Administration, AdministrationLink, Connection, LinkMode, PaymentBatch, PayrollRun
from app.payments.ports import SourceCredentials
from app.payments.retention import Erased
from app.payments.two_people import Wanted
from app.payments.uploading import DocumentUnreadable, OwnFile, RunName, RunNotPayable, TotalsDiffer
from app.payments.visibility import Viewer, shown_text, visibility

routes = router(prefix="/v1", tags=["connections"])


def _connection(row: Connection, *, webhook_url: str | None = None) -> dict[str, Any]:
    return dump(
        schemas.ConnectionOut(
            id=row.id,
            organization_id=row.organization_id,
            kind=row.kind,
            username=row.username,
            domain=row.domain,
            state=row.state,
            created_at=row.created_at,
            checked_at=row.checked_at,
            checks=None
            if row.check_outcome is None
            else [schemas.OperationCheckOut(**each) for each in row.check_outcome],
            last_polled_at=row.last_polled_at,
            last_webhook_at=row.last_webhook_at,
            fault=row.fault,
            webhook_url=webhook_url,
        )
    )


class _AsAsked(schemas.NewConnectionIn):
    """A connection as it was asked for, with its secret: what a key stands for. Only a keyed hash of it is kept."""

    token: str  # type: ignore[assignment]


@routes.post(
    "/connections", status_code=201, response_model=schemas.ConnectionOut, responses=problems(Conflict, KeyReused)
)
def add_connection(
    request: Request, ctx: ContextDep, actor: ActorDep, session: SessionDep, key: KeyDep, body: schemas.NewConnectionIn
) -> Response:
    """Add a connection. The webhook address is in this answer only; the secret is never shown again."""
    actor.needs_scope(Scope.PREPARE)
    secret = body.token.get_secret_value()
    wanted = NewConnection(
        organization_id=body.organization_id,
        kind=body.kind,
        credentials=SourceCredentials(username=body.username, secret=secret, domain=body.domain),
    )

    def act() -> tuple[Connection, str | None]:
        return connections.add_connection(ctx, session, actor, wanted)

    asked = _AsAsked.model_construct(**{**body.model_dump(), "token": secret})
    answered = _once_with_address(ctx, session, attempt_of(request, ctx, actor, key, asked), act)
    return outcome_answer(answered, Location=f"/v1/connections/{answered.body['id']}")


def _once_with_address(
    ctx: Context, session: Session, attempt: Attempt | None, act: Callable[[], tuple[Connection, str | None]]
) -> Outcome:
    """Act once and show the new webhook address, this once: what is stored for a repeat does not hold it."""
    made: list[str] = []

    def without_address() -> tuple[int, dict[str, Any]]:
        row, token = act()
        made.extend([] if token is None else [connections.webhook_url(ctx, token)])
        return 201, _connection(row)

    outcome = idempotency.once(session, attempt, without_address)
    return replace(outcome, body={**outcome.body, "webhook_url": made[0] if made else None})


@routes.get("/connections", response_model=list[schemas.ConnectionOut], responses=problems())
def list_connections(request: Request, actor: ActorDep, session: SessionDep, page: PageDep) -> Response:
    """Return the connections of the caller's organizations, newest first."""
    actor.needs_scope(Scope.READ)
    statement = select(Connection).where(
        col(Connection.organization_id).in_(actor.organizations), col(Connection.deleted_at).is_(None)
    )
    rows = session.exec(page.newest_first(statement, col(Connection.created_at), col(Connection.id))).all()
    shown, headers = page.cut(request, rows, lambda row: (row.created_at, row.id))
    return answer(200, [_connection(row) for row in shown], **headers)


@routes.get("/connections/{connection_id}", response_model=schemas.ConnectionOut, responses=problems())
def get_connection(actor: ActorDep, session: SessionDep, connection_id: UUID) -> Response:
    """Return one connection, with what its last check said."""
    actor.needs_scope(Scope.READ)
    return answer(200, _connection(connections.find_connection(session, actor, connection_id)))


@routes.patch("/connections/{connection_id}", response_model=schemas.ConnectionOut, responses=problems(Conflict))
def change_connection(
    ctx: ContextDep, actor: ActorDep, session: SessionDep, connection_id: UUID, body: schemas.ChangedConnection
) -> Response:
    """Replace the credentials; the connection must pass its check again."""
    row = _own_connection(session, actor, connection_id)
    credentials = SourceCredentials(username=body.username, secret=body.token.get_secret_value(), domain=body.domain)
    return answer(200, _connection(connections.change_credentials(ctx, session, actor, row, credentials)))


@routes.delete("/connections/{connection_id}", status_code=204, responses=problems(), response_class=Response)
def delete_connection(ctx: ContextDep, actor: ActorDep, session: SessionDep, connection_id: UUID) -> Response:
    """End a connection. What it brought stays."""
    connections.delete_connection(ctx, session, actor, _own_connection(session, actor, connection_id))
    return Response(status_code=204)


def _own_connection(session: Session, actor: Actor, connection_id: UUID) -> Connection:
    actor.needs_scope(Scope.PREPARE)
    row = connections.find_connection(session, actor, connection_id)
    actor.needs_membership_role(row.organization_id, "admin")
    return row


@routes.post(
    "/connections/{connection_id}/check",
    response_model=schemas.ConnectionOut,
    responses=problems(Conflict, KeyReused),
)
def check_connection(request: Request, ctx: ContextDep, actor: ActorDep, key: KeyDep, connection_id: UUID) -> Response:
    """Test en sla op: call each needed operation once and say by its exact name what was ok, denied or failed."""
    attempt = attempt_of(request, ctx, actor, key, None)
    with transaction(ctx.engine) as session:
        _own_connection(session, actor, connection_id)
        before = idempotency.stored(session, attempt)
    if before is not None:
        return outcome_answer(before)
    row = connections.check_connection(ctx, connection_id, actor=actor.as_history())
    with transaction(ctx.engine) as session:
        return once(session, attempt, lambda: (200, _connection(row)))


@routes.post(
    "/connections/{connection_id}/webhook-token",
    status_code=201,
    response_model=schemas.ConnectionOut,
    responses=problems(Conflict, KeyReused),
)
def rotate_webhook_token(
    request: Request, ctx: ContextDep, actor: ActorDep, session: SessionDep, key: KeyDep, connection_id: UUID
) -> Response:
    """Make a new webhook address, shown this once; the old one goes on for a grace time."""
    row = _own_connection(session, actor, connection_id)

    def act() -> tuple[Connection, str | None]:
        return row, connections.rotate_webhook_token(ctx, session, actor, row)

    return outcome_answer(_once_with_address(ctx, session, attempt_of(request, ctx, actor, key, None), act))


def _administration(row: Administration, link: AdministrationLink | None) -> dict[str, Any]:
    out = schemas.AdministrationOut(
        id=row.id,
        number=row.number,
        name=row.name,
        client=row.client_name,
        external_id=row.external_id,
        link=None
        if link is None
        else schemas.LinkOut(
            employer_id=link.employer_id,
            debtor_account_id=link.debtor_account_id,
            go_live_on=link.go_live_on,
            mode=link.mode,
            pay_day_rule=link.pay_day_rule,
            uploads_allowed=link.uploads_allowed,
            needs_locked_run=link.needs_locked_run,
        ),
    )
    return dump(out)


@routes.get(
    "/connections/{connection_id}/administrations",
    response_model=list[schemas.AdministrationOut],
    responses=problems(),
)
def list_administrations(actor: ActorDep, session: SessionDep, connection_id: UUID) -> Response:
    """Return the administrations that a connection sees, linked or not."""
    actor.needs_scope(Scope.READ)
    connection = connections.find_connection(session, actor, connection_id)
    rows = session.exec(
        select(Administration, AdministrationLink)
        .join(
            AdministrationLink,
            col(AdministrationLink.administration_id) == col(Administration.id),
            isouter=True,
        )
        .where(Administration.connection_id == connection.id)
        .order_by(col(Administration.number), col(Administration.id))
    )
    return answer(200, [_administration(row, link) for row, link in rows])


@routes.post(
    "/connections/{connection_id}/administrations",
    status_code=201,
    response_model=schemas.AdministrationOut,
    responses=problems(Conflict, KeyReused),
)
def add_administration(
    request: Request,
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    key: KeyDep,
    connection_id: UUID,
    body: schemas.NewAdministration,
) -> Response:
    """Add an administration to an upload connection."""
    connection = _own_connection(session, actor, connection_id)

    def act() -> tuple[int, dict[str, Any]]:
        row = connections.add_administration(ctx, session, actor, connection, number=body.number, name=body.name)
        return 201, _administration(row, None)

    return once(session, attempt_of(request, ctx, actor, key, body), act)


@routes.put(
    "/administrations/{administration_id}/link",
    response_model=schemas.AdministrationOut,
    responses={**problems(Conflict, AnotherProposalOpen, ProposalNotRecorded), **WAITING},
)
def link_administration(
    ctx: ContextDep, actor: ActorDep, session: SessionDep, administration_id: UUID, body: schemas.LinkIn
) -> Response:
    """Link an administration to an employer and its default account, since a go-live date, for real or dry.

    A change of the link of a live administration comes from the employer and waits for a second admin, or a day.
    """
    actor.needs_scope(Scope.PREPARE)
    row = connections.visible_administration(session, actor, administration_id)
    wanted = Link(
        employer_id=body.employer_id,
        debtor_account_id=body.debtor_account_id,
        go_live_on=body.go_live_on,
        mode=body.mode,
        pay_day_rule=None if body.pay_day_rule is None else body.pay_day_rule.model_dump(mode="json"),
        uploads_allowed=body.uploads_allowed,
        needs_locked_run=body.needs_locked_run,
    )
    link = connections.link_administration(ctx, session, actor, row, wanted)
    if link is not None:
        return answer(200, _administration(row, link))
    return _change_link(ctx, session, actor, row, wanted)


def _change_link(ctx: Context, session: Session, actor: Actor, row: Administration, wanted: Link) -> Response:
    link = session.get_one(AdministrationLink, row.id)
    actor.needs_employer_role(link.employer_id, Role.ADMIN)
    connections.check_changed_link(session, link, wanted)
    if link.mode == LinkMode.DRY_RUN or connections.is_unchanged(link, wanted):
        # Nothing of a dry run is ever paid, so its link is still being set up.
        return answer(
            200, _administration(row, connections.change_link(ctx, session, link, wanted, actor.as_history()))
        )
    asked = Wanted(
        kind=two_people.LINK_CHANGE,
        target=row.id,
        reason="change of the link",
        payload=connections.link_payload(wanted),
    )
    proposal = two_people.act(ctx, session, actor, asked)
    if proposal.outcome == ProposalOutcome.APPLIED:
        return answer(200, _administration(row, link))
    return answer(202, dump(views.proposals_out(session, actor, [proposal])[0]))


@routes.post(
    "/administrations/{administration_id}/sync",
    status_code=202,
    responses=problems(Conflict, KeyReused, ConnectionNotPassed),
)
def sync_administration(
    request: Request, ctx: ContextDep, actor: ActorDep, session: SessionDep, key: KeyDep, administration_id: UUID
) -> Response:
    """Nu ophalen: ask the source for new runs and fetch again what failed. Safe to repeat."""
    actor.needs_scope(Scope.PREPARE)
    row = connections.visible_administration(session, actor, administration_id)
    connection = session.get_one(Connection, row.connection_id)
    if not fetching.usable(connection):
        raise ConnectionNotPassed(
            "This connection is not asked: it must pass its check first (POST /v1/connections/{id}/check)."
        )

    def act() -> tuple[int, dict[str, Any]]:
        runs = fetching.fetch_again(ctx, session, row.id, actor=actor.as_history())
        syncing.poke(ctx, session, connection.id)
        return 202, {"administration_id": str(row.id), "runs_fetched_again": [str(each) for each in runs]}

    return once(session, attempt_of(request, ctx, actor, key, None), act)


@routes.post(
    "/administrations/{administration_id}/payroll-files",
    status_code=201,
    response_model=schemas.RunOut,
    responses={
        **problems(Conflict, OwnFile, RunNotPayable, DocumentUnreadable, TotalsDiffer, Erased),
        200: {"model": schemas.RunOut, "description": "The same content was uploaded before"},
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/xml": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
def upload_payroll_file(
    ctx: ContextDep,
    actor: ActorDep,
    administration_id: UUID,
    data: Annotated[bytes, Depends(xml_body)],
    year: Annotated[int | None, Query(ge=2000, le=2100)] = None,
    period: Annotated[int | None, Query(ge=1, le=53)] = None,
    run_number: Annotated[int | None, Query(ge=1, le=100_000)] = None,
) -> Response:
    """Upload a SEPA file that the payroll package exported. The same content again: 200 with the existing run."""
    actor.needs_scope(Scope.PREPARE)
    name = RunName(year=year, period=period, run_number=run_number)
    uploaded = uploading.upload(ctx, actor, administration_id, data, name)
    with transaction(ctx.engine) as session:
        run = session.get_one(PayrollRun, uploaded.run_id)
        body = dump(_runs(session, actor, [run])[0])
    return answer(201 if uploaded.is_new else 200, body)


def _runs(session: Session, actor: Actor, rows: Sequence[PayrollRun]) -> list[schemas.RunOut]:
    viewer = Viewer(actor=actor)
    batches: dict[UUID, list[UUID]] = {}
    found = select(PaymentBatch.run_id, PaymentBatch.id).where(
        any_of(col(PaymentBatch.run_id), [row.id for row in rows])
    )
    for run_id, batch_id in session.exec(found.order_by(col(PaymentBatch.created_at))):
        batches.setdefault(run_id, []).append(batch_id)
    return [
        schemas.RunOut(
            id=row.id,
            administration_id=row.administration_id,
            employer_id=row.employer_id,
            number=row.number,
            year=row.year,
            period=row.period_start,
            period_end=row.period_end,
            frequency=row.frequency,
            description=views.run_description(row, visibility(viewer, row.employer_id)),
            locked=row.is_locked,
            made_at=row.made_at,
            state=row.state,
            reason_code=row.reason_code,
            reason=shown_text(row.reason, visibility(viewer, row.employer_id)),
            operation=row.operation,
            discovered_by=row.discovered_by,
            first_seen_at=row.first_seen_at,
            next_attempt_at=row.next_attempt_at,
            payment_batch_ids=batches.get(row.id, []),
        )
        for row in rows
    ]


@routes.get("/payroll-runs", response_model=list[schemas.RunOut], responses=problems())
def list_runs(
    request: Request,
    actor: ActorDep,
    session: SessionDep,
    page: PageDep,
    administration_id: Annotated[UUID | None, Query()] = None,
) -> Response:
    """Return what was seen, newest first: when, and in words why something was not fetched or is not payable."""
    actor.needs_scope(Scope.READ)
    statement = select(PayrollRun).where(col(PayrollRun.employer_id).in_(actor.readable_employers))
    if administration_id is not None:
        statement = statement.where(PayrollRun.administration_id == administration_id)
    rows = session.exec(page.newest_first(statement, col(PayrollRun.first_seen_at), col(PayrollRun.id))).all()
    shown, headers = page.cut(request, rows, lambda row: (row.first_seen_at, row.id))
    return answer(200, [dump(each) for each in _runs(session, actor, shown)], **headers)


@routes.post(
    "/payroll-runs/{run_id}/batches",
    status_code=201,
    response_model=schemas.BatchOut,
    responses=problems(Conflict, KeyReused, Erased),
)
def offer_again(
    request: Request, ctx: ContextDep, actor: ActorDep, session: SessionDep, key: KeyDep, run_id: UUID
) -> Response:
    """Offer a run again whose batches ended without a file."""
    actor.needs_scope(Scope.PREPARE)
    run = session.get(PayrollRun, run_id)
    if run is None or run.employer_id not in actor.readable_employers:
        raise NotFound("No such payroll run.")
    deciding.may_offer(actor, run)

    def act() -> tuple[int, dict[str, Any]]:
        batch = deciding.offer_again(ctx, session, actor, run_id)
        return 201, dump(views.batch_out(ctx, session, actor, batch))

    return once(session, attempt_of(request, ctx, actor, key, None), act)
