"""Makes the payment file and proves that it says what was approved, before anybody stores it.

Three checks that share nothing with the writer look at the finished bytes: the ISO schema, a strict re-reading compared
with the approved content to the cent, and sepaxml, which writes the same transfers anew. One disagreement stops the
file. The schemas are those in sepaxml's package.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources

from lxml import etree

from app.core.errors import Problem
from app.payments import sepa_second_writer
from app.payments.sepa_model import FileContent, FileInstruction
from app.payments.sepa_reread import REMEDY, reread
from app.payments.sepa_rules import file_warnings, problems
from app.payments.sepa_writer import write_file

__all__ = ["SepaFileRefused", "build_file", "check_file", "file_warnings", "problems", "schema_problems", "write_file"]

MAXIMUM_FILE_BYTES = 64 * 1024 * 1024
MAXIMUM_SCHEMA_PROBLEMS = 100

_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_ATTRIBUTES_BEFORE_AMOUNTS = 3  # version, encoding and the namespace
_PLACES = {"CstmrCdtTrfInitn": "", "PmtInf": "/instructions/{}", "CdtTrfTxInf": "/transfers/{}"}
# A compiled schema keeps the log of its last validation, so two threads may not use one at the same time.
_SCHEMA_LOCK = threading.Lock()


@dataclass(eq=False)
class SepaFileRefused(Exception):
    """No file was made; `errors` says everything that is wrong and where.

    `is_written` False: the content breaks a rule and can be corrected. True: the finished bytes did not pass their
    checks, which is a fault of this program and never the caller's.
    """

    errors: Sequence[Problem]
    is_written: bool = False

    def __str__(self) -> str:
        """Return how many problems there are and their codes; no values."""
        codes = ", ".join(sorted({problem.code for problem in self.errors}))
        return f"{len(self.errors)} problem(s) in the payment file: {codes}"


def build_file(content: FileContent) -> bytes:
    """Return the bytes of a file that passed every check; the same content always gives the same bytes.

    Raises `SepaFileRefused` with all problems at once: first those of the values, or else those of the written file.
    """
    if wrong := problems(content):
        raise SepaFileRefused(errors=wrong)
    data = write_file(content)
    if disagreeing := _file_problems(content, data):
        raise SepaFileRefused(errors=disagreeing, is_written=True)
    return data


def check_file(content: FileContent, data: bytes) -> list[Problem]:
    """Return everything that keeps these bytes from being the file of this content; empty when they are.

    The content itself is judged first. Bytes that could mislead an XML parser (DOCTYPE, comments, other encodings) are
    named and not parsed.
    """
    return problems(content) or _file_problems(content, data)


def _file_problems(content: FileContent, data: bytes) -> list[Problem]:
    return [*_byte_problems(content.schema, data)] or [*dict.fromkeys(_checks(content, data))]


def _checks(content: FileContent, data: bytes) -> Iterator[Problem]:
    # Without huge_tree libxml2's own limits stay on; entities cannot occur (no DOCTYPE) and would not be resolved.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        document = etree.fromstring(data, parser)
    except etree.XMLSyntaxError:
        yield _problem("", "not_xml")
        return
    yield from schema_problems(content.schema, document)
    again = reread(document, content.schema)
    yield from again.problems
    if again.content is None:
        return
    if different := [*_differences(content, again.content)]:
        yield from different
        yield from problems(again.content)
    written = [transfer for instruction in again.content.instructions for transfer in instruction.transfers]
    yield from sepa_second_writer.disagreements(content, written)


def _byte_problems(schema: str, data: bytes) -> Iterator[Problem]:
    """Look at the bytes themselves, before a parser does and for what parsers do not tell."""
    amounts = data.count(b'<InstdAmt Ccy="EUR">')
    start = _DECLARATION + b'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:' + schema.encode() + b'">'
    if len(data) > MAXIMUM_FILE_BYTES:
        yield _problem("", "file_too_large")
    elif not data.startswith(start):  # also a BOM, another encoding, single quotes, a prefix
        yield _problem("", "start_not_allowed")
    elif b"<!" in data or data.count(b"<?") != 1:  # DOCTYPE, comment, CDATA, processing instruction
        yield _problem("", "markup_not_allowed")
    elif data.count(b"=") != amounts + _ATTRIBUTES_BEFORE_AMOUNTS:  # `=` is in no SEPA text, only in attributes
        yield _problem("", "attribute_not_allowed")


def schema_problems(schema: str, document: etree._Element) -> Iterator[Problem]:
    """Yield every place where the document is not as the ISO schema wants it, the first hundred at most."""
    with _SCHEMA_LOCK:
        validator = _validator(schema)
        if validator.validate(document):
            return
        log = list(validator.error_log)  # type: ignore[call-overload]  # the stubs know no log entries
    paths = [entry.path for entry in log[:MAXIMUM_SCHEMA_PROBLEMS]]
    # libxml2's own words quote the value, which may be a name or an IBAN; the place is what helps.
    for path in paths or [""]:
        yield _problem(_pointer(document, path), "schema_refuses")


@cache
def _validator(schema: str) -> etree.XMLSchema:
    source = (resources.files("sepaxml") / "schemas" / f"{schema}.xsd").read_bytes()
    return etree.XMLSchema(etree.fromstring(source))


def _pointer(document: etree._Element, path: str) -> str:
    """Return our pointer for libxml2's (`/*/*/*[2]/*[14]/*[3]`): instruction and line counted from 0, then the tags."""
    element, pointer = document, ""
    for step in path.split("/")[2:]:
        _, _, position = step.rstrip("]").partition("[")
        element = element[int(position or 1) - 1]
        tag = etree.QName(element).localname
        place = sum(1 for _ in element.itersiblings(element.tag, preceding=True))
        pointer += _PLACES.get(tag, f"/{tag}").format(place)
    return pointer


def _differences(approved: FileContent, written: FileContent) -> Iterator[Problem]:
    """Compare what was read back with what was approved: every field of the message, the instructions and the lines."""
    for field in ("schema", "message_id", "created_at_local", "debtor_name", "debtor_iban", "debtor_bic"):
        if getattr(approved, field) != getattr(written, field):
            yield _problem(f"/{field}", "differs_from_approved")
    if approved.requested_execution_date != written.requested_execution_date:
        yield _problem("/requested_execution_date", "differs_from_approved")
    if len(approved.instructions) != len(written.instructions):
        yield _problem("/instructions", "differs_from_approved")
    for i, (ours, theirs) in enumerate(zip(approved.instructions, written.instructions, strict=False)):
        yield from _instruction_differences(ours, theirs, f"/instructions/{i}")


def _instruction_differences(approved: FileInstruction, written: FileInstruction, pointer: str) -> Iterator[Problem]:
    for field in ("payment_information_id", "category_purpose", "batch_booking"):
        if getattr(approved, field) != getattr(written, field):
            yield _problem(f"{pointer}/{field}", "differs_from_approved")
    if len(approved.transfers) != len(written.transfers):
        yield _problem(f"{pointer}/transfers", "differs_from_approved")
    for j, (ours, theirs) in enumerate(zip(approved.transfers, written.transfers, strict=False)):
        if ours != theirs:
            different = [
                field.name for field in fields(ours) if getattr(ours, field.name) != getattr(theirs, field.name)
            ]
            for name in different:
                yield _problem(f"{pointer}/transfers/{j}/{name}", "differs_from_approved")


def _problem(pointer: str, code: str) -> Problem:
    return Problem(pointer=pointer, code=code, message=REMEDY)
