"""How a database stands to the code that runs on it, also while a newer version takes its place."""

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from fastapi.testclient import TestClient

from app.cli.service import diagnoses
from app.core.migrating import SCRIPTS, Standing, standing
from app.main import Service
from tests.support.postgres import TestDatabase

_SCRIPTS = ScriptDirectory(str(SCRIPTS))


@pytest.fixture
def stand_at(database: TestDatabase) -> Iterator[Callable[[str], None]]:
    """Have the database say that it stands at another revision; afterwards it says the truth again."""
    superuser = sa.create_engine(database.superuser_url, poolclass=sa.NullPool)

    def say(revision: str | None) -> None:
        with superuser.begin() as connection:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})

    yield say
    say(_SCRIPTS.get_current_head())


def test_a_database_of_a_newer_version_is_ready(
    service: Service, client: TestClient, stand_at: Callable[[str], None]
) -> None:
    """Between migrating and starting the new version the running one is all there is: no proxy may take it out."""
    stand_at("9999")

    assert standing(service.context.engine) is Standing.NEWER
    assert (client.get("/readyz").status_code, client.get("/readyz").json()) == (200, {"status": "ready"})
    told = dict(diagnoses(service))
    assert told["migrations"] == "the database is of a newer version; start the new version here"
    assert "runs" in told  # the rest is looked at as ever


def test_a_database_of_an_older_version_is_not_ready(
    service: Service, client: TestClient, stand_at: Callable[[str], None]
) -> None:
    """What this code reads and writes is not there yet."""
    *_, before_head, _head = sorted(script.revision for script in _SCRIPTS.walk_revisions())
    stand_at(before_head)

    assert standing(service.context.engine) is Standing.OLDER
    assert client.get("/readyz").status_code == 503
    told = dict(diagnoses(service))
    assert (told["migrations"], "runs" in told) == ("not at head; run ./run migrate", False)


def test_a_database_at_head_is_ready(service: Service, client: TestClient) -> None:
    """The ordinary day."""
    assert standing(service.context.engine) is Standing.AT_HEAD
    assert client.get("/readyz").status_code == 200
    assert dict(diagnoses(service))["migrations"] is None
