"""Check digits: IBAN (ISO 13616), creditor reference RF (ISO 11649) and the Dutch payment reference."""

import re

_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_RF = re.compile(r"RF[0-9]{2}[A-Z0-9]{1,21}")
_DUTCH = re.compile(r"[0-9]{7}|[0-9]{9,14}|[0-9]{16}")
_VALUES = str.maketrans({chr(ord("A") + i): str(10 + i) for i in range(26)})
# ISO 7064 MOD 97-10 yields 02 to 98; 00, 01 and 99 fit the sum as well, but nobody issues them.
_NEVER_ISSUED = frozenset({"00", "01", "99"})

# Betaalvereniging Nederland, specification of the Dutch payment reference.
_DUTCH_WEIGHTS = (2, 4, 8, 5, 10, 9, 7, 3, 6, 1)
_DUTCH_WITHOUT_CHECK = 7
_DUTCH_WITHOUT_LENGTH_CODE = 16


def is_iban(text: str) -> bool:
    """Tell whether this is an IBAN in the written form of a file: capitals, no blanks, right check digits.

    It says nothing about the country's own length and structure, nor about SEPA; the rules on the lines judge those.
    """
    return _IBAN.fullmatch(text) is not None and _passes_97(text)


def is_creditor_reference(text: str) -> bool:
    """Tell whether this is an ISO 11649 reference (RF, check digits, 25 characters at most) without blanks."""
    return _RF.fullmatch(text) is not None and _passes_97(text)


def is_dutch_payment_reference(text: str) -> bool:
    """Tell whether this is a Dutch *betalingskenmerk*: 7, 9 to 14 or 16 digits, check digit first.

    Seven digits carry no check; 9 to 14 digits have a length code in second place.
    """
    if not _DUTCH.fullmatch(text):
        return False
    if len(text) == _DUTCH_WITHOUT_CHECK:
        return True
    if len(text) != _DUTCH_WITHOUT_LENGTH_CODE and int(text[1]) != (len(text) - 2) % 10:
        return False
    return text[0] == _dutch_check_digit(text[1:])


def _dutch_check_digit(digits: str) -> str:
    weighted = sum(int(digit) * _DUTCH_WEIGHTS[i % len(_DUTCH_WEIGHTS)] for i, digit in enumerate(reversed(digits)))
    return {10: "1", 11: "0"}.get(11 - weighted % 11, str(11 - weighted % 11))


def _passes_97(text: str) -> bool:
    return text[2:4] not in _NEVER_ISSUED and int((text[4:] + text[:4]).translate(_VALUES)) % 97 == 1
