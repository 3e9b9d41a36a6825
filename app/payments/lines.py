"""The lines of a batch as plain values, for judging them, for the digest and for the file.

A database object for each line takes five times the memory and several times the time to load. What was changed on the
values is written back by `store`, and by nothing else.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import date
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm.util import identity_key
from sqlmodel import Session, SQLModel

from app.payments.models import CreditTransfer

# So many rows are in memory twice, as the driver's and as ours.
AT_ONCE = 2_000


@dataclass(slots=True)
class Line:
    """One line; the fields are columns of `CreditTransfer` and mean the same. Cents, euros."""

    id: UUID
    obligation_id: UUID
    position: int
    status: str
    decision: str
    decision_reason: str | None
    hold_code: str | None
    kind: str
    attempt: int
    end_to_end_id: str
    creditor_name: str
    creditor_name_original: str
    creditor_iban: str
    creditor_bic: str | None
    amount_cents: int
    currency: str
    remittance_kind: str
    remittance_text: str
    remittance_text_original: str
    reference_type: str | None
    reference_issuer: str | None
    source_end_to_end_id: str | None
    source_debtor_iban: str | None
    source_creditor_bic: str | None
    source_execution_date: date | None


_COLUMNS = tuple(field.name for field in fields(Line))
_OFTEN_EQUAL = (
    *("status", "decision", "decision_reason", "hold_code", "kind", "creditor_bic", "currency", "remittance_kind"),
    *("reference_type", "reference_issuer", "source_debtor_iban", "source_creditor_bic"),
    "source_execution_date",
)
_PLACES_OFTEN_EQUAL = tuple(_COLUMNS.index(name) for name in _OFTEN_EQUAL)
_NAME, _ORIGINAL_NAME = _COLUMNS.index("creditor_name"), _COLUMNS.index("creditor_name_original")
_TEXT, _ORIGINAL_TEXT = _COLUMNS.index("remittance_text"), _COLUMNS.index("remittance_text_original")


def of_batch(session: Session, batch_id: UUID) -> list[Line]:
    """Return the lines of a batch in the order of the source, as the database has them now."""
    session.flush()
    table = SQLModel.metadata.tables["credit_transfer"]
    statement = sa.select(*(table.c[name] for name in _COLUMNS)).where(table.c.batch_id == batch_id)
    rows = session.execute(statement.order_by(table.c.position), execution_options={"yield_per": AT_ONCE})
    return list(_sharing(rows))


def _sharing(rows: Iterable[sa.Row[Any]]) -> Iterator[Line]:
    """Yield lines in which equal values are one object: the driver makes a new text of every "payable"."""
    known: dict[object, object] = {}
    for row in rows:
        values = list(row)
        for place in _PLACES_OFTEN_EQUAL:
            values[place] = known.setdefault(values[place], values[place])
        for written, original in ((_NAME, _ORIGINAL_NAME), (_TEXT, _ORIGINAL_TEXT)):
            if values[original] == values[written]:
                values[original] = values[written]
        yield Line(*values)  # the columns are the fields, in their order


def store(session: Session, lines: Iterable[Line], *names: str) -> None:
    """Write these columns of changed lines back. What the session itself holds of them is read anew when it is used."""
    values = [{"id": line.id, **{name: getattr(line, name) for name in names}} for line in lines]
    if not values:
        return
    session.flush()
    session.execute(sa.update(CreditTransfer), values)
    for value in values:
        row = session.identity_map.get(identity_key(CreditTransfer, value["id"]))
        if row is not None:
            session.expire(row)
