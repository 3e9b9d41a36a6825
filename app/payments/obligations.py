"""The lines of a document as they will be written, each with its obligation: what is owed to somebody once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlmodel import Session, select

from app.core.copying import copy_rows
from app.payments import rules
from app.payments.context import Context
from app.payments.models import Obligation, PayrollRun, RememberedKind
from app.payments.ports import SourceBatch, SourceInstruction, SourceTransfer
from app.payments.rules import WrittenLine


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedLine:
    """A line as the source gave it and as it will be written; account and date are those of its payment block."""

    obligation_id: UUID
    transfer: SourceTransfer
    written: WrittenLine
    debtor_iban: str
    execution_date: date | None

    @property
    def amount_cents(self) -> int:
        """The amount in cents; an amount that cannot be read never gets here, the totals do not add up then."""
        return self.transfer.amount_cents or 0


_Prepared = tuple[SourceTransfer, WrittenLine, SourceInstruction]


def owed_lines(
    ctx: Context, session: Session, run: PayrollRun, document: SourceBatch, *, reading_id: UUID
) -> list[OwedLine]:
    """Return the lines with their obligations, which are made where they do not exist yet."""
    kinds = _known_kinds(session, run.administration_id)
    prepared = [
        (transfer, _written(transfer, block, kinds), block)
        for block in document.instructions
        for transfer in block.transfers
    ]
    return [
        OwedLine(
            obligation_id=identifier,
            transfer=transfer,
            written=written,
            debtor_iban=block.debtor_iban,
            execution_date=block.requested_execution_date,
        )
        for identifier, (transfer, written, block) in zip(
            _obligation_ids(ctx, session, run, prepared, reading_id=reading_id), prepared, strict=True
        )
    ]


def _written(transfer: SourceTransfer, block: SourceInstruction, kinds: Mapping[str, str]) -> WrittenLine:
    purpose = block.purpose_of(transfer)
    written = rules.write_line(transfer, category_purpose=purpose, known_kind=None)
    kind = kinds.get(written.creditor)
    if kind is None:
        return written
    return rules.write_line(transfer, category_purpose=purpose, known_kind=kind)


def _known_kinds(session: Session, administration_id: UUID) -> dict[str, str]:
    """Return the kinds that people chose before in this administration, by creditor account."""
    rows = session.exec(
        select(RememberedKind.creditor, RememberedKind.kind).where(
            RememberedKind.administration_id == administration_id
        )
    )
    return dict(rows.all())


# As `_obligation_ids` gives them; the middle three are the key.
_COLUMNS = (
    *("id", "administration_id", "run_id", "employer_id", "year", "period"),
    *("creditor", "amount_cents", "n"),
    *("first_reading_id", "created_at"),
)


def _obligation_ids(
    ctx: Context, session: Session, run: PayrollRun, lines: Sequence[_Prepared], *, reading_id: UUID
) -> list[UUID]:
    keys = _keys(lines)
    statement = select(Obligation.id, Obligation.creditor, Obligation.amount_cents, Obligation.n).where(
        Obligation.run_id == run.id
    )
    known = {(creditor, cents, n): identifier for identifier, creditor, cents, n in session.exec(statement)}
    fresh = {key: ctx.new_id() for key in keys if key not in known}
    before = (run.administration_id, run.id, run.employer_id, run.year, run.period_start)
    after = (reading_id, ctx.now())
    rows = ((identifier, *before, *key, *after) for key, identifier in fresh.items())
    copy_rows(session, "obligation", _COLUMNS, rows)
    return [known.get(key) or fresh[key] for key in keys]


def _keys(lines: Sequence[_Prepared]) -> list[tuple[str, int, int]]:
    """Return (creditor, cents, n) of each line: equal payments are told apart by n, in the order of their texts."""
    order = sorted(range(len(lines)), key=lambda index: (lines[index][0].remittance_text, lines[index][0].position))
    seen: dict[tuple[str, int], int] = {}
    keys: dict[int, tuple[str, int, int]] = {}
    for index in order:
        transfer, written, _ = lines[index]
        pair = (written.creditor, transfer.amount_cents or 0)
        seen[pair] = seen.get(pair, 0) + 1
        keys[index] = (*pair, seen[pair])
    return [keys[index] for index in range(len(lines))]
