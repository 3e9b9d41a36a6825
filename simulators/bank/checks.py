"""What makes this bank refuse a file that the schema allows; every reason at once.

Sources: ABN AMRO's list of common mistakes, the EPC customer-to-bank guidelines (2025), the EPC clarification on
slashes, reports of banks that refuse what others take. Codes: the ISO 20022 external code sets.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from simulators.bank.accounts import iban_fault, is_bic, is_reference
from simulators.bank.alphabet import is_identification, is_plain_moment, strange_characters
from simulators.bank.bank_days import is_bank_day
from simulators.bank.block import Block
from simulators.bank.order import Batch, PaymentOrder, Reason, Transfer
from simulators.bank.rulebook import Rulebook

_LONGEST_NAME: Final = 70
_SMALLEST, _LARGEST = Decimal("0.01"), Decimal("999999999.99")
_BICS: Final = ("BIC", "BICFI")
_DEBTOR_AGENT: Final = "DbtrAgt/FinInstnId"
_CREDITOR_AGENT: Final = "CdtrAgt/FinInstnId"
_REFERENCE: Final = "RmtInf/Strd/CdtrRefInf"


def refusals(message: Block, rules: Rulebook, today: date) -> list[Reason]:
    """Everything wrong with a message that passed the schema; empty when the bank takes it."""
    batches = message.all("PmtInf")
    found = [*_texts(message), *_header(message, batches, rules)]
    for batch in batches:
        found += _batch(batch, rules, today)
        for transfer in batch.all("CdtTrfTxInf"):
            found += _transfer(transfer)
    return [*found, *_doubled_ids(batches)]


def booked(schema: str, message: Block) -> PaymentOrder:
    """The message as values. Only for one that was not refused."""
    batches = tuple(_booked_batch(batch) for batch in message.all("PmtInf"))
    return PaymentOrder(schema=schema, message_id=message.text("GrpHdr/MsgId") or "", batches=batches)


def _booked_batch(batch: Block) -> Batch:
    return Batch(
        payment_information_id=batch.text("PmtInfId") or "",
        execution_date=date.fromisoformat(_execution_date(batch)),
        debtor_name=batch.text("Dbtr/Nm") or "",
        debtor_iban=batch.text("DbtrAcct/Id/IBAN") or "",
        category_purpose=batch.text("PmtTpInf/CtgyPurp/Cd"),
        transfers=tuple(
            Transfer(
                end_to_end_id=transfer.text("PmtId/EndToEndId") or "",
                cents=int(Decimal(transfer.text("Amt/InstdAmt") or "") * 100),
                name=transfer.text("Cdtr/Nm") or "",
                iban=transfer.text("CdtrAcct/Id/IBAN") or "",
                text=transfer.text("RmtInf/Ustrd") or transfer.text(f"{_REFERENCE}/Ref") or "",
            )
            for transfer in batch.all("CdtTrfTxInf")
        ),
    )


def _texts(message: Block) -> Iterator[Reason]:
    for element, text in message.leaves():
        if not text:
            yield message.reason("CH16", message.place(element), "an empty element")
        elif strange_characters(text):
            yield message.reason("RR10", message.place(element), "a character outside the SEPA character set")
        elif text != text.strip():
            yield message.reason("CH16", message.place(element), "a blank before or after the value")


def _header(message: Block, batches: Sequence[Block], rules: Rulebook) -> Iterator[Reason]:
    transfers = [transfer for batch in batches for transfer in batch.all("CdtTrfTxInf")]
    yield from _identifications(message, ("GrpHdr/MsgId",))
    if not is_plain_moment(message.text("GrpHdr/CreDtTm") or ""):
        yield message.reason("DT01", "GrpHdr/CreDtTm", "a creation time has whole seconds and no zone")
    yield from _totals(message, "GrpHdr/", transfers)
    if not message.text("GrpHdr/InitgPty/Nm"):
        yield message.reason("CH21", "GrpHdr/InitgPty/Nm", "who sends the file is not said")
    if len(transfers) > rules.maximum_transactions:
        yield message.reason("AM18", "GrpHdr/NbOfTxs", f"more than {rules.maximum_transactions} transactions")


def _totals(block: Block, at: str, transfers: Sequence[Block]) -> Iterator[Reason]:
    """Count and control sum stand at both levels and are right (ABN AMRO)."""
    count, total = block.text(f"{at}NbOfTxs"), block.text(f"{at}CtrlSum")
    if count != str(len(transfers)):
        yield block.reason("AM18", f"{at}NbOfTxs", f"there are {len(transfers)} transactions")
    amounts = [Decimal(transfer.text("Amt/InstdAmt") or "0") for transfer in transfers]
    if total is None or Decimal(total) != sum(amounts):
        yield block.reason("AM10", f"{at}CtrlSum", "not the sum of the amounts")


def _batch(batch: Block, rules: Rulebook, today: date) -> Iterator[Reason]:
    yield from _identifications(batch, ("PmtInfId",))
    yield from _totals(batch, "", batch.all("CdtTrfTxInf"))
    yield from _payment_type(batch)
    yield from _execution_day(batch, rules, today)
    if batch.text("PmtMtd") != "TRF":
        yield batch.reason("CH17", "PmtMtd", "only transfers (TRF)")
    if batch.text("ChrgBr") != "SLEV":
        yield batch.reason("CH16", "ChrgBr", "charges are shared (SLEV) and said at the batch")
    yield from _name(batch, "Dbtr", missing="BE08")
    yield from _account(batch, "DbtrAcct", code="AC02", rules=rules)
    agent = [batch.text(f"{_DEBTOR_AGENT}/{tag}") for tag in _BICS]
    other = batch.text(f"{_DEBTOR_AGENT}/Othr/Id")
    if not (any(bic is not None and is_bic(bic) for bic in agent) or other == "NOTPROVIDED"):
        yield batch.reason("RC01", _DEBTOR_AGENT, "a BIC, or NOTPROVIDED")


def _payment_type(batch: Block) -> Iterator[Reason]:
    """SEPA is said once, at the batch; the category purpose stands there too (SALA), and not in Purp (ABN AMRO)."""
    if batch.text("PmtTpInf/SvcLvl/Cd") != "SEPA":
        yield batch.reason("FF04", "PmtTpInf/SvcLvl/Cd", "SEPA, said at the batch")
    if batch.has("PmtTpInf/LclInstrm"):
        yield batch.reason("FF05", "PmtTpInf/LclInstrm", "no local instrument: files are ordinary transfers")
    if batch.has("PmtTpInf/CtgyPurp/Prtry"):
        yield batch.reason("FF06", "PmtTpInf/CtgyPurp", "a category purpose is a code")


def _execution_date(batch: Block) -> str:
    return batch.text("ReqdExctnDt/Dt") or batch.text("ReqdExctnDt") or ""


def _execution_day(batch: Block, rules: Rulebook, today: date) -> Iterator[Reason]:
    if batch.has("ReqdExctnDt/DtTm"):
        yield batch.reason("DT01", "ReqdExctnDt/DtTm", "a day without a time")
        return
    try:
        day = date.fromisoformat(_execution_date(batch))
    except ValueError:  # the schema allows zones and years of five digits
        yield batch.reason("DT01", "ReqdExctnDt", "not a day like 2026-11-25")
        return
    if day < today:
        yield batch.reason("CH04", "ReqdExctnDt", "the day has passed")
    elif day > today + timedelta(days=rules.horizon_days):
        yield batch.reason("CH03", "ReqdExctnDt", f"more than {rules.horizon_days} days ahead")
    elif not is_bank_day(day):
        yield batch.reason("DT01", "ReqdExctnDt", "no day on which banks settle")


def _transfer(transfer: Block) -> Iterator[Reason]:
    yield from _identifications(transfer, ("PmtId/EndToEndId", "PmtId/InstrId", f"{_REFERENCE}/Ref"))
    yield from _amount(transfer)
    yield from _name(transfer, "Cdtr", missing="BE22")
    yield from _account(transfer, "CdtrAcct", code="AC03", rules=None)
    yield from _remittance(transfer)
    for path in ("PmtTpInf", "ChrgBr"):
        if transfer.has(path):
            yield transfer.reason("CH07", path, "stands at the batch only")
    if transfer.has("Purp"):
        yield transfer.reason("FF07", "Purp", "the purpose is said at the batch, as CtgyPurp")
    agent = [transfer.text(f"{_CREDITOR_AGENT}/{tag}") for tag in _BICS]
    if transfer.has("CdtrAgt") and not any(bic is not None and is_bic(bic) for bic in agent):
        yield transfer.reason("RC01", "CdtrAgt", "a BIC, or no agent at all")


def _amount(transfer: Block) -> Iterator[Reason]:
    path = "Amt/InstdAmt"
    text = transfer.text(path)
    if text is None:
        yield transfer.reason("AM02", "Amt", "an instructed amount, no equivalent one")
        return
    amount = Decimal(text)
    if transfer.element.find(".//{*}InstdAmt[@Ccy='EUR']") is None:
        yield transfer.reason("AM03", path, "only EUR")
    if amount == 0:
        yield transfer.reason("AM01", path, "nothing to pay")
    elif not _SMALLEST <= amount <= _LARGEST or amount.as_tuple().exponent not in (0, -1, -2):
        yield transfer.reason("AM02", path, "0.01 to 999999999.99, two decimals at most")


def _name(block: Block, party: str, *, missing: str) -> Iterator[Reason]:
    name = block.text(f"{party}/Nm")
    if not name:
        yield block.reason(missing, f"{party}/Nm", "a name is missing")
    elif len(name) > _LONGEST_NAME:
        yield block.reason("CH16", f"{party}/Nm", f"more than {_LONGEST_NAME} characters")
    if block.has(f"{party}/PstlAdr/AdrLine"):  # unstructured alone since 15 November 2026; some refuse it beside towns
        yield block.reason("BE04", f"{party}/PstlAdr/AdrLine", "an address is structured")


def _account(block: Block, path: str, *, code: str, rules: Rulebook | None) -> Iterator[Reason]:
    iban = block.text(f"{path}/Id/IBAN")
    fault = "an IBAN is missing" if iban is None else iban_fault(iban)
    if fault is not None:
        yield block.reason(code, f"{path}/Id/IBAN", fault)
    elif rules is not None and rules.accounts is not None and iban not in rules.accounts:
        yield block.reason(code, f"{path}/Id/IBAN", "not an account at this bank")


def _remittance(transfer: Block) -> Iterator[Reason]:
    free, structured = len(transfer.all("RmtInf/Ustrd")), len(transfer.all("RmtInf/Strd"))
    if free + structured > 1:
        yield transfer.reason("RR07", "RmtInf", "one free text or one reference")
    if structured:
        kind, issuer = transfer.text(f"{_REFERENCE}/Tp/CdOrPrtry/Cd"), transfer.text(f"{_REFERENCE}/Tp/Issr")
        if kind != "SCOR" or not is_reference(transfer.text(f"{_REFERENCE}/Ref") or "", issuer):
            yield transfer.reason("RR07", f"{_REFERENCE}/Ref", "a reference of type SCOR that passes its own check")


def _identifications(block: Block, paths: Sequence[str]) -> Iterator[Reason]:
    for path in paths:
        if not is_identification(block.text(path) or ""):
            yield block.reason("CH16", path, "a slash at an end, or two in a row")


def _doubled_ids(batches: Sequence[Block]) -> Iterator[Reason]:
    ids = Counter(batch.text("PmtInfId") for batch in batches)
    for batch in batches:
        if ids[batch.text("PmtInfId")] > 1:
            yield batch.reason("DU02", "PmtInfId", "used twice in the file")
    transfers = [transfer for batch in batches for transfer in batch.all("CdtTrfTxInf")]
    for path, code in (("PmtId/EndToEndId", "DU04"), ("PmtId/InstrId", "DU05")):
        used = Counter(transfer.text(path) for transfer in transfers)
        for transfer in transfers:
            if (text := transfer.text(path)) is not None and used[text] > 1:
                yield transfer.reason(code, path, "used twice in the file")
