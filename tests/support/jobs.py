"""Works deferred jobs off in the test's own process, in order, as a worker would."""

import sqlalchemy as sa

from app.core.database import transaction
from app.payments.context import Context
from app.payments.tasks import work

_TAKE = sa.text(
    "DELETE FROM procrastinate_jobs WHERE id = (SELECT id FROM procrastinate_jobs WHERE status = 'todo' "
    "AND (CAST(:all AS boolean) OR scheduled_at IS NULL OR scheduled_at <= :now) ORDER BY id LIMIT 1) "
    "RETURNING task_name, args"
)


def work_off(ctx: Context, *, scheduled_too: bool = True, most: int = 200) -> list[str]:
    """Run waiting jobs until none is left; return their names. Without `scheduled_too`, only those that are due."""
    tasks = work(ctx).tasks
    done: list[str] = []
    for _ in range(most):
        with transaction(ctx.engine) as session:
            job = session.execute(_TAKE, {"all": scheduled_too, "now": ctx.now()}).first()
        if job is None:
            return done
        tasks[job.task_name](**job.args)
        done.append(job.task_name)
    message = f"still jobs left after {most}: {done[-5:]}"
    raise AssertionError(message)


def waiting_jobs(ctx: Context) -> list[tuple[str, object]]:
    """Return (task, moment it may start) of the jobs that wait."""
    with transaction(ctx.engine) as session:
        rows = session.execute(
            sa.text("SELECT task_name, scheduled_at FROM procrastinate_jobs WHERE status = 'todo' ORDER BY id")
        )
        return [(row.task_name, row.scheduled_at) for row in rows]
