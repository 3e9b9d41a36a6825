from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import zeep

from simulators.nmbrs.contract import OPERATIONS, SERVICES, HeaderKind, Operation
from simulators.nmbrs.process import SimulatorClient
from tests.simulators.nmbrs.by_hand import ROOT

ZeepService = Callable[..., tuple[Any, Any]]
# What each operation is called with; the values fit the data of these tests.
ARGUMENTS: dict[str, dict[str, object]] = {
    "Debtor.Environment_Get": {},
    "Debtor.List_GetAll": {},
    "Debtor.List_GetByNumber": {"Number": "D10"},
    "Company.List_GetAll": {},
    "Company.List_GetByDebtor": {"DebtorId": 10},
    "Company.Company_GetCurrentPeriod": {"CompanyId": 100},
    "Company.BankAccount_GetCurrent": {"CompanyId": 100},
    "Company.Run_GetList": {"CompanyId": 100, "Year": 2026},
    "Company.Run_GetEmployeesByRunCompany": {"CompanyId": 100, "RunId": 500, "Year": 2026},
    "Company.SalaryDocuments_GetSEPA": {
        "CompanyId": 100,
        "Year": 2026,
        "RunID": 500,
        "paymentDate": datetime.fromisoformat("2026-11-25"),
    },
    "Employee.List_GetByCompany": {"CompanyId": 100, "EmployeeType": 2},
    "Employee.BankAccount_GetList": {"EmployeeId": 1001, "Period": 11, "Year": 2026},
    "Report.Reports_GetPayslipByRunCompany_v2_Background": {"companyId": 100, "runId": 500, "year": 2026},
}


def call(zeep_service: ZeepService, key: str, port: str = "Soap", **arguments: object) -> Any:
    """Call an operation through zeep on the simulator's own WSDL."""
    name, _, operation = key.partition(".")
    client, service = zeep_service(f"{name}Service", port)
    kind = HeaderKind.OLD if key == "Debtor.Environment_Get" else HeaderKind.WITH_DOMAIN
    fields = {"Username": "boss@kantoor.example", "Token": "boss-token"}
    if kind is HeaderKind.WITH_DOMAIN:
        fields["Domain"] = "kantoor"
    header = client.get_element(f"{{{ROOT}{name}Service}}{kind}")(**fields)
    return service[operation](**arguments, _soapheaders=[header])


@pytest.mark.parametrize("port", ["Soap", "Soap12"])
@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.key in ARGUMENTS], ids=lambda each: each.key)
def test_each_operation_answers_a_client_made_from_the_wsdl(operation: Operation, port: str, zeep_service: ZeepService):
    """A strict zeep client built from ?WSDL gets a result from every operation over SOAP 1.1 and 1.2."""
    assert call(zeep_service, operation.key, port, **ARGUMENTS[operation.key])


def test_a_background_report_is_ready_at_the_third_time_of_asking(zeep_service: ZeepService):
    """A task goes from Enqueued over Executing to Success, and its content holds the payments with a comma."""
    key = "Report.Reports_GetPayslipByRunCompany_v2_Background"
    task_id = call(zeep_service, key, **ARGUMENTS[key])

    answers = [call(zeep_service, "Report.Reports_BackgroundTask_Result", TaskId=task_id) for _ in range(3)]

    assert [answer.Status for answer in answers] == ["Enqueued", "Executing", "Success"]
    assert "<betaling>2000,10</betaling>" in answers[2].Content


def test_an_unknown_task_is_fault_2019(zeep_service: ZeepService):
    """Somebody else's or an invented task id is refused."""
    with pytest.raises(zeep.exceptions.Fault, match="---> 2019:"):
        call(zeep_service, "Report.Reports_BackgroundTask_Result", TaskId="nothing")


def test_records_arrive_with_their_types(zeep_service: ZeepService):
    """Numbers, times with thousandths, booleans and absent texts come out of the envelope as they were put in."""
    runs = call(zeep_service, "Company.Run_GetList", CompanyId=100, Year=2026)

    assert [(run.ID, run.Number, run.Year, run.PeriodStart, run.PeriodEnd) for run in runs] == [(500, 11, 2026, 11, 11)]
    assert runs[0].RunAt == datetime.fromisoformat("2026-11-20T09:30:15.250")
    assert runs[0].IsLocked is False
    account = call(zeep_service, "Company.BankAccount_GetCurrent", CompanyId=100)
    assert (account.Id, account.IBAN, account.Name) == (1, "NL91ABNA0417164300", "Bakkerij & Zonen BV")
    assert (account.City, account.Type) == (None, "Standaard")


def test_an_absent_account_and_an_empty_list_are_null_to_the_client(zeep_service: ZeepService):
    """A company without an account or runs gives None, not an empty record."""
    assert call(zeep_service, "Company.BankAccount_GetCurrent", CompanyId=101) is None
    assert call(zeep_service, "Company.Run_GetList", CompanyId=101, Year=2026) is None


@pytest.mark.parametrize("service", SERVICES)
def test_a_wsdl_names_the_address_it_was_fetched_from(
    service: str, simulator: SimulatorClient, zeep_service: ZeepService
):
    """Both ports of a WSDL point at the simulator itself, in the namespace of the live host."""
    client, _ = zeep_service(service)

    ports = client.wsdl.services[service].ports
    assert {name: port.binding_options["address"] for name, port in ports.items()} == {
        f"{service}Soap": simulator.service_url(service),
        f"{service}Soap12": simulator.service_url(service),
    }
    assert client.wsdl.services[service].ports[f"{service}Soap"].binding.name.namespace == ROOT + service
