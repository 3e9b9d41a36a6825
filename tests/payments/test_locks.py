"""What waits for what when money can move."""

from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa

from app.core.database import transaction
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
