"""The short form of `./run prove model`."""

from collections import Counter
from pathlib import Path

import pytest

from tests.proofs.model_house import ModelHouse, model_house
from tests.proofs.payment_model import PaymentMachine, missing_from, prove_sequences
from tests.support.postgres import TestDatabase

_SEED = 20_261_121
_NEAR = frozenset({"approve", "hand-out"})


def test_whatever_happens_the_books_are_right(database: TestDatabase, tmp_path: Path) -> None:
    """Sequences of everything that people, payroll source and bank can do: each line is paid once, as approved."""
    with model_house(database, tmp_path) as house:
        outcome = prove_sequences(house, sequences=12, chosen_seed=_SEED)

    assert outcome.sequences >= 12
    # Most ends are far away; the long form must reach all of them.
    missing = missing_from(outcome.reached)
    assert not _NEAR & set(missing), missing


# What nobody may do, done past the service, and what the model says of it.
_WRONGS = (
    ("UPDATE payment_batch SET revision = revision - 1", "a revision fell"),
    ("UPDATE payment_batch SET control_sum_cents = control_sum_cents + 1", "sums of"),
    ("UPDATE credit_transfer SET amount_cents = amount_cents + 1 WHERE position = 1", "sums of"),
    ("UPDATE claim SET amount_cents = amount_cents - 1", "claims of"),
    ("UPDATE claim SET state = 'released'", "claims of"),
    ("UPDATE payment_file SET content_sealed = decode('00', 'hex')", "other bytes"),
    ("UPDATE payment_file SET voided_at = now(), void_reason = 'recalled'", "without a file"),
    ("UPDATE payment_file SET handed_out_at = NULL", "hand-out was forgotten"),
    ("UPDATE credit_transfer SET status = 'paid_elsewhere' WHERE position = 1", "claims of"),
)


def test_books_that_are_wrong_are_noticed(database: TestDatabase, tmp_path: Path) -> None:
    """What the service would never do, done in the database: the next look finds it."""
    with model_house(database, tmp_path) as house:
        for statement, said in _WRONGS:
            machine = _handed_out(house)
            house.spoil(statement)
            with pytest.raises(AssertionError, match=said):
                machine.look()


def _handed_out(house: ModelHouse) -> PaymentMachine:
    """Return a machine whose first batch was approved and handed out."""

    class Machine(PaymentMachine):
        pass

    Machine.house, Machine.reached = house, Counter()
    machine = Machine()
    machine.set_up(tiers=0, first=0, second=0)
    machine.upload(who=0, number=1, rows=[(2, 1), (4, 2)], again=None)
    machine.edit(n=0, who=1, days=2, account=None)
    machine.go_on(n=0, who=0, far=1)
    assert machine.model.memory.out, "nothing was handed out"
    return machine
