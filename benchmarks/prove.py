"""`./run prove NAME [--count N]`: the long proofs. The short versions of the same code are among the tests.

Prints progress and, on the last line, its figure; exit code 1 on the first counter-example, with the seed that
repeats it.
"""

import argparse
import random
import sys
from collections.abc import Callable, Sequence

from app.core.log import configure_logging
from benchmarks.prove_changes import changes
from benchmarks.prove_faults import faults
from benchmarks.prove_files import prove_files
from benchmarks.prove_hostile import hostile
from benchmarks.prove_kills import kills
from benchmarks.prove_model import model
from benchmarks.prove_races import races
from benchmarks.prove_tamper import tamper
from tests.support.postgres import remove_shared_folder, running_database


def tampering(count: int, seed: int) -> str:
    """Tamper with every record of a history of so many records, in every way, and find each."""
    run_id = f"prove{seed:x}"
    try:
        with running_database(run_id, "prove") as database:
            outcome = tamper(database, records=count, seed=seed)
    finally:
        remove_shared_folder(run_id)
    tried = sum(outcome.tried.values())
    return (
        f"{outcome.records} records, {tried} tamperings in {len(outcome.tried)} ways: all found, at the right place; "
        "the untouched history verifies"
    )


PROOFS: dict[str, tuple[Callable[[int, int], str], int]] = {
    "changes": (changes, 1_000),
    "faults": (faults, 100_000),
    "files": (prove_files, 10_000),
    "hostile": (hostile, 100_000),
    "kills": (kills, 200),
    "tamper": (tampering, 1_000),
    "model": (model, 2_000),
    "races": (races, 20),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one proof."""
    parser = argparse.ArgumentParser(prog="./run prove", description="The long proofs.")
    parser.add_argument("name", choices=sorted(PROOFS))
    parser.add_argument("--count", type=int, help="how often; each proof has its own default")
    parser.add_argument("--seed", type=int, help="repeats a run")
    options = parser.parse_args(arguments)
    proof, usual = PROOFS[options.name]
    seed = options.seed if options.seed is not None else random.SystemRandom().getrandbits(32)
    print(f"seed {seed}", flush=True)
    try:
        print(proof(options.count or usual, seed))
    except AssertionError as error:
        for line in (f"counter-example: {error}", *getattr(error, "__notes__", ()), f"repeat it with --seed {seed}"):
            print(line)
        return 1
    return 0


if __name__ == "__main__":
    configure_logging("ERROR")  # the service's own lines would bury the figures
    sys.exit(main())
