import base64
import importlib.resources
import io
import zipfile
from typing import Any

import pytest
from lxml import etree

from tests.simulators.nmbrs.by_hand import Soap

PARAMETERS = "<CompanyId>100</CompanyId><Year>2026</Year><RunID>500</RunID><paymentDate>{}</paymentDate>"
BOM = "\ufeff"


def fetch(soap: Soap, payment_date: str = "2026-11-25") -> str:
    """The text inside the SOAP answer."""
    answer = soap.call("Company.SalaryDocuments_GetSEPA", PARAMETERS.format(payment_date))
    assert answer.response.status_code == 200, answer.response.text
    return answer.texts("SalaryDocuments_GetSEPAResult")[0] or ""


def document(soap: Soap, payment_date: str = "2026-11-25") -> etree._Element:
    """The payment file, sent as plain text."""
    return etree.fromstring(fetch(soap, payment_date).encode())


def texts(root: etree._Element, path: str) -> list[str | None]:
    """Texts along a path, whatever the namespace."""
    return [element.text for element in root.iterfind("/".join(f"{{*}}{step}" for step in path.split("/")))]


def set_variant(soap: Soap, **settings: Any) -> None:
    """Switch how the file of the run is answered."""
    soap.simulator.change_run(100, 500, sepa=settings)


def schema(version: str) -> etree.XMLSchema:
    """The ISO schema, as sepaxml ships it."""
    content = importlib.resources.files("sepaxml").joinpath("schemas", f"{version}.xsd").read_bytes()
    return etree.XMLSchema(etree.fromstring(content))


def test_payable_lines_make_the_file(soap: Soap):
    """Lines without an IBAN or at zero or less are left out; count and sum are right at both levels."""
    root = document(soap)

    header, blocks = "CstmrCdtTrfInitn/GrpHdr", "CstmrCdtTrfInitn/PmtInf"
    assert texts(root, f"{header}/NbOfTxs") == ["3"]
    assert texts(root, f"{header}/CtrlSum") == ["3600.15"]
    assert texts(root, f"{blocks}/NbOfTxs") == ["2", "1"]
    assert texts(root, f"{blocks}/CtrlSum") == ["3500.15", "100.00"]
    assert texts(root, f"{blocks}/CdtTrfTxInf/Cdtr/Nm") == ["A. Bakker", "B. de Vries", "Deurwaarder X"]
    assert texts(root, f"{blocks}/CdtTrfTxInf/CdtrAcct/Id/IBAN")[0] == "NL02ABNA0123456789"
    assert texts(root, f"{blocks}/CdtTrfTxInf/Amt/InstdAmt") == ["2000.10", "1500.05", "100.00"]
    assert texts(root, f"{blocks}/CdtTrfTxInf/PmtId/EndToEndId") == ["1-500-1", "eigen-id-2", "1-500-3"]


def test_lines_keep_their_purpose_and_their_kind_of_text(soap: Soap):
    """Salaries and a third party stand in blocks of their own; a reference is structured."""
    root = document(soap)

    blocks = "CstmrCdtTrfInitn/PmtInf"
    assert texts(root, f"{blocks}/PmtTpInf/CtgyPurp/Cd") == ["SALA"]
    assert texts(root, f"{blocks}/CdtTrfTxInf/RmtInf/Ustrd") == ["Salaris november", "Salaris november"]
    assert texts(root, f"{blocks}/CdtTrfTxInf/RmtInf/Strd/CdtrRefInf/Ref") == ["RF18539007547034"]


def test_the_debtor_is_the_company(soap: Soap):
    """Name and account come from the company's bank account, special characters and all."""
    root = document(soap)

    assert set(texts(root, "CstmrCdtTrfInitn/PmtInf/Dbtr/Nm")) == {"Bakkerij & Zonen BV"}
    assert set(texts(root, "CstmrCdtTrfInitn/PmtInf/DbtrAcct/Id/IBAN")) == {"NL91ABNA0417164300"}


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("2026-12-24", "2026-12-24"),
        ("2026-12-24T00:00:00", "2026-12-24"),
        ("2026-12-23T23:30:00Z", "2026-12-24"),
        ("0001-01-01T00:00:00", "0001-01-01"),
    ],
)
def test_the_payment_date_is_the_requested_execution_date(asked: str, written: str, soap: Soap):
    """The date asked for is written, as a Dutch date; one that was forgotten shows."""
    assert set(texts(document(soap, asked), "CstmrCdtTrfInitn/PmtInf/ReqdExctnDt")) == {written}


@pytest.mark.parametrize("version", ["pain.001.001.03", "pain.001.001.09"])
@pytest.mark.parametrize("defects", [[], ["two_instructions"], ["two_dates"], ["two_debtor_accounts"]])
def test_the_iso_versions_are_valid_against_their_schema(version: str, defects: list[str], soap: Soap):
    """What is written as .03 or .09 is a valid message of that version."""
    set_variant(soap, version=version, defects=defects)

    schema(version).assertValid(document(soap))


def test_the_newer_version_dates_in_an_element_of_its_own(soap: Soap):
    """In .09 the date stands in Dt and the bank in BICFI."""
    set_variant(soap, version="pain.001.001.09")
    root = document(soap)

    assert set(texts(root, "CstmrCdtTrfInitn/PmtInf/ReqdExctnDt/Dt")) == {"2026-11-25"}
    assert texts(root, "CstmrCdtTrfInitn/PmtInf/CdtTrfTxInf/CdtrAgt/FinInstnId/BICFI") == ["ABNANL2A"]


def test_the_oldest_version_has_its_own_root_and_no_totals_in_blocks(soap: Soap):
    """In .02 the message element is named after the version and only the header counts."""
    set_variant(soap, version="pain.001.001.02")
    root = document(soap)

    assert root.tag == "{urn:iso:std:iso:20022:tech:xsd:pain.001.001.02}Document"
    assert texts(root, "pain.001.001.02/GrpHdr/CtrlSum") == ["3600.15"]
    assert texts(root, "pain.001.001.02/PmtInf/CtrlSum") == []
    assert texts(root, "pain.001.001.02/PmtInf/PmtTpInf/CtgyPurp") == ["SALA"]


def test_the_german_version_differs_in_its_namespace(soap: Soap):
    """pain.001.003.03 has the elements of .03."""
    set_variant(soap, version="pain.001.003.03")
    root = document(soap)

    assert root.tag == "{urn:iso:std:iso:20022:tech:xsd:pain.001.003.03}Document"
    assert texts(root, "CstmrCdtTrfInitn/GrpHdr/NbOfTxs") == ["3"]


def test_text_encodings(soap: Soap):
    """As text the file declares utf-8, with or without a byte order mark, or utf-16 with one."""
    found = {}
    for encoding in ("text", "text_bom", "text_utf16"):
        set_variant(soap, encoding=encoding)
        found[encoding] = fetch(soap)

    assert found["text"].startswith('<?xml version="1.0" encoding="utf-8"?>')
    assert found["text_bom"].startswith(BOM + '<?xml version="1.0" encoding="utf-8"?>')
    assert found["text_utf16"].startswith(BOM + '<?xml version="1.0" encoding="utf-16"?>')


def test_packed_encodings(soap: Soap):
    """As base64 the file is UTF-8, UTF-16 with a byte order mark, or a zip archive with one member."""
    found = {}
    for encoding in ("base64", "base64_utf16", "zip"):
        set_variant(soap, encoding=encoding)
        found[encoding] = base64.b64decode(fetch(soap), validate=True)

    assert etree.fromstring(found["base64"]).tag.endswith("}Document")
    assert found["base64_utf16"][:2] == b"\xff\xfe"
    assert etree.fromstring(found["base64_utf16"]).tag.endswith("}Document")
    with zipfile.ZipFile(io.BytesIO(found["zip"])) as archive:
        assert etree.fromstring(archive.read("SEPA.xml")).tag.endswith("}Document")


@pytest.mark.parametrize(
    ("defect", "path", "expected"),
    [
        ("control_sum_wrong", "CstmrCdtTrfInitn/GrpHdr/CtrlSum", ["3600.16"]),
        ("transaction_count_wrong", "CstmrCdtTrfInitn/GrpHdr/NbOfTxs", ["4"]),
        ("block_control_sum_wrong", "CstmrCdtTrfInitn/PmtInf/CtrlSum", ["3500.16", "100.00"]),
        ("block_transaction_count_wrong", "CstmrCdtTrfInitn/PmtInf/NbOfTxs", ["3", "1"]),
        (
            "duplicate_end_to_end_id",
            "CstmrCdtTrfInitn/PmtInf/CdtTrfTxInf/PmtId/EndToEndId",
            ["1-500-1"] * 2 + ["1-500-3"],
        ),
        ("two_dates", "CstmrCdtTrfInitn/PmtInf/ReqdExctnDt", ["2026-11-25", "2026-12-02"]),
        (
            "two_debtor_accounts",
            "CstmrCdtTrfInitn/PmtInf/DbtrAcct/Id/IBAN",
            ["NL91ABNA0417164300", "NL70TRIO0123456789"],
        ),
        (
            "other_debtor_account",
            "CstmrCdtTrfInitn/PmtInf/DbtrAcct/Id/IBAN",
            ["NL70TRIO0123456789", "NL91ABNA0417164300"],
        ),
        (
            "invalid_iban",
            "CstmrCdtTrfInitn/PmtInf/CdtTrfTxInf/CdtrAcct/Id/IBAN",
            ["NL97ABNA0123456789", "NL44RABO0123456789", "NL70TRIO0123456789"],
        ),
    ],
)
def test_a_defect_changes_what_it_names_and_nothing_else(defect: str, path: str, expected: list[str], soap: Soap):
    """Each defect is visible in one place; the lines and the other totals stay as they were."""
    right = document(soap)
    set_variant(soap, defects=[defect])
    wrong = document(soap)

    assert texts(wrong, path) == expected
    pairs = zip(right.iter(), wrong.iter(), strict=True)
    volatile = {"MsgId", "PmtInfId", "CreDtTm"}
    changed = {etree.QName(one).localname for one, other in pairs if one.text != other.text} - volatile
    assert changed == {path.rpartition("/")[2]}


def test_a_line_can_be_in_another_currency(soap: Soap):
    """The first line is in dollars, the others in euros."""
    set_variant(soap, defects=["non_eur"])

    amounts = document(soap).iterfind("{*}CstmrCdtTrfInitn/{*}PmtInf/{*}CdtTrfTxInf/{*}Amt/{*}InstdAmt")
    assert [amount.get("Ccy") for amount in amounts] == ["USD", "EUR", "EUR"]


def test_one_block_can_be_cut_in_two(soap: Soap):
    """Lines of one purpose are spread over two blocks that add up."""
    lines = [{"name": f"N{n}", "iban": "NL02ABNA0123456789", "amount": "10.00"} for n in range(3)]
    soap.simulator.change_run(100, 500, lines=lines, sepa={"defects": ["two_instructions"]})
    root = document(soap)

    assert texts(root, "CstmrCdtTrfInitn/PmtInf/NbOfTxs") == ["1", "2"]
    assert texts(root, "CstmrCdtTrfInitn/PmtInf/CtrlSum") == ["10.00", "20.00"]


def test_nothing_to_pay_is_an_empty_document(soap: Soap):
    """A run without payable lines, and one said to be empty, give an empty element."""
    set_variant(soap, defects=["empty"])
    said = soap.call("Company.SalaryDocuments_GetSEPA", PARAMETERS.format("2026-11-25"))
    soap.simulator.change_run(100, 500, sepa=None, lines=[])
    nothing = soap.call("Company.SalaryDocuments_GetSEPA", PARAMETERS.format("2026-11-25"))

    for answer in (said, nothing):
        assert b"<SalaryDocuments_GetSEPAResult/>" in answer.response.content.replace(
            b"></SalaryDocuments_GetSEPAResult>", b"/>"
        )


def test_the_document_can_be_absent(soap: Soap):
    """A null string has no result element at all."""
    set_variant(soap, defects=["absent"])

    answer = soap.call("Company.SalaryDocuments_GetSEPA", PARAMETERS.format("2026-11-25"))
    assert (answer.response.status_code, answer.texts("SalaryDocuments_GetSEPAResult")) == (200, [])


def test_the_document_can_come_later_than_the_run(soap: Soap):
    """It is empty until so many seconds after the run was made."""
    set_variant(soap, available_after_seconds=86_400 * 36_500)
    early = fetch(soap)
    soap.simulator.change_run(100, 500, run_at="2000-01-01T00:00:00", sepa={"available_after_seconds": 60})

    assert early == ""
    assert fetch(soap).startswith("<?xml")


def test_variants_hold_for_a_company_or_one_run(soap: Soap):
    """A run's own settings go before its company's."""
    soap.simulator.change_company(100, sepa={"version": "pain.001.001.09"})
    of_company = fetch(soap)
    set_variant(soap, version="pain.001.001.02")

    assert "pain.001.001.09" in of_company
    assert "pain.001.001.02" in fetch(soap)


def test_a_company_without_an_account_has_no_file(soap: Soap):
    """Nobody to debit: nothing to pay."""
    soap.simulator.change_company(100, bank_account=None)

    assert fetch(soap) == ""


def test_a_structured_reference_is_written_in_every_version(soap: Soap):
    """The reference survives in the place each version has for it, a Dutch one with its own issuer."""
    soap.simulator.change_line(100, 500, 2, reference="1234567890123456")
    found = {}
    for version, leaf in (("pain.001.001.02", "CdtrRef"), ("pain.001.001.03", "Ref"), ("pain.001.001.09", "Ref")):
        set_variant(soap, version=version)
        root = document(soap)
        found[version] = [element.text for element in root.iter(f"{{*}}{leaf}")], [e.text for e in root.iter("{*}Issr")]

    assert set(map(str, found.values())) == {str((["1234567890123456"], ["CUR"]))}
