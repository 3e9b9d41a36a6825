"""Webhooks as they are stored: each with all it came with, all that come together or none, and one poke."""

from hashlib import sha256

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import DataError
from sqlmodel import select

from app.core.database import transaction
from app.main import Service
from app.payments.context import Context
from app.payments.models import WebhookDelivery
from app.payments.syncing import delivery_place
from app.payments.webhook_deliveries import Address, Delivered, find_address, record_deliveries
from tests.contracts.fake_source import FakePayroll
from tests.http.connected import Source, connected
from tests.support.clock import FakeClock
from tests.support.jobs import waiting_jobs, work_off


@pytest.fixture
def source(service: Service, client: TestClient, payroll: FakePayroll) -> Source:
    """A connection whose webhook address is in use, with nothing to do."""
    made = connected(service, client, payroll, "10")
    work_off(service.context)
    return made


@pytest.fixture
def address(ctx: Context, source: Source) -> Address:
    """Its webhook address."""
    with transaction(ctx.engine) as session:
        found = find_address(ctx, session, source.webhook_path.split("/")[2])
    assert found is not None
    return found


def _webhook(address: Address, body: bytes, query: str = "") -> Delivered:
    headers = {"user-agent": "Nmbrs", "x-event": 'Loon "Einde" \\ é'}
    return Delivered(address=address, method="PUT", headers=headers, query=query, body=body)


def _stored(ctx: Context) -> list[WebhookDelivery]:
    with transaction(ctx.engine) as session:
        return list(session.exec(select(WebhookDelivery)))


@pytest.mark.parametrize("beside_waiting_poke", [False, True])
def test_each_is_stored_with_all_it_came_with(ctx: Context, address: Address, *, beside_waiting_poke: bool) -> None:
    """Together or alone, first or beside a waiting poke: body, headers and query are what they were, and one poke."""
    if beside_waiting_poke:
        assert record_deliveries(ctx, address, [_webhook(address, b"earlier")])
    before = {row.id for row in _stored(ctx)}
    bodies = [b"", b"\x00\xff{", "salaris é".encode() * 5_000]

    assert record_deliveries(ctx, address, [_webhook(address, body, query="a=1&b=\\u0000") for body in bodies])

    rows = [row for row in _stored(ctx) if row.id not in before]
    opened = {
        row.body_sha256: ctx.keyring.open(row.body_sealed, delivery_place(row.connection_id, row.id)) for row in rows
    }
    assert opened == {sha256(body).hexdigest(): body for body in bodies}
    for row in rows:
        assert (row.connection_id, row.token_id) == (address.connection_id, address.token_id)
        assert (row.method, row.query, row.body_state) == ("PUT", "a=1&b=\\u0000", "complete")
        assert row.headers == {"user-agent": "Nmbrs", "x-event": 'Loon "Einde" \\ é'}
        assert (row.received_at, row.processed_at) == (ctx.now(), None)
    assert [task for task, _ in waiting_jobs(ctx)] == ["sync_runs"]


def test_an_address_that_was_withdrawn_stores_none(
    ctx: Context, source: Source, address: Address, clock: FakeClock
) -> None:
    """Also when a poke waits: nothing is stored, and the caller is told."""
    assert source.boss.post(f"/v1/connections/{source.connection_id}/webhook-token").status_code == 201
    assert record_deliveries(ctx, address, [_webhook(address, b"in its days of grace")])
    clock.forward(hours=73)
    assert not record_deliveries(ctx, address, [_webhook(address, b"a"), _webhook(address, b"b")])
    work_off(ctx)
    assert not record_deliveries(ctx, address, [_webhook(address, b"a"), _webhook(address, b"b")])
    assert len(_stored(ctx)) == 1
    assert waiting_jobs(ctx) == []


def test_those_that_come_together_are_stored_all_or_none(ctx: Context, address: Address) -> None:
    """What PostgreSQL refuses of one leaves nothing of the others, so that they can be stored again one by one."""
    with pytest.raises(DataError):
        record_deliveries(ctx, address, [_webhook(address, b"good"), _webhook(address, b"bad", query="\x00")])
    assert _stored(ctx) == []
    assert waiting_jobs(ctx) == []
