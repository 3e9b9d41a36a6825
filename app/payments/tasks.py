"""The jobs of the domain: names, and what runs under them. Arguments are ids."""

from collections.abc import Callable
from uuid import UUID

import structlog

from app.core.history_sealing import seal_due
from app.core.log import frames_of
from app.jobs.working import Work
from app.payments import accounts, delivering, erasing, expiring, fetching, restored, syncing, two_people
from app.payments.context import Context

_LOG = structlog.get_logger(__name__)


class TickIncomplete(RuntimeError):
    """Parts of the tick failed, named here; the log said of each which error it was. The others were done."""


def work(ctx: Context) -> Work:
    """Return what a worker of this service does."""

    def sync_runs(connection_id: str) -> None:
        syncing.sync_runs(ctx, UUID(connection_id))

    def fetch_run(run_id: str) -> None:
        fetching.fetch_run(ctx, UUID(run_id))

    def tick() -> None:
        """Look whether the database was set back, then do what time brings: polls, acts that waited a day, ends.

        Without that look nothing is done. Of what follows each part is done whatever became of those before it.
        """
        restored.watch(ctx)
        parts: dict[str, Callable[[], object]] = {
            "poll": lambda: syncing.tick(ctx),
            "proposals": lambda: two_people.apply_due(ctx),
            "raises": lambda: accounts.settle_raises(ctx),
            "unknown_deliveries": lambda: delivering.ask_about_unknown(ctx),
            "expiry": lambda: expiring.expire(ctx),
            "attention": lambda: expiring.note_attention(ctx),
            "erasing": lambda: erasing.erase_at_night(ctx),
            "sealing": lambda: seal_due(ctx.engine, ctx.now()),
        }
        failed = [name for name, part in parts.items() if not _is_done(name, part)]
        if failed:
            raise TickIncomplete(", ".join(failed))

    return Work(
        tasks={syncing.SYNC_RUNS: sync_runs, fetching.FETCH_RUN: fetch_run},
        tick=tick,
    )


def _is_done(name: str, part: Callable[[], object]) -> bool:
    """Say whether a part of the tick was done; of an error only the kind is told, its words may repeat what failed."""
    try:
        part()
    except Exception as error:  # noqa: BLE001 - whatever it is: the parts behind it are of other people
        _LOG.error("tick_part_failed", part=name, error=type(error).__name__, at=frames_of(error))
        return False
    return True
