"""Keeps the webhook sender on this machine."""

import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, StringConstraints


def require_loopback(url: str) -> str:
    """The address as given. Raises ValueError unless it is http or https to 127.0.0.0/8, ::1 or localhost."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not is_loopback(parts.hostname or ""):
        raise ValueError("webhooks of the simulator go to http(s) loopback addresses only: 127.0.0.0/8, ::1, localhost")
    return url


def is_loopback(host: str) -> bool:
    """Whether a host name can only mean this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


LoopbackUrl = Annotated[str, StringConstraints(max_length=2000), AfterValidator(require_loopback)]
