"""Row security and backups: a dump is whole or is not made, and gives back what it held (docs/operations.md)."""

import subprocess
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.core.embedded import bootstrap_roles
from app.core.postgres_programs import program
from app.payments.context import Context
from tests.support.house import add_house
from tests.support.postgres import TestDatabase

_COUNTS = sa.text(
    "SELECT (SELECT count(*) FROM organization), (SELECT count(*) FROM credit_transfer), "
    "(SELECT count(*) FROM history_entry), (SELECT count(*) FROM pg_policy), "
    "(SELECT count(*) FROM pg_class WHERE relrowsecurity AND relforcerowsecurity)"
)


def _libpq(url: str) -> str:
    return sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(program(name)), *arguments], capture_output=True, text=True, check=False, timeout=60)


def _counts(url: str) -> tuple[int, ...]:
    with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
        return tuple(connection.execute(_COUNTS).one())


def test_the_owner_dumps_and_restores_everything(
    ctx: Context, client: TestClient, database: TestDatabase, tmp_path: Path
) -> None:
    """Dumped by the owner with --enable-row-security, the database comes back whole, its row security included."""
    add_house(ctx, client).uploaded_batch()
    dump = tmp_path / "dump"
    copy = f"{sa.make_url(database.owner_url).database}_copy"
    copy_url = sa.make_url(database.owner_url).set(database=copy).render_as_string(hide_password=False)
    bootstrap_roles(database.superuser_url, database=copy)

    options = ("--enable-row-security", "--format=custom", f"--file={dump}", "--schema=public")
    made = _run("pg_dump", *options, _libpq(database.owner_url))
    assert made.returncode == 0, made.stderr
    back = _run("pg_restore", "--exit-on-error", "--clean", "--if-exists", f"--dbname={_libpq(copy_url)}", str(dump))
    assert back.returncode == 0, back.stderr

    assert _counts(copy_url) == _counts(database.owner_url)
    assert _counts(copy_url)[0] == 1
    assert _counts(copy_url)[1] == 3


@pytest.mark.parametrize("role", ["owner", "app"])
def test_a_dump_that_would_leave_rows_out_is_not_made(database: TestDatabase, role: str) -> None:
    """Without that option nobody but a superuser gets a dump: it stops with an error instead of leaving rows out."""
    url = database.owner_url if role == "owner" else database.app_url
    made = _run("pg_dump", "--table=organization", _libpq(url))

    assert made.returncode != 0
    assert "row-level security" in made.stderr
