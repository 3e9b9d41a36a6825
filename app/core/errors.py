"""The one base of every error a caller can cause or must act on.

It knows no web framework: `core.web` renders it as RFC 9457 problem+json, the CLI prints it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault inside an input: where it is (JSON pointer or field path), its stable code, and what to do."""

    pointer: str
    code: str
    message: str


@dataclass(eq=False)
class AppError(Exception):
    """A refusal with a stable `code`, an HTTP `status` and a `detail` for people. Never holds the caller's input."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 400
    title: ClassVar[str] = "The request was refused"

    detail: str = ""
    errors: Sequence[Problem] = field(default_factory=tuple)
    extra: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the code and the detail, as logs and the command line show it."""
        return f"{self.code}: {self.detail or self.title}"


class BadRequest(AppError):
    """This is not HTTP as RFC 9110 and 9112 describe it."""

    code = "bad_request"
    status = 400
    title = "The request cannot be read"


class NotFound(AppError):
    """The thing does not exist, or is not yours: both look the same."""

    code = "not_found"
    status = 404
    title = "Not found"


class Forbidden(AppError):
    """This person or token may never do this."""

    code = "forbidden"
    status = 403
    title = "Not allowed"


class ScopeMissing(Forbidden):
    """The token may not be used for this."""

    code = "scope_missing"
    title = "The token lacks a scope"


class RoleMissing(Forbidden):
    """This person does not have the role that this needs."""

    code = "role_missing"
    title = "This needs another role"


class Unauthenticated(AppError):
    """No token, or one that is unknown, ended or revoked."""

    code = "unauthenticated"
    status = 401
    title = "Sign in first"


class Conflict(AppError):
    """The right request at the wrong moment."""

    code = "conflict"
    status = 409
    title = "Not possible now"


class PreconditionFailed(AppError):
    """The caller looked at an older revision."""

    code = "revision_changed"
    status = 412
    title = "The content has changed"


class PreconditionRequired(AppError):
    """A change needs If-Match, so that nobody changes what they did not see."""

    code = "if_match_required"
    status = 428
    title = "If-Match is required"


class Invalid(AppError):
    """The content is wrong; `errors` names field, rule and remedy."""

    code = "invalid"
    status = 422
    title = "The content is not valid"


class PayloadTooLarge(AppError):
    """The body is over the limit of this route."""

    code = "payload_too_large"
    status = 413
    title = "The body is too large"


class RequestTimeout(AppError):
    """The body did not arrive within the read deadline."""

    code = "request_timeout"
    status = 408
    title = "The body came too slowly"


class AddressTooLong(AppError):
    """Path and query together are over the limit."""

    code = "address_too_long"
    status = 414
    title = "The address is too long"


class HeadersTooLarge(AppError):
    """There are too many headers, or too large ones."""

    code = "headers_too_large"
    status = 431
    title = "The headers are too large"


class TooManyRequests(AppError):
    """This token asks more often than it may; `Retry-After` says when the next request is welcome."""

    code = "too_many_requests"
    status = 429
    title = "Too many requests"


class UnsupportedMediaType(AppError):
    """The content type is not one this route reads."""

    code = "unsupported_media_type"
    status = 415
    title = "This content type is not accepted here"


class Unavailable(AppError):
    """Something outside that is needed for this does not answer now."""

    code = "unavailable"
    status = 503
    title = "Not available now"


class TooManyConnections(Unavailable):
    """More connections are open than this process takes; only its health is still told."""

    code = "too_many_connections"
    title = "Too many connections"


class InternalError(AppError):
    """A fault of ours; the log has it under the request id."""

    code = "internal_error"
    status = 500
    title = "An error on our side"
