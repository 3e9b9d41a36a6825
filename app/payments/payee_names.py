"""Names of people who are paid, compared. Pure.

Two questions that must not be mixed up. *Is this the same name?* (`Name.key`) decides what is trusted: it forgives
capitals, accents, punctuation and "Silva, Inca" for "Inca Silva", and nothing else. *Could this be the same person?*
(`could_be_same`) decides what is asked about: it also forgives the order of the parts and initials.
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

# Letters that Unicode does not take apart into a letter and a mark.
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "\u0131": "i", "ß": "ss"}
)
_PART = re.compile(r"[^\W_]+")
# What stands before a Dutch surname; packages write it in front, behind, or leave it out.
_PREFIXES = frozenset({"de", "den", "der", "het", "te", "ten", "ter", "van", "von", "el", "la", "le", "du", "da"})
_SHORTEST_SURNAME = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A name as it is compared. `spelling` is the key with its accents, for people whom `key` cannot tell apart."""

    key: str
    spelling: str

    @property
    def parts(self) -> list[str]:
        """The parts of the name in spoken order: first names, prefix, surname."""
        return self.key.split()

    @property
    def telling_parts(self) -> list[str]:
        """The parts that tell people apart: without "de", "van der" and the like."""
        return [part for part in self.parts if part not in _PREFIXES]


def name_of(text: str) -> Name:
    """Return a name as it is compared: "Jong, Wouter de" and "Wouter de JONG" are the same key.

    No letter is dropped, whatever its script: names that differ in a letter never become equal. A text without any
    letter or digit is its own key.
    """
    whole = (text if text.isascii() else unicodedata.normalize("NFKC", text)).casefold()
    behind, _, before = whole.partition(",")
    spoken = f"{before} {behind}"
    parts = _PART.findall(spoken)
    if not parts:
        return Name(key=" ".join(whole.split()), spelling=" ".join(whole.split()))
    spelling = " ".join(parts)
    # One text for both where there is no accent to tell them apart: a run can have a hundred thousand names.
    return Name(key=spelling if spoken.isascii() else " ".join(_PART.findall(_plain(spoken))), spelling=spelling)


def _plain(text: str) -> str:
    if text.isascii():
        return text
    letters = (letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return "".join(letters).translate(_LETTERS)


def surnames(name: Name) -> list[str]:
    """Return the parts that two names must share to be of one person: those longer than an initial."""
    return [part for part in name.telling_parts if len(part) >= _SHORTEST_SURNAME]


def could_be_same(one: Name, other: Name) -> bool:
    """Say whether two names may be of one person: the same parts in any order, where an initial stands for a part.

    "W. de Jong" could be "Jong, Wouter de"; "Jan Jansen" could not be "Jaap Jansen", and neither "Jansen" alone.
    """
    mine, theirs = Counter(one.telling_parts), Counter(other.telling_parts)
    shared = mine & theirs
    if not any(len(part) >= _SHORTEST_SURNAME for part in shared):
        return False
    return _initials_fit(list((mine - shared).elements()), list((theirs - shared).elements()))


def _initials_fit(mine: list[str], theirs: list[str]) -> bool:
    """Say whether each part that is left fits one of the other name, of which at least one is an initial."""
    if len(mine) != len(theirs):
        return False
    left = sorted(theirs, key=len, reverse=True)
    for part in sorted(mine, key=len):
        fitting = next((each for each in left if _is_initial_of(part, each)), None)
        if fitting is None:
            return False
        left.remove(fitting)
    return True


def _is_initial_of(one: str, other: str) -> bool:
    return one[0] == other[0] and 1 in (len(one), len(other))
