"""Odd amounts and people: paid by hand before, split over accounts, nothing to pay, everybody left out."""

from dataclasses import replace
from typing import Any

import pytest

from tests.contracts.fake_source import FakePayroll
from tests.payments.payments_of import dutch_iban
from tests.support.clock import FakeClock
from tests.support.connected import Connected, connect
from tests.support.house import House, document, lines


@pytest.fixture
def connected(house: House, payroll: FakePayroll) -> Connected:
    """An administration that is read through a connection."""
    return connect(house, payroll)


def _exclude(house: House, batch_id: str, line: dict[str, Any]) -> None:
    answer = house.boss.call(
        "PATCH",
        f"/v1/payment-batches/{batch_id}/transfers/{line['id']}",
        json={"decision": "exclude", "reason": "Left out"},
        headers={"If-Match": f'"r{house.batch(batch_id)["revision"]}"'},
    )
    assert answer.status_code == 200, answer.text


def test_an_advance_that_was_paid_by_hand_stays_out_of_every_reading(connected: Connected) -> None:
    """Said to be paid elsewhere, a line leaves the batch, and comes back with no later reading and no follow-up."""
    house = connected.house
    batch = connected.fetched()
    line = house.transfers(batch["id"])[0]["id"]
    said = house.boss.post(f"/v1/transfers/{line}/paid-elsewhere", {"reason": "Advance of 12 November, by hand"})
    connected.poll()

    approved = house.boss.approve(house.batch(batch["id"]))

    assert said.status_code == 201
    assert approved.json()["counts"] == {"paid_elsewhere": 1, "in_file": 2}
    assert house.boss.get("/v1/unpaid-transfers").json() == []
    assert house.boss.post("/v1/follow-up-batches", {"transfer_ids": [line]}).status_code == 422


def test_heirs_an_account_abroad_and_a_final_settlement_are_asked_about(connected: Connected, clock: FakeClock) -> None:
    """Paid to heirs, to an account in another country, six times as much on leaving: each waits for a person's word."""
    house = connected.house
    deceased, moved, leaver, other = lines(4)
    connected.approved([deceased, moved, leaver, other])
    clock.forward(days=28)
    connected.finish_run(
        [
            replace(deceased, name="Erven van Medewerker A", iban=dutch_iban(88), text="Salaris december"),
            replace(moved, iban="DE89370400440532013000", text="Salaris december"),
            replace(leaver, amount="15012.00", text="Eindafrekening"),
            replace(other, text="Salaris december"),
        ],
        period=12,
    )
    connected.poll()
    batch = connected.batches()[-1]

    asked = {(each["position"], each["code"]) for each in house.findings(batch["id"]) if each["needs_acknowledgement"]}
    told = {each["code"] for each in house.findings(batch["id"])}
    refused = house.boss.approve(batch)
    house.acknowledge_all(batch)

    assert asked == {(2, "account_changed"), (2, "first_foreign_account"), (3, "amount_jumped")}
    assert {"new_payees", "payees_gone"} <= told
    assert (refused.status_code, refused.json()["code"]) == (409, "acknowledgement_needed")
    assert f"{batch['id']}/findings/" in refused.json()["detail"]
    assert house.boss.approve(batch).status_code == 201


def test_a_net_that_is_split_over_two_accounts_is_two_lines(connected: Connected) -> None:
    """Two parts of one net to two accounts of a person are both paid, to the cent as the source rounded them."""
    row = lines(1)[0]
    parts = [replace(row, amount="1250.01"), replace(row, amount="1250.00", iban=dutch_iban(12))]

    batch = connected.approved(parts)

    assert batch["control_sum"]["amount"] == "2500.01"
    assert [line["amount"]["amount"] for line in connected.house.transfers(batch["id"])] == ["1250.01", "1250.00"]


@pytest.mark.parametrize(
    ("before", "after", "statuses"), [("USD", "EUR", {"payable": 2}), ("EUR", "USD", {"payable": 1, "invalid": 1})]
)
def test_a_currency_that_the_source_corrects_is_followed(
    connected: Connected, before: str, after: str, statuses: dict[str, int]
) -> None:
    """Read again in another currency, a line of dollars becomes payable, and one of euros stops being so."""
    first, second = lines(2)
    batch = connected.fetched([replace(first, currency=before), second])

    connected.payroll.set_only_document(document([replace(first, currency=after), second]))
    connected.poll()

    again = connected.house.batch(batch["id"])
    assert again["counts"] == statuses
    assert again["revision"] == batch["revision"] + 1


def test_a_run_whose_parts_do_not_add_up_is_no_batch(connected: Connected) -> None:
    """A cent of rounding between the lines and the total of the source: doubtful, with both figures, and no batch."""
    wrong = document(lines(2)).replace(b"<CtrlSum>5001.00</CtrlSum>", b"<CtrlSum>5001.01</CtrlSum>")
    connected.payroll.add_run(connected.source, document=wrong)

    connected.poll()

    (run,) = connected.runs()
    assert (run["state"], run["reason_code"], connected.batches()) == ("doubtful", "totals_differ", [])
    assert "5001.00" in run["reason"]
    assert "5001.01" in run["reason"]


@pytest.mark.parametrize("amount", ["0.00", "-0.01", "-2500.00"])
def test_a_line_of_nothing_or_less_is_shown_and_the_others_are_paid(house: House, amount: str) -> None:
    """Somebody takes no salary this month, or owes some: their line is invalid and says why; the others are paid."""
    batch = house.uploaded_batch(document([replace(lines(1)[0], amount=amount), *lines(3)[1:]]))

    approved = house.boss.approve(batch)

    assert batch["counts"] == {"payable": 2, "invalid": 1}
    assert "amount_not_positive" in [each["code"] for each in house.findings(batch["id"])]
    assert (approved.status_code, approved.json()["number_of_transactions"]) == (201, 2)


@pytest.mark.parametrize("amount", ["1000000000.00", "90071992547409.92", "9999999999999999.99"])
def test_an_amount_beyond_all_reason_is_one_bad_line(connected: Connected, amount: str) -> None:
    """However large, a slip of the package is a line that says what is wrong with it, and the others are paid."""
    batch = connected.fetched([replace(lines(1)[0], amount=amount), *lines(3)[1:]])

    approved = connected.house.boss.approve(batch)

    assert batch["counts"] == {"payable": 2, "invalid": 1}
    assert "amount_too_large" in [each["code"] for each in connected.house.findings(batch["id"])]
    assert approved.status_code == 201


def test_an_amount_that_cannot_be_kept_makes_a_run_doubtful(connected: Connected) -> None:
    """More than the database can hold, though the message allows it: the run says which payment it is."""
    connected.finish_run([replace(lines(1)[0], amount="92233720368547758.08"), *lines(3)[1:]])

    connected.poll()

    (run,) = connected.runs()
    assert (run["state"], connected.batches()) == ("doubtful", [])
    assert "number 1" in run["reason"]


def test_only_a_director_without_salary_is_nothing_to_pay(house: House) -> None:
    """The only line is zero: the batch is there, says so, and asks nobody to approve nothing."""
    batch = house.uploaded_batch(document([replace(lines(1)[0], amount="0.00")]))

    refused = house.boss.approve(batch)

    assert batch["counts"] == {"invalid": 1}
    assert (refused.status_code, refused.json()["code"]) == (409, "nothing_to_pay")


def test_a_batch_of_which_every_line_is_left_out_is_not_approved(house: House) -> None:
    """All lines excluded: there is no file of nothing, and every line stays on the list once the batch ends."""
    batch = house.uploaded_batch(document(lines(2)))
    for line in house.transfers(batch["id"]):
        _exclude(house, batch["id"], line)

    refused = house.boss.approve(house.batch(batch["id"]))
    revision = house.batch(batch["id"])["revision"]
    path = f"/v1/payment-batches/{batch['id']}/rejection"
    house.boss.post(path, {"reason": "Nobody"}, headers={"If-Match": f'"r{revision}"'})

    assert (refused.status_code, refused.json()["code"]) == (409, "nothing_to_pay")
    assert len(house.boss.get("/v1/unpaid-transfers").json()) == 2


def test_a_line_left_out_stays_out_when_the_run_is_read_again(connected: Connected) -> None:
    """Excluded with a reason, a line is not put back by a new reading, and it is owed after the batch was approved."""
    house = connected.house
    batch = connected.fetched()
    _exclude(house, batch["id"], house.transfers(batch["id"])[0])
    connected.poll()

    approved = house.boss.approve(house.batch(batch["id"]))
    connected.poll()

    assert approved.json()["counts"] == {"excluded": 1, "in_file": 2}
    assert [each["transfer"]["status"] for each in house.boss.get("/v1/unpaid-transfers").json()] == ["excluded"]
    assert len(connected.batches()) == 1


def test_no_get_of_a_batch_moves_it(house: House) -> None:
    """A mail scanner that opens every address of a batch, file included, approves and changes nothing."""
    batch = house.uploaded_batch()
    path = f"/v1/payment-batches/{batch['id']}"
    parts = ["", "/transfers", "/findings", "/comparison", "/canonical", "/files", "/file", "/history", "/approvals"]

    for part in parts:
        assert house.boss.get(f"{path}{part}").status_code in {200, 404, 405, 409}, part

    assert house.batch(batch["id"]) == batch
