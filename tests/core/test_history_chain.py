"""The chain: made as documented, with a key for each organization that can be replaced."""

import hmac
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from app.core import history, history_proof
from app.core.crypto import new_key_text
from app.core.database import create_engine, transaction
from app.core.history import SYSTEM, Fact, HistoryKeyMissing
from app.core.history_chain import parse_history_keys
from app.core.history_proof import Fault, Verdict
from tests.support.postgres import HISTORY_KEY, TestDatabase

_ORGANIZATION = uuid4()


def _record(engine: Engine, *events: str, organization_id: UUID = _ORGANIZATION) -> None:
    with transaction(engine) as session:
        for event in events:
            moment = datetime(2026, 11, 18, 9, 0, tzinfo=UTC)
            history.record(
                session, Fact(organization_id=organization_id, event=event, actor=SYSTEM, occurred_at=moment)
            )


def _verdict(engine: Engine) -> Verdict:
    with transaction(engine) as session:
        history_proof.snapshot(session)
        return history_proof.verify(session, _ORGANIZATION)


def test_both_chains_are_what_the_documentation_says(engine: Engine) -> None:
    """Reckoned again with nothing but SHA-256, HMAC and HKDF written out, every hash and mac is the same."""
    _record(engine, "a", "b")
    _record(engine, "c")
    master = parse_history_keys(HISTORY_KEY).keys["h1"]
    extracted = hmac.digest(bytes(32), master, "sha256")
    info = b"loonstroom history 1|" + str(_ORGANIZATION).encode()
    key = hmac.digest(extracted, info + b"\x01", "sha256")

    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT payload, hash, mac, key_id FROM history_entry ORDER BY sequence"))
        plain = keyed = bytes(32)
        for row in rows:
            plain = sha256(plain + row.payload.encode()).digest()
            keyed = hmac.digest(key, keyed + row.payload.encode(), "sha256")
            assert (row.hash, row.mac, row.key_id) == (plain, keyed, "h1")
        head = connection.execute(sa.text("SELECT sequence, hash, mac FROM history_head")).one()
    assert tuple(head) == (3, plain, keyed)


def test_the_key_of_one_organization_is_of_no_use_to_another() -> None:
    """What an auditor of one employer holds opens no other history, and does not tell the key it came from."""
    keys = parse_history_keys(HISTORY_KEY)
    one, other = keys.of(uuid4())["h1"], keys.of(uuid4())["h1"]

    assert len({one, other, keys.keys["h1"]}) == 3


def test_a_key_can_be_replaced(engine: Engine, database: TestDatabase) -> None:
    """New records are sealed with the new key; the old ones verify as long as the old key is kept behind it."""
    _record(engine, "old")
    fresh = new_key_text("h2")
    both = create_engine(
        database.app_url, pool_size=2, history_keys=parse_history_keys(f"{fresh},{HISTORY_KEY}"), is_service=True
    )
    _record(both, "new")
    lost = create_engine(database.app_url, pool_size=2, history_keys=parse_history_keys(fresh), is_service=True)

    kept, broken = _verdict(both), _verdict(lost).first_broken
    both.dispose()
    lost.dispose()

    assert kept.verified
    assert broken is not None
    assert (broken.sequence, broken.what) == (1, Fault.UNKNOWN_KEY)


def test_without_a_key_nothing_is_written(engine: Engine, database: TestDatabase) -> None:
    """A part of the service that was built without the key cannot add a record without a mac."""
    keyless = create_engine(database.app_url, pool_size=2, is_service=True)

    with pytest.raises(HistoryKeyMissing):
        _record(keyless, "a")
    keyless.dispose()

    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM history_head")).scalar_one() == 0


def test_a_thousand_records_in_one_transaction_are_one_chain(engine: Engine) -> None:
    """However many facts a transaction records, they are numbered and chained in order."""
    _record(engine, *(f"event.{n}" for n in range(1000)))
    _record(engine, "another", organization_id=uuid4())

    verdict = _verdict(engine)

    assert verdict.verified
    assert verdict.records == 1000
