from datetime import date
from random import Random

import pytest
import schwifty
from hypothesis import given, settings
from hypothesis import strategies as st
from schwifty import registry

from app.payments.countries import CODES_WITHOUT_IBAN, EEA_COUNTRIES, country_name
from app.payments.iban import (
    SEPA_COUNTRIES,
    IbanProblem,
    eleven_test,
    grouped,
    iban_problem,
    is_eea,
    is_sepa,
    known_bank,
    mask,
    normalise,
)

GOOD = "NL42INGB2268352412"
TODAY = date(2026, 11, 21)


# ------------------------------------------------------------------------------------------------------- canonical form


@pytest.mark.parametrize(
    "written",
    [
        "NL42INGB2268352412",
        "nl42ingb2268352412",
        "NL42 INGB 2268 3524 12",
        " NL42\tINGB\n2268\r\n3524 12 ",
        "NL42\u00a0INGB\u202f2268\u20093524\u300012",
        "\ufeffNL42\u200bINGB\u200d2268\u2060352412\u00ad",
        "\u202aNL42INGB2268352412\u202c",
        "NL42.INGB.2268.35.24.12",
        "NL42-INGB-2268\u2013352412",
    ],
)
def test_spellings_of_one_iban_are_one_iban(written: str):
    """Case, blanks, points, dashes and invisible characters are how people and programs write the same account."""
    assert normalise(written) == GOOD
    assert iban_problem(written) is None


@pytest.mark.parametrize(
    "written",
    [
        "NL42\uff29NGB2268352412",  # full-width I
        "NL42\u0131ngb2268352412",  # dotless i, whose capital is an ordinary I
        "\u0578L42INGB2268352412",
        "NL42INGB226835241\u0662",  # Arabic digit two
        "NL42INGB/2268352412",
        "NL42INGB2268352412\0",
        "NL42 INGB 2268 3524 12 EUR!",
    ],
)
def test_lookalike_characters_are_refused_not_translated(written: str):
    """A letter that only looks right is a mistake or an attack."""
    problem = iban_problem(written)
    assert problem is not None
    assert problem.code == "wrong_characters"


@settings(deadline=None)
@given(st.text())
def test_the_canonical_form_is_stable_and_every_text_gets_an_answer(text: str):
    """Normalising twice changes nothing, and no text is too strange to be judged."""
    assert normalise(normalise(text)) == normalise(text)
    assert iban_problem(text) == iban_problem(normalise(text))


# ------------------------------------------------------------------------------------------------------------- problems


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("", "missing"),
        (" \u200b ", "missing"),
        ("-", "missing"),
        ("N", "wrong_characters"),
        ("4NL2INGB2268352412", "wrong_characters"),
        ("123456789", "wrong_characters"),
        ("NL42INGB22683524I2", "wrong_characters"),
        ("NL421NGB2268352412", "wrong_characters"),
        ("NLA2INGB2268352412", "wrong_characters"),
        ("NL42INGBO268352412", "wrong_characters"),
        ("NL", "wrong_length"),
        ("NL42INGB226835241", "wrong_length"),
        ("NL42INGB22683524123", "wrong_length"),
        ("DE42INGB2268352412", "wrong_length"),
        ("NL43INGB2268352412", "wrong_check_digits"),
        ("NL42INGB2268352421", "wrong_check_digits"),
        ("NL42INGA2268352412", "wrong_check_digits"),
        ("XX42INGB2268352412", "unknown_country"),
        ("US42INGB2268352412", "unknown_country"),
        ("TR330006100519786457841326", "not_sepa"),
        ("FO6264600001631634", "not_sepa"),
        ("GL8964710001000206", "not_sepa"),
        ("UA213223130000026007233566001", "not_sepa"),
    ],
)
def test_what_is_wrong_is_named(written: str, code: str):
    """Each mistake has a code, sentences in English and Dutch, and what to do; none shows the account."""
    problem = iban_problem(written)
    assert problem is not None
    assert problem.code == code
    for text in (problem.english, problem.dutch, problem.remedy_english, problem.remedy_dutch):
        assert text.endswith(".")
        assert "INGB" not in text


@pytest.mark.parametrize("digits", ["00", "01", "99"])
def test_check_digits_that_nobody_issues_are_wrong(digits: str):
    """00, 01 and 99 can fit the sum of another pair, and are never given out."""
    for pair in ("97", "98", "02"):
        # An account whose right pair is 97, 98 or 02: the sum holds for 00, 01 and 99 as well.
        account = next(
            f"INGB{number:010d}"
            for number in range(10_000)
            if schwifty.IBAN.from_bban("NL", f"INGB{number:010d}")[2:4] == pair
        )
        problem = iban_problem(f"NL{digits}{account}")
        assert problem is not None
        assert problem.code == "wrong_check_digits"


def test_a_length_is_told_by_country():
    """The sentence gives both figures."""
    problem = iban_problem("NL42INGB226835241")
    assert isinstance(problem, IbanProblem)
    assert problem.dutch == "Het IBAN heeft 17 tekens; een IBAN uit NL heeft er 18."
    assert problem.english == "The IBAN has 17 characters; one of NL has 18."


def test_a_country_outside_sepa_is_told_by_name():
    """A person reads Turkije, not TR."""
    problem = iban_problem("TR330006100519786457841326")
    assert isinstance(problem, IbanProblem)
    assert "Turkije" in problem.dutch
    assert "Turkey" in problem.english


@pytest.mark.parametrize("code", sorted(CODES_WITHOUT_IBAN))
def test_parts_of_other_countries_have_no_ibans_of_their_own(code: str):
    """Accounts of Aland begin with FI, of French overseas parts with FR, of Guernsey, Jersey and Man with GB."""
    spec = registry.get_iban_spec(code)
    assert (problem := iban_problem(code + "00" + "1" * (spec.iban_length - 4))) is not None
    assert problem.code == "unknown_country"


@pytest.mark.parametrize("country", sorted(SEPA_COUNTRIES))
def test_an_iban_of_each_sepa_country_is_good(country: str):
    """Every country on the list has IBANs that pass."""
    assert iban_problem(schwifty.IBAN.random(country, use_registry=False), on=TODAY) is None


_VERDICTS = {
    schwifty.exceptions.InvalidStructure: "wrong_characters",
    schwifty.exceptions.InvalidLength: "wrong_length",
    schwifty.exceptions.InvalidChecksumDigits: "wrong_check_digits",
}


def _verdict_of_schwifty(text: str) -> str | None:
    try:
        schwifty.IBAN(text)
    except tuple(_VERDICTS) as error:
        return _VERDICTS[type(error)]
    return None


@settings(deadline=None, max_examples=500)
@given(
    st.sampled_from(sorted(SEPA_COUNTRIES)),
    st.lists(st.tuples(st.integers(2, 33), st.sampled_from("059AIOZ")), max_size=2),
    st.randoms(use_true_random=False),
)
def test_every_verdict_is_that_of_schwifty(country: str, slips: list[tuple[int, str]], random: Random):
    """Accounts of every country, also with a character or two mistyped, are judged as schwifty itself judges them."""
    written = schwifty.IBAN.random(country, use_registry=False, random=random)
    text = str(written)
    for place, character in slips:
        place %= len(text)  # noqa: PLW2901
        text = text[:place] + character + text[place + 1 :] if place > 1 else text
    problem = iban_problem(text)
    assert (None if problem is None else problem.code) == _verdict_of_schwifty(text)


def test_every_single_slip_in_an_iban_is_found():
    """One digit mistyped, or two neighbours swapped, never gives another good IBAN."""
    for place in range(8, len(GOOD)):
        for digit in "0123456789":
            if digit != GOOD[place]:
                assert iban_problem(GOOD[:place] + digit + GOOD[place + 1 :]) is not None
    for place in range(8, len(GOOD) - 1):
        if GOOD[place] != GOOD[place + 1]:
            assert iban_problem(GOOD[:place] + GOOD[place + 1] + GOOD[place] + GOOD[place + 2 :]) is not None


# ------------------------------------------------------------------------------------------------------------ countries


def test_sepa_is_forty_one_countries_and_gibraltar():
    """As many as the European Payments Council counts; no code without IBANs of its own is in the table."""
    assert len(SEPA_COUNTRIES.keys() - {"GI"}) == 41
    assert not SEPA_COUNTRIES.keys() & CODES_WITHOUT_IBAN
    assert len(EEA_COUNTRIES) == 30
    assert set(SEPA_COUNTRIES) > EEA_COUNTRIES


@pytest.mark.parametrize("country", ["AL", "MD", "ME", "MK", "RS", "AD", "VA", "MC", "SM", "CH", "GB", "GI", "LI"])
def test_countries_that_joined_are_reached_today(country: str):
    """Also those that older lists leave out."""
    assert is_sepa(country, TODAY)


@pytest.mark.parametrize("country", ["FO", "GL", "TR", "UA", "BA", "XK", "US", "", "nl"])
def test_other_countries_are_not_reached(country: str):
    """The Faroe Islands and Greenland are Danish and not in SEPA."""
    assert not is_sepa(country, TODAY)


@pytest.mark.parametrize(
    ("country", "first"),
    [
        ("AL", date(2025, 10, 7)),
        ("MD", date(2025, 10, 7)),
        ("ME", date(2025, 10, 7)),
        ("MK", date(2025, 10, 7)),
        ("RS", date(2026, 5, 5)),
        ("HR", date(2013, 7, 1)),
        ("AD", date(2019, 3, 1)),
    ],
)
def test_a_country_is_reached_from_its_first_day_on(country: str, first: date):
    """The day before it is not."""
    assert is_sepa(country, first)
    assert not is_sepa(country, date.fromordinal(first.toordinal() - 1))


def test_an_iban_is_judged_on_the_day_of_payment():
    """A Serbian account is good for a payment in May 2026, not in April."""
    serbian = schwifty.IBAN.random("RS", use_registry=False)
    assert iban_problem(serbian) is None
    assert iban_problem(serbian, on=date(2026, 5, 5)) is None
    assert (problem := iban_problem(serbian, on=date(2026, 5, 4))) is not None
    assert problem.code == "not_sepa"
    assert "Servië" in problem.dutch


@pytest.mark.parametrize(
    ("country", "expected"), [("NL", True), ("NO", True), ("CH", False), ("GB", False), ("RS", False)]
)
def test_the_economic_area_is_smaller_than_sepa(country: str, expected: bool):
    """Switzerland and Britain are in SEPA and outside the EEA."""
    assert is_eea(country) is expected


def test_every_country_with_ibans_outside_sepa_has_a_name():
    """No sentence shows a bare code for a country that schwifty knows."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for country in (first + second for first in letters for second in letters):
        try:
            registry.get_iban_spec(country)
        except schwifty.exceptions.InvalidCountryCode:
            continue
        if country not in SEPA_COUNTRIES and country not in CODES_WITHOUT_IBAN:
            assert country_name(country) != (country, country), country
    assert country_name("NL") == ("NL", "NL")


# ------------------------------------------------------------------------------------------------------ banks and tests


@pytest.mark.parametrize(
    ("iban", "expected"),
    [
        (GOOD, True),
        ("nl42 ingb 2268 3524 12", True),
        ("NL00NTSB0000000000", True),
        ("NL00ZZZZ0123456789", False),
        ("NL00TEST0123456789", False),
        ("DE89370400440532013000", None),
        ("NL", None),
        ("", None),
    ],
)
def test_a_dutch_bank_code_is_known_or_not(iban: str, expected: bool | None):
    """Abroad nothing is said."""
    assert known_bank(iban) is expected


@pytest.mark.parametrize(
    ("iban", "expected"),
    [
        (GOOD, True),
        ("NL52ABNA7650143244", True),
        ("NL57ABNA7134384551", True),
        ("NL64TRIO0379501686", True),
        ("NL42INGB2268352413", False),
        ("NL20INGB0001234567", None),
        ("DE89370400440532013000", None),
        ("", None),
    ],
)
def test_the_eleven_test_holds_for_dutch_bank_accounts_only(iban: str, expected: bool | None):
    """Old giro numbers and foreign accounts never had it."""
    assert eleven_test(iban) is expected


# ------------------------------------------------------------------------------------------------------------- on paper


@pytest.mark.parametrize(
    ("iban", "shown"),
    [
        (GOOD, "NL42 **** **** **24 12"),
        ("nl42 ingb 2268 3524 12", "NL42 **** **** **24 12"),
        ("NO9386011117947", "NO93 **** ***7 947"),
        ("NL4212345678", "NL42 **** 5678"),
        ("NL421234567", "****"),
        ("Jan Jansen", "****"),
        ("", "****"),
        ("X" * 34, "XXXX **** **** **** **** **** **** **XX XX"),
        ("X" * 35, "****"),
    ],
)
def test_a_masked_iban_shows_its_ends_only(iban: str, shown: str):
    """What cannot be an account shows nothing at all."""
    assert mask(iban) == shown


@pytest.mark.parametrize(
    ("iban", "shown"), [(GOOD, "NL42 INGB 2268 3524 12"), ("no93-8601 1117947", "NO93 8601 1117 947"), ("", "")]
)
def test_an_iban_is_read_in_groups_of_four(iban: str, shown: str):
    """As on paper."""
    assert grouped(iban) == shown
