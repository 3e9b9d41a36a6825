"""Money is integer cents inside; text with two decimals outside; never a float."""

import re
from decimal import Decimal, InvalidOperation

CURRENCY = "EUR"
# SEPA rulebook: EUR 0.01 to EUR 999,999,999.99 per credit transfer.
MAXIMUM_TRANSFER_CENTS = 99_999_999_999
# The largest total that a pain.001 control sum (18 digits, 2 of them decimals) can hold; far below bigint's limit.
MAXIMUM_TOTAL_CENTS = 999_999_999_999_999_999
# The largest whole number that JSON by RFC 8785 can hold, in which the history is written: 90 trillion euros.
MAXIMUM_STATED_CENTS = 2**53 - 1

_PLAIN_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,15})\.[0-9]{2}")


def cents_to_text(amount_cents: int) -> str:
    """Return cents as text with two decimals and a point: 1980608 -> `19806.08`."""
    sign = "-" if amount_cents < 0 else ""
    euros, cents = divmod(abs(amount_cents), 100)
    return f"{sign}{euros}.{cents:02d}"


def text_to_cents(text: str) -> int:
    """Return the cents of an amount written as in our JSON, exactly two decimals; ValueError otherwise."""
    if not _PLAIN_AMOUNT.fullmatch(text):
        message = "an amount is written with a point and two decimals, like 19806.08"
        raise ValueError(message)
    return int(text.replace(".", ""))


def stated_cents(text: str) -> int:
    """Return the cents of an amount that a person or program states here; ValueError also when it is over the most."""
    cents = text_to_cents(text)
    if cents > MAXIMUM_STATED_CENTS:
        message = f"an amount is at most {cents_to_text(MAXIMUM_STATED_CENTS)}"
        raise ValueError(message)
    return cents


def decimal_text_to_cents(text: str) -> int:
    """Return the cents of an XML Schema decimal (`2611`, `2611.0`, `+2611.00`); ValueError when it is not whole cents.

    pain.001 allows up to five decimals; a fraction of a cent cannot be paid and is refused, not rounded.
    """
    if not re.fullmatch(r"[+-]?([0-9]{1,18}(\.[0-9]{0,5})?|\.[0-9]{1,5})", text.strip()):
        message = "not a decimal amount"
        raise ValueError(message)
    try:
        cents = Decimal(text.strip()) * 100
    except InvalidOperation as error:
        message = "not a decimal amount"
        raise ValueError(message) from error
    if cents != cents.to_integral_value():
        message = "an amount with a fraction of a cent"
        raise ValueError(message)
    return int(cents)


def dutch(amount_cents: int) -> str:
    """Return cents as people in the Netherlands read them: 1980608 -> `EUR 19.806,08`."""
    euros, cents = cents_to_text(amount_cents).split(".")
    return (
        f"EUR {int(euros):,}".replace(",", ".") + f",{cents}"
        if not euros.startswith("-")
        else (f"-{dutch(-amount_cents)}")
    )
