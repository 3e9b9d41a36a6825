"""The short form of `./run prove races`."""

from pathlib import Path

from tests.proofs.model_setting_up import model_house
from tests.proofs.payment_races import RACES, prove_rounds
from tests.support.postgres import TestDatabase


def test_acts_that_exclude_each_other_have_one_outcome(database: TestDatabase, tmp_path: Path) -> None:
    """From many threads at once one act comes through, no limit is passed by a cent, and nobody gets an error."""
    with model_house(database, tmp_path) as house:
        won = prove_rounds(house, rounds=2, chosen_seed=20_261_121)

    assert won.keys() == RACES.keys()
