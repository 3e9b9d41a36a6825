"""Webhooks acknowledged: requests a second and latencies, against a bare route with one INSERT and COMMIT.

Both servers run at the same time on one durable PostgreSQL, with the same settings of the web server; the load
generator calls them in turn. There is no worker, so a poke is always waiting: the case of many webhooks at once.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import httpx
import sqlalchemy as sa

from app.auth.models import OrganizationKind, Role
from benchmarks.bare_server import TABLE
from benchmarks.databases import BenchDatabase, database_on, running_client, running_postgres
from benchmarks.measuring import Figure, Goal, Scale, as_multiple, show_spread
from tests.end_to_end.town import free_port, until
from tests.support.house import add_organization, add_person

CONNECTIONS = (1, 16, 64)
THROUGHPUT = Goal(at_least=0.5)
LATENCY_AT_16 = Goal(at_most=3)
_ROOT = Path(__file__).parents[1]
_BODY = json.dumps({"Event": "Run_Einde", "CompanyId": 2100, "RunId": 41, "Year": 2026, "Note": "x" * 200}).encode()
Seen = dict[str, list[float]]


def measure(scale: Scale) -> list[Figure]:
    """Measure with 1, 16 and 64 connections."""
    with running_postgres() as postgres, ExitStack() as stack:
        database = database_on(postgres, "bench")
        requests = _requests(database)
        ports = {
            "ours": stack.enter_context(_ours(database)),
            "floor": stack.enter_context(_floor(database)),
        }
        figures: list[Figure] = []
        answered = 0
        for connections in CONNECTIONS:
            seen = {name: _Side(ports[name], requests[name], connections) for name in ports}
            _in_turn(list(seen.values()), scale)
            answered += seen["ours"].answers
            figures += _figures(connections, seen["ours"].seen, seen["floor"].seen)
        _require_all_stored(database, answered)
    return figures


class _Side:
    """One of the two servers, as the load generator sees it."""

    def __init__(self, port: int, request: bytes, connections: int) -> None:
        self._port = port
        self._request = request
        self._connections = connections
        self.seen: Seen = {"per_second": [], "p50_ms": [], "p99_ms": []}
        self.answers = 0

    def call(self, seconds: float, *, note: bool) -> None:
        """Put load on it for so many seconds."""
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.load", str(self._port), str(self._connections), str(seconds)],
            cwd=_ROOT,
            input=self._request,
            capture_output=True,
            check=True,
        )
        outcome: dict[str, float] = json.loads(done.stdout)
        assert outcome["refused"] == 0, f"{outcome['refused']} requests were not acknowledged"
        self.answers += int(outcome["answers"])
        for name, values in self.seen.items():
            if note:
                values.append(outcome[name])


def _in_turn(sides: list[_Side], scale: Scale) -> None:
    for side in sides:
        side.call(scale.of(20, 2) / 10, note=False)
    for n in range(scale.rounds):
        for side in sides if n % 2 == 0 else reversed(sides):
            side.call(scale.of(30, 2) / 10, note=True)


def _figures(connections: int, ours: Seen, floor: Seen) -> Iterator[Figure]:
    name = f"webhooks, {connections} connection{'s' if connections > 1 else ''}"
    show_spread({f"{connections}, ours, {what}": values for what, values in ours.items()})
    show_spread({f"{connections}, floor, {what}": values for what, values in floor.items()})
    goal = LATENCY_AT_16 if connections == 16 else None  # noqa: PLR2004 - the goal names it
    for what, unit, held in (("per_second", "1/s", THROUGHPUT), ("p50_ms", "ms", None), ("p99_ms", "ms", goal)):
        label = {"per_second": "acknowledged", "p50_ms": "p50", "p99_ms": "p99"}[what]
        yield as_multiple(f"{name}, {label}", unit, median(ours[what]), median(floor[what]), held)


def _requests(database: BenchDatabase) -> dict[str, bytes]:
    """Set up an employer with a connection, and a table for the floor; return what to send to each."""
    with running_client(database) as (service, client):
        employer_id = add_organization(service.context, OrganizationKind.EMPLOYER, "Bakkerij Jansen B.V.")
        boss = add_person(service.context, client, employer_id, (Role.ADMIN,), email="boss@bakkerij.example")
        credentials = {"username": "salaris@bakkerij.example", "token": "not-a-secret", "domain": "bakkerij"}
        connection = boss.post(
            "/v1/connections", {"organization_id": str(employer_id), "kind": "nmbrs_soap", **credentials}
        ).json()
    engine = sa.create_engine(database.owner_url, poolclass=sa.NullPool)
    with engine.begin() as owner:
        owner.execute(sa.text(TABLE))
    return {"ours": _request(httpx.URL(connection["webhook_url"]).path), "floor": _request("/floor")}


def _request(path: str) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nUser-Agent: Nmbrs\r\n"
        f"Content-Length: {len(_BODY)}\r\n\r\n"
    ).encode() + _BODY


@contextmanager
def _ours(database: BenchDatabase) -> Iterator[int]:
    port = free_port()
    command = ["-m", "app.cli", "serve", "--no-worker", "--port", str(port)]
    with _running(command, database.environment()):
        until(lambda: _answers(lambda: httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False)), "the service")
        yield port


@contextmanager
def _floor(database: BenchDatabase) -> Iterator[int]:
    port = free_port()
    url = database.owner_url.replace("postgresql+psycopg://", "postgresql://")
    with _running(["-m", "benchmarks.bare_server", str(port), url], {}):
        until(lambda: _answers(lambda: socket.create_connection(("127.0.0.1", port)).close()), "the floor")
        yield port


@contextmanager
def _running(arguments: list[str], settings: dict[str, str]) -> Iterator[None]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOONSTROOM_")}
    process = subprocess.Popen([sys.executable, *arguments], cwd=_ROOT, env={**environment, **settings})
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=40)


def _answers(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except (OSError, httpx.TransportError):
        return False
    return True


def _require_all_stored(database: BenchDatabase, answered: int) -> None:
    """Fast but lost would be worth nothing: every acknowledged webhook is a row."""
    engine = sa.create_engine(database.owner_url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        stored = connection.execute(sa.text("SELECT count(*) FROM webhook_delivery")).scalar_one()
    assert stored == answered, f"{answered} webhooks were acknowledged, {stored} are stored"
