"""The only way out of this process over HTTP: short, capped, and never to an address nobody meant.

httpx is imported here and nowhere else. No redirects, no cookies, no proxies and no .netrc from the environment.
TLS is always verified. Plain http reaches this machine only. Each connection carries one question: bytes that are left
over after an answer would otherwise be taken for the answer to the next question, perhaps one of another employer.
"""

import atexit
import functools
import http.cookiejar
import logging
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ssl import SSLError
from typing import Final

import httpcore
import httpx

from app.core.connections import AddressRefused, Deadline, GuardedBackend, is_loopback_host, no_longer_than

MIB: Final = 1024 * 1024

# httpx logs whole addresses and httpcore logs headers; both can hold secrets.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class HttpError(Exception):
    """No usable answer. Holds no address and no byte of what was sent or received."""


class HttpTimeout(HttpError):
    """Connecting, one read, or the call as a whole took too long."""


class HttpUnreachable(HttpError):
    """No connection, no trusted certificate, or the connection was lost."""


class AnswerBroken(HttpError):
    """The other side stopped halfway, or does not speak HTTP."""


class AnswerTooLarge(HttpError):
    """The answer, unpacked, is over the cap."""


class HttpRefused(HttpError):
    """We do not send this: the address is not one that may be called, or the request cannot be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one call may take. `total_seconds` covers everything from resolving the name to the last byte.

    `max_bytes` counts the body both as it travels and unpacked. `allow_loopback` opens this machine as a target,
    for a simulator; private and link-local networks stay closed. `only_host`: the one host that may be called, as the
    operator set it; whatever an address was put together from, it leads nowhere else.
    """

    connect_seconds: float = 5.0
    read_seconds: float = 15.0
    total_seconds: float = 60.0
    max_bytes: int = 8 * MIB
    allow_loopback: bool = False
    only_host: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete answer of any status, unpacked. Header names are lower case; `repr` shows neither headers nor body."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)

    @property
    def media_type(self) -> str:
        """The content type without its parameters, lower case, empty when there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


DEFAULT_LIMITS: Final = Limits()


def post(url: str, *, content: bytes, headers: Mapping[str, str], limits: Limits = DEFAULT_LIMITS) -> Answer:
    """Send `content` and return the answer, whatever its status; a redirect is an answer like any other.

    Raises `HttpTimeout`, `HttpUnreachable`, `AnswerBroken`, `AnswerTooLarge` or `HttpRefused`.
    """
    return _exchange("POST", url, content=content, headers=headers, limits=limits)


def get(url: str, *, headers: Mapping[str, str], limits: Limits = DEFAULT_LIMITS) -> Answer:
    """Fetch `url` and return the answer, whatever its status. Raises what `post` raises."""
    return _exchange("GET", url, content=None, headers=headers, limits=limits)


def check_url(url: str, *, allow_loopback: bool) -> str:
    """Return the host of an address that may be called, or raise `HttpRefused`; names are judged on connecting."""
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        raise HttpRefused("the address cannot be read") from None
    if not parts.host or parts.userinfo:
        raise HttpRefused("the address has no host, or holds a login")
    is_loopback = is_loopback_host(parts.host)
    if is_loopback and not allow_loopback:
        raise HttpRefused("this machine may not be called here")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback):
        raise HttpRefused("only https may leave this machine")
    return parts.host


def _exchange(method: str, url: str, *, content: bytes | None, headers: Mapping[str, str], limits: Limits) -> Answer:
    host = check_url(url, allow_loopback=limits.allow_loopback)
    if limits.only_host is not None and host != limits.only_host:
        raise HttpRefused("the address leads to another host than the one that may be called")
    client = _shared_client(allow_loopback=limits.allow_loopback)
    timeout = httpx.Timeout(limits.read_seconds, connect=limits.connect_seconds, pool=limits.total_seconds)
    with (
        no_longer_than(Deadline(limits.total_seconds)),
        _named_errors(),
        client.stream(method, url, content=content, headers=dict(headers), timeout=timeout) as response,
    ):
        body = _read_body(response, max_bytes=limits.max_bytes)
        return Answer(status=response.status_code, headers=dict(response.headers), content=body)


@contextmanager
def _named_errors() -> Iterator[None]:
    # `from None`: the library's own errors carry the request with its headers.
    try:
        yield
    except httpx.TimeoutException:
        raise HttpTimeout("no answer in time") from None
    except httpx.RemoteProtocolError:
        raise AnswerBroken("the connection ended before the answer was complete, or it was no HTTP") from None
    except (httpx.LocalProtocolError, httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise HttpRefused("the request cannot be written as HTTP") from None
    except httpx.ConnectError as error:
        reason = "its certificate is not trusted" if _is_about_tls(error) else "no connection could be made"
        raise HttpUnreachable(reason) from None
    except httpx.TransportError:
        raise HttpUnreachable("the connection was lost") from None
    except AddressRefused:
        raise HttpRefused("the name leads to an address that may not be called") from None


def _is_about_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _read_body(response: httpx.Response, *, max_bytes: int) -> bytes:
    """Read while counting; unpack here, since httpx unpacks a whole chunk at once however large it gets."""
    unpack = _unpacker(response.headers.get("content-encoding", ""))
    body, received = bytearray(), 0
    for chunk in response.iter_raw():
        received += len(chunk)
        body += unpack.decompress(chunk, max_bytes + 1 - len(body)) if unpack else chunk
        if received > max_bytes or len(body) > max_bytes:
            raise AnswerTooLarge("the answer is over the cap")
    if unpack and received and (not unpack.eof or unpack.unused_data):
        raise AnswerBroken("the packed answer is not complete")
    return bytes(body)


class _Unpacker:
    """zlib's streaming unpacker for gzip and deflate, with its one error given our name."""

    def __init__(self) -> None:
        self._unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # 32: recognise gzip and zlib by their heads

    def decompress(self, chunk: bytes, max_bytes: int) -> bytes:
        try:
            return self._unpacking.decompress(chunk, max_bytes)
        except zlib.error:
            raise AnswerBroken("the packed answer cannot be unpacked") from None

    @property
    def eof(self) -> bool:
        return self._unpacking.eof

    @property
    def unused_data(self) -> bytes:
        return self._unpacking.unused_data


def _unpacker(encoding: str) -> _Unpacker | None:
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip" | "deflate":
            return _Unpacker()
        case _:
            raise AnswerBroken("the answer is packed in a way we did not ask for")


class _GuardedTransport(httpx.HTTPTransport):
    """httpx's own transport over a pool of guarded connections."""

    def __init__(self, *, allow_loopback: bool) -> None:
        trust = httpx.create_ssl_context(trust_env=False)
        super().__init__(verify=trust, trust_env=False)
        self._pool = httpcore.ConnectionPool(
            ssl_context=trust,
            max_connections=100,
            max_keepalive_connections=0,
            network_backend=GuardedBackend(allow_loopback=allow_loopback),
        )


_building = threading.Lock()


def _shared_client(*, allow_loopback: bool) -> httpx.Client:
    """Return the client of this process. Two exist: a connection opened with loopback allowed serves no other call."""
    with _building:
        return _build_client(allow_loopback=allow_loopback)


@functools.cache
def _build_client(*, allow_loopback: bool) -> httpx.Client:
    no_cookies = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    client = httpx.Client(
        transport=_GuardedTransport(allow_loopback=allow_loopback),
        headers={"user-agent": "Loonstroom", "accept-encoding": "gzip", "connection": "close"},
        cookies=no_cookies,
        follow_redirects=False,
        trust_env=False,
    )
    atexit.register(client.close)  # connections in use are closed in order when the process ends
    return client
