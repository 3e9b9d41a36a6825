"""Good lines go, bad lines wait, and none of them is forgotten or paid twice."""

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from app.core.database import transaction
from app.payments.models import ClaimState
from tests.contracts.fake_source import FakePayroll
from tests.payments.payroll_document import Line
from tests.support.clock import FakeClock
from tests.support.house import House, document, lines

_BAD = Line(name="Zonder Rekening", iban="NL00FOUT0000000000", amount="1234.00", text="Salaris november 2026")


def _unpaid(house: House) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = house.boss.get("/v1/unpaid-transfers").json()
    return found


def test_a_bad_line_waits_on_the_list_while_the_others_are_paid(house: House) -> None:
    """The bad line does not stop the batch, and stands on the list as soon as the batch is approved."""
    batch = house.uploaded_batch(document([*lines(2), _BAD]))
    pending = _unpaid(house)
    house.boss.approve(batch)

    assert pending == []
    assert [(each["transfer"]["creditor"]["name"], each["transfer"]["status"]) for each in _unpaid(house)] == [
        ("Zonder Rekening", "invalid")
    ]


def test_the_list_says_why_a_line_is_invalid(house: House) -> None:
    """Who looks at the list sees what to correct, without opening the batch; also when the line is closed."""
    house.approved(document([*lines(2), _BAD]))

    (listed,) = _unpaid(house)
    closed = house.boss.post(f"/v1/transfers/{listed['transfer']['id']}/paid-elsewhere", {"reason": "By hand"})

    assert listed["transfer"]["findings"] == ["iban_invalid"]
    assert closed.json()["findings"] == ["iban_invalid"]


def test_a_line_that_is_not_unpaid_is_named(house: House) -> None:
    """Of several lines asked for, the answer points at the one that is paid already, and says where to look."""
    batch = house.approved(document([*lines(2), _BAD]))
    (listed,) = _unpaid(house)
    paid = house.transfers(batch["id"])[0]["id"]

    refused = house.boss.post("/v1/follow-up-batches", {"transfer_ids": [listed["transfer"]["id"], paid]}).json()

    assert [(each["pointer"], each["code"]) for each in refused["errors"]] == [("/transfer_ids/1", "not_unpaid")]
    assert "GET /v1/unpaid-transfers" in refused["detail"]


def test_unpaid_salary_says_since_when_it_is_late(house: House, clock: FakeClock) -> None:
    """Before the pay day it is still to be paid; after it the list says since when it is late, in Dutch."""
    batch = house.uploaded_batch(document([*lines(2), _BAD]))
    house.boss.approve(batch)

    before = _unpaid(house)[0]
    clock.forward(days=10)
    after = _unpaid(house)[0]

    assert (before["late_since"], before["text_nl"]) == (None, "nog te betalen")
    assert (after["late_since"], after["text_nl"]) == ("2026-11-25", "te laat sinds woensdag 25 november 2026")


def test_an_excluded_line_is_paid_by_a_follow_up_batch_once(house: House) -> None:
    """A follow-up batch has its own approval and claims; the line leaves the list and cannot be paid again."""
    batch = house.uploaded_batch()
    line = house.transfers(batch["id"])[1]
    house.boss.call(
        "PATCH",
        f"/v1/payment-batches/{batch['id']}/transfers/{line['id']}",
        json={"decision": "exclude", "reason": "Later"},
        headers={"If-Match": '"r1"'},
    )
    house.boss.approve(house.batch(batch["id"]))
    follow_up = house.boss.post("/v1/follow-up-batches", {"transfer_ids": [line["id"]]})
    listed_meanwhile = _unpaid(house)
    approved = house.boss.approve(follow_up.json())
    again = house.boss.post("/v1/follow-up-batches", {"transfer_ids": [line["id"]]})

    assert (follow_up.status_code, follow_up.json()["kind"], follow_up.json()["counts"]) == (
        201,
        "follow_up",
        {"payable": 1},
    )
    assert listed_meanwhile == []
    assert (approved.status_code, approved.json()["status"]) == (201, "approved")
    assert (again.status_code, _unpaid(house)) == (422, [])


def test_a_follow_up_is_no_way_round_a_hold(house: House) -> None:
    """A line that waits because it may have been paid already waits in a follow-up batch too."""
    house.approved(document(lines(2)), year=2026, period=11, run_number=1)
    # The same amounts to the same people over the same period, in another run, with one line more.
    second = house.uploaded_batch(document([*lines(2), lines(4)[3]]), year=2026, period=11, run_number=2)
    house.boss.approve(second)
    waiting = [each["transfer"]["id"] for each in _unpaid(house)]

    follow_up = house.boss.post("/v1/follow-up-batches", {"transfer_ids": waiting}).json()

    assert len(waiting) == 2
    assert follow_up["counts"] == {"held": 2}
    assert house.boss.approve(follow_up).json()["code"] == "nothing_to_pay"


def test_paid_elsewhere_closes_a_line_for_good(house: House) -> None:
    """A line paid by other means leaves the list, counts in no limit, and can be paid by no batch."""
    batch = house.uploaded_batch(document([*lines(2), _BAD]))
    house.boss.approve(batch)
    line = _unpaid(house)[0]["transfer"]["id"]
    used = _used(house)

    closed = house.boss.post(f"/v1/transfers/{line}/paid-elsewhere", {"reason": "Paid by hand on 18 November"})
    twice = house.boss.post(f"/v1/transfers/{line}/paid-elsewhere", {"reason": "again"})
    follow_up = house.boss.post("/v1/follow-up-batches", {"transfer_ids": [line]})

    assert (closed.status_code, closed.json()["status"]) == (201, "paid_elsewhere")
    assert (twice.status_code, follow_up.status_code) == (409, 422)
    assert (_unpaid(house), _used(house)) == ([], used)


def _used(house: House) -> str:
    path = f"/v1/debtor-accounts/{house.account_id}/payment-limit?execution_date=2026-11-25"
    return str(house.boss.get(path).json()["per_day"]["used"]["amount"])


def test_a_waived_line_of_a_rejected_batch_is_not_owed(house: House) -> None:
    """All lines of a batch that ended without a file are on the list; one that is not owed leaves it with a reason."""
    batch = house.uploaded_batch()
    house.boss.post(
        f"/v1/payment-batches/{batch['id']}/rejection", {"reason": "Wrong month"}, headers={"If-Match": '"r1"'}
    )
    listed = _unpaid(house)

    waived = house.boss.post(f"/v1/transfers/{listed[0]['transfer']['id']}/waiver", {"reason": "Not owed"})
    offered = house.boss.post(f"/v1/payroll-runs/{batch['run']['id']}/batches")

    assert len(listed) == 3
    assert (waived.status_code, waived.json()["status"]) == (201, "waived")
    assert offered.json()["number_of_transactions"] == 2


def test_a_line_in_a_file_cannot_be_closed_as_paid_elsewhere(house: House) -> None:
    """What is being paid is not closed beside it: that would hide a double payment."""
    batch = house.approved()
    line = house.transfers(batch["id"])[0]["id"]

    answer = house.boss.post(f"/v1/transfers/{line}/paid-elsewhere", {"reason": "r"})

    assert (answer.status_code, answer.json()["code"]) == (409, "not_allowed_now")


def test_a_pending_line_that_is_closed_leaves_the_batch(house: House) -> None:
    """Closing a line of a pending batch makes a new revision without it, and later revisions keep it so."""
    batch = house.uploaded_batch()
    line = house.transfers(batch["id"])[0]["id"]

    house.boss.post(f"/v1/transfers/{line}/paid-elsewhere", {"reason": "Advance"})
    after = house.batch(batch["id"])
    house.boss.call(
        "PATCH",
        f"/v1/payment-batches/{batch['id']}",
        json={"requested_execution_date": "2026-11-26"},
        headers={"If-Match": f'"r{after["revision"]}"'},
    )

    assert (after["revision"], after["counts"]) == (2, {"paid_elsewhere": 1, "payable": 2})
    assert house.batch(batch["id"])["counts"] == {"paid_elsewhere": 1, "payable": 2}
    assert house.boss.approve(house.batch(batch["id"])).json()["number_of_transactions"] == 2


@pytest.mark.parametrize("amount", ["0.00", "-12.50"])
@pytest.mark.parametrize("is_pending", [True, False])
def test_a_line_of_nothing_or_less_is_waived_and_was_never_paid(house: House, amount: str, *, is_pending: bool) -> None:
    """Not owed takes no claim, because nothing can pay it; it stays closed when its batch is recalled."""
    batch = house.uploaded_batch(document([*lines(2), replace(lines(3)[2], amount=amount)]))
    if not is_pending:
        house.boss.approve(batch)
    line = house.transfers(batch["id"])[2]["id"]

    elsewhere = house.boss.post(f"/v1/transfers/{line}/paid-elsewhere", {"reason": "Settled in cash"})
    waived = house.boss.post(f"/v1/transfers/{line}/waiver", {"reason": "Settled in cash"})
    again = house.boss.post(f"/v1/transfers/{line}/waiver", {"reason": "again"})
    counts = house.batch(batch["id"])["counts"]
    if not is_pending:
        house.boss.call("DELETE", f"/v1/payment-batches/{batch['id']}/approvals/mine")

    assert (elsewhere.status_code, elsewhere.json()["code"]) == (409, "not_allowed_now")
    assert "/waiver" in elsewhere.json()["detail"]
    assert (waived.status_code, waived.json()["status"], again.status_code) == (201, "waived", 409)
    assert counts == {"payable" if is_pending else "in_file": 2, "waived": 1}
    assert house.batch(batch["id"])["counts"] == {"payable": 2, "waived": 1}
    assert house.boss.approve(house.batch(batch["id"])).json()["number_of_transactions"] == 2


def test_lines_of_two_runs_are_not_one_follow_up(house: House) -> None:
    """A batch is of one run; the refusal says so."""
    for number in (1, 2):
        batch = house.uploaded_batch(
            document(lines(2, cents=100_000 * number)), year=2026, period=9 + number, run_number=number
        )
        house.boss.post(f"/v1/payment-batches/{batch['id']}/rejection", {"reason": "r"}, headers={"If-Match": '"r1"'})
    ids = [each["transfer"]["id"] for each in _unpaid(house)]

    answer = house.boss.post("/v1/follow-up-batches", {"transfer_ids": ids})

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "one_run")


def test_claim_states_are_what_the_books_know() -> None:
    """A claim is live, spent or released: nothing else settles an obligation."""
    assert {state.value for state in ClaimState} == {"live", "spent", "released"}


def test_masked_people_see_the_list_without_names(house: House, payroll: FakePayroll) -> None:
    """An auditor sees that something is unpaid, not whose salary it is."""
    from app.auth.models import Role  # noqa: PLC0415

    auditor = house.second_person("auditor", Role.AUDITOR)
    batch = house.uploaded_batch(document([*lines(2), _BAD]))
    house.boss.approve(batch)

    shown = auditor.get("/v1/unpaid-transfers").json()[0]["transfer"]

    assert (shown["creditor"]["name"], shown["amount"]) == ("***", None)
    assert payroll.calls == []


def test_a_line_that_waits_in_a_new_batch_is_closed_there_only(house: House) -> None:
    """Closed in the batch it left, a line would still be offered by the one it waits in, which nobody could approve."""
    batch = house.uploaded_batch()
    house.boss.post(f"/v1/payment-batches/{batch['id']}/rejection", {"reason": "r"}, headers={"If-Match": '"r1"'})
    old = house.transfers(batch["id"])[0]["id"]
    again = house.boss.post(f"/v1/payroll-runs/{batch['run']['id']}/batches").json()

    refused = house.boss.post(f"/v1/transfers/{old}/paid-elsewhere", {"reason": "r"})
    waits = house.transfers(again["id"])[0]["id"]
    closed = house.boss.post(f"/v1/transfers/{waits}/paid-elsewhere", {"reason": "r"})

    assert (refused.status_code, refused.json()["code"]) == (409, "not_allowed_now")
    assert refused.json()["payment_batch_id"] == again["id"]
    assert closed.status_code == 201
    assert house.boss.approve(house.batch(again["id"])).json()["number_of_transactions"] == 2


def test_a_line_that_a_follow_up_pays_is_not_put_back_into_its_first_batch(house: House) -> None:
    """Left out, paid by a follow-up, and then the first batch is recalled: there it stays left out."""
    batch = house.uploaded_batch()
    line = house.transfers(batch["id"])[1]
    path = f"/v1/payment-batches/{batch['id']}/transfers/{line['id']}"

    def decide(decision: str, revision: int) -> Any:
        body = {"decision": decision, "reason": "Later"}
        return house.boss.call("PATCH", path, json=body, headers={"If-Match": f'"r{revision}"'})

    assert decide("exclude", 1).status_code == 200
    house.boss.approve(house.batch(batch["id"]))
    follow_up = house.boss.post("/v1/follow-up-batches", {"transfer_ids": [line["id"]]}).json()
    assert house.boss.approve(follow_up).status_code == 201
    assert house.boss.call("DELETE", f"/v1/payment-batches/{batch['id']}/approvals/mine").status_code == 200

    answer = decide("pay", house.batch(batch["id"])["revision"])

    assert (answer.status_code, answer.json()["code"]) == (409, "already_claimed")
    assert answer.json()["payment_batch_id"] == follow_up["id"]
    assert house.transfers(batch["id"])[1]["status"] == "excluded"


def test_a_line_that_was_closed_stays_closed_when_its_batch_is_recalled(house: House) -> None:
    """Left out and paid by other means; the batch, pending again, offers it to nobody."""
    batch = house.uploaded_batch(document([*lines(2), _BAD]))
    assert house.boss.approve(batch).status_code == 201
    line = house.transfers(batch["id"])[2]
    assert house.boss.post(f"/v1/transfers/{line['id']}/paid-elsewhere", {"reason": "By hand"}).status_code == 201
    assert house.boss.call("DELETE", f"/v1/payment-batches/{batch['id']}/approvals/mine").status_code == 200

    again = house.transfers(batch["id"])[2]
    path = f"/v1/payment-batches/{batch['id']}/transfers/{line['id']}"
    revision = house.batch(batch["id"])["revision"]
    answer = house.boss.call(
        "PATCH", path, json={"decision": "pay", "reason": "r"}, headers={"If-Match": f'"r{revision}"'}
    )

    assert (again["status"], again["decision"]) == ("paid_elsewhere", "exclude")
    assert answer.status_code == 409
    assert house.boss.approve(house.batch(batch["id"])).status_code == 201


def test_a_line_that_a_follow_up_pays_stays_left_out_though_the_source_offers_it_again(house: House) -> None:
    """Invalid in its batch, valid by now and paid by a follow-up: the batch, pending again, does not offer it."""
    batch = house.uploaded_batch(document([*lines(2), _BAD]))
    assert house.boss.approve(batch).status_code == 201
    line = house.transfers(batch["id"])[2]
    with transaction(house.ctx.engine) as session:  # as if the rules, or the bank's figures, had changed meanwhile
        values = {"id": line["id"], "iban": lines(3)[2].iban}
        session.execute(sa.text("UPDATE credit_transfer SET creditor_iban = :iban WHERE id = :id"), values)
    follow_up = house.boss.post("/v1/follow-up-batches", {"transfer_ids": [line["id"]]}).json()
    house.acknowledge_all(follow_up)
    assert house.boss.approve(house.batch(follow_up["id"])).status_code == 201

    assert house.boss.call("DELETE", f"/v1/payment-batches/{batch['id']}/approvals/mine").status_code == 200

    again = house.transfers(batch["id"])[2]
    assert (again["status"], again["decision_reason"]) == ("excluded", "Another batch pays this line.")
    assert house.boss.approve(house.batch(batch["id"])).status_code == 201
