"""The table of what fits which status and role, cell by cell, and the one function that moves a batch."""

from itertools import product
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import configure_mappers

from app.auth.actor import Actor
from app.auth.models import Scope
from app.core.database import transaction
from app.core.errors import NotFound, RoleMissing, ScopeMissing
from app.core.history import SYSTEM
from app.payments.context import Context
from app.payments.errors import NotAllowedNow
from app.payments.models import BatchStatus, PaymentBatch
from app.payments.not_now import explain
from app.payments.transitions import MOVES, RULES, Action, Move, MovedMeanwhile, authorise, move, reasons_against
from tests.support.house import House

configure_mappers()  # rows are made here without a session, also when these tests run alone
EMPLOYER = uuid4()
DIRECT = ("admin", "approver", "auditor")
THROUGH_OFFICE = ("admin", "preparer")

# Written out by hand, apart from the code: (statuses in which it fits, who may, the scope).
_PREPARERS = {"admin", "approver", "office_admin", "office_preparer"}
_WITH_FILE = {"approved", "delivered", "delivery_unknown", "accepted", "executed", "refused"}
EXPECTED: dict[str, tuple[set[str], set[str], str]] = {
    "edit": ({"pending"}, _PREPARERS, "prepare"),
    "decide": ({"pending"}, _PREPARERS, "prepare"),
    "acknowledge": ({"pending"}, {"admin", "approver"}, "prepare"),
    "approve": ({"pending"}, {"approver"}, "approve"),
    "recall": ({"pending", "approved"}, {"approver"}, "approve"),
    "reject": ({"pending"}, {"approver"}, "prepare"),
    "cancel": ({"pending"}, _PREPARERS, "prepare"),
    "hold": ({"pending", "approved"}, _PREPARERS, "prepare"),
    "lift_hold": ({"pending", "approved"}, {"admin", "approver"}, "approve"),
    "reissue": ({"approved"}, {"admin", "approver"}, "approve"),
    "hand_out": (_WITH_FILE, {"admin", "approver"}, "files"),
    "deliver": ({"approved"}, {"admin", "approver"}, "files"),
    "withdraw": ({"approved", "delivery_unknown"}, {"admin", "approver"}, "approve"),
    "state": (_WITH_FILE - {"executed", "refused"}, {"admin", "approver"}, "files"),
    "report": ({status.value for status in BatchStatus}, {"admin", "approver"}, "files"),
    "reveal": ({status.value for status in BatchStatus}, {"auditor"}, "read"),
}
ROLES = ("admin", "approver", "auditor", "office_admin", "office_preparer", "nobody")


def _actor(role: str, scopes: frozenset[str] = frozenset(Scope)) -> Actor:
    direct = {EMPLOYER: frozenset({role})} if role in DIRECT else {}
    office = role.removeprefix("office_")
    mandates = {EMPLOYER: frozenset({office})} if role.startswith("office_") else {}
    return Actor(
        user_id=uuid4(),
        email="a@example.com",
        name="A",
        token_id=uuid4(),
        scopes=scopes,
        employers=direct,
        mandates=mandates,
    )


def _batch(status: str) -> PaymentBatch:
    return PaymentBatch.model_construct(id=uuid4(), employer_id=EMPLOYER, status=status)


def test_every_action_is_in_the_table() -> None:
    """No action is without a row, here and in the code."""
    assert {action.value for action in Action} == set(EXPECTED) == {action.value for action in RULES}


@pytest.mark.parametrize("action", list(Action))
def test_every_cell_of_status_role_and_scope(action: Action) -> None:
    """An action is possible exactly where the table says, and the refusal names what is missing."""
    statuses, roles, scope = EXPECTED[action.value]
    for status, role in product([each.value for each in BatchStatus], ROLES):
        actor, batch = _actor(role), _batch(status)
        reasons = reasons_against(actor, batch, action)
        assert (not reasons) is (status in statuses and role in roles), (action, status, role)
        if role == "nobody":
            with pytest.raises(NotFound):
                authorise(actor, batch, action)
        elif role not in roles:
            with pytest.raises(RoleMissing):
                authorise(actor, batch, action)
        elif status not in statuses:
            with pytest.raises(NotAllowedNow):
                authorise(actor, batch, action)
        else:
            authorise(actor, batch, action)
            without = _actor(role, frozenset(Scope) - {scope})
            assert reasons_against(without, batch, action) == ["scope_missing"]
            with pytest.raises(ScopeMissing):
                authorise(without, batch, action)


@pytest.mark.parametrize("action", list(Action))
def test_a_refusal_says_when_it_is_possible_and_how_to_go_on(action: Action) -> None:
    """For every action and status: which statuses fit, which one this is, and what can be done now."""
    fitting = RULES[action].statuses
    for status in set(BatchStatus) - fitting:
        text = explain(action.value, status.value, fitting)

        assert f"this one is {status.value}. " in text
        assert all(each.value in text for each in fitting)
        assert text.endswith((".", ")."))
        assert len(text.partition(f"this one is {status.value}. ")[2]) > 10


def test_who_edits_an_approved_batch_is_told_to_recall_it(house: House) -> None:
    """The sentence that people meet most: what is approved is not changed, and how to get it back."""
    batch = house.approved()

    refused = house.boss.call(
        "PATCH",
        f"/v1/payment-batches/{batch['id']}",
        json={"requested_execution_date": "2026-11-26"},
        headers={"If-Match": f'"r{batch["revision"]}"'},
    ).json()

    assert refused["code"] == "not_allowed_now"
    assert "while a batch is pending; this one is approved" in refused["detail"]
    assert "DELETE .../approvals/mine" in refused["detail"]


def test_an_office_never_approves_hands_out_or_speaks_for_the_bank() -> None:
    """What moves money is the employer's, whatever the office may do."""
    for action in ("approve", "recall", "reissue", "hand_out", "deliver", "withdraw", "state", "report", "lift_hold"):
        assert not EXPECTED[action][1] & {"office_admin", "office_preparer"}


def test_only_listed_moves_are_made(house: House) -> None:
    """Every other move is refused and changes nothing."""
    batch_id = UUID(house.uploaded_batch()["id"])
    unlisted = [pair for pair in product(BatchStatus, BatchStatus) if pair[1] not in MOVES.get(pair[0], frozenset())]
    for before, after in unlisted:
        _force(house.ctx, batch_id, before)
        with pytest.raises(NotAllowedNow), transaction(house.ctx.engine) as session:
            move(session, session.get_one(PaymentBatch, batch_id), _step(house.ctx, after))
        with transaction(house.ctx.engine) as session:
            assert session.get_one(PaymentBatch, batch_id).status == before
    assert len(unlisted) > 90


def test_a_move_from_an_old_picture_fails(house: House) -> None:
    """Compare-and-set on status and revision: who looked before somebody else moved, moves nothing."""
    batch_id = UUID(house.uploaded_batch()["id"])
    with transaction(house.ctx.engine) as session:
        seen = session.get_one(PaymentBatch, batch_id)
        session.execute(sa.text("UPDATE payment_batch SET revision = 7"))
        step = _step(house.ctx, BatchStatus.REJECTED)
        with pytest.raises(MovedMeanwhile):
            move(session, seen, step)


def _step(ctx: Context, to: BatchStatus) -> Move:
    return Move(to=to, event="test.moved", actor=SYSTEM, now=ctx.now(), values={}, details={})


def _force(ctx: Context, batch_id: UUID, status: BatchStatus) -> None:
    with transaction(ctx.engine) as session:
        session.execute(
            sa.text("UPDATE payment_batch SET status = :status WHERE id = :id"), {"status": status, "id": batch_id}
        )
