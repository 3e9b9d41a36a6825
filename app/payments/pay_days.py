"""Pay-day rules of an administration: what the pay day of a month or of a payroll period is. Pure."""

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from app.core.errors import Invalid, Problem
from app.payments.bank_days import add_bank_days, is_bank_day, next_bank_day, previous_bank_day

_WEEKS_IN_PERIOD = 4
_MONTHS = 12
# Thirteen times four weeks; a year of 53 weeks can have the last week as a period of its own.
_FOUR_WEEK_PERIODS = 13
_YEARS = range(2000, 2200)
_THURSDAY = 4


class PayDayKind(StrEnum):
    """How the pay day of a period is found."""

    DAY_OF_MONTH = "day_of_month"
    LAST_BANK_DAY = "last_bank_day"
    BANK_DAYS_BEFORE_MONTH_END = "bank_days_before_month_end"
    WEEKDAY_FOUR_WEEKLY = "weekday_four_weekly"


class Roll(StrEnum):
    """Where a pay day goes when banks are closed on it."""

    PREVIOUS = "previous"
    NEXT = "next"


# What `value` may be for each kind. Weekdays are 1 (Monday) to 5: a weekend would always roll.
_VALUES = {
    PayDayKind.DAY_OF_MONTH: range(1, 32),
    PayDayKind.BANK_DAYS_BEFORE_MONTH_END: range(1, 16),
    PayDayKind.WEEKDAY_FOUR_WEEKLY: range(1, 6),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PayDayRule:
    """When an administration pays: made from input by `parse_pay_day_rule`, which checks it.

    `value` is the day of the month (a shorter month: its last day), the number of bank days before the last bank day of
    the month, or the weekday (1 Monday to 5 Friday) in the last week of the period; None for the last bank day.
    """

    kind: PayDayKind
    value: int | None = None
    roll: Roll = Roll.PREVIOUS


# What most Dutch employers do; proposed when an administration is linked.
PROPOSED_PAY_DAY_RULE = PayDayRule(kind=PayDayKind.DAY_OF_MONTH, value=25)


def parse_pay_day_rule(document: Mapping[str, Any], *, at: str = "") -> PayDayRule:
    """Return the rule in a JSON object `{"kind", "value", "roll"}`; `Invalid` names each member that is wrong.

    `at` is the JSON pointer to the object in what was sent.
    """
    kind = next((kind for kind in PayDayKind if kind == document.get("kind")), None)
    roll = next((roll for roll in Roll if roll == document.get("roll", Roll.PREVIOUS)), None)
    value = document.get("value")
    problems = [
        _problem(at, name, "unknown_member", "is not known here")
        for name in document.keys() - {"kind", "value", "roll"}
    ]
    if kind is None:
        problems.append(_problem(at, "kind", "unknown_kind", f"is one of {', '.join(PayDayKind)}"))
    elif not _fits(kind, value):
        problems.append(_problem(at, "value", "wrong_value", _value_in_words(kind)))
    if roll is None:
        problems.append(_problem(at, "roll", "unknown_roll", f"is one of {', '.join(Roll)}"))
    if kind is None or roll is None or problems:
        raise Invalid("The pay-day rule is not valid.", errors=problems)
    return PayDayRule(kind=kind, value=value, roll=roll)


def _fits(kind: PayDayKind, value: object) -> bool:
    allowed = _VALUES.get(kind)
    # True is an int in Python, and would pass for 1.
    return value is None if allowed is None else type(value) is int and value in allowed


def _value_in_words(kind: PayDayKind) -> str:
    allowed = _VALUES.get(kind)
    return "is left out for this kind" if allowed is None else f"is a whole number from {allowed[0]} to {allowed[-1]}"


def _problem(at: str, member: str, code: str, message: str) -> Problem:
    return Problem(pointer=f"{at}/{member}", code=code, message=f"This {message}.")


def format_pay_day_rule(rule: PayDayRule) -> dict[str, str | int | None]:
    """Return the rule as a JSON object; `parse_pay_day_rule` reads it back."""
    return {"kind": rule.kind.value, "value": rule.value, "roll": rule.roll.value}


def pay_day(rule: PayDayRule, *, year: int, month: int) -> date:
    """Return the pay day of a month, rolled to a bank day. A weekday rule gives the last such weekday of the month."""
    last = date(year, month, calendar.monthrange(year, month)[1])
    match rule.kind, rule.value:
        case PayDayKind.DAY_OF_MONTH, int(day):
            return _rolled(last.replace(day=min(day, last.day)), rule.roll)
        case PayDayKind.BANK_DAYS_BEFORE_MONTH_END, int(count):
            return add_bank_days(_rolled(last, Roll.PREVIOUS), -count)
        case PayDayKind.WEEKDAY_FOUR_WEEKLY, int(weekday):
            return _rolled(_weekday_until(last, weekday), rule.roll)
        case _:
            return _rolled(last, Roll.PREVIOUS)


def pay_day_of_period(rule: PayDayRule, *, year: int, period: int, frequency: str | None) -> date | None:
    """Return the pay day of a payroll period, None when it is no period of a year.

    `frequency` is `month`, `four_weeks` or `week`; without one, periods to 12 are months and 13 is four weeks. A rule
    by the month gives the pay day of the month in which the period ends.
    """
    last = _last_day_of_period(year, period, frequency or _frequency_of(period))
    if last is None:
        return None
    if rule.kind is PayDayKind.WEEKDAY_FOUR_WEEKLY and rule.value is not None:
        return _rolled(_weekday_until(last, rule.value), rule.roll)
    # A week belongs to the month, and the year, of its Thursday (ISO 8601).
    month_of = last if last.weekday() != calendar.SUNDAY else last - timedelta(days=7 - _THURSDAY)
    return pay_day(rule, year=month_of.year, month=month_of.month)


def _frequency_of(period: int) -> str:
    if period <= _MONTHS:
        return "month"
    return "four_weeks" if period == _FOUR_WEEK_PERIODS else "week"


def _last_day_of_period(year: int, period: int, frequency: str) -> date | None:
    if year not in _YEARS or period < 1:
        return None
    # 28 December is always in the last ISO week of its year.
    weeks = date(year, 12, 28).isocalendar().week
    match frequency:
        case "month" if period <= _MONTHS:
            return date(year, period, calendar.monthrange(year, period)[1])
        case "week" if period <= weeks:
            return date.fromisocalendar(year, period, 7)
        case "four_weeks" if period <= _FOUR_WEEK_PERIODS:
            return date.fromisocalendar(year, period * _WEEKS_IN_PERIOD, 7)
        case "four_weeks" if period == _FOUR_WEEK_PERIODS + 1 and weeks > _FOUR_WEEK_PERIODS * _WEEKS_IN_PERIOD:
            return date.fromisocalendar(year, weeks, 7)
        case _:
            return None


def _weekday_until(last: date, weekday: int) -> date:
    return last - timedelta(days=(last.isoweekday() - weekday) % 7)


def _rolled(day: date, roll: Roll) -> date:
    if is_bank_day(day):
        return day
    return previous_bank_day(day) if roll is Roll.PREVIOUS else next_bank_day(day)
