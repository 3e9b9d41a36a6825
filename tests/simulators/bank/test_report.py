"""Status reports in every flavour and version: what a reader finds at the level where a bank says it."""

from typing import NamedTuple

import pytest
from lxml import etree

from simulators.bank.flavours import Flavour
from simulators.bank.process import BankClient, SimulatorError
from tests.simulators.bank.by_hand import rich_file

VERSIONS = ("pain.002.001.03", "pain.002.001.10", "pain.002.001.12")
LINES = [f"LINE{n:026d}" for n in (1, 2, 3, 4, 90, 91)]
BATCHES = ("BATCH-1-1", "BATCH-1-2")


class Said(NamedTuple):
    """A report in short: group status, statuses by batch and by line, in the order of the report."""

    group: str | None
    batches: list[tuple[str | None, str | None]]
    lines: list[tuple[str | None, str | None]]
    reasons: list[str | None]


class Report:
    """A report read by hand, whatever its version."""

    def __init__(self, data: bytes) -> None:
        self.document = etree.fromstring(data)
        self.space = etree.QName(self.document).namespace or ""

    def texts(self, path: str) -> list[str | None]:
        """The texts of all elements at the end of such a path."""
        return [each.text for each in self.document.findall(f".//{self._path(path)}")]

    def said(self) -> Said:
        """Everything that the report states."""
        batches = self.document.findall(f".//{self._path('OrgnlPmtInfAndSts')}")
        lines = self.document.findall(f".//{self._path('TxInfAndSts')}")
        return Said(
            group=next(iter(self.texts("GrpSts")), None),
            batches=[(self._text(each, "OrgnlPmtInfId"), self._text(each, "PmtInfSts")) for each in batches],
            lines=[(self._text(each, "OrgnlEndToEndId"), self._text(each, "TxSts")) for each in lines],
            reasons=self.texts("StsRsnInf/Rsn/Cd"),
        )

    def _text(self, element: etree._Element, path: str) -> str | None:
        return element.findtext(self._path(path))

    def _path(self, path: str) -> str:
        return "/".join(f"{{{self.space}}}{step}" for step in path.split("/"))


@pytest.fixture
def upload_id(bank: BankClient) -> int:
    """A file of two instructions, four and two lines."""
    return int(bank.upload(rich_file())["id"])


PLAIN = {
    Flavour.RECEIVED: "RCVD",
    Flavour.TECHNICALLY_ACCEPTED: "ACTC",
    Flavour.ACCEPTED: "ACCP",
    Flavour.ACCEPTED_WITH_CHANGE: "ACWC",
    Flavour.SETTLEMENT_IN_PROCESS: "ACSP",
    Flavour.SETTLED: "ACSC",
    Flavour.CREDITED: "ACCC",
    Flavour.PENDING: "PDNG",
    Flavour.PARTIALLY_AUTHORISED: "PATC",
    Flavour.UNKNOWN_CODE: "XQZ7",
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("flavour", "code"), PLAIN.items())
def test_a_plain_status_is_said_as_far_down_as_wished(
    bank: BankClient, upload_id: int, flavour: Flavour, code: str, version: str
):
    """Of the file; of its instructions too, as usual; of every line."""
    reports = [
        Report(bank.report(upload_id, flavour, version=version, detail=detail)).said()
        for detail in ("group", "instructions", "lines")
    ]
    batches: list[tuple[str | None, str | None]] = [(name, code) for name in BATCHES]
    assert reports == [
        Said(code, [], [], []),
        Said(code, batches, [], []),
        Said(code, batches, [(name, code) for name in LINES], []),
    ]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("flavour", "said"),
    [
        (
            Flavour.PARTLY_REJECTED,
            Said("PART", [(BATCHES[0], "PART"), (BATCHES[1], "ACCP")], [(LINES[0], "RJCT")], ["AC04"]),
        ),
        (Flavour.REJECTED, Said("RJCT", [], [], ["FF01"])),
        (
            Flavour.REJECTED_INSTRUCTION,
            Said("PART", [(BATCHES[0], "RJCT"), (BATCHES[1], "ACCP")], [], ["AC02"]),
        ),
        (Flavour.REJECTED_LINES, Said(None, [(BATCHES[0], None)], [(LINES[0], "RJCT")], ["AC04"])),
        (
            Flavour.REJECTED_AFTER_ACCEPTANCE,
            Said("RJCT", [(BATCHES[0], "RJCT"), (BATCHES[1], "RJCT")], [], ["DS02"] * 3),
        ),
        (Flavour.INSUFFICIENT_FUNDS, Said(None, [(BATCHES[0], "RJCT")], [], ["AM04"])),
        (Flavour.DUPLICATE, Said("RJCT", [], [], ["AM05"])),
        (
            Flavour.NAME_CHECK,
            Said("RVCM", [(BATCHES[0], "RVCM"), (BATCHES[1], "RCVC")], [(LINES[0], "RVMC")], ["PN02"]),
        ),
        (Flavour.RETURNED, Said("ACSC", [(BATCHES[0], None)], [(LINES[0], "RJCT")], ["AC04"])),
        (
            Flavour.REVERSED,
            Said(
                None,
                [(BATCHES[1], None), (BATCHES[0], None)],
                [(LINES[n], "ACSC") for n in (5, 4, 3, 2, 1, 0)],
                [],
            ),
        ),
        (Flavour.GROUP_ONLY, Said("ACCP", [], [], [])),
        (Flavour.WITHOUT_INSTRUCTION_IDS, Said(None, [(None, None)], [(LINES[0], "RJCT")], ["AC04"])),
    ],
)
def test_each_flavour_says_what_it_is_called(
    bank: BankClient, upload_id: int, flavour: Flavour, said: Said, version: str
):
    """The level, the codes and the reasons of each kind of report; what a bank leaves out is left out."""
    assert Report(bank.report(upload_id, flavour, version=version)).said() == said


def test_every_flavour_is_tested(bank: BankClient, upload_id: int):
    """No flavour is only a name: each gives a well-formed report about six transfers."""
    for flavour in Flavour:
        assert Report(bank.report(upload_id, flavour)).texts("OrgnlGrpInfAndSts/OrgnlNbOfTxs") == ["6"]


def test_a_report_may_be_about_a_message_never_sent(bank: BankClient, upload_id: int):
    """None of its ids is ours."""
    report = Report(bank.report(upload_id, Flavour.NEVER_SENT, message_id="STRANGER"))
    assert report.texts("OrgnlMsgId") == ["STRANGER"]
    said = report.said()
    assert said.batches == [("STRANGER-1", "RJCT")]
    assert said.lines == [("NEVER-SENT-LINE", "RJCT")]


def test_lines_are_chosen_by_number_or_id_and_codes_by_the_caller(bank: BankClient, upload_id: int):
    """For instance one salary and one third party, refused for another reason."""
    report = bank.report(upload_id, Flavour.REJECTED_LINES, lines=f"2,{LINES[5]}", reason="MD07")
    assert Report(report).said() == Said(
        None,
        [(BATCHES[0], None), (BATCHES[1], None)],
        [(LINES[1], "RJCT"), (LINES[5], "RJCT")],
        ["MD07", "MD07"],
    )
    whole = bank.report(upload_id, Flavour.REJECTED_INSTRUCTION, instructions="1,2", reason="AM04")
    assert Report(whole).said().group == "RJCT"


def test_a_name_check_gives_each_line_its_code_and_the_close_name(bank: BankClient, upload_id: int):
    """A name is suggested only where it nearly fits."""
    report = Report(
        bank.report(
            upload_id,
            Flavour.NAME_CHECK,
            lines="1,2,3,4,5,6",
            statuses="RCVC,RVMC,RVNM,RVNA,RVNC,RVCM",
            name="J. Jansen",
        )
    )
    assert report.said().lines == list(
        zip(LINES, ["RCVC", "RVMC", "RVNM", "RVNA", "RVNC", "RVCM"], strict=True),
    )
    assert report.texts("AddtlInf") == ["J. Jansen"]
    assert report.texts("TxInfAndSts/StsRsnInf/Rsn/Cd") == ["PN02", "PN01", "NORR"]


@pytest.mark.parametrize("version", VERSIONS)
def test_versions_differ_where_the_schemas_do(bank: BankClient, upload_id: int, version: str):
    """Namespace, tag of the bank's BIC, place of the day and of a payee's name."""
    report = Report(bank.report(upload_id, Flavour.REJECTED_LINES, version=version))
    is_old = version.endswith("03")

    assert report.space == f"urn:iso:std:iso:20022:tech:xsd:{version}"
    assert report.texts("GrpHdr/DbtrAgt/FinInstnId/BIC" if is_old else "GrpHdr/DbtrAgt/FinInstnId/BICFI")
    assert report.texts("OrgnlTxRef/ReqdExctnDt" if is_old else "OrgnlTxRef/ReqdExctnDt/Dt") == ["2026-11-25"]
    assert report.texts("OrgnlTxRef/Cdtr/Nm" if is_old else "OrgnlTxRef/Cdtr/Pty/Nm") == ["A. Voorbeeld-1"]
    assert report.texts("OrgnlTxRef/Amt/InstdAmt") == ["0.01"]
    assert report.texts("OrgnlMsgId") == ["BATCH-1"]
    assert report.texts("OrgnlMsgNmId") == ["pain.001.001.09"]
    assert report.texts("OrgnlPmtInfAndSts/OrgnlCtrlSum") == ["1000004000.07"]


@pytest.mark.parametrize(
    "query",
    [
        {"version": "pain.002.001.99"},
        {"lines": "7"},
        {"lines": "LINE"},
        {"instructions": "3"},
        {"reason": "TOOLONG"},
        {"color": "red"},
    ],
)
def test_a_report_that_cannot_be_made_is_refused(bank: BankClient, upload_id: int, query: dict[str, str]):
    """Unknown versions, lines, batches and parameters are told."""
    with pytest.raises(SimulatorError, match="422"):
        bank.report(upload_id, Flavour.REJECTED_LINES, **query)
