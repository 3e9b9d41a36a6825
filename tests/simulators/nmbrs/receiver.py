"""Somebody who receives webhooks: keeps what comes, answers what it was told to."""

import contextlib
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request as it came."""

    method: str
    path: str
    content_type: str | None
    body: bytes


@dataclass(slots=True, kw_only=True)
class Receiver:
    """`statuses` are answered one by one, then 202; with `meeting` set all wait for each other first."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    meeting: threading.Barrier | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, request: Received) -> int:
        """Keep a request; gives the status to answer."""
        with self.lock:
            self.received.append(request)
            status = self.statuses.pop(0) if self.statuses else 202
        if self.meeting:
            self.meeting.wait(timeout=20)
        return status


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver on a free port of this machine, behind TLS when given."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def take(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            content_type = self.headers.get("content-type")
            request = Received(method=self.command, path=self.path, content_type=content_type, body=body)
            status = receiver.take(request)
            self.send_response(status)
            if status in {301, 302, 307, 308}:
                self.send_header("location", receiver.url)
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_POST = do_PUT = take  # noqa: N815 - the names http.server looks for

        def handle(self) -> None:
            with contextlib.suppress(ssl.SSLError, ConnectionError):  # a sender that does not trust us hangs up
                super().handle()

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        receiver.url = (
            f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}/client/abc/webhooks/paymentsbatch"
        )
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
