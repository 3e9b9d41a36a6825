"""Each call at Nmbrs as one typed question. Knows nothing of what the answers are for."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from typing import Final, TypeVar

from app.core.connections import Deadline
from app.nmbrs import faults, mapping, operations
from app.nmbrs.mapping import Client
from app.nmbrs.operations import Arguments, NotUnderstood, Operation, Record
from app.nmbrs.soap import SoapCaller
from app.payments.ports import SourceAdministration, SourceDebtorAccount, SourceEmployee, SourceRun

T = TypeVar("T")

_LARGEST_INT: Final = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """An administration, and how often it pays as far as its wage tax period tells."""

    administration: SourceAdministration
    frequency: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """The calls of one connection, all within one deadline. Each raises `SourceFault`."""

    caller: SoapCaller
    until: Deadline | None = None

    def environment(self) -> str:
        """Return the sub-domain these credentials belong to. Asked without a domain, so it proves user and token."""
        found = self._records(operations.ENVIRONMENT, {}, mapping.sub_domain)
        if not found:
            raise faults.not_understood(operations.ENVIRONMENT, "it holds no environment")
        return found[0]

    def clients(self) -> list[Client]:
        """Return the debtors this login may see."""
        return self._records(operations.DEBTORS, {}, mapping.client)

    def companies_of(self, client: Client) -> list[Company]:
        """Return the companies of one debtor."""
        return self._records(
            operations.COMPANIES_OF_DEBTOR,
            {"DebtorId": int(client.external_id)},
            lambda record: _company(record, client),
            subject=f"debtor {client.external_id}",
        )

    def companies(self) -> list[Company]:
        """Return every company this login may see, without its debtor."""
        return self._records(operations.COMPANIES, {}, lambda record: _company(record, None))

    def runs(self, administration: str, year: int, *, frequency: str | None = None) -> list[SourceRun]:
        """Return the runs of one payroll year of a company."""
        company = _number(administration, operations.RUNS)
        return self._records(
            operations.RUNS,
            {"CompanyId": company, "Year": year},
            lambda record: mapping.run(record, frequency=frequency),
            subject=f"company {company}",
        )

    def payment_file(self, administration: str, run: SourceRun, payment_date: date) -> bytes:
        """Return the payment file of a run, empty when there is none. The year asked is the run's, not today's."""
        operation = operations.PAYMENT_FILE
        company = _number(administration, operation)
        arguments: Arguments = {
            "CompanyId": company,
            "Year": run.year,
            "RunID": _number(run.external_id, operation, code="run_unknown"),
            "paymentDate": datetime.combine(payment_date, time()),
        }
        subject = f"run {run.external_id} of company {company}"
        return self.caller.ask(operation, arguments, until=self.until, subject=subject).text

    def bank_account(self, administration: str) -> SourceDebtorAccount | None:
        """Return the account a company pays from, None when it has none."""
        company = _number(administration, operations.BANK_ACCOUNT)
        found = self._records(
            operations.BANK_ACCOUNT, {"CompanyId": company}, mapping.debtor_account, subject=f"company {company}"
        )
        return found[0] if found else None

    def employees(self, administration: str, run: SourceRun) -> list[SourceEmployee]:
        """Return who is in a run."""
        operation = operations.RUN_EMPLOYEES
        company = _number(administration, operation)
        run_id = _number(run.external_id, operation, code="run_unknown")
        arguments = {"CompanyId": company, "RunId": run_id, "Year": run.year}
        return self._records(operation, arguments, mapping.employee, subject=f"run {run_id} of company {company}")

    def _records(
        self, operation: Operation, arguments: Arguments, read: Callable[[Record], T], *, subject: str = ""
    ) -> list[T]:
        reply = self.caller.ask(operation, arguments, until=self.until, subject=subject)
        try:
            understood = [[read(record) for record in reading] for reading in reply.readings]
        except NotUnderstood as error:
            raise faults.not_understood(operation, str(error)) from None
        if any(reading != understood[0] for reading in understood):
            raise faults.not_understood(operation, "two ways of reading it disagree")
        return understood[0]


def _company(record: Record, client: Client | None) -> Company:
    frequency = mapping.frequency(record)
    administration = replace(mapping.administration(record, client=client), frequency=frequency)
    return Company(administration=administration, frequency=frequency)


def _number(external_id: str, operation: Operation, *, code: str = "administration_unknown") -> int:
    """Return a key of ours as the number Nmbrs knows; a GUID or the key of an upload is none."""
    if external_id.isascii() and external_id.isdecimal() and 0 < int(external_id) <= _LARGEST_INT:
        return int(external_id)
    raise faults.no_key_of_nmbrs(code, operation)
