"""The employer that the proofs drive: people, accounts and two payroll sources, set up once and emptied between tries.

Everything is asked over the API, in one process, on a real PostgreSQL. An answer of 5xx is a counter-example.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import sqlalchemy as sa
from fastapi.testclient import TestClient
from pydantic import SecretStr

from app.auth.models import Role
from app.core.crypto import new_key_text
from app.core.settings import Environment, Settings
from app.main import Service, build, create_app
from app.payments.ports import ChannelAnswer, ChannelOutcome, SourceAdministration
from tests.contracts.fake_source import FakeKind, FakePayroll
from tests.support.clock import WEDNESDAY, FakeClock
from tests.support.house import SECOND_IBAN, House, Person, add_account, add_house, add_person, link
from tests.support.jobs import work_off
from tests.support.postgres import HISTORY_KEY, TestDatabase

SOURCE_ADMINISTRATION = "2100"
# What a try leaves behind; who there is, with which accounts and connections, stays.
_LEFT = (
    "idempotency_key",
    "history_entry",
    "history_head",
    "hold",
    "claim",
    "status_report",
    "delivery",
    "payment_file",
    "approval",
    "batch_comparison",
    "finding",
    "credit_transfer",
    "payment_batch",
    "remembered_kind",
    "obligation",
    "source_reading",
    "run_identity",
    "payroll_run",
    "webhook_delivery",
    "pin_try",
    "proposal",
    "approval_policy",
    "payment_limit",
    "procrastinate_events",
    "procrastinate_jobs",
)
_AS_BEFORE = (
    "UPDATE api_token SET pin_locked_at = NULL, expires_at = '2100-01-01'",
    "UPDATE user_account SET pin_locked_at = NULL",
    "UPDATE connection SET next_poll_at = NULL, last_polled_at = NULL, last_webhook_at = NULL, fault = NULL",
)


@dataclass(slots=True)
class UnsureBank:
    """A channel that answers what it is told to, at once or when asked later; what it refused is remembered."""

    name: str = "unsure-bank"
    answers: ChannelOutcome = ChannelOutcome.UNKNOWN
    refused: set[str] = field(default_factory=set)
    sent: list[str] = field(default_factory=list)

    def send(self, data: bytes, *, message_id: str) -> ChannelAnswer:
        """Take a file, once."""
        assert data, "an empty file was sent"
        assert message_id not in self.sent, f"{message_id} was sent twice"
        self.sent.append(message_id)
        return self._answer(message_id)

    def ask(self, *, message_id: str, reference: str | None) -> ChannelAnswer:
        """Say what became of it."""
        assert reference is None
        return self._answer(message_id)

    def _answer(self, message_id: str) -> ChannelAnswer:
        if self.answers is ChannelOutcome.REFUSED:
            self.refused.add(message_id)
        return ChannelAnswer(outcome=self.answers)


@dataclass(slots=True, kw_only=True)
class ModelHouse:
    """An employer with three approvers (the first two are admins), two accounts, uploads and a payroll source."""

    database: TestDatabase
    settings: Settings
    clock: FakeClock
    kind: FakeKind
    bank: UnsureBank
    service: Service
    house: House
    people: list[Person]
    accounts: list[str]
    source_id: str
    source: SourceAdministration
    webhook_path: str
    _sweeper: sa.Engine
    _clients: ExitStack

    def start_over(self) -> None:
        """Forget every run, batch and file, and put the clock, the limits and the bank back."""
        self.spoil(*(f"DELETE FROM {table}" for table in _LEFT), *_AS_BEFORE)
        self.clock.moment = WEDNESDAY
        self.kind.payroll = FakePayroll()
        self.source = self.kind.payroll.add_administration(SOURCE_ADMINISTRATION, number="21")
        self.bank.answers = ChannelOutcome.UNKNOWN
        self.bank.refused.clear()
        self.bank.sent.clear()

    def spoil(self, *statements: str) -> None:
        """Write past the service and past every trigger."""
        with self._sweeper.begin() as connection:
            connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
            for statement in statements:
                connection.execute(sa.text(statement))

    def restart(self) -> None:
        """Build the service anew on the same database, as after a crash between two requests."""
        self.service.context.engine.dispose()
        self.service = _service(self.database, self.settings, self.clock, self.kind, self.bank)
        self._clients.close()
        client = self._clients.enter_context(_client(self.service))
        self.people = [replace(person, client=client) for person in self.people]

    def ask(self, who: int, method: str, path: str, **options: Any) -> httpx2.Response:
        """Send a request as one of the people; an error on the service's side is a counter-example."""
        answer = self.people[who % len(self.people)].call(method, path, **options)
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

    def limit(self, who: int, account: int, cents: Mapping[str, int]) -> httpx2.Response:
        """Ask for limits on an account."""
        body = {kind: money(value) for kind, value in cents.items()}
        return self.ask(who, "PUT", f"/v1/debtor-accounts/{self.accounts[account]}/payment-limit", json=body)

    def rows(self, query: str, **values: object) -> Sequence[sa.Row[Any]]:
        """Return rows of the database as the service sees it."""
        with self.service.context.engine.connect() as connection:
            return connection.execute(sa.text(query), values).all()


def money(cents: int) -> dict[str, str]:
    """Return cents as the API takes them."""
    return {"amount": f"{cents // 100}.{cents % 100:02d}", "currency": "EUR"}


def if_match(revision: int) -> dict[str, str]:
    """Return the header that names the revision that was looked at."""
    return {"If-Match": f'"r{revision}"'}


def _service(database: TestDatabase, settings: Settings, clock: FakeClock, kind: FakeKind, bank: UnsureBank) -> Service:
    return build(
        settings,
        database_url=database.app_url,
        clock=clock,
        sources={kind.name: kind},
        channels={bank.name: bank},
    )


def _client(service: Service) -> TestClient:
    return TestClient(create_app(service, with_worker=False), raise_server_exceptions=False)


@contextmanager
def model_house(database: TestDatabase, folder: Path) -> Iterator[ModelHouse]:
    """Give the employer on this database, which is emptied first."""
    database.empty()
    settings = Settings(
        environment=Environment.TEST,
        data_dir=folder,
        encryption_keys=SecretStr(new_key_text("k1")),
        identifier_key=SecretStr("an identifier key for proofs, long enough"),
        history_key=SecretStr(HISTORY_KEY),
        api_requests_at_once=1_000_000,  # the clock stands still, so no bucket would fill again
        webhooks_at_once=1_000_000,
        database_pool_size=40,
    )
    clock, kind, bank = FakeClock(), FakeKind(FakePayroll()), UnsureBank()
    service = _service(database, settings, clock, kind, bank)
    sweeper = sa.create_engine(database.superuser_url)
    clients = ExitStack()
    client = clients.enter_context(_client(service))
    house = add_house(service.context, client)
    source = kind.payroll.add_administration(SOURCE_ADMINISTRATION, number="21")
    source_id, webhook_path = _connect(house, kind.payroll)
    made = ModelHouse(
        database=database,
        settings=settings,
        clock=clock,
        kind=kind,
        bank=bank,
        service=service,
        house=house,
        people=[house.boss, *_others(house)],
        accounts=[house.account_id, add_account(house.boss, house.employer_id, iban=SECOND_IBAN)],
        source_id=source_id,
        source=source,
        webhook_path=webhook_path,
        _sweeper=sweeper,
        _clients=clients,
    )
    try:
        yield made
    finally:
        clients.close()
        made.service.context.engine.dispose()
        sweeper.dispose()


def _others(house: House) -> list[Person]:
    domain = house.boss.email.partition("@")[2]
    roles = {"second": (Role.ADMIN, Role.APPROVER), "third": (Role.APPROVER,)}
    return [
        add_person(house.ctx, house.client, house.employer_id, held, email=f"{name}@{domain}")
        for name, held in roles.items()
    ]


def _connect(house: House, payroll: FakePayroll) -> tuple[str, str]:
    """Connect and link the payroll source; return the administration's id and the path of its webhook."""
    login = payroll.credentials
    body = {
        "organization_id": str(house.employer_id),
        "kind": "nmbrs_soap",
        "username": login.username,
        "token": login.secret,
        "domain": login.domain,
    }
    connection = house.boss.post("/v1/connections", body).json()
    assert house.boss.post(f"/v1/connections/{connection['id']}/check").status_code == 200
    found = house.boss.get(f"/v1/connections/{connection['id']}/administrations").json()[0]
    assert link(house.boss, found["id"], house.employer_id, house.account_id).status_code == 200
    return found["id"], urlsplit(connection["webhook_url"]).path
