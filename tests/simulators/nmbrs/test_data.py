import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import schwifty
from pydantic import ValidationError

from simulators.nmbrs.data import Dataset
from simulators.nmbrs.process import DEMO

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def read(content: dict[str, Any]) -> Dataset:
    """The data as the simulator reads it at NOW."""
    return Dataset.model_validate_json(json.dumps(content), context=NOW)


@pytest.fixture(scope="module")
def demo() -> Dataset:
    """The data of the demo."""
    return Dataset.model_validate_json(DEMO.read_bytes(), context=NOW)


def test_the_demo_is_the_example_of_the_manual(demo: Dataset):
    """Administration 9969, run April 2020 made a minute ago, 8 payments, EUR 19,806.08."""
    company = demo.environments[0].debtors[0].companies[0]
    (run,) = company.runs

    assert (demo.environments[0].domain, demo.environments[0].debtors[0].name) == ("demo", "Demo BV")
    assert (company.id, company.number, company.name) == (2100, 9969, "Nmbrs Amsterdam BV")
    assert (run.year, run.period_start, run.period_end, run.number) == (2020, 4, 4, 1)
    assert run.run_at == datetime.fromisoformat("2026-11-21T12:59:00")
    assert (len(run.lines), sum(line.cents for line in run.lines)) == (8, 19_806_08)
    assert all(line.is_payable and line.remittance == "Salaris April 2020" for line in run.lines)


def test_the_demo_holds_the_payments_printed_in_the_manual(demo: Dataset):
    """Three lines with name, account and amount, and the fourth account."""
    lines = demo.environments[0].debtors[0].companies[0].runs[0].lines

    assert [(line.name, line.iban, line.cents) for line in lines[:3]] == [
        ("Jong, Wouter de", "NL42INGB2268352412", 3448_08),
        ("Donkersloot Meijer, Naomi", "NL52ABNA7650143244", 2611_00),
        ("Schuurman, Lianne", "NL57ABNA7134384551", 2500_08),
    ]
    assert (lines[3].name, lines[3].iban) == ("Silva, Inca", "NL64TRIO0379501686")


def test_the_accounts_of_the_demo_are_valid_and_differ(demo: Dataset):
    """Nine Dutch accounts with right check digits, the eleven-test and their banks' BICs, no two alike."""
    company = demo.environments[0].debtors[0].companies[0]
    assert company.bank_account is not None
    accounts = [(line.iban, line.bic) for line in company.runs[0].lines]
    accounts.append((company.bank_account.iban, company.bank_account.bic))

    for text, bic in accounts:
        iban = schwifty.IBAN(text or "")
        assert iban.country_code == "NL"
        assert str(iban.bic) == bic
        assert (
            sum(int(digit) * weight for digit, weight in zip(iban.account_code, range(10, 0, -1), strict=True)) % 11
            == 0
        )
    assert Counter(iban for iban, _ in accounts).most_common(1)[0][1] == 1


def test_the_employees_of_the_demo_have_the_accounts_they_are_paid_on(demo: Dataset):
    """Each line belongs to an employee who has that account in the period of the run."""
    company = demo.environments[0].debtors[0].companies[0]
    by_id = {employee.id: employee for employee in company.employees}

    for line in company.runs[0].lines:
        assert line.employee_id is not None
        held = [account.iban for account in by_id[line.employee_id].accounts if account.in_force(2020, 4)]
        assert held == [line.iban]


def test_times_are_dutch_wall_clock_times(data: dict[str, Any]):
    """A time with a zone is turned into Dutch time, one without is taken as it stands."""
    runs = data["environments"][0]["debtors"][0]["companies"][0]["runs"]
    runs[0]["run_at"] = "2026-07-01T12:00:00Z"
    company = read(data).environments[0].debtors[0].companies[0]

    assert company.runs[0].run_at == datetime.fromisoformat("2026-07-01T14:00:00")
    assert company.runs[1].run_at == datetime.fromisoformat("2026-11-21T12:57:00")


def _company(data: dict[str, Any]) -> dict[str, Any]:
    company: dict[str, Any] = data["environments"][0]["debtors"][0]["companies"][0]
    return company


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda data: data["environments"].append(data["environments"][0]), "domain 'kantoor' is given twice"),
        (
            lambda data: data["environments"][0]["users"].append(data["environments"][0]["users"][0]),
            "username .* twice",
        ),
        (lambda data: data["environments"][0]["debtors"][1].update(id=10), "debtor id 10 is given twice"),
        (lambda data: data["environments"][0]["debtors"][1]["companies"][0].update(id=100), "company id 100 .* twice"),
        (lambda data: _company(data)["runs"][1].update(id=500), "run id 500 is given twice"),
        (lambda data: _company(data)["employees"][1].update(id=1001), "employee id 1001 is given twice"),
        (lambda data: _company(data)["runs"][1].update(employee_ids=[7]), r"does not have: \[7\]"),
        (lambda data: _company(data)["runs"][0]["lines"][0].update(amount="1.5"), "amount"),
        (lambda data: _company(data)["runs"][0]["lines"][0].update(employee=1), "employee"),
        (lambda data: data["environments"][0].update(domain="Kantoor.nmbrs.nl"), "domain"),
        (lambda data: data.update(environments=[]), "environments"),
    ],
)
def test_data_that_contradicts_itself_is_refused(
    spoil: Callable[[dict[str, Any]], None], said: str, data: dict[str, Any]
):
    """Ids given twice, unknown employees, unknown members and amounts that are none are found at the start."""
    spoil(data)

    with pytest.raises(ValidationError, match=said):
        read(data)
