"""Connections have an end: heads that do not come, readers who do not read, and too many at once."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.core.edge import Edge
from app.core.listening import Bounds
from app.core.web import problem_response
from tests.http.sockets import connect, head, is_hung_up, listening, read_answer, speak

BIG = 50 * 1024 * 1024


async def small(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer in two letters; `/big` in fifty megabytes."""
    body = b"x" * BIG if scope["path"] == "/big" else b"ok"
    await Response(body, media_type="text/plain")(scope, receive, send)


@contextmanager
def _service(**bounds: float) -> Iterator[int]:
    chosen = Bounds(**{"maximum_connections": 100, **bounds})  # type: ignore[arg-type]
    with listening(Edge(small, render=problem_response), chosen) as port:
        yield port


def test_a_head_that_trickles_is_cut_off() -> None:
    """A sender of a byte now and then gets 408 at the deadline, which no byte moves."""
    with _service(head_seconds=0.3) as port, connect(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        connection.settimeout(0.05)
        while True:
            try:
                connection.sendall(b"X: y\r\n")
                connection.recv(1, socket.MSG_PEEK)
                break
            except TimeoutError:
                continue
        answer = read_answer(connection)
        assert (answer.status, answer.problem["code"]) == (408, "request_timeout")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert is_hung_up(connection)


def test_a_connection_that_says_nothing_is_closed() -> None:
    """A connection that was opened and not used ends without a word."""
    with _service(head_seconds=0.2) as port, connect(port) as connection:
        assert connection.recv(100) == b""


def test_the_second_head_on_a_connection_has_a_deadline_too() -> None:
    """Whoever was served once and then starts to trickle is cut off as well."""
    with _service(head_seconds=0.3) as port, connect(port) as connection:
        connection.sendall(head("/"))
        assert read_answer(connection).status == 200
        connection.sendall(b"GET / HT")
        assert read_answer(connection).status == 408
        assert is_hung_up(connection)


def test_a_connection_that_is_used_again_stays() -> None:
    """The deadline is one of a head, not of a connection: ten requests over more than its length are served."""
    with _service(head_seconds=0.3) as port, connect(port) as connection:
        for _ in range(10):
            connection.settimeout(30)
            connection.sendall(head("/"))
            assert read_answer(connection).body == b"ok"
            connection.settimeout(0.05)
            try:
                connection.recv(1)
            except TimeoutError:
                continue


def test_a_reader_who_does_not_read_is_cut_off() -> None:
    """An answer that is not taken in does not hold the connection; bytes that still come in change nothing."""
    with _service(write_seconds=0.3) as port, connect(port) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(head("/big"))
        connection.recv(1, socket.MSG_PEEK)
        with pytest.raises(OSError, match=r"reset|pipe"):
            connection.sendall(head("/") * 1_000_000)
        received = 0
        try:
            while piece := connection.recv(65536):
                received += len(piece)
        except ConnectionResetError:
            pass
    assert received < BIG


def test_a_reader_who_did_read_keeps_the_connection() -> None:
    """Once a large answer was taken in, its deadline is forgotten: the connection serves the next request."""
    with _service(write_seconds=0.3) as port, connect(port) as connection:
        connection.sendall(head("/big"))
        assert len(read_answer(connection).body) == BIG
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(30)
        connection.sendall(head("/"))
        assert read_answer(connection).body == b"ok"


@contextmanager
def _crowd(port: int, count: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        crowd = [stack.enter_context(connect(port)) for _ in range(count)]
        for each in crowd:
            each.sendall(b"GET / HTTP/1.1\r\n")
        yield crowd


def test_beyond_the_cap_only_the_probes_are_answered() -> None:
    """Slow clients count as connections; beyond the cap everybody gets 503 with Retry-After, and health is told."""
    with _service(maximum_connections=5, reserve=5) as port, _crowd(port, 5):
        answer = speak(port, head("/"))
        health = speak(port, head("/healthz"))
        ready = speak(port, head("/readyz"))
    assert (answer.status, answer.problem["code"]) == (503, "too_many_connections")
    assert answer.headers["retry-after"] == "5"
    assert "x-request-id" in answer.headers
    assert (health.status, ready.status) == (200, 200)


def test_who_is_crowded_in_does_not_stay() -> None:
    """A connection beyond the cap has less time for its head and is not kept, so that it makes room for the probe."""
    bounds = {"maximum_connections": 2, "reserve": 5, "head_seconds": 30, "crowded_head_seconds": 0.2}
    with _service(**bounds) as port, _crowd(port, 2):
        with connect(port) as late:
            late.sendall(b"GET / HT")
            assert read_answer(late).status == 408
        with connect(port) as probe:
            probe.sendall(head("/healthz"))
            assert read_answer(probe).headers["connection"] == "close"
            assert is_hung_up(probe)


def test_beyond_the_reserve_nobody_is_heard() -> None:
    """The last ring is refused at once, as a problem like any other."""
    with _service(maximum_connections=2, reserve=2) as port, _crowd(port, 4), connect(port) as one_more:
        answer = read_answer(one_more)
        assert (answer.status, answer.problem["code"]) == (503, "too_many_connections")
        assert answer.headers["retry-after"] == "5"


def test_there_is_room_again_when_others_leave() -> None:
    """The cap counts who is there now."""
    with _service(maximum_connections=2) as port:
        with _crowd(port, 2):
            assert speak(port, head("/")).status == 503
        statuses = [speak(port, head("/")).status for _ in range(20)]
    assert statuses[-1] == 200
