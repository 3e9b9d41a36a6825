import logging
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy
from psycopg import errors

from app.core.embedded import APP_ROLE, OWNER_ROLE, EmbeddedPostgres, EmbeddedPostgresError, bootstrap_roles
from app.core.postgres_programs import let_pass, runs_postgres

PATIENCE_SECONDS = 30.0

# Another process that uses the folder: says the process id of PostgreSQL, then stays until its input ends.
OTHER_PROCESS = """
import sys
from pathlib import Path
from app.core.embedded import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1]), durable=False) as postgres:
    print(postgres.postmaster_pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give the path of a folder that is not there yet."""
    # Not tmp_path: pytest takes the rights of others away from its parent at any moment, which stops PostgreSQL's user.
    with tempfile.TemporaryDirectory(prefix="embedded-") as name:
        yield Path(name) / "postgres"


@pytest.fixture
def postgres(folder: Path) -> Iterator[EmbeddedPostgres]:
    """Give a running database of this test alone."""
    with EmbeddedPostgres(folder, durable=False) as server:
        yield server


def _ask(postgres: EmbeddedPostgres, question: str, *, role: str = "postgres", database: str = "postgres") -> str:
    url = sqlalchemy.make_url(postgres.url(role=role, database=database))
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        cursor = connection.execute(question.encode())
        return str((cursor.fetchone() or [""])[0]) if cursor.description else ""


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        threading.Event().wait(0.02)


def _other_process(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", OTHER_PROCESS, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _pid_from(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def test_it_is_postgresql_18_in_utf_8_and_utc(postgres: EmbeddedPostgres) -> None:
    """The embedded database is a real PostgreSQL 18 that keeps UTF-8 and thinks in UTC."""
    assert _ask(postgres, "SHOW server_version").startswith("18")
    assert _ask(postgres, "SHOW server_encoding") == "UTF8"
    assert _ask(postgres, "SELECT datlocale FROM pg_database WHERE datname = 'postgres'") == "C.UTF-8"
    assert _ask(postgres, "SHOW timezone") == "UTC"
    assert _ask(postgres, "SHOW max_connections") == "200"


def test_nothing_listens_on_the_network(postgres: EmbeddedPostgres) -> None:
    """Only who may enter the private folder can reach the database."""
    assert _ask(postgres, "SHOW listen_addresses") == ""
    socket_folder = Path(_ask(postgres, "SHOW unix_socket_directories").strip('"'))
    assert stat.S_IMODE(socket_folder.stat().st_mode) == 0o700
    assert _ask(postgres, "SELECT count(*) FROM pg_hba_file_rules WHERE type <> 'local'") == "0"


def test_the_server_log_quotes_no_rows_and_no_statements(folder: Path, postgres: EmbeddedPostgres) -> None:
    """A refused row leaves neither its content nor the statement in PostgreSQL's log."""
    _ask(postgres, "CREATE TABLE payee (iban text PRIMARY KEY)")
    _ask(postgres, "INSERT INTO payee VALUES ('NL00SECRET0123456789')")
    with pytest.raises(errors.UniqueViolation):
        _ask(postgres, "INSERT INTO payee VALUES ('NL00SECRET0123456789')")
    log = (folder / "postgres.log").read_text()
    assert "duplicate key" in log
    assert "SECRET" not in log


@pytest.mark.parametrize(("durable", "expected"), [(True, "on"), (False, "off")])
def test_it_is_durable_unless_told_otherwise(folder: Path, durable: bool, expected: str) -> None:
    """Only tests give up what survives a power cut."""
    with EmbeddedPostgres(folder, durable=durable) as postgres:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert _ask(postgres, f"SHOW {setting}") == expected


def test_leaving_stops_postgresql_and_coming_back_finds_the_data(folder: Path) -> None:
    """What was written is there after a stop and a new start."""
    with EmbeddedPostgres(folder, durable=False) as postgres:
        _ask(postgres, "CREATE TABLE kept AS SELECT 42 AS answer")
        pid = postgres.postmaster_pid
        assert runs_postgres(pid)
    assert not runs_postgres(pid)
    with EmbeddedPostgres(folder, durable=False) as postgres:
        assert _ask(postgres, "SELECT answer FROM kept") == "42"


def test_stopping_twice_or_before_starting_is_harmless(folder: Path) -> None:
    """Cleaning up needs no knowledge of what was started."""
    postgres = EmbeddedPostgres(folder, durable=False)
    postgres.stop()
    with EmbeddedPostgres(folder, durable=False) as started:
        started.stop()


def test_one_object_is_entered_once(postgres: EmbeddedPostgres) -> None:
    """Entering the same object again is refused, so that no lock is lost."""
    with pytest.raises(EmbeddedPostgresError, match="already started"):
        postgres.start()


def test_two_processes_share_one_server_and_the_last_one_out_stops_it(folder: Path) -> None:
    """Who leaves first leaves PostgreSQL running for the other."""
    with EmbeddedPostgres(folder, durable=False) as postgres:
        other = _other_process(folder)
        pid = _pid_from(other)
        assert pid == postgres.postmaster_pid
    assert runs_postgres(pid)
    other.communicate(timeout=PATIENCE_SECONDS)
    assert other.returncode == 0
    assert not runs_postgres(pid)


def test_two_processes_that_start_at_once_get_one_server(folder: Path) -> None:
    """A race for a new folder makes one database, not two broken ones."""
    others = [_other_process(folder) for _ in range(3)]
    assert len({_pid_from(other) for other in others}) == 1
    for other in others:
        other.communicate(timeout=PATIENCE_SECONDS)
        assert other.returncode == 0


def test_a_killed_user_does_not_keep_postgresql_running(folder: Path) -> None:
    """After kill -9 of one user the next one that leaves is the last, and stops PostgreSQL."""
    killed = _other_process(folder)
    pid = _pid_from(killed)
    killed.kill()
    killed.communicate(timeout=PATIENCE_SECONDS)
    assert runs_postgres(pid)
    with EmbeddedPostgres(folder, durable=False) as postgres:
        assert postgres.postmaster_pid == pid
    assert not runs_postgres(pid)


def test_the_watchdog_starts_a_killed_postgresql_again(folder: Path) -> None:
    """After kill -9 of PostgreSQL the same address works again, with everything that was committed."""
    with EmbeddedPostgres(folder, watchdog=True) as postgres:
        _ask(postgres, "CREATE TABLE kept AS SELECT 42 AS answer")
        killed = postgres.postmaster_pid
        os.kill(killed, signal.SIGKILL)
        _wait_until(lambda: _is_up(postgres))
        assert postgres.postmaster_pid != killed
        assert _ask(postgres, "SELECT answer FROM kept") == "42"


def _is_up(postgres: EmbeddedPostgres) -> bool:
    try:
        return _ask(postgres, "SELECT 1") == "1"
    except psycopg.OperationalError:
        return False


def test_without_a_watchdog_a_killed_postgresql_is_started_on_request(postgres: EmbeddedPostgres) -> None:
    """A dead PostgreSQL is told from a live one, and one call heals it."""
    killed = postgres.postmaster_pid
    os.kill(killed, signal.SIGKILL)
    _wait_until(lambda: not _is_up(postgres))
    with pytest.raises(EmbeddedPostgresError, match="does not run"):
        _ = postgres.postmaster_pid
    postgres.ensure_running()
    assert postgres.postmaster_pid != killed


def test_a_reused_process_id_does_not_bar_the_start(folder: Path) -> None:
    """A record that names a process which is no PostgreSQL (after a reboot, or a zombie) does not stop a start."""
    with EmbeddedPostgres(folder, durable=False) as postgres:
        os.kill(postgres.postmaster_pid, signal.SIGKILL)
        _wait_until(lambda: not _is_up(postgres))
        record = folder / "cluster" / "postmaster.pid"
        with subprocess.Popen(["sleep", "60"], user=folder.stat().st_uid) as unrelated:
            lines = record.read_text().split("\n")
            record.write_text("\n".join([str(unrelated.pid), *lines[1:]]))
            (folder / "socket" / ".s.PGSQL.5432.lock").write_text("\n".join([str(unrelated.pid), *lines[1:]]))
            started = time.monotonic()
            postgres.ensure_running()
            assert time.monotonic() - started < PATIENCE_SECONDS / 2
            unrelated.terminate()
        assert _ask(postgres, "SELECT 1") == "1"


def test_a_first_start_that_was_cut_off_is_done_again(folder: Path) -> None:
    """A half-made cluster of a killed first start is thrown away."""
    with EmbeddedPostgres(folder, durable=False):
        pass
    (folder / "cluster").rename(folder / "cluster.new")
    (folder / "cluster.new" / "global" / "pg_control").unlink()
    with EmbeddedPostgres(folder, durable=False) as postgres:
        assert _ask(postgres, "SELECT 1") == "1"
    assert not (folder / "cluster.new").exists()


def test_a_failed_start_says_why_and_leaves_no_lock(folder: Path) -> None:
    """A start that fails names the cause, and does not count as a user afterwards."""
    with EmbeddedPostgres(folder, durable=False):
        pass
    version = folder / "cluster" / "PG_VERSION"
    version.write_text("16\n")
    with pytest.raises(EmbeddedPostgresError, match="made by PostgreSQL 16"):
        EmbeddedPostgres(folder, durable=False).start()
    version.write_text("18\n")
    with EmbeddedPostgres(folder, durable=False) as postgres:
        pid = postgres.postmaster_pid
    assert not runs_postgres(pid)


def test_a_folder_with_other_files_is_left_alone(folder: Path) -> None:
    """Pointing at a home folder by mistake changes nothing in it."""
    folder.mkdir()
    (folder / "letter.txt").write_text("mine")
    before = folder.stat()
    with pytest.raises(EmbeddedPostgresError, match="holds other files"):
        EmbeddedPostgres(folder).start()
    assert folder.stat() == before
    assert [path.name for path in folder.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize("name", ["with space, comma, 'quote' and percent %41", "x" * 120])
def test_any_folder_name_works_also_one_too_long_for_a_socket(folder: Path, name: str) -> None:
    """The address is right for every folder; a short folder for the socket is removed at the end."""
    with EmbeddedPostgres(folder / name, durable=False) as postgres:
        assert _ask(postgres, "SELECT 1") == "1"
        engine = sqlalchemy.create_engine(postgres.url())
        with engine.connect() as connection:
            assert connection.scalar(sqlalchemy.text("SELECT 1")) == 1
        engine.dispose()
        socket_folder = Path(str(sqlalchemy.make_url(postgres.url()).query["host"]))
        assert len(str(socket_folder / ".s.PGSQL.5432")) <= 107
    assert socket_folder == folder / name / "socket" or not socket_folder.exists()


def _plant_link(place: Path, target: Path) -> None:
    place.symlink_to(target)


def _plant_folder(place: Path, target: Path) -> None:
    if os.geteuid() == 0:
        place.mkdir()
        os.chown(place, 12345, 12345)
    else:  # only root can make a folder of somebody else; a link to one is the next best
        place.symlink_to("/usr")


@pytest.mark.parametrize("plant", [_plant_link, _plant_folder])
def test_a_socket_folder_of_someone_else_is_refused(folder: Path, plant: Callable[[Path, Path], None]) -> None:
    """A short socket folder that another user laid out in advance is not trusted."""
    data_dir = folder / ("x" * 120)
    planted = Path(str(sqlalchemy.make_url(EmbeddedPostgres(data_dir).url()).query["host"]))
    plant(planted, folder.parent)
    try:
        with pytest.raises(EmbeddedPostgresError, match="belongs to another user"):
            EmbeddedPostgres(data_dir, durable=False).start()
    finally:
        planted.rmdir() if not planted.is_symlink() else planted.unlink()


def test_a_name_that_a_shell_would_read_is_refused(folder: Path) -> None:
    """A folder name never becomes a command."""
    with pytest.raises(EmbeddedPostgresError, match="choose a folder without"):
        EmbeddedPostgres(folder / "$(id)").start()


def test_root_is_refused_where_told(folder: Path) -> None:
    """Production does not run the embedded database as root; an ordinary user may."""
    postgres = EmbeddedPostgres(folder, durable=False, allow_root=False)
    if os.geteuid() == 0:
        with pytest.raises(EmbeddedPostgresError, match="does not run as root"):
            postgres.start()
    else:
        with postgres:
            assert runs_postgres(postgres.postmaster_pid)


def test_postgresql_never_runs_as_root(folder: Path, postgres: EmbeddedPostgres) -> None:
    """Started by root, PostgreSQL runs as an ordinary user, and the folder is private to that user."""
    owner = (folder / "cluster" / "postmaster.pid").stat().st_uid
    assert owner != 0
    assert folder.stat().st_uid == owner
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_only_passing_is_opened_and_it_is_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Parent folders become passable, never readable, and each change is announced."""
    closed = folder.parent / "closed"
    closed.mkdir(mode=0o700)
    with caplog.at_level(logging.WARNING):
        let_pass(closed / "postgres")
    assert stat.S_IMODE(closed.stat().st_mode) == 0o701
    assert str(closed) in caplog.text


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """Give one running database for all tests of roles."""
    with (
        tempfile.TemporaryDirectory(prefix="embedded-") as name,
        EmbeddedPostgres(Path(name) / "postgres", durable=False) as postgres,
    ):
        yield postgres


@pytest.fixture
def company(server: EmbeddedPostgres) -> EmbeddedPostgres:
    """Give a server with the two roles and a fresh database `company`."""
    _ask(server, "DROP DATABASE IF EXISTS company")
    bootstrap_roles(server.url(), database="company")
    return server


def test_the_app_reads_and_writes_what_the_owner_makes(company: EmbeddedPostgres) -> None:
    """Tables, sequences and functions of the owner are at the service's disposal, without a grant in each migration."""
    _ask(company, "CREATE TABLE run (id serial, name text)", role=OWNER_ROLE, database="company")
    _ask(company, "CREATE FUNCTION f() RETURNS int RETURN 7", role=OWNER_ROLE, database="company")
    _ask(company, "INSERT INTO run (name) VALUES ('april')", role=APP_ROLE, database="company")
    _ask(company, "UPDATE run SET name = 'mei'", role=APP_ROLE, database="company")
    assert _ask(company, "SELECT name FROM run WHERE f() = 7", role=APP_ROLE, database="company") == "mei"
    _ask(company, "DELETE FROM run", role=APP_ROLE, database="company")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id int)",
        "CREATE TEMPORARY TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE ROLE someone",
        "CREATE DATABASE mine",
        "ALTER ROLE loonstroom_app SUPERUSER",
        "SET ROLE loonstroom_owner",
        "TRUNCATE run",
        "DROP TABLE run",
        "ALTER TABLE run DISABLE TRIGGER ALL",
    ],
)
def test_the_app_makes_changes_and_drops_nothing(company: EmbeddedPostgres, statement: str) -> None:
    """Whoever takes over the service cannot change the database's structure or its rights."""
    _ask(company, "CREATE TABLE run (id int)", role=OWNER_ROLE, database="company")
    with pytest.raises(errors.InsufficientPrivilege):
        _ask(company, statement, role=APP_ROLE, database="company")


@pytest.mark.parametrize("role", [OWNER_ROLE, APP_ROLE])
def test_no_role_of_ours_is_above_row_security(company: EmbeddedPostgres, role: str) -> None:
    """Neither role is a superuser, passes row security, or makes roles, databases or replicas."""
    question = (
        "SELECT rolcanlogin AND NOT (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication) "
        f"FROM pg_roles WHERE rolname = '{role}'"
    )
    assert _ask(company, question) == "True"


def test_roles_are_brought_back_to_what_they_should_be(company: EmbeddedPostgres) -> None:
    """A second run repairs rights that were changed by hand."""
    _ask(company, f"ALTER ROLE {APP_ROLE} SUPERUSER NOLOGIN")
    bootstrap_roles(company.url(), database="company")
    question = f"SELECT rolcanlogin AND NOT rolsuper FROM pg_roles WHERE rolname = '{APP_ROLE}'"
    assert _ask(company, question) == "True"


def test_roles_can_be_set_up_by_several_at_once(postgres: EmbeddedPostgres) -> None:
    """Two starts at the same moment do not trip over each other."""
    failures: list[Exception] = []

    def set_up() -> None:
        try:
            bootstrap_roles(postgres.url(), database="company")
        except psycopg.Error as error:
            failures.append(error)

    threads = [threading.Thread(target=set_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
