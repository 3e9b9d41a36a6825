"""Two readings of a run that cross: the one that was asked for first and comes last changes nothing."""

from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from app.core.database import transaction
from app.payments import fetching
from app.payments.context import Context
from app.payments.readings import ReadingOutcome
from tests.contracts.fake_source import FakePayroll, timed_out
from tests.payments.payroll_document import Line
from tests.support.connected import Connected, connect
from tests.support.house import House, document, lines
from tests.support.jobs import waiting_jobs, work_off


@pytest.fixture
def connected(house: House, payroll: FakePayroll) -> Connected:
    """An administration that is read through a connection, with one run that was fetched."""
    found = connect(house, payroll)
    found.fetched(lines(3))
    return found


def _fetch(connected: Connected) -> ReadingOutcome | None:
    (run,) = connected.runs()
    return fetching.fetch_run(connected.house.ctx, UUID(run["id"]))


def _shown(connected: Connected) -> tuple[list[Any], list[Any], list[Any]]:
    """Return what people see: the run, the batch with its lines, and the history."""
    (batch,) = connected.batches()
    house = connected.house
    rows = [*house.transfers(batch["id"]), connected.house.batch(batch["id"])]
    return list(connected.runs()), rows, house.boss.get("/v1/history").json()


def _newer(connected: Connected, rows: list[Line], shown: list[Any], *, xml: bytes | None = None) -> None:
    """Change the document at the source, have another worker fetch it, and note what is shown then."""
    connected.payroll.set_only_document(document(rows) if xml is None else xml)
    _fetch(connected)
    shown.append(_shown(connected))


def _outcomes(ctx: Context) -> list[str]:
    with transaction(ctx.engine) as session:
        rows = session.execute(sa.text("SELECT outcome FROM source_reading ORDER BY fetched_at, id")).scalars()
        return sorted(rows)


def test_a_late_answer_does_not_bring_back_what_the_source_has_changed(connected: Connected) -> None:
    """It is kept, nothing that is shown changes, and the run is asked once more."""
    shown: list[Any] = []
    connected.payroll.meanwhile = lambda: _newer(connected, lines(3, cents=300_000), shown)

    outcome = _fetch(connected)

    assert outcome is ReadingOutcome.LATE
    assert [_shown(connected)] == shown
    assert connected.batches()[0]["control_sum"]["amount"] == "9003.00"
    assert _outcomes(connected.house.ctx) == ["late", "read", "read"]
    assert [name for name, _ in waiting_jobs(connected.house.ctx)] == ["fetch_run"]
    work_off(connected.house.ctx)
    assert [_shown(connected)] == shown


def test_a_late_answer_makes_no_batch_of_a_run_that_is_doubtful_by_now(house: House, payroll: FakePayroll) -> None:
    """Between question and arrival the totals stopped adding up: the run stays doubtful."""
    connected = connect(house, payroll)
    connected.finish_run(lines(2))
    wrong = document(lines(2)).replace(b"<CtrlSum>5001.00</CtrlSum>", b"<CtrlSum>5001.01</CtrlSum>")

    def meanwhile() -> None:
        payroll.set_only_document(wrong)
        _fetch(connected)

    payroll.meanwhile = meanwhile
    connected.poll()

    assert connected.runs()[0]["state"] == "doubtful"
    assert connected.batches() == []


def test_a_late_fault_says_nothing_about_a_run_that_was_fetched(connected: Connected) -> None:
    """A worker that stood still until its time was over writes no fault over what another one fetched."""
    shown: list[Any] = []

    def meanwhile() -> None:
        _newer(connected, lines(3, cents=300_000), shown)
        raise timed_out()

    connected.payroll.meanwhile = meanwhile

    assert _fetch(connected) is None
    assert [_shown(connected)] == shown
    assert waiting_jobs(connected.house.ctx) == []


def test_a_late_answer_that_says_the_same_is_an_ordinary_reading(connected: Connected) -> None:
    """Two readings that cross and agree trouble nobody: not the batch, and not an approval that waits for one."""
    shown: list[Any] = []
    connected.payroll.meanwhile = lambda: _newer(connected, lines(3), shown)

    assert _fetch(connected) is ReadingOutcome.UNCHANGED
    assert waiting_jobs(connected.house.ctx) == []


def test_an_approval_whose_reading_crosses_another_is_refused(connected: Connected, clock: Any) -> None:
    """Nobody knows which of the two holds: nothing is approved, and the approver is asked to look again."""
    batch = connected.house.batch(connected.batches()[0]["id"])
    clock.forward(minutes=20)
    connected.payroll.meanwhile = lambda: _newer(connected, lines(3, cents=300_000), [])

    answer = connected.house.boss.approve(batch)

    assert (answer.status_code, answer.json()["code"]) == (409, "source_changed")
    assert connected.batches()[0]["approvals"] == []
