"""A source document to a batch, through the real use case on real PostgreSQL: how time grows with lines, and memory.

Every document is taken in by a process of its own, so that its memory is its own (`main` here).
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from uuid import UUID

import sqlalchemy as sa

from app.core.database import transaction
from app.core.settings import load_settings
from app.main import build
from app.payments import fetching, receiving
from app.payments.context import Context
from app.payments.models import AdministrationLink
from app.payments.ports import SourceRun
from app.payments.readings import ReadingOutcome
from benchmarks.databases import BenchDatabase, database_on, running_client, running_postgres
from benchmarks.measuring import Figure, Goal, Scale, as_multiple, show_spread
from tests.payments.payroll_document import Block, Document, Line
from tests.payments.sepa_examples import iban
from tests.support.house import ACCOUNT_IBAN, add_house

LINEAR = Goal(at_most=1.2)
MEMORY_MB = 250
_ROOT = Path(__file__).parents[1]


def payroll(lines: int, *, day: str = "2026-11-25", cents: int = 200_000) -> bytes:
    """Return a payroll document of so many people, each with an account and an amount of their own."""
    rows = [
        Line(
            name=f"Medewerker, A. van {n}",
            iban=iban(n),
            amount=f"{(cents + n) // 100}.{(cents + n) % 100:02d}",
            text=f"Salaris november 2026 {n}",
            end_to_end_id=f"E2E-{n}",
        )
        for n in range(1, lines + 1)
    ]
    return Document(blocks=(Block(lines=rows, date=day, payer_iban=ACCOUNT_IBAN),)).xml().encode()


def measure(scale: Scale) -> list[Figure]:
    """Take in documents of 100 to 100,000 lines."""
    sizes = [scale.of(usual, small) for usual, small in ((100, 5), (1_000, 10), (10_000, 20), (100_000, 40))]
    with running_postgres() as postgres, tempfile.TemporaryDirectory(prefix="ls-bench-") as folder:
        database = database_on(postgres, "bench")
        administration_id = _set_up(database)
        seconds: dict[int, list[float]] = {size: [] for size in sizes}
        megabytes: dict[int, list[float]] = {size: [] for size in sizes}
        for n in range(scale.of(3, 1)):
            for size in sizes if n % 2 == 0 else reversed(sizes):
                document = Path(folder) / "document.xml"
                document.write_bytes(payroll(size))
                seen = _in_a_process(database, administration_id, document)
                seconds[size].append(seen["seconds"])
                megabytes[size].append(seen["megabytes"])
    show_spread({f"{size:,} lines, s": values for size, values in seconds.items()})
    show_spread({f"{size:,} lines, MB": values for size, values in megabytes.items()})
    return [*_growth(sizes, seconds), _memory(sizes[-1], median(megabytes[sizes[-1]]))]


def _growth(sizes: list[int], seconds: dict[int, list[float]]) -> list[Figure]:
    """Hold each size to the one below it, and the largest to the thousand as well: growth may not add up either."""
    pairs = [*zip(sizes[1:], sizes[:-1], strict=True), (sizes[-1], sizes[1])]
    return [
        as_multiple(
            f"document of {size:,} lines to batch, against {size // base} x {base:,}",
            "s",
            median(seconds[size]),
            median(seconds[base]) * size / base,
            LINEAR,
        )
        for size, base in pairs
    ]


def _memory(size: int, megabytes: float) -> Figure:
    name = f"document of {size:,} lines to batch, memory, against {MEMORY_MB} MB"
    return as_multiple(name, "MB", megabytes, float(MEMORY_MB), Goal(at_most=1))


def _set_up(database: BenchDatabase) -> str:
    with running_client(database) as (service, client):
        return add_house(service.context, client).administration_id


def _in_a_process(database: BenchDatabase, administration_id: str, document: Path) -> dict[str, float]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOONSTROOM_")}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.receiving", administration_id, str(document)],
        cwd=_ROOT,
        env={**environment, **database.environment()},
        stdout=subprocess.PIPE,
        check=True,
    )
    seen: dict[str, float] = json.loads(done.stdout)
    return seen


def main(administration_id: UUID, document: Path) -> None:
    """Take a document in and print seconds and megabytes; a small one before it, as warming up."""
    settings = load_settings(os.environ)
    assert settings.database_url is not None
    ctx = build(settings, database_url=settings.database_url.get_secret_value()).context
    _take_in(ctx, administration_id, lambda: payroll(3))
    before = _most_memory_kb()
    begun = time.perf_counter()
    _take_in(ctx, administration_id, document.read_bytes)
    seconds = time.perf_counter() - begun
    print(json.dumps({"seconds": seconds, "megabytes": max(1, _most_memory_kb() - before) / 1024}))
    ctx.close()


def _most_memory_kb() -> int:
    """Return the most memory that this process ever had.

    Not `ru_maxrss`: Linux counts in that what the process had been before it became this program, a copy of the one
    that started it, so that it hid the first few hundred megabytes.
    """
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def _take_in(ctx: Context, administration_id: UUID, answer: Callable[[], bytes]) -> None:
    """Do what follows a source's answer: keep the bytes, read them, make run lines and a batch of them.

    As when a run is fetched, nobody holds the answer any more once it is kept.
    """
    run_id = _new_run(ctx, administration_id)
    reading_id = fetching.store_raw(ctx, run_id, answer(), payment_date=None, extras={})
    with transaction(ctx.engine) as session:
        reading = fetching.open_reading(ctx, session, run_id, reading_id)
        outcome = receiving.take_in(ctx, session, run_id, reading)
    assert outcome is ReadingOutcome.BATCH_MADE


def _new_run(ctx: Context, administration_id: UUID) -> UUID:
    with transaction(ctx.engine) as session:
        number = session.execute(sa.text("SELECT count(*) + 1 FROM payroll_run")).scalar_one()
        seen = SourceRun(
            external_id="",
            number=number,
            year=2026,
            period_start=11,
            period_end=11,
            description="Salaris november 2026",
            made_at=ctx.now(),
            is_locked=True,
        )
        link = session.get_one(AdministrationLink, administration_id)
        run = fetching.new_run(ctx, link, seen, source_kind="upload", discovered_by="upload")
        session.add(run)
        return run.id


if __name__ == "__main__":
    main(UUID(sys.argv[1]), Path(sys.argv[2]))
