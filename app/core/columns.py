"""Column helpers that say the house rules once: aware UTC moments, closed sets of values, sealed bytes."""

from collections.abc import Iterable
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field


def moment(**options: Any) -> Any:
    """Return a column for an aware moment in UTC."""
    return Field(sa_type=cast("Any", sa.DateTime(timezone=True)), **options)


def big(**options: Any) -> Any:
    """Return a column for cents and counts that may outgrow 32 bits."""
    return Field(sa_type=sa.BigInteger, **options)


def document(**options: Any) -> Any:
    """Return a column for a JSON document."""
    return Field(sa_type=JSONB, **options)


def one_of(column: str, values: Iterable[str], *, table: str) -> sa.CheckConstraint:
    """Return the CHECK that a column holds one of these values."""
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=f"ck_{table}_{column}")


def any_of(column: Any, values: Iterable[Any]) -> sa.ColumnElement[bool]:
    """Return `column = ANY(array)`: one parameter however many values, where IN would pass the protocol's 65,535."""
    array = sa.cast(sa.literal(list(values), ARRAY(column.type)), ARRAY(column.type))
    return column == sa.any_(array)  # type: ignore[no-any-return]
