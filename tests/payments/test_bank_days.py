from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.payments.bank_days import (
    add_bank_days,
    bank_days,
    closed_because,
    easter,
    in_dutch,
    in_english,
    is_bank_day,
    nearest_bank_days,
    next_bank_day,
    previous_bank_day,
)

DAYS = st.dates(date(2000, 1, 1), date(2100, 12, 31))

# Easter Sundays as almanacs print them.
EASTER = {
    2000: (4, 23),
    2008: (3, 23),
    2019: (4, 21),
    2024: (3, 31),
    2025: (4, 20),
    2026: (4, 5),
    2027: (3, 28),
    2028: (4, 16),
    2029: (4, 1),
    2030: (4, 21),
    2031: (4, 13),
    2032: (3, 28),
    2033: (4, 17),
    2034: (4, 9),
    2035: (3, 25),
    2036: (4, 13),
    2038: (4, 25),
    2049: (4, 18),
    2076: (4, 19),
    2100: (3, 28),
    2200: (4, 6),
    2285: (3, 22),
    2299: (4, 16),
}

# Closed days from Monday to Friday, 2026 to 2036, as they fall in the calendar.
CLOSED_WEEKDAYS = {
    2026: ["01-01", "04-03", "04-06", "05-01", "12-25"],
    2027: ["01-01", "03-26", "03-29"],
    2028: ["04-14", "04-17", "05-01", "12-25", "12-26"],
    2029: ["01-01", "03-30", "04-02", "05-01", "12-25", "12-26"],
    2030: ["01-01", "04-19", "04-22", "05-01", "12-25", "12-26"],
    2031: ["01-01", "04-11", "04-14", "05-01", "12-25", "12-26"],
    2032: ["01-01", "03-26", "03-29"],
    2033: ["04-15", "04-18", "12-26"],
    2034: ["04-07", "04-10", "05-01", "12-25", "12-26"],
    2035: ["01-01", "03-23", "03-26", "05-01", "12-25", "12-26"],
    2036: ["01-01", "04-11", "04-14", "05-01", "12-25", "12-26"],
}


@pytest.mark.parametrize("year", EASTER)
def test_easter_is_where_almanacs_have_it(year: int):
    """Also in the years where simple rules go wrong."""
    assert easter(year) == date(year, *EASTER[year])


@pytest.mark.parametrize("year", CLOSED_WEEKDAYS)
def test_the_closed_weekdays_of_a_year_are_these_and_no_others(year: int):
    """Six holidays, less those that fall in a weekend."""
    days = (date(year, 1, 1) + timedelta(days=number) for number in range(366))
    closed = [day.strftime("%m-%d") for day in days if day.year == year and day.weekday() < 5 and not is_bank_day(day)]
    assert closed == CLOSED_WEEKDAYS[year]


@pytest.mark.parametrize(
    ("day", "code", "dutch"),
    [
        (date(2026, 1, 1), "new_years_day", "nieuwjaarsdag"),
        (date(2027, 3, 26), "good_friday", "Goede Vrijdag"),
        (date(2027, 3, 28), "sunday", "zondag"),
        (date(2027, 3, 29), "easter_monday", "tweede paasdag"),
        (date(2026, 5, 1), "labour_day", "de Dag van de Arbeid"),
        (date(2026, 12, 25), "christmas_day", "eerste kerstdag"),
        (date(2026, 12, 26), "boxing_day", "tweede kerstdag"),
        (date(2026, 11, 21), "saturday", "zaterdag"),
        (date(2026, 11, 22), "sunday", "zondag"),
    ],
)
def test_a_closed_day_says_why(day: date, code: str, dutch: str):
    """A holiday goes before the weekend that it falls in."""
    closure = closed_because(day)
    assert closure is not None
    assert (closure.code, closure.dutch) == (code, dutch)
    assert not is_bank_day(day)


@pytest.mark.parametrize(
    "day",
    [
        date(2026, 4, 27),  # King's Day
        date(2026, 5, 5),  # Liberation Day
        date(2026, 5, 14),  # Ascension Day
        date(2026, 5, 25),  # Whit Monday
        date(2026, 12, 24),
        date(2026, 12, 31),
        date(2028, 2, 29),
    ],
)
def test_dutch_holidays_are_bank_days(day: date):
    """Banks settle while shops are closed."""
    assert closed_because(day) is None
    assert is_bank_day(day)


@pytest.mark.parametrize(
    ("day", "before", "after"),
    [
        (date(2026, 12, 25), date(2026, 12, 24), date(2026, 12, 28)),
        (date(2027, 3, 26), date(2027, 3, 25), date(2027, 3, 30)),
        (date(2027, 3, 29), date(2027, 3, 25), date(2027, 3, 30)),
        (date(2026, 11, 21), date(2026, 11, 20), date(2026, 11, 23)),
        (date(2026, 11, 24), date(2026, 11, 23), date(2026, 11, 25)),
        (date(2027, 1, 1), date(2026, 12, 31), date(2027, 1, 4)),
    ],
)
def test_the_nearest_bank_days_are_on_both_sides(day: date, before: date, after: date):
    """Never the day itself."""
    assert nearest_bank_days(day) == (before, after)
    assert (previous_bank_day(day), next_bank_day(day)) == (before, after)


@pytest.mark.parametrize(
    ("day", "count", "expected"),
    [
        (date(2026, 12, 23), 3, date(2026, 12, 29)),
        (date(2026, 12, 29), -3, date(2026, 12, 23)),
        (date(2026, 11, 21), 1, date(2026, 11, 23)),
        (date(2026, 11, 21), -1, date(2026, 11, 20)),
        (date(2026, 11, 21), 0, date(2026, 11, 21)),
        (date(2026, 11, 24), 0, date(2026, 11, 24)),
    ],
)
def test_bank_days_are_counted(day: date, count: int, expected: date):
    """Closed days on the way do not count."""
    assert add_bank_days(day, count) == expected


def test_the_bank_days_of_a_stretch_are_listed():
    """Both ends are included."""
    assert bank_days(date(2026, 12, 24), date(2026, 12, 28)) == [date(2026, 12, 24), date(2026, 12, 28)]
    assert bank_days(date(2026, 12, 25), date(2026, 12, 26)) == []
    assert bank_days(date(2026, 12, 25), date(2026, 12, 24)) == []


@settings(deadline=None)
@given(DAYS, st.integers(0, 30))
def test_counting_there_and_back_ends_on_the_same_bank_day(day: date, count: int):
    """Forward and backward are each other's reverse, and never more than five days are closed in a row."""
    start = next_bank_day(day)
    assert 1 <= (start - day).days <= 5
    assert add_bank_days(add_bank_days(start, count), -count) == start
    assert len(bank_days(start, add_bank_days(start, count))) == count + 1


def test_days_are_written_in_words():
    """Nobody has to know which of 11 and 12 is the month."""
    assert in_english(date(2026, 12, 25)) == "Friday 25 December 2026"
    assert in_dutch(date(2026, 12, 25)) == "vrijdag 25 december 2026"
    assert in_dutch(date(2027, 3, 1)) == "maandag 1 maart 2027"
    assert in_english(date(2027, 8, 8)) == "Sunday 8 August 2027"
