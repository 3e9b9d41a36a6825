"""The same payroll package behind each adapter: what it holds, and what can be done to it."""

# ruff: noqa: D102 (the protocol says what each method does)

import json
from datetime import UTC, datetime
from typing import Any, Protocol

from app.nmbrs.source import NmbrsSoapKind
from app.payments.ports import SourceCredentials, SourceKind, SourceRun
from simulators.nmbrs.faults import FaultKind
from simulators.nmbrs.process import SimulatorClient
from tests.contracts.fake_source import FakeKind, FakePayroll, timed_out

# Two clients' administrations; the florist has no account and no runs.
BAKERY, FLORIST = "9969", "9970"
EVERYTHING = SourceCredentials(username="salaris@kantoor.example", secret="token-of-everything", domain="kantoor")
FLORIST_ONLY = SourceCredentials(username="bloemen@kantoor.example", secret="token-of-florist", domain="kantoor")


class Stage(Protocol):
    """A payroll package with the same content behind every adapter, and what can be done to it."""

    kind: SourceKind

    def finish_run(self) -> None:
        """Finish a run of November 2026 in the bakery."""

    def undo_run(self, run: SourceRun) -> None:
        """Take it back."""

    def document_later(self, run: SourceRun) -> None:
        """Let its document be empty the next time."""

    def deny(self, method: str) -> None:
        """Take away the right behind a method."""

    def refuse_login(self) -> None:
        """Refuse the login."""

    def stop_answering(self) -> None:
        """Fail as in an outage."""

    def heal(self) -> None:
        """End all of it."""

    def webhook(self, run: SourceRun) -> bytes:
        """Return a body that tells of this run."""


class FakeStage:
    """The fake, filled."""

    def __init__(self) -> None:
        self.payroll = FakePayroll(EVERYTHING)
        self.kind: SourceKind = FakeKind(self.payroll)
        self.bakery = self.payroll.add_administration(BAKERY, number="1", name="Bakkerij Jansen B.V.")
        florist = self.payroll.add_administration(
            FLORIST, number="2", name="Bloemen De Vries", client=("22", "De Vries"), iban=None
        )
        self.payroll.add_login(FLORIST_ONLY, sees=[florist])
        self._add(2025, 12, datetime(2025, 12, 18, 9, 0, tzinfo=UTC))
        self._add(2026, 10, datetime(2026, 10, 22, 8, 0, tzinfo=UTC))

    def _add(self, year: int, period: int, made_at: datetime) -> None:
        self.payroll.add_run(
            self.bakery,
            year=year,
            period=period,
            made_at=made_at,
            employees=[("1", "Jansen"), ("2", "Pietersen")],
            document=b"<Document>1</Document>",
        )

    def finish_run(self) -> None:
        self._add(2026, 11, datetime(2026, 11, 20, 15, 31, tzinfo=UTC))

    def undo_run(self, run: SourceRun) -> None:
        self.payroll.undo_run(self.bakery, run)

    def document_later(self, run: SourceRun) -> None:
        self.payroll.document_later(self.bakery, run, after=1)

    def deny(self, method: str) -> None:
        self.payroll.deny(method)

    def refuse_login(self) -> None:
        self.payroll.refuse_login()

    def stop_answering(self) -> None:
        self.payroll.fail("*", timed_out())

    def heal(self) -> None:
        self.payroll.heal()

    def webhook(self, run: SourceRun) -> bytes:
        return json.dumps({"administration_external_id": BAKERY, "run_external_id": run.external_id}).encode()


def nmbrs_run(number: int, year: int, period: int, run_at: str, **more: Any) -> dict[str, Any]:
    """A run of the bakery as the simulator's data has it."""
    lines = [
        {"employee_id": 31, "name": "A. Jansen", "iban": "NL42INGB2268352412", "amount": "2100.00"},
        {"employee_id": 32, "name": "B. Pietersen", "iban": "NL52ABNA7650143244", "amount": "1900.10"},
    ]
    run = {"number": number, "year": year, "period_start": period, "period_end": period, "lines": lines}
    return run | {"description": "Salaris", "run_at": run_at} | more


def nmbrs_data() -> dict[str, Any]:
    """The content of the stage as the simulator reads it."""
    period = {"current_year": 2026, "current_period": 11}
    bakery = {
        "id": int(BAKERY),
        "number": 1,
        "name": "Bakkerij Jansen B.V.",
        **period,
        "bank_account": {"id": 7, "iban": "NL91ABNA0417164300", "name": "Bakkerij Jansen B.V."},
        "employees": [
            {"id": 31, "number": 1, "display_name": "A. Jansen"},
            {"id": 32, "number": 2, "display_name": "B. Pietersen"},
        ],
        "runs": [
            nmbrs_run(1, 2025, 12, "2025-12-18T10:00:00", id=5001),
            nmbrs_run(1, 2026, 10, "2026-10-22T10:00:00", id=5002),
        ],
    }
    florist = {"id": int(FLORIST), "number": 2, "name": "Bloemen De Vries", **period}
    return {
        "environments": [
            {
                "domain": "kantoor",
                "users": [
                    {"username": EVERYTHING.username, "token": EVERYTHING.secret},
                    {"username": FLORIST_ONLY.username, "token": FLORIST_ONLY.secret, "debtor_ids": [22]},
                ],
                "debtors": [
                    {"id": 21, "number": "D1", "name": "Jansen Groep", "companies": [bakery]},
                    {"id": 22, "number": "D2", "name": "De Vries", "companies": [florist]},
                ],
            }
        ]
    }


RIGHTS = {
    "list_administrations": ["Debtor.List_GetAll", "Company.List_GetAll"],
    "list_runs": ["Company.Run_GetList"],
    "fetch_payments": ["Company.SalaryDocuments_GetSEPA"],
    "debtor_account": ["Company.BankAccount_GetCurrent"],
    "run_employees": ["Company.Run_GetEmployeesByRunCompany"],
}


class NmbrsStage:
    """The Nmbrs adapter on the simulator."""

    def __init__(self, simulator: SimulatorClient) -> None:
        self.simulator = simulator
        self.kind: SourceKind = NmbrsSoapKind(
            base_url=f"{simulator.base_url}/soap/v3",
            clock=lambda: datetime(2026, 11, 21, 10, 0, tzinfo=UTC),
            pause=lambda _: None,
            jitter=lambda: 0.0,
        )

    def finish_run(self) -> None:
        self.simulator.finish_run(int(BAKERY), nmbrs_run(2, 2026, 11, "2026-11-20T16:31:00"))

    def undo_run(self, run: SourceRun) -> None:
        self.simulator.undo_run(int(BAKERY), int(run.external_id))

    def document_later(self, run: SourceRun) -> None:  # noqa: ARG002 (the next document is this one)
        self.simulator.add_fault(FaultKind.EMPTY_RESULT, "Company.SalaryDocuments_GetSEPA", times=1)

    def deny(self, method: str) -> None:
        self.simulator.change_user(EVERYTHING.username, rights_off=RIGHTS[method])

    def refuse_login(self) -> None:
        self.simulator.change_user(EVERYTHING.username, token="made anew")

    def stop_answering(self) -> None:
        self.simulator.add_fault(FaultKind.HTML, status=503)

    def heal(self) -> None:
        self.simulator.clear_faults()
        self.simulator.change_user(EVERYTHING.username, token=EVERYTHING.secret, rights_off=[])

    def webhook(self, run: SourceRun) -> bytes:
        return json.dumps({"CompanyId": int(BAKERY), "RunId": int(run.external_id), "Event": "Run Finish"}).encode()
