"""The poll finds what no webhook told of."""

from pathlib import Path

from tests.end_to_end.town import running_town, until
from tests.support.postgres import TestDatabase


def test_a_run_whose_webhook_never_came_is_found_by_the_poll(database: TestDatabase, tmp_path: Path) -> None:
    """Without any webhook, the poll finds the run; one from before go-live is listed and not payable."""
    with running_town(database, tmp_path, LOONSTROOM_POLL_INTERVAL_SECONDS="1") as quiet:
        run_id = quiet.finish_run()
        old = quiet.finish_run(run_at="2025-12-20T10:00:00", period=12, year=2026)

        batch = until(lambda: quiet.batches_of(run_id), "the poll")[0]

        assert quiet.run(run_id)["discovered_by"] == "poll"
        assert batch["status"] == "pending"
        before = quiet.run(old)
        assert (before["state"], before["reason_code"]) == ("ignored", "before_go_live")
        assert "go-live" in before["reason"]
        assert quiet.batches_of(old) == []
