"""How far a batch is, from its files and lines: the batch shows the least advanced of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from app.core.history import HistoryActor
from app.payments.context import Context
from app.payments.models import (
    CLOSED,
    BankStatus,
    BatchStatus,
    CreditTransfer,
    PaymentBatch,
    PaymentFile,
    TransferStatus,
)
from app.payments.transitions import Move, move, tell

_LEAST_FIRST = (BatchStatus.APPROVED, BatchStatus.DELIVERY_UNKNOWN, BatchStatus.DELIVERED, BatchStatus.ACCEPTED)
_ENDED = frozenset({BatchStatus.EXECUTED, BatchStatus.REFUSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProgress:
    """One file that is not void: how far it is, and its lines by status."""

    is_delivered: bool
    is_unknown: bool
    is_accepted: bool
    lines: Mapping[str, int]

    @property
    def status(self) -> BatchStatus:
        """Where this file is, as long as lines of it are open."""
        if self.is_accepted:
            return BatchStatus.ACCEPTED
        if self.is_delivered:
            return BatchStatus.DELIVERED
        return BatchStatus.DELIVERY_UNKNOWN if self.is_unknown else BatchStatus.APPROVED


def status_of(files: Sequence[FileProgress]) -> BatchStatus:
    """Return the status of a batch with these files: refused when every line was, executed when no line is open.

    Lines that a person closed afterwards do not count: a refused batch is not executed by that.
    """
    open_files = [file for file in files if file.lines.get(TransferStatus.IN_FILE)]
    if open_files:
        return min((file.status for file in open_files), key=_LEAST_FIRST.index)
    statuses = {status for file in files for status, count in file.lines.items() if count}
    return BatchStatus.REFUSED if statuses - CLOSED <= {TransferStatus.REFUSED} else BatchStatus.EXECUTED


def settle(
    ctx: Context,
    session: Session,
    batch: PaymentBatch,
    *,
    event: str,
    actor: HistoryActor,
    details: Mapping[str, Any],
) -> None:
    """Bring the status of a batch in line with its files and lines, and tell what happened.

    A batch that ended stays as it ended, and is told whatever the bank still says of it.
    """
    session.flush()
    to = status_of(_progress(session, batch))
    if to == batch.status or batch.status in _ENDED or _is_behind(to, batch.status):
        tell(session, batch, event=event, actor=actor, now=ctx.now(), details=details)
        return
    values: dict[str, Any] = {}
    if to is BatchStatus.DELIVERED:
        values["delivered_at"] = ctx.now()
    step = Move(to=to, event=event, actor=actor, now=ctx.now(), values=values, details={**details, "was": batch.status})
    move(session, batch, step)


def _is_behind(to: BatchStatus, status: str) -> bool:
    """Say whether a batch would go back: what the bank accepted and then refuses is open until somebody frees it."""
    return to in _LEAST_FIRST and status in _LEAST_FIRST and _LEAST_FIRST.index(to) < _LEAST_FIRST.index(status)


def _progress(session: Session, batch: PaymentBatch) -> list[FileProgress]:
    counted: dict[int, dict[str, int]] = {}
    rows = session.execute(
        sa.select(col(CreditTransfer.file_n), col(CreditTransfer.status), sa.func.count())
        .where(col(CreditTransfer.batch_id) == batch.id, col(CreditTransfer.file_n).is_not(None))
        .group_by(col(CreditTransfer.file_n), col(CreditTransfer.status))
    )
    for n, status, count in rows:
        counted.setdefault(n, {})[status] = count
    files = session.exec(
        select(PaymentFile).where(PaymentFile.batch_id == batch.id, col(PaymentFile.voided_at).is_(None))
    )
    return [
        FileProgress(
            is_delivered=file.delivered_at is not None,
            is_unknown=file.unknown_since is not None,
            is_accepted=file.bank_status in (BankStatus.ACCEPTED, BankStatus.SETTLED),
            lines=counted.get(file.n, {}),
        )
        for file in files
    ]
