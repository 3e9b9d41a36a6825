"""JSON as RFC 8259 means it, and nothing more: what would surprise a database or another reader is refused. Pure."""

import json
from typing import Any

from app.core.errors import Invalid, Problem

DEEPEST = 32


def strict_json(body: bytes) -> Any:
    """Parse a body; `Invalid` for NaN, Infinity, duplicate keys, NUL, lone surrogates, other encodings, deep nesting.

    The refusal never holds a piece of the body.
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_no_duplicates,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # a lone surrogate has no UTF-8
    except (ValueError, RecursionError) as error:
        raise _refusal() from error
    _refuse_nul(value, 0)
    return value


def _refusal() -> Invalid:
    message = (
        f"Send one JSON value in UTF-8, at most {DEEPEST} levels deep: no duplicate keys, no NaN or Infinity, no NUL, "
        "no broken text."
    )
    return Invalid("The body is not valid JSON.", errors=[Problem(pointer="", code="json", message=message)])


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members


def _no_constant(_name: str) -> Any:
    raise ValueError


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError
    return value


def _refuse_nul(value: object, depth: int) -> None:
    if depth > DEEPEST or (isinstance(value, str) and "\x00" in value):
        raise _refusal()
    if isinstance(value, dict):
        for name, member in value.items():
            _refuse_nul(name, depth + 1)
            _refuse_nul(member, depth + 1)
    elif isinstance(value, list):
        for member in value:
            _refuse_nul(member, depth + 1)
