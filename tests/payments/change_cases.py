"""Two runs for every finding about a change: what is asked, and what the runs look like."""

from typing import Any

from app.payments.peaks import RunPeriod
from tests.payments.payments_of import Row, dutch_iban

A, B, C, ABROAD = "NL42INGB2268352412", "NL52ABNA7650143244", "NL57ABNA7134384551", "BE68539007547034"
OWN = "NL39RABO0300065264"
ANNA: Row = ("Bakker, Anna", A, 250_000)
BRAM: Row = ("Bram de Vries", B, 310_000)
BAILIFF: Row = ("Gerechtsdeurwaarder Groot", C, 15_000)
CREW: list[Row] = [(f"Persoon {n}", dutch_iban(100 + n), 200_000 + n * 1_000) for n in range(30)]


def moved(rows: list[Row], count: int) -> list[Row]:
    """Return the rows with so many of them on another account."""
    return [
        (name, dutch_iban(900 + n, bank="RABO") if n < count else iban, cents)
        for n, (name, iban, cents) in enumerate(rows)
    ]


def times(rows: list[Row], percent: int) -> list[Row]:
    """Return the rows with every amount so many percent of what it was."""
    return [(name, iban, cents * percent // 100) for name, iban, cents in rows]


# The code of each finding about a change, and two runs (this one, the last one) that deserve it, with what differs.
CHANGES: list[tuple[str, tuple[list[Row], list[Row]], dict[str, Any]]] = [
    ("first_batch", ([ANNA], []), {"is_first": True}),
    ("account_changed", ([(ANNA[0], C, ANNA[2]), BRAM], [ANNA, BRAM]), {}),
    ("account_added", ([ANNA, (ANNA[0], C, 5_000)], [ANNA]), {}),
    ("account_changed_back", ([ANNA], [(ANNA[0], C, ANNA[2])]), {"known": [(ANNA[0], A)]}),
    ("third_party_changed", ([ANNA, (BAILIFF[0], B, 15_000)], [ANNA, BAILIFF]), {}),
    ("third_party_changed", ([ANNA, ("Gemeente Delft", C, 15_000)], [ANNA, BAILIFF]), {}),
    ("third_party_left_out", ([ANNA], [ANNA, BAILIFF]), {}),
    ("first_foreign_account", ([ANNA, ("Dirk Bos", ABROAD, 1_000)], [ANNA]), {}),
    ("own_account", ([ANNA, ("Dirk Bos", OWN, 1_000)], [ANNA]), {}),
    ("many_accounts_changed", (moved(CREW, 3), CREW), {}),
    ("new_payees", ([ANNA, BRAM], [ANNA]), {}),
    ("payees_gone", ([ANNA], [ANNA, BRAM]), {}),
    ("payee_name_changed", ([("Anna Smit-Bakker", A, 250_000)], [ANNA]), {}),
    ("amount_changed", ([(ANNA[0], A, 300_000), BRAM], [ANNA, BRAM]), {}),
    ("amount_jumped", ([(ANNA[0], A, 2_500_000), BRAM], [ANNA, BRAM]), {}),
    ("amount_jumped", ([(ANNA[0], A, 25_000), BRAM], [ANNA, BRAM]), {}),
    ("amounts_jumped", (times(CREW, 1_000), CREW), {}),
    ("peak_expected", (times(CREW, 170), CREW), {"period": RunPeriod(year=2026, number=5)}),
    ("peak_expected", (times(CREW, 60), CREW), {"period": RunPeriod(year=2026, number=1)}),
    ("whole_run_moved", (times(CREW, 170), CREW), {}),
]
