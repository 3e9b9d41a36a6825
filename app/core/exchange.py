"""One request and its answer as they pass the edge: bounded on the way in, with careful headers on the way out."""

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from app.core.errors import PayloadTooLarge, RequestTimeout

CROWDED = "crowded"  # in the state of a request whose connection is one beyond the cap
DEFAULT_BODY_BYTES = 64 * 1024
DEFAULT_READ_SECONDS = 10.0
# How much of a body that nobody wants is still read after the answer, so that the answer arrives: a socket that is
# closed over unread bytes is reset, and the sender would see a broken connection instead of the reason.
_LINGER_SECONDS = 2.0
_LINGER_BYTES = 4 * 1024 * 1024
_ARRIVED_BYTES = 256 * 1024
SECURITY_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
_CONTENT_POLICY = "default-src 'none'; frame-ancestors 'none'"
_PAGE_POLICY = "frame-ancestors 'none'; base-uri 'none'; object-src 'none'"  # a page of ours says more itself
_ONE_YEAR_OF_TLS = "max-age=31536000"


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLimit:
    """How much, and for how long, may be sent to paths that match."""

    path: re.Pattern[str] = re.compile("")
    bytes: int = DEFAULT_BODY_BYTES
    seconds: float = DEFAULT_READ_SECONDS


class Exchange:
    """What has come in and what has gone out of one request."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, *, limit: BodyLimit, request_id: str, over_tls: bool
    ) -> None:
        self.request_id = request_id
        self.status: int | None = None
        self._receive = receive
        self._send = send
        self._limit = limit
        self._over_tls = over_tls
        self._deadline = asyncio.get_running_loop().time() + limit.seconds
        self._is_last = bool(scope.get("state", {}).get(CROWDED))
        self._bytes = 0
        self._arrived = not _announces_body(Headers(scope=scope))

    async def receive(self) -> Message:
        """Give the next piece of the body; `PayloadTooLarge` when it is too much, `RequestTimeout` when it is late."""
        if self._arrived:
            return await self._next()  # past its body, this waits for the client to go away
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._next()
        except TimeoutError as error:
            raise RequestTimeout(f"Send the whole body within {self._limit.seconds:.0f} s.") from error
        if self._bytes > self._limit.bytes:
            raise PayloadTooLarge(f"At most {self._limit.bytes} bytes are accepted here.")
        return message

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._bytes += len(message.get("body", b""))
            self._arrived = self._arrived or not message.get("more_body", False)
        else:
            self._arrived = True  # the client has gone: nothing more comes
        return message

    async def send(self, message: Message) -> None:
        """Send a piece of the answer; its head gets our headers, its end waits for a sender who is still speaking."""
        if message["type"] == "http.response.start":
            if not self._arrived:
                await self._take_what_is_here()
            self.status = message["status"]
            self._complete(MutableHeaders(scope=message))
        elif not message.get("more_body", False) and not self._arrived:
            await self._send({**message, "more_body": True})
            await self._hear_out()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    def _complete(self, headers: MutableHeaders) -> None:
        headers["X-Request-ID"] = self.request_id
        for name, value in SECURITY_HEADERS:
            headers.setdefault(name, value)
        is_page = headers.get("content-type", "").startswith("text/html")
        headers.setdefault("Content-Security-Policy", _PAGE_POLICY if is_page else _CONTENT_POLICY)
        if self._over_tls:
            headers.setdefault("Strict-Transport-Security", _ONE_YEAR_OF_TLS)
        if self._is_last or not self._arrived:
            headers["Connection"] = "close"  # to make room; or the rest of the body would be the next request

    async def _take_what_is_here(self) -> None:
        """Read on what has come already, so that a short body nobody asked for does not cost the connection."""
        with suppress(TimeoutError):
            async with asyncio.timeout(0):
                while not self._arrived and self._bytes < _ARRIVED_BYTES:
                    await self._next()

    async def _hear_out(self) -> None:
        """Read on for a moment and throw away: the whole answer has gone out, and its reader may still be sending."""
        most = self._bytes + _LINGER_BYTES
        until = min(self._deadline, asyncio.get_running_loop().time() + _LINGER_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                while not self._arrived and self._bytes < most:
                    await self._next()


def _announces_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0").strip("0") != ""
