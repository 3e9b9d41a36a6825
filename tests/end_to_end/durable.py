"""A PostgreSQL of one test alone that keeps what it committed, watched as the service watches its embedded one."""

import fcntl
import os
import random
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from app.core.embedded import APP_ROLE, OWNER_ROLE, EmbeddedPostgres, EmbeddedPostgresError, bootstrap_roles
from app.core.migrating import migrate
from app.core.postgres_programs import run_program, runs_postgres, system_account
from tests.end_to_end.town import until
from tests.support.postgres import TestDatabase

_DATABASE = "loonstroom"
_BACKENDS = "SELECT pid FROM pg_stat_activity WHERE usename = 'loonstroom_app'"


@dataclass(frozen=True, kw_only=True)
class DurablePostgres:
    """The server and the database in it. `change.lock` in its folder keeps the watchdog from starting it again."""

    folder: Path
    server: EmbeddedPostgres
    database: TestDatabase

    def kill(self, while_down: Callable[[], None]) -> None:
        """Kill the server with SIGKILL; look while it is down, before the watchdog may start it again."""
        with self._nobody_starts_it():
            postmaster = self.server.postmaster_pid
            os.kill(postmaster, signal.SIGKILL)
            until(lambda: not runs_postgres(postmaster), "PostgreSQL to be dead")
            while_down()

    def kill_at_once(self) -> None:
        """Kill the server with SIGKILL, also when it is dead already; the watchdog starts it again."""
        with suppress(EmbeddedPostgresError, ProcessLookupError):
            os.kill(self.server.postmaster_pid, signal.SIGKILL)

    def kill_a_backend(self, chance: random.Random) -> None:
        """Kill one of the service's own connections inside PostgreSQL, which then starts all of itself anew."""
        engine = sa.create_engine(self.database.superuser_url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            backends = connection.execute(sa.text(_BACKENDS)).scalars().all()
        engine.dispose()
        if backends:
            os.kill(chance.choice(backends), signal.SIGKILL)

    def restart(self) -> None:
        """Restart it in order, as `pg_ctl restart -m fast` does under a service that is at work."""
        cluster, log = str(self.folder / "cluster"), str(self.folder / "postgres.log")
        account = system_account() if os.geteuid() == 0 else None
        with self._nobody_starts_it():
            run_program("pg_ctl", "restart", "-D", cluster, "-l", log, "-m", "fast", "-w", "-t", "60", account=account)

    @contextmanager
    def _nobody_starts_it(self) -> Iterator[None]:
        with (self.folder / "change.lock").open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@contextmanager
def durable_postgres(folder: Path | None = None) -> Iterator[DurablePostgres]:
    """Give a migrated database on a server of its own, in this folder or a new one."""
    # Not tmp_path: pytest takes the rights of others away from its parent, which stops PostgreSQL's user.
    with tempfile.TemporaryDirectory(prefix="durable-") as name:
        where = folder or Path(name) / "postgres"
        with EmbeddedPostgres(where, watchdog=True) as server:
            bootstrap_roles(server.url(), database=_DATABASE)
            owner_url = server.url(role=OWNER_ROLE, database=_DATABASE)
            migrate(owner_url)
            database = TestDatabase(
                app_url=server.url(role=APP_ROLE, database=_DATABASE),
                owner_url=owner_url,
                superuser_url=server.url(database=_DATABASE),
            )
            yield DurablePostgres(folder=where, server=server, database=database)
