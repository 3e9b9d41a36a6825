"""The same payments brought in once more: the same file, another number, another order, a cent more. Nobody twice."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.contracts.fake_source import FakePayroll
from tests.payments.payroll_document import Line
from tests.support.clock import FakeClock
from tests.support.connected import Connected, connect
from tests.support.house import House, document, lines


def _batches(house: House) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = house.boss.get("/v1/payment-batches").json()
    return found


def _shuffled(rows: list[Line], *, cents: int = 0) -> list[Line]:
    """Return the lines in another order, under other ids, the first with some cents more."""
    first = f"{(250_000 + cents) // 100}.{(250_000 + cents) % 100:02d}"
    changed = [replace(rows[0], amount=first), *rows[1:]]
    return [replace(row, end_to_end_id=f"AGAIN-{n}") for n, row in enumerate(changed[::-1])]


@pytest.mark.parametrize("days", [0, 31, 80])
def test_a_delivered_file_that_is_uploaded_again_is_the_run_that_was_paid(
    house: House, clock: FakeClock, days: int
) -> None:
    """The same file on the same day, months later: 200 with the run that was paid, and no batch."""
    batch = house.delivered()
    clock.forward(days=days)

    again = house.upload()

    assert (again.status_code, again.json()["payment_batch_ids"]) == (200, [batch["id"]])
    assert [each["id"] for each in _batches(house)] == [batch["id"]]
    assert house.batch(batch["id"])["status"] == "delivered"


@pytest.mark.parametrize("again", [{}, {"run_number": 7}, {"year": 2026, "period": 11, "run_number": 2}])
def test_a_paid_file_under_another_number_waits_line_by_line(house: House, again: dict[str, int]) -> None:
    """Shuffled, with other ids, under another run number or none: every line waits, and one click pays nobody."""
    house.delivered(document(lines(3)), year=2026, period=11, run_number=1)

    second = house.uploaded_batch(document(_shuffled(lines(3))), **again)

    assert second["counts"] == {"held": 3}
    assert {line["hold_code"] for line in house.transfers(second["id"])} == {"possibly_already_paid"}
    assert house.boss.approve(second).json()["code"] == "nothing_to_pay"


def test_a_file_named_afterwards_is_the_run_it_was(house: House) -> None:
    """Uploaded without a name and then with the name that it got: the same run, the same obligations."""
    batch = house.uploaded_batch()
    name = {"year": batch["run"]["year"], "period": batch["run"]["period"], "run_number": batch["run"]["number"]}

    again = house.upload(document(_shuffled(lines(3))), **name)

    assert (again.status_code, again.json()["payment_batch_ids"]) == (200, [batch["id"]])


def test_two_uploads_of_one_file_that_both_wait_pay_nobody_twice(house: House) -> None:
    """Both batches wait when the first is approved: the other is not approved as it was shown, its lines wait then."""
    first = house.uploaded_batch(document(lines(3)), year=2026, period=11, run_number=1)
    second = house.uploaded_batch(document(_shuffled(lines(3))), year=2026, period=11, run_number=2)
    paid = house.boss.approve(first)

    twice = house.boss.approve(second)
    now = house.batch(second["id"])

    assert (paid.status_code, twice.status_code) == (201, 412), twice.text
    assert (now["status"], now["counts"], now["revision"]) == ("pending", {"held": 3}, 2)
    assert house.boss.approve(now).json()["code"] == "nothing_to_pay"
    assert "batch.judged_again" in house.events()


def test_two_uploads_of_one_file_approved_at_once_are_paid_once(house: House) -> None:
    """Two approvers, each with their own copy of the run, at the same moment: one is approved, the other is not."""
    people = [house.boss, house.second_person()]
    batches = [house.uploaded_batch(document(_shuffled(lines(3))), year=2026, period=11, run_number=n) for n in (1, 2)]

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda pair: pair[0].approve(pair[1]), zip(people, batches, strict=True)))

    assert sorted(answer.status_code for answer in answers) in ([201, 409], [201, 412])
    assert sorted(house.batch(batch["id"])["status"] for batch in batches) == ["approved", "pending"]


def test_lines_that_came_to_look_paid_are_paid_on_purpose_with_a_reason(house: House) -> None:
    """Held since the other batch was approved, a line that is owed twice is put back, confirmed, and paid."""
    first = house.uploaded_batch(document(lines(3)), year=2026, period=11, run_number=1)
    second = house.uploaded_batch(document(_shuffled(lines(3))), year=2026, period=11, run_number=2)
    house.boss.approve(first)
    house.boss.approve(second)
    line = house.transfers(second["id"])[0]
    path = f"/v1/payment-batches/{second['id']}/transfers/{line['id']}"
    put_back = house.boss.call(
        "PATCH", path, json={"decision": "pay", "reason": "Twice on purpose."}, headers={"If-Match": '"r2"'}
    )

    asked = house.boss.approve(house.batch(second["id"]))
    confirmed = house.acknowledge_all(second)
    approved = house.boss.approve(house.batch(second["id"]))

    assert (put_back.status_code, asked.json()["code"]) == (200, "acknowledgement_needed")
    assert confirmed == ["partly_paid_period"]
    assert (approved.status_code, approved.json()["counts"]) == (201, {"held": 2, "in_file": 1})


def test_a_cent_more_asks_whether_it_is_extra(house: House) -> None:
    """With one cent changed the other lines wait, and the changed one is paid only when it is confirmed as extra."""
    house.delivered(document(lines(3)), year=2026, period=11, run_number=1)

    second = house.upload(document(_shuffled(lines(3), cents=1)), year=2026, period=11, run_number=2).json()
    batch = house.batch(second["payment_batch_ids"][-1])
    refused = house.boss.approve(batch)

    assert batch["counts"] == {"held": 2, "payable": 1}
    assert (refused.status_code, refused.json()["code"]) == (409, "acknowledgement_needed")
    assert [each["code"] for each in refused.json()["findings"]] == ["partly_paid_period"]


def test_a_cent_more_in_a_batch_that_waited_asks_too(house: House) -> None:
    """Nothing was paid when the second batch was made; it asks as soon as the first is, before it can be approved."""
    first = house.uploaded_batch(document(lines(1)), year=2026, period=11, run_number=1)
    second = house.uploaded_batch(
        document([replace(lines(1)[0], amount="2500.01")]), year=2026, period=11, run_number=2
    )
    house.boss.approve(first)

    stale = house.boss.approve(second)
    asked = house.boss.approve(house.batch(second["id"]))

    assert stale.status_code == 412
    assert (asked.status_code, asked.json()["code"]) == (409, "acknowledgement_needed")
    assert house.acknowledge_all(second) == ["partly_paid_period"]
    assert house.boss.approve(house.batch(second["id"])).status_code == 201


def test_the_same_amounts_next_month_are_next_months_salaries(house: House) -> None:
    """Equal to the cent, of the next period: nothing waits and nothing is asked."""
    house.delivered(document(lines(3)), year=2026, period=11, run_number=1)

    next_month = house.uploaded_batch(document(lines(3, text="Salaris december")), year=2026, period=12, run_number=1)

    assert next_month["counts"] == {"payable": 3}
    assert house.boss.approve(next_month).status_code == 201


# ---------------------------------------------------------------- the same days under a period that tells nothing


def _found(connected: Connected, rows: list[Line], **run: Any) -> dict[str, Any]:
    connected.finish_run(rows, **run)
    connected.poll()
    return connected.batches()[-1]


def _is_held(house: House, batch: dict[str, Any]) -> bool:
    codes = {line["hold_code"] for line in house.transfers(batch["id"])}
    return (batch["counts"], codes) == ({"held": 3}, {"possibly_already_paid"})


@pytest.mark.parametrize("is_late", [False, True])
def test_a_run_of_four_weeks_that_was_uploaded_without_a_name_waits_line_by_line(
    house: House, payroll: FakePayroll, clock: FakeClock, *, is_late: bool
) -> None:
    """The package was away on pay-day: its file was uploaded as of the month. Back a day or a month later, it waits."""
    connected = connect(house, payroll, frequency="four_weeks")
    house.delivered(document(lines(3)))
    clock.forward(days=30 if is_late else 1)

    day = "2026-12-18" if is_late else "2026-11-25"
    data = document(lines(3), day=day)
    payroll.add_run(connected.source, document=data, period=12, frequency="four_weeks", made_at=clock.moment)
    connected.poll()
    (batch,) = connected.batches()

    assert (batch["run"]["period"], batch["requested_execution_date"]) == (12, day)
    assert _is_held(house, batch)
    assert house.boss.approve(batch).json()["code"] == "nothing_to_pay"


def test_an_upload_without_a_name_waits_when_the_run_of_four_weeks_was_paid(house: House, payroll: FakePayroll) -> None:
    """The other way round the upload waits."""
    connected = connect(house, payroll, frequency="four_weeks")
    connected.approved(lines(3), period=12, frequency="four_weeks")

    assert _is_held(house, house.uploaded_batch(document(lines(3))))


def test_runs_of_unlike_periods_that_wait_side_by_side_are_judged_at_the_approval(
    house: House, payroll: FakePayroll
) -> None:
    """Both were offered before anything was paid: the second approval hears of the first."""
    connected = connect(house, payroll, frequency="four_weeks")
    batch = connected.fetched(lines(3), period=12, frequency="four_weeks")
    house.approved(document(lines(3)))

    assert batch["counts"] == {"payable": 3}
    assert house.boss.approve(batch).status_code == 412
    assert _is_held(house, house.batch(batch["id"]))


def test_december_paid_in_january_is_december_whatever_its_date_says(
    house: House, payroll: FakePayroll, clock: FakeClock
) -> None:
    """Uploaded without a name it counts as January; the December of the package looks paid."""
    clock.moment = datetime(2026, 12, 30, 9, tzinfo=UTC)
    connected = connect(house, payroll)
    uploaded = house.delivered(document(lines(3), day="2027-01-04"))

    batch = _found(connected, lines(3), period=12, made_at=clock.moment)

    assert (uploaded["run"]["year"], uploaded["run"]["period"]) == (2027, 1)
    assert _is_held(house, batch)


def test_another_amount_near_a_period_that_was_guessed_asks_whether_it_is_extra(
    house: House, payroll: FakePayroll
) -> None:
    """Corrected at the source after the upload: that line is payable, and the batch asks."""
    connected = connect(house, payroll, frequency="four_weeks")
    house.delivered(document(lines(3)))

    batch = _found(connected, _shuffled(lines(3), cents=5), period=12, frequency="four_weeks")

    assert batch["counts"] == {"held": 2, "payable": 1}
    assert "partly_paid_period" in {each["code"] for each in house.findings(batch["id"])}


def test_the_month_after_an_upload_without_a_name_is_not_held(
    house: House, payroll: FakePayroll, clock: FakeClock
) -> None:
    """The same salaries a month later, from the package by now: nothing waits and nothing is asked."""
    connected = connect(house, payroll)
    house.delivered(document(lines(3)))
    clock.forward(days=28)

    batch = _found(connected, lines(3), period=12, made_at=clock.moment)

    assert batch["counts"] == {"payable": 3}
    assert "partly_paid_period" not in {each["code"] for each in house.findings(batch["id"])}


def test_runs_of_weeks_that_follow_each_other_are_not_held(
    house: House, payroll: FakePayroll, clock: FakeClock
) -> None:
    """A week apart and paid the same: their periods tell them apart, though one was listed without its frequency."""
    connected = connect(house, payroll, pay_day_rule={"kind": "weekday_four_weekly", "value": 5})
    counts = []
    for period, frequency in ((47, None), (48, "week"), (49, "week")):
        rows = [replace(row, text=f"Week {period}") for row in lines(3)]
        batch = _found(connected, rows, period=period, frequency=frequency, made_at=clock.moment)
        house.acknowledge_all(batch)
        counts.append(house.boss.approve(house.batch(batch["id"])).json().get("counts"))
        clock.forward(days=7)

    assert counts == [{"in_file": 3}] * 3


def test_uploads_of_weeks_that_were_named_are_not_held(house: House, clock: FakeClock) -> None:
    """Year and period are name enough, without a number."""
    counts = []
    for period, day in ((47, "2026-11-20"), (48, "2026-11-27"), (49, "2026-12-04")):
        rows = [replace(row, text=f"Week {period}") for row in lines(3)]
        counts.append(house.delivered(document(rows, day=day), year=2026, period=period)["counts"])
        clock.forward(days=7)

    assert counts == [{"in_file": 3}] * 3


@pytest.mark.parametrize("names", [[{"year": 2026, "period": 11, "run_number": 1}], [{}, "as shown"]])
def test_a_name_that_an_uploader_gave_hides_no_run_of_four_weeks(
    house: House, payroll: FakePayroll, clock: FakeClock, names: list[Any]
) -> None:
    """Uploaded in the package's own administration, by the month: named so at once, or after our own guess."""
    connected = connect(house, payroll, frequency="four_weeks", uploads_allowed=True)
    there, second = replace(house, administration_id=connected.administration_id), house.second_person()
    for name in names:
        run = there.boss.get(f"/v1/payroll-runs?administration_id={connected.administration_id}").json()
        shown = {"year": run[0]["year"], "period": run[0]["period"], "run_number": run[0]["number"]} if run else {}
        answer = there.upload(document(lines(3)), **(shown if name == "as shown" else name))
        assert answer.is_success, answer.text
    batch = there.batch(answer.json()["payment_batch_ids"][-1])
    there.acknowledge_all(batch)
    for person in (house.boss, second):
        if there.batch(batch["id"])["status"] == "pending":
            person.approve(there.batch(batch["id"]))
    assert there.batch(batch["id"])["status"] == "approved"
    clock.forward(days=1)

    found = _found(connected, lines(3), period=12, frequency="four_weeks", made_at=clock.moment)

    assert (found["id"] != batch["id"], _is_held(house, found)) == (True, True)


def test_the_week_after_an_upload_without_a_name_is_not_held(
    house: House, payroll: FakePayroll, clock: FakeClock
) -> None:
    """Weeks are seven days apart: what was paid on Friday says nothing of the Friday after it."""
    clock.moment = datetime(2026, 11, 25, 9, tzinfo=UTC)
    connected = connect(house, payroll, frequency="week", pay_day_rule={"kind": "weekday_four_weekly", "value": 5})
    house.delivered(document(lines(3), day="2026-11-27"))
    clock.forward(days=7)

    batch = _found(connected, lines(3), period=49, frequency="week", made_at=clock.moment)

    assert batch["counts"] == {"payable": 3}
