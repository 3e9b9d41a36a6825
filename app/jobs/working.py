"""The worker: runs deferred jobs, sweeps up after dead workers, and calls the tick.

Jobs run at least once: every task must be harmless when repeated. There are no engine locks, because the lock of a dead
worker would block the others; rows are locked instead.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import procrastinate
import structlog
from procrastinate import PsycopgConnector
from procrastinate.jobs import DeleteJobCondition

Task = Callable[..., None]

HEARTBEAT_SECONDS = 2.0
STALLED_AFTER_SECONDS = 10.0
_EVERY_FIVE_SECONDS = "* * * * * */5"
_LOG = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a worker does: tasks by name, and a tick that runs every five seconds on one of the workers."""

    tasks: Mapping[str, Task]
    tick: Callable[[], None]


def build_app(conninfo: str, work: Work) -> procrastinate.App:
    """Return the engine's app with every task registered."""
    app = procrastinate.App(connector=PsycopgConnector(conninfo=conninfo, min_size=1, max_size=8))
    for name, task in work.tasks.items():
        app.task(name=name, retry=procrastinate.RetryStrategy(max_attempts=20, wait=1, linear_wait=2))(task)

    @app.periodic(cron=_EVERY_FIVE_SECONDS)
    @app.task(name="tick", queueing_lock="tick")
    def tick(timestamp: int) -> None:  # noqa: ARG001 - the engine gives it
        work.tick()

    @app.periodic(cron=_EVERY_FIVE_SECONDS)
    @app.task(name="sweep", queueing_lock="sweep")
    async def sweep(timestamp: int) -> None:  # noqa: ARG001 - the engine gives it
        await _requeue_stalled(app)

    return app


async def _requeue_stalled(app: procrastinate.App) -> None:
    """Give the jobs of workers that no longer beat back to the others."""
    stalled = await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_AFTER_SECONDS)
    for job in stalled:
        _LOG.warning("job_stalled", task=job.task_name, job_id=job.id)
        await app.job_manager.retry_job(job)


async def run_worker(conninfo: str, work: Work, *, concurrency: int, install_signal_handlers: bool) -> None:
    """Work until cancelled. One pool of threads runs the jobs; the loop only hands them out."""
    app = build_app(conninfo, work)
    async with app.open_async():
        await app.run_worker_async(
            concurrency=concurrency,
            delete_jobs=DeleteJobCondition.SUCCESSFUL,
            install_signal_handlers=install_signal_handlers,
            update_heartbeat_interval=HEARTBEAT_SECONDS,
            stalled_worker_timeout=STALLED_AFTER_SECONDS,
            fetch_job_polling_interval=1.0,
            shutdown_graceful_timeout=20.0,
        )


async def keep_working(conninfo: str, work: Work, *, concurrency: int) -> None:
    """Work beside a web service: start again when the database went away, until cancelled."""
    while True:
        try:
            await run_worker(conninfo, work, concurrency=concurrency, install_signal_handlers=False)
        except (procrastinate.exceptions.ConnectorException, OSError) as error:
            _LOG.warning("worker_lost_database", error=type(error).__name__)
        await asyncio.sleep(1.0)
