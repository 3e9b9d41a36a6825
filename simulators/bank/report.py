"""Writes a status report as pain.002, in the versions .03, .10 and .12.

They name the same elements in the same order; they differ in the tag of a BIC, in the place of a day, and in a step
between a party's role and its name. .03 has closed lists of statuses, without ACCC, PATC and those of name checks:
banks that send these in .03 break the schema, and so does this one when it is asked to.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lxml import etree

from simulators.bank.clock import AMSTERDAM
from simulators.bank.order import PaymentOrder, euros
from simulators.bank.status import BatchStatus, LineStatus, Status, StatusReport

OLD: Final = "pain.002.001.03"
_LONGEST_TEXT: Final = 105
_BIC: Final = "BANKNL2A"


def write_report(report: StatusReport, order: PaymentOrder, *, version: str, report_id: str, now: datetime) -> bytes:
    """The report as UTF-8 XML. `order` is what it is about; counts and sums are repeated from it."""
    space = f"urn:iso:std:iso:20022:tech:xsd:{version}"
    document = etree.Element(f"{{{space}}}Document", nsmap={None: space})  # type: ignore[dict-item]  # the stubs know no default namespace
    top = _Element(element=etree.SubElement(document, f"{{{space}}}CstmrPmtStsRpt"), version=version)
    header = top.add("GrpHdr")
    header.add("MsgId", report_id)
    header.add("CreDtTm", now.astimezone(AMSTERDAM).replace(tzinfo=None).isoformat(timespec="seconds"))
    header.add("DbtrAgt").add("FinInstnId").add("BIC" if version == OLD else "BICFI", _BIC)
    group = top.add("OrgnlGrpInfAndSts")
    group.add("OrgnlMsgId", report.message_id)
    group.add("OrgnlMsgNmId", order.schema)
    group.add("OrgnlNbOfTxs", str(order.count))
    group.add("OrgnlCtrlSum", euros(order.cents))
    if report.group is not None:
        group.add("GrpSts", report.group.code)
        _reason(group, report.group)
    for batch in report.batches:
        _batch(top, batch)
    return etree.tostring(document, xml_declaration=True, encoding="UTF-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Element:
    """An element of a report, to which others are added in order."""

    element: etree._Element
    version: str

    def add(self, name: str, text: str | None = None, **attributes: str) -> "_Element":
        space = etree.QName(self.element).namespace
        added = etree.SubElement(self.element, f"{{{space}}}{name}", attributes)
        added.text = text
        return _Element(element=added, version=self.version)


def _batch(top: _Element, said: BatchStatus) -> None:
    block = top.add("OrgnlPmtInfAndSts")
    if said.names_batch:
        block.add("OrgnlPmtInfId", said.batch.payment_information_id)
    block.add("OrgnlNbOfTxs", str(len(said.batch.transfers)))
    block.add("OrgnlCtrlSum", euros(said.batch.cents))
    if said.status is not None:
        block.add("PmtInfSts", said.status.code)
        _reason(block, said.status)
    for line in said.lines:
        _line(block, said, line)


def _line(block: _Element, said: BatchStatus, line: LineStatus) -> None:
    transfer = line.transfer
    block = block.add("TxInfAndSts")
    block.add("OrgnlEndToEndId", transfer.end_to_end_id)
    block.add("TxSts", line.status.code)
    _reason(block, line.status)
    repeated = block.add("OrgnlTxRef")
    repeated.add("Amt").add("InstdAmt", euros(transfer.cents), Ccy="EUR")
    day = repeated.add("ReqdExctnDt", said.batch.execution_date.isoformat() if block.version == OLD else None)
    if block.version != OLD:
        day.add("Dt", said.batch.execution_date.isoformat())
    party = repeated.add("Cdtr")
    (party if block.version == OLD else party.add("Pty")).add("Nm", transfer.name)
    repeated.add("CdtrAcct").add("Id").add("IBAN", transfer.iban)


def _reason(block: _Element, status: Status) -> None:
    if status.reason is None and not status.texts:
        return
    information = block.add("StsRsnInf")
    if status.reason is not None:
        information.add("Rsn").add("Cd", status.reason)
    for text in status.texts:
        information.add("AddtlInf", text[:_LONGEST_TEXT])
