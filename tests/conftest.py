"""What every test may use: a database of its own, a clock that stands still, a fake payroll package, the service."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings
from pydantic import SecretStr
from sqlalchemy import Engine

from app.core.crypto import new_key_text
from app.core.settings import Environment, Settings
from app.main import Service, build, create_app
from app.payments.context import Context
from tests.contracts.fake_source import FakeKind, FakePayroll
from tests.support.clock import FakeClock
from tests.support.house import House, add_house
from tests.support.postgres import HISTORY_KEY, TestDatabase, remove_shared_folder, running_database

# One profile everywhere: the same examples for everybody, no deadline on a busy machine.
settings.register_profile("loonstroom", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("loonstroom")
_KEYS = new_key_text("k1")
_RUN_ID = f"alone{os.getpid()}"


def _run_id(config: pytest.Config) -> str:
    worker = getattr(config, "workerinput", None)
    return str(worker["testrunuid"]) if worker else _RUN_ID


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove this run's PostgreSQL folder, once all its workers are gone."""
    if hasattr(config, "workerinput"):
        return
    options = config.pluginmanager.getplugin("dsession")
    run_id = getattr(getattr(options, "nodemanager", None), "testrunuid", None) or _RUN_ID
    remove_shared_folder(run_id)


@pytest.fixture(scope="session")
def database(request: pytest.FixtureRequest) -> Iterator[TestDatabase]:
    """A migrated database for this worker."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    with running_database(_run_id(request.config), worker) as running:
        yield running


@pytest.fixture
def engine(database: TestDatabase) -> Iterator[Engine]:
    """An engine on an empty database, as the role the service runs as."""
    database.empty()
    engine = database.engine()
    yield engine
    engine.dispose()


@pytest.fixture
def clock() -> FakeClock:
    """A clock at a Wednesday morning in November 2026."""
    return FakeClock()


@pytest.fixture
def payroll() -> FakePayroll:
    """A payroll package in memory."""
    return FakePayroll()


@pytest.fixture
def service(
    engine: Engine, database: TestDatabase, clock: FakeClock, payroll: FakePayroll, tmp_path: Path
) -> Iterator[Service]:
    """The service as it runs, with the clock and the payroll package of the test."""
    chosen = Settings(
        environment=Environment.TEST,
        data_dir=tmp_path,
        encryption_keys=SecretStr(_KEYS),
        identifier_key=SecretStr("an identifier key for tests, long enough"),
        history_key=SecretStr(HISTORY_KEY),
        database_pool_size=40,
        api_requests_at_once=1_000_000,  # the clock stands still, so that no bucket fills again
        webhooks_at_once=1_000_000,
    )
    del engine  # it emptied the database
    built = build(chosen, database_url=database.app_url, clock=clock, sources={"nmbrs_soap": FakeKind(payroll)})
    yield built
    built.context.close()


@pytest.fixture
def ctx(service: Service) -> Context:
    """The surroundings of use cases."""
    return service.context


@pytest.fixture
def app(service: Service) -> FastAPI:
    """The web service, without a worker."""
    return create_app(service, with_worker=False)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """A client in the same process; an error on our side is an answer, as outside."""
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def house(ctx: Context, client: TestClient) -> House:
    """An employer that is ready to pay."""
    return add_house(ctx, client)


@pytest.fixture
def other_house(ctx: Context, client: TestClient) -> House:
    """Another employer, of other people."""
    return add_house(ctx, client, name="Slagerij De Vries B.V.")
