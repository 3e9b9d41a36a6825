"""The first page of batches and of history, at 1,000 and at 1,000,000 batches.

Two databases on one PostgreSQL, filled by SQL from one batch that was made the real way; each batch has a line, a run
of its own and two records of history. Nothing is durable here: only reading is measured.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack

import sqlalchemy as sa

from app.core.embedded import EmbeddedPostgres
from benchmarks.databases import database_on, running_client, running_postgres
from benchmarks.measuring import Figure, Goal, Scale, as_multiple, in_turn
from tests.support.house import Person, add_house

TWICE = Goal(at_most=2)
CALLS = 20
# Each statement copies the one row that was made the real way, but for these columns; `n` counts the copies.
_COPIES = (
    ("payroll_run", "TRUE", 1, {"id": "md5('run' || n)", "number": "n"}),
    (
        "payment_batch",
        "TRUE",
        1,
        {
            "id": "md5('batch' || n)",
            "run_id": "md5('run' || n)",
            "status": "'executed'::text",
            "created_at": "original.created_at - n * interval '1 minute'",
        },
    ),
    (
        "credit_transfer",
        "original.position = 1",
        1,
        {"id": "md5('line' || n)", "batch_id": "md5('batch' || n)", "status": "'executed'::text"},
    ),
    (
        "history_entry",
        "original.event = 'batch.made'",
        2,
        {
            "sequence": "1000 + n",
            "payment_batch_id": "md5('batch' || n / 2)",
            "occurred_at": "original.occurred_at + n * interval '1 second'",
        },
    ),
)


def _copying(table: str, which: str, changes: Mapping[str, str]) -> sa.TextClause:
    """Return the statement that copies the one row `which` of a table so many times with these changes."""
    changed = ", ".join(f"'{column}', {expression}" for column, expression in changes.items())
    return sa.text(
        f"INSERT INTO {table} SELECT copy.* FROM {table} original, generate_series(1, :copies) n, "  # noqa: S608 - ours
        f"LATERAL jsonb_populate_record(original, jsonb_build_object({changed})) copy WHERE {which}"
    )


def measure(scale: Scale) -> list[Figure]:
    """Measure both pages on a small and on a large installation."""
    few, many = scale.of(1_000, 10), scale.of(1_000_000, 40)
    with running_postgres(durable=False) as postgres, ExitStack() as stack:
        bosses = {name: _installation(postgres, stack, name, count) for name, count in (("few", few), ("many", many))}
        figures = []
        for what, path in (("batches", "/v1/payment-batches"), ("history", "/v1/history")):
            seconds = in_turn(
                {f"{what}, {name}": _calls(boss, path, scale) for name, boss in bosses.items()},
                rounds=scale.rounds,
            )
            figures.append(
                as_multiple(
                    f"first page of {what} at {many:,} batches, against {few:,}",
                    "ms",
                    1_000 * seconds[f"{what}, many"] / scale.of(CALLS, 1),
                    1_000 * seconds[f"{what}, few"] / scale.of(CALLS, 1),
                    TWICE,
                )
            )
    return figures


def _calls(boss: Person, path: str, scale: Scale) -> Callable[[], None]:
    def call() -> None:
        for _ in range(scale.of(CALLS, 1)):
            answer = boss.get(path)
            assert answer.is_success, answer.text
            assert answer.json()

    return call


def _installation(postgres: EmbeddedPostgres, stack: ExitStack, name: str, batches: int) -> Person:
    """Fill a database with so many batches of one employer; return who looks at them."""
    database = database_on(postgres, name)
    service, client = stack.enter_context(running_client(database))
    house = add_house(service.context, client)
    house.uploaded_batch()
    engine = sa.create_engine(database.superuser_url, poolclass=sa.NullPool)
    with engine.begin() as superuser:
        superuser.execute(sa.text("SET session_replication_role = replica"))  # foreign keys are not checked row by row
        for table, which, each, changes in _COPIES:
            superuser.execute(_copying(table, which, changes), {"copies": each * batches})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as superuser:
        superuser.execute(sa.text("VACUUM ANALYZE"))
    return house.boss
