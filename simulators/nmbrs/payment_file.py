"""Writes a pain.001 message the way a payroll package might, right or wrong: what it is told, it writes."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from xml.sax.saxutils import escape

from simulators.nmbrs.data import SepaVersion

_ROOTS = {SepaVersion.V02: "pain.001.001.02"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One payment; the amount is in cents of `currency`."""

    end_to_end_id: str
    cents: int
    name: str
    iban: str
    bic: str | None = None
    currency: str = "EUR"
    remittance: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """A PmtInf block with the count and sum (cents) it claims."""

    id: str
    purpose: str | None
    execution_date: date
    debtor_name: str
    debtor_iban: str
    debtor_bic: str | None
    transfers: tuple[Transfer, ...]
    declared_count: int
    declared_cents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A whole message with the count and sum (cents) it claims."""

    version: SepaVersion
    id: str
    created_at: datetime
    initiating_party: str
    instructions: tuple[Instruction, ...]
    declared_count: int
    declared_cents: int


def write_message(message: Message) -> str:
    """The message as XML text without a declaration."""
    root = _ROOTS.get(message.version, "CstmrCdtTrfInitn")
    blocks = "".join(_instruction(message.version, instruction) for instruction in message.instructions)
    return (
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:{message.version}">'
        f"<{root}>{_header(message)}{blocks}</{root}></Document>"
    )


def _header(message: Message) -> str:
    old = message.version is SepaVersion.V02
    return (
        f"<GrpHdr>{_tag('MsgId', message.id)}{_tag('CreDtTm', message.created_at.isoformat(timespec='seconds'))}"
        f"{'<BtchBookg>true</BtchBookg>' if old else ''}"
        f"{_totals(message.declared_count, message.declared_cents)}{'<Grpg>MIXD</Grpg>' if old else ''}"
        f"<InitgPty>{_tag('Nm', message.initiating_party)}</InitgPty></GrpHdr>"
    )


def _instruction(version: SepaVersion, instruction: Instruction) -> str:
    day = instruction.execution_date.isoformat()
    totals = _totals(instruction.declared_count, instruction.declared_cents)
    return (
        f"<PmtInf>{_tag('PmtInfId', instruction.id)}<PmtMtd>TRF</PmtMtd>"
        f"{'' if version is SepaVersion.V02 else '<BtchBookg>true</BtchBookg>' + totals}"
        f"<PmtTpInf><SvcLvl><Cd>SEPA</Cd></SvcLvl>{_purpose(version, instruction.purpose)}</PmtTpInf>"
        f"<ReqdExctnDt>{_tag('Dt', day) if version is SepaVersion.V09 else day}</ReqdExctnDt>"
        f"<Dbtr>{_tag('Nm', instruction.debtor_name)}</Dbtr>"
        f"<DbtrAcct>{_iban(instruction.debtor_iban)}</DbtrAcct>"
        f"<DbtrAgt>{_agent(version, instruction.debtor_bic)}</DbtrAgt><ChrgBr>SLEV</ChrgBr>"
        f"{''.join(_transfers(version, instruction.transfers))}</PmtInf>"
    )


def _purpose(version: SepaVersion, code: str | None) -> str:
    if code is None:
        return ""
    return f"<CtgyPurp>{escape(code) if version is SepaVersion.V02 else _tag('Cd', code)}</CtgyPurp>"


def _transfers(version: SepaVersion, transfers: Iterable[Transfer]) -> Iterable[str]:
    for transfer in transfers:
        agent = f"<CdtrAgt>{_agent(version, transfer.bic)}</CdtrAgt>" if transfer.bic else ""
        yield (
            f"<CdtTrfTxInf><PmtId>{_tag('EndToEndId', transfer.end_to_end_id)}</PmtId>"
            f'<Amt><InstdAmt Ccy="{escape(transfer.currency)}">{_amount(transfer.cents)}</InstdAmt></Amt>{agent}'
            f"<Cdtr>{_tag('Nm', transfer.name)}</Cdtr><CdtrAcct>{_iban(transfer.iban)}</CdtrAcct>"
            f"{_remittance(version, transfer)}</CdtTrfTxInf>"
        )


def _remittance(version: SepaVersion, transfer: Transfer) -> str:
    if transfer.remittance is not None:
        return f"<RmtInf>{_tag('Ustrd', transfer.remittance)}</RmtInf>"
    if transfer.reference is None:
        return ""
    issuer = "ISO" if transfer.reference.startswith("RF") else "CUR"
    if version is SepaVersion.V02:
        inner = f"<CdtrRefTp><Cd>SCOR</Cd><Issr>{issuer}</Issr></CdtrRefTp>{_tag('CdtrRef', transfer.reference)}"
    else:
        inner = f"<Tp><CdOrPrtry><Cd>SCOR</Cd></CdOrPrtry><Issr>{issuer}</Issr></Tp>{_tag('Ref', transfer.reference)}"
    return f"<RmtInf><Strd><CdtrRefInf>{inner}</CdtrRefInf></Strd></RmtInf>"


def _agent(version: SepaVersion, bic: str | None) -> str:
    if bic:
        identification = _tag("BICFI" if version is SepaVersion.V09 else "BIC", bic)
    elif version is SepaVersion.V02:
        identification = "<PrtryId><Id>NOTPROVIDED</Id></PrtryId>"
    else:
        identification = "<Othr><Id>NOTPROVIDED</Id></Othr>"
    return f"<FinInstnId>{identification}</FinInstnId>"


def _totals(count: int, cents: int) -> str:
    return f"<NbOfTxs>{count}</NbOfTxs><CtrlSum>{_amount(cents)}</CtrlSum>"


def _iban(iban: str) -> str:
    return f"<Id>{_tag('IBAN', iban)}</Id>"


def _amount(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _tag(name: str, text: str) -> str:
    return f"<{name}>{escape(text)}</{name}>"
