"""kill -9 of anything at any moment loses no acknowledged webhook and doubles no batch."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.kill_all import split_town
from tests.end_to_end.kills import Journal, kill_service, strike_under_load
from tests.end_to_end.town import Town, running_town
from tests.local_server import Received, Reply, serving
from tests.support.postgres import TestDatabase


@pytest.mark.slow
def test_kills_of_everything_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    """Service, workers, PostgreSQL, its backends, a restart: every webhook once, every run one batch."""
    with split_town(tmp_path) as split:
        journal = Journal(tmp_path / "journal")
        outcome = strike_under_load(split.town, journal, split.strikes(), count=10, seed=20261121, most_runs=20)

    assert outcome.webhooks > 10
    assert outcome.runs > 5
    assert {name: len(found) for name, found in outcome.recoveries.items()} == dict.fromkeys(split.strikes(), 2)


@pytest.mark.slow
def test_the_proof_finds_a_service_that_answers_before_it_stored(database: TestDatabase, tmp_path: Path) -> None:
    """With a front that acknowledges first and passes on later, the count finds webhooks that are lost."""
    with running_town(database, tmp_path) as town, _eager(town) as webhook_url:
        town.webhook_url = webhook_url
        with pytest.raises(AssertionError, match="acknowledged webhooks are not stored"):
            strike_under_load(
                town, Journal(tmp_path / "journal"), {"service": kill_service(town)}, count=2, seed=1, most_runs=3
            )


@contextmanager
def _eager(town: Town) -> Iterator[str]:
    """Acknowledge every webhook at once and pass it on beside that: what the service must not do."""
    url = town.webhook_url

    def pass_on(body: bytes) -> None:
        with suppress(httpx.TransportError):
            httpx.post(url, content=body, trust_env=False, timeout=5)

    behind = ThreadPoolExecutor(2)

    def acknowledge(request: Received) -> Reply:
        behind.submit(pass_on, request.body)
        return Reply(status=202)

    try:
        with serving(acknowledge) as front:
            yield front.url
    finally:
        behind.shutdown(cancel_futures=True)
