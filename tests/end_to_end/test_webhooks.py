"""Webhooks of every shape, at once, wrong and absent: every delivery is kept, every run becomes one batch."""

import socket

import httpx
import pytest
import sqlalchemy as sa

from simulators.nmbrs.data import WebhookEvent
from simulators.nmbrs.sender import Sending, SendingOrder
from simulators.nmbrs.webhook_shapes import Shape
from tests.end_to_end.town import COMPANY, Town, until


def _deliveries(town: Town) -> int:
    with town.ctx.engine.connect() as connection:
        return int(connection.execute(sa.text("SELECT count(*) FROM webhook_delivery")).scalar_one())


@pytest.mark.parametrize("shape", list(Shape))
def test_ten_webhooks_at_once_are_ten_deliveries_and_one_batch(town: Town, shape: Shape) -> None:
    """Whatever the shape: ten same webhooks at once are all kept, and the run becomes exactly one batch."""
    before = _deliveries(town)
    run_id = town.finish_run()

    sent = town.nmbrs.send_webhooks(
        COMPANY,
        run_id,
        sending=Sending(shapes=[shape], copies=10, order=SendingOrder.AT_ONCE, url=town.webhook_url, attempts=1),
    )

    expected = {413} if shape is Shape.BIG else {202}
    assert {delivery.attempts[-1].status for delivery in sent} == expected
    assert _deliveries(town) - before == 10
    batch = until(lambda: town.batches_of(run_id), f"a batch of run {run_id}")[0]
    assert batch["number_of_transactions"] == 8
    until(lambda: _unprocessed(town) == 0, "every delivery to be looked at")
    assert len(town.batches_of(run_id)) == 1


def _unprocessed(town: Town) -> int:
    with town.ctx.engine.connect() as connection:
        query = "SELECT count(*) FROM webhook_delivery WHERE processed_at IS NULL"
        return int(connection.execute(sa.text(query)).scalar_one())


def test_a_webhook_of_another_event_is_taken_and_finds_what_is_new(town: Town) -> None:
    """Journaalposten Einde is answered and kept like any other; it makes no batch of its own."""
    before = len(town.batches())

    sent = town.nmbrs.send_webhooks(
        COMPANY, sending=Sending(events=[WebhookEvent.JOURNALS_FINISH], url=town.webhook_url, attempts=1)
    )

    assert [delivery.attempts[-1].status for delivery in sent] == [202]
    until(lambda: _unprocessed(town) == 0, "the delivery to be looked at")
    assert len(town.batches()) == before


def test_an_address_that_is_not_in_use_is_not_found(town: Town) -> None:
    """A wrong token is 404 for every method, and nothing is stored."""
    before = _deliveries(town)
    url = f"{town.service.base_url}/client/{'x' * 43}/webhooks/paymentsbatch"

    statuses = [httpx.request(method, url, trust_env=False).status_code for method in ("POST", "PUT", "GET", "HEAD")]

    assert statuses == [404] * 4
    assert _deliveries(town) == before


def test_a_probe_of_the_address_is_answered(town: Town) -> None:
    """HEAD and OPTIONS are 200 and store nothing."""
    before = _deliveries(town)

    statuses = [httpx.request(method, town.webhook_url, trust_env=False).status_code for method in ("HEAD", "OPTIONS")]

    assert statuses == [200, 200]
    assert _deliveries(town) == before


@pytest.mark.parametrize("media", ["application/x-unknown", "", "text/plain; charset=klingon"])
def test_no_content_type_is_refused(town: Town, media: str) -> None:
    """A body of any content type is taken: the sender might switch the webhook off otherwise."""
    answer = httpx.post(town.webhook_url, content=b"\xff\xfe{", headers={"Content-Type": media}, trust_env=False)

    assert answer.status_code == 202


def test_a_body_that_does_not_come_is_noted_without_it(town: Town) -> None:
    """A sender that never finishes its body gets 408 after ten seconds, and the call itself is kept."""
    before = _deliveries(town)
    url = httpx.URL(town.webhook_url)
    head = f"POST {url.raw_path.decode()} HTTP/1.1\r\nHost: {url.host}\r\nContent-Length: 1000\r\n\r\n{{".encode()

    with socket.create_connection((url.host, url.port or 80), timeout=30) as connection:
        connection.sendall(head)
        answer = connection.recv(4096).decode()

    assert answer.startswith("HTTP/1.1 408 ")
    assert _deliveries(town) == before + 1
