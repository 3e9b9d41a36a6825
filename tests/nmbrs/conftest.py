from collections.abc import Iterator

import pytest

from app.nmbrs.source import NmbrsSoapSource
from tests.nmbrs.scripted import CREDENTIALS, ScriptedNmbrs, scripted_nmbrs


@pytest.fixture
def nmbrs() -> Iterator[ScriptedNmbrs]:
    """A hand-written Nmbrs that answers well until told otherwise."""
    with scripted_nmbrs() as running:
        yield running


@pytest.fixture
def source(nmbrs: ScriptedNmbrs) -> NmbrsSoapSource:
    """The adapter, opened on it."""
    return nmbrs.kind().open(CREDENTIALS)
