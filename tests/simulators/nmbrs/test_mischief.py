import zlib
from typing import Any

import httpx
import pytest
import requests
import zeep
from lxml import etree

from simulators.nmbrs.faults import FaultKind
from tests.simulators.nmbrs.by_hand import ROOT, Soap

RUNS = "<CompanyId>100</CompanyId><Year>2026</Year>"
ACCOUNT = "<CompanyId>100</CompanyId>"
SEPA = "<CompanyId>100</CompanyId><Year>2026</Year><RunID>500</RunID><paymentDate>2026-11-25</paymentDate>"


def runs(soap: Soap) -> Any:
    """The run list of the example company."""
    return soap.call("Company.Run_GetList", RUNS)


def names(record: etree._Element) -> list[str]:
    """The local names of a record's elements."""
    return [etree.QName(element).localname for element in record]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (1001, "Invalid Authentication"),
        (1002, "Unauthorized access"),
        (1003, "Unauthorized access to these data"),
        (1006, "Generic login security failure"),
        (9999, "Unknown error"),
    ],
)
def test_a_numbered_fault_strikes_as_often_as_ordered(code: int, message: str, soap: Soap):
    """Once means once: the next call is answered."""
    soap.simulator.add_fault(FaultKind.SOAP_FAULT, times=1, code=code)

    first = runs(soap)
    assert first.response.status_code == 500
    assert first.fault == f"Server was unable to process request. ---> {code}: {message}"
    assert runs(soap).texts("ID") == ["500"]


def test_a_fault_lasts_until_cleared(soap: Soap):
    """Without a number of times a fault stays; clearing ends it."""
    soap.simulator.add_fault(FaultKind.SOAP_FAULT, message="Kapot")
    struck = [runs(soap).fault for _ in range(3)]
    soap.simulator.clear_faults()

    assert struck == ["Server was unable to process request. ---> 9999: Kapot"] * 3
    assert runs(soap).texts("ID") == ["500"]


def test_a_fault_can_be_for_one_operation(soap: Soap):
    """Other operations go on as before."""
    soap.simulator.add_fault(FaultKind.SOAP_FAULT, "Company.Run_GetList")

    assert soap.call("Company.BankAccount_GetCurrent", ACCOUNT).texts("IBAN") == ["NL91ABNA0417164300"]
    assert "---> 9999:" in runs(soap).fault


@pytest.mark.parametrize("status", [200, 502, 503])
def test_html_that_is_well_formed(status: int, soap: Soap):
    """A page that any XML parser reads, with the status ordered."""
    soap.simulator.add_fault(FaultKind.HTML, times=1, status=status)

    answer = runs(soap)
    assert answer.response.status_code == status
    assert answer.response.headers["content-type"].startswith("text/html")
    assert etree.QName(answer.envelope).localname == "html"


def test_html_that_is_broken(soap: Soap):
    """A page no XML parser reads."""
    soap.simulator.add_fault(FaultKind.BROKEN_HTML, times=1, status=200)

    answer = runs(soap)
    assert answer.response.status_code == 200
    with pytest.raises(etree.XMLSyntaxError):
        etree.fromstring(answer.response.content)


def test_a_redirect(soap: Soap):
    """302 to where the order says; following it would carry the token there."""
    soap.simulator.add_fault(FaultKind.REDIRECT, times=1, location="http://127.0.0.1:9/login")

    response = runs(soap).response
    assert (response.status_code, response.headers["location"]) == (302, "http://127.0.0.1:9/login")


def test_a_reset_connection(soap: Soap):
    """Not one byte of an answer."""
    soap.simulator.add_fault(FaultKind.RESET, times=1)

    with pytest.raises(httpx.ReadError, match="reset"):
        runs(soap)
    assert runs(soap).texts("ID") == ["500"]


def test_half_an_answer(soap: Soap):
    """The head promises more than comes."""
    soap.simulator.add_fault(FaultKind.HALF_BODY, times=1)

    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        runs(soap)


def test_a_delay_is_a_time_out_for_the_impatient(soap: Soap):
    """The answer does not come within the client's patience, and the call is in the log."""
    soap.simulator.add_fault(FaultKind.DELAY, times=1, seconds=600)
    soap.http.timeout = httpx.Timeout(5, read=0.05)

    with pytest.raises(httpx.ReadTimeout):
        runs(soap)
    assert [call.injected for call in soap.wait_for_calls("Company.Run_GetList", 1)] == ["delay"]


def test_a_delayed_answer_is_right_when_it_comes(soap: Soap):
    """After the delay the call is answered as ever."""
    soap.simulator.add_fault(FaultKind.DELAY, times=1, seconds=0.01)

    assert runs(soap).texts("ID") == ["500"]


def test_wrong_totals_strike_the_payment_file_only(soap: Soap):
    """The fault waits for the call it is for, and then spoils count and sum."""
    soap.simulator.add_fault(FaultKind.TOTALS_WRONG, times=1)

    assert runs(soap).texts("ID") == ["500"]
    first, second = (
        soap.call("Company.SalaryDocuments_GetSEPA", SEPA).texts("SalaryDocuments_GetSEPAResult") for _ in "12"
    )
    assert "<NbOfTxs>4</NbOfTxs><CtrlSum>3600.16</CtrlSum>" in str(first)
    assert "<NbOfTxs>3</NbOfTxs><CtrlSum>3600.15</CtrlSum>" in str(second)


def test_a_document_comes_later(soap: Soap):
    """Empty as often as ordered, then there."""
    soap.simulator.add_fault(FaultKind.EMPTY_RESULT, "Company.SalaryDocuments_GetSEPA", times=2)

    found = [
        soap.call("Company.SalaryDocuments_GetSEPA", SEPA).texts("SalaryDocuments_GetSEPAResult")[0] for _ in range(3)
    ]
    assert [bool(text) for text in found] == [False, False, True]


def test_a_list_can_be_empty_for_a_while(soap: Soap):
    """A run list without the runs it should hold."""
    soap.simulator.add_fault(FaultKind.EMPTY_RESULT, "Company.Run_GetList", times=1)

    assert (runs(soap).texts("ID"), runs(soap).texts("ID")) == ([], ["500"])


@pytest.mark.parametrize("operation", ["Company.BankAccount_GetCurrent", "Employee.BankAccount_GetList"])
def test_an_element_is_inserted_before_the_iban(operation: str, soap: Soap):
    """A new element stands right before IBAN in every account."""
    soap.simulator.add_fault(FaultKind.ELEMENT_INSERTED, times=1)
    parameters = ACCOUNT + "<EmployeeId>1001</EmployeeId><Year>2026</Year><Period>11</Period>"

    iban = soap.call(operation, parameters).envelope.find(".//{*}IBAN")
    assert iban is not None
    assert etree.QName(iban.getprevious()).localname == "NewElement"


def test_an_element_is_inserted_or_appended_in_a_run(soap: Soap):
    """In the middle of RunInfo, or at its end."""
    soap.simulator.add_fault(FaultKind.ELEMENT_INSERTED, times=1)
    soap.simulator.add_fault(FaultKind.ELEMENT_APPENDED, times=1)
    inserted, appended = (names(runs(soap).envelope.find(".//{*}RunInfo")) for _ in "12")

    assert inserted.index("NewElement") == 4
    assert appended[-1] == "NewElement"
    assert sorted(inserted) == sorted(appended)


def test_elements_are_reordered(soap: Soap):
    """The last comes first."""
    right = names(
        soap.call("Company.BankAccount_GetCurrent", ACCOUNT).envelope.find(".//{*}BankAccount_GetCurrentResult")
    )
    soap.simulator.add_fault(FaultKind.ELEMENTS_REORDERED, times=1)

    wrong = soap.call("Company.BankAccount_GetCurrent", ACCOUNT).envelope.find(".//{*}BankAccount_GetCurrentResult")
    assert names(wrong) == right[::-1]


@pytest.mark.parametrize("kind", [FaultKind.ELEMENT_INSERTED, FaultKind.ELEMENTS_REORDERED])
def test_a_strict_zeep_client_stumbles_over_moved_elements(kind: FaultKind, soap: Soap):
    """These faults are the ones that stop a strict client and that a lax one reads as no IBAN."""
    soap.simulator.add_fault(kind)
    with requests.Session() as session:
        session.trust_env = False
        transport = zeep.Transport(session=session)
        client = zeep.Client(soap.simulator.service_url("CompanyService") + "?WSDL", transport=transport)
        header = client.get_element(f"{{{ROOT}CompanyService}}AuthHeaderWithDomain")(
            Username="boss@kantoor.example", Token="boss-token", Domain="kantoor"
        )

        with pytest.raises(zeep.exceptions.XMLParseError):
            client.service.BankAccount_GetCurrent(CompanyId=100, _soapheaders=[header])


def test_faults_for_records_leave_texts_alone(soap: Soap):
    """The fault waits for an operation that answers with records."""
    soap.simulator.add_fault(FaultKind.ELEMENT_APPENDED, times=1)

    assert soap.call("Company.Company_GetCurrentPeriod", ACCOUNT).response.text.count("NewElement") == 0
    assert soap.call("Company.BankAccount_GetCurrent", ACCOUNT).response.text.count("NewElement") == 2


def test_a_document_type_in_the_answer(soap: Soap):
    """Entities in entities, one used; they would expand to a thousand letters."""
    soap.simulator.add_fault(FaultKind.DTD, times=1)

    content = runs(soap).response.content
    careful = etree.XMLParser(resolve_entities=False)
    assert b"<!DOCTYPE" in content
    assert etree.fromstring(content, careful).find(".//{*}ID").text == "500"
    trusting = etree.fromstring(content, etree.XMLParser(resolve_entities=True))
    assert trusting.findtext(".//Note") == "a" * 1000


def test_a_huge_answer_comes_in_chunks(soap: Soap):
    """So many bytes more than there should be; without a length in the head."""
    soap.simulator.add_fault(FaultKind.HUGE, times=1, size_bytes=3_000_000)

    response = runs(soap).response
    assert "content-length" not in response.headers
    assert 3_000_000 < len(response.content) < 3_010_000
    assert response.content.endswith(b"</soap:Envelope>")


def test_a_gzip_bomb_is_small_on_the_wire(soap: Soap):
    """A few kilobytes that unpack to many megabytes."""
    soap.simulator.add_fault(FaultKind.GZIP_BOMB, times=1, size_bytes=20_000_000)
    with soap.stream("Company.Run_GetList", RUNS) as response:
        packed = b"".join(response.iter_raw())

    assert response.headers["content-encoding"] == "gzip"
    assert len(packed) < 200_000
    assert len(zlib.decompress(packed, wbits=31)) > 20_000_000


def test_a_client_that_leaves_does_no_harm(soap: Soap):
    """After somebody hung up in the middle of a huge answer the next call is served."""
    soap.simulator.add_fault(FaultKind.HUGE, times=1)
    with soap.stream("Company.Run_GetList", RUNS) as response:
        next(response.iter_raw())

    assert runs(soap).texts("ID") == ["500"]
