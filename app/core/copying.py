"""Much at once, past the database mapper, in the caller's transaction: many rows, one large value as it is.

PostgreSQL refuses COPY into a table with row security (ADR 0021), so rows go as arrays, one for each column.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import islice
from typing import Any, cast
from uuid import UUID

import psycopg
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy import Insert
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Session, SQLModel

# So many rows are in memory at once: more makes it no faster.
_ROWS_AT_ONCE = 2_000


def copy_rows(session: Session, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows, each with the values of these columns in their order. Constraints and triggers hold as ever.

    For thousands of rows: an INSERT with as many parameters takes several times as long. Columns are of simple types,
    no documents or arrays. Raises `DBAPIError` as the session's own statements do.
    """
    session.flush()
    statement = _statement(table, tuple(columns))
    left = iter(rows)
    while some := list(islice(left, _ROWS_AT_ONCE)):
        values = zip(*some, strict=True)
        session.execute(statement, {f"c{n}": list(column) for n, column in enumerate(values)})


@cache
def _statement(table: str, columns: tuple[str, ...]) -> Insert:
    into = SQLModel.metadata.tables[table]
    arrays = [sa.bindparam(f"c{n}", type_=ARRAY(into.columns[name].type)) for n, name in enumerate(columns)]
    given = sa.func.unnest(*arrays).table_valued(*columns, name="given").render_derived()
    return sa.insert(into).from_select(list(columns), sa.select(*given.columns), include_defaults=False)


def large_value(session: Session, table: str, column: str, identifier: UUID) -> bytes:
    """Return the bytes in one row, by its id. `LookupError` when there is no such row.

    In the driver's binary form: the text form, which the database mapper asks for, takes twice the memory on top.
    """
    session.flush()
    statement = sql.SQL("SELECT {} FROM {} WHERE id = %s").format(sql.Identifier(column), sql.Identifier(table))
    connection = cast("psycopg.Connection", session.connection().connection.driver_connection)
    with connection.cursor(binary=True) as cursor:
        row = cursor.execute(statement, (identifier,)).fetchone()
    if row is None:
        message = f"{table} has no row with this id"
        raise LookupError(message)
    return bytes(row[0])
