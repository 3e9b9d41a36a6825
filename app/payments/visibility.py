"""Who sees what of the people who are paid: one decision, asked by every route that shows a line, a total or a text.

Names, IBANs, amounts of lines and totals are salary data: the total of a batch of one line is a salary. Pure.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from app.auth.actor import Actor
from app.auth.models import Role
from app.core.errors import Forbidden

HIDDEN = "***"
# Members of a history record that hold what a person or a source wrote.
_FREE_TEXTS = ("reason", "note", "explanation")
# Written in one piece, or in groups with blanks (also those that do not break), dots or hyphens between them. A group
# that begins as an IBAN does is the next one: taken along, it would leave its end standing.
_IBAN = re.compile(r"\b[A-Za-z]{2}[0-9]{2}(?:(?:[ .\u00a0\u202f-](?![A-Za-z]{2}[0-9]{2}))?[A-Za-z0-9]){11,30}\b")
# 2500.00, 2.500,00, 2,500.00, 1 250 000.00, 2500,-; and whole euros where a sign or a word says that it is money.
_AMOUNT = re.compile(
    r"\b[0-9]+(?:[. ][0-9]{3})*,(?:--?|[\u2013\u2014=])"
    r"|(?i:(?:€|\beuro?)\s?)[0-9]+(?:[., ][0-9]+)*"
    r"|\b(?:[0-9]{1,3}(?:[., ][0-9]{3})+(?:[.,][0-9]{2})?|[0-9]+[.,][0-9]{2})\b"
    r"|\b[0-9]+(?=\s?(?:€|(?i:euro?s?\b)))"
)


class SalariesHidden(Forbidden):
    """This person may look at the batch, and not at who is paid what."""

    code = "salaries_hidden"
    title = "Not shown to you"


class Visibility(StrEnum):
    """How much of the people who are paid is shown.

    `full`: admins and approvers of the employer, and an office whose mandate says so. `revealed`: an auditor, of one
    batch for a while. `masked`: everybody else who may look at all.
    """

    FULL = "full"
    REVEALED = "revealed"
    MASKED = "masked"

    @property
    def shows_salaries(self) -> bool:
        """Whether names, IBANs, amounts and remittance texts are shown."""
        return self is not Visibility.MASKED


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """Who looks: a person with a token, and the batches that are revealed to that token at this moment."""

    actor: Actor
    revealed: frozenset[UUID] = frozenset()


def visibility(viewer: Viewer, employer_id: UUID, batch_id: UUID | None = None) -> Visibility:
    """Return how much this viewer sees of the people whom an employer pays, or whom one batch of it pays.

    A reveal counts only while the viewer is an auditor of that employer still.
    """
    if viewer.actor.sees_salaries(employer_id):
        return Visibility.FULL
    is_auditor = Role.AUDITOR in viewer.actor.employers.get(employer_id, frozenset())
    if is_auditor and batch_id in viewer.revealed:
        return Visibility.REVEALED
    return Visibility.MASKED


def require_salaries(seen: Visibility, what: str) -> None:
    """Refuse who may not see salaries; `what` names what was asked for."""
    if not seen.shows_salaries:
        raise SalariesHidden(
            f"{what} holds names, IBANs or amounts. That is for admins and approvers of the employer, for an office "
            "whose mandate says so, and for an auditor who had the batch revealed."
        )


def shown_text(text: str | None, seen: Visibility) -> str | None:
    """Return what somebody wrote, without IBANs and amounts for who may not see salaries.

    A name in a free text cannot be known as one: the documentation asks people not to write any.
    """
    if text is None or seen.shows_salaries:
        return text
    return _AMOUNT.sub(HIDDEN, _IBAN.sub(HIDDEN, text))


def shown_details(details: Mapping[str, Any], seen: Visibility) -> dict[str, Any]:
    """Return the details of a history record as they may be seen: no total, and free texts without figures."""
    if seen.shows_salaries:
        return dict(details)
    shown = {name: value for name, value in details.items() if name != "control_sum_cents"}
    for name in _FREE_TEXTS:
        if isinstance(shown.get(name), str):
            shown[name] = shown_text(shown[name], seen)
    if "problems" in shown:
        shown["problems"] = [shown_text(each, seen) for each in shown["problems"]]
    return shown
