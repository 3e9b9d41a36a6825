"""Backups of a test's database: as a copy inside the server (quick), or through pg_dump and pg_restore (as outside)."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from app.core.embedded import APP_ROLE, OWNER_ROLE
from app.core.postgres_programs import program
from tests.support.postgres import TestDatabase


@contextmanager
def _server(database: TestDatabase) -> Iterator[tuple[sa.Connection, str]]:
    """Give a connection beside the database, and the database's name."""
    url = sa.make_url(database.superuser_url)
    engine = sa.create_engine(url.set(database="postgres"), poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection, str(url.database)
    engine.dispose()


def _end_connections(connection: sa.Connection, name: str) -> None:
    query = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = :name"
    connection.execute(sa.text(query), {"name": name})


@contextmanager
def copy_of(database: TestDatabase) -> Iterator[str]:
    """Give the name of a copy of the database as it is now; the copy is removed in the end."""
    with _server(database) as (connection, name):
        copy = f"{name}_backup"
        connection.execute(sa.text(f"DROP DATABASE IF EXISTS {copy}"))
        _end_connections(connection, name)
        connection.execute(sa.text(f"CREATE DATABASE {copy} TEMPLATE {name}"))
    yield copy
    with _server(database) as (connection, _):
        connection.execute(sa.text(f"DROP DATABASE {copy}"))


def put_back(database: TestDatabase, copy: str) -> None:
    """Replace the database by the copy, as the operator does after a crash. Connections to it end."""
    with _server(database) as (connection, name):
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
        connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE {copy}"))
        _grant(connection, name)


def dump(database: TestDatabase, path: Path) -> None:
    """Write a dump, as a nightly backup does."""
    _run("pg_dump", "--format=custom", f"--file={path}", f"--dbname={_libpq(database.superuser_url)}")


def restore(database: TestDatabase, path: Path) -> None:
    """Replace the database by what a dump holds."""
    with _server(database) as (connection, name):
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
        connection.execute(sa.text(f"CREATE DATABASE {name} OWNER {OWNER_ROLE} ENCODING 'UTF8' TEMPLATE template0"))
        _grant(connection, name)
    _run("pg_restore", "--exit-on-error", f"--dbname={_libpq(database.superuser_url)}", str(path))


def _grant(connection: sa.Connection, name: str) -> None:
    connection.execute(sa.text(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC"))
    connection.execute(sa.text(f"GRANT CONNECT ON DATABASE {name} TO {APP_ROLE}"))
    connection.execute(sa.text(f"ALTER DATABASE {name} OWNER TO {OWNER_ROLE}"))


def _libpq(url: str) -> str:
    return sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _run(name: str, *arguments: str) -> None:
    subprocess.run([str(program(name)), *arguments], check=True, capture_output=True)
