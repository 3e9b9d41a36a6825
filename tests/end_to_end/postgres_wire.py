"""As much of PostgreSQL's wire protocol (version 3) as a proxy needs: messages, and what a few of them hold."""

import struct
from dataclasses import dataclass

FLUSH = b"H\x00\x00\x00\x04"
CANCEL = b"cancel"
_HEADER = 5
_CANCEL_CODE = 80877102
_PLAIN_VERSION = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message: its kind (one byte), what it holds, and all its bytes."""

    kind: bytes
    body: bytes
    raw: bytes


def take(buffer: bytearray) -> Message | None:
    """Take the first whole message off a buffer; None when there is none yet."""
    if len(buffer) < _HEADER:
        return None
    end = 1 + int.from_bytes(buffer[1:_HEADER])
    if len(buffer) < end:
        return None
    raw = bytes(buffer[:end])
    del buffer[:end]
    return Message(kind=raw[:1], body=raw[_HEADER:], raw=raw)


def startup(buffer: bytearray) -> Message | None:
    """Take the first message of a connection, which has no kind: a beginning, or the wish to cancel a statement."""
    if len(buffer) < _HEADER - 1 or len(buffer) < (end := int.from_bytes(buffer[:4])):
        return None
    raw = bytes(buffer[:end])
    del buffer[:end]
    code = int.from_bytes(raw[4:8])
    assert code == _CANCEL_CODE or code >> 16 == _PLAIN_VERSION, f"no encryption is spoken on a socket: {code}"
    return Message(kind=CANCEL if code == _CANCEL_CODE else b"", body=raw[4:], raw=raw)


def text_of(body: bytes) -> str:
    """Return the text up to the first NUL."""
    return body.partition(b"\0")[0].decode("utf-8", "replace").strip()


def parsed_statement(body: bytes) -> tuple[str, str]:
    """Return the name of a prepared statement (empty: unnamed) and its text."""
    name, _, rest = body.partition(b"\0")
    return name.decode(), text_of(rest)


def bound_statement(body: bytes) -> str:
    """Return the name of the statement that is bound."""
    return text_of(body.partition(b"\0")[2])


def bound_id(body: bytes) -> int | None:
    """Return the first parameter of a Bind, as a whole number."""
    rest = body.split(b"\0", 2)[2]
    formats = struct.unpack_from("!h", rest)[0]
    is_binary = formats > 0 and struct.unpack_from("!h", rest, 2)[0] == 1
    return _number(rest[2 + 2 * formats :], is_binary=is_binary)


def first_column_id(row: bytes) -> int | None:
    """Return the first column of a row that came as text, as a whole number; None when it is NULL."""
    return _number(row, is_binary=False)


def _number(counted: bytes, *, is_binary: bool) -> int | None:
    size = struct.unpack_from("!i", counted, 2)[0]
    if size < 0:
        return None
    value = counted[6 : 6 + size]
    return int.from_bytes(value) if is_binary else int(value)


def rows_touched(body: bytes) -> int:
    """Return the number at the end of a command tag such as INSERT 0 1; zero when it has none."""
    last = text_of(body).rpartition(" ")[2]
    return int(last) if last.isdigit() else 0
