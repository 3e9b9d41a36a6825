"""The calls Loonstroom makes at Nmbrs: all of them reads. Names and casing as the API has them (nmbrs/wsdl)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from app.core.http import MIB

# Fields of one answer by element name: typed when zeep read them, text when the own reader did.
Record = Mapping[str, object]
Arguments = Mapping[str, int | datetime]


class NotUnderstood(Exception):
    """The answer is whole, but does not say what we need; the message names the element and never a value."""


class Shape(StrEnum):
    """What an operation answers with."""

    RECORDS = "records"
    RECORD = "record"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One call. `item` is the element name of each record in a list, None where it is not published."""

    service: str
    name: str
    shape: Shape
    item: str | None = None
    asks_domain: bool = True
    max_bytes: int = 8 * MIB

    @property
    def full_name(self) -> str:
        """The name people find in the user template and we use everywhere: `CompanyService.Run_GetList`."""
        return f"{self.service}.{self.name}"

    @property
    def namespace(self) -> str:
        """The namespace of the service; it names the live host on every host."""
        return f"https://api.nmbrs.nl/soap/v3/{self.service}"


ENVIRONMENT: Final = Operation(service="DebtorService", name="Environment_Get", shape=Shape.RECORD, asks_domain=False)
DEBTORS: Final = Operation(service="DebtorService", name="List_GetAll", shape=Shape.RECORDS, item="Debtor")
COMPANIES: Final = Operation(service="CompanyService", name="List_GetAll", shape=Shape.RECORDS, item="Company")
COMPANIES_OF_DEBTOR: Final = Operation(
    service="CompanyService", name="List_GetByDebtor", shape=Shape.RECORDS, item="Company"
)
RUNS: Final = Operation(service="CompanyService", name="Run_GetList", shape=Shape.RECORDS, item="RunInfo")
RUN_EMPLOYEES: Final = Operation(service="CompanyService", name="Run_GetEmployeesByRunCompany", shape=Shape.RECORDS)
PAYMENT_FILE: Final = Operation(
    service="CompanyService", name="SalaryDocuments_GetSEPA", shape=Shape.TEXT, max_bytes=32 * MIB
)
BANK_ACCOUNT: Final = Operation(service="CompanyService", name="BankAccount_GetCurrent", shape=Shape.RECORD)
