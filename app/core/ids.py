"""Identifiers and secrets are made here, so that everything else can be given them."""

import secrets
from collections.abc import Callable
from hashlib import sha256
from uuid import UUID, uuid4

NewId = Callable[[], UUID]

# 256 bits: not guessable, also not by somebody who may try for years (threat: guessed webhook address).
_TOKEN_BYTES = 32


def new_id() -> UUID:
    """Return a new random identifier."""
    return uuid4()


def new_token(prefix: str) -> str:
    """Return a new secret token, shown to its owner once; the prefix tells people and secret scanners what it is."""
    return f"{prefix}_{secrets.token_urlsafe(_TOKEN_BYTES)}"


def token_hash(token: str) -> str:
    """Return what is stored of a token: its SHA-256 in hex. A token has 256 random bits, so no salt is needed."""
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
