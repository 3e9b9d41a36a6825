"""429 on the API and on the webhook: fair between tenants, shared by processes, and no run is lost by it."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx2
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.core.settings import Settings
from app.main import Service, build, create_app
from tests.contracts.fake_source import FakePayroll
from tests.http.connected import connected
from tests.support.clock import FakeClock
from tests.support.house import House, Person, document, lines
from tests.support.jobs import waiting_jobs, work_off
from tests.support.postgres import TestDatabase


@contextmanager
def _process(service: Service, database: TestDatabase, **limits: Any) -> Iterator[tuple[Service, TestClient]]:
    """Give one more process on the same database, with limits of its own choice."""
    settings: Settings = service.settings.model_copy(update=limits)
    kinds = service.context.sources
    built = build(settings, database_url=database.app_url, clock=service.context.clock, sources=kinds)
    with TestClient(create_app(built, with_worker=False), raise_server_exceptions=False) as client:
        yield built, client
    built.context.close()


def _rows(service: Service, query: str) -> list[Any]:
    with service.context.engine.connect() as connection:
        return list(connection.execute(sa.text(query)).all())


def _assert_refused(answer: httpx2.Response) -> None:
    assert answer.status_code == 429, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "too_many_requests"
    assert answer.headers["retry-after"] == "1"


def test_a_token_that_asks_too_often_waits_and_no_other_does(
    service: Service, database: TestDatabase, house: House, other_house: House, clock: FakeClock
) -> None:
    """Beyond its bucket a token gets 429 with Retry-After; another is served; a moment later it is served again."""
    limits = {"api_requests_at_once": 5, "api_requests_per_second": 1.0}
    with _process(service, database, **limits) as (_, client):

        def me(person: Person) -> httpx2.Response:
            return client.get("/v1/me", headers={"Authorization": f"Bearer {person.token}"})

        clock.forward(hours=1)
        assert [me(house.boss).status_code for _ in range(5)] == [200] * 5
        _assert_refused(me(house.boss))
        assert me(other_house.boss).status_code == 200
        clock.forward(seconds=1)
        assert [me(house.boss).status_code for _ in range(2)] == [200, 429]


def test_a_token_has_one_bucket_in_all_processes(
    service: Service, database: TestDatabase, house: House, clock: FakeClock
) -> None:
    """Going round the processes gains nothing."""
    clock.forward(hours=1)
    limits = {"api_requests_at_once": 6, "api_requests_per_second": 1.0}
    with ExitStack() as stack:
        clients = [stack.enter_context(_process(service, database, **limits))[1] for _ in range(2)]
        asked = [
            clients[n % 2].get("/v1/me", headers={"Authorization": f"Bearer {house.boss.token}"}) for n in range(8)
        ]
    assert [answer.status_code for answer in asked] == [200] * 6 + [429] * 2


def test_a_wrong_token_takes_nothing_from_the_right_one(service: Service, database: TestDatabase, house: House) -> None:
    """Only who shows the token can use up its bucket."""
    with _process(service, database, api_requests_at_once=3) as (_, client):
        for _ in range(10):
            assert client.get("/v1/me", headers={"Authorization": f"Bearer {house.boss.token}x"}).status_code == 401
    assert len(_rows(service, "SELECT 1 FROM rate_limit")) == 1


def test_a_webhook_beyond_its_bucket_is_marked_once_and_pokes(
    service: Service, database: TestDatabase, payroll: FakePayroll, client: TestClient
) -> None:
    """429 without reading the body; one mark however many come, and the source is asked all the same."""
    flooded, quiet = (connected(service, client, payroll, number).webhook_path for number in ("10", "11"))
    work_off(service.context)
    with _process(service, database, webhooks_at_once=3, webhooks_per_second=1.0) as (_, caller):
        answers = [caller.post(flooded, content=b"{}") for _ in range(20)]
        assert caller.post(quiet, content=b"{}").status_code == 202

    assert [answer.status_code for answer in answers] == [202] * 3 + [429] * 17
    _assert_refused(answers[-1])
    states = _rows(service, "SELECT body_state, count(*) FROM webhook_delivery GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in states] == [("complete", 4), ("too_many", 1)]
    assert [task for task, _ in waiting_jobs(service.context)] == ["sync_runs"] * 2


def test_a_webhook_beyond_its_bucket_pokes_also_while_its_mark_is_being_looked_at(
    service: Service, database: TestDatabase, payroll: FakePayroll, client: TestClient
) -> None:
    """A look that has begun may be past the new run: a refusal during it asks for one more look."""
    source = connected(service, client, payroll, "10")
    work_off(service.context)
    with _process(service, database, webhooks_at_once=1, webhooks_per_second=1.0) as (_, caller):
        assert [caller.post(source.webhook_path).status_code for _ in range(2)] == [202, 429]
        with service.context.engine.begin() as connection:
            connection.execute(sa.text("UPDATE procrastinate_jobs SET status = 'doing'"))
        assert caller.post(source.webhook_path).status_code == 429

    assert [task for task, _ in waiting_jobs(service.context)] == ["sync_runs"]


def test_a_flood_about_one_administration_does_not_hide_the_run_of_another(
    service: Service, database: TestDatabase, payroll: FakePayroll, client: TestClient
) -> None:
    """The mark says nothing, so the look it causes is at every administration: the refused webhook's run is found."""
    source = connected(service, client, payroll, "10", "11")
    first, second = source.administrations
    work_off(service.context)  # the first look of the day is at everything anyhow
    payroll.add_run(second, document=document(lines(3)), description="Salaris van de ander")
    with _process(service, database, webhooks_at_once=3, webhooks_per_second=1.0) as (_, caller):
        named = json.dumps({"administration_external_id": first.external_id}).encode()
        assert [caller.post(source.webhook_path, content=named).status_code for _ in range(3)] == [202] * 3
        about = json.dumps({"administration_external_id": second.external_id}).encode()
        assert caller.post(source.webhook_path, content=about).status_code == 429
    work_off(service.context)

    runs = source.boss.get("/v1/payroll-runs").json()
    assert [run["description"] for run in runs] == ["Salaris van de ander"]


def test_a_flood_is_served_again_after_a_moment(
    service: Service, database: TestDatabase, payroll: FakePayroll, client: TestClient, clock: FakeClock
) -> None:
    """The bucket of a webhook fills again, and a probe of the address takes nothing out of it."""
    path = connected(service, client, payroll, "10").webhook_path
    with _process(service, database, webhooks_at_once=2, webhooks_per_second=1.0) as (_, caller):
        assert [caller.head(path).status_code for _ in range(5)] == [200] * 5
        assert [caller.post(path).status_code for _ in range(3)] == [202, 202, 429]
        clock.forward(seconds=1)
        assert [caller.post(path).status_code for _ in range(2)] == [202, 429]
