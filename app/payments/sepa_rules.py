"""What the values of a payment file must satisfy, beside the ISO schema: the SEPA rules and our own stricter ones.

The schema lets through a great deal that a bank refuses or, worse, pays. Every rule has a stable code and one sentence
with the remedy; no message repeats a value, because names and IBANs do not belong in errors.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime

from app.core.clock import amsterdam_date
from app.core.errors import Problem
from app.core.money import MAXIMUM_TOTAL_CENTS, MAXIMUM_TRANSFER_CENTS
from app.payments.characters import is_allowed
from app.payments.check_digits import is_creditor_reference, is_dutch_payment_reference, is_iban
from app.payments.iban import is_sepa
from app.payments.ports import RemittanceKind
from app.payments.sepa_model import (
    BIC_PATTERN,
    CATEGORY_PURPOSES,
    ISSUER_DUTCH,
    ISSUER_ISO,
    MAXIMUM_NAME_LENGTH,
    MAXIMUM_TEXT_LENGTH,
    MAXIMUM_TRANSFERS,
    NOT_PROVIDED,
    REFERENCE_TYPE,
    SCHEMAS,
    FileContent,
    FileInstruction,
    FileTransfer,
    transfer_pointers,
)

REMEDIES = {
    "schema_unknown": "Choose pain.001.001.09 or pain.001.001.03.",
    "id_invalid": "An id has 1 to 35 of the characters A-Z, a-z, 0-9 and -.",
    "id_repeated": "Each id stands once in a file: banks refuse doubles (DU02, DU04).",
    "id_placeholder": "Give the line an id of its own: the bank's answers are matched on it.",
    "created_at_not_utc": "Give the creation time as an aware moment in UTC.",
    "date_with_time": "The execution date is a day without a time.",
    "execution_date_past": "The execution date lies before the day the file is made; choose a later day.",
    "no_instructions": "A file needs at least one instruction.",
    "no_transfers": "An instruction needs at least one line; leave the instruction out.",
    "too_many_transfers": f"A file holds {MAXIMUM_TRANSFERS} lines at most; split it.",
    "total_too_large": "The total does not fit in a control sum; split the file.",
    "category_purpose_unknown": f"Use one of {', '.join(sorted(CATEGORY_PURPOSES))}, or none.",
    "amount_not_cents": "An amount is a whole number of cents.",
    "amount_out_of_range": "A SEPA transfer is EUR 0.01 to 999,999,999.99; correct it at the source.",
    "empty": "This may not be empty; correct it at the source.",
    "too_long": "This is longer than a bank takes; shorten it before approval, so that people see what is written.",
    "character_not_allowed": "Only the SEPA character set may be written; clean the text before approval.",
    "blank_at_edge": "No blanks at the beginning or the end.",
    "no_letter": "A name needs a letter or a digit; correct it at the source.",
    "iban_invalid": "This is no IBAN in written form with right check digits; correct it at the source.",
    "iban_not_sepa": "SEPA does not reach the country of this IBAN on the execution date; pay outside of this service.",
    "creditor_is_debtor": "The line pays the account it is paid from; correct it at the source.",
    "bic_invalid": "This is no BIC; leave it out, the IBAN is enough.",
    "text_without_remittance": "A line without remittance information has no text.",
    "reference_with_text": "Free text and a structured reference exclude each other: give one of them.",
    "reference_kind_unknown": "A structured reference is of type SCOR with issuer CUR or ISO.",
    "reference_invalid": "The reference does not pass its own check digits or length; correct it at the source.",
    "single_line_file": "The bank checks the payee's name also for customers who opted out, and the amount shows.",
    "single_line_instruction": "The debited total is the amount of this one line, readable on the bank statement.",
    "batch_booking_off": "Every amount shows by itself on the bank statement.",
}

_IDENTIFIER = re.compile(r"[A-Za-z0-9-]{1,35}")
_REFERENCES: dict[str | None, Callable[[str], bool]] = {
    ISSUER_DUTCH: is_dutch_payment_reference,
    ISSUER_ISO: is_creditor_reference,
}

# A field and the code of what is wrong with it.
_Fault = tuple[str, str]


def problems(content: FileContent) -> list[Problem]:
    """Return everything in these values that must not be written in a payment file; empty when all is well.

    Each problem points at its line and field (`/instructions/0/transfers/3/creditor_name`) and says what to do.
    Sources: EPC SCT rulebook and customer guidelines, ABN AMRO's list of common mistakes, our own rules for ids.
    """
    day = content.requested_execution_date
    day = day.date() if isinstance(day, datetime) else day
    found = [_problem("", field, code) for field, code in _message_faults(content, day)]
    for i, instruction in enumerate(content.instructions):
        found += [_problem(f"/instructions/{i}", field, code) for field, code in _instruction_faults(instruction)]
    for pointer, transfer in transfer_pointers(content.instructions):
        if faults := _transfer_faults(transfer, content.debtor_iban, day):
            found += [_problem(pointer, field, code) for field, code in faults]
    return found + list(_repeated_ids(content))


def file_warnings(content: FileContent) -> list[Problem]:
    """Return what is allowed but shows more than people may expect: one line by itself, no batch booking."""
    found = []
    if content.number_of_transactions == 1:
        found.append(_problem("", "instructions", "single_line_file"))
    for i, instruction in enumerate(content.instructions):
        if instruction.number_of_transactions == 1:
            found.append(_problem(f"/instructions/{i}", "transfers", "single_line_instruction"))
        if not instruction.batch_booking:
            found.append(_problem(f"/instructions/{i}", "batch_booking", "batch_booking_off"))
    return found


def _problem(pointer: str, field: str, code: str) -> Problem:
    return Problem(pointer=f"{pointer}/{field}", code=code, message=REMEDIES[code])


def _message_faults(content: FileContent, day: date) -> Iterator[_Fault]:
    if content.schema not in SCHEMAS:
        yield "schema", "schema_unknown"
    yield from _named("message_id", _identifier_faults(content.message_id))
    yield from _date_faults(content.created_at, content.requested_execution_date)
    yield from _named("debtor_name", _name_faults(content.debtor_name))
    yield from _named("debtor_iban", _iban_faults(content.debtor_iban, day))
    yield from _named("debtor_bic", _bic_faults(content.debtor_bic))
    if not content.instructions:
        yield "instructions", "no_instructions"
    if content.number_of_transactions > MAXIMUM_TRANSFERS:
        yield "instructions", "too_many_transfers"
    if content.control_sum_cents > MAXIMUM_TOTAL_CENTS:
        yield "instructions", "total_too_large"


def _date_faults(created_at: datetime, execution_date: date) -> Iterator[_Fault]:
    is_utc = created_at.utcoffset() == UTC.utcoffset(None)
    if not is_utc:
        yield "created_at", "created_at_not_utc"
    if isinstance(execution_date, datetime):
        yield "requested_execution_date", "date_with_time"
    elif is_utc and execution_date < amsterdam_date(created_at):
        yield "requested_execution_date", "execution_date_past"


def _instruction_faults(instruction: FileInstruction) -> Iterator[_Fault]:
    yield from _named("payment_information_id", _identifier_faults(instruction.payment_information_id))
    if instruction.category_purpose is not None and instruction.category_purpose not in CATEGORY_PURPOSES:
        yield "category_purpose", "category_purpose_unknown"
    if not instruction.transfers:
        yield "transfers", "no_transfers"


def _transfer_faults(transfer: FileTransfer, debtor_iban: str, day: date) -> list[_Fault]:
    faults = [
        *_named("end_to_end_id", _identifier_faults(transfer.end_to_end_id)),
        *_named("amount_cents", _amount_faults(transfer.amount_cents)),
        *_named("creditor_name", _name_faults(transfer.creditor_name)),
        *_named("creditor_iban", _iban_faults(transfer.creditor_iban, day)),
        *_named("creditor_bic", _bic_faults(transfer.creditor_bic)),
        *_remittance_faults(transfer),
    ]
    if transfer.creditor_iban == debtor_iban:
        faults.append(("creditor_iban", "creditor_is_debtor"))
    return faults


def _named(field: str, codes: Sequence[str]) -> Iterable[_Fault]:
    return [(field, code) for code in codes] if codes else ()


def _identifier_faults(text: str) -> Sequence[str]:
    if not _IDENTIFIER.fullmatch(text):
        return ("id_invalid",)
    return ("id_placeholder",) if text == NOT_PROVIDED else ()


def _amount_faults(amount_cents: int) -> Sequence[str]:
    if type(amount_cents) is not int:  # a Decimal or a bool would be written as something else
        return ("amount_not_cents",)
    return () if 1 <= amount_cents <= MAXIMUM_TRANSFER_CENTS else ("amount_out_of_range",)


def _iban_faults(text: str, day: date) -> Sequence[str]:
    if not is_iban(text):
        return ("iban_invalid",)
    return () if is_sepa(text[:2], day) else ("iban_not_sepa",)


def _bic_faults(text: str | None) -> Sequence[str]:
    return () if text is None or BIC_PATTERN.fullmatch(text) else ("bic_invalid",)


def _name_faults(text: str) -> Sequence[str]:
    faults = _text_faults(text, MAXIMUM_NAME_LENGTH)
    return faults if faults or any(map(str.isalnum, text)) else ("no_letter",)


def _text_faults(text: str, maximum: int) -> Sequence[str]:
    if not text:
        return ("empty",)
    faults = []
    if len(text) > maximum:
        faults.append("too_long")
    if not is_allowed(text):
        faults.append("character_not_allowed")
    if text[0].isspace() or text[-1].isspace():
        faults.append("blank_at_edge")
    return faults


def _remittance_faults(transfer: FileTransfer) -> Iterable[_Fault]:
    if transfer.remittance_kind is RemittanceKind.STRUCTURED:
        return _reference_faults(transfer)
    faults: list[_Fault] = []
    if transfer.reference_type is not None or transfer.reference_issuer is not None:
        faults.append(("reference_type", "reference_with_text"))
    if transfer.remittance_kind is RemittanceKind.UNSTRUCTURED:
        faults += _named("remittance_text", _text_faults(transfer.remittance_text, MAXIMUM_TEXT_LENGTH))
    elif transfer.remittance_text:
        faults.append(("remittance_text", "text_without_remittance"))
    return faults


def _reference_faults(transfer: FileTransfer) -> Iterable[_Fault]:
    is_valid = _REFERENCES.get(transfer.reference_issuer)
    if transfer.reference_type != REFERENCE_TYPE or is_valid is None:
        return [("reference_type", "reference_kind_unknown")]
    return () if is_valid(transfer.remittance_text) else [("remittance_text", "reference_invalid")]


def _repeated_ids(content: FileContent) -> Iterator[Problem]:
    seen: set[str] = set()
    for i, instruction in enumerate(content.instructions):
        if instruction.payment_information_id in seen:
            yield _problem(f"/instructions/{i}", "payment_information_id", "id_repeated")
        seen.add(instruction.payment_information_id)
    seen.clear()
    for pointer, transfer in transfer_pointers(content.instructions):
        if transfer.end_to_end_id in seen:
            yield _problem(pointer, "end_to_end_id", "id_repeated")
        seen.add(transfer.end_to_end_id)
