import pytest
from hypothesis import given, settings
from lxml import etree

from app.payments.sepa_model import FileContent
from app.payments.sepa_reread import reread
from app.payments.sepa_writer import write_file
from tests.payments.sepa_examples import content, contents, instruction, reference_line, rich_content, transfer

NINE = "pain.001.001.09"
FIRST_LINE = "/instructions/0/transfers/0"


def _found(data: bytes, schema: str = NINE) -> set[tuple[str, str]]:
    return {(problem.pointer, problem.code) for problem in reread(etree.fromstring(data), schema).problems}


def _doctored(old: str, new: str, file: FileContent | None = None) -> bytes:
    """Return the bytes with the first occurrence replaced; the test is wrong when there is none."""
    data = write_file(rich_content() if file is None else file)
    assert old.encode() in data
    return data.replace(old.encode(), new.encode(), 1)


@settings(deadline=None, max_examples=100)
@given(contents())
def test_what_was_written_is_read_back(file: FileContent):
    """Every field of every line, for both schemas; the creation time without its fraction."""
    again = reread(etree.fromstring(write_file(file)), file.schema)
    assert again.problems == []
    assert again.content is not None
    assert again.content.created_at_local == file.created_at_local
    again_without_time = {name: getattr(again.content, name) for name in FileContent.__slots__ if name != "created_at"}
    assert again_without_time == {name: getattr(file, name) for name in FileContent.__slots__ if name != "created_at"}


@pytest.mark.parametrize(
    ("old", "new", "pointer", "code"),
    [
        ("<MsgId>BATCH-1</MsgId>", "", "/message_id", "element_missing"),
        ("<CreDtTm>2026-11-21T10:30:15</CreDtTm>", "", "/created_at", "element_missing"),
        ("<NbOfTxs>6</NbOfTxs>", "", "/number_of_transactions", "element_missing"),
        ("<CtrlSum>1000008001.88</CtrlSum>", "", "/control_sum", "element_missing"),
        ("<InitgPty><Nm>Voorbeeld Holding B.V.</Nm></InitgPty>", "<InitgPty></InitgPty>", "/InitgPty", "element_empty"),
        ("<NbOfTxs>6<", "<NbOfTxs>7<", "/number_of_transactions", "count_wrong"),
        ("<NbOfTxs>6<", "<NbOfTxs>06<", "/number_of_transactions", "value_unreadable"),
        ("<CtrlSum>1000008001.88<", "<CtrlSum>1000008001.87<", "/control_sum", "total_wrong"),
        ("<CtrlSum>1000008001.88<", "<CtrlSum>1000008001.880<", "/control_sum", "value_unreadable"),
        ("<NbOfTxs>4<", "<NbOfTxs>3<", "/instructions/0/number_of_transactions", "count_wrong"),
        ("<NbOfTxs>4</NbOfTxs>", "", "/instructions/0/number_of_transactions", "element_missing"),
        ("<CtrlSum>4001.81<", "<CtrlSum>4001.82<", "/instructions/1/control_sum", "total_wrong"),
        ("<CtrlSum>4001.81</CtrlSum>", "", "/instructions/1/control_sum", "element_missing"),
        ("T10:30:15<", "T10:30:15Z<", "/created_at", "value_unreadable"),
        ("T10:30:15<", "T10:30:15.5<", "/created_at", "value_unreadable"),
        ("T10:30:15<", "T10:30:15+01:00<", "/created_at", "value_unreadable"),
        ("T10:30:15<", "T25:30:15<", "/created_at", "value_unreadable"),
        ("<Nm>Voorbeeld Holding B.V.</Nm></InitgPty>", "<Nm>Ander</Nm></InitgPty>", "/debtor_name", "debtors_differ"),
        ("<Nm>Voorbeeld Holding B.V.</Nm></Dbtr>", "<Nm>Ander</Nm></Dbtr>", "/debtor_name", "debtors_differ"),
        ("<PmtMtd>TRF<", "<PmtMtd>CHK<", "/instructions/0/PmtMtd", "value_not_allowed"),
        ("<Cd>SEPA<", "<Cd>URGP<", "/instructions/0/PmtTpInf/SvcLvl/Cd", "value_not_allowed"),
        ("<ChrgBr>SLEV<", "<ChrgBr>SHAR<", "/instructions/0/ChrgBr", "value_not_allowed"),
        ("<ChrgBr>SLEV</ChrgBr>", "", "/instructions/0/ChrgBr", "element_missing"),
        ("<BtchBookg>true<", "<BtchBookg>1<", "/instructions/0/batch_booking", "value_unreadable"),
        ("<BtchBookg>true<", "<BtchBookg> true<", "/instructions/0/batch_booking", "value_unreadable"),
        ("<Dt>2026-11-25</Dt>", "<Dt>2026-11-25Z</Dt>", "/instructions/0/requested_execution_date", "value_unreadable"),
        ("<Dt>2026-11-25</Dt>", "<Dt>20261125</Dt>", "/instructions/0/requested_execution_date", "value_unreadable"),
        (
            "<Dt>2026-11-25</Dt>",
            "<DtTm>2026-11-25T00:00:00</DtTm>",
            "/instructions/0/requested_execution_date",
            "element_missing",
        ),
        (
            "<BICFI>INGBNL2A</BICFI>",
            "<BICFI>INGBNL2A</BICFI><Othr><Id>NOTPROVIDED</Id></Othr>",
            "/instructions/0/debtor_bic",
            "value_not_allowed",
        ),
        (
            "<BICFI>INGBNL2A</BICFI>",
            "<Othr><Id>UNKNOWN</Id></Othr>",
            "/instructions/0/debtor_bic",
            "value_not_allowed",
        ),
        ("<PmtId>", "<PmtId><InstrId>A</InstrId>", FIRST_LINE, "element_not_allowed"),
        ("</PmtId>", "</PmtId><PmtTpInf><SvcLvl><Cd>SEPA</Cd></SvcLvl></PmtTpInf>", FIRST_LINE, "element_not_allowed"),
        ("</CdtrAcct>", "</CdtrAcct><Purp><Cd>SALA</Cd></Purp>", FIRST_LINE, "element_not_allowed"),
        ("</Nm></Cdtr>", "</Nm><PstlAdr><TwnNm>A</TwnNm></PstlAdr></Cdtr>", FIRST_LINE, "element_not_allowed"),
        (
            "<PmtTpInf>",
            "<PmtTpInf><InstrPrty>HIGH</InstrPrty>",
            "/instructions/0",
            "element_not_allowed",
        ),
        (
            "</SvcLvl>",
            "</SvcLvl><LclInstrm><Cd>INST</Cd></LclInstrm>",
            "/instructions/0",
            "element_not_allowed",
        ),
        (
            "</Ustrd>",
            "</Ustrd><Ustrd>meer</Ustrd>",
            f"{FIRST_LINE}/remittance_text",
            "element_repeated",
        ),
        (
            "</Ustrd>",
            "</Ustrd><Strd><CdtrRefInf><Ref>5000056789012345</Ref></CdtrRefInf></Strd>",
            f"{FIRST_LINE}/remittance_text",
            "text_and_reference",
        ),
        ("<Ustrd>Salaris november 2026</Ustrd>", "", f"{FIRST_LINE}/RmtInf", "element_empty"),
        ("<Ustrd>Salaris november 2026<", "<Ustrd><", f"{FIRST_LINE}/remittance_text", "element_empty"),
        ("<Nm>A. Voorbeeld-1<", "<Nm><", f"{FIRST_LINE}/creditor_name", "element_empty"),
        ("<Nm>A. Voorbeeld-1<", "<Nm>A. <b>B</b><", f"{FIRST_LINE}/creditor_name", "element_empty"),
        ('"EUR">0.01<', '"EUR">0.010<', f"{FIRST_LINE}/amount_cents", "value_unreadable"),
        ('"EUR">0.01<', '"EUR">.01<', f"{FIRST_LINE}/amount_cents", "value_unreadable"),
        ("</CstmrCdtTrfInitn>", "<Splmtry/></CstmrCdtTrfInitn>", "", "element_not_allowed"),
        ("<GrpHdr>", "<GrpHdr><Fwdg/>", "", "element_not_allowed"),
        ("</Document>", "<Document/></Document>", "", "element_not_allowed"),
    ],
)
def test_whatever_we_do_not_write_is_named_with_its_place(old: str, new: str, pointer: str, code: str):
    """The schema lets most of these through; the second reading does not."""
    assert (pointer, code) in _found(_doctored(old, new))


def test_instructions_that_disagree_on_date_or_account_are_named():
    """A file has one account and one date, whatever its number of instructions."""
    data = _doctored("<Dt>2026-11-25</Dt>", "<Dt>2026-11-26</Dt>")
    assert _found(data) == {("/debtor_name", "debtors_differ")}


def test_a_file_without_instructions_is_no_file():
    """The group header alone pays nobody."""
    data = write_file(content(instructions=[]))
    assert _found(data) == {("", "element_not_allowed")}


def test_a_file_of_the_other_schema_is_not_read():
    """The namespace is part of what was approved."""
    assert _found(write_file(rich_content()), "pain.001.001.03") == {("", "element_not_allowed")}


def test_the_tags_of_the_older_schema_are_not_allowed_in_the_newer():
    """BIC and BICFI are not the same element."""
    data = _doctored("<BICFI>ABNANL2A</BICFI>", "<BIC>ABNANL2A</BIC>")
    assert ("/instructions/0/transfers/1", "element_not_allowed") in _found(data)


def test_a_half_reference_is_not_taken_for_a_whole_one():
    """Without its text a reference is no remittance information."""
    file = content(instructions=[instruction([reference_line(1), transfer(2)])])
    again = reread(etree.fromstring(_doctored("<Ref>5000056789012345</Ref>", "", file)), NINE).content
    assert again is not None
    assert again.instructions[0].transfers[0] != file.instructions[0].transfers[0]
