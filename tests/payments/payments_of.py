"""Builds runs to compare: people by name, account and amount."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from app.payments.comparing import Comparison, Question, compare
from app.payments.matching import Payment
from app.payments.payee_names import name_of
from app.payments.peaks import RunPeriod

Row = tuple[str, str, int]


def dutch_iban(number: int, *, bank: str = "INGB") -> str:
    """Return a well-formed Dutch account with this number."""
    account = f"{bank}{number:010d}"
    digits = "".join(str(int(character, 36)) for character in f"{account}NL00")
    return f"NL{98 - int(digits) % 97:02d}{account}"


def payments(rows: Iterable[Row], *, third_parties: Iterable[str] = ()) -> list[Payment]:
    """Return (name, account, cents) as the lines of a run."""
    apart = set(third_parties)
    return [
        Payment(
            id=UUID(int=position),
            position=position,
            name=name_of(name),
            iban=iban,
            amount_cents=cents,
            is_third_party=name in apart,
        )
        for position, (name, iban, cents) in enumerate(rows, start=1)
    ]


def compared(
    now: Iterable[Row],
    before: Iterable[Row],
    *,
    known: Iterable[tuple[str, str]] = (),
    month: int = 3,
    third_parties: Iterable[str] = (),
    **changes: Any,
) -> Comparison:
    """Compare two runs; `known` is what was paid longer ago."""
    apart = tuple(third_parties)
    return compare(
        Question(
            lines=payments(now, third_parties=apart),
            previous=payments(before, third_parties=apart),
            known=[(name_of(name), iban) for name, iban in known],
            **{"period": RunPeriod(year=2026, number=month), **changes},
        )
    )
