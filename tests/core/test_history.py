"""History: append-only, numbered without gaps, nothing of what was rolled back."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from app.core import history
from app.core.database import create_engine, transaction
from app.core.history import SYSTEM, Fact
from tests.support.postgres import TestDatabase

_NOW = datetime(2026, 11, 18, 9, 0, tzinfo=UTC)


def _fact(organization_id: UUID, event: str = "test.happened") -> Fact:
    return Fact(
        organization_id=organization_id, event=event, actor=SYSTEM, occurred_at=_NOW, details={"b": 1, "a": "é"}
    )


def _sequences(engine: Engine, organization_id: UUID) -> list[int]:
    with engine.connect() as connection:
        query = sa.text("SELECT sequence FROM history_entry WHERE organization_id = :id ORDER BY sequence")
        return list(connection.execute(query, {"id": organization_id}).scalars())


def test_many_writers_leave_no_gap(engine: Engine) -> None:
    """Sixteen threads that write for two organizations at once: each is numbered 1, 2, 3, ... without a gap."""
    first, second = uuid4(), uuid4()

    def write(n: int) -> None:
        with transaction(engine) as session:
            for organization_id in (first, second) if n % 2 else (second, first):
                history.record(session, _fact(organization_id))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(write, range(64)))

    assert _sequences(engine, first) == list(range(1, 65))
    assert _sequences(engine, second) == list(range(1, 65))


def test_what_is_rolled_back_leaves_no_trace_and_no_gap(engine: Engine) -> None:
    """A fact of a transaction that failed is not in the history, and the next one takes its number."""
    organization_id = uuid4()
    with transaction(engine) as session:
        history.record(session, _fact(organization_id))
    with pytest.raises(ZeroDivisionError), transaction(engine) as session:  # noqa: PT012 - the whole transaction fails
        history.record(session, _fact(organization_id, "test.failed"))
        session.flush()
        _ = 1 // 0
    with transaction(engine) as session:
        history.record(session, _fact(organization_id))

    assert _sequences(engine, organization_id) == [1, 2]


def test_the_payload_is_canonical_and_says_its_place(engine: Engine) -> None:
    """The payload is canonical JSON with sorted keys, and holds its own organization and number."""
    organization_id = uuid4()
    with transaction(engine) as session:
        history.record(session, _fact(organization_id))
    with engine.connect() as connection:
        payload = connection.execute(sa.text("SELECT payload FROM history_entry")).scalar_one()

    content = json.loads(payload)
    assert (content["organization_id"], content["sequence"]) == (str(organization_id), 1)
    assert payload == json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@pytest.mark.parametrize("role", ["app", "owner"])
@pytest.mark.parametrize(
    "statement", ["UPDATE history_entry SET event = 'x'", "DELETE FROM history_entry", "TRUNCATE history_entry"]
)
def test_history_is_never_changed(engine: Engine, database: TestDatabase, role: str, statement: str) -> None:
    """Neither the service's role nor the owner of the tables can change or remove a record."""
    with transaction(engine) as session:
        history.record(session, _fact(uuid4()))
    other = create_engine(database.app_url if role == "app" else database.owner_url, pool_size=2, is_service=True)

    with pytest.raises(DBAPIError), other.begin() as connection:
        connection.execute(sa.text(statement))

    other.dispose()
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT event FROM history_entry")).scalar_one() == "test.happened"


@pytest.mark.parametrize("table", ["claim", "payment_file", "obligation", "approval"])
def test_what_proves_payments_is_never_removed(engine: Engine, database: TestDatabase, table: str) -> None:
    """Claims, files, obligations and approvals cannot be deleted, also not by the owner of the tables."""
    for url in (database.app_url, database.owner_url):
        other = create_engine(url, pool_size=2, is_service=True)
        with pytest.raises(DBAPIError), other.begin() as connection:
            connection.execute(sa.text(f"DELETE FROM {table}"))
        other.dispose()
