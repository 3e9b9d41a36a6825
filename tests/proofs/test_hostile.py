"""The short version of `./run prove hostile`."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.end_to_end.town import running_town
from tests.proofs.hostile import NO_LIMITS, attack, ids_of, target_of
from tests.proofs.slow_clients import besiege
from tests.support.postgres import TestDatabase


@pytest.mark.slow
def test_two_thousand_hostile_requests_break_nothing(database: TestDatabase, tmp_path: Path) -> None:
    """No 5xx, every refusal a problem that repeats nothing, and no memory that stays taken."""
    with running_town(database, tmp_path, **NO_LIMITS) as town:
        report = attack(town, target_of(town, ids_of(town)), count=2_000, seed=20261121)
        log = town.service.log.read_text(encoding="utf-8", errors="replace")

    assert sum(report.statuses.values()) + report.hung_up == 2_000
    assert {202, 400, 401, 404, 405, 413, 415, 422} <= set(report.statuses)
    assert "unforeseen_error" not in log, log[-2000:]
    assert "Traceback" not in log, log[-2000:]
    assert "Kanarie" not in log


@pytest.mark.slow
def test_slow_clients_are_cut_off_while_health_is_told(database: TestDatabase, tmp_path: Path) -> None:
    """Whatever they are slow at, all lose their connection, none before its time but the unknown; others are served."""
    with running_town(database, tmp_path) as town:
        outcome = besiege(town, count=60)
        with town.ctx.engine.connect() as connection:
            query = sa.text("SELECT body_state, count(*) FROM webhook_delivery GROUP BY 1")
            deliveries = [tuple(row) for row in connection.execute(query)]

    assert outcome.left == 0
    assert {kind: len(each) for kind, each in outcome.cut_off.items()} == dict.fromkeys(outcome.cut_off, 10)
    assert len(outcome.cut_off) == 6
    assert max(outcome.cut_off["stranger"]) < min(outcome.cut_off["call"])
    assert min(outcome.cut_off["head"]) >= 9
    assert len(outcome.health_seconds) > 20
    assert deliveries == [("too_slow", 10)]
