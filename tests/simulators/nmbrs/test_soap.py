import pytest

from tests.simulators.nmbrs.by_hand import ROOT, SOAP_11, SOAP_12, Soap

UNKNOWN_ACTION = "Server did not recognize the value of HTTP Header SOAPAction"
COMPANY = f"{ROOT}CompanyService"
RUNS_OF_2026 = "<CompanyId>100</CompanyId><Year>2026</Year>"


@pytest.mark.parametrize("action", [f"{COMPANY}/Run_GetList", f'"{COMPANY}/Run_GetList"'])
def test_an_action_is_known_with_and_without_quotes(action: str, soap: Soap):
    """SOAPAction may be quoted or not."""
    headers = {"content-type": "text/xml", "soapaction": action}

    assert soap.call("Company.Run_GetList", RUNS_OF_2026, headers=headers).texts("ID") == ["500"]


def test_soap_12_is_answered_in_soap_12(soap: Soap):
    """The answer has the version, namespace and content type of the question."""
    answer = soap.call("Company.Run_GetList", RUNS_OF_2026, version=SOAP_12)

    assert answer.response.headers["content-type"] == "application/soap+xml; charset=utf-8"
    assert answer.envelope.tag == f"{{{SOAP_12}}}Envelope"
    assert answer.texts("ID") == ["500"]


def test_soap_12_without_an_action_is_refused(soap: Soap):
    """A 1.2 request must say its action in the content type."""
    answer = soap.call("Company.Run_GetList", version=SOAP_12, headers={"content-type": "application/soap+xml"})

    assert answer.response.status_code == 500
    assert "without a valid action parameter" in answer.fault
    assert answer.envelope.findtext(f".//{{{SOAP_12}}}Value") == "soap:Sender"


@pytest.mark.parametrize(
    "action",
    [
        "",
        "nonsense\x01",
        f"{COMPANY}/Nothing",
        f"{ROOT}DebtorService/Environment_Get",
        "https://api-sandbox.nmbrs.nl/soap/v3/CompanyService/Run_GetList",
    ],
)
def test_an_action_of_another_kind_is_refused(action: str, soap: Soap):
    """An action that is no operation of this service is the ASMX fault of the client's making."""
    answer = soap.call("Company.Run_GetList", headers={"content-type": "text/xml", "soapaction": action})

    assert answer.response.status_code == 500
    assert UNKNOWN_ACTION in answer.fault
    assert answer.envelope.findtext(".//faultcode") == "soap:Client"


@pytest.mark.parametrize(
    "body",
    ["", f'<List_GetAll xmlns="{COMPANY}"/>', f'<Run_GetList xmlns="{ROOT}DebtorService"/>', "<Run_GetList/>"],
)
def test_a_body_that_belies_its_action_is_refused(body: str, soap: Soap):
    """The body element has to be the operation the action names, in the service's namespace."""
    assert UNKNOWN_ACTION in soap.call("Company.Run_GetList", body=body).fault


def test_an_envelope_of_the_other_version_is_refused(soap: Soap):
    """A 1.2 envelope sent as text/xml is a version mismatch."""
    headers = soap.headers(COMPANY, "Run_GetList", SOAP_11)

    answer = soap.call("Company.Run_GetList", version=SOAP_12, headers=headers)

    assert answer.envelope.findtext(".//faultcode") == "soap:VersionMismatch"


@pytest.mark.parametrize("content", [b"", b"<broken", b"not xml at all", b"\xff\xfe\x00"])
def test_broken_xml_is_a_fault(content: bytes, soap: Soap):
    """Whatever cannot be read is answered with ASMX's unable to read request."""
    answer = soap.post("CompanyService", content, soap.headers(COMPANY, "Run_GetList"))

    assert answer.response.status_code == 500
    assert answer.fault.startswith("Server was unable to read request. ---> There is an error in XML document")


def test_a_document_type_is_refused(soap: Soap):
    """A request with a DTD is not read any further."""
    content = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>'

    assert "DTD is prohibited" in soap.post("CompanyService", content, soap.headers(COMPANY, "Run_GetList")).fault


def test_another_content_type_is_415(soap: Soap):
    """Only the two SOAP media types are taken."""
    answer = soap.post("CompanyService", b"{}", {"content-type": "application/json"})

    assert answer.response.status_code == 415


@pytest.mark.parametrize("parameters", ["", "<companyId>100</companyId>", "<CompanyID>100</CompanyID>"])
def test_a_missing_or_wrongly_cased_number_is_zero(parameters: str, soap: Soap):
    """ASMX does not complain about a missing number; company 0 does not exist."""
    answer = soap.call("Company.BankAccount_GetCurrent", parameters)

    assert "---> 2004:" in answer.fault
    assert soap.simulator.calls()[-1].parameters == {"CompanyId": "0"}


def test_unknown_elements_and_another_order_are_ignored(soap: Soap):
    """Parameters are found by name."""
    answer = soap.call("Company.Run_GetList", "<New>1</New><Year>2026</Year><CompanyId> 100 </CompanyId>")

    assert answer.texts("ID") == ["500"]


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ("<CompanyId>abc</CompanyId>", "Input string was not in a correct format."),
        ("<CompanyId/>", "Input string was not in a correct format."),
        ("<CompanyId>99999999999</CompanyId>", "too large or too small for an Int32"),
        ("<paymentDate>25-11-2026</paymentDate>", "is not a valid AllXsd value"),
    ],
)
def test_a_value_of_the_wrong_type_is_a_fault(parameters: str, reason: str, soap: Soap):
    """A number or time that cannot be read is refused before the login is looked at."""
    assert reason in soap.call("Company.SalaryDocuments_GetSEPA", parameters, header="").fault


def test_an_empty_list_is_an_empty_element(soap: Soap):
    """No runs: the result element is there and has no content."""
    answer = soap.call("Company.Run_GetList", "<CompanyId>101</CompanyId><Year>2026</Year>")

    assert b"<Run_GetListResult/>" in answer.response.content


def test_null_is_left_out(soap: Soap):
    """An absent account has no result element, an absent text no element in its record."""
    absent = soap.call("Company.BankAccount_GetCurrent", "<CompanyId>101</CompanyId>")
    present = soap.call("Company.BankAccount_GetCurrent", "<CompanyId>100</CompanyId>")

    assert absent.texts("BankAccount_GetCurrentResult") == []
    assert present.texts("IBAN") == ["NL91ABNA0417164300"]
    assert present.texts("City") == []


def test_times_carry_no_zone_and_only_the_digits_they_have(soap: Soap):
    """Thousandths of a second are written without trailing zeros."""
    answer = soap.call("Company.Run_GetList", RUNS_OF_2026)

    assert answer.texts("RunAt") == ["2026-11-20T09:30:15.25"]
    assert answer.texts("IsLocked") == ["false"]


@pytest.mark.parametrize("version", [SOAP_11, SOAP_12])
def test_a_fault_of_nmbrs_has_its_number_in_the_text(version: str, soap: Soap):
    """HTTP 500, Server or Receiver, and the text clients look for."""
    answer = soap.call("Company.List_GetAll", version=version, token="wrong")

    assert answer.response.status_code == 500
    assert answer.fault == "Server was unable to process request. ---> 1001: Invalid Authentication"
    code = answer.envelope.findtext(".//faultcode") or answer.envelope.findtext(f".//{{{SOAP_12}}}Value")
    assert code == ("soap:Server" if version == SOAP_11 else "soap:Receiver")
