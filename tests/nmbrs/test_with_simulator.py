"""The adapter against the simulated Nmbrs: its faults, its answers in every variant, over a real socket."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from itertools import product
from typing import Any
from urllib.parse import urlencode

import pytest

from app.nmbrs.source import NmbrsSoapKind, NmbrsSoapSource
from app.payments.errors import FaultKind as Who
from app.payments.errors import SourceFault
from app.payments.ports import SourceCredentials, SourceRun, WebhookHint
from app.payments.reading import read_document
from simulators.nmbrs.data import SepaDefect, SepaEncoding, SepaVersion, WebhookEvent
from simulators.nmbrs.faults import FaultKind
from simulators.nmbrs.process import SimulatorClient, run_simulator
from simulators.nmbrs.webhook_shapes import Notice, Shape, shape_notice

CREDENTIALS = SourceCredentials(username="salaris@demo.example", secret="demo-token-not-a-secret", domain="demo")
COMPANY = "2100"
PAY_DAY = date(2026, 11, 25)


@pytest.fixture(scope="module")
def process() -> Iterator[SimulatorClient]:
    """One simulator on the demo's data for all tests here."""
    with run_simulator() as running:
        yield running


@pytest.fixture
def simulator(process: SimulatorClient) -> SimulatorClient:
    """The simulator, put back to its data."""
    process.reset()
    return process


@pytest.fixture
def kind(simulator: SimulatorClient) -> NmbrsSoapKind:
    """The adapter, with a short limit for each message."""
    return NmbrsSoapKind(
        base_url=f"{simulator.base_url}/soap/v3",
        clock=lambda: datetime(2020, 5, 1, tzinfo=UTC),
        pause=lambda _: None,
        jitter=lambda: 0.0,
        call_timeout_seconds=5.0,
    )


@pytest.fixture
def source(kind: NmbrsSoapKind) -> NmbrsSoapSource:
    """The adapter, opened with the demo's login."""
    return kind.open(CREDENTIALS)


@pytest.fixture
def run(source: NmbrsSoapSource) -> SourceRun:
    """The run of April 2020."""
    return source.list_runs(COMPANY, year=2020)[0]


def questions(source: NmbrsSoapSource, run: SourceRun) -> dict[str, Callable[[], object]]:
    """Every question by the operation it needs."""
    return {
        "Debtor.List_GetAll": source.list_administrations,
        "Company.List_GetByDebtor": source.list_administrations,
        "Company.Run_GetList": lambda: source.list_runs(COMPANY, year=2020),
        "Company.SalaryDocuments_GetSEPA": lambda: source.fetch_payments(COMPANY, run, payment_date=PAY_DAY),
        "Company.BankAccount_GetCurrent": lambda: source.debtor_account(COMPANY),
        "Company.Run_GetEmployeesByRunCompany": lambda: source.run_employees(COMPANY, run),
    }


def test_the_demo_connection_passes_its_check(source: NmbrsSoapSource):
    """Each operation answers ok, by its exact name."""
    rows = source.check()
    assert {(row.outcome.value, row.explanation) for row in rows} == {("ok", "")}
    assert len(rows) == 8


FAULTS: list[tuple[FaultKind, dict[str, Any], Who, str]] = [
    (FaultKind.HTML, {"status": 503}, Who.WAIT, "source_busy"),
    (FaultKind.HTML, {"status": 200}, Who.WAIT, "source_answer_unusable"),
    (FaultKind.BROKEN_HTML, {"status": 503}, Who.WAIT, "source_busy"),
    (FaultKind.BROKEN_HTML, {"status": 200}, Who.WAIT, "source_answer_unusable"),
    (FaultKind.REDIRECT, {}, Who.WAIT, "source_answer_unusable"),
    (FaultKind.HALF_BODY, {}, Who.WAIT, "source_answer_unusable"),
    (FaultKind.DTD, {}, Who.WAIT, "source_answer_unusable"),
    (FaultKind.HUGE, {}, Who.OURS, "answer_too_large"),
    (FaultKind.GZIP_BOMB, {}, Who.OURS, "answer_too_large"),
    (FaultKind.SOAP_FAULT, {"code": 1001}, Who.PERSON, "credentials_refused"),
    (FaultKind.SOAP_FAULT, {"code": 1003}, Who.PERSON, "data_not_visible"),
    (FaultKind.SOAP_FAULT, {"code": 1004}, Who.PERSON, "subscription_ended"),
    (FaultKind.SOAP_FAULT, {"code": 1006}, Who.WAIT, "source_busy"),
    (FaultKind.SOAP_FAULT, {"code": 9999}, Who.WAIT, "source_busy"),
]


@pytest.mark.parametrize("operation", ["Debtor.List_GetAll", "Company.Run_GetList", "Company.SalaryDocuments_GetSEPA"])
@pytest.mark.parametrize(("fault", "settings", "who", "code"), FAULTS)
def test_each_fault_of_the_simulator_is_named_and_heals(
    simulator: SimulatorClient,
    source: NmbrsSoapSource,
    run: SourceRun,
    operation: str,
    fault: FaultKind,
    settings: dict[str, Any],
    who: Who,
    code: str,
):
    """No fault becomes an answer; when it is over the answers are there again."""
    ask = questions(source, run)[operation]
    simulator.add_fault(fault, operation, **settings)
    if code == "data_not_visible" and operation == "Debtor.List_GetAll":
        assert ask() != []  # another way to the administrations is open
        return
    with pytest.raises(SourceFault) as caught:
        ask()
    assert (caught.value.kind, caught.value.code) == (who, code)
    assert caught.value.operation.replace("Service", "") == operation
    simulator.clear_faults()
    assert ask()


def test_a_reset_connection_is_tried_three_times(simulator: SimulatorClient, source: NmbrsSoapSource):
    """Then it waits."""
    simulator.add_fault(FaultKind.RESET, "Company.Run_GetList", times=2)
    assert source.list_runs(COMPANY, year=2020)
    simulator.add_fault(FaultKind.RESET, "Company.Run_GetList", times=3)
    with pytest.raises(SourceFault) as caught:
        source.list_runs(COMPANY, year=2020)
    assert caught.value.code in {"source_unreachable", "source_answer_unusable"}
    assert len(simulator.calls("Company.Run_GetList")) == 6


def test_a_slow_answer_is_a_time_out(simulator: SimulatorClient, kind: NmbrsSoapKind):
    """The limit given on opening ends the call; it is not tried again at once."""
    simulator.add_fault(FaultKind.DELAY, "Company.Run_GetList", seconds=60)
    with pytest.raises(SourceFault) as caught:
        kind.open(CREDENTIALS, timeout_seconds=0.3).list_runs(COMPANY, year=2020)
    assert (caught.value.kind, caught.value.code) == (Who.WAIT, "source_timeout")
    assert len(simulator.calls("Company.Run_GetList")) == 1
    simulator.clear_faults()


@pytest.mark.parametrize(
    "operation",
    [
        "Debtor.List_GetAll",
        "Company.List_GetByDebtor",
        "Company.Run_GetList",
        "Company.BankAccount_GetCurrent",
        "Company.Run_GetEmployeesByRunCompany",
    ],
)
@pytest.mark.parametrize(
    "fault", [FaultKind.ELEMENT_INSERTED, FaultKind.ELEMENT_APPENDED, FaultKind.ELEMENTS_REORDERED]
)
def test_new_and_moved_elements_change_no_value(
    simulator: SimulatorClient, source: NmbrsSoapSource, run: SourceRun, operation: str, fault: FaultKind
):
    """The own reader gives what the strict one gave, from one answer."""
    ask = questions(source, run)[operation]
    before = ask()
    simulator.forget_calls()
    simulator.add_fault(fault, operation)
    assert ask() == before
    assert len(simulator.calls(operation)) == 1


@pytest.mark.parametrize(("encoding", "version"), list(product(SepaEncoding, SepaVersion)))
def test_a_payment_file_in_any_dress_arrives_readable(
    simulator: SimulatorClient, source: NmbrsSoapSource, run: SourceRun, encoding: SepaEncoding, version: SepaVersion
):
    """What the adapter hands on is what the reader of payment files takes: 8 payments, EUR 19,806.08."""
    simulator.change_company(int(COMPANY), sepa={"encoding": encoding, "version": version})
    document = source.fetch_payments(COMPANY, run, payment_date=PAY_DAY)
    batch = read_document(document.content)
    assert (batch.schema, len(batch.transfers)) == (version.value, 8)
    assert sum(transfer.amount_cents or 0 for transfer in batch.transfers) == 1_980_608
    assert {instruction.requested_execution_date for instruction in batch.instructions} == {PAY_DAY}


@pytest.mark.parametrize("defect", [SepaDefect.EMPTY, SepaDefect.ABSENT])
def test_no_document_is_empty(simulator: SimulatorClient, source: NmbrsSoapSource, run: SourceRun, defect: SepaDefect):
    """An empty element and no element mean the same."""
    simulator.change_company(int(COMPANY), sepa={"defects": [defect]})
    assert source.fetch_payments(COMPANY, run, payment_date=PAY_DAY).content == b""


def test_a_login_limited_to_one_company_still_lists_it(simulator: SimulatorClient, source: NmbrsSoapSource):
    """It reaches no debtor, so its client is not known; it passes the check."""
    simulator.change_user(CREDENTIALS.username, accountant=False, debtor_ids=[501], company_ids=[2100])
    (found,) = source.list_administrations()
    assert (found.external_id, found.client_external_id) == (COMPANY, None)
    assert all(row.outcome.value == "ok" for row in source.check() if row.required)


def test_the_wrong_domain_is_found_by_the_check(simulator: SimulatorClient, kind: NmbrsSoapKind):
    """The token is good elsewhere: one call tells it, and no other is made."""
    source = kind.open(SourceCredentials(username=CREDENTIALS.username, secret=CREDENTIALS.secret, domain="other"))
    first, *others = source.check()
    assert (first.outcome.value, {row.outcome.value for row in others}) == ("failed", {"not_tried"})
    assert [call.operation for call in simulator.calls()] == ["Debtor.Environment_Get"]


NUMBERED = {Shape.JSON_INTS, Shape.JSON_DUTCH, Shape.JSON_NESTED, Shape.JSON_ARRAY, Shape.JSON_IN_STRING, Shape.FORM}
NUMBERED |= {Shape.XML, Shape.GET_QUERY, Shape.PUT, Shape.WRONG_CHARSET}
SILENT = {Shape.EMPTY, Shape.BROKEN_JSON, Shape.BIG}


@pytest.mark.parametrize("event", list(WebhookEvent))
@pytest.mark.parametrize("shape", list(Shape))
def test_every_shape_of_webhook_is_read(kind: NmbrsSoapKind, shape: Shape, event: WebhookEvent):
    """Administration, client, run, year and kind of event in whatever dress; what says nothing is one empty hint."""
    notice = Notice(
        event=event,
        domain="demo",
        debtor_id=501,
        company_id=2100,
        company_name="Café \u00c9\u00e9n",
        run_id=41001,
        year=2020,
        period=4,
    )
    sent = shape_notice(notice, shape)
    hints = kind.read_webhook(
        body=sent.content, headers={"content-type": sent.content_type or ""}, query=urlencode(sent.query)
    )
    if shape in SILENT:
        assert list(hints) == [WebhookHint()]
        return
    hint = hints[0]
    assert hint.is_run_finished is (event is WebhookEvent.RUN_FINISH)
    assert hint.year == 2020
    if shape in NUMBERED:
        assert (hint.administration_external_id, hint.run_external_id) == ("2100", "41001")
        assert hint.client_external_id == (None if shape is Shape.JSON_NESTED else "501")
    else:
        assert shape is Shape.JSON_GUIDS
        assert len(hint.run_external_id or "") == len(hint.administration_external_id or "") == 36
