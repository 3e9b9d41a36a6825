"""The bank's own tables against those of the service: two independent sources that must agree."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from schwifty import IBAN

from app.payments import bank_days, check_digits
from app.payments.countries import SEPA_COUNTRIES
from app.payments.iban import iban_problem
from simulators.bank.accounts import iban_fault, is_bic, is_reference
from simulators.bank.alphabet import CHARACTERS
from simulators.bank.bank_days import is_bank_day


def test_bank_days_of_a_century_agree():
    """Two ways to find Easter, one calendar."""
    days = (date(2000, 1, 1) + timedelta(days=n) for n in range(366 * 100))
    assert [day for day in days if is_bank_day(day) != bank_days.is_bank_day(day)] == []


@pytest.mark.parametrize("country", sorted(SEPA_COUNTRIES))
def test_accounts_of_every_sepa_country_are_known(country: str):
    """A right IBAN of each country is taken; a swapped digit, another length and wrong check digits are not."""
    iban = str(IBAN.random(country_code=country))

    assert iban_fault(iban) is None
    assert iban_problem(iban) is None
    assert iban_fault(f"{iban}0") is not None
    assert iban_fault(iban[:-1]) is not None
    assert iban_fault(f"{iban[:2]}{(int(iban[2:4]) + 1) % 100:02d}{iban[4:]}") is not None


@given(st.text("0123456789", min_size=6, max_size=17))
def test_dutch_references_are_judged_alike(digits: str):
    """The bank and the service each wrote the rule down."""
    assert is_reference(digits, "CUR") == check_digits.is_dutch_payment_reference(digits)


@pytest.mark.parametrize("reference", ["5000056789012345", "RF18539007547034", "1234567"])
def test_references_of_the_other_kind_do_not_pass(reference: str):
    """The issuer says which check applies; without one there is none."""
    issuers = [issuer for issuer in ("CUR", "ISO", "BBA", None) if is_reference(reference, issuer)]
    assert issuers == ["ISO" if reference.startswith("RF") else "CUR"]


def test_the_character_set_is_that_of_the_guidelines():
    """Letters, digits, ten marks and the blank."""
    assert "".join(sorted(CHARACTERS)) == (" '()+,-./0123456789:?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


def test_bank_codes_have_eight_or_eleven_characters():
    """As the schema has them."""
    assert [text for text in ("ABNANL2A", "ABNANL2AXXX", "ABNANL2AXX", "abnanl2a", "") if is_bic(text)] == [
        "ABNANL2A",
        "ABNANL2AXXX",
    ]
