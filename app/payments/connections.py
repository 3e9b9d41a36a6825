"""Connections to payroll sources, the administrations they see, and which employer and account each pays from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from app.auth.actor import Actor
from app.auth.models import Role
from app.core import history
from app.core.crypto import Place
from app.core.database import transaction
from app.core.errors import Conflict, Invalid, NotFound, Problem
from app.core.history import Fact, HistoryActor
from app.core.ids import new_token, token_hash
from app.payments import calendar
from app.payments.context import Context
from app.payments.errors import FaultKind, SourceFault
from app.payments.locks import lock_administration
from app.payments.models import (
    Administration,
    AdministrationLink,
    BatchStatus,
    Connection,
    ConnectionState,
    DebtorAccount,
    LinkMode,
    PaymentBatch,
    PayrollRun,
    RunState,
    WebhookToken,
)
from app.payments.ports import CheckOutcome, OperationCheck, PayrollSource, SourceAdministration, SourceCredentials
from app.payments.transitions import Move, move

UPLOAD = "upload"


class ConnectionNotPassed(Conflict):
    """The connection did not pass its check, so it is not used."""

    code = "connection_not_passed"
    title = "Check the connection first"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewConnection:
    """What is asked for: whose connection, of which kind, with which credentials (none for uploads)."""

    organization_id: UUID
    kind: str
    credentials: SourceCredentials


def secret_place(connection: Connection) -> Place:
    """Return where the secret of a connection lives, as its seal binds it."""
    return Place(tenant=connection.organization_id, column="connection.secret", row=connection.id)


def open_source(ctx: Context, connection: Connection, *, timeout_seconds: float | None = None) -> PayrollSource:
    """Return the source behind a connection, with its secret opened for this use."""
    return ctx.sources[connection.kind].open(credentials_of(ctx, connection), timeout_seconds=timeout_seconds)


def credentials_of(ctx: Context, connection: Connection) -> SourceCredentials:
    """Return the credentials of a connection, opened."""
    sealed = connection.secret_sealed or b""
    secret = ctx.keyring.open(sealed, secret_place(connection)).decode() if sealed else ""
    return SourceCredentials(username=connection.username, secret=secret, domain=connection.domain)


def add_connection(
    ctx: Context, session: Session, actor: Actor, wanted: NewConnection
) -> tuple[Connection, str | None]:
    """Add a connection; return it with its webhook token, which is shown this once (None for uploads)."""
    actor.needs_membership_role(wanted.organization_id, Role.ADMIN)
    if wanted.kind != UPLOAD and wanted.kind not in ctx.sources:
        kinds = ", ".join(sorted([*ctx.sources, UPLOAD]))
        raise Invalid(errors=[Problem(pointer="/kind", code="kind", message=f"Known kinds are {kinds}.")])
    connection = Connection(
        id=ctx.new_id(),
        organization_id=wanted.organization_id,
        kind=wanted.kind,
        created_at=ctx.now(),
        state=ConnectionState.PASSED if wanted.kind == UPLOAD else ConnectionState.UNCHECKED,
    )
    if wanted.kind != UPLOAD:
        set_credentials(ctx, connection, wanted.credentials)
    session.add(connection)
    session.flush()
    _tell(ctx, session, connection, "connection.added", actor.as_history(), {"kind": wanted.kind})
    token = None if wanted.kind == UPLOAD else _add_webhook_token(ctx, session, connection)
    return connection, token


def set_credentials(ctx: Context, connection: Connection, credentials: SourceCredentials) -> None:
    """Put credentials on a connection, normalised and sealed; it must be checked again before it is used."""
    checked = ctx.sources[connection.kind].check_credentials(credentials)
    connection.username, connection.domain = checked.username, checked.domain
    connection.secret_sealed = ctx.keyring.seal(checked.secret.encode(), secret_place(connection))
    connection.state, connection.check_outcome = ConnectionState.UNCHECKED, None


def change_credentials(
    ctx: Context, session: Session, actor: Actor, connection: Connection, credentials: SourceCredentials
) -> Connection:
    """Replace the credentials of a connection."""
    if connection.kind == UPLOAD:
        raise Conflict("An upload connection has no credentials.")
    set_credentials(ctx, connection, credentials)
    session.add(connection)
    _tell(ctx, session, connection, "connection.credentials_changed", actor.as_history(), {})
    return connection


def _add_webhook_token(ctx: Context, session: Session, connection: Connection) -> str:
    token = new_token("lsw")
    session.add(
        WebhookToken(id=ctx.new_id(), connection_id=connection.id, token_hash=token_hash(token), created_at=ctx.now())
    )
    return token


def rotate_webhook_token(ctx: Context, session: Session, actor: Actor, connection: Connection) -> str:
    """Return a new webhook token; the old ones go on for the grace time."""
    if connection.kind == UPLOAD:
        raise Conflict("An upload connection has no webhook.")
    ends = ctx.now() + timedelta(hours=ctx.policy.webhook_token_grace_hours)
    rows = session.exec(
        select(WebhookToken).where(WebhookToken.connection_id == connection.id, col(WebhookToken.expires_at).is_(None))
    )
    for row in rows:
        row.expires_at = ends
        session.add(row)
    _tell(ctx, session, connection, "connection.webhook_rotated", actor.as_history(), {})
    return _add_webhook_token(ctx, session, connection)


def webhook_url(ctx: Context, token: str) -> str:
    """Return the address to paste in Nmbrs under Webhook instellingen."""
    return f"{ctx.policy.public_url.rstrip('/')}/client/{token}/webhooks/paymentsbatch"


def find_connection(session: Session, actor: Actor, connection_id: UUID) -> Connection:
    """Return a connection of one of the actor's organizations; `NotFound` otherwise."""
    connection = session.get(Connection, connection_id)
    if connection is None or connection.deleted_at or connection.organization_id not in actor.organizations:
        raise NotFound("No such connection.")
    return connection


def delete_connection(ctx: Context, session: Session, actor: Actor, connection: Connection) -> None:
    """End a connection: nothing is asked or received any more. What it brought stays."""
    connection.deleted_at, connection.secret_sealed = ctx.now(), None
    session.add(connection)
    for row in session.exec(select(WebhookToken).where(WebhookToken.connection_id == connection.id)):
        row.expires_at = ctx.now()
        session.add(row)
    _tell(ctx, session, connection, "connection.deleted", actor.as_history(), {})


def check_connection(ctx: Context, connection_id: UUID, *, actor: HistoryActor) -> Connection:
    """Test a connection ("Test en sla op"): call each needed operation once, and write what it said.

    It passes when no required operation was denied or failed. The administrations it sees are written down with it.
    """
    with transaction(ctx.engine) as session:
        connection = session.get(Connection, connection_id)
        if connection is None or connection.deleted_at is not None:
            raise NotFound("No such connection.")
        if connection.kind == UPLOAD:
            return connection
        source = open_source(ctx, connection)
    outcome = _run_check(source)
    passed = all(not check.required or check.outcome in _GOOD for check in outcome)
    administrations = list_or_nothing(source) if passed else []
    with transaction(ctx.engine) as session:
        connection = session.get_one(Connection, connection_id)
        connection.state = ConnectionState.PASSED if passed else ConnectionState.FAILED
        connection.checked_at, connection.check_outcome = ctx.now(), [_check_json(check) for check in outcome]
        connection.fault = None if passed else connection.fault
        connection.next_poll_at = ctx.now() if passed else None
        session.add(connection)
        note_administrations(ctx, session, connection, administrations)
        details = {check.operation: check.outcome.value for check in outcome}
        _tell(ctx, session, connection, "connection.checked", actor, {"passed": passed, "operations": details})
        return connection


_GOOD = (CheckOutcome.OK, CheckOutcome.NOT_TRIED)


def _run_check(source: PayrollSource) -> Sequence[OperationCheck]:
    try:
        return source.check()
    except SourceFault as fault:
        denied = fault.kind is FaultKind.PERSON
        return [
            OperationCheck(
                operation=fault.operation,
                outcome=CheckOutcome.DENIED if denied else CheckOutcome.FAILED,
                required=True,
                explanation=fault.explanation,
            )
        ]


def list_or_nothing(source: PayrollSource) -> Sequence[SourceAdministration]:
    """Return the administrations; nothing when the source fails now, a later sweep asks again."""
    try:
        return source.list_administrations()
    except SourceFault:
        return []


def _check_json(check: OperationCheck) -> dict[str, Any]:
    return {
        "operation": check.operation,
        "outcome": check.outcome.value,
        "required": check.required,
        "explanation": check.explanation,
    }


def note_administrations(
    ctx: Context, session: Session, connection: Connection, seen: Iterable[SourceAdministration]
) -> None:
    """Write down the administrations a connection sees; one is known by the source's own id, never by its name."""
    known = {
        row.external_id: row
        for row in session.exec(select(Administration).where(Administration.connection_id == connection.id))
    }
    for administration in seen:
        row = known.get(administration.external_id) or Administration(
            id=ctx.new_id(),
            connection_id=connection.id,
            external_id=administration.external_id,
            number=administration.number,
            name=administration.name,
            created_at=ctx.now(),
            last_seen_at=ctx.now(),
        )
        row.number, row.name, row.last_seen_at = administration.number, administration.name, ctx.now()
        row.frequency = administration.frequency or row.frequency
        row.client_external_id, row.client_name = administration.client_external_id, administration.client_name
        session.add(row)


def add_administration(
    ctx: Context, session: Session, actor: Actor, connection: Connection, *, number: str, name: str
) -> Administration:
    """Add an administration to an upload connection by hand; the same number twice is a conflict."""
    if connection.kind != UPLOAD:
        raise Conflict("Only an upload connection is given administrations by hand; others list their own.")
    statement = select(Administration).where(
        Administration.connection_id == connection.id, Administration.external_id == number
    )
    if session.exec(statement).first() is not None:
        raise Conflict("This connection has an administration with this number already.")
    row = Administration(
        id=ctx.new_id(),
        connection_id=connection.id,
        external_id=number,
        number=number,
        name=name,
        created_at=ctx.now(),
        last_seen_at=ctx.now(),
    )
    session.add(row)
    _tell(ctx, session, connection, "administration.added", actor.as_history(), {"number": number, "name": name})
    return row


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What an administration is linked to.

    `uploads_allowed`: payroll files may be uploaded beside a live connection. `needs_locked_run`: only runs that are
    locked at the source are paid.
    """

    employer_id: UUID
    debtor_account_id: UUID
    go_live_on: date
    mode: LinkMode
    pay_day_rule: Mapping[str, Any] | None = None
    uploads_allowed: bool = False
    needs_locked_run: bool = False


def link_payload(wanted: Link) -> dict[str, Any]:
    """Return a link as JSON; `link_from` reads it back."""
    return {
        "employer_id": str(wanted.employer_id),
        "debtor_account_id": str(wanted.debtor_account_id),
        "go_live_on": wanted.go_live_on.isoformat(),
        "mode": wanted.mode.value,
        "pay_day_rule": None if wanted.pay_day_rule is None else dict(wanted.pay_day_rule),
        "uploads_allowed": wanted.uploads_allowed,
        "needs_locked_run": wanted.needs_locked_run,
    }


def link_from(payload: Mapping[str, Any]) -> Link:
    """Return the link that a JSON payload describes."""
    return Link(
        employer_id=UUID(payload["employer_id"]),
        debtor_account_id=UUID(payload["debtor_account_id"]),
        go_live_on=date.fromisoformat(payload["go_live_on"]),
        mode=LinkMode(payload["mode"]),
        pay_day_rule=payload["pay_day_rule"],
        uploads_allowed=payload["uploads_allowed"],
        needs_locked_run=payload["needs_locked_run"],
    )


def link_administration(
    ctx: Context, session: Session, actor: Actor, administration: Administration, wanted: Link
) -> AdministrationLink | None:
    """Link an administration to an employer and its default account; None when it is linked already.

    It needs the connection's admin and an employer admin: one person who is both, or the office's admin under a live
    mandate. A change of an existing link comes from the employer's side and takes two people, or a day.
    """
    connection = session.get_one(Connection, administration.connection_id)
    if session.get(AdministrationLink, administration.id, with_for_update=True) is not None:
        return None
    if connection.organization_id in actor.organizations:
        actor.needs_membership_role(connection.organization_id, Role.ADMIN)
    actor.needs_employer_role(wanted.employer_id, Role.ADMIN, "office_admin")
    if wanted.uploads_allowed:
        # Beside a live connection this lets in what the payroll package never said: only the employer allows it.
        actor.needs_employer_role(wanted.employer_id, Role.ADMIN)
    _check_account(session, wanted)
    rule = _checked_rule(wanted) or calendar.format_pay_day_rule(calendar.PROPOSED_PAY_DAY_RULE)
    link = AdministrationLink(
        administration_id=administration.id,
        employer_id=wanted.employer_id,
        debtor_account_id=wanted.debtor_account_id,
        go_live_on=wanted.go_live_on,
        mode=wanted.mode,
        pay_day_rule=dict(rule),
        uploads_allowed=wanted.uploads_allowed,
        needs_locked_run=wanted.needs_locked_run,
        linked_at=ctx.now(),
        linked_by=actor.user_id,
    )
    session.add(link)
    connection.next_poll_at = ctx.now()
    session.add(connection)
    _tell_link(ctx, session, actor.as_history(), link, "administration.linked")
    return link


def _check_account(session: Session, wanted: Link) -> None:
    account = session.get(DebtorAccount, wanted.debtor_account_id)
    if account is None or account.employer_id != wanted.employer_id:
        message = "Choose an account of this employer."
        raise Invalid(errors=[Problem(pointer="/debtor_account_id", code="account", message=message)])


def _checked_rule(wanted: Link) -> dict[str, str | int | None] | None:
    """Return the pay-day rule in full, None when none is given.

    `Invalid` when it is none: no run of the administration could be given a date, so none would ever be fetched.
    """
    if wanted.pay_day_rule is None:
        return None
    return calendar.format_pay_day_rule(calendar.parse_pay_day_rule(wanted.pay_day_rule, at="/pay_day_rule"))


def check_changed_link(session: Session, link: AdministrationLink, wanted: Link) -> None:
    """Refuse a change that is never possible: another employer, an earlier go-live, back to a dry run."""
    if wanted.employer_id != link.employer_id:
        raise Conflict("An administration stays with its employer; unlinking is not possible yet.")
    _check_account(session, wanted)
    _checked_rule(wanted)
    if wanted.go_live_on < link.go_live_on:
        message = f"Go-live never moves earlier than {link.go_live_on.isoformat()}."
        raise Invalid(errors=[Problem(pointer="/go_live_on", code="go_live_earlier", message=message)])
    if link.mode == LinkMode.LIVE and wanted.mode == LinkMode.DRY_RUN:
        raise Conflict("A live administration does not go back to a dry run.")


def is_unchanged(link: AdministrationLink, wanted: Link) -> bool:
    """Say whether a link is as wanted already."""
    now = Link(
        employer_id=link.employer_id,
        debtor_account_id=link.debtor_account_id,
        go_live_on=link.go_live_on,
        mode=LinkMode(link.mode),
        pay_day_rule=link.pay_day_rule if wanted.pay_day_rule is not None else None,
        uploads_allowed=link.uploads_allowed,
        needs_locked_run=link.needs_locked_run,
    )
    return link_payload(now) == link_payload(replace(wanted, pay_day_rule=_checked_rule(wanted)))


def change_link(
    ctx: Context, session: Session, link: AdministrationLink, wanted: Link, actor: HistoryActor
) -> AdministrationLink:
    """Change a link; the caller has seen to the two people, or the day."""
    check_changed_link(session, link, wanted)
    goes_live = link.mode != wanted.mode
    link.debtor_account_id, link.go_live_on, link.mode = wanted.debtor_account_id, wanted.go_live_on, wanted.mode
    link.uploads_allowed, link.needs_locked_run = wanted.uploads_allowed, wanted.needs_locked_run
    rule = _checked_rule(wanted)
    if rule is not None:
        link.pay_day_rule = dict(rule)
    session.add(link)
    _tell_link(ctx, session, actor, link, "administration.link_changed")
    if goes_live:
        _end_dry_run(ctx, session, actor, link)
    return link


def _end_dry_run(ctx: Context, session: Session, actor: HistoryActor, link: AdministrationLink) -> None:
    """Cancel the open dry batches; their runs stay unpayable."""
    lock_administration(session, link.administration_id)  # a reading on its way comes before or after, not between
    batches = session.exec(
        select(PaymentBatch)
        .where(
            PaymentBatch.administration_id == link.administration_id,
            PaymentBatch.mode == LinkMode.DRY_RUN,
            PaymentBatch.status == BatchStatus.PENDING,
        )
        .with_for_update()
    ).all()
    for batch in batches:
        step = Move(
            to=BatchStatus.CANCELLED,
            event="batch.cancelled",
            actor=actor,
            now=ctx.now(),
            values={"status_reason": "The administration went live."},
            details={"reason": "went_live"},
        )
        move(session, batch, step)
    runs = select(PayrollRun).where(
        PayrollRun.administration_id == link.administration_id, PayrollRun.state != RunState.ERASED
    )
    for run in session.exec(runs):
        run.state, run.reason_code = RunState.IGNORED, "dry_run"
        run.reason = "The run was read in the dry run and is not payable."
        session.add(run)


def _tell_link(ctx: Context, session: Session, actor: HistoryActor, link: AdministrationLink, event: str) -> None:
    fact = Fact(
        organization_id=link.employer_id,
        event=event,
        actor=actor,
        occurred_at=ctx.now(),
        administration_id=link.administration_id,
        details={
            "debtor_account_id": str(link.debtor_account_id),
            "go_live_on": link.go_live_on.isoformat(),
            "mode": link.mode,
            "pay_day_rule": dict(link.pay_day_rule),
            "uploads_allowed": link.uploads_allowed,
            "needs_locked_run": link.needs_locked_run,
        },
    )
    history.record(session, fact)


def visible_administration(session: Session, actor: Actor, administration_id: UUID) -> Administration:
    """Return an administration that the actor may see: through its connection, or through its employer."""
    administration = session.get(Administration, administration_id)
    if administration is None:
        raise NotFound("No such administration.")
    connection = session.get_one(Connection, administration.connection_id)
    link = session.get(AdministrationLink, administration_id)
    by_connection = connection.organization_id in actor.organizations and connection.deleted_at is None
    by_employer = link is not None and link.employer_id in actor.readable_employers
    if not (by_connection or by_employer):
        raise NotFound("No such administration.")
    return administration


def _tell(
    ctx: Context,
    session: Session,
    connection: Connection,
    event: str,
    actor: HistoryActor,
    details: Mapping[str, Any],
) -> None:
    fact = Fact(
        organization_id=connection.organization_id,
        event=event,
        actor=actor,
        occurred_at=ctx.now(),
        details={"connection_id": str(connection.id), **details},
    )
    history.record(session, fact)
