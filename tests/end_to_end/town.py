"""A town in miniature: the service and a simulated Nmbrs as processes of their own, on real sockets."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import SecretStr

from app.auth.models import OrganizationKind, Role
from app.core.crypto import new_key_text
from app.core.settings import Environment, Settings
from app.main import build
from app.payments.context import Context
from simulators.nmbrs.process import DEMO, SimulatorClient, run_simulator
from tests.support.house import Person, add_account, add_organization, add_person, link
from tests.support.postgres import HISTORY_KEY, TestDatabase

ROOT = Path(__file__).parents[2]
COMPANY = 2100
NUMBER = "9969"
PATIENCE_SECONDS = 60.0
_KEYS = new_key_text("k1")
_IDENTIFIER_KEY = "an identifier key for tests, long enough"
Found = TypeVar("Found")
# A connection for each call, as strangers make them. A client of its own for each call would read the certificates of
# the whole world each time, which costs more than the answer, and takes it from what is being watched.
STRANGER = httpx.Client(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))


def until(look: Callable[[], Found], what: str, *, seconds: float = PATIENCE_SECONDS) -> Found:
    """Return what `look` gives once it is true; fail with `what` when it stays away."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            message = f"waited {seconds:.0f} s for {what}; last seen: {found!r}"
            raise AssertionError(message)
        time.sleep(0.05)


@dataclass
class RunningService:
    """`serve` as a process; it can be killed and started again on the same port."""

    database: TestDatabase
    nmbrs_url: str
    log: Path
    port: int
    changes: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, *arguments: str) -> float:
        """Start it and wait until it is ready; return the seconds that took."""
        begun = time.monotonic()
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "serve", *self.arguments, *arguments],
                cwd=ROOT,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.wait_until_ready()
        return time.monotonic() - begun

    def wait_until_ready(self) -> None:
        """Wait until it says that it is ready."""
        until(self._ready, f"the service (see {self.log})")

    def environment(self) -> dict[str, str]:
        """Return the environment it runs in."""
        return {**_without_settings(), **self.variables()}

    def variables(self) -> dict[str, str]:
        """Return the settings it runs with."""
        return {
            "LOONSTROOM_ENVIRONMENT": "test",
            "LOONSTROOM_DATABASE_URL": self.database.app_url,
            "LOONSTROOM_ENCRYPTION_KEYS": _KEYS,
            "LOONSTROOM_IDENTIFIER_KEY": _IDENTIFIER_KEY,
            "LOONSTROOM_HISTORY_KEY": HISTORY_KEY,
            "LOONSTROOM_NMBRS_SOAP_URL": f"{self.nmbrs_url}/soap/v3",
            "LOONSTROOM_NMBRS_TIMEOUT_SECONDS": "3",
            "LOONSTROOM_PUBLIC_URL": self.base_url,
            "LOONSTROOM_PORT": str(self.port),
            "LOONSTROOM_POKE_DELAY_SECONDS": "0.2",
            "LOONSTROOM_DATA_DIR": str(self.log.parent / "data"),
            **self.changes,
        }

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text(encoding="utf-8", errors="replace")[-3000:]
        try:
            return STRANGER.get(f"{self.base_url}/readyz", timeout=5).is_success
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """End it in order; return its exit code."""
        if self.process is None or self.process.poll() is not None:
            return 0
        self.process.terminate()
        return self.process.wait(timeout=40)


def _without_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("LOONSTROOM_")}


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_order(run_id: int, *, lines: int = 8, year: int = 2026, period: int = 11) -> dict[str, Any]:
    """Return a run as the simulator takes it, with so many lines of different amounts."""
    return {
        "id": run_id,
        "number": run_id,
        "year": year,
        "period_start": period,
        "period_end": period,
        "description": f"Salaris {run_id}",
        "run_at": {"minutes_ago": 1},
        "lines": [
            {
                "name": f"Medewerker {index}",
                "iban": _IBANS[index % len(_IBANS)],
                "amount": f"{1000 + index}.{run_id % 100:02d}",
                "remittance": f"Salaris {run_id}",
            }
            for index in range(lines)
        ],
    }


@dataclass
class Town:
    """Everything together: the service, Nmbrs, and an employer whose administration is linked."""

    service: RunningService
    nmbrs: SimulatorClient
    ctx: Context
    boss: Person
    administration_id: str
    connection_id: str
    webhook_url: str
    last_run: int = 50_000

    def finish_run(self, *, lines: int = 8, year: int = 2026, period: int = 11, **changes: Any) -> int:
        """Finish a run at Nmbrs with so many lines of different amounts; return its id."""
        self.last_run += 1
        return self.nmbrs.finish_run(COMPANY, run_order(self.last_run, lines=lines, year=year, period=period) | changes)

    def runs(self) -> list[dict[str, Any]]:
        """Return the payroll runs as the API shows them."""
        found: list[dict[str, Any]] = self.boss.get("/v1/payroll-runs?limit=200").json()
        return found

    def run(self, run_id: int) -> dict[str, Any]:
        """Return one run once it was seen."""
        wanted = f"Salaris {run_id}"
        return until(lambda: [each for each in self.runs() if each["description"] == wanted], f"run {run_id}")[0]

    def batches(self) -> list[dict[str, Any]]:
        """Return every batch."""
        found: list[dict[str, Any]] = self.boss.get("/v1/payment-batches?limit=200").json()
        return found

    def batches_of(self, run_id: int) -> list[dict[str, Any]]:
        """Return the batches of one run."""
        return [each for each in self.batches() if each["run"]["description"] == f"Salaris {run_id}"]

    def sync(self) -> None:
        """Press "nu ophalen"."""
        assert self.boss.post(f"/v1/administrations/{self.administration_id}/sync").status_code == 202

    def events(self) -> list[dict[str, Any]]:
        """Return the history, newest first."""
        found: list[dict[str, Any]] = self.boss.get("/v1/history?limit=1000").json()
        return found


_IBANS = (
    "NL42INGB2268352412",
    "NL52ABNA7650143244",
    "NL57ABNA7134384551",
    "NL64TRIO0379501686",
    "NL44RABO0123456789",
    "NL69INGB0123456789",
    "NL57ASNB0123456789",
    "NL23BUNQ0123456789",
)


@contextmanager
def running_town(database: TestDatabase, folder: Path, *arguments: str, **changes: str) -> Iterator[Town]:
    """Give a town on an empty database; `arguments` are those of `serve`, `changes` settings."""
    database.empty()
    # Load is how these towns are tried; the limits on it have tests of their own.
    unbounded = {"LOONSTROOM_WEBHOOKS_AT_ONCE": "1000000", "LOONSTROOM_WEBHOOKS_PER_SECOND": "100000"}
    changes = unbounded | changes
    with ExitStack() as stack:
        nmbrs = stack.enter_context(run_simulator(DEMO))
        service = RunningService(
            database=database,
            nmbrs_url=nmbrs.base_url,
            log=folder / "service.log",
            port=free_port(),
            changes=changes,
            arguments=arguments,
        )
        service.start()
        stack.callback(service.stop)
        client = stack.enter_context(httpx.Client(base_url=service.base_url, trust_env=False, timeout=60))
        ctx = build(town_settings(folder), database_url=database.app_url, sources={}).context
        stack.callback(ctx.close)
        settled = settle(ctx, client)
        yield Town(
            service=service,
            nmbrs=nmbrs,
            ctx=ctx,
            boss=settled.boss,
            administration_id=settled.administration_id,
            connection_id=settled.connection_id,
            webhook_url=settled.webhook_url,
        )


def town_settings(folder: Path) -> Settings:
    """Return the settings of a service that is built here, with keys and release counter of the one that runs."""
    return Settings(
        environment=Environment.TEST,
        data_dir=folder / "data",
        encryption_keys=SecretStr(_KEYS),
        identifier_key=SecretStr(_IDENTIFIER_KEY),
        history_key=SecretStr(HISTORY_KEY),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """An employer whose administration at the simulated Nmbrs is linked and live."""

    boss: Person
    administration_id: str
    connection_id: str
    webhook_url: str


def settle(ctx: Context, client: Any) -> Settled:
    """Set an employer up: its people, its account, its connection, its administration."""
    employer_id = add_organization(ctx, OrganizationKind.EMPLOYER, "Demo BV")
    boss = add_person(ctx, client, employer_id, (Role.ADMIN, Role.APPROVER), email="boss@demo.example")
    account_id = add_account(boss, employer_id, per_batch="1000000.00")
    connection = boss.post(
        "/v1/connections",
        {
            "organization_id": str(employer_id),
            "kind": "nmbrs_soap",
            "username": "salaris@demo.example",
            "token": "demo-token-not-a-secret",
            "domain": "demo",
        },
    ).json()
    checked = boss.post(f"/v1/connections/{connection['id']}/check")
    assert checked.json()["state"] == "passed", checked.text
    listed = boss.get(f"/v1/connections/{connection['id']}/administrations").json()
    found = next(each for each in listed if each["number"] == NUMBER)
    answer = link(boss, found["id"], employer_id, account_id, go_live_on="2026-01-01")
    assert answer.status_code == 200, answer.text
    return Settled(
        boss=boss,
        administration_id=found["id"],
        connection_id=connection["id"],
        webhook_url=connection["webhook_url"],
    )
