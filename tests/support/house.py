"""Builders: an employer with people, account, limit and administration, made through the same use cases."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from typing import Any
from uuid import UUID

import httpx2
from fastapi.testclient import TestClient

from app.auth import people
from app.auth.models import OrganizationKind, Role, Scope
from app.auth.people import Act
from app.core.database import transaction
from app.core.history import OPERATOR
from app.payments.context import Context
from tests.payments.payroll_document import Block, Document, Line

PIN = "271828"
WRONG_PIN = "314159"
ACCOUNT_IBAN = "NL91ABNA0417164300"
SECOND_IBAN = "NL39RABO0300065264"
# Valid invented Dutch accounts of creditors, to be used in order.
CREDITORS = (
    "NL42INGB2268352412",
    "NL52ABNA7650143244",
    "NL57ABNA7134384551",
    "NL64TRIO0379501686",
    "NL44RABO0123456789",
    "NL69INGB0123456789",
    "NL57ASNB0123456789",
    "NL23BUNQ0123456789",
)


def lines(count: int = 3, *, cents: int = 250_000, text: str = "Salaris november 2026") -> list[Line]:
    """Return so many different lines, each a euro more than the one before."""
    return [
        Line(
            name=f"Medewerker {chr(ord('A') + index % 26)}",
            iban=CREDITORS[index % len(CREDITORS)],
            amount=f"{(cents + 100 * index) // 100}.{(cents + 100 * index) % 100:02d}",
            text=text if index < len(CREDITORS) else f"{text} {index}",
            end_to_end_id=f"E2E-{index}",
        )
        for index in range(count)
    ]


def document(
    rows: Iterable[Line] | None = None,
    *,
    day: str = "2026-11-25",
    payer_iban: str = ACCOUNT_IBAN,
    purpose: str = "SALA",
) -> bytes:
    """Return a payroll file with these lines, as a package exports it."""
    block = Block(lines=list(lines() if rows is None else rows), date=day, payer_iban=payer_iban, purpose=purpose)
    return Document(blocks=(block,)).xml().encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody with a token, and a client that sends it."""

    id: UUID
    email: str
    token: str
    client: TestClient = field(repr=False)

    def call(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Send a request with this person's token."""
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **options)

    def get(self, path: str, **options: Any) -> httpx2.Response:
        """Send a GET."""
        return self.call("GET", path, **options)

    def post(self, path: str, body: Mapping[str, Any] | None = None, **options: Any) -> httpx2.Response:
        """Send a POST with a JSON body."""
        return self.call("POST", path, json={} if body is None else body, **options)

    def acknowledge(self, batch: Mapping[str, Any], *codes: str) -> list[str]:
        """Confirm the open findings with these codes, every open one when none is named; return what was confirmed."""
        answer = self.get(f"/v1/payment-batches/{batch['id']}/findings")
        found = answer.json() if answer.status_code == 200 else []
        waiting = [each for each in found if each["needs_acknowledgement"] and each["acknowledged_at"] is None]
        asked = [each for each in waiting if not codes or each["code"] in codes]
        path = f"/v1/payment-batches/{batch['id']}/findings"
        return [each["code"] for each in asked if self.post(f"{path}/{each['id']}/acknowledgement").status_code == 200]

    def approve(self, batch: Mapping[str, Any], *, pin: str = PIN, **headers: str) -> httpx2.Response:
        """Approve a batch as it was shown; that it is the first one of its administration is confirmed before."""
        self.acknowledge(batch, "first_batch")
        return self.post(
            f"/v1/payment-batches/{batch['id']}/approvals",
            {"digest": batch["digest"], "pin": pin},
            headers={"If-Match": f'"r{batch["revision"]}"', **headers},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """An employer that is set up: `boss` is admin and approver; an upload administration is linked and live."""

    ctx: Context = field(repr=False)
    client: TestClient = field(repr=False)
    employer_id: UUID
    boss: Person
    account_id: str
    administration_id: str
    connection_id: str

    def upload(self, data: bytes | None = None, **query: Any) -> httpx2.Response:
        """Upload a payroll file."""
        return self.boss.call(
            "POST",
            f"/v1/administrations/{self.administration_id}/payroll-files",
            content=document() if data is None else data,
            params=query,
            headers={"Content-Type": "application/xml"},
        )

    def uploaded_batch(self, data: bytes | None = None, **query: Any) -> dict[str, Any]:
        """Upload a payroll file and return the batch that came of it."""
        answer = self.upload(data, **query)
        assert answer.status_code == 201, answer.text
        batch = self.batch(answer.json()["payment_batch_ids"][-1])
        self.acknowledge_all(batch, "first_batch")
        return self.batch(batch["id"])

    def acknowledge_all(self, batch: Mapping[str, Any], *codes: str) -> list[str]:
        """Have the boss confirm every open finding, or those with these codes; return what was confirmed."""
        return self.boss.acknowledge(batch, *codes)

    def handed_out(self, batch_id: str, *, by: Person | None = None) -> bytes:
        """Hand the file of an approved batch out and return its bytes."""
        answer = (by or self.boss).get(f"/v1/payment-batches/{batch_id}/file")
        assert answer.status_code == 200, answer.text
        return bytes(answer.content)

    def deliver(self, batch_id: str, *, by: Person | None = None) -> httpx2.Response:
        """Say that the file is at the bank, with the hash that the bank shows of what was handed out."""
        person = by or self.boss
        seen = sha256(self.handed_out(batch_id, by=person)).hexdigest()[:8]
        revision = self.batch(batch_id)["revision"]
        return person.post(
            f"/v1/payment-batches/{batch_id}/deliveries",
            {"hash_seen": seen},
            headers={"If-Match": f'"r{revision}"'},
        )

    def second_person(self, name: str = "second", *roles: Role) -> Person:
        """Add another approver (or whoever is asked for) to the employer."""
        slug = self.boss.email.partition("@")[2]
        return add_person(self.ctx, self.client, self.employer_id, roles or (Role.APPROVER,), email=f"{name}@{slug}")

    def approved(self, data: bytes | None = None, **query: Any) -> dict[str, Any]:
        """Upload a payroll file and approve its batch."""
        batch = self.uploaded_batch(data, **query)
        answer = self.boss.approve(batch)
        assert (answer.status_code, answer.json()["status"]) == (201, "approved"), answer.text
        return self.batch(batch["id"])

    def delivered(self, data: bytes | None = None, **query: Any) -> dict[str, Any]:
        """Upload, approve, hand out and deliver."""
        batch = self.approved(data, **query)
        answer = self.deliver(batch["id"])
        assert answer.status_code == 201, answer.text
        return self.batch(batch["id"])

    def batch(self, batch_id: str) -> dict[str, Any]:
        """Return a batch as the boss sees it."""
        found: dict[str, Any] = self.boss.get(f"/v1/payment-batches/{batch_id}").json()
        return found

    def transfers(self, batch_id: str) -> list[dict[str, Any]]:
        """Return the lines of a batch as the boss sees them."""
        found: list[dict[str, Any]] = self.boss.get(f"/v1/payment-batches/{batch_id}/transfers").json()["items"]
        return found

    def findings(self, batch_id: str) -> list[dict[str, Any]]:
        """Return the findings on a batch."""
        found: list[dict[str, Any]] = self.boss.get(f"/v1/payment-batches/{batch_id}/findings").json()
        return found

    def events(self) -> list[str]:
        """Return the events in the employer's history, oldest first."""
        return [each["event"] for each in reversed(self.boss.get("/v1/history?limit=1000").json())]


def act(ctx: Context) -> Act:
    """Return the operator, acting now."""
    return Act(actor=OPERATOR, now=ctx.now(), new_id=ctx.new_id)


def add_person(
    ctx: Context,
    client: TestClient,
    organization_id: UUID,
    roles: Iterable[Role],
    *,
    email: str,
    scopes: Iterable[Scope] = tuple(Scope),
    pin: str | None = PIN,
) -> Person:
    """Add a person with roles, a PIN and a token."""
    with transaction(ctx.engine) as session:
        user = people.add_user(session, act(ctx), email=email, name=email.split("@", maxsplit=1)[0].title())
        for role in roles:
            people.add_membership(session, act(ctx), user=user, organization_id=organization_id, role=role)
        if pin is not None and user.pin_hash is None:
            people.set_first_pin(session, act(ctx), user=user, pin=pin, secret=ctx.identifier_secret)
        issued = people.issue_token(session, act(ctx), user=user, scopes=frozenset(scopes), days=90)
        return Person(id=user.id, email=email, token=issued.token, client=client)


def add_organization(ctx: Context, kind: OrganizationKind, name: str) -> UUID:
    """Add an employer or an office."""
    with transaction(ctx.engine) as session:
        return people.add_organization(session, act(ctx), kind=kind, name=name).id


def add_account(
    boss: Person, employer_id: UUID, *, iban: str = ACCOUNT_IBAN, per_batch: str | None = "50000.00"
) -> str:
    """Add a confirmed account with a limit; return its id."""
    body = {"iban": iban, "holder_name": "Bakkerij Jansen B.V."}
    account_id = str(boss.post(f"/v1/employers/{employer_id}/debtor-accounts", body).json()["id"])
    stated = {"holder_name": "Bakkerij Jansen B.V.", "authorised_person": "J. Jansen", "evidence": "Trade register"}
    assert boss.post(f"/v1/debtor-accounts/{account_id}/confirmation", stated).status_code == 201
    if per_batch is not None:
        limit = {"per_batch": {"amount": per_batch, "currency": "EUR"}}
        assert boss.call("PUT", f"/v1/debtor-accounts/{account_id}/payment-limit", json=limit).status_code == 200
    return account_id


def link(boss: Person, administration_id: str, employer_id: UUID, account_id: str, **changes: Any) -> httpx2.Response:
    """Link an administration, live since 1 November 2026 unless told otherwise."""
    body = {
        "employer_id": str(employer_id),
        "debtor_account_id": account_id,
        "go_live_on": date(2026, 11, 1).isoformat(),
        "mode": "live",
        **changes,
    }
    return boss.call("PUT", f"/v1/administrations/{administration_id}/link", json=body)


def add_house(
    ctx: Context, client: TestClient, *, name: str = "Bakkerij Jansen B.V.", iban: str = ACCOUNT_IBAN, **changes: Any
) -> House:
    """Set an employer up with an upload connection, ready to pay."""
    employer_id = add_organization(ctx, OrganizationKind.EMPLOYER, name)
    slug = "".join(character for character in name.lower() if character.isalnum())
    boss = add_person(ctx, client, employer_id, (Role.ADMIN, Role.APPROVER), email=f"boss@{slug}.example")
    account_id = add_account(boss, employer_id, iban=iban)
    connection = boss.post("/v1/connections", {"organization_id": str(employer_id), "kind": "upload"}).json()
    administration = boss.post(
        f"/v1/connections/{connection['id']}/administrations", {"number": "9969", "name": name}
    ).json()
    assert link(boss, administration["id"], employer_id, account_id, **changes).status_code == 200
    return House(
        ctx=ctx,
        client=client,
        employer_id=employer_id,
        boss=boss,
        account_id=account_id,
        administration_id=administration["id"],
        connection_id=connection["id"],
    )
