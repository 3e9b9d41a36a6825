"""Migrations: brought to head, checked against the models, and asked for by the readiness probe."""

from enum import StrEnum
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


class Standing(StrEnum):
    """How the migrations of a database stand to this code."""

    OLDER = "older"
    AT_HEAD = "at_head"
    NEWER = "newer"


def standing(engine: Engine) -> Standing:
    """Say how the database stands to this code. A revision that is not known here is one of a newer version.

    Migrations work with the version before, so this code goes on with it until the new version takes its place.
    """
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    scripts = ScriptDirectory(str(SCRIPTS))
    if current == scripts.get_current_head():
        return Standing.AT_HEAD
    known = current is None or current in {script.revision for script in scripts.walk_revisions()}
    return Standing.OLDER if known else Standing.NEWER


def _config(connection: sa.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
