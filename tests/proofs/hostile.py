"""Sends hostile requests to the running service and judges every answer; watches how much memory that takes."""

import http.client
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

import httpx

from tests.end_to_end.town import Town, until
from tests.http.sockets import Answer, connect, read_answer
from tests.proofs.hostile_requests import Hostile, Target, hostile_request

MOST_GROWTH_BYTES = 32 * 1024 * 1024
_SENDERS = 4
_ROUND = 5_000
# So that what is measured is the handling of bodies and not the refusal of too many of them.
NO_LIMITS = {
    "LOONSTROOM_API_REQUESTS_AT_ONCE": "1000000",
    "LOONSTROOM_API_REQUESTS_PER_SECOND": "100000",
    "LOONSTROOM_WEBHOOKS_AT_ONCE": "1000000",
    "LOONSTROOM_WEBHOOKS_PER_SECOND": "100000",
    "LOONSTROOM_LOG_LEVEL": "WARNING",
}
_HEADERS_OF_ALL = ("x-content-type-options", "x-frame-options", "x-request-id", "cache-control")

_WHOLE = {"code": "c", "detail": "d"}  # an answer to HEAD has no body to judge


@dataclass(kw_only=True)
class Report:
    """What came of it: answers by status, and the most memory over what it was after the warm-up, in bytes."""

    statuses: Counter[int] = field(default_factory=Counter)
    hung_up: int = 0
    most_bytes: int = 0
    growth_bytes: int = 0


def ids_of(town: Town) -> dict[str, str]:
    """Make one of everything and return its ids by the name of the path parameter."""
    run_id = town.finish_run()
    town.sync()
    batch = until(lambda: town.batches_of(run_id), "a batch")[0]
    employer = batch["employer"]["id"]
    connection = town.boss.post("/v1/connections", {"organization_id": employer, "kind": "upload"}).json()
    finding = town.boss.get(f"/v1/payment-batches/{batch['id']}/findings").json()[0]
    line = town.boss.get(f"/v1/payment-batches/{batch['id']}/transfers").json()["items"][0]
    return {
        "batch_id": batch["id"],
        "run_id": town.run(run_id)["id"],
        "transfer_id": line["id"],
        "finding_id": finding["id"],
        "account_id": batch["debtor_account"]["id"],
        "administration_id": town.administration_id,
        "employer_id": employer,
        "connection_id": connection["id"],
        "webhook_token": town.webhook_url.split("/")[4],
        "n": "1",
    }


def target_of(town: Town, ids: dict[str, str]) -> Target:
    """Return every operation of the running service, with real ids where we have them."""
    paths = httpx.get(f"{town.service.base_url}/openapi.json", trust_env=False).json()["paths"]
    operations = [
        (method.upper(), "/".join(ids.get(part.strip("{}"), part) for part in path.split("/")))
        for path, methods in paths.items()
        for method in methods
    ]
    return Target(
        operations=[(method, path) for method, path in operations if path != "/metrics"],
        token=town.boss.token,
        webhook_path="/" + town.webhook_url.split("/", maxsplit=3)[3],
    )


def attack(
    town: Town, target: Target, *, count: int, seed: int, progress: Callable[[str], None] = lambda _line: None
) -> Report:
    """Send so many hostile requests; AssertionError shows the first answer that is wrong, or how memory grew.

    Memory is counted from after a warm-up, in which threads, database connections and caches come to be.
    """
    warm_up = min(2_000, count // 4)
    report = Report()
    _send(town, target, range(warm_up), seed, report)
    before = resident_bytes(town)
    for first in range(warm_up, count, _ROUND):
        _send(town, target, range(first, min(first + _ROUND, count)), seed, report)
        growth = report.most_bytes - before
        progress(f"{min(first + _ROUND, count)} sent, memory {before / 2**20:.0f} {growth / 2**20:+.1f} MiB")
        assert growth <= MOST_GROWTH_BYTES, f"memory grew by {growth / 2**20:.1f} MiB"
    report.growth_bytes = report.most_bytes - before
    return report


def _send(town: Town, target: Target, numbers: range, seed: int, report: Report) -> None:
    """Share the numbers among senders; whichever of them fails first is what is raised."""
    waiting, failures = SimpleQueue[int](), SimpleQueue[Exception]()
    for number in numbers:
        waiting.put(number)
    report.most_bytes = 0

    def work() -> None:
        try:
            for number in _numbers(waiting, failures):
                _judge(hostile_request(seed, number, target), town.service.port, report)
        except Exception as error:  # noqa: BLE001 - handed to the thread that waits for all
            failures.put(error)

    senders = [threading.Thread(target=work, daemon=True) for _ in range(_SENDERS)]
    for sender in senders:
        sender.start()
    while any(sender.is_alive() for sender in senders):
        report.most_bytes = max(report.most_bytes, resident_bytes(town))
        senders[0].join(timeout=0.2)
    if not failures.empty():
        raise failures.get()


def _numbers(waiting: "SimpleQueue[int]", failures: "SimpleQueue[Exception]") -> Iterator[int]:
    with suppress(Empty):
        while failures.empty():
            yield waiting.get_nowait()


def _judge(request: Hostile, port: int, report: Report) -> None:
    answer = _answer(request, port)
    if answer is None:
        assert not request.is_whole, f"no answer to {_shown(request)}"
        report.hung_up += 1
        return
    fault = _fault(request, answer)
    assert fault is None, f"{fault}: {_shown(request)} -> {answer.status} {answer.body[:500]!r}"
    report.statuses[answer.status] += 1


def _answer(request: Hostile, port: int) -> Answer | None:
    """Return the answer, None when the other side hangs up without one."""
    with connect(port) as connection:
        try:
            connection.sendall(request.data)
            if not request.is_whole:
                connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError, OSError):
            pass  # refused while it was still being sent: what was said to that is read below
        try:
            return read_answer(connection, request.method)
        except (http.client.RemoteDisconnected, ConnectionResetError):
            return None


def _fault(request: Hostile, answer: Answer) -> str | None:
    """Return what is wrong with an answer, None when it is as it should be."""
    if answer.status >= 500:
        return "an error of ours"
    missing = [name for name in _HEADERS_OF_ALL if name not in answer.headers]
    if missing:
        return f"without {', '.join(missing)}"
    return _fault_of_refusal(request, answer) if answer.status >= 400 else None


def _fault_of_refusal(request: Hostile, answer: Answer) -> str | None:
    if request.mark in str(answer):
        return "the input is repeated"
    if answer.headers.get("content-type") != "application/problem+json":
        return "no problem+json"
    problem = json.loads(answer.body) if request.method != "HEAD" else {**_WHOLE, "status": answer.status}
    whole = problem.get("status") == answer.status and problem.get("code") and problem.get("detail")
    return None if whole else "half a problem"


def _shown(request: Hostile) -> str:
    return f"{request.kind} {request.mark} {request.data[:600]!r}"


def resident_bytes(town: Town) -> int:
    """Return the memory that the service's process holds now."""
    assert town.service.process is not None
    text = Path(f"/proc/{town.service.process.pid}/smaps_rollup").read_text(encoding="ascii")
    line = next(line for line in text.splitlines() if line.startswith("Rss:"))
    return int(line.split()[1]) * 1024
