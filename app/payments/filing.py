"""From the rows of a batch to what its digest covers and what its file holds: one order, one set of values for both."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.payments import identifiers
from app.payments.digest import DigestContent, DigestLine, LeftOut
from app.payments.models import CreditTransfer, DebtorAccount, LinkMode, PaymentBatch, TransferKind, TransferStatus
from app.payments.ports import RemittanceKind
from app.payments.sepa_model import FileContent, FileInstruction, FileTransfer

CATEGORY_PURPOSE = {TransferKind.SALARY: "SALA", TransferKind.THIRD_PARTY: None}
PAID = frozenset({TransferStatus.PAYABLE, TransferStatus.IN_FILE})


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchContent:
    """A batch with the rows that its file is made of."""

    batch: PaymentBatch
    account: DebtorAccount
    transfers: Sequence[CreditTransfer]
    acknowledgement_keys: Sequence[str]
    environment: str

    @property
    def paid(self) -> list[CreditTransfer]:
        """The lines that are paid, in file order."""
        return [transfer for _, transfers in self.instructions() for transfer in transfers]

    def instructions(self) -> list[tuple[TransferKind, list[CreditTransfer]]]:
        """Return the paid lines by instruction: salaries first, third parties apart, each in the source's order."""
        grouped = (
            (kind, [row for row in self.transfers if row.kind == kind and row.status in PAID]) for kind in TransferKind
        )
        return [(kind, rows) for kind, rows in grouped if rows]


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
        files=1,
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


def _digest_lines(content: BatchContent) -> Iterable[DigestLine]:
    for number, (kind, rows) in enumerate(content.instructions(), start=1):
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


def file_content(content: BatchContent, *, created_at: datetime) -> FileContent:
    """Return what the file of this revision holds; `created_at` is stored with it, so a repeat gives equal bytes."""
    batch, account = content.batch, content.account
    message_id = identifiers.message_id(batch.id, batch.revision, dry_run=batch.mode == LinkMode.DRY_RUN)
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
            for number, (kind, rows) in enumerate(content.instructions(), start=1)
        ],
    )


def _file_transfer(row: CreditTransfer) -> FileTransfer:
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
