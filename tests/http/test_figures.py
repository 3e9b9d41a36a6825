"""The figures of /metrics count what somebody can still do something about."""

import re

from fastapi.testclient import TestClient

from tests.contracts.fake_source import FakePayroll
from tests.support.connected import connect
from tests.support.house import House


def test_webhooks_of_a_connection_that_ended_wait_for_nobody(
    client: TestClient, house: House, payroll: FakePayroll
) -> None:
    """Nobody looks at them any more: counted, the alarm would ring until they are erased."""
    gone, other = connect(house, payroll), connect(house, payroll, external_id="2101")
    for each in (gone, other):
        assert each.webhook(run_id=1).status_code == 202
    before = _unprocessed(client)

    assert house.boss.call("DELETE", f"/v1/connections/{gone.connection_id}").status_code == 204

    assert (before, _unprocessed(client)) == (2, 1)


def _unprocessed(client: TestClient) -> float:
    shown = re.search(r"^loonstroom_webhook_deliveries_unprocessed (.+)$", client.get("/metrics").text, re.MULTILINE)
    assert shown
    return float(shown[1])
