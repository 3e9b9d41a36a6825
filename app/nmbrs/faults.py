"""What went wrong at Nmbrs, sorted by who can end it: time, a person, or we.

Explanations name the exact call or setting. They never repeat what Nmbrs wrote, since that may hold personal data.
"""

import re
from typing import Final

from app.core.http import (
    AnswerBroken,
    AnswerTooLarge,
    HttpError,
    HttpRefused,
    HttpTimeout,
    HttpUnreachable,
)
from app.nmbrs.operations import Operation
from app.payments.errors import FaultKind, SourceFault

# ASMX wraps the vendor's own text: "Server was unable to process request. ---> 1001: Invalid Authentication".
_NUMBERED: Final = re.compile(r"(?:--->|^)\s*(\d{4})\s*:")

_BUSY: Final = frozenset({"1006", "2019", "2020", "2021", "9999"})
_NOT_VISIBLE: Final = (
    "This login may not see {about}: give the debtor the tag of the login, "
    "or tick the company in the company filter of the login."
)
_UNKNOWN: Final = (
    "Nmbrs does not know {about}, or this login has no right to it: it may have moved, "
    "or its debtor tag or company filter has changed."
)
_ENDED: Final = "The Nmbrs environment has no valid subscription for this. Ask Nmbrs."
_REFUSED: Final = (
    "Nmbrs refuses to answer about {about} (error {number}): look in Nmbrs whether the period is open "
    "and the company is not protected."
)
_FOR_A_PERSON: Final = {
    "1002": (
        "right_missing",
        "Switch on {operation} in the API part of the user template of this login in Nmbrs. It works at once.",
    ),
    "1003": ("data_not_visible", _NOT_VISIBLE),
    "1004": ("subscription_ended", _ENDED),
    "2013": ("subscription_ended", _ENDED),
    "2003": ("administration_unknown", _UNKNOWN),
    "2004": ("administration_unknown", _UNKNOWN),
    "2009": ("administration_unknown", _UNKNOWN),
    "2046": (
        "run_unknown",
        "Nmbrs does not know {about} (any more): the run may have been undone and made again.",
    ),
    "2006": ("source_refused", _REFUSED),
    "2011": ("source_refused", _REFUSED),
    "2012": ("source_refused", _REFUSED),
    "2030": ("source_refused", _REFUSED),
}
_HTTP_BUSY: Final = frozenset({429, 503})


class PassingFault(SourceFault):
    """A fault that is often gone a moment later, so that a read may be tried again at once."""


def http_fault(error: HttpError, operation: Operation) -> SourceFault:
    """Return the fault for a call that brought no complete answer."""
    name = operation.full_name
    match error:
        case HttpTimeout():
            return SourceFault(
                FaultKind.WAIT, "source_timeout", name, "Nmbrs did not answer in time. It is tried again later."
            )
        case HttpUnreachable():
            text = f"Nmbrs could not be reached: {error}. It is tried again later."
            return PassingFault(FaultKind.WAIT, "source_unreachable", name, text)
        case AnswerBroken():
            text = "Only a part of the answer came through. It is tried again later."
            return PassingFault(FaultKind.WAIT, "source_answer_unusable", name, text)
        case AnswerTooLarge():
            return too_large(operation)
        case HttpRefused():
            text = f"The address set for Nmbrs may not be called: {error}. An operator must correct the setting."
            return SourceFault(FaultKind.OURS, "source_unreachable", name, text)
        case _:
            return SourceFault(FaultKind.WAIT, "source_unreachable", name, "Nmbrs could not be reached.")


def status_fault(status: int, operation: Operation) -> SourceFault:
    """Return the fault for an answer that is not of the service itself: a gateway, a maintenance page, a redirect."""
    if status in _HTTP_BUSY:
        text = f"Nmbrs is busy or under maintenance (HTTP {status}). It is tried again later."
        return SourceFault(FaultKind.WAIT, "source_busy", operation.full_name, text)
    text = f"Something between us and Nmbrs answered in its place (HTTP {status}). It is tried again later."
    return SourceFault(FaultKind.WAIT, "source_answer_unusable", operation.full_name, text)


def unusable(operation: Operation) -> SourceFault:
    """Return the fault for an answer that is cut off, or is no answer of the service at all."""
    text = "The answer is incomplete or no answer of the web service. It is tried again later."
    return SourceFault(FaultKind.WAIT, "source_answer_unusable", operation.full_name, text)


def too_large(operation: Operation) -> SourceFault:
    """Return the fault for an answer over our cap."""
    text = "The answer is larger than Loonstroom reads. Tell the people who run it; a payment file can be uploaded."
    return SourceFault(FaultKind.OURS, "answer_too_large", operation.full_name, text)


def not_understood(operation: Operation, element: str) -> SourceFault:
    """Return the fault for a whole answer that lacks what we need, or says it in a way we do not know."""
    text = f"The answer came, but {element}. Nothing was taken from it. Tell the people who run Loonstroom."
    return SourceFault(FaultKind.OURS, "answer_not_understood", operation.full_name, text)


def no_key_of_nmbrs(code: str, operation: Operation) -> SourceFault:
    """Return the fault for an administration or run (`code`) whose key cannot be one of Nmbrs."""
    text = "This has no number at Nmbrs (it may have come from elsewhere), so Nmbrs cannot be asked about it."
    return SourceFault(FaultKind.OURS, code, operation.full_name, text)


def vendor_fault(message: str, *, is_our_request: bool, operation: Operation, subject: str) -> SourceFault:
    """Return the fault for a SOAP fault: by its number where it has one.

    `is_our_request` says that the fault code blames the sender. `subject` names what was asked about, for instance
    `company 9969`, or is empty.
    """
    found = _NUMBERED.search(message)
    if found:
        return _numbered_fault(found.group(1), operation=operation, subject=subject)
    if "invalid combination" in message.lower():
        return _credentials_refused(operation, None)
    if is_our_request:
        return not_understood(operation, "Nmbrs says that it does not know the question")
    text = "Nmbrs answered with an error without a number. It is tried again later."
    return SourceFault(FaultKind.WAIT, "source_answer_unusable", operation.full_name, text)


def _numbered_fault(number: str, *, operation: Operation, subject: str) -> SourceFault:
    name = operation.full_name
    if number == "1001":
        return _credentials_refused(operation, number)
    if number in _BUSY:
        text = f"Nmbrs reports a passing error of its own ({number}). It is tried again later."
        kind = PassingFault if number == "1006" else SourceFault
        return kind(FaultKind.WAIT, "source_busy", name, text, number)
    if number in _FOR_A_PERSON:
        code, text = _FOR_A_PERSON[number]
        explanation = text.format(operation=name, about=subject or "this", number=number)
        return SourceFault(FaultKind.PERSON, code, name, explanation, number)
    fault = not_understood(operation, f"Nmbrs reports error {number}, which Loonstroom does not know")
    fault.vendor_code = number
    return fault


def _credentials_refused(operation: Operation, number: str | None) -> SourceFault:
    text = (
        "Nmbrs refuses the login: check user name, token and domain. The token may have been made anew, "
        "or the user was removed. Enter the new token in the connection."
    )
    return SourceFault(FaultKind.PERSON, "credentials_refused", operation.full_name, text, number)
