"""A second opinion on every line: what sepaxml, which shares no code with our writer, writes from the same transfers.

sepaxml 2.7 adds every payment again on a second `export()` and changes the dicts it is given, so each portion gets a
fresh instance and fresh dicts. It knows no structured references: of those lines the text is not compared.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from xml.etree import ElementTree as ET

from sepaxml import SepaTransfer

from app.core.errors import Problem
from app.core.money import CURRENCY, text_to_cents
from app.payments.ports import RemittanceKind
from app.payments.sepa_model import FileContent, FileTransfer, transfer_pointers

PORTION = 1_000
_MESSAGE = "Our file and the second writer disagree here; the file must not be used. Report this to the operator."
# sepaxml registers namespaces in a table shared by the whole process, and two threads doing so can break each other.
_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenLine:
    """What sepaxml wrote for one line: four facts. `amount_cents` is None when it is no amount with two decimals."""

    name: str
    iban: str
    amount_cents: int | None
    text: str


def disagreements(content: FileContent, written: Sequence[FileTransfer]) -> list[Problem]:
    """Compare the lines read back from our file, in file order, with what sepaxml writes from the approved content.

    Name, IBAN, cents and free text must be equal line by line, and so must the number of lines and of structured
    references. The content must have passed `problems`. Empty when both writers agree.
    """
    approved = list(transfer_pointers(content.instructions))
    second = second_opinion(content)
    is_complete = len(written) == len(second) == len(approved)
    if not is_complete or _references(written) != _references([transfer for _, transfer in approved]):
        return [Problem(pointer="/instructions", code="second_writer_disagrees", message=_MESSAGE)]
    found = []
    for (pointer, _), ours, theirs in zip(approved, written, second, strict=True):
        found += [
            Problem(pointer=f"{pointer}/{field}", code="second_writer_disagrees", message=_MESSAGE)
            for field in _differing(ours, theirs)
        ]
    return found


def second_opinion(content: FileContent) -> list[WrittenLine]:
    """Return the lines of the content as sepaxml writes them, in file order, in portions of 1,000."""
    transfers = (transfer for _, transfer in transfer_pointers(content.instructions))
    lines: list[WrittenLine] = []
    while portion := list(islice(transfers, PORTION)):
        lines.extend(_read(_write(content, portion), content.schema))
    return lines


def _references(transfers: Sequence[FileTransfer]) -> int:
    return sum(transfer.remittance_kind is RemittanceKind.STRUCTURED for transfer in transfers)


def _differing(ours: FileTransfer, theirs: WrittenLine) -> list[str]:
    compared = {
        "creditor_name": (ours.creditor_name, theirs.name),
        "creditor_iban": (ours.creditor_iban, theirs.iban),
        "amount_cents": (ours.amount_cents, theirs.amount_cents),
        "remittance_text": (_free_text(ours), theirs.text),
    }
    return [field for field, (our, their) in compared.items() if our != their]


def _free_text(transfer: FileTransfer) -> str:
    return transfer.remittance_text if transfer.remittance_kind is RemittanceKind.UNSTRUCTURED else ""


def _write(content: FileContent, portion: Sequence[FileTransfer]) -> bytes:
    account = {"name": content.debtor_name, "IBAN": content.debtor_iban, "batch": True, "currency": CURRENCY}
    with _LOCK:
        writer = SepaTransfer(account, schema=content.schema, clean=False)
        for transfer in portion:
            writer.add_payment(
                {
                    "name": transfer.creditor_name,
                    "IBAN": transfer.creditor_iban,
                    "amount": transfer.amount_cents,
                    "execution_date": content.requested_execution_date,
                    "description": _free_text(transfer),
                    "endtoend_id": transfer.end_to_end_id,
                }
            )
        exported: bytes = writer.export(validate=False)
    return exported


def _read(exported: bytes, schema: str) -> Iterator[WrittenLine]:
    space = f"{{urn:iso:std:iso:20022:tech:xsd:{schema}}}"
    root = ET.fromstring(exported)  # noqa: S314 - written a moment ago in this process # nosec B314
    for line in root.iter(f"{space}CdtTrfTxInf"):
        yield WrittenLine(
            name=line.findtext(f"{space}Cdtr/{space}Nm", ""),
            iban=line.findtext(f"{space}CdtrAcct/{space}Id/{space}IBAN", ""),
            amount_cents=_cents(line.findtext(f"{space}Amt/{space}InstdAmt", "")),
            text=line.findtext(f"{space}RmtInf/{space}Ustrd", ""),
        )


def _cents(text: str) -> int | None:
    try:
        return text_to_cents(text)
    except ValueError:
        return None
