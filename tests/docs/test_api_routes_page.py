"""docs/api-routes.md says what the service knows: also where /docs is off."""

from tests.docs.api_routes_table import PAGE, tables
from tests.docs.made_tables import on_page


def test_the_page_shows_the_operations_as_they_are() -> None:
    """Who builds on the API reads every operation, filter and header that there is, and none that is gone."""
    assert on_page(PAGE) == tables(), "write it again with .venv/bin/python -m tests.docs.api_routes_table"
