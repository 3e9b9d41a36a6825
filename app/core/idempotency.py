"""Idempotency keys: the same key and body give the stored answer, another body is refused; kept for ever.

The body is stored only as a keyed hash, without secrets such as a PIN (rules of the house: a key never expires where
money moved).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import rfc8785
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, Session, SQLModel

from app.core.columns import document, moment
from app.core.crypto import keyed_hash
from app.core.errors import AppError, Invalid, NotFound

MAXIMUM_KEY_LENGTH = 200
_UNSTORED = frozenset({"pin"})


class IdempotencyKey(SQLModel, table=True):
    """One used key of one person, with the answer that was given."""

    __tablename__ = "idempotency_key"
    __table_args__ = (
        sa.Index("ix_idempotency_key_kept", "created_at", postgresql_where=sa.text("answer IS NOT NULL")),
    )

    user_id: UUID = Field(primary_key=True)
    key: str = Field(primary_key=True)
    route: str
    body_hash: str
    status: int | None = None
    answer: dict[str, Any] | None = document(default=None)
    created_at: datetime = moment()


class AnswerErased(AppError):
    """The key acted long ago; that it did is kept for ever, what was answered is not."""

    code = "answer_erased"
    status = 410
    title = "This was done; its answer was erased"


class KeyReused(Invalid):
    """The key was used before for something else."""

    code = "idempotency_key_reused"
    title = "This Idempotency-Key was used for another request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One acting request: who, with which key, on which route, with which body.

    `organizations` are those of which this person may be answered something now; None leaves it to the route.
    """

    user_id: UUID
    key: str
    route: str
    body: object
    secret: bytes
    now: datetime
    organizations: frozenset[UUID] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is answered: the HTTP status, the JSON body, and whether it is a repeated answer."""

    status: int
    body: dict[str, Any]
    replayed: bool = False


def once(session: Session, attempt: Attempt | None, act: Callable[[], tuple[int, dict[str, Any]]]) -> Outcome:
    """Run `act` once for this key; a repeat gets the stored answer. Without a key, just run it.

    A stored answer is shown without asking `act`: the caller has refused who may not act before it comes here.
    Two requests with one key at the same moment: the second waits on the first's row and then replays its answer.
    """
    if attempt is None:
        status, body = act()
        return Outcome(status=status, body=body)
    body_hash = _body_hash(attempt)
    if not _reserve(session, attempt, body_hash):
        return _replay(session, attempt, body_hash)
    status, body = act()
    session.execute(
        sa.update(IdempotencyKey)
        .where(sa.and_(_column("user_id") == attempt.user_id, _column("key") == attempt.key))
        .values(status=status, answer=body)
    )
    return Outcome(status=status, body=body)


def _reserve(session: Session, attempt: Attempt, body_hash: str) -> bool:
    statement = (
        insert(IdempotencyKey)
        .values(
            user_id=attempt.user_id,
            key=attempt.key,
            route=attempt.route,
            body_hash=body_hash,
            created_at=attempt.now,
        )
        .on_conflict_do_nothing()
        .returning(_column("key"))
    )
    return session.execute(statement).first() is not None


def _replay(session: Session, attempt: Attempt, body_hash: str) -> Outcome:
    row = session.get_one(IdempotencyKey, (attempt.user_id, attempt.key))
    if row.body_hash != body_hash or row.route != attempt.route or row.status is None:
        raise KeyReused("Use a new Idempotency-Key for a new request; this one was used with another address or body.")
    if row.answer is None:
        raise AnswerErased(
            f"This key acted on {row.created_at.date().isoformat()} (status {row.status}); nothing was done again. "
            "Look at what it was about."
        )
    _refuse_of_others(row.answer, attempt)
    return Outcome(status=row.status, body=row.answer, replayed=True)


def _refuse_of_others(answer: Mapping[str, Any], attempt: Attempt) -> None:
    """Refuse an answer about an organization that the person has left: like everything of it, it is not there."""
    employer = answer.get("employer")
    named = {answer.get("employer_id"), answer.get("organization_id"), (employer or {}).get("id")} - {None}
    if attempt.organizations is not None and not named <= {str(each) for each in attempt.organizations}:
        raise NotFound("What this key did was done for an organization that you have no role in any more.")


def _body_hash(attempt: Attempt) -> str:
    body = attempt.body
    if isinstance(body, dict):
        body = {name: value for name, value in body.items() if name not in _UNSTORED}
    return keyed_hash(attempt.secret, b"idempotency", attempt.route.encode(), rfc8785.dumps(body)).hex()  # type: ignore[arg-type]


def _column(name: str) -> sa.Column[Any]:
    return IdempotencyKey.__table__.c[name]  # type: ignore[attr-defined,no-any-return]


def stored(session: Session, attempt: Attempt | None) -> Outcome | None:
    """Return the answer that was given for this key before, None when there is none yet."""
    if attempt is None or session.get(IdempotencyKey, (attempt.user_id, attempt.key)) is None:
        return None
    return _replay(session, attempt, _body_hash(attempt))
