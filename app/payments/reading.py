"""The bytes of a payroll SEPA file (pain.001) to a `SourceBatch`: pure, shared by every source and by uploads.

It reads pain.001.001.02, .001.03, .001.09 and .003.03, with or without a prefix, and keeps what is written: the one
thing taken off is white space of the XML layout (blank, tab, line ends) around a value. The document is read as a
stream: nothing but the payments is kept, so a hostile file costs time in proportion to its size and little memory.
"""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, cast

from lxml import etree

from app.core.money import MAXIMUM_TOTAL_CENTS, decimal_text_to_cents
from app.payments.errors import UnreadableDocument
from app.payments.message_paths import DOCUMENT, GROUP, INSTRUCTION, MESSAGE, REPEATABLE_FIELDS, TRANSFER, Node
from app.payments.ports import RemittanceKind, SourceBatch, SourceInstruction, SourceTransfer
from app.payments.totals import content_key, lines_hash, totals_problems
from app.payments.unpacking import MAXIMUM_DOCUMENT_BYTES, unpack

__all__ = [
    "MAXIMUM_DOCUMENT_BYTES",
    "MAXIMUM_TRANSFERS",
    "MAXIMUM_VALUE_CHARACTERS",
    "READABLE_SCHEMAS",
    "content_key",
    "lines_hash",
    "read_document",
    "totals_problems",
]

# The most that a Dutch bank was found to take in one file (ABN AMRO).
MAXIMUM_TRANSFERS = 100_000
# ISO allows 140 characters in the longest value that is read; a source may overdo it, an attacker may fill the memory.
MAXIMUM_VALUE_CHARACTERS = 10_000
READABLE_SCHEMAS = ("pain.001.001.02", "pain.001.001.03", "pain.001.001.09", "pain.001.003.03")

_EXPORT_AGAIN = "Export the file from the payroll package again as pain.001.001.03 or pain.001.001.09."
_MESSAGE_NAME = re.compile(r"(?:.*[:/#.$])?((?:pain|camt|pacs)\.[0-9]{3}\.[0-9]{3}\.[0-9]{2})")
_OTHER_MESSAGES = {"pain.008": "direct_debit_file", "pain.002": "status_report", "camt.": "account_statement"}
_XSD_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:Z|[+-][0-9]{2}:[0-9]{2})?")
_XSD_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_LAYOUT = " \t\r\n"


def read_document(data: bytes) -> SourceBatch:
    """Return the batch in a payroll document: XML, or XML in base64, in UTF-16, or in a zip.

    Raises `UnreadableDocument` when the bytes are anything else, are incomplete or damaged, or can be read in two ways.
    It judges no payment: wrong accounts and amounts are in the batch as written, totals are for `totals_problems`.
    """
    text = unpack(data)
    reader = _Reader()
    # lxml's own description of a target also asks for methods that we do not need.
    parser = etree.XMLParser(target=cast("Any", reader), resolve_entities=False, no_network=True, huge_tree=False)
    try:
        etree.parse(cast("Any", _Encoded(text)), parser)
    except etree.XMLSyntaxError as error:
        raise _damaged(text, error) from error
    return reader.batch()


class _Encoded:
    """A text as a file of bytes in UTF-8: all of it in bytes at once would take as much memory again.

    Not the parser's `feed`: in that way of reading libxml2 does not limit how deep elements are nested.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0

    def read(self, characters: int) -> bytes:
        begun = self._place
        self._place = begun + characters
        return self._text[begun : self._place].encode()


def _damaged(text: str, error: etree.XMLSyntaxError) -> UnreadableDocument:
    if text.rstrip().endswith("Document>"):
        line = error.lineno or 1
        return UnreadableDocument("damaged_xml", f"The XML has a fault in line {line} of the document. {_EXPORT_AGAIN}")
    return UnreadableDocument(
        "incomplete_xml", f"The XML stops halfway: a part of the file is missing. {_EXPORT_AGAIN}"
    )


class _Fields:
    """The values found in one block of the message, by field name. An empty element is no value."""

    __slots__ = ("_values", "place")

    def __init__(self, place: str) -> None:
        self.place = place
        self._values: dict[str, list[str]] = {}

    def add(self, field: str, text: str) -> None:
        if not text:
            return
        if len(text) > MAXIMUM_VALUE_CHARACTERS:
            message = f"{self.place} has a text of more than {MAXIMUM_VALUE_CHARACTERS} characters. {_EXPORT_AGAIN}"
            raise UnreadableDocument("value_too_long", message)
        values = self._values.setdefault(field, [])
        if values and field not in REPEATABLE_FIELDS:
            name = field.replace("_", " ")
            raise UnreadableDocument(
                "element_repeated", f"{self.place} gives its {name} twice: it is not clear which holds. {_EXPORT_AGAIN}"
            )
        values.append(text)

    def all(self, field: str) -> list[str]:
        return self._values.get(field, [])

    def get(self, field: str) -> str | None:
        values = self._values.get(field)
        return values[0] if values else None

    def declared_count(self) -> int | None:
        text = self.get("count")
        if text is not None and not re.fullmatch("[0-9]{1,15}", text):
            raise self._unreadable_total("number of payments")
        return None if text is None else int(text)

    def declared_sum_cents(self) -> int | None:
        text = self.get("sum")
        try:
            return None if text is None else decimal_text_to_cents(text)
        except ValueError as error:
            raise self._unreadable_total("control sum") from error

    def _unreadable_total(self, name: str) -> UnreadableDocument:
        # Taking it for absent would switch off the very check that it is there for.
        return UnreadableDocument(
            "totals_unreadable", f"{self.place} gives a {name} that is not a number in whole cents. {_EXPORT_AGAIN}"
        )


class _Reader:
    """Takes the parser's events and keeps the payments; `batch()` gives them when the document has ended."""

    def __init__(self) -> None:
        self._schema = ""
        self._namespace = ""
        self._path: list[Node | None] = []
        self._text: list[str] = []
        self._messages = 0
        self._group = self._instruction = self._block = _Fields("The group header")
        self._instructions: list[SourceInstruction] = []
        self._transfers: list[SourceTransfer] = []
        self._purposes: set[str | None] = set()
        self._position = 0

    def doctype(self, _name: str | None, _public_id: str | None, _system: str | None) -> None:
        """Refuse: a payment file has no DOCTYPE, and entities are how XML attacks come in."""
        raise UnreadableDocument(
            "doctype_refused", f"The document has a DOCTYPE, which is not allowed. {_EXPORT_AGAIN}"
        )

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Find the place of the element in the message; everything under an unknown place is passed over."""
        self._text.clear()
        if not self._path:
            self._begin(tag)
            return
        parent = self._path[-1]
        node = None
        if parent is not None:
            if parent.is_value_only:
                message = f"{self._block.place} has an element inside a value. {_EXPORT_AGAIN}"
                raise UnreadableDocument("damaged_xml", message)
            node = parent.children.get(tag.removeprefix(self._namespace))
        self._path.append(node)
        if node is not None:
            self._open(node, attributes)

    def data(self, text: str) -> None:
        """Keep the text until the element ends; it can come in pieces."""
        self._text.append(text)

    def end(self, _tag: str) -> None:
        """Take the value of the element, or close the block that it ends."""
        node = self._path.pop()
        if node is not None and node.field:
            self._block.add(node.field, "".join(self._text).strip(_LAYOUT))
        self._text.clear()
        if node is TRANSFER:
            self._close_transfer()
        elif node is INSTRUCTION:
            self._close_instruction()

    def close(self) -> None:
        """End: `batch()` gives the result."""

    def batch(self) -> SourceBatch:
        """Return what was read; only after the parser found the document complete."""
        if self._messages != 1:
            message = f"The document holds no payment message, or more than one. {_EXPORT_AGAIN}"
            raise UnreadableDocument("not_a_payment_file", message)
        return SourceBatch(
            schema=self._schema,
            message_id=self._group.get("message_id"),
            created_at_text=self._group.get("created_at"),
            initiating_party_name=self._group.get("initiating_party"),
            declared_count=self._group.declared_count(),
            declared_sum_cents=self._group.declared_sum_cents(),
            instructions=tuple(self._instructions),
        )

    def _begin(self, tag: str) -> None:
        namespace, _, name = tag.removeprefix("{").rpartition("}")
        self._schema = _readable_schema(namespace, name)
        self._namespace = f"{{{namespace}}}"
        self._path.append(DOCUMENT)

    def _open(self, node: Node, attributes: Mapping[str, str]) -> None:
        if node is MESSAGE:
            self._messages += 1
        elif node is GROUP:
            self._block = self._group
        elif node is INSTRUCTION:
            self._instruction = self._block = _Fields(f"Payment block {len(self._instructions) + 1}")
        elif node is TRANSFER:
            self._position += 1
            if self._position > MAXIMUM_TRANSFERS:
                message = f"The document holds more than {MAXIMUM_TRANSFERS} payments. Split the payroll run."
                raise UnreadableDocument("too_many_transfers", message)
            self._block = _Fields(f"Payment {self._position}")
        elif node.field == "amount":
            self._block.add("currency", attributes.get("Ccy", ""))

    def _close_transfer(self) -> None:
        self._transfers.append(_transfer(self._block, self._position))
        self._purposes.add(self._block.get("purpose"))
        self._block = self._instruction

    def _close_instruction(self) -> None:
        fields = self._instruction
        if fields.get("method") not in (None, "TRF", "TRA"):
            message = f"{fields.place} does not pay by transfer but by cheque or otherwise. {_EXPORT_AGAIN}"
            raise UnreadableDocument("payment_method_not_supported", message)
        # A purpose on the lines is that of the block when all lines agree; else each line keeps its own.
        purpose_of_lines = self._purposes.pop() if len(self._purposes) == 1 else None
        batch_booking = fields.get("batch_booking") or self._group.get("batch_booking") or ""
        self._instructions.append(
            SourceInstruction(
                payment_information_id=fields.get("id"),
                requested_execution_date=_date(fields.get("date") or ""),
                debtor_name=fields.get("debtor_name"),
                debtor_iban=fields.get("debtor_account") or "",
                debtor_bic=fields.get("debtor_bic"),
                category_purpose=fields.get("purpose") or purpose_of_lines,
                batch_booking=_XSD_BOOLEANS.get(batch_booking),
                declared_count=fields.declared_count(),
                declared_sum_cents=fields.declared_sum_cents(),
                transfers=tuple(self._transfers),
            )
        )
        self._transfers, self._purposes = [], set()


def _readable_schema(namespace: str, name: str) -> str:
    """Return the schema that the root element names, or refuse the document by the name of what it is."""
    if name == "Document" and not namespace:
        message = f"The document does not say which version of the payment message it is (no xmlns). {_EXPORT_AGAIN}"
        raise UnreadableDocument("version_unknown", message)
    found = _MESSAGE_NAME.fullmatch(namespace)
    if name != "Document" or found is None:
        message = f"This is XML, but no SEPA payment file (pain.001). {_EXPORT_AGAIN}"
        raise UnreadableDocument("not_a_payment_file", message)
    schema = found[1]
    if schema in READABLE_SCHEMAS:
        return schema
    if schema.startswith("pain.001."):
        message = f"This is a {schema} file, a version that is not read. {_EXPORT_AGAIN}"
        raise UnreadableDocument("version_not_supported", message)
    code = next((code for prefix, code in _OTHER_MESSAGES.items() if schema.startswith(prefix)), "not_a_payment_file")
    raise UnreadableDocument(code, f"This is a {schema} file, not a credit transfer (pain.001). {_EXPORT_AGAIN}")


def _transfer(fields: _Fields, position: int) -> SourceTransfer:
    amount_text = fields.get("amount") or ""
    kind, text = _remittance(fields)
    return SourceTransfer(
        position=position,
        end_to_end_id=fields.get("end_to_end_id"),
        amount_cents=_cents(amount_text),
        amount_text=amount_text,
        currency=fields.get("currency") or "",
        creditor_name=fields.get("creditor_name") or "",
        creditor_iban=fields.get("creditor_account") or "",
        creditor_bic=fields.get("creditor_bic"),
        remittance_kind=kind,
        remittance_text=text,
        reference_type=fields.get("reference_type"),
        reference_issuer=fields.get("reference_issuer"),
        category_purpose=fields.get("purpose"),
    )


def _cents(text: str) -> int | None:
    """Return the cents of an amount; None when it is none, or larger than any control sum can be: it cannot be kept."""
    try:
        cents = decimal_text_to_cents(text)
    except ValueError:
        return None
    return cents if abs(cents) <= MAXIMUM_TOTAL_CENTS else None


def _remittance(fields: _Fields) -> tuple[RemittanceKind, str]:
    """Return kind and text. One reference by itself is structured; everything else is joined with blanks, none lost.

    A reference beside free text (SEPA allows one of the two) becomes part of the free text; its type and issuer are
    kept, which shows that it was there.
    """
    references = fields.all("reference")
    texts = [*fields.all("free_text"), *references, *fields.all("additional_text")]
    if not texts:
        return RemittanceKind.NONE, ""
    if references == texts and len(texts) == 1:
        return RemittanceKind.STRUCTURED, texts[0]
    return RemittanceKind.UNSTRUCTURED, " ".join(texts)


def _date(text: str) -> date | None:
    """Return an xsd:date, its zone left out; None for anything else.

    A moment (`DtTm`) gives None too: it names a day only together with a zone, and the date in a source's file is a
    proposal that an employer still confirms.
    """
    found = _XSD_DATE.fullmatch(text)
    try:
        return date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None
