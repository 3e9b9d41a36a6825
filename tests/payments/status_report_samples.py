"""Builds status reports (pain.002) as banks send them: invented ids, real structure, every flavour in every version."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from xml.sax.saxutils import quoteattr

from tests.payments.payroll_document import tag

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:"
OLDEST = "pain.002.001.02"
# The versions for which banks describe what they send, and the oldest, which has another structure.
VERSIONS = (OLDEST, "pain.002.001.03", "pain.002.001.10", "pain.002.001.12")


@dataclass(frozen=True, kw_only=True)
class Why:
    """A reason; an empty text leaves the element out."""

    code: str = ""
    proprietary: str = ""
    texts: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Line:
    """What the bank says of one payment."""

    end_to_end_id: str = "E2E-1"
    status: str = ""
    reasons: Sequence[Why] = ()
    instruction_id: str = ""
    amount: str = ""
    currency: str = "EUR"
    name: str = ""
    iban: str = ""


@dataclass(frozen=True, kw_only=True)
class Block:
    """What the bank says of one payment instruction. `counts` pairs a status with a number of payments."""

    id: str = "PMT-1"
    status: str = ""
    reasons: Sequence[Why] = ()
    lines: Sequence[Line] = ()
    count: str = ""
    total: str = ""
    counts: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, kw_only=True)
class Report:
    """A whole report; `loose` are payments outside any block."""

    version: str = "pain.002.001.03"
    message_id: str = "BANK-STATUS-77"
    created_at: str = "2026-04-22T09:30:00+02:00"
    original_message_id: str = "MSG-2026-04"
    original_message_name: str = "pain.001.001.09"
    status: str = ""
    reasons: Sequence[Why] = ()
    count: str = ""
    total: str = ""
    counts: Sequence[tuple[str, str]] = ()
    blocks: Sequence[Block] = ()
    loose: Sequence[Line] = ()
    declaration: str = '<?xml version="1.0" encoding="UTF-8"?>'

    def xml(self) -> str:
        """Return the text of the report."""
        inside = self._message()
        return f"{self.declaration}\n<Document xmlns={quoteattr(NAMESPACE + self.version)}>{inside}</Document>\n"

    def bytes(self) -> bytes:
        """Return the report as a bank sends it."""
        return self.xml().encode()

    @property
    def is_oldest(self) -> bool:
        """Whether this is the version without blocks, in which an instruction can have no status of its own."""
        return self.version == OLDEST

    def _message(self) -> str:
        name = self.version if self.is_oldest else "CstmrPmtStsRpt"
        header = f"<GrpHdr>{tag('MsgId', self.message_id)}{tag('CreDtTm', self.created_at)}</GrpHdr>"
        group = (
            f"<OrgnlGrpInfAndSts>{tag('OrgnlMsgId', self.original_message_id)}"
            f"{tag('OrgnlMsgNmId', self.original_message_name)}{tag('OrgnlNbOfTxs', self.count)}"
            f"{tag('OrgnlCtrlSum', self.total)}{tag('GrpSts', self.status)}{self._reasons(self.reasons)}"
            f"{_counts(self.counts)}</OrgnlGrpInfAndSts>"
        )
        blocks = "".join(map(self._block, self.blocks))
        loose = "".join(self._line(line) for line in self.loose)
        return f"<{name}>{header}{group}{blocks}{loose}</{name}>"

    def _block(self, block: Block) -> str:
        if self.is_oldest:
            return "".join(self._line(line, block_id=block.id) for line in block.lines)
        return (
            f"<OrgnlPmtInfAndSts>{tag('OrgnlPmtInfId', block.id)}{tag('OrgnlNbOfTxs', block.count)}"
            f"{tag('OrgnlCtrlSum', block.total)}{tag('PmtInfSts', block.status)}{self._reasons(block.reasons)}"
            f"{_counts(block.counts)}{''.join(map(self._line, block.lines))}</OrgnlPmtInfAndSts>"
        )

    def _line(self, line: Line, block_id: str = "") -> str:
        return (
            f"<TxInfAndSts>{tag('OrgnlPmtInfId', block_id)}{tag('OrgnlInstrId', line.instruction_id)}"
            f"{tag('OrgnlEndToEndId', line.end_to_end_id)}{tag('TxSts', line.status)}{self._reasons(line.reasons)}"
            f"{tag('OrgnlTxRef', self._repeated(line), escaped=True)}</TxInfAndSts>"
        )

    def _repeated(self, line: Line) -> str:
        amount = f"<Amt><InstdAmt Ccy={quoteattr(line.currency)}>{line.amount}</InstdAmt></Amt>" if line.amount else ""
        name = tag("Nm", line.name)
        party = name if self.version in (OLDEST, "pain.002.001.03") else tag("Pty", name, escaped=True)
        account = f"<CdtrAcct><Id><IBAN>{line.iban}</IBAN></Id></CdtrAcct>" if line.iban else ""
        return f"{amount}{tag('Cdtr', party, escaped=True)}{account}"

    def _reasons(self, reasons: Sequence[Why]) -> str:
        block, text = ("StsRsn", "AddtlStsRsnInf") if self.is_oldest else ("Rsn", "AddtlInf")
        return "".join(
            f"<StsRsnInf>{tag(block, tag('Cd', why.code) + tag('Prtry', why.proprietary), escaped=True)}"
            f"{''.join(tag(text, words) for words in why.texts)}</StsRsnInf>"
            for why in reasons
        )


def _counts(counts: Sequence[tuple[str, str]]) -> str:
    return "".join(
        f"<NbOfTxsPerSts>{tag('DtldNbOfTxs', number)}{tag('DtldSts', status)}</NbOfTxsPerSts>"
        for status, number in counts
    )


_TWIN = Why(code="AM05", texts=("Dubbele aanlevering",))
_WRONG_ACCOUNT = Why(code="AC01", texts=("Rekeningnummer onbekend", "bij de ontvangende bank"))

# What banks say, in one report each. The file meant is MSG-2026-04: PMT-1 with E2E-1 and E2E-2, PMT-2 with E2E-3.
FLAVOURS: Mapping[str, Report] = {
    "file received": Report(status="RCVD", count="3", total="6059.09"),
    "file waits for a signature": Report(status="ACTC"),
    "file waits for a second signature": Report(status="PATC"),
    "file accepted": Report(status="ACCP", blocks=(Block(status="ACCP"), Block(id="PMT-2", status="ACCP"))),
    "file in settlement": Report(status="ACSP"),
    "file settled": Report(status="ACSC"),
    "file rejected as a double": Report(status="RJCT", reasons=(_TWIN,)),
    "file cancelled": Report(status="CANC", reasons=(Why(code="DS02"),)),
    "file pending": Report(status="PDNG"),
    "instruction rejected": Report(
        status="PART", blocks=(Block(status="RJCT", reasons=(Why(code="AM04"),), count="2", total="6059.08"),)
    ),
    "one line rejected": Report(
        status="PART",
        count="3",
        counts=(("ACSP", "2"), ("RJCT", "1")),
        blocks=(
            Block(
                status="PART",
                count="2",
                counts=(("RJCT", "1"),),
                lines=(
                    Line(
                        end_to_end_id="E2E-2",
                        status="RJCT",
                        reasons=(_WRONG_ACCOUNT,),
                        amount="2611.00",
                        name="Çelik & Zn.",
                        iban="NL52ABNA7650143244",
                    ),
                ),
            ),
            Block(id="PMT-2", status="ACSP"),
        ),
    ),
    "rejections only": Report(
        blocks=(Block(lines=(Line(status="RJCT", reasons=(Why(proprietary="0123", texts=("Onbekend",)),)),)),)
    ),
    "line named in a rejected block": Report(
        blocks=(Block(status="RJCT", lines=(Line(reasons=(Why(code="AC04"),)),)),)
    ),
    "name check running": Report(status="RVNC"),
    "name check without differences": Report(status="RCVC"),
    "name check with differences": Report(
        status="RVCM",
        blocks=(
            Block(
                status="RVCM",
                lines=(
                    Line(status="RVMC", reasons=(Why(code="PN02", texts=("J. de Jong",)),)),
                    Line(end_to_end_id="E2E-2", status="RVNM", reasons=(Why(code="PN01"),)),
                ),
            ),
            Block(id="PMT-2", lines=(Line(end_to_end_id="E2E-3", status="RVNA"),)),
        ),
    ),
    "codes nobody knows": Report(status="QXYZ", reasons=(Why(code="ZZ99"), Why(proprietary="BANK-7"))),
    "padded codes in lower case": Report(status=" rjct\n", reasons=(Why(code=" am04 "),)),
}


def every_flavour(version: str) -> Mapping[str, Report]:
    """Return each flavour that this version can say: the oldest gives no status to an instruction."""
    flavours = {name: replace(report, version=version) for name, report in FLAVOURS.items()}
    if version != OLDEST:
        return flavours
    return {name: report for name, report in flavours.items() if not any(block.status for block in report.blocks)}


# Ways to damage the bytes of a report; what is left may still be readable, but never anything else than that.
DAMAGES: Mapping[str, Callable[[bytes], bytes]] = {
    "cut in the middle": lambda data: data[: len(data) // 2],
    "cut before the last tag": lambda data: data[: data.rindex(b"</Document>")],
    "an end tag lost": lambda data: data.replace(b"</GrpHdr>", b"", 1),
    "an entity that nobody declared": lambda data: data.replace(b"BANK", b"&bank;", 1),
    "a control character": lambda data: data.replace(b"BANK", b"BA\x01NK", 1),
    "two roots": lambda data: data + data[data.index(b"<Document") :],
    "bytes that are no UTF-8": lambda data: data.replace(b"BANK", b"\xff\xfe\xfa", 1),
}
