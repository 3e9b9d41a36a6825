"""What waits for what when money can move."""

import time
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa

from app.core.database import transaction
from app.payments.models import DebtorAccount
from tests.support.house import SECOND_IBAN, House, add_account

_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
_PATIENCE_SECONDS = 30


def test_an_approval_waits_for_one_from_another_account_of_the_employer(house: House) -> None:
    """Two batches that pay the same people from two accounts are approved one after the other, never side by side."""
    other = add_account(house.boss, house.employer_id, iban=SECOND_IBAN)
    batch = house.uploaded_batch()

    with ThreadPoolExecutor(1) as pool:
        with transaction(house.ctx.engine) as session:
            session.execute(sa.select(DebtorAccount.id).where(DebtorAccount.id == other).with_for_update())
            approving = pool.submit(house.boss.approve, batch)
            _until_somebody_waits(house)
            assert not approving.done()

        assert approving.result().status_code == 201


def _until_somebody_waits(house: House) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        with house.ctx.engine.connect() as connection:
            if connection.execute(sa.text(_WAITING)).scalar_one():
                return
    message = "nobody waits for a lock"
    raise AssertionError(message)
