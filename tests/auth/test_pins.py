"""PINs: wrong ones are few, on a token and in a day."""

from datetime import timedelta
from uuid import UUID

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from app.auth import people, pins
from app.auth.models import Scope
from app.auth.pins import TRIES_PER_CREDENTIAL, WRONG_TRIES_PER_DAY, PinAttempt, PinIncorrect, PinLocked
from app.core.database import transaction
from tests.support.clock import FakeClock
from tests.support.house import PIN, WRONG_PIN, House, act


@pytest.fixture
def tokens(house: House) -> list[UUID]:
    """More tokens of the boss than are needed for a day of guesses."""
    with transaction(house.ctx.engine) as session:
        user = people.find_user(session, house.boss.email)
        issued = [
            people.issue_token(session, act(house.ctx), user=user, scopes=frozenset({Scope.APPROVE}), days=30)
            for _ in range(WRONG_TRIES_PER_DAY)
        ]
        return [each.row.id for each in issued]


def _try(house: House, token_id: UUID, pin: str) -> None:
    ctx = house.ctx
    attempt = PinAttempt(
        user_id=house.boss.id,
        token_id=token_id,
        pin=pin,
        secret=ctx.identifier_secret,
        now=ctx.now(),
        new_id=ctx.new_id,
    )
    pins.verify_pin(ctx.engine, attempt)


def _guess(house: House, token_id: UUID) -> None:
    with pytest.raises(PinIncorrect):
        _try(house, token_id, WRONG_PIN)


def test_twenty_wrong_pins_in_a_day_lock_the_pin_on_every_token(house: House, tokens: list[UUID]) -> None:
    """Who has many tokens has no more than twenty guesses; then the PIN itself is locked, until it is set anew."""
    for token_id in tokens:
        _guess(house, token_id)

    with pytest.raises(PinLocked) as refusal:
        _try(house, tokens[0], PIN)

    assert "user pin" in refusal.value.detail
    _set_pin_anew(house)
    _try(house, tokens[0], PIN)


def _set_pin_anew(house: House) -> None:
    with transaction(house.ctx.engine) as session:
        people.change_pin(
            session,
            act(house.ctx),
            user=people.find_user(session, house.boss.email),
            pin=PIN,
            secret=house.ctx.identifier_secret,
        )


def test_a_pin_that_was_set_anew_has_twenty_tries_of_its_own(
    house: House, tokens: list[UUID], clock: FakeClock
) -> None:
    """One slip with the new PIN does not lock it for what was guessed of the old one."""
    for token_id in tokens:
        _guess(house, token_id)
    clock.forward(minutes=1)
    _set_pin_anew(house)

    _guess(house, tokens[0])

    _try(house, tokens[1], PIN)
    for token_id in tokens[1:]:
        _guess(house, token_id)
    with pytest.raises(PinLocked):
        _try(house, tokens[0], PIN)


def test_a_locked_token_is_replaced_and_not_opened_by_another_pin(house: House, tokens: list[UUID]) -> None:
    """A PIN set anew would wait a day for nothing; a token in the place of the locked one approves at once."""
    for _ in range(TRIES_PER_CREDENTIAL):
        _guess(house, tokens[0])
    _set_pin_anew(house)

    with pytest.raises(PinLocked) as refusal:
        _try(house, tokens[0], PIN)
    with transaction(house.ctx.engine) as session:
        rotated = people.rotate_token(session, act(house.ctx), token_id=tokens[0], days=30, grace=timedelta(0))

    assert "token" in refusal.value.detail
    _try(house, rotated.row.id, PIN)


def test_wrong_pins_of_another_day_do_not_lock_the_pin(house: House, tokens: list[UUID], clock: FakeClock) -> None:
    """A person mistypes now and then; only what happens within a day is an attack."""
    for token_id in tokens[1:]:
        _guess(house, token_id)
    clock.forward(hours=25)
    _guess(house, tokens[0])

    _try(house, tokens[0], PIN)


def test_a_copy_of_the_database_does_not_tell_a_pin(house: House, tokens: list[UUID]) -> None:
    """The hash is of no use without the key that is not in the database, and of no use to another person."""
    with transaction(house.ctx.engine) as session:
        stored = people.find_user(session, house.boss.email).pin_hash or ""
    unkeyed = stored.removeprefix("hmac:")

    with pytest.raises(VerifyMismatchError):
        PasswordHasher().verify(unkeyed, PIN)
    thief = house.second_person("thief")
    with transaction(house.ctx.engine) as session:
        people.find_user(session, thief.email).pin_hash = stored
    assert thief.approve(house.uploaded_batch()).json()["code"] == "pin_incorrect"
    _try(house, tokens[0], PIN)


def test_a_hash_from_before_pins_were_keyed_is_replaced(house: House, tokens: list[UUID]) -> None:
    """It still lets its person in, and is keyed from then on."""
    with transaction(house.ctx.engine) as session:
        people.find_user(session, house.boss.email).pin_hash = PasswordHasher().hash(PIN)
    _guess(house, tokens[0])

    _try(house, tokens[0], PIN)

    with transaction(house.ctx.engine) as session:
        assert str(people.find_user(session, house.boss.email).pin_hash).startswith("hmac:$argon2id$")
    _try(house, tokens[0], PIN)
