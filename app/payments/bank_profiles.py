"""What each bank does with a payment file, as data; safe defaults where a bank does not say.

Every figure that differs from the default has a public source. A bank of which nothing was found has the default
figures and the source `not found`: guesses on the careful side, to be replaced by facts, not to be taken for facts.
"""

from dataclasses import dataclass, replace
from datetime import date, time

from app.payments.iban import normalise
from app.payments.sepa_model import SCHEMA_2009, SCHEMA_2019

NOT_FOUND = "not found"
_LOOKED_UP = date(2026, 11, 21)


@dataclass(frozen=True, slots=True, kw_only=True)
class BankProfile:
    """The rules of one bank for a payment file.

    `code` is the bank code in a Dutch IBAN. `cut_off` (Amsterdam time) on the day `lead_bank_days` bank days before the
    execution date is the last moment to hand in a file. `horizon_days`: how many days ahead a date may be.
    `retry_bank_days`: for how long the bank itself tries again for lack of funds. `signature_days`: after how many days
    an unsigned file is gone. `shows_hash`: the bank shows the file's hash, so that people can compare it.
    `verified_on` is the day the source was read, None when there is none.
    """

    code: str
    name: str
    schemas: tuple[str, ...] = (SCHEMA_2019, SCHEMA_2009)
    default_schema: str = SCHEMA_2019
    maximum_transactions_per_file: int = 10_000
    maximum_transactions_per_instruction: int = 10_000
    maximum_bytes: int = 10_000_000
    maximum_file_name_length: int = 35
    horizon_days: int = 364
    supports_batch_booking: bool = True
    remittance_length: int = 140
    # The earliest hour found for batches at any bank in the Netherlands (BNG Bank).
    cut_off: time = time(12, 0)
    lead_bank_days: int = 0
    # The longest periods found (Rabobank and ABN AMRO) and something more: claims are released later, never too early.
    retry_bank_days: int = 5
    signature_days: int = 30
    shows_hash: bool = False
    source: str = NOT_FOUND
    verified_on: date | None = None


DEFAULT_PROFILE = BankProfile(code="DEFAULT", name="Unknown bank")

_PROFILES = (
    BankProfile(
        code="ABNA",
        name="ABN AMRO",
        maximum_transactions_per_file=100_000,  # 10,000 is what the bank advises
        maximum_transactions_per_instruction=100_000,
        # Files are taken on any day at any hour; the hour here leaves the bank the rest of the working day.
        cut_off=time(16, 0),
        signature_days=28,
        shows_hash=True,
        source="abnamro.nl: credit transfer batches; upload SEPA and non-SEPA files; verify recipients",
        verified_on=_LOOKED_UP,
    ),
    BankProfile(
        code="RABO",
        name="Rabobank",
        # Of the bulk payment interface, uncompressed; no figure was found for upload by hand.
        maximum_transactions_per_file=25_000,
        maximum_transactions_per_instruction=25_000,
        retry_bank_days=3,
        signature_days=21,  # 14 days for the first signature, 7 more for the second
        shows_hash=True,
        source="developer.rabobank.nl: SEPA bulk payments, business payment initiation; rabobank.nl (older page)",
        verified_on=date(2026, 11, 20),
    ),
    BankProfile(
        code="INGB",
        name="ING",
        source="ing.nl: business, file formats (both schemas since 17 March 2024); limits not found",
        verified_on=_LOOKED_UP,
    ),
    BankProfile(
        code="BNGH",
        name="BNG Bank",
        maximum_transactions_per_file=100_000,
        maximum_transactions_per_instruction=100_000,
        source="bngbank.nl: SEPA payment files; bng.nl: SEPA credit transfer (older page)",
        verified_on=_LOOKED_UP,
    ),
    BankProfile(
        code="DEUT",
        name="Deutsche Bank",
        cut_off=time(13, 0),
        source="Deutsche Bank Netherlands: general information and conditions, cut-off times",
        verified_on=_LOOKED_UP,
    ),
    BankProfile(
        code="FNOM",
        name="Finom",
        maximum_transactions_per_file=200,
        maximum_transactions_per_instruction=200,
        source="help.finom.co: bulk payments via a file",
        verified_on=_LOOKED_UP,
    ),
    *(
        replace(DEFAULT_PROFILE, code=code, name=name)
        for code, name in (
            ("BUNQ", "bunq"),
            ("TRIO", "Triodos Bank"),
            ("ASNB", "ASN Bank"),
            ("SNSB", "ASN Bank (SNS)"),
            ("RBRB", "ASN Bank (RegioBank)"),
            ("KNAB", "Knab"),
            ("FVLB", "Van Lanschot Kempen"),
        )
    ),
)
BANK_PROFILES = {profile.code: profile for profile in _PROFILES}


def profile_for(iban: str) -> BankProfile:
    """Return the profile of the bank that holds this account; the default for banks abroad and unknown ones."""
    account = normalise(iban)
    return profile_by_code(account[4:8]) if account.startswith("NL") else DEFAULT_PROFILE


def profile_by_code(code: str) -> BankProfile:
    """Return the profile as stored with a debtor account; the default for a code that is not, or no longer, known."""
    return BANK_PROFILES.get(code, DEFAULT_PROFILE)
