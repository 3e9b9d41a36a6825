"""What the routes of the domain share: the context, acting once per Idempotency-Key, and bodies as JSON."""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Annotated, Any, cast

from fastapi import Depends, Request, Response
from pydantic import BaseModel
from sqlmodel import Session

from app.auth.actor import Actor
from app.auth.web import ActorDep, principal_of
from app.core import idempotency
from app.core.errors import UnsupportedMediaType
from app.core.idempotency import Attempt
from app.core.web import attempt_to, idempotency_key, outcome_answer
from app.payments import refusals
from app.payments.context import Context
from app.payments.transitions import Action

Route = Callable[..., Response]

XML_TYPES = frozenset({"application/xml", "text/xml", "application/octet-stream", "application/zip"})


def context_of(request: Request, actor: ActorDep) -> Context:
    """Return the context that `main` built, working for who is asking."""
    return cast("Context", request.app.state.context).working_for(principal_of(actor))


ContextDep = Annotated[Context, Depends(context_of)]

# The routes of the domain take it from here, with the rest of what acting once needs.
KeyDep = Annotated[str | None, Depends(idempotency_key)]


def attempt_of(request: Request, ctx: Context, actor: Actor, key: str | None, body: BaseModel | None) -> Attempt | None:
    """Return the attempt that this request is, None when it has no key."""
    del ctx
    if key is None:
        return None
    content = {} if body is None else body.model_dump(mode="json")
    attempt = attempt_to(request, actor.user_id, key, content)
    return replace(attempt, organizations=actor.organizations | actor.readable_employers)


def once(session: Session, attempt: Attempt | None, act: Callable[[], tuple[int, dict[str, Any]]]) -> Response:
    """Act once for this key and answer; a repeat gets the stored answer, marked as such.

    Who may not act is refused by the caller before: a key must not show what its token may not do.
    """
    return outcome_answer(idempotency.once(session, attempt, act))


def notes_refusals(action: Action) -> Callable[[Route], Route]:
    """Have a route on a batch write its refusals to the history (`payments.refusals`)."""

    def decorate(route: Route) -> Route:
        @wraps(route)
        def noting(**given: Any) -> Response:
            with refusals.noted(given["ctx"], given["actor"], given["batch_id"], action):
                return route(**given)

        return noting

    return decorate


def etag(revision: int) -> str:
    """Return the ETag of a revision."""
    return f'"r{revision}"'


def dump(model: BaseModel) -> dict[str, Any]:
    """Return a model as JSON values."""
    return model.model_dump(mode="json", by_alias=True)


async def xml_body(request: Request, _actor: ActorDep) -> bytes:
    """Return the uploaded bytes, read only after the token was accepted."""
    media = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media not in XML_TYPES:
        raise UnsupportedMediaType("Send the file as application/xml (a zipped one as application/zip).")
    return await request.body()
