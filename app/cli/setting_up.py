"""Commands for setting up without pages. The operator's command line is the only bootstrap, and is in the history.

Secrets come from a prompt, a file or the environment, never from the command line, where others could read them.
"""

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import click
from sqlmodel import Session

from app.auth import people
from app.auth.actor import Actor
from app.auth.models import OrganizationKind, Role, Scope
from app.auth.people import Act
from app.cli.runtime import built_service
from app.core.database import transaction
from app.core.errors import Conflict
from app.core.history import OPERATOR
from app.core.money import stated_cents
from app.payments import accounts, connections
from app.payments.accounts import Confirmation, LimitSetting, NewAccount
from app.payments.connections import Link, NewConnection
from app.payments.context import Context
from app.payments.limits import LimitKind
from app.payments.models import LinkMode
from app.payments.ports import SourceCredentials

Result = TypeVar("Result")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_SHOWN_OF_TOKEN = {"id", "scopes", "created_at", "expires_at", "last_used_at", "is_unattended"}
_day = click.DateTime(["%Y-%m-%d"])
_as = click.option("--as", "email", required=True, help="E-mail of the admin on whose behalf this is done.")


def _show(values: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(values, default=str))
    else:
        for name, value in values.items():
            click.echo(f"{name}: {value}")


def _in_transaction(use: Callable[[Context, Session, Act], Result]) -> Result:
    with built_service() as service, transaction(service.context.engine) as session:
        ctx = service.context
        return use(ctx, session, Act(actor=OPERATOR, now=ctx.now(), new_id=ctx.new_id))


def _acting(session: Session, act: Act, email: str) -> Actor:
    return people.operator_acting_for(session, people.find_user(session, email), act)


@click.group()
def office() -> None:
    """Payroll offices."""


@click.group()
def employer() -> None:
    """Employers."""


def _add_organization(kind: OrganizationKind, name: str, *, as_json: bool) -> None:
    row = _in_transaction(lambda _, session, act: people.add_organization(session, act, kind=kind, name=name))
    _show({"id": row.id, "name": row.name}, as_json=as_json)


@office.command("add")
@click.option("--name", required=True)
@_json
def add_office(name: str, *, as_json: bool) -> None:
    """Add a payroll office."""
    _add_organization(OrganizationKind.OFFICE, name, as_json=as_json)


@employer.command("add")
@click.option("--name", required=True)
@_json
def add_employer(name: str, *, as_json: bool) -> None:
    """Add an employer."""
    _add_organization(OrganizationKind.EMPLOYER, name, as_json=as_json)


@click.group()
def user() -> None:
    """People."""


@user.command("add")
@click.option("--email", required=True)
@click.option("--name", required=True)
@click.option("--organization", required=True, type=click.UUID)
@click.option("--role", required=True, type=click.Choice([role.value for role in Role]))
@click.option(
    "--pin-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="File with the first PIN."
)
@click.option("--ends-on", type=_day, help="Last day of a deputy; left out, the role has no end.")
@_json
def add_user(
    email: str,
    name: str,
    organization: UUID,
    role: str,
    pin_file: Path | None,
    ends_on: datetime | None,
    *,
    as_json: bool,
) -> None:
    """Add a person to an organization with a role; a known e-mail gets the role on top of those it has.

    A role that the person has already only gets its last day moved.
    """
    last_day = None if ends_on is None else ends_on.date()

    def use(ctx: Context, session: Session, act: Act) -> UUID:
        row = people.add_user(session, act, email=email, name=name)
        people.add_membership(session, act, user=row, organization_id=organization, role=Role(role), ends_on=last_day)
        if pin_file is not None and row.pin_hash is None:
            pin = pin_file.read_text(encoding="utf-8").strip()
            people.set_first_pin(session, act, user=row, pin=pin, secret=ctx.identifier_secret)
        return row.id

    shown = {"id": _in_transaction(use), "email": email.lower(), "role": role}
    _show(shown if last_day is None else {**shown, "ends_on": last_day}, as_json=as_json)


@user.command("pin")
@click.option("--email", required=True)
@click.option("--pin-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Else it is asked for.")
@click.option("--reset", is_flag=True, help="Set it anew for who forgot or locked it; for a day nothing is approved.")
def set_pin(email: str, pin_file: Path | None, *, reset: bool) -> None:
    """Set the first PIN of a person, or with --reset another one.

    A PIN set anew approves nothing for a day, unless another approver confirms that it is really this person's.
    """
    pin = (
        pin_file.read_text(encoding="utf-8").strip()
        if pin_file
        else click.prompt("PIN", hide_input=True, confirmation_prompt=True)
    )

    def use(ctx: Context, session: Session, act: Act) -> bool:
        row = people.find_user(session, email)
        changes = reset and row.pin_hash is not None
        put = people.change_pin if changes else people.set_first_pin
        put(session, act, user=row, pin=pin, secret=ctx.identifier_secret)
        return changes

    if _in_transaction(use):
        click.echo("The PIN is set anew. It approves nothing for 24 hours, unless another approver confirms it.")
    else:
        click.echo("The PIN is set.")


@click.group()
def token() -> None:
    """API tokens."""


@token.command("issue")
@click.option("--email", required=True)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([scope.value for scope in Scope]),
    default=["read"],
    show_default=True,
)
@click.option("--days", type=int, default=90, show_default=True)
@click.option("--unattended", is_flag=True, help="For a program, which never gives all of several approvals.")
@_json
def issue_token(email: str, scopes: tuple[str, ...], days: int, *, unattended: bool, as_json: bool) -> None:
    """Issue a token. It is shown once."""

    def use(_ctx: Context, session: Session, act: Act) -> people.IssuedToken:
        owner = people.find_user(session, email)
        wanted = frozenset(Scope(scope) for scope in scopes)
        return people.issue_token(session, act, user=owner, scopes=wanted, days=days, is_unattended=unattended)

    issued = _in_transaction(use)
    _show(
        {"id": issued.row.id, "token": issued.token, "scopes": issued.row.scopes, "expires_at": issued.row.expires_at},
        as_json=as_json,
    )


@token.command("rotate")
@click.option("--id", "token_id", required=True, type=click.UUID)
@click.option("--days", type=int, default=90, show_default=True, help="How long the new one lasts.")
@click.option("--grace-hours", type=int, default=24, show_default=True, help="How long the old one still works.")
@_json
def rotate_token(token_id: UUID, days: int, grace_hours: int, *, as_json: bool) -> None:
    """Replace a token by another with the same scopes. The new one is shown once; the old one works a while longer."""
    grace = timedelta(hours=grace_hours)
    issued = _in_transaction(
        lambda _, session, act: people.rotate_token(session, act, token_id=token_id, days=days, grace=grace)
    )
    _show(
        {"id": issued.row.id, "token": issued.token, "scopes": issued.row.scopes, "expires_at": issued.row.expires_at},
        as_json=as_json,
    )


@token.command("list")
@click.option("--email", required=True)
@_json
def list_tokens(email: str, *, as_json: bool) -> None:
    """Show the tokens of a person that were not revoked, and when each was last used; never the tokens themselves."""
    rows = _in_transaction(lambda _, session, __: people.tokens_of(session, people.find_user(session, email)))
    shown = [row.model_dump(include=_SHOWN_OF_TOKEN) for row in rows]
    if as_json:
        click.echo(json.dumps(shown, default=str))
        return
    for each in shown:
        click.echo("  ".join(f"{name}: {value}" for name, value in each.items()))


@token.command("revoke")
@click.option("--id", "token_id", required=True, type=click.UUID)
def revoke_token(token_id: UUID) -> None:
    """End a token now."""
    _in_transaction(lambda _, session, act: people.revoke_token(session, act, token_id=token_id))
    click.echo("The token is revoked.")


@click.group()
def mandate() -> None:
    """What an employer lets an office do."""


@mandate.command("grant")
@click.option("--office", "office_id", required=True, type=click.UUID)
@click.option("--employer", "employer_id", required=True, type=click.UUID)
@click.option("--sees-salaries", is_flag=True)
@_as
@_json
def grant_mandate(office_id: UUID, employer_id: UUID, email: str, *, sees_salaries: bool, as_json: bool) -> None:
    """Grant a mandate for an employer admin, and accept it for the office."""

    def use(_ctx: Context, session: Session, act: Act) -> dict[str, Any]:
        actor = _acting(session, act, email)
        actor.needs_employer_role(employer_id, Role.ADMIN)
        people.grant_mandate(
            session,
            act,
            office_id=office_id,
            employer_id=employer_id,
            granted_by=actor.user_id,
            sees_salaries=sees_salaries,
        )
        session.flush()
        row = people.accept_mandate(
            session, act, office_id=office_id, employer_id=employer_id, accepted_by=actor.user_id
        )
        return {"office_id": row.office_id, "employer_id": row.employer_id, "sees_salaries": row.sees_salaries}

    _show(_in_transaction(use), as_json=as_json)


@click.group()
def connection() -> None:
    """Connections to payroll sources."""


@connection.command("add")
@click.option("--organization", required=True, type=click.UUID)
@click.option("--kind", required=True, help="nmbrs_soap or upload.")
@click.option("--username", default="", help="E-mail at the source.")
@click.option("--domain", default="")
@click.option(
    "--token-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Else it is asked for."
)
@_as
@_json
def add_connection(
    organization: UUID, kind: str, username: str, domain: str, token_file: Path | None, email: str, *, as_json: bool
) -> None:
    """Add a connection. Its webhook address is shown once."""
    secret = ""
    if kind != connections.UPLOAD:
        secret = (
            token_file.read_text(encoding="utf-8").strip()
            if token_file
            else click.prompt("API token at the source", hide_input=True)
        )

    def use(ctx: Context, session: Session, act: Act) -> dict[str, Any]:
        wanted = NewConnection(
            organization_id=organization,
            kind=kind,
            credentials=SourceCredentials(username=username, secret=secret, domain=domain),
        )
        row, webhook = connections.add_connection(ctx, session, _acting(session, act, email), wanted)
        url = None if webhook is None else connections.webhook_url(ctx, webhook)
        return {"id": row.id, "kind": row.kind, "state": row.state, "webhook_url": url}

    _show(_in_transaction(use), as_json=as_json)


@connection.command("check")
@click.option("--id", "connection_id", required=True, type=click.UUID)
@_json
def check_connection(connection_id: UUID, *, as_json: bool) -> None:
    """Test a connection: each needed call once, by its exact name."""
    with built_service() as service:
        row = connections.check_connection(service.context, connection_id, actor=OPERATOR)
    values: dict[str, Any] = {"id": row.id, "state": row.state}
    for check in row.check_outcome or []:
        values[check["operation"]] = f"{check['outcome']} {check['explanation']}".strip()
    _show(values, as_json=as_json)


@click.group()
def administration() -> None:
    """Administrations."""


@administration.command("add")
@click.option("--connection", "connection_id", required=True, type=click.UUID)
@click.option("--number", required=True)
@click.option("--name", required=True)
@_as
@_json
def add_administration(connection_id: UUID, number: str, name: str, email: str, *, as_json: bool) -> None:
    """Add an administration to an upload connection."""

    def use(ctx: Context, session: Session, act: Act) -> dict[str, Any]:
        actor = _acting(session, act, email)
        found = connections.find_connection(session, actor, connection_id)
        row = connections.add_administration(ctx, session, actor, found, number=number, name=name)
        return {"id": row.id, "number": row.number, "name": row.name}

    _show(_in_transaction(use), as_json=as_json)


@administration.command("link")
@click.option("--id", "administration_id", required=True, type=click.UUID)
@click.option("--employer", "employer_id", required=True, type=click.UUID)
@click.option("--debtor-account", "account_id", required=True, type=click.UUID)
@click.option("--go-live-on", required=True, type=_day)
@click.option("--mode", type=click.Choice([mode.value for mode in LinkMode]), default="dry_run", show_default=True)
@_as
@_json
def link_administration(
    administration_id: UUID,
    employer_id: UUID,
    account_id: UUID,
    go_live_on: Any,
    mode: str,
    email: str,
    *,
    as_json: bool,
) -> None:
    """Link an administration to an employer and its default account."""
    day: date = go_live_on.date()

    def use(ctx: Context, session: Session, act: Act) -> dict[str, Any]:
        actor = _acting(session, act, email)
        row = connections.visible_administration(session, actor, administration_id)
        wanted = Link(employer_id=employer_id, debtor_account_id=account_id, go_live_on=day, mode=LinkMode(mode))
        link = connections.link_administration(ctx, session, actor, row, wanted)
        if link is None:
            message = "The administration is linked already; the employer changes that over the REST API (two people)."
            raise Conflict(message)
        return {"administration_id": row.id, "employer_id": link.employer_id, "mode": link.mode}

    _show(_in_transaction(use), as_json=as_json)


@click.group("debtor-account")
def debtor_account() -> None:
    """Accounts that employers pay from."""


@debtor_account.command("add")
@click.option("--employer", "employer_id", required=True, type=click.UUID)
@click.option("--iban", required=True)
@click.option("--holder-name", required=True)
@_as
@_json
def add_account(employer_id: UUID, iban: str, holder_name: str, email: str, *, as_json: bool) -> None:
    """Add an account; it must be confirmed before files are made on it."""

    def use(ctx: Context, session: Session, act: Act) -> dict[str, Any]:
        wanted = NewAccount(employer_id=employer_id, iban=iban, holder_name=holder_name)
        row = accounts.add_account(ctx, session, _acting(session, act, email), wanted)
        return {"id": row.id, "iban": row.iban, "state": row.state}

    _show(_in_transaction(use), as_json=as_json)


@debtor_account.command("confirm")
@click.option("--id", "account_id", required=True, type=click.UUID)
@click.option("--holder-name", required=True, help="As the bank has it.")
@click.option("--authorised-person", required=True)
@click.option("--evidence", required=True, help="For instance: extract of the trade register of 2026-11-01.")
@_as
@_json
def confirm_account(
    account_id: UUID, holder_name: str, authorised_person: str, evidence: str, email: str, *, as_json: bool
) -> None:
    """Confirm an account for an employer admin."""

    def use(ctx: Context, session: Session, act: Act) -> dict[str, Any]:
        stated = Confirmation(holder_name=holder_name, authorised_person=authorised_person, evidence=evidence)
        row = accounts.confirm_account(ctx, session, _acting(session, act, email), account_id, stated)
        if row is None:
            message = (
                "The account was suspended; two admins of the employer confirm it over the REST API, or one and a day."
            )
            raise Conflict(message)
        return {"id": row.id, "state": row.state}

    _show(_in_transaction(use), as_json=as_json)


def _limit_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for each limit, hard and soft."""
    for prefix, helps in (("soft-", "Over it one more approver is needed."), ("", "Over it nothing is approved.")):
        for kind in reversed(LimitKind):
            command = click.option(f"--{prefix}{kind.value.replace('_', '-')}", metavar="EUR", help=helps)(command)
    return command


def _setting(amounts: dict[str, str | None], ends_on: datetime | None) -> LimitSetting:
    cents: dict[str, int | None] = {}
    for name, text in amounts.items():
        try:
            cents[name] = None if text is None else stated_cents(text)
        except ValueError as error:
            option = f"--{name.replace('_', '-')}"
            raise click.BadParameter(f"{error}.", param_hint=option) from error
    return LimitSetting(
        hard={kind: cents[kind.value] for kind in LimitKind},
        soft={kind: cents[f"soft_{kind.value}"] for kind in LimitKind},
        ends_on=None if ends_on is None else ends_on.date(),
    )


@debtor_account.command("limit")
@click.option("--id", "account_id", required=True, type=click.UUID)
@_limit_options
@click.option("--ends-on", type=_day, help="Last day of these limits; then those before hold again.")
@_as
@_json
def limit_account(
    account_id: UUID, email: str, ends_on: datetime | None, *, as_json: bool, **amounts: str | None
) -> None:
    """Set the payment limits of an account for an employer admin.

    Amounts are euros with two decimals, for instance 50000.00. What is left out is not limited.
    """
    setting = _setting(amounts, ends_on)

    def use(ctx: Context, session: Session, act: Act) -> dict[str, Any]:
        view = accounts.set_limits(ctx, session, _acting(session, act, email), account_id, setting)
        return {"id": account_id, "waits_for_a_second_admin": view.pending is not None}

    _show(_in_transaction(use), as_json=as_json)


COMMANDS = (office, employer, user, token, mandate, connection, administration, debtor_account)
