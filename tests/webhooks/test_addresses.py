from uuid import UUID

import sqlalchemy as sa

from app.payments.context import Context
from app.payments.webhook_deliveries import Address
from app.webhooks.addresses import KnownAddresses
from tests.support.house import House
from tests.support.jobs import waiting_jobs, work_off

ADDRESS = Address(token_id=UUID(int=1), connection_id=UUID(int=2))


def _connection(house: House) -> dict[str, str]:
    made: dict[str, str] = house.boss.post(
        "/v1/connections",
        {
            "organization_id": str(house.employer_id),
            "kind": "nmbrs_soap",
            "username": "salaris@demo.example",
            "token": "demo-token-not-a-secret",
            "domain": "demo",
        },
    ).json()
    return made


def _post(house: House, connection: dict[str, str]) -> int:
    path = connection["webhook_url"].split("/client/", 1)[1]
    return house.client.post(f"/client/{path}", content=b"{}").status_code


def _stored(ctx: Context) -> int:
    with ctx.engine.connect() as connection:
        return int(connection.execute(sa.text("SELECT count(*) FROM webhook_delivery")).scalar_one())


def test_webhooks_at_once_are_rows_and_one_poke(ctx: Context, house: House) -> None:
    """Each is a row when it has been answered; all but the first find a poke waiting."""
    connection = _connection(house)
    assert [_post(house, connection) for _ in range(3)] == [202, 202, 202]
    assert _stored(ctx) == 3
    assert len(waiting_jobs(ctx)) == 1


def test_a_webhook_after_the_poke_was_worked_off_pokes_again(ctx: Context, house: House) -> None:
    """An address that is known already does not keep its webhook from being looked at."""
    connection = _connection(house)
    assert _post(house, connection) == 202
    work_off(ctx)
    assert _post(house, connection) == 202
    assert len(waiting_jobs(ctx)) == 1


def test_a_withdrawn_address_is_not_found_from_the_next_webhook_on(ctx: Context, house: House) -> None:
    """That the address was in use a moment ago makes no difference: nothing is stored, and nothing is poked."""
    connection = _connection(house)
    assert _post(house, connection) == 202
    work_off(ctx)
    assert house.boss.call("DELETE", f"/v1/connections/{connection['id']}").status_code == 204
    assert [_post(house, connection) for _ in range(2)] == [404, 404]
    assert _stored(ctx) == 1
    assert waiting_jobs(ctx) == []


def test_known_addresses_have_a_limit() -> None:
    """Whatever comes in, they take a bounded amount of memory; the oldest makes room."""
    known = KnownAddresses(maximum=2)
    for token in ("a", "b", "b"):
        known.add(token, ADDRESS)
    assert [known.get(token) for token in ("a", "b")] == [ADDRESS, ADDRESS]
    known.add("c", ADDRESS)
    assert [known.get(token) for token in ("a", "b", "c")] == [None, ADDRESS, ADDRESS]
    known.forget("b")
    known.forget("b")
    assert known.get("b") is None
