"""What a comparison asks of the approver: each change by its name, and nothing in a month that is like the last."""

from typing import Any

import pytest

from app.payments.change_findings import baseline, changed_accounts, many
from app.payments.comparing import Comparison
from app.payments.findings import ACCOUNT_CHANGES, CATALOGUE, Draft, text_of
from app.payments.rules import judge
from tests.payments.change_cases import ABROAD, ANNA, BAILIFF, BRAM, CHANGES, CREW, OWN, A, B, C, moved, times
from tests.payments.payments_of import Row, compared
from tests.payments.test_rules import facts, line

_ASKED = {code for code, text in CATALOGUE.items() if text.needs_acknowledgement}
_OF_ALL = {"people_not_checked", "one_line", "one_line_instruction", "third_party_proposed", "bank_unknown"}
_THIRD_PARTIES = (BAILIFF[0], "Gemeente Delft")


def _drafts(
    now: list[Row], before: list[Row], *, left_out: frozenset[str] = frozenset(), is_live: bool = True, **changes: Any
) -> list[Draft]:
    comparison: Comparison = compared(now, before, third_parties=_THIRD_PARTIES, **changes)
    lines = [
        line(
            position=position,
            creditor_name=name,
            creditor_name_original=name,
            creditor_iban=iban,
            amount_cents=cents,
            kind="third_party" if name in _THIRD_PARTIES else "salary",
            status_pays=name not in left_out,
        )
        for position, (name, iban, cents) in enumerate(now, start=1)
    ]
    of = facts(comparison=comparison, own_accounts=frozenset({OWN}), is_live=is_live)
    return [draft for draft in judge(lines, of) if draft.code not in _OF_ALL]


def _codes(*runs: list[Row], **changes: Any) -> list[str]:
    return [draft.code for draft in _drafts(*runs, **changes)]


@pytest.mark.parametrize(("code", "runs", "changes"), CHANGES)
def test_a_change_is_told(code: str, runs: tuple[list[Row], list[Row]], changes: dict[str, Any]) -> None:
    """Two runs that differ in one thing give the finding about it, readable in both languages, without an account."""
    draft = next(draft for draft in _drafts(*runs, **changes) if draft.code == code)

    for text in text_of(code, draft.figures):
        assert text[-1] in ".:", text
        assert "{" not in text
        assert not any(row[1] in text or str(row[2] // 100) in text for run in runs for row in run)


def test_what_was_confirmed_of_a_first_batch_is_of_no_other_people() -> None:
    """One person with a line end and an account in the name is not two people, the second account among them."""
    one = [(f"Anna\n{B}\nBram", A)]
    two = [("Anna", B), ("Bram", A)]
    first = Comparison(is_first=True)

    judged = [next(baseline(first, payees, is_live=True)).judged for payees in (one, two, two[::-1])]

    assert judged[0] != judged[1]
    assert judged[1] == judged[2]


def test_an_unchanged_month_says_nothing() -> None:
    """Nor does a copy to the cent in another order, nor partners who were on one account before."""
    partner = ("Dirk Bos", A, 100_000)

    assert _codes([BRAM, ANNA], [ANNA, BRAM]) == []
    assert _codes([ANNA, partner], [ANNA, partner]) == []
    assert _codes([ANNA, BAILIFF], [ANNA, BAILIFF]) == []


def test_partners_who_are_new_on_one_account_are_told() -> None:
    """A new name on the account of a colleague: both lines say that the account is shared."""
    assert _codes([ANNA, ("Dirk Bos", A, 100_000)], [ANNA]).count("iban_shared") == 2


def test_a_small_raise_is_no_remark() -> None:
    """Less than a fifth is in the comparison only; a small amount may become ten times as much."""
    assert _codes([(ANNA[0], A, 299_999), BRAM], [ANNA, BRAM]) == []
    small = (BRAM[0], B, 4_500)
    assert _codes([ANNA, (BRAM[0], B, 45_000)], [ANNA, small]) == ["amount_changed"]


def test_a_peak_is_one_remark_and_the_odd_ones_out_are_still_told() -> None:
    """In May most nets rise together: one remark. Who falls, or jumps, is told as always."""
    raised = times(CREW, 170)
    odd = [(raised[0][0], raised[0][1], 1_700_000), (raised[1][0], raised[1][1], 100_000), *raised[2:]]

    assert _codes(raised, CREW, month=5) == ["peak_expected"]
    assert _codes(odd, CREW, month=5) == ["peak_expected", "amount_jumped", "amount_changed"]


def test_many_jumps_are_one_question() -> None:
    """A factor over the whole run is asked once, not thirty times."""
    codes = _codes(times(CREW, 1_000), CREW)

    assert [code for code in codes if code in _ASKED] == ["amounts_jumped"]


def test_a_first_batch_is_one_question_whoever_is_in_it() -> None:
    """No question for each person; only the employer's own account is still asked about."""
    rows = [*CREW, ("Dirk Bos", ABROAD, 1_000), ("Firma", OWN, 1_000)]

    assert _codes(rows, [], is_first=True) == ["first_batch", "own_account"]
    assert _codes([*rows], [], is_first=True, is_live=False) == ["own_account"]


def test_a_first_batch_after_a_dry_run_is_compared_with_it() -> None:
    """The dry run is the baseline: an account that changed since is asked about as well."""
    codes = _codes([(ANNA[0], C, ANNA[2]), BRAM], [ANNA, BRAM], is_first=True)

    assert codes == ["first_batch", "account_changed"]


def test_what_the_first_question_is_about_is_a_part_of_its_key() -> None:
    """An acknowledgement of the first batch does not hold for other names or accounts."""
    one, other = (_drafts([row], [], is_first=True)[0] for row in (ANNA, (ANNA[0], B, ANNA[2])))

    assert (one.code, other.code) == ("first_batch", "first_batch")
    assert one.judged != other.judged


def test_a_changed_account_is_asked_again_when_the_old_one_differs() -> None:
    """The same new account after another old one is another change, though both are masked alike."""
    old = "NL42INGB3268352412"
    one, other = (_drafts([(ANNA[0], C, 1)], [(ANNA[0], iban, 1)])[0] for iban in (A, old))

    assert one.code == other.code == "account_changed"
    assert one.judged != other.judged


def test_a_line_that_is_not_paid_asks_nothing() -> None:
    """An excluded line with a changed account does not keep the others from being approved."""
    assert _codes([(ANNA[0], C, ANNA[2]), BRAM], [ANNA, BRAM], left_out=frozenset({ANNA[0]})) == []


def test_a_third_party_that_a_person_takes_out_is_asked_about() -> None:
    """Leaving a garnishment out is asked, also when it never was paid before."""
    out = frozenset({BAILIFF[0]})

    assert "third_party_left_out" in _codes([ANNA, BAILIFF], [ANNA, BAILIFF], left_out=out)
    assert "third_party_left_out" in _codes([ANNA, BAILIFF], [ANNA], left_out=out)


def test_an_extra_run_misses_nobody() -> None:
    """A bonus run in a paid period has few people and other amounts: nothing to ask but accounts."""
    assert _codes([(ANNA[0], A, 50_000)], [ANNA, BRAM, BAILIFF], is_extra=True) == []
    assert _codes([(ANNA[0], C, 50_000)], [ANNA, BRAM], is_extra=True) == ["account_changed"]


def test_own_account_is_asked_once() -> None:
    """Paid to the employer's own account before under this name: no question again."""
    own = ("Firma", OWN, 1_000)

    assert _codes([ANNA, own], [ANNA, own]) == []


@pytest.mark.parametrize(
    ("changed", "lines", "expected"),
    [(2, 2, False), (3, 3, True), (3, 150, True), (3, 151, False), (4, 200, True), (4, 201, False), (20, 1_000, True)],
)
def test_the_figures_that_hold_a_batch(changed: int, lines: int, expected: bool) -> None:
    """At least three lines, and at least two percent of them."""
    assert many(changed, lines) is expected


def test_new_people_do_not_hold_a_batch() -> None:
    """Thirty joiners are a list; three people on another account hold the batch, an account paid before does not."""
    everybody = range(1, 200)

    assert "many_accounts_changed" not in _codes([*CREW, ANNA], [ANNA])
    assert len(changed_accounts(compared(moved(CREW, 3), CREW), everybody)) == 3
    back = compared(CREW, moved(CREW, 3), known=[(name, iban) for name, iban, _ in CREW])
    assert changed_accounts(back, everybody) == []


def test_where_money_goes_is_confirmed_by_another_person() -> None:
    """Every question about an account is one that whoever edited the batch may not answer."""
    assert ACCOUNT_CHANGES < _ASKED
