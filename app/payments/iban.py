"""IBANs: one canonical form, what is wrong with one in plain words, and whether SEPA reaches it. Pure.

schwifty knows the length and structure of each country (ISO 13616 registry), `check_digits` the sum; SEPA membership is
a table of our own (`countries`). Nothing here returns the IBAN that it was given in a message.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from schwifty import registry
from schwifty.exceptions import InvalidCountryCode

from app.payments.check_digits import is_iban
from app.payments.countries import CODES_WITHOUT_IBAN, EEA_COUNTRIES, SEPA_COUNTRIES, country_name

__all__ = [
    "SEPA_COUNTRIES",
    "IbanProblem",
    "eleven_test",
    "grouped",
    "iban_problem",
    "is_eea",
    "is_sepa",
    "known_bank",
    "mask",
    "normalise",
]

# Issued in the Netherlands, but absent from schwifty's list of banks.
_MORE_DUTCH_BANKS = frozenset({"NTSB"})
_CANONICAL = re.compile("[A-Z]{2}[A-Z0-9]*")
_DUTCH_ACCOUNT = re.compile(r"NL[0-9]{2}([A-Z]{4})([0-9]{10})")
_MAXIMUM_LENGTH = 34
# Below this an IBAN cannot exist, and four characters at both ends would show most of the text.
_MINIMUM_MASKED_LENGTH = 12
_ENDS_SHOWN = 4
# What people type between the groups: hyphens and dashes, and the point.
_SEPARATORS = frozenset("-.\u2010\u2011\u2012\u2013\u2014\u2212")


@dataclass(frozen=True, slots=True, kw_only=True)
class IbanProblem:
    """What is wrong with an IBAN and what to do, in English and Dutch. Never holds the IBAN.

    `code`: missing, wrong_characters, wrong_length, wrong_check_digits, unknown_country or not_sepa.
    """

    code: str
    english: str
    dutch: str
    remedy_english: str = "Correct the account number in the payroll package and read the run again."
    remedy_dutch: str = "Pas het rekeningnummer aan in het salarispakket en haal de run opnieuw op."


def normalise(text: str) -> str:
    """Return the canonical form: capitals, without blanks of any kind, invisible characters, dashes and points.

    Only a-z become capitals: a letter such as the dotless i would otherwise turn into an ordinary one unseen. Any other
    character stays, so that `iban_problem` refuses it.
    """
    if text.isascii() and text.isalnum():
        return text.upper()
    kept = (character for character in text if not _is_layout(character))
    return "".join(character.upper() if character.isascii() else character for character in kept)


def _is_layout(character: str) -> bool:
    return character.isspace() or character in _SEPARATORS or unicodedata.category(character) == "Cf"


def iban_problem(text: str, *, on: date | None = None) -> IbanProblem | None:
    """Return the first thing that is wrong with this IBAN as written by a person or a source, None when it is good.

    With `on` (the execution date) a country must be reachable by then; without it, being on the SEPA list is enough.
    """
    iban = normalise(text)
    if not iban:
        return IbanProblem(code="missing", english="There is no IBAN.", dutch="Er is geen IBAN.")
    if not _CANONICAL.fullmatch(iban):
        return _wrong_characters()
    return _wrong_form(iban) or _not_reachable(iban[:2], on)


def _wrong_form(iban: str) -> IbanProblem | None:
    country = iban[:2]
    try:
        spec = registry.get_iban_spec(country)
    except InvalidCountryCode:
        return _unknown_country()
    if country in CODES_WITHOUT_IBAN:
        return _unknown_country()
    if len(iban) != spec.iban_length:
        return IbanProblem(
            code="wrong_length",
            english=f"The IBAN has {len(iban)} characters; one of {country} has {spec.iban_length}.",
            dutch=f"Het IBAN heeft {len(iban)} tekens; een IBAN uit {country} heeft er {spec.iban_length}.",
        )
    # Not `schwifty.IBAN(iban)`: it says the same and takes three times as long, for objects that nobody looks at.
    if not iban[2:4].isdigit() or spec.regex.fullmatch(iban[4:]) is None:
        return _wrong_characters()
    if not is_iban(iban):
        return IbanProblem(
            code="wrong_check_digits",
            english="The check digits of the IBAN are wrong: a character is mistyped or two are swapped.",
            dutch="Het controlegetal van het IBAN klopt niet: een teken is verkeerd getypt of twee zijn verwisseld.",
        )
    return None


def _not_reachable(country: str, on: date | None) -> IbanProblem | None:
    if country in SEPA_COUNTRIES and (on is None or is_sepa(country, on)):
        return None
    english, dutch = country_name(country)
    return IbanProblem(
        code="not_sepa",
        english=f"The account is in a country that SEPA does not reach: {english}.",
        dutch=f"De rekening is in een land dat niet met SEPA te bereiken is: {dutch}.",
        remedy_english="Pay this person to a SEPA account, or outside of this service, and leave the line out.",
        remedy_dutch="Betaal deze persoon op een SEPA-rekening of buiten deze dienst om, en laat de regel weg.",
    )


def _wrong_characters() -> IbanProblem:
    return IbanProblem(
        code="wrong_characters",
        english="The IBAN holds a character that does not belong there, for instance the letter O for the digit 0.",
        dutch="In het IBAN staat een teken dat er niet hoort, bijvoorbeeld de letter O in plaats van het cijfer 0.",
    )


def _unknown_country() -> IbanProblem:
    return IbanProblem(
        code="unknown_country",
        english="The IBAN begins with letters of no country that has IBANs.",
        dutch="Het IBAN begint niet met de letters van een land dat IBAN's heeft.",
    )


def is_sepa(country: str, on: date) -> bool:
    """Tell whether a SEPA credit transfer reaches this country (the first two letters of the IBAN) on this day."""
    since = SEPA_COUNTRIES.get(country)
    return since is not None and since <= on


def is_eea(country: str) -> bool:
    """Tell whether the country is in the European Economic Area; outside of it banks ask more of the payer."""
    return country in EEA_COUNTRIES


def known_bank(iban: str) -> bool | None:
    """Tell whether the bank code of a Dutch IBAN is on the list; None where no list is kept. At most a notice."""
    account = _DUTCH_ACCOUNT.fullmatch(normalise(iban))
    if account is None:
        return None
    return account[1] in _MORE_DUTCH_BANKS or bool(registry.get_banks_by_code("NL", account[1]))


def eleven_test(iban: str) -> bool | None:
    """Tell whether a Dutch account number passes the old eleven test; None where it never held.

    At most a notice: banks issue numbers that fail it. Numbers of seven digits or less come from the giro, which had no
    such test.
    """
    account = _DUTCH_ACCOUNT.fullmatch(normalise(iban))
    if account is None or account[2].startswith("000"):
        return None
    return sum(int(digit) * weight for digit, weight in zip(account[2], range(10, 0, -1), strict=True)) % 11 == 0


def mask(iban: str) -> str:
    """Return the IBAN with all but the first and last four characters hidden: `NL42 **** **** **24 12`.

    Anything that cannot be an IBAN is hidden whole.
    """
    text = normalise(iban)
    if not _MINIMUM_MASKED_LENGTH <= len(text) <= _MAXIMUM_LENGTH:
        return "****"
    hidden = "*" * (len(text) - 2 * _ENDS_SHOWN)
    return _in_fours(text[:_ENDS_SHOWN] + hidden + text[-_ENDS_SHOWN:])


def grouped(iban: str) -> str:
    """Return the IBAN in groups of four, as on paper: `NL42 INGB 2268 3524 12`."""
    return _in_fours(normalise(iban))


def _in_fours(text: Sequence[str]) -> str:
    return " ".join("".join(text[start : start + 4]) for start in range(0, len(text), 4))
