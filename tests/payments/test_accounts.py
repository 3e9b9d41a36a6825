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
