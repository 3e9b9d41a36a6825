"""Our own reader of a SOAP answer: it checks the envelope of every answer, and reads what zeep refuses to.

It ignores elements it does not know, never guesses, and takes no document type, entity or outside reference.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from lxml import etree

from app.nmbrs.operations import NotUnderstood, Operation, Record, Shape

_ENVELOPES: Final = ("http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope")
_NIL: Final = "{http://www.w3.org/2001/XMLSchema-instance}nil"
# An element takes some hundred bytes of memory whatever it takes in the answer, so elements are counted beforehand.
_MAX_TAGS: Final = 500_000
# lxml writes the namespace out before each element that is asked for its name: a long one takes hours to read.
_LONG_ATTRIBUTE: Final = re.compile(rb"=\s*(?:\"[^\"<]{1000}|'[^'<]{1000})")
# libxml2 stops at texts over 10 million characters unless told otherwise; a payment file may be one such text.
_LONG_TEXT_BYTES: Final = 10_000_000


class NoEnvelope(Exception):
    """Not well-formed, cut off, or no SOAP envelope with the answer of this operation."""


class TooManyElements(Exception):
    """More elements, or longer attributes, than an answer of any size we expect has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoapFault:
    """A fault as written. `is_our_request` when its code blames the sender."""

    message: str
    is_our_request: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """The response element of an operation, found in a checked envelope."""

    operation: Operation
    element: etree._Element

    def records(self) -> list[Record]:
        """Return the records of the result: none when it is absent, empty or nil. Raises `NotUnderstood`."""
        result = self._result()
        if result is None:
            return []
        if (result.text or "").strip():
            raise NotUnderstood(f"{self.operation.name}Result holds text where records are expected")
        if self.operation.shape is Shape.RECORD:
            return [_fields(result, self.operation)] if len(result) else []
        return [_fields(item, self.operation) for item in _items(result, self.operation) if not _is_nil(item)]

    def text(self) -> bytes:
        """Return the result as bytes, empty when there is none. XML inside it is written out as it stands."""
        result = self._result()
        if result is None:
            return b""
        text = result.text or ""
        if not len(result):
            return text.encode() if text.strip() else b""
        if len(result) > 1 or text.strip():
            raise NotUnderstood(f"{self.operation.name}Result holds more than one document")
        return etree.tostring(result[0], encoding="utf-8", with_tail=False)

    def _result(self) -> etree._Element | None:
        name = f"{self.operation.name}Result"
        results = self.element.findall(f"{{{self.operation.namespace}}}{name}")
        if len(results) > 1 or (not results and len(self.element)):
            raise NotUnderstood(f"it holds no {name}, or more than one")
        return results[0] if results and not _is_nil(results[0]) else None


def open_envelope(content: bytes, operation: Operation) -> SoapFault | Response:
    """Return the fault or the response in an answer.

    Raises `NoEnvelope` when it is not (or not all of) an answer of this operation, `TooManyElements`.
    """
    root = _parse(content, operation)
    namespace = etree.QName(root).namespace
    if namespace not in _ENVELOPES or etree.QName(root).localname != "Envelope":
        raise NoEnvelope
    body = root.find(f"{{{namespace}}}Body")
    if body is None:
        raise NoEnvelope
    fault = body.find(f"{{{namespace}}}Fault")
    if fault is not None:
        return _fault(fault, namespace or "")
    response = body.find(f"{{{operation.namespace}}}{operation.name}Response")
    if response is None:
        raise NoEnvelope
    return Response(operation=operation, element=response)


def _parse(content: bytes, operation: Operation) -> etree._Element:
    if content.count(b"<") > _MAX_TAGS or _LONG_ATTRIBUTE.search(content):
        raise TooManyElements
    is_long_text = operation.shape is Shape.TEXT and len(content) > _LONG_TEXT_BYTES
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        remove_comments=True,
        remove_pis=True,
        huge_tree=is_long_text,
    )
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError:
        raise NoEnvelope from None
    described: Any = root.getroottree().docinfo  # the stubs leave out doctype
    # What is counted above is counted in UTF-8: in another encoding the same bytes may be other elements. Of UTF-16
    # with its mark libxml2 says that it is UTF-8; its markup always holds NUL, which UTF-8 never does.
    if described.doctype or (described.encoding or "utf-8").lower() != "utf-8" or b"\0" in content:
        raise NoEnvelope
    return root


def _fault(fault: etree._Element, namespace: str) -> SoapFault:
    code = fault.findtext("faultcode") or fault.findtext(f"{{{namespace}}}Code/{{{namespace}}}Value") or ""
    message = fault.findtext("faultstring") or fault.findtext(f"{{{namespace}}}Reason/{{{namespace}}}Text") or ""
    return SoapFault(message=message, is_our_request=code.rpartition(":")[2].strip() in {"Client", "Sender"})


def _items(result: etree._Element, operation: Operation) -> list[etree._Element]:
    """Return the records of a list. A record under an unknown name is no detail: it could be a run nobody would see."""
    expected = f"{{{operation.namespace}}}{operation.item}"
    items = [child for child in result if child.tag == expected or len(child)]
    if operation.item and any(child.tag != expected for child in items):
        raise NotUnderstood(f"{operation.name}Result holds records other than {operation.item}")
    return items


def _fields(element: etree._Element, operation: Operation) -> Record:
    fields: dict[str, object] = {}
    for child in element:
        name = etree.QName(child)
        if name.namespace != operation.namespace or len(child):
            continue
        if name.localname in fields:
            raise NotUnderstood(f"{name.localname} stands twice in one record")
        fields[name.localname] = None if _is_nil(child) else child.text
    return fields


def _is_nil(element: etree._Element) -> bool:
    return (element.get(_NIL) or "").strip() in {"true", "1"}
