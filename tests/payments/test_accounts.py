"""Debtor accounts as an employer enters them."""

import pytest

from tests.support.house import House

SECOND_IBAN = "NL39RABO0300065264"


@pytest.mark.parametrize("bic", ["INGBNL0A", "INGBNL1A", "INGBNLAO", "INGBNL2AXX", "ingbnl2a", "", "INGBNL2A\n"])
def test_a_bic_that_no_file_may_hold_is_refused_when_it_is_entered(house: House, bic: str) -> None:
    """Otherwise every approval on the account would fail, and a BIC cannot be changed afterwards."""
    body = {"iban": SECOND_IBAN, "holder_name": "Bakkerij Jansen B.V.", "bic": bic}
    answer = house.boss.post(f"/v1/employers/{house.employer_id}/debtor-accounts", body)

    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/bic"]


@pytest.mark.parametrize("bic", ["RABONL2U", "RABONL2UXXX", "ABCDNLA9"])
def test_a_bic_that_a_file_may_hold_is_kept(house: House, bic: str) -> None:
    """Of eight or eleven characters."""
    body = {"iban": SECOND_IBAN, "holder_name": "Bakkerij Jansen B.V.", "bic": bic}
    answer = house.boss.post(f"/v1/employers/{house.employer_id}/debtor-accounts", body)

    assert (answer.status_code, answer.json()["bic"]) == (201, bic)


@pytest.mark.parametrize(("amount", "status"), [("90071992547409.91", 202), ("90071992547409.92", 422)])
def test_a_limit_is_no_more_than_the_history_can_write(house: House, amount: str, status: int) -> None:
    """Whole numbers of the history end at 2**53: more is refused by name, not a fault of the service."""
    body = {"per_batch": {"amount": amount, "currency": "EUR"}}
    answer = house.boss.call("PUT", f"/v1/debtor-accounts/{house.account_id}/payment-limit", json=body)

    assert answer.status_code == status, answer.text
    if status == 422:
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/per_batch/amount"]
