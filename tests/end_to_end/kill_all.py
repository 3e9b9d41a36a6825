"""A town of separate processes on a PostgreSQL of its own, in which each of them can be killed."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.end_to_end.durable import DurablePostgres, durable_postgres
from tests.end_to_end.kills import Strike, kill_service
from tests.end_to_end.town import STRANGER, Town, running_town, until
from tests.end_to_end.workers import RunningWorker


@dataclass(frozen=True, kw_only=True)
class SplitTown:
    """The town, its workers in processes of their own, and the PostgreSQL under both."""

    town: Town
    workers: list[RunningWorker]
    postgres: DurablePostgres

    def strikes(self) -> Mapping[str, Strike]:
        """Return what can be struck, by name."""
        return {
            "service": kill_service(self.town),
            "worker": self._kill_worker,
            "PostgreSQL": self._kill_postgres,
            "a backend of PostgreSQL": self.postgres.kill_a_backend,
            "restart of PostgreSQL": lambda _: self.postgres.restart(),
        }

    def _kill_worker(self, chance: random.Random) -> None:
        worker = chance.choice(self.workers)
        worker.kill()
        worker.start()

    def _kill_postgres(self, _chance: random.Random) -> None:
        self.postgres.kill(while_down=self.expect_honest_words)

    def expect_honest_words(self) -> None:
        """Without a database: alive, not ready, and a webhook is put off, never acknowledged."""
        base, webhook = self.town.service.base_url, self.town.webhook_url
        until(lambda: _status(f"{base}/readyz") == httpx.codes.SERVICE_UNAVAILABLE, "readiness to be denied")
        assert _status(f"{base}/healthz") == httpx.codes.OK, "the service is not alive any more"
        answer = STRANGER.post(webhook, content=b"{}", timeout=15)
        assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, f"{answer.status_code} {answer.text}"
        assert answer.headers["retry-after"], "nothing says when to come back"
        assert answer.json()["code"] == "database_unavailable", answer.text


def _status(url: str) -> int:
    return STRANGER.get(url, timeout=15).status_code


@contextmanager
def split_town(folder: Path, *, workers: int = 2, **changes: str) -> Iterator[SplitTown]:
    """Give a town whose service runs no worker, with so many workers beside it."""
    with durable_postgres() as postgres, running_town(postgres.database, folder, "--no-worker", **changes) as town:
        beside = [
            RunningWorker(service=town.service, engine=town.ctx.engine, log=folder / f"worker-{n}.log")
            for n in range(workers)
        ]
        try:
            for worker in beside:
                worker.start()
            yield SplitTown(town=town, workers=beside, postgres=postgres)
            for worker in beside:
                assert worker.is_alive(), f"a worker ended by itself (see {worker.log})"
        finally:
            for worker in beside:
                worker.stop()
