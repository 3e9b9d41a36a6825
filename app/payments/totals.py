"""Whether a payroll document adds up, and whether two readings of it are the same payments. Pure."""

import hashlib
import json
from collections.abc import Sequence

from app.core.errors import Problem
from app.core.money import cents_to_text
from app.payments.ports import SourceBatch, SourceTransfer

_POSITIONS_SHOWN = 10


def totals_problems(batch: SourceBatch) -> list[Problem]:
    """Return every way in which the payments differ from the totals that the document declares; empty when it adds up.

    Lines count whatever they hold: an amount below zero counts as written; one that cannot be read counts as zero and
    is a problem by itself, since no sum says anything then. Of the group header at least one total must be there; those
    of a payment block are optional.
    """
    problems = []
    if batch.declared_count is None and batch.declared_sum_cents is None:
        message = (
            "The group header gives neither the number of payments nor their sum: there is nothing to compare with."
        )
        problems.append(Problem(pointer="/GrpHdr", code="totals_missing", message=message))
    problems += _differences("/GrpHdr", batch.declared_count, batch.declared_sum_cents, batch.transfers)
    for number, block in enumerate(batch.instructions, start=1):
        problems += _differences(f"/PmtInf/{number}", block.declared_count, block.declared_sum_cents, block.transfers)
    return problems + _unreadable_amounts(batch.transfers)


def _differences(
    place: str, declared_count: int | None, declared_cents: int | None, transfers: Sequence[SourceTransfer]
) -> list[Problem]:
    found_count = len(transfers)
    found_cents = sum(transfer.amount_cents or 0 for transfer in transfers)
    problems = []
    if declared_count is not None and declared_count != found_count:
        message = f"Declared are {declared_count} payments, found are {found_count}."
        problems.append(Problem(pointer=f"{place}/NbOfTxs", code="count_differs", message=message))
    if declared_cents is not None and declared_cents != found_cents:
        message = f"Declared is EUR {cents_to_text(declared_cents)}, found is EUR {cents_to_text(found_cents)}."
        problems.append(Problem(pointer=f"{place}/CtrlSum", code="sum_differs", message=message))
    return problems


def _unreadable_amounts(transfers: Sequence[SourceTransfer]) -> list[Problem]:
    positions = [str(transfer.position) for transfer in transfers if transfer.amount_cents is None]
    if not positions:
        return []
    shown = ", ".join(positions[:_POSITIONS_SHOWN]) + (", ..." if len(positions) > _POSITIONS_SHOWN else "")
    message = (
        f"The amount is not a number in whole cents, or far too large, in {len(positions)} payment(s): number {shown}."
    )
    return [Problem(pointer="/PmtInf", code="amount_unreadable", message=message)]


def lines_hash(batch: SourceBatch) -> str:
    """Return the SHA-256 (hex) over the sorted payments, without ids, dates, order and blocks.

    Two readings of one run have the same hash when the same accounts get the same amounts with the same names, texts
    and purposes; that is what makes readings equal.
    """
    lines = sorted(
        json.dumps(_line(transfer, block.purpose_of(transfer)), ensure_ascii=True, separators=(",", ":"))
        for block in batch.instructions
        for transfer in block.transfers
    )
    hashed = hashlib.sha256(b"loonstroom-lines-v1")
    for line in lines:
        hashed.update(b"\n" + line.encode())
    return hashed.hexdigest()


def _line(transfer: SourceTransfer, purpose: str | None) -> list[str | int | None]:
    return [
        "".join(transfer.creditor_iban.split()).upper(),
        # An amount that cannot be read still differs from another one that cannot.
        transfer.amount_text if transfer.amount_cents is None else transfer.amount_cents,
        transfer.currency,
        transfer.creditor_name,
        transfer.remittance_kind,
        transfer.remittance_text,
        purpose,
    ]


def content_key(
    batch: SourceBatch, *, year: int | None = None, period: int | None = None, run_number: int | None = None
) -> str:
    """Return by what an uploaded run is known again: year, period and number when all are given, else its lines."""
    if year is None or period is None or run_number is None:
        return f"lines-{lines_hash(batch)}"
    return f"run-{year}-{period}-{run_number}"
