"""The service behind real sockets in the test's own process, and a client that sends bytes as they stand."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from app.core.listening import Address, Bounds, server_config
from app.core.web import problem_response
from tests.end_to_end.town import until

ROOMY = Bounds(maximum_connections=200)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer as it came over the wire; header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The body, when it is a problem."""
        assert self.headers["content-type"] == "application/problem+json", self
        found: dict[str, Any] = json.loads(self.body)
        return found


@contextmanager
def listening(app: ASGIApp, bounds: Bounds = ROOMY, *, trusted_proxies: str = "") -> Iterator[int]:
    """Serve an app on a free port of 127.0.0.1; give the port."""
    address = Address(host="127.0.0.1", port=0, trusted_proxies=trusted_proxies)
    server = uvicorn.Server(server_config(app, address, bounds, problem_response))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, "the server to listen")
    try:
        yield int(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        assert not thread.is_alive()


def connect(port: int, *, seconds: float = 30.0) -> socket.socket:
    """Open a connection."""
    return socket.create_connection(("127.0.0.1", port), timeout=seconds)


def read_answer(connection: socket.socket, method: str = "GET") -> Answer:
    """Read one answer, whole."""
    with closing(http.client.HTTPResponse(connection, method=method)) as response:
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(status=response.status, headers=headers, body=response.read())


def speak(port: int, data: bytes) -> Answer:
    """Send bytes on a connection of their own and read one answer."""
    with connect(port) as connection:
        connection.sendall(data)
        return read_answer(connection, data.split(b" ", maxsplit=1)[0].decode("latin-1"))


def is_hung_up(connection: socket.socket) -> bool:
    """Say whether the other side ends the connection, within the connection's own timeout."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


def head(target: str = "/healthz", *headers: str, method: str = "GET") -> bytes:
    """Return the head of a request."""
    return "\r\n".join((f"{method} {target} HTTP/1.1", "Host: localhost", *headers, "", "")).encode("latin-1")


def with_body(target: str, body: bytes, *headers: str, method: str = "POST") -> bytes:
    """Return a whole request."""
    return head(target, f"Content-Length: {len(body)}", *headers, method=method) + body
