"""Bodies of webhooks are kept ninety days, and only what was read is erased."""

import sqlalchemy as sa

from app.payments import erasing, retention
from app.payments.context import Context
from tests.contracts.fake_source import FakePayroll
from tests.support.clock import FakeClock
from tests.support.connected import connect
from tests.support.house import House


def _kept(ctx: Context) -> list[tuple[bool, bool]]:
    """Return of each delivery, oldest first, whether it was read and whether its body is still there."""
    query = sa.text(
        "SELECT processed_at IS NOT NULL, length(body_sealed) > 0 AND headers <> '{}' "
        "FROM webhook_delivery ORDER BY received_at"
    )
    with ctx.engine.connect() as connection:
        return [(bool(read), bool(there)) for read, there in connection.execute(query)]


def test_bodies_of_webhooks_that_were_read_go_after_ninety_days(
    house: House, payroll: FakePayroll, ctx: Context, clock: FakeClock
) -> None:
    """The row stays, with its moment and hash; one that nobody read yet keeps all of it; the history has the count."""
    connected = connect(house, payroll)
    assert connected.webhook(Name="first").status_code == 202
    connected.poll()
    clock.forward(days=1)
    assert connected.webhook(Name="unread").status_code == 202
    clock.forward(days=retention.TECHNICAL_DAYS - 1)
    erasing.erase(ctx)
    assert _kept(ctx) == [(True, True), (False, True)]

    clock.forward(days=2)
    erasing.erase(ctx)

    assert _kept(ctx) == [(True, False), (False, True)]
    with ctx.engine.connect() as connection:
        told = connection.execute(sa.text("SELECT count(*) FROM history_entry WHERE event = 'webhook.erased'"))
        assert told.scalar_one() == 1


def test_what_nobody_will_read_any_more_goes_as_well(
    house: House, payroll: FakePayroll, ctx: Context, clock: FakeClock
) -> None:
    """A connection that was ended is never asked again, so its last webhooks would be unread for ever."""
    connected = connect(house, payroll)
    assert connected.webhook(Name="unread").status_code == 202
    assert house.boss.call("DELETE", f"/v1/connections/{connected.connection_id}").status_code == 204
    clock.forward(days=retention.TECHNICAL_DAYS + 1)

    erasing.erase(ctx)

    assert _kept(ctx) == [(False, False)]
