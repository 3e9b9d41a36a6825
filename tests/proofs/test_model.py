"""The short form of `./run prove model`, and that the model notices what it is there to notice."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.proofs import model_bank as bank
from tests.proofs import model_payroll as payroll
from tests.proofs import model_people as people
from tests.proofs.model_checks import look
from tests.proofs.model_house import ModelHouse
from tests.proofs.model_memory import Model, pays
from tests.proofs.model_reached import missing_from
from tests.proofs.model_sequences import CounterExample, Plan, begin, run_sequence
from tests.proofs.model_setting_up import model_house
from tests.proofs.model_step import STEPS, Step, has_batches
from tests.support.postgres import TestDatabase

_SEED = 20_261_121
# Fewer steps than the proof takes; the ends that are far away are reached by the long form.
_SHORT = Plan(length=12)
_SEQUENCES, _SHARES = 200, 4
_NEAR = frozenset({"approve", "hand-out", "upload", "webhook", "line in_file"})


@pytest.fixture
def model(database: TestDatabase, tmp_path: Path) -> Iterator[ModelHouse]:
    """The employer that the model drives."""
    with model_house(database, tmp_path) as house:
        yield house


@pytest.mark.parametrize("share", range(_SHARES))
def test_whatever_happens_the_books_are_right(model: ModelHouse, share: int) -> None:
    """Sequences of everything that people, payroll source and bank can do: each line is paid once, as approved."""
    reached: Counter[str] = Counter()

    for seed in range(_SEED + share, _SEED + _SEQUENCES, _SHARES):
        run_sequence(model, seed, reached, _SHORT)

    assert reached["sequences"] == _SEQUENCES // _SHARES
    missing = missing_from(reached)
    assert not _NEAR & set(missing), missing


def test_a_seed_gives_the_same_sequence_again(model: ModelHouse) -> None:
    """What is told after a seed is told again after the same seed, to the last digest."""
    first = run_sequence(model, _SEED, Counter())
    run_sequence(model, _SEED + 1, Counter())

    again = run_sequence(model, _SEED, Counter())

    assert again.told == first.told
    assert [each.digest for each in again.now.batches.values()] == [each.digest for each in first.now.batches.values()]


def test_a_counter_example_is_short_and_names_its_seed(model: ModelHouse) -> None:
    """A sequence with one step that spoils the books comes down to what that step needs."""
    spoilt = Step(name="spoil", weight=100, when=has_batches, act=_spoil)
    plan = Plan(steps=STEPS | {"spoil": spoilt}, length=20)

    with pytest.raises(CounterExample, match=r"sums of|a pending batch says") as found:
        run_sequence(model, _SEED, Counter(), plan)

    told = str(found.value)
    assert "[spoil]" in told
    assert "--count 1 --seed 20261" in told
    assert told.count("[") <= 5, told


def _spoil(model: Model, _draw: Random) -> None:
    model.house.spoil("UPDATE payment_batch SET control_sum_cents = control_sum_cents + 1")


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


@pytest.mark.parametrize(("statement", "said"), _WRONGS)
def test_books_that_are_wrong_are_noticed(model: ModelHouse, statement: str, said: str) -> None:
    """What the service would never do, done in the database: the next look finds it."""
    handed_out = _handed_out(model)
    model.spoil(statement)

    with pytest.raises(AssertionError, match=said):
        look(handed_out)


def _handed_out(house: ModelHouse) -> Model:
    """Return a model whose first batch was approved and handed out."""
    model = Model(house=house, reached=Counter())
    begin(model, _SEED)
    people.set_limits(model, 0, {"per_batch": 1_500_000}, (0, 1))
    payroll.upload(model, 0, 1, pays([(2, 1), (4, 2)]))
    look(model)
    (batch_id,) = model.batches("pending")
    people.edit_date(model, batch_id, 1, "2026-11-20")
    look(model)
    people.approve(model, batch_id, (0, 1, 2), careful=True, without_source=True)
    look(model)
    bank.hand_out(model, batch_id, 0)
    look(model)
    assert model.memory.out, "nothing was handed out"
    return model


def test_a_database_that_takes_a_second_claim_is_noticed(model: ModelHouse) -> None:
    """The service looks before it claims; that the unique index is there as well is tried at every claim."""
    model.spoil("DROP INDEX uq_claim_live_or_spent")
    try:
        with pytest.raises(AssertionError, match="takes a second claim"):
            _handed_out(model)
    finally:
        model.spoil(
            "CREATE UNIQUE INDEX uq_claim_live_or_spent ON claim (obligation_id) WHERE state IN ('live', 'spent')"
        )
