"""Row locks in the one order that everything uses, so that two acts never wait for each other in a circle.

administration (receiving) -> debtor accounts by id -> batch -> transfers -> claims by id -> history head (at commit).
"""

from collections.abc import Iterable
from uuid import UUID

from sqlmodel import Session, col, select

from app.core.errors import NotFound
from app.payments.models import Administration, DebtorAccount, PaymentBatch
from app.payments.transitions import MovedMeanwhile


def lock_administration(session: Session, administration_id: UUID) -> Administration:
    """Lock an administration: one reading of its runs is taken in at a time.

    Without its key: PostgreSQL looks at the keys that a row refers to when the row is written twice in a transaction,
    so whoever holds a batch could come to wait here for who waits for the batch.
    """
    statement = select(Administration).where(Administration.id == administration_id)
    return session.exec(statement.with_for_update(key_share=True)).one()


def lock_accounts(session: Session, account_ids: Iterable[UUID]) -> dict[UUID, DebtorAccount]:
    """Lock debtor accounts, by id: limits and claims of an account change one at a time."""
    rows = session.exec(
        select(DebtorAccount)
        .where(col(DebtorAccount.id).in_(set(account_ids)))
        .order_by(col(DebtorAccount.id))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {row.id: row for row in rows}


def lock_batch_to_pay(session: Session, batch_id: UUID) -> PaymentBatch:
    """Lock a batch that may be paid now and, before it, every debtor account of its employer.

    What looks paid already is looked for in all batches of the employer, from whatever account: two that pay the same
    people must not be approved at one instant, each before the other can be seen.
    """
    employer_id = select(PaymentBatch.employer_id).where(PaymentBatch.id == batch_id).scalar_subquery()
    accounts = session.exec(select(DebtorAccount.id).where(DebtorAccount.employer_id == employer_id)).all()
    return lock_batch(session, batch_id, also_accounts=accounts)


def lock_batch(session: Session, batch_id: UUID, *, also_accounts: Iterable[UUID] = ()) -> PaymentBatch:
    """Lock a batch and, before it, its debtor account; `MovedMeanwhile` when the account changed in between."""
    seen = session.exec(select(PaymentBatch.debtor_account_id).where(PaymentBatch.id == batch_id)).one_or_none()
    if seen is None:
        raise NotFound("No such batch.")
    lock_accounts(session, {seen, *also_accounts})
    batch = session.exec(
        select(PaymentBatch)
        .where(PaymentBatch.id == batch_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()
    if batch.debtor_account_id != seen:
        raise MovedMeanwhile("The debtor account of the batch changed at this moment; try again.")
    return batch
