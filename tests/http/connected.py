"""A connection to the payroll package in memory, with a webhook address that is in use."""

from dataclasses import dataclass

from fastapi.testclient import TestClient

from app.auth.models import OrganizationKind, Role
from app.main import Service
from app.payments.ports import SourceAdministration
from tests.contracts.fake_source import FakePayroll
from tests.support.house import Person, add_account, add_organization, add_person, link


@dataclass(frozen=True, kw_only=True)
class Source:
    """A connection that passed its check, with linked administrations."""

    connection_id: str
    webhook_path: str
    administrations: list[SourceAdministration]
    boss: Person


def connected(service: Service, client: TestClient, payroll: FakePayroll, *numbers: str) -> Source:
    """Set an employer up with a connection to the payroll package, and an administration for each number."""
    made = [payroll.add_administration(f"20{number}", number=number) for number in numbers]
    name = f"Bakkerij {numbers[0]}"
    employer = add_organization(service.context, OrganizationKind.EMPLOYER, name)
    boss = add_person(service.context, client, employer, (Role.ADMIN,), email=f"boss@{numbers[0]}.example")
    account = add_account(boss, employer)
    body = {
        "organization_id": str(employer),
        "kind": "nmbrs_soap",
        "username": payroll.credentials.username,
        "token": payroll.credentials.secret,
        "domain": payroll.credentials.domain,
    }
    connection = boss.post("/v1/connections", body).json()
    assert boss.post(f"/v1/connections/{connection['id']}/check").json()["state"] == "passed"
    for each in boss.get(f"/v1/connections/{connection['id']}/administrations").json():
        if each["number"] in numbers:
            assert link(boss, each["id"], employer, account).status_code == 200
    path = "/" + connection["webhook_url"].split("/", maxsplit=3)[3]
    return Source(connection_id=connection["id"], webhook_path=path, administrations=made, boss=boss)
