"""Kills the service under load, many times, and counts afterwards from outside.

Load threads finish runs at the simulated Nmbrs and post webhooks; whatever was acknowledged is journalled, with fsync,
before anything else happens. Meanwhile the service is killed with SIGKILL at random moments and started again. At the
end every acknowledged webhook must be stored exactly once, and every finished run be exactly one right batch.
"""

import json
import os
import random
import threading
import time
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import httpx
import sqlalchemy as sa

from tests.end_to_end.town import COMPANY, Town, until

LINES = 8


@dataclass
class Journal:
    """What was acknowledged: bodies of webhooks by their SHA-256, and runs. Written through to disk line by line."""

    path: Path
    acknowledged: list[str] = field(default_factory=list)
    runs: list[int] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind: str, value: str | int) -> None:
        """Write one line through to disk, then remember it."""
        with self._lock:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{kind} {value}\n")
                file.flush()
                os.fsync(file.fileno())
            if kind == "webhook":
                self.acknowledged.append(str(value))
            else:
                self.runs.append(int(value))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a round of kills came to."""

    kills: int
    webhooks: int
    runs: int
    slowest_recovery_seconds: float


def kill_under_load(town: Town, journal: Journal, *, kills: int, seed: int, most_runs: int = 40) -> Outcome:
    """Kill so many times under load, then count; AssertionError names the first thing that is lost or doubled."""
    chance = random.Random(seed)
    done = threading.Event()
    threads = [
        threading.Thread(target=_load, args=(town, journal, done, random.Random(seed + n), most_runs), daemon=True)
        for n in (1, 2, 3)
    ]
    for thread in threads:
        thread.start()
    slowest = 0.0
    for _ in range(kills):
        time.sleep(chance.uniform(0.05, 1.2))
        town.service.kill()
        slowest = max(slowest, town.service.start())
    done.set()
    for thread in threads:
        thread.join(timeout=60)
    count(town, journal)
    return Outcome(
        kills=kills, webhooks=len(journal.acknowledged), runs=len(journal.runs), slowest_recovery_seconds=slowest
    )


_RUNS = threading.Lock()


def _load(town: Town, journal: Journal, done: threading.Event, chance: random.Random, most_runs: int) -> None:
    with httpx.Client(trust_env=False, timeout=5) as client:
        while not done.is_set():
            with _RUNS:
                if len(journal.runs) < most_runs:
                    journal.note("run", town.finish_run(lines=LINES))
                run_id = chance.choice(journal.runs)
            body = json.dumps({"companyId": COMPANY, "runId": run_id, "mark": chance.getrandbits(64)}).encode()
            try:
                answer = client.post(town.webhook_url, content=body, headers={"Content-Type": "application/json"})
            except httpx.TransportError:
                done.wait(0.05)
                continue
            assert answer.status_code == 202, answer.text
            journal.note("webhook", sha256(body).hexdigest())


def count(town: Town, journal: Journal) -> None:
    """Compare what is stored with what was acknowledged and finished."""
    stored = stored_webhooks(town)
    lost = [digest for digest in journal.acknowledged if stored.get(digest, 0) == 0]
    doubled = [digest for digest in journal.acknowledged if stored.get(digest, 0) > 1]
    assert not lost, f"{len(lost)} acknowledged webhooks are not stored"
    assert not doubled, f"{len(doubled)} webhooks are stored more than once"
    for run_id in journal.runs:
        batches = until(lambda run_id=run_id: town.batches_of(run_id), f"a batch of run {run_id}", seconds=120)  # type: ignore[misc]
        assert len(batches) == 1, f"run {run_id} has {len(batches)} batches"
        cents = sum(100_000 + 100 * index for index in range(LINES)) + LINES * (run_id % 100)
        assert batches[0]["control_sum"]["amount"] == f"{cents // 100}.{cents % 100:02d}", f"run {run_id}"
        assert batches[0]["counts"] == {"payable": LINES}, f"run {run_id}: {batches[0]['counts']}"
    _no_obligation_twice(town)


def stored_webhooks(town: Town) -> dict[str, int]:
    """Return how often each body is stored, by its SHA-256."""
    with town.ctx.engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT body_sha256, count(*) FROM webhook_delivery GROUP BY 1"))
        return {str(row[0]): int(row[1]) for row in rows}


def _no_obligation_twice(town: Town) -> None:
    with town.ctx.engine.connect() as connection:
        query = "SELECT count(*) FROM (SELECT 1 FROM credit_transfer GROUP BY obligation_id HAVING count(*) > 1) AS d"
        assert connection.execute(sa.text(query)).scalar_one() == 0, "an obligation stands in two lines"
