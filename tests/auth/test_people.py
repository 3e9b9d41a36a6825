"""An organization always has an admin who stays, whoever changes roles at the same moment."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from uuid import UUID

import pytest
from sqlmodel import col, select

from app.auth import people
from app.auth.models import Membership, Role
from app.core.database import transaction
from app.core.errors import Conflict
from app.payments.context import Context
from tests.support.house import House, act
from tests.support.waiting import until_somebody_waits

_LAST_DAY = date(2026, 12, 31)


def _end(ctx: Context, house: House, user_id: UUID) -> None:
    with transaction(ctx.engine) as session:
        people.end_membership(session, act(ctx), user_id=user_id, organization_id=house.employer_id, role=Role.ADMIN)


def _admins_who_stay(ctx: Context, house: House) -> set[UUID]:
    with transaction(ctx.engine) as session:
        return set(
            session.exec(
                select(Membership.user_id).where(
                    Membership.organization_id == house.employer_id,
                    Membership.role == Role.ADMIN,
                    col(Membership.ends_on).is_(None),
                )
            )
        )


def test_two_admins_who_leave_at_one_moment_do_not_both_leave(house: House, ctx: Context) -> None:
    """The second one is judged after the first, and is the last admin by then."""
    other = house.second_person("admin2", Role.ADMIN)

    with ThreadPoolExecutor(1) as pool:
        with transaction(ctx.engine) as session:
            people.end_membership(
                session, act(ctx), user_id=house.boss.id, organization_id=house.employer_id, role=Role.ADMIN
            )
            leaving = pool.submit(_end, ctx, house, other.id)
            until_somebody_waits(ctx.engine)
        with pytest.raises(Conflict, match="last admin"):
            leaving.result()

    assert _admins_who_stay(ctx, house) == {other.id}


def test_the_last_admin_is_not_made_a_deputy(house: House, ctx: Context) -> None:
    """A last day for the only admin who stays would leave the employer without one after it."""
    boss = people.Known(id=house.boss.id, name="Boss")

    with pytest.raises(Conflict, match="last admin"), transaction(ctx.engine) as session:
        people.add_membership(
            session, act(ctx), user=boss, organization_id=house.employer_id, role=Role.ADMIN, ends_on=_LAST_DAY
        )

    assert _admins_who_stay(ctx, house) == {house.boss.id}


def test_who_is_not_the_last_admin_gets_a_last_day(house: House, ctx: Context) -> None:
    """Where somebody else stays, an admin may become a deputy; and a deputy may stay for good."""
    other = house.second_person("admin2", Role.ADMIN)
    boss = people.Known(id=house.boss.id, name="Boss")

    for ends_on, expected in ((_LAST_DAY, {other.id}), (None, {other.id, boss.id})):
        with transaction(ctx.engine) as session:
            people.add_membership(
                session, act(ctx), user=boss, organization_id=house.employer_id, role=Role.ADMIN, ends_on=ends_on
            )
        assert _admins_who_stay(ctx, house) == expected
