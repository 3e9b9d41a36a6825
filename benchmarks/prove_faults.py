"""`./run prove faults`: every fault of an answer, and the answer cut off at every byte; never a wrong batch.

The count is how many cuts are made; the usual one is more than an answer has bytes, so that none is left out.
"""

from tests.proofs.faulty_source import answers_of_others, cut_everywhere, fault_house, refused_connections
from tests.proofs.source_faults import CASES
from tests.support.postgres import remove_shared_folder, running_database


def _say(line: str) -> None:
    print(line, flush=True)


def faults(count: int, seed: int) -> str:
    """Prove every case, then make so many cuts; return the figures. Nothing is left to chance: the seed is a name."""
    run_id = f"faults{seed:x}"
    try:
        with running_database(run_id, "prove") as database, fault_house(database) as house:
            for case in (*CASES, *answers_of_others(house)):
                house.prove(case)
            refused_connections(house)
            outcomes = ", ".join(f"{outcome}: {times}" for outcome, times in sorted(house.outcomes.items()))
            kinds = house.outcomes.total() + 1
            _say(f"{kinds} kinds of faults ({outcomes}), each with its name, and the right batch afterwards")
            cuts = cut_everywhere(house, most=count, say=_say)
    finally:
        remove_shared_folder(run_id)
    return f"{kinds} kinds of faults, {cuts} cuts: never a wrong batch, and the right one each time afterwards"
