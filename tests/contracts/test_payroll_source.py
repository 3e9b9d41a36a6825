"""What every payroll source keeps to, run over the Nmbrs adapter on the simulator and over the fake used elsewhere."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from app.core.errors import Invalid
from app.payments.errors import FaultKind, SourceFault
from app.payments.ports import (
    CheckOutcome,
    PayrollSource,
    SourceAdministration,
    SourceCredentials,
    SourceRun,
    WebhookHint,
)
from simulators.nmbrs.process import SimulatorClient, run_simulator
from tests.contracts.stages import (
    BAKERY,
    EVERYTHING,
    FLORIST,
    FLORIST_ONLY,
    FakeStage,
    NmbrsStage,
    Stage,
    nmbrs_data,
)

PAY_DAY = date(2026, 11, 25)
METHODS = ("list_administrations", "list_runs", "fetch_payments", "debtor_account", "run_employees")


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorClient]:
    """One process for all tests here, put back to its data before each."""
    with run_simulator(nmbrs_data()) as running:
        yield running


@pytest.fixture(params=["fake", "nmbrs_soap"])
def stage(request: pytest.FixtureRequest) -> Stage:
    """The same payroll package behind each adapter."""
    if request.param == "fake":
        return FakeStage()
    simulator: SimulatorClient = request.getfixturevalue("simulator")
    simulator.reset()
    return NmbrsStage(simulator)


@pytest.fixture
def source(stage: Stage) -> PayrollSource:
    """A source that sees everything."""
    return stage.kind.open(EVERYTHING)


@pytest.fixture
def run(source: PayrollSource) -> SourceRun:
    """The run of October."""
    return source.list_runs(BAKERY, year=2026)[0]


def ask(source: PayrollSource, method: str, run: SourceRun, administration: str = BAKERY) -> object:
    """Call a method of the port by name."""
    questions: dict[str, Callable[[], object]] = {
        "list_administrations": source.list_administrations,
        "list_runs": lambda: source.list_runs(administration, year=run.year),
        "fetch_payments": lambda: source.fetch_payments(administration, run, payment_date=PAY_DAY),
        "debtor_account": lambda: source.debtor_account(administration),
        "run_employees": lambda: source.run_employees(administration, run),
    }
    return questions[method]()


def fault_of(source: PayrollSource, method: str, run: SourceRun, administration: str = BAKERY) -> SourceFault:
    """Call a method and return the fault that must come."""
    with pytest.raises(SourceFault) as caught:
        ask(source, method, run, administration)
    return caught.value


# ------------------------------------------------------------------------------------------------------------- content


def test_administrations_have_key_number_name_and_client(source: PayrollSource):
    """Each is listed once, with who it belongs to."""
    # How often each pays is another question; a source need not know it.
    listed = [replace(found, frequency=None) for found in source.list_administrations()]
    assert sorted(listed, key=lambda found: found.external_id) == [
        SourceAdministration(
            external_id=BAKERY,
            number="1",
            name="Bakkerij Jansen B.V.",
            client_external_id="21",
            client_name="Jansen Groep",
        ),
        SourceAdministration(
            external_id=FLORIST, number="2", name="Bloemen De Vries", client_external_id="22", client_name="De Vries"
        ),
    ]


def test_a_login_sees_what_it_may_see_and_nothing_else(stage: Stage, run: SourceRun):
    """Two connections to one package: the limited one lists less, and gets no run, file or account of the other."""
    limited = stage.kind.open(FLORIST_ONLY)
    assert [found.external_id for found in limited.list_administrations()] == [FLORIST]
    for method in METHODS[1:]:
        fault = fault_of(limited, method, run)
        assert fault.kind is FaultKind.PERSON
        assert fault.code in {"administration_unknown", "data_not_visible"}
        assert fault.operation


@pytest.mark.parametrize(("year", "periods"), [(2024, []), (2025, [12]), (2026, [10])])
def test_runs_are_listed_by_payroll_year(source: PayrollSource, year: int, periods: list[int]):
    """A year without runs is an empty list."""
    runs = source.list_runs(BAKERY, year=year)
    assert [(run.year, run.period_start, run.period_end) for run in runs] == [
        (year, period, period) for period in periods
    ]


def test_a_run_is_told_in_full(source: PayrollSource):
    """Key, number, description, lock and the moment it was made, aware and in UTC."""
    (run,) = source.list_runs(BAKERY, year=2026)
    assert run.external_id
    assert (run.number, run.description, run.is_locked) == (1, "Salaris", False)
    assert run.made_at == datetime(2026, 10, 22, 8, 0, tzinfo=UTC)
    assert run.made_at.utcoffset() == timedelta(0)
    assert run.frequency in {"month", None}


def test_a_finished_run_appears_and_an_undone_run_is_gone(stage: Stage, source: PayrollSource):
    """The list is what the package holds now; a new run has a key of its own."""
    before = source.list_runs(BAKERY, year=2026)
    stage.finish_run()
    runs = source.list_runs(BAKERY, year=2026)
    (new,) = [run for run in runs if run not in before]
    assert (len(runs), new.period_end, new.number) == (2, 11, 2)
    stage.undo_run(new)
    assert source.list_runs(BAKERY, year=2026) == before
    assert fault_of(source, "fetch_payments", new).code == "run_unknown"


def test_reading_twice_gives_the_same(source: PayrollSource, run: SourceRun):
    """Questions change nothing (a document may carry a new id and time, so only its presence is compared)."""
    for method in METHODS:
        if method != "fetch_payments":
            assert ask(source, method, run) == ask(source, method, run)


def test_a_document_is_bytes_with_the_date_that_was_asked(source: PayrollSource, run: SourceRun):
    """The adapter reads nothing in it."""
    document = source.fetch_payments(BAKERY, run, payment_date=PAY_DAY)
    assert isinstance(document.content, bytes)
    assert b"<Document" in document.content
    assert document.requested_payment_date == PAY_DAY


def test_a_document_that_comes_later_is_empty_first(stage: Stage, source: PayrollSource, run: SourceRun):
    """Not there yet is empty content, no fault."""
    stage.document_later(run)
    assert source.fetch_payments(BAKERY, run, payment_date=PAY_DAY).content == b""
    assert source.fetch_payments(BAKERY, run, payment_date=PAY_DAY).content != b""


def test_the_account_of_an_administration(source: PayrollSource):
    """As stored there; None where there is none."""
    account = source.debtor_account(BAKERY)
    assert account is not None
    assert (account.iban, account.name) == ("NL91ABNA0417164300", "Bakkerij Jansen B.V.")
    assert source.debtor_account(FLORIST) is None


def test_who_is_in_a_run(source: PayrollSource, run: SourceRun):
    """By the numbers people know them by."""
    assert sorted(employee.number for employee in source.run_employees(BAKERY, run) or []) == ["1", "2"]


def test_an_administration_without_runs_has_none(source: PayrollSource):
    """Empty is an answer."""
    assert list(source.list_runs(FLORIST, year=2026)) == []


# -------------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize("method", METHODS[1:])
@pytest.mark.parametrize("unknown", ["123456", "nonsense"])
def test_an_unknown_administration_is_a_fault_and_never_an_empty_answer(
    source: PayrollSource, run: SourceRun, method: str, unknown: str
):
    """Nobody mistakes a wrong key for a company without runs."""
    fault = fault_of(source, method, run, unknown)
    assert fault.code == "administration_unknown"
    assert fault.kind is not FaultKind.WAIT


@pytest.mark.parametrize("method", METHODS)
def test_a_refused_login_is_for_a_person(stage: Stage, source: PayrollSource, run: SourceRun, method: str):
    """Every question says so, and all is well again with the login."""
    stage.refuse_login()
    fault = fault_of(source, method, run)
    assert (fault.kind, fault.code) == (FaultKind.PERSON, "credentials_refused")
    stage.heal()
    assert ask(source, method, run) is not None


@pytest.mark.parametrize("credentials", [replace(EVERYTHING, secret="another"), replace(EVERYTHING, username="x@y.nl")])
def test_wrong_credentials_are_refused(stage: Stage, run: SourceRun, credentials: SourceCredentials):
    """Nothing is shown to another user or token."""
    source = stage.kind.open(credentials)
    for method in METHODS:
        assert fault_of(source, method, run).code == "credentials_refused"


@pytest.mark.parametrize("method", [method for method in METHODS if method != "run_employees"])
def test_a_missing_right_is_for_a_person_and_names_the_call(
    stage: Stage, source: PayrollSource, run: SourceRun, method: str
):
    """What to switch on is in `operation`, by its exact name."""
    stage.deny(method)
    fault = fault_of(source, method, run)
    assert (fault.kind, fault.code) == (FaultKind.PERSON, "right_missing")
    assert re.fullmatch(r"\w+\.\w+", fault.operation)
    assert fault.explanation


def test_who_is_in_a_run_is_none_without_the_right(stage: Stage, source: PayrollSource, run: SourceRun):
    """The right is optional."""
    stage.deny("run_employees")
    assert source.run_employees(BAKERY, run) is None


@pytest.mark.parametrize("method", METHODS)
def test_an_outage_waits_and_heals(stage: Stage, source: PayrollSource, run: SourceRun, method: str):
    """While it lasts every question is a fault that waits, never an empty answer; then the answers are as before."""
    before = ask(source, method, run)
    stage.stop_answering()
    assert fault_of(source, method, run).kind is FaultKind.WAIT
    stage.heal()
    assert method == "fetch_payments" or ask(source, method, run) == before


def test_no_fault_shows_a_secret(stage: Stage, run: SourceRun):
    """Token and user name stay out of every fault, its repr and its explanation."""
    source = stage.kind.open(EVERYTHING)
    for break_it in (stage.refuse_login, lambda: stage.deny("list_runs"), stage.stop_answering):
        break_it()
        shown = "".join(repr(fault_of(source, "list_runs", run)) + str(fault_of(source, "list_runs", run)))
        stage.heal()
        assert EVERYTHING.secret not in shown
        assert EVERYTHING.username not in shown
    assert EVERYTHING.secret not in repr(source) + repr(EVERYTHING)


# --------------------------------------------------------------------------------------------------------------- check


def test_a_good_connection_passes_its_check(source: PayrollSource):
    """Each operation once, by a name of its own, all well."""
    rows = source.check()
    assert {row.outcome for row in rows} == {CheckOutcome.OK}
    assert len({row.operation for row in rows}) == len(rows)
    assert any(row.required for row in rows)


@pytest.mark.parametrize("method", ["list_runs", "fetch_payments", "debtor_account", "list_administrations"])
def test_a_missing_right_fails_the_check(stage: Stage, source: PayrollSource, run: SourceRun, method: str):
    """The row that is denied is the one the fault names, is required, and says what to do."""
    stage.deny(method)
    named = fault_of(source, method, run).operation
    denied = {row.operation: row for row in source.check() if row.outcome is CheckOutcome.DENIED}
    assert denied[named].required
    assert denied[named].explanation


def test_a_missing_optional_right_does_not_fail_the_check(stage: Stage, source: PayrollSource):
    """It is shown as denied and not required."""
    stage.deny("run_employees")
    (denied,) = [row for row in source.check() if row.outcome is not CheckOutcome.OK]
    assert (denied.outcome, denied.required) == (CheckOutcome.DENIED, False)


def test_a_refused_login_ends_the_check_at_once(stage: Stage, source: PayrollSource):
    """One row is denied and required; nothing after it is tried."""
    stage.refuse_login()
    first, *others = source.check()
    assert (first.outcome, first.required) == (CheckOutcome.DENIED, True)
    assert {row.outcome for row in others} == {CheckOutcome.NOT_TRIED}


def test_a_check_never_raises(stage: Stage, source: PayrollSource):
    """An outage is an outcome."""
    stage.stop_answering()
    assert CheckOutcome.FAILED in {row.outcome for row in source.check()}


# -------------------------------------------------------------------------------------------- credentials and webhooks


def test_checked_credentials_stay_as_they_are(stage: Stage):
    """Normalising twice changes nothing more."""
    typed = replace(EVERYTHING, username=f" {EVERYTHING.username} ", secret=f"{EVERYTHING.secret}\n", domain=" Kantoor")
    checked = stage.kind.check_credentials(typed)
    assert checked == EVERYTHING
    assert stage.kind.check_credentials(checked) == checked


@pytest.mark.parametrize(("field", "pointer"), [("username", "/username"), ("secret", "/token"), ("domain", "/domain")])
def test_a_missing_field_is_named(stage: Stage, field: str, pointer: str):
    """The refusal points at the field as the API calls it, and repeats nothing of the others."""
    with pytest.raises(Invalid) as caught:
        stage.kind.check_credentials(replace(EVERYTHING, **{field: " "}))
    assert [problem.pointer for problem in caught.value.errors] == [pointer]
    assert EVERYTHING.secret not in repr(caught.value)


def test_a_webhook_narrows_the_question(stage: Stage, run: SourceRun):
    """Administration and run are told in the keys the source itself uses."""
    (hint,) = stage.kind.read_webhook(body=stage.webhook(run), headers={}, query="")
    assert (hint.administration_external_id, hint.run_external_id) == (BAKERY, run.external_id)


@pytest.mark.parametrize("body", [b"", b"\0\xff", b"[" * 50_000, b"null", b"<html>", b'{"unheard": "of"}', b"5"])
def test_a_webhook_that_cannot_be_read_is_one_empty_hint(stage: Stage, body: bytes):
    """It still pokes, and nothing is raised."""
    assert list(stage.kind.read_webhook(body=body, headers={}, query="")) == [WebhookHint()]


# ------------------------------------------------------------------------------------------------------------- threads


def test_one_source_serves_many_threads(source: PayrollSource, run: SourceRun):
    """Eight threads asking everything get what one gets."""
    questions = [method for method in METHODS if method != "fetch_payments"] * 8
    alone = {method: ask(source, method, run) for method in METHODS}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda method: ask(source, method, run), questions))
    assert answers == [alone[method] for method in questions]
