"""Carries out ordered faults: on the transport, on the envelope, on the records inside."""

import zlib
from collections.abc import Iterator
from typing import Final

from lxml import etree

from simulators.nmbrs.contract import ListOf, Operation
from simulators.nmbrs.exchange import Ending, Pause, Reply
from simulators.nmbrs.faults import RECORD_KINDS, ActiveFault, FaultKind
from simulators.nmbrs.soap import NmbrsFault, Result

_MESSAGES: Final = {
    1001: "Invalid Authentication",
    1002: "Unauthorized access",
    1003: "Unauthorized access to these data",
    1004: "Disabled, no valid subscription",
    1006: "Generic login security failure",
    9999: "Unknown error",
}
_HTML: Final = b"""<html xmlns="http://www.w3.org/1999/xhtml"><head><title>Service Unavailable</title></head>\
<body><h1>Service Unavailable</h1><p>Nmbrs is in onderhoud.</p></body></html>"""
_BROKEN_HTML: Final = b"""<!doctype html><html><head><title>Onderhoud</title><body><p>Nmbrs is in onderhoud<br>&nbsp;"""
_DTD: Final = b"""<!DOCTYPE soap:Envelope [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">\
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>"""
_CHUNK: Final = b"A" * 65_536


def before_the_call(fault: ActiveFault) -> Reply | None:
    """The answer of a fault that keeps the call from being looked at, or None. Raises NmbrsFault where ordered."""
    order = fault.order
    html = {"content-type": "text/html; charset=utf-8"}
    match order.kind:
        case FaultKind.HTML:
            return Reply(status=order.status, headers=html, body=_HTML)
        case FaultKind.BROKEN_HTML:
            return Reply(status=order.status, headers=html, body=_BROKEN_HTML)
        case FaultKind.REDIRECT:
            return Reply(status=302, headers=html | {"location": order.location}, body=_HTML)
        case FaultKind.RESET:
            return Reply(ending=Ending.RESET)
        case FaultKind.SOAP_FAULT:
            raise NmbrsFault(order.code, order.message or _MESSAGES.get(order.code, "Error"))
        case _:
            return None


def pause_of(fault: ActiveFault | None) -> Pause | None:
    """The time a fault lets pass before the answer, or None."""
    if fault is None or fault.order.kind is not FaultKind.DELAY:
        return None
    return Pause(seconds=fault.order.seconds, lifted=fault.lifted)


def emptied(operation: Operation) -> Result:
    """The result of an operation that has nothing to tell yet."""
    match operation.result:
        case ListOf():
            return []
        case str():
            return ""
        case _:
            return None


def disturb_records(kind: FaultKind, operation: Operation, response: etree._Element) -> None:
    """Insert, append or reorder elements in each record of the response."""
    holder = response.find("*")
    if holder is None or kind not in RECORD_KINDS:
        return
    for record in list(holder) if isinstance(operation.result, ListOf) else [holder]:
        _disturb(kind, record)


def _disturb(kind: FaultKind, record: etree._Element) -> None:
    if kind is FaultKind.ELEMENTS_REORDERED:
        record[:] = list(record)[::-1]
        return
    space = etree.QName(record).namespace
    newcomer = etree.Element(f"{{{space}}}NewElement")
    newcomer.text = "1"
    iban = record.find(f"{{{space}}}IBAN")
    if kind is FaultKind.ELEMENT_APPENDED:
        record.append(newcomer)
    elif iban is not None:
        iban.addprevious(newcomer)
    else:
        record.insert(len(record) // 2, newcomer)


def after_the_call(fault: ActiveFault, reply: Reply, body: bytes) -> Reply:
    """The answer `reply`, whose body is `body`, as the fault leaves it."""
    headers, size = reply.headers, fault.order.size_bytes
    match fault.order.kind:
        case FaultKind.HALF_BODY:
            return Reply(status=reply.status, headers=headers, body=body, ending=Ending.HALF)
        case FaultKind.DTD:
            return Reply(status=reply.status, headers=headers, body=_with_dtd(body))
        case FaultKind.HUGE:
            return Reply(status=reply.status, headers=headers, body=_inflated(body, size))
        case FaultKind.GZIP_BOMB:
            packed = {**headers, "content-encoding": "gzip"}
            return Reply(status=reply.status, headers=packed, body=_packed(_inflated(body, size)))
        case _:
            return reply


def _with_dtd(body: bytes) -> bytes:
    """The envelope with an internal subset of nested entities, and one used where nobody has to look."""
    declaration, mark, rest = body.partition(b"?>")
    before, end, after = rest.rpartition(b"</soap:Body>")
    return declaration + mark + _DTD + before + b"<Note>&c;</Note>" + end + after


def _inflated(body: bytes, size: int) -> Iterator[bytes]:
    """The envelope with an element of `size` bytes more at the end of its body."""
    before, end, after = body.rpartition(b"</soap:Body>")
    yield before + b"<Filler>"
    for start in range(0, size, len(_CHUNK)):
        yield _CHUNK[: size - start]
    yield b"</Filler>" + end + after


def _packed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(level=1, wbits=16 + zlib.MAX_WBITS)
    for chunk in chunks:
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()
