import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.payments.identifiers import end_to_end_id, file_name, message_id, payment_information_id

BATCH = UUID("0198c0de-1234-7abc-8def-0123456789ab")
KEY = b"0123456789abcdef"
LEGAL = re.compile(r"[A-Za-z0-9-]{1,35}")


def test_a_message_id_is_the_batch_and_its_revision():
    """Base32 without padding, a dash and the revision; frozen, because files are matched on it years later."""
    assert message_id(BATCH, 3, dry_run=False) == "AGMMBXQSGR5LZDPPAERUKZ4JVM-3"


def test_a_dry_run_is_recognised_by_its_message_id():
    """Nobody can mistake a dry run's file for a real one."""
    assert message_id(BATCH, 3, dry_run=True) == "DRYAGMMBXQSGR5LZDPPAERUKZ4JVM-3"


@pytest.mark.parametrize(("part", "letters"), [(1, "A"), (2, "B"), (26, "Z"), (27, "AA"), (53, "BA")])
def test_a_part_of_a_split_batch_is_named_by_letters(part: int, letters: str):
    """Digits then letters cannot run into each other, so revision and part stay apart."""
    assert message_id(BATCH, 12, dry_run=False, part=part, parts=60) == f"AGMMBXQSGR5LZDPPAERUKZ4JVM-12{letters}"


def test_a_file_name_is_as_long_as_the_bank_takes_it():
    """The end stays, where revision and part stand."""
    long = message_id(BATCH, 12, dry_run=True, part=2, parts=3)

    assert file_name(message_id(BATCH, 3, dry_run=False), 35) == "AGMMBXQSGR5LZDPPAERUKZ4JVM-3.xml"
    assert (len(long), file_name(long, 35)) == (33, "YAGMMBXQSGR5LZDPPAERUKZ4JVM-12B.xml")


@given(
    batch=st.uuids(),
    revision=st.integers(1, 9_999),
    dry_run=st.booleans(),
    part=st.integers(1, 26),
    n=st.integers(1, 999),
)
def test_every_id_fits_the_field(batch: UUID, revision: int, dry_run: bool, part: int, n: int):
    """At most 35 of the allowed characters, also in the worst case."""
    message = message_id(batch, revision, dry_run=dry_run, part=part, parts=26)
    assert LEGAL.fullmatch(message)
    assert LEGAL.fullmatch(payment_information_id(message, n))


def test_message_ids_differ_by_batch_revision_part_and_mode():
    """Banks refuse a message id they have seen before."""
    ids = {
        message_id(batch, revision, dry_run=dry_run, part=part, parts=parts)
        for batch in (BATCH, UUID(int=1))
        for revision in (1, 2, 11)
        for dry_run in (False, True)
        for part, parts in ((1, 1), (1, 2), (2, 2))
    }
    assert len(ids) == 2 * 3 * 2 * 3


@pytest.mark.parametrize(
    ("revision", "part", "parts"), [(0, 1, 1), (-1, 1, 1), (1, 0, 1), (1, 2, 1), (100_000_000, 1, 2)]
)
def test_a_number_out_of_range_is_refused(revision: int, part: int, parts: int):
    """No id is made that could be double or too long."""
    with pytest.raises(ValueError, match="revision"):
        message_id(BATCH, revision, dry_run=False, part=part, parts=parts)


def test_instructions_are_numbered_within_their_file():
    """The number follows the message id, so people see what belongs together."""
    assert payment_information_id("BATCH-1", 2) == "BATCH-1-2"


def test_a_long_message_id_is_hashed_and_stays_distinct():
    """Where there is no room for the number, a hash of the message id makes it."""
    ids = {payment_information_id(message, n) for message in ("A" * 35, "B" * 35) for n in (1, 2)}
    assert len(ids) == 4
    assert all(LEGAL.fullmatch(text) for text in ids)


@pytest.mark.parametrize("n", [0, 1_000])
def test_an_instruction_number_out_of_range_is_refused(n: int):
    """Instructions count from 1."""
    with pytest.raises(ValueError, match="instructions"):
        payment_information_id("BATCH-1", n)


def test_an_end_to_end_id_is_fixed_by_key_obligation_and_attempt():
    """Frozen: the same attempt has the same id in every process and every release."""
    assert end_to_end_id(KEY, BATCH, 1) == "JPV3TJ6ABYRUHJ6DQRVQDMIVEQ6ICR"


def test_end_to_end_ids_differ_by_key_obligation_and_attempt():
    """A second attempt is another payment for the bank, and another installation shares no ids."""
    ids = {
        end_to_end_id(key, obligation, attempt)
        for key in (KEY, b"another key of 32 bytes, invented")
        for obligation in (BATCH, UUID(int=7))
        for attempt in (1, 2, 256)
    }
    assert len(ids) == 2 * 2 * 3
    assert all(re.fullmatch(r"[A-Z2-7]{30}", text) for text in ids)


@pytest.mark.parametrize(("key", "attempt"), [(b"", 1), (b"0123456789abcde", 1), (KEY, 0)])
def test_a_weak_key_or_an_impossible_attempt_is_refused(key: bytes, attempt: int):
    """An empty key would make the ids guessable by anybody."""
    with pytest.raises(ValueError, match="key"):
        end_to_end_id(key, BATCH, attempt)
