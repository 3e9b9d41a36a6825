"""Testing a connection ("Test en sla op"): each operation is called, harmlessly, and its outcome told by exact name."""

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import Final, TypeVar

from app.nmbrs import operations
from app.nmbrs.operations import Operation
from app.nmbrs.questions import Company, Questions
from app.payments.errors import FaultKind, SourceFault
from app.payments.ports import CheckOutcome, OperationCheck, SourceRun

T = TypeVar("T")

# After these nothing else can succeed; asking on would only lock the login or make people wait.
_ENDS_IT_ALL: Final = frozenset({"credentials_refused", "subscription_ended", "source_unreachable", "source_timeout"})
_LOOKED_THROUGH: Final = 5  # debtors without companies, companies without runs
_SATURDAY: Final = 5


class Checkup:
    """One check of one connection."""

    def __init__(self, questions: Questions, *, domain: str, today: date) -> None:
        self._ask = questions
        self._domain = domain
        self._today = today
        self._rows: dict[str, OperationCheck] = {}
        self._over = ""

    def run(self) -> list[OperationCheck]:
        """Return a row for each operation, in the order of docs/nmbrs-setup.md."""
        self._check_environment()
        companies = self._check_lists()
        seen = [company.administration.external_id for company in companies]
        runs = self._check_runs(seen)
        self._check_payments(runs)
        nothing = "" if seen else "No administration is visible to this login."
        self._try(operations.BANK_ACCOUNT, lambda: self._ask.bank_account(seen[0]), unless=nothing)
        self._check_employees(runs)
        return list(self._rows.values())

    def _check_environment(self) -> None:
        label = self._try(operations.ENVIRONMENT, self._ask.environment)
        if label is None or label == self._domain:
            return
        self._over = "Not tried: the domain must be corrected first."
        explanation = (
            "User name and token are right, but belong to another environment than the domain of this connection. "
            "Correct the domain: it is what stands before .nmbrs.nl when this user is logged in."
        )
        self._write(operations.ENVIRONMENT, CheckOutcome.FAILED, explanation)

    def _check_lists(self) -> list[Company]:
        """Try both ways to the administrations. One suffices; going by debtor also tells the clients' names."""
        clients = self._try(operations.DEBTORS, self._ask.clients)
        every = self._try(operations.COMPANIES, self._ask.companies)
        nobody = "" if clients else "No debtor is visible to this login."
        by_client = self._try(
            operations.COMPANIES_OF_DEBTOR,
            lambda: _first_found(self._ask.companies_of(client) for client in (clients or [])[:_LOOKED_THROUGH]),
            unless=nobody,
        )
        if self._over:
            return []
        if every is not None:
            self._make_optional(operations.DEBTORS, operations.COMPANIES_OF_DEBTOR)
        elif by_client:
            self._make_optional(operations.COMPANIES)
        companies = every or by_client or []
        if every is not None and not companies:
            explanation = (
                "The login works, but sees no administration: give the debtor the tag of the login, "
                "or tick companies in the company filter of the login."
            )
            self._write(operations.COMPANIES, CheckOutcome.FAILED, explanation)
        return companies

    def _check_runs(self, seen: list[str]) -> tuple[str, list[SourceRun]]:
        """Return an administration with runs, those of this year if there are any. Looks at a few, then gives up."""
        nothing = "" if seen else "No administration is visible to this login."
        years = (self._today.year, self._today.year - 1)
        asked = [(administration, year) for administration in seen[:_LOOKED_THROUGH] for year in years]
        found = self._try(
            operations.RUNS,
            lambda: _first_found(
                [(administration, run) for run in self._ask.runs(administration, year)]
                for administration, year in asked
            ),
            unless=nothing,
        )
        return (found[0][0], [run for _, run in found]) if found else ("", [])

    def _check_payments(self, found: tuple[str, list[SourceRun]]) -> None:
        administration, runs = found
        self._try(
            operations.PAYMENT_FILE,
            lambda: self._ask.payment_file(administration, runs[-1], _weekday_after(self._today)),
            unless="" if runs else "No run was found to try it on. It is used at the first run.",
        )

    def _check_employees(self, found: tuple[str, list[SourceRun]]) -> None:
        administration, runs = found
        self._try(
            operations.RUN_EMPLOYEES,
            lambda: self._ask.employees(administration, runs[-1]),
            required=False,
            unless="" if runs else "No run was found to try it on. It is used at the first run.",
        )

    def _try(
        self, operation: Operation, question: Callable[[], T], *, required: bool = True, unless: str = ""
    ) -> T | None:
        reason = self._over or unless
        if reason:
            self._write(operation, CheckOutcome.NOT_TRIED, reason, required=required)
            return None
        try:
            answer = question()
        except SourceFault as fault:
            self._write_fault(operation, fault, required=required)
            return None
        self._write(operation, CheckOutcome.OK, required=required)
        return answer

    def _write_fault(self, operation: Operation, fault: SourceFault, *, required: bool) -> None:
        is_denied = fault.kind is FaultKind.PERSON and fault.code != "source_refused"
        outcome = CheckOutcome.DENIED if is_denied else CheckOutcome.FAILED
        if fault.code in _ENDS_IT_ALL:
            self._over = f"Not tried after what {operation.full_name} brought."
        # A refused login is no missing right: also where the right is optional, the connection did not pass.
        self._write(operation, outcome, fault.explanation, required=required or bool(self._over))

    def _write(
        self, operation: Operation, outcome: CheckOutcome, explanation: str = "", *, required: bool = True
    ) -> None:
        self._rows[operation.full_name] = OperationCheck(
            operation=operation.full_name, outcome=outcome, required=required, explanation=explanation
        )

    def _make_optional(self, *unneeded: Operation) -> None:
        for operation in unneeded:
            row = self._rows[operation.full_name]
            self._write(operation, row.outcome, row.explanation, required=False)


def _first_found(lists: Iterable[list[T]]) -> list[T]:
    """Return the first list that is not empty, asking no further than needed."""
    return next((found for found in lists if found), [])


def _weekday_after(day: date) -> date:
    """Return the next day that is not in a weekend: a payment date that Nmbrs is sure to accept."""
    following = day + timedelta(days=1)
    while following.weekday() >= _SATURDAY:
        following += timedelta(days=1)
    return following
