"""`GET /v1/history/verification`: an auditor or admin sees whether the history of their organizations holds."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from app.auth.models import OrganizationKind, Role, Scope
from app.core import history_proof
from app.core.database import create_engine, transaction
from app.core.history_sealing import seal_due
from app.payments.context import Context
from tests.support.clock import FakeClock
from tests.support.house import House, add_organization, add_person
from tests.support.postgres import TestDatabase

_PATH = "/v1/history/verification"


@pytest.fixture
def admin(database: TestDatabase) -> Iterator[Engine]:
    """An administrator of the database."""
    made = create_engine(database.superuser_url, pool_size=2)
    yield made
    made.dispose()


def test_what_really_happened_verifies(house: House, ctx: Context, clock: FakeClock) -> None:
    """From the making of the employer to a delivered file and a daily seal: every record holds."""
    batch = house.uploaded_batch()
    assert house.boss.approve(batch, pin="314159").status_code == 403
    assert house.boss.approve(batch).status_code == 201
    assert house.boss.get(f"/v1/payment-batches/{batch['id']}/file").status_code == 200
    clock.forward(days=1)
    seal_due(ctx.engine, ctx.now())

    answer = house.boss.get(_PATH)

    assert answer.status_code == 200, answer.text
    (verdict,) = answer.json()
    events = house.events()
    assert verdict["organization_id"] == str(house.employer_id)
    assert (verdict["verified"], verdict["records"], verdict["first_broken"]) == (True, len(events), None)
    assert verdict["head"]["sequence"] == len(events)
    assert len(bytes.fromhex(verdict["head"]["mac"])) == 32
    assert verdict["head"]["sealed_at"] == "2026-11-19T09:00:00Z"
    assert events[-1] == "history.sealed"
    newest = house.boss.get("/v1/history?limit=1").json()[0]
    assert newest["result"] == "Historie verzegeld"
    assert newest["details"] == f"{len(events) - 1} regels, tot en met nummer {len(events) - 1}"


def test_a_record_altered_in_the_database_is_named(house: House, other_house: House, admin: Engine) -> None:
    """The employer reads which record no longer holds; another employer's history is not touched by it."""
    with admin.begin() as connection:
        connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
        statement = (
            "UPDATE history_entry SET payload = replace(payload, 'operator', 'nobody') WHERE organization_id = :id"
        )
        connection.execute(sa.text(f"{statement} AND sequence = 1"), {"id": house.employer_id})

    (verdict,) = house.boss.get(_PATH).json()
    (other,) = other_house.boss.get(_PATH).json()

    assert (verdict["verified"], verdict["first_broken"]) == (False, {"sequence": 1, "what": "altered"})
    assert other["verified"]


def test_auditors_and_admins_may_others_may_not(house: House, ctx: Context) -> None:
    """The auditor may, who only approves may not, an office's admin sees the office alone, a token needs `read`."""
    office_id = add_organization(ctx, OrganizationKind.OFFICE, "Kantoor Noord")
    people = {
        name: add_person(ctx, house.client, organization, roles, email=f"{name}@jansen.example", scopes=scopes)
        for name, organization, roles, scopes in (
            ("auditor", house.employer_id, (Role.AUDITOR,), (Scope.READ,)),
            ("approver", house.employer_id, (Role.APPROVER,), tuple(Scope)),
            ("clerk", office_id, (Role.ADMIN,), (Scope.READ,)),
            ("preparer", office_id, (Role.PREPARER,), (Scope.READ,)),
            ("writer", house.employer_id, (Role.ADMIN,), (Scope.PREPARE,)),
        )
    }

    answers = {name: person.get(_PATH) for name, person in people.items()}

    assert {name: answer.status_code for name, answer in answers.items()} == {
        "auditor": 200,
        "approver": 403,
        "clerk": 200,
        "preparer": 403,
        "writer": 403,
    }
    assert [each["organization_id"] for each in answers["auditor"].json()] == [str(house.employer_id)]
    assert [each["organization_id"] for each in answers["clerk"].json()] == [str(office_id)]
    assert answers["approver"].json()["code"] == "role_missing"
    assert answers["writer"].json()["code"] == "scope_missing"


def test_a_person_verifies_one_history_after_the_other(house: House, other_house: House, ctx: Context) -> None:
    """Each verification keeps a processor busy: asking again and again meanwhile is refused, to that person only."""
    with transaction(ctx.engine) as session:
        history_proof.take_turn(session, house.boss.id)

        refused = house.boss.get(_PATH)
        somebody_else = other_house.boss.get(_PATH)

    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert refused.headers["retry-after"] == "30"
    assert (somebody_else.status_code, house.boss.get(_PATH).status_code) == (200, 200)
