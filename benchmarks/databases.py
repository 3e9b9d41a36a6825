"""PostgreSQL for a benchmark: embedded, as `serve` starts it (durable), in a folder that is removed afterwards."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from fastapi.testclient import TestClient
from pydantic import SecretStr

from app.core.crypto import new_key_text
from app.core.embedded import APP_ROLE, OWNER_ROLE, EmbeddedPostgres, bootstrap_roles
from app.core.migrating import migrate
from app.core.settings import Settings
from app.main import Service, build, create_app

# One key for all processes of one run of the benchmarks; nothing that it seals outlives the run.
ENCRYPTION_KEYS = new_key_text("k1")
IDENTIFIER_KEY = "an identifier key for benchmarks, long enough"
HISTORY_KEY = new_key_text("h1")


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchDatabase:
    """A migrated database: for the service's role, its owner, and the superuser who fills tables wholesale."""

    app_url: str
    owner_url: str
    superuser_url: str

    def environment(self) -> dict[str, str]:
        """Return the settings of a process that uses it."""
        return {
            "LOONSTROOM_ENVIRONMENT": "test",
            "LOONSTROOM_DATABASE_URL": self.app_url,
            "LOONSTROOM_ENCRYPTION_KEYS": ENCRYPTION_KEYS,
            "LOONSTROOM_IDENTIFIER_KEY": IDENTIFIER_KEY,
            "LOONSTROOM_HISTORY_KEY": HISTORY_KEY,
            "LOONSTROOM_RELEASE_COUNTER": str(self._release_counter()),
            "LOONSTROOM_LOG_LEVEL": "ERROR",
            # What is measured is the work, not when somebody is told to call less often.
            "LOONSTROOM_WEBHOOKS_AT_ONCE": "1000000",
            "LOONSTROOM_WEBHOOKS_PER_SECOND": "100000",
        }

    def _release_counter(self) -> Path:
        """Return where this database's release counter is kept: beside the folder of its socket, removed with it."""
        url = sa.make_url(self.app_url)
        return Path(str(url.query["host"])) / f"{url.database}.release-counter"

    def service(self) -> Service:
        """Return the service, built on this database."""
        settings = Settings(
            encryption_keys=SecretStr(ENCRYPTION_KEYS),
            identifier_key=SecretStr(IDENTIFIER_KEY),
            history_key=SecretStr(HISTORY_KEY),
            release_counter=self._release_counter(),
        )
        return build(settings, database_url=self.app_url)


@contextmanager
def running_postgres(*, durable: bool = True) -> Iterator[EmbeddedPostgres]:
    """Give an embedded PostgreSQL for the length of a block."""
    with (
        tempfile.TemporaryDirectory(prefix="ls-bench-") as folder,
        EmbeddedPostgres(Path(folder) / "postgres", durable=durable) as postgres,
    ):
        yield postgres


def database_on(postgres: EmbeddedPostgres, name: str) -> BenchDatabase:
    """Make a migrated database."""
    bootstrap_roles(postgres.url(), database=name)
    owner_url = postgres.url(role=OWNER_ROLE, database=name)
    migrate(owner_url)
    return BenchDatabase(
        app_url=postgres.url(role=APP_ROLE, database=name),
        owner_url=owner_url,
        superuser_url=postgres.url(database=name),
    )


@contextmanager
def running_client(database: BenchDatabase) -> Iterator[tuple[Service, TestClient]]:
    """Give the service on a database with a client in the same process, without a worker."""
    service = database.service()
    with TestClient(create_app(service, with_worker=False)) as client:
        yield service, client
    service.context.close()
