"""Strict JSON: what another reader or the database would stumble over is refused, without repeating it."""

import pytest

from app.core.errors import Invalid
from app.core.strict_json import DEEPEST, strict_json

HOSTILE = [
    b'{"a": NaN}',
    b'{"a": Infinity}',
    b'{"a": 1e999}',
    b'{"a": 1, "a": 2}',
    b'{"canary": "\\u0000"}',
    b'{"\\u0000": 1}',
    b'{"a": "\\ud800"}',
    b'\xff\xfe{"a": 1}',
    b"",
    b"{",
    b"{} {}",
    b"[" * 100_000,
    b"[" * (DEEPEST + 2) + b"]" * (DEEPEST + 2),
]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_json_is_refused_in_words(body: bytes) -> None:
    """Each is 422 with one sentence of our own."""
    with pytest.raises(Invalid) as caught:
        strict_json(body)

    assert caught.value.errors[0].code == "json"
    assert "canary" not in str(caught.value.errors)


def test_ordinary_json_is_read() -> None:
    """Text of any language, numbers and nesting pass."""
    assert strict_json('{"naam": "Renée 王", "n": [1, 2.5, null, true]}'.encode()) == {
        "naam": "Renée 王",
        "n": [1, 2.5, None, True],
    }
