"""Finding out which runs there are: after a webhook, on request, and by a poll that needs no webhook at all.

A webhook only says that it may be worth asking. What it seems to be about narrows the question when it fits what we
know, and widens it to everything otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Session, col, select

from app.core import history
from app.core.clock import amsterdam_date
from app.core.crypto import Place
from app.core.database import transaction
from app.core.history import SYSTEM, Fact
from app.jobs.deferring import defer
from app.payments import fetching
from app.payments.connections import list_or_nothing, note_administrations, open_source
from app.payments.context import Context
from app.payments.errors import FaultKind, SourceFault
from app.payments.fetching import RunList
from app.payments.models import (
    Administration,
    AdministrationLink,
    Connection,
    ConnectionState,
    PayrollRun,
    RunState,
    WebhookDelivery,
)
from app.payments.ports import WebhookHint

SYNC_RUNS = "sync_runs"
# Wage runs of the old year go on until the middle of February, those of the next begin in December.
_OLD_YEAR_UNTIL = (2, 15)
_NEXT_YEAR_FROM_MONTH = 12
_OVERDUE = timedelta(seconds=30)
_MOST_DELIVERIES = 1_000
_PLAUSIBLE_YEARS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class _Errand:
    """What one sync asks: which administrations, which years, because of which deliveries."""

    administrations: Sequence[tuple[UUID, str]]
    years: Sequence[int]
    deliveries: Sequence[UUID]
    connection: Connection
    hinted_runs: frozenset[str]
    full: bool
    last_delivery_at: datetime | None


def delivery_place(connection_id: UUID, delivery_id: UUID) -> Place:
    """Return where the body of a delivery lives, as its seal binds it."""
    return Place(tenant=connection_id, column="webhook_delivery.body", row=delivery_id)


def poke_lock(connection_id: UUID) -> str:
    """Return what keeps the pokes of a connection that wait to one."""
    return f"sync:{connection_id}"


def poke(ctx: Context, session: Session, connection_id: UUID) -> None:
    """Have the runs of a connection looked at soon; pokes that come close together are one job."""
    defer(
        session,
        SYNC_RUNS,
        {"connection_id": str(connection_id)},
        queueing_lock=poke_lock(connection_id),
        not_before=ctx.now() + timedelta(seconds=ctx.policy.poke_delay_seconds),
    )


def sync_runs(ctx: Context, connection_id: UUID) -> int:
    """Ask a connection's source for runs and write down the new ones; return how many were new."""
    errand = _errand(ctx, connection_id)
    if errand is None:
        return 0
    source = open_source(ctx, errand.connection)
    if errand.full:
        seen = list_or_nothing(source)
        with transaction(ctx.engine) as session:
            note_administrations(ctx, session, session.get_one(Connection, connection_id), seen)
    new = 0
    discovered_by = "webhook" if errand.deliveries else "poll"
    fault: SourceFault | None = None
    for administration_id, external_id in errand.administrations:
        try:
            runs = [run for year in errand.years for run in source.list_runs(external_id, year=year)]
        except SourceFault as caught:
            fault = caught
            if caught.code == "credentials_refused":
                break
            continue
        listed = RunList(runs=runs, years=errand.years, discovered_by=discovered_by, hinted=errand.hinted_runs)
        new += fetching.note_runs(ctx, administration_id, listed)
    _finish(ctx, errand, fault)
    return new


def _errand(ctx: Context, connection_id: UUID) -> _Errand | None:
    with transaction(ctx.engine) as session:
        connection = session.get(Connection, connection_id)
        if connection is None or not fetching.usable(connection):
            return None
        rows = session.exec(
            select(WebhookDelivery)
            .where(WebhookDelivery.connection_id == connection_id, col(WebhookDelivery.processed_at).is_(None))
            .order_by(col(WebhookDelivery.received_at))
            .limit(_MOST_DELIVERIES)
        ).all()
        hints = [hint for row in rows for hint in _hints(ctx, connection, row)]
        linked = _linked(session, connection_id)
        full = _is_first_of_the_day(ctx, connection)
        return _Errand(
            administrations=_narrowed(linked, hints),
            years=_years(ctx.now(), hints, full=full),
            deliveries=[row.id for row in rows],
            last_delivery_at=rows[-1].received_at if rows else None,
            full=full,
            connection=connection,
            hinted_runs=frozenset(hint.run_external_id for hint in hints if hint.run_external_id),
        )


def _hints(ctx: Context, connection: Connection, row: WebhookDelivery) -> Sequence[WebhookHint]:
    body = ctx.keyring.open(row.body_sealed, delivery_place(connection.id, row.id))
    return ctx.sources[connection.kind].read_webhook(body=body, headers=row.headers, query=row.query)


def _linked(session: Session, connection_id: UUID) -> list[tuple[UUID, str]]:
    statement = (
        select(Administration.id, Administration.external_id)
        .join(AdministrationLink, col(AdministrationLink.administration_id) == col(Administration.id))
        .where(Administration.connection_id == connection_id)
        .order_by(col(Administration.number))
    )
    return list(session.exec(statement).all())


def _narrowed(linked: Sequence[tuple[UUID, str]], hints: Sequence[WebhookHint]) -> list[tuple[UUID, str]]:
    """Keep only the administrations that the hints name, when every hint names one we know."""
    known = {external_id for _, external_id in linked}
    named = {hint.administration_external_id for hint in hints}
    if not hints or not named <= known:
        return list(linked)
    return [pair for pair in linked if pair[1] in named]


def _is_first_of_the_day(ctx: Context, connection: Connection) -> bool:
    """Say whether this is the full look of the day: last year's runs too, and which administrations there are."""
    last = connection.last_polled_at
    return last is None or amsterdam_date(last) != amsterdam_date(ctx.now())


def _years(now: datetime, hints: Sequence[WebhookHint], *, full: bool) -> list[int]:
    today = amsterdam_date(now)
    years = {today.year}
    if full or (today.month, today.day) <= _OLD_YEAR_UNTIL:
        years.add(today.year - 1)
    if today.month == _NEXT_YEAR_FROM_MONTH:
        years.add(today.year + 1)
    hinted = {hint.year for hint in hints if hint.year is not None}
    return sorted(years | {year for year in hinted if abs(year - today.year) <= _PLAUSIBLE_YEARS})


def _finish(ctx: Context, errand: _Errand, fault: SourceFault | None) -> None:
    """Stamp the deliveries and the connection. A source that did not answer keeps the deliveries for the next poke."""
    now = ctx.now()
    with transaction(ctx.engine) as session:
        connection = session.get_one(Connection, errand.connection.id)
        if fault is None or fault.kind is not FaultKind.WAIT:
            session.execute(
                sa.update(WebhookDelivery)
                .where(col(WebhookDelivery.id).in_(errand.deliveries))
                .values(processed_at=now)
            )
        if fault is None:
            connection.last_polled_at, connection.fault = now, None
        else:
            _note_fault(ctx, session, connection, fault)
        connection.next_poll_at = now + timedelta(seconds=ctx.policy.poll_interval_seconds)
        connection.last_webhook_at = errand.last_delivery_at or connection.last_webhook_at
        session.add(connection)


def _note_fault(ctx: Context, session: Session, connection: Connection, fault: SourceFault) -> None:
    before: dict[str, Any] = connection.fault or {}
    connection.fault = {
        "code": fault.code,
        "operation": fault.operation,
        "explanation": fault.explanation,
        "since": before.get("since", ctx.now().isoformat())
        if before.get("code") == fault.code
        else ctx.now().isoformat(),
        "times": before.get("times", 0) + 1 if before.get("code") == fault.code else 1,
    }
    if fault.code == "credentials_refused" and connection.fault["times"] > 1:
        # Never hammer with credentials that are refused: a person checks the connection first.
        connection.state = ConnectionState.FAILED
    if before.get("code") != fault.code:
        details = {"connection_id": str(connection.id), **connection.fault}
        fact = Fact(
            organization_id=connection.organization_id,
            event="connection.fault",
            actor=SYSTEM,
            occurred_at=ctx.now(),
            details=details,
        )
        history.record(session, fact)


def tick(ctx: Context) -> None:
    """Poke what is due: polls, deliveries that nobody processed, runs whose job was lost. From our own tables alone."""
    now = ctx.now()
    with transaction(ctx.engine) as session:
        for connection_id in _due(session, now):
            poke(ctx, session, connection_id)
        for run_id in _stuck_runs(session, now):
            fetching.defer_fetch(session, run_id)


def _due(session: Session, now: datetime) -> list[UUID]:
    waiting = select(WebhookDelivery.connection_id).where(
        col(WebhookDelivery.processed_at).is_(None), col(WebhookDelivery.received_at) < now - _OVERDUE
    )
    statement = select(Connection.id).where(
        col(Connection.deleted_at).is_(None),
        Connection.state == ConnectionState.PASSED,
        Connection.kind != "upload",
        sa.or_(
            col(Connection.next_poll_at).is_(None),
            col(Connection.next_poll_at) <= now,
            col(Connection.id).in_(waiting),
        ),
    )
    return list(session.exec(statement))


def _stuck_runs(session: Session, now: datetime) -> list[UUID]:
    """Return the runs that should be under way and have no job any more, or one that is overdue."""
    statement = select(PayrollRun.id).where(
        col(PayrollRun.state).in_((RunState.SEEN, RunState.FETCHING)),
        PayrollRun.source_kind != "upload",
        sa.or_(
            sa.and_(col(PayrollRun.next_attempt_at).is_(None), col(PayrollRun.first_seen_at) < now - _OVERDUE),
            col(PayrollRun.next_attempt_at) < now - _OVERDUE,
        ),
    )
    return list(session.exec(statement.limit(1_000)))
