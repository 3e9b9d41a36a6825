"""The bytes of a status report (pain.002) to a `StatusReport`: pure, whatever version and however packed.

The namespace of the root says what the document is; every pain.002 is read by the same names of elements, so that a
version that is newer than this code is read too. The text stays as the bank wrote it: the one thing taken off is white
space of the XML layout around a value. The document is read as a stream and nothing is resolved, fetched or expanded.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from lxml import etree

from app.core.clock import AMSTERDAM
from app.payments.errors import UnreadableDocument
from app.payments.message_paths import Node
from app.payments.status_report_model import (
    InstructionStatus,
    Reason,
    StatedStatus,
    StatedTotals,
    StatusCount,
    StatusReport,
    TransactionStatus,
)
from app.payments.status_report_paths import (
    COUNT,
    DOCUMENT,
    GROUP,
    HEADER,
    INSTRUCTION,
    MESSAGE,
    REASON,
    REPEATABLE_FIELDS,
    TRANSACTION,
)
from app.payments.status_report_refusals import FETCH_AGAIN, damaged, report_schema, unpacked

__all__ = ["MAXIMUM_DEPTH", "MAXIMUM_REASONS", "MAXIMUM_STATUSES", "MAXIMUM_VALUE_CHARACTERS", "read_status_report"]

# A status for each line of the largest file that a Dutch bank takes, and for its blocks.
MAXIMUM_STATUSES = 110_000
MAXIMUM_REASONS = 100  # for one status; banks give one or two
MAXIMUM_VALUE_CHARACTERS = 10_000  # ISO allows 500 in the longest value that is read
MAXIMUM_DEPTH = 64  # the deepest element of the message definitions is at 15

_XSD_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,30})?(Z|[+-][0-9]{2}:[0-9]{2})?"
)
_LAYOUT = " \t\r\n"
_BLOCKS = {
    HEADER: "The group header",
    GROUP: "The part about the original file",
    INSTRUCTION: "A payment block",
    TRANSACTION: "A payment",
    REASON: "A reason",
    COUNT: "A count of payments",
}


def read_status_report(data: bytes) -> StatusReport:
    """Return what a bank's report says: XML, or XML in base64, in UTF-16, or in a zip.

    Raises `UnreadableDocument`, and nothing else, when the bytes are anything else, are incomplete or damaged, can be
    read in two ways, or give no status at all. It judges nothing: codes and ids may be unknown.
    """
    text = unpacked(data)
    reader = _Reader()
    # lxml's own description of a target also asks for methods that we do not need.
    parser = etree.XMLParser(target=cast("Any", reader), resolve_entities=False, no_network=True, huge_tree=False)
    try:
        etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError as error:
        raise damaged(text, line=error.lineno or 1) from error
    return reader.report()


class _Block:
    """The values found in one block of the report, by field name, and the blocks that it holds."""

    __slots__ = ("_values", "counts", "place", "reasons", "transactions")

    def __init__(self, place: str) -> None:
        self.place = place
        self.reasons: list[Reason] = []
        self.counts: list[StatusCount] = []
        self.transactions: list[TransactionStatus] = []
        self._values: dict[str, list[str]] = {}

    def add(self, field: str, text: str) -> None:
        """Keep a value; an empty element is no value."""
        if not text:
            return
        if len(text) > MAXIMUM_VALUE_CHARACTERS:
            message = f"{self.place} has a text of more than {MAXIMUM_VALUE_CHARACTERS} characters. {FETCH_AGAIN}"
            raise UnreadableDocument("value_too_long", message)
        values = self._values.setdefault(field, [])
        if values and field not in REPEATABLE_FIELDS:
            name = field.replace("_", " ")
            message = f"{self.place} gives its {name} twice: it is not clear which holds. {FETCH_AGAIN}"
            raise UnreadableDocument("element_repeated", message)
        values.append(text)

    @property
    def is_empty(self) -> bool:
        return not self._values

    def all(self, field: str) -> tuple[str, ...]:
        return tuple(self._values.get(field, ()))

    def get(self, field: str) -> str | None:
        values = self._values.get(field)
        return values[0] if values else None

    def statement(self) -> StatedStatus:
        return StatedStatus(code=self.get("status"), reasons=tuple(self.reasons))

    def totals(self) -> StatedTotals:
        return StatedTotals(count_text=self.get("count"), sum_text=self.get("sum"), by_status=tuple(self.counts))


class _Reader:
    """Takes the parser's events; `report()` gives the result when the document has ended."""

    def __init__(self) -> None:
        self._schema = ""
        self._namespace = ""
        self._path: list[Node | None] = []
        self._text: list[str] = []
        self._seen = {MESSAGE: 0, HEADER: 0, GROUP: 0}
        self._statuses = 0
        self._blocks: list[_Block] = []
        self._header = self._group = self._outside = _Block("The report")
        self._instructions: list[InstructionStatus] = []

    def doctype(self, _name: str | None, _public_id: str | None, _system: str | None) -> None:
        """Refuse: a bank's report has no DOCTYPE, and entities are how XML attacks come in."""
        message = f"The document has a DOCTYPE, which is not allowed. {FETCH_AGAIN}"
        raise UnreadableDocument("doctype_refused", message)

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Find the place of the element in the message; everything under an unknown place is passed over."""
        self._text.clear()
        if not self._path:
            self._begin(tag)
            return
        if len(self._path) >= MAXIMUM_DEPTH:
            message = f"The XML is nested more than {MAXIMUM_DEPTH} deep, as no report is. {FETCH_AGAIN}"
            raise UnreadableDocument("too_deep", message)
        parent = self._path[-1]
        if parent is not None and parent.is_value_only:
            raise UnreadableDocument("damaged_xml", f"There is an element inside a value. {FETCH_AGAIN}")
        node = None if parent is None else parent.children.get(tag.removeprefix(self._namespace))
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
            self._blocks[-1].add(node.field, "".join(self._text).strip(_LAYOUT))
        self._text.clear()
        if node in _BLOCKS:
            self._close(node, self._blocks.pop())

    def close(self) -> None:
        """End: `report()` gives the result."""

    def report(self) -> StatusReport:
        """Return what was read; only after the parser found the document complete."""
        if self._seen[MESSAGE] != 1:
            message = f"The document holds no status report, or more than one. {FETCH_AGAIN}"
            raise UnreadableDocument("not_a_status_report", message)
        report = StatusReport(
            schema=self._schema,
            message_id=self._header.get("message_id"),
            created_at_text=self._header.get("created_at"),
            created_at=_moment(self._header.get("created_at") or ""),
            original_message_id=self._group.get("original_message_id"),
            original_message_name=self._group.get("original_message_name"),
            group=self._group.statement(),
            group_totals=self._group.totals(),
            instructions=tuple(self._instructions),
            loose_transactions=tuple(self._outside.transactions),
        )
        # A version that keeps its statuses elsewhere would look like this: better refused than taken for silence.
        if not _says_something(report):
            raise UnreadableDocument("no_status", f"The report gives no status that can be read. {FETCH_AGAIN}")
        return report

    def _begin(self, tag: str) -> None:
        namespace, _, name = tag.removeprefix("{").rpartition("}")
        self._schema = report_schema(namespace, name)
        self._namespace = f"{{{namespace}}}"
        self._path.append(DOCUMENT)

    def _open(self, node: Node, attributes: Mapping[str, str]) -> None:
        if node in self._seen:
            self._seen[node] += 1
            if self._seen[node] > 1:
                message = f"The document speaks of more than one file: it is not clear which. {FETCH_AGAIN}"
                raise UnreadableDocument("element_repeated", message)
        if node in _BLOCKS:
            self._blocks.append(_Block(_BLOCKS[node]))
        elif node.field == "amount":
            self._blocks[-1].add("currency", attributes.get("Ccy", ""))

    def _close(self, node: Node, block: _Block) -> None:
        around = self._blocks[-1] if self._blocks else self._outside
        if node is HEADER:
            self._header = block
        elif node is GROUP:
            self._group = block
        elif node is INSTRUCTION:
            self._count_status()
            self._instructions.append(_instruction(block))
        elif node is TRANSACTION:
            self._count_status()
            around.transactions.append(_transaction(block, around))
        elif block.is_empty:
            return  # ISO allows a reason or count that says nothing
        elif node is REASON:
            _limit(len(around.reasons), MAXIMUM_REASONS, "reasons for one status")
            around.reasons.append(_reason(block))
        else:
            _limit(len(around.counts), MAXIMUM_REASONS, "counts in one block")
            around.counts.append(StatusCount(code=block.get("code"), count_text=block.get("count")))

    def _count_status(self) -> None:
        _limit(self._statuses, MAXIMUM_STATUSES, "statuses")
        self._statuses += 1


def _limit(so_far: int, maximum: int, name: str) -> None:
    if so_far >= maximum:
        raise UnreadableDocument("too_many_statuses", f"The report holds more than {maximum} {name}. {FETCH_AGAIN}")


def _says_something(report: StatusReport) -> bool:
    statements = [report.group, *(instruction.statement for instruction in report.instructions)]
    return any(map(_is_said, statements)) or any(_is_said(each.statement) for each in report.transactions)


def _is_said(statement: StatedStatus) -> bool:
    return statement.code is not None or bool(statement.reasons)


def _instruction(block: _Block) -> InstructionStatus:
    return InstructionStatus(
        payment_information_id=block.get("payment_information_id"),
        statement=block.statement(),
        totals=block.totals(),
        transactions=tuple(block.transactions),
    )


def _transaction(block: _Block, around: _Block) -> TransactionStatus:
    return TransactionStatus(
        payment_information_id=block.get("payment_information_id") or around.get("payment_information_id"),
        end_to_end_id=block.get("end_to_end_id"),
        instruction_id=block.get("instruction_id"),
        statement=block.statement(),
        amount_text=block.get("amount"),
        currency=block.get("currency"),
        creditor_name=block.get("creditor_name"),
        creditor_iban=block.get("creditor_iban"),
    )


def _reason(block: _Block) -> Reason:
    return Reason(code=block.get("code"), proprietary=block.get("proprietary"), texts=block.all("text"))


def _moment(text: str) -> datetime | None:
    """Return an xsd:dateTime in UTC; without a zone it is the time in the Netherlands, None for anything else."""
    found = _XSD_MOMENT.fullmatch(text)
    if found is None:
        return None
    seconds, fraction, zone = found.groups(default="")
    try:
        moment = datetime.fromisoformat(seconds + fraction[:7] + zone)
        return (moment if zone else moment.replace(tzinfo=AMSTERDAM)).astimezone(UTC)
    except (ValueError, OverflowError):  # no such day or hour; or outside the years 1 to 9999 once in UTC
        return None
