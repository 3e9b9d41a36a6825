"""A history as a file that proves itself: JSON lines that `tools/verify_history.py` checks without this service.

    {"type": "header", "format": "loonstroom-history", "version": 1, "organization_id", "exported_at"}
    {"type": "record", "sequence", "payload", "hash", "mac", "key_id"}             one for each record, in order
    {"type": "head", "organization_id", "sequence", "hash", "mac", "sealed_sequence"}

`payload` is the text that the hashes are made of, to the byte. Hashes and macs are hexadecimal.
"""

import base64
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Session

from app.core.errors import Invalid, NotFound, Problem
from app.core.history import keys_of
from app.core.history_proof import KnownHead, head_row, records

FORMAT = "loonstroom-history"
VERSION = 1


def export_lines(session: Session, organization_id: UUID, *, now: datetime) -> Iterator[str]:
    """Give the lines of an export. The session must see one snapshot. It is not verified: the reader does that."""
    head = head_row(session, organization_id)
    if head is None:
        raise NotFound("This organization has no history.")
    yield _line(
        type="header",
        format=FORMAT,
        version=VERSION,
        organization_id=str(organization_id),
        exported_at=now.isoformat(),
    )
    for row in records(session, organization_id):
        yield _line(
            type="record",
            sequence=row["sequence"],
            payload=row["payload"],
            hash=row["hash"].hex(),
            mac=_hex(row["mac"]),
            key_id=row["key_id"],
        )
    yield head_line(head)


def head_line(head: sa.RowMapping) -> str:
    """Return a head as a line: as in an export, and good to be kept by itself."""
    return _line(
        type="head",
        organization_id=str(head["organization_id"]),
        sequence=head["sequence"],
        hash=head["hash"].hex(),
        mac=_hex(head["mac"]),
        sealed_sequence=head["sealed_sequence"],
    )


def known_heads(lines: Iterable[str]) -> dict[UUID, KnownHead]:
    """Return the newest head of each organization in kept lines (of exports or heads); `Invalid` when there is none."""
    found: dict[UUID, KnownHead] = {}
    try:
        for line in filter(str.strip, lines):
            content = json.loads(line)
            if content["type"] != "head" or content["mac"] is None:
                continue
            organization_id = UUID(content["organization_id"])
            head = KnownHead(sequence=int(content["sequence"]), mac=bytes.fromhex(content["mac"]))
            if organization_id not in found or found[organization_id].sequence < head.sequence:
                found[organization_id] = head
    except (ValueError, KeyError, TypeError) as error:
        raise _not_a_head() from error
    if not found:
        raise _not_a_head()
    return found


def _not_a_head() -> Invalid:
    message = "Give a file made by `history heads` or `history export`."
    return Invalid(errors=[Problem(pointer="--expect-head", code="head", message=message)])


def organization_keys_text(session: Session, organization_id: UUID) -> str:
    """Return the keys of one organization's history for an auditor: `id:base64`, a line each."""
    keys = keys_of(session).of(organization_id)
    return "".join(f"{name}:{base64.b64encode(key).decode()}\n" for name, key in sorted(keys.items()))


def _line(**content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()
