"""A worker that stands still for longer than others wait for it, in the middle of a job, and then goes on."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from simulators.nmbrs.faults import FaultKind
from simulators.nmbrs.sender import Sending
from tests.end_to_end.kill_all import split_town
from tests.end_to_end.town import COMPANY, Town, until
from tests.end_to_end.workers import RunningWorker

GETSEPA = "Company.SalaryDocuments_GetSEPA"


@pytest.mark.slow
def test_what_a_frozen_worker_writes_after_it_thaws_changes_nothing(tmp_path: Path) -> None:
    """Another worker takes its job over; the old answer, of before a change at the source, comes too late."""
    with split_town(tmp_path, workers=1, LOONSTROOM_NMBRS_TIMEOUT_SECONDS="300") as split:
        town, (frozen,) = split.town, split.workers
        run_id = _freeze_in_the_middle(town, frozen)
        town.nmbrs.change_line(COMPANY, run_id, 0, amount="1234.56")
        other = RunningWorker(service=town.service, engine=town.ctx.engine, log=tmp_path / "other.log")
        split.workers.append(other)
        other.start()
        batch = until(lambda: town.batches_of(run_id), "the other worker to take the job over")[0]
        amounts = {line["amount"]["amount"] for line in _lines(town, batch)}
        until(lambda: not _at_work(town), "the other worker to be done")
        before = _shown(town, run_id)

        frozen.thaw()
        until(lambda: _late_readings(town) == 1, "the late answer to be kept")
        until(lambda: not _at_work(town), "both workers to be done")

        assert "1234.56" in amounts
        assert _shown(town, run_id) == before
        assert _counted(town, run_id) == {"payment_batch": 1, "credit_transfer": 8, "obligation": 8}


def _freeze_in_the_middle(town: Town, worker: RunningWorker) -> int:
    """Have a worker ask for a document, and freeze it while it waits: the answer then comes, and lies unread."""
    town.nmbrs.add_fault(FaultKind.DELAY, GETSEPA, times=1, seconds=5)
    run_id = town.finish_run()
    town.nmbrs.send_webhooks(COMPANY, run_id, sending=Sending(url=town.webhook_url))
    until(lambda: town.nmbrs.calls(GETSEPA), "the worker to ask")
    worker.freeze()
    return run_id


def _lines(town: Town, batch: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = town.boss.get(f"/v1/payment-batches/{batch['id']}/transfers").json()["items"]
    return found


def _shown(town: Town, run_id: int) -> tuple[Any, ...]:
    (batch,) = town.batches_of(run_id)
    return town.run(run_id), batch, _lines(town, batch), town.events()


def _at_work(town: Town) -> int:
    query = (
        "SELECT count(*) FROM procrastinate_jobs WHERE task_name IN ('sync_runs', 'fetch_run') "
        "AND status IN ('todo', 'doing')"
    )
    return _number(town, query)


def _late_readings(town: Town) -> int:
    return _number(town, "SELECT count(*) FROM source_reading WHERE outcome = 'late'")


def _counted(town: Town, run_id: int) -> dict[str, int]:
    tables = ("payment_batch", "credit_transfer", "obligation")
    return {table: _number(town, f"SELECT count(*) FROM {table}") for table in tables}


def _number(town: Town, query: str) -> int:
    with town.ctx.engine.connect() as connection:
        return int(connection.execute(sa.text(query)).scalar_one())
