"""Claims and locks: the last guards between an obligation and its second payment."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlmodel import Session, select

from app.core.database import transaction
from app.payments import claims, locks
from app.payments.context import Context
from app.payments.errors import AlreadyClaimed
from app.payments.models import Claim, ClaimState, CreditTransfer, PaymentBatch
from tests.support.house import House


def _rows(session: Session, batch_id: str) -> tuple[PaymentBatch, list[CreditTransfer]]:
    batch = session.get_one(PaymentBatch, UUID(batch_id))
    return batch, list(session.exec(select(CreditTransfer).where(CreditTransfer.batch_id == batch.id)))


def _take(ctx: Context, batch_id: str) -> None:
    with transaction(ctx.engine) as session:
        batch, rows = _rows(session, batch_id)
        claims.take(session, batch, rows, now=ctx.now(), new_id=ctx.new_id)


def _obligations(session: Session, batch_id: str) -> list[UUID]:
    return [row.obligation_id for row in _rows(session, batch_id)[1]]


def _claims(ctx: Context) -> list[tuple[int, str]]:
    with transaction(ctx.engine) as session:
        return [(row.attempt, row.state) for row in session.exec(select(Claim))]


def test_an_obligation_that_is_claimed_cannot_be_claimed_again(house: House) -> None:
    """A second taking of the same obligations fails as a whole and leaves nothing behind."""
    batch = house.uploaded_batch()
    _take(house.ctx, batch["id"])

    with pytest.raises(AlreadyClaimed):
        _take(house.ctx, batch["id"])

    assert _claims(house.ctx) == [(1, "live")] * 3


def test_takers_at_once_share_nothing(house: House) -> None:
    """Sixteen takers of the same obligations at the same moment: one gets them all, the others nothing."""
    batch = house.uploaded_batch()

    def attempt(_: int) -> bool:
        try:
            _take(house.ctx, batch["id"])
        except AlreadyClaimed:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(attempt, range(16)))

    assert sum(won) == 1
    assert len(_claims(house.ctx)) == 3


@pytest.mark.parametrize(("handed_out", "attempt"), [(False, 1), (True, 2)])
def test_the_attempt_rises_only_after_a_hand_out(house: House, handed_out: bool, attempt: int) -> None:
    """A claim released before anybody could have the file is taken again; after a hand-out it is a new attempt."""
    batch = house.uploaded_batch()
    _take(house.ctx, batch["id"])
    with transaction(house.ctx.engine) as session:
        if handed_out:
            claims.mark_handed_out(session, UUID(batch["id"]), _obligations(session, batch["id"]))
        claims.release(session, UUID(batch["id"]), fact="test", now=house.ctx.now())
    with transaction(house.ctx.engine) as session:
        _, rows = _rows(session, batch["id"])
        attempts = claims.next_attempts(session, [row.obligation_id for row in rows])

    assert set(attempts.values()) == {attempt}
    assert {state for _, state in _claims(house.ctx)} == {ClaimState.RELEASED}


def test_the_database_itself_refuses_two_live_claims(house: House) -> None:
    """Also past our own code, an obligation cannot have two live or spent claims."""
    batch = house.uploaded_batch()
    _take(house.ctx, batch["id"])

    with pytest.raises(sa.exc.IntegrityError), house.ctx.engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO claim SELECT gen_random_uuid(), obligation_id, attempt + 1, 'spent', batch_id, "
                "debtor_account_id, requested_execution_date, amount_cents, taken_at, NULL, NULL, false FROM claim"
            )
        )


def test_an_approval_waits_for_the_lock_of_its_account(house: House) -> None:
    """Limits are judged under the account's lock: while another holds it, an approval waits, then goes on."""
    batch = house.uploaded_batch()
    with ThreadPoolExecutor(1) as pool:
        with transaction(house.ctx.engine) as session:
            locks.lock_accounts(session, {UUID(house.account_id)})
            waiting = pool.submit(house.boss.approve, batch)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=2)
        assert waiting.result(timeout=30).status_code == 201
