from importlib import resources

import pytest

from app.payments.reason_codes import REASONS, ReasonFlag, flags_of, meanings_of, reason_meaning
from app.payments.status_report_model import Reason

# What the Dutch banks' own descriptions name, and what the scheme allows for a rejected credit transfer.
_NAMED_BY_BANKS = (
    "AC01 AC03 AC04 AC06 AG01 AG02 AM01 AM02 AM03 AM04 AM05 AM09 AM10 AM14 AM18 BE01 BE04 BE05 BE22 CH03 CNOR DNOR "
    "DS02 DS0H DT01 DU01 DU02 DU03 DU04 DU05 DUPL FF01 FF05 MD07 MS02 MS03 NARR NORR PN01 PN02 RC01 RF01 RR01 RR02 "
    "RR03 RR04 TECH TM01"
)


@pytest.mark.parametrize("code", _NAMED_BY_BANKS.split())
def test_every_reason_that_banks_name_is_known_with_advice_in_both_languages(code: str):
    """An employer reads what happened and what to do, and never a bare code."""
    meaning = reason_meaning(code)
    assert meaning.is_known
    assert meaning.english != meaning.dutch
    assert meaning.advice_english != meaning.advice_dutch


def test_the_reasons_that_forbid_to_pay_again_at_once_are_exactly_these():
    """Too little money is tried again by banks; a twin may have been paid; anything missing here pays twice."""
    assert {code for code, meaning in REASONS.items() if meaning.flag is ReasonFlag.FUNDS} == {"AM04", "AG07"}
    assert {code for code, meaning in REASONS.items() if meaning.flag is ReasonFlag.POSSIBLE_TWIN} == {
        "AM05",
        "DUPL",
        "DU01",
        "DU02",
        "DU03",
        "DU04",
        "DU05",
        "RF01",
        "DS15",
    }


@pytest.mark.parametrize(
    "reason",
    [
        Reason(code="AM05"),
        Reason(code=" am05 "),
        Reason(proprietary="AM05"),
        Reason(code="NARR", proprietary="am05"),
    ],
)
def test_a_flag_is_raised_wherever_the_bank_puts_the_code(reason: Reason):
    """A code of ISO in the place of the bank's own, or in lower case, means the same."""
    assert flags_of([Reason(code="AC01"), reason]) == {ReasonFlag.POSSIBLE_TWIN}


def test_several_reasons_raise_all_their_flags():
    """One harmless reason hides nothing."""
    assert flags_of([Reason(code="AM04"), Reason(code="DUPL"), Reason()]) == set(ReasonFlag)


def test_a_reason_that_nobody_told_of_is_shown_with_the_advice_to_ask_the_bank():
    """The employer sees the code of the bank itself."""
    (meaning,) = meanings_of(Reason(proprietary="bank-7"))
    assert (meaning.is_known, meaning.flag, meaning.code) == (False, None, "BANK-7")
    assert "BANK-7" in meaning.english
    assert "BANK-7" in meaning.dutch
    assert meaning.advice_english == "Ask your bank what is wrong."


def test_the_table_is_in_order_and_has_each_code_once():
    """A second row for a code would silently win over the first."""
    text = (resources.files("app.payments") / "status_reasons.tsv").read_text(encoding="utf-8")
    codes = [line.split("\t")[0] for line in text.splitlines() if not line.startswith("#")]
    assert codes == sorted(set(codes))
    assert len(codes) == len(REASONS)
