"""The services as one table: records, operations, their fields and types. WSDL, reading and writing all follow it.

Names and their casing are those the SOAP API v3 is known by (`ID` for companies and runs, `Id` elsewhere, `RunID` in
salary documents, lower case in reports). Where no public source gives a name or type, docs/nmbrs-simulator.md says so.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

NAMESPACE_ROOT: Final = "https://api.nmbrs.nl/soap/v3/"
SERVICES: Final = ("CompanyService", "DebtorService", "EmployeeService", "ReportService")


class Scalar(StrEnum):
    """The XML Schema types in use."""

    INT = "int"
    TEXT = "string"
    DATE_TIME = "dateTime"
    BOOLEAN = "boolean"


class HeaderKind(StrEnum):
    """The authentication header an operation asks for."""

    OLD = "AuthHeader"
    WITH_DOMAIN = "AuthHeaderWithDomain"


@dataclass(frozen=True, slots=True)
class Enumeration:
    """A closed list of texts."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """One element of a request or record."""

    name: str
    type: Scalar | Enumeration = Scalar.TEXT

    @property
    def may_be_absent(self) -> bool:
        """Texts are objects in .NET and vanish when null; numbers, dates and enumerations are always written."""
        return self.type is Scalar.TEXT


@dataclass(frozen=True, slots=True)
class Record:
    """A complex type."""

    name: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    """An `ArrayOf...` type."""

    item: Record

    @property
    def name(self) -> str:
        """The name of the array type, as .NET makes it."""
        return f"ArrayOf{self.item.name}"


@dataclass(frozen=True, slots=True)
class Operation:
    """One call: what it takes and what it gives."""

    service: str
    name: str
    parameters: tuple[Field, ...]
    result: Scalar | Record | ListOf
    header: HeaderKind = HeaderKind.WITH_DOMAIN

    @property
    def key(self) -> str:
        """The name used for rights, faults and the call log, for instance `Company.Run_GetList`."""
        return f"{self.service.removesuffix('Service')}.{self.name}"

    @property
    def action(self) -> str:
        """The SOAPAction."""
        return f"{namespace(self.service)}/{self.name}"


def namespace(service: str) -> str:
    """The target namespace of a service; it names the live host on every host."""
    return NAMESPACE_ROOT + service


def _int(name: str) -> Field:
    return Field(name, Scalar.INT)


BANK_ACCOUNT_TYPE: Final = Enumeration(
    "BankAccountType",
    (
        "None",
        "Bankrekening1",
        "Spaarloon",
        "Bankrekening2",
        "Bankrekening3",
        "Bankrekening4",
        "Bankrekening5",
        "Standaard",
        "Levensloop",
    ),
)
TAX_PERIOD: Final = Enumeration("LoonaangifteTijdvak", ("None", "Month", "Week4", "Month6", "Year"))

ENVIRONMENT: Final = Record("Environment", (Field("Domain"), Field("SubDomain")))
DEBTOR: Final = Record("Debtor", (_int("Id"), Field("Number"), Field("Name")))
COMPANY: Final = Record(
    "Company",
    (
        _int("ID"),
        _int("Number"),
        Field("Name"),
        Field("PhoneNumber"),
        Field("FaxNumber"),
        Field("Email"),
        Field("Website"),
        Field("LoonaangifteTijdvak", TAX_PERIOD),
        Field("KvkNr"),
    ),
)
BANK_ACCOUNT: Final = Record(
    "BankAccount",
    (
        _int("Id"),
        Field("Number"),
        Field("Description"),
        Field("IBAN"),
        Field("BIC"),
        Field("City"),
        Field("Name"),
        Field("Type", BANK_ACCOUNT_TYPE),
    ),
)
RUN_INFO: Final = Record(
    "RunInfo",
    (
        _int("ID"),
        _int("Number"),
        _int("Year"),
        _int("PeriodStart"),
        _int("PeriodEnd"),
        Field("Description"),
        Field("RunAt", Scalar.DATE_TIME),
        Field("IsLocked", Scalar.BOOLEAN),
    ),
)
RUN_EMPLOYEE: Final = Record("RunEmployee", (_int("EmployeeId"), _int("EmployeeNumber")))
EMPLOYEE: Final = Record("Employee", (_int("Id"), _int("Number"), Field("DisplayName")))
TASK_RESULT: Final = Record("ReportsBackgroundResult", (Field("TaskId"), Field("Status"), Field("Content")))

OPERATIONS: Final = (
    Operation("DebtorService", "Environment_Get", (), ENVIRONMENT, HeaderKind.OLD),
    Operation("DebtorService", "List_GetAll", (), ListOf(DEBTOR)),
    Operation("DebtorService", "List_GetByNumber", (Field("Number"),), ListOf(DEBTOR)),
    Operation("CompanyService", "List_GetAll", (), ListOf(COMPANY)),
    Operation("CompanyService", "List_GetByDebtor", (_int("DebtorId"),), ListOf(COMPANY)),
    Operation("CompanyService", "Company_GetCurrentPeriod", (_int("CompanyId"),), Scalar.TEXT),
    Operation("CompanyService", "BankAccount_GetCurrent", (_int("CompanyId"),), BANK_ACCOUNT),
    Operation("CompanyService", "Run_GetList", (_int("CompanyId"), _int("Year")), ListOf(RUN_INFO)),
    Operation(
        "CompanyService",
        "Run_GetEmployeesByRunCompany",
        (_int("CompanyId"), _int("RunId"), _int("Year")),
        ListOf(RUN_EMPLOYEE),
    ),
    Operation(
        "CompanyService",
        "SalaryDocuments_GetSEPA",
        (_int("CompanyId"), _int("Year"), _int("RunID"), Field("paymentDate", Scalar.DATE_TIME)),
        Scalar.TEXT,
    ),
    Operation("EmployeeService", "List_GetByCompany", (_int("CompanyId"), _int("EmployeeType")), ListOf(EMPLOYEE)),
    Operation(
        "EmployeeService",
        "BankAccount_GetList",
        (_int("EmployeeId"), _int("Period"), _int("Year")),
        ListOf(BANK_ACCOUNT),
    ),
    Operation(
        "ReportService",
        "Reports_GetPayslipByRunCompany_v2_Background",
        (_int("companyId"), _int("runId"), _int("year")),
        Scalar.TEXT,
    ),
    Operation("ReportService", "Reports_BackgroundTask_Result", (Field("TaskId"),), TASK_RESULT),
)
KEYS: Final = frozenset(operation.key for operation in OPERATIONS)


def operations_of(service: str) -> tuple[Operation, ...]:
    """The operations of one service, in the order of the table."""
    return tuple(operation for operation in OPERATIONS if operation.service == service)
