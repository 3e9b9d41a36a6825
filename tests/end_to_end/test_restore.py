"""Yesterday's database, today's webhooks: nothing is released until it is reconciled. Real dump, real processes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.auth.models import Role
from simulators.nmbrs.data import WebhookEvent
from simulators.nmbrs.sender import Sending
from tests.end_to_end.town import COMPANY, ROOT, Town, until
from tests.end_to_end.town import running_town as _running_town
from tests.support.backups import dump, restore
from tests.support.house import add_person
from tests.support.postgres import TestDatabase


@pytest.fixture
def town(database: TestDatabase, tmp_path: Path) -> Iterator[Town]:
    """A town that does not poll, so that only webhooks find runs."""
    with _running_town(database, tmp_path, LOONSTROOM_POLL_INTERVAL_SECONDS="86400") as running:
        yield running


def _command(town: Town, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run an operator's command with the settings of the service."""
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **town.service.variables()},
        capture_output=True,
        text=True,
        check=False,
    )


def _post_webhook(town: Town, run_id: int) -> None:
    sent = town.nmbrs.send_webhooks(
        COMPANY, run_id, sending=Sending(events=[WebhookEvent.RUN_FINISH], url=town.webhook_url, attempts=1)
    )
    assert [each.attempts[-1].status for each in sent] == [202]


def _batch(town: Town, run_id: int) -> dict[str, Any]:
    _post_webhook(town, run_id)
    return until(lambda: town.batches_of(run_id), f"a batch of run {run_id}")[0]


def _fetch(town: Town, batch_id: str) -> Any:
    return town.boss.get(f"/v1/payment-batches/{batch_id}/file")


def _look(town: Town, batch: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = town.boss.get(f"/v1/payment-batches/{batch['id']}").json()
    return found


def _approve(town: Town, batch: dict[str, Any]) -> Any:
    """Confirm what is asked and approve what is shown then."""
    town.boss.acknowledge(_look(town, batch))
    return town.boss.approve(_look(town, batch))


def _pay(town: Town, batch: dict[str, Any]) -> str:
    """Approve a batch and fetch its file; return the message id."""
    answer = _approve(town, batch)
    assert answer.status_code == 201, answer.text
    assert _fetch(town, batch["id"]).status_code == 200
    return str(_look(town, batch)["file"]["message_id"])


def _lift(town: Town, batch: dict[str, Any]) -> list[int]:
    second = add_person(
        town.ctx,
        town.boss.client,
        _employer(town),
        (Role.APPROVER,),
        email="second@demo.example",
    )
    (hold,) = town.boss.get(f"/v1/payment-batches/{batch['id']}").json()["holds"]
    path = f"/v1/payment-batches/{batch['id']}/holds/{hold['id']}/lifting"
    return [each.post(path, {"reason": "Looked at the bank"}).status_code for each in (town.boss, second)]


def _employer(town: Town) -> UUID:
    return UUID(town.boss.get("/v1/employers").json()[0]["id"])


def test_a_restored_database_releases_nothing(town: Town, database: TestDatabase, tmp_path: Path) -> None:
    """Back up, pay two runs, put the backup back, send today's webhooks again: 0 files, until it is reconciled."""
    known = town.finish_run(period=10)
    waiting = _batch(town, known)
    backup = tmp_path / "yesterday.dump"
    dump(database, backup)
    unknown = town.finish_run(period=11)
    paid = [_pay(town, batch) for batch in (waiting, _batch(town, unknown))]

    town.service.kill()
    town.ctx.close()
    restore(database, backup)
    town.service.start()

    again = [_batch(town, run_id) for run_id in (known, unknown)]
    assert [batch["status"] for batch in again] == ["pending", "pending"]
    for batch in again:
        refused = _approve(town, batch)
        assert (refused.status_code, refused.json()["code"]) == (409, "held"), refused.text
        assert [each["code"] for each in refused.json()["holds"]] == ["database_restored"]
        assert _fetch(town, batch["id"]).status_code == 409
    assert [each["file"] for each in town.batches()] == [None, None]

    shown = _command(town, "restore", "status", "--json")
    assert shown.returncode == 1, shown.stderr
    found = json.loads(shown.stdout)
    assert (found["fault"], found["holds"]) == ("database_restored", ["database_restored"])
    assert [out["message_id"] for each in found["missing"] for out in each["handed_out"]] == paid
    for message_id in paid:
        assert message_id in _command(town, "restore", "status").stdout

    done = _command(town, "restore", "reconcile", "--reason", "Disk replaced, backup of last night")
    assert done.returncode == 0, done.stderr
    refused = _approve(town, again[0])
    assert [each["code"] for each in refused.json()["holds"]] == ["paid_after_backup"]
    assert all(message_id in refused.json()["detail"] for message_id in paid)

    # The employer finds the first at the bank; the second was never signed there, and was removed.
    assert _lift(town, again[0]) == [202, 201]
    fresh = _look(town, again[0])
    rejected = town.boss.post(
        f"/v1/payment-batches/{fresh['id']}/rejection",
        {"reason": "Paid yesterday"},
        headers={"If-Match": f'"r{fresh["revision"]}"'},
    )
    assert rejected.status_code in {200, 201}, rejected.text
    _pay(town, again[1])
    assert _command(town, "restore", "status").returncode == 0

    town.service.stop()
    town.service.start()
    assert _look(town, again[1])["holds"] == []
