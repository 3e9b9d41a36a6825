"""The log of the running service at its most talkative: planted secrets never stand in it."""

import json
from pathlib import Path

import pytest

from tests.end_to_end.town import Town, running_town, until
from tests.http.sockets import head, speak, with_body
from tests.support.house import PIN, WRONG_PIN
from tests.support.postgres import TestDatabase

TEMPLATE = "/client/{webhook_token}/webhooks/paymentsbatch"


def _call_every_way(town: Town, secret: str) -> list[int]:
    """Send the secret of a webhook wherever a sender, a prober or a mistake could put it."""
    path = f"/client/{secret}/webhooks/paymentsbatch"
    token = f"Authorization: Bearer {town.boss.token}"
    requests = [
        *(head(path, method=method) for method in ("POST", "GET", "HEAD", "OPTIONS", "DELETE", secret)),
        *(with_body(path, body) for body in (b"{}", secret.encode(), b"x" * 70_000)),
        *(head(f"{path}?again={secret}"), head(f"{path}/"), head(f"//client/{secret}"), head(f"/client/{secret}")),
        *(head(f"/v1/payment-batches?status={secret}", token), head(f"/v1/payment-batches/{secret}", token)),
        *(head("/v1/me", f"Authorization: Bearer {secret}"), head("/v1/me", f"X-{secret}: {secret}")),
        *(head(path + secret * 300), head(path, f"X: {secret * 1500}"), head(f"http://a{path}")),
        *(f"GET {path} HTTP/x\r\nHost: {secret}\r\n\r\n".encode(), head(path, "Transfer-Encoding: x")),
    ]
    return [speak(town.service.port, request).status for request in requests]


@pytest.mark.slow
def test_no_secret_stands_in_the_log(database: TestDatabase, tmp_path: Path) -> None:
    """The webhook's token, good or bad, an API token and a PIN: not in any line; the template of the route is."""
    with running_town(database, tmp_path, LOONSTROOM_LOG_LEVEL="DEBUG") as town:
        good = town.webhook_url.split("/")[4]
        bad = "Geheim" + good[6:]
        statuses = [status for secret in (good, bad) for status in _call_every_way(town, secret)]
        run_id = town.finish_run()
        batch = until(lambda: town.batches_of(run_id) or town.sync(), "a batch")[0]
        assert town.boss.approve(batch, pin=WRONG_PIN).status_code == 403
        log = town.service.log.read_text(encoding="utf-8", errors="replace")

    assert {200, 202, 400, 401, 404, 405, 413, 414, 422, 431} <= set(statuses)
    for secret in (good[10:], bad[:16], town.boss.token[4:], WRONG_PIN, PIN):
        assert secret not in log, next(line for line in log.splitlines() if secret in line)
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    logged = [line for line in lines if line.get("event") == "request"]
    assert {line["status"] for line in logged if line["route"] == TEMPLATE} >= {200, 202, 404, 405, 413}
    assert all(len(line["request_id"]) == 36 for line in logged)
