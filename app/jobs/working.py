"""The worker: runs deferred jobs, sweeps up after dead workers, and calls the tick.

Jobs run at least once: every task must be harmless when repeated. There are no engine locks, because the lock of a dead
worker would block the others; rows are locked instead.
"""

import asyncio
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import procrastinate
import structlog
from procrastinate import PsycopgConnector
from procrastinate.exceptions import ConnectorException, UniqueViolation
from procrastinate.jobs import DeleteJobCondition, Status

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
        await requeue_stalled(app)

    return app


async def requeue_stalled(app: procrastinate.App) -> None:
    """Give the jobs of workers that no longer beat back to the others.

    Where one with the same queueing lock waits already, that one does the work and the stalled one goes. It must not
    stop the sweep: the jobs behind it would wait as long as the other does, which may be an hour.
    """
    stalled = await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_AFTER_SECONDS)
    for job in stalled:
        _LOG.warning("job_stalled", task=job.task_name, job_id=job.id)
        try:
            await app.job_manager.retry_job(job)
        except UniqueViolation:
            await app.job_manager.finish_job(job, status=Status.FAILED, delete_job=True)


async def _run_worker(conninfo: str, work: Work, *, concurrency: int) -> None:
    """Work until cancelled. One pool of threads runs the jobs; the loop only hands them out."""
    app = build_app(conninfo, work)
    async with app.open_async():
        await app.run_worker_async(
            concurrency=concurrency,
            delete_jobs=DeleteJobCondition.SUCCESSFUL,
            install_signal_handlers=False,
            update_heartbeat_interval=HEARTBEAT_SECONDS,
            stalled_worker_timeout=STALLED_AFTER_SECONDS,
            fetch_job_polling_interval=1.0,
            shutdown_graceful_timeout=20.0,
        )


async def keep_working(conninfo: str, work: Work, *, concurrency: int) -> None:
    """Work until cancelled; start again, under a new number, when the database went away or took this one for dead."""
    while True:
        try:
            await _run_worker(conninfo, work, concurrency=concurrency)
            _LOG.warning("worker_stopped")  # the engine ends by itself when it cannot beat
        except (ConnectorException, OSError) as error:
            _LOG.warning("worker_lost_database", error=type(error).__name__)
        await asyncio.sleep(1.0)


async def work_alone(conninfo: str, work: Work, *, concurrency: int) -> None:
    """Work in a process of its own until SIGTERM or SIGINT; jobs under way are finished first."""
    working = asyncio.create_task(keep_working(conninfo, work, concurrency=concurrency))
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, working.cancel)
    with suppress(asyncio.CancelledError):
        await working
