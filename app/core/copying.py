"""Many rows at once, by COPY: a row at a time through memory, in the caller's transaction."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

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
    connection = cast("psycopg.Connection", session.connection().connection.driver_connection)
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
