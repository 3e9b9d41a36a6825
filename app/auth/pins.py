"""PINs: argon2id over a keyed hash, every try counted and committed before the PIN is looked at.

A PIN has so few digits that whoever holds a copy of the database could try them all in an hour, whatever the hash. So
what is hashed is an HMAC of person and PIN, with a key that the database does not hold.

Five wrong PINs lock the credential that was used, not the person everywhere; twenty in a day lock the PIN. Counting
happens in a transaction of its own under the person's row lock, so neither a failing request, nor a crash, nor several
processes give an extra try.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from sqlalchemy import Engine
from sqlmodel import Session, col, select

from app.auth.models import ApiToken, Membership, PinTry, Role, User
from app.core.clock import amsterdam_date
from app.core.crypto import keyed_hash
from app.core.database import transaction
from app.core.errors import Forbidden, Invalid, Problem
from app.core.ids import NewId

TRIES_PER_CREDENTIAL = 5
WRONG_TRIES_PER_DAY = 20
WAITS_AFTER_CHANGE = timedelta(hours=24)
_UNDER_WAY = timedelta(seconds=30)
_PIN = re.compile(r"[0-9]{5,12}")
_TOO_SIMPLE = frozenset({"12345", "123456", "54321", "654321", "1234567", "12345678"})
_KEYED = "hmac:"  # before the argon2id hash of a keyed PIN
# OWASP's first choice for argon2id at small memory: 19 MiB, 2 passes.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


class PinIncorrect(Forbidden):
    """The PIN is wrong; the try was counted."""

    code = "pin_incorrect"
    title = "The PIN is not correct"


class PinLocked(Forbidden):
    """Too many wrong PINs on this credential, or in a day."""

    code = "pin_locked"
    title = "The PIN is locked"


class PinChangedRecently(Forbidden):
    """The PIN was changed less than a day ago and nobody else confirmed that."""

    code = "pin_changed_recently"
    title = "The PIN was changed less than a day ago"


class PinNotSet(Forbidden):
    """This person has no PIN yet."""

    code = "pin_not_set"
    title = "No PIN has been set"


@dataclass(frozen=True, slots=True, kw_only=True)
class PinAttempt:
    """One try: whose PIN, on which credential, and when. `secret` is the key that PINs are hashed with."""

    user_id: UUID
    token_id: UUID
    pin: str = field(repr=False)
    secret: bytes = field(repr=False)
    now: datetime
    new_id: NewId


def hash_pin(pin: str, *, user_id: UUID, secret: bytes) -> str:
    """Return the hash of a new PIN, good for this person only; `Invalid` when it is no good PIN."""
    if not _PIN.fullmatch(pin) or len(set(pin)) == 1 or pin in _TOO_SIMPLE:
        message = "A PIN has 5 to 12 digits, not all the same and not just counting up or down."
        raise Invalid(errors=[Problem(pointer="/pin", code="pin", message=message)])
    return _KEYED + _HASHER.hash(_keyed(pin, user_id, secret))


def _keyed(pin: str, user_id: UUID, secret: bytes) -> bytes:
    return keyed_hash(secret, b"pin", user_id.bytes, pin.encode())


def verify_pin(engine: Engine, attempt: PinAttempt) -> None:
    """Check a PIN. The try is committed first; `PinIncorrect` says how many are left, `PinLocked` how to go on."""
    try_id = _count_try(engine, attempt)
    left = _judge_try(engine, attempt, try_id)
    if left is not None:
        raise PinIncorrect(_left_text(left), extra={"tries_left": left})


def _count_try(engine: Engine, attempt: PinAttempt) -> UUID:
    with transaction(engine) as session:
        user = _locked_user(session, attempt.user_id)
        _refuse_locked(user, session.get_one(ApiToken, attempt.token_id))
        try_id = attempt.new_id()
        session.add(PinTry(id=try_id, user_id=user.id, token_id=attempt.token_id, tried_at=attempt.now))
        return try_id


def _judge_try(engine: Engine, attempt: PinAttempt, try_id: UUID) -> int | None:
    """Look at the PIN under the person's lock, so that tries sent at once are judged one by one; None when correct."""
    with transaction(engine) as session:
        user = _locked_user(session, attempt.user_id)
        token = session.get_one(ApiToken, attempt.token_id)
        pin_hash = _refuse_locked(user, token)
        correct = _matches(pin_hash, attempt)
        if correct and not pin_hash.startswith(_KEYED):
            user.pin_hash = hash_pin(attempt.pin, user_id=user.id, secret=attempt.secret)
        session.get_one(PinTry, try_id).correct = correct
        session.flush()
        if correct:
            return None
        left = max(0, TRIES_PER_CREDENTIAL - _wrong_in_a_row(session, attempt))
        if left == 0:
            token.pin_locked_at = attempt.now
        if _wrong_today(session, attempt, user) >= WRONG_TRIES_PER_DAY:
            user.pin_locked_at, left = attempt.now, 0
        return left


def refuse_changed_recently(engine: Engine, user_id: UUID, now: datetime, *, employers: Collection[UUID]) -> None:
    """Refuse a PIN that was set anew in the last day: who could change it may not be who it belongs to.

    Somebody else's word counts where that person approves: of all `employers` that something is approved for.
    """
    with transaction(engine) as session:
        until = _waits_until(session, session.get_one(User, user_id), now, employers)
    if until is not None:
        raise PinChangedRecently(
            f"Your PIN was changed less than a day ago. Approve after {until.isoformat()}, or have another approver of "
            "the employer confirm the change.",
            extra={"possible_from": until.isoformat()},
        )


def known_faults(
    session: Session, *, user_id: UUID, token_id: UUID, employers: Collection[UUID], now: datetime
) -> Mapping[UUID, str]:
    """Return the code with which any PIN of this person would be refused on this token now, where it would be."""
    user = session.get_one(User, user_id)
    try:
        _refuse_locked(user, session.get_one(ApiToken, token_id))
    except (PinNotSet, PinLocked) as refusal:
        return dict.fromkeys(employers, refusal.code)
    return {each: PinChangedRecently.code for each in employers if _waits_until(session, user, now, {each}) is not None}


def _waits_until(session: Session, user: User, now: datetime, employers: Collection[UUID]) -> datetime | None:
    """Return until when a PIN that was set anew approves nothing; None when it does, or others confirmed it there."""
    if user.pin_changed_at is None or now >= user.pin_changed_at + WAITS_AFTER_CHANGE:
        return None
    confirmed = user.pin_change_confirmed_by
    if confirmed is not None and _approves_at(session, confirmed, now) >= set(employers):
        return None
    return user.pin_changed_at + WAITS_AFTER_CHANGE


def _approves_at(session: Session, user_id: UUID, now: datetime) -> set[UUID]:
    """Return where a person is an approver now, as far as the one who asks may see."""
    statement = select(Membership.organization_id).where(
        Membership.user_id == user_id,
        Membership.role == Role.APPROVER,
        sa.or_(col(Membership.ends_on).is_(None), col(Membership.ends_on) >= amsterdam_date(now)),
    )
    return set(session.exec(statement))


def _refuse_locked(user: User, token: ApiToken) -> str:
    if user.pin_hash is None:
        raise PinNotSet("Set a PIN first; approving always needs one.")
    if user.pin_locked_at is not None:
        raise PinLocked(_PIN_LOCKED_TEXT)
    if token.pin_locked_at is not None:
        raise PinLocked(_LOCKED_TEXT)
    return user.pin_hash


def _locked_user(session: Session, user_id: UUID) -> User:
    return session.exec(select(User).where(User.id == user_id).with_for_update()).one()


def _wrong_in_a_row(session: Session, attempt: PinAttempt) -> int:
    """Count the wrong tries on this credential since its last correct one.

    A try that was never judged, because the process died, counts as wrong once it is old enough not to be under way.
    """
    last_right = (
        sa.select(sa.func.max(col(PinTry.tried_at)))
        .where(col(PinTry.token_id) == attempt.token_id, col(PinTry.correct).is_(True))
        .scalar_subquery()
    )
    statement = sa.select(sa.func.count()).where(
        col(PinTry.token_id) == attempt.token_id,
        _wrong(attempt),
        sa.or_(last_right.is_(None), col(PinTry.tried_at) > last_right),
    )
    return int(session.execute(statement).scalar_one())


def _wrong_today(session: Session, attempt: PinAttempt, user: User) -> int:
    """Count the wrong tries of this PIN in the last day: those of the one before were guesses of another."""
    statement = sa.select(sa.func.count()).where(
        col(PinTry.user_id) == attempt.user_id,
        _wrong(attempt),
        col(PinTry.tried_at) > attempt.now - timedelta(days=1),
    )
    if user.pin_set_at is not None:
        statement = statement.where(col(PinTry.tried_at) >= user.pin_set_at)
    return int(session.execute(statement).scalar_one())


def _wrong(attempt: PinAttempt) -> sa.ColumnElement[bool]:
    abandoned = sa.and_(col(PinTry.correct).is_(None), col(PinTry.tried_at) < attempt.now - _UNDER_WAY)
    return sa.or_(col(PinTry.correct).is_(False), abandoned)


def _matches(pin_hash: str, attempt: PinAttempt) -> bool:
    """Say whether it is the PIN; also by a hash from before they were keyed, which is replaced then."""
    of_pin = _keyed(attempt.pin, attempt.user_id, attempt.secret) if pin_hash.startswith(_KEYED) else attempt.pin
    try:
        return _HASHER.verify(pin_hash.removeprefix(_KEYED), of_pin)
    except VerifyMismatchError:
        return False


_PIN_LOCKED_TEXT = (
    "Too many wrong PINs in a day: the PIN is locked. Have the operator set a new one (`user pin --reset`)."
)
_LOCKED_TEXT = "Too many wrong PINs on this token. Use another credential, or have a new token issued."


def _left_text(left: int) -> str:
    return f"The PIN is not correct. {left} more {'try' if left == 1 else 'tries'} on this token."
