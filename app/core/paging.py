"""Pages of long lists. A cursor names the last row of the page before: what is added meanwhile shifts nothing."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

import sqlalchemy as sa
from fastapi import Depends, Query, Request
from pydantic import BaseModel

from app.core.errors import Invalid, Problem

_MOST_CHARACTERS: Final = 300
CursorText = Annotated[str | None, Query(max_length=_MOST_CHARACTERS, description="From the Link header, rel=next")]

Row = TypeVar("Row")
Statement = TypeVar("Statement", bound=sa.Select[Any])


class Cursor(BaseModel):
    """Where a page ended: the moment and id of its last row."""

    moment: datetime
    id: UUID


class Page(BaseModel):
    """Which page is asked for."""

    limit: int
    cursor: Cursor | None

    def newest_first(self, statement: Statement, moment: Any, identifier: Any) -> Statement:
        """Return the statement for this page, and for one row more, which tells whether there is a next page."""
        if self.cursor is not None:
            before = sa.tuple_(self.cursor.moment, self.cursor.id)
            statement = statement.where(sa.tuple_(moment, identifier) < before)
        return statement.order_by(moment.desc(), identifier.desc()).limit(self.limit + 1)

    def cut(
        self, request: Request, rows: Sequence[Row], key: Callable[[Row], tuple[datetime, UUID]]
    ) -> tuple[Sequence[Row], Mapping[str, str]]:
        """Return the rows of this page, and the Link header to the next one when there is one."""
        shown = rows[: self.limit]
        if len(rows) <= self.limit:
            return shown, {}
        moment, identifier = key(shown[-1])
        return shown, next_link(request, moment.isoformat(), str(identifier))


def _page(default: int, most: int) -> Callable[..., Page]:
    def page_of(limit: Annotated[int, Query(ge=1, le=most)] = default, cursor: CursorText = None) -> Page:
        return Page(limit=limit, cursor=None if cursor is None else _moment_and_id(cursor))

    return page_of


PageDep = Annotated[Page, Depends(_page(50, 200))]
# Of lists whose rows cost little to show.
LongPageDep = Annotated[Page, Depends(_page(200, 1000))]


def _moment_and_id(cursor: str) -> Cursor:
    moment, identifier = parts_of(cursor, 2)
    try:
        return Cursor(moment=datetime.fromisoformat(moment), id=UUID(identifier))
    except ValueError as error:
        raise bad_cursor() from error


def parts_of(cursor: str, count: int) -> list[str]:
    """Return the parts that `next_link` put into a cursor; 422 for one that is none of ours."""
    try:
        parts = base64.urlsafe_b64decode(cursor.encode("ascii")).decode("ascii").split("|")
    except (ValueError, binascii.Error) as error:
        raise bad_cursor() from error
    if len(parts) != count:
        raise bad_cursor()
    return parts


def bad_cursor() -> Invalid:
    """Return the refusal of a cursor that is none of ours."""
    message = "Use the cursor from the Link header of the page before."
    return Invalid(errors=[Problem(pointer="query:cursor", code="cursor", message=message)])


def next_link(request: Request, *parts: str) -> dict[str, str]:
    """Return the Link header to the page after the row with this key; RFC 8288."""
    cursor = base64.urlsafe_b64encode("|".join(parts).encode()).decode()
    url = request.url.include_query_params(cursor=cursor)
    return {"Link": f'<{url.path}?{url.query}>; rel="next"'}
