"""The edge: an ASGI middleware that bounds what a caller may send, and names every request.

A web server of this kind reads bodies of any size for as long as the sender likes. Here each body has a size and a
deadline; what passes them becomes an error where the route reads it. Every answer carries a request id and headers that
keep browsers careful.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.errors import PayloadTooLarge, RequestTimeout

DEFAULT_BODY_BYTES = 64 * 1024
DEFAULT_READ_SECONDS = 10.0
_SECURITY_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLimit:
    """How much, and for how long, may be sent to paths that match. A limit of None leaves it to the route."""

    path: re.Pattern[str]
    bytes: int | None
    seconds: float


class Edge:
    """Bound bodies and name requests."""

    def __init__(self, app: ASGIApp, *, limits: Sequence[BodyLimit] = ()) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event; only HTTP is touched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = str(uuid4())

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in _SECURITY_HEADERS:
                    headers.setdefault(name, value)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(scope, self._bounded(scope["path"], receive), send_named)

    def _bounded(self, path: str, receive: Receive) -> Receive:
        limit = next((each for each in self._limits if each.path.search(path)), None)
        most = DEFAULT_BODY_BYTES if limit is None else limit.bytes
        seconds = DEFAULT_READ_SECONDS if limit is None else limit.seconds
        if most is None:
            return receive
        maximum = most
        state = {"bytes": 0, "done": False}
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds

        async def bounded() -> Message:
            if state["done"]:
                return await receive()  # waits for the client to go away, as long as the answer takes
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError as error:
                raise RequestTimeout(f"Send the whole body within {seconds:.0f} s.") from error
            if message["type"] == "http.request":
                state["bytes"] += len(message.get("body", b""))
                state["done"] = not message.get("more_body", False)
                if state["bytes"] > maximum:
                    raise PayloadTooLarge(f"At most {maximum} bytes are accepted here.")
            return message

        return bounded
