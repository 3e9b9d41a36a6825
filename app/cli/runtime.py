"""What every command stands on: settings, keys and a database, embedded by default."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe

import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.exc import ArgumentError

from app.core.clock import utc_now
from app.core.crypto import new_key_text
from app.core.database import create_engine
from app.core.embedded import APP_ROLE, OWNER_ROLE, EmbeddedPostgres, bootstrap_roles
from app.core.history_sealing import seal_older
from app.core.migrating import current_revision, migrate
from app.core.settings import Environment, Settings, SettingsError, load_settings
from app.main import Service, build

DATABASE = "loonstroom"
_CHAINED = "0006"  # the revision that gave the history its keyed chain
_HOW_AN_ADDRESS_IS_WRITTEN = (
    "LOONSTROOM_DATABASE_URL (and LOONSTROOM_DATABASE_OWNER_URL) is written as "
    "postgresql://role:password@host:port/database, with % codes for other characters than letters and digits in the "
    "password"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """Where the database is, for the role that runs and for the role that owns."""

    app_url: str
    owner_url: str | None


def settings() -> Settings:
    """Return the settings of this process, with keys: made once in the data folder where none are set."""
    loaded = load_settings(os.environ)
    return loaded if loaded.environment is Environment.PRODUCTION else with_local_keys(loaded)


def with_local_keys(loaded: Settings) -> Settings:
    """Return settings with keys. Outside production they are made on first use and kept beside the data, mode 0600."""
    folder = loaded.data_dir / "keys"
    keys = loaded.encryption_keys or SecretStr(_kept(folder / "encryption_keys", new_key_text("k1")))
    identifier = loaded.identifier_key or SecretStr(_kept(folder / "identifier_key", token_urlsafe(48)))
    history = loaded.history_key or SecretStr(_kept(folder / "history_key", new_key_text("h1")))
    return loaded.model_copy(update={"encryption_keys": keys, "identifier_key": identifier, "history_key": history})


def _kept(path: Path, fresh: str) -> str:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        message = (
            f"LOONSTROOM_DATA_DIR: {path} cannot be made ({error.strerror}); choose a folder that may be written in"
        )
        raise SettingsError(message) from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(fresh)
    return fresh


@contextmanager
def database(loaded: Settings, *, watchdog: bool = False) -> Iterator[Database]:
    """Give the database: the one that is set, else the embedded one, started, with its roles and at head."""
    if loaded.database_url is not None:
        owner = loaded.database_owner_url
        yield Database(
            app_url=driver_url(loaded.database_url.get_secret_value()),
            owner_url=None if owner is None else driver_url(owner.get_secret_value()),
        )
        return
    if loaded.environment is Environment.PRODUCTION:
        message = "production needs LOONSTROOM_DATABASE_URL"
        raise SettingsError(message)
    with EmbeddedPostgres(
        loaded.data_dir / "postgres", watchdog=watchdog, durable=loaded.environment is not Environment.TEST
    ) as postgres:
        bootstrap_roles(postgres.url(), database=DATABASE)
        owner_url = postgres.url(role=OWNER_ROLE, database=DATABASE)
        bring_up_to_date(loaded, owner_url)
        yield Database(app_url=postgres.url(role=APP_ROLE, database=DATABASE), owner_url=owner_url)


def bring_up_to_date(loaded: Settings, owner_url: str) -> int:
    """Bring the database to head and seal histories that are older than their key; return how many those were.

    Older ones are there only when this very migration brings the key. A history without macs at any other time was
    stripped of them, or a migration was cut off: sealing it would make a forgery genuine (`history seal`, by hand).
    """
    keys, before = loaded.history_keys, current_revision(owner_url)
    migrate(owner_url)
    if before is not None and before >= _CHAINED:
        return 0
    engine = create_engine(owner_url, pool_size=1, history_keys=keys, is_service=True)
    try:
        return len(seal_older(engine, utc_now()))
    finally:
        engine.dispose()


def driver_url(url: str) -> str:
    """Return a PostgreSQL URL for psycopg 3, however it was written (`postgres://`, `postgresql://`)."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in {"postgres", "postgresql", "postgresql+psycopg"}:
        raise SettingsError(_HOW_AN_ADDRESS_IS_WRITTEN)
    written = f"postgresql+psycopg://{rest}"
    try:
        sa.make_url(written)
    except (ArgumentError, ValueError):  # both quote it, password and all
        raise SettingsError(_HOW_AN_ADDRESS_IS_WRITTEN) from None
    return written


@contextmanager
def built_service(*, watchdog: bool = False) -> Iterator[Service]:
    """Give the service, built on the settings of this process."""
    loaded = settings()
    with database(loaded, watchdog=watchdog) as where:
        service = build(loaded, database_url=where.app_url)
        try:
            yield service
        finally:
            service.context.close()
