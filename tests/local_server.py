"""A scripted HTTP server on loopback, for adapters: it answers what a test tells it to, well-formed or not."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as it came in; header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What to answer. `raw` goes out untouched, then the connection `stays_open` or not; `pieces` have no length."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw: bytes | None = None
    pieces: Iterable[bytes] | None = None
    stays_open: bool = False


Script = Callable[[Received], Reply]


class LocalServer:
    """Listens on a free port of 127.0.0.1. `received` holds every request, `connections` counts sockets accepted."""

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.received: list[Received] = []
        self.connections = 0
        self.closing = threading.Event()
        self._open: list[socket.socket] = []
        self._http = _make_server(self)
        if tls:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self.port = self._http.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def note(self, connection: socket.socket) -> None:
        """Count a connection, and remember it for closing."""
        self.connections += 1
        self._open.append(connection)

    def trickle(self, first: bytes, piece: bytes) -> Iterator[bytes]:
        """Yield `first`, then `piece` every few milliseconds for as long as the server runs."""
        yield first
        while not self.closing.wait(0.005):
            yield piece

    def close(self) -> None:
        """Stop listening and cut what is still open."""
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        for connection in self._open:
            connection.close()
        self._thread.join()


@contextmanager
def serving(script: Script, *, tls: ssl.SSLContext | None = None) -> Iterator[LocalServer]:
    """Run a scripted server for the length of a block."""
    server = LocalServer(script, tls=tls)
    try:
        yield server
    finally:
        server.close()


def _make_server(owner: LocalServer) -> ThreadingHTTPServer:  # noqa: C901 (two small classes that need the owner)
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            owner.note(self.request)
            super().setup()

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Received(method=self.command, path=self.path, headers=headers, body=body)
            owner.received.append(request)
            try:
                self._send(owner.script(request))
            except OSError:  # the client has gone, as many of these tests want
                self.close_connection = True

        do_GET = do_POST = answer  # noqa: N815 (names given by http.server)

        def _send(self, reply: Reply) -> None:
            if reply.raw is not None:
                self.wfile.write(reply.raw)
                self.close_connection = not reply.stays_open
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.pieces is None:
                self.send_header("content-length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)
                return
            self.end_headers()
            self.close_connection = True
            for piece in reply.pieces:
                self.wfile.write(piece)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (name given by http.server)
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing: clients that hang up are the subject here."""

    return Server(("127.0.0.1", 0), Handler)
