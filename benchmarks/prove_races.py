"""`./run prove races`: acts that exclude each other, from 32 threads at once; one outcome each time."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests.proofs.model_setting_up import model_house
from tests.proofs.payment_races import RACES, THREADS, prove_rounds
from tests.support.postgres import remove_shared_folder, running_database


def races(count: int, seed: int) -> str:
    """Run so many rounds of every race."""
    begun = datetime.now(tz=UTC)
    run_id = f"races{seed:x}"
    try:
        with (
            tempfile.TemporaryDirectory(prefix="prove-") as folder,
            running_database(run_id, "prove") as database,
            model_house(database, Path(folder)) as house,
        ):
            for name, won in prove_rounds(house, rounds=count, chosen_seed=seed).items():
                print(f"{name}: {dict(won)}", flush=True)
    finally:
        remove_shared_folder(run_id)
    seconds = (datetime.now(tz=UTC) - begun).total_seconds()
    return f"{len(RACES)} races, {count} rounds of {THREADS} threads each: one outcome every time ({seconds:.0f} s)"
