from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.clock import AMSTERDAM
from app.payments.bank_profiles import DEFAULT_PROFILE, BankProfile
from app.payments.calendar import (
    PROPOSED_PAY_DAY_RULE,
    PayDayKind,
    PayDayRule,
    ProposedDate,
    add_bank_days,
    approve_before,
    date_problem,
    default_execution_date,
    far_ahead,
    first_possible_day,
    is_bank_day,
    release_before,
)

# A bank that takes files until half past four, on the day itself or the bank day before.
SAME_DAY = replace(DEFAULT_PROFILE, cut_off=time(16, 30), lead_bank_days=0)
DAY_BEFORE = replace(SAME_DAY, lead_bank_days=1)

MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2036, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - zone given
PROFILES = st.builds(
    replace,
    st.just(DEFAULT_PROFILE),
    cut_off=st.times().map(lambda moment: moment.replace(second=0, microsecond=0)),
    lead_bank_days=st.integers(0, 3),
    horizon_days=st.integers(30, 364),
)


def amsterdam(year: int, month: int, day: int, hour: int = 10, minute: int = 0, second: int = 0) -> datetime:
    """Return a moment as the clock in Amsterdam shows it."""
    return datetime(year, month, day, hour, minute, second, tzinfo=AMSTERDAM)


NOW = amsterdam(2026, 11, 20)


# ------------------------------------------------------------------------------------------------------------- cut-offs


def test_a_file_must_be_in_before_the_cut_off_and_approved_half_an_hour_earlier():
    """Somebody still has to upload and sign after the last approval."""
    day = date(2026, 11, 24)
    assert release_before(day, SAME_DAY) == amsterdam(2026, 11, 24, 16, 30)
    assert approve_before(day, SAME_DAY) == amsterdam(2026, 11, 24, 16, 0)


def test_lead_days_are_bank_days():
    """For the Monday after Easter weekend the file goes in on the Thursday before."""
    assert release_before(date(2027, 3, 30), DAY_BEFORE) == amsterdam(2027, 3, 25, 16, 30)


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2026, 3, 27), datetime(2026, 3, 27, 15, 30, tzinfo=UTC)),
        (date(2026, 3, 30), datetime(2026, 3, 30, 14, 30, tzinfo=UTC)),
        (date(2026, 10, 23), datetime(2026, 10, 23, 14, 30, tzinfo=UTC)),
        (date(2026, 10, 26), datetime(2026, 10, 26, 15, 30, tzinfo=UTC)),
    ],
)
def test_a_cut_off_follows_the_clock_in_amsterdam(day: date, expected: datetime):
    """Before and after the clock changes it is another hour in UTC, which is what is returned."""
    assert release_before(day, SAME_DAY) == expected
    assert release_before(day, SAME_DAY).tzinfo is UTC


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (amsterdam(2026, 11, 20, 15, 59, 59), date(2026, 11, 20)),
        (amsterdam(2026, 11, 20, 16, 0), date(2026, 11, 23)),
        (amsterdam(2026, 11, 21), date(2026, 11, 23)),
        (amsterdam(2026, 12, 24, 17), date(2026, 12, 28)),
        (amsterdam(2027, 3, 25, 17), date(2027, 3, 30)),
        # Just before and after midnight in Amsterdam, which is another date in UTC.
        (amsterdam(2026, 11, 23, 23, 59, 59), date(2026, 11, 24)),
        (datetime(2026, 11, 22, 23, 30, tzinfo=UTC), date(2026, 11, 23)),
        # The nights in which the clock changes.
        (amsterdam(2026, 3, 29, 1, 59), date(2026, 3, 30)),
        (amsterdam(2026, 3, 29, 3, 1), date(2026, 3, 30)),
        (amsterdam(2026, 10, 25, 2, 30), date(2026, 10, 26)),
    ],
)
def test_the_first_possible_day(now: datetime, expected: date):
    """Today until the cut-off, then the next bank day."""
    assert first_possible_day(now, SAME_DAY) == expected


def test_the_first_possible_day_counts_lead_days():
    """On Friday afternoon a bank that wants a day before can execute on Tuesday at the earliest."""
    assert first_possible_day(amsterdam(2026, 11, 20, 15), DAY_BEFORE) == date(2026, 11, 23)
    assert first_possible_day(amsterdam(2026, 11, 20, 17), DAY_BEFORE) == date(2026, 11, 24)


@pytest.mark.parametrize(("days", "expected"), [(35, False), (36, True), (0, False), (-10, False)])
def test_more_than_five_weeks_ahead_is_far(days: int, expected: bool):
    """A warning from the 36th day on."""
    assert far_ahead(NOW.date() + timedelta(days=days), NOW.date()) is expected


# --------------------------------------------------------------------------------------------------------------- guards


@pytest.mark.parametrize(
    "day", [date(2026, 11, 20), date(2026, 11, 23), date(2026, 12, 24), date(2027, 4, 27), date(2027, 11, 19)]
)
def test_a_possible_date_has_no_problem(day: date):
    """Today before the cut-off, any bank day, King's Day, the last bank day within the horizon."""
    assert date_problem(day, now=NOW, profile=SAME_DAY) is None


@pytest.mark.parametrize(
    ("day", "code", "before", "after"),
    [
        (date(2026, 12, 25), "not_a_bank_day", date(2026, 12, 24), date(2026, 12, 28)),
        (date(2027, 3, 26), "not_a_bank_day", date(2027, 3, 25), date(2027, 3, 30)),
        (date(2026, 11, 28), "not_a_bank_day", date(2026, 11, 27), date(2026, 11, 30)),
        (date(2026, 11, 21), "not_a_bank_day", date(2026, 11, 20), date(2026, 11, 23)),
        (date(2026, 11, 19), "date_in_past", None, date(2026, 11, 20)),
        (date(2020, 12, 25), "date_in_past", None, date(2026, 11, 20)),
        (date.min, "date_in_past", None, date(2026, 11, 20)),
        (date(2027, 11, 20), "beyond_horizon", date(2027, 11, 19), None),
        (date(2028, 12, 25), "beyond_horizon", date(2027, 11, 19), None),
        (date.max, "beyond_horizon", date(2027, 11, 19), None),
    ],
)
def test_an_impossible_date_comes_with_the_nearest_possible_ones(
    day: date, code: str, before: date | None, after: date | None
):
    """A refusal always shows what would have been right, as far as it still is."""
    problem = date_problem(day, now=NOW, profile=SAME_DAY)
    assert problem is not None
    assert (problem.code, problem.day, problem.before, problem.after) == (code, day, before, after)


def test_a_closed_day_next_to_a_cut_off_that_passed_offers_the_other_side_only():
    """On Saturday the Friday before is no choice any more."""
    problem = date_problem(date(2026, 11, 21), now=amsterdam(2026, 11, 21), profile=SAME_DAY)
    assert problem is not None
    assert (problem.before, problem.after) == (None, date(2026, 11, 23))


def test_a_closed_day_on_the_horizon_offers_the_day_before_only():
    """The bank day after it is too far ahead."""
    problem = date_problem(date(2027, 11, 20), now=amsterdam(2026, 11, 21), profile=SAME_DAY)
    assert problem is not None
    assert (problem.code, problem.before, problem.after) == ("not_a_bank_day", date(2027, 11, 19), None)


def test_today_after_the_cut_off_is_too_late():
    """To the minute of the last approval."""
    assert date_problem(date(2026, 11, 20), now=amsterdam(2026, 11, 20, 15, 59, 59), profile=SAME_DAY) is None
    problem = date_problem(date(2026, 11, 20), now=amsterdam(2026, 11, 20, 16), profile=SAME_DAY)
    assert problem is not None
    assert (problem.code, problem.before, problem.after) == ("cut_off_passed", None, date(2026, 11, 23))


def test_the_horizon_is_that_of_the_bank():
    """To the day."""
    profile = replace(SAME_DAY, horizon_days=30)
    assert date_problem(date(2026, 12, 18), now=NOW, profile=profile) is None
    assert date_problem(date(2026, 12, 21), now=NOW, profile=profile) is not None
    assert date_problem(date(2026, 12, 21), now=NOW, profile=replace(profile, horizon_days=31)) is None


@pytest.mark.parametrize(
    ("day", "english", "dutch"),
    [
        (
            date(2026, 12, 25),
            (
                "Friday 25 December 2026 is no bank day: banks do not settle on Christmas Day."
                " Possible: Thursday 24 December 2026 or Monday 28 December 2026."
            ),
            (
                "Vrijdag 25 december 2026 is geen bankwerkdag: banken verwerken niets op eerste kerstdag."
                " Wel mogelijk: donderdag 24 december 2026 of maandag 28 december 2026."
            ),
        ),
        (
            date(2026, 11, 19),
            "Thursday 19 November 2026 is in the past. Possible: Friday 20 November 2026.",
            "Donderdag 19 november 2026 is voorbij. Wel mogelijk: vrijdag 20 november 2026.",
        ),
        (
            date(2027, 11, 22),
            "Monday 22 November 2027 is more than 364 days ahead. Possible: Friday 19 November 2027.",
            "Maandag 22 november 2027 is meer dan 364 dagen vooruit. Wel mogelijk: vrijdag 19 november 2027.",
        ),
    ],
)
def test_a_problem_is_told_in_two_languages(day: date, english: str, dutch: str):
    """Days in words, with what is possible."""
    problem = date_problem(day, now=NOW, profile=SAME_DAY)
    assert problem is not None
    assert (problem.english, problem.dutch) == (english, dutch)


@settings(deadline=None)
@given(st.dates(), MOMENTS, PROFILES)
def test_what_is_offered_is_possible(day: date, now: datetime, profile: BankProfile):
    """Any date at any moment and bank is possible, or comes with choices that are."""
    problem = date_problem(day, now=now, profile=profile)
    choices = [day] if problem is None else [choice for choice in (problem.before, problem.after) if choice]
    assert choices
    for choice in choices:
        assert is_bank_day(choice)
        assert now < approve_before(choice, profile)
        assert date_problem(choice, now=now, profile=profile) is None


@settings(deadline=None)
@given(MOMENTS, PROFILES)
def test_no_bank_day_before_the_first_possible_one_is_possible(now: datetime, profile: BankProfile):
    """The first possible day is the first."""
    first = first_possible_day(now, profile)
    assert now < approve_before(first, profile)
    assert (
        approve_before(add_bank_days(first, -1), profile) <= now
        or add_bank_days(first, -1) < now.astimezone(AMSTERDAM).date()
    )


# ------------------------------------------------------------------------------------------------------------ proposals


def _proposal(now: datetime, *, year: int = 2026, period: int = 11, frequency: str | None = "month") -> ProposedDate:
    return default_execution_date(
        PROPOSED_PAY_DAY_RULE,
        now=now,
        run_year=year,
        period_start=period,
        period_end=period,
        frequency=frequency,
        profile=SAME_DAY,
    )


def _why(proposal: ProposedDate) -> str:
    if proposal.pay_day is None:
        return "period_unknown"
    return "pay_day" if proposal.problem is None else proposal.problem.code


@pytest.mark.parametrize(
    ("now", "period", "expected", "reason"),
    [
        (amsterdam(2026, 11, 20), 11, date(2026, 11, 25), "pay_day"),
        (amsterdam(2026, 11, 25, 15, 59), 11, date(2026, 11, 25), "pay_day"),
        (amsterdam(2026, 11, 25, 16), 11, date(2026, 11, 26), "cut_off_passed"),
        (amsterdam(2026, 11, 26), 11, date(2026, 11, 26), "date_in_past"),
        (amsterdam(2026, 11, 21), 4, date(2026, 11, 23), "date_in_past"),
        (amsterdam(2026, 12, 14), 12, date(2026, 12, 24), "pay_day"),
        (amsterdam(2026, 11, 20), 13, date(2026, 11, 20), "period_unknown"),
        (amsterdam(2026, 11, 20), 0, date(2026, 11, 20), "period_unknown"),
    ],
)
def test_the_proposed_date_of_a_run(now: datetime, period: int, expected: date, reason: str):
    """The pay day of the run's period, or the first possible day and why: April's run made in November pays at once."""
    proposal = _proposal(now, period=period)
    assert (proposal.day, _why(proposal)) == (expected, reason)


def test_a_run_of_a_far_year_is_proposed_for_the_first_possible_day():
    """A bank would refuse its pay day."""
    proposal = _proposal(NOW, year=2028)
    assert (proposal.day, proposal.pay_day, _why(proposal)) == (
        date(2026, 11, 20),
        date(2028, 11, 24),
        "beyond_horizon",
    )


def test_a_run_over_several_periods_is_paid_with_the_last():
    """A correction over January to March is paid in March."""
    proposal = default_execution_date(
        PROPOSED_PAY_DAY_RULE,
        now=amsterdam(2026, 1, 10),
        run_year=2026,
        period_start=1,
        period_end=3,
        frequency="month",
        profile=SAME_DAY,
    )
    assert proposal.day == date(2026, 3, 25)


@settings(deadline=None)
@given(
    MOMENTS,
    PROFILES,
    st.integers(2020, 2040),
    st.integers(-1, 54),
    st.sampled_from(["month", "four_weeks", "week", None]),
    st.integers(1, 31),
)
def test_a_proposal_is_always_possible(
    now: datetime, profile: BankProfile, year: int, period: int, frequency: str | None, day: int
):
    """Whatever run at whatever moment: the button never offers a date that is then refused."""
    proposal = default_execution_date(
        PayDayRule(kind=PayDayKind.DAY_OF_MONTH, value=day),
        now=now,
        run_year=year,
        period_start=period,
        period_end=period,
        frequency=frequency,
        profile=profile,
    )
    assert date_problem(proposal.day, now=now, profile=profile) is None


@pytest.mark.parametrize("year", range(2026, 2037))
def test_every_hour_of_ten_years_has_a_first_possible_day(year: int):
    """Through every night that the clock changes, leap days, Easter and Christmas: a bank day, never one before."""
    moment, last = datetime(year, 1, 1, tzinfo=UTC), date.min
    while moment.year == year:
        first = first_possible_day(moment, SAME_DAY)
        assert is_bank_day(first)
        assert moment < approve_before(first, SAME_DAY) < release_before(first, SAME_DAY)
        assert last <= first <= moment.date() + timedelta(days=6)
        moment, last = moment + timedelta(hours=1), first
