"""Account numbers, bank codes and payment references, checked the way a bank does before it looks anything up."""

import re
from typing import Final

# The account part of an IBAN in each country that SEPA reaches, as the ISO 13616 registry writes it: so many digits
# (n), capitals (a) or either (c). Guernsey, Jersey and the Isle of Man have IBANs of GB, French overseas parts of FR.
_STRUCTURES: Final = """
AD 8n12c    AL 8n16c    AT 16n      BE 12n      BG 4a6n8c   CH 5n12c    CY 8n16c    CZ 20n      DE 18n
DK 14n      EE 16n      ES 20n      FI 14n      FR 10n11c2n GB 4a14n    GI 4a15c    GR 7n16c    HR 17n
HU 24n      IE 4a14n    IS 22n      IT 1a10n12c LI 5n12c    LT 16n      LU 3n13c    LV 4a13c    MC 10n11c2n
MD 20c      ME 18n      MK 3n10c2n  MT 4a5n18c  NL 4a10n    NO 11n      PL 24n      PT 21n      RO 4a16c
RS 18n      SE 20n      SI 15n      SK 20n      SM 1a10n12c VA 18n
"""
_CLASSES: Final = {"n": "[0-9]", "a": "[A-Z]", "c": "[A-Z0-9]"}


def _pattern(structure: str) -> re.Pattern[str]:
    parts = re.findall(r"(\d+)([nac])", structure)
    return re.compile("".join(f"{_CLASSES[kind]}{{{count}}}" for count, kind in parts))


_WORDS: Final = _STRUCTURES.split()
_PATTERNS: Final = {country: _pattern(structure) for country, structure in zip(_WORDS[::2], _WORDS[1::2], strict=True)}
_BIC: Final = re.compile(r"[A-Z]{6}[A-Z2-9][A-NP-Z0-9]([A-Z0-9]{3})?")
_RF: Final = re.compile(r"RF[0-9]{2}[A-Z0-9]{1,21}")
_DUTCH: Final = re.compile(r"[0-9]{7}|[0-9]{9,14}|[0-9]{16}")
_DUTCH_WEIGHTS: Final = (2, 4, 8, 5, 10, 9, 7, 3, 6, 1)
_LOWEST_CHECK, _HIGHEST_CHECK = 2, 98  # what ISO 7064 can yield
_SHORT, _LONG = 7, 16


def iban_fault(iban: str) -> str | None:
    """What is wrong with an IBAN, None when nothing is: country, form, check digits."""
    pattern = _PATTERNS.get(iban[:2])
    if pattern is None:
        return "the country of the account cannot be reached by SEPA"
    if not pattern.fullmatch(iban[4:]) or not (iban[2:4].isascii() and iban[2:4].isdigit()):
        return "the account number has not the form of its country"
    if not _LOWEST_CHECK <= int(iban[2:4]) <= _HIGHEST_CHECK or _modulo_97(iban) != 1:
        return "the check digits of the account number are wrong"
    return None


def is_bic(text: str) -> bool:
    """Whether a bank code is well formed."""
    return _BIC.fullmatch(text) is not None


def is_reference(text: str, issuer: str | None) -> bool:
    """Whether a structured reference passes its own check: RF for issuer ISO, the Dutch one for CUR."""
    if issuer == "ISO":
        return _RF.fullmatch(text) is not None and _modulo_97(text) == 1
    return issuer == "CUR" and _is_dutch_reference(text)


def _is_dutch_reference(text: str) -> bool:
    """Betaalvereniging Nederland: check digit first; 9 to 14 digits carry their length in the second place."""
    if not _DUTCH.fullmatch(text):
        return False
    if len(text) == _SHORT:
        return True
    if len(text) < _LONG and text[1] != str(len(text) - 2)[-1]:
        return False
    total = 0
    for place, digit in enumerate(text[:0:-1]):
        total += int(digit) * _DUTCH_WEIGHTS[place % len(_DUTCH_WEIGHTS)]
    rest = 11 - total % 11
    return text[0] == str({10: 1, 11: 0}.get(rest, rest))


def _modulo_97(text: str) -> int:
    """ISO 7064: the first four characters go to the end, letters become two digits."""
    remainder = 0
    for character in text[4:] + text[:4]:
        value = int(character, 36)
        remainder = (remainder * (100 if value > 9 else 10) + value) % 97  # noqa: PLR2004 - ten and up take two digits
    return remainder
