"""Revealing: an auditor sees one batch unmasked, with one token, for a quarter of an hour, and everybody knows."""

from typing import Any

import pytest

from app.auth import people
from app.auth.models import Role, Scope
from app.core.database import transaction
from app.payments.context import Context
from app.payments.revealing import LASTS, MOST_A_DAY
from tests.support.clock import FakeClock
from tests.support.house import House, Person, act, add_person, document, lines

WHY = {"reason": "Controle jaarrekening 2026"}


@pytest.fixture
def auditor(ctx: Context, house: House) -> Person:
    """An auditor of the employer."""
    return add_person(
        ctx, house.client, house.employer_id, (Role.AUDITOR,), email="auditor@jansen.example", scopes=(Scope.READ,)
    )


def _names(person: Person, batch_id: str) -> set[str]:
    items = person.get(f"/v1/payment-batches/{batch_id}/transfers").json()["items"]
    return {each["creditor"]["name"] for each in items}


def _reveal(person: Person, batch: dict[str, Any], **headers: str) -> Any:
    return person.post(f"/v1/payment-batches/{batch['id']}/reveals", WHY, headers=headers)


def test_an_auditor_sees_the_lines_until_the_reveal_ends(house: House, auditor: Person, clock: FakeClock) -> None:
    """Unmasked lines, total and canonical bytes for 15 minutes; to the second masked again."""
    batch = house.uploaded_batch(document(lines(3)))
    assert _names(auditor, batch["id"]) == {"***"}

    made = _reveal(auditor, batch)

    assert made.status_code == 201, made.text
    assert _names(auditor, batch["id"]) == {"Medewerker A", "Medewerker B", "Medewerker C"}
    shown = auditor.get(f"/v1/payment-batches/{batch['id']}").json()
    assert (shown["visibility"], shown["control_sum"]["amount"]) == ("revealed", "7503.00")
    assert auditor.get(f"/v1/payment-batches/{batch['id']}/canonical").status_code == 200
    clock.forward(seconds=LASTS.total_seconds() - 1)
    assert _names(auditor, batch["id"]) != {"***"}
    clock.forward(seconds=1)
    assert _names(auditor, batch["id"]) == {"***"}
    assert auditor.get(f"/v1/payment-batches/{batch['id']}/canonical").status_code == 403


def test_a_reveal_is_of_one_batch_and_one_token(ctx: Context, house: House, auditor: Person) -> None:
    """Another batch, and the same person with another token, stay masked."""
    batch = house.uploaded_batch(document(lines(2)))
    other = house.uploaded_batch(document(lines(2, cents=300_000), day="2026-12-24"))
    with transaction(ctx.engine) as session:
        user = people.find_user(session, auditor.email)
        issued = people.issue_token(session, act(ctx), user=user, scopes=frozenset({Scope.READ}), days=30)
    elsewhere = Person(id=auditor.id, email=auditor.email, token=issued.token, client=house.client)

    assert _reveal(auditor, batch).status_code == 201

    assert _names(auditor, other["id"]) == {"***"}
    assert _names(elsewhere, batch["id"]) == {"***"}


def test_who_stopped_being_auditor_sees_nothing_more(ctx: Context, house: House, auditor: Person) -> None:
    """A reveal does not outlive the role."""
    batch = house.uploaded_batch(document(lines(2)))
    assert _reveal(auditor, batch).status_code == 201

    with transaction(ctx.engine) as session:
        people.end_membership(
            session, act(ctx), user_id=auditor.id, organization_id=house.employer_id, role=Role.AUDITOR
        )

    assert auditor.get(f"/v1/payment-batches/{batch['id']}/transfers").status_code == 404


def test_everybody_there_knows_who_looked_and_why(house: House, auditor: Person) -> None:
    """The history and the list of the employer hold who, which batch, when and why."""
    batch = house.uploaded_batch(document(lines(2)))
    assert _reveal(auditor, batch).status_code == 201

    told = house.boss.get(f"/v1/payment-batches/{batch['id']}/history").json()[0]
    listed = house.boss.get(f"/v1/employers/{house.employer_id}/reveals").json()

    assert (told["event"], told["actor"]) == ("batch.revealed", "Auditor")
    assert WHY["reason"] in told["details"]
    assert [(each["payment_batch_id"], each["user"], each["reason"]) for each in listed] == [
        (batch["id"], "Auditor", WHY["reason"])
    ]


def test_nobody_but_an_auditor_reveals(house: House, other_house: House, clerk: Person) -> None:
    """An office never does, nor an admin who sees all anyway; a refusal is in the history. A stranger finds nothing."""
    batch = house.uploaded_batch(document(lines(2)))

    refused = [_reveal(clerk, batch), _reveal(house.boss, batch)]

    assert [(each.status_code, each.json()["code"]) for each in refused] == [(403, "role_missing")] * 2
    assert _reveal(other_house.boss, batch).status_code == 404
    assert house.events().count("access.refused") == 3
    assert "batch.revealed" not in house.events()
    assert clerk.get(f"/v1/employers/{house.employer_id}/reveals").status_code == 403


def test_a_reason_is_needed(house: House, auditor: Person) -> None:
    """A word is no reason."""
    batch = house.uploaded_batch(document(lines(2)))
    answer = auditor.post(f"/v1/payment-batches/{batch['id']}/reveals", {"reason": "  audit  "})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/reason")


def test_the_same_key_reveals_once(house: House, auditor: Person) -> None:
    """A repeat is the same reveal, with the same end."""
    batch = house.uploaded_batch(document(lines(2)))
    first, second = (_reveal(auditor, batch, **{"Idempotency-Key": "look"}) for _ in range(2))
    assert first.json() == second.json()
    assert house.events().count("batch.revealed") == 1


def test_there_is_an_end_to_looking(house: House, auditor: Person, clock: FakeClock) -> None:
    """Twenty a day, and not one more; a day later again."""
    batch = house.uploaded_batch(document(lines(2)))
    assert {_reveal(auditor, batch).status_code for _ in range(MOST_A_DAY)} == {201}
    beyond = _reveal(auditor, batch)
    assert (beyond.status_code, beyond.json()["code"]) == (429, "too_many_reveals")
    clock.forward(hours=24)
    assert _reveal(auditor, batch).status_code == 201
