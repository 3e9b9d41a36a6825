"""What waits for what when money can move."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import sqlalchemy as sa

from app.core.database import transaction
from app.payments.locks import lock_administration
from app.payments.models import DebtorAccount
from tests.support.house import SECOND_IBAN, House, add_account
from tests.support.waiting import until_somebody_waits


def test_an_approval_waits_for_one_from_another_account_of_the_employer(house: House) -> None:
    """Two batches that pay the same people from two accounts are approved one after the other, never side by side."""
    other = add_account(house.boss, house.employer_id, iban=SECOND_IBAN)
    batch = house.uploaded_batch()

    with ThreadPoolExecutor(1) as pool:
        with transaction(house.ctx.engine) as session:
            session.execute(sa.select(DebtorAccount.id).where(DebtorAccount.id == other).with_for_update())
            approving = pool.submit(house.boss.approve, batch)
            until_somebody_waits(house.ctx.engine)
            assert not approving.done()

        assert approving.result().status_code == 201


def test_who_takes_a_reading_in_keeps_nobody_from_writing_a_batch_twice(house: House) -> None:
    """PostgreSQL looks at the keys of a row that one transaction writes twice: that must not wait for a reading.

    Who writes holds the account, for which the reading waits next: they would wait for each other.
    """
    batch = house.uploaded_batch()
    write = sa.text("UPDATE payment_batch SET expiry_warnings = :n WHERE id = :id")

    with transaction(house.ctx.engine) as reading, transaction(house.ctx.engine) as writing:
        lock_administration(reading, UUID(house.administration_id))
        writing.execute(sa.text("SET LOCAL lock_timeout = '3s'"))
        written = [writing.execute(write, {"n": n, "id": batch["id"]}).rowcount for n in (1, 2)]  # type: ignore[attr-defined]

    assert written == [1, 1]
