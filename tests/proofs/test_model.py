"""The short form of `./run prove model`."""

from pathlib import Path

from tests.proofs.model_house import model_house
from tests.proofs.payment_model import missing_from, prove_sequences
from tests.support.postgres import TestDatabase

_SEED = 20_261_121


def test_whatever_happens_the_books_are_right(database: TestDatabase, tmp_path: Path) -> None:
    """Sequences of everything that people, payroll source and bank can do: each line is paid once, as approved."""
    with model_house(database, tmp_path) as house:
        outcome = prove_sequences(house, sequences=40, chosen_seed=_SEED)

    assert outcome.sequences >= 40
    # Some ends are far away; the long form reaches all of them.
    assert len(missing_from(outcome.reached)) < 15, missing_from(outcome.reached)
