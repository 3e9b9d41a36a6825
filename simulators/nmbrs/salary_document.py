"""The answer of SalaryDocuments_GetSEPA: a payment file made of a run's lines, with the oddities asked for."""

import base64
import io
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta

from simulators.nmbrs.data import BankAccount, Company, Line, Run, SepaDefect, SepaEncoding, SepaSettings, local_time
from simulators.nmbrs.payment_file import Instruction, Message, Transfer, write_message

# An account that no data file needs: the well-known example number under another bank's code.
_OTHER_DEBTOR_IBAN = "NL70TRIO0123456789"
_BOM = "\ufeff"


def salary_document(
    company: Company, run: Run, settings: SepaSettings, *, payment_date: date, now: datetime
) -> str | None:
    """The document as the SOAP string holds it; "" when there is nothing to pay or not yet, None for a null string.

    `now` is aware; it dates the file, so that two readings differ in their id and time as real ones do.
    """
    if SepaDefect.ABSENT in settings.defects:
        return None
    payable = [line for line in run.lines if line.is_payable]
    late = local_time(now) - run.run_at < timedelta(seconds=settings.available_after_seconds)
    if late or SepaDefect.EMPTY in settings.defects or not payable or company.bank_account is None:
        return ""
    message = _build(company, company.bank_account, run, payable, settings, payment_date=payment_date, now=now)
    return encode(write_message(_spoil_message(message, settings.defects)), settings.encoding)


def encode(xml: str, encoding: SepaEncoding) -> str:
    """The XML as text, with its declaration, in the wrapping asked for."""
    utf8 = f'<?xml version="1.0" encoding="utf-8"?>\n{xml}'
    utf16 = f'{_BOM}<?xml version="1.0" encoding="utf-16"?>\n{xml}'
    match encoding:
        case SepaEncoding.TEXT:
            return utf8
        case SepaEncoding.TEXT_BOM:
            return _BOM + utf8
        case SepaEncoding.TEXT_UTF16:
            return utf16
        case SepaEncoding.BASE64:
            return base64.b64encode(utf8.encode()).decode()
        case SepaEncoding.BASE64_UTF16:
            return base64.b64encode(utf16.encode("utf-16-le")).decode()
        case SepaEncoding.ZIP:
            return base64.b64encode(_zipped(utf8.encode())).decode()


def _zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("SEPA.xml", content)
    return buffer.getvalue()


def _build(
    company: Company,
    account: BankAccount,
    run: Run,
    payable: list[Line],
    settings: SepaSettings,
    *,
    payment_date: date,
    now: datetime,
) -> Message:
    created_at = local_time(now)
    name = account.name or company.name
    numbered = [(line, _transfer(company, run, line, position)) for position, line in enumerate(payable, start=1)]
    groups = _grouped(numbered, split=SepaDefect.TWO_INSTRUCTIONS in settings.defects or _needs_two(settings))
    identity = f"{company.number}-{run.id}-{created_at:%y%m%d%H%M%S}"
    instructions = tuple(
        Instruction(
            id=f"{identity}-{position}",
            purpose=purpose,
            execution_date=payment_date,
            debtor_name=name,
            debtor_iban=_compact(account.iban or ""),
            debtor_bic=account.bic,
            transfers=transfers,
            declared_count=len(transfers),
            declared_cents=sum(transfer.cents for transfer in transfers),
        )
        for position, (purpose, transfers) in enumerate(groups, start=1)
    )
    return Message(
        version=settings.version,
        id=identity,
        created_at=created_at,
        initiating_party=name,
        instructions=_spoil_instructions(instructions, settings.defects),
        declared_count=len(payable),
        declared_cents=sum(line.cents for line in payable),
    )


def _needs_two(settings: SepaSettings) -> bool:
    return bool(settings.defects & {SepaDefect.TWO_DATES, SepaDefect.TWO_DEBTOR_ACCOUNTS})


def _transfer(company: Company, run: Run, line: Line, position: int) -> Transfer:
    return Transfer(
        end_to_end_id=line.end_to_end_id or f"{company.number}-{run.id}-{position}",
        cents=line.cents,
        name=line.name,
        iban=_compact(line.iban or ""),
        bic=line.bic,
        remittance=line.remittance,
        reference=line.reference,
    )


def _grouped(
    numbered: list[tuple[Line, Transfer]], *, split: bool
) -> Iterable[tuple[str | None, tuple[Transfer, ...]]]:
    """One block for each purpose; where that gives one block and two are wanted, it is cut in halves."""
    purposes = dict.fromkeys(line.purpose for line, _ in numbered)
    groups = [(purpose, tuple(made for line, made in numbered if line.purpose == purpose)) for purpose in purposes]
    if split and len(groups) == 1 and len(numbered) > 1:
        purpose, transfers = groups[0]
        middle = len(transfers) // 2
        return [(purpose, transfers[:middle]), (purpose, transfers[middle:])]
    return groups


def _spoil_instructions(
    instructions: tuple[Instruction, ...], defects: frozenset[SepaDefect]
) -> tuple[Instruction, ...]:
    first, *others = instructions
    last = others.pop() if others else None
    first = replace(first, transfers=_spoil_transfers(first.transfers, defects))
    if SepaDefect.BLOCK_CONTROL_SUM_WRONG in defects:
        first = replace(first, declared_cents=first.declared_cents + 1)
    if SepaDefect.BLOCK_TRANSACTION_COUNT_WRONG in defects:
        first = replace(first, declared_count=first.declared_count + 1)
    if SepaDefect.OTHER_DEBTOR_ACCOUNT in defects:
        first = replace(first, debtor_iban=_OTHER_DEBTOR_IBAN)
    if last is None:
        return (first,)
    if SepaDefect.TWO_DATES in defects:
        last = replace(last, execution_date=last.execution_date + timedelta(days=7))
    if SepaDefect.TWO_DEBTOR_ACCOUNTS in defects:
        last = replace(last, debtor_iban=_OTHER_DEBTOR_IBAN)
    return (first, *others, last)


def _spoil_transfers(transfers: tuple[Transfer, ...], defects: frozenset[SepaDefect]) -> tuple[Transfer, ...]:
    first, *others = transfers
    if SepaDefect.INVALID_IBAN in defects:
        first = replace(first, iban=_with_wrong_check_digits(first.iban))
    if SepaDefect.NON_EUR in defects:
        first = replace(first, currency="USD")
    if SepaDefect.DUPLICATE_END_TO_END_ID in defects and others:
        others[0] = replace(others[0], end_to_end_id=first.end_to_end_id)
    return (first, *others)


def _spoil_message(message: Message, defects: frozenset[SepaDefect]) -> Message:
    if SepaDefect.CONTROL_SUM_WRONG in defects:
        message = replace(message, declared_cents=message.declared_cents + 1)
    if SepaDefect.TRANSACTION_COUNT_WRONG in defects:
        message = replace(message, declared_count=message.declared_count + 1)
    return message


def _with_wrong_check_digits(iban: str) -> str:
    """Another pair of check digits: one IBAN has one right pair, so any change is wrong."""
    wrong = "97" if iban[2:4] != "97" else "96"
    return iban[:2] + wrong + iban[4:]


def _compact(iban: str) -> str:
    return "".join(iban.split())
