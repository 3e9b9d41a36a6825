"""Builder: three tenants with data of every kind, and the people who work there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.auth import people
from app.auth.models import OrganizationKind, Role
from app.core.database import transaction
from app.payments.context import Context
from tests.contracts.fake_source import FakePayroll
from tests.payments.payroll_document import Line
from tests.payments.sepa_examples import iban
from tests.support.connected import add_connection, connect
from tests.support.house import (
    ACCOUNT_IBAN,
    SECOND_IBAN,
    House,
    Person,
    act,
    add_house,
    add_organization,
    add_person,
    document,
)

FIRST, SECOND, OFFICE = "Bakkerij Alfa", "Slagerij Bravo", "Kantoor Noord"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """One tenant: the ids of one thing of every kind, and texts that nobody else may ever read.

    `known`: ids that others have by right, as an employer knows the office that it gave a mandate.
    """

    ids: Mapping[str, str]
    texts: frozenset[str]
    batch_ids: tuple[str, ...] = ()
    known: frozenset[str] = frozenset()

    @property
    def secrets(self) -> frozenset[str]:
        """Everything of this tenant that would be a leak in the answer to somebody else."""
        ids = frozenset(value for name, value in self.ids.items() if name != "n") | set(self.batch_ids)
        return (ids - self.known) | self.texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    """An office that works for the first employer, that employer, and a second one without an office."""

    ctx: Context = field(repr=False)
    first: House
    second: House
    office_id: UUID
    tenants: Mapping[str, Tenant]
    people: Mapping[str, Person]
    home: Mapping[str, frozenset[str]]

    def foreign_to(self, actor: str) -> list[str]:
        """Return the tenants of which this person must never see a thing."""
        return [name for name in self.tenants if name not in self.home[actor]]


def add_town(ctx: Context, client: TestClient, payroll: FakePayroll) -> Town:
    """Build the town, with batches in several states at both employers."""
    first = add_house(ctx, client, name=FIRST)
    second = add_house(ctx, client, name=SECOND, iban=SECOND_IBAN)
    office_id = add_organization(ctx, OrganizationKind.OFFICE, OFFICE)
    staff = {
        "office admin": add_person(ctx, client, office_id, (Role.ADMIN,), email="chef@noord.example"),
        "office preparer": add_person(ctx, client, office_id, (Role.PREPARER,), email="klerk@noord.example"),
        "first admin": first.boss,
        "first approver": first.second_person("goedkeurder", Role.APPROVER),
        "first auditor": first.second_person("controleur", Role.AUDITOR),
        "second boss": second.boss,
        "stranger": _stranger(ctx, client),
    }
    _give_mandate(ctx, office_id, first, staff["office admin"])
    tenants = {
        FIRST: _employer(first, payroll, "Alfa", ACCOUNT_IBAN, number=1),
        SECOND: _employer(second, payroll, "Bravo", SECOND_IBAN, number=2),
        OFFICE: _office(staff["office admin"], office_id, payroll),
    }
    home = {name: frozenset({FIRST}) for name in staff} | {
        "office admin": frozenset({FIRST, OFFICE}),
        "office preparer": frozenset({FIRST, OFFICE}),
        "second boss": frozenset({SECOND}),
        "stranger": frozenset(),
    }
    return Town(ctx=ctx, first=first, second=second, office_id=office_id, tenants=tenants, people=staff, home=home)


def _stranger(ctx: Context, client: TestClient) -> Person:
    """Somebody who was a member of an employer that has nothing, and is a member of nothing any more."""
    gone = add_organization(ctx, OrganizationKind.EMPLOYER, "Verlaten B.V.")
    person = add_person(ctx, client, gone, (Role.ADMIN, Role.APPROVER), email="vreemd@elders.example")
    with transaction(ctx.engine) as session:
        session.execute(sa.text("DELETE FROM membership WHERE user_id = :id"), {"id": person.id})
    return person


def _give_mandate(ctx: Context, office_id: UUID, house: House, chief: Person) -> None:
    mandate = {"office_id": office_id, "employer_id": house.employer_id}
    with transaction(ctx.engine) as session:
        people.grant_mandate(session, act(ctx), **mandate, granted_by=house.boss.id, sees_salaries=True)
        session.flush()
        people.accept_mandate(session, act(ctx), **mandate, accepted_by=chief.id)


def _lines(word: str, count: int, *, start: int) -> list[Line]:
    return [
        Line(
            name=f"{word} Werknemer {n}",
            iban=iban(n),
            amount=f"{2_000 + n}.11",
            text=f"Salaris {word} {n}",
            end_to_end_id=f"{word}-{n}",
        )
        for n in range(start, start + count)
    ]


def _employer(house: House, payroll: FakePayroll, word: str, account_iban: str, *, number: int) -> Tenant:
    start = 1_000 * number
    delivered = house.delivered(document(_lines(word, 2, start=start), payer_iban=account_iban), run_number=1)
    approved = house.approved(document(_lines(word, 2, start=start + 10), payer_iban=account_iban), run_number=2)
    pending = house.uploaded_batch(document(_lines(word, 3, start=start + 20), payer_iban=account_iban), run_number=3)
    connected = connect(house, payroll, external_id=f"{number}100")
    assert connected.webhook(Company=number).status_code == 202
    ids = {
        "employer_id": str(house.employer_id),
        "account_id": house.account_id,
        "connection_id": house.connection_id,
        "administration_id": house.administration_id,
        "batch_id": pending["id"],
        "transfer_id": house.transfers(pending["id"])[0]["id"],
        "finding_id": house.findings(pending["id"])[0]["id"],
        "run_id": pending["run"]["id"],
        "user_id": str(house.boss.id),
        "proposal_id": _proposal(house, word),
        "hold_id": _hold(house, pending["id"]),
        "office_id": str(uuid4()),
        "n": "1",
    }
    texts = {f"{word} Werknemer", f"Salaris {word}", account_iban, iban(start), iban(start + 20), house.boss.email}
    return Tenant(
        ids=ids,
        texts=frozenset(texts | {_grouped(text) for text in texts}),
        batch_ids=(delivered["id"], approved["id"], connected.connection_id, connected.administration_id),
    )


def _grouped(text: str) -> str:
    """Return an IBAN as people write it, in groups of four."""
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4)) if text[:2] == "NL" else text


def _proposal(house: House, word: str) -> str:
    body = {"email": f"nieuw@{word.lower()}.example", "name": "Nieuw", "role": "auditor"}
    answer = house.boss.post(f"/v1/employers/{house.employer_id}/members", body)
    return str(answer.json()["id"])


def _hold(house: House, batch_id: str) -> str:
    held = house.boss.post(f"/v1/payment-batches/{batch_id}/holds", {"reason": "Wacht."}).json()
    hold_id = str(held["holds"][0]["id"])
    house.boss.post(f"/v1/payment-batches/{batch_id}/holds/{hold_id}/lifting", {"reason": "Verder."})
    return hold_id


def _office(chief: Person, office_id: UUID, payroll: FakePayroll) -> Tenant:
    made = add_connection(chief, office_id, payroll)
    seen: list[dict[str, Any]] = chief.get(f"/v1/connections/{made['id']}/administrations").json()
    kinds = ("account_id", "batch_id", "transfer_id", "finding_id", "run_id", "proposal_id", "hold_id")
    nothing = {name: str(uuid4()) for name in kinds}
    ids = {
        **nothing,
        "employer_id": str(office_id),
        "office_id": str(office_id),
        "connection_id": made["id"],
        "administration_id": seen[0]["id"],
        "user_id": str(chief.id),
        "n": "1",
    }
    texts = frozenset({chief.email, "klerk@noord.example"})
    return Tenant(ids=ids, texts=texts, known=frozenset({str(office_id)}))
