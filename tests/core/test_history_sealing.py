"""Seals: one a day for each organization that has something new, given to a witness once it is committed."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from app.core import history
from app.core.database import transaction
from app.core.history import SYSTEM, Fact
from app.core.history_sealing import SealedHead, log_head, seal_due
from app.payments.context import Context
from app.payments.tasks import work
from tests.support.clock import FakeClock

_NINE = datetime(2026, 11, 18, 9, 0, tzinfo=UTC)
# Midnight in Amsterdam is 23:00 UTC in winter.
_MIDNIGHT = datetime(2026, 11, 18, 23, 0, tzinfo=UTC)


def _record(engine: Engine, organization_id: UUID, moment: datetime = _NINE) -> None:
    with transaction(engine) as session:
        history.record(session, Fact(organization_id=organization_id, event="a", actor=SYSTEM, occurred_at=moment))


def _events(engine: Engine, organization_id: UUID) -> list[tuple[str, dict[str, object]]]:
    query = sa.text("SELECT event, payload FROM history_entry WHERE organization_id = :id ORDER BY sequence")
    with engine.connect() as connection:
        rows = connection.execute(query, {"id": organization_id})
        return [(row.event, json.loads(row.payload)["details"]) for row in rows]


def test_a_day_is_sealed_once_it_is_over(engine: Engine) -> None:
    """Until midnight in Amsterdam nothing is sealed; then the day is, with where the history stood."""
    organization_id = uuid4()
    _record(engine, organization_id)
    _record(engine, organization_id)

    during = seal_due(engine, _MIDNIGHT - timedelta(seconds=1))
    after = seal_due(engine, _MIDNIGHT)

    assert during == []
    assert [(each.organization_id, each.sequence) for each in after] == [(organization_id, 3)]
    with engine.connect() as connection:
        second = connection.execute(sa.text("SELECT hash, mac FROM history_entry WHERE sequence = 2")).one()
    stated = {"sequence": 2, "hash": second.hash.hex(), "mac": second.mac.hex(), "count": 2}
    assert _events(engine, organization_id)[-1] == ("history.sealed", stated)


def test_nothing_new_is_not_sealed_again(engine: Engine) -> None:
    """A seal is not itself a reason for the next one; new records are, the day after."""
    organization_id = uuid4()
    _record(engine, organization_id)
    seal_due(engine, _MIDNIGHT)

    quiet = [seal_due(engine, _MIDNIGHT + timedelta(days=days)) for days in range(5)]
    _record(engine, organization_id, _MIDNIGHT + timedelta(days=5))
    same_day = seal_due(engine, _MIDNIGHT + timedelta(days=5, hours=23))
    next_day = seal_due(engine, _MIDNIGHT + timedelta(days=6))

    assert [*quiet, same_day] == [[]] * 6
    assert [each.sequence for each in next_day] == [4]
    assert _events(engine, organization_id)[-1][1]["count"] == 1


def test_workers_at_the_same_moment_seal_once(engine: Engine) -> None:
    """Eight workers find the same ten histories due: each gets one seal, and each seal one witness."""
    organizations = [uuid4() for _ in range(10)]
    for organization_id in organizations:
        _record(engine, organization_id)
    seen: list[SealedHead] = []

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: seal_due(engine, _MIDNIGHT, witness=seen.append), range(8)))

    assert sorted(each.organization_id for each in seen) == sorted(organizations)
    assert all([event for event, _ in _events(engine, each)] == ["a", "history.sealed"] for each in organizations)


def test_the_log_keeps_the_head_where_the_database_does_not_reach(capsys: pytest.CaptureFixture[str]) -> None:
    """The line in the log names organization, number and mac: enough to compare with later."""
    head = SealedHead(organization_id=uuid4(), sequence=17, mac=b"\xab" * 32, sealed_at=_NINE)

    log_head(head)

    shown = capsys.readouterr().out
    assert "history_sealed" in shown
    assert str(head.organization_id) in shown
    assert "ab" * 32 in shown


@pytest.mark.parametrize("level", ["INFO", "WARNING", "CRITICAL"])
def test_the_line_is_written_whatever_is_logged_else(level: str) -> None:
    """Who wants a quiet log still has the heads kept: without them nobody sees an end that was cut off."""
    script = (
        "import structlog; from datetime import UTC, datetime; from uuid import UUID\n"
        "from app.core.history_sealing import SealedHead, log_head; from app.core.log import configure_logging\n"
        f"configure_logging({level!r})\n"
        "structlog.get_logger('app.core.other').info('chatter')\n"
        "log_head(SealedHead(organization_id=UUID(int=5), sequence=17, mac=b'm', sealed_at=datetime.now(UTC)))\n"
    )

    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stderr

    events = [json.loads(line) for line in shown.splitlines()]
    assert [event["event"] for event in events] == [*(["chatter"] if level == "INFO" else []), "history_sealed"]
    assert (events[-1]["sequence"], events[-1]["mac"]) == (17, "6d")


def test_the_tick_of_a_worker_seals(ctx: Context, clock: FakeClock) -> None:
    """No timer of its own is needed: the tick that polls also seals."""
    organization_id = uuid4()
    _record(ctx.engine, organization_id, clock())
    tick = work(ctx).tick

    tick()
    clock.forward(days=1)
    tick()
    tick()

    assert [event for event, _ in _events(ctx.engine, organization_id)] == ["a", "history.sealed"]
