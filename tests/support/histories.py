"""Histories for tests: records written as the service writes them, and an export of them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine

from app.core import history, history_export, history_proof
from app.core.database import transaction
from app.core.history import SYSTEM, Fact

NINE = datetime(2026, 11, 18, 9, 0, tzinfo=UTC)


def record(engine: Engine, organization_id: UUID, events: Iterable[str], *, moment: datetime = NINE) -> None:
    """Record these events in one transaction."""
    with transaction(engine) as session:
        for event in events:
            fact = Fact(
                organization_id=organization_id,
                event=event,
                actor=SYSTEM,
                occurred_at=moment,
                details={"note": "één € 1,00", "amount": 100},
            )
            history.record(session, fact)


def export(engine: Engine, organization_id: UUID, path: Path) -> Path:
    """Write the export of a history to a file."""
    with transaction(engine) as session:
        history_proof.snapshot(session)
        lines = "".join(history_export.export_lines(session, organization_id, now=NINE))
    path.write_text(lines, encoding="utf-8")
    return path


def write_key(engine: Engine, organization_id: UUID, path: Path) -> Path:
    """Write the key of one organization's history to a file."""
    with transaction(engine) as session:
        path.write_text(history_export.organization_keys_text(session, organization_id), encoding="utf-8")
    return path
