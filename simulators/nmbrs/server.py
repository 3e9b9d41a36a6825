"""Carries requests and answers over real sockets, one thread for each connection."""

import socket
import struct
import sys
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from simulators.nmbrs.exchange import Ending, HttpRequest, Reply

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
_IDLE_SECONDS: Final = 120


class Server(ThreadingMixIn, TCPServer):
    """An HTTP server whose answers may also be cut off or reset."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, host: str, port: int) -> None:
        super().__init__((host, port), _Handler)
        self.respond: Callable[[HttpRequest], Reply] = lambda _request: Reply(status=503)

    @property
    def base_url(self) -> str:
        """Where the server listens."""
        host, port = self.socket.getsockname()[:2]
        return f"http://{host}:{port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no error of ours; anything else is printed."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True
    server: Server

    def exchange(self) -> None:
        """Read one request and answer it."""
        body = self._read_body()
        if body is None:
            return
        parts = urlsplit(self.path)
        request = HttpRequest(
            method=self.command,
            path=unquote(parts.path),
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
        )
        self._send(self.server.respond(request))

    def log_message(self, *_arguments: object) -> None:
        """Stay silent: the call log is read through the control API."""

    def _read_body(self) -> bytes | None:
        """The body; None when it was refused."""
        length = self.headers.get("content-length", "0")
        if "transfer-encoding" in self.headers or not (length.isascii() and length.isdigit()):
            self.close_connection = True
            self._send(Reply(status=411))
            return None
        if int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            self._send(Reply(status=413))
            return None
        return self.rfile.read(int(length))

    def _send(self, reply: Reply) -> None:
        if reply.pause:
            reply.pause.lifted.wait(reply.pause.seconds)
        if reply.ending is Ending.RESET:
            self._reset()
        elif isinstance(reply.body, bytes):
            self._send_whole(reply, reply.body)
        else:
            self._send_chunks(reply, reply.body)

    def _send_whole(self, reply: Reply, body: bytes) -> None:
        if reply.ending is Ending.HALF:
            self.close_connection = True
        head = self._head(reply, {"content-length": str(len(body))})
        sent = b"" if self.command == "HEAD" else body[: len(body) // 2] if reply.ending is Ending.HALF else body
        self.wfile.write(head + sent)  # in one write, so that no answer waits for an acknowledgement of its head

    def _send_chunks(self, reply: Reply, chunks: Iterable[bytes]) -> None:
        self.close_connection = True
        self.wfile.write(self._head(reply, {"transfer-encoding": "chunked"}))
        for chunk in chunks:
            self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def _head(self, reply: Reply, framing: Mapping[str, str]) -> bytes:
        phrase, _ = self.responses.get(reply.status, ("Unknown", ""))
        headers = {"server": "nmbrs-simulator", **reply.headers, **framing}
        if self.close_connection:
            headers["connection"] = "close"
        lines = (f"HTTP/1.1 {reply.status} {phrase}", *(f"{name}: {value}" for name, value in headers.items()))
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _reset(self) -> None:
        """Close without the polite ending: lingering for no time makes the kernel send a reset."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.connection.close()


for _method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
    setattr(_Handler, f"do_{_method}", _Handler.exchange)  # the names http.server looks for
