"""Builds payroll SEPA files as packages export them: invented people, real structure, every version that is read."""

import base64
import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:"
PAYER_IBAN = "NL64TRIO0379501686"

VERSIONS = ("pain.001.001.02", "pain.001.001.03", "pain.001.001.09", "pain.001.003.03")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One payment as a package writes it; an empty text leaves the element out."""

    name: str = "Jong, Wouter de"
    iban: str = "NL42INGB2268352412"
    amount: str = "3448.08"
    text: str = "Salaris april 2026"
    end_to_end_id: str = "E2E-1"
    currency: str = "EUR"
    bic: str = ""
    reference: str = ""
    reference_type: str = "SCOR"
    reference_issuer: str = "CUR"
    extra: str = ""


@dataclass(frozen=True, kw_only=True)
class Block:
    """One payment block; `count` and `total` are what it declares, empty for nothing."""

    lines: Sequence[Line] = (Line(),)
    id: str = "PMT-1"
    date: str = "2026-04-24"
    method: str = "TRF"
    batch_booking: str = "true"
    purpose: str = "SALA"
    payer: str = "Bakkerij Het Voorbeeld B.V."
    payer_iban: str = PAYER_IBAN
    payer_bic: str = "TRIONL2U"
    count: str = ""
    total: str = ""


@dataclass(frozen=True, kw_only=True)
class Document:
    """A whole file. `count` and `total` None: as many and as much as there is; empty: not declared."""

    version: str = "pain.001.001.03"
    blocks: Sequence[Block] = field(default_factory=lambda: (Block(),))
    message_id: str = "MSG-2026-04"
    created_at: str = "2026-04-20T10:11:12"
    initiator: str = "Bakkerij Het Voorbeeld B.V."
    count: str | None = None
    total: str | None = None
    declaration: str = '<?xml version="1.0" encoding="UTF-8"?>'

    def xml(self) -> str:
        """Return the text of the file."""
        return (
            f"{self.declaration}\n<Document xmlns={quoteattr(NAMESPACE + self.version)}>{self.message()}</Document>\n"
        )

    def message(self) -> str:
        """Return the message element alone."""
        name = "pain.001.001.02" if self._is_oldest else "CstmrCdtTrfInitn"
        return f"<{name}>{self._group_header()}{''.join(map(self._block, self.blocks))}</{name}>"

    @property
    def _is_oldest(self) -> bool:
        return self.version == "pain.001.001.02"

    @property
    def _is_newest(self) -> bool:
        return self.version == "pain.001.001.09"

    def _group_header(self) -> str:
        lines = [line for block in self.blocks for line in block.lines]
        count = str(len(lines)) if self.count is None else self.count
        total = total_of(lines) if self.total is None else self.total
        return (
            f"<GrpHdr>{tag('MsgId', self.message_id)}{tag('CreDtTm', self.created_at)}{tag('NbOfTxs', count)}"
            f"{tag('CtrlSum', total)}{'<Grpg>MIXD</Grpg>' if self._is_oldest else ''}"
            f"<InitgPty>{tag('Nm', self.initiator)}</InitgPty></GrpHdr>"
        )

    def _block(self, block: Block) -> str:
        old_totals = "" if self._is_oldest else tag("NbOfTxs", block.count) + tag("CtrlSum", block.total)
        purpose = block.purpose if self._is_oldest else tag("Cd", block.purpose, escaped=True)
        date = tag("Dt", block.date, escaped=True) if self._is_newest else block.date
        return (
            f"<PmtInf>{tag('PmtInfId', block.id)}{tag('PmtMtd', block.method)}"
            f"{'' if self._is_oldest else tag('BtchBookg', block.batch_booking)}{old_totals}"
            f"<PmtTpInf><SvcLvl><Cd>SEPA</Cd></SvcLvl>{tag('CtgyPurp', purpose, escaped=True)}</PmtTpInf>"
            f"{tag('ReqdExctnDt', date, escaped=True)}<Dbtr>{tag('Nm', block.payer)}</Dbtr>"
            f"<DbtrAcct><Id>{tag('IBAN', block.payer_iban)}</Id></DbtrAcct>"
            f"<DbtrAgt><FinInstnId>{self._bic(block.payer_bic)}</FinInstnId></DbtrAgt><ChrgBr>SLEV</ChrgBr>"
            f"{''.join(map(self._line, block.lines))}</PmtInf>"
        )

    def _line(self, line: Line) -> str:
        agent = f"<CdtrAgt><FinInstnId>{self._bic(line.bic)}</FinInstnId></CdtrAgt>" if line.bic else ""
        amount = f"<Amt><InstdAmt Ccy={quoteattr(line.currency)}>{escape(line.amount)}</InstdAmt></Amt>"
        remittance = tag("Ustrd", line.text) + self._structured(line)
        return (
            f"<CdtTrfTxInf><PmtId>{tag('EndToEndId', line.end_to_end_id)}</PmtId>{amount}{agent}"
            f"<Cdtr>{tag('Nm', line.name)}</Cdtr><CdtrAcct><Id>{tag('IBAN', line.iban)}</Id></CdtrAcct>"
            f"{tag('RmtInf', remittance, escaped=True)}{line.extra}</CdtTrfTxInf>"
        )

    def _structured(self, line: Line) -> str:
        if not line.reference:
            return ""
        kind, issuer, reference = tag("Cd", line.reference_type), tag("Issr", line.reference_issuer), line.reference
        if self._is_oldest:
            inside = f"<CdtrRefTp>{kind}{issuer}</CdtrRefTp>{tag('CdtrRef', reference)}"
        else:
            inside = f"<Tp><CdOrPrtry>{kind}</CdOrPrtry>{issuer}</Tp>{tag('Ref', reference)}"
        return f"<Strd><CdtrRefInf>{inside}</CdtrRefInf></Strd>"

    def _bic(self, bic: str) -> str:
        return tag("BICFI" if self._is_newest else "BIC", bic)


def tag(name: str, text: str, *, escaped: bool = False) -> str:
    """Return an element, nothing when there is no text."""
    return f"<{name}>{text if escaped else escape(text)}</{name}>" if text else ""


def total_of(lines: Sequence[Line]) -> str:
    """Return the sum of the lines as a package writes it."""
    cents = sum(int(line.amount.replace(".", "")) for line in lines)
    return f"{cents // 100}.{cents % 100:02d}"


def zipped(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip of the named files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=method) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return buffer.getvalue()


def _utf16(text: str) -> bytes:
    return text.replace('encoding="UTF-8"', 'encoding="utf-16"').encode("utf-16")


# Every way in which the same text comes from a package, by name.
PACKINGS: dict[str, Callable[[str], bytes]] = {
    "utf-8": str.encode,
    "utf-8 with byte order mark": lambda text: text.encode("utf-8-sig"),
    "utf-8 that declares utf-16": lambda text: text.replace('encoding="UTF-8"', 'encoding="utf-16"').encode(),
    "utf-8 after blank lines": lambda text: b"\r\n \t" + text.encode(),
    "utf-16 with byte order mark": _utf16,
    "utf-16 big-endian with byte order mark": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "utf-16 without byte order mark": lambda text: text.encode("utf-16-le"),
    "utf-16 big-endian without byte order mark": lambda text: text.encode("utf-16-be"),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64 in lines": lambda text: base64.encodebytes(text.encode()).replace(b"\n", b"\r\n"),
    "base64 with byte order mark": lambda text: base64.b64encode(text.encode()).decode().encode("utf-8-sig"),
    "base64 of utf-8 with byte order mark": lambda text: base64.b64encode(text.encode("utf-8-sig")),
    "base64 of utf-16": lambda text: base64.b64encode(_utf16(text)),
    "base64 of utf-16 without byte order mark": lambda text: base64.b64encode(text.encode("utf-16-le")),
    "zip": lambda text: zipped(("salaris.xml", text.encode())),
    "zip of utf-16": lambda text: zipped(("salaris.xml", _utf16(text))),
    "base64 of zip": lambda text: base64.b64encode(zipped(("salaris.xml", text.encode()))),
}
