"""Commands that run the service and look after it."""

import asyncio
import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import httpx
import sqlalchemy as sa
import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app.cli.keys import key_use
from app.cli.runtime import DATABASE, bring_up_to_date, built_service, database, settings
from app.core.embedded import OWNER_ROLE, EmbeddedPostgres, bootstrap_roles
from app.core.log import configure_logging
from app.core.migrating import Standing, check_models, standing
from app.core.migrating import migrate as migrate_database
from app.core.settings import Environment, Settings, SettingsError, load_settings, secret_files_open_to_others
from app.jobs.working import STALLED_AFTER_SECONDS, work_alone
from app.main import CONNECTIONS_WITH_FAULT, Service, create_app, create_server
from app.payments import restored

_LOG = structlog.get_logger(__name__)
_GIVES_WAY = 5  # nice: a third of the time of the service when both want all of a processor


@click.command()
@click.option("--host", help="Address to listen on; LOONSTROOM_HOST otherwise.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; LOONSTROOM_PORT otherwise.")
@click.option("--no-worker", is_flag=True, help="Only the web service; workers run elsewhere.")
def serve(host: str | None, port: int | None, *, no_worker: bool) -> None:
    """Run the service, with a worker beside it."""
    with built_service(watchdog=True) as service:
        configure_logging(service.settings.log_level)
        _look_at_counter(service)
        server = create_server(service, create_app(service, with_worker=not no_worker), host=host, port=port)
        _leave_to_stay()
        server.run()


def _leave_to_stay() -> None:
    """Have the garbage collector pass over what is there now, code mostly: it stays until the process ends.

    Going through all of it takes a quarter of a second, in which no request is answered.
    """
    gc.collect()
    gc.freeze()


@click.command()
@click.option(
    "--concurrency", type=click.IntRange(1, 64), help="Jobs at once; LOONSTROOM_WORKER_CONCURRENCY otherwise."
)
def worker(concurrency: int | None) -> None:
    """Run a worker alone, here or on another machine with the same database."""
    with built_service(watchdog=True) as service:
        configure_logging(service.settings.log_level)
        _look_at_counter(service)
        # What a worker does can wait a moment; a webhook, or a service that starts again beside it, cannot.
        os.nice(_GIVES_WAY)
        asyncio.run(
            work_alone(
                service.conninfo,
                service.work,
                concurrency=concurrency or service.settings.worker_concurrency,
            )
        )


def _look_at_counter(service: Service) -> None:
    """Put everything on hold before the first request when the database was set back."""
    try:
        restored.watch(service.context)
    except SQLAlchemyError as error:
        # No database yet, or one that is not migrated: readiness says so. Every hand-out looks again by itself.
        _LOG.warning("release_counter_not_compared", error=type(error).__name__)


@click.command()
def migrate() -> None:
    """Bring the database to the newest migration, as the role that owns it."""
    loaded = settings()
    with database(loaded) as where:
        if where.owner_url is None:
            message = "LOONSTROOM_DATABASE_OWNER_URL is not set; migrations run as the owner"
            raise SettingsError(message)
        sealed = bring_up_to_date(loaded, where.owner_url)
    click.echo("The database is at the newest migration.")
    if sealed:
        click.echo(f"Sealed {sealed} histories that were older than the history key.")


@click.command("migrations-check")
def migrations_check() -> None:
    """Check on an empty database that migrations go up, down and up, and give exactly what the models say."""
    with (
        tempfile.TemporaryDirectory(prefix="lsm-") as folder,
        EmbeddedPostgres(Path(folder) / "postgres", durable=False) as postgres,
    ):
        bootstrap_roles(postgres.url(), database=DATABASE)
        owner_url = postgres.url(role=OWNER_ROLE, database=DATABASE)
        for revision in ("head", "base", "head"):
            migrate_database(owner_url, revision=revision)
        check_models(owner_url)
    click.echo("Migrations are in order: up, down, up, and equal to the models.")


@click.command()
@click.option("--worker", "of_worker", is_flag=True, help="Ask for a live worker instead of the web service.")
def health(*, of_worker: bool) -> None:
    """Say whether this machine's service (or any worker) is healthy; exit code 1 when not."""
    loaded = load_settings(os.environ)
    if of_worker:
        with built_service() as service:
            found = _live_workers(service.context.engine)
        _report(good=found > 0, text=f"{found} live workers")
        return
    try:
        answer = httpx.get(f"http://127.0.0.1:{loaded.port}/readyz", timeout=5, trust_env=False)
    except httpx.HTTPError as error:
        _report(good=False, text=f"no answer on port {loaded.port} ({type(error).__name__})")
        return
    _report(good=answer.is_success, text=answer.text)


def _report(*, good: bool, text: str) -> None:
    click.echo(text, err=not good)
    if not good:
        sys.exit(1)


@click.command()
def doctor() -> None:
    """Look at settings, database, rights, history, holds, workers, connections and runs; say how to mend each fault."""
    loaded = settings()
    click.echo(f"settings      ok: environment {loaded.environment.value}, data in {loaded.data_dir}")
    for name in secret_files_open_to_others(os.environ):
        click.echo(f"secrets       WARNING: every user may read the file of {name}; chmod 600 it, or 700 its folder")
    faults = 0
    with built_service() as service:
        for name, fault in diagnoses(service):
            faults += fault is not None
            click.echo(f"{name:13} {'ok' if fault is None else 'FAULT: ' + fault}")
    if faults:
        sys.exit(1)


def diagnoses(service: Service) -> Iterator[tuple[str, str | None]]:
    """Give each thing that was looked at with what is wrong with it and how to mend that, None when nothing is."""
    engine = service.context.engine
    yield "address", _address_fault(service.settings)
    try:
        migrations = standing(engine)
    except SQLAlchemyError as error:
        yield "database", f"does not answer ({type(error).__name__}); check LOONSTROOM_DATABASE_URL"
        return
    yield "database", None
    yield "migrations", _MIGRATIONS[migrations]
    if migrations is Standing.OLDER:
        return
    yield "rights", rights_fault(engine)
    bare = _scalar(engine, "SELECT count(*) FROM history_head WHERE mac IS NULL")
    yield "history", f"{bare} have no mac and take no records; see docs/operations.md, The history" if bare else None
    yield "keys", _keys_fault(service)
    yield "payments", _holds_fault(engine)
    workers = _live_workers(engine)
    yield "workers", None if workers else "none is alive; start ./run serve or ./run worker"
    yield "connections", _connections_fault(engine)
    yield "runs", _runs_fault(engine)


_MIGRATIONS = {
    Standing.OLDER: "not at head; run ./run migrate",
    Standing.AT_HEAD: None,
    Standing.NEWER: "the database is of a newer version; start the new version here",
}


def _keys_fault(service: Service) -> str | None:
    """Say which keys are needed and not in the settings, or are others. Reads the first bytes of every sealed value."""
    use = key_use(service)
    if use.missing:
        return f"{', '.join(use.missing)} needed, and not in the settings; put back what was taken out"
    if use.not_opening:
        return f"{', '.join(use.not_opening)} does not open with the key of its name; ./run cli keys status"
    return None


def rights_fault(engine: Engine) -> str | None:
    """Say in words which right the service's role has that it must not have, None when there is none (ADR 0021)."""
    passes = (
        "SELECT count(*) FROM pg_roles WHERE (rolsuper OR rolbypassrls) AND pg_has_role(current_user, oid, 'MEMBER')"
    )
    if _scalar(engine, passes):
        return (
            "the service runs as a superuser, or as a role that passes row security; use the role loonstroom_app "
            "(docs/operations.md)"
        )
    owns = (
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND pg_has_role(current_user, tableowner, 'MEMBER')"
    )
    if _scalar(engine, owns):
        return "the service runs as the owner of the tables; use the role loonstroom_app (docs/operations.md)"
    off = (
        "SELECT count(*) FROM pg_policy JOIN pg_class ON pg_class.oid = polrelid "
        "WHERE NOT (relrowsecurity AND relforcerowsecurity)"
    )
    if _scalar(engine, off):
        return "row security is switched off for a table; find out who did that, and ALTER TABLE ... ENABLE it again"
    if _scalar(engine, "SELECT has_table_privilege('history_entry', 'UPDATE')"):
        return "the service may change history; migrate with the role loonstroom_owner"
    return None


def _address_fault(loaded: Settings) -> str | None:
    if loaded.environment is not Environment.PRODUCTION or loaded.public_url.startswith("https://"):
        return None
    return "LOONSTROOM_PUBLIC_URL is not https: Nmbrs would take no webhook address that begins with it"


def _holds_fault(engine: Engine) -> str | None:
    with engine.connect() as connection:
        query = "SELECT DISTINCT code FROM hold WHERE scope = 'system' AND lifted_at IS NULL ORDER BY code"
        codes = connection.execute(sa.text(query)).scalars().all()
    if not codes:
        return None
    return f"everything is on hold ({', '.join(codes)}): nothing is approved or handed out; ./run cli restore status"


def _connections_fault(engine: Engine) -> str | None:
    count = _scalar(engine, CONNECTIONS_WITH_FAULT)
    told = "have a fault or did not pass their check; look at GET /v1/connections, then POST .../check"
    return f"{count} {told}" if count else None


def _runs_fault(engine: Engine) -> str | None:
    count = _scalar(engine, "SELECT count(*) FROM payroll_run WHERE state IN ('failed', 'doubtful')")
    return f"{count} need a person; look at GET /v1/payroll-runs" if count else None


def _live_workers(engine: Engine) -> int:
    query = "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - make_interval(secs => :seconds)"
    return _scalar(engine, query, seconds=STALLED_AFTER_SECONDS)


def _scalar(engine: Engine, query: str, **values: float) -> int:
    with engine.connect() as connection:
        return int(connection.execute(sa.text(query), values).scalar_one())


COMMANDS = (serve, worker, migrate, migrations_check, health, doctor)
