"""The edge: an ASGI middleware that bounds what a caller may send, names every request, answers where nobody did.

A web server of this kind reads bodies of any size for as long as the sender likes. Here each body has a size and a
deadline; what passes them becomes an error where the route reads it. Every answer carries a request id and headers that
keep browsers and caches careful, and every request is one line in the log: the template of its route, never its path,
because the path of a webhook is a secret.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import uuid4

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.errors import AddressTooLong, AppError, BadRequest, HeadersTooLarge, InternalError, TooManyConnections
from app.core.exchange import CROWDED, BodyLimit, Exchange
from app.core.log import frames_of

MAXIMUM_ADDRESS_BYTES = 8 * 1024
MAXIMUM_HEADER_BYTES = 32 * 1024
MAXIMUM_HEADERS = 100
PROBES = frozenset({"/healthz", "/readyz"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET = frozenset({*PROBES, "/metrics"})
# A name, an IPv4 address or an IPv6 address in brackets, and perhaps a port: what we ever build an address from.
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_LOG = structlog.get_logger(__name__)

Render = Callable[[AppError], Response]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What the log line of a request needs."""

    scope: Scope
    started: float
    status: int | None


class Edge:
    """Bound bodies, refuse what cannot be meant, name requests, and let no error out but as a problem."""

    def __init__(
        self, app: ASGIApp, *, render: Render, limits: Sequence[BodyLimit] = (), over_tls: bool = False
    ) -> None:
        self._app = app
        self._render = render
        self._limits = limits
        self._over_tls = over_tls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event; only HTTP is touched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(
            scope,
            receive,
            send,
            limit=next((each for each in self._limits if each.path.search(scope["path"])), BodyLimit()),
            request_id=str(uuid4()),
            over_tls=self._over_tls,
        )
        started = time.monotonic()
        with structlog.contextvars.bound_contextvars(request_id=exchange.request_id):
            try:
                await self._answer(scope, exchange)
            finally:
                _log(_Seen(scope=scope, started=started, status=exchange.status))

    async def _answer(self, scope: Scope, exchange: Exchange) -> None:
        refusal = refusal_of(scope)
        if refusal is not None:
            await self._render(refusal)(scope, exchange.receive, exchange.send)
            return
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            return  # nobody is there to hear an answer
        except Exception as error:  # noqa: BLE001 - the outermost of ours: nothing but an answer may pass it
            _LOG.error("unforeseen_error", error=type(error).__name__, at=frames_of(error))
            if exchange.status is None:
                problem = InternalError("The request failed; it was logged with its request id.")
                await self._render(problem)(scope, exchange.receive, exchange.send)


def refusal_of(scope: Scope) -> AppError | None:
    """Return why this request goes no further, judged by its head alone; None when it may."""
    if scope.get("state", {}).get(CROWDED) and scope["path"] not in PROBES:
        return TooManyConnections("Try again in a moment.", headers={"Retry-After": "5"})
    headers = scope["headers"]
    if len(headers) > MAXIMUM_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAXIMUM_HEADER_BYTES:
        return HeadersTooLarge(f"At most {MAXIMUM_HEADERS} headers of {MAXIMUM_HEADER_BYTES} bytes in all.")
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAXIMUM_ADDRESS_BYTES:
        return AddressTooLong(f"At most {MAXIMUM_ADDRESS_BYTES} bytes of path and query.")
    return _misread(scope)


def _misread(scope: Scope) -> BadRequest | None:
    """Refuse what two readers of HTTP could take differently, and what no address can be built from."""
    headers = Headers(scope=scope)
    if not scope["path"].startswith("/"):
        return BadRequest("Ask for a path that begins with a slash.")
    if "content-length" in headers and "transfer-encoding" in headers:
        return BadRequest("Send Content-Length or Transfer-Encoding, not both.")
    if any(_HOST.fullmatch(host) is None for host in headers.getlist("host")):
        return BadRequest("Send a Host header with a name or address, and perhaps a port.")
    return None


def _log(seen: _Seen) -> None:
    scope = seen.scope
    template = getattr(scope.get("route"), "path", None)
    client = scope.get("client")
    log = _LOG.debug if template in _QUIET else _LOG.info
    log(
        "request",
        method=scope["method"] if scope["method"] in _METHODS else "other",
        route=template or "none",
        status=seen.status,
        milliseconds=round((time.monotonic() - seen.started) * 1000, 1),
        client=client[0] if client else None,
    )
