"""A town for the end-to-end tests."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.town import Town, running_town
from tests.support.postgres import TestDatabase


@pytest.fixture(scope="module")
def town(database: TestDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """One town for all tests of a module; each test finishes runs of its own."""
    with running_town(database, tmp_path_factory.mktemp("town")) as running:
        yield running
