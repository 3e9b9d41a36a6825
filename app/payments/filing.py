"""From the rows of a batch to what its digest covers and what its file holds: one order, one set of values for both."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from app.payments import identifiers
from app.payments.bank_profiles import BankProfile, profile_for
from app.payments.digest import DigestContent, DigestLine, LeftOut
from app.payments.lines import Line
from app.payments.models import DebtorAccount, LinkMode, PaymentBatch, TransferKind, TransferStatus
from app.payments.ports import RemittanceKind
from app.payments.sepa_model import FileContent, FileInstruction, FileTransfer

CATEGORY_PURPOSE = {TransferKind.SALARY: "SALA", TransferKind.THIRD_PARTY: None}
# What became of a line at the bank does not change that it stands in the file, and that it was approved.
_AT_THE_BANK = frozenset({TransferStatus.EXECUTED, TransferStatus.REFUSED, TransferStatus.RETURNED})
PAID = frozenset({TransferStatus.PAYABLE, TransferStatus.IN_FILE}) | _AT_THE_BANK
# No line takes more: fixed tags, the longest name and text, both ids, IBAN and BIC, with room for escapes.
LARGEST_LINE_BYTES = 1_000

Row = TypeVar("Row")
Instruction = tuple[TransferKind, Sequence[Line]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchContent:
    """A batch with the rows that its file is made of."""

    batch: PaymentBatch
    account: DebtorAccount
    transfers: Sequence[Line]
    acknowledgement_keys: Sequence[str]
    environment: str

    @property
    def paid(self) -> list[Line]:
        """The lines that are paid, or were written to be, in file order."""
        return [transfer for file in self.files() for _, transfers in file for transfer in transfers]

    def files(self) -> list[list[Instruction]]:
        """Return the paid lines by file and instruction: salaries first, third parties apart, in the source's order.

        One file, unless the bank takes fewer lines in one; then each is as full as it may be.
        """
        grouped = (
            (kind, [row for row in self.transfers if row.kind == kind and row.status in PAID]) for kind in TransferKind
        )
        return split([(kind, rows) for kind, rows in grouped if rows], profile_for(self.account.iban))


def split(
    instructions: Sequence[tuple[TransferKind, Sequence[Row]]], profile: BankProfile
) -> list[list[tuple[TransferKind, Sequence[Row]]]]:
    """Divide instructions over as few files as the bank's figures for lines and bytes allow, keeping their order."""
    in_file = min(profile.maximum_transactions_per_file, profile.maximum_bytes // LARGEST_LINE_BYTES)
    in_instruction = min(in_file, profile.maximum_transactions_per_instruction)
    files: list[list[tuple[TransferKind, Sequence[Row]]]] = []
    room = 0
    for kind, rows in instructions:
        start = 0
        while start < len(rows):
            if room == 0:
                files.append([])
                room = in_file
            taken = rows[start : start + min(room, in_instruction)]
            files[-1].append((kind, taken))
            start, room = start + len(taken), room - len(taken)
    return files


def digest_content(content: BatchContent) -> DigestContent:
    """Return everything an approval covers."""
    batch, account = content.batch, content.account
    return DigestContent(
        environment=content.environment,
        mode=batch.mode,
        employer_id=batch.employer_id,
        administration_id=batch.administration_id,
        run_id=batch.run_id,
        batch_id=batch.id,
        revision=batch.revision,
        debtor_iban=account.iban,
        debtor_name=account.holder_name,
        debtor_bic=account.bic,
        requested_execution_date=batch.requested_execution_date,
        schema=account.file_schema,
        batch_booking=account.batch_booking,
        files=max(1, len(content.files())),
        lines=list(_digest_lines(content)),
        left_out=[
            LeftOut(
                obligation_id=row.obligation_id, status=row.status, reason=row.decision_reason or row.hold_code or ""
            )
            for row in content.transfers
            if row.status not in PAID
        ],
        acknowledgement_keys=content.acknowledgement_keys,
    )


def approved_lines(content: BatchContent, framed: Mapping[str, Any]) -> list[DigestLine]:
    """Return the lines that were paid when this frame of a digest was kept: all that it does not name as left out.

    What became of them afterwards does not matter: one that the bank refused may have been waived since.
    """
    left_out = {each["obligation_id"] for each in framed["left_out"]}
    paid = [
        replace(row, status=TransferStatus.IN_FILE)
        for row in content.transfers
        if str(row.obligation_id) not in left_out
    ]
    return list(_digest_lines(replace(content, transfers=paid)))


def _digest_lines(content: BatchContent) -> Iterable[DigestLine]:
    instructions = [each for file in content.files() for each in file]
    for number, (kind, rows) in enumerate(instructions, start=1):
        for row in rows:
            yield DigestLine(
                obligation_id=row.obligation_id,
                attempt=row.attempt,
                end_to_end_id=row.end_to_end_id,
                instruction=number,
                name=row.creditor_name,
                iban=row.creditor_iban,
                bic=row.creditor_bic,
                amount_cents=row.amount_cents,
                remittance_kind=row.remittance_kind,
                remittance_text=row.remittance_text,
                reference_type=row.reference_type,
                reference_issuer=row.reference_issuer,
                category_purpose=CATEGORY_PURPOSE[kind],
            )


def file_contents(content: BatchContent, *, created_at: datetime) -> list[FileContent]:
    """Return what the files of this revision hold; `created_at` is stored with them, so a repeat gives equal bytes."""
    files = content.files()
    return [
        _file_content(content, instructions, part=part, parts=len(files), created_at=created_at)
        for part, instructions in enumerate(files, start=1)
    ]


def _file_content(
    content: BatchContent, instructions: Sequence[Instruction], *, part: int, parts: int, created_at: datetime
) -> FileContent:
    batch, account = content.batch, content.account
    is_dry = batch.mode == LinkMode.DRY_RUN
    message_id = identifiers.message_id(batch.id, batch.revision, dry_run=is_dry, part=part, parts=parts)
    return FileContent(
        schema=account.file_schema,
        message_id=message_id,
        created_at=created_at,
        debtor_name=account.holder_name,
        debtor_iban=account.iban,
        debtor_bic=account.bic,
        requested_execution_date=batch.requested_execution_date,
        instructions=[
            FileInstruction(
                payment_information_id=identifiers.payment_information_id(message_id, number),
                category_purpose=CATEGORY_PURPOSE[kind],
                batch_booking=account.batch_booking,
                transfers=[_file_transfer(row) for row in rows],
            )
            for number, (kind, rows) in enumerate(instructions, start=1)
        ],
    )


def _file_transfer(row: Line) -> FileTransfer:
    return FileTransfer(
        end_to_end_id=row.end_to_end_id,
        amount_cents=row.amount_cents,
        creditor_name=row.creditor_name,
        creditor_iban=row.creditor_iban,
        creditor_bic=row.creditor_bic,
        remittance_kind=RemittanceKind(row.remittance_kind),
        remittance_text=row.remittance_text,
        reference_type=row.reference_type,
        reference_issuer=row.reference_issuer,
    )
