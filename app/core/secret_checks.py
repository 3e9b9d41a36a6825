"""Whether a secret is fit for production: there, long enough, made by chance, not from an example, and used once. Pure.

Whoever copies a value out of this repository has a secret that everybody knows. The values that stand in it are known
here by their SHA-256 (`example_secrets.txt`, kept by `./run example-secrets`); others like them by what chance does not
do: words, sentences, repetition, counting up.
"""

import base64
import binascii
import string
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from hashlib import sha256
from itertools import combinations, pairwise
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

PREFIX = "LOONSTROOM_"
NEEDED = ("database_url", "encryption_keys", "identifier_key", "history_key")
KEYRINGS = frozenset({"encryption_keys", "history_key"})
SHORTEST_PASSWORD = 16
_KEY_BYTES = 32
# Of 32 random bytes some 30 differ, of 32 random characters of a hexadecimal text some 14.
_FEWEST_BYTES = 16
_FEWEST_CHARACTERS = 8
_EXAMPLE_WORDS = (
    "example",
    "changeme",
    "change-me",
    "secret-secret",
    "voorbeeld",
    "password",
    "wachtwoord",
    "loonstroom",
)
_TEXT = frozenset(string.printable.encode())
_LIST = Path(__file__).with_name("example_secrets.txt")
_NEW = "make a new one with `./run cli keys new`"
_NEW_IN_ADDRESS = "choose a long random one of letters and digits"  # others mean something in an address


def production_faults(secrets: Mapping[str, str | None]) -> list[str]:
    """Return what makes these secrets unfit for production, by setting, without showing any of them.

    `secrets` are the texts of the settings by name; the keyrings among them can be read as such.
    """
    faults = [
        f"production needs {_variable(name)} (or {_variable(name)}_FILE)" for name in NEEDED if not secrets.get(name)
    ]
    given = {name: text for name, text in secrets.items() if text}
    for name, text in given.items():
        faults += [f"{_variable(name)} {fault}" for value in _values(name, text) if (fault := _fault(name, value))]
    return faults + list(_shared(given))


def _variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"


def _values(name: str, text: str) -> list[bytes]:
    """Return what must be secret in a setting: each key of a keyring, of an address only its passwords."""
    if name in KEYRINGS:
        return [base64.b64decode(part.strip().partition(":")[2]) for part in text.split(",")]
    if name.endswith("_url"):
        return [password.encode() for password in _passwords(text)]
    return [text.encode()]


def _passwords(address: str) -> list[str]:
    """Return the passwords in an address, as it will be read; one that cannot be read is refused when it is used."""
    try:
        url = sa.make_url(address)
    except (ArgumentError, ValueError):
        return []
    asked = url.query.get("password", ())
    return [*([] if url.password is None else [url.password]), *([asked] if isinstance(asked, str) else asked)]


def _fault(name: str, value: bytes) -> str | None:
    if name.endswith("_url") and len(value) < SHORTEST_PASSWORD:
        return f"holds a password of fewer than {SHORTEST_PASSWORD} characters; {_NEW_IN_ADDRESS}"
    new = _NEW_IN_ADDRESS if name.endswith("_url") else _NEW
    if is_example(value):
        return f"looks like an example: it stands in the source code of Loonstroom; {new}"
    weakness = weakness_of_key(value) if name in KEYRINGS else weakness_of_text(value.decode())
    return None if weakness is None else f"looks like an example: {weakness}; {new}"


def _shared(given: Mapping[str, str]) -> Iterator[str]:
    """Give a fault for each two settings that share a secret, however each writes it."""
    forms = {name: {form for value in _values(name, text) for form in forms_of(value)} for name, text in given.items()}
    for one, other in combinations(sorted(forms), 2):
        if forms[one] & forms[other]:
            yield f"{_variable(one)} and {_variable(other)} hold the same secret; give each one of its own"


def weakness_of_key(key: bytes) -> str | None:
    """Return why these bytes were not made by chance; None when they may have been."""
    if len(set(key)) < _FEWEST_BYTES:
        return "its bytes repeat"
    if all(byte in _TEXT for byte in key):
        return "it decodes to text"
    return _pattern(key)


def weakness_of_text(text: str) -> str | None:
    """Return why this text was not made by chance; None when it may have been."""
    if any(character.isspace() for character in text):
        return "it is a sentence"
    if any(word in text.lower() for word in _EXAMPLE_WORDS):
        return "it holds a word of examples"
    if len(set(text)) < _FEWEST_CHARACTERS:
        return "its characters repeat"
    return _pattern(text.encode())


def _pattern(value: Sequence[int]) -> str | None:
    if any(value[:-step] == value[step:] for step in range(1, len(value) // 2 + 1)):
        return "it repeats itself"
    steps = Counter((after - before) % 256 for before, after in pairwise(value))
    return "it counts" if max(steps.values()) * 2 > len(value) else None


def forms_of(value: bytes) -> set[bytes]:
    """Return the value as it is, and what it is when it is read as hexadecimal or base64."""
    forms = {value}
    for read in (bytes.fromhex, _base64, _urlsafe_base64):
        try:
            forms.add(read(value.decode("ascii")))
        except (ValueError, binascii.Error):
            continue
    return {form for form in forms if len(form) >= SHORTEST_PASSWORD}


def _base64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def _urlsafe_base64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def is_example(value: bytes) -> bool:
    """Say whether this stands, in any form, in the source code of this project."""
    return any(hash_of(form) in example_hashes() for form in forms_of(value))


def hash_of(form: bytes) -> str:
    """Return how the list writes a value: its SHA-256. The first 32 bytes of a longer one are as well known."""
    return sha256(form).hexdigest()


@cache
def example_hashes() -> frozenset[str]:
    """Return the SHA-256 of every value in the source code that could pass for a secret."""
    lines = _LIST.read_text(encoding="ascii").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def passes(value: str) -> bool:
    """Say whether this text would do as a secret somewhere, if it were not known: what the list has to hold."""
    return any(len(form) >= SHORTEST_PASSWORD and _would_do(form) for form in forms_of(value.encode()))


def _would_do(form: bytes) -> bool:
    if len(form) >= _KEY_BYTES and weakness_of_key(form[:_KEY_BYTES]) is None:
        return True
    try:
        return weakness_of_text(form.decode()) is None
    except UnicodeDecodeError:
        return False


def list_of(values: Iterable[str]) -> frozenset[str]:
    """Return the hashes by which these texts are known, in every form they may be copied in."""
    return frozenset(hash_of(form) for value in values if passes(value) for form in _all_forms(value.encode()))


def _all_forms(value: bytes) -> set[bytes]:
    forms = forms_of(value)
    return forms | {form[:_KEY_BYTES] for form in forms if len(form) > _KEY_BYTES}
