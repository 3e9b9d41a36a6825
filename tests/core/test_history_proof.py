"""Histories that are older than their key, and ends that were cut off; the rest is in tests/proofs/test_tamper.py."""

from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from app.core import history, history_proof, history_sealing
from app.core.database import create_engine, transaction
from app.core.history import SYSTEM, Fact, HistoryNotSealed
from app.core.history_proof import Fault, KnownHead, Verdict
from tests.support.postgres import TestDatabase

_ORGANIZATION = uuid4()
_NOW = datetime(2026, 11, 18, 9, 0, tzinfo=UTC)


@pytest.fixture
def admin(engine: Engine, database: TestDatabase) -> Iterator[Engine]:
    """An administrator of the database, whom no trigger stops."""
    made = create_engine(database.superuser_url, pool_size=2)
    yield made
    made.dispose()


def _do(admin: Engine, *statements: str) -> None:
    with admin.begin() as connection:
        connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
        for statement in statements:
            connection.exec_driver_sql(statement)


def _record(engine: Engine, *events: str) -> None:
    with transaction(engine) as session:
        for event in events:
            history.record(session, Fact(organization_id=_ORGANIZATION, event=event, actor=SYSTEM, occurred_at=_NOW))


def _verdict(engine: Engine, expected: KnownHead | None = None) -> Verdict:
    with transaction(engine) as session:
        history_proof.snapshot(session)
        return history_proof.verify(session, _ORGANIZATION, expected=expected)


def _broken(verdict: Verdict) -> tuple[int, Fault] | None:
    found = verdict.first_broken
    return None if found is None else (found.sequence, found.what)


def _hash_again(admin: Engine) -> None:
    plain = bytes(32)
    with admin.begin() as connection:
        connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
        for row in connection.execute(sa.text("SELECT sequence, payload FROM history_entry ORDER BY sequence")).all():
            plain = sha256(plain + row.payload.encode()).digest()
            statement = sa.text("UPDATE history_entry SET hash = :hash WHERE sequence = :n")
            connection.execute(statement, {"hash": plain, "n": row.sequence})
        connection.execute(sa.text("UPDATE history_head SET hash = :hash"), {"hash": plain})


def _older_history(engine: Engine, admin: Engine) -> None:
    """Leave three records as they are right after the migration: with plain hashes, and no mac."""
    _record(engine, "a", "b", "c")
    _do(admin, "UPDATE history_entry SET mac = NULL, key_id = NULL", "UPDATE history_head SET mac = NULL")


def test_older_records_are_covered_by_the_first_seal(engine: Engine, admin: Engine) -> None:
    """Records from before the key are proven from the first seal on, and the verdict says how many they are."""
    _older_history(engine, admin)
    before = _verdict(engine)

    sealed = history_sealing.seal_older(engine, _NOW)
    _record(engine, "d")

    assert _broken(before) == (3, Fault.NOT_SEALED)
    assert [each.sequence for each in sealed] == [4]
    after = _verdict(engine)
    assert after.verified
    assert (after.records, after.unsealed) == (5, 3)
    assert history_sealing.seal_older(engine, _NOW) == []


def test_an_older_record_rewritten_after_the_seal_is_found(engine: Engine, admin: Engine) -> None:
    """With the plain chain made anew, the first seal no longer follows: something up to it was rewritten."""
    _older_history(engine, admin)
    history_sealing.seal_older(engine, _NOW)

    _do(admin, "UPDATE history_entry SET payload = replace(payload, '\"b\"', '\"x\"'), event = 'x' WHERE sequence = 2")
    _hash_again(admin)

    assert _broken(_verdict(engine)) == (4, Fault.FORGED)


def test_an_older_record_that_is_no_record_is_found(engine: Engine, admin: Engine) -> None:
    """Text that hashes rightly and is no record is a fault at its place, not an error of the verifier."""
    _older_history(engine, admin)
    for payload in ("not json", "[]", "null", '{"sequence":2}', '{"actor":7}'):
        _do(admin, f"UPDATE history_entry SET payload = '{payload}' WHERE sequence = 2")
        _hash_again(admin)
        assert _broken(_verdict(engine)) == (2, Fault.COLUMNS_DIFFER), payload


def test_a_history_stripped_of_its_macs_is_not_added_to(engine: Engine, admin: Engine) -> None:
    """The service does not seal a forgery: who strips every mac makes it stop, and verification names it."""
    _record(engine, "a", "b")
    _do(
        admin,
        "UPDATE history_entry SET mac = NULL, key_id = NULL, payload = replace(payload, '\"b\"', '\"x\"')",
        "UPDATE history_entry SET event = 'x' WHERE sequence = 2",
        "UPDATE history_head SET mac = NULL",
    )
    _hash_again(admin)

    with pytest.raises(HistoryNotSealed):
        _record(engine, "c")
    assert history_sealing.seal_due(engine, _NOW.replace(year=2027)) == []
    assert _broken(_verdict(engine)) == (2, Fault.NOT_SEALED)


def test_a_record_cannot_follow_older_ones_without_a_seal(engine: Engine, admin: Engine) -> None:
    """Macs taken from the first records only: the first one that has a mac shows it."""
    _record(engine, "a", "b", "c")
    _do(admin, "UPDATE history_entry SET mac = NULL, key_id = NULL WHERE sequence <= 2")

    assert _broken(_verdict(engine)) == (3, Fault.NOT_SEALED)


def test_an_end_cut_off_with_its_head_shows_against_a_kept_head(engine: Engine, admin: Engine) -> None:
    """The database alone cannot show it; a head that was kept elsewhere does, also after new records came."""
    _record(engine, "a", "b", "c")
    verdict = _verdict(engine)
    assert verdict.head_mac is not None
    kept = KnownHead(sequence=verdict.head_sequence, mac=verdict.head_mac)
    _do(
        admin,
        "DELETE FROM history_entry WHERE sequence > 1",
        "UPDATE history_head SET sequence = 1, hash = entry.hash, mac = entry.mac FROM history_entry entry",
    )

    assert _verdict(engine).verified
    assert _broken(_verdict(engine, kept)) == (2, Fault.MISSING)
    _record(engine, "other", "story", "told")
    assert _verdict(engine).verified
    assert _broken(_verdict(engine, kept)) == (3, Fault.NOT_AS_EXPECTED)


def test_an_organization_without_any_record_is_not_verified(engine: Engine) -> None:
    """Every organization has at least the record of its making: nothing at all means that everything was removed."""
    assert _broken(_verdict(engine)) == (1, Fault.MISSING)


def test_a_seal_that_states_another_head_is_found(engine: Engine) -> None:
    """A seal is worth as much as what it says: one that the service wrote wrongly does not verify."""
    _record(engine, "a")
    with transaction(engine) as session:
        details = {"sequence": 7, "hash": "00", "mac": "00", "count": 1}
        fact = Fact(
            organization_id=_ORGANIZATION, event=history.SEALED, actor=SYSTEM, occurred_at=_NOW, details=details
        )
        history.record(session, fact)

    assert _broken(_verdict(engine)) == (2, Fault.SEAL_DIFFERS)
