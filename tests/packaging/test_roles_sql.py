import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy

from app.core.embedded import EmbeddedPostgres, bootstrap_roles
from app.core.postgres_programs import program
from app.core.settings import Environment, load_settings

ROOT = Path(__file__).parents[2]

RIGHTS = """
SELECT 'role', rolname, concat_ws(',', rolcanlogin, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication)
FROM pg_roles WHERE rolname LIKE 'loonstroom%'
UNION ALL
SELECT 'database', datname, concat_ws(',', datdba::regrole, datacl, pg_encoding_to_char(encoding), datlocale)
FROM pg_database WHERE datname = 'loonstroom'
UNION ALL
SELECT 'schema', nspname, concat_ws(',', nspowner::regrole, nspacl) FROM pg_namespace WHERE nspname = 'public'
UNION ALL
SELECT 'default', defaclobjtype::text, concat_ws(',', defaclrole::regrole, defaclacl) FROM pg_default_acl
ORDER BY 1, 2, 3
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder that PostgreSQL's own user can reach."""
    with tempfile.TemporaryDirectory(prefix="roles-") as name:
        yield Path(name)


def _secrets(folder: Path) -> Path:
    (folder / "deploy").mkdir()
    script = folder / "deploy" / "new-secrets"
    script.write_bytes((ROOT / "deploy" / "new-secrets").read_bytes())
    subprocess.run(["sh", str(script)], check=True, capture_output=True)
    return folder / "secrets"


def _run_sql(postgres: EmbeddedPostgres, secrets: Path) -> subprocess.CompletedProcess[str]:
    text = (ROOT / "deploy" / "postgres-roles.sql").read_text().replace("/run/secrets/", f"{secrets}/")
    query = sqlalchemy.make_url(postgres.url()).query
    address = ["--host", str(query["host"]), "--port", str(query["port"]), "--username", "postgres"]
    command = [str(program("psql")), "--no-psqlrc", "--quiet", *address, "--dbname", "postgres"]
    return subprocess.run(
        command, input=text, text=True, capture_output=True, check=False, env={"PATH": os.environ["PATH"]}
    )


def _rights(postgres: EmbeddedPostgres) -> list[tuple[object, ...]]:
    url = sqlalchemy.make_url(postgres.url(database="loonstroom")).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False)) as connection:
        return connection.execute(RIGHTS).fetchall()


def test_compose_makes_the_same_roles_as_the_embedded_database(folder: Path) -> None:
    """What is tested on the embedded database holds in production: same roles, same rights, same locale."""
    secrets = _secrets(folder)
    with EmbeddedPostgres(folder / "one", durable=False) as postgres:
        ran = _run_sql(postgres, secrets)
        assert ran.returncode == 0, ran.stderr
        by_compose = _rights(postgres)
    with EmbeddedPostgres(folder / "two", durable=False) as postgres:
        bootstrap_roles(postgres.url(), database="loonstroom")
        embedded = _rights(postgres)
    assert by_compose == embedded
    assert len(embedded) == len(["owner", "app", "database", "schema", "tables", "sequences", "routines"])


def test_the_roles_get_the_passwords_of_the_addresses(folder: Path) -> None:
    """Each role logs in with the password that stands in the address the service uses."""
    secrets = _secrets(folder)
    with EmbeddedPostgres(folder / "one", durable=False) as postgres:
        ran = _run_sql(postgres, secrets)
        assert ran.returncode == 0, ran.stderr
        hba = folder / "one" / "cluster" / "pg_hba.conf"
        hba.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
        _reload(postgres)
        for name, role in (("database_url", "loonstroom_app"), ("database_owner_url", "loonstroom_owner")):
            address = sqlalchemy.make_url((secrets / name).read_text())
            assert address.username == role
            assert _can_log_in(postgres, role, str(address.password))
            assert not _can_log_in(postgres, role, "another-password")


def _reload(postgres: EmbeddedPostgres) -> None:
    url = sqlalchemy.make_url(postgres.url()).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
        before = connection.execute("SELECT pg_conf_load_time()").fetchone()
        connection.execute("SELECT pg_reload_conf()")
        deadline = time.monotonic() + 10
        while connection.execute("SELECT pg_conf_load_time()").fetchone() == before:
            assert time.monotonic() < deadline, "PostgreSQL did not read its configuration again"


def _can_log_in(postgres: EmbeddedPostgres, role: str, password: str) -> bool:
    url = sqlalchemy.make_url(postgres.url(role=role, database="loonstroom")).set(drivername="postgresql")
    try:
        with psycopg.connect(url.render_as_string(hide_password=False), password=password) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


@pytest.mark.parametrize("address", ["", "postgresql+psycopg://loonstroom_app:short@database:5432/loonstroom"])
def test_an_address_without_a_proper_password_makes_no_role(folder: Path, address: str) -> None:
    """A missing or short password stops the set-up instead of making a role anyone can use."""
    secrets = _secrets(folder)
    (secrets / "database_url").unlink()
    (secrets / "database_url").write_text(address)
    with EmbeddedPostgres(folder / "one", durable=False) as postgres:
        assert _run_sql(postgres, secrets).returncode != 0
        url = sqlalchemy.make_url(postgres.url()).set(drivername="postgresql")
        with psycopg.connect(url.render_as_string(hide_password=False)) as connection:
            made = connection.execute("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'loonstroom%'").fetchone()
        assert made == (0,)


def test_the_made_secrets_are_ones_production_accepts(folder: Path) -> None:
    """A start with the secrets that deploy/new-secrets made is not refused."""
    secrets = _secrets(folder)
    environ = {f"LOONSTROOM_{path.name.upper()}_FILE": str(path) for path in secrets.iterdir()}
    del environ["LOONSTROOM_POSTGRES_PASSWORD_FILE"]  # PostgreSQL's own, not a setting of the service
    settings = load_settings(
        {**environ, "LOONSTROOM_ENVIRONMENT": "production", "LOONSTROOM_RELEASE_COUNTER": str(folder / "counter")}
    )
    assert settings.environment is Environment.PRODUCTION
    assert settings.keyring.current == "k1"
    assert settings.history_keys.current == "h1"


def test_secrets_are_never_made_twice(folder: Path) -> None:
    """An existing set of secrets is not overwritten: it is the only key to what is stored."""
    secrets = _secrets(folder)
    before = {path.name: path.read_text() for path in secrets.iterdir()}
    again = subprocess.run(["sh", str(folder / "deploy" / "new-secrets")], capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "exists already" in again.stderr
    assert {path.name: path.read_text() for path in secrets.iterdir()} == before
    assert secrets.stat().st_mode & 0o777 == 0o700


def test_the_paths_of_the_secrets_need_no_quoting() -> None:
    """The commands inside the SQL file name their files without surprises."""
    text = (ROOT / "deploy" / "postgres-roles.sql").read_text()
    paths = [word for line in text.splitlines() for word in line.replace("`", " ").split() if "/run/" in word]
    assert sorted(paths) == ["/run/secrets/database_owner_url", "/run/secrets/database_url"]
    assert all(shlex.quote(path) == path for path in paths)
