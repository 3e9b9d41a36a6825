"""This run beside the last paid one: each difference has its name, and what is the same is only counted."""

from collections.abc import Callable
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.payments.comparing import Change, Comparison, needs_history
from app.payments.peaks import Peak, RunPeriod
from tests.payments.payments_of import Row, compared, payments

A, B, C, D = "NL42INGB2268352412", "NL52ABNA7650143244", "NL57ABNA7134384551", "BE68539007547034"
ANNA: Row = ("Bakker, Anna", A, 250_000)
BRAM: Row = ("Bram de Vries", B, 310_000)
CAS: Row = ("Cas Smit", C, 190_000)


def _told(comparison: Comparison) -> list[tuple[str, int | None]]:
    return [(change.kind.value, change.line and change.line.position) for change in comparison.changes]


def _only(comparison: Comparison) -> Change:
    (change,) = comparison.changes
    return change


def test_an_unchanged_month_is_only_counted() -> None:
    """The same people, accounts and amounts, in any order and spelling: nothing but a count."""
    comparison = compared([("de Vries, Bram", B, 310_000), ("Anna BAKKER", A, 250_000)], [ANNA, BRAM])

    assert (list(comparison.changes), comparison.same_count) == ([], 2)
    assert comparison.trusted == {1, 2}


def test_the_same_name_on_another_account_is_a_changed_account() -> None:
    """The change knows the line and the account before."""
    change = _only(compared([("Anna Bakker", B, 250_000)], [ANNA]))

    assert (change.kind, change.old_iban, change.paid_before) == ("changed_account", A, False)
    assert change.previous is not None
    assert change.previous.iban == A


def test_two_swapped_accounts_are_two_changes() -> None:
    """Both accounts were paid before, but not under these names."""
    comparison = compared([(ANNA[0], B, ANNA[2]), (BRAM[0], A, BRAM[2])], [ANNA, BRAM])

    assert _told(comparison) == [("changed_account", 1), ("changed_account", 2)]
    assert comparison.trusted == frozenset()


def test_accounts_swapped_in_a_circle_are_all_changes() -> None:
    """Three people, each on the account of the next."""
    now = [(ANNA[0], B, ANNA[2]), (BRAM[0], C, BRAM[2]), (CAS[0], A, CAS[2])]

    assert [kind for kind, _ in _told(compared(now, [ANNA, BRAM, CAS]))] == ["changed_account"] * 3


def test_people_whose_names_differ_in_an_accent_can_be_swapped_too() -> None:
    """José and Jose are two people when each was paid on an account of his own."""
    jose, other = ("José Silva", A, 250_000), ("Jose Silva", B, 250_000)

    comparison = compared([("José Silva", B, 250_000), ("Jose Silva", A, 250_000)], [jose, other])

    assert _told(comparison) == [("changed_account", 1), ("changed_account", 2)]


def test_an_account_of_somebody_gone_is_not_his_namesakes() -> None:
    """José left; Jose on the account of José is a changed account, though the names differ in an accent only."""
    comparison = compared(
        [("Jose Silva", A, 250_000)], [("José Silva", A, 250_000)], known=[("Jose Silva", B), ("José Silva", A)]
    )

    assert _told(comparison)[0] == ("changed_account", 1)


def test_a_spelling_that_changes_is_the_same_person() -> None:
    """An accent that comes or goes on the same account is nothing, and a later change of account is still seen."""
    before = [("Renée de Wit", A, 250_000)]

    assert compared([("Renee de Wit", A, 250_000)], before).same_count == 1
    moved = compared([("Renee de Wit", B, 250_000)], before, known=[("Renee de Wit", A)])
    assert _told(moved) == [("changed_account", 1)]


def test_one_more_account_of_a_known_person_is_an_extra_account() -> None:
    """The first account is still there: a split, or a namesake; either way somebody looks."""
    comparison = compared([ANNA, (ANNA[0], B, 10_000)], [ANNA])

    assert _told(comparison) == [("extra_account", 2)]


def test_one_of_two_accounts_that_moves_is_a_changed_account() -> None:
    """Of two split accounts one stays and one changes; the old account is the one that left."""
    change = _only(compared([ANNA, (ANNA[0], C, 10_000)], [ANNA, (ANNA[0], B, 10_000)]))

    assert (change.kind, change.old_iban) == ("changed_account", B)


def test_of_two_accounts_that_left_the_one_with_the_nearest_amount_was_replaced() -> None:
    """Last time salary and savings, now the salary on a new account: that is no jump from the savings."""
    before = [(ANNA[0], B, 20_000), ANNA]

    (moved,) = compared([(ANNA[0], C, 251_000)], before, is_extra=True).changes

    assert (moved.kind, moved.old_iban) == ("changed_account", A)


def test_an_account_changed_back_is_a_change_to_a_known_account() -> None:
    """The last run paid another account; the one before that is known."""
    change = _only(compared([ANNA], [(ANNA[0], B, ANNA[2])], known=[(ANNA[0], A)]))

    assert (change.kind, change.paid_before, change.old_iban) == ("changed_account", True, B)


def test_who_returns_on_an_account_paid_before_is_new_but_known() -> None:
    """A seasonal worker, not in the last run, on the old account: in this run's news, and trusted."""
    comparison = compared([ANNA, CAS], [ANNA], known=[(CAS[0], C)])
    change = _only(comparison)

    assert (change.kind, change.paid_before) == ("new", True)
    assert comparison.trusted == {1, 2}


def test_who_returns_on_another_account_has_a_changed_account() -> None:
    """Not in the last run, but known: the account is compared with the ones paid before."""
    change = _only(compared([ANNA, (CAS[0], D, CAS[2])], [ANNA], known=[(CAS[0], C)]))

    assert (change.kind, change.old_iban, change.previous) == ("changed_account", C, None)


def test_another_name_on_a_known_account_is_a_changed_name() -> None:
    """A marriage, or a correction: the account was paid under another name that is no longer there."""
    change = _only(compared([("Anna de Vries-Bakker", A, 250_000)], [ANNA]))

    assert change.kind == "changed_name"
    assert change.previous is not None


def test_somebody_new_on_the_account_of_a_colleague_is_new() -> None:
    """Partners on one account: the colleague is still paid there, so no name changed."""
    comparison = compared([ANNA, ("Dirk Bos", A, 100_000)], [ANNA])

    assert _told(comparison) == [("new", 2)]
    assert comparison.trusted == {1}


def test_a_name_written_otherwise_on_another_account_is_the_same_person() -> None:
    """On a new account while Anna Bakker is gone, "A. Bakker" is asked about, not passed as a joiner."""
    change = _only(compared([("A. Bakker", B, 250_000)], [ANNA]))

    assert (change.kind, change.old_iban) == ("changed_account", A)


def test_a_name_that_could_be_of_two_people_is_new() -> None:
    """Two who left could be "A. Bakker": nothing is guessed."""
    comparison = compared([("A. Bakker", C, 1)], [ANNA, ("Ada Bakker", B, 250_000)])

    assert [kind for kind, _ in _told(comparison)] == ["new", "gone", "gone"]


def test_new_and_gone_are_told() -> None:
    """Who came stands with the line, who went with the payment of last time."""
    comparison = compared([ANNA, CAS], [ANNA, BRAM])

    assert _told(comparison) == [("new", 2), ("gone", None)]
    assert comparison.changes[1].previous is not None
    assert comparison.changes[1].previous.iban == B


def test_changed_amounts_have_before_and_after() -> None:
    """Of one line, and of several lines to one account, each compared with the one that is left over."""
    rows = [ANNA, (ANNA[0], A, 4_500)]

    change = _only(compared([ANNA, (ANNA[0], A, 45_000)], rows))

    assert (change.kind, change.before_cents, change.after_cents) == ("changed_amount", 4_500, 45_000)
    assert change.line is not None
    assert change.line.position == 2


def test_another_number_of_lines_is_compared_by_what_the_account_gets() -> None:
    """Salary alone last time, salary and expenses now: the account gets more."""
    change = _only(compared([ANNA, (ANNA[0], A, 4_500)], [ANNA]))

    assert (change.before_cents, change.after_cents) == (250_000, 254_500)


def test_an_amount_is_compared_across_a_change_of_account() -> None:
    """Account and amount changed at once: both are told, on the same line."""
    comparison = compared([(ANNA[0], B, 2_500_000)], [ANNA])

    assert sorted(_told(comparison)) == [("changed_account", 1), ("changed_amount", 1)]


def test_an_extra_run_says_nothing_of_absence_and_amounts() -> None:
    """A bonus for one person in a period that was paid: the others are not gone, and the amount is another thing."""
    comparison = compared([(ANNA[0], A, 50_000)], [ANNA, BRAM], is_extra=True)

    assert (list(comparison.changes), comparison.same_count) == ([], 1)


@pytest.mark.parametrize(("iban", "expected"), [(D, True), (B, False)])
def test_the_first_account_abroad_is_marked(iban: str, expected: bool) -> None:
    """A changed account, an extra one and a new person's may each be the first abroad."""
    moved, extra, new = (
        _only(compared([(ANNA[0], iban, ANNA[2])], [ANNA])),
        _only(compared([ANNA, (ANNA[0], iban, 1)], [ANNA])),
        _only(compared([ANNA, ("Dirk Bos", iban, 1)], [ANNA])),
    )

    assert {moved.is_first_abroad, extra.is_first_abroad, new.is_first_abroad} == {expected}


def test_a_second_account_abroad_is_not_the_first() -> None:
    """Who was paid abroad before is not marked again."""
    change = _only(compared([(ANNA[0], "DE89370400440532013000", 1)], [(ANNA[0], D, 1)]))

    assert (change.kind, change.is_first_abroad) == ("changed_account", False)


_PEOPLE: list[Row] = [(f"Persoon {chr(65 + n)}", f"NL00TEST{n:010d}", 200_000 + n * 1_000) for n in range(9)]


def _raised(percent: int) -> list[Row]:
    return [(name, iban, cents * percent // 100) for name, iban, cents in _PEOPLE]


@pytest.mark.parametrize(
    ("period", "percent", "expected"),
    [
        (RunPeriod(year=2026, number=5), 170, Peak(code="holiday_pay", is_up=True)),
        (RunPeriod(year=2026, number=6), 60, Peak(code="holiday_pay", is_up=False)),
        (RunPeriod(year=2026, number=12), 180, Peak(code="thirteenth_month", is_up=True)),
        (RunPeriod(year=2026, number=11), 180, Peak(code="thirteenth_month", is_up=True)),
        (RunPeriod(year=2026, number=12), 55, Peak(code="thirteenth_month", is_up=False)),
        (RunPeriod(year=2026, number=1), 55, Peak(code="thirteenth_month", is_up=False)),
        (RunPeriod(year=2026, number=13), 180, Peak(code="thirteenth_month", is_up=True)),
        (RunPeriod(year=2026, number=5, frequency="four_weeks"), 170, Peak(code="holiday_pay", is_up=True)),
        (RunPeriod(year=2026, number=20, frequency="week"), 170, Peak(code="holiday_pay", is_up=True)),
        (RunPeriod(year=2026, number=3), 170, Peak(code=None, is_up=True)),
        (RunPeriod(year=2026, number=9), 60, Peak(code=None, is_up=False)),
        (RunPeriod(year=2026, number=5), 105, None),
        (RunPeriod(year=2026, number=3), 100, None),
    ],
)
def test_a_run_that_moves_as_a_whole(period: RunPeriod, percent: int, expected: Peak | None) -> None:
    """Holiday pay, a thirteenth month, and the way back are expected; another month is not."""
    assert compared(_raised(percent), _PEOPLE, period=period).peak == expected


def test_a_raise_of_a_few_is_no_peak() -> None:
    """Five of nine are not the whole run."""
    assert compared(_raised(150)[:5] + _PEOPLE[5:], _PEOPLE, month=5).peak is None


def test_history_is_needed_only_when_a_line_is_not_in_the_last_run() -> None:
    """An unchanged month asks nothing of the past; a new spelling does."""
    before = payments([ANNA, BRAM])

    assert not needs_history(payments([BRAM, ANNA]), before)
    assert needs_history(payments([("Ánna Bakker", A, 1)]), before)


_NAMES = st.sampled_from(
    ["Anna Bakker", "Bakker, Anna", "A. Bakker", "José Silva", "Jose Silva", "Cas Smit", "C. Smit"]
)
_ROWS = st.lists(st.tuples(_NAMES, st.sampled_from([A, B, C, D]), st.integers(1, 5)), max_size=7)


@given(_ROWS, _ROWS, st.lists(st.tuples(_NAMES, st.sampled_from([A, B, C, D])), max_size=6))
def test_no_line_to_an_unknown_pair_passes_unseen(
    now: list[Row], before: list[Row], known: list[tuple[str, str]]
) -> None:
    """Whatever the runs: a line whose spelling was never paid on its account is either trusted by name, or told.

    And every line is either told or counted as the same, never both.
    """
    comparison = compared(now, before, known=known)
    told = {change.line.position for change in comparison.changes if change.line is not None}

    assert comparison.same_count == len(now) - len(told)
    for position in set(range(1, len(now) + 1)) - comparison.trusted:
        kinds = {each.kind.value for each in comparison.changes if each.line and each.line.position == position}
        assert kinds & {"new", "changed_account", "extra_account", "changed_name"}


def test_ten_times_the_lines_take_about_ten_times_as_long() -> None:
    """Also when everybody's name, account and amount changed and all are called J. Jansen."""

    def seconds(count: int) -> float:
        people = [(f"Jan{n} Jansen{n % 50}", f"NL{n:016d}", 100 + n) for n in range(count)]
        moved = [(f"J Jansen{n % 50}", f"BE{n:014d}", 101 + n) for n in range(count)]
        known = [(name, iban) for name, iban, _ in people]
        return min(_seconds_of(lambda: compared(moved, people, known=known)) for _ in range(3))

    assert seconds(20_000) < 40 * seconds(2_000)  # a hundred times, if each line were compared with each


def _seconds_of(work: Callable[[], object]) -> float:
    begun = process_time()
    work()
    return process_time() - begun
