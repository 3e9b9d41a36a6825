"""Odd runs and odd moments: found twice, late, undone, done again, of another period, of a size nobody expects."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from app.payments import fetching, syncing
from app.payments.context import Context
from app.payments.ports import SourceRun
from tests.contracts.fake_source import FakePayroll
from tests.payments.payments_of import dutch_iban
from tests.payments.payroll_document import Block, Document, Line
from tests.support.clock import FakeClock
from tests.support.connected import Connected, connect
from tests.support.house import House, document, lines, link
from tests.support.jobs import work_off

_REMARKS = {"people_not_checked", "run_not_locked"}


@pytest.fixture
def connected(house: House, payroll: FakePayroll) -> Connected:
    """An administration that is read through a connection."""
    return connect(house, payroll)


def _codes(house: House, batch: dict[str, Any]) -> set[str]:
    return {each["code"] for each in house.findings(batch["id"])} - _REMARKS


def _sync_at_once(ctx: Context, connection_id: str) -> None:
    with ThreadPoolExecutor(2) as workers:
        for done in [workers.submit(syncing.sync_runs, ctx, UUID(connection_id)) for _ in range(2)]:
            done.result()


def _fetch_at_once(ctx: Context, run_id: str) -> None:
    with ThreadPoolExecutor(2) as workers:
        for done in [workers.submit(fetching.fetch_run, ctx, UUID(run_id)) for _ in range(2)]:
            done.result()


# ------------------------------------------------------------------------------------------- the same event again


def test_one_event_on_two_workers_is_one_run_and_one_batch(ctx: Context, connected: Connected) -> None:
    """Two workers that ask for runs, and fetch the run, at the same moment leave one run with one batch."""
    run = connected.finish_run()
    for _ in range(2):
        connected.webhook(administration_external_id="2100", run_external_id=run.external_id)

    _sync_at_once(ctx, connected.connection_id)
    (found,) = connected.runs()
    _fetch_at_once(ctx, found["id"])
    work_off(ctx)

    (batch,) = connected.batches()
    assert (batch["revision"], batch["number_of_transactions"]) == (1, 3)


def test_poll_and_webhook_at_the_same_moment_are_one_batch(ctx: Context, connected: Connected) -> None:
    """The poll is due while a webhook waits: whoever comes first, there is one run and one batch."""
    run = connected.finish_run()
    connected.webhook(run_external_id=run.external_id)
    syncing.tick(ctx)

    _sync_at_once(ctx, connected.connection_id)
    work_off(ctx)

    assert len(connected.runs()) == len(connected.batches()) == 1


def test_an_event_that_is_replayed_a_week_later_changes_nothing(
    ctx: Context, connected: Connected, clock: FakeClock
) -> None:
    """The run was delivered last week: the same event again makes no batch, and touches the delivered one nowhere."""
    house = connected.house
    batch = connected.approved()
    assert house.deliver(batch["id"]).status_code == 201
    before = house.batch(batch["id"])
    clock.forward(days=7)

    connected.webhook(administration_external_id="2100", run_external_id=connected.payroll.only_run().external_id)
    work_off(ctx)

    assert [each["id"] for each in connected.batches()] == [batch["id"]]
    after = house.batch(batch["id"])
    assert (after["status"], after["revision"], after["digest"]) == ("delivered", 1, before["digest"])


def test_an_event_of_another_tenants_administration_finds_nothing_of_theirs(
    ctx: Context, connected: Connected, other_house: House
) -> None:
    """On one tenant's address an event that names another's administration and run reads nothing into either."""
    other = connect(other_house, connected.payroll, external_id="2200")
    run = connected.finish_run()

    said = other.webhook(administration_external_id="2100", run_external_id=run.external_id, year=2026)
    work_off(ctx)

    assert said.status_code == 202
    assert (other.runs(), other.batches()) == ([], [])
    assert other_house.boss.get("/v1/payroll-runs").json() == []


def test_an_event_of_an_administration_that_is_not_linked_makes_no_batch(
    ctx: Context, connected: Connected, payroll: FakePayroll
) -> None:
    """What nobody linked is not read, however often it is announced."""
    stranger = payroll.add_administration("3100", name="Not linked")
    run = payroll.add_run(stranger, document=document())

    connected.webhook(administration_external_id="3100", run_external_id=run.external_id)
    work_off(ctx)

    assert connected.batches() == []
    assert [call for call in payroll.calls if call.administration == "3100"] == []


def test_no_event_makes_a_run_payable_that_is_older_than_go_live(ctx: Context, connected: Connected) -> None:
    """A run made before the go-live day is listed with the reason; a webhook that names it does not change that."""
    run = connected.finish_run(made_at=datetime(2026, 10, 31, 22, 59, tzinfo=UTC), period=10)
    asked = connected.payroll.count("fetch_payments")

    for _ in range(2):
        connected.webhook(administration_external_id="2100", run_external_id=run.external_id)
        work_off(ctx)

    (found,) = connected.runs()
    assert (found["state"], found["reason_code"], connected.batches()) == ("ignored", "before_go_live", [])
    assert connected.payroll.count("fetch_payments") == asked


def test_a_run_read_while_the_dry_run_ends_is_not_payable(house: House, payroll: FakePayroll) -> None:
    """Its document was on its way when the administration went live: it stays a run of the dry run."""
    trying = connect(house, payroll, mode="dry_run")

    def go_live() -> None:
        answer = link(house.boss, trying.administration_id, house.employer_id, house.account_id)
        assert answer.status_code == 200

    payroll.meanwhile = go_live
    trying.finish_run()
    trying.poll()

    (found,) = trying.runs()
    assert (found["state"], found["reason_code"], trying.batches()) == ("ignored", "dry_run", [])


def test_a_run_that_is_found_after_its_pay_day_gets_a_day_that_is_possible(
    ctx: Context, connected: Connected, clock: FakeClock
) -> None:
    """No webhook came and the poll is days late: the 25th is over, the batch proposes a day that can be approved."""
    connected.finish_run()
    clock.moment = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)  # a Saturday
    syncing.tick(ctx)
    work_off(ctx)

    (batch,) = connected.batches()
    approved = connected.house.boss.approve(batch)

    assert batch["requested_execution_date"] == "2026-11-30"
    assert (approved.status_code, approved.json()["status"]) == (201, "approved"), approved.text


def test_a_document_that_comes_minutes_after_its_run_is_waited_for(ctx: Context, connected: Connected) -> None:
    """The event is there before the document: nothing is made of the gap, and the third try has the batch."""
    run = connected.finish_run()
    connected.payroll.document_later(connected.source, run, after=2)
    asked = connected.payroll.count("fetch_payments")

    connected.webhook(run_external_id=run.external_id)
    work_off(ctx)

    assert connected.payroll.count("fetch_payments") == asked + 3
    assert [batch["number_of_transactions"] for batch in connected.batches()] == [3]


# --------------------------------------------------------------------------------- several runs, undone, done again


def test_a_regular_run_and_a_bonus_run_of_one_month_are_both_paid(connected: Connected) -> None:
    """Two runs of one period are two payments: the bonus asks once whether it is extra, and is paid."""
    regular = connected.approved(lines(3))
    bonus = connected.fetched([replace(row, amount="150.00", text="Bonus") for row in lines(3)])

    asked = _codes(connected.house, bonus)
    paid = connected.house.boss.approve(bonus)

    assert "partly_paid_period" in asked
    assert (regular["run"]["period"], bonus["run"]["period"]) == (11, 11)
    assert (paid.json()["status"], paid.json()["control_sum"]["amount"]) == ("approved", "450.00")


def test_a_correction_run_pays_what_is_owed_and_lists_what_is_not(connected: Connected) -> None:
    """Amounts below zero are shown and not paid, those above are paid, and the period is said to be paid already."""
    connected.approved(lines(3))
    rows = [
        replace(row, amount=amount, text="Correctie")
        for row, amount in zip(lines(3), ("12.34", "-50.00", "7.66"), strict=True)
    ]
    house = connected.house
    correction = connected.fetched(rows)

    approved = house.boss.approve(correction)

    assert correction["counts"] == {"payable": 2, "invalid": 1}
    assert {"partly_paid_period", "amount_not_positive"} <= _codes(house, correction)
    assert (approved.status_code, approved.json()["control_sum"]["amount"]) == (201, "20.00")
    assert [line["status"] for line in house.transfers(correction["id"])] == ["in_file", "invalid", "in_file"]


def _undo(connected: Connected, clock: FakeClock, run: SourceRun) -> None:
    connected.payroll.undo_run(connected.source, run)
    for minutes in (1, 11):
        clock.forward(minutes=minutes)
        connected.poll()


def test_a_run_undone_after_its_approval_is_not_handed_out(connected: Connected, clock: FakeClock) -> None:
    """The approved batch of a run that is gone waits for two people; meanwhile its file leaves the house for nobody."""
    batch = connected.approved()

    _undo(connected, clock, connected.payroll.only_run())

    barred = connected.house.boss.get(f"/v1/payment-batches/{batch['id']}/file")
    assert connected.runs()[0]["state"] == "withdrawn"
    assert (barred.status_code, barred.json()["code"]) == (409, "held")
    assert [each["code"] for each in connected.house.batch(batch["id"])["holds"]] == ["run_withdrawn"]


def test_a_recalled_batch_of_a_run_that_is_gone_is_not_approved_again(connected: Connected, clock: FakeClock) -> None:
    """Recalled as the hold asks, its hold lifted by two, the last reading minutes old: the run is gone all the same."""
    house, batch = connected.house, connected.approved()
    second = house.second_person()
    _undo(connected, clock, connected.payroll.only_run())
    path = f"/v1/payment-batches/{batch['id']}"
    recalled = house.boss.call("DELETE", f"{path}/approvals/mine").json()
    hold = recalled["holds"][0]["id"]
    for person in (house.boss, second):
        person.post(f"{path}/holds/{hold}/lifting", {"reason": "It was a mistake of the office."})
    pending = house.batch(batch["id"])

    refused = house.boss.approve(pending)

    assert (pending["status"], pending["holds"]) == ("pending", [])
    assert (refused.status_code, refused.json()["code"]) == (409, "source_changed")
    assert house.batch(batch["id"])["status"] == "pending"


def _fetched_again(connected: Connected, rows: list[Line]) -> None:
    connected.payroll.set_only_document(document(rows))
    (run,) = connected.runs()
    fetching.fetch_run(connected.house.ctx, UUID(run["id"]))


@pytest.mark.parametrize("change", [{"name": "K. Anders"}, {"text": "Salaris en nog wat"}])
def test_a_name_or_text_that_changed_after_the_approval_bars_the_hand_out(
    connected: Connected, change: dict[str, str]
) -> None:
    """Who is paid and how much is the same; what was approved is not what the source says."""
    batch, (first, *others) = connected.approved(), lines(3)

    _fetched_again(connected, [replace(first, **change), *others])

    barred = connected.house.boss.get(f"/v1/payment-batches/{batch['id']}/file")
    assert (barred.status_code, barred.json()["code"]) == (409, "held")
    (hold,) = connected.house.batch(batch["id"])["holds"]
    assert (hold["code"], hold["reason"][:22]) == ("source_changed", "1 lines of this batch ")


def test_a_name_that_changed_when_the_file_had_left_stops_nothing(connected: Connected) -> None:
    """The right people get the right money: nobody is told to stop it at the bank."""
    batch, (first, *others) = connected.approved(), lines(3)
    connected.house.handed_out(batch["id"])

    _fetched_again(connected, [replace(first, name="K. Anders"), *others])

    assert connected.house.batch(batch["id"])["holds"] == []
    assert connected.house.deliver(batch["id"]).is_success


def test_a_run_undone_after_its_delivery_is_told_and_changes_nothing(connected: Connected, clock: FakeClock) -> None:
    """What is at the bank is at the bank: the batch stays delivered, and the history tells that the run is gone."""
    house = connected.house
    batch = connected.approved()
    house.deliver(batch["id"])

    _undo(connected, clock, connected.payroll.only_run())

    assert house.batch(batch["id"])["status"] == "delivered"
    assert house.events().count("run.withdrawn") == 1
    assert house.boss.get("/v1/unpaid-transfers").json() == []


def test_a_delivered_run_with_other_amounts_pays_nothing_by_one_person(connected: Connected) -> None:
    """The same run id with other amounts after delivery: the new amounts are held, and one person cannot free them."""
    house = connected.house
    batch = connected.approved()
    house.deliver(batch["id"])
    connected.payroll.set_only_document(document(lines(3, cents=251_000)))
    connected.webhook(run_external_id=connected.payroll.only_run().external_id)
    work_off(house.ctx)

    (newest,) = [each for each in connected.batches() if each["id"] != batch["id"]]
    line = house.transfers(newest["id"])[0]
    put_back = house.boss.call(
        "PATCH",
        f"/v1/payment-batches/{newest['id']}/transfers/{line['id']}",
        json={"decision": "pay", "reason": "They said so."},
        headers={"If-Match": f'"r{newest["revision"]}"'},
    )

    assert (newest["counts"], line["hold_code"]) == ({"held": 3}, "run_changed_after_approval")
    assert (put_back.status_code, put_back.json()["code"]) == (409, "two_people_needed")
    assert house.boss.approve(newest).json()["code"] == "nothing_to_pay"


def test_a_pending_run_with_other_amounts_voids_what_was_shown(connected: Connected) -> None:
    """A cent is changed after the pay slip went out: who approves what was shown before is told to look again."""
    house = connected.house
    shown = connected.fetched()
    connected.payroll.set_only_document(document([replace(lines(1)[0], amount="2500.01"), *lines(3)[1:]]))
    connected.webhook(run_external_id=connected.payroll.only_run().external_id)
    work_off(house.ctx)

    stale = house.boss.approve(shown)
    now = house.batch(shown["id"])

    assert (stale.status_code, now["revision"]) == (412, 2)
    assert now["control_sum"]["amount"] == "7503.01"
    assert now["counts"] == {"payable": 3, "excluded": 1}


# ------------------------------------------------------------------------------------------- odd exports


def test_a_tax_among_salaries_is_written_apart(house: House) -> None:
    """An export that says on each line what it is for, all in one block: the tax is no salary and not beside them."""
    purpose = "<PmtTpInf><CtgyPurp><Cd>{}</Cd></CtgyPurp></PmtTpInf>"
    rows = [replace(row, extra=purpose.format("SALA")) for row in lines(3)]
    rows[1] = replace(rows[1], extra=purpose.format("TAXS"))

    batch = house.uploaded_batch(document(rows, purpose=""))

    assert [each["kind"] for each in house.transfers(batch["id"])] == ["salary", "third_party", "salary"]


def test_a_block_that_names_no_account_hides_no_other_one(house: House) -> None:
    """The first block says nothing of account and date: what the second pays from, and when, is told all the same."""
    first, second, third = lines(3)
    blocks = (
        Block(lines=(first,), date="", payer_iban=""),
        Block(id="P2", lines=(second,), date="2026-11-25", payer_iban=dutch_iban(55)),
        Block(id="P3", lines=(third,), date="2026-11-27", payer_iban=dutch_iban(56)),
    )

    batch = house.uploaded_batch(Document(blocks=blocks).xml().encode())

    asked = {(each["position"], each["code"]) for each in house.findings(batch["id"])}
    assert {(None, "source_account_differs"), (3, "other_debtor_account"), (3, "other_execution_date")} <= asked
