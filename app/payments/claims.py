"""Claims: the unique right to pay an obligation once.

Taken at the last needed approval, released only by a recorded fact, never deleted. The database's unique indexes are
the last word: at most one live or spent claim an obligation, one row an attempt.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlmodel import Session, SQLModel, col, select

from app.core.columns import any_of
from app.core.ids import NewId
from app.payments.errors import AlreadyClaimed
from app.payments.lines import Line
from app.payments.models import Claim, ClaimState, ClaimWay, CreditTransfer, PaymentBatch

HELD_STATES = (ClaimState.LIVE, ClaimState.SPENT)
_TAKEN = ("state", "batch_id", "debtor_account_id", "requested_execution_date", "amount_cents", "taken_at", "way")


def next_attempts(session: Session, obligation_ids: Sequence[UUID]) -> Mapping[UUID, int]:
    """Return the attempt that a new claim on each obligation would have.

    It rises only after a release that followed a hand-out: a file that never left may be approved again under the same
    end-to-end id, one that may lie at the bank never.
    """
    last = select(Claim.obligation_id, Claim.attempt, Claim.was_handed_out, Claim.state).where(
        any_of(col(Claim.obligation_id), obligation_ids)
    )
    attempts = dict.fromkeys(obligation_ids, 1)
    for obligation_id, attempt, was_handed_out, _ in session.exec(last):
        wanted = attempt + 1 if was_handed_out else attempt
        attempts[obligation_id] = max(attempts[obligation_id], wanted)
    return attempts


def held(session: Session, obligation_ids: Sequence[UUID]) -> set[UUID]:
    """Return those of the obligations that are live or spent: being paid, or paid."""
    statement = select(Claim.obligation_id).where(
        any_of(col(Claim.obligation_id), obligation_ids), col(Claim.state).in_(HELD_STATES)
    )
    return set(session.exec(statement))


def refuse_held(session: Session, obligation_id: UUID) -> None:
    """Refuse to offer a line that another batch is paying or has paid: `AlreadyClaimed`, with that batch."""
    paying = session.exec(
        select(Claim.batch_id).where(Claim.obligation_id == obligation_id, col(Claim.state).in_(HELD_STATES))
    ).first()
    if paying is not None:
        raise AlreadyClaimed(
            "This line is being paid, was paid, or was closed as not owed; it stays left out here.",
            extra={"payment_batch_id": str(paying)},
        )


def take(session: Session, batch: PaymentBatch, transfers: Iterable[Line], *, now: datetime, new_id: NewId) -> None:
    """Take the claims of these lines for the batch; `AlreadyClaimed` when one of them is live or spent elsewhere.

    In the order of obligations, so that two batches that share some never wait for each other in a circle.
    """
    rows = sorted(transfers, key=lambda row: row.obligation_id)
    values = [_claim_values(row, batch, now=now, new_id=new_id) for row in rows]
    revived = _revive(session, values)
    missing = [value for value in values if value["obligation_id"] not in revived]
    taken = len(revived) + _insert(session, missing)
    if taken != len(values):
        raise AlreadyClaimed(
            f"{len(values) - taken} lines of this batch are being paid, or were paid, by another batch. "
            "Look at the batch again and exclude them."
        )


def _insert(session: Session, values: Sequence[Mapping[str, Any]]) -> int:
    """Insert claims, in this order; return how many: those of an obligation that is held already are left out.

    One array a column: a parameter for each value would take several times as long.
    """
    claim = SQLModel.metadata.tables["claim"]
    columns = [column for column in claim.columns if values and column.name in values[0]]
    if not columns:
        return 0
    arrays = [sa.literal([value[column.name] for value in values], ARRAY(column.type)) for column in columns]
    rows = (
        sa.func.unnest(*arrays)
        .table_valued(*(sa.column(column.name, column.type) for column in columns), with_ordinality="place")
        .render_derived()
    )
    ordered = sa.select(*(rows.c[column.name] for column in columns)).order_by(rows.c.place)
    statement = insert(claim).from_select([column.name for column in columns], ordered).on_conflict_do_nothing()
    return len(session.execute(statement.returning(claim.c.id)).all())


def _revive(session: Session, values: Sequence[Mapping[str, Any]]) -> set[UUID]:
    """Take again, in place, the claims of this attempt that were released without ever leaving the house."""
    by_key = {(value["obligation_id"], value["attempt"]): value for value in values}
    released = session.exec(
        select(Claim)
        .where(
            any_of(col(Claim.obligation_id), [obligation_id for obligation_id, _ in by_key]),
            Claim.state == ClaimState.RELEASED,
            col(Claim.was_handed_out).is_(False),
        )
        .order_by(col(Claim.id))
        .with_for_update()
    ).all()
    revived = set()
    for claim in released:
        value = by_key.get((claim.obligation_id, claim.attempt))
        if value is None:
            continue
        for name in _TAKEN:
            setattr(claim, name, value[name])
        claim.released_at = claim.release_fact = None
        session.add(claim)
        revived.add(claim.obligation_id)
    session.flush()
    return revived


def _claim_values(row: CreditTransfer | Line, batch: PaymentBatch, *, now: datetime, new_id: NewId) -> dict[str, Any]:
    return {
        "id": new_id(),
        "obligation_id": row.obligation_id,
        "attempt": row.attempt,
        "state": ClaimState.LIVE,
        "batch_id": batch.id,
        "debtor_account_id": batch.debtor_account_id,
        "requested_execution_date": batch.requested_execution_date,
        "amount_cents": row.amount_cents,
        "taken_at": now,
        "was_handed_out": False,
        "way": ClaimWay.FILE,
    }


def release(
    session: Session, batch_id: UUID, *, fact: str, now: datetime, obligations: Sequence[UUID] | None = None
) -> int:
    """Release the live claims of a batch, or of some obligations, because of a recorded fact; return how many."""
    claims = _of_batch(session, batch_id, (ClaimState.LIVE,), obligations)
    for claim in claims:
        claim.state, claim.released_at, claim.release_fact = ClaimState.RELEASED, now, fact
        session.add(claim)
    session.flush()
    return len(claims)


def release_spent(session: Session, batch_id: UUID, *, fact: str, now: datetime, obligations: Sequence[UUID]) -> int:
    """Release spent claims: the money came back, or the statement that closed them was wrong."""
    claims = _of_batch(session, batch_id, HELD_STATES, obligations)
    for claim in claims:
        claim.state, claim.released_at, claim.release_fact = ClaimState.RELEASED, now, fact
        claim.was_handed_out = True
        session.add(claim)
    session.flush()
    return len(claims)


def spend(session: Session, batch_id: UUID, obligations: Sequence[UUID]) -> int:
    """Mark live claims as spent: these obligations are paid. Return how many."""
    claims = _of_batch(session, batch_id, (ClaimState.LIVE,), obligations)
    for claim in claims:
        claim.state = ClaimState.SPENT
        session.add(claim)
    session.flush()
    return len(claims)


def close(
    session: Session, batch: PaymentBatch, row: CreditTransfer, *, way: ClaimWay, now: datetime, new_id: NewId
) -> None:
    """Claim an obligation as settled without a file: paid by other means, or not owed. `AlreadyClaimed` otherwise.

    The same unique index that keeps two files from paying one obligation keeps a file from paying this one. An
    obligation of zero or less takes no claim: it can never be paid.
    """
    if row.amount_cents <= 0:
        return
    attempt = next_attempts(session, [row.obligation_id])[row.obligation_id]
    values = _claim_values(row, batch, now=now, new_id=new_id)
    values |= {"state": ClaimState.SPENT, "way": way, "attempt": attempt}
    if _revive(session, [values]):
        return
    statement = insert(Claim).values(values).on_conflict_do_nothing().returning(col(Claim.id))
    if session.execute(statement).first() is None:
        raise AlreadyClaimed("This line is being paid, or was paid; nothing was changed.")


def _of_batch(
    session: Session, batch_id: UUID, states: Sequence[ClaimState], obligations: Sequence[UUID] | None
) -> Sequence[Claim]:
    statement = (
        select(Claim)
        .where(Claim.batch_id == batch_id, col(Claim.state).in_(states))
        .order_by(col(Claim.id))
        .with_for_update()
    )
    if obligations is not None:
        statement = statement.where(any_of(col(Claim.obligation_id), obligations))
    return session.exec(statement).all()


def mark_handed_out(session: Session, batch_id: UUID, obligations: Sequence[UUID]) -> None:
    """Remember that the bank may have seen these claims: from now on a release makes the attempt rise."""
    session.execute(
        sa.update(Claim)
        .where(
            col(Claim.batch_id) == batch_id,
            col(Claim.state) == ClaimState.LIVE,
            any_of(col(Claim.obligation_id), obligations),
        )
        .values(was_handed_out=True)
    )


def used_cents(session: Session, account_id: UUID, *, first: date, last: date) -> int:
    """Return the cents of live and spent claims on an account with an execution date in these days, both included."""
    statement = sa.select(sa.func.coalesce(sa.func.sum(col(Claim.amount_cents)), 0)).where(
        col(Claim.debtor_account_id) == account_id,
        col(Claim.requested_execution_date).between(first, last),
        col(Claim.state).in_(HELD_STATES),
        col(Claim.way) == ClaimWay.FILE,
    )
    return int(session.execute(statement).scalar_one())
