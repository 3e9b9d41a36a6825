"""Frauds with files: a payment file edited on its way to the bank, fed back as a payroll run, a doctored report."""

from dataclasses import replace
from hashlib import sha256
from typing import Any

import httpx2
import pytest

from app.auth import people
from app.auth.models import Scope
from app.core.database import transaction
from tests.payments.payments_of import dutch_iban
from tests.payments.status_report_samples import Report, Why
from tests.support.house import House, Person, act

_MINE = dutch_iban(666, bank="RABO")
_XML = {"Content-Type": "application/xml"}


def _outcome(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


def _say_delivered(house: House, batch: dict[str, Any], hash_seen: str) -> httpx2.Response:
    path = f"/v1/payment-batches/{batch['id']}/deliveries"
    return house.boss.post(path, {"hash_seen": hash_seen}, headers={"If-Match": f'"r{batch["revision"]}"'})


def _compare(house: House, data: bytes) -> dict[str, Any]:
    answer = house.boss.call("POST", "/v1/payment-files/comparison", content=data, headers=_XML)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def _edited(house: House, batch: dict[str, Any]) -> bytes:
    """Return the file of a batch with the account of its second line changed."""
    second = house.transfers(batch["id"])[1]["creditor"]["iban"]
    stored = house.handed_out(batch["id"])
    assert stored.count(second.encode()) == 1
    return stored.replace(second.encode(), _MINE.encode())


def test_a_file_edited_after_hand_out_is_not_delivered(house: House) -> None:
    """The bank shows another hash: saying so is refused, stands in the history, and the batch stays approved."""
    batch = house.approved()
    edited = _edited(house, batch)

    answer = _say_delivered(house, batch, sha256(edited).hexdigest()[:8])

    assert _outcome(answer) == (409, "hash_differs")
    assert house.events()[-1] == "file.hash_differs"
    assert house.batch(batch["id"])["status"] == "approved"


def test_the_comparison_names_the_line_that_was_edited(house: House) -> None:
    """The edited file is not identical: line 2, its account. The stored one is."""
    batch = house.approved()

    edited, stored = _compare(house, _edited(house, batch)), _compare(house, house.handed_out(batch["id"]))

    assert (edited["is_identical"], stored["is_identical"]) == (False, True)
    assert [(each["line"], each["fields"]) for each in edited["differences"]] == [(2, ["creditor.iban"])]
    assert stored["differences"] == []


def test_a_file_of_another_tenant_is_not_known(house: House, other_house: House) -> None:
    """Whether a file was made here for somebody else is not told: it is answered like one that nobody knows."""
    batch = house.approved()
    stored = house.handed_out(batch["id"])
    unknown = stored.replace(batch["file"]["message_id"].encode(), b"NOBODYS")

    foreign, nobodys = (
        other_house.boss.call("POST", "/v1/payment-files/comparison", content=data, headers=_XML)
        for data in (stored, unknown)
    )

    assert _outcome(foreign) == (422, "not_our_file")
    assert foreign.json() == nobodys.json()


@pytest.mark.parametrize("seen", ["", " ", "a", "0000000"])
def test_a_hash_of_less_than_eight_characters_proves_nothing(house: House, seen: str) -> None:
    """A part so short that another file may begin with it too is refused, and delivers nothing."""
    batch = house.approved()
    whole = sha256(house.handed_out(batch["id"])).hexdigest()

    answer = _say_delivered(house, batch, seen if seen != "a" else whole[:1])

    assert answer.status_code == 422
    assert house.batch(batch["id"])["status"] == "approved"


def test_our_own_file_is_no_payroll_run(house: House) -> None:
    """The file that was just paid, uploaded as if the payroll package made it: refused, with the batch it is of."""
    batch = house.delivered()
    stored = house.boss.get(f"/v1/payment-batches/{batch['id']}/file?reason=fraud").content

    tried = [house.upload(stored), house.upload(stored, year=2026, period=12, run_number=1)]

    assert [_outcome(answer) for answer in tried] == [(409, "own_file")] * 2
    assert tried[0].json()["payment_batch_id"] == batch["id"]
    assert [each["id"] for each in house.boss.get("/v1/payment-batches").json()] == [batch["id"]]


def test_our_own_file_under_another_name_is_known_by_its_ids(house: House) -> None:
    """Renamed, one line changed, and named as the run of next month: the end-to-end ids are ours, so it is refused."""
    batch = house.delivered()
    stored = house.boss.get(f"/v1/payment-batches/{batch['id']}/file?reason=fraud").content
    renamed = stored.replace(batch["file"]["message_id"].encode(), b"PACKAGE-2026-12")
    changed = renamed.replace(house.transfers(batch["id"])[0]["creditor"]["iban"].encode(), _MINE.encode())

    tried = [house.upload(data, year=2026, period=12, run_number=1) for data in (renamed, changed)]

    assert [_outcome(answer) for answer in tried] == [(409, "own_file")] * 2
    assert tried[1].json()["payment_batch_id"] == batch["id"]
    assert len(house.boss.get("/v1/payroll-runs").json()) == 1


def _report(batch: dict[str, Any], **values: Any) -> bytes:
    text = Report(original_message_id=batch["file"]["message_id"], **values).xml()
    return text if isinstance(text, bytes) else text.encode()


def _send(person: Person, data: bytes) -> httpx2.Response:
    return person.call("POST", "/v1/status-reports", content=data, headers=_XML)


def _another_token(house: House) -> Person:
    with transaction(house.ctx.engine) as session:
        user = people.find_user(session, house.boss.email)
        issued = people.issue_token(session, act(house.ctx), user=user, scopes=frozenset(Scope), days=30)
    return replace(house.boss, token=issued.token)


def test_a_doctored_refusal_of_one_person_frees_nothing(house: House) -> None:
    """A made-up report of a refusal, sent with two tokens of one person: no line can be paid again."""
    house.second_person()
    batch = house.delivered()
    doctored = _report(batch, status="RJCT", reasons=[Why(code="AC01")])
    again = _report(batch, status="RJCT", reasons=[Why(code="AC01")], message_id="ANOTHER")

    answers = [_send(person, data) for person in (house.boss, _another_token(house)) for data in (doctored, again)]
    ids = [line["id"] for line in house.transfers(batch["id"])]
    follow_up = house.boss.post("/v1/follow-up-batches", {"transfer_ids": ids})

    assert {answer.status_code for answer in answers} <= {201, 409}
    assert house.batch(batch["id"])["status"] == "delivered"
    assert house.boss.get("/v1/unpaid-transfers").json() == []
    assert follow_up.status_code == 422
    assert "proposal.made" in house.events()
    assert "proposal.confirmed" not in house.events()


def test_two_people_with_two_different_reports_have_said_nothing_together(house: House) -> None:
    """The second person's report refuses other lines than the first one's: that confirms neither."""
    second = house.second_person()
    batch = house.delivered()

    whole = house.boss.post(
        f"/v1/payment-batches/{batch['id']}/statements",
        {"statement": "refused", "reason": "Seen", "reason_code": "AC01"},
    )
    report = _send(second, _report(batch, status="RJCT", reasons=[Why(code="MS03")]))

    assert whole.status_code == 202
    assert report.status_code in {201, 409}
    assert house.batch(batch["id"])["status"] == "delivered"
    assert house.boss.get("/v1/unpaid-transfers").json() == []
