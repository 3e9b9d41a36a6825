"""schemathesis over the running service, with a valid token: no 5xx, and every answer as documented."""

from pathlib import Path

import pytest

from tests.end_to_end.town import running_town
from tests.http.generated_calls import cases_in, generated_calls
from tests.proofs.hostile import NO_LIMITS
from tests.support.postgres import TestDatabase

_CASES = 2_000


@pytest.mark.slow
def test_no_call_breaks_the_service_or_the_documentation(database: TestDatabase, tmp_path: Path) -> None:
    """Thousands of generated calls, right and wrong: never a 5xx, every status, header and body as documented."""
    with running_town(database, tmp_path, **NO_LIMITS) as town:
        done = generated_calls(town, tmp_path, examples=10, seed=20261121)
        log = town.service.log.read_text(encoding="utf-8", errors="replace")

    assert cases_in(done) >= _CASES
    assert "unforeseen_error" not in log
    assert "database_error" not in log, log[-2000:]
