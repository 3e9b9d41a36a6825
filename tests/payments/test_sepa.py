import copy
import hashlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import resources

import pytest
from hypothesis import given, settings
from lxml import etree

from app.core.errors import Problem
from app.payments.sepa import (
    MAXIMUM_FILE_BYTES,
    MAXIMUM_SCHEMA_PROBLEMS,
    SepaFileRefused,
    build_file,
    check_file,
    write_file,
)
from app.payments.sepa_model import SCHEMAS, FileContent
from tests.payments.sepa_examples import content, contents, instruction, one_line, rich_content, transfer

DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'


def _codes(found: list[Problem]) -> set[str]:
    return {problem.code for problem in found}


def _doctored(old: str, new: str, file: FileContent | None = None) -> bytes:
    """Return the bytes with the first occurrence replaced; the test is wrong when there is none."""
    data = write_file(rich_content() if file is None else file)
    assert old.encode() in data
    return data.replace(old.encode(), new.encode(), 1)


def _found(data: bytes) -> set[tuple[str, str]]:
    return {(problem.pointer, problem.code) for problem in check_file(rich_content(), data)}


@settings(deadline=None, max_examples=50)
@given(contents())
def test_every_allowed_content_becomes_a_file_that_passes(file: FileContent):
    """Both schemas; a second build gives the same bytes."""
    data = build_file(file)
    assert check_file(file, data) == []
    assert build_file(file) == data


def test_a_content_that_breaks_a_rule_is_refused_with_all_its_problems():
    """The exception carries every problem and says that the content is to be corrected."""
    with pytest.raises(SepaFileRefused) as refused:
        build_file(one_line(amount_cents=0, creditor_name="Geheim & Zn"))
    assert [problem.code for problem in refused.value.errors] == ["amount_out_of_range", "character_not_allowed"]
    assert not refused.value.is_written
    assert str(refused.value) == "2 problem(s) in the payment file: amount_out_of_range, character_not_allowed"


class _Treacherous(str):
    """A name that reads as one thing and is written as another: stands in for any fault of the writer."""

    __slots__ = ()

    def replace(self, *_: object) -> str:
        return "Iemand Anders"


def test_a_file_that_does_not_say_what_was_approved_is_not_given_out():
    """A fault of the writer is stopped by the checks and told apart from a fault of the content."""
    with pytest.raises(SepaFileRefused) as refused:
        build_file(one_line(creditor_name=_Treacherous("A. Voorbeeld-1")))
    assert [(problem.pointer, problem.code) for problem in refused.value.errors] == [
        ("/instructions/0/transfers/0/creditor_name", "differs_from_approved"),
        ("/instructions/0/transfers/0/creditor_name", "second_writer_disagrees"),
    ]
    assert refused.value.is_written


def test_checking_looks_at_the_content_as_well():
    """Bytes that faithfully say something forbidden are not good."""
    file = one_line(amount_cents=0)
    assert _codes(check_file(file, write_file(file))) == {"amount_out_of_range"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda data: b"\xef\xbb\xbf" + data, "start_not_allowed"),
        (lambda data: data.replace(b'version="1.0"', b"version='1.0'"), "start_not_allowed"),
        (lambda data: data.decode().encode("utf-16"), "start_not_allowed"),
        (lambda data: data.replace(b"001.001.09", b"001.001.03"), "start_not_allowed"),
        (lambda data: data.replace(b"<Document xmlns=", b"<p:Document xmlns:p="), "start_not_allowed"),
        (lambda data: data.replace(DECLARATION, DECLARATION + b"<!DOCTYPE Document>\n"), "start_not_allowed"),
        (lambda data: data.replace(b"<GrpHdr>", b"<!-- x --><GrpHdr>"), "markup_not_allowed"),
        (lambda data: data.replace(b"Ustrd>Salaris", b"Ustrd><![CDATA[S]]>alaris"), "markup_not_allowed"),
        (lambda data: data.replace(b"<GrpHdr>", b"<?x y?><GrpHdr>"), "markup_not_allowed"),
        (lambda data: data.replace(b'Ccy="EUR"', b'Ccy="USD"', 1), "attribute_not_allowed"),
        (lambda data: data.replace(b"<GrpHdr>", b'<GrpHdr id="1">', 1), "attribute_not_allowed"),
        (lambda data: data.replace(b"<GrpHdr>", b"<GrpHdr xmlns=''>", 1), "attribute_not_allowed"),
        (lambda data: data + b"\n" * MAXIMUM_FILE_BYTES, "file_too_large"),
        (lambda data: data[:-20], "not_xml"),
        (lambda data: data.replace(b"Salaris", b"Sal\xe9ris", 1), "not_xml"),
        (lambda data: data.replace(b"Salaris", b"Sal\x00ris", 1), "not_xml"),
        (lambda data: data.replace(b"Salaris", b"Sal&nbsp;ris", 1), "not_xml"),
        (lambda _: b"", "start_not_allowed"),
    ],
)
def test_bytes_that_could_mislead_a_parser_are_refused(change: Callable[[bytes], bytes], code: str):
    """BOM, encodings, DOCTYPE, comments, prefixes, other currencies, cut files."""
    file = rich_content()
    assert [problem.code for problem in check_file(file, change(write_file(file)))] == [code]


@pytest.mark.parametrize(
    ("old", "new", "pointer"),
    [
        ("<MsgId>BATCH-1<", f"<MsgId>{'A' * 36}<", "/GrpHdr/MsgId"),
        ("<PmtMtd>TRF<", "<PmtMtd>DD<", "/instructions/0/PmtMtd"),
        ("<IBAN>NL58ABNA0000000001<", "<IBAN>nl<", "/instructions/0/transfers/0/CdtrAcct/Id/IBAN"),
        ("<Ref>RF18539007547034</Ref>", "<Rf/>", "/instructions/1/transfers/1/RmtInf/Strd/CdtrRefInf/Rf"),
        ("</DbtrAcct>", "</DbtrAcct>los", "/instructions/0"),
    ],
)
def test_what_the_iso_schema_refuses_is_named_with_its_place(old: str, new: str, pointer: str):
    """The problem points at the element and does not repeat its value."""
    assert (pointer, "schema_refuses") in _found(_doctored(old, new))


def test_two_foreign_elements_at_one_place_are_one_problem():
    """The same thing is not said twice."""
    found = check_file(rich_content(), _doctored("<PmtId>", "<PmtId><InstrId>A</InstrId><UETR>B</UETR>"))
    assert [problem.code for problem in found].count("element_not_allowed") == 1


def test_a_ruined_file_gives_each_problem_once_and_not_without_end():
    """A value that breaks two facets is one problem, and of ten thousand equal ones a hundred are enough."""
    file = content(instructions=[instruction([transfer(n) for n in range(1, 301)])])
    found = check_file(file, write_file(file).replace(b"<IBAN>NL", b"<IBAN>nl-"))
    assert len(found) == len(set(found))
    refused = [problem for problem in found if problem.code == "schema_refuses"]
    assert 0 < len(refused) <= MAXIMUM_SCHEMA_PROBLEMS


@pytest.mark.parametrize(
    ("old", "new", "pointer"),
    [
        ("<MsgId>BATCH-1<", "<MsgId>BATCH-2<", "/message_id"),
        ("T10:30:15<", "T10:30:16<", "/created_at_local"),
        ("<PmtInfId>BATCH-1-1<", "<PmtInfId>BATCH-1-3<", "/instructions/0/payment_information_id"),
        ("<BtchBookg>true<", "<BtchBookg>false<", "/instructions/0/batch_booking"),
        ("<CtgyPurp><Cd>SALA</Cd></CtgyPurp>", "", "/instructions/0/category_purpose"),
        (
            "</SvcLvl></PmtTpInf>",
            "</SvcLvl><CtgyPurp><Cd>SALA</Cd></CtgyPurp></PmtTpInf>",
            "/instructions/1/category_purpose",
        ),
        ("<EndToEndId>LINE00000000000000000000000001<", "<EndToEndId>X<", "/instructions/0/transfers/0/end_to_end_id"),
        ("<Nm>A. Voorbeeld-1<", "<Nm>A. Voorbeeld-l<", "/instructions/0/transfers/0/creditor_name"),
        ("NL58ABNA0000000001", "NL31ABNA0000000002", "/instructions/0/transfers/0/creditor_iban"),
        ("<BICFI>ABNANL2A<", "<BICFI>RABONL2U<", "/instructions/0/transfers/1/creditor_bic"),
        (
            "<CdtrAgt><FinInstnId><BICFI>ABNANL2A</BICFI></FinInstnId></CdtrAgt>",
            "",
            "/instructions/0/transfers/1/creditor_bic",
        ),
        (
            "<Ustrd>Salaris november 2026<",
            "<Ustrd>Salaris november 2027<",
            "/instructions/0/transfers/0/remittance_text",
        ),
        (
            "<RmtInf><Ustrd>Salaris november 2026</Ustrd></RmtInf>",
            "",
            "/instructions/0/transfers/0/remittance_kind",
        ),
        ("<Ref>RF18539007547034<", "<Ref>RF712348231<", "/instructions/1/transfers/1/remittance_text"),
        ("<Issr>ISO<", "<Issr>CUR<", "/instructions/1/transfers/1/reference_issuer"),
        ("<Issr>ISO</Issr>", "", "/instructions/1/transfers/1/reference_issuer"),
        ("<Cd>SCOR<", "<Cd>RADM<", "/instructions/1/transfers/0/reference_type"),
    ],
)
def test_a_valid_file_that_says_something_else_is_refused(old: str, new: str, pointer: str):
    """Every field is compared with what was approved."""
    assert (pointer, "differs_from_approved") in _found(_doctored(old, new))


@pytest.mark.parametrize(
    ("tag", "old", "new", "field"),
    [
        ("Dbtr", "<Nm>Voorbeeld Holding B.V.</Nm>", "<Nm>Ander B.V.</Nm>", "debtor_name"),
        ("DbtrAcct", "NL72INGB0100000001", "NL58ABNA0000000001", "debtor_iban"),
        ("DbtrAgt", "<BICFI>INGBNL2A</BICFI>", "<BICFI>RABONL2U</BICFI>", "debtor_bic"),
        ("DbtrAgt", "<BICFI>INGBNL2A</BICFI>", "<Othr><Id>NOTPROVIDED</Id></Othr>", "debtor_bic"),
        ("ReqdExctnDt", "<Dt>2026-11-25</Dt>", "<Dt>2026-11-26</Dt>", "requested_execution_date"),
    ],
)
def test_a_debtor_or_date_changed_everywhere_is_refused(tag: str, old: str, new: str, field: str):
    """Also when the file agrees with itself."""
    data = write_file(rich_content()).replace(old.encode(), new.encode())
    assert tag.encode() in data
    assert (f"/{field}", "differs_from_approved") in _found(data)


def test_an_amount_moved_between_lines_is_refused_though_the_totals_are_right():
    """One cent from one person to another: totals hold, and both comparisons see it."""
    data = _doctored('"EUR">2000.03<', '"EUR">2000.04<').replace(
        b'"EUR">2000.04</InstdAmt></Amt><Cdtr><Nm>O', b'"EUR">2000.03</InstdAmt></Amt><Cdtr><Nm>O'
    )
    assert _found(data) == {
        ("/instructions/0/transfers/2/amount_cents", "differs_from_approved"),
        ("/instructions/0/transfers/3/amount_cents", "differs_from_approved"),
        ("/instructions/0/transfers/2/amount_cents", "second_writer_disagrees"),
        ("/instructions/0/transfers/3/amount_cents", "second_writer_disagrees"),
    }


def test_a_line_or_instruction_more_or_less_is_refused():
    """Also when every total was corrected with it."""
    file = rich_content()
    first, second = file.instructions
    fewer_lines = replace(file, instructions=[replace(first, transfers=first.transfers[:-1]), second])
    fewer_instructions = replace(file, instructions=[first])
    assert ("/instructions/0/transfers", "differs_from_approved") in _found(write_file(fewer_lines))
    assert ("/instructions", "differs_from_approved") in _found(write_file(fewer_instructions))
    assert ("/instructions", "second_writer_disagrees") in _found(write_file(fewer_lines))


def test_the_rules_are_applied_to_what_the_bytes_say():
    """A character outside the SEPA set, an id twice, the wrong check digits: named as such."""
    assert ("/instructions/0/transfers/0/creditor_name", "character_not_allowed") in _found(
        _doctored("A. Voorbeeld-1", "A. Voorb&#233;eld-1")
    )
    assert ("/instructions/0/transfers/1/end_to_end_id", "id_repeated") in _found(
        _doctored("LINE00000000000000000000000002", "LINE00000000000000000000000001")
    )
    assert ("/instructions/0/transfers/0/creditor_iban", "iban_invalid") in _found(_doctored("NL58ABNA", "NL59ABNA"))
    assert ("/instructions/0/transfers/0/creditor_name", "blank_at_edge") in _found(
        _doctored("<Nm>A. Voorbeeld-1<", "<Nm>A. Voorbeeld-1 <")
    )


def _mutants(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the file with each element in turn changed, emptied, removed and doubled."""
    tree = etree.fromstring(data)
    assert DECLARATION + etree.tostring(tree) + b"\n" == data  # so that only the mutation differs
    for place, element in enumerate(tree.iter()):
        name = f"{etree.QName(element).localname}[{place}]"
        changes: dict[str, Callable[[etree._Element], None]] = {
            "emptied": _empty,
            "removed": _remove,
            "doubled": _double,
        }
        if not len(element):
            changes["changed"] = _change
        for kind, change in changes.items():
            if element is tree and kind != "emptied":
                continue
            mutant = copy.deepcopy(tree)
            change(list(mutant.iter())[place])
            yield f"{name} {kind}", DECLARATION + etree.tostring(mutant) + b"\n"


def _empty(element: etree._Element) -> None:
    element.text = None
    del element[:]


def _remove(element: etree._Element) -> None:
    parent = element.getparent()
    assert parent is not None
    parent.remove(element)


def _double(element: etree._Element) -> None:
    element.addnext(copy.deepcopy(element))


def _change(element: etree._Element) -> None:
    text = element.text or ""
    element.text = f"{text[:-1]}{'1' if text[-1] != '1' else '2'}"


@pytest.mark.parametrize("schema", SCHEMAS)
def test_no_element_can_be_changed_emptied_removed_or_doubled_unseen(schema: str):
    """Each element of a file with everything we write, one after the other, in every way."""
    file = rich_content(schema)
    mutants = list(_mutants(write_file(file)))
    assert len(mutants) > 400
    assert [name for name, data in mutants if not check_file(file, data)] == []


def test_problems_of_a_file_hold_no_values():
    """Names, IBANs and amounts stay out of what is logged and shown."""
    file = one_line(creditor_name="Geheim", amount_cents=123_456)
    data = _doctored("<Nm>Geheim<", f"<Nm>{'Geheim' * 40}<", file)
    text = repr(check_file(file, data))
    assert "schema_refuses" in text
    assert "Geheim" not in text
    assert "NL" not in text
    assert "1234.56" not in text


def test_ten_thousand_lines_pass_all_checks():
    """The size of the largest employers, several portions of the second writer long."""
    file = content(instructions=[instruction([transfer(n) for n in range(1, 10_001)])])
    data = build_file(file)
    assert data.count(b"<CdtTrfTxInf>") == 10_000
    assert b"<NbOfTxs>10000</NbOfTxs>" in data


@pytest.fixture
def _restless_threads() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-9)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_restless_threads")
def test_threads_can_check_at_the_same_time():
    """Good and bad files at once: nobody gets another's verdict, or another's places."""
    file = content()
    files = [write_file(file), _doctored("<PmtMtd>TRF<", "<PmtMtd>DD<", file), _doctored("BATCH-1<", "<", file)]
    alone = [check_file(file, data) for data in files]
    with ThreadPoolExecutor(max_workers=8) as pool:
        together = list(pool.map(lambda n: check_file(file, files[n % 3]), range(900)))
    assert together == alone * 300


@pytest.mark.parametrize(
    ("schema", "sha256"),
    [
        ("pain.001.001.09", "de038b373e47b0077b1832ddd81f4b2f1eb25d35721f62da1e38b7f5a09fda24"),
        ("pain.001.001.03", "ed4be42522e3e35b108b3ad2ebbcc65da987cddbf6cfdc20828cd4fd0d69c51a"),
    ],
)
def test_the_schemas_are_the_ones_we_know(schema: str, sha256: str):
    """A new release of the package that carries the ISO schemas cannot change the check unseen."""
    source = (resources.files("sepaxml") / "schemas" / f"{schema}.xsd").read_bytes()
    assert hashlib.sha256(source).hexdigest() == sha256
