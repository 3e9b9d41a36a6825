"""What is said of a body that does not fit: the field, the rule with its figures, and never what was sent."""

import pytest

from tests.support.house import House

_CANARY = "NL91ABNA0417164300"


@pytest.mark.parametrize(
    ("body", "pointer", "message"),
    [
        ({"statement": _CANARY, "reason": "r"}, "/statement", "'accepted', 'executed', 'refused' or 'not_executed'"),
        ({"statement": "executed", "reason": _CANARY * 30}, "/reason", "500 characters at most"),
        ({"statement": "executed", "reason": "r", "transfer_ids": []}, "/transfer_ids", "at least 1"),
        ({"statement": "executed", "reason": "r", "file": 0}, "/file", "1 at least"),
        ({"statement": "executed", "reason": "r", "file": 20_000}, "/file", "10000 at most"),
        ({"statement": "executed", "reason": "r", "reason_code": _CANARY}, "/reason_code", "[A-Z0-9]{1,10}"),
    ],
)
def test_a_refused_value_is_told_with_its_rule(
    house: House, body: dict[str, object], pointer: str, message: str
) -> None:
    """The words say what would be right; what was sent stands nowhere in the answer."""
    batch = house.uploaded_batch()

    answer = house.boss.post(f"/v1/payment-batches/{batch['id']}/statements", body)

    (problem,) = answer.json()["errors"]
    assert (answer.status_code, problem["pointer"]) == (422, pointer)
    assert message in problem["message"]
    assert _CANARY not in answer.text


def test_the_detail_says_what_the_errors_say(house: House) -> None:
    """Who shows only the sentence to a person shows the field and the rule; without any body, what to send."""
    path = f"/v1/employers/{house.employer_id}/debtor-accounts"

    wrong = house.boss.post(path, {"iban": 5, "holder_name": "J"}).json()
    nothing = house.boss.call("POST", path).json()

    assert wrong["detail"] == "/iban: Write a text, in quotes."
    assert nothing["detail"] == "/: Send a JSON object as body."


def test_a_number_in_the_address_is_told_with_its_rule(house: House) -> None:
    """A page size of nothing is refused with the smallest that is possible."""
    (problem,) = house.boss.get("/v1/payment-batches?limit=0").json()["errors"]

    assert (problem["pointer"], problem["message"]) == ("query:limit", "This number is too small: 1 at least.")
