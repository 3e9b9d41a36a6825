"""SOAP envelopes the way ASP.NET's ASMX reads and writes them.

Reading: unknown elements are ignored, a missing or wrongly cased number is 0, a missing text is null. Writing: an empty
list is an empty element, null is left out, times carry no zone and at most three fractional digits.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import Message
from enum import StrEnum
from typing import Any, Final, cast

from lxml import etree

from simulators.nmbrs.contract import Field, HeaderKind, ListOf, Operation, Record, Scalar, namespace, operations_of
from simulators.nmbrs.data import local_time

EMPTY_TIME: Final = datetime.fromisoformat("0001-01-01T00:00:00")
_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_XSD: Final = "http://www.w3.org/2001/XMLSchema"
_INT32: Final = range(-(2**31), 2**31)
_UNWRITABLE: Final = re.compile(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WHOLE_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,12}")

Value = int | str | datetime | None
Row = Mapping[str, Value]
Result = Value | Row | Sequence[Row]
# What .NET makes of an element that was not sent.
_ABSENT: Final[Mapping[object, Value]] = {Scalar.INT: 0, Scalar.DATE_TIME: EMPTY_TIME}


class SoapVersion(StrEnum):
    """The two versions, each named by its envelope's namespace."""

    V11 = "http://schemas.xmlsoap.org/soap/envelope/"
    V12 = "http://www.w3.org/2003/05/soap-envelope"

    @property
    def content_type(self) -> str:
        """The content type of an answer."""
        return ("text/xml" if self is SoapVersion.V11 else "application/soap+xml") + "; charset=utf-8"


class FaultSide(StrEnum):
    """Whose fault it is, in the words of SOAP 1.1."""

    CLIENT = "Client"
    SERVER = "Server"
    VERSION = "VersionMismatch"


class SoapFault(Exception):
    """The call is answered with a fault and HTTP status 500."""

    def __init__(self, text: str, side: FaultSide = FaultSide.CLIENT) -> None:
        super().__init__(text)
        self.text = text
        self.side = side


class NmbrsFault(SoapFault):
    """A numbered fault of Nmbrs itself."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"Server was unable to process request. ---> {code}: {message}", FaultSide.SERVER)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What the authentication header holds; `kind` is None when none was found in the service's own namespace."""

    kind: HeaderKind | None = None
    username: str = ""
    token: str = ""
    domain: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoapCall:
    """A call as read from its envelope."""

    operation: Operation
    credentials: Credentials
    parameters: Mapping[str, Value]

    def integer(self, name: str) -> int:
        """A number; 0 when it was not sent."""
        value = self.parameters[name]
        return value if isinstance(value, int) else 0

    def text(self, name: str) -> str:
        """A text; "" when it was not sent."""
        value = self.parameters[name]
        return value if isinstance(value, str) else ""

    def moment(self, name: str) -> datetime:
        """A local time; the first of January of the year 1 when it was not sent."""
        value = self.parameters[name]
        return value if isinstance(value, datetime) else EMPTY_TIME


# ------------------------------------------------------------------------------------------------------------- reading


def read_call(service: str, version: SoapVersion, headers: Mapping[str, str], body: bytes) -> SoapCall:
    """The call in `body`. Raises SoapFault with ASMX's text when it is none this service knows."""
    operation = _operation(service, _action(version, headers))
    envelope = _envelope(version, body)
    content = envelope.find(f"{{{version}}}Body/*")
    if content is None or content.tag != f"{{{namespace(service)}}}{operation.name}":
        raise _unknown_action(operation.action)
    return SoapCall(
        operation=operation,
        credentials=_credentials(service, envelope.find(f"{{{version}}}Header")),
        parameters={field.name: _parameter(service, field, content) for field in operation.parameters},
    )


def version_of(content_type: str) -> SoapVersion | None:
    """The SOAP version a content type announces."""
    match content_type.partition(";")[0].strip().lower():
        case "text/xml":
            return SoapVersion.V11
        case "application/soap+xml":
            return SoapVersion.V12
        case _:
            return None


def _action(version: SoapVersion, headers: Mapping[str, str]) -> str:
    if version is SoapVersion.V11:
        return headers.get("soapaction", "").strip().strip('"')
    message = Message()
    message["Content-Type"] = headers.get("content-type", "")
    action = message.get_param("action")
    if not isinstance(action, str) or not action:
        raise SoapFault("Unable to handle request without a valid action parameter. Please supply a valid soap action.")
    return action


def _operation(service: str, action: str) -> Operation:
    for operation in operations_of(service):
        if operation.action == action:
            return operation
    raise _unknown_action(action)


def _unknown_action(action: str) -> SoapFault:
    return SoapFault(f"Server did not recognize the value of HTTP Header SOAPAction: {action}.")


def _envelope(version: SoapVersion, body: bytes) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True)
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise _unreadable("Data at the root level is invalid.", error.position) from error
    document: Any = root.getroottree().docinfo  # the stubs do not know `doctype`
    if document.doctype:
        raise _unreadable("For security reasons DTD is prohibited in this XML document.")
    if root.tag != f"{{{version}}}Envelope":
        found = etree.QName(root).namespace or ""
        raise SoapFault(
            f"Possible SOAP version mismatch: Envelope namespace {found} was unexpected. Expecting {version}.",
            FaultSide.VERSION,
        )
    return root


def _unreadable(reason: str, position: tuple[int, int] = (1, 1)) -> SoapFault:
    return SoapFault(
        f"Server was unable to read request. ---> There is an error in XML document {position}. ---> {reason}"
    )


def _credentials(service: str, header: etree._Element | None) -> Credentials:
    """The header in the service's own namespace; one in any other namespace is as good as none."""
    if header is None:
        return Credentials()
    for kind in HeaderKind:
        element = header.find(f"{{{namespace(service)}}}{kind}")
        if element is not None:
            username, token, domain = (
                element.findtext(f"{{{namespace(service)}}}{name}") or "" for name in ("Username", "Token", "Domain")
            )
            return Credentials(kind=kind, username=username, token=token, domain=domain)
    return Credentials()


def _parameter(service: str, field: Field, content: etree._Element) -> Value:
    element = content.find(f"{{{namespace(service)}}}{field.name}")
    if element is None or element.get(f"{{{_XSI}}}nil") in {"true", "1"}:
        return _ABSENT.get(field.type)
    text = element.text or ""
    if field.type is Scalar.INT:
        return _integer(text.strip())
    return _moment(text.strip()) if field.type is Scalar.DATE_TIME else text


def _integer(text: str) -> int:
    if not _WHOLE_NUMBER.fullmatch(text):
        raise _unreadable("Input string was not in a correct format.")
    if int(text) not in _INT32:
        raise _unreadable("Value was either too large or too small for an Int32.")
    return int(text)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise _unreadable(f"The string '{text}' is not a valid AllXsd value.") from error
    return local_time(moment) if moment.tzinfo else moment


# ------------------------------------------------------------------------------------------------------------- writing


def response_element(operation: Operation, result: Result) -> etree._Element:
    """The element inside the body of an answer."""
    space = namespace(operation.service)
    response = etree.Element(f"{{{space}}}{operation.name}Response", nsmap=_default_namespace(space))
    if result is None:
        return response
    holder = etree.SubElement(response, f"{{{space}}}{operation.name}Result")
    match operation.result, result:
        case ListOf(item=item), list() as rows:
            for row in rows:
                _write_row(etree.SubElement(holder, f"{{{space}}}{item.name}"), item, row)
        case Record() as record, dict() as row:
            _write_row(holder, record, row)
        case _, str() as text:
            holder.text = text
        case _:
            msg = f"{operation.key} gave a result its table does not promise"
            raise TypeError(msg)
    return response


def _default_namespace(space: str) -> dict[str, str]:
    return cast("dict[str, str]", {None: space})  # lxml knows the default namespace as None, its stubs do not


def _write_row(element: etree._Element, record: Record, row: Row) -> None:
    space = etree.QName(element).namespace
    for field in record.fields:
        text = _written(row[field.name])
        if text is not None:
            etree.SubElement(element, f"{{{space}}}{field.name}").text = text


def _written(value: Value) -> str | None:
    match value:
        case bool():
            return "true" if value else "false"
        case datetime():
            return written_time(value)
        case None:
            return None
        case _:
            return str(value)


def written_time(moment: datetime) -> str:
    """A local time without a zone, with as many fractional digits as it has, three at most."""
    text = moment.isoformat(timespec="milliseconds")
    return text.rstrip("0").rstrip(".") if "." in text else text


def write_envelope(version: SoapVersion, content: etree._Element) -> bytes:
    """The whole answer around `content`."""
    envelope = etree.Element(f"{{{version}}}Envelope", nsmap={"soap": str(version), "xsi": _XSI, "xsd": _XSD})
    etree.SubElement(envelope, f"{{{version}}}Body").append(content)
    return b'<?xml version="1.0" encoding="utf-8"?>' + etree.tostring(envelope, encoding="utf-8")


def write_fault(version: SoapVersion, fault: SoapFault) -> bytes:
    """The whole answer for a fault."""
    shown = _UNWRITABLE.sub("?", fault.text)
    element = etree.Element(f"{{{version}}}Fault", nsmap={"soap": str(version)})
    if version is SoapVersion.V11:
        etree.SubElement(element, "faultcode").text = f"soap:{fault.side}"
        etree.SubElement(element, "faultstring").text = shown
        etree.SubElement(element, "detail")
    else:
        side = {FaultSide.CLIENT: "Sender", FaultSide.SERVER: "Receiver"}.get(fault.side, fault.side)
        code = etree.SubElement(element, f"{{{version}}}Code")
        etree.SubElement(code, f"{{{version}}}Value").text = f"soap:{side}"
        reason = etree.SubElement(element, f"{{{version}}}Reason")
        text = etree.SubElement(reason, f"{{{version}}}Text")
        text.set("{http://www.w3.org/XML/1998/namespace}lang", "en")
        text.text = shown
        etree.SubElement(element, f"{{{version}}}Detail")
    return write_envelope(version, element)
