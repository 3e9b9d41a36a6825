import zipfile
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.payments.errors import UnreadableDocument
from app.payments.status_report_model import (
    InstructionStatus,
    Reason,
    StatedStatus,
    StatedTotals,
    StatusCount,
    StatusReport,
    TransactionStatus,
)
from app.payments.status_reports import (
    MAXIMUM_DEPTH,
    MAXIMUM_REASONS,
    MAXIMUM_STATUSES,
    MAXIMUM_VALUE_CHARACTERS,
    read_status_report,
)
from app.payments.unpacking import MAXIMUM_DOCUMENT_BYTES
from tests.payments.payroll_document import PACKINGS, Document, zipped
from tests.payments.status_report_samples import (
    DAMAGES,
    FLAVOURS,
    NAMESPACE,
    OLDEST,
    VERSIONS,
    Block,
    Line,
    Report,
    Why,
    every_flavour,
)

ONE_LINE_REJECTED = FLAVOURS["one line rejected"]


def _xml(old: str, new: str, report: Report = ONE_LINE_REJECTED) -> bytes:
    """Return a report with one piece of its text replaced."""
    text = report.xml()
    assert old in text
    return text.replace(old, new, 1).encode()


def _refused(data: bytes) -> UnreadableDocument:
    with pytest.raises(UnreadableDocument) as caught:
        read_status_report(data)
    assert caught.value.explanation.endswith(
        "Fetch the status report (pain.002) from the bank again and send that file as it is."
    )
    return caught.value


def _refusal(data: bytes) -> str:
    return _refused(data).code


# ------------------------------------------------------------------------------------------------------------- versions


@pytest.mark.parametrize(
    "version",
    ["pain.002.001.03", "pain.002.001.10", "pain.002.001.12", "pain.002.001.15", "pain.002.001.99", "pain.002.003.03"],
)
def test_each_version_with_blocks_says_the_same(version: str):
    """Codes, ids, reasons, totals and the repeated payment are read alike, also from a version newer than this code."""
    assert read_status_report(replace(ONE_LINE_REJECTED, version=version).bytes()) == StatusReport(
        schema=version,
        message_id="BANK-STATUS-77",
        created_at_text="2026-04-22T09:30:00+02:00",
        created_at=datetime(2026, 4, 22, 7, 30, tzinfo=UTC),
        original_message_id="MSG-2026-04",
        original_message_name="pain.001.001.09",
        group=StatedStatus(code="PART"),
        group_totals=StatedTotals(
            count_text="3",
            by_status=(StatusCount(code="ACSP", count_text="2"), StatusCount(code="RJCT", count_text="1")),
        ),
        instructions=(
            InstructionStatus(
                payment_information_id="PMT-1",
                statement=StatedStatus(code="PART"),
                totals=StatedTotals(count_text="2", by_status=(StatusCount(code="RJCT", count_text="1"),)),
                transactions=(
                    TransactionStatus(
                        payment_information_id="PMT-1",
                        end_to_end_id="E2E-2",
                        instruction_id=None,
                        statement=StatedStatus(
                            code="RJCT",
                            reasons=(
                                Reason(code="AC01", texts=("Rekeningnummer onbekend", "bij de ontvangende bank")),
                            ),
                        ),
                        amount_text="2611.00",
                        currency="EUR",
                        creditor_name="Çelik & Zn.",
                        creditor_iban="NL52ABNA7650143244",
                    ),
                ),
            ),
            InstructionStatus(
                payment_information_id="PMT-2",
                statement=StatedStatus(code="ACSP"),
                totals=StatedTotals(),
                transactions=(),
            ),
        ),
        loose_transactions=(),
    )


def test_the_oldest_version_has_no_blocks_and_names_the_instruction_on_the_payment():
    """In pain.002.001.02 each payment stands by itself with the id of its instruction, and reasons have other names."""
    report = Report(
        version=OLDEST,
        status="PART",
        blocks=(Block(lines=(Line(status="RJCT", reasons=(Why(code="AC04", texts=("Opgeheven",)),)),)),),
    )
    read = read_status_report(report.bytes())
    assert read.instructions == ()
    assert [(each.payment_information_id, each.end_to_end_id, each.statement) for each in read.transactions] == [
        ("PMT-1", "E2E-1", StatedStatus(code="RJCT", reasons=(Reason(code="AC04", texts=("Opgeheven",)),)))
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_flavour_is_read_in_every_version(version: str):
    """Whatever the flavour, the report names the original file and says something."""
    for report in every_flavour(version).values():
        read = read_status_report(report.bytes())
        assert (read.schema, read.original_message_id) == (version, "MSG-2026-04")
        assert read.group.code == (report.status.strip(" \n") or None)


@pytest.mark.parametrize(
    "namespace",
    [
        "urn:iso:std:iso:20022:tech:xsd:pain.002.001.03",
        "ISO:pain.002.001.03:APC:STUZZA:payments:003",
        "http://www.six-interbank-clearing.com/de/pain.002.001.03.ch.02.xsd",
    ],
)
def test_the_message_is_known_by_its_name_in_any_namespace(namespace: str):
    """Banks put their own dialect of the same message in a namespace of their own."""
    assert read_status_report(_xml(f"{NAMESPACE}pain.002.001.03", namespace)).schema == "pain.002.001.03"


def test_a_prefix_on_every_element_changes_nothing():
    """XML with a namespace prefix is the same message."""
    text = ONE_LINE_REJECTED.xml().replace("</", "</p:").replace("<", "<p:").replace("<p:/p:", "</p:")
    text = text.replace("<p:?xml", "<?xml").replace("xmlns=", "xmlns:p=")
    assert read_status_report(text.encode()) == read_status_report(ONE_LINE_REJECTED.bytes())


@pytest.mark.parametrize("packing", PACKINGS)
def test_packing_changes_nothing(packing: str):
    """A byte order mark, UTF-16, base64 and a zip are opened."""
    assert read_status_report(PACKINGS[packing](ONE_LINE_REJECTED.xml())) == read_status_report(
        ONE_LINE_REJECTED.bytes()
    )


@pytest.mark.parametrize("encoding", ["iso-8859-1", "iso-8859-15", "windows-1252"])
def test_a_declared_western_encoding_is_read(encoding: str):
    """Names with accents survive the encodings that older bank software declares."""
    report = replace(ONE_LINE_REJECTED, declaration=f'<?xml version="1.0" encoding="{encoding}"?>')
    read = read_status_report(report.xml().encode(encoding))
    assert [each.creditor_name for each in read.transactions] == ["Çelik & Zn."]


# ---------------------------------------------------------------------------------------------------- what is preserved


def test_codes_and_reasons_stay_as_the_bank_wrote_them():
    """Unknown, own and lower-case codes are kept letter by letter; only the white space of the layout goes."""
    unknown = read_status_report(FLAVOURS["codes nobody knows"].bytes())
    padded = read_status_report(FLAVOURS["padded codes in lower case"].bytes())
    assert unknown.group == StatedStatus(code="QXYZ", reasons=(Reason(code="ZZ99"), Reason(proprietary="BANK-7")))
    assert padded.group == StatedStatus(code="rjct", reasons=(Reason(code="am04"),))


def test_nothing_that_is_said_twice_is_merged_or_dropped():
    """An instruction or payment mentioned twice is there twice, in the order of the report."""
    lines = (Line(status="ACSP"), Line(status="RJCT"))
    report = Report(blocks=(Block(status="ACSP", lines=lines), Block(status="RJCT")))
    read = read_status_report(report.bytes())
    assert [block.statement.code for block in read.instructions] == ["ACSP", "RJCT"]
    assert [(each.end_to_end_id, each.statement.code) for each in read.transactions] == [
        ("E2E-1", "ACSP"),
        ("E2E-1", "RJCT"),
    ]


def test_missing_levels_are_no_fault():
    """A report of rejections only has no status for the file or the instruction."""
    read = read_status_report(FLAVOURS["rejections only"].bytes())
    assert (read.group.code, read.instructions[0].statement.code) == (None, None)
    assert [each.statement.reasons for each in read.transactions] == [
        (Reason(proprietary="0123", texts=("Onbekend",)),)
    ]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-04-22T09:30:00+02:00", datetime(2026, 4, 22, 7, 30, tzinfo=UTC)),
        ("2026-04-22T07:30:00Z", datetime(2026, 4, 22, 7, 30, tzinfo=UTC)),
        ("2026-04-22T09:30:00", datetime(2026, 4, 22, 7, 30, tzinfo=UTC)),
        ("2026-01-22T09:30:00.5", datetime(2026, 1, 22, 8, 30, 0, 500_000, tzinfo=UTC)),
        ("2026-04-22T07:30:00.123456789Z", datetime(2026, 4, 22, 7, 30, 0, 123_456, tzinfo=UTC)),
        ("2026-04-22", None),
        ("2026-02-30T09:30:00", None),
        ("2026-04-22T24:30:00", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59-14:00", None),
        ("2026-04-22T07:30:00+99:00", None),
        ("٢٠٢٦-04-22T07:30:00Z", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_the_moment_of_the_report_is_read_when_it_is_one(text: str, moment: datetime | None):
    """A moment without a zone is the time in the Netherlands; a text that is no moment stays a text."""
    read = read_status_report(replace(ONE_LINE_REJECTED, created_at=text).bytes())
    assert (read.created_at_text, read.created_at) == (text or None, moment)


@pytest.mark.parametrize(
    ("amount", "currency", "cents"),
    [
        ("2611.00", "EUR", 261_100),
        ("2611", "EUR", 261_100),
        ("0.015", "EUR", None),
        ("x", "EUR", None),
        ("1", "USD", None),
    ],
)
def test_a_repeated_amount_is_cents_only_when_it_is_whole_cents_of_euros(amount: str, currency: str, cents: int | None):
    """An amount that cannot be compared is no amount; its text is kept."""
    line = Line(status="RJCT", amount=amount, currency=currency)
    (read,) = read_status_report(Report(blocks=(Block(lines=(line,)),)).bytes()).transactions
    assert (read.amount_cents, read.amount_text) == (cents, amount)


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (Document().xml().encode(), "payment_file"),
        (_xml("pain.002.001.03", "pain.008.001.02"), "direct_debit_file"),
        (_xml("pain.002.001.03", "camt.053.001.08"), "account_statement"),
        (_xml("pain.002.001.03", "camt.054.001.08"), "account_statement"),
        (_xml("pain.002.001.03", "pacs.002.001.10"), "not_a_status_report"),
        (_xml("pain.002.001.03", "pain.002"), "not_a_status_report"),
        (_xml(f' xmlns="{NAMESPACE}pain.002.001.03"', ""), "version_unknown"),
        (ONE_LINE_REJECTED.xml().replace("Document", "Report").encode(), "not_a_status_report"),
        (ONE_LINE_REJECTED.xml().replace("CstmrPmtStsRpt", "Other").encode(), "not_a_status_report"),
        (f'<Document xmlns="{NAMESPACE}pain.002.001.03"/>'.encode(), "not_a_status_report"),
        (b"<Envelope><Document/></Envelope>", "not_a_status_report"),
        (b"", "empty_document"),
        (b" \n", "empty_document"),
        (b"\xef\xbb\xbf", "empty_document"),
        (b"<!DOCTYPE html><html><body>Inloggen</body></html>", "html_page"),
        (b"%PDF-1.7", "pdf_file"),
        (b"\xd0\xcf\x11\xe0", "spreadsheet"),
        (b"\x1f\x8b", "gzip_file"),
        (b"<Document>\xff</Document>", "encoding_unknown"),
        (b"<Document>\0</Document>", "nul_character"),
        (b"{1:F01BANKNL2A}", "mt_message"),
        (b'{"status": "RJCT"}', "json_text"),
        (b"0001A010126CLIEOP03", "clieop_file"),
        (b"PMT-1;E2E-1;RJCT\n", "csv_file"),
        (b"the file was rejected", "plain_text"),
        (zipped(), "archive_of_many"),
        (zipped(("a.xml", b"<a/>"), ("b.xml", b"<b/>")), "archive_of_many"),
        (zipped(("a.zip", zipped(("a.xml", b"<a/>")))), "archive_in_archive"),
        (zipped(("a.xml", b"<a/>"), method=zipfile.ZIP_BZIP2), "archive_damaged"),
        (zipped(("a.xml", b"<a/>"))[:-9], "archive_damaged"),
        (b" " * (MAXIMUM_DOCUMENT_BYTES + 1), "document_too_large"),
        (zipped(("a.xml", b" " * (MAXIMUM_DOCUMENT_BYTES + 1))), "document_too_large"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + ONE_LINE_REJECTED.bytes().split(b"\n", 1)[1], "doctype_refused"),
        (
            b"<!DOCTYPE Document SYSTEM 'http://127.0.0.1:9/x.dtd'>" + ONE_LINE_REJECTED.bytes().split(b"\n", 1)[1],
            "doctype_refused",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_report_is_refused_by_the_name_of_what_it_is(data: bytes, code: str):
    """The refusal says what the bytes are, and that the report is to be fetched again."""
    refused = _refused(data)
    assert refused.code == code
    assert refused.explanation != "The document cannot be opened."
    assert "payroll" not in refused.explanation


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_report_is_refused_whole(damage: str):
    """Half a report could hold the acceptance and miss the rejection."""
    assert _refusal(DAMAGES[damage](ONE_LINE_REJECTED.bytes())) in {
        "damaged_xml",
        "incomplete_xml",
        "encoding_unknown",
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<TxSts>RJCT</TxSts>", "<TxSts>RJCT</TxSts><TxSts>ACSP</TxSts>"),
        ("<GrpSts>PART</GrpSts>", "<GrpSts>PART</GrpSts><GrpSts>ACSP</GrpSts>"),
        ("<PmtInfSts>PART</PmtInfSts>", "<PmtInfSts>PART</PmtInfSts><PmtInfSts>ACSP</PmtInfSts>"),
        ("<OrgnlEndToEndId>", "<OrgnlEndToEndId>E2E-1</OrgnlEndToEndId><OrgnlEndToEndId>"),
        ("</OrgnlGrpInfAndSts>", "</OrgnlGrpInfAndSts><OrgnlGrpInfAndSts/>"),
        ("</GrpHdr>", "</GrpHdr><GrpHdr/>"),
        ("</CstmrPmtStsRpt>", "</CstmrPmtStsRpt><CstmrPmtStsRpt/>"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(old: str, new: str):
    """Two statuses for one payment inside one element say nothing that can be trusted."""
    assert _refusal(_xml(old, new)) == "element_repeated"


def test_text_between_the_elements_is_no_part_of_a_value():
    """Stray words in front of an id do not end up in it."""
    assert read_status_report(_xml("<MsgId>", "stray<MsgId>")) == read_status_report(ONE_LINE_REJECTED.bytes())


def test_an_element_inside_a_value_is_refused():
    """A status with something inside would be read as a part of itself."""
    assert _refusal(_xml("<TxSts>RJCT", "<TxSts>RJ<x/>CT")) == "damaged_xml"


@pytest.mark.parametrize("report", [Report(), Report(blocks=(Block(lines=(Line(),)),))])
def test_a_report_without_any_status_is_refused(report: Report):
    """Silence would be taken for an answer; a version that says it elsewhere would look like this."""
    assert _refusal(report.bytes()) == "no_status"


def test_a_reason_or_count_that_says_nothing_is_no_reason_or_count():
    """An empty element is no value, and millions of them cost no memory."""
    empty = "<StsRsnInf/><StsRsnInf><Rsn><Cd></Cd></Rsn></StsRsnInf><NbOfTxsPerSts/>" * MAXIMUM_REASONS
    read = read_status_report(_xml("</OrgnlGrpInfAndSts>", f"{empty}</OrgnlGrpInfAndSts>"))
    assert read == read_status_report(ONE_LINE_REJECTED.bytes())


def test_what_stands_under_an_unknown_element_is_passed_over():
    """Supplementary data may repeat the names of the message and means nothing of it."""
    extra = (
        "<SplmtryData><Envlp><GrpSts>RJCT</GrpSts><TxInfAndSts><TxSts>RJCT</TxSts></TxInfAndSts></Envlp></SplmtryData>"
    )
    read = read_status_report(_xml("</CstmrPmtStsRpt>", f"{extra}</CstmrPmtStsRpt>"))
    assert read == read_status_report(ONE_LINE_REJECTED.bytes())


def test_an_element_of_another_namespace_is_no_part_of_the_message():
    """Only the namespace of the root counts."""
    read = read_status_report(_xml("</GrpHdr>", "</GrpHdr><CstmrPmtStsRpt xmlns='urn:other'/>"))
    assert read == read_status_report(ONE_LINE_REJECTED.bytes())


# --------------------------------------------------------------------------------------------------------------- limits


def test_the_depth_is_limited():
    """A hostile document is refused before it costs anything."""
    deep = "<a>" * (MAXIMUM_DEPTH - 1) + "</a>" * (MAXIMUM_DEPTH - 1)
    fits = "<a>" * (MAXIMUM_DEPTH - 2) + "</a>" * (MAXIMUM_DEPTH - 2)
    assert _refusal(_xml("</GrpHdr>", f"</GrpHdr>{deep}")) == "too_deep"
    assert read_status_report(_xml("</GrpHdr>", f"</GrpHdr>{fits}")).group.code == "PART"


def test_the_length_of_a_value_is_limited():
    """A text of the longest allowed length is read, one more character is not."""
    fits = Report(status="RJCT", reasons=(Why(texts=("x" * MAXIMUM_VALUE_CHARACTERS,)),))
    over = Report(status="RJCT", reasons=(Why(texts=("x" * (MAXIMUM_VALUE_CHARACTERS + 1),)),))
    assert len(read_status_report(fits.bytes()).group.reasons[0].texts[0]) == MAXIMUM_VALUE_CHARACTERS
    assert _refusal(over.bytes()) == "value_too_long"


def test_the_number_of_reasons_and_of_counts_is_limited():
    """Banks give one reason or two; thousands fill the memory."""
    over = MAXIMUM_REASONS + 1
    fits = Report(
        status="RJCT", reasons=(Why(code="AC01"),) * MAXIMUM_REASONS, counts=(("RJCT", "1"),) * MAXIMUM_REASONS
    )
    assert len(read_status_report(fits.bytes()).group.reasons) == MAXIMUM_REASONS
    assert _refusal(Report(status="RJCT", reasons=(Why(code="AC01"),) * over).bytes()) == "too_many_statuses"
    assert _refusal(Report(status="RJCT", counts=(("RJCT", "1"),) * over).bytes()) == "too_many_statuses"


def test_the_number_of_statuses_is_limited():
    """The largest file a bank takes is read with a status for each line; more is no answer to a file of ours."""
    line = "<TxInfAndSts><TxSts>ACSP</TxSts></TxInfAndSts>"
    fits = _xml("</CstmrPmtStsRpt>", line * (MAXIMUM_STATUSES - 3) + "</CstmrPmtStsRpt>")
    over = _xml("</CstmrPmtStsRpt>", line * (MAXIMUM_STATUSES - 2) + "</CstmrPmtStsRpt>")
    assert len(read_status_report(fits).loose_transactions) == MAXIMUM_STATUSES - 3
    assert _refusal(over) == "too_many_statuses"


# -------------------------------------------------------------------------------------------------------------- fuzzing


def _reads_or_refuses(data: bytes) -> None:
    try:
        read_status_report(data)
    except UnreadableDocument as refused:
        assert refused.explanation  # noqa: PT017 - either outcome is right; anything else fails the test


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes):
    """No bytes whatsoever give another error."""
    _reads_or_refuses(data)


_TOKENS = [
    *("<GrpHdr>", "</GrpHdr>", "<OrgnlGrpInfAndSts>", "</OrgnlGrpInfAndSts>", "<GrpSts>", "</GrpSts>", "<MsgId>"),
    *("<OrgnlPmtInfAndSts>", "</OrgnlPmtInfAndSts>", "<TxInfAndSts>", "</TxInfAndSts>", "<TxSts>", "</TxSts>"),
    *("<StsRsnInf>", "</StsRsnInf>", "<Rsn>", "</Rsn>", "<Cd>", "</Cd>", "<NbOfTxsPerSts>", "</NbOfTxsPerSts>"),
    *("RJCT", " ", "&#x1F600;", "&amp;", "&x;", "<![CDATA[", "]]>", "<!--", "-->", "<?a b?>", "é", "\ud7ff", "]", "/>"),
]


@given(st.lists(st.sampled_from(_TOKENS), max_size=30))
def test_any_order_of_the_elements_is_read_or_refused(tokens: list[str]):
    """Elements where they do not belong, half open, or with anything inside give no other error."""
    inside = "".join(tokens)
    text = f'<Document xmlns="{NAMESPACE}pain.002.001.03"><CstmrPmtStsRpt>{inside}</CstmrPmtStsRpt></Document>'
    _reads_or_refuses(text.encode())


@settings(max_examples=300)
@given(
    st.sampled_from([report.bytes() for report in FLAVOURS.values()] + [PACKINGS["zip"](ONE_LINE_REJECTED.xml())]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=4), st.integers(0, 40)), max_size=4),
)
def test_mutated_reports_are_read_or_refused(data: bytes, mutations: list[tuple[float, bytes, int]]):
    """Bytes replaced, put in or taken out of real reports give no other error."""
    for place, inserted, removed in mutations:
        at = int(place * len(data))
        data = data[:at] + inserted + data[at + removed :]
    _reads_or_refuses(data)
