"""The doctor says what is wrong with an installation, and what to do about it."""

import re
from dataclasses import replace

from fastapi.testclient import TestClient

from app.cli.service import diagnoses
from app.core.database import transaction
from app.core.settings import Environment
from app.main import Service
from app.payments import holds
from tests.contracts.fake_source import FakePayroll
from tests.support.connected import connect
from tests.support.house import House


def test_a_hold_on_everything_is_told(service: Service) -> None:
    """Who looks at night why nobody can be paid reads it here, with the command that says more."""
    before = dict(diagnoses(service))
    with transaction(service.context.engine) as session:
        holds.place_on_system(service.context, session, code="release_counter_lost", reason="Gone")

    told = dict(diagnoses(service))["payments"]

    assert before["payments"] is None
    assert told is not None
    assert "release_counter_lost" in told
    assert "./run cli restore status" in told


def test_an_address_that_nmbrs_cannot_call_is_told_in_production(service: Service) -> None:
    """Webhook addresses begin with it, and Nmbrs takes https only; on one's own machine anything goes."""
    production = replace(service, settings=service.settings.model_copy(update={"environment": Environment.PRODUCTION}))
    good = production.settings.model_copy(update={"public_url": "https://loon.voorbeeld.nl"})

    told = [dict(diagnoses(each))["address"] for each in (service, production, replace(production, settings=good))]

    assert (told[0], told[2]) == (None, None)
    assert "LOONSTROOM_PUBLIC_URL" in (told[1] or "")


def test_a_connection_that_did_not_pass_its_check_is_told(
    service: Service, client: TestClient, house: House, payroll: FakePayroll
) -> None:
    """With a new token nothing is fetched until the check passes, and no question fails either: nobody would notice."""
    connected = connect(house, payroll)
    path = f"/v1/connections/{connected.connection_id}"
    credentials = payroll.credentials
    body = {"username": credentials.username, "token": credentials.secret, "domain": credentials.domain}
    body_of_another = {"organization_id": str(house.employer_id), "kind": "nmbrs_soap", **body}

    told = [_told(service, client)]
    assert house.boss.post("/v1/connections", body_of_another).status_code == 201
    told.append(_told(service, client))
    assert house.boss.call("PATCH", path, json=body).json()["state"] == "unchecked"
    told.append(_told(service, client))
    assert house.boss.post(f"{path}/check").json()["state"] == "passed"
    told.append(_told(service, client))
    assert house.boss.call("PATCH", path, json=body).json()["state"] == "unchecked"
    assert house.boss.call("DELETE", path).status_code == 204
    told.append(_told(service, client))

    assert [count for count, _ in told] == [0, 0, 1, 0, 0]
    assert [fault is None for _, fault in told] == [True, True, False, True, True]
    assert "POST .../check" in (told[2][1] or "")


def _told(service: Service, client: TestClient) -> tuple[float, str | None]:
    """Return how many connections the figure counts, and what the doctor says of them."""
    shown = re.search(r"^loonstroom_connections_with_fault (.+)$", client.get("/metrics").text, re.MULTILINE)
    return float(shown[1]) if shown else -1, dict(diagnoses(service))["connections"]
