"""The short form of `./run prove model`."""

import time
from pathlib import Path

from tests.proofs.model_house import model_house
from tests.proofs.payment_model import prove_sequences
from tests.support.postgres import TestDatabase


def test_whatever_happens_the_books_are_right(database: TestDatabase, tmp_path: Path) -> None:
    """Sequences of everything that people, payroll source and bank can do: each line is paid once, as approved."""
    import os

    n = int(os.environ.get("N", "5"))
    with model_house(database, tmp_path) as house:
        began = time.time()
        outcome = prove_sequences(house, sequences=n, steps=30, chosen_seed=int(os.environ.get("SEED", "20261121")))
        print("secs", time.time() - began)
    for k, v in sorted(outcome.reached.items()):
        print(v, k)
    assert outcome.sequences >= n
