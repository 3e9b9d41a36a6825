"""A worker beside the service: what it does can wait a moment, a webhook cannot."""

import os
from pathlib import Path

import pytest

from tests.end_to_end.kill_all import split_town


@pytest.mark.slow
def test_a_worker_gives_way_to_the_service(tmp_path: Path) -> None:
    """Once it works, its priority is lower than that of the service."""
    with split_town(tmp_path, workers=1) as split:
        service, worker = split.town.service.process, split.workers[0].process
        assert service is not None
        assert worker is not None
        nice = [os.getpriority(os.PRIO_PROCESS, process.pid) for process in (service, worker)]

    assert nice[1] == nice[0] + 5
