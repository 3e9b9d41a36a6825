"""A database with a history from before the chain: brought to head, its records are hashed, sealed and proven."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy import Engine

from app.cli.runtime import bring_up_to_date
from app.core import history_proof
from app.core.database import create_engine, transaction
from app.core.embedded import APP_ROLE, OWNER_ROLE, EmbeddedPostgres, bootstrap_roles
from app.core.migrating import migrate
from app.core.settings import Settings
from tests.support.histories import NINE, record
from tests.support.postgres import HISTORY_KEY

_ORGANIZATIONS = (uuid4(), uuid4())
_SETTINGS = Settings(history_key=SecretStr(HISTORY_KEY))


@pytest.fixture
def urls() -> Iterator[tuple[str, str]]:
    """A database at the revision before the chain, for its owner and for the service."""
    with tempfile.TemporaryDirectory(prefix="chain-") as folder, EmbeddedPostgres(Path(folder), durable=False) as made:
        bootstrap_roles(made.url(), database="before")
        owner_url = made.url(role=OWNER_ROLE, database="before")
        migrate(owner_url, revision="0003")
        yield owner_url, made.url(role=APP_ROLE, database="before")


def _older_records(engine: Engine, count: int) -> None:
    with engine.begin() as connection:
        for organization_id in _ORGANIZATIONS:
            for sequence in range(1, count + 1):
                actor = {"kind": "operator", "id": None, "name": "é", "token_id": None}
                content = {
                    "organization_id": str(organization_id),
                    "sequence": sequence,
                    "occurred_at": NINE.isoformat(),
                    "event": "employer.added",
                    "actor": actor,
                    "administration_id": None,
                    "payment_batch_id": None,
                    "details": {},
                }
                row = {"id": organization_id, "n": sequence, "at": NINE, "payload": json.dumps(content)}
                connection.execute(_OLDER, row)
            connection.execute(_OLDER_HEAD, {"id": organization_id, "n": count})


_OLDER = sa.text(
    "INSERT INTO history_entry (organization_id, sequence, occurred_at, event, actor_kind, payload) "
    "VALUES (:id, :n, :at, 'employer.added', 'operator', :payload)"
)
_OLDER_HEAD = sa.text("INSERT INTO history_head (organization_id, sequence) VALUES (:id, :n)")


def test_an_older_history_is_proven_after_the_migration(urls: tuple[str, str]) -> None:
    """Migrating seals each history once; the service goes on writing; append-only stays; nothing is sealed twice."""
    owner_url, app_url = urls
    engine = create_engine(app_url, pool_size=2, history_keys=_SETTINGS.history_keys, is_service=True)
    _older_records(engine, 3)

    sealed = [bring_up_to_date(_SETTINGS, owner_url) for _ in range(2)]
    record(engine, _ORGANIZATIONS[0], ["batch.made"])

    with transaction(engine) as session:
        history_proof.snapshot(session)
        verdicts = [history_proof.verify(session, each) for each in _ORGANIZATIONS]
    with engine.connect() as connection:
        triggers = connection.execute(
            sa.text("SELECT tgenabled FROM pg_trigger WHERE tgname = 'history_entry_append_only'")
        ).scalars()
        may_update = connection.execute(sa.text("SELECT has_table_privilege('history_entry', 'UPDATE')")).scalar_one()
        switched_on = list(triggers)
    engine.dispose()
    assert sealed == [2, 0]
    assert [(each.verified, each.records, each.unsealed) for each in verdicts] == [(True, 5, 3), (True, 4, 3)]
    assert switched_on == ["O"]
    assert not may_update
