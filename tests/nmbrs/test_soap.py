import copy
import logging
import random
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from lxml import etree
from prometheus_client import REGISTRY

from app.core.http import MIB
from app.nmbrs.source import NmbrsSoapSource
from app.payments.errors import FaultKind, SourceFault
from app.payments.ports import SourceRun
from tests.local_server import Received, Reply
from tests.nmbrs.scripted import (
    ACCOUNT,
    CREDENTIALS,
    DOCUMENT,
    GOOD,
    RUN,
    ScriptedNmbrs,
    envelope,
    fault,
    numbered,
    result,
    xml,
)

PAY_DAY = date(2026, 11, 25)
RUN_READ = SourceRun(
    external_id="5501",
    number=4,
    year=2026,
    period_start=11,
    period_end=11,
    description="Salaris november",
    made_at=datetime(2026, 11, 20, 15, 31, 5, 123000, tzinfo=UTC),
    is_locked=True,
)

# Each operation by its full name, asked through the port.
ASK: dict[str, Callable[[NmbrsSoapSource], object]] = {
    "DebtorService.List_GetAll": lambda source: source.list_administrations(),
    "CompanyService.List_GetByDebtor": lambda source: source.list_administrations(),
    "CompanyService.Run_GetList": lambda source: source.list_runs("9969", year=2026),
    "CompanyService.SalaryDocuments_GetSEPA": lambda source: source.fetch_payments(
        "9969", RUN_READ, payment_date=PAY_DAY
    ),
    "CompanyService.BankAccount_GetCurrent": lambda source: source.debtor_account("9969"),
    "CompanyService.Run_GetEmployeesByRunCompany": lambda source: source.run_employees("9969", RUN_READ),
}
RECORDS = [name for name in ASK if name != "CompanyService.SalaryDocuments_GetSEPA"]


def fault_of(source: NmbrsSoapSource, operation: str) -> SourceFault:
    """Ask, and return the fault that must come."""
    with pytest.raises(SourceFault) as caught:
        ASK[operation](source)
    return caught.value


# -------------------------------------------------------------------------------------------------------------- asking


def header_of(request: Received) -> tuple[str, dict[str, str]]:
    """Return the qualified name of the header element, and what is in it."""
    header = etree.fromstring(request.body).find("{http://schemas.xmlsoap.org/soap/envelope/}Header")
    (auth,) = header
    return auth.tag, {child.tag: child.text for child in auth}


@pytest.mark.parametrize("operation", list(ASK))
def test_each_call_carries_its_header_in_the_namespace_of_its_service(
    nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, operation: str
):
    """User, token and domain stand in the service's own namespace; the service would overlook them in any other."""
    ASK[operation](source)
    request = nmbrs.server.received[nmbrs.asked.index(operation)]
    namespace = f"{{https://api.nmbrs.nl/soap/v3/{operation.partition('.')[0]}}}"
    tag, fields = header_of(request)
    assert tag == f"{namespace}AuthHeaderWithDomain"
    assert fields == {
        f"{namespace}Username": CREDENTIALS.username,
        f"{namespace}Token": CREDENTIALS.secret,
        f"{namespace}Domain": "kantoor",
    }
    assert request.headers["content-type"] == "text/xml; charset=utf-8"


def test_the_environment_is_asked_without_a_domain(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """Environment_Get takes the older header, so that it proves user and token whatever the domain."""
    source.check()
    namespace = "{https://api.nmbrs.nl/soap/v3/DebtorService}"
    tag, fields = header_of(nmbrs.server.received[0])
    assert tag == f"{namespace}AuthHeader"
    assert set(fields) == {f"{namespace}Username", f"{namespace}Token"}


def test_the_payment_file_is_asked_with_the_year_of_the_run(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """The year is the run's own, the date goes as local midnight, and names are cased as the service wants them."""
    source.fetch_payments("9969", replace(RUN_READ, year=2025), payment_date=date(2026, 1, 2))
    body = etree.fromstring(nmbrs.server.received[0].body).find(".//{*}SalaryDocuments_GetSEPA")
    assert [(etree.QName(child).localname, child.text) for child in body] == [
        ("CompanyId", "9969"),
        ("Year", "2025"),
        ("RunID", "5501"),
        ("paymentDate", "2026-01-02T00:00:00"),
    ]


def test_two_connections_in_sixteen_threads_never_mix_their_tokens(nmbrs: ScriptedNmbrs):
    """Every request carries the token that belongs to the administration it asks about."""
    kind = nmbrs.kind()
    sources = [
        kind.open(replace(CREDENTIALS, username=f"user{n}@kantoor.example", secret=f"token-of-{n}", domain=f"d{n}"))
        for n in (1, 2)
    ]

    def ask(number: int) -> None:
        who = number % 2
        sources[who].list_runs(f"10{who + 1}", year=2026)
        sources[who].debtor_account(f"10{who + 1}")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(160)))
    pattern = re.compile(rb"user(.)@.*token-of-(.)<.*>d(.)<.*CompanyId>10(.)<")
    seen = Counter(b"".join(pattern.findall(request.body)[0]) for request in nmbrs.server.received)
    assert seen == {b"1111": 160, b"2222": 160}


# ------------------------------------------------------------------------------------------------ what the vendor adds


def counted(operation: str) -> float:
    """Return how many answers of an operation were read leniently so far."""
    name = "loonstroom_nmbrs_answers_read_leniently_total"
    return REGISTRY.get_sample_value(name, {"operation": operation}) or 0.0


def first_record(operation: str, change: Callable[[etree._Element], None]) -> Reply:
    """Return the good answer with its (first) record changed."""
    root = etree.fromstring(envelope(operation, GOOD[operation]))
    answer = root.find(f".//{{*}}{operation.partition('.')[2]}Result")
    change(answer if operation.endswith("BankAccount_GetCurrent") else answer[0])
    return xml(etree.tostring(root))


def insert_in_front(record: etree._Element) -> None:
    """An element nobody knows, before all others."""
    record.insert(0, etree.Element(f"{{{etree.QName(record).namespace}}}New"))
    record[0].text = "x"


def insert_before_each(record: etree._Element) -> None:
    """An element nobody knows, with things inside, before each other element."""
    for number, child in enumerate(list(record)):
        new = etree.Element(f"{{{etree.QName(record).namespace}}}New{number}")
        etree.SubElement(new, f"{{{etree.QName(record).namespace}}}IBAN").text = "NL00FALS0000000000"
        child.addprevious(new)


def append(record: etree._Element) -> None:
    """An element nobody knows, at the end."""
    etree.SubElement(record, f"{{{etree.QName(record).namespace}}}New").text = "x"


def reverse(record: etree._Element) -> None:
    """The known elements in another order."""
    record[:] = reversed(record[:])


@pytest.mark.parametrize("change", [insert_in_front, insert_before_each, append, reverse])
@pytest.mark.parametrize("operation", RECORDS)
def test_what_the_vendor_adds_or_moves_changes_no_value(
    nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, operation: str, change: Callable[[etree._Element], None]
):
    """Strict reader and own reader give equal values; that the own reader was needed is counted and logged."""
    before = ASK[operation](source)
    asked, read = len(nmbrs.asked), counted(operation)
    nmbrs.answers[operation] = first_record(operation, change)
    assert ASK[operation](source) == before
    assert nmbrs.asked[asked:].count(operation) == 1
    assert counted(operation) == read + 1


def test_a_lenient_reading_is_logged_by_operation_only(
    nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, caplog: pytest.LogCaptureFixture
):
    """Whoever runs the service can see that the vendor changed something, without seeing the answer."""
    nmbrs.answers["CompanyService.BankAccount_GetCurrent"] = first_record(
        "CompanyService.BankAccount_GetCurrent", insert_before_each
    )
    source.debtor_account("9969")
    assert "CompanyService.BankAccount_GetCurrent answered with something new" in caplog.text
    assert "NL91" not in caplog.text


def test_good_answers_are_read_strictly(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """The own reader is not needed for answers as described; otherwise the count would mean nothing."""
    before = [counted(operation) for operation in ASK]
    for ask in ASK.values():
        ask(source)
    assert [counted(operation) for operation in ASK] == before


def test_items_under_another_name_are_read_where_the_name_is_not_published(
    nmbrs: ScriptedNmbrs, source: NmbrsSoapSource
):
    """The item name of run employees is a guess, so any item with the fields will do."""
    inside = GOOD["CompanyService.Run_GetEmployeesByRunCompany"].replace("RunEmployee>", "EmployeeOfRun>")
    nmbrs.answers["CompanyService.Run_GetEmployeesByRunCompany"] = result(
        "CompanyService.Run_GetEmployeesByRunCompany", inside
    )
    assert [employee.number for employee in source.run_employees("9969", RUN_READ) or []] == ["1", "2"]


# -------------------------------------------------------------------------------------------- what must not be missing

MANDATORY = {
    "DebtorService.List_GetAll": ["Id"],
    "CompanyService.List_GetByDebtor": ["ID", "Number"],
    "CompanyService.Run_GetList": ["ID", "Number", "Year", "PeriodStart", "PeriodEnd", "RunAt", "IsLocked"],
    "CompanyService.BankAccount_GetCurrent": ["Id", "IBAN"],
    "CompanyService.Run_GetEmployeesByRunCompany": ["EmployeeId", "EmployeeNumber"],
}


@pytest.mark.parametrize("is_lenient", [False, True])
@pytest.mark.parametrize("how", ["missing", "empty", "nil", "renamed", "elsewhere", "nested", "twice"])
@pytest.mark.parametrize(
    ("operation", "field"), [(name, field) for name, fields in MANDATORY.items() for field in fields]
)
def test_a_mandatory_value_that_cannot_be_read_is_never_guessed(
    nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, operation: str, field: str, how: str, is_lenient: bool
):
    """Missing, empty, nil, renamed, in another namespace, nested or given twice: a fault of ours, in both readers."""

    def change(record: etree._Element) -> None:
        child = record.find(f"{{*}}{field}")
        match how:
            case "missing":
                record.remove(child)
            case "empty":
                child.text = None
            case "nil":
                child.set("{http://www.w3.org/2001/XMLSchema-instance}nil", "true")
            case "renamed":
                child.tag = child.tag.replace(field, field.lower().capitalize() + "X")
            case "elsewhere":
                child.tag = f"{{urn:other}}{field}"
            case "nested":
                etree.SubElement(child, f"{{{etree.QName(record).namespace}}}Value").text, child.text = child.text, None
            case "twice":
                child.addnext(copy.deepcopy(child))
        if is_lenient:
            append(record)

    nmbrs.answers[operation] = first_record(operation, change)
    caught = fault_of(source, operation)
    assert (caught.kind, caught.code, caught.operation) == (FaultKind.OURS, "answer_not_understood", operation)
    assert field in caught.explanation or "IBAN" in caught.explanation or "disagree" in caught.explanation


@pytest.mark.parametrize(
    "inside",
    [
        RUN.replace("RunInfo", "RunInfo2"),
        RUN + RUN.replace("RunInfo", "RunDetails"),
        "Geen gegevens",
        f"{RUN}</Run_GetListResult><Run_GetListResult>{RUN}",
        RUN.replace("<ID>5501</ID>", "<ID>0</ID>"),
        RUN.replace("<PeriodStart>11<", "<PeriodStart>54<"),
        RUN.replace("true", "maybe"),
        RUN.replace("2026-11-20T16", "2026-13-20T16"),
    ],
)
def test_a_list_of_runs_that_is_not_plainly_one_is_refused(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, inside: str):
    """Records under another name, text in their place or impossible values never look like fewer runs."""
    nmbrs.answers["CompanyService.Run_GetList"] = result("CompanyService.Run_GetList", inside)
    assert fault_of(source, "CompanyService.Run_GetList").code == "answer_not_understood"


def test_two_readings_that_differ_are_refused(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """Zeep takes the text before an element inside a text, the own reader does not: then neither is believed."""
    inside = GOOD["CompanyService.List_GetByDebtor"].replace("B.V.</Name>", "<New />B.V.</Name>")
    nmbrs.answers["CompanyService.List_GetByDebtor"] = result("CompanyService.List_GetByDebtor", inside)
    caught = fault_of(source, "CompanyService.List_GetByDebtor")
    assert caught.code == "answer_not_understood"
    assert "disagree" in caught.explanation


def test_a_result_under_another_name_is_refused(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """A response that holds something, but not the result, is not an empty list."""
    content = envelope("CompanyService.Run_GetList", RUN).replace(b"Run_GetListResult", b"Run_GetListAnswer")
    nmbrs.answers["CompanyService.Run_GetList"] = xml(content)
    assert fault_of(source, "CompanyService.Run_GetList").code == "answer_not_understood"


@pytest.mark.parametrize("operation", ["CompanyService.Run_GetList", "CompanyService.Run_GetEmployeesByRunCompany"])
@pytest.mark.parametrize("how", ["empty", "absent", "nil"])
def test_an_empty_list_is_an_empty_list(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, operation: str, how: str):
    """ASMX leaves a null list out, and writes an empty one as an empty element."""
    name = operation.partition(".")[2]
    empty = f"<{name}Result></{name}Result>".encode()
    instead = {"empty": f"<{name}Result />", "absent": "", "nil": f'<{name}Result xsi:nil="true" />'}[how]
    nmbrs.answers[operation] = xml(envelope(operation, "").replace(empty, instead.encode()))
    assert ASK[operation](source) == []


@pytest.mark.parametrize("how", ["<BankAccount_GetCurrentResult />", "", ACCOUNT.replace(">7<", ">0<")])
def test_a_company_without_an_account_has_none(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, how: str):
    """No record, an empty record and the record of nothing (Id 0) all mean that there is no account."""
    operation = "CompanyService.BankAccount_GetCurrent"
    empty = b"<BankAccount_GetCurrentResult></BankAccount_GetCurrentResult>"
    if how.startswith("<Id"):
        answer = result(operation, "<Id>0</Id><Type>None</Type>")
    else:
        answer = xml(envelope(operation, "").replace(empty, how.encode()))
    nmbrs.answers[operation] = answer
    assert source.debtor_account("9969") is None


# ---------------------------------------------------------------------------------------------------- the payment file


def document(inside: str) -> Reply:
    """Return an answer of the payment file."""
    return result("CompanyService.SalaryDocuments_GetSEPA", inside)


@pytest.mark.parametrize(
    ("inside", "content"),
    [
        (GOOD["CompanyService.SalaryDocuments_GetSEPA"], DOCUMENT.encode()),
        (f"<![CDATA[{DOCUMENT}]]>", DOCUMENT.encode()),
        ("PD94bWwgdmVyc2lvbj0iMS4wIj8+", b"PD94bWwgdmVyc2lvbj0iMS4wIj8+"),
        ("\n  PD94bWwg\n  dmVyc2lvbj0iMS4wIj8+\n", b"\n  PD94bWwg\n  dmVyc2lvbj0iMS4wIj8+\n"),
        ("", b""),
        (" \n ", b""),
        ("</SalaryDocuments_GetSEPAResult><SalaryDocuments_GetSEPAResult2/><SalaryDocuments_GetSEPAResult>", None),
        ('<Document xmlns="urn:iso:std:x"><A>1</A></Document>', b'<Document xmlns="urn:iso:std:x"'),
        ('text and <Document xmlns="urn:iso:std:x"/>', None),
        ("<a/><b/>", None),
    ],
)
def test_the_payment_file_is_given_back_as_it_came(
    nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, inside: str, content: bytes | None
):
    """Text is kept to the byte, nothing is nothing, XML inside the answer is written out, two things are refused."""
    nmbrs.answers["CompanyService.SalaryDocuments_GetSEPA"] = document(inside)
    if content is None:
        assert fault_of(source, "CompanyService.SalaryDocuments_GetSEPA").code == "answer_not_understood"
        return
    got = source.fetch_payments("9969", RUN_READ, payment_date=PAY_DAY)
    assert got.requested_payment_date == PAY_DAY
    assert got.content == content or (content.startswith(b"<Document xmlns") and got.content.startswith(content))


def test_a_payment_file_of_twelve_million_characters_is_read(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """The XML library stops at ten million characters in one text; a payroll of twenty thousand people has more."""
    long = "x" * 12_000_000
    nmbrs.answers["CompanyService.SalaryDocuments_GetSEPA"] = document(long)
    assert source.fetch_payments("9969", RUN_READ, payment_date=PAY_DAY).content == long.encode()


# ------------------------------------------------------------------------------------------------------------ too much


@pytest.mark.parametrize(
    "inside",
    [
        RUN.replace("Salaris november", "x" * 9 * MIB),
        "<a/>" * 600_000,
        f'<p:a xmlns:p = "{"x" * 1000}"/>',
        f"<a xmlns='{'x' * 1000}'/>",
    ],
    ids=["bytes", "elements", "a long name", "another long name"],
)
def test_an_answer_that_is_too_large_is_a_fault_of_ours(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, inside: str):
    """Bytes and elements are counted before anything is built in memory; names too, since reading repeats them."""
    nmbrs.answers["CompanyService.Run_GetList"] = result("CompanyService.Run_GetList", inside)
    caught = fault_of(source, "CompanyService.Run_GetList")
    assert (caught.kind, caught.code) == (FaultKind.OURS, "answer_too_large")


def test_a_payment_file_may_be_larger_than_a_list_but_not_without_end(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """Payment files have a cap of their own, 32 MiB."""
    nmbrs.answers["CompanyService.SalaryDocuments_GetSEPA"] = document("x" * (33 * MIB))
    assert fault_of(source, "CompanyService.SalaryDocuments_GetSEPA").code == "answer_too_large"


DTD = [
    '<!DOCTYPE Envelope [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
    '<!DOCTYPE Envelope SYSTEM "http://127.0.0.1:{port}/dtd">',
    '<!DOCTYPE Envelope [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
    "<!DOCTYPE html>",
]


@pytest.mark.parametrize("doctype", DTD)
def test_a_document_type_is_refused_and_nothing_is_fetched_for_it(
    nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, doctype: str
):
    """Entities, outside document types and plain HTML types: no answer, no request."""
    declaration = b'<?xml version="1.0" encoding="utf-8"?>'
    doctype = doctype.replace("{port}", str(nmbrs.server.port))
    content = envelope("CompanyService.Run_GetList", RUN).replace(declaration, declaration + doctype.encode())
    nmbrs.answers["CompanyService.Run_GetList"] = xml(content)
    assert fault_of(source, "CompanyService.Run_GetList").code == "source_answer_unusable"
    assert len(nmbrs.server.received) == 1


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1", "utf-7"])
def test_an_answer_in_another_encoding_is_not_read(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, encoding: str):
    """What was counted as text could be elements in it; the source writes UTF-8."""
    text = envelope("CompanyService.Run_GetList", RUN).decode().replace('"utf-8"', f'"{encoding}"')
    nmbrs.answers["CompanyService.Run_GetList"] = xml(text.encode("ascii" if encoding == "utf-7" else encoding))
    assert fault_of(source, "CompanyService.Run_GetList").code == "source_answer_unusable"


# --------------------------------------------------------------------------------------------------- no (whole) answer


@pytest.mark.parametrize("operation", list(ASK))
def test_an_answer_cut_at_any_byte_is_never_read(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, operation: str):
    """Without a length on the wire only the XML tells that an answer is whole; every cut is a fault that waits."""
    whole = envelope(operation, GOOD[operation])
    for length in range(0, len(whole), 7 if operation.endswith("List_GetAll") else 3):
        nmbrs.answers[operation] = Reply(pieces=[whole[:length]], headers={"content-type": "text/xml"})
        caught = fault_of(source, operation)
        assert (caught.kind, caught.code) == (FaultKind.WAIT, "source_answer_unusable")


HTML = b"<!DOCTYPE html><html><body><h1>503 Service Unavailable</h1></body></html>"
TIDY = b"<html><body><p>Onderhoud</p></body></html>"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(status=503, body=HTML, headers={"content-type": "text/html"}), "source_busy"),
        (Reply(status=503, body=TIDY, headers={"content-type": "text/xml"}), "source_busy"),
        (Reply(status=429, body=b"", headers={}), "source_busy"),
        (Reply(status=502, body=HTML, headers={"content-type": "text/html"}), "source_answer_unusable"),
        (Reply(status=500, body=TIDY, headers={"content-type": "text/html"}), "source_answer_unusable"),
        (xml(TIDY, 500), "source_answer_unusable"),
        (xml(envelope("CompanyService.Run_GetList", RUN), 500), "source_answer_unusable"),
        (Reply(status=200, body=TIDY, headers={"content-type": "text/html"}), "source_answer_unusable"),
        (xml(TIDY), "source_answer_unusable"),
        (
            Reply(body=envelope("CompanyService.Run_GetList", RUN), headers={"content-type": "text/html"}),
            "source_answer_unusable",
        ),
        (xml(b""), "source_answer_unusable"),
        (xml(envelope("CompanyService.List_GetAll", "")), "source_answer_unusable"),
        (xml(envelope("DebtorService.Run_GetList", RUN)), "source_answer_unusable"),
        (Reply(status=302, headers={"location": "/elsewhere"}), "source_answer_unusable"),
        (Reply(status=401, body=b"login", headers={"content-type": "text/plain"}), "source_answer_unusable"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n<soap"), "source_answer_unusable"),
        (fault("Server was unable to process request. ---&gt; Timeout expired."), "source_answer_unusable"),
    ],
)
def test_an_outage_in_any_dress_is_a_fault_that_waits(
    nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, reply: Reply, code: str
):
    """Maintenance pages, gateways, redirects and other people's answers heal by themselves; none is ever a result."""
    nmbrs.answers["CompanyService.Run_GetList"] = reply
    caught = fault_of(source, "CompanyService.Run_GetList")
    assert (caught.kind, caught.code, caught.vendor_code) == (FaultKind.WAIT, code, None)
    assert "later" in caught.explanation


def test_an_answer_in_time_is_all_that_counts(nmbrs: ScriptedNmbrs):
    """A call whose total is over is a time-out, and is not tried again by itself."""

    def stall(_: Received) -> Reply:
        nmbrs.server.closing.wait(10)
        return Reply()

    nmbrs.answers["CompanyService.Run_GetList"] = stall
    source = nmbrs.kind(call_timeout_seconds=0.2).open(CREDENTIALS)
    caught = fault_of(source, "CompanyService.Run_GetList")
    assert (caught.kind, caught.code) == (FaultKind.WAIT, "source_timeout")
    assert (len(nmbrs.asked), nmbrs.paused) == (1, [])


def test_a_call_of_the_port_ends_in_the_time_given_to_it(nmbrs: ScriptedNmbrs):
    """`timeout_seconds` covers all messages of one call together, however long each might take."""
    debtors = "".join(f"<Debtor><Id>{number}</Id></Debtor>" for number in range(1, 500))
    nmbrs.answers["DebtorService.List_GetAll"] = result("DebtorService.List_GetAll", debtors)

    def slow(_: Received) -> Reply:
        nmbrs.server.closing.wait(0.05)
        return result("CompanyService.List_GetByDebtor", GOOD["CompanyService.List_GetByDebtor"])

    nmbrs.answers["CompanyService.List_GetByDebtor"] = slow
    source = nmbrs.kind().open(CREDENTIALS, timeout_seconds=0.4)
    assert fault_of(source, "CompanyService.List_GetByDebtor").code == "source_timeout"
    assert len(nmbrs.asked) < 20


def test_nobody_there_is_unreachable(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """A closed port waits, after three tries in all with two short pauses."""
    nmbrs.server.close()
    caught = fault_of(source, "CompanyService.Run_GetList")
    assert (caught.kind, caught.code) == (FaultKind.WAIT, "source_unreachable")
    assert nmbrs.paused == [pytest.approx(0.2), pytest.approx(0.8)]


# -------------------------------------------------------------------------------------------------------- trying again


def after(count: int, first: Reply) -> Callable[[Received], Reply]:
    """Return an answer that is `first` that many times and good from then on."""
    left = [count]

    def script(_: Received) -> Reply:
        left[0] -= 1
        return first if left[0] >= 0 else result("CompanyService.Run_GetList", RUN)

    return script


@pytest.mark.parametrize("passing", [numbered(1006), Reply(raw=b""), Reply(raw=b"HTTP/1.1 200 OK\r\ncontent-le")])
@pytest.mark.parametrize("count", [1, 2])
def test_a_passing_fault_is_tried_again_at_once(
    nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, passing: Reply, count: int
):
    """1006 and a lost connection are gone at the second or third try; nobody hears of them."""
    nmbrs.answers["CompanyService.Run_GetList"] = after(count, passing)
    assert source.list_runs("9969", year=2026) == [RUN_READ]
    assert len(nmbrs.paused) == count


def test_three_tries_are_enough(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """A passing fault that does not pass is told."""
    nmbrs.answers["CompanyService.Run_GetList"] = after(3, numbered(1006))
    caught = fault_of(source, "CompanyService.Run_GetList")
    assert (caught.kind, caught.code, caught.vendor_code) == (FaultKind.WAIT, "source_busy", "1006")
    assert len(nmbrs.asked) == 3


@pytest.mark.parametrize("reply", [numbered(1001), numbered(1002), numbered(9999), Reply(status=503)])
def test_other_faults_are_not_tried_again(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, reply: Reply):
    """A refusal stays a refusal, and a struggling service is not asked three times as much."""
    nmbrs.answers["CompanyService.Run_GetList"] = reply
    fault_of(source, "CompanyService.Run_GetList")
    assert (len(nmbrs.asked), nmbrs.paused) == (1, [])


# ---------------------------------------------------------------------------------------------------- faults by number

NUMBERED = [
    (1001, FaultKind.PERSON, "credentials_refused", "token"),
    (1002, FaultKind.PERSON, "right_missing", "CompanyService.Run_GetList"),
    (1003, FaultKind.PERSON, "data_not_visible", "company 9969"),
    (1004, FaultKind.PERSON, "subscription_ended", "subscription"),
    (1006, FaultKind.WAIT, "source_busy", "1006"),
    (2003, FaultKind.PERSON, "administration_unknown", "company 9969"),
    (2004, FaultKind.PERSON, "administration_unknown", "company 9969"),
    (2006, FaultKind.PERSON, "source_refused", "2006"),
    (2009, FaultKind.PERSON, "administration_unknown", "debtor tag"),
    (2011, FaultKind.PERSON, "source_refused", "2011"),
    (2012, FaultKind.PERSON, "source_refused", "2012"),
    (2013, FaultKind.PERSON, "subscription_ended", "subscription"),
    (2019, FaultKind.WAIT, "source_busy", "2019"),
    (2020, FaultKind.WAIT, "source_busy", "2020"),
    (2021, FaultKind.WAIT, "source_busy", "2021"),
    (2030, FaultKind.PERSON, "source_refused", "2030"),
    (2046, FaultKind.PERSON, "run_unknown", "company 9969"),
    (9999, FaultKind.WAIT, "source_busy", "9999"),
    (2014, FaultKind.OURS, "answer_not_understood", "2014"),
    (4242, FaultKind.OURS, "answer_not_understood", "4242"),
]


@pytest.mark.parametrize(("number", "kind", "code", "says"), NUMBERED)
def test_each_number_is_sorted_by_who_can_end_it(
    nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, number: int, kind: FaultKind, code: str, says: str
):
    """Time, a person or we; with what to do, by exact call or setting, and never the vendor's own words."""
    nmbrs.answers["CompanyService.Run_GetList"] = numbered(number, "J. de Vries (j@example.nl, token abc)")
    caught = fault_of(source, "CompanyService.Run_GetList")
    assert (caught.kind, caught.code, caught.vendor_code) == (kind, code, str(number))
    assert caught.operation == "CompanyService.Run_GetList"
    assert says in caught.explanation
    assert not re.search("Vries|@|abc|secret", str(caught) + repr(caught))


def test_a_wrong_question_is_ours(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """A fault that blames the sender without a number is no outage: waiting would not end it."""
    text = "Server did not recognize the value of HTTP Header SOAPAction: x."
    nmbrs.answers["CompanyService.Run_GetList"] = fault(text, "soap:Client")
    caught = fault_of(source, "CompanyService.Run_GetList")
    assert (caught.kind, caught.code) == (FaultKind.OURS, "answer_not_understood")


def test_a_refused_login_without_a_number_is_a_refused_login(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """Password logins are refused in words only."""
    nmbrs.answers["CompanyService.Run_GetList"] = fault("Invalid combination email/password")
    assert fault_of(source, "CompanyService.Run_GetList").code == "credentials_refused"


def test_a_soap_12_fault_is_read_as_well(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """Some gateways answer in the newer version whatever was asked."""
    content = (
        '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><s:Fault><s:Code>'
        "<s:Value>s:Receiver</s:Value></s:Code><s:Reason><s:Text>x ---&gt; 1002: no</s:Text></s:Reason>"
        "</s:Fault></s:Body></s:Envelope>"
    )
    nmbrs.answers["CompanyService.Run_GetList"] = xml(content.encode(), 500)
    assert fault_of(source, "CompanyService.Run_GetList").code == "right_missing"


# ------------------------------------------------------------------------------------------------------------- secrets


def test_no_log_line_holds_a_token_a_name_or_an_answer(
    nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, caplog: pytest.LogCaptureFixture
):
    """At DEBUG, through good answers, new elements, values of the wrong type and faults: no secret is written."""
    caplog.set_level(logging.DEBUG)
    for ask in ASK.values():
        ask(source)
    nmbrs.answers["CompanyService.Run_GetList"] = result(
        "CompanyService.Run_GetList", RUN.replace(">5501<", ">NL91ABNA0417164300<")
    )
    shown = [str(fault_of(source, "CompanyService.Run_GetList"))]
    for reply in (numbered(1001, CREDENTIALS.secret), Reply(raw=b""), xml(b"<html>NL91ABNA0417164300</html>")):
        nmbrs.answers["CompanyService.Run_GetList"] = reply
        shown.append(str(fault_of(source, "CompanyService.Run_GetList")))
    text = caplog.text + "".join(shown) + repr(source) + repr(CREDENTIALS)
    assert not re.search(f"{CREDENTIALS.secret}|NL91|Jansen|{re.escape('<Token')}", text)


# ----------------------------------------------------------------------------------------------------------- mutations

XSI = "{http://www.w3.org/2001/XMLSchema-instance}"


def mutate(root: etree._Element, seeded: random.Random) -> None:  # noqa: C901 (a list of eleven mutations)
    """Do one of the things that a vendor, a proxy or an attacker could do to an answer."""
    element = seeded.choice([found for found in root.iter() if isinstance(found.tag, str)])
    parent = element.getparent()
    match seeded.randrange(11):
        case 0:
            element.set(f"{XSI}nil", seeded.choice(["true", "1", "false", "x"]))
        case 1:
            element.set(f"{XSI}type", seeded.choice(["xsd:int", "foo", "", "a:b"]))
        case 2 if parent is not None:
            parent.remove(element)
        case 3 if parent is not None:
            element.addnext(copy.deepcopy(element))
        case 4:
            element.insert(seeded.randrange(len(element) + 1), etree.Element(f"{{{etree.QName(element).namespace}}}ID"))
        case 5:
            element.text = seeded.choice(["", " ", "abc", "-5", "99999999999", "true", "1_000", "0001-01-01T00:00:00"])
        case 6:
            element.tail = "tail"
        case 7:
            element[:] = seeded.sample(list(element), len(element))
        case 8:
            element.append(etree.ProcessingInstruction("a", "b"))
        case 9:
            element.set("href", "#a")
        case 10:
            element.tag = f"{{urn:other}}{etree.QName(element).localname}"


@pytest.mark.parametrize("operation", list(ASK))
def test_a_mangled_answer_gives_a_value_or_a_named_fault(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, operation: str):
    """Whatever is done to an answer, the port gives values or `SourceFault`, and no other error comes through."""
    seeded = random.Random(operation)
    for _ in range(150):
        root = etree.fromstring(envelope(operation, GOOD[operation]))
        for _ in range(seeded.choice((1, 1, 2, 4))):
            mutate(root, seeded)
        nmbrs.answers[operation] = xml(etree.tostring(root))
        with suppress(SourceFault):
            ASK[operation](source)
