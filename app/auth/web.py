"""How a request says who is asking: a bearer token, looked up in a transaction of its own."""

from typing import Annotated

from fastapi import Depends, Request

from app.auth.actor import Actor
from app.auth.people import authenticate
from app.core.database import transaction
from app.core.rate_limits import Rate, take, too_many
from app.core.web import engine_of, missing_token, now_of

_LONGEST_TOKEN = 200


def actor_of(request: Request) -> Actor:
    """Return who is asking; 401 when the token is absent, unknown, ended or revoked, 429 when it asks too often."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not 0 < len(token) <= _LONGEST_TOKEN:
        raise missing_token()
    rate: Rate = request.app.state.api_rate
    with transaction(engine_of(request)) as session:
        actor = authenticate(session, token.strip(), now=now_of(request))
        if not take(session, f"token:{actor.token_id}", rate, now=now_of(request)):
            raise too_many(rate)
        return actor


ActorDep = Annotated[Actor, Depends(actor_of)]
