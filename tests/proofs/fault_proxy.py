"""Stands between the service and its payroll source, passes everything on, and spoils the answers it is told to.

It spoils bytes, not meanings: it gets the genuine answer and says which bytes leave, in which pieces, and how the
connection ends. It listens on loopback and has no time of its own but the pause between two pieces.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum

_HEAD_END = b"\r\n\r\n"
_NO_LINGERING = struct.pack("ii", 1, 0)


class Ending(StrEnum):
    """How a connection ends after the last piece."""

    CLOSE = "close"
    RESET = "reset"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Genuine:
    """What the source really answered. `status` is its number and words."""

    status: str
    headers: Mapping[str, str]
    body: bytes

    def whole(self, body: bytes | None = None, *, status: str | None = None, **headers: str | None) -> bytes:
        """Return an answer as it goes over the line; headers are named with `_`, and left out when None."""
        content = self.body if body is None else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        wanted = {"content-type": self.headers["content-type"], "content-length": str(len(content)), **named}
        lines = [
            f"HTTP/1.1 {status or self.status}",
            *(f"{name}: {value}" for name, value in wanted.items() if value is not None),
        ]
        return "\r\n".join(lines).encode("latin-1") + _HEAD_END + content


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoiled:
    """What leaves instead."""

    pieces: Sequence[bytes]
    ending: Ending = Ending.CLOSE
    pause_seconds: float = 0.0


Spoil = Callable[[Genuine], Spoiled]


class FaultProxy:
    """The proxy. `answers` keeps the last genuine answer to each operation; `struck` counts spoiled ones."""

    def __init__(self, host: str, port: int) -> None:
        self.answers: dict[str, Genuine] = {}
        self.struck = 0
        self._upstream = (host, port)
        self._port = 0
        self._spoils: dict[str, Spoil] = {}
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._healed = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._thread.start()

    @property
    def base_url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    def spoil(self, operation: str, spoil: Spoil) -> None:
        """Spoil every answer to this operation from now on, for instance `SalaryDocuments_GetSEPA`."""
        self._spoils[operation] = spoil

    def heal(self) -> None:
        """Pass everything on again; connections that were kept silent end."""
        self._spoils.clear()
        self._run(self._release())

    def listen(self) -> None:
        """Take connections; always on the same port."""
        self._run(self._listen())

    def refuse(self) -> None:
        """Refuse connections until told to listen."""
        self._run(self._refuse())

    def stop(self) -> None:
        """Close everything."""
        self.heal()
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=20)

    async def _release(self) -> None:
        self._healed.set()
        self._healed = asyncio.Event()
        await asyncio.sleep(0)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = int(self._server.sockets[0].getsockname()[1])

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):  # the client may hang up at any moment
            operation, request = await _read_request(reader)
            self.answers[operation] = genuine = await self._ask(request)
            spoil = self._spoils.get(operation)
            self.struck += spoil is not None
            await self._answer(writer, spoil(genuine) if spoil else Spoiled(pieces=[genuine.whole()]))
        writer.close()

    async def _ask(self, request: bytes) -> Genuine:
        reader, writer = await asyncio.open_connection(*self._upstream)
        writer.write(request)
        answer = await reader.read()  # to its end: the service asks for one answer on each connection
        writer.close()
        head, _, body = answer.partition(_HEAD_END)
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return Genuine(status=status.partition(" ")[2], headers=headers, body=body)

    async def _answer(self, writer: asyncio.StreamWriter, spoiled: Spoiled) -> None:
        for piece in spoiled.pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(spoiled.pause_seconds)
        if spoiled.ending is Ending.SILENCE:
            await self._healed.wait()
        elif spoiled.ending is Ending.RESET:
            end: socket.socket = writer.get_extra_info("socket")
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
            writer.transport.abort()


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """Return which operation is asked for, and the whole request."""
    head = await reader.readuntil(_HEAD_END)
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return headers.get("soapaction", "").strip('"').rpartition("/")[2], head + body


@contextmanager
def fault_proxy(base_url: str) -> Iterator[FaultProxy]:
    """Run a proxy before the source at this address."""
    host, _, port = base_url.partition("//")[2].partition(":")
    proxy = FaultProxy(host, int(port))
    try:
        proxy.listen()
        yield proxy
    finally:
        proxy.stop()
