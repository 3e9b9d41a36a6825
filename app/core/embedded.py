"""A real PostgreSQL of our own, for the first run, the demo and the tests (ADR 0001). Production uses a server.

One folder holds all of it: `cluster` (the data), `socket`, `postgres.log` and two lock files. Every process that uses
the folder holds a shared lock on `users.lock`; the kernel drops it however the process ends. Who can turn it into an
exclusive lock on leaving was the last, and stops PostgreSQL. `change.lock` makes starting and stopping one at a time.
"""

import errno
import fcntl
import hashlib
import logging
import os
import pwd
import shutil
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import LiteralString, Self

import psycopg
import sqlalchemy
from psycopg import sql
from psycopg.rows import TupleRow

from app.core.postgres_programs import (
    MAJOR_VERSION,
    EmbeddedPostgresError,
    let_pass,
    program,
    run_program,
    runs_postgres,
    system_account,
)

__all__ = ["APP_ROLE", "OWNER_ROLE", "EmbeddedPostgres", "EmbeddedPostgresError", "bootstrap_roles"]

OWNER_ROLE = "loonstroom_owner"
APP_ROLE = "loonstroom_app"

_PORT = 5432  # names the socket file; nothing listens on TCP
_LONGEST_SOCKET_PATH = 103  # bytes: 107 on Linux, 103 on macOS
_SHORT_FOLDERS = Path("/tmp")  # noqa: S108 - the same for every process; the owner is checked # nosec B108
_UNSAFE_IN_SHELL = frozenset('"$`\\\n')  # pg_ctl hands the data path to a shell, between double quotes
_START_PATIENCE_SECONDS = 30.0
_RETRY_SECONDS = 0.1
_WATCH_SECONDS = 0.5
_BOOTSTRAP_LOCK = 7_201_811_001  # advisory lock: two processes may set up the roles at once


class EmbeddedPostgres:
    """PostgreSQL in a folder, shared by every process that enters it; the last one out stops it.

    `data_dir` is ours alone: made when absent, refused when it holds anything else. With `watchdog` this process starts
    PostgreSQL again when it died. `durable=False` (for tests) gives up crash safety for speed. `allow_root=False`
    refuses to run as root. Settings are those of the process that starts PostgreSQL. Entered once: make a new object
    to come back.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        watchdog: bool = False,
        durable: bool = True,
        max_connections: int = 200,
        allow_root: bool = True,
    ) -> None:
        self._data_dir = data_dir.expanduser().resolve()
        self._cluster = self._data_dir / "cluster"
        self._log = self._data_dir / "postgres.log"
        self._socket_dir = _socket_dir(self._data_dir)
        self._durable = durable
        self._max_connections = max_connections
        self._allow_root = allow_root
        self._account: pwd.struct_passwd | None = None
        self._users_lock: int | None = None
        self._leaving = threading.Event()
        self._watchdog = threading.Thread(target=self._watch, name="postgres-watchdog", daemon=True)
        self._watched = watchdog

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Enter: make the database when there is none, start it when it does not run.

        EmbeddedPostgresError says why it cannot: a folder with other content, root where that is refused, no start.
        """
        if self._users_lock is not None or self._leaving.is_set():
            raise EmbeddedPostgresError(f"already started once: {self._data_dir}")
        self._account = self._database_account()
        self._prepare_folder()
        with self._one_at_a_time():
            users_lock = _open_lock(self._data_dir / "users.lock")
            try:
                fcntl.flock(users_lock, fcntl.LOCK_SH)
                self._make_cluster()
                self._start_postgres()
            except BaseException:
                self._leave(users_lock)
                raise
            self._users_lock = users_lock
        if self._watched:
            self._watchdog.start()

    def stop(self) -> None:
        """Leave. The last user stops PostgreSQL: it has stopped when this returns. Harmless when not started."""
        self._leaving.set()
        if self._watchdog.is_alive():
            self._watchdog.join()
        if self._users_lock is None:
            return
        users_lock, self._users_lock = self._users_lock, None
        with self._one_at_a_time():
            self._leave(users_lock)

    def ensure_running(self) -> None:
        """Start PostgreSQL again when it died: what the watchdog does by itself."""
        if self._users_lock is None:
            raise EmbeddedPostgresError(f"not started: {self._data_dir}")
        with self._one_at_a_time():
            self._start_postgres()

    def url(self, *, role: str = "postgres", database: str = "postgres") -> str:
        """Return the SQLAlchemy URL over the Unix socket. No password: who may enter the folder is trusted."""
        query = {"host": str(self._socket_dir), "port": str(_PORT)}
        url = sqlalchemy.URL.create("postgresql+psycopg", username=role, database=database, query=query)
        return url.render_as_string(hide_password=False)

    @property
    def postmaster_pid(self) -> int:
        """Process id of the running PostgreSQL; EmbeddedPostgresError when none runs."""
        pid = self._recorded_pid()
        if pid is None or not self._is_listening():
            raise EmbeddedPostgresError(f"PostgreSQL does not run in {self._data_dir}")
        return pid

    def _database_account(self) -> pwd.struct_passwd | None:
        if os.geteuid() != 0:
            return None
        if not self._allow_root:
            raise EmbeddedPostgresError("the embedded PostgreSQL does not run as root here: use a PostgreSQL server")
        return system_account()

    def _prepare_folder(self) -> None:
        """Make the folder private to whom PostgreSQL runs as; leave a folder with other content alone."""
        if _UNSAFE_IN_SHELL & set(str(self._data_dir)):
            raise EmbeddedPostgresError(f"choose a folder without quotes, $, ` or \\ in its path: {self._data_dir}")
        try:
            self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            others = any(self._data_dir.iterdir()) and not (self._data_dir / "change.lock").exists()
        except OSError as error:
            raise EmbeddedPostgresError(
                f"{self._data_dir} cannot be used for the database: {error.strerror}"
            ) from error
        if others:
            raise EmbeddedPostgresError(f"{self._data_dir} holds other files; choose a new folder for the database")
        if self._account is not None:
            let_pass(self._data_dir)
            let_pass(program("postgres"))
        self._make_private(self._data_dir)

    def _make_private(self, folder: Path) -> None:
        owner = os.geteuid() if self._account is None else self._account.pw_uid
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid not in {os.geteuid(), owner}:
            raise EmbeddedPostgresError(f"{folder} belongs to another user: remove it, or choose another folder")
        folder.chmod(0o700)
        if self._account is not None:
            os.chown(folder, self._account.pw_uid, self._account.pw_gid)

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        lock = _open_lock(self._data_dir / "change.lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _make_cluster(self) -> None:
        if self._cluster.exists():
            version = (self._cluster / "PG_VERSION").read_text().strip()
            if version != MAJOR_VERSION:
                raise EmbeddedPostgresError(
                    f"{self._cluster} was made by PostgreSQL {version} and this is {MAJOR_VERSION}: "
                    "export it with the version that made it, or choose a new folder"
                )
            return
        unfinished = self._data_dir / "cluster.new"  # renamed when complete: a kill half-way leaves no broken cluster
        if unfinished.exists():
            shutil.rmtree(unfinished)
        texts = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        sync = () if self._durable else ("--no-sync",)
        self._run("initdb", "-D", str(unfinished), "--username=postgres", "--auth=trust", *texts, *sync)
        unfinished.rename(self._cluster)

    def _start_postgres(self) -> None:
        if self._is_listening():
            return
        self._make_private(self._socket_dir)
        (self._cluster / "postgresql.conf").write_text(self._configuration())
        (self._cluster / "pg_hba.conf").write_text("local all all trust\n")
        deadline = time.monotonic() + _START_PATIENCE_SECONDS
        while True:
            self._disown_dead_record()
            try:
                self._run("pg_ctl", "start", "-D", str(self._cluster), "-l", str(self._log), "-w", "-t", "60")
            except EmbeddedPostgresError as error:
                # Processes of a killed PostgreSQL hold its shared memory for a moment longer.
                if time.monotonic() > deadline:
                    raise EmbeddedPostgresError(f"{error}\n{_last_lines(self._log)}") from error
                time.sleep(_RETRY_SECONDS)
            else:
                return

    def _leave(self, users_lock: int) -> None:
        try:
            pid = self._recorded_pid()
            if not _is_last_user(users_lock) or pid is None or not runs_postgres(pid):
                return
            self._run("pg_ctl", "stop", "-D", str(self._cluster), "-m", "fast", "-w", "-t", "60")
            if self._socket_dir.parent != self._data_dir:
                with suppress(OSError):  # an empty folder more or less: nothing depends on it
                    self._socket_dir.rmdir()
        finally:
            os.close(users_lock)

    def _configuration(self) -> str:
        safe = "on" if self._durable else "off"
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": '"' + str(self._socket_dir) + '"',  # a list: quoted, so that a comma is no end
            "unix_socket_permissions": "0700",
            "port": str(_PORT),
            "max_connections": str(self._max_connections),
            "timezone": "UTC",
            "log_timezone": "UTC",
            "lc_messages": "C",
            "fsync": safe,
            "synchronous_commit": safe,
            "full_page_writes": safe,
            # Statements and the details of an error quote names, accounts and amounts: they stay out of the log.
            "log_error_verbosity": "terse",
            "log_min_error_statement": "panic",
        }
        quoted = {name: value.replace("'", "''") for name, value in settings.items()}
        return "".join(f"{name} = '{value}'\n" for name, value in quoted.items())

    def _recorded_pid(self) -> int | None:
        with suppress(FileNotFoundError, ValueError):  # ValueError: being written at this moment
            return int((self._cluster / "postmaster.pid").read_text().split("\n", 1)[0])
        return None

    def _is_listening(self) -> bool:
        """Ask the socket, not the process table: a killed PostgreSQL can stay listed as a zombie."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_RETRY_SECONDS)
            outcome = probe.connect_ex(str(self._socket_dir / f".s.PGSQL.{_PORT}"))
        return outcome not in {errno.ECONNREFUSED, errno.ENOENT}

    def _disown_dead_record(self) -> None:
        """Let PostgreSQL start although the process id of its predecessor is still, or again, in use.

        That is so while process 1 does not clear zombies away, and after a restart of the machine. PostgreSQL refuses
        to start while the recorded process exists, unless it is the one that starts it: so the record gets our id. The
        file itself stays: PostgreSQL uses the rest of it to see whether the old shared memory is still in use.
        """
        pid = self._recorded_pid()
        if pid is None or runs_postgres(pid):
            return
        record = self._cluster / "postmaster.pid"
        lines = record.read_text().split("\n")
        record.write_text("\n".join([str(os.getpid()), *lines[1:]]))
        (self._socket_dir / f".s.PGSQL.{_PORT}.lock").unlink(missing_ok=True)  # names the dead one as well

    def _watch(self) -> None:
        logger = logging.getLogger(__name__)
        while not self._leaving.wait(_WATCH_SECONDS):
            if self._is_listening():
                continue
            logger.warning("PostgreSQL in %s has stopped; starting it again", self._data_dir)
            try:
                self.ensure_running()
            except EmbeddedPostgresError:
                logger.exception("PostgreSQL in %s could not be started; trying again", self._data_dir)

    def _run(self, name: str, *arguments: str) -> None:
        run_program(name, *arguments, account=self._account)


def _socket_dir(data_dir: Path) -> Path:
    """Folder of the socket: in the data folder, or a short one of its own where that path would be too long."""
    inside = data_dir / "socket"
    path = str(inside / f".s.PGSQL.{_PORT}")
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH and "," not in path:  # libpq reads a comma as a second host
        return inside
    return _SHORT_FOLDERS / f"loonstroom-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]}"


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _is_last_user(users_lock: int) -> bool:
    try:
        fcntl.flock(users_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _last_lines(log: Path, count: int = 20) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:]) if log.exists() else ""


def bootstrap_roles(superuser_url: str, *, database: str) -> None:
    """Make the two roles and the database, or bring them back to what they should be. Safe to repeat, also at once.

    `loonstroom_owner` owns the database and migrates it. `loonstroom_app` runs the service: it may read and write the
    rows of what the owner makes, and make nothing itself. Neither is a superuser or passes row security. Passwords are
    not touched: the embedded database needs none.
    """
    server = sqlalchemy.make_url(superuser_url)
    with _connect(server, "postgres") as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_BOOTSTRAP_LOCK,))
        for role in (OWNER_ROLE, APP_ROLE):
            _ensure_role(connection, role)
        _ensure_database(connection, database)
        with _connect(server, database) as inside:
            for statement in _SCHEMA_RIGHTS.split(";"):
                inside.execute(_with_roles(statement))


_DATABASE_RIGHTS: LiteralString = """
ALTER DATABASE {database} OWNER TO {owner};
REVOKE ALL ON DATABASE {database} FROM PUBLIC;
GRANT CONNECT ON DATABASE {database} TO {app}
"""

_SCHEMA_RIGHTS: LiteralString = """
ALTER SCHEMA public OWNER TO {owner};
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO {app};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {app};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {app};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT EXECUTE ON ROUTINES TO {app}
"""


def _connect(server: sqlalchemy.URL, database: str) -> psycopg.Connection[TupleRow]:
    address = server.set(drivername="postgresql", database=database)
    return psycopg.connect(address.render_as_string(hide_password=False), autocommit=True)


def _with_roles(statement: LiteralString, **names: str) -> sql.Composed:
    identifiers = {"owner": OWNER_ROLE, "app": APP_ROLE, **names}
    return sql.SQL(statement).format(**{key: sql.Identifier(name) for key, name in identifiers.items()})


def _ensure_role(connection: psycopg.Connection[TupleRow], role: str) -> None:
    if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is None:
        connection.execute(_with_roles("CREATE ROLE {role}", role=role))
    rights: LiteralString = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
    connection.execute(_with_roles("ALTER ROLE {role} " + rights, role=role))


def _ensure_database(connection: psycopg.Connection[TupleRow], database: str) -> None:
    if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone() is None:
        connection.execute(_with_roles("CREATE DATABASE {database}", database=database))
    for statement in _DATABASE_RIGHTS.split(";"):
        connection.execute(_with_roles(statement, database=database))
