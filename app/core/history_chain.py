"""The chain that makes a history prove itself (ADR 0014): pure, without a database.

Two chains run side by side over the payloads of one organization. The plain one, `hash`, can be checked by anybody. The
keyed one, `mac`, can only be made by who has the history key, which the database does not hold.

    hash(n) = SHA-256(hash(n-1) || payload(n))                         hash(0) is 32 zero bytes
    mac(n)  = HMAC-SHA-256(key, mac(n-1) || payload(n))                hash(n-1) where there is no mac(n-1)
    key     = HKDF-SHA-256(history key, info = label || organization)  RFC 5869, no salt, 32 bytes
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.core.crypto import parse_keyring

_LABEL = b"loonstroom history 1|"
_MARK_LABEL = b"loonstroom history mark 1|"
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Where a chain stands after a record. `mac` is None after records from before there was a key."""

    hash: bytes
    mac: bytes | None


START = Link(hash=bytes(32), mac=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryKeys:
    """History keys by id; `current` seals new records, all of them verify."""

    current: str
    keys: Mapping[str, bytes] = field(repr=False)

    def of(self, organization_id: UUID) -> Mapping[str, bytes]:
        """Return the keys of one organization by id: good for its history and no other."""
        return {name: organization_key(key, organization_id) for name, key in self.keys.items()}


def parse_history_keys(text: str) -> HistoryKeys:
    """Return the keys written as `id:base64,id:base64`, the first one current; ValueError says what is wrong."""
    ring = parse_keyring(text)
    return HistoryKeys(current=ring.current, keys=ring.keys)


def organization_key(key: bytes, organization_id: UUID) -> bytes:
    """Return the key of an organization's history, derived so that it tells nothing of the others."""
    return _derived(key, _LABEL, organization_id)


def mark_key(key: bytes, organization_id: UUID) -> bytes:
    """Return the key of the marks in an organization's history. Another one: a mark must never pass for a mac."""
    return _derived(key, _MARK_LABEL, organization_id)


def _derived(key: bytes, label: bytes, organization_id: UUID) -> bytes:
    info = label + str(organization_id).encode()
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=info).derive(key)


def next_hash(previous: Link, payload: str) -> bytes:
    """Return the plain hash after this payload."""
    return sha256(previous.hash + payload.encode()).digest()


def next_mac(key: bytes, previous: Link, payload: str) -> bytes:
    """Return the keyed hash after this payload."""
    before = previous.hash if previous.mac is None else previous.mac
    return hmac.digest(key, before + payload.encode(), "sha256")


def next_link(key: bytes, previous: Link, payload: str) -> Link:
    """Return where both chains stand after this payload."""
    return Link(hash=next_hash(previous, payload), mac=next_mac(key, previous, payload))
