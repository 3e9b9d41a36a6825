import pytest

from tests.simulators.nmbrs.by_hand import Soap


def test_debtors_are_found_by_number(soap: Soap):
    """Only the debtor with that very number is listed."""
    assert soap.call("Debtor.List_GetByNumber", "<Number>D20</Number>").texts("Name") == ["Ander"]
    assert soap.call("Debtor.List_GetByNumber", "<Number>D</Number>").texts("Name") == []


def test_companies_carry_number_name_and_tax_period(soap: Soap):
    """The companies of a debtor with what Nmbrs tells of them."""
    answer = soap.call("Company.List_GetByDebtor", "<DebtorId>10</DebtorId>")

    assert answer.texts("ID") == ["100", "101"]
    assert answer.texts("Name") == ["Bakkerij & Zonen", "Leeg BV"]
    assert answer.texts("LoonaangifteTijdvak") == ["Month", "Week4"]


def test_the_current_period_names_year_period_and_frequency(soap: Soap):
    """Year, period and period type with dashes between."""
    assert soap.call("Company.Company_GetCurrentPeriod", "<CompanyId>101</CompanyId>").texts(
        "Company_GetCurrentPeriodResult"
    ) == ["2026-12-W4"]


def test_runs_are_listed_by_their_own_year(soap: Soap):
    """A run of 2027 is not in the list of 2026; whether it is a pre-run is not told."""
    answer = soap.call("Company.Run_GetList", "<CompanyId>100</CompanyId><Year>2027</Year>")

    assert (answer.texts("ID"), answer.texts("IsLocked")) == (["501"], ["true"])
    assert b"pre" not in answer.response.content


def test_a_run_can_be_kept_out_of_the_list(soap: Soap):
    """A run that is not listed is still there for who knows its id."""
    soap.simulator.change_run(100, 500, is_listed=False)

    assert soap.call("Company.Run_GetList", "<CompanyId>100</CompanyId><Year>2026</Year>").texts("ID") == []
    parameters = "<CompanyId>100</CompanyId><Year>2026</Year><RunId>500</RunId>"
    assert soap.call("Company.Run_GetEmployeesByRunCompany", parameters).texts("EmployeeNumber") != []


def test_everybody_of_the_run_is_told_paid_or_not(soap: Soap):
    """Employees without an account, with a negative net or without any line are in the run all the same."""
    parameters = "<CompanyId>100</CompanyId><RunId>500</RunId><Year>2026</Year>"

    answer = soap.call("Company.Run_GetEmployeesByRunCompany", parameters)

    assert answer.texts("EmployeeNumber") == ["1", "2", "3", "4"]
    assert answer.texts("EmployeeId") == ["1001", "1002", "1003", "1004"]


@pytest.mark.parametrize("operation", ["Run_GetEmployeesByRunCompany", "SalaryDocuments_GetSEPA"])
@pytest.mark.parametrize(("run_id", "year"), [(500, 2025), (999, 2026)])
def test_a_run_is_known_by_its_id_in_its_own_year(operation: str, run_id: int, year: int, soap: Soap):
    """The year has to be the run's."""
    parameters = f"<CompanyId>100</CompanyId><Year>{year}</Year><RunID>{run_id}</RunID><RunId>{run_id}</RunId>"

    assert "---> 2046:" in soap.call(f"Company.{operation}", parameters).fault


@pytest.mark.parametrize(("kind", "names"), [(2, ["Anna", "Bas", "Dirk"]), (4, ["Cato"])])
def test_employees_are_listed_by_type(kind: int, names: list[str], soap: Soap):
    """Type 2 is the active payroll, type 4 who left."""
    parameters = f"<CompanyId>100</CompanyId><EmployeeType>{kind}</EmployeeType>"

    assert soap.call("Employee.List_GetByCompany", parameters).texts("DisplayName") == names


def test_a_forgotten_employee_type_is_refused(soap: Soap):
    """Type 0 is what a wrongly cased parameter becomes."""
    assert "---> 2030:" in soap.call("Employee.List_GetByCompany", "<CompanyId>100</CompanyId>").fault


@pytest.mark.parametrize(("period", "iban"), [(10, "NL02ABNA0123456789"), (11, "NL69INGB0123456789")])
def test_accounts_are_those_of_the_period(period: int, iban: str, soap: Soap):
    """An account counts from its first up to and including its last period."""
    parameters = f"<EmployeeId>1001</EmployeeId><Period>{period}</Period><Year>2026</Year>"

    assert soap.call("Employee.BankAccount_GetList", parameters).texts("IBAN") == [iban]


def test_accounts_of_no_period_are_refused(soap: Soap):
    """Period 0 is no period."""
    assert "---> 2006:" in soap.call("Employee.BankAccount_GetList", "<EmployeeId>1001</EmployeeId>").fault


def test_a_background_task_is_for_who_started_it(soap: Soap):
    """Another user asking for its result gets fault 2019."""
    parameters = "<companyId>100</companyId><runId>500</runId><year>2026</year>"
    name = "Report.Reports_GetPayslipByRunCompany_v2_Background"
    (task_id,) = soap.call(name, parameters).texts("Reports_GetPayslipByRunCompany_v2_BackgroundResult")
    asked = f"<TaskId>{task_id}</TaskId>"
    other = {"username": "tagged@kantoor.example", "token": "tagged-token"}

    assert "---> 2019:" in soap.call("Report.Reports_BackgroundTask_Result", asked, **other).fault
    assert soap.call("Report.Reports_BackgroundTask_Result", asked).texts("Status") == ["Enqueued"]
