from datetime import time

import pytest

from app.payments.bank_profiles import (
    BANK_PROFILES,
    DEFAULT_PROFILE,
    NOT_FOUND,
    BankProfile,
    profile_by_code,
    profile_for,
)
from app.payments.iban import known_bank


@pytest.mark.parametrize(
    ("iban", "code"),
    [
        ("NL42INGB2268352412", "INGB"),
        ("nl52 abna 7650 1432 44", "ABNA"),
        ("NL64TRIO0379501686", "TRIO"),
        ("NL00BUNQ0123456789", "BUNQ"),
        ("NL00ZZZZ0123456789", "DEFAULT"),
        ("DE89370400440532013000", "DEFAULT"),
        ("BE00ABNA0123456789", "DEFAULT"),
        ("NL", "DEFAULT"),
        ("", "DEFAULT"),
    ],
)
def test_an_account_has_the_profile_of_its_bank(iban: str, code: str):
    """By the bank code of a Dutch IBAN; anything else has the careful default."""
    assert profile_for(iban).code == code


def test_a_stored_code_gives_its_profile():
    """Also one that is no longer on the list."""
    assert profile_by_code("RABO").name == "Rabobank"
    assert profile_by_code("GONE") is DEFAULT_PROFILE


@pytest.mark.parametrize("code", ["ABNA", "RABO", "INGB", "BUNQ", "TRIO", "ASNB", "SNSB", "RBRB", "KNAB", "FVLB"])
def test_the_banks_of_dutch_employers_have_a_profile(code: str):
    """Each is known by name."""
    assert BANK_PROFILES[code].name != DEFAULT_PROFILE.name


@pytest.mark.parametrize("profile", [*BANK_PROFILES.values(), DEFAULT_PROFILE], ids=lambda profile: profile.code)
def test_a_figure_has_a_source_or_is_the_default(profile: BankProfile):
    """Nothing in a profile is made up: what differs from the default was read somewhere, on a day."""
    same = [
        getattr(profile, name) == getattr(DEFAULT_PROFILE, name)
        for name in DEFAULT_PROFILE.__slots__
        if name not in {"code", "name", "source", "verified_on"}
    ]
    assert (profile.source == NOT_FOUND) == (profile.verified_on is None)
    assert profile.source != NOT_FOUND or all(same)


@pytest.mark.parametrize("profile", [*BANK_PROFILES.values(), DEFAULT_PROFILE], ids=lambda profile: profile.code)
def test_a_profile_makes_sense(profile: BankProfile):
    """Figures that contradict each other would bar every payment of that bank."""
    assert profile.default_schema in profile.schemas
    assert 1 <= profile.maximum_transactions_per_instruction <= profile.maximum_transactions_per_file <= 100_000
    assert 1 <= profile.horizon_days <= 364
    assert 0 <= profile.lead_bank_days <= 3
    assert time(9) <= profile.cut_off <= time(18)
    assert 0 < profile.remittance_length <= 140
    assert profile.maximum_bytes >= 1_000_000
    assert profile is DEFAULT_PROFILE or known_bank(f"NL00{profile.code}0000000000")


def test_the_default_is_as_careful_as_the_most_careful_bank():
    """For an unknown bank no later hour is promised, and no larger file, than any known bank keeps without asking."""
    assert DEFAULT_PROFILE.cut_off <= min(profile.cut_off for profile in BANK_PROFILES.values())
    assert DEFAULT_PROFILE.signature_days >= max(profile.signature_days for profile in BANK_PROFILES.values())
    assert DEFAULT_PROFILE.retry_bank_days >= max(profile.retry_bank_days for profile in BANK_PROFILES.values())
    assert not DEFAULT_PROFILE.shows_hash


def test_facts_of_abn_amro():
    """As the bank publishes them."""
    profile = BANK_PROFILES["ABNA"]
    assert (profile.maximum_transactions_per_file, profile.horizon_days, profile.shows_hash) == (100_000, 364, True)
    assert (profile.cut_off, profile.signature_days) == (time(16), 28)


def test_facts_of_rabobank():
    """As the bank publishes them."""
    profile = BANK_PROFILES["RABO"]
    assert (profile.signature_days, profile.retry_bank_days, profile.shows_hash) == (21, 3, True)
    assert profile.maximum_transactions_per_file == 25_000


def test_facts_of_smaller_banks():
    """As the banks publish them: an early hour, and a small file."""
    assert BANK_PROFILES["DEUT"].cut_off == time(13)
    assert BANK_PROFILES["FNOM"].maximum_transactions_per_file == 200
    assert BANK_PROFILES["BNGH"].maximum_transactions_per_file == 100_000
