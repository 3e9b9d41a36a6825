"""Commands that prove a history: verify it, keep its heads elsewhere, export it for an auditor."""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import sqlalchemy as sa
from sqlmodel import Session, select

from app.cli.runtime import built_service
from app.core import history_export, history_proof, history_sealing
from app.core.database import transaction
from app.core.errors import Conflict
from app.core.history_proof import KnownHead, Verdict
from app.core.release_counter import CounterUnreadable, Mark
from app.payments.context import Context
from app.payments.models import Installation

_organization = click.option("--organization", required=True, type=click.UUID)
_TERMINAL = Path("-")  # standard output or input: in a container no file outlives the command
_output = click.option(
    "--output",
    required=True,
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="File to write; must not exist. - is standard output.",
)


@click.group()
def history() -> None:
    """The history: verify it, export it, keep its heads."""


@history.command("verify")
@click.option("--organization", type=click.UUID, help="Only this one; all otherwise.")
@click.option(
    "--expect-head",
    "expected_file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="Heads that were kept elsewhere (by `history heads` or `history export`): shows an end that was cut off. "
    "- is standard input.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(organization: UUID | None, expected_file: Path | None, *, as_json: bool) -> None:
    """Check every record, both chains, the seals and the heads; exit code 1 when something does not hold."""
    expected: Mapping[UUID, KnownHead] = {}
    if expected_file is not None:
        kept = sys.stdin.read() if expected_file == _TERMINAL else expected_file.read_text(encoding="utf-8")
        expected = history_export.known_heads(kept.splitlines())
    with built_service() as service, transaction(service.context.engine) as session:
        history_proof.snapshot(session)
        wanted = _organizations(session) | set(expected) if organization is None else {organization}
        verdicts = [history_proof.verify(session, each, expected=expected.get(each)) for each in sorted(wanted)]
    if as_json:
        click.echo(json.dumps([verdict_content(verdict) for verdict in verdicts]))
    else:
        for verdict in verdicts:
            click.echo(_sentence(verdict))
    if not all(verdict.verified for verdict in verdicts):
        sys.exit(1)


def _organizations(session: Session) -> set[UUID]:
    query = sa.text(
        "SELECT id FROM organization UNION SELECT organization_id FROM history_head "
        "UNION SELECT organization_id FROM history_entry"
    )
    return set(session.execute(query).scalars())


def verdict_content(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as JSON shows it."""
    broken = verdict.first_broken
    return {
        "organization_id": str(verdict.organization_id),
        "verified": verdict.verified,
        "records": verdict.records,
        "unsealed": verdict.unsealed,
        "first_broken": None if broken is None else {"sequence": broken.sequence, "what": broken.what.value},
        "head": {
            "sequence": verdict.head_sequence,
            "mac": None if verdict.head_mac is None else verdict.head_mac.hex(),
            "sealed_at": None if verdict.sealed_at is None else verdict.sealed_at.isoformat(),
        },
    }


def _sentence(verdict: Verdict) -> str:
    if verdict.first_broken is None:
        older = f", {verdict.unsealed} of them older than the key" if verdict.unsealed else ""
        return f"{verdict.organization_id}  verified: {verdict.records} records{older}"
    broken = verdict.first_broken
    return f"{verdict.organization_id}  BROKEN at record {broken.sequence}: {broken.what.value}"


@history.command("heads")
@_output
def heads(output: Path) -> None:
    """Write the head of every history. Keep it where nobody who manages the database can change it."""
    with built_service() as service, transaction(service.context.engine) as session:
        history_proof.snapshot(session)
        rows = [history_proof.head_row(session, each) for each in sorted(_organizations(session))]
        count = _write(output, (history_export.head_line(row) for row in rows if row is not None))
    _say_written(f"{count} heads", output)


@history.command("export")
@_organization
@_output
def export(organization: UUID, output: Path) -> None:
    """Write a history as `tools/verify_history.py` checks it. It holds totals: treat it as salary data."""
    with built_service() as service, transaction(service.context.engine) as session:
        history_proof.snapshot(session)
        lines = history_export.export_lines(session, organization, now=service.context.now())
        count = _write(output, lines)
    _say_written(f"{count - 2} records", output)


@history.command("key")
@_organization
@_output
def key(organization: UUID, output: Path) -> None:
    """Write the key of one organization's history for its auditor. Who has it could also make macs: keep it safe."""
    with built_service() as service, transaction(service.context.engine) as session:
        _write(output, [history_export.organization_keys_text(session, organization)])
    _say_written("the key", output)


@history.command("seal")
@click.option("--reason", required=True, help="Why these histories have no mac, for the history.")
def seal(reason: str) -> None:
    """Seal histories that have no mac at all, and so take no records: after a migration that was cut off.

    A history of which the release counter knows a mac had one, so somebody took it away: that one is refused.
    """
    with built_service() as service:
        ctx = service.context
        _refuse_stripped(ctx)
        sealed = history_sealing.seal_older(ctx.engine, ctx.now(), reason=reason)
    for head in sealed:
        click.echo(f"{head.organization_id}  sealed: {head.sequence - 1} records without a mac")
    click.echo(f"Sealed {len(sealed)} histories.")


def _refuse_stripped(ctx: Context) -> None:
    """Refuse what once had macs, by the word of the release counter of this database."""
    with transaction(ctx.engine) as session:
        ours = session.exec(select(Installation.id)).one_or_none()
        marks = _marks(ctx, ours)
        stripped = [each for each in history_sealing.without_mac(session) if each in marks and marks[each].mac]
    if stripped:
        raise Conflict(
            "The release counter knows macs of "
            + ", ".join(f"{each} (record {marks[each].sequence})" for each in stripped)
            + ", and the database has none: somebody who manages it took them away and may have changed the records. "
            "Compare with a backup and with heads that were kept; put the database back from a backup that verifies."
        )


def _marks(ctx: Context, ours: UUID | None) -> Mapping[UUID, Mark]:
    try:
        if ours in (None, ctx.releases.installation()):
            return ctx.releases.marks()
    except CounterUnreadable:
        pass  # no word of it either
    raise Conflict(
        "Whether these histories ever had macs is known to the release counter of this database only, and it is not "
        "here. Give the command on the machine that has it, as the user of the service."
    )


def _write(path: Path, lines: Iterable[str]) -> int:
    """Write lines to a new file that only its owner reads; return how many. What fails half-way leaves no file."""
    if path == _TERMINAL:
        return sum(1 for line in lines if sys.stdout.write(line))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        message = f"{path} cannot be made ({error.strerror})."
        raise click.BadParameter(message, param_hint="--output") from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            return sum(1 for line in lines if file.write(line))
    except BaseException:
        path.unlink()
        raise


def _say_written(what: str, path: Path) -> None:
    """Say what was written where; on standard error, when the other one holds what was written."""
    to_terminal = path == _TERMINAL
    click.echo(f"Wrote {what} to {'standard output' if to_terminal else path}.", err=to_terminal)


COMMANDS = (history,)
