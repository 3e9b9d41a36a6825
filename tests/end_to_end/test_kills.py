"""kill -9 of the service at any moment loses no acknowledged webhook and doubles no batch."""

from pathlib import Path

import pytest

from tests.end_to_end.kills import Journal, kill_under_load
from tests.end_to_end.town import running_town
from tests.support.postgres import TestDatabase


@pytest.mark.slow
def test_kills_under_load_lose_nothing_and_double_nothing(database: TestDatabase, tmp_path: Path) -> None:
    """Killed ten times under load: every acknowledged webhook is stored once, every finished run is one batch."""
    with running_town(database, tmp_path) as town:
        outcome = kill_under_load(town, Journal(tmp_path / "journal"), kills=10, seed=20261121)

    assert outcome.webhooks > 10
    assert outcome.runs > 5
