"""What a bank's status code means, in our words, in English and in Dutch.

Source: ISO 20022 external code sets, group and transaction status, edition of the second quarter of 2026. The code
sets grow every quarter and banks add codes of their own: a code that is not here has a meaning too, `unknown`, and is
shown as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from app.payments.status_report_model import StatedStatus


class Category(StrEnum):
    """What a status means for a payment. The order is that of a payment's life."""

    RECEIVED = "received"
    PENDING = "pending"
    NAME_CHECK = "name_check"
    AWAITING_SIGNATURE = "awaiting_signature"
    ACCEPTED = "accepted"
    SETTLING = "settling"
    SETTLED = "settled"
    PARTIAL = "partial"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"


# The bank will not pay. Blocked is not among them: the money is not given back.
REJECTING = frozenset({Category.REJECTED, Category.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusMeaning:
    """A status code with what it means; `code` is in capitals, without blanks at the ends."""

    code: str
    category: Category
    english: str
    dutch: str


def normal_code(code: str) -> str:
    """Return a code as the tables know it: banks pad codes and write them in lower case."""
    return code.strip().upper()


def status_meaning(code: str) -> StatusMeaning:
    """Return what a status code means, however it is written; one that is not in the table is `unknown`."""
    normal = normal_code(code)
    return STATUSES.get(normal) or StatusMeaning(
        code=normal,
        category=Category.UNKNOWN,
        english=f"The bank says {normal}; this code is not known here",
        dutch=f"De bank meldt {normal}; deze code is hier niet bekend",
    )


def category_of(statement: StatedStatus) -> Category:
    """Return what a statement means for a payment; unknown when it has no code."""
    return status_meaning(statement.code or "").category


_TABLE = (
    ("RCVD", Category.RECEIVED, "Received by the bank", "Ontvangen door de bank"),
    ("PRES", Category.RECEIVED, "Presented to the payer", "Aangeboden aan de betaler"),
    (
        "PDNG",
        Category.PENDING,
        "Pending: the bank has not decided yet",
        "In behandeling: de bank heeft nog niet beslist",
    ),
    (
        "ACTC",
        Category.AWAITING_SIGNATURE,
        "Technically correct, waits for signing at the bank",
        "Technisch in orde, wacht op ondertekening bij de bank",
    ),
    (
        "PATC",
        Category.AWAITING_SIGNATURE,
        "Partly signed, waits for another signature at the bank",
        "Deels ondertekend, wacht op nog een handtekening bij de bank",
    ),
    (
        "ACFW",
        Category.AWAITING_SIGNATURE,
        "Funds are sufficient, waits for confirmation at the bank",
        "Saldo is voldoende, wacht op bevestiging bij de bank",
    ),
    ("ACCP", Category.ACCEPTED, "Accepted by the bank", "Geaccepteerd door de bank"),
    ("ACFC", Category.ACCEPTED, "Accepted, funds are sufficient", "Geaccepteerd, saldo is voldoende"),
    (
        "ACWC",
        Category.ACCEPTED,
        "Accepted with a change, such as another date",
        "Geaccepteerd met een wijziging, bijvoorbeeld een andere datum",
    ),
    ("ACIS", Category.ACCEPTED, "Accepted, a cheque was issued", "Geaccepteerd, er is een cheque uitgegeven"),
    ("ACSP", Category.SETTLING, "Accepted, being executed", "Geaccepteerd, wordt uitgevoerd"),
    ("ACPD", Category.SETTLING, "Accepted by the clearing", "Geaccepteerd door de verwerker tussen banken"),
    (
        "ACWP",
        Category.SETTLING,
        "Accepted, not yet on the payee's account",
        "Geaccepteerd, nog niet bijgeschreven bij de begunstigde",
    ),
    ("ACSC", Category.SETTLED, "Executed: debited from your account", "Uitgevoerd: afgeschreven van uw rekening"),
    ("ACCC", Category.SETTLED, "Executed: on the payee's account", "Uitgevoerd: bijgeschreven bij de begunstigde"),
    ("CPUC", Category.SETTLED, "The payee has collected the cash", "De begunstigde heeft het geld opgehaald"),
    ("PART", Category.PARTIAL, "Partly accepted: see each payment", "Deels geaccepteerd: zie elke betaling"),
    ("RJCT", Category.REJECTED, "Rejected by the bank", "Afgekeurd door de bank"),
    ("CANC", Category.CANCELLED, "Cancelled", "Geannuleerd"),
    (
        "BLCK",
        Category.BLOCKED,
        "Blocked: neither paid to the payee nor given back",
        "Geblokkeerd: niet betaald aan de begunstigde en niet teruggegeven",
    ),
    ("RCVC", Category.NAME_CHECK, "Name check done: it matches", "Naamcontrole klaar: het klopt"),
    (
        "RVCM",
        Category.NAME_CHECK,
        "Name check done: with differences",
        "Naamcontrole klaar: met verschillen",
    ),
    ("RVMC", Category.NAME_CHECK, "Name check: almost matches", "Naamcontrole: komt bijna overeen"),
    ("RVNM", Category.NAME_CHECK, "Name check: does not match", "Naamcontrole: komt niet overeen"),
    ("RVNA", Category.NAME_CHECK, "Name check: was not possible", "Naamcontrole: was niet mogelijk"),
    ("RVNC", Category.NAME_CHECK, "Name check is not done yet", "Naamcontrole is nog niet klaar"),
)

STATUSES: Mapping[str, StatusMeaning] = {
    code: StatusMeaning(code=code, category=category, english=english, dutch=dutch)
    for code, category, english, dutch in _TABLE
}
