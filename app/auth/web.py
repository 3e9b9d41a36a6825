"""How a request says who is asking: a bearer token, looked up in a transaction of its own.

Everything after that works for this person: row security shows the request only rows of their organizations, and of the
employers that their offices work for (ADR 0021).
"""

from collections.abc import Iterator
from typing import Annotated, cast

from fastapi import Depends, Request
from sqlalchemy import Engine
from sqlmodel import Session

from app.auth.actor import Actor
from app.auth.people import authenticate
from app.core.database import Principal, on_behalf_of, transaction
from app.core.rate_limits import Rate, take, too_many
from app.core.web import missing_token, now_of

_LONGEST_TOKEN = 200


def actor_of(request: Request) -> Actor:
    """Return who is asking; 401 when the token is absent, unknown, ended or revoked, 429 when it asks too often.

    The service itself looks: until the token is known there is nobody to work for. It looks once for each request.
    """
    known: Actor | None = getattr(request.state, "actor", None)
    if known is None:
        known = request.state.actor = _found(request)
    return known


def _found(request: Request) -> Actor:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not 0 < len(token) <= _LONGEST_TOKEN:
        raise missing_token()
    rate: Rate = request.app.state.api_rate
    with transaction(cast("Engine", request.app.state.service_engine)) as session:
        actor = authenticate(session, token.strip(), now=now_of(request))
        if not take(session, f"token:{actor.token_id}", rate, now=now_of(request)):
            raise too_many(rate)
        return actor


ActorDep = Annotated[Actor, Depends(actor_of)]


def principal_of(actor: Actor) -> Principal:
    """Return for whom the transactions of a request work: where the person's rights come from, and nobody else."""
    return Principal(person_id=actor.user_id, organizations=actor.organizations | actor.readable_employers)


def request_session(request: Request, actor: ActorDep) -> Iterator[Session]:
    """Give a session whose transaction commits before the answer leaves (with `scope="function"`, ADR 0008)."""
    with transaction(on_behalf_of(cast("Engine", request.app.state.request_engine), principal_of(actor))) as session:
        yield session


SessionDep = Annotated[Session, Depends(request_session, scope="function")]
