"""What can be wrong with an answer of a payroll source, from the socket up to the meaning, and what must come of it."""

import gzip
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tests.proofs.fault_proxy import Ending, Spoil, Spoiled
from tests.proofs.spoiling import (
    AMOUNT,
    LAUGHS,
    LINE,
    NAME,
    PAYEE,
    chunked,
    cut_off,
    document_in,
    dripped,
    edited,
    framed,
    in_utf16,
    numbered,
    packed,
    replaced,
    sent,
    soap_fault,
    status,
    substituted,
    two_amounts_exchanged,
    with_doctype,
    with_length,
    with_more,
    with_other_digit,
    without_totals,
)

DOCUMENT = "SalaryDocuments_GetSEPA"
RUNS = "Run_GetList"
_MIB = 1024 * 1024


class Outcome(StrEnum):
    """What must come of a fault.

    `refused`: no batch, and the run and the history say why. `harmless`: the right batch. `flagged`: a batch in which
    what is damaged is not payable and all else is right. `asked`: a batch that nobody can approve before confirming a
    finding that tells of it. `believed`: nothing in the answer can show it; the next reading puts it right, and what
    was shown until then can no longer be approved.
    """

    REFUSED = "refused"
    HARMLESS = "harmless"
    FLAGGED = "flagged"
    ASKED = "asked"
    BELIEVED = "believed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultCase:
    """One fault: which answer it spoils, how, and what must come of it. `codes` are the reasons that may be given.

    `is_slow` is a fault that only a time-out ends.
    """

    name: str
    spoil: Spoil
    outcome: Outcome = Outcome.REFUSED
    codes: frozenset[str] = frozenset()
    operation: str = DOCUMENT
    is_slow: bool = False


_UNUSABLE = frozenset({"source_answer_unusable"})
_LOST = frozenset({"source_answer_unusable", "source_unreachable"})
_SLOW = frozenset({"source_timeout"})
_BUSY = frozenset({"source_busy"})
_DOUBTFUL = frozenset({"totals_differ"})


def _cases(found: Mapping[str, Spoil], codes: frozenset[str], *, is_slow: bool = False) -> list[FaultCase]:
    return [FaultCase(name=name, spoil=spoil, codes=codes, is_slow=is_slow) for name, spoil in found.items()]


def _ending_in(outcome: Outcome, found: Mapping[str, Spoil], *codes: str) -> list[FaultCase]:
    return [FaultCase(name=name, spoil=spoil, outcome=outcome, codes=frozenset(codes)) for name, spoil in found.items()]


_ON_THE_SOCKET = [
    *_cases(
        {
            "reset before a byte": sent(ending=Ending.RESET),
            "reset in the head": cut_off(0.01, ending=Ending.RESET),
            "reset in the body": cut_off(0.6, ending=Ending.RESET),
            "closed before a byte": sent(),
            "closed in the head": cut_off(0.01),
            "closed in the body": cut_off(0.6),
            "closed in a body without a length": cut_off(0.6, has_length=False),
        },
        _LOST,
    ),
    *_cases(
        {
            "silence": sent(ending=Ending.SILENCE),
            "silence after half": cut_off(0.5, ending=Ending.SILENCE),
            "a head that drips": dripped(from_byte=0),
            "a body that drips": dripped(from_byte=400),
        },
        _SLOW,
        is_slow=True,
    ),
]
_IN_THE_FRAME = [
    *_cases(
        {
            "a length that is too short": with_length(-40),
            "a length that is too long": with_length(40),
            "two lengths": lambda genuine: Spoiled(pieces=[genuine.whole(Content_Length="7")]),
            "no last chunk": chunked(b""),
            "a chunk size that is none": chunked(b"zz\r\n"),
            "a chunk that is too short": chunked(b"ff\r\nabc\r\n0\r\n\r\n"),
            "the body twice": edited(lambda body: body * 2),
            "no HTTP": sent(b"220 smtp.example ESMTP\r\n"),
            "TLS": sent(b"\x15\x03\x01\x00\x02\x02\x28"),
            "gzip that is cut off": packed(lambda body: gzip.compress(body)[:-12]),
            "gzip with more behind it": packed(lambda body: gzip.compress(body) + b"more"),
            "gzip that is none": packed(lambda body: body),
            "packed as nobody asked": packed(zlib.compress, "br"),
        },
        _LOST,
    ),
    *_cases(
        {"a gzip bomb": packed(lambda body: gzip.compress(body + b" " * (64 * _MIB), 1))},
        frozenset({"answer_too_large"}),
    ),
    *_ending_in(
        Outcome.HARMLESS,
        {
            "the answer twice": lambda genuine: Spoiled(pieces=[genuine.whole() * 2]),
            "100 Continue before it": lambda genuine: Spoiled(
                pieces=[b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + genuine.whole()]
            ),
            "103 Early Hints before it": lambda genuine: Spoiled(
                pieces=[b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + genuine.whole()]
            ),
            "gzip": packed(gzip.compress),
            "chunks": chunked(b"0\r\n\r\n"),
            "no length": lambda genuine: Spoiled(pieces=[framed(genuine, has_length=False)]),
        },
    ),
]
_OF_SOMEBODY_ELSE = [
    *_cases(
        {
            "500 with a page": status("500 Internal Server Error"),
            "502 with a page": status("502 Bad Gateway"),
            "200 with a login page": status("200 OK"),
            "200 with a login page called XML": status("200 OK", content_type="text/xml"),
            "204": status("204 No Content", b""),
            "206 with the answer": lambda genuine: Spoiled(pieces=[genuine.whole(status="206 Partial Content")]),
            "304": status("304 Not Modified", b""),
            "302": status("302 Found", location="https://login.invalid/"),
            "307": status("307 Temporary Redirect", location="http://127.0.0.1:1/"),
            "401": status("401 Unauthorized", www_authenticate="Basic"),
            "nothing": edited(lambda _: b""),
            "blanks": edited(lambda _: b" \n" * 100),
            "zeros": edited(lambda body: b"\0" * len(body)),
        },
        _UNUSABLE,
    ),
    *_cases({"429": status("429 Too Many Requests"), "503": status("503 Service Unavailable")}, _BUSY),
]
_OF_THE_VENDOR = [
    *_cases({f"fault {number}": numbered(number) for number in (1006, 2019, 2020, 2021, 9999)}, _BUSY),
    *_cases(
        {"fault 1001": numbered(1001), "invalid combination": soap_fault("Invalid combination of user and token")},
        frozenset({"credentials_refused"}),
    ),
    *_cases({"fault 1002": numbered(1002)}, frozenset({"right_missing"})),
    *_cases({"fault 1003": numbered(1003)}, frozenset({"data_not_visible"})),
    *_cases({"fault 1004": numbered(1004), "fault 2013": numbered(2013)}, frozenset({"subscription_ended"})),
    *_cases(
        {f"fault {number}": numbered(number) for number in (2003, 2004, 2009)}, frozenset({"administration_unknown"})
    ),
    *_cases({"fault 2046": numbered(2046)}, frozenset({"run_unknown"})),
    *_cases(
        {f"fault {number}": numbered(number) for number in (2006, 2011, 2012, 2030)}, frozenset({"source_refused"})
    ),
    *_cases(
        {
            "a fault nobody knows": numbered(4711),
            "a fault that blames us": soap_fault("No such action", code="soap:Client"),
        },
        frozenset({"answer_not_understood"}),
    ),
    *_cases({"a fault without a number": soap_fault("Object reference not set")}, _UNUSABLE),
]
_IN_THE_XML = [
    *_cases(
        {
            "a DOCTYPE": edited(with_doctype(b"", b"")),
            "a billion laughs": edited(with_doctype(LAUGHS, b"<x>&i;</x>")),
            "a file of this machine": edited(with_doctype(b'<!ENTITY f SYSTEM "file:///etc/passwd">', b"<x>&f;</x>")),
            "another envelope": replaced(b"http://schemas.xmlsoap.org/soap/envelope/", b"urn:example:envelope"),
            "another namespace of the answer": replaced(
                b"nmbrs.nl/soap/v3/CompanyService", b"nmbrs.nl/soap/v2/CompanyService"
            ),
            "nested too deep": edited(with_more(b"<x>" * 5_000 + b"</x>" * 5_000)),
            "a byte that is no UTF-8": substituted(NAME, lambda name: b"\xff" + name[1:]),
            "an element that does not end": replaced(b"</soap:Body>", b"<x></soap:Body>"),
            "a byte flipped in a tag": replaced(b"</soap:Envelope>", b"</soap:Envelopd>"),
        },
        _UNUSABLE,
    ),
    *_cases(
        {
            "far too many elements": edited(with_more(b"<x/>" * 500_001)),
            "far too many bytes": edited(with_more(b"<x>" + b"A" * (33 * _MIB) + b"</x>")),
        },
        frozenset({"answer_too_large"}),
    ),
    *_cases(
        {"two results": edited(lambda body: re.sub(rb"(<\w+Result>.*</\w+Result>)", rb"\1\1", body, flags=re.DOTALL))},
        frozenset({"answer_not_understood"}),
    ),
    *_cases(
        {
            "a result that is nil": edited(lambda body: body[: document_in(body)[0]] + body[document_in(body)[1] :]),
            "a result of blanks": edited(
                lambda body: body[: document_in(body)[0]] + b"  " + body[document_in(body)[1] :]
            ),
        },
        frozenset({"document_not_there_yet"}),
    ),
    # What is counted before parsing is counted in UTF-8, so nothing else is parsed.
    *_cases({"UTF-16": edited(in_utf16, content_type="text/xml; charset=utf-16")}, _UNUSABLE),
    *_ending_in(
        Outcome.HARMLESS,
        {
            "a byte order mark": edited(lambda body: b"\xef\xbb\xbf" + body),
        },
    ),
]
_IN_THE_DOCUMENT = [
    *_cases(
        {
            "a document that stops halfway": edited(
                lambda body: body[: body.index(b"&lt;CdtrAcct")] + body[document_in(body)[1] :]
            )
        },
        frozenset({"incomplete_xml"}),
    ),
    *_cases(
        {
            "a login page for a document": edited(
                lambda body: body[: document_in(body)[0]] + b"&lt;html&gt;&lt;/html&gt;" + body[document_in(body)[1] :]
            )
        },
        frozenset({"html_page"}),
    ),
    *_cases(
        {"a DOCTYPE in the document": replaced(b"&lt;Document ", b"&lt;!DOCTYPE x&gt;&lt;Document ")},
        frozenset({"doctype_refused"}),
    ),
    *_cases({"another message": replaced(b"pain.001.001.03", b"pain.008.001.02")}, frozenset({"direct_debit_file"})),
    *_cases(
        {
            "a digit of an amount": substituted(AMOUNT, lambda amount: with_other_digit(amount, 0)),
            "a cent of an amount": substituted(
                AMOUNT, lambda amount: with_other_digit(amount, -1 + len(amount)), which=7
            ),
            "an amount that is none": substituted(AMOUNT, lambda _: b"1.000,00"),
            "a line less": substituted(LINE, lambda _: b""),
            "a line twice": substituted(LINE, lambda line: line * 2),
            "no totals": edited(without_totals),
        },
        _DOUBTFUL,
    ),
    *_cases(
        {"a total that is none": substituted(re.compile(rb"(CtrlSum&gt;)([0-9.]+)"), lambda _: b"many")},
        frozenset({"totals_unreadable"}),
    ),
    *_ending_in(
        Outcome.FLAGGED,
        {
            "a digit of an IBAN": substituted(PAYEE, lambda iban: with_other_digit(iban, 12)),
            "two digits of an IBAN exchanged": substituted(PAYEE, lambda iban: iban[:10] + iban[11:9:-1] + iban[12:]),
            "another currency": replaced(b'Ccy="EUR"', b'Ccy="USD"', 1),
        },
    ),
    *_ending_in(
        Outcome.BELIEVED,
        {
            "two amounts exchanged": edited(two_amounts_exchanged),
            "a letter of a name": substituted(NAME, lambda name: b"X" + name[1:]),
            "another valid IBAN": substituted(PAYEE, lambda _: b"NL39RABO0300065264"),
        },
    ),
]
_IN_THE_LIST = [
    FaultCase(name=f"list of runs: {name}", spoil=spoil, codes=codes, operation=RUNS, is_slow=is_slow)
    for name, spoil, codes, is_slow in (
        ("closed in the body", cut_off(0.7), _LOST, False),
        ("silence", sent(ending=Ending.SILENCE), _SLOW, True),
        ("a login page", status("200 OK"), _UNUSABLE, False),
        ("a run without an id", replaced(b"<ID>", b"<Key>"), _UNUSABLE, False),
        ("records under another name", replaced(b"RunInfo>", b"RunData>"), frozenset({"answer_not_understood"}), False),
    )
] + [
    FaultCase(name=f"{operation}: {name}", spoil=spoil, outcome=Outcome.HARMLESS, operation=operation)
    for operation in ("BankAccount_GetCurrent", "Run_GetEmployeesByRunCompany")
    for name, spoil in {
        "closed in the body": cut_off(0.7),
        "fault 1002": numbered(1002),
        "a page": status("200 OK"),
    }.items()
]

CASES: Sequence[FaultCase] = (
    *_ON_THE_SOCKET,
    *_IN_THE_FRAME,
    *_OF_SOMEBODY_ELSE,
    *_OF_THE_VENDOR,
    *_IN_THE_XML,
    *_IN_THE_DOCUMENT,
    *_IN_THE_LIST,
)
