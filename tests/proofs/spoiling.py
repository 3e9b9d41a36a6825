"""Ways of spoiling an answer of the simulated Nmbrs: its bytes, its frame, its XML, the payments in it."""

import re
from collections.abc import Callable

from tests.proofs.fault_proxy import Ending, Genuine, Spoil, Spoiled

PAGE = b"<html><head><title>Inloggen</title></head><body><form action='/login'>Log in</form></body></html>"
AMOUNT = re.compile(rb'(InstdAmt Ccy="EUR"&gt;)([0-9.]+)')
PAYEE = re.compile(rb"(CdtrAcct&gt;&lt;Id&gt;&lt;IBAN&gt;)([A-Z0-9]+)")
NAME = re.compile(rb"(Cdtr&gt;&lt;Nm&gt;)([^&]+)")
LINE = re.compile(rb"&lt;CdtTrfTxInf&gt;.*?&lt;/CdtTrfTxInf&gt;", re.DOTALL)
_DOCUMENT_TAG = b"SalaryDocuments_GetSEPAResult>"
_END = b"</soap:Body>"


def sent(*pieces: bytes, ending: Ending = Ending.CLOSE, pause_seconds: float = 0.0) -> Spoil:
    """Send these bytes, whatever was asked."""
    return lambda _: Spoiled(pieces=pieces, ending=ending, pause_seconds=pause_seconds)


def cut_off(share: float, *, ending: Ending = Ending.CLOSE, has_length: bool = True) -> Spoil:
    """Send this share of head and body together."""

    def spoil(genuine: Genuine) -> Spoiled:
        whole = framed(genuine, has_length=has_length)
        return Spoiled(pieces=[whole[: int(len(whole) * share)]], ending=ending)

    return spoil


def cut_at(offset: int, *, has_length: bool) -> Spoil:
    """Send exactly so many bytes of head and body together."""
    return lambda genuine: Spoiled(pieces=[framed(genuine, has_length=has_length)[:offset]])


def framed(genuine: Genuine, *, has_length: bool) -> bytes:
    """Return the whole answer, with its length or ended by the end of the connection."""
    return genuine.whole() if has_length else genuine.whole(content_length=None)


def document_cut_at(offset: int) -> Spoil:
    """Send a whole answer around a document that stops after so many bytes as they stand in the answer."""

    def edit(body: bytes) -> bytes:
        start, end = document_in(body)
        return body[: start + offset] + body[end:]

    return edited(edit)


def document_in(body: bytes) -> tuple[int, int]:
    """Return where the document stands in the answer."""
    return body.index(b"<" + _DOCUMENT_TAG) + len(_DOCUMENT_TAG) + 1, body.index(b"</" + _DOCUMENT_TAG)


def edited(edit: Callable[[bytes], bytes], **headers: str | None) -> Spoil:
    """Send another body, well-framed."""
    return lambda genuine: Spoiled(pieces=[genuine.whole(edit(genuine.body), **headers)])


def dripped(*, from_byte: int) -> Spoil:
    """Send the first bytes at once and the others one by one."""

    def spoil(genuine: Genuine) -> Spoiled:
        whole = genuine.whole()
        pieces = [whole[:from_byte], *(whole[at : at + 1] for at in range(from_byte, len(whole)))]
        return Spoiled(pieces=pieces, pause_seconds=0.05)

    return spoil


def with_length(change: int) -> Spoil:
    """Send a Content-Length that differs by so many bytes."""
    return lambda genuine: Spoiled(pieces=[genuine.whole(content_length=str(len(genuine.body) + change))])


def chunked(end: bytes) -> Spoil:
    """Send the body in one chunk, and end the body like this."""

    def spoil(genuine: Genuine) -> Spoiled:
        body = f"{len(genuine.body):x}\r\n".encode() + genuine.body + b"\r\n" + end
        return Spoiled(pieces=[genuine.whole(body, content_length=None, transfer_encoding="chunked")])

    return spoil


def status(text: str, body: bytes = PAGE, **headers: str) -> Spoil:
    """Send a page of somebody else under this status."""
    return lambda genuine: Spoiled(pieces=[genuine.whole(body, status=text, **{"content_type": "text/html"} | headers)])


def soap_fault(message: str, *, code: str = "soap:Server") -> Spoil:
    """Send a SOAP fault, as ASMX does, under status 500."""
    fault = (
        '<?xml version="1.0"?><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>'
        f"<soap:Fault><faultcode>{code}</faultcode><faultstring>{message}</faultstring></soap:Fault>"
        "</soap:Body></soap:Envelope>"
    )
    return lambda genuine: Spoiled(pieces=[genuine.whole(fault.encode(), status="500 Internal Server Error")])


def numbered(number: int) -> Spoil:
    """Send the SOAP fault with one of Nmbrs' own numbers."""
    return soap_fault(f"Server was unable to process request. ---&gt; {number}: Said by a test")


def packed(pack: Callable[[bytes], bytes], encoding: str = "gzip") -> Spoil:
    """Send the body packed, or said to be."""
    return edited(pack, content_encoding=encoding)


def replaced(old: bytes, new: bytes, times: int = -1) -> Spoil:
    """Replace bytes of the body; they must be there."""

    def edit(body: bytes) -> bytes:
        assert old in body, f"{old!r} is not in the answer, so nothing would be spoiled"
        return body.replace(old, new, times)

    return edited(edit)


def substituted(pattern: re.Pattern[bytes], change: Callable[[bytes], bytes], *, which: int = 0) -> Spoil:
    """Change the second group of one match of a pattern, or the whole match when it has no groups."""

    def edit(body: bytes) -> bytes:
        found = list(pattern.finditer(body))[which]
        group = 2 if pattern.groups else 0
        return body[: found.start(group)] + change(found[group]) + body[found.end(group) :]

    return edited(edit)


def with_other_digit(text: bytes, at: int) -> bytes:
    """Return the text with another digit at one place (from the front, or from the end when below zero)."""
    return text[:at] + str((int(text[at : at + 1]) + 1) % 10).encode() + text[at + 1 :]


def two_amounts_exchanged(body: bytes) -> bytes:
    """Exchange the first two amounts: every total still adds up."""
    first, second = list(AMOUNT.finditer(body))[:2]
    swapped = body[: first.start(2)] + second[2] + body[first.end(2) : second.start(2)] + first[2]
    return swapped + body[second.end(2) :]


def without_totals(body: bytes) -> bytes:
    """Leave every total out."""
    return re.sub(rb"&lt;(NbOfTxs|CtrlSum)&gt;[0-9.]+&lt;/(NbOfTxs|CtrlSum)&gt;", b"", body)


def with_doctype(subset: bytes, used: bytes) -> Callable[[bytes], bytes]:
    """Add a document type with this subset, and use it where nobody has to look."""

    def edit(body: bytes) -> bytes:
        declaration, mark, rest = body.partition(b"?>")
        before, end, after = rest.rpartition(_END)
        return declaration + mark + b"<!DOCTYPE soap:Envelope [" + subset + b"]>" + before + used + end + after

    return edit


def with_more(more: bytes) -> Callable[[bytes], bytes]:
    """Add something at the end of the envelope's body."""
    return lambda body: body.replace(_END, more + _END)


def in_utf16(body: bytes) -> bytes:
    """Write the whole answer in UTF-16."""
    return body.replace(b'encoding="utf-8"?>', b'encoding="utf-16"?>', 1).decode().encode("utf-16")


LAUGHS = b'<!ENTITY a "haha">' + b"".join(
    f'<!ENTITY {name} "{f"&{before};" * 10}">'.encode() for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
