"""Kills service, workers and PostgreSQL under load, many times, and counts afterwards from outside.

Load threads finish runs at the simulated Nmbrs and post webhooks; whatever was acknowledged is journalled, with fsync,
before anything else happens. Meanwhile one process or another is killed with SIGKILL at random moments and comes back.
At the end every acknowledged webhook must be stored exactly once, and every finished run be exactly one right batch.
"""

import json
import os
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from tests.end_to_end.town import COMPANY, STRANGER, Town, until

LINES = 8
Strike = Callable[[random.Random], None]


@dataclass
class Journal:
    """What was acknowledged: bodies of webhooks by their SHA-256, and runs. Written through to disk line by line.

    `wrong` are answers that are neither 202 nor an honest "not now".
    """

    path: Path
    acknowledged: list[str] = field(default_factory=list)
    runs: list[int] = field(default_factory=list)
    put_off: int = 0
    wrong: list[str] = field(default_factory=list)
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
    """What a round of kills came to. `recoveries` are seconds from each strike to the next webhook that is taken."""

    recoveries: Mapping[str, list[float]]
    webhooks: int
    runs: int
    put_off: int

    @property
    def kills(self) -> int:
        """How many strikes there were."""
        return sum(map(len, self.recoveries.values()))

    def told(self) -> str:
        """Return how often each was struck, and how long it took to come back: the median and the longest."""
        return ", ".join(
            f"{name} {len(found)} times (back in {statistics.median(found):.1f} s, at most {max(found):.1f} s)"
            for name, found in sorted(self.recoveries.items())
        )


def kill_service(town: Town) -> Strike:
    """Return the strike that kills the service and starts it again."""

    def strike(_chance: random.Random) -> None:
        town.service.kill()
        town.service.start()

    return strike


def strike_under_load(
    town: Town, journal: Journal, strikes: Mapping[str, Strike], *, count: int, seed: int, most_runs: int = 40
) -> Outcome:
    """Strike so many times under load, then count; AssertionError names the first thing that is lost or doubled.

    The strikes take turns in an order of chance, so that each of them has its share.
    """
    chance = random.Random(seed)
    done = threading.Event()
    threads = [
        threading.Thread(target=_load, args=(town, journal, done, random.Random(seed + n), most_runs), daemon=True)
        for n in (1, 2, 3)
    ]
    for thread in threads:
        thread.start()
    recoveries: dict[str, list[float]] = {name: [] for name in strikes}
    try:
        for name in _in_turns(list(strikes), count, chance):
            time.sleep(chance.uniform(0.05, 1.2))
            begun = time.monotonic()
            strikes[name](chance)
            until(lambda: _takes_webhooks(town, journal, chance), f"a webhook to be taken after the strike at {name}")
            recoveries[name].append(time.monotonic() - begun)
    finally:
        done.set()
        for thread in threads:
            thread.join(timeout=60)
    assert not journal.wrong, f"{len(journal.wrong)} wrong answers, the first: {journal.wrong[0]}"
    count_all(town, journal)
    return Outcome(
        recoveries={name: found for name, found in recoveries.items() if found},
        webhooks=len(journal.acknowledged),
        runs=len(journal.runs),
        put_off=journal.put_off,
    )


def _in_turns(names: list[str], count: int, chance: random.Random) -> list[str]:
    order: list[str] = []
    while len(order) < count:
        order += chance.sample(names, len(names))
    return order[:count]


_RUNS = threading.Lock()


def _load(town: Town, journal: Journal, done: threading.Event, chance: random.Random, most_runs: int) -> None:
    while not done.is_set():
        with _RUNS:
            if len(journal.runs) < most_runs:
                journal.note("run", town.finish_run(lines=LINES))
        if not _takes_webhooks(town, journal, chance):
            done.wait(0.2)  # a sender who was put off does not knock without end


def _takes_webhooks(town: Town, journal: Journal, chance: random.Random) -> bool:
    """Post a webhook and journal it when it was acknowledged; say whether it was."""
    run_id = chance.choice(journal.runs) if journal.runs else 0
    body = json.dumps({"companyId": COMPANY, "runId": run_id, "mark": chance.getrandbits(64)}).encode()
    headers = {"Content-Type": "application/json"}
    try:
        answer = STRANGER.post(town.webhook_url, content=body, headers=headers, timeout=15)
    except httpx.TransportError:
        return False
    if answer.status_code == httpx.codes.ACCEPTED:
        journal.note("webhook", sha256(body).hexdigest())
        return True
    journal.put_off += 1
    if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or "retry-after" not in answer.headers:
        journal.wrong.append(f"{answer.status_code} {answer.text}")
    return False


def count_all(town: Town, journal: Journal) -> None:
    """Compare what is stored with what was acknowledged and finished."""
    stored = stored_webhooks(town)
    lost = [digest for digest in journal.acknowledged if stored.get(digest, 0) == 0]
    doubled = [digest for digest in journal.acknowledged if stored.get(digest, 0) > 1]
    assert not lost, f"{len(lost)} acknowledged webhooks are not stored"
    assert not doubled, f"{len(doubled)} webhooks are stored more than once"
    wanted = {f"Salaris {run_id}": run_id for run_id in journal.runs}
    batches = until(lambda: _batches_of_all(town, wanted.keys()), f"a batch of each of {len(wanted)} runs", seconds=180)
    times = Counter(each["run"]["description"] for each in batches)
    for text, run_id in wanted.items():
        assert times[text] == 1, f"run {run_id} has {times[text]} batches"
    for batch in batches:
        run_id = wanted[batch["run"]["description"]]
        cents = sum(100_000 + 100 * index for index in range(LINES)) + LINES * (run_id % 100)
        assert batch["control_sum"]["amount"] == f"{cents // 100}.{cents % 100:02d}", f"run {run_id}"
        assert batch["counts"] == {"payable": LINES}, f"run {run_id}: {batch['counts']}"
    _no_obligation_twice(town)
    for verdict in town.boss.get("/v1/history/verification").json():
        assert verdict["verified"], f"the history does not verify: {verdict}"


def _batches_of_all(town: Town, texts: Any) -> list[dict[str, Any]]:
    """Return the batches of these runs, none as long as a run has none."""
    with town.ctx.engine.connect() as connection:
        query = "SELECT DISTINCT description FROM payroll_run JOIN payment_batch ON run_id = payroll_run.id"
        made = set(connection.execute(sa.text(query)).scalars())
    if not texts <= made:
        return []
    return [each for each in town.batches() if each["run"]["description"] in texts]


def stored_webhooks(town: Town) -> dict[str, int]:
    """Return how often each body is stored, by its SHA-256."""
    with town.ctx.engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT body_sha256, count(*) FROM webhook_delivery GROUP BY 1"))
        return {str(row[0]): int(row[1]) for row in rows}


def _no_obligation_twice(town: Town) -> None:
    with town.ctx.engine.connect() as connection:
        query = "SELECT count(*) FROM (SELECT 1 FROM credit_transfer GROUP BY obligation_id HAVING count(*) > 1) AS d"
        assert connection.execute(sa.text(query)).scalar_one() == 0, "an obligation stands in two lines"
