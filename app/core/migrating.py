"""Migrations: brought to head, checked against the models, and asked for by the readiness probe."""

from pathlib import Path

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from alembic import command

SCRIPTS = Path(__file__).parents[2] / "alembic"


def migrate(owner_url: str, *, revision: str = "head") -> None:
    """Bring the database to a revision, as the role that owns it. Two processes at once: the second waits."""
    engine = sa.create_engine(owner_url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT pg_advisory_lock(7201811002)"))
        connection.commit()
        config = _config(connection)
        if revision == "base":
            command.downgrade(config, "base")
        else:
            command.upgrade(config, revision)
        connection.commit()
        connection.execute(sa.text("SELECT pg_advisory_unlock(7201811002)"))
        connection.commit()
    engine.dispose()


def check_models(owner_url: str) -> None:
    """Raise when the models differ from the migrated schema."""
    engine = sa.create_engine(owner_url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        command.check(_config(connection))
    engine.dispose()


def current_revision(owner_url: str) -> str | None:
    """Return the revision that a database stands at; None for an empty one."""
    engine = sa.create_engine(owner_url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    engine.dispose()
    return found


def is_at_head(engine: Engine) -> bool:
    """Say whether the database stands at the newest revision that this code knows."""
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    return current == ScriptDirectory(str(SCRIPTS)).get_current_head()


def _config(connection: sa.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
