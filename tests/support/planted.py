"""Payees whose names, accounts, amounts and texts appear nowhere else, and every way in which they could be written."""

import re
from collections.abc import Iterator

from tests.payments.payroll_document import Line
from tests.support.house import CREDITORS

# Sums that appear nowhere else; the total of the two that are paid is 9580.76.
PLANTED = (
    Line(name="Kanarie Geelvink", iban=CREDITORS[0], amount="4711.37", text="Salaris kwetterlied", end_to_end_id="A"),
    Line(name="Kanarie Putter", iban=CREDITORS[1], amount="4869.39", text="Salaris sijsjeszang", end_to_end_id="B"),
    Line(name="Kanarie Barmsijs", iban="NL00BANK0123456789", amount="3907.41", text="Fluitlied", end_to_end_id="C"),
)
_CENTS = (471_137, 486_939, 390_741, 958_076, 1_348_817)


def _forms() -> Iterator[str]:
    for line in PLANTED:
        yield from (line.name, line.name.split()[1], line.text)
        yield line.iban
        yield " ".join(re.findall("....|.+", line.iban))
    for cents in _CENTS:
        euros, rest = divmod(cents, 100)
        yield from (str(cents), f"{euros}.{rest:02d}", f"{euros},{rest:02d}")
        yield from (f"{euros:,}.{rest:02d}", f"{euros:,}".replace(",", ".") + f",{rest:02d}")


FORMS = tuple(_forms())


def found_in(text: str) -> list[str]:
    """Return which planted values stand in a text, whatever their case."""
    lowered = text.lower()
    return [form for form in FORMS if form.lower() in lowered]
