"""Debtor accounts as an employer enters them."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.auth import people
from app.core.database import transaction
from app.payments import accounts
from app.payments.accounts import NewAccount
from app.payments.context import Context
from tests.support.house import House
from tests.support.waiting import until_somebody_waits

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


def test_an_account_that_two_people_enter_at_one_moment_is_there_once(house: House, ctx: Context) -> None:
    """The second one is told so, as when it had come a minute later; it is no fault of ours."""
    body = {"iban": SECOND_IBAN, "holder_name": "Bakkerij Jansen B.V."}

    with ThreadPoolExecutor(1) as pool:
        with transaction(ctx.engine) as session:
            first = people.authenticate(session, house.boss.token, now=ctx.now())
            wanted = NewAccount(employer_id=house.employer_id, iban=SECOND_IBAN, holder_name=body["holder_name"])
            accounts.add_account(ctx, session, first, wanted)
            entering = pool.submit(house.boss.post, f"/v1/employers/{house.employer_id}/debtor-accounts", body)
            until_somebody_waits(ctx.engine)
        second = entering.result()

    assert (second.status_code, second.json()["code"]) == (409, "conflict")
    assert len(house.boss.get(f"/v1/employers/{house.employer_id}/debtor-accounts").json()) == 2
