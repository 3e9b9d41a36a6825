from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import Invalid
from app.payments.bank_days import is_bank_day
from app.payments.pay_days import (
    PROPOSED_PAY_DAY_RULE,
    PayDayKind,
    PayDayRule,
    Roll,
    format_pay_day_rule,
    parse_pay_day_rule,
    pay_day,
    pay_day_of_period,
)

DAY, LAST, BEFORE_END, WEEKDAY = PayDayKind
THE_25TH = PayDayRule(kind=DAY, value=25)
FRIDAYS = PayDayRule(kind=WEEKDAY, value=5)

VALUES = {DAY: st.integers(1, 31), LAST: st.none(), BEFORE_END: st.integers(1, 15), WEEKDAY: st.integers(1, 5)}
RULES = st.sampled_from(PayDayKind).flatmap(
    lambda kind: st.builds(PayDayRule, kind=st.just(kind), value=VALUES[kind], roll=st.sampled_from(Roll))
)


# ---------------------------------------------------------------------------------------------------------------- rules


@settings(deadline=None)
@given(RULES)
def test_a_rule_survives_json(rule: PayDayRule):
    """What is stored is what is read back."""
    assert parse_pay_day_rule(format_pay_day_rule(rule)) == rule


def test_a_rule_in_json_is_plain():
    """Text, number and nothing else."""
    assert format_pay_day_rule(PROPOSED_PAY_DAY_RULE) == {"kind": "day_of_month", "value": 25, "roll": "previous"}


def test_value_and_roll_may_be_left_out():
    """The last bank day needs neither."""
    assert parse_pay_day_rule({"kind": "last_bank_day"}) == PayDayRule(kind=LAST, roll=Roll.PREVIOUS)


@pytest.mark.parametrize(
    ("document", "wrong"),
    [
        ({}, [("/kind", "unknown_kind")]),
        ({"kind": "fortnight"}, [("/kind", "unknown_kind")]),
        ({"kind": ["day_of_month"]}, [("/kind", "unknown_kind")]),
        ({"kind": "day_of_month"}, [("/value", "wrong_value")]),
        ({"kind": "day_of_month", "value": 0}, [("/value", "wrong_value")]),
        ({"kind": "day_of_month", "value": 32}, [("/value", "wrong_value")]),
        ({"kind": "day_of_month", "value": True}, [("/value", "wrong_value")]),
        ({"kind": "day_of_month", "value": "25"}, [("/value", "wrong_value")]),
        ({"kind": "day_of_month", "value": 25.0}, [("/value", "wrong_value")]),
        ({"kind": "last_bank_day", "value": 1}, [("/value", "wrong_value")]),
        ({"kind": "bank_days_before_month_end", "value": 0}, [("/value", "wrong_value")]),
        ({"kind": "bank_days_before_month_end", "value": 16}, [("/value", "wrong_value")]),
        ({"kind": "weekday_four_weekly", "value": 6}, [("/value", "wrong_value")]),
        ({"kind": "weekday_four_weekly", "value": 0}, [("/value", "wrong_value")]),
        ({"kind": "last_bank_day", "roll": "sideways"}, [("/roll", "unknown_roll")]),
        ({"kind": "last_bank_day", "roll": None}, [("/roll", "unknown_roll")]),
        ({"kind": "last_bank_day", "day": 3}, [("/day", "unknown_member")]),
        ({"kind": "day_of_month", "value": 99, "roll": "x"}, [("/value", "wrong_value"), ("/roll", "unknown_roll")]),
    ],
)
def test_a_wrong_rule_is_refused_with_every_mistake(document: dict[str, Any], wrong: list[tuple[str, str]]):
    """All mistakes at once, each with its place."""
    with pytest.raises(Invalid) as caught:
        parse_pay_day_rule(document)
    assert [(problem.pointer, problem.code) for problem in caught.value.errors] == wrong


def test_a_wrong_value_is_told_with_what_is_right():
    """The sentence gives the range of the kind."""
    with pytest.raises(Invalid) as caught:
        parse_pay_day_rule({"kind": "weekday_four_weekly", "value": 9})
    assert caught.value.errors[0].message == "This is a whole number from 1 to 5."


# -------------------------------------------------------------------------------------------------------------- a month


@pytest.mark.parametrize(
    ("rule", "month", "expected"),
    [
        (THE_25TH, (2026, 11), date(2026, 11, 25)),
        (THE_25TH, (2026, 12), date(2026, 12, 24)),
        (PayDayRule(kind=DAY, value=25, roll=Roll.NEXT), (2026, 12), date(2026, 12, 28)),
        (THE_25TH, (2026, 4), date(2026, 4, 24)),
        (PayDayRule(kind=DAY, value=31), (2026, 2), date(2026, 2, 27)),
        (PayDayRule(kind=DAY, value=31), (2028, 2), date(2028, 2, 29)),
        (PayDayRule(kind=DAY, value=31, roll=Roll.NEXT), (2026, 1), date(2026, 2, 2)),
        (PayDayRule(kind=DAY, value=1), (2027, 1), date(2026, 12, 31)),
        (PayDayRule(kind=LAST), (2026, 12), date(2026, 12, 31)),
        (PayDayRule(kind=LAST), (2026, 5), date(2026, 5, 29)),
        (PayDayRule(kind=LAST, roll=Roll.NEXT), (2026, 5), date(2026, 5, 29)),
        (PayDayRule(kind=BEFORE_END, value=1), (2026, 5), date(2026, 5, 28)),
        (PayDayRule(kind=BEFORE_END, value=3), (2026, 12), date(2026, 12, 28)),
        (PayDayRule(kind=BEFORE_END, value=4), (2026, 12), date(2026, 12, 24)),
        (FRIDAYS, (2026, 11), date(2026, 11, 27)),
        (FRIDAYS, (2026, 12), date(2026, 12, 24)),
        (PayDayRule(kind=WEEKDAY, value=1), (2026, 11), date(2026, 11, 30)),
    ],
)
def test_the_pay_day_of_a_month(rule: PayDayRule, month: tuple[int, int], expected: date):
    """By day, last bank day, bank days before the last one, or last weekday; rolled past closed days."""
    assert pay_day(rule, year=month[0], month=month[1]) == expected


@settings(deadline=None)
@given(RULES, st.integers(2000, 2100), st.integers(1, 12))
def test_a_pay_day_is_a_bank_day_in_or_next_to_its_month(rule: PayDayRule, year: int, month: int):
    """No rule lands on a closed day, and none strays further than the closed days around the month."""
    day = pay_day(rule, year=year, month=month)
    assert is_bank_day(day)
    assert abs((day - date(year, month, 15)).days) <= 22


# ------------------------------------------------------------------------------------------------------------- a period


@pytest.mark.parametrize(
    ("rule", "frequency", "period", "expected"),
    [
        (THE_25TH, "month", 4, date(2026, 4, 24)),
        (THE_25TH, None, 4, date(2026, 4, 24)),
        (THE_25TH, None, 12, date(2026, 12, 24)),
        (FRIDAYS, "four_weeks", 1, date(2026, 1, 23)),
        (FRIDAYS, "four_weeks", 4, date(2026, 4, 17)),
        (FRIDAYS, "four_weeks", 13, date(2026, 12, 24)),
        (FRIDAYS, None, 13, date(2026, 12, 24)),
        (FRIDAYS, "four_weeks", 14, date(2026, 12, 31)),
        (FRIDAYS, "week", 14, date(2026, 4, 2)),
        (FRIDAYS, None, 14, date(2026, 4, 2)),
        (FRIDAYS, "week", 53, date(2026, 12, 31)),
        (FRIDAYS, "month", 11, date(2026, 11, 27)),
        (THE_25TH, "four_weeks", 4, date(2026, 4, 24)),
        (THE_25TH, "week", 53, date(2026, 12, 24)),
        (THE_25TH, "week", 5, date(2026, 1, 23)),
        (THE_25TH, "week", 14, date(2026, 4, 24)),
        (THE_25TH, "week", 40, date(2026, 10, 23)),
        (PayDayRule(kind=LAST), "month", 5, date(2026, 5, 29)),
    ],
)
def test_the_pay_day_of_a_period(rule: PayDayRule, frequency: str | None, period: int, expected: date):
    """Weekday rules count in the last week of the period, others in the month in which most of that week falls."""
    assert pay_day_of_period(rule, year=2026, period=period, frequency=frequency) == expected


@pytest.mark.parametrize("year", [2000, 2199])
def test_the_first_and_last_year_have_pay_days(year: int):
    """Two centuries are enough, and both ends count."""
    day = pay_day_of_period(THE_25TH, year=year, period=1, frequency="month")
    assert day is not None
    assert day.year == year


@pytest.mark.parametrize(
    ("frequency", "year", "period"),
    [
        ("month", 2026, 0),
        ("month", 2026, -1),
        ("month", 2026, 13),
        ("four_weeks", 2026, 15),
        ("four_weeks", 2027, 14),
        ("week", 2026, 54),
        ("week", 2027, 53),
        (None, 2027, 53),
        ("quarter", 2026, 1),
        ("month", 0, 1),
        ("month", 1999, 1),
        ("month", 2200, 1),
        ("month", 10**9, 1),
    ],
)
def test_a_period_that_no_year_has_gives_no_day(frequency: str | None, year: int, period: int):
    """2026 has 53 weeks, 2027 has not; nonsense from a source is no crash."""
    assert pay_day_of_period(THE_25TH, year=year, period=period, frequency=frequency) is None


@settings(deadline=None)
@given(RULES, st.integers(-5, 3000), st.integers(-5, 60), st.sampled_from(["month", "four_weeks", "week", "x", None]))
def test_any_period_gives_a_bank_day_or_none(rule: PayDayRule, year: int, period: int, frequency: str | None):
    """Whatever a source says about its period, there is an answer."""
    day = pay_day_of_period(rule, year=year, period=period, frequency=frequency)
    assert day is None or is_bank_day(day)
