import importlib.resources
import time
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from app.payments.errors import UnreadableDocument
from app.payments.ports import RemittanceKind, SourceBatch, SourceInstruction, SourceTransfer
from app.payments.reading import (
    MAXIMUM_TRANSFERS,
    MAXIMUM_VALUE_CHARACTERS,
    READABLE_SCHEMAS,
    read_document,
    totals_problems,
)
from tests.payments.payroll_document import NAMESPACE, PACKINGS, PAYER_IBAN, VERSIONS, Block, Document, Line

EXAMPLE = Document(
    blocks=(
        Block(
            lines=(
                Line(),
                Line(
                    name="Çelik & Zn. <payroll>",
                    iban="NL52ABNA7650143244",
                    amount="2611.00",
                    end_to_end_id="E2E-2",
                    bic="ABNANL2A",
                ),
            ),
            count="2",
            total="6059.08",
        ),
        Block(
            lines=(Line(name="Deurwaarder Voorbeeld", text="", reference="1234567890123456", amount="0.01"),),
            id="PMT-2",
            date="2026-04-27",
            purpose="",
            batch_booking="false",
        ),
    )
)


def _xml(old: str = "", new: str = "", **changes: str) -> bytes:
    """Return the plainest document, with one piece of its text replaced."""
    text = Document(**changes).xml()
    assert old in text
    return text.replace(old, new, 1).encode()


def _line(data: bytes) -> SourceTransfer:
    return read_document(data).transfers[0]


def _refusal(data: bytes) -> str:
    with pytest.raises(UnreadableDocument) as caught:
        read_document(data)
    return caught.value.code


# ------------------------------------------------------------------------------------------------------------- versions


@pytest.mark.parametrize("version", ["pain.001.001.03", "pain.001.001.09"])
def test_the_documents_of_these_tests_are_valid_messages(version: str):
    """The builder writes what the ISO schema allows, so that the tests read files that exist."""
    place = importlib.resources.files("sepaxml") / "schemas" / f"{version}.xsd"
    schema = etree.XMLSchema(etree.fromstring(place.read_bytes()))
    xml = Document(version=version, blocks=EXAMPLE.blocks).xml()
    schema.assertValid(etree.fromstring(xml.encode()))


def test_every_readable_version_is_tested():
    """The versions of these tests are all versions that are read."""
    assert sorted(VERSIONS) == sorted(READABLE_SCHEMAS)


@pytest.mark.parametrize("version", VERSIONS)
def test_each_version_gives_the_same_payments(version: str):
    """Version by version the names of elements differ; what is read does not."""
    batch = read_document(Document(version=version, blocks=EXAMPLE.blocks).xml().encode())
    has_block_details = version != "pain.001.001.02"
    assert batch == SourceBatch(
        schema=version,
        message_id="MSG-2026-04",
        created_at_text="2026-04-20T10:11:12",
        initiating_party_name="Bakkerij Het Voorbeeld B.V.",
        declared_count=3,
        declared_sum_cents=605909,
        instructions=(
            SourceInstruction(
                payment_information_id="PMT-1",
                requested_execution_date=date(2026, 4, 24),
                debtor_name="Bakkerij Het Voorbeeld B.V.",
                debtor_iban=PAYER_IBAN,
                debtor_bic="TRIONL2U",
                category_purpose="SALA",
                batch_booking=True if has_block_details else None,
                declared_count=2 if has_block_details else None,
                declared_sum_cents=605908 if has_block_details else None,
                transfers=(
                    SourceTransfer(
                        position=1,
                        end_to_end_id="E2E-1",
                        amount_cents=344808,
                        amount_text="3448.08",
                        currency="EUR",
                        creditor_name="Jong, Wouter de",
                        creditor_iban="NL42INGB2268352412",
                        creditor_bic=None,
                        remittance_kind=RemittanceKind.UNSTRUCTURED,
                        remittance_text="Salaris april 2026",
                    ),
                    SourceTransfer(
                        position=2,
                        end_to_end_id="E2E-2",
                        amount_cents=261100,
                        amount_text="2611.00",
                        currency="EUR",
                        creditor_name="Çelik & Zn. <payroll>",
                        creditor_iban="NL52ABNA7650143244",
                        creditor_bic="ABNANL2A",
                        remittance_kind=RemittanceKind.UNSTRUCTURED,
                        remittance_text="Salaris april 2026",
                    ),
                ),
            ),
            SourceInstruction(
                payment_information_id="PMT-2",
                requested_execution_date=date(2026, 4, 27),
                debtor_name="Bakkerij Het Voorbeeld B.V.",
                debtor_iban=PAYER_IBAN,
                debtor_bic="TRIONL2U",
                category_purpose=None,
                batch_booking=False if has_block_details else None,
                declared_count=None,
                declared_sum_cents=None,
                transfers=(
                    SourceTransfer(
                        position=3,
                        end_to_end_id="E2E-1",
                        amount_cents=1,
                        amount_text="0.01",
                        currency="EUR",
                        creditor_name="Deurwaarder Voorbeeld",
                        creditor_iban="NL42INGB2268352412",
                        creditor_bic=None,
                        remittance_kind=RemittanceKind.STRUCTURED,
                        remittance_text="1234567890123456",
                        reference_type="SCOR",
                        reference_issuer="CUR",
                    ),
                ),
            ),
        ),
    )


@pytest.mark.parametrize("packing", PACKINGS)
def test_each_packing_gives_the_same_payments(packing: str):
    """UTF-8, UTF-16, base64 and zip are clothes: the payments in them are the same."""
    assert read_document(PACKINGS[packing](EXAMPLE.xml())) == read_document(EXAMPLE.xml().encode())


@pytest.mark.parametrize(
    "root",
    [
        f'<ns2:Document xmlns:ns2="{NAMESPACE}pain.001.001.03">',
        f'<x:Document xmlns:x="{NAMESPACE}pain.001.001.03" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">',
    ],
)
def test_a_prefix_changes_nothing(root: str):
    """The elements count by namespace, whatever prefix a package gives them, and also when only the root has one."""
    prefix = root[1 : root.index(":")]
    inside = Document().message()
    prefixed = (
        inside.replace("</", f"</{prefix}:")
        .replace("<", f"<{prefix}:")
        .replace(f"<{prefix}:/{prefix}:", f"</{prefix}:")
    )
    end = f"</{prefix}:Document>"
    expected = read_document(Document().xml().encode())
    assert read_document((root + prefixed + end).encode()) == expected
    assert read_document((root + inside + end).encode()) == expected


def test_another_namespace_of_the_same_version_is_read():
    """The German banking industry once gave the versions a namespace of its own."""
    data = _xml(NAMESPACE, "urn:sepade:xsd:", version="pain.001.001.02")
    assert read_document(data).schema == "pain.001.001.02"


def test_elements_of_a_foreign_namespace_are_passed_over():
    """An extension of the package inside the message is no part of the payment."""
    data = _xml("<Cdtr>", '<x:Cdtr xmlns:x="urn:package"><x:Nm>Other</x:Nm></x:Cdtr><Cdtr>')
    assert _line(data).creditor_name == "Jong, Wouter de"


def test_unknown_elements_are_passed_over():
    """Addresses and what else we do not use may stand anywhere, with any text inside."""
    data = _xml("</Nm></Cdtr>", "</Nm><PstlAdr><Ctry>NL</Ctry><Nm>Street</Nm></PstlAdr></Cdtr>")
    assert _line(data).creditor_name == "Jong, Wouter de"


@settings(deadline=None)
@given(
    lines=st.lists(
        st.builds(
            Line,
            name=st.text(st.characters(exclude_categories=["C"]), max_size=80).map(str.strip),
            iban=st.text("ABCNL 0123456789", max_size=40).map(str.strip),
            amount=st.integers(0, 10**14).map(lambda cents: f"{cents // 100}.{cents % 100:02d}"),
            text=st.text(st.characters(exclude_categories=["C"]), max_size=160).map(str.strip),
            end_to_end_id=st.text("ABC-123", max_size=35),
            currency=st.sampled_from(["EUR", "USD"]),
        ),
        max_size=4,
    ),
    version=st.sampled_from(VERSIONS),
    packing=st.sampled_from(sorted(PACKINGS)),
)
def test_what_is_written_is_what_is_read(lines: list[Line], version: str, packing: str):
    """Any texts and amounts come back letter by letter and cent by cent, in order, in any version and packing."""
    document = Document(version=version, blocks=(Block(lines=lines),))
    batch = read_document(PACKINGS[packing](document.xml()))
    assert [
        (line.position, line.creditor_name, line.creditor_iban, line.amount_cents, line.amount_text, line.currency)
        for line in batch.transfers
    ] == [
        (position, line.name, line.iban, int(line.amount.replace(".", "")), line.amount, line.currency)
        for position, line in enumerate(lines, start=1)
    ]
    assert [line.remittance_text for line in batch.transfers] == [line.text for line in lines]
    assert [line.end_to_end_id for line in batch.transfers] == [line.end_to_end_id or None for line in lines]
    assert totals_problems(batch) == []


# --------------------------------------------------------------------------------------------------------------- values


def test_white_space_of_the_layout_is_taken_off_and_nothing_else():
    """Indentation around a value goes; blanks inside and special blanks are text that a person wrote."""
    data = _xml("Jong, Wouter de", "\r\n\t  \u00a0Jong,  Wouter\u00a0 \n")
    assert _line(data).creditor_name == "\u00a0Jong,  Wouter\u00a0"


def test_text_between_elements_is_no_value():
    """Stray text belongs to nobody, and least of all to the element after it."""
    data = _xml("<Cdtr><Nm>Jong, Wouter de</Nm>", "<Cdtr>stray <Nm>Jong, Wouter de</Nm> stray")
    assert _line(data).creditor_name == "Jong, Wouter de"
    data = _xml("<ReqdExctnDt>2026-04-24", "<ReqdExctnDt>2026-04-25<Dt>2026-04-24</Dt>")
    assert read_document(data).instructions[0].requested_execution_date == date(2026, 4, 24)


def test_the_order_of_the_parts_does_not_matter():
    """A group header behind the payments is still that of the file."""
    text = Document().xml()
    start, end = text.index("<GrpHdr>"), text.index("</GrpHdr>") + len("</GrpHdr>")
    moved = text[:start] + text[end:].replace("</PmtInf>", f"</PmtInf>{text[start:end]}")
    assert read_document(moved.encode()) == read_document(text.encode())


def test_text_in_pieces_is_one_text():
    """A comment or a CDATA section inside a value does not cut it."""
    data = _xml("NL42INGB2268352412", "NL42<!-- bank -->INGB<![CDATA[22683]]>5241&#50;")
    assert _line(data).creditor_iban == "NL42INGB2268352412"


@pytest.mark.parametrize(
    ("text", "cents"),
    [
        ("2611", 261100),
        ("2611.0", 261100),
        ("+2611.00", 261100),
        ("-5.00", -500),
        ("0", 0),
        ("2.611,00", None),
        ("1E3", None),
        ("NaN", None),
        ("10.005", None),
        ("9999999999999999.99", 999_999_999_999_999_999),
        ("-10000000000000000.00", None),
        ("999999999999999999", None),
        ("EUR 10", None),
        ("", None),
    ],
)
def test_an_amount_is_whole_cents_or_kept_as_text(text: str, cents: int | None):
    """An amount is never rounded or guessed; what cannot be read stays visible."""
    line = _line(_xml("3448.08</InstdAmt>", f"{text}</InstdAmt>"))
    assert (line.amount_cents, line.amount_text) == (cents, text)


def test_a_line_without_anything_is_a_line():
    """A payment that lacks everything is counted and shown, not dropped."""
    data = Document(blocks=(Block(lines=(Line(), Line())),)).xml()
    start, end = data.index("<CdtTrfTxInf>"), data.index("</CdtTrfTxInf>")
    empty = _line((data[:start] + "<CdtTrfTxInf>" + data[end:]).encode())
    assert (empty.creditor_iban, empty.creditor_name, empty.currency, empty.amount_cents) == ("", "", "", None)
    assert empty.remittance_kind is RemittanceKind.NONE


@pytest.mark.parametrize(
    "account",
    ["<Othr><Id>123456789</Id></Othr>", "<BBAN>123456789</BBAN>", "<PrtryAcct><Id>123456789</Id></PrtryAcct>"],
)
def test_an_account_that_is_no_iban_stays_visible(account: str):
    """Another kind of account number stands in the IBAN's place, where the rules refuse it by line."""
    assert _line(_xml("<IBAN>NL42INGB2268352412</IBAN>", account)).creditor_iban == "123456789"
    assert read_document(_xml(f"<IBAN>{PAYER_IBAN}</IBAN>", account)).instructions[0].debtor_iban == "123456789"


@pytest.mark.parametrize(
    ("written", "kind", "text"),
    [
        ("<Ustrd>one</Ustrd><Ustrd>two</Ustrd>", RemittanceKind.UNSTRUCTURED, "one two"),
        (
            "<Ustrd>one</Ustrd><Strd><CdtrRefInf><Ref>R1</Ref></CdtrRefInf></Strd>",
            RemittanceKind.UNSTRUCTURED,
            "one R1",
        ),
        (
            "<Strd><CdtrRefInf><Ref>R1</Ref></CdtrRefInf></Strd><Strd><CdtrRefInf><Ref>R2</Ref></CdtrRefInf></Strd>",
            RemittanceKind.UNSTRUCTURED,
            "R1 R2",
        ),
        ("<Strd><AddtlRmtInf>more</AddtlRmtInf></Strd>", RemittanceKind.UNSTRUCTURED, "more"),
        ("<Strd><CdtrRefInf><Ref>R1</Ref></CdtrRefInf></Strd>", RemittanceKind.STRUCTURED, "R1"),
        ("<Ustrd> </Ustrd>", RemittanceKind.NONE, ""),
    ],
)
def test_no_remittance_text_is_lost(written: str, kind: RemittanceKind, text: str):
    """One reference alone is structured; several texts, or a text beside a reference, are joined with a blank."""
    line = _line(_xml("<Ustrd>Salaris april 2026</Ustrd>", written))
    assert (line.remittance_kind, line.remittance_text) == (kind, text)


def test_a_proprietary_reference_type_is_read():
    """The type of a reference may be a code of the bank's own."""
    reference = (
        "<Strd><CdtrRefInf><Tp><CdOrPrtry><Prtry>KENMERK</Prtry></CdOrPrtry></Tp><Ref>R1</Ref></CdtrRefInf></Strd>"
    )
    line = _line(_xml("<Ustrd>Salaris april 2026</Ustrd>", reference))
    assert (line.reference_type, line.reference_issuer) == ("KENMERK", None)


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("2026-04-24", date(2026, 4, 24)),
        ("2026-04-24Z", date(2026, 4, 24)),
        ("2026-04-24+02:00", date(2026, 4, 24)),
        ("<Dt>2026-04-24</Dt>", date(2026, 4, 24)),
        ("<DtTm>2026-04-24T23:30:00</DtTm>", None),
        ("2026-04-24T00:00:00", None),
        ("2026-02-30", None),
        ("24-04-2026", None),
        ("", None),
    ],
)
def test_an_execution_date_is_a_plain_date_or_none(written: str, day: date | None):
    """A moment or nonsense is no date: the employer then gets our own proposal."""
    assert read_document(_xml("2026-04-24", written)).instructions[0].requested_execution_date == day


@pytest.mark.parametrize(
    ("written", "expected"), [("true", True), ("1", True), ("false", False), ("0", False), ("yes", None), ("", None)]
)
def test_batch_booking_is_true_false_or_not_said(written: str, expected: bool | None):
    """Both spellings of XML count; anything else says nothing."""
    batch = read_document(_xml("<BtchBookg>true</BtchBookg>", f"<BtchBookg>{written}</BtchBookg>"))
    assert batch.instructions[0].batch_booking is expected


def test_the_oldest_version_gives_batch_booking_for_the_whole_file():
    """In pain.001.001.02 the group header says it for every block."""
    data = _xml("<Grpg>", "<BtchBookg>true</BtchBookg><Grpg>", version="pain.001.001.02")
    assert read_document(data).instructions[0].batch_booking is True


@pytest.mark.parametrize(("second", "expected"), [("SALA", "SALA"), ("TAXS", None), ("", None)])
def test_a_purpose_on_every_line_is_the_purpose_of_the_block(second: str, expected: str | None):
    """Lines that agree speak for their block; of lines that differ each speaks for itself."""
    written = "<PmtTpInf><CtgyPurp><Cd>{}</Cd></CtgyPurp></PmtTpInf>"
    lines = (Line(extra=written.format("SALA")), Line(extra=written.format(second)))
    block = Block(lines=lines, purpose="")
    other = Block(lines=(Line(),), purpose="")
    batch = read_document(Document(blocks=(block, other)).xml().encode())
    assert [instruction.category_purpose for instruction in batch.instructions] == [expected, None]
    purposes = [[block.purpose_of(line) for line in block.transfers] for block in batch.instructions]
    assert purposes == [["SALA", second or None], [None]]


def test_a_proprietary_purpose_is_read():
    """A purpose in a bank's own code is kept as written."""
    data = _xml("<CtgyPurp><Cd>SALA</Cd></CtgyPurp>", "<CtgyPurp><Prtry>LOON</Prtry></CtgyPurp>")
    assert read_document(data).instructions[0].category_purpose == "LOON"


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("namespace", "code"),
    [
        (f"{NAMESPACE}pain.001.001.11", "version_not_supported"),
        (f"{NAMESPACE}pain.001.002.03", "version_not_supported"),
        (f"{NAMESPACE}pain.008.001.02", "direct_debit_file"),
        (f"{NAMESPACE}pain.002.001.03", "status_report"),
        (f"{NAMESPACE}camt.053.001.02", "account_statement"),
        (f"{NAMESPACE}pacs.008.001.02", "not_a_payment_file"),
        ("urn:something-else", "not_a_payment_file"),
        (f"{NAMESPACE}pain.001.001.03.x", "not_a_payment_file"),
        ("", "version_unknown"),
    ],
)
def test_another_message_is_refused_by_name(namespace: str, code: str):
    """Only a payment file of a version that we read is read; anything else is named."""
    assert _refusal(_xml(NAMESPACE + "pain.001.001.03", namespace)) == code


def test_the_refusal_of_a_version_names_it_and_says_what_to_do():
    """A person learns which version it is and which to export."""
    with pytest.raises(UnreadableDocument, match="not read") as caught:
        read_document(_xml("pain.001.001.03", "pain.001.001.12"))
    assert "pain.001.001.12" in caught.value.explanation
    assert "pain.001.001.03 or pain.001.001.09" in caught.value.explanation


@pytest.mark.parametrize(
    "data",
    [
        b"<a/>",
        b'<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body/></soap:Envelope>',
        f'<Other xmlns="{NAMESPACE}pain.001.001.03">{Document().message()}</Other>'.encode(),
        f'<Document xmlns="{NAMESPACE}pain.001.001.03"/>'.encode(),
        f'<Document xmlns="{NAMESPACE}pain.001.001.03"><CstmrDrctDbtInitn/></Document>'.encode(),
    ],
)
def test_other_xml_is_refused(data: bytes):
    """XML without exactly one payment message is no payment file."""
    assert _refusal(data) == "not_a_payment_file"


def test_two_messages_in_one_document_are_refused():
    """Nobody could say which group header speaks for which payments."""
    text = Document().xml().replace("<GrpHdr>", "<X>").replace("</GrpHdr>", "</X>")
    data = text.replace("</Document>", f"{Document().message()}</Document>").encode()
    assert _refusal(data) == "not_a_payment_file"


@pytest.mark.parametrize(
    "element",
    [
        "<MsgId>MSG-2026-04</MsgId>",
        "<CtrlSum>3448.08</CtrlSum>",
        f"<IBAN>{PAYER_IBAN}</IBAN>",
        "<ReqdExctnDt>2026-04-24</ReqdExctnDt>",
        "<EndToEndId>E2E-1</EndToEndId>",
        '<InstdAmt Ccy="EUR">3448.08</InstdAmt>',
        "<InstdAmt>3448.08</InstdAmt>",
        "<Nm>Jong, Wouter de</Nm>",
        "<IBAN>NL42INGB2268352412</IBAN>",
    ],
)
def test_a_value_given_twice_is_refused(element: str):
    """Two amounts or accounts in one payment can be read in two ways, so nothing is read."""
    plain = element.replace("<InstdAmt>", '<InstdAmt Ccy="EUR">')
    assert _refusal(_xml(plain, plain + element)) == "element_repeated"


def test_an_iban_beside_another_account_number_is_refused():
    """Two kinds of account number in one payment are two answers to one question."""
    iban = "<IBAN>NL42INGB2268352412</IBAN>"
    assert _refusal(_xml(iban, f"{iban}<Othr><Id>1</Id></Othr>")) == "element_repeated"


def test_an_element_inside_a_value_is_refused():
    """A value that is cut by an element could be read without its first half."""
    assert _refusal(_xml("NL42INGB2268352412", "NL42INGB<x/>2268352412")) == "damaged_xml"


@pytest.mark.parametrize("total", ["3.448,08", "1.005", "many", "1E3"])
@pytest.mark.parametrize("element", ["CtrlSum", "NbOfTxs"])
def test_a_total_that_cannot_be_read_is_refused(element: str, total: str):
    """Taking it for absent would switch the check off."""
    block = Block(count=total) if element == "NbOfTxs" else Block(total=total)
    group = {"count": total} if element == "NbOfTxs" else {"total": total}
    assert _refusal(_xml(**group)) == "totals_unreadable"
    assert _refusal(Document(blocks=(block,)).xml().encode()) == "totals_unreadable"


@pytest.mark.parametrize("method", ["TRF", "TRA", ""])
def test_a_block_of_transfers_is_read(method: str):
    """Transfers, with or without a wish for advice, and blocks that do not say."""
    assert read_document(Document(blocks=(Block(method=method),)).xml().encode()).transfers


def test_a_block_of_cheques_is_refused():
    """We would turn a cheque into a transfer; the refusal says which block it is."""
    data = Document(blocks=(Block(), Block(method="CHK"))).xml().encode()
    assert _refusal(data) == "payment_method_not_supported"
    with pytest.raises(UnreadableDocument, match="Payment block 2 "):
        read_document(data)


def test_as_many_payments_as_allowed_are_read_in_seconds():
    """The largest document takes seconds, not minutes."""
    lines = "<CdtTrfTxInf><Cdtr><Nm>A</Nm></Cdtr></CdtTrfTxInf>" * (MAXIMUM_TRANSFERS - 1)
    started = time.monotonic()
    batch = read_document(_xml("</PmtInf>", f"{lines}</PmtInf>"))
    assert len(batch.transfers) == MAXIMUM_TRANSFERS
    assert batch.transfers[-1].position == MAXIMUM_TRANSFERS
    assert time.monotonic() - started < 20


def test_more_payments_than_allowed_are_refused():
    """One payment over the limit, spread over two blocks, is refused."""
    lines = "<CdtTrfTxInf/>" * MAXIMUM_TRANSFERS
    assert _refusal(_xml("</PmtInf>", f"</PmtInf><PmtInf>{lines}</PmtInf>")) == "too_many_transfers"


# ------------------------------------------------------------------------------------------------------ hostile and cut


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_document_cut_anywhere_is_never_a_batch(packing: str):
    """Whatever byte a broken connection stops at, half a payroll is not a payroll."""
    whole = Document(declaration="<?xml version='1.0'?>", blocks=(Block(payer="Né"),)).xml().strip()
    data = PACKINGS[packing](whole).rstrip()
    assert read_document(data).transfers
    for length in range(len(data)):
        with pytest.raises(UnreadableDocument):
            read_document(data[:length])


def test_only_white_space_may_be_missing_at_the_end():
    """The line end after the last tag carries nothing."""
    assert read_document(Document().xml().rstrip().encode()) == read_document(Document().xml().encode())


def test_a_cut_document_is_called_incomplete():
    """A person reads that a part is missing, not that the XML has a fault."""
    assert _refusal(_xml()[:-20]) == "incomplete_xml"


def test_faulty_xml_is_refused_with_its_line():
    """A fault inside is named by line, without the text of that line."""
    with pytest.raises(UnreadableDocument, match="line 2") as caught:
        read_document(_xml("</Nm></Cdtr>", "</Name></Cdtr>"))
    assert caught.value.code == "damaged_xml"
    assert "Name" not in caught.value.explanation


BILLION_LAUGHS = (
    '<!DOCTYPE Document [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;">]>'
)


@pytest.mark.parametrize(
    "doctype",
    [
        "<!DOCTYPE Document>",
        BILLION_LAUGHS,
        '<!DOCTYPE Document [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE Document SYSTEM "http://127.0.0.1:9/evil.dtd">',
        '<!DOCTYPE Document [<!ENTITY % a SYSTEM "http://127.0.0.1:9/evil.dtd"> %a;]>',
    ],
)
@pytest.mark.parametrize("packing", ["utf-8", "utf-16 with byte order mark", "zip"])
def test_a_doctype_is_refused_by_name(doctype: str, packing: str):
    """No entity is ever looked at, however the document is packed."""
    text = Document(declaration=f'<?xml version="1.0" encoding="UTF-8"?>{doctype}').xml()
    assert _refusal(PACKINGS[packing](text.replace("Jong, Wouter de", "&a;"))) == "doctype_refused"


def test_an_entity_that_nobody_declared_is_a_fault():
    """Without a DOCTYPE only the five entities of XML exist."""
    assert _refusal(_xml("Jong, Wouter de", "&nbsp;")) == "damaged_xml"


def test_deep_nesting_is_refused():
    """A tower of elements is stopped by the parser's own limit."""
    assert _refusal(_xml("<Cdtr>", "<a>" * 100_000 + "</a>" * 100_000 + "<Cdtr>")) == "damaged_xml"


def test_a_value_of_endless_length_is_refused():
    """A name may be too long for a bank and is then judged by line; beyond reason the document is refused."""
    assert _refusal(_xml("Jong, Wouter de", "x" * (MAXIMUM_VALUE_CHARACTERS + 1))) == "value_too_long"
    name = "x" * MAXIMUM_VALUE_CHARACTERS
    assert _line(_xml("Jong, Wouter de", name)).creditor_name == name


@pytest.mark.slow
def test_millions_of_empty_elements_are_passed_over():
    """Five million elements that mean nothing cost a moment and change nothing."""
    data = _xml("<GrpHdr>", "<a/>" * 5_000_000 + "<GrpHdr>")
    assert read_document(data) == read_document(_xml())


def test_five_million_elements_under_another_root_are_refused_at_the_first():
    """The root decides before anything else is read."""
    started = time.monotonic()
    assert _refusal(b"<a>" + b"<b/>" * 5_000_000 + b"</a>") == "not_a_payment_file"
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("tail", ["<Document/>", "salaris", "&amp;"])
def test_something_after_the_end_is_refused(tail: str):
    """A second document behind the first is not ignored."""
    with pytest.raises(UnreadableDocument):
        read_document(Document().xml().encode() + tail.encode())
