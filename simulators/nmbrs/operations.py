"""What each operation answers, once the login and the right are in order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from simulators.nmbrs.access import Login
from simulators.nmbrs.data import BankAccount, Company, Debtor, PeriodType, Run, SepaDefect
from simulators.nmbrs.reports import Tasks, payslip_report
from simulators.nmbrs.salary_document import salary_document
from simulators.nmbrs.soap import NmbrsFault, Result, Row, SoapCall

# What EmployeeType means; other numbers exist at Nmbrs but are not published.
_ACTIVE, _OUT_OF_SERVICE = 2, 4
_TAX_PERIODS: Final = {PeriodType.MONTH: "Month", PeriodType.FOUR_WEEKS: "Week4", PeriodType.WEEK: "Week4"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One call about to be answered; `totals_wrong` spoils a payment file, `now` is aware."""

    login: Login
    call: SoapCall
    tasks: Tasks
    now: datetime
    totals_wrong: bool = False

    @property
    def company(self) -> Company:
        """The company the call names."""
        return self.login.company(self.call.integer("CompanyId"))


def answer(turn: Turn) -> Result:
    """The result of the call. Raises NmbrsFault."""
    return _ANSWERS[turn.call.operation.key](turn)


def _environment(turn: Turn) -> Result:
    domain = turn.login.environment.domain
    return {"Domain": f"{domain}.nmbrs.nl", "SubDomain": domain}


def _debtors(turn: Turn) -> Result:
    return [_debtor_row(debtor) for debtor in turn.login.debtors()]


def _debtors_by_number(turn: Turn) -> Result:
    number = turn.call.text("Number")
    return [_debtor_row(debtor) for debtor in turn.login.debtors() if debtor.number == number]


def _companies(turn: Turn) -> Result:
    return [_company_row(company) for company in turn.login.companies()]


def _companies_by_debtor(turn: Turn) -> Result:
    debtor = turn.login.debtor(turn.call.integer("DebtorId"))
    seen = {company.id for company in turn.login.companies()}
    return [_company_row(company) for company in debtor.companies if company.id in seen]


def _current_period(turn: Turn) -> Result:
    company = turn.company
    return f"{company.current_year}-{company.current_period}-{company.period_type}"


def _company_account(turn: Turn) -> Result:
    account = turn.company.bank_account
    return _account_row(account) if account else None


def _runs(turn: Turn) -> Result:
    year = turn.call.integer("Year")
    return [_run_row(run) for run in turn.company.runs if run.year == year and run.is_listed]


def _run_employees(turn: Turn) -> Result:
    company = turn.company
    run = _run(company, turn.call.integer("RunId"), turn.call.integer("Year"))
    ids = {line.employee_id for line in run.lines} | set(run.employee_ids)
    return [
        {"EmployeeId": employee.id, "EmployeeNumber": employee.number}
        for employee in company.employees
        if employee.id in ids
    ]


def _sepa(turn: Turn) -> Result:
    company = turn.company
    run = _run(company, turn.call.integer("RunID"), turn.call.integer("Year"))
    settings = run.sepa or company.sepa
    if turn.totals_wrong:
        wrong = {SepaDefect.CONTROL_SUM_WRONG, SepaDefect.TRANSACTION_COUNT_WRONG}
        settings = settings.model_copy(update={"defects": settings.defects | wrong})
    payment_date = turn.call.moment("paymentDate").date()
    return salary_document(company, run, settings, payment_date=payment_date, now=turn.now)


def _employees(turn: Turn) -> Result:
    company, kind = turn.company, turn.call.integer("EmployeeType")
    if kind not in {_ACTIVE, _OUT_OF_SERVICE}:
        raise NmbrsFault(2030, "Invalid values")
    return [
        {"Id": employee.id, "Number": employee.number, "DisplayName": employee.display_name}
        for employee in company.employees
        if employee.active is (kind == _ACTIVE)
    ]


def _employee_accounts(turn: Turn) -> Result:
    employee = turn.login.employee(turn.call.integer("EmployeeId"))
    year, period = turn.call.integer("Year"), turn.call.integer("Period")
    if year < 1 or period < 1:
        raise NmbrsFault(2006, "Invalid period")
    return [_account_row(account) for account in employee.accounts if account.in_force(year, period)]


def _start_payslips(turn: Turn) -> Result:
    company = turn.login.company(turn.call.integer("companyId"))
    run = _run(company, turn.call.integer("runId"), turn.call.integer("year"))
    return turn.tasks.start(turn.login.user.username, payslip_report(company, run))


def _task_result(turn: Turn) -> Result:
    task_id = turn.call.text("TaskId")
    found = turn.tasks.ask(turn.login.user.username, task_id)
    if found is None:
        raise NmbrsFault(2019, "Task status is not available")
    status, content = found
    return {"TaskId": task_id, "Status": status, "Content": content}


def _run(company: Company, run_id: int, year: int) -> Run:
    for run in company.runs:
        if (run.id, run.year) == (run_id, year):
            return run
    raise NmbrsFault(2046, "Not found")


def _debtor_row(debtor: Debtor) -> Row:
    return {"Id": debtor.id, "Number": debtor.number, "Name": debtor.name}


def _company_row(company: Company) -> Row:
    return {
        "ID": company.id,
        "Number": company.number,
        "Name": company.name,
        "PhoneNumber": company.phone_number,
        "FaxNumber": None,
        "Email": company.email,
        "Website": None,
        "LoonaangifteTijdvak": _TAX_PERIODS[company.period_type],
        "KvkNr": company.kvk_number,
    }


def _account_row(account: BankAccount) -> Row:
    return {
        "Id": account.id,
        "Number": account.number,
        "Description": account.description,
        "IBAN": account.iban,
        "BIC": account.bic,
        "City": account.city,
        "Name": account.name,
        "Type": account.type,
    }


def _run_row(run: Run) -> Row:
    return {
        "ID": run.id,
        "Number": run.number,
        "Year": run.year,
        "PeriodStart": run.period_start,
        "PeriodEnd": run.period_end,
        "Description": run.description,
        "RunAt": run.run_at,
        "IsLocked": run.is_locked,
    }


_ANSWERS: Final[Mapping[str, Callable[[Turn], Result]]] = {
    "Debtor.Environment_Get": _environment,
    "Debtor.List_GetAll": _debtors,
    "Debtor.List_GetByNumber": _debtors_by_number,
    "Company.List_GetAll": _companies,
    "Company.List_GetByDebtor": _companies_by_debtor,
    "Company.Company_GetCurrentPeriod": _current_period,
    "Company.BankAccount_GetCurrent": _company_account,
    "Company.Run_GetList": _runs,
    "Company.Run_GetEmployeesByRunCompany": _run_employees,
    "Company.SalaryDocuments_GetSEPA": _sepa,
    "Employee.List_GetByCompany": _employees,
    "Employee.BankAccount_GetList": _employee_accounts,
    "Report.Reports_GetPayslipByRunCompany_v2_Background": _start_payslips,
    "Report.Reports_BackgroundTask_Result": _task_result,
}
