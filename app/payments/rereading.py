"""Bringing a pending batch in line with a new reading of its run."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from app.core.columns import any_of
from app.payments import line_rows, lines, making, waiting
from app.payments.context import Context
from app.payments.lines import Line
from app.payments.making import Setting, obligations_in
from app.payments.models import CLOSED, BatchKind, BatchStatus, CreditTransfer, Decision, PaymentBatch
from app.payments.obligations import OwedLine
from app.payments.waiting import GONE

_STAYS_AS_IT_IS = frozenset({GONE, *(status.value for status in CLOSED)})


# Ids and dates of the document are not what is paid: another one makes no new revision.
_NOT_PAID = ("source_end_to_end_id", "source_execution_date")
_WAITING = ("hold_code", "decision")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rewritten:
    """A line that is in the document, and the columns that differ now."""

    row: Line
    names: frozenset[str]

    @property
    def is_changed(self) -> bool:
        return not self.names.issubset(_NOT_PAID)


def rewrite_batch(
    ctx: Context, session: Session, batch: PaymentBatch, setting: Setting, owed: Sequence[OwedLine]
) -> Mapping[str, int] | None:
    """Write what the source says now on the lines of a pending batch; return how many changed, None when none did.

    Unchanged lines keep date, account, decisions and consent. When lines did change, the caller makes a new revision.
    """
    before = {row.obligation_id: row for row in lines.of_batch(session, batch.id)}
    mine = _of_this_batch(session, batch, setting, before, owed)
    there = [line for line in mine if line.obligation_id in before]
    added = [line for line in mine if line.obligation_id not in before]
    rewritten = _rewrite(session, setting, before, there)
    gone = _mark_gone(session, before, {line.obligation_id for line in mine})
    session.execute(
        sa.update(PaymentBatch)
        .where(col(PaymentBatch.id) == batch.id)
        .values(source_equal_at=setting.reading.row.fetched_at, reading_id=setting.reading.row.id)
    )
    session.refresh(batch)
    changed = sum(each.is_changed for each in rewritten)
    if not (changed or added or gone):
        return None
    if added:
        waits = waiting.reasons_to_wait(session, setting.run, added)
        last = max(row.position for row in before.values())
        line_rows.insert_lines(ctx, session, batch, added, waits, first_position=last + 1)
        if not setting.reading.offer_again:
            _keep_decisions(session, batch, added)
        elif making.puts_back(session, batch.run_id, added):
            batch.edited_by = setting.reading.actor.id
            session.add(batch)
    return {"changed": changed, "added": len(added), "gone": gone}


def _of_this_batch(
    session: Session, batch: PaymentBatch, setting: Setting, before: Container[UUID], owed: Sequence[OwedLine]
) -> list[OwedLine]:
    """Return the lines that this batch has, and those that no other batch of the run has or pays.

    What a batch had that gave way to this one is its own. What stands in one that a person, time or the source ended
    comes back when a person offers the run again, not by being read once more.
    """
    statement = select(PaymentBatch.id).where(PaymentBatch.run_id == batch.run_id, PaymentBatch.id != batch.id)
    if batch.kind != BatchKind.FOLLOW_UP:
        ended = col(PaymentBatch.status).in_(making.ENDED_WITHOUT_FILE)
        statement = statement.where(~(ended if setting.reading.offer_again else _gave_way(batch)))
    taken = obligations_in(session, session.exec(statement).all())
    taken |= making.settled(session, batch.run_id, [line.obligation_id for line in owed])
    return [line for line in owed if line.obligation_id in before or line.obligation_id not in taken]


def _gave_way(batch: PaymentBatch) -> sa.ColumnElement[bool]:
    """Say in SQL whether a batch of the run is a newer one that gave way when this one was recalled."""
    is_newer = col(PaymentBatch.created_at) >= batch.created_at
    return sa.and_(col(PaymentBatch.status) == BatchStatus.SUPERSEDED, is_newer)


def _keep_decisions(session: Session, batch: PaymentBatch, added: Sequence[OwedLine]) -> None:
    """What people held or left out in the batch that gave way stays so: reading a run puts nothing back."""
    there, mine = aliased(CreditTransfer), col(CreditTransfer.obligation_id)
    gave_way = select(PaymentBatch.id).where(
        PaymentBatch.run_id == batch.run_id, PaymentBatch.id != batch.id, _gave_way(batch)
    )
    session.execute(
        sa.update(CreditTransfer)
        .where(
            col(CreditTransfer.batch_id) == batch.id,
            any_of(mine, [line.obligation_id for line in added]),
            col(there.obligation_id) == mine,
            col(there.batch_id).in_(gave_way),
            sa.or_(
                col(there.decision) == Decision.EXCLUDE,
                sa.and_(col(there.decision) == Decision.HOLD, col(there.hold_code).is_(None)),
            ),
        )
        .values(decision=there.decision, decision_reason=there.decision_reason)
        .execution_options(synchronize_session=False)
    )
    session.expire_all()


def _rewrite(
    session: Session, setting: Setting, before: Mapping[UUID, Line], there: Sequence[OwedLine]
) -> list[_Rewritten]:
    """Write what the source says now on lines that are there; return those on which it says anything else."""
    back = [line for line in there if before[line.obligation_id].hold_code == GONE]
    waits = waiting.reasons_to_wait(session, setting.run, back)
    rewritten = []
    for line in there:
        row = before[line.obligation_id]
        names = _update(row, line, waits=waits.get(line.obligation_id))
        if names:
            rewritten.append(_Rewritten(row=row, names=names))
    changed = [each.row for each in rewritten if each.is_changed]
    lines.store(session, changed, *line_rows.SOURCE_COLUMNS, *_WAITING)
    lines.store(session, [each.row for each in rewritten if not each.is_changed], *_NOT_PAID)
    return rewritten


def _update(row: Line, line: OwedLine, *, waits: str | None) -> frozenset[str]:
    """Put what the source says now on a line; a kind that a person chose stays. Return the columns that differed.

    `waits` is why a line that is back must wait for people.
    """
    values = line_rows.source_values(line)
    if row.hold_code == GONE:
        # What a person decided on before it went is decided on again: an exclusion does not end by itself.
        is_held = waits is not None or row.decision_reason is not None
        values |= {"hold_code": waits, "decision": Decision.HOLD if is_held else Decision.PAY}
    values = {name: value for name, value in values.items() if getattr(row, name) != value}
    for name, value in values.items():
        setattr(row, name, value)
    return frozenset(values)


def _mark_gone(session: Session, before: Mapping[UUID, Line], present: Container[UUID]) -> int:
    gone = [
        row for identifier, row in before.items() if identifier not in present and row.hold_code not in _STAYS_AS_IT_IS
    ]
    for row in gone:
        row.hold_code, row.decision = GONE, Decision.EXCLUDE
    lines.store(session, gone, *_WAITING)
    return len(gone)
