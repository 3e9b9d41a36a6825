"""Sealing: what is altered, moved or sealed with another key does not open."""

from dataclasses import replace
from uuid import uuid4

import pytest

from app.core.crypto import (
    MARK_BYTES,
    Keyring,
    Place,
    SealBroken,
    key_named_by,
    keyed_hash,
    mark_of,
    new_key_text,
    parse_keyring,
)

_PLACE = Place(tenant=uuid4(), column="connection.secret", row=uuid4())


def test_a_sealed_value_opens_where_it_belongs() -> None:
    """What was sealed opens, and its text is not in the sealed bytes."""
    keyring = parse_keyring(new_key_text("k1"))

    sealed = keyring.seal(b"api token", _PLACE)

    assert keyring.open(sealed, _PLACE) == b"api token"
    assert b"api token" not in sealed


@pytest.mark.parametrize("change", [{"tenant": uuid4()}, {"row": uuid4()}, {"column": "other"}])
def test_a_value_moved_to_another_place_does_not_open(change: dict[str, object]) -> None:
    """Copied to another tenant, column or row, a sealed value is worthless."""
    keyring = parse_keyring(new_key_text("k1"))
    sealed = keyring.seal(b"api token", _PLACE)

    with pytest.raises(SealBroken):
        keyring.open(sealed, replace(_PLACE, **change))  # type: ignore[arg-type]


def test_every_altered_byte_is_noticed() -> None:
    """No byte of a sealed value can be changed or cut off without notice."""
    keyring = parse_keyring(new_key_text("k1"))
    sealed = keyring.seal(b"api token", _PLACE)

    for index in range(len(sealed)):
        altered = sealed[:index] + bytes([sealed[index] ^ 1]) + sealed[index + 1 :]
        with pytest.raises(SealBroken):
            keyring.open(altered, _PLACE)
        with pytest.raises(SealBroken):
            keyring.open(sealed[:index], _PLACE)


def test_old_values_open_after_a_new_key_came_first() -> None:
    """With a new current key, what the old one sealed still opens; without the old key it does not."""
    old = parse_keyring(new_key_text("k1"))
    sealed = old.seal(b"api token", _PLACE)
    new = parse_keyring(new_key_text("k2"))

    both = Keyring("k2", {**new.keys, **old.keys})

    assert both.open(sealed, _PLACE) == b"api token"
    with pytest.raises(SealBroken):
        new.open(sealed, _PLACE)


@pytest.mark.parametrize("text", ["", "k1", "k1:abc", "k1:" + "A" * 42, "a-name-too-long:" + "A" * 43 + "="])
def test_a_key_that_is_none_is_refused_without_showing_it(text: str) -> None:
    """A wrong key text is an error that does not repeat it."""
    with pytest.raises(ValueError, match="key") as caught:
        parse_keyring(text)
    assert "AAAA" not in str(caught.value)


def test_two_keys_of_one_name_or_one_key_of_two_names_are_refused() -> None:
    """Of two keys with one name only one would open; from a key to itself nothing is rotated."""
    one = new_key_text("k1")

    with pytest.raises(ValueError, match="the same id"):
        parse_keyring(f"{one},{new_key_text('k1')}")
    with pytest.raises(ValueError, match="under two ids"):
        parse_keyring(f"{one},{one.replace('k1:', 'k2:')}")


@pytest.mark.parametrize("name", ["a b", "é", "k'1", "k;1", ""])
def test_the_name_of_a_key_needs_no_quoting(name: str) -> None:
    """It is shown to PostgreSQL as the name of a session."""
    with pytest.raises(ValueError, match="written as id:base64"):
        parse_keyring(new_key_text(name))


def test_a_mark_names_its_key() -> None:
    """The first bytes of a sealed value tell which key it needs; other bytes are shown as they are."""
    sealed = parse_keyring(new_key_text("k-2026.1")).seal(b"api token", _PLACE)

    assert key_named_by(sealed[:MARK_BYTES]) == "k-2026.1"
    assert key_named_by(mark_of("k1")) == "k1"
    assert key_named_by(b"\x02k1") == "unknown (026b31)"


def test_parts_of_a_keyed_hash_cannot_be_shifted() -> None:
    """Two lists of parts with the same bytes in another division have different hashes."""
    assert keyed_hash(b"k", b"ab", b"c") != keyed_hash(b"k", b"a", b"bc")
