"""Sealing: AES-256-GCM over what must not be readable in the database or its backups.

A sealed value names the key it was sealed with, so keys can be rotated while running. The place it belongs to (tenant,
column, row) is bound in as associated data: a sealed value copied to another row or tenant does not open.
"""

import base64
import binascii
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = b"\x01"
_NONCE_BYTES = 12
_KEY_BYTES = 32
_KEY_ID_BYTES = 8


class SealBroken(Exception):
    """A sealed value does not open: it was altered, moved to another row, or its key is not here."""


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
        head = _VERSION + _key_id_bytes(self.current)
        sealed = AESGCM(self.keys[self.current]).encrypt(nonce, plaintext, head + place.associated_data())
        return head + nonce + sealed

    def open(self, sealed: bytes, place: Place) -> bytes:
        """Return the plaintext; SealBroken when it was altered, moved, or its key is missing."""
        head, rest = sealed[: 1 + _KEY_ID_BYTES], sealed[1 + _KEY_ID_BYTES :]
        key = next((key for name, key in self.keys.items() if _VERSION + _key_id_bytes(name) == head), None)
        if key is None:
            message = f"no key for the sealed value in {place.column}"
            raise SealBroken(message)
        try:
            return AESGCM(key).decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], head + place.associated_data())
        except (InvalidTag, ValueError) as error:
            message = f"the sealed value in {place.column} was altered or moved"
            raise SealBroken(message) from error


def parse_keyring(text: str) -> Keyring:
    """Return the keyring written as `id:base64,id:base64`, the first one current.

    ValueError says what is wrong with it, without showing any of it.
    """
    keys: dict[str, bytes] = {}
    for part in text.split(","):
        name, _, encoded = part.strip().partition(":")
        if not name or len(name.encode()) > _KEY_ID_BYTES:
            message = f"each key is written as id:base64, with an id of 1 to {_KEY_ID_BYTES} characters"
            raise ValueError(message)
        keys[name] = _decoded_key(encoded)
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


def _key_id_bytes(name: str) -> bytes:
    return name.encode().ljust(_KEY_ID_BYTES, b"\x00")
