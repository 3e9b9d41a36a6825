"""Tenants never see each other: foreign ids do not exist, and lists hold only what is one's own."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from sqlmodel import select

from app.auth import people
from app.auth.models import ApiToken, OrganizationKind, Role, Scope
from app.core.database import transaction
from app.core.ids import token_hash
from app.payments.context import Context
from tests.support.clock import FakeClock
from tests.support.house import House, Person, act, add_organization, add_person, document, lines

BODIES: dict[str, dict[str, Any]] = {
    "/v1/employers/{employer_id}/debtor-accounts": {"iban": "NL39RABO0300065264", "holder_name": "Jansen"},
    "/v1/employers/{employer_id}/mandates/{office_id}": {"sees_salaries": True},
    "/v1/debtor-accounts/{account_id}": {"batch_booking": False},
    "/v1/debtor-accounts/{account_id}/confirmation": {"holder_name": "J", "authorised_person": "J", "evidence": "E"},
    "/v1/debtor-accounts/{account_id}/payment-limit": {"per_batch": {"amount": "1.00", "currency": "EUR"}},
    "/v1/connections/{connection_id}": {"username": "a@b.nl", "token": "t", "domain": "d"},
    "/v1/connections/{connection_id}/administrations": {"number": "1", "name": "N"},
    "/v1/administrations/{administration_id}/link": {
        "employer_id": str(uuid4()),
        "debtor_account_id": str(uuid4()),
        "go_live_on": "2026-11-01",
        "mode": "live",
    },
    "/v1/payment-batches/{batch_id}": {"requested_execution_date": "2026-11-26"},
    "/v1/payment-batches/{batch_id}/transfers/{transfer_id}": {"decision": "exclude", "reason": "r"},
    "/v1/payment-batches/{batch_id}/findings/{finding_id}/acknowledgement": {},
    "/v1/payment-batches/{batch_id}/approvals": {"digest": "0" * 64, "pin": "271828"},
    "/v1/payment-batches/{batch_id}/rejection": {"reason": "r"},
    "/v1/payment-batches/{batch_id}/cancellation": {"reason": "r"},
    "/v1/payment-batches/{batch_id}/deliveries": {},
    "/v1/payment-batches/{batch_id}/reissue": {"requested_execution_date": "2026-11-26"},
    "/v1/payment-batches/{batch_id}/withdrawals": {"reason": "r"},
    "/v1/payment-batches/{batch_id}/statements": {"statement": "accepted", "reason": "r"},
    "/v1/payment-batches/{batch_id}/holds": {"reason": "r"},
    "/v1/payment-batches/{batch_id}/reveals": {"reason": "asked by the accountant"},
    "/v1/payment-batches/{batch_id}/holds/{hold_id}/lifting": {"reason": "r"},
    "/v1/payment-batches/{batch_id}/transfers/{transfer_id}/release": {"reason": "r", "additional": True},
    "/v1/transfers/{transfer_id}/return": {"reason": "r"},
    "/v1/transfers/{transfer_id}/paid-elsewhere": {"reason": "r"},
    "/v1/transfers/{transfer_id}/waiver": {"reason": "r"},
    "/v1/employers/{employer_id}/approval-policy": {"tiers": [{"from": {"amount": "0.00"}, "required": 1}]},
    "/v1/employers/{employer_id}/retention": {"lines_months": 120, "sources_months": 13},
    "/v1/employers/{employer_id}/members": {"email": "a@b.example", "name": "A", "role": "approver"},
}
# What anybody with a token may call: it shows only what is theirs, or makes something of their own.
_FOR_ANYBODY = {
    ("get", "/v1/me"),
    ("get", "/v1/employers"),
    ("post", "/v1/employers"),
    ("get", "/v1/connections"),
    ("post", "/v1/connections"),
    ("get", "/v1/payment-batches"),
    ("get", "/v1/payroll-runs"),
    ("get", "/v1/history"),
    ("get", "/v1/history/verification"),
    ("get", "/v1/bank-days"),
    ("get", "/v1/unpaid-transfers"),
    ("get", "/v1/proposals"),
    # Their ids stand in the body; they have tests of their own below.
    ("post", "/v1/follow-up-batches"),
    ("post", "/v1/approvals"),
    # What they are about stands in the uploaded file; a foreign one is tried in the tests of each.
    ("post", "/v1/status-reports"),
    ("post", "/v1/payment-files/comparison"),
}


def operations(app: FastAPI) -> list[tuple[str, str]]:
    """Return every operation of the API by method and path."""
    found = [(method, path) for path, each in app.openapi()["paths"].items() for method in each]
    return [(method, path) for method, path in found if path.startswith("/v1/")]


def _ids(house: House) -> dict[str, str]:
    batch = house.uploaded_batch(document(lines(3)))
    return {
        "employer_id": str(house.employer_id),
        "office_id": str(uuid4()),
        "account_id": house.account_id,
        "connection_id": house.connection_id,
        "administration_id": house.administration_id,
        "batch_id": batch["id"],
        "transfer_id": house.transfers(batch["id"])[0]["id"],
        "finding_id": house.findings(batch["id"])[0]["id"],
        "run_id": batch["run"]["id"],
        "user_id": str(house.boss.id),
        "proposal_id": _proposal(house),
        "hold_id": _hold(house, batch["id"]),
        "n": "1",
    }


def _proposal(house: House) -> str:
    body = {"email": "new@jansen.example", "name": "New", "role": "auditor"}
    return str(house.boss.post(f"/v1/employers/{house.employer_id}/members", body).json()["id"])


def _hold(house: House, batch_id: str) -> str:
    held = house.boss.post(f"/v1/payment-batches/{batch_id}/holds", {"reason": "Wait."}).json()
    hold_id = str(held["holds"][0]["id"])
    house.boss.post(f"/v1/payment-batches/{batch_id}/holds/{hold_id}/lifting", {"reason": "Go on."})
    return hold_id


def call(person: Person, method: str, path: str, ids: Mapping[str, str]) -> Any:
    """Call an operation with these ids and a body that it accepts."""
    url = path
    for name, value in ids.items():
        url = url.replace(f"{{{name}}}", value)
    assert "{" not in url, f"unknown id in {path}"
    options: dict[str, Any] = {"headers": {"If-Match": '"r1"'}}
    if method == "delete" and path.endswith("/members/{user_id}"):
        options["params"] = {"role": "admin"}
    if path.endswith("/payroll-files"):
        options["content"] = document(lines(2))
        options["headers"]["Content-Type"] = "application/xml"
    elif path in BODIES and method in {"post", "put", "patch"}:
        options["json"] = BODIES[path]
    return person.call(method.upper(), url, **options)


def test_foreign_ids_do_not_exist_on_any_route(app: FastAPI, house: House, other_house: House) -> None:
    """Every operation with an id answers 404 to another tenant, exactly as for an id that was never given out."""
    ids = _ids(house)
    nowhere = {name: value if name == "n" else str(uuid4()) for name, value in ids.items()}
    walked = 0
    for method, path in operations(app):
        if (method, path) in _FOR_ANYBODY:
            continue
        foreign, missing = (call(other_house.boss, method, path, each) for each in (ids, nowhere))
        assert (foreign.status_code, foreign.text) == (missing.status_code, missing.text), (method, path)
        assert foreign.status_code == 404, (method, path, foreign.text)
        walked += 1
    assert walked > 25


def test_no_route_answers_without_a_token(app: FastAPI, house: House) -> None:
    """Without a token every operation is 401, whatever the ids."""
    ids = _ids(house)
    nobody = Person(id=uuid4(), email="nobody@example.com", token="lst_unknown", client=house.client)
    for method, path in operations(app):
        assert call(nobody, method, path, ids).status_code == 401, (method, path)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/employers",
        "/v1/connections",
        "/v1/payment-batches",
        "/v1/payroll-runs",
        "/v1/history",
        "/v1/history/verification",
    ],
)
def test_lists_hold_only_what_is_ones_own(house: House, other_house: House, path: str) -> None:
    """No list of one employer shows an id of another."""
    house.uploaded_batch()
    other_house.uploaded_batch()

    shown = other_house.boss.get(path).text

    for identifier in (str(house.employer_id), house.account_id, house.administration_id, house.connection_id):
        assert identifier not in shown


def _masked_people(ctx: Context, house: House) -> list[Person]:
    auditor = add_person(ctx, house.client, house.employer_id, (Role.AUDITOR,), email="auditor@jansen.example")
    office_id = add_organization(ctx, OrganizationKind.OFFICE, "Kantoor Noord")
    clerk = add_person(ctx, house.client, office_id, (Role.ADMIN, Role.PREPARER), email="clerk@kantoor.example")
    with transaction(ctx.engine) as session:
        people.grant_mandate(
            session,
            act(ctx),
            office_id=office_id,
            employer_id=house.employer_id,
            granted_by=house.boss.id,
            sees_salaries=False,
        )
        session.flush()
        people.accept_mandate(
            session, act(ctx), office_id=office_id, employer_id=house.employer_id, accepted_by=clerk.id
        )
    return [auditor, clerk]


def test_who_may_not_see_salaries_sees_none_anywhere(app: FastAPI, ctx: Context, house: House) -> None:
    """An auditor, and an office without that right, meet no name, IBAN or amount of a person on any GET."""
    ids = _ids(house)
    batch = house.batch(ids["batch_id"])
    assert house.boss.approve(batch).status_code == 201
    secrets = [
        "Medewerker A",
        "NL42INGB2268352412",
        "NL42 INGB 2268 3524 12",
        "2500.00",
        "2501.00",
        "7503.00",
        "7.503,00",
    ]
    for person in _masked_people(ctx, house):
        for method, path in operations(app):
            if method == "get":
                shown = call(person, method, path, ids)
                found = [secret for secret in secrets if secret in shown.text]
                assert not found, (person.email, path, found)
        assert "7.503,00" not in person.get("/v1/history?format=csv").text
        assert person.get(f"/v1/payment-batches/{batch['id']}").json()["number_of_transactions"] == 3


def test_an_office_never_approves(ctx: Context, house: House) -> None:
    """An office with a mandate that sees salaries may prepare, and still cannot approve or fetch the file."""
    clerk = _masked_people(ctx, house)[1]
    batch = house.uploaded_batch()

    answers = [
        clerk.approve(batch),
        clerk.get(f"/v1/payment-batches/{batch['id']}/file"),
        clerk.post(f"/v1/payment-batches/{batch['id']}/rejection", {"reason": "x"}, headers={"If-Match": '"r1"'}),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]


def test_a_token_that_ended_is_no_token(house: House, clock: FakeClock) -> None:
    """A token works until its last day and not a moment longer."""
    clock.forward(days=89)
    before = house.boss.get("/v1/me").status_code
    clock.forward(days=1)
    after = house.boss.get("/v1/me").status_code

    assert (before, after) == (200, 401)


def test_a_token_that_was_revoked_is_no_token_from_the_next_request_on(house: House) -> None:
    """Nothing of it is remembered by a service that saw it a moment ago; another token of the person goes on."""
    other = add_person(house.ctx, house.client, house.employer_id, (), email=house.boss.email)
    before = house.boss.get("/v1/me").status_code
    with transaction(house.ctx.engine) as session:
        row = session.exec(select(ApiToken).where(ApiToken.token_hash == token_hash(house.boss.token))).one()
        people.revoke_token(session, act(house.ctx), token_id=row.id)

    assert (before, house.boss.get("/v1/me").status_code, other.get("/v1/me").status_code) == (200, 401, 200)


@pytest.mark.parametrize("scope", [Scope.PREPARE, Scope.APPROVE, Scope.FILES])
def test_a_token_that_may_not_read_is_shown_nothing(app: FastAPI, ctx: Context, house: House, scope: Scope) -> None:
    """Every GET: who the token is of it may know, and files it may fetch when it is for files."""
    ids = _ids(house)
    roles = (Role.ADMIN, Role.APPROVER, Role.AUDITOR)
    person = add_person(ctx, house.client, house.employer_id, roles, email="solo@jansen.example", scopes=(scope,))
    gets = [path for method, path in operations(app) if method == "get"]

    refused = {path for path in gets if _code(call(person, "get", _asked(path), ids)) == "scope_missing"}

    files = {path for path in gets if "{batch_id}/file" in path and not path.endswith("/files")}
    assert set(gets) - refused == {"/v1/me"} | (files if scope is Scope.FILES else set())


def _asked(path: str) -> str:
    return f"{path}?from=2026-11-01&to=2026-11-30" if path.endswith("/bank-days") else path


def _code(answer: Any) -> str | None:
    return None if answer.is_success else str(answer.json()["code"])


def test_a_filter_that_is_not_known_is_refused(house: House) -> None:
    """A mistyped filter would show everything if it were ignored: 422, with the ones that are known."""
    answer = house.boss.get("/v1/payment-batches?statsu=pending")

    assert answer.status_code == 422
    assert "status" in answer.json()["errors"][0]["message"]
    assert "statsu" not in answer.text


@pytest.mark.parametrize("scope", list(Scope))
def test_a_token_does_only_what_its_scopes_say(ctx: Context, house: House, scope: Scope) -> None:
    """A token without `approve` cannot approve, whatever its owner may do."""
    batch = house.uploaded_batch()
    person = add_person(
        ctx, house.client, house.employer_id, (Role.ADMIN, Role.APPROVER), email="solo@jansen.example", scopes=(scope,)
    )

    answer = person.approve(batch)

    assert answer.status_code == (201 if scope is Scope.APPROVE else 403)


@pytest.mark.parametrize(
    "path", ["/v1/transfers/{id}/waiver", "/v1/transfers/{id}/return", "/v1/transfers/{id}/paid-elsewhere"]
)
def test_the_id_of_a_batch_is_no_id_of_a_line(house: House, path: str) -> None:
    """One's own id in the wrong place is an id that nobody has, and no fault of the service."""
    batch = house.uploaded_batch(document(lines(2)))

    answer = house.boss.post(path.replace("{id}", batch["id"]), {"reason": "r"})

    assert answer.status_code == 404
