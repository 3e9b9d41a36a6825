"""From bytes to a tree that the schema allows. The schemas are the ISO's, as the sepaxml package carries them."""

import re
import threading
from functools import cache
from importlib import resources
from typing import Final

from lxml import etree

from simulators.bank.order import Reason
from simulators.bank.rulebook import Rulebook

_NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:"
_MOST_REASONS: Final = 100
_ENCODING: Final = re.compile(rb"""encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
# A compiled schema keeps the log of its last validation, so threads take turns.
_TURN: Final = threading.Lock()

Tree = tuple[str, etree._Element]  # noqa: SLF001 - lxml has no public name for an element's type


class Unreadable(Exception):
    """No file of a schema we take; carries the reasons."""

    def __init__(self, *reasons: Reason) -> None:
        super().__init__(*reasons)
        self.reasons = reasons


def read_document(data: bytes, rules: Rulebook) -> Tree:
    """The schema's name and the document's element. Raises Unreadable."""
    _refuse_strange_bytes(data, rules)
    try:
        document = etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))
    except etree.XMLSyntaxError as error:
        raise Unreadable(Reason(code="FF01", where="file", text=f"no XML: {error.msg}")) from error
    schema = etree.QName(document).namespace or ""
    schema = schema.removeprefix(_NAMESPACE)
    if schema not in rules.schemas or etree.QName(document).localname != "Document":
        raise Unreadable(Reason(code="FF01", where="Document", text=f"we take {', '.join(sorted(rules.schemas))}"))
    with _TURN:
        validator = _validator(schema)
        if not validator.validate(document):
            raise Unreadable(*_reasons(validator))
    return schema, document


def _refuse_strange_bytes(data: bytes, rules: Rulebook) -> None:
    if len(data) > rules.maximum_bytes:
        raise Unreadable(Reason(code="FF01", where="file", text=f"more than {rules.maximum_bytes} bytes"))
    if data.startswith(b"\xef\xbb\xbf") or not data.startswith(b"<?xml "):
        raise Unreadable(Reason(code="FF01", where="file", text="the file begins with its XML declaration, no BOM"))
    encoding = _ENCODING.search(data.partition(b"?>")[0])
    if encoding is None or encoding[1].upper() != b"UTF-8":
        raise Unreadable(Reason(code="FF01", where="file", text="the encoding is UTF-8"))
    if b"<!" in data:
        raise Unreadable(Reason(code="FF01", where="file", text="no DOCTYPE, comment or CDATA"))


def _reasons(validator: etree.XMLSchema) -> list[Reason]:
    log = list(validator.error_log)[:_MOST_REASONS]  # type: ignore[call-overload]  # the stubs know no log entries
    return [
        Reason(code="FF01", where=f"line {entry.line}", text=entry.message.replace(f"{{{_NAMESPACE}", "{"))
        for entry in log
    ]


@cache
def _validator(schema: str) -> etree.XMLSchema:
    source = (resources.files("sepaxml") / "schemas" / f"{schema}.xsd").read_bytes()
    return etree.XMLSchema(etree.fromstring(source))
