"""The webhook addresses that were seen in use, so that a webhook costs one transaction instead of two.

It only decides whether a body is worth reading. Whether it is stored is decided where it is stored, in the same
statement: an address that was withdrawn meanwhile gets its 404 all the same, in every process.
"""

from app.core.ids import token_hash
from app.payments.webhook_deliveries import Address


class KnownAddresses:
    """At most `maximum` addresses by the hash of their token; the oldest makes room. For one thread, the event loop."""

    def __init__(self, maximum: int = 10_000) -> None:
        self._maximum = maximum
        self._addresses: dict[str, Address] = {}

    def get(self, token: str) -> Address | None:
        """Return the address with this token when it was seen before."""
        return self._addresses.get(token_hash(token))

    def add(self, token: str, address: Address) -> None:
        """Remember an address that is in use."""
        self._addresses.setdefault(token_hash(token), address)
        if len(self._addresses) > self._maximum:
            del self._addresses[next(iter(self._addresses))]

    def forget(self, token: str) -> None:
        """Forget an address that turned out not to be in use any more."""
        self._addresses.pop(token_hash(token), None)
