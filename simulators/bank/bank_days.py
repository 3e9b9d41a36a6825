"""The days on which T2 settles (European Central Bank, long-term calendar)."""

from datetime import date, timedelta
from typing import Final

_FIXED_CLOSINGS: Final = frozenset({(1, 1), (5, 1), (12, 25), (12, 26)})
_SATURDAY: Final = 5


def is_bank_day(day: date) -> bool:
    """Whether banks settle: no weekend, 1 January, Good Friday, Easter Monday, 1 May, 25 or 26 December."""
    if day.weekday() >= _SATURDAY or (day.month, day.day) in _FIXED_CLOSINGS:
        return False
    return day - _easter(day.year) not in {timedelta(days=-2), timedelta(days=1)}


def _easter(year: int) -> date:
    """Easter Sunday by Gauss's rule, with his two exceptions."""
    century = year // 100
    moon = (15 + century - (13 + 8 * century) // 25 - century // 4) % 30
    sunday = (4 + century - century // 4) % 7
    full_moon = (19 * (year % 19) + moon) % 30
    wait = (2 * (year % 4) + 4 * (year % 7) + 6 * full_moon + sunday) % 7
    is_late = full_moon == 29 or (full_moon == 28 and (11 * moon + 11) % 30 < 19)  # noqa: PLR2004 - Gauss's figures
    days = full_moon + wait - (7 if is_late and wait == 6 else 0)  # noqa: PLR2004 - as above
    return date(year, 3, 22) + timedelta(days=days)
