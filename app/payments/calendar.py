"""Which execution dates are possible, until when, and which one to propose. Pure.

Days are days in the Netherlands; moments are aware, and UTC when returned. The bank days themselves are in `bank_days`,
the pay-day rules in `pay_days`; both are offered here as well.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from app.core.clock import AMSTERDAM, amsterdam_date
from app.payments.bank_days import (
    Closure,
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
from app.payments.bank_profiles import BankProfile
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

__all__ = [
    "FAR_AHEAD_DAYS",
    "HAND_OUT_MARGIN",
    "PROPOSED_PAY_DAY_RULE",
    "Closure",
    "DateProblem",
    "PayDayKind",
    "PayDayRule",
    "ProposedDate",
    "Roll",
    "add_bank_days",
    "approve_before",
    "bank_days",
    "closed_because",
    "date_problem",
    "default_execution_date",
    "easter",
    "far_ahead",
    "first_possible_day",
    "format_pay_day_rule",
    "in_dutch",
    "in_english",
    "is_bank_day",
    "nearest_bank_days",
    "next_bank_day",
    "parse_pay_day_rule",
    "pay_day",
    "pay_day_of_period",
    "previous_bank_day",
    "release_before",
]

# Between the last approval and the bank's cut-off somebody still downloads the file, uploads it and signs.
HAND_OUT_MARGIN = timedelta(minutes=30)
# Pay is approved for the coming pay day; a date further ahead is more often a slip than a plan.
FAR_AHEAD_DAYS = 35

_DAY = timedelta(days=1)


def release_before(day: date, profile: BankProfile) -> datetime:
    """Return the moment (UTC) before which the bank must have the file to execute it on this day."""
    handed_in = add_bank_days(day, -profile.lead_bank_days)
    return datetime.combine(handed_in, profile.cut_off, tzinfo=AMSTERDAM).astimezone(UTC)


def approve_before(day: date, profile: BankProfile) -> datetime:
    """Return the moment (UTC) before which the last approval must be given for execution on this day."""
    return release_before(day, profile) - HAND_OUT_MARGIN


def first_possible_day(now: datetime, profile: BankProfile) -> date:
    """Return the first bank day for which a batch can still be approved now."""
    day = amsterdam_date(now)
    while not (is_bank_day(day) and now < approve_before(day, profile)):
        day += _DAY
    return day


def far_ahead(day: date, today: date) -> bool:
    """Tell whether the day is so far ahead that a person should look twice (a warning, no bar)."""
    return (day - today).days > FAR_AHEAD_DAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class DateProblem:
    """Why a batch cannot be executed on `day`, in English and Dutch.

    `code`: date_in_past, beyond_horizon, not_a_bank_day or cut_off_passed. `before` and `after` are the nearest bank
    days that are still possible, None where there is none on that side.
    """

    code: str
    day: date
    english: str
    dutch: str
    before: date | None
    after: date | None


def date_problem(day: date, *, now: datetime, profile: BankProfile) -> DateProblem | None:
    """Return why this execution date is not possible now at this bank, None when it is."""
    first, last = first_possible_day(now, profile), amsterdam_date(now) + timedelta(days=profile.horizon_days)
    if day < amsterdam_date(now):
        reason = ("date_in_past", "is in the past", "is voorbij")
    elif day > last:
        reason = (
            "beyond_horizon",
            f"is more than {profile.horizon_days} days ahead",
            f"is meer dan {profile.horizon_days} dagen vooruit",
        )
    elif (closure := closed_because(day)) is not None:
        reason = (
            "not_a_bank_day",
            f"is no bank day: banks do not settle on {closure.english}",
            f"is geen bankwerkdag: banken verwerken niets op {closure.dutch}",
        )
    elif day < first:
        reason = ("cut_off_passed", "is too late for the bank", "is niet meer op tijd bij de bank")
    else:
        return None
    return _date_problem(day, reason, first=first, last=last)


def _date_problem(day: date, reason: tuple[str, str, str], *, first: date, last: date) -> DateProblem:
    # Clipped first: the bank days around the year 9999 do not exist.
    around = max(first - _DAY, min(day, last + _DAY))
    before, after = nearest_bank_days(around)
    usable = [possible if first <= possible <= last else None for possible in (before, after)]
    code, english, dutch = reason
    return DateProblem(
        code=code,
        day=day,
        english=f"{in_english(day)} {english}.{_choices('Possible: ', ' or ', usable, in_english)}",
        dutch=f"{in_dutch(day).capitalize()} {dutch}.{_choices('Wel mogelijk: ', ' of ', usable, in_dutch)}",
        before=usable[0],
        after=usable[1],
    )


def _choices(start: str, separator: str, days: list[date | None], in_words: Callable[[date], str]) -> str:
    possible = [in_words(day) for day in days if day is not None]
    return f" {start}{separator.join(possible)}." if possible else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedDate:
    """An execution date that is possible now: the day that the rule says, else the first possible one.

    `pay_day`: what the rule says, None when the run's period is no period of a year; `problem`: why it cannot be
    that day, None when it is.
    """

    day: date
    pay_day: date | None
    problem: DateProblem | None


def default_execution_date(
    rule: PayDayRule,
    *,
    now: datetime,
    run_year: int,
    period_start: int,
    period_end: int,
    frequency: str | None,
    profile: BankProfile,
) -> ProposedDate:
    """Return the date to propose for a run: the pay day of its (last) period, else the first possible day.

    `frequency` is `month`, `four_weeks`, `week` or None (then the number of the period tells as far as it can).
    """
    first = first_possible_day(now, profile)
    day = pay_day_of_period(rule, year=run_year, period=max(period_start, period_end), frequency=frequency)
    problem = None if day is None else date_problem(day, now=now, profile=profile)
    return ProposedDate(day=first if day is None or problem else day, pay_day=day, problem=problem)
