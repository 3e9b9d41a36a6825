"""The load generator: `python -m benchmarks.load PORT CONNECTIONS SECONDS < request`.

A process of its own, so that it does not wait for what it measures. It sends the bytes of its standard input over and
over on so many connections, each waiting for its answer, and prints what it saw as JSON.
"""

import asyncio
import json
import sys
import time
from statistics import quantiles

_LENGTH = b"content-length: "
_END = b"\r\n\r\n"
_FEWEST = 2  # answers of a connection, however short the time: fewer have no percentiles


class Caller(asyncio.Protocol):
    """One connection: sends, waits for the whole answer, notes how long it took, sends again until `until`."""

    def __init__(self, request: bytes, until: float, finished: asyncio.Future[None]) -> None:
        self.seconds: list[float] = []
        self.refused = 0
        self._request = request
        self._until = until
        self._finished = finished
        self._received = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Note an answer once all of it is there."""
        self._received += data
        head, end, body = self._received.partition(_END)
        if not end or len(body) < _length(head):
            return
        self._received = b""
        self.seconds.append(time.perf_counter() - self._sent_at)
        self.refused += not head.startswith(b"HTTP/1.1 202")
        if self._is_done():
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        """End; a server that hangs up before its time is a failure of the measurement."""
        if error is not None or not self._is_done():
            self._finished.set_exception(error or ConnectionResetError("the server hung up"))
        else:
            self._finished.set_result(None)

    def _is_done(self) -> bool:
        return time.perf_counter() >= self._until and len(self.seconds) >= _FEWEST

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(_LENGTH)
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


async def call(port: int, connections: int, seconds: float, request: bytes) -> dict[str, float]:
    """Call for so many seconds; return requests a second, p50 and p99 in milliseconds, answers, and refusals."""
    loop = asyncio.get_running_loop()
    begun = time.perf_counter()
    finished: list[asyncio.Future[None]] = [loop.create_future() for _ in range(connections)]
    callers = [Caller(request, begun + seconds, future) for future in finished]
    for caller in callers:
        await loop.create_connection(lambda caller=caller: caller, "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*finished)
    lasted = time.perf_counter() - begun
    answers = [each for caller in callers for each in caller.seconds]
    cuts = quantiles(answers, n=100, method="inclusive")
    return {
        "per_second": len(answers) / lasted,
        "p50_ms": cuts[49] * 1_000,
        "p99_ms": cuts[98] * 1_000,
        "answers": len(answers),
        "refused": sum(caller.refused for caller in callers),
    }


if __name__ == "__main__":
    asked = (int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
    print(json.dumps(asyncio.run(call(*asked, sys.stdin.buffer.read()))))
