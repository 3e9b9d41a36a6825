"""The short form of `./run prove changes`."""

from tests.proofs.changes import prove_rules, prove_uploads
from tests.proofs.payroll_years import PLANTS
from tests.support.house import House

_SEED = 20_261_121


def test_every_planted_change_is_asked_about_and_nothing_else() -> None:
    """Years of four administrations with every kind of change: the questions are exactly those that were planted."""
    outcome = prove_rules(changes=150, seed=_SEED)

    assert set(outcome.planted) == {*PLANTS, "back"}
    assert outcome.unchanged > 10


def test_a_year_of_uploads_asks_what_was_planted(house: House) -> None:
    """The same over uploads on PostgreSQL: a year of twelve months, and of thirteen times four weeks."""
    outcome = prove_uploads(house, years=1, seed=_SEED, largest=16)

    assert outcome.runs == 49
    assert outcome.all_planted > 20
