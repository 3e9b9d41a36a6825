"""The rules on IBANs against schwifty alone, which they use and say more than."""

from datetime import date

import schwifty

from app.payments.iban import eleven_test, iban_problem, known_bank, normalise
from benchmarks.measuring import Figure, Goal, Scale, as_speed, in_turn
from tests.payments.sepa_examples import iban

OF_SCHWIFTY = Goal(at_least=0.8)
_BANKS = ("ABNA", "INGB", "RABO", "TRIO", "BUNQ")
_PAID_ON = date(2026, 11, 25)


def measure(scale: Scale) -> list[Figure]:
    """Judge the accounts of a large payroll: Dutch ones, as payroll packages write them."""
    texts = [iban(n, _BANKS[n % len(_BANKS)]) for n in range(1, scale.of(20_000, 50) + 1)]
    seconds = in_turn(
        {
            "iban_problem": lambda: [iban_problem(text, on=_PAID_ON) for text in texts],
            "every rule": lambda: [_every_rule(text) for text in texts],
            "schwifty": lambda: [schwifty.IBAN(text) for text in texts],
        },
        rounds=scale.rounds,
    )
    name = f"{len(texts):,} IBANs"
    return [
        as_speed(f"{name}: what is wrong with them", "s", seconds["iban_problem"], seconds["schwifty"], OF_SCHWIFTY),
        as_speed(f"{name}: every rule", "s", seconds["every rule"], seconds["schwifty"], OF_SCHWIFTY),
    ]


def _every_rule(text: str) -> tuple[object, ...]:
    return normalise(text), iban_problem(text, on=_PAID_ON), known_bank(text), eleven_test(text)
