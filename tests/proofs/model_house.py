"""The employer that the model drives: people, accounts and payroll sources, set up once and put back between tries.

Everything is asked over the API, in one process, on a real PostgreSQL. An answer of 5xx is a counter-example.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
import sqlalchemy as sa

from app.main import Service, create_app
from app.payments.ports import SourceAdministration
from tests.contracts.fake_source import FakeKind, FakePayroll
from tests.proofs.model_caller import Caller
from tests.proofs.model_outside import SeededIds, UnsureBank
from tests.support.clock import WEDNESDAY, FakeClock
from tests.support.house import House, Person
from tests.support.jobs import work_off

SOURCE_ADMINISTRATION = "2100"
EVERYBODY = 3
# Who there is, with which accounts and connections: put back as it was set up. Every other table is emptied.
_SET_UP = (
    "organization",
    "user_account",
    "membership",
    "mandate",
    "api_token",
    "debtor_account",
    "connection",
    "webhook_token",
    "administration",
    "administration_link",
)
_WAITING = (
    "SELECT id::text FROM finding WHERE batch_id::text = :batch_id AND needs_acknowledgement "
    "AND acknowledged_at IS NULL ORDER BY id"
)


@dataclass(slots=True, kw_only=True)
class ModelHouse:
    """An employer with three approvers (the first two are admins), two accounts, uploads and a payroll source."""

    clock: FakeClock
    kind: FakeKind
    bank: UnsureBank
    ids: SeededIds
    build: Callable[[], Service]
    service: Service
    caller: Caller
    house: House
    everybody: Sequence[Person]
    people: Sequence[Person]
    accounts: list[str]
    dry_id: str
    source_id: str
    source: SourceAdministration
    webhook_path: str
    superuser: sa.Engine
    starts_anew: str = ""

    def keep_as_set_up(self) -> None:
        """Remember how everything is set up now; it is what every try starts from."""
        self.spoil("CREATE SCHEMA set_up", *(f"CREATE TABLE set_up.{name} AS TABLE public.{name}" for name in _SET_UP))
        tables = self.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        emptied = [f"DELETE FROM public.{row.tablename}" for row in tables if row.tablename != "alembic_version"]
        filled = [f"INSERT INTO public.{name} SELECT * FROM set_up.{name}" for name in _SET_UP]
        self.starts_anew = "; ".join(["SET LOCAL session_replication_role = replica", *emptied, *filled])

    def start_over(self, seed: int = 0, *, people: int = EVERYBODY) -> None:
        """Put everything back, with so many people, and let ids begin as they do for this seed."""
        self.people = self.everybody[:people]
        gone = [str(person.id) for person in self.everybody[people:]]
        with self.superuser.begin() as connection:
            connection.exec_driver_sql(self.starts_anew)
            if gone:
                left = sa.text("UPDATE membership SET ends_on = '2026-10-31' WHERE user_id::text = ANY(:gone)")
                connection.execute(left, {"gone": gone})
        self.service.context.releases.path.unlink(missing_ok=True)  # or every try would be a restored database
        self.caller.forget()
        self.ids.start_over(seed)
        self.clock.moment = WEDNESDAY
        self.kind.payroll = FakePayroll()
        self.source = self.kind.payroll.add_administration(SOURCE_ADMINISTRATION, number="21")
        self.bank.start_over()

    def spoil(self, *statements: str) -> None:
        """Write past the service and past every trigger."""
        with self.superuser.begin() as connection:
            connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
            for statement in statements:
                connection.execute(sa.text(statement))

    def restart(self) -> None:
        """Build the service anew on the same database, as after a crash between two requests."""
        self.service.context.close()
        self.caller.close()
        self.service = self.build()
        self.caller = Caller(create_app(self.service, with_worker=False))

    def ask(self, who: int, method: str, path: str, **options: Any) -> httpx2.Response:
        """Send a request as one of the people; an error on the service's side is a counter-example."""
        answer = self.caller.request(method, path, token=self.people[who].token, **options)
        # A payroll source that is down is the one thing that may be answered so.
        is_known = answer.status_code < 500 or answer.json()["code"] == "source_unreachable"
        assert is_known, f"{method} {path} -> {answer.status_code} {answer.text}"
        return answer

    def get(self, path: str) -> Any:
        """Return what the first person is shown."""
        answer = self.ask(0, "GET", path)
        assert answer.status_code == 200, f"GET {path} -> {answer.status_code} {answer.text}"
        return answer.json()

    def work(self) -> None:
        """Do what a worker would: every job that is due, a moment later."""
        self.clock.forward(seconds=3)
        work_off(self.service.context, scheduled_too=False)

    def tick(self) -> None:
        """Do what time brings, and the jobs that come of it."""
        self.service.work.tick()
        self.work()

    def confirm_findings(self, who: int, batch_id: str) -> None:
        """Have somebody confirm every finding that waits for it; some may do so only after another person did."""
        for row in self.rows(_WAITING, batch_id=batch_id):
            self.ask(who, "POST", f"/v1/payment-batches/{batch_id}/findings/{row.id}/acknowledgement", json={})

    def limit(self, who: int, account: int, cents: Mapping[str, int]) -> httpx2.Response:
        """Ask for limits on an account."""
        body = {kind: money(value) for kind, value in cents.items()}
        return self.ask(who, "PUT", f"/v1/debtor-accounts/{self.accounts[account]}/payment-limit", json=body)

    def rows(self, query: str, **values: object) -> Sequence[sa.Row[Any]]:
        """Return rows of the database, past the service."""
        with self.superuser.connect() as connection:
            return connection.execute(sa.text(query), values).all()


def money(cents: int) -> dict[str, str]:
    """Return cents as the API takes them."""
    return {"amount": f"{cents // 100}.{cents % 100:02d}", "currency": "EUR"}


def if_match(revision: int) -> dict[str, str]:
    """Return the header that names the revision that was looked at."""
    return {"If-Match": f'"r{revision}"'}
