"""kill -9 at the commits of a payday: nothing acknowledged is lost, nobody is paid twice or not at all."""

from pathlib import Path

import pytest

from tests.end_to_end.commit_kills import kill_at_commits, stage
from tests.end_to_end.commit_proxy import Side
from tests.end_to_end.durable import durable_postgres
from tests.support.postgres import TestDatabase


@pytest.mark.slow
def test_a_kill_on_either_side_of_a_commit_changes_nothing(database: TestDatabase, tmp_path: Path) -> None:
    """Killed before and after six commits spread over the flow: the payday ends as if nothing had happened."""
    with stage(database, tmp_path) as ready:
        outcome = kill_at_commits(ready, count=12)

    assert outcome.missed == []
    assert [each.side for each in outcome.killed].count(Side.BEFORE) == 6
    assert [each.side for each in outcome.killed].count(Side.AFTER) == 6
    assert outcome.commits > 25


@pytest.mark.slow
def test_postgresql_killed_on_either_side_of_a_commit_changes_nothing(tmp_path: Path) -> None:
    """Killed before and after the commit of a webhook: what PostgreSQL said it has, it has after its recovery."""
    with durable_postgres() as postgres, stage(postgres.database, tmp_path, kill=postgres.kill_at_once) as ready:
        outcome = kill_at_commits(ready, count=2)

    assert outcome.missed == []
    assert [each.side for each in outcome.killed] == [Side.BEFORE, Side.AFTER]
