"""The digest: what an approval is an approval of.

SHA-256 over a fixed first line and canonical JSON (RFC 8785) of everything that will stand in the file and of what was
left out and why. Approvals, acknowledgements, limits, clocks, message ids and the names before cleaning are not in it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from uuid import UUID

PREFIX = b"loonstroom-batch-v1\n"
SERVICE_LEVEL = "SEPA"
CHARGE_BEARER = "SLEV"


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestLine:
    """One line as it will be written. `instruction` counts from 1 in file order."""

    obligation_id: UUID
    attempt: int
    end_to_end_id: str
    instruction: int
    name: str
    iban: str
    bic: str | None
    amount_cents: int
    remittance_kind: str
    remittance_text: str
    reference_type: str | None
    reference_issuer: str | None
    category_purpose: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A line that will not be paid with this batch, and why."""

    obligation_id: UUID
    status: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestContent:
    """Everything an approver approves."""

    environment: str
    mode: str
    employer_id: UUID
    administration_id: UUID
    run_id: UUID
    batch_id: UUID
    revision: int
    debtor_iban: str
    debtor_name: str
    debtor_bic: str | None
    requested_execution_date: date
    schema: str
    batch_booking: bool
    files: int
    lines: Sequence[DigestLine]
    left_out: Sequence[LeftOut]
    acknowledgement_keys: Sequence[str]


def canonical_bytes(content: DigestContent) -> bytes:
    """Return the bytes the digest is made of, as `GET .../canonical` shows them."""
    return framed_bytes(frame(content), content.lines)


def framed_bytes(framed: Mapping[str, object], lines: Sequence[DigestLine]) -> bytes:
    """Return the same of a frame that was kept, and the lines that are paid."""
    return b"".join(_pieces(framed, lines))


def digest(content: DigestContent) -> str:
    """Return the digest in hex."""
    hashed = sha256()
    for piece in _pieces(frame(content), content.lines):
        hashed.update(piece)
    return hashed.hexdigest()


def _pieces(framed: Mapping[str, object], lines: Sequence[DigestLine]) -> Iterator[bytes]:
    """Yield the canonical bytes line by line: those of a large batch are never in memory all at once."""
    yield PREFIX
    for n, name in enumerate(sorted([*framed, "lines"])):
        yield b"%b%b:" % (b"," if n else b"{", _canonical(name))
        if name != "lines":
            yield _canonical(framed[name])
            continue
        yield b"["
        for place, line in enumerate(lines):
            yield (b"," if place else b"") + _canonical(_line(line))
        yield b"]"
    yield b"}"


def _canonical(value: object) -> bytes:
    """Return RFC 8785 of texts, whole numbers below 2**53, booleans and nulls under ASCII names.

    For these Python's own JSON writer says the same as one of RFC 8785 (a test holds it to that), 20 times as fast.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()


def frame(content: DigestContent) -> dict[str, object]:
    """Return everything that the digest covers beside the lines that are paid, as JSON."""
    return {
        "environment": content.environment,
        "mode": content.mode,
        "employer_id": str(content.employer_id),
        "administration_id": str(content.administration_id),
        "run_id": str(content.run_id),
        "batch_id": str(content.batch_id),
        "revision": content.revision,
        "debtor": {"iban": content.debtor_iban, "name": content.debtor_name, "bic": content.debtor_bic},
        "requested_execution_date": content.requested_execution_date.isoformat(),
        "schema": content.schema,
        "batch_booking": content.batch_booking,
        "service_level": SERVICE_LEVEL,
        "charge_bearer": CHARGE_BEARER,
        "files": content.files,
        "number_of_transactions": len(content.lines),
        "control_sum_cents": sum(line.amount_cents for line in content.lines),
        "left_out": [
            {"obligation_id": str(line.obligation_id), "status": line.status, "reason": line.reason}
            for line in content.left_out
        ],
        "acknowledgements_needed": sorted(content.acknowledgement_keys),
    }


def _line(line: DigestLine) -> dict[str, object]:
    return {
        "obligation_id": str(line.obligation_id),
        "attempt": line.attempt,
        "end_to_end_id": line.end_to_end_id,
        "instruction": line.instruction,
        "name": line.name,
        "iban": line.iban,
        "bic": line.bic,
        "amount_cents": line.amount_cents,
        "remittance": {
            "kind": line.remittance_kind,
            "text": line.remittance_text,
            "type": line.reference_type,
            "issuer": line.reference_issuer,
        },
        "category_purpose": line.category_purpose,
    }
