"""Connections that judge where they lead and never outlast the call they serve. Used by `core.http` only."""

import ipaddress
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from ssl import SSLContext
from typing import Any, Final

import httpcore

_WRITE_BYTES: Final = 64 * 1024
_ADDRESSES_TRIED: Final = 6
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
# What the world routes. The rest of IPv6 is local, wraps something, or is not given out.
_ROUTED: Final = ipaddress.ip_network("2000::/3")
# What `is_global` lets through in one version of Python or another: what providers use inside, the relays of 6to4 that
# anybody may announce, protocols in their own right, documentation.
_NOT_TO_BE_CALLED: Final = tuple(
    ipaddress.ip_network(text) for text in ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2001:db8::/32", "3fff::/20")
)

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[str]]


class AddressRefused(Exception):
    """The name leads nowhere that may be called: this machine, or a private or link-local network."""


class Deadline:
    """A moment on the steady clock, for one piece of work made of several waits."""

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds

    def seconds_left(self) -> float:
        """Return the seconds that are left, zero when it has passed."""
        return max(0.0, self._ends_at - time.monotonic())


_deadline: ContextVar[Deadline] = ContextVar("deadline of the call that runs here")


@contextmanager
def no_longer_than(deadline: Deadline) -> Iterator[None]:
    """Cut every wait on a guarded connection inside this block at `deadline`."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def is_loopback_host(host: str) -> bool:
    """Say whether this host, as written, names this machine and nothing else: localhost, 127.0.0.0/8 or ::1."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _resolve_by_system(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise httpcore.ConnectError("the name is not known") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


# The system's resolver knows no time limit, so it runs beside the call, which stops waiting in time.
_RESOLVERS: Final = ThreadPoolExecutor(max_workers=8, thread_name_prefix="resolve")


class GuardedBackend(httpcore.NetworkBackend):
    """Connects to an address only after judging it, so that a name cannot lead inwards (also not by changing later)."""

    def __init__(self, *, allow_loopback: bool, resolve: Resolve = _resolve_by_system) -> None:
        self._allow_loopback = allow_loopback
        self._resolve = resolve
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first allowed address of `host` that answers, or raise `AddressRefused`."""
        until = Deadline(_cut(timeout))
        addresses = [address for address in self._addresses(host, port, until) if self._may_call(host, address)]
        if not addresses:
            raise AddressRefused
        failure: httpcore.ConnectError | httpcore.ConnectTimeout = httpcore.ConnectTimeout("no time left")
        for tried, address in enumerate(addresses[:_ADDRESSES_TRIED]):
            # An address that stays silent leaves time for the next one.
            share = _seconds(until) / (min(len(addresses), _ADDRESSES_TRIED) - tried)
            try:
                return _TimedStream(self._sockets.connect_tcp(address, port, share, local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    def _addresses(self, host: str, port: int, until: Deadline) -> Sequence[str]:
        try:
            return _RESOLVERS.submit(self._resolve, host, port).result(timeout=until.seconds_left())
        except TimeoutError:
            raise httpcore.ConnectTimeout("resolving the name took too long") from None

    def _may_call(self, host: str, address: str) -> bool:
        judged = _innermost(ipaddress.ip_address(address.partition("%")[0]))
        if judged.is_loopback:
            return self._allow_loopback
        return _is_public(judged) and not is_loopback_host(host)


def _is_public(address: IpAddress) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address not in _ROUTED:
        return False
    is_odd = any(address.version == network.version and address in network for network in _NOT_TO_BE_CALLED)
    return address.is_global and not address.is_multicast and not is_odd


def _innermost(address: IpAddress) -> IpAddress:
    """Return the IPv4 address that an IPv6 address merely wraps, since that is where the packets go."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo or address


class _TimedStream(httpcore.NetworkStream):
    """A connection on which no wait outlasts the call: the library's own time-outs start anew at each byte."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _cut(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _WRITE_BYTES):
            self._stream.write(buffer[start : start + _WRITE_BYTES], _cut(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _TimedStream(self._stream.start_tls(ssl_context, server_hostname, _cut(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _cut(timeout: float | None) -> float:
    seconds = _seconds(_deadline.get())
    return seconds if timeout is None else min(timeout, seconds)


def _seconds(until: Deadline) -> float:
    # Zero would tell a socket not to wait, where it means that no time is left.
    seconds = until.seconds_left()
    if seconds <= 0:
        raise httpcore.ReadTimeout("no time left")
    return seconds
