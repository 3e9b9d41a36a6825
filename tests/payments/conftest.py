"""Who else the tests of payments need: a payroll office that works for the employer."""

import pytest
from fastapi.testclient import TestClient

from app.auth.models import OrganizationKind, Role
from app.payments.context import Context
from tests.support.house import House, Person, add_organization, add_person


@pytest.fixture
def clerk(ctx: Context, client: TestClient, house: House) -> Person:
    """The admin of a payroll office that works for the employer, and may see salaries."""
    office_id = add_organization(ctx, OrganizationKind.OFFICE, "Kantoor Noord")
    person = add_person(ctx, client, office_id, (Role.ADMIN, Role.PREPARER), email="clerk@kantoor.example")
    path = f"/v1/employers/{house.employer_id}/mandates/{office_id}"
    assert house.boss.call("PUT", path, json={"sees_salaries": True}).status_code == 200
    assert person.call("PUT", path, json={}).status_code == 200
    return person
