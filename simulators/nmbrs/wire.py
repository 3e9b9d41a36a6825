"""Puts one webhook on the wire. A module of its own because httpx takes a third of a second to load."""

from dataclasses import dataclass

import httpx

from simulators.nmbrs.loopback import is_loopback
from simulators.nmbrs.webhook_shapes import Outgoing


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The status answered, or the error when there was no answer."""

    status: int | None = None
    error: str | None = None


class Wire:
    """Sends to loopback only, with certificates checked, through no proxy and following no redirect."""

    def __init__(self) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._client = httpx.Client(trust_env=False, follow_redirects=False, limits=limits)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def send(self, outgoing: Outgoing, url: str, *, timeout_seconds: float) -> Answered:
        """Send once."""
        try:
            # The library that connects reads the address too: it may see another host than the first reader did.
            target = httpx.URL(url)
            if not is_loopback(target.host):
                return Answered(error=f"refused: {target.host} is no loopback address")
            response = self._client.request(
                outgoing.method,
                target.copy_merge_params(dict(outgoing.query)) if outgoing.query else target,
                content=outgoing.content,
                headers={"content-type": outgoing.content_type} if outgoing.content_type else {},
                timeout=timeout_seconds,
            )
        except (httpx.TransportError, httpx.InvalidURL) as error:
            return Answered(error=f"{type(error).__name__}: {error}")
        return Answered(status=response.status_code)
