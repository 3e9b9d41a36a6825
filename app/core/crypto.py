"""Sealing: AES-256-GCM over what must not be readable in the database or its backups.

A sealed value names the key it was sealed with, so keys can be rotated while running. The place it belongs to (tenant,
column, row) is bound in as associated data: a sealed value copied to another row or tenant does not open.
"""

import base64
import binascii
import hmac
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.core.errors import Unavailable

_VERSION = b"\x01"
_NONCE_BYTES = 12
_KEY_BYTES = 32
_KEY_ID_BYTES = 8
# Also the name under which a process shows in PostgreSQL which key it seals with: ASCII, and nothing to be quoted.
_KEY_NAME = re.compile(r"[A-Za-z0-9._-]{1,8}")
# The first bytes of a sealed value: the mark names the key, the head (mark and nonce) is of this sealing and no other.
MARK_BYTES = 1 + _KEY_ID_BYTES
HEAD_BYTES = MARK_BYTES + _NONCE_BYTES


class SealBroken(Unavailable):
    """A sealed value does not open: it was altered, moved to another row, or its key is not here."""

    code = "sealed_value_unreadable"
    title = "A stored value cannot be opened now"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a sealed value lives. Bound into the seal."""

    tenant: UUID
    column: str
    row: UUID

    def associated_data(self) -> bytes:
        """Return the bytes bound into the seal."""
        return b"|".join((self.tenant.bytes, self.column.encode(), self.row.bytes))


@dataclass(frozen=True, slots=True)
class Keyring:
    """Keys by id; `current` seals, all of them open."""

    current: str
    keys: Mapping[str, bytes] = field(repr=False)

    def seal(self, plaintext: bytes, place: Place) -> bytes:
        """Return the sealed value: version, key id, nonce, ciphertext with tag."""
        nonce = os.urandom(_NONCE_BYTES)
        head = mark_of(self.current)
        sealed = AESGCM(self.keys[self.current]).encrypt(nonce, plaintext, head + place.associated_data())
        return head + nonce + sealed

    def open(self, sealed: bytes, place: Place) -> bytes:
        """Return the plaintext; SealBroken when it was altered, moved, or its key is missing."""
        # A view, because a sealed document may have 32 MiB and slices of it would be copies.
        head, rest = sealed[:MARK_BYTES], memoryview(sealed)[MARK_BYTES:]
        key = next((key for name, key in self.keys.items() if mark_of(name) == head), None)
        if key is None:
            raise _broken(place, "its key is not in the settings")
        try:
            return AESGCM(key).decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], head + place.associated_data())
        except (InvalidTag, ValueError) as error:
            raise _broken(place, "it was altered or moved") from error


def _broken(place: Place, why: str) -> SealBroken:
    return SealBroken(
        f"The value in {place.column} does not open: {why}. Nothing was done. Tell the operator, who looks with "
        "`./run cli keys status`."
    )


def parse_keyring(text: str) -> Keyring:
    """Return the keyring written as `id:base64,id:base64`, the first one current.

    ValueError says what is wrong with it, without showing any of it. Two keys of one name are refused, because only one
    of them would open; so is one key under two names, because changing from the one to the other changes nothing.
    """
    keys: dict[str, bytes] = {}
    for part in text.split(","):
        name, _, encoded = part.strip().partition(":")
        if not _KEY_NAME.fullmatch(name):
            message = f"each key is written as id:base64, with an id of 1 to {_KEY_ID_BYTES} letters, digits, . _ or -"
            raise ValueError(message)
        if name in keys:
            message = "two keys have the same id; give each key an id of its own"
            raise ValueError(message)
        keys[name] = _decoded_key(encoded)
    if len(set(keys.values())) < len(keys):
        message = "the same key stands there under two ids; make a new one with `./run cli keys new`"
        raise ValueError(message)
    return Keyring(next(iter(keys)), keys)


def _decoded_key(encoded: str) -> bytes:
    try:
        key = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        message = "a key is base64 of 32 random bytes"
        raise ValueError(message) from error
    if len(key) != _KEY_BYTES:
        message = "a key has exactly 32 bytes"
        raise ValueError(message)
    return key


def new_key_text(name: str) -> str:
    """Return a new key as it is written in the settings."""
    return f"{name}:{base64.b64encode(os.urandom(_KEY_BYTES)).decode()}"


def keyed_hash(key: bytes, *parts: bytes) -> bytes:
    """Return HMAC-SHA-256 over length-prefixed parts, so that no two lists of parts collide."""
    mac = hmac.new(key, digestmod=sha256)
    for part in parts:
        mac.update(len(part).to_bytes(8, "big"))
        mac.update(part)
    return mac.digest()


def mark_of(name: str) -> bytes:
    """Return the first bytes of everything that the key of this name seals: version and key id."""
    return _VERSION + name.encode().ljust(_KEY_ID_BYTES, b"\x00")


def key_named_by(mark: bytes) -> str:
    """Return the id of the key that a sealed value names; of a mark that is none, its bytes in hex."""
    version, name = mark[:1], mark[1:MARK_BYTES].rstrip(b"\x00")
    text = name.decode("ascii", "replace")
    return text if version == _VERSION and _KEY_NAME.fullmatch(text) else f"unknown ({mark.hex()})"
