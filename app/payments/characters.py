"""The SEPA character set, and how other text is written in it.

The European Payments Council's table comes first (EPC217-08, `epc217_08.tsv`); `own_replacements.tsv` fills its gaps,
where it has only a full stop for a letter or number. Verification of Payee compares the *written* name with the
account's holder, so nothing is ever filled in, and whatever changed is reported to the person who approves.
"""

import re
import string
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from importlib import resources

# EPC132-08 section 1.4: what every bank must take.
ALLOWED = frozenset(string.ascii_letters + string.digits + "/-?:().,'+ ")
ALLOWED_PATTERN = re.compile(r"[A-Za-z0-9/\-?:().,'+ ]*")

_TIDY = re.compile(r"[A-Za-z0-9/\-?:().,'+]+(?: [A-Za-z0-9/\-?:().,'+]+)*")
_IDENTIFIER = re.compile(r"(?!.*//)(?![/ ])[A-Za-z0-9/\-?:().,'+ ]+(?<![/ ])")
_BLANKS = re.compile(r" {2,}")
_INVISIBLE = frozenset({"Cc", "Cf", "Cs"})


class ChangeKind(StrEnum):
    """What happened to a character or to the text."""

    CONVERTED = "converted"
    REMOVED = "removed"
    LOST = "lost"
    BLANKS = "blanks"
    CUT = "cut"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One kind of change: each changed character once (`original`, `written`), tidied blanks, or the tail cut off."""

    kind: ChangeKind
    original: str = ""
    written: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """Text as a file can hold it, and everything that was done to get there.

    `lost` counts the letters of the original that have no counterpart (Arabic, Chinese, ...); with the letters and
    digits that are left (`kept`) it tells whether a name still names anybody. The text may be empty: refuse it then.
    """

    text: str
    changes: tuple[Change, ...] = ()
    lost: int = 0

    @property
    def changed(self) -> bool:
        """Whether the text is not the original."""
        return bool(self.changes)

    @property
    def cut(self) -> bool:
        """Whether the end of the text was cut off to fit the length."""
        return any(change.kind is ChangeKind.CUT for change in self.changes)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left."""
        return not self.text

    @property
    def kept(self) -> int:
        """How many letters and digits are left."""
        return sum(character.isalnum() for character in self.text)


def is_allowed(text: str) -> bool:
    """Tell whether every character is in the SEPA character set."""
    return ALLOWED_PATTERN.fullmatch(text) is not None


def is_identifier(text: str) -> bool:
    """Tell whether this can be an id or a reference: legal characters, not empty, no `/` or blank at an end, no `//`.

    The rule on slashes is the EPC's for identifiers and references; names and free text may hold them.
    """
    return _IDENTIFIER.fullmatch(text) is not None


def clean(text: str, *, maximum: int | None = None) -> Cleaned:
    """Return the text in the SEPA character set, without blanks at the ends or in runs, at most `maximum` long.

    Length is judged after conversion. Invisible characters (control, zero width, text direction) are removed, white
    space of every kind is a blank. Slashes are left alone (see `is_identifier`). Cleaning twice changes nothing more.
    """
    if _TIDY.fullmatch(text) and (maximum is None or len(text) <= maximum):
        return Cleaned(text=text)
    composed = unicodedata.normalize("NFC", text)
    joined = "".join(_written(character) or "" for character in composed)
    tidy = _BLANKS.sub(" ", joined).strip(" ")
    changes = list(_character_changes(composed))
    if tidy != joined:
        changes.append(Change(kind=ChangeKind.BLANKS))
    result = tidy if maximum is None else tidy[:maximum].rstrip(" ")
    if result != tidy:
        changes.append(Change(kind=ChangeKind.CUT, original=tidy[len(result) :]))
    if not changes and result != text:  # only the composition did something, as with the Kelvin sign
        changes.append(Change(kind=ChangeKind.CONVERTED, original=text, written=result))
    return Cleaned(text=result, changes=tuple(changes), lost=sum(_written(character) is None for character in composed))


def _character_changes(composed: str) -> Iterator[Change]:
    for character in dict.fromkeys(composed):
        written = _written(character)
        if written is None:
            yield Change(kind=ChangeKind.LOST, original=character)
        elif not written:
            yield Change(kind=ChangeKind.REMOVED, original=character)
        elif written != character:
            yield Change(kind=ChangeKind.CONVERTED, original=character, written=written)


@lru_cache(maxsize=4096)
def _written(character: str) -> str | None:
    """Return what stands for one character: itself, a replacement, nothing, or None for a letter that gets lost."""
    if character in ALLOWED:
        return character
    if character in REPLACEMENTS:
        return REPLACEMENTS[character]
    if character.isspace():
        return " "
    return _by_category(character, unicodedata.category(character))


def _by_category(character: str, category: str) -> str | None:
    if category in _INVISIBLE or category[0] == "M":  # a mark that no composed letter exists for: its letter stays
        return ""
    if category[0] == "C":  # unassigned or private: may be a letter
        return None
    if category[0] in "LN":
        return _by_decomposition(character, category)
    return "."  # EPC217-08 section 5: whatever has no counterpart


def _by_decomposition(character: str, category: str) -> str | None:
    digit = unicodedata.digit(character, None)
    if digit is not None:
        return str(digit)
    parts = unicodedata.normalize("NFKD", character)
    if parts == character:
        return None if category[0] == "L" else "."
    written = [_written(part) for part in parts]
    return None if None in written else "".join(part for part in written if part)


def _rows(name: str) -> Iterator[tuple[str, str]]:
    for line in (resources.files("app.payments") / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("U+"):
            code_point, replacement, *_ = line.split("\t")
            yield chr(int(code_point.removeprefix("U+"), base=16)), replacement


# What is written for each character that has a replacement of its own. Ours fill the gaps of the EPC's table; the two
# share no character but the letter IJ, where ours wins (a test holds them to that).
REPLACEMENTS: Mapping[str, str] = dict(_rows("epc217_08.tsv")) | dict(_rows("own_replacements.tsv"))
