"""docs/bank-profiles.md says what the code does."""

from app.payments.bank_profiles import BANK_PROFILES, DEFAULT_PROFILE, NOT_FOUND
from tests.docs.bank_profiles_table import PAGE, tables
from tests.docs.made_tables import on_page


def test_the_page_shows_the_profiles_as_they_are() -> None:
    """Whoever looks a bank up reads the figures that files are made with."""
    assert on_page(PAGE) == tables(), "write it again with .venv/bin/python -m tests.docs.bank_profiles_table"


def test_every_bank_has_a_source_and_a_date_or_says_that_none_was_found() -> None:
    """A figure without a source is a default: nothing on the page is passed off as a fact."""
    for bank in BANK_PROFILES.values():
        assert (bank.source == NOT_FOUND) == (bank.verified_on is None), bank.name
        if bank.source == NOT_FOUND:
            assert tables().count(f"| {bank.name} | `{bank.code}` |" + " - |" * 9) == 1, bank.name
    assert DEFAULT_PROFILE.source == NOT_FOUND
