"""What the routes of the domain share: the context, acting once per Idempotency-Key, and bodies as JSON."""

from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, cast

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel
from sqlmodel import Session

from app.auth.actor import Actor
from app.auth.web import ActorDep
from app.core import idempotency
from app.core.errors import Invalid, Problem, UnsupportedMediaType
from app.core.idempotency import MAXIMUM_KEY_LENGTH, Attempt, Outcome
from app.core.web import answer
from app.payments import refusals
from app.payments.context import Context
from app.payments.transitions import Action

Route = Callable[..., Response]

XML_TYPES = frozenset({"application/xml", "text/xml", "application/octet-stream", "application/zip"})


def context_of(request: Request) -> Context:
    """Return the context that `main` built."""
    return cast("Context", request.app.state.context)


ContextDep = Annotated[Context, Depends(context_of)]


def idempotency_key(
    idempotency_key: Annotated[
        str | None, Header(description="The same key and body give the same answer; kept for ever.")
    ] = None,
) -> str | None:
    """Return the Idempotency-Key; 422 when it has no usable form."""
    if idempotency_key is None:
        return None
    if not 0 < len(idempotency_key) <= MAXIMUM_KEY_LENGTH or not idempotency_key.isascii():
        message = f"Use 1 to {MAXIMUM_KEY_LENGTH} ASCII characters."
        raise Invalid(errors=[Problem(pointer="header:Idempotency-Key", code="key", message=message)])
    return idempotency_key


KeyDep = Annotated[str | None, Depends(idempotency_key)]


def attempt_of(request: Request, ctx: Context, actor: Actor, key: str | None, body: BaseModel | None) -> Attempt | None:
    """Return the attempt that this request is, None when it has no key."""
    if key is None:
        return None
    content = {} if body is None else body.model_dump(mode="json")
    return Attempt(
        user_id=actor.user_id,
        key=key,
        route=f"{request.method} {request.url.path}",
        body={**content, "if_match": request.headers.get("if-match")},
        secret=ctx.identifier_secret,
        now=ctx.now(),
    )


def once(session: Session, attempt: Attempt | None, act: Callable[[], tuple[int, dict[str, Any]]]) -> Response:
    """Act once for this key and answer; a repeat gets the stored answer, marked as such."""
    return outcome_answer(idempotency.once(session, attempt, act))


def outcome_answer(outcome: Outcome) -> Response:
    """Render what an act gave, with the ETag of the batch when it is one."""
    headers = {"Idempotent-Replayed": "true"} if outcome.replayed else {}
    revision = outcome.body.get("revision")
    if isinstance(revision, int):
        headers["ETag"] = etag(revision)
    return answer(outcome.status, outcome.body, **headers)


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
