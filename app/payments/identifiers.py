"""The ids in a payment file: deterministic, unique, `[A-Za-z0-9-]` only, 35 characters at most, no personal data.

Banks refuse a message or line whose id they have seen before, and answer with these ids (pain.002), so each is derived
from what it names: the batch and its revision, or the obligation and its attempt.
"""

import base64
import hashlib
import hmac
from uuid import UUID

from app.payments.sepa_model import MAXIMUM_IDENTIFIER_LENGTH

_END_TO_END_LENGTH = 30
_MINIMUM_KEY_LENGTH = 16
_ALPHABET = 26
_EXTENSION = ".xml"


def message_id(batch_id: UUID, revision: int, *, dry_run: bool, part: int = 1, parts: int = 1) -> str:
    """Return the id of the file of this revision: base32 of the batch id, `-`, the revision.

    A dry run starts with `DRY`. When the batch is split over several files, a letter names the part: A, B, ... Z, AA.
    ValueError when a number is out of range, or too large for 35 characters (a dry run fits up to revision 9,999 with
    26 files, a live batch up to revision 9,999,999).
    """
    if revision < 1 or not 1 <= part <= parts:
        raise ValueError("revision and part count from 1, and part is at most parts")
    suffix = _letters(part) if parts > 1 else ""
    written = f"{'DRY' if dry_run else ''}{_base32(batch_id.bytes)}-{revision}{suffix}"
    if len(written) > MAXIMUM_IDENTIFIER_LENGTH:
        raise ValueError("the revision or part number is too large for a message id of 35 characters")
    return written


def file_name(message_id: str, maximum_length: int) -> str:
    """Return the name that a file is downloaded under: its message id and `.xml`, as long as the bank takes it.

    A longer one keeps its end: what tells revisions and parts apart stands there.
    """
    return f"{message_id[-(maximum_length - len(_EXTENSION)) :]}{_EXTENSION}"


def payment_information_id(message_id: str, n: int) -> str:
    """Return the id of instruction `n` (from 1) of a file: the message id, `-` and n.

    Where that would pass 35 characters, a hash of the message id takes its place. ValueError when n is out of range.
    """
    if not 1 <= n <= 999:  # noqa: PLR2004 - three digits beside a hash of 26 characters always fit
        raise ValueError("instructions count from 1 to 999")
    written = f"{message_id}-{n}"
    if len(written) <= MAXIMUM_IDENTIFIER_LENGTH:
        return written
    return f"{_base32(hashlib.sha256(message_id.encode()).digest())[:26]}-{n}"


def end_to_end_id(key: bytes, obligation_id: UUID, attempt: int) -> str:
    """Return the id that follows one payment through the banks: 30 capitals and digits.

    HMAC-SHA256 under a key of ours over obligation and attempt, so that nobody outside can tell what belongs together,
    while the same attempt always gives the same id. ValueError for a key under 16 bytes or an attempt below 1.
    """
    if len(key) < _MINIMUM_KEY_LENGTH or attempt < 1:
        raise ValueError("the key has at least 16 bytes and attempts count from 1")
    named = b"end-to-end-id\n" + obligation_id.bytes + attempt.to_bytes(8, "big")
    return _base32(hmac.digest(key, named, "sha256"))[:_END_TO_END_LENGTH]


def _base32(value: bytes) -> str:
    return base64.b32encode(value).decode("ascii").rstrip("=")


def _letters(number: int) -> str:
    letters = ""
    while number:
        number, place = divmod(number - 1, _ALPHABET)
        letters = chr(ord("A") + place) + letters
    return letters
