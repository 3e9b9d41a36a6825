"""What stands in the database at one moment, as far as money goes: read by plain SQL, past the service's own code."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from types import SimpleNamespace
from typing import Any

from tests.proofs.model_house import ModelHouse

Row = SimpleNamespace
HELD = ("live", "spent")

_BATCHES = (
    "SELECT id::text, run_id::text, status, revision, digest, debtor_account_id::text AS account, kind, mode, "
    "requested_execution_date AS day, number_of_transactions AS number, control_sum_cents AS cents "
    "FROM payment_batch ORDER BY created_at, id"
)
_LINES = (
    "SELECT id::text, batch_id::text, obligation_id::text AS obligation, position, status, decision, hold_code, "
    "amount_cents AS cents, creditor_iban AS iban, creditor_name AS name, remittance_text AS text, end_to_end_id, "
    "file_n, payment_information_id AS block FROM credit_transfer ORDER BY batch_id, position"
)
_CLAIMS = (
    "SELECT id::text, obligation_id::text AS obligation, attempt, state, way, batch_id::text, amount_cents AS cents, "
    "debtor_account_id::text AS account, requested_execution_date AS day, release_fact, was_handed_out "
    "FROM claim ORDER BY id"
)
_FILES = (
    "SELECT id::text, batch_id::text, revision, n, message_id, sha256, md5(content_sealed) AS sealed, "
    "number_of_transactions AS number, control_sum_cents AS cents, handed_out_at, voided_at, void_reason, delivered_at "
    "FROM payment_file ORDER BY stored_at, id"
)
_OBLIGATIONS = (
    "SELECT o.id::text, o.run_id::text, o.creditor, o.amount_cents AS cents, o.n, r.state AS run_state, "
    "r.reading_id::text, r.source_kind FROM obligation o JOIN payroll_run r ON r.id = o.run_id ORDER BY o.id"
)
_HOLDS = "SELECT id::text, target_id::text AS batch_id, code FROM hold WHERE lifted_at IS NULL ORDER BY placed_at, id"


# One question for all of it: the same moment, and one way there and back.
_ALL = " UNION ALL ".join(
    f"SELECT {n} AS n, coalesce(json_agg(each), '[]')::text AS rows FROM ({query}) AS each"
    for n, query in enumerate((_BATCHES, _LINES, _CLAIMS, _FILES, _OBLIGATIONS, _HOLDS))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Batches, lines, claims, files and obligations by id."""

    batches: Mapping[str, Row]
    lines: Mapping[str, Row]
    claims: Mapping[str, Row]
    files: Mapping[str, Row]
    obligations: Mapping[str, Row]
    holds: Sequence[Row]
    _by_batch: dict[str, list[Row]] = field(default_factory=dict, compare=False)

    def lines_of(self, batch_id: str) -> list[Row]:
        """Return the lines of a batch in order."""
        if not self._by_batch:
            for line in self.lines.values():
                self._by_batch.setdefault(line.batch_id, []).append(line)
        return self._by_batch.get(batch_id, [])

    def live_file(self, batch_id: str) -> Row | None:
        """Return the file of a batch that is not void; the employer's batches are small, so there is one at most."""
        found = [file for file in self.files.values() if file.batch_id == batch_id and file.voided_at is None]
        return found[0] if found else None

    def held_claims(self) -> list[Row]:
        """Return the live and spent claims."""
        return [claim for claim in self.claims.values() if claim.state in HELD]


NOTHING = Picture(batches={}, lines={}, claims={}, files={}, obligations={}, holds=())


def look(house: ModelHouse) -> Picture:
    """Return what stands in the database now."""
    said = {part.n: json.loads(part.rows, object_hook=_row) for part in house.rows(_ALL)}
    batches, lines, claims, files, obligations, holds = (said[n] for n in range(len(said)))
    return Picture(
        batches=_by_id(batches),
        lines=_by_id(lines),
        claims=_by_id(claims),
        files=_by_id(files),
        obligations=_by_id(obligations),
        holds=holds,
    )


def _by_id(rows: Sequence[Row]) -> dict[str, Row]:
    return {row.id: row for row in rows}


def _row(values: dict[str, Any]) -> Row:
    day = values.get("day")
    return Row(**values) if day is None else Row(**{**values, "day": date.fromisoformat(day)})
