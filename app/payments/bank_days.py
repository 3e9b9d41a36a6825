"""Bank days: when banks settle SEPA credit transfers (T2, formerly TARGET2). Pure.

T2 is closed on Saturdays and Sundays, 1 January, Good Friday, Easter Monday, 1 May, 25 and 26 December, until further
notice (European Central Bank, long-term calendar of 14 December 2000). Dutch holidays such as King's Day, Ascension Day
and Whit Monday are bank days.
"""

from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

_SATURDAY, _SUNDAY = 5, 6
_DAY = timedelta(days=1)
_ENGLISH_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
_DUTCH_DAYS = "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag"
_ENGLISH_MONTHS = "January February March April May June July August September October November December"
_DUTCH_MONTHS = "januari februari maart april mei juni juli augustus september oktober november december"


class Closure(NamedTuple):
    """Why banks do not settle on a day: a stable code, and the day in words that fit after "on" and "op"."""

    code: str
    english: str
    dutch: str


_FIXED_CLOSURES = {
    (1, 1): Closure("new_years_day", "New Year's Day", "nieuwjaarsdag"),
    (5, 1): Closure("labour_day", "Labour Day", "de Dag van de Arbeid"),
    (12, 25): Closure("christmas_day", "Christmas Day", "eerste kerstdag"),
    (12, 26): Closure("boxing_day", "Boxing Day", "tweede kerstdag"),
}
_EASTER_CLOSURES = {
    -2: Closure("good_friday", "Good Friday", "Goede Vrijdag"),
    1: Closure("easter_monday", "Easter Monday", "tweede paasdag"),
}
_WEEKEND_CLOSURES = {
    _SATURDAY: Closure("saturday", "a Saturday", "zaterdag"),
    _SUNDAY: Closure("sunday", "a Sunday", "zondag"),
}


@lru_cache(maxsize=256)
def easter(year: int) -> date:
    """Return Easter Sunday of the Western churches, by the Gregorian rule as Meeus and Butcher published it."""
    golden = year % 19
    century, in_century = divmod(year, 100)
    skipped_leaps, century_rest = divmod(century, 4)
    correction = (century - (century + 8) // 25 + 1) // 3
    moon = (19 * golden + century - skipped_leaps - correction + 15) % 30
    leaps, year_rest = divmod(in_century, 4)
    to_sunday = (32 + 2 * century_rest + 2 * leaps - moon - year_rest) % 7
    late = (golden + 11 * moon + 22 * to_sunday) // 451
    month, day = divmod(moon + to_sunday - 7 * late + 114, 31)
    return date(year, month, day + 1)


def closed_because(day: date) -> Closure | None:
    """Return why banks do not settle on this day, None on a bank day. A holiday goes before the weekend it falls in."""
    holiday = _FIXED_CLOSURES.get((day.month, day.day)) or _EASTER_CLOSURES.get((day - easter(day.year)).days)
    return holiday or _WEEKEND_CLOSURES.get(day.weekday())


def is_bank_day(day: date) -> bool:
    """Tell whether banks settle SEPA credit transfers on this day."""
    return closed_because(day) is None


def next_bank_day(day: date) -> date:
    """Return the first bank day after this day."""
    day += _DAY
    while not is_bank_day(day):
        day += _DAY
    return day


def previous_bank_day(day: date) -> date:
    """Return the last bank day before this day."""
    day -= _DAY
    while not is_bank_day(day):
        day -= _DAY
    return day


def add_bank_days(day: date, count: int) -> date:
    """Return the day `count` bank days later, or earlier when negative; zero gives the day itself, open or closed."""
    for _ in range(abs(count)):
        day = next_bank_day(day) if count > 0 else previous_bank_day(day)
    return day


def nearest_bank_days(day: date) -> tuple[date, date]:
    """Return the last bank day before and the first bank day after this day."""
    return previous_bank_day(day), next_bank_day(day)


def bank_days(first: date, last: date) -> list[date]:
    """Return the bank days from `first` up to and including `last`."""
    return [day for offset in range((last - first).days + 1) if is_bank_day(day := first + timedelta(days=offset))]


def in_english(day: date) -> str:
    """Return a day as people read it: `Friday 25 December 2026`."""
    return _in_words(day, _ENGLISH_DAYS, _ENGLISH_MONTHS)


def in_dutch(day: date) -> str:
    """Return a day as people in the Netherlands read it: `vrijdag 25 december 2026`."""
    return _in_words(day, _DUTCH_DAYS, _DUTCH_MONTHS)


def _in_words(day: date, days: str, months: str) -> str:
    return f"{days.split()[day.weekday()]} {day.day} {months.split()[day.month - 1]} {day.year}"
