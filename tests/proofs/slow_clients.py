"""Slow clients by the hundred: each must lose its connection in time, and health must be told meanwhile."""

import selectors
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.end_to_end.town import Town
from tests.http.sockets import head, speak

_ENOUGH_SECONDS = 60.0
_TRICKLE_SECONDS = 0.5
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Slow:
    """One slow client: what it says at once, and what it then says a byte at a time."""

    kind: str
    opening: bytes
    trickle: bytes


@dataclass(kw_only=True)
class Outcome:
    """Seconds until each was cut off, by kind; and how long health took meanwhile."""

    cut_off: dict[str, list[float]] = field(default_factory=dict)
    health_seconds: list[float] = field(default_factory=list)
    left: int = 0

    @property
    def slowest_cut_seconds(self) -> float:
        """How long the most patient connection lasted."""
        return max(seconds for each in self.cut_off.values() for seconds in each)

    def health_percentile(self, share: float) -> float:
        """Return the seconds within which this share of the probes was answered."""
        ordered = sorted(self.health_seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def kinds_of(town: Town) -> Sequence[Slow]:
    """Return every way of being slow: in the head, in a webhook's body, in a call's body, or from the start."""
    webhook = "/" + town.webhook_url.split("/", maxsplit=3)[3]
    token = f"Authorization: Bearer {town.boss.token}"
    sized = ("Content-Length: 60000", "Content-Type: application/json")
    stranger = head("/client/unknown/webhooks/paymentsbatch", *sized, method="POST")
    return (
        Slow(kind="silent", opening=b"", trickle=b""),
        Slow(kind="head", opening=b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: ", trickle=b"y"),
        Slow(kind="webhook", opening=head(webhook, *sized, method="POST"), trickle=b" "),
        Slow(kind="call", opening=head("/v1/employers", token, *sized, method="POST"), trickle=b" "),
        Slow(
            kind="chunks",
            opening=head("/v1/employers", token, "Transfer-Encoding: chunked", method="POST"),
            trickle=b"1\r\n \r\n",
        ),
        Slow(kind="stranger", opening=stranger, trickle=b" "),
    )


def besiege(town: Town, *, count: int) -> Outcome:
    """Open so many slow connections and keep them trickling until the service has ended each, or a minute is over."""
    outcome = Outcome()
    done = threading.Event()
    watcher = threading.Thread(target=_watch_health, args=(town, outcome, done), daemon=True)
    watcher.start()
    try:
        with selectors.DefaultSelector() as selector:
            _open(town, selector, count)
            _trickle(selector, outcome)
            outcome.left = len(selector.get_map())
            for key in list(selector.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]
    finally:
        done.set()
        watcher.join(timeout=30)
    return outcome


def _open(town: Town, selector: selectors.BaseSelector, count: int) -> None:
    kinds = kinds_of(town)
    for number in range(count):
        slow = kinds[number % len(kinds)]
        connection = socket.create_connection(("127.0.0.1", town.service.port), timeout=30)
        begun = time.monotonic()
        connection.sendall(slow.opening)
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ, (slow, begun))


def _trickle(selector: selectors.BaseSelector, outcome: Outcome) -> None:
    end = time.monotonic() + _ENOUGH_SECONDS
    next_byte = time.monotonic() + _TRICKLE_SECONDS
    while selector.get_map() and time.monotonic() < end:
        for key, _ in selector.select(timeout=_LOOK_SECONDS):
            _hear(selector, key, outcome)
        if time.monotonic() >= next_byte:
            next_byte += _TRICKLE_SECONDS
            for key in list(selector.get_map().values()):
                _speak(selector, key, outcome)


def _hear(selector: selectors.BaseSelector, key: selectors.SelectorKey, outcome: Outcome) -> None:
    """Take in what the service says; its hanging up is what we wait for."""
    connection: socket.socket = key.fileobj  # type: ignore[assignment]
    try:
        if connection.recv(65536):
            return
    except OSError:
        pass  # reset: cut off as well
    _note(selector, key, outcome)


def _speak(selector: selectors.BaseSelector, key: selectors.SelectorKey, outcome: Outcome) -> None:
    connection: socket.socket = key.fileobj  # type: ignore[assignment]
    try:
        connection.send(key.data[0].trickle)
    except OSError:
        _note(selector, key, outcome)


def _note(selector: selectors.BaseSelector, key: selectors.SelectorKey, outcome: Outcome) -> None:
    slow, begun = key.data
    outcome.cut_off.setdefault(slow.kind, []).append(time.monotonic() - begun)
    selector.unregister(key.fileobj)
    key.fileobj.close()  # type: ignore[union-attr]


def _watch_health(town: Town, outcome: Outcome, done: threading.Event) -> None:
    """Ask for health again and again, each time on a connection of its own as a load balancer does."""
    while not done.wait(0.05):
        begun = time.monotonic()
        assert speak(town.service.port, head("/healthz")).status == 200
        outcome.health_seconds.append(time.monotonic() - begun)
