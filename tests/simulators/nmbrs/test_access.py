import pytest

from tests.simulators.nmbrs.by_hand import ROOT, Soap

ENVIRONMENT_HEADER = (
    f'<AuthHeader xmlns="{ROOT}DebtorService"><Username>boss@kantoor.example</Username>'
    "<Token>boss-token</Token></AuthHeader>"
)
CLIENT = {"username": "client@kantoor.example", "token": "client-token"}
TAGGED = {"username": "tagged@kantoor.example", "token": "tagged-token"}
LIMITED = {"username": "limited@kantoor.example", "token": "limited-token"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"username": "nobody@kantoor.example"},
        {"token": "other-token"},
        {"domain": "elders"},
        {"domain": ""},
        {"domain": "kantoor.nmbrs.nl"},
        {"header": ""},
        {"header": ENVIRONMENT_HEADER.replace("DebtorService", "CompanyService")},
        {
            "header": f'<AuthHeaderWithDomain xmlns="{ROOT}DebtorService"><Username>boss@kantoor.example</Username>'
            "<Token>boss-token</Token><Domain>kantoor</Domain></AuthHeaderWithDomain>"
        },
    ],
)
def test_a_wrong_login_is_fault_1001(wrong: dict[str, str], soap: Soap):
    """User, token, sub-domain, the header's kind and its namespace all have to be right."""
    assert "---> 1001: Invalid Authentication" in soap.call("Company.List_GetAll", **wrong).fault


def test_the_environment_is_told_with_the_old_header_only(soap: Soap):
    """Environment_Get takes no domain, and tells it."""
    answer = soap.call("Debtor.Environment_Get", header=ENVIRONMENT_HEADER)

    assert (answer.texts("Domain"), answer.texts("SubDomain")) == (["kantoor.nmbrs.nl"], ["kantoor"])
    assert "---> 1001:" in soap.call("Debtor.Environment_Get").fault


def test_one_user_name_may_exist_in_two_environments(soap: Soap):
    """The domain says which one is meant, and only its data is seen."""
    answer = soap.call("Company.List_GetAll", token="other-token", domain="elders")

    assert answer.texts("ID") == ["900"]


def test_a_right_switched_off_is_fault_1002_for_that_call_only(soap: Soap):
    """The list still works while the payment file is refused."""
    parameters = "<CompanyId>100</CompanyId><Year>2026</Year><RunID>500</RunID><paymentDate>2026-11-25</paymentDate>"

    assert "---> 1002:" in soap.call("Company.SalaryDocuments_GetSEPA", parameters, **LIMITED).fault
    assert soap.call("Company.List_GetAll", **LIMITED).texts("ID") == ["100", "101", "200"]


def test_the_right_is_checked_before_the_data(soap: Soap):
    """A missing right is told even where the company does not exist either."""
    assert "---> 1002:" in soap.call("Company.SalaryDocuments_GetSEPA", "<CompanyId>9</CompanyId>", **LIMITED).fault


def test_rights_can_be_switched_while_running(soap: Soap):
    """Switching a right off or on takes effect at once."""
    soap.simulator.change_user("boss@kantoor.example", rights_off=["Company.List_GetAll"])
    refused = soap.call("Company.List_GetAll")
    soap.simulator.change_user("boss@kantoor.example", rights_off=[])

    assert "---> 1002:" in refused.fault
    assert soap.call("Company.List_GetAll").texts("ID") == ["100", "101", "200"]


def test_lists_leave_out_what_the_tag_does_not_allow(soap: Soap):
    """A tagged accountant sees its debtor and that debtor's companies."""
    assert soap.call("Debtor.List_GetAll", **TAGGED).texts("Id") == ["10"]
    assert soap.call("Company.List_GetAll", **TAGGED).texts("ID") == ["100", "101"]


def test_a_company_login_does_not_reach_its_debtor(soap: Soap):
    """A client login with a company filter sees that company and no debtor."""
    assert soap.call("Company.List_GetAll", **CLIENT).texts("ID") == ["100"]
    assert soap.call("Debtor.List_GetAll", **CLIENT).texts("Id") == []
    assert "---> 1003:" in soap.call("Company.List_GetByDebtor", "<DebtorId>10</DebtorId>", **CLIENT).fault


@pytest.mark.parametrize(
    ("operation", "parameters", "code"),
    [
        ("Company.Run_GetList", "<CompanyId>200</CompanyId><Year>2026</Year>", 1003),
        ("Company.Run_GetList", "<CompanyId>900</CompanyId><Year>2026</Year>", 2004),
        ("Company.List_GetByDebtor", "<DebtorId>20</DebtorId>", 1003),
        ("Company.List_GetByDebtor", "<DebtorId>77</DebtorId>", 2009),
        ("Employee.BankAccount_GetList", "<EmployeeId>77</EmployeeId><Period>1</Period><Year>2026</Year>", 2003),
        ("Employee.List_GetByCompany", "<CompanyId>200</CompanyId><EmployeeType>2</EmployeeType>", 1003),
    ],
)
def test_data_outside_the_tag_and_data_of_nobody_are_told_apart(operation: str, parameters: str, code: int, soap: Soap):
    """1003 for what exists beside the tag; 2003, 2004 or 2009 for what this environment does not have."""
    assert f"---> {code}:" in soap.call(operation, parameters, **TAGGED).fault


def test_an_employee_outside_the_filter_is_fault_1003(soap: Soap):
    """Accounts of an employee of a company the user does not see are refused."""
    soap.simulator.change_user("client@kantoor.example", company_ids=[101])
    parameters = "<EmployeeId>1001</EmployeeId><Period>1</Period><Year>2026</Year>"

    assert "---> 1003:" in soap.call("Employee.BankAccount_GetList", parameters, **CLIENT).fault


def test_the_company_filter_holds_inside_a_debtor_too(soap: Soap):
    """An accountant with a company filter sees only those companies of the debtor."""
    soap.simulator.change_user("boss@kantoor.example", company_ids=[101])

    assert soap.call("Company.List_GetByDebtor", "<DebtorId>10</DebtorId>").texts("ID") == ["101"]
