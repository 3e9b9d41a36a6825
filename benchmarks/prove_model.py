"""`./run prove model`: all that people, payroll source and bank can do, in any order; the books are right each time."""

import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from tests.proofs.model_house import model_house
from tests.proofs.payment_model import STEPS, missing_from, prove_sequences
from tests.support.postgres import remove_shared_folder, running_database

# So many sequences share one machine run; a counter-example is shrunk within its share.
_SHARE = 50


def model(count: int, seed: int) -> str:
    """Run so many sequences."""
    begun = datetime.now(tz=UTC)
    reached: Counter[str] = Counter()
    run_id = f"model{seed:x}"
    try:
        with (
            tempfile.TemporaryDirectory(prefix="prove-") as folder,
            running_database(run_id, "prove") as database,
            model_house(database, Path(folder)) as house,
        ):
            done = 0
            for share in range(-(-count // _SHARE)):
                outcome = prove_sequences(house, sequences=min(_SHARE, count - done), chosen_seed=seed + share)
                reached += outcome.reached
                done += outcome.sequences
                seconds = (datetime.now(tz=UTC) - begun).total_seconds()
                print(f"{done} sequences of {STEPS} steps ({seconds:.0f} s)", flush=True)
    finally:
        remove_shared_folder(run_id)
    for what, times in sorted(reached.items()):
        print(f"  {times:6} {what}")
    missing = missing_from(reached) if count >= _SHARE else []
    assert not missing, f"the sequences never came to: {', '.join(missing)}"
    return f"{done} sequences of {STEPS} steps, {len(reached)} different acts and refusals: the books were right"
