"""How long an employer keeps its data: the default, longer at once, shorter by two people or after a day."""

from typing import Any

import pytest

from app.auth.models import Role
from app.payments import two_people
from app.payments.context import Context
from tests.support.clock import FakeClock
from tests.support.house import House, Person


def _terms(person: Person, house: House) -> tuple[int, int]:
    found = person.get(f"/v1/employers/{house.employer_id}/retention").json()
    return found["lines_months"], found["sources_months"]


def _put(person: Person, house: House, lines: int, sources: int) -> Any:
    body = {"lines_months": lines, "sources_months": sources}
    return person.call("PUT", f"/v1/employers/{house.employer_id}/retention", json=body)


def test_seven_years_and_thirteen_months_unless_told_otherwise(house: House) -> None:
    """Everybody who may look at the employer sees the terms."""
    assert house.boss.get(f"/v1/employers/{house.employer_id}/retention").json() == {
        "employer_id": str(house.employer_id),
        "lines_months": 84,
        "sources_months": 13,
        "technical_days": 90,
        "is_default": True,
    }


def test_longer_terms_hold_at_once(house: House) -> None:
    """Keeping longer erases nothing; it is in the history."""
    assert _put(house.boss, house, 120, 24).status_code == 200
    assert _terms(house.boss, house) == (120, 24)
    assert house.events()[-1] == "retention.set"


@pytest.mark.parametrize(("lines", "sources"), [(83, 13), (84, 12), (120, 3)])
def test_shorter_terms_take_a_second_admin(house: House, lines: int, sources: int) -> None:
    """Also the first setting: what is erased does not come back."""
    second = house.second_person("second", Role.ADMIN)

    asked = _put(house.boss, house, lines, sources)

    assert (asked.status_code, asked.json()["kind"]) == (202, "retention")
    assert _terms(house.boss, house) == (84, 13)
    assert _put(second, house, lines, sources).status_code == 200
    assert _terms(house.boss, house) == (lines, sources)


def test_or_a_day(house: House, ctx: Context, clock: FakeClock) -> None:
    """Time is the second pair of eyes for settings."""
    house.second_person("second", Role.ADMIN)
    assert _put(house.boss, house, 24, 3).status_code == 202
    clock.forward(hours=23, minutes=59)
    two_people.apply_due(ctx)
    assert _terms(house.boss, house) == (84, 13)
    clock.forward(minutes=1)
    two_people.apply_due(ctx)
    assert _terms(house.boss, house) == (24, 3)


@pytest.mark.parametrize(("lines", "sources"), [(23, 13), (241, 13), (84, 2), (24, 25), (0, 0), (84, 241)])
def test_terms_have_bounds(house: House, lines: int, sources: int) -> None:
    """Nobody erases what a bank may still send back, keeps for ever, or keeps raw answers longer than the lines."""
    answer = _put(house.boss, house, lines, sources)
    assert (answer.status_code, _terms(house.boss, house)) == (422, (84, 13))


def test_only_an_admin_of_the_employer_changes_them(house: House, clerk: Person) -> None:
    """An office reads them; an approver too."""
    approver = house.second_person("approver")
    for person in (clerk, approver):
        assert _put(person, house, 120, 13).status_code == 403
        assert _terms(person, house) == (84, 13)
