"""A reading that says something else than what was approved, rejected or left: whoever acts next learns of it."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.dialects import postgresql

from app.payments import fetching, unpaid
from tests.contracts.fake_source import FakePayroll, unreachable
from tests.payments.payments_of import dutch_iban
from tests.payments.payroll_document import Line
from tests.support.clock import FakeClock
from tests.support.connected import Connected, connect
from tests.support.house import PIN, House, document, lines

_RUN = {"year": 2026, "period": 11, "run_number": 1}


@pytest.fixture
def connected(house: House, payroll: FakePayroll) -> Connected:
    """An administration that is read through a connection."""
    return connect(house, payroll)


def _read(connected: Connected, data: bytes) -> None:
    connected.payroll.set_only_document(data)
    (run,) = connected.runs()
    fetching.fetch_run(connected.house.ctx, UUID(run["id"]))


def _moved(rows: list[Line], n: int) -> list[Line]:
    """Return the lines with another account for one of them."""
    return [replace(row, iban=dutch_iban(9_100 + n)) if place == n else row for place, row in enumerate(rows)]


def _file(house: House, batch: dict[str, Any]) -> tuple[int, str | None]:
    answer = house.boss.get(f"/v1/payment-batches/{batch['id']}/file")
    return answer.status_code, None if answer.is_success else answer.json()["code"]


def _unpaid(house: House) -> dict[str, str]:
    """Return the accounts on the list of unpaid lines, with their ids."""
    rows = house.boss.get("/v1/unpaid-transfers").json()
    return {row["transfer"]["creditor"]["iban"]: row["transfer"]["id"] for row in rows}


def _left_out(house: House, batch: dict[str, Any], *, place: int) -> dict[str, Any]:
    """Leave a line out of a batch, confirm what is asked, and return the batch."""
    line = house.transfers(batch["id"])[place]["id"]
    wanted, seen = {"decision": "exclude", "reason": "Next month"}, {"If-Match": f'"r{batch["revision"]}"'}
    path = f"/v1/payment-batches/{batch['id']}/transfers/{line}"
    assert house.boss.call("PATCH", path, json=wanted, headers=seen).status_code == 200
    house.acknowledge_all(batch)
    return house.batch(batch["id"])


def _ended(house: House, batch: dict[str, Any], way: str) -> None:
    headers = {"If-Match": f'"r{batch["revision"]}"'}
    path = f"/v1/payment-batches/{batch['id']}/{way}"
    assert house.boss.call("POST", path, json={"reason": "Wrong account"}, headers=headers).status_code == 200


@pytest.mark.parametrize("pending", ["late line", "follow-up"])
def test_an_approved_batch_is_compared_also_when_another_one_waits(house: House, pending: str) -> None:
    """The correction goes into the batch that waits; the file of before pays the old account and is not handed out."""
    rows = lines(4)
    if pending == "late line":
        batch = house.approved(document(rows[:3]), **_RUN)
        house.upload(document(rows), **_RUN)
    else:
        batch = _left_out(house, house.uploaded_batch(document(rows), **_RUN), place=3)
        assert house.boss.approve(batch).status_code == 201
        left = list(_unpaid(house).values())
        assert house.boss.post("/v1/follow-up-batches", {"transfer_ids": left}).status_code == 201
    statuses = sorted(each["status"] for each in house.boss.get("/v1/payment-batches").json())
    assert statuses == ["approved", "pending"]

    house.upload(document(_moved(rows, 1)), **_RUN)

    assert _file(house, batch) == (409, "held")
    assert [each["code"] for each in house.batch(batch["id"])["holds"]] == ["source_changed"]


@pytest.mark.parametrize(("way", "status"), [("rejection", "rejected"), ("cancellation", "cancelled")])
def test_what_is_corrected_after_a_rejection_is_offered_and_the_old_account_is_not(
    house: House, clock: FakeClock, way: str, status: str
) -> None:
    """The line that was wrong leaves the list of unpaid lines; the corrected one waits in a batch of its own."""
    rows = lines(3)
    batch = house.uploaded_batch(document(rows), **_RUN)
    _ended(house, batch, way)
    old = _unpaid(house)
    clock.forward(minutes=1)

    house.upload(document(_moved(rows, 1)), **_RUN)
    house.upload(document(_moved(rows, 1)), **_RUN)

    left, (made, ended) = _unpaid(house), house.boss.get("/v1/payment-batches").json()
    assert set(left) == {rows[0].iban, rows[2].iban}
    assert (made["status"], made["number_of_transactions"], ended["status"]) == ("pending", 1, status)
    assert [each["creditor"]["iban"] for each in house.transfers(made["id"])] == [dutch_iban(9_101)]
    refused = house.boss.post("/v1/follow-up-batches", {"transfer_ids": [old[rows[1].iban]]})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "not_unpaid")
    whole = house.boss.post(f"/v1/payroll-runs/{batch['run']['id']}/batches").json()
    paid = {each["creditor"]["iban"] for each in house.transfers(whole["id"]) if each["status"] == "payable"}
    assert (whole["id"], paid, _unpaid(house)) == (made["id"], {rows[0].iban, rows[2].iban, dutch_iban(9_101)}, {})


@pytest.mark.parametrize("first", ["refused", "corrected"])
def test_what_the_bank_refused_and_the_source_corrected_is_no_longer_owed(house: House, first: str) -> None:
    """Refused by the bank and corrected, in either order: nobody offers the account that was wrong again."""
    rows, second = lines(3), house.second_person()
    batch = house.approved(document(rows), **_RUN)
    house.deliver(batch["id"])
    wrong = house.transfers(batch["id"])[1]["id"]
    said = {"statement": "refused", "reason": "Account closed", "transfer_ids": [wrong]}
    before = house.boss.get(f"/v1/payment-batches/{batch['id']}/canonical").content

    for happens in ("refused", "corrected") if first == "refused" else ("corrected", "refused"):
        if happens == "corrected":
            house.upload(document(_moved(rows, 1)), **_RUN)
        else:
            for person in (house.boss, second):
                person.post(f"/v1/payment-batches/{batch['id']}/statements", said)
            assert house.transfers(batch["id"])[1]["status"] == "refused"
    gone = _unpaid(house)
    after = house.boss.get(f"/v1/payment-batches/{batch['id']}/canonical")
    _, back = house.upload(document(rows), **_RUN), _unpaid(house)

    assert (gone, set(back)) == ({}, {rows[1].iban})
    assert (after.status_code, after.content) == (200, before)


_NOTHING_WHOLE = {
    "empty": lambda: document([]),
    "does not add up": lambda: document(lines(3)).replace(b"<CtrlSum>", b"<CtrlSum>9", 1),
}


@pytest.mark.parametrize("kind", _NOTHING_WHOLE)
def test_a_newer_document_that_says_nothing_ends_the_older_equal_one(
    connected: Connected, clock: FakeClock, kind: str
) -> None:
    """Minutes after an equal reading the source gives an empty document, or a wrong one: it is asked again."""
    batch = connected.fetched()
    clock.forward(minutes=1)

    _read(connected, _NOTHING_WHOLE[kind]())
    refused = connected.house.boss.approve(batch)
    connected.payroll.set_only_document(document(lines(3)))
    clock.forward(minutes=1)

    assert (refused.status_code, refused.json()["code"]) == (409, "source_changed"), refused.text
    assert connected.house.boss.approve(batch).status_code == 201


def test_an_equal_reading_of_before_an_empty_one_stands_in_for_nothing(connected: Connected, clock: FakeClock) -> None:
    """Emptied at the source, which then does not answer: not even by name is anything approved on what was before."""
    batch = connected.fetched()
    clock.forward(minutes=1)
    _read(connected, document([]))
    connected.payroll.fail("*", unreachable())

    refused = connected.house.boss.post(
        f"/v1/payment-batches/{batch['id']}/approvals",
        {"digest": batch["digest"], "pin": PIN, "approve_without_source": True},
        headers={"If-Match": f'"r{batch["revision"]}"'},
    )

    assert (refused.status_code, refused.json()["code"]) == (503, "source_unreachable")


def test_an_approved_batch_of_a_run_that_was_emptied_is_not_handed_out(connected: Connected) -> None:
    """All of its lines are gone at the source: two people look before the file leaves."""
    batch = connected.approved()

    _read(connected, document([]))

    assert _file(connected.house, batch) == (409, "held")


def test_a_line_left_out_before_its_run_was_done_again_is_owed_again(connected: Connected, clock: FakeClock) -> None:
    """Gone, the run undone and done anew with the line in it: it is on the list, for no batch has it."""
    house, rows = connected.house, lines(3)
    batch = _left_out(house, connected.fetched(rows), place=2)
    assert house.boss.approve(batch).status_code == 201
    house.deliver(batch["id"])
    run = connected.payroll.only_run()
    _read(connected, document(rows[:2]))
    assert _unpaid(house) == {}
    connected.payroll.undo_run(connected.source, run)
    for minutes in (1, 11):
        clock.forward(minutes=minutes)
        connected.poll()
    assert connected.runs()[0]["state"] == "withdrawn"

    connected.payroll.add_run(connected.source, document=document(rows), number=run.number)
    connected.poll()

    assert set(_unpaid(house)) == {rows[2].iban}


def _decided(house: House, batch: dict[str, Any], place: int, decision: str) -> None:
    line = house.transfers(batch["id"])[place]["id"]
    wanted, seen = {"decision": decision, "reason": "A dispute"}, {"If-Match": f'"r{batch["revision"]}"'}
    path = f"/v1/payment-batches/{batch['id']}/transfers/{line}"
    assert house.boss.call("PATCH", path, json=wanted, headers=seen).status_code == 200


@pytest.mark.parametrize("decision", ["hold", "exclude"])
def test_what_was_kept_back_is_not_paid_because_its_run_was_done_again(
    connected: Connected, clock: FakeClock, decision: str
) -> None:
    """Undone and done again with one correction: that line is offered, and reading it once more puts nothing back."""
    house, rows = connected.house, lines(4)
    batch = connected.fetched(rows)
    _decided(house, batch, 3, decision)
    run = connected.payroll.only_run()
    connected.payroll.undo_run(connected.source, run)
    for minutes in (1, 11):
        clock.forward(minutes=minutes)
        connected.poll()
    assert house.batch(batch["id"])["status"] == "superseded"

    connected.payroll.add_run(connected.source, document=document(_moved(rows, 1)), number=run.number)
    clock.forward(minutes=1)
    connected.poll()
    made = connected.batches()[-1]
    for each in connected.runs():
        fetching.fetch_run(house.ctx, UUID(each["id"]))

    assert (made["status"], made["counts"]) == ("pending", {"payable": 1})
    assert house.batch(made["id"])["revision"] == made["revision"]
    assert set(_unpaid(house)) == {rows[0].iban, rows[2].iban, rows[3].iban}


def test_what_people_left_out_of_a_batch_that_gave_way_stays_left_out(house: House) -> None:
    """The late line is left out; when the first batch is recalled it is in that one, and still left out."""
    rows = lines(4)
    batch = house.approved(document(rows[:3]), **_RUN)
    late = house.upload(document(rows), **_RUN).json()["payment_batch_ids"][-1]
    _decided(house, house.batch(late), 0, "exclude")

    assert house.boss.call("DELETE", f"/v1/payment-batches/{batch['id']}/approvals/mine").status_code == 200

    merged = house.transfers(batch["id"])
    assert house.batch(late)["status"] == "superseded"
    assert [(each["status"], each["decision_reason"]) for each in merged] == [
        *[("payable", None)] * 3,
        ("excluded", "A dispute"),
    ]


def test_a_line_of_zero_that_was_waived_is_not_offered_again(house: House) -> None:
    """Nothing is left to pay of the run: there is no batch to make of it."""
    rows = [lines(1)[0], replace(lines(2)[1], amount="0.00")]
    batch = house.uploaded_batch(document(rows), **_RUN)
    _ended(house, batch, "rejection")
    for line, way in zip(house.transfers(batch["id"]), ("paid-elsewhere", "waiver"), strict=True):
        closed = house.boss.post(f"/v1/transfers/{line['id']}/{way}", {"reason": "Settled"})
        assert closed.status_code == 201, closed.text

    again = house.boss.post(f"/v1/payroll-runs/{batch['run']['id']}/batches")

    assert again.status_code == 409, again.text


def test_the_list_of_unpaid_lines_does_not_carry_what_is_gone_with_each_of_them() -> None:
    """Of a large run that was done anew it is every line: thousands of times thousands of ids."""
    statement = str(unpaid._left(frozenset({uuid4()})).compile(dialect=postgresql.dialect()))  # noqa: SLF001

    columns, _, conditions = statement.partition("FROM")
    assert ("unlisted" in columns, "unnest" in conditions) == (False, True)
