"""The bank's judgement on a file: good ones are taken, and each rule refuses the file that breaks just that rule."""

from datetime import date, timedelta

import pytest
from hypothesis import given, settings

from app.payments.sepa import build_file
from app.payments.sepa_model import FileContent
from simulators.bank.rulebook import Rulebook
from tests.payments.sepa_examples import DEBTOR_IBAN, contents, iban, rich_content
from tests.simulators.bank.by_hand import SCHEMAS, good_file, judged, reasons, rich_file, spoiled

LINE = "PmtInf[1]/CdtTrfTxInf[1]"
HEADER_TOTALS = "<NbOfTxs>2</NbOfTxs><CtrlSum>4000.03</CtrlSum>"
SEPA = "<PmtTpInf><SvcLvl><Cd>SEPA</Cd></SvcLvl>"
NAME = "<Cdtr><Nm>A. Voorbeeld-1</Nm>"
IBAN_1 = iban(1)
TEXT = "<RmtInf><Ustrd>Salaris november 2026</Ustrd>"
AMOUNT = '<InstdAmt Ccy="EUR">2000.01</InstdAmt>'
END_TO_END = "<EndToEndId>LINE00000000000000000000000001</EndToEndId>"
RF = "<Issr>ISO</Issr></Tp><Ref>RF18539007547034</Ref>"


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_good_file_is_booked_as_it_stands(schema: str):
    """Every kind of line that the service writes: ids, accounts, cents and texts come out as they went in."""
    order = judged(rich_file(schema)).order
    approved = rich_content(schema)

    assert order is not None
    assert (order.schema, order.message_id, order.count) == (schema, "BATCH-1", 6)
    assert [batch.category_purpose for batch in order.batches] == ["SALA", None]
    assert [(line.end_to_end_id, line.cents, line.name, line.iban, line.text) for _, line in order.transfers()] == [
        (row.end_to_end_id, row.amount_cents, row.creditor_name, row.creditor_iban, row.remittance_text)
        for block in approved.instructions
        for row in block.transfers
    ]


@settings(max_examples=40)
@given(contents())
def test_whatever_the_service_may_write_is_taken(file: FileContent):
    """The bank's rules and the service's agree on what is good."""
    judgement = judged(build_file(file), today=file.created_at.date(), rules=Rulebook(horizon_days=1000))
    assert judgement.reasons == ()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # texts
        ("A. Voorbeeld-1", "A. Voorbeeld_1", [("RR10", f"{LINE}/Cdtr/Nm")]),
        ("A. Voorbeeld-1", "A. Voorbeëld", [("RR10", f"{LINE}/Cdtr/Nm")]),
        ("A. Voorbeeld-1", "A. Voorbeeld\t1", [("RR10", f"{LINE}/Cdtr/Nm")]),
        ("A. Voorbeeld-1", "A. Voorbeeld ", [("CH16", f"{LINE}/Cdtr/Nm")]),
        ("A. Voorbeeld-1", "A" * 71, [("CH16", f"{LINE}/Cdtr/Nm")]),
        (NAME, "<Cdtr>", [("CH16", f"{LINE}/Cdtr"), ("BE22", f"{LINE}/Cdtr/Nm")]),
        (TEXT, "<RmtInf>", [("CH16", f"{LINE}/RmtInf")]),
        (f"{NAME}</Cdtr>", "", [("BE22", f"{LINE}/Cdtr/Nm")]),
        ("<Dbtr><Nm>Voorbeeld Holding B.V.</Nm>", "<Dbtr><CtryOfRes>NL</CtryOfRes>", [("BE08", "PmtInf[1]/Dbtr/Nm")]),
        (
            "<InitgPty><Nm>Voorbeeld Holding B.V.</Nm>",
            "<InitgPty><CtryOfRes>NL</CtryOfRes>",
            [("CH21", "GrpHdr/InitgPty/Nm")],
        ),
        (
            NAME,
            f"{NAME}<PstlAdr><AdrLine>Straat 1</AdrLine></PstlAdr>",
            [("BE04", f"{LINE}/Cdtr/PstlAdr/AdrLine")],
        ),
        # ids
        ("<MsgId>BATCH-1", "<MsgId>/BATCH-1", [("CH16", "GrpHdr/MsgId")]),
        ("<PmtInfId>BATCH-1-1", "<PmtInfId>BATCH-1/", [("CH16", "PmtInf[1]/PmtInfId")]),
        (END_TO_END, "<EndToEndId>A//B</EndToEndId>", [("CH16", f"{LINE}/PmtId/EndToEndId")]),
        (END_TO_END, f"<InstrId>/A</InstrId>{END_TO_END}", [("CH16", f"{LINE}/PmtId/InstrId")]),
        ("<MsgId>BATCH-1<", f"<MsgId>{'A' * 36}<", [("FF01", "line 3")]),
        # counts and sums
        (HEADER_TOTALS, HEADER_TOTALS.replace("2<", "3<"), [("AM18", "GrpHdr/NbOfTxs")]),
        (HEADER_TOTALS, HEADER_TOTALS.replace("2<", "02<"), [("AM18", "GrpHdr/NbOfTxs")]),
        (HEADER_TOTALS, HEADER_TOTALS.replace(".03", ".04"), [("AM10", "GrpHdr/CtrlSum")]),
        (HEADER_TOTALS, "<NbOfTxs>2</NbOfTxs>", [("AM10", "GrpHdr/CtrlSum")]),
        # the kind of payment
        (SEPA, "<PmtTpInf><SvcLvl><Cd>URGP</Cd></SvcLvl>", [("FF04", "PmtInf[1]/PmtTpInf/SvcLvl/Cd")]),
        (SEPA, f"{SEPA}<LclInstrm><Cd>INST</Cd></LclInstrm>", [("FF05", "PmtInf[1]/PmtTpInf/LclInstrm")]),
        ("<CtgyPurp><Cd>SALA</Cd>", "<CtgyPurp><Prtry>SALA</Prtry>", [("FF06", "PmtInf[1]/PmtTpInf/CtgyPurp")]),
        (
            f"{END_TO_END}</PmtId>",
            f"{END_TO_END}</PmtId><PmtTpInf><CtgyPurp><Cd>SALA</Cd></CtgyPurp></PmtTpInf>",
            [("CH07", f"{LINE}/PmtTpInf")],
        ),
        (TEXT, f"<Purp><Cd>SALA</Cd></Purp>{TEXT}", [("FF07", f"{LINE}/Purp")]),
        ("<PmtMtd>TRF", "<PmtMtd>CHK", [("CH17", "PmtInf[1]/PmtMtd")]),
        ("<ChrgBr>SLEV", "<ChrgBr>SHAR", [("CH16", "PmtInf[1]/ChrgBr")]),
        ("<ChrgBr>SLEV</ChrgBr>", "", [("CH16", "PmtInf[1]/ChrgBr")]),
        (f"{AMOUNT}</Amt>", f"{AMOUNT}</Amt><ChrgBr>SLEV</ChrgBr>", [("CH07", f"{LINE}/ChrgBr")]),
        # accounts and banks
        (IBAN_1, "NL59ABNA0000000001", [("AC03", f"{LINE}/CdtrAcct/Id/IBAN")]),
        (IBAN_1, "NL5ABNA00000000012", [("FF01", "line 5")]),
        (IBAN_1, "BR1800360305000010009795493C1", [("AC03", f"{LINE}/CdtrAcct/Id/IBAN")]),
        (IBAN_1, "DE8937040044053201300", [("AC03", f"{LINE}/CdtrAcct/Id/IBAN")]),
        (
            f"<IBAN>{IBAN_1}</IBAN>",
            "<Othr><Id>P1234</Id></Othr>",
            [("AC03", f"{LINE}/CdtrAcct/Id/IBAN")],
        ),
        (DEBTOR_IBAN, "NL00INGB0100000001", [("AC02", "PmtInf[1]/DbtrAcct/Id/IBAN")]),
        ("<Othr><Id>NOTPROVIDED</Id></Othr>", "<Othr><Id>X</Id></Othr>", [("RC01", "PmtInf[1]/DbtrAgt/FinInstnId")]),
        (
            NAME,
            f"<CdtrAgt><FinInstnId><Othr><Id>NOTPROVIDED</Id></Othr></FinInstnId></CdtrAgt>{NAME}",
            [("RC01", f"{LINE}/CdtrAgt")],
        ),
        # dates
        ("T10:30:15<", "T10:30:15.5<", [("DT01", "GrpHdr/CreDtTm")]),
        ("T10:30:15<", "T10:30:15+01:00<", [("DT01", "GrpHdr/CreDtTm")]),
        ("2026-11-25", "2026-11-20", [("CH04", "PmtInf[1]/ReqdExctnDt")]),
        ("2026-11-25", "2027-11-22", [("CH03", "PmtInf[1]/ReqdExctnDt")]),
        ("2026-11-25", "2026-12-25", [("DT01", "PmtInf[1]/ReqdExctnDt")]),
        ("2026-11-25", "2026-11-28", [("DT01", "PmtInf[1]/ReqdExctnDt")]),
        ("2026-11-25", "2027-03-26", [("DT01", "PmtInf[1]/ReqdExctnDt")]),
        ("2026-11-25", "2026-11-25+01:00", [("DT01", "PmtInf[1]/ReqdExctnDt")]),
        # references
        (TEXT, f"{TEXT}<Ustrd>meer</Ustrd>", [("RR07", f"{LINE}/RmtInf")]),
    ],
)
def test_each_rule_refuses_what_breaks_it(old: str, new: str, expected: list[tuple[str, str]]):
    """One thing spoiled in a good file: the bank names it with its code and place, and nothing else."""
    assert reasons(spoiled(good_file(), old, new)) == expected


@pytest.mark.parametrize(
    ("amount", "total", "expected"),
    [
        ("0", "2000.02", ("AM01", f"{LINE}/Amt/InstdAmt")),
        ("0.001", "2000.021", ("AM02", f"{LINE}/Amt/InstdAmt")),
        ("1000000000.00", "1000002000.02", ("AM02", f"{LINE}/Amt/InstdAmt")),
    ],
)
def test_an_amount_is_a_cent_to_a_billion(amount: str, total: str, expected: tuple[str, str]):
    """Nothing, parts of cents and more than 999,999,999.99 are refused, also when the sums are right."""
    file = spoiled(spoiled(good_file(), ">2000.01<", f">{amount}<"), ">4000.03<", f">{total}<", times=2)
    assert reasons(file) == [expected]


def test_only_euros_are_paid():
    """Another currency, or an equivalent amount, is refused."""
    dollars = spoiled(good_file(), AMOUNT, AMOUNT.replace("EUR", "USD"))
    assert reasons(dollars) == [("AM03", f"{LINE}/Amt/InstdAmt")]
    equivalent = '<EqvtAmt><Amt Ccy="EUR">2000.01</Amt><CcyOfTrf>EUR</CcyOfTrf></EqvtAmt>'
    without = spoiled(spoiled(good_file(), AMOUNT, equivalent), ">4000.03<", ">2000.02<", times=2)
    assert reasons(without) == [("AM02", f"{LINE}/Amt")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (RF, RF.replace("18", "19")),
        (RF, RF.replace("ISO", "CUR")),
        (f"<Cd>SCOR</Cd></CdOrPrtry>{RF}", f"<Cd>RADM</Cd></CdOrPrtry>{RF}"),
        ("<Ref>RF18539007547034", "<Ref>RF18-539007547034"),
    ],
)
def test_a_reference_passes_its_own_check(old: str, new: str):
    """Check digits, issuer and type belong together."""
    assert reasons(spoiled(rich_file(), old, new)) == [("RR07", "PmtInf[2]/CdtTrfTxInf[2]/RmtInf/Strd/CdtrRefInf/Ref")]


def test_a_reference_has_no_slash_at_an_end():
    """Slashes separate parts at some banks."""
    place = "PmtInf[2]/CdtTrfTxInf[2]/RmtInf/Strd/CdtrRefInf/Ref"
    assert ("CH16", place) in reasons(spoiled(rich_file(), "<Ref>RF18539007547034", "<Ref>/RF18539007547034"))


def test_a_free_text_may_hold_slashes():
    """The rule on slashes is for ids and references."""
    assert reasons(spoiled(good_file(), "Salaris november", "/Salaris// november/")) == []


def test_a_batch_has_its_own_totals():
    """Right in the header is not enough."""
    batch = "<BtchBookg>true</BtchBookg><NbOfTxs>2</NbOfTxs><CtrlSum>4000.03</CtrlSum>"
    wrong = spoiled(good_file(), batch, "<BtchBookg>true</BtchBookg><NbOfTxs>1</NbOfTxs><CtrlSum>2000.01</CtrlSum>")
    assert reasons(wrong) == [("AM18", "PmtInf[1]/NbOfTxs"), ("AM10", "PmtInf[1]/CtrlSum")]
    missing = spoiled(good_file(), batch, "<BtchBookg>true</BtchBookg>")
    assert reasons(missing) == [("AM18", "PmtInf[1]/NbOfTxs"), ("AM10", "PmtInf[1]/CtrlSum")]


def test_ids_stand_once_in_a_file():
    """Batches, lines and instruction ids are told apart by them."""
    batches = spoiled(rich_file(), "<PmtInfId>BATCH-1-2<", "<PmtInfId>BATCH-1-1<")
    assert reasons(batches) == [("DU02", "PmtInf[1]/PmtInfId"), ("DU02", "PmtInf[2]/PmtInfId")]
    second = "PmtInf[1]/CdtTrfTxInf[2]"
    lines = spoiled(good_file(), "LINE00000000000000000000000002", "LINE00000000000000000000000001")
    assert reasons(lines) == [("DU04", f"{LINE}/PmtId/EndToEndId"), ("DU04", f"{second}/PmtId/EndToEndId")]
    instructed = spoiled(good_file(), "<PmtId>", "<PmtId><InstrId>A</InstrId>", times=2)
    assert reasons(instructed) == [("DU05", f"{LINE}/PmtId/InstrId"), ("DU05", f"{second}/PmtId/InstrId")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('<?xml version="1.0" encoding="UTF-8"?>', '\ufeff<?xml version="1.0" encoding="UTF-8"?>'),
        ('<?xml version="1.0" encoding="UTF-8"?>', ""),
        ('encoding="UTF-8"', 'encoding="ISO-8859-1"'),
        (' encoding="UTF-8"', ""),
        ("<GrpHdr>", "<!-- salarissen --><GrpHdr>"),
        ("<Document", "<!DOCTYPE Document><Document"),
        ("</CstmrCdtTrfInitn>", ""),
        ("pain.001.001.09", "pain.001.001.11"),
        ("pain.001.001.09", "pain.001.001.03"),
        ("<ReqdExctnDt><Dt>2026-11-25</Dt></ReqdExctnDt>", "<ReqdExctnDt>2026-11-25</ReqdExctnDt>"),
        ("<BtchBookg>true</BtchBookg>", "<BtchBookg>yes</BtchBookg>"),
    ],
)
def test_what_the_schema_or_an_xml_reader_could_mistake_is_refused(old: str, new: str):
    """Wrong bytes, schemas and structures are a wrong format, and nothing more is said of them."""
    assert {code for code, _ in reasons(spoiled(good_file(), old, new))} == {"FF01"}


def test_a_moment_is_no_execution_date():
    """The schema of 2019 allows a time; banks do not."""
    moment = "<DtTm>2026-11-25T10:00:00</DtTm>"
    file = spoiled(good_file(), "<Dt>2026-11-25</Dt>", moment)
    assert reasons(file) == [("DT01", "PmtInf[1]/ReqdExctnDt/DtTm")]


def test_the_limits_of_the_bank_are_figures():
    """Transactions, bytes, days ahead, the account and the length of the file's name."""
    file = good_file()
    assert reasons(file, rules=Rulebook(maximum_transactions=1)) == [("AM18", "GrpHdr/NbOfTxs")]
    assert reasons(file, rules=Rulebook(maximum_bytes=len(file) - 1)) == [("FF01", "file")]
    assert reasons(file, rules=Rulebook(horizon_days=3)) == [("CH03", "PmtInf[1]/ReqdExctnDt")]
    assert reasons(file, rules=Rulebook(accounts=frozenset({IBAN_1}))) == [("AC02", "PmtInf[1]/DbtrAcct/Id/IBAN")]
    exact = Rulebook(maximum_transactions=2, maximum_bytes=len(file), horizon_days=4, accounts=frozenset({DEBTOR_IBAN}))
    assert reasons(file, rules=exact) == []


def test_a_file_name_has_35_characters_at_most():
    """A longer one, or an empty one, is refused by some upload pages."""
    assert judged(good_file(), file_name="A" * 35).order is not None
    for name in ("", "A" * 36):
        assert [(reason.code, reason.where) for reason in judged(good_file(), file_name=name).reasons] == [
            ("FF01", "file_name")
        ]


def test_the_first_and_the_last_day_are_possible():
    """Today is; so is the last day of the horizon."""
    for day in (date(2026, 11, 25), date(2026, 11, 25) - timedelta(days=364)):
        assert reasons(good_file(), today=day) == []


def test_all_reasons_come_at_once():
    """Nobody corrects one line only to hear of the next."""
    file = spoiled(good_file(), "A. Voorbeeld-1", "A. Voorbeeld_1")
    file = spoiled(spoiled(file, iban(2), "NL00ABNA0000000002"), "SLEV", "SHAR")
    assert reasons(file) == [
        ("RR10", f"{LINE}/Cdtr/Nm"),
        ("CH16", "PmtInf[1]/ChrgBr"),
        ("AC03", "PmtInf[1]/CdtTrfTxInf[2]/CdtrAcct/Id/IBAN"),
    ]
