"""Listening: uvicorn's HTTP/1.1 with what it leaves open closed.

By itself it waits for ever for the head of a request, for a reader who does not read, and counts only connections that
have sent one; and what is no HTTP it answers in a shape of its own. Here each of these has an end, connections have a
cap beyond which only the probes are answered, and a refusal at this depth is problem+json like any other.
"""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, cast
from uuid import uuid4

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from app.core.edge import MAXIMUM_HEADER_BYTES, Render
from app.core.errors import AppError, BadRequest, HeadersTooLarge, RequestTimeout, TooManyConnections
from app.core.exchange import CROWDED, SECURITY_HEADERS

_KEEP_ALIVE_SECONDS = 15
_SHUTDOWN_SECONDS = 20
_CLOSING_SECONDS = 5.0
_HEAD = "head"
_WRITE = "write"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one process takes: connections in all, and seconds for a request's head and for a reader who does not read.

    `reserve` connections beyond the cap are still heard, briefly, so that a probe is answered when strangers sit on
    all the others; what comes beyond those is refused unheard.
    """

    maximum_connections: int
    reserve: int = 64
    head_seconds: float = 10.0
    crowded_head_seconds: float = 2.0
    write_seconds: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen, and which proxies are believed when they say who is behind them (none when empty)."""

    host: str
    port: int
    trusted_proxies: str = ""


def server_config(app: ASGIApp, address: Address, bounds: Bounds, render: Render) -> uvicorn.Config:
    """Return how the service is served: bounded, silent about itself, and believing no forwarded header by default."""
    return uvicorn.Config(
        app,
        host=address.host,
        port=address.port,
        http=cast("type[asyncio.Protocol]", partial(BoundedProtocol, bounds=bounds, render=render)),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(address.trusted_proxies),
        forwarded_allow_ips=address.trusted_proxies,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        h11_max_incomplete_event_size=2 * MAXIMUM_HEADER_BYTES,
    )


class BoundedProtocol(H11Protocol):
    """One connection, with a deadline on whatever it is waiting for."""

    def __init__(self, *arguments: Any, bounds: Bounds, render: Render, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._bounds = bounds
        self._render = render
        self._deadlines: dict[str, asyncio.TimerHandle] = {}
        self._head_seconds = bounds.head_seconds
        self._spoke = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to listen, unless there are too many already."""
        super().connection_made(transport)
        others = len(self.connections) - 1
        if others >= self._bounds.maximum_connections + self._bounds.reserve:
            self._refuse(TooManyConnections("Try again in a moment.", headers={"Retry-After": "5"}))
            return
        if others >= self._bounds.maximum_connections:
            self._head_seconds = self._bounds.crowded_head_seconds
            self.app_state = {**self.app_state, CROWDED: True}
        self._set_deadline(_HEAD, self._head_seconds, self._head_is_late)

    def data_received(self, data: bytes) -> None:
        """Read on; while no request is being answered, its head has a deadline that more bytes do not move."""
        self._spoke = True
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._answering() is not None:
            self._clear_deadline(_HEAD)
        elif _HEAD not in self._deadlines:
            self._set_deadline(_HEAD, self._head_seconds, self._head_is_late)

    def _answering(self) -> RequestResponseCycle | None:
        """Return the request that is being answered; uvicorn's declaration forgets that there may be none."""
        cycle = self._cycle()
        return None if cycle is None or cycle.response_complete else cycle

    def _cycle(self) -> RequestResponseCycle | None:
        return self.cycle

    def _head_is_late(self) -> None:
        if self._spoke:
            self._refuse(RequestTimeout(f"Send the whole head of a request within {self._head_seconds:.0f} s."))
        else:
            self.transport.close()  # a connection that was opened ahead and not used

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's sentence; ours follow
        """Refuse what is no HTTP; called by uvicorn where it caught the error."""
        status = getattr(sys.exception(), "error_status_hint", None)
        if status == HeadersTooLarge.status:
            self._refuse(HeadersTooLarge(f"At most {MAXIMUM_HEADER_BYTES} bytes of headers."))
        else:
            self._refuse(BadRequest("Send HTTP/1.1 as RFC 9112 describes it."))

    def _refuse(self, error: AppError) -> None:
        """Answer below the application, and hang up. Into an answer that has begun nothing is said."""
        answering = self._answering()
        if answering is not None:
            answering.disconnected = True
            answering.message_event.set()
            if answering.response_started:
                self.transport.abort()
                return
        self.transport.write(_wire(self._render(error)))
        self.transport.close()
        self._set_deadline(_WRITE, _CLOSING_SECONDS, self.transport.abort)

    def on_response_complete(self) -> None:
        """Go on to the next request; one who does not take the last answer in is not waited for."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._set_deadline(_WRITE, self._bounds.write_seconds, self.transport.abort)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that was not used again."""
        super().timeout_keep_alive_handler()
        self._set_deadline(_WRITE, _CLOSING_SECONDS, self.transport.abort)

    def pause_writing(self) -> None:
        """Wait for a reader, but not for ever."""
        super().pause_writing()
        self._set_deadline(_WRITE, self._bounds.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The reader has read."""
        super().resume_writing()
        self._clear_deadline(_WRITE)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        for name in (_HEAD, _WRITE):
            self._clear_deadline(name)
        super().connection_lost(exc)

    def _set_deadline(self, name: str, seconds: float, then: Callable[[], None]) -> None:
        self._clear_deadline(name)
        self._deadlines[name] = self.loop.call_later(seconds, then)

    def _clear_deadline(self, name: str) -> None:
        timer = self._deadlines.pop(name, None)
        if timer is not None:
            timer.cancel()


def _wire(response: Any) -> bytes:
    """Return an answer as it stands on the wire, with the headers that every answer has."""
    head = [f"HTTP/1.1 {response.status_code} {HTTPStatus(response.status_code).phrase}".encode()]
    named = {name.lower(): value for name, value in response.raw_headers}
    ours = {name.lower().encode(): value.encode() for name, value in SECURITY_HEADERS}
    last = {b"connection": b"close", b"x-request-id": str(uuid4()).encode()}
    head += [name + b": " + value for name, value in {**ours, **named, **last}.items()]
    return b"\r\n".join(head) + b"\r\n\r\n" + cast("bytes", response.body)
