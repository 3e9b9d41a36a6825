"""Sets the model's employer up, through the same use cases as any employer; and builds the service anew."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy as sa
from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr

from app.auth.models import Role
from app.core.crypto import new_key_text
from app.core.settings import Environment, Settings
from app.main import Service, build, create_app
from app.payments.tasks import work
from tests.contracts.fake_source import FakeKind, FakePayroll
from tests.proofs.model_caller import Caller
from tests.proofs.model_house import SOURCE_ADMINISTRATION, ModelHouse
from tests.proofs.model_outside import SeededIds, UnsureBank
from tests.support.clock import FakeClock
from tests.support.house import PIN, SECOND_IBAN, House, Person, add_account, add_house, add_person, link
from tests.support.postgres import HISTORY_KEY, TestDatabase

# A PIN is checked with the figures that its hash names: cheap ones here, where PINs are no secret.
_CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outside:
    """What the service is built with."""

    database: TestDatabase
    settings: Settings
    clock: FakeClock
    kind: FakeKind
    bank: UnsureBank
    ids: SeededIds

    def build(self) -> Service:
        """Build the service, with ids that come again."""
        built = build(
            self.settings,
            database_url=self.database.app_url,
            clock=self.clock,
            sources={self.kind.name: self.kind},
            channels={self.bank.name: self.bank},
        )
        context = replace(built.context, new_id=self.ids)
        return replace(built, context=context, work=work(context))


@contextmanager
def model_house(database: TestDatabase, folder: Path) -> Iterator[ModelHouse]:
    """Give the employer on this database, which is emptied first."""
    database.empty()
    outside = _Outside(
        database=database,
        settings=_settings(folder),
        clock=FakeClock(),
        kind=FakeKind(FakePayroll()),
        bank=UnsureBank(),
        ids=SeededIds(),
    )
    service = outside.build()
    superuser = sa.create_engine(database.superuser_url)
    made = _set_up(outside, service, create_app(service, with_worker=False), superuser)
    try:
        yield made
    finally:
        made.caller.close()
        made.service.context.close()
        made.spoil("DROP SCHEMA set_up CASCADE")
        superuser.dispose()


def _settings(folder: Path) -> Settings:
    return Settings(
        environment=Environment.TEST,
        data_dir=folder,
        encryption_keys=SecretStr(new_key_text("k1")),
        identifier_key=SecretStr("an identifier key for proofs, long enough"),
        history_key=SecretStr(HISTORY_KEY),
        api_requests_at_once=1_000_000,  # the clock stands still, so no bucket would fill again
        webhooks_at_once=1_000_000,
        database_pool_size=40,
    )


def _set_up(outside: _Outside, service: Service, app: FastAPI, superuser: sa.Engine) -> ModelHouse:
    with TestClient(app, raise_server_exceptions=False) as client:
        house = add_house(service.context, client)
        source = outside.kind.payroll.add_administration(SOURCE_ADMINISTRATION, number="21")
        dry_id = _dry_run(house)
        source_id, webhook_path = _connect(house, outside.kind.payroll)
        everybody = [house.boss, *_others(house)]
        accounts = [house.account_id, add_account(house.boss, house.employer_id, iban=SECOND_IBAN)]
    made = ModelHouse(
        clock=outside.clock,
        kind=outside.kind,
        bank=outside.bank,
        ids=outside.ids,
        build=outside.build,
        service=service,
        caller=Caller(app),
        house=house,
        everybody=everybody,
        people=everybody,
        accounts=accounts,
        dry_id=dry_id,
        source_id=source_id,
        source=source,
        webhook_path=webhook_path,
        superuser=superuser,
    )
    made.spoil(
        f"UPDATE user_account SET pin_hash = '{_CHEAP.hash(PIN)}'",
        "UPDATE api_token SET expires_at = '2100-01-01'",  # years go by in a try
    )
    made.keep_as_set_up()
    return made


def _others(house: House) -> list[Person]:
    domain = house.boss.email.partition("@")[2]
    roles = {"second": (Role.ADMIN, Role.APPROVER), "third": (Role.APPROVER,)}
    return [
        add_person(house.ctx, house.client, house.employer_id, held, email=f"{name}@{domain}")
        for name, held in roles.items()
    ]


def _dry_run(house: House) -> str:
    """Add an administration that is uploaded for in a dry run; return its id."""
    path = f"/v1/connections/{house.connection_id}/administrations"
    made = house.boss.post(path, {"number": "9970", "name": "Proef"}).json()
    answer = link(house.boss, made["id"], house.employer_id, house.account_id, mode="dry_run")
    assert answer.status_code == 200, answer.text
    return str(made["id"])


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
