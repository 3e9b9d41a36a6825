"""One bank process for these tests, set back before each; its clock stands at the day of the examples."""

from collections.abc import Iterator

import pytest

from simulators.bank.process import BankClient, run_bank
from tests.payments.sepa_examples import CREATED_AT


@pytest.fixture(scope="session")
def bank_process() -> Iterator[BankClient]:
    """The process, started once."""
    with run_bank() as client:
        yield client


@pytest.fixture
def bank(bank_process: BankClient) -> BankClient:
    """The process, empty."""
    bank_process.reset()
    bank_process.put_clock(CREATED_AT)
    return bank_process
