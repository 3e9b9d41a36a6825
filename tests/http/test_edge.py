"""The edge over small applications: how much, how long, what a refused sender hears, and what stands in the log."""

import asyncio
import re
import socket
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs

from app.core.edge import Edge
from app.core.errors import AppError
from app.core.exchange import BodyLimit
from app.core.web import problem_response
from tests.end_to_end.town import until
from tests.http.sockets import connect, head, is_hung_up, listening, read_answer, speak, with_body

ANYTHING = re.compile("")
LATE_SECONDS = 0.5


class Reading:
    """Reads the whole body and says how long it was; remembers the most bytes it ever held."""

    def __init__(self) -> None:
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        response: Response
        try:
            async for piece in Request(scope, receive).stream():
                self.held += len(piece)
            response = PlainTextResponse(str(self.held))
        except AppError as error:
            response = problem_response(error)
        await response(scope, receive, send)


async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer without reading."""
    await PlainTextResponse("no", 403)(scope, receive, send)


def edge(app: ASGIApp, *, most: int = 1000, seconds: float = 10.0, over_tls: bool = False) -> Edge:
    """Return the edge over an app, with one limit for every path."""
    limit = BodyLimit(path=ANYTHING, bytes=most, seconds=seconds)
    return Edge(app, render=problem_response, limits=[limit], over_tls=over_tls)


def _chunks(count: int) -> bytes:
    return head("/", "Transfer-Encoding: chunked", method="POST") + (b"400\r\n" + b"x" * 1024 + b"\r\n") * count


def test_a_body_of_the_size_that_is_allowed_passes() -> None:
    """The limit itself is still allowed, one byte more is not."""
    with listening(edge(Reading())) as port:
        assert speak(port, with_body("/", b"x" * 1000)).body == b"1000"
        assert speak(port, with_body("/", b"x" * 1001)).status == 413


def test_an_endless_body_is_cut_off_while_it_comes() -> None:
    """Chunks without end are refused as soon as they pass the limit; the application never holds more than that."""
    app = Reading()
    with listening(edge(app)) as port, connect(port) as connection:
        connection.sendall(_chunks(200))
        answer = read_answer(connection)
    assert (answer.status, answer.problem["code"]) == (413, "payload_too_large")
    assert app.held <= 1000


def test_a_body_that_trickles_is_cut_off_at_the_deadline() -> None:
    """More bytes do not move the deadline: 408, and the connection is closed."""
    with listening(edge(Reading(), seconds=0.3)) as port, connect(port) as connection:
        connection.sendall(head("/", "Content-Length: 900", method="POST"))
        answered = False
        while not answered:
            connection.sendall(b"x")
            connection.settimeout(0.02)
            try:
                answered = bool(connection.recv(1, 2))  # MSG_PEEK
            except TimeoutError:
                continue
        connection.settimeout(30)
        answer = read_answer(connection)
        assert (answer.status, answer.problem["code"]) == (408, "request_timeout")
        assert is_hung_up(connection)


class Late:
    """Begins to read only when the deadline is over, and then waits for nothing."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await asyncio.sleep(1.2 * LATE_SECONDS)
        async with asyncio.timeout(LATE_SECONDS / 2):
            await Reading()(scope, receive, send)


def test_the_deadline_counts_from_the_head() -> None:
    """What we did before we read is no longer time for the sender; a body that has come by then is taken."""
    with listening(edge(Late(), seconds=LATE_SECONDS)) as port:
        with connect(port) as connection:
            connection.sendall(head("/", "Content-Length: 900", method="POST") + b"x")
            assert read_answer(connection).status == 408
        assert speak(port, with_body("/", b"x" * 900)).body == b"900"


def test_a_sender_of_too_much_hears_why() -> None:
    """Whoever first sends all three megabytes and only then listens reads the answer, not a broken connection."""
    with listening(edge(deaf)) as port, connect(port) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)  # so that it cannot all wait on the way
        connection.sendall(with_body("/", b"x" * 3_000_000))
        answer = read_answer(connection)
    assert (answer.status, answer.body, answer.headers["connection"]) == (403, b"no", "close")


def test_a_refused_body_is_not_heard_out_for_ever() -> None:
    """A sender who goes on after the answer loses the connection."""
    with listening(edge(deaf)) as port, connect(port, seconds=10) as connection:
        connection.sendall(head("/", "Transfer-Encoding: chunked", method="POST"))
        assert read_answer(connection).status == 403
        with pytest.raises(OSError, match=r"reset|pipe"):
            connection.sendall((b"400\r\n" + b"x" * 1024 + b"\r\n") * 100_000)


def test_a_short_body_that_nobody_read_does_not_cost_the_connection() -> None:
    """What had arrived with the head is passed over, and the next request on the connection is served."""
    with listening(edge(deaf)) as port, connect(port) as connection:
        for _ in range(3):
            connection.sendall(with_body("/", b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"))
            answer = read_answer(connection)
            assert answer.status == 403
            assert "connection" not in answer.headers


def test_a_sender_who_leaves_is_no_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """A connection that ends in the middle of a body is one line in the log, without a status and without an error."""
    with capture_logs() as logs, listening(edge(Reading())) as port:
        with connect(port) as connection:
            connection.sendall(head("/", "Content-Length: 900", method="POST") + b"x")
        until(lambda: logs, "the line in the log")
    assert [(each["event"], each["status"]) for each in logs] == [("request", None)]
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_two_requests_at_once_get_two_answers() -> None:
    """Pipelined requests are answered one after the other."""
    with listening(edge(Reading())) as port, connect(port) as connection:
        connection.sendall(with_body("/", b"abc") + with_body("/", b"defg", "Connection: close"))
        received = b""
        while piece := connection.recv(4096):
            received += piece
    assert [each[-1:] for each in received.split(b"HTTP/1.1 200 OK")[1:]] == [b"3", b"7"]


def test_an_answer_that_broke_off_is_seen_as_broken() -> None:
    """A fault in the middle of an answer closes the connection before its end: nobody takes half for the whole."""

    async def breaking(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ValueError

    with listening(edge(breaking)) as port, connect(port) as connection:
        connection.sendall(head())
        received = b""
        while piece := connection.recv(4096):
            received += piece
    assert received.endswith(b"half")


def _headers_of(app: Callable[..., Any], *, over_tls: bool = False) -> dict[str, str]:
    with listening(edge(app, over_tls=over_tls)) as port:
        return speak(port, head()).headers


def test_only_a_service_behind_tls_asks_for_tls() -> None:
    """Strict-Transport-Security goes out when the public address is https, and not otherwise."""
    assert "strict-transport-security" not in _headers_of(deaf)
    assert _headers_of(deaf, over_tls=True)["strict-transport-security"] == "max-age=31536000"


def test_a_page_keeps_what_it_says_itself() -> None:
    """A page may bring a policy of its own; a page without one still cannot be framed."""

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        policy = {"Content-Security-Policy": "default-src 'self'", "Cache-Control": "max-age=60"}
        await HTMLResponse("<p>", headers=policy)(scope, receive, send)

    async def plain_page(scope: Scope, receive: Receive, send: Send) -> None:
        await HTMLResponse("<p>")(scope, receive, send)

    own = _headers_of(page)
    assert (own["content-security-policy"], own["cache-control"]) == ("default-src 'self'", "max-age=60")
    assert "frame-ancestors 'none'" in _headers_of(plain_page)["content-security-policy"]


@pytest.mark.parametrize(("trusted", "client"), [("", "127.0.0.1"), ("127.0.0.1/32", "203.0.113.9")])
def test_a_forwarded_header_is_believed_from_named_proxies_only(trusted: str, client: str) -> None:
    """X-Forwarded-For of a stranger changes nothing; that of a trusted proxy says who asked."""
    with capture_logs() as logs, listening(edge(deaf), trusted_proxies=trusted) as port:
        speak(
            port, head("/", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https", "Forwarded: for=198.51.100.1")
        )
    assert [each["client"] for each in logs if each["event"] == "request"] == [client]


def test_the_log_holds_one_line_a_request_without_its_path() -> None:
    """Method, template, status, time and request id; of what the caller made up, nothing."""
    with capture_logs() as logs, listening(edge(deaf)) as port:
        answer = speak(port, head("/canary41?canary41", "User-Agent: canary41", method="CANARY41"))
    (line,) = [each for each in logs if each["event"] == "request"]
    assert (line["method"], line["route"], line["status"]) == ("other", "none", 403)
    assert line["milliseconds"] >= 0
    assert len(answer.headers["x-request-id"]) == 36
    assert "canary41" not in str(logs).lower()
