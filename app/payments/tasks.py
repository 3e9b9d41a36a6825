"""The jobs of the domain: names, and what runs under them. Arguments are ids."""

from uuid import UUID

from app.core.history_sealing import seal_due
from app.jobs.working import Work
from app.payments import accounts, delivering, erasing, expiring, fetching, restored, syncing, two_people
from app.payments.context import Context


def work(ctx: Context) -> Work:
    """Return what a worker of this service does."""

    def sync_runs(connection_id: str) -> None:
        syncing.sync_runs(ctx, UUID(connection_id))

    def fetch_run(run_id: str) -> None:
        fetching.fetch_run(ctx, UUID(run_id))

    def tick() -> None:
        """Look whether the database was set back, then do what time brings: polls, acts that waited a day, ends."""
        restored.watch(ctx)
        syncing.tick(ctx)
        two_people.apply_due(ctx)
        accounts.settle_raises(ctx)
        delivering.ask_about_unknown(ctx)
        expiring.expire(ctx)
        expiring.note_attention(ctx)
        erasing.erase_at_night(ctx)
        seal_due(ctx.engine, ctx.now())

    return Work(
        tasks={syncing.SYNC_RUNS: sync_runs, fetching.FETCH_RUN: fetch_run},
        tick=tick,
    )
