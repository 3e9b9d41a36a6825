"""Much at once, past the database mapper, in the caller's transaction: many rows by COPY, one large value as it is."""

from collections.abc import Iterable, Sequence
from typing import Any, cast
from uuid import UUID

import psycopg
from psycopg import sql
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session


def copy_rows(session: Session, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows, each with the values of these columns in their order. Constraints and triggers hold as ever.

    For thousands of rows: an INSERT with as many parameters takes several times as long, and holds them all in memory.
    Raises `DBAPIError` as the session's own statements do.
    """
    session.flush()
    connection = _connection(session)
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    try:
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except psycopg.Error as error:
        raise DBAPIError.instance(
            f"COPY {table}", None, error, psycopg.Error, hide_parameters=True, connection_invalidated=connection.broken
        ) from error


def large_value(session: Session, table: str, column: str, identifier: UUID) -> bytes:
    """Return the bytes in one row, by its id. `LookupError` when there is no such row.

    In the driver's binary form: the text form, which the database mapper asks for, takes twice the memory on top.
    """
    session.flush()
    statement = sql.SQL("SELECT {} FROM {} WHERE id = %s").format(sql.Identifier(column), sql.Identifier(table))
    with _connection(session).cursor(binary=True) as cursor:
        row = cursor.execute(statement, (identifier,)).fetchone()
    if row is None:
        message = f"{table} has no row with this id"
        raise LookupError(message)
    return bytes(row[0])


def _connection(session: Session) -> psycopg.Connection:
    return cast("psycopg.Connection", session.connection().connection.driver_connection)
