"""Asks the service in this process: straight to the application, with no socket and no client between."""

import asyncio
import json as as_json
from collections import deque
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlencode

import httpx2
from fastapi import FastAPI, Request

from app.auth.actor import Actor
from app.auth.web import actor_of


class Caller:
    """One service, and a loop to answer on for each request that is under way.

    A token is looked up once and its holder remembered, until `forget` is called: that lookup would be half of the work
    of most requests, and it is no part of what the model is about.
    """

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._loops: list[asyncio.AbstractEventLoop] = []
        self._free: deque[asyncio.AbstractEventLoop] = deque()
        self._actors: dict[str, Actor] = {}
        app.dependency_overrides[actor_of] = self._known_actor

    def close(self) -> None:
        """End every loop."""
        for loop in self._loops:
            loop.close()

    def forget(self) -> None:
        """Look every token up again."""
        self._actors.clear()

    @contextmanager
    def _lent_loop(self) -> Iterator[asyncio.AbstractEventLoop]:
        """Lend a loop for one request: as many are made as are used at once, however many threads come and go."""
        try:
            loop = self._free.pop()
        except IndexError:
            loop = asyncio.new_event_loop()
            self._loops.append(loop)
        try:
            yield loop
        finally:
            self._free.append(loop)

    async def _known_actor(self, request: Request) -> Actor:
        token = request.headers["authorization"]
        if token not in self._actors:
            self._actors[token] = actor_of(request)
        return self._actors[token]

    def request(
        self,
        method: str,
        path: str,
        *,
        token: str,
        json: Any = None,
        content: bytes | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """Send a request with this token and return the answer."""
        sent = {"host": "model.example", "authorization": f"Bearer {token}", **(headers or {})}
        body = content or b""
        if json is not None:
            body, sent["content-type"] = as_json.dumps(json).encode(), "application/json"
        address, _, query = path.partition("?")
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(address),
            "raw_path": address.encode(),
            "query_string": (urlencode(params) if params else query).encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
            "client": ("model", 1),
            "server": ("model.example", 80),
            "state": {},
        }
        with self._lent_loop() as loop:
            return loop.run_until_complete(self._exchange(scope, body))

    async def _exchange(self, scope: MutableMapping[str, Any], body: bytes) -> httpx2.Response:
        sent = [{"type": "http.request", "body": body, "more_body": False}]
        said: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return sent.pop() if sent else {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            said.append(message)

        await self._app(scope, receive, send)
        content = b"".join(message.get("body", b"") for message in said[1:])
        return httpx2.Response(said[0]["status"], headers=said[0]["headers"], content=content)
