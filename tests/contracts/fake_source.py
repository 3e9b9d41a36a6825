"""A payroll package in memory that speaks `payments.ports`, for tests of everything that uses a payroll source.

    payroll = FakePayroll()
    bakery = payroll.add_administration("9969", name="Bakkerij Jansen B.V.")
    run = payroll.add_run(bakery, document=pain_bytes)
    kind = FakeKind(payroll)                      # register it where the real kind would be
    source = kind.open(payroll.credentials)       # or let the code under test open it

Things go wrong on order: `payroll.fail("list_runs", unreachable(), times=2)`, `payroll.deny("run_employees")`,
`payroll.refuse_login()`, `payroll.document_later(bakery, run, after=2)`; `payroll.heal()` ends all of it.
Every question is kept in `payroll.calls`. May be used by several threads.
"""

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

from app.core.errors import Invalid, Problem
from app.payments.errors import FaultKind, SourceFault
from app.payments.ports import (
    CheckOutcome,
    OperationCheck,
    RawDocument,
    SourceAdministration,
    SourceCredentials,
    SourceDebtorAccount,
    SourceEmployee,
    SourceRun,
    WebhookHint,
)

CREDENTIALS = SourceCredentials(username="salaris@kantoor.example", secret="fake-token-for-tests", domain="kantoor")
OPERATIONS = ("list_administrations", "list_runs", "fetch_payments", "debtor_account", "run_employees")


def unreachable() -> SourceFault:
    """The package does not answer; time will tell."""
    return SourceFault(FaultKind.WAIT, "source_unreachable", "", "The payroll package could not be reached.")


def timed_out() -> SourceFault:
    """The package took too long."""
    return SourceFault(FaultKind.WAIT, "source_timeout", "", "The payroll package did not answer in time.")


def right_missing() -> SourceFault:
    """The right to this call is not given."""
    return SourceFault(FaultKind.PERSON, "right_missing", "", "Switch on this call in the payroll package.")


def credentials_refused() -> SourceFault:
    """The login is not accepted (any more)."""
    return SourceFault(FaultKind.PERSON, "credentials_refused", "", "The payroll package refuses the login.")


def not_understood() -> SourceFault:
    """The answer is whole and makes no sense."""
    return SourceFault(FaultKind.OURS, "answer_not_understood", "", "The answer was not understood.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One question that was asked, faults included. `method` is the name in the port."""

    method: str
    administration: str | None = None
    run: str | None = None
    year: int | None = None
    payment_date: date | None = None


@dataclass(slots=True, kw_only=True)
class _Run:
    run: SourceRun
    document: bytes = b""
    empty_answers: int = 0
    employees: list[SourceEmployee] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class _Administration:
    administration: SourceAdministration
    account: SourceDebtorAccount | None
    runs: dict[str, _Run] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class _Login:
    credentials: SourceCredentials
    sees: frozenset[str] | None  # None: everything


@dataclass(slots=True, kw_only=True)
class _Failure:
    method: str
    fault: SourceFault
    administration: str | None
    times: int | None  # None: until healed


class FakePayroll:
    """The package itself: what it holds, who may see it, what goes wrong, and what was asked.

    `meanwhile` happens once, between the next payment document and its arrival.
    """

    def __init__(self, credentials: SourceCredentials = CREDENTIALS) -> None:
        self.credentials = credentials
        self.calls: list[Call] = []
        self._lock = threading.RLock()
        self._administrations: dict[str, _Administration] = {}
        self._logins = [_Login(credentials=credentials, sees=None)]
        self._failures: list[_Failure] = []
        self._last_run_id = 5000
        self.meanwhile: Callable[[], None] | None = None

    # ------------------------------------------------------------------------------------------------ what it holds

    def add_administration(
        self,
        external_id: str,
        *,
        number: str | None = None,
        name: str = "Bakkerij Jansen B.V.",
        client: tuple[str, str] | None = ("21", "Jansen Groep"),
        iban: str | None = "NL91ABNA0417164300",
        frequency: str | None = None,
    ) -> SourceAdministration:
        """Add an administration of a client (key, name), paying from `iban` (None: it has no account)."""
        administration = SourceAdministration(
            external_id=external_id,
            number=number or external_id,
            name=name,
            client_external_id=client[0] if client else None,
            client_name=client[1] if client else None,
            frequency=frequency,
        )
        account = SourceDebtorAccount(iban=iban, bic=None, name=name) if iban else None
        with self._lock:
            self._administrations[external_id] = _Administration(administration=administration, account=account)
        return administration

    def remove_administration(self, administration: SourceAdministration) -> None:
        """Take an administration away, as when its tag is removed."""
        with self._lock:
            del self._administrations[administration.external_id]

    def set_account(self, administration: SourceAdministration, iban: str | None, *, name: str | None = None) -> None:
        """Change the account the administration pays from."""
        account = SourceDebtorAccount(iban=iban, bic=None, name=name or administration.name) if iban else None
        with self._lock:
            self._administrations[administration.external_id].account = account

    def add_run(
        self,
        administration: SourceAdministration,
        *,
        document: bytes = b"<Document/>",
        external_id: str | None = None,
        number: int | None = None,
        year: int = 2026,
        period: int = 11,
        description: str = "Salaris",
        made_at: datetime | None = datetime(2026, 11, 20, 15, 30, tzinfo=UTC),
        is_locked: bool = False,
        frequency: str | None = "month",
        employees: Iterable[tuple[str, str]] = (),
    ) -> SourceRun:
        """Finish a run. `employees` are (number, name); id and number are given out when left open."""
        with self._lock:
            self._last_run_id += 1
            runs = self._administrations[administration.external_id].runs
            run = SourceRun(
                external_id=external_id or str(self._last_run_id),
                number=number or 1 + sum(held.run.year == year for held in runs.values()),
                year=year,
                period_start=period,
                period_end=period,
                description=description,
                made_at=made_at,
                is_locked=is_locked,
                frequency=frequency,
            )
            people = [SourceEmployee(external_id=number, number=number, name=name) for number, name in employees]
            runs[run.external_id] = _Run(run=run, document=document, employees=people)
        return run

    def change_run(self, administration: SourceAdministration, run: SourceRun, **changes: Any) -> SourceRun:
        """Change what the list says of a run, for instance `is_locked=True`; give it as it is now."""
        with self._lock:
            held = self._administrations[administration.external_id].runs[run.external_id]
            held.run = replace(held.run, **changes)
            return held.run

    def undo_run(self, administration: SourceAdministration, run: SourceRun) -> None:
        """Take a run back: it leaves the list and its document is gone."""
        with self._lock:
            del self._administrations[administration.external_id].runs[run.external_id]

    def set_document(self, administration: SourceAdministration, run: SourceRun, document: bytes) -> None:
        """Change the payment document of a run, as when an IBAN was corrected."""
        with self._lock:
            self._administrations[administration.external_id].runs[run.external_id].document = document

    def set_only_document(self, document: bytes) -> None:
        """Change the payment document of the only run of the only administration."""
        with self._lock:
            (held,) = self._administrations.values()
            (run,) = held.runs.values()
            run.document = document

    def only_run(self) -> SourceRun:
        """Return the only run of the only administration, as the list says it now."""
        with self._lock:
            (held,) = self._administrations.values()
            (run,) = held.runs.values()
            return run.run

    def document_later(self, administration: SourceAdministration, run: SourceRun, *, after: int) -> None:
        """Let the document be empty the next `after` times it is asked for."""
        with self._lock:
            self._administrations[administration.external_id].runs[run.external_id].empty_answers = after

    def add_login(self, credentials: SourceCredentials, *, sees: Iterable[SourceAdministration] | None = None) -> None:
        """Accept more credentials, which see these administrations only (None: all)."""
        seen = None if sees is None else frozenset(administration.external_id for administration in sees)
        with self._lock:
            self._logins.append(_Login(credentials=credentials, sees=seen))

    # ----------------------------------------------------------------------------------------------- what goes wrong

    def fail(
        self,
        method: str,
        fault: SourceFault,
        *,
        times: int | None = None,
        administration: SourceAdministration | None = None,
    ) -> None:
        """Let a method of the port (or "*") raise `fault`, a number of times or until healed, for one or all."""
        known = administration.external_id if administration else None
        with self._lock:
            self._failures.append(_Failure(method=method, fault=fault, administration=known, times=times))

    def deny(self, method: str) -> None:
        """Take away the right to one method of the port."""
        self.fail(method, right_missing())

    def refuse_login(self) -> None:
        """Refuse every login, as when the token was made anew."""
        self.fail("*", credentials_refused())

    def heal(self) -> None:
        """End everything that goes wrong."""
        with self._lock:
            self._failures.clear()

    def count(self, method: str) -> int:
        """Return how often a method was asked."""
        with self._lock:
            return sum(call.method == method for call in self.calls)

    # --------------------------------------------------------------------------------------------- asked by FakeSource

    def take_time(self) -> None:
        """Let happen what was to happen once, between an answer and its arrival."""
        happens, self.meanwhile = self.meanwhile, None
        if happens is not None:
            happens()

    def ask(self, credentials: SourceCredentials, call: Call) -> list[_Administration]:
        """Note a question; return what these credentials see, or raise what was ordered."""
        with self._lock:
            self.calls.append(call)
            for failure in self._failures:
                suits = failure.method in {call.method, "*"} and failure.administration in {call.administration, None}
                if suits and failure.times != 0:
                    failure.times = None if failure.times is None else failure.times - 1
                    raise replace(failure.fault, operation=failure.fault.operation or f"Fake.{call.method}")
            for login in self._logins:
                if login.credentials == credentials:
                    return [
                        held for key, held in self._administrations.items() if login.sees is None or key in login.sees
                    ]
            raise replace(credentials_refused(), operation=f"Fake.{call.method}")

    def take_document(self, held: _Run) -> bytes:
        """Return the document, empty as long as it was ordered to be late."""
        with self._lock:
            if held.empty_answers > 0:
                held.empty_answers -= 1
                return b""
            return held.document


class FakeSource:
    """One connection to the package."""

    def __init__(self, payroll: FakePayroll, credentials: SourceCredentials) -> None:
        self._payroll = payroll
        self._credentials = credentials

    def check(self) -> Sequence[OperationCheck]:
        """Try each method; after a refused login nothing more."""
        rows: list[OperationCheck] = []
        for method in OPERATIONS:
            outcome, explanation = CheckOutcome.NOT_TRIED, "Not tried after a refused login."
            if not any(row.outcome is CheckOutcome.DENIED and "login" in row.explanation for row in rows):
                outcome, explanation = self._try(method)
            is_required = method != "run_employees" or "login" in explanation
            row = OperationCheck(
                operation=f"Fake.{method}", outcome=outcome, required=is_required, explanation=explanation
            )
            rows.append(row)
        return rows

    def _try(self, method: str) -> tuple[CheckOutcome, str]:
        try:
            self._payroll.ask(self._credentials, Call(method=method))
        except SourceFault as fault:
            is_denied = fault.kind is FaultKind.PERSON
            return (CheckOutcome.DENIED if is_denied else CheckOutcome.FAILED), fault.explanation
        return CheckOutcome.OK, ""

    def list_administrations(self) -> Sequence[SourceAdministration]:
        """Return what these credentials see."""
        held = self._payroll.ask(self._credentials, Call(method="list_administrations"))
        return [administration.administration for administration in held]

    def list_runs(self, administration: str, *, year: int) -> Sequence[SourceRun]:
        """Return the runs of a year."""
        held = self._find(Call(method="list_runs", administration=administration, year=year))
        return [run.run for run in held.runs.values() if run.run.year == year]

    def fetch_payments(self, administration: str, run: SourceRun, *, payment_date: date) -> RawDocument:
        """Return the document of a run."""
        call = Call(
            method="fetch_payments", administration=administration, run=run.external_id, payment_date=payment_date
        )
        content = self._payroll.take_document(self._find_run(self._find(call), run, call))
        self._payroll.take_time()
        return RawDocument(content=content, requested_payment_date=payment_date)

    def debtor_account(self, administration: str) -> SourceDebtorAccount | None:
        """Return the account of an administration."""
        return self._find(Call(method="debtor_account", administration=administration)).account

    def run_employees(self, administration: str, run: SourceRun) -> Sequence[SourceEmployee] | None:
        """Return who is in a run; None without the right."""
        call = Call(method="run_employees", administration=administration, run=run.external_id)
        try:
            return list(self._find_run(self._find(call), run, call).employees)
        except SourceFault as fault:
            if fault.code == "right_missing":
                return None
            raise

    def _find(self, call: Call) -> _Administration:
        for held in self._payroll.ask(self._credentials, call):
            if held.administration.external_id == call.administration:
                return held
        text = "The payroll package does not know this administration, or does not show it to this login."
        raise SourceFault(FaultKind.PERSON, "administration_unknown", f"Fake.{call.method}", text)

    def _find_run(self, held: _Administration, run: SourceRun, call: Call) -> _Run:
        if run.external_id in held.runs:
            return held.runs[run.external_id]
        text = "The payroll package does not know this run (any more)."
        raise SourceFault(FaultKind.PERSON, "run_unknown", f"Fake.{call.method}", text)


class FakeKind:
    """A connection kind over a `FakePayroll`. Its webhooks are JSON objects with the field names of `WebhookHint`."""

    def __init__(self, payroll: FakePayroll, *, name: str = "nmbrs_soap") -> None:
        self.payroll = payroll
        self.name = name

    def open(
        self,
        credentials: SourceCredentials,
        *,
        timeout_seconds: float | None = None,  # noqa: ARG002 (of the port)
    ) -> FakeSource:
        """Return a source with these credentials; order `timed_out()` to play a time-out."""
        return FakeSource(self.payroll, self.check_credentials(credentials))

    def check_credentials(self, credentials: SourceCredentials) -> SourceCredentials:
        """Trim; user, token and domain are all needed."""
        trimmed = SourceCredentials(
            username=credentials.username.strip(),
            secret=credentials.secret.strip(),
            domain=credentials.domain.strip().lower().removesuffix(".fake.example"),
        )
        problems = [
            Problem(pointer=pointer, code="missing", message="Fill in this field.")
            for pointer, value in (
                ("/username", trimmed.username),
                ("/token", trimmed.secret),
                ("/domain", trimmed.domain),
            )
            if not value
        ]
        if problems:
            raise Invalid("These credentials cannot be used.", errors=problems)
        return trimmed

    def read_webhook(
        self,
        *,
        body: bytes,
        headers: Mapping[str, str],  # noqa: ARG002 (of the port)
        query: str,  # noqa: ARG002 (of the port)
    ) -> Sequence[WebhookHint]:
        """Return the hint that stands in the body, an empty one for anything else."""
        try:
            said = json.loads(body)
            return [WebhookHint(**said)]
        except (ValueError, TypeError, RecursionError):
            return [WebhookHint()]
