"""What happens at the payroll source: runs are finished, changed, undone, done again, uploaded; it is down at times."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.contracts.fake_source import right_missing, unreachable
from tests.proofs.model_memory import Model, Pay, SourceRunHeld, Upload, pick
from tests.support.house import CREDITORS, document

_PERIOD = {"year": 2026, "period": 11}


def file_of(rows: Sequence[Pay]) -> bytes:
    """Return the payment document with these lines."""
    return document([row.line(position) for position, row in enumerate(rows, start=1)])


def upload(model: Model, who: int, number: int | None, rows: Sequence[Pay], *, is_dry: bool = False) -> None:
    """Upload a file; with a number it is that run, changed when it was there already."""
    query = {} if number is None else {**_PERIOD, "run_number": number}
    _send(model, who, Upload(rows=tuple(rows), query=query, is_dry=is_dry), "upload dry" if is_dry else "upload")


def upload_again(model: Model, who: int, n: int) -> None:
    """Upload a file once more."""
    _send(model, who, pick(model.memory.uploads, n), "upload again")


def _send(model: Model, who: int, wanted: Upload, act: str) -> None:
    administration_id = model.house.dry_id if wanted.is_dry else model.house.house.administration_id
    answer = model.house.ask(
        who,
        "POST",
        f"/v1/administrations/{administration_id}/payroll-files",
        content=file_of(wanted.rows),
        params=dict(wanted.query),
        headers={"Content-Type": "application/xml"},
    )
    if model.note(act, answer) and wanted not in model.memory.uploads:
        model.memory.uploads.append(wanted)


def finish_run(model: Model, rows: Sequence[Pay], told: str) -> None:
    """Finish a run at the source."""
    run = model.house.kind.payroll.add_run(
        model.house.source, document=file_of(rows), made_at=datetime(2026, 11, 18, 8, tzinfo=UTC)
    )
    held = SourceRunHeld(run=run, rows=list(rows))
    model.memory.runs.append(held)
    model.reach("run finished")
    tell(model, told, held)


def change_run(model: Model, n: int, change: str, row: int, told: str) -> None:
    """Change the lines of a run at the source."""
    held = pick(listed_runs(model), n)
    held.rows = _changed(held.rows, change, row)
    model.house.kind.payroll.set_document(model.house.source, held.run, file_of(held.rows))
    model.reach(f"run changed: {change}")
    tell(model, told, held)


def _changed(rows: Sequence[Pay], change: str, n: int) -> list[Pay]:
    at = n % len(rows)
    before, old, after = list(rows[:at]), rows[at], list(rows[at + 1 :])
    match change:
        case "iban corrected":
            return [*before, replace(old, account=(old.account + 3) % len(CREDITORS)), *after]
        case "amount corrected":
            return [*before, replace(old, cents=old.cents + 1_000), *after]
        case "text corrected":
            return [*before, replace(old, text=f"Salaris november {n}"), *after]
        case "line gone" if len(rows) > 1:
            return [*before, *after]
        case _:
            return [*rows, Pay(person=n % 8, account=n % 8, cents=120_000 + n)]


def listed_runs(model: Model) -> list[SourceRunHeld]:
    """Return the runs that the source lists."""
    return [held for held in model.memory.runs if held.is_listed]


def do_again(model: Model, n: int, told: str) -> None:
    """Undo a run and do it again: the same run under a new id."""
    held = pick(listed_runs(model), n)
    payroll, source = model.house.kind.payroll, model.house.source
    payroll.undo_run(source, held.run)
    held.run = payroll.add_run(source, document=file_of(held.rows), number=held.run.number, made_at=model.house.clock())
    model.reach("run done again")
    tell(model, told, held)


def undo_run(model: Model, n: int) -> None:
    """Undo a run for good: it is absent from two lists more than ten minutes apart."""
    held = pick(listed_runs(model), n)
    model.house.kind.payroll.undo_run(model.house.source, held.run)
    held.is_listed = False
    model.reach("run undone")
    for _ in range(3):
        tell(model, "poll", held)


def tell(model: Model, told: str, held: SourceRunHeld) -> None:
    """Let the service find out: by a webhook, by its poll, because a person asks, or not now."""
    house = model.house
    match told:
        case "webhook":
            hint: dict[str, Any] = {
                "administration_external_id": house.source.external_id,
                "run_external_id": held.run.external_id,
                "year": held.run.year,
            }
            model.note("webhook", house.ask(0, "POST", house.webhook_path, json=hint))
            house.work()
        case "sync":
            model.note("sync", house.ask(0, "POST", f"/v1/administrations/{house.source_id}/sync"))
            house.work()
        case "poll":
            house.clock.moment += timedelta(minutes=31)
            model.reach("poll")
            house.tick()


def trouble(model: Model, what: str) -> None:
    """Let the source be down, deny us its documents, or be well again."""
    payroll = model.house.kind.payroll
    payroll.heal()
    if what == "down":
        payroll.fail("*", unreachable())
    elif what == "denied":
        payroll.fail("fetch_payments", right_missing())
    model.reach(f"source {what}")
