"""Commands for the operator after a database was put back: what is missing, and letting payments go again."""

import json
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import click

from app.cli.runtime import built_service
from app.core.clock import AMSTERDAM
from app.payments import reconciling
from app.payments.reconciling import Missing, Report
from app.payments.restored import REASONS


@click.group()
def restore() -> None:
    """After a backup was put back: what is missing, and letting payments go again (docs/operations.md)."""


@restore.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(*, as_json: bool) -> None:
    """Compare the database with the release counter; exit code 1 while payments are on hold or must be."""
    with built_service() as service:
        found = reconciling.report(service.context)
    if as_json:
        click.echo(json.dumps(_content(found)))
    else:
        click.echo("\n".join(_sentences(found)))
    if found.fault or found.holds:
        sys.exit(1)


def _content(found: Report) -> dict[str, Any]:
    return {
        "fault": found.fault,
        "holds": list(found.holds),
        "missing": [
            {
                "organization_id": str(each.organization_id),
                "name": each.name,
                "known_until": None if each.known_until is None else each.known_until.isoformat(),
                "counted_until": each.counted_until.isoformat(),
                "handed_out": [
                    {"at": mark.at.isoformat(), "batch_id": str(out.batch_id), "message_id": out.message_id}
                    for mark in each.hand_outs
                    if (out := mark.hand_out) is not None
                ],
            }
            for each in found.missing
        ],
        "no_word_yet": [
            {"batch_id": str(batch_id), "message_id": message_id, "handed_out_at": at.isoformat()}
            for batch_id, message_id, at in found.open_files
        ],
    }


def _sentences(found: Report) -> Iterator[str]:
    yield f"fault: {found.fault or 'none'}; holds on everything: {', '.join(found.holds) or 'none'}"
    if found.fault:
        yield REASONS[found.fault]
    for each in found.missing:
        yield from _about(each)
    if found.open_files:
        yield "Known here as handed out, without a word of the bank yet:"
    for batch_id, message_id, at in found.open_files:
        yield f"  {_moment(at)}  file {message_id}, batch {batch_id}"


def _about(missing: Missing) -> Iterator[str]:
    known = (
        "nothing is known here" if missing.known_until is None else f"known here until {_moment(missing.known_until)}"
    )
    name = missing.name or "not in this database"
    yield f"{missing.organization_id}  {name}: {known}, counted until {_moment(missing.counted_until)}"
    for mark in missing.hand_outs:
        out = mark.hand_out
        if out is not None:
            yield f"  handed out {_moment(mark.at)}: file {out.message_id}, batch {out.batch_id}"


def _moment(at: datetime) -> str:
    return f"{at.astimezone(AMSTERDAM):%d-%m-%Y %H:%M:%S}"


@restore.command("reconcile")
@click.option("--reason", required=True, help="On what grounds, for the history.")
@click.option("--every-employer", is_flag=True, help="Nobody knows what is missing: hold each employer.")
@click.option("--nothing-was-restored", is_flag=True, help="Only the counter was lost: this is the newest database.")
def reconcile(reason: str, *, every_employer: bool, nothing_was_restored: bool) -> None:
    """Let the installation go; employers of whom something is missing wait for two of their own people."""
    with built_service() as service:
        done = reconciling.reconcile(
            service.context, reason=reason, every_employer=every_employer, nothing_restored=nothing_was_restored
        )
    click.echo(f"Lifted: {', '.join(done.lifted) or 'nothing'}.")
    for employer_id in done.employers:
        click.echo(f"Employer {employer_id} stays on hold until two of its people lift it.")


COMMANDS = (restore,)
