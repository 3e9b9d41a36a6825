"""What every HTTP route shares: strict JSON, problem+json, sessions that commit before the answer."""

import json
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Annotated, Any, cast
from uuid import UUID

import psycopg
import structlog
from fastapi import APIRouter, Depends, FastAPI, Header, Request, Response, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from app.core.errors import (
    AddressTooLong,
    AppError,
    BadRequest,
    Conflict,
    HeadersTooLarge,
    InternalError,
    Invalid,
    NotFound,
    PayloadTooLarge,
    PreconditionRequired,
    Problem,
    RequestTimeout,
    RoleMissing,
    ScopeMissing,
    TooManyConnections,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
)
from app.core.idempotency import MAXIMUM_KEY_LENGTH, AnswerErased, Attempt, KeyReused, Outcome
from app.core.strict_json import strict_json

PROBLEM = "application/problem+json"
_LOG = structlog.get_logger(__name__)
_METHOD_NOT_ALLOWED = 405
_SHOWN_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}|If-Match|Idempotency-Key")


class ProblemItem(BaseModel):
    """One fault inside the input."""

    pointer: str
    code: str
    message: str


class ProblemDocument(BaseModel):
    """RFC 9457: every error of this service looks like this. `code` is stable; `detail` is for people."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    errors: list[ProblemItem] = Field(default_factory=list)


def _problem_schema() -> dict[str, Any]:
    """Return the schema of a problem whole: a reference inside it would lead nowhere from a route's description."""
    schema = ProblemDocument.model_json_schema()
    schema["properties"]["errors"]["items"] = schema.pop("$defs")["ProblemItem"]
    return schema


PROBLEM_CONTENT = {PROBLEM: {"schema": _problem_schema()}}


class _DatabaseAway(Unavailable):
    code = "database_unavailable"
    title = "The database does not answer now"


def problems(*errors: type[AppError]) -> dict[int | str, dict[str, Any]]:
    """Return the `responses=` of a route for these errors, those that any route can give included."""
    always = (Unauthenticated, RoleMissing, ScopeMissing, NotFound, Invalid, UnsupportedMediaType, TooManyRequests)
    repeated = (AnswerErased,) if KeyReused in errors else ()
    return edge_problems(*always, *errors, *repeated)


def edge_problems(*errors: type[AppError]) -> dict[int | str, dict[str, Any]]:
    """Return the `responses=` of a route that nobody signs in to: these errors, and what the edge says at any address.

    Whatever the address: a head that is too large, a body that is too large or too slow, a database that is away.
    """
    anywhere: tuple[type[AppError], ...] = (
        *(BadRequest, RequestTimeout, PayloadTooLarge, AddressTooLong, HeadersTooLarge),
        *(InternalError, _DatabaseAway, TooManyConnections),
    )
    found: dict[int | str, list[str]] = {}
    for error in (*anywhere, *errors):
        found.setdefault(error.status, []).append(error.code)
    return {
        status: {
            "description": ", ".join(dict.fromkeys(codes)),
            "content": PROBLEM_CONTENT,
        }
        for status, codes in found.items()
    }


def problem_body(error: AppError) -> dict[str, Any]:
    """Return an error as the members of problem+json."""
    return {
        **error.extra,
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.detail or _joined(error.errors) or error.title,
        "errors": [{"pointer": each.pointer, "code": each.code, "message": each.message} for each in error.errors],
    }


def problem_response(error: AppError) -> Response:
    """Render an error as problem+json."""
    return Response(
        json.dumps(problem_body(error), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"),
        status_code=error.status,
        media_type=PROBLEM,
        headers={"Cache-Control": "no-store", **error.headers},
    )


def _joined(errors: Sequence[Problem]) -> str:
    return " ".join(f"{each.pointer}: {each.message}" for each in errors[:5])


# What pydantic says, in our words: its own sentences may hold pieces of the input.
_MESSAGES = {
    "missing": "This member is required.",
    "extra_forbidden": "This member is not known here.",
    "string_too_short": "This text is too short: {min_length} characters at least.",
    "string_too_long": "This text is too long: {max_length} characters at most.",
    "too_short": "Give at least {min_length}.",
    "too_long": "Give at most {max_length}.",
    "string_type": "Write a text, in quotes.",
    "int_type": "Write a whole number.",
    "int_parsing": "Write a whole number.",
    "bool_type": "Write true or false.",
    "uuid_parsing": "Write an id as this service gives it.",
    "uuid_type": "Write an id as this service gives it.",
    "date_from_datetime_parsing": "Write a date like 2026-11-25.",
    "date_parsing": "Write a date like 2026-11-25.",
    "date_type": "Write a date like 2026-11-25.",
    "enum": "Choose one of {expected}.",
    "literal_error": "Choose one of {expected}.",
    "string_pattern_mismatch": "This text does not have the right form: {pattern}.",
    "greater_than_equal": "This number is too small: {ge} at least.",
    "greater_than": "This number is too small: more than {gt}.",
    "less_than_equal": "This number is too large: {le} at most.",
    "less_than": "This number is too large: less than {lt}.",
    "model_attributes_type": "Write a JSON object.",
    "model_type": "Write a JSON object.",
    "list_type": "Write a list.",
}


def _from_validation(error: RequestValidationError) -> Invalid:
    found = []
    for each in error.errors():
        place, *path = [_named(part) for part in each["loc"]] or ["body"]
        pointer = "/" + "/".join(path) if place == "body" else f"{place}:{'.'.join(path)}"
        kind = str(each["type"])
        # Of the context only what a message names is used: figures and words of our own schema, never the input.
        message = _MESSAGES.get(kind, "This value is not valid here.").format_map(each.get("ctx") or {})
        if kind == "missing" and not path and place == "body":
            message = "Send a JSON object as body."
        if kind == "value_error":
            message = str(each["msg"]).removeprefix("Value error, ")
        found.append(Problem(pointer=pointer, code=kind, message=message))
    return Invalid(errors=found)


def _named(part: str | int) -> str:
    """Return a step of a path as it may be shown: a name the caller made up may hold anything, also an IBAN."""
    return str(part) if isinstance(part, int) or _SHOWN_NAME.fullmatch(part) else "?"


# Errors of the framework itself (404 of an unknown path, 405, ...), in our shape.
_STATUS_CODES = {404: "not_found", 405: "method_not_allowed", 400: "bad_request", 413: "payload_too_large"}
_STATUS_TITLES = {404: "Not found", 405: "This method is not possible here", 400: "The request cannot be read"}
# What is said of an error that is not ours; its own words may repeat the input.
_STATUS_DETAILS = {
    404: "There is nothing at this address; docs/api.md says what there is.",
    405: "Use one of the methods in the Allow header.",
}


def _from_http(error: HTTPException) -> AppError:
    kind = _kind_of_status(error.status_code)
    return kind(_STATUS_DETAILS.get(error.status_code, ""), headers=dict(error.headers or {}))


@cache
def _kind_of_status(status: int) -> type[AppError]:
    """Return the error of a status, made once: a class for each refusal would be a lot to clean up after."""
    members = {
        "code": _STATUS_CODES.get(status, f"http_{status}"),
        "status": status,
        "title": _STATUS_TITLES.get(status, "Refused"),
    }
    return type("_OfStatus", (AppError,), members)


class _NotStorable(Invalid):
    code = "not_storable"
    title = "The content cannot be stored"


def add_error_handlers(app: FastAPI) -> None:
    """Render every error as problem+json, without echoing the input."""

    def known(_request: Request, error: Exception) -> Response:
        return problem_response(cast("AppError", error))

    def validation(_request: Request, error: Exception) -> Response:
        return problem_response(_from_validation(cast("RequestValidationError", error)))

    def framework(request: Request, error: Exception) -> Response:
        refusal = cast("HTTPException", error)
        if refusal.status_code == _METHOD_NOT_ALLOWED:
            named = (refusal.headers or {}).get("Allow", "").replace(" ", "").split(",")
            refusal.headers = {"Allow": ", ".join(sorted({*filter(None, named), *_methods_of(request)}))}
        return problem_response(_from_http(refusal))

    def database(_request: Request, error: Exception) -> Response:
        _LOG.warning("database_error", error=type(error).__name__, **_what_failed(error))
        return problem_response(_from_database(error))

    app.add_exception_handler(AppError, known)
    app.add_exception_handler(RequestValidationError, validation)
    app.add_exception_handler(HTTPException, framework)
    app.add_exception_handler(DBAPIError, database)
    app.add_exception_handler(PoolTimeout, database)


def _methods_of(request: Request) -> set[str]:
    """Return the methods that the path of a request knows: each route alone only knows its own."""
    found: set[str] = set()
    for template, operations in request.app.openapi()["paths"].items():
        if re.fullmatch(re.sub(r"\\{[^/]+\\}", "[^/]+", re.escape(template)), request.scope["path"]):
            found |= {method.upper() for method in operations}
    return found


def _what_failed(error: Exception) -> dict[str, str]:
    """Return PostgreSQL's code, and which rule of which table refused: names of ours, no values."""
    cause = getattr(error, "orig", None)
    if not isinstance(cause, psycopg.Error):
        return {}
    said = {"code": cause.sqlstate, "table": cause.diag.table_name, "rule": cause.diag.constraint_name}
    return {name: value for name, value in said.items() if value}


def _from_database(error: Exception) -> AppError:
    if isinstance(error, OperationalError | PoolTimeout) or getattr(error, "connection_invalidated", False):
        return _DatabaseAway("Try again in a moment.", headers={"Retry-After": "2"})
    if isinstance(error, IntegrityError) and isinstance(error.orig, psycopg.errors.UniqueViolation):
        return Conflict("Somebody did the same at this moment. Look again, and repeat it if it is still needed.")
    if isinstance(error, DataError):
        return _NotStorable("A value in the request is larger than can be stored, or holds a character that cannot be.")
    return InternalError("The request failed; it was logged with its request id.")


class StrictRoute(APIRoute):
    """A route whose JSON body is read and parsed strictly, and only for callers whose token holds (`state.admit`)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the framework's handler: first the token, then the media type, then strict JSON."""
        original = super().get_route_handler()
        reads_json = self.body_field is not None
        fields = get_flat_params(self.dependant)
        known = {field.alias for field in fields if isinstance(field.field_info, params.Query)}

        async def handle(request: Request) -> Response:
            _refuse_odd_path(request)
            _refuse_unknown_query(request, known)
            if reads_json:
                await run_in_threadpool(request.app.state.admit, request)  # strangers have no byte of a body read
                body = await request.body()
                if body or request.headers.get("content-type"):
                    _require_json(request)
                    request._json = strict_json(body)  # noqa: SLF001 - the framework's own cache of the parsed body
            return await original(request)

        return handle


def missing_token() -> Unauthenticated:
    """Return the refusal of a caller who shows no token."""
    return Unauthenticated(
        "Send `Authorization: Bearer <token>` with a token that is valid.", headers={"WWW-Authenticate": "Bearer"}
    )


def _require_json(request: Request) -> None:
    media = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media != "application/json":
        raise UnsupportedMediaType("Send the body as application/json.")


def _refuse_unknown_query(request: Request, known: set[str]) -> None:
    """A mistyped filter that is ignored would show everything: refuse it."""
    if not request.headers.get("authorization") or known.issuperset(request.query_params.keys()):
        return
    message = f"Known here: {', '.join(sorted(known)) or 'none'}."
    raise Invalid(
        "The address holds a query parameter that is not known here.",
        errors=[Problem(pointer="query:", code="unknown_parameter", message=message)],
    )


def _refuse_odd_path(request: Request) -> None:
    """PostgreSQL holds no NUL: refuse it in path and query before it gets that far."""
    if "\x00" in request.scope["path"] or any("\x00" in value for value in request.query_params.values()):
        raise Invalid("A NUL character is not allowed in the address.")


def router(**options: Any) -> APIRouter:
    """Return a router whose routes are strict."""
    return APIRouter(route_class=StrictRoute, **options)


def now_of(request: Request) -> datetime:
    """Return the present moment of the clock that `main` built."""
    return cast("datetime", request.app.state.clock())


def if_match_revision(
    if_match: Annotated[str | None, Header(description='The ETag that was shown, for instance "r3".')] = None,
) -> int:
    """Return the revision in If-Match; 428 when it is absent, 422 when it is none of ours."""
    if if_match is None:
        raise PreconditionRequired('Send If-Match with the ETag of what you looked at, for instance "r3".')
    text = if_match.strip().strip('"')
    if not text.startswith("r") or not text[1:].isascii() or not text[1:].isdigit() or len(text) > 10:  # noqa: PLR2004
        message = 'Write the ETag as it was given, for instance "r3".'
        raise Invalid(errors=[Problem(pointer="header:If-Match", code="etag", message=message)])
    return int(text[1:])


RevisionDep = Annotated[int, Depends(if_match_revision)]


def idempotency_key(
    idempotency_key: Annotated[
        str | None,
        Header(description="The same key and body act once; for 90 days they get the same answer, afterwards 410."),
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


def attempt_to(request: Request, user_id: UUID, key: str, content: Mapping[str, Any]) -> Attempt:
    """Return the attempt that this request of a person is: its key, its address, and what it asks.

    Of the content only a keyed hash is kept, so a secret in it is part of what is asked and stored nowhere.
    """
    return Attempt(
        user_id=user_id,
        key=key,
        route=f"{request.method} {request.url.path}",
        body={**content, "if_match": request.headers.get("if-match")},
        secret=request.app.state.identifier_secret,
        now=now_of(request),
    )


def outcome_answer(outcome: Outcome, **headers: str) -> JSONResponse:
    """Render what an act gave, marked when it is a stored answer, with the ETag of the batch when it is one."""
    if outcome.replayed:
        headers["Idempotent-Replayed"] = "true"
    revision = outcome.body.get("revision")
    if isinstance(revision, int):
        headers["ETag"] = f'"r{revision}"'
    return answer(outcome.status, outcome.body, **headers)


def answer(status: int, body: Any, **headers: str) -> JSONResponse:
    """Return a JSON answer that no cache keeps."""
    return JSONResponse(body, status_code=status, headers={"Cache-Control": "no-store", **headers})
