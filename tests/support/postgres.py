"""A database for the tests: one embedded PostgreSQL for all workers, one database a worker, emptied between tests."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Engine

from app.core.crypto import new_key_text
from app.core.database import create_engine
from app.core.embedded import APP_ROLE, OWNER_ROLE, EmbeddedPostgres, bootstrap_roles
from app.core.history_chain import parse_history_keys
from app.core.migrating import migrate

HISTORY_KEY = new_key_text("h1")


@dataclass(frozen=True, slots=True, kw_only=True)
class TestDatabase:
    """A migrated database: for the service's role, for its owner, and for the superuser who empties it."""

    __test__ = False

    app_url: str
    owner_url: str
    superuser_url: str

    def empty(self) -> None:
        """Remove every row. Append-only tables refuse that from everyone but a superuser who switches triggers off."""
        engine = sa.create_engine(self.superuser_url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            tables = connection.execute(
                sa.text(
                    "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
                )
            ).scalars()
            connection.execute(sa.text("SET session_replication_role = replica"))
            connection.execute(sa.text(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY CASCADE"))
        engine.dispose()

    def engine(self) -> Engine:
        """Return an engine for the role the service runs as."""
        return create_engine(self.app_url, pool_size=40, history_keys=parse_history_keys(HISTORY_KEY), is_service=True)


def shared_folder(run_id: str) -> Path:
    """Return the folder of this test run's PostgreSQL; the same for every worker of the run."""
    return Path(tempfile.gettempdir()) / f"ls-tests-{os.getuid()}-{run_id[:12]}"


def remove_shared_folder(run_id: str) -> None:
    """Remove what this test run's PostgreSQL left."""
    shutil.rmtree(shared_folder(run_id), ignore_errors=True)


@contextmanager
def running_database(run_id: str, worker: str) -> Iterator[TestDatabase]:
    """Give this worker's database on the shared PostgreSQL."""
    name = f"loonstroom_{worker}"
    with EmbeddedPostgres(shared_folder(run_id), durable=False, max_connections=400) as postgres:
        bootstrap_roles(postgres.url(), database=name)
        owner_url = postgres.url(role=OWNER_ROLE, database=name)
        migrate(owner_url)
        yield TestDatabase(
            app_url=postgres.url(role=APP_ROLE, database=name),
            owner_url=owner_url,
            superuser_url=postgres.url(database=name),
        )
