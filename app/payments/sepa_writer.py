"""Writes pain.001: a template filled in, the same bytes for the same values, always.

One line of text for each payment, which keeps 3 MB files readable in an editor and a difference in one place; between
elements a line end means nothing to XML. Inside a line nothing is spaced out, so no value gains a blank.
"""

from app.core.money import CURRENCY, cents_to_text
from app.payments.ports import RemittanceKind
from app.payments.sepa_model import (
    NOT_PROVIDED,
    SCHEMA_2009,
    FileContent,
    FileInstruction,
    FileTransfer,
)


def write_file(content: FileContent) -> bytes:
    """Return the file as UTF-8 without BOM, with a double-quoted XML declaration and single line feeds as line ends.

    It judges nothing: `problems` must have been empty before, and `check_file` looks at the bytes afterwards.
    """
    lines = [_header(content)]
    for instruction in content.instructions:
        lines.append(_instruction(instruction, content))
        lines.extend(_transfer(transfer, content.schema) for transfer in instruction.transfers)
        lines.append("</PmtInf>\n")
    lines.append("</CstmrCdtTrfInitn></Document>\n")
    return "".join(lines).encode("utf-8")


def _header(content: FileContent) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:{content.schema}"><CstmrCdtTrfInitn>\n'
        f"<GrpHdr><MsgId>{_text(content.message_id)}</MsgId>"
        f"<CreDtTm>{content.created_at_local.isoformat(timespec='seconds')}</CreDtTm>"
        f"<NbOfTxs>{content.number_of_transactions}</NbOfTxs>"
        f"<CtrlSum>{cents_to_text(content.control_sum_cents)}</CtrlSum>"
        f"<InitgPty><Nm>{_text(content.debtor_name)}</Nm></InitgPty></GrpHdr>\n"
    )


def _instruction(instruction: FileInstruction, content: FileContent) -> str:
    purpose = instruction.category_purpose
    category = "" if purpose is None else f"<CtgyPurp><Cd>{_text(purpose)}</Cd></CtgyPurp>"
    day = content.requested_execution_date.isoformat()
    return (
        f"<PmtInf><PmtInfId>{_text(instruction.payment_information_id)}</PmtInfId><PmtMtd>TRF</PmtMtd>"
        f"<BtchBookg>{'true' if instruction.batch_booking else 'false'}</BtchBookg>"
        f"<NbOfTxs>{instruction.number_of_transactions}</NbOfTxs>"
        f"<CtrlSum>{cents_to_text(instruction.control_sum_cents)}</CtrlSum>"
        f"<PmtTpInf><SvcLvl><Cd>SEPA</Cd></SvcLvl>{category}</PmtTpInf>"
        f"<ReqdExctnDt>{day if content.schema == SCHEMA_2009 else f'<Dt>{day}</Dt>'}</ReqdExctnDt>"
        f"<Dbtr><Nm>{_text(content.debtor_name)}</Nm></Dbtr>"
        f"<DbtrAcct><Id><IBAN>{_text(content.debtor_iban)}</IBAN></Id></DbtrAcct>"
        f"<DbtrAgt><FinInstnId>{_debtor_agent(content)}</FinInstnId></DbtrAgt><ChrgBr>SLEV</ChrgBr>\n"
    )


def _debtor_agent(content: FileContent) -> str:
    if content.debtor_bic is None:
        return f"<Othr><Id>{NOT_PROVIDED}</Id></Othr>"
    return _bic(content.debtor_bic, content.schema)


def _transfer(transfer: FileTransfer, schema: str) -> str:
    agent = ""
    if transfer.creditor_bic is not None:
        agent = f"<CdtrAgt><FinInstnId>{_bic(transfer.creditor_bic, schema)}</FinInstnId></CdtrAgt>"
    return (
        f"<CdtTrfTxInf><PmtId><EndToEndId>{_text(transfer.end_to_end_id)}</EndToEndId></PmtId>"
        f'<Amt><InstdAmt Ccy="{CURRENCY}">{cents_to_text(transfer.amount_cents)}</InstdAmt></Amt>{agent}'
        f"<Cdtr><Nm>{_text(transfer.creditor_name)}</Nm></Cdtr>"
        f"<CdtrAcct><Id><IBAN>{_text(transfer.creditor_iban)}</IBAN></Id></CdtrAcct>"
        f"{_remittance(transfer)}</CdtTrfTxInf>\n"
    )


def _remittance(transfer: FileTransfer) -> str:
    text = _text(transfer.remittance_text)
    if transfer.remittance_kind is RemittanceKind.UNSTRUCTURED:
        return f"<RmtInf><Ustrd>{text}</Ustrd></RmtInf>"
    if transfer.remittance_kind is RemittanceKind.STRUCTURED:
        kind = f"<CdOrPrtry><Cd>{_text(transfer.reference_type or '')}</Cd></CdOrPrtry>"
        issuer = f"<Issr>{_text(transfer.reference_issuer or '')}</Issr>"
        return f"<RmtInf><Strd><CdtrRefInf><Tp>{kind}{issuer}</Tp><Ref>{text}</Ref></CdtrRefInf></Strd></RmtInf>"
    return ""


def _bic(bic: str, schema: str) -> str:
    tag = "BIC" if schema == SCHEMA_2009 else "BICFI"
    return f"<{tag}>{_text(bic)}</{tag}>"


def _text(value: str) -> str:
    """Escape what XML reserves: the only place where a value becomes XML.

    None of these characters is in the SEPA character set; the escape is there for the day that a rule fails.
    """
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
