import re

import pytest

from app.nmbrs.source import NmbrsSoapSource
from app.payments.ports import CheckOutcome
from tests.local_server import Received, Reply
from tests.nmbrs.scripted import COMPANY, CREDENTIALS, GOOD, ScriptedNmbrs, numbered, result

ENVIRONMENT = "DebtorService.Environment_Get"
DEBTORS = "DebtorService.List_GetAll"
COMPANIES = "CompanyService.List_GetAll"
BY_DEBTOR = "CompanyService.List_GetByDebtor"
RUNS = "CompanyService.Run_GetList"
FILE = "CompanyService.SalaryDocuments_GetSEPA"
ACCOUNT = "CompanyService.BankAccount_GetCurrent"
EMPLOYEES = "CompanyService.Run_GetEmployeesByRunCompany"
ALL = [ENVIRONMENT, DEBTORS, COMPANIES, BY_DEBTOR, RUNS, FILE, ACCOUNT, EMPLOYEES]

OK, DENIED, FAILED, NOT_TRIED = CheckOutcome.OK, CheckOutcome.DENIED, CheckOutcome.FAILED, CheckOutcome.NOT_TRIED


def outcomes(source: NmbrsSoapSource) -> dict[str, CheckOutcome]:
    """Check, and return the outcome of each operation."""
    return {row.operation: row.outcome for row in source.check()}


def required(source: NmbrsSoapSource) -> set[str]:
    """Check, and return the operations that are required."""
    return {row.operation for row in source.check() if row.required}


def test_each_operation_is_called_once_by_its_exact_name(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """Eight calls, eight rows, in the order of the manual, all well."""
    assert outcomes(source) == dict.fromkeys(ALL, OK)
    assert nmbrs.asked == ALL


@pytest.mark.parametrize("operation", [RUNS, FILE, ACCOUNT, ENVIRONMENT])
def test_a_missing_right_is_told_by_the_exact_name_of_the_call(
    nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, operation: str
):
    """The row of the missing right says denied, is required, and says what to switch on."""
    nmbrs.answers[operation] = numbered(1002)
    (row,) = [row for row in source.check() if row.operation == operation]
    assert (row.outcome, row.required) == (DENIED, True)
    assert f"Switch on {operation}" in row.explanation


def test_the_optional_right_is_optional(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """Who is in a run need not be known."""
    nmbrs.answers[EMPLOYEES] = numbered(1002)
    (row,) = [row for row in source.check() if row.operation == EMPLOYEES]
    assert (row.outcome, row.required) == (DENIED, False)


def test_the_way_by_debtor_is_optional_where_the_other_works(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """A login for one company cannot list debtors, and works all the same."""
    nmbrs.answers[DEBTORS] = numbered(1002)
    rows = {row.operation: row for row in source.check()}
    assert (rows[DEBTORS].outcome, rows[BY_DEBTOR].outcome, rows[COMPANIES].outcome) == (DENIED, NOT_TRIED, OK)
    assert not rows[DEBTORS].required
    assert not rows[BY_DEBTOR].required
    assert rows[FILE].outcome is OK


def test_the_list_of_all_companies_is_optional_where_the_other_works(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """By way of the debtors every company is found too."""
    nmbrs.answers[COMPANIES] = numbered(1002)
    rows = {row.operation: row for row in source.check()}
    assert (rows[COMPANIES].outcome, rows[COMPANIES].required, rows[FILE].outcome) == (DENIED, False, OK)


def test_with_both_ways_closed_all_of_them_are_required(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """Without any administration nothing can be used, and the rest is not tried."""
    nmbrs.answers[COMPANIES] = nmbrs.answers[BY_DEBTOR] = numbered(1002)
    assert required(source) == {*ALL} - {EMPLOYEES}
    rows = outcomes(source)
    assert [rows[name] for name in (RUNS, FILE, ACCOUNT, EMPLOYEES)] == [NOT_TRIED] * 4


def test_a_login_that_sees_nothing_does_not_pass(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """Empty lists are good answers and a useless connection: the tag or the filter is missing."""
    nmbrs.answers[COMPANIES] = result(COMPANIES, "")
    nmbrs.answers[DEBTORS] = result(DEBTORS, "")
    (row,) = [row for row in source.check() if row.operation == COMPANIES]
    assert (row.outcome, row.required) == (FAILED, True)
    assert "tag" in row.explanation


@pytest.mark.parametrize("first", ALL)
def test_a_refused_login_stops_the_asking(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, first: str):
    """After 1001 nothing more is asked: hammering would lock the login."""
    nmbrs.answers[first] = numbered(1001)
    rows = list(source.check())
    position = ALL.index(first)
    assert nmbrs.asked == ALL[: position + 1]
    assert (rows[position].operation, rows[position].outcome, rows[position].required) == (first, DENIED, True)
    assert [row.outcome for row in rows[position + 1 :]] == [NOT_TRIED] * (len(ALL) - position - 1)


def test_an_unreachable_nmbrs_stops_the_asking(nmbrs: ScriptedNmbrs):
    """Nobody waits for eight time-outs."""

    def stall(_: Received) -> Reply:
        nmbrs.server.closing.wait(10)
        return Reply()

    nmbrs.answers[DEBTORS] = stall
    source = nmbrs.kind(call_timeout_seconds=0.2).open(CREDENTIALS)
    rows = outcomes(source)
    assert (rows[ENVIRONMENT], rows[DEBTORS], rows[COMPANIES]) == (OK, FAILED, NOT_TRIED)
    assert nmbrs.asked == [ENVIRONMENT, DEBTORS]


def test_other_faults_do_not_stop_it(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """An error of the vendor in one call says nothing of the others."""
    nmbrs.answers[ACCOUNT] = numbered(9999)
    rows = outcomes(source)
    assert (rows[ACCOUNT], rows[EMPLOYEES]) == (FAILED, OK)


@pytest.mark.parametrize("number", [2006, 2011])
def test_a_refusal_of_this_one_question_is_no_missing_right(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, number: int):
    """A closed period or a protected company is told as a failure."""
    nmbrs.answers[FILE] = numbered(number)
    assert outcomes(source)[FILE] is FAILED


@pytest.mark.parametrize("label", ["anderkantoor", ""])
def test_a_domain_of_another_environment_is_told_and_nothing_more_is_asked(
    nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, label: str
):
    """The token is right and the domain is not; every other call would be refused with 1001."""
    domain = "" if label else "<Domain>anderkantoor.nmbrs.nl</Domain>"
    nmbrs.answers[ENVIRONMENT] = result(ENVIRONMENT, domain + f"<SubDomain>{label}</SubDomain>")
    first, *others = source.check()
    assert (first.outcome, first.required) == (FAILED, True)
    assert "domain" in first.explanation
    assert {row.outcome for row in others} == {NOT_TRIED}
    assert nmbrs.asked == [ENVIRONMENT]


def test_case_does_not_make_another_environment(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """Kantoor is kantoor."""
    nmbrs.answers[ENVIRONMENT] = result(ENVIRONMENT, "<SubDomain>KANTOOR</SubDomain>")
    assert outcomes(source)[ENVIRONMENT] is OK


def test_without_a_run_the_payment_file_is_not_tried(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """A new company has no run yet: that is said, and bars nothing."""
    nmbrs.answers[RUNS] = result(RUNS, "")
    rows = {row.operation: row for row in source.check()}
    assert (rows[RUNS].outcome, rows[FILE].outcome, rows[EMPLOYEES].outcome) == (OK, NOT_TRIED, NOT_TRIED)
    assert "first run" in rows[FILE].explanation


def test_a_run_of_last_year_or_of_the_next_company_will_do(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """In January, or with a new company on top, the file is still tried, with the year and company of the run found."""
    nmbrs.answers[COMPANIES] = result(COMPANIES, COMPANY + COMPANY.replace("9969", "9970"))

    def runs(request: Received) -> Reply:
        has = b"CompanyId>9970<" in request.body and b"Year>2025<" in request.body
        return result(RUNS, GOOD[RUNS].replace("2026<", "2025<") if has else "")

    nmbrs.answers[RUNS] = runs
    assert outcomes(source)[FILE] is OK
    asked = nmbrs.server.received[nmbrs.asked.index(FILE)].body
    assert re.findall(rb"(?:CompanyId|Year|RunID|paymentDate)>([^<]+)<", asked) == [
        b"9970",
        b"2025",
        b"5501",
        b"2026-11-23T00:00:00",  # the Monday after the Saturday of this test
    ]


def test_only_a_few_companies_are_looked_through(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """An office with hundreds of companies without runs is not searched."""
    nmbrs.answers[COMPANIES] = result(COMPANIES, "".join(COMPANY.replace("9969", str(n)) for n in range(1, 100)))
    nmbrs.answers[RUNS] = result(RUNS, "")
    assert outcomes(source)[FILE] is NOT_TRIED
    assert nmbrs.asked.count(RUNS) == 10


def test_no_explanation_holds_a_secret(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """Token, user name and the vendor's words stay out, whatever fails."""
    for name in ALL:
        nmbrs.answers = {name: numbered(1003, f"{CREDENTIALS.secret} {CREDENTIALS.username}")}
        text = repr(source.check())
        assert CREDENTIALS.secret not in text
        assert CREDENTIALS.username not in text
