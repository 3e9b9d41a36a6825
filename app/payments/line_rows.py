"""Lines of a document as rows of a batch."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlmodel import Session

from app.core.copying import copy_rows
from app.payments import claims, identifiers, rules
from app.payments.context import Context
from app.payments.lines import Line
from app.payments.models import CreditTransfer, Decision, PaymentBatch, TransferKind, TransferStatus
from app.payments.obligations import OwedLine
from app.payments.ports import RemittanceKind

# What a new reading may change on a line of the same obligation, as `source_values` gives it.
SOURCE_COLUMNS = (
    *("kind", "currency", "creditor_name", "creditor_name_original", "creditor_iban", "creditor_bic"),
    *("remittance_kind", "remittance_text", "remittance_text_original", "reference_type", "reference_issuer"),
    *("source_end_to_end_id", "source_debtor_iban", "source_creditor_bic", "source_execution_date"),
)
_COLUMNS = (
    *("id", "batch_id", "obligation_id", "position", "status", "decision", "hold_code", "attempt", "end_to_end_id"),
    "amount_cents",
    *SOURCE_COLUMNS,
)


def insert_lines(
    ctx: Context,
    session: Session,
    batch: PaymentBatch,
    lines: Sequence[OwedLine],
    waiting: Mapping[UUID, str],
    *,
    first_position: int,
) -> None:
    """Write lines of a document as lines of a batch; `waiting` says why some must wait for a person."""
    attempts = claims.next_attempts(session, [line.obligation_id for line in lines])
    rows = (_values(ctx, batch, line, waiting.get(line.obligation_id), attempts[line.obligation_id]) for line in lines)
    numbered = ({**row, "position": position} for position, row in enumerate(rows, start=first_position))
    copy_rows(session, "credit_transfer", _COLUMNS, ([row[name] for name in _COLUMNS] for row in numbered))


def _values(ctx: Context, batch: PaymentBatch, line: OwedLine, hold_code: str | None, attempt: int) -> dict[str, Any]:
    """Return a line as `revising` will leave it unless it finds an error, so that it has nothing to write anew."""
    cents = line.amount_cents
    # A line of nothing or less is never payable, not even until it is judged: the table itself refuses that.
    pays = TransferStatus.PAYABLE if cents > 0 else TransferStatus.INVALID
    return {
        "id": ctx.new_id(),
        "batch_id": batch.id,
        "obligation_id": line.obligation_id,
        "status": TransferStatus.HELD if hold_code else pays,
        "decision": Decision.HOLD if hold_code else Decision.PAY,
        "hold_code": hold_code,
        "attempt": attempt,
        "end_to_end_id": identifiers.end_to_end_id(ctx.identifier_secret, line.obligation_id, attempt),
        "amount_cents": cents,
        **source_values(line),
    }


def source_values(line: OwedLine) -> dict[str, Any]:
    """Return the columns that a new reading may change on a line of the same obligation."""
    written, transfer = line.written, line.transfer
    return {
        "kind": written.kind,
        "currency": transfer.currency,
        "creditor_name": written.creditor_name,
        "creditor_name_original": transfer.creditor_name,
        "creditor_iban": written.creditor_iban,
        "creditor_bic": written.creditor_bic,
        "remittance_kind": written.remittance_kind,
        "remittance_text": written.remittance_text,
        "remittance_text_original": transfer.remittance_text,
        "reference_type": written.reference_type,
        "reference_issuer": written.reference_issuer,
        "source_end_to_end_id": transfer.end_to_end_id,
        "source_debtor_iban": line.debtor_iban,
        "source_creditor_bic": transfer.creditor_bic,
        "source_execution_date": line.execution_date,
    }


def rewrite_text(row: CreditTransfer | Line) -> None:
    """Write the remittance text of a line anew by the rules of its kind, from what the source gave."""
    if row.remittance_kind == RemittanceKind.STRUCTURED:
        return
    text = rules.written_text(row.remittance_text_original, TransferKind(row.kind))
    row.remittance_text = text
    row.remittance_kind = RemittanceKind.UNSTRUCTURED if text else RemittanceKind.NONE
