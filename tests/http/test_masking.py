"""A masked person walks every GET of the service: no name, IBAN, amount or text of a payee is in any answer."""

from collections.abc import Mapping
from typing import Any

import pytest
from fastapi import FastAPI

from app.auth import people
from app.auth.models import OrganizationKind, Role
from app.core.database import transaction
from app.payments.context import Context
from tests.payments.payroll_document import Block, Document, Line
from tests.support.house import ACCOUNT_IBAN, House, Person, act, add_organization, add_person, document
from tests.support.planted import FORMS, PLANTED, found_in


def _masked(ctx: Context, house: House) -> list[Person]:
    auditor = add_person(ctx, house.client, house.employer_id, (Role.AUDITOR,), email="auditor@jansen.example")
    office_id = add_organization(ctx, OrganizationKind.OFFICE, "Kantoor Noord")
    clerk = add_person(ctx, house.client, office_id, (Role.ADMIN, Role.PREPARER), email="clerk@kantoor.example")
    with transaction(ctx.engine) as session:
        granted = {"office_id": office_id, "employer_id": house.employer_id}
        people.grant_mandate(session, act(ctx), **granted, granted_by=house.boss.id, sees_salaries=False)
        session.flush()
        people.accept_mandate(session, act(ctx), **granted, accepted_by=clerk.id)
    return [auditor, clerk]


def _lived_through(house: House) -> dict[str, str]:
    """Make something of everything: a batch at the bank, one that waits, unpaid lines, holds, refused documents."""
    batch = house.uploaded_batch(document(PLANTED))
    lines = house.transfers(batch["id"])
    assert [line["status"] for line in lines].count("payable") == 2
    path = f"/v1/payment-batches/{batch['id']}"
    note = {"reason": f"{PLANTED[2].iban} krijgt EUR 3.907,41"}
    held = house.boss.post(f"{path}/holds", note).json()
    hold_id = held["holds"][0]["id"]
    assert house.boss.post(f"{path}/holds/{hold_id}/lifting", {"reason": "is € 3907"}).status_code == 201
    assert house.boss.approve(house.batch(batch["id"])).status_code == 201
    assert house.deliver(batch["id"]).status_code == 201
    bad = Document(blocks=(Block(lines=list(PLANTED), date="2026-12-25", payer_iban=ACCOUNT_IBAN),)).xml()
    wrong = bad.replace("<CtrlSum>13488.17</CtrlSum>", "<CtrlSum>4711.37</CtrlSum>")
    assert wrong != bad
    assert house.upload(wrong.encode()).status_code == 422
    raised = [Line(**{**_values(line), "amount": "4869.39"}) for line in PLANTED[:1]]
    waiting = house.uploaded_batch(document(raised, day="2026-12-24"), year=2026, period=12, run_number=2)
    excluded = house.transfers(waiting["id"])[0]
    change = {"decision": "exclude", "reason": f"niet naar {PLANTED[0].iban}, 4711.37"}
    etag = {"If-Match": f'"r{waiting["revision"]}"'}
    where = f"/v1/payment-batches/{waiting['id']}/transfers/{excluded['id']}"
    assert house.boss.call("PATCH", where, json=change, headers=etag).status_code == 200
    return {
        "employer_id": str(house.employer_id),
        "account_id": house.account_id,
        "connection_id": house.connection_id,
        "administration_id": house.administration_id,
        "batch_id": batch["id"],
        "other_batch_id": waiting["id"],
        "run_id": batch["run"]["id"],
        "n": "1",
    }


def _values(line: Line) -> dict[str, Any]:
    return {name: getattr(line, name) for name in ("name", "iban", "amount", "text", "end_to_end_id")}


def _addresses(app: FastAPI, ids: Mapping[str, str]) -> list[str]:
    found = []
    for path, operations in app.openapi()["paths"].items():
        if "get" not in operations or not path.startswith("/v1/"):
            continue
        for batch_id in (ids["batch_id"], ids["other_batch_id"]):
            url = path.format_map({**ids, "batch_id": batch_id})
            found.append(url)
    return list(dict.fromkeys(found))


def test_a_masked_person_meets_nobody_on_any_get(app: FastAPI, ctx: Context, house: House) -> None:
    """An auditor, and an office without the right: every GET, as JSON and as CSV; the boss meets them all."""
    ids = _lived_through(house)
    addresses = [*_addresses(app, ids), "/v1/history?format=csv", "/v1/payment-batches?status=delivered"]
    assert len(addresses) > 25
    seen_by_boss = "".join(house.boss.get(url).text for url in addresses)
    assert set(FORMS[:3]) <= set(found_in(seen_by_boss))

    for person in _masked(ctx, house):
        answers = {url: person.get(url) for url in addresses}
        leaks = {url: found_in(answer.text + str(answer.headers)) for url, answer in answers.items()}
        assert not {url: found for url, found in leaks.items() if found}, person.email
        assert {answer.status_code for answer in answers.values()} <= {200, 403, 404, 422}
        hidden = answers[f"/v1/payment-batches/{ids['batch_id']}/canonical"]
        assert (hidden.status_code, hidden.json()["code"]) == (403, "salaries_hidden")
        shown = answers[f"/v1/payment-batches/{ids['batch_id']}/transfers"].json()["items"]
        assert len(shown) == len(PLANTED)
        assert answers["/v1/unpaid-transfers"].json()


def test_a_masked_person_cannot_guess_with_a_comparison(ctx: Context, house: House) -> None:
    """A changed file is not the stored one; which line and field differ is not said, so no guess is answered."""
    batch = house.approved(document(PLANTED))
    stored = house.handed_out(batch["id"])
    guess = stored.replace(b"4711.37", b"4711.38").replace(b"9580.76", b"9580.77")
    auditor = _masked(ctx, house)[0]

    def compared(person: Person, data: bytes) -> dict[str, Any]:
        headers = {"Content-Type": "application/xml"}
        answer = person.call("POST", "/v1/payment-files/comparison", content=data, headers=headers)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    assert [each["fields"] for each in compared(house.boss, guess)["differences"]] == [["amount"]]
    assert [each["fields"] for each in compared(auditor, guess)["differences"]] == [[]]
    assert compared(auditor, stored)["is_identical"]


@pytest.mark.parametrize("change", [{"decision": "exclude", "reason": "r"}, {"decision": "hold", "reason": "r"}])
def test_an_office_that_changes_a_line_sees_it_masked(ctx: Context, house: House, change: dict[str, str]) -> None:
    """Answers of acts are masked as the lists are."""
    batch = house.uploaded_batch(document(PLANTED[:2]))
    line = house.transfers(batch["id"])[0]
    clerk = _masked(ctx, house)[1]
    path = f"/v1/payment-batches/{batch['id']}/transfers/{line['id']}"

    answer = clerk.call("PATCH", path, json=change, headers={"If-Match": f'"r{batch["revision"]}"'})

    assert answer.status_code == 200, answer.text
    assert not found_in(answer.text)
