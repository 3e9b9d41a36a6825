"""The characters that may stand in a payment file, by the European Payments Council's guidelines (EPC132-08)."""

import re
from typing import Final

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS: Final = "0123456789"
CHARACTERS: Final = frozenset(_LETTERS + _DIGITS + "/-?:().,'+ ")
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.ASCII)


def strange_characters(text: str) -> set[str]:
    """The characters of a text that no bank has to take."""
    return set(text) - CHARACTERS


def is_identification(text: str) -> bool:
    """Whether ids and references may read so: no slash at an end, no two in a row (EPC clarification on slashes)."""
    return not (text.startswith("/") or text.endswith("/") or "//" in text)


def is_plain_moment(text: str) -> bool:
    """Whether a creation time has whole seconds and no zone."""
    return _MOMENT.fullmatch(text) is not None
