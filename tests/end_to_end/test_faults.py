"""Faults of the source: never a wrong batch; each heals by itself, or says in words what a person must do."""

from typing import Any

import pytest
import sqlalchemy as sa

from simulators.nmbrs.faults import FaultKind
from simulators.nmbrs.sender import Sending
from tests.end_to_end.town import COMPANY, Town, until

GETSEPA = "Company.SalaryDocuments_GetSEPA"
# Faults that time may end: the run is tried again by itself, and by "nu ophalen" at once.
PASSING: dict[str, dict[str, Any]] = {
    "time_out": {"kind": FaultKind.DELAY, "seconds": 8},
    "503_html": {"kind": FaultKind.HTML, "status": 503},
    "200_html": {"kind": FaultKind.HTML, "status": 200},
    "200_broken_html": {"kind": FaultKind.BROKEN_HTML, "status": 200},
    "reset": {"kind": FaultKind.RESET},
    "half_an_answer": {"kind": FaultKind.HALF_BODY},
    "1006": {"kind": FaultKind.SOAP_FAULT, "code": 1006},
    "9999": {"kind": FaultKind.SOAP_FAULT, "code": 9999},
    "empty": {"kind": FaultKind.EMPTY_RESULT},
}
# Faults that a person must end: the words name what to do.
A_PERSONS: dict[str, tuple[dict[str, Any], str]] = {
    "1001": ({"kind": FaultKind.SOAP_FAULT, "code": 1001}, "credentials_refused"),
    "1002": ({"kind": FaultKind.SOAP_FAULT, "code": 1002}, "right_missing"),
    "1003": ({"kind": FaultKind.SOAP_FAULT, "code": 1003}, "data_not_visible"),
}
NEVER_READ: dict[str, dict[str, Any]] = {
    "dtd": {"kind": FaultKind.DTD},
    "redirect": {"kind": FaultKind.REDIRECT, "status": 302},
    "gzip_bomb": {"kind": FaultKind.GZIP_BOMB, "size_bytes": 64 * 1024 * 1024},
    "huge": {"kind": FaultKind.HUGE, "size_bytes": 64 * 1024 * 1024},
}


_SYNCING = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'sync_runs' AND status IN ('todo', 'doing')"


@pytest.fixture(autouse=True)
def _healed(town: Town) -> Any:
    town.nmbrs.clear_faults()
    # What an earlier test asked for last would ask for the run of this one as well.
    until(lambda: not _syncing(town), "earlier questions to be answered")
    yield
    town.nmbrs.clear_faults()


def _syncing(town: Town) -> int:
    with town.ctx.engine.connect() as connection:
        return int(connection.execute(sa.text(_SYNCING)).scalar_one())


def _told(town: Town, run_id: int) -> dict[str, Any]:
    """Return the run once something was said about why it is not there."""
    return until(
        lambda: next(
            (run for run in town.runs() if run["description"] == f"Salaris {run_id}" and run["reason_code"]), None
        ),
        f"a reason on run {run_id}",
    )


def _fetched(town: Town, run_id: int) -> dict[str, Any]:
    return until(lambda: town.batches_of(run_id), f"a batch of run {run_id}")[0]


@pytest.mark.parametrize("name", list(PASSING))
def test_a_passing_fault_heals_by_itself_or_at_once_when_asked(town: Town, name: str) -> None:
    """While it lasts there is no batch and the run says why; afterwards the right batch comes."""
    order = dict(PASSING[name])
    town.nmbrs.add_fault(order.pop("kind"), GETSEPA, **order)
    run_id = town.finish_run()
    town.sync()

    told = _told(town, run_id)
    assert told["state"] == "fetching", told
    assert told["next_attempt_at"] is not None
    assert told["reason"]
    assert town.batches_of(run_id) == []
    town.nmbrs.clear_faults()
    town.sync()

    assert _fetched(town, run_id)["number_of_transactions"] == 8


@pytest.mark.parametrize("name", list(A_PERSONS))
def test_a_fault_for_a_person_says_what_to_do(town: Town, name: str) -> None:
    """The run and the history name the exact call; nothing is hammered; mended, the run is fetched when asked."""
    order, code = dict(A_PERSONS[name][0]), A_PERSONS[name][1]
    town.nmbrs.forget_calls()
    town.nmbrs.add_fault(order.pop("kind"), GETSEPA, **order)
    run_id = town.finish_run()
    town.sync()

    told = _told(town, run_id)

    assert (told["state"], told["reason_code"]) == ("failed", code)
    assert told["operation"] == "CompanyService.SalaryDocuments_GetSEPA"
    assert len(told["reason"]) > 30
    assert town.batches_of(run_id) == []
    event = next(each for each in town.events() if each["event"] == "run.not_fetched")
    assert event["facts"]["details"]["operation"] == "CompanyService.SalaryDocuments_GetSEPA"
    asked = [call for call in town.nmbrs.calls(GETSEPA) if f"'RunID': '{run_id}'" in repr(call)]
    assert len(asked) == 1
    town.nmbrs.clear_faults()
    town.sync()
    assert _fetched(town, run_id)["number_of_transactions"] == 8


@pytest.mark.parametrize("name", list(NEVER_READ))
def test_an_answer_that_is_no_answer_makes_no_batch(town: Town, name: str) -> None:
    """A DTD, a redirect, a bomb or far too much: no batch, and words; afterwards the right batch comes."""
    order = dict(NEVER_READ[name])
    town.nmbrs.add_fault(order.pop("kind"), GETSEPA, **order)
    run_id = town.finish_run()
    town.sync()

    told = _told(town, run_id)

    assert told["state"] in {"fetching", "failed"}
    assert town.batches_of(run_id) == []
    town.nmbrs.clear_faults()
    town.sync()
    assert _fetched(town, run_id)["number_of_transactions"] == 8


@pytest.mark.parametrize("operation", ["Company.Run_GetList", "Company.BankAccount_GetCurrent"])
@pytest.mark.parametrize("kind", [FaultKind.ELEMENT_INSERTED, FaultKind.ELEMENT_APPENDED, FaultKind.ELEMENTS_REORDERED])
def test_a_vendor_who_adds_or_moves_an_element_stops_nobody(town: Town, operation: str, kind: FaultKind) -> None:
    """An element inserted before the IBAN, appended, or all of them reordered: the batch is right all the same."""
    town.nmbrs.add_fault(kind, operation)
    run_id = town.finish_run()
    town.sync()

    batch = _fetched(town, run_id)

    assert batch["number_of_transactions"] == 8
    assert batch["run"]["description"] == f"Salaris {run_id}"
    codes = [each["code"] for each in town.boss.get(f"/v1/payment-batches/{batch['id']}/findings").json()]
    assert "source_account_differs" not in codes


def test_totals_that_do_not_add_up_make_no_batch(town: Town) -> None:
    """A document whose control sum is wrong makes the run doubtful; mended and asked again, the batch comes."""
    town.nmbrs.add_fault(FaultKind.TOTALS_WRONG, GETSEPA)
    run_id = town.finish_run()
    town.sync()

    told = _told(town, run_id)

    assert (told["state"], told["reason_code"]) == ("doubtful", "totals_differ")
    assert "EUR" in told["reason"]
    assert town.batches_of(run_id) == []
    town.nmbrs.clear_faults()
    town.sync()
    assert _fetched(town, run_id)["status"] == "pending"


def test_a_document_that_comes_later_comes_by_itself(town: Town) -> None:
    """A run whose document is not there yet is asked for again; nobody has to do anything."""
    town.nmbrs.add_fault(FaultKind.EMPTY_RESULT, GETSEPA, times=1)
    run_id = town.finish_run()
    # Not by "nu ophalen": that reads every open run again, and another one would meet the fault.
    town.nmbrs.send_webhooks(COMPANY, run_id, sending=Sending(url=town.webhook_url))

    told = _told(town, run_id)

    assert told["reason_code"] == "document_not_there_yet"
    assert told["next_attempt_at"] is not None
    assert until(lambda: town.batches_of(run_id), "the second try after 30 seconds", seconds=90)


@pytest.mark.parametrize(
    "settings",
    [
        {"encoding": "base64"},
        {"encoding": "text_bom"},
        {"encoding": "text_utf16"},
        {"encoding": "base64_utf16"},
        {"encoding": "zip"},
        {"version": "pain.001.001.09"},
        {"version": "pain.001.001.02"},
        {"version": "pain.001.003.03"},
    ],
)
def test_every_variant_of_the_document_is_read(town: Town, settings: dict[str, str]) -> None:
    """However the document is packed and in whichever version, the same eight lines come out."""
    run_id = town.finish_run(sepa=settings)
    town.sync()

    batch = _fetched(town, run_id)

    assert batch["number_of_transactions"] == 8
    assert batch["control_sum"]["amount"] == f"{8028 + 8 * (run_id % 100) // 100}.{8 * (run_id % 100) % 100:02d}"


@pytest.mark.parametrize(("defect", "payable"), [("invalid_iban", 7), ("non_eur", 7), ("duplicate_end_to_end_id", 8)])
def test_a_bad_line_waits_and_the_good_ones_go(town: Town, defect: str, payable: int) -> None:
    """One wrong IBAN or one other currency: that line is invalid, the others are offered."""
    run_id = town.finish_run(sepa={"defects": [defect]})
    town.sync()

    batch = _fetched(town, run_id)

    assert batch["number_of_transactions"] == payable
    assert batch["counts"].get("invalid", 0) == 8 - payable


def test_an_amount_in_another_currency_is_shown_as_it_stands(town: Town) -> None:
    """A line in dollars is refused, and nobody who looks at it takes it for euros."""
    run_id = town.finish_run(sepa={"defects": ["non_eur"]})
    town.sync()

    batch = _fetched(town, run_id)

    lines = town.boss.get(f"/v1/payment-batches/{batch['id']}/transfers").json()["items"]
    shown = {line["status"]: line["amount"]["currency"] for line in lines}
    assert shown == {"invalid": "USD", "payable": "EUR"}


def test_refused_credentials_are_not_hammered(town: Town) -> None:
    """Refused twice, the connection is not asked again until a person checks it."""
    town.nmbrs.add_fault(FaultKind.SOAP_FAULT, None, code=1001)
    for _ in range(2):
        town.sync()
        until(lambda: _fault_code(town) == "credentials_refused", "the fault on the connection")
        until(lambda: _sync_jobs(town) == 0, "the sync")
    state = town.boss.get(f"/v1/connections/{town.connection_id}").json()
    town.nmbrs.forget_calls()
    refused = town.boss.post(f"/v1/administrations/{town.administration_id}/sync")

    assert state["state"] == "failed"
    assert refused.status_code == 409
    assert town.nmbrs.calls() == []
    town.nmbrs.clear_faults()
    checked = town.boss.post(f"/v1/connections/{town.connection_id}/check").json()
    assert checked["state"] == "passed"


def _fault_code(town: Town) -> str | None:
    fault = town.boss.get(f"/v1/connections/{town.connection_id}").json()["fault"]
    return None if fault is None else fault["code"]


def _sync_jobs(town: Town) -> int:
    with town.ctx.engine.connect() as connection:
        query = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'sync_runs' AND status IN ('todo', 'doing')"
        return int(connection.execute(sa.text(query)).scalar_one())
