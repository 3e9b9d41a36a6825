"""Odd periods and odd sizes: a month long past, the turn of the year, tests, no line, one line, five thousand."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tests.contracts.fake_source import FakePayroll
from tests.payments.payments_of import dutch_iban
from tests.payments.payroll_document import Line
from tests.support.clock import FakeClock
from tests.support.connected import Connected, connect
from tests.support.house import House, document, lines

_NO_WORDS = {"detail": None, "detail_nl": None}


@pytest.fixture
def connected(house: House, payroll: FakePayroll) -> Connected:
    """An administration that is read through a connection."""
    return connect(house, payroll)


def _codes(house: House, batch: dict[str, Any]) -> set[str]:
    return {each["code"] for each in house.findings(batch["id"])}


def test_a_run_of_april_done_in_november_is_paid_in_november(connected: Connected) -> None:
    """The pay day of a period long past is not proposed: the first possible day is."""
    batch = connected.fetched(lines(2), period=4, description="Salaris april")

    assert (batch["run"]["year"], batch["run"]["period"]) == (2026, 4)
    assert date.fromisoformat(batch["requested_execution_date"]) >= date(2026, 11, 18)
    assert (batch["pay_day"]["date"], batch["pay_day"]["problem"]) == ("2026-04-24", "date_in_past")
    assert "is voorbij" in batch["pay_day"]["detail_nl"]
    approved = connected.house.boss.approve(batch)
    assert approved.status_code == 201
    assert approved.json()["pay_day"] == {"date": "2026-04-24", "problem": None, "detail": None, "detail_nl": None}


def test_a_batch_on_its_pay_day_says_so(connected: Connected) -> None:
    """The execution date is the day of the rule, and nothing stands in its way."""
    batch = connected.fetched(lines(2), period=11)

    assert batch["pay_day"] == {"date": batch["requested_execution_date"], "problem": None} | _NO_WORDS


def test_a_period_that_is_none_of_a_year_has_no_pay_day(connected: Connected) -> None:
    """A thirteenth month is no month."""
    batch = connected.fetched(lines(2), period=13)

    assert batch["pay_day"] is None


@pytest.mark.parametrize(
    ("frequency", "year", "period", "made_at"),
    [
        ("four_weeks", 2026, 13, datetime(2026, 12, 22, 10, tzinfo=UTC)),
        ("week", 2026, 53, datetime(2026, 12, 30, 10, tzinfo=UTC)),
        ("week", 2026, 1, datetime(2026, 12, 30, 10, tzinfo=UTC)),
        ("four_weeks", 2027, 1, datetime(2026, 12, 30, 10, tzinfo=UTC)),
    ],
)
def test_periods_at_the_turn_of_the_year_are_read_and_paid(
    house: House, payroll: FakePayroll, clock: FakeClock, frequency: str, year: int, period: int, made_at: datetime
) -> None:
    """Period 13, week 53 and a period over New Year each give a batch with a bank day that can be approved."""
    clock.moment = made_at
    connected = connect(house, payroll, frequency=frequency)

    batch = connected.fetched(lines(2), year=year, period=period, frequency=frequency, made_at=made_at)

    assert (batch["run"]["year"], batch["run"]["period"]) == (year, period)
    assert made_at.date() <= date.fromisoformat(batch["requested_execution_date"]) <= made_at.date() + timedelta(45)
    assert house.boss.approve(batch).status_code == 201


def test_a_thirteenth_month_in_period_thirteen_is_expected(
    house: House, payroll: FakePayroll, clock: FakeClock
) -> None:
    """Every net doubles in the last of thirteen periods: one remark, no question, and the comparison says why."""
    clock.moment = datetime(2026, 11, 24, 10, tzinfo=UTC)
    connected = connect(house, payroll, frequency="four_weeks")
    connected.approved(lines(3, cents=150_000), period=12, frequency="four_weeks")
    clock.forward(days=28)
    rows = [replace(row, text="Salaris periode 13") for row in lines(3, cents=300_000)]
    connected.finish_run(rows, period=13, frequency="four_weeks", made_at=clock.moment)
    connected.poll()
    batch = connected.batches()[-1]

    compared = house.boss.get(f"/v1/payment-batches/{batch['id']}/comparison").json()

    assert compared["expected_peak"] == {"code": "thirteenth_month", "direction": "up"}
    assert (batch["run"]["period"], batch["acknowledgements_open"]) == (13, 0)
    assert "peak_expected" in _codes(house, batch)
    assert house.boss.approve(batch).status_code == 201


@pytest.mark.parametrize("name", ["Proefrun november", "TEST salaris", "Pro forma 11", "proforma", "Concept run"])
def test_a_run_that_looks_like_a_test_is_not_paid_without_a_word(connected: Connected, name: str) -> None:
    """A run called a test or pro forma is not approved before somebody confirms by name that it must be paid."""
    house = connected.house
    connected.finish_run(description=name)
    connected.poll()
    (batch,) = connected.batches()

    refused = house.boss.approve(batch)
    confirmed = house.acknowledge_all(batch, "looks_like_a_test")

    assert (refused.status_code, refused.json()["code"]) == (409, "acknowledgement_needed")
    assert confirmed == ["looks_like_a_test"]
    assert house.boss.approve(batch).status_code == 201
    assert "batch.acknowledged" in house.events()


def test_a_run_without_lines_is_empty_and_no_batch(connected: Connected) -> None:
    """A run that pays nobody is told with the reason, and nobody is asked to approve nothing."""
    empty = document([]).replace(b"<CtrlSum>0.00</CtrlSum>", b"<CtrlSum>0</CtrlSum>")
    connected.payroll.add_run(connected.source, document=empty)

    connected.poll()

    assert [(run["state"], run["reason_code"]) for run in connected.runs()] == [("empty", "no_payments")]
    assert connected.batches() == []


def test_a_run_of_one_line_warns_and_is_paid(connected: Connected) -> None:
    """The salary of the director alone: the one line is said to show at the bank, and is paid."""
    batch = connected.fetched(lines(1), description="DGA")

    approved = connected.house.boss.approve(batch)

    assert "one_line" in _codes(connected.house, batch)
    assert (approved.status_code, approved.json()["number_of_transactions"]) == (201, 1)


def test_a_run_of_five_thousand_lines_is_approved_and_handed_out_whole(house: House, payroll: FakePayroll) -> None:
    """Each of five thousand people stands in the file once, and the total is theirs to the cent."""
    connected = connect(house, payroll)
    rows = [
        Line(name=f"Persoon {n}", iban=dutch_iban(1_000 + n), amount=f"9.{n % 100:02d}", end_to_end_id=f"E{n}")
        for n in range(5_000)
    ]

    batch = connected.approved(rows)
    file = house.handed_out(batch["id"]).decode()

    assert batch["number_of_transactions"] == file.count("<CdtTrfTxInf>") == 5_000
    assert batch["control_sum"]["amount"] == "47475.00"
    assert "<CtrlSum>47475.00</CtrlSum>" in file
    assert all(file.count(row.iban) == 1 for row in rows[::500])
