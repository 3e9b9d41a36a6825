"""Refused attempts on money stand in the history, whatever became of the request."""

from typing import Any
from uuid import uuid4

from app.auth.models import Role, Scope
from app.payments.context import Context
from tests.support.house import House, Person, add_person

_IF_MATCH = {"If-Match": '"r1"'}


def _attempts(person: Person, batch: dict[str, Any]) -> list[int]:
    path = f"/v1/payment-batches/{batch['id']}"
    answers = [
        person.approve(batch),
        person.call("DELETE", f"{path}/approvals/mine"),
        person.post(f"{path}/rejection", {"reason": "r"}, headers=_IF_MATCH),
        person.post(f"{path}/cancellation", {"reason": "r"}, headers=_IF_MATCH),
        person.get(f"{path}/file"),
        person.get(f"{path}/files/1"),
        person.post(f"{path}/deliveries", headers=_IF_MATCH),
    ]
    return [answer.status_code for answer in answers]


def _refused(person: Person) -> list[tuple[str, str, str]]:
    lines = reversed(person.get("/v1/history?limit=1000").json())
    found = [line for line in lines if line["event"].endswith(".refused")]
    return [(line["event"], line["facts"]["details"]["action"], line["facts"]["details"]["code"]) for line in found]


_ACTIONS = ("recall", "reject", "cancel", "hand_out", "hand_out", "deliver")


def test_a_person_without_the_role_is_in_the_history(house: House, ctx: Context) -> None:
    """An auditor who tries to act is refused, and the employer sees by name what was tried."""
    batch = house.uploaded_batch()
    auditor = add_person(ctx, house.client, house.employer_id, (Role.AUDITOR,), email="auditor@jansen.example")

    statuses = _attempts(auditor, batch)

    assert statuses == [403] * 7
    codes = [("access.refused", action, "role_missing") for action in _ACTIONS]
    assert _refused(house.boss) == [("approval.refused", "approve", "role_missing"), *codes]
    newest = house.boss.get("/v1/history?limit=1").json()[0]
    assert (newest["actor"], newest["payment_batch_id"]) == ("Auditor", batch["id"])
    assert newest["result"] == "Poging geweigerd"


def test_a_token_without_the_scope_is_in_the_history(house: House, ctx: Context) -> None:
    """A token made for reading that is used for acting is a sign that it leaked."""
    batch = house.uploaded_batch()
    reader = add_person(
        ctx,
        house.client,
        house.employer_id,
        (Role.ADMIN, Role.APPROVER),
        email="reader@jansen.example",
        scopes=(Scope.READ,),
    )

    assert _attempts(reader, batch) == [403] * 7
    assert {code for _, _, code in _refused(house.boss)} == {"scope_missing"}
    assert len(_refused(house.boss)) == 7


def test_a_foreign_batch_is_in_both_histories(house: House, other_house: House) -> None:
    """Its owner sees that it was asked for, not by whom; the other organization sees which of its people asked."""
    batch = house.uploaded_batch()

    assert _attempts(other_house.boss, batch) == [404] * 7

    tried = [("access.refused", action, "not_found") for action in ("approve", *_ACTIONS)]
    assert _refused(house.boss) == tried
    assert _refused(other_house.boss) == tried
    mine = house.boss.get("/v1/history?limit=1").json()[0]
    theirs = other_house.boss.get("/v1/history?limit=1").json()[0]
    assert mine["actor"] == "Iemand van een andere organisatie"
    assert str(other_house.boss.id) not in str(mine)
    assert str(other_house.employer_id) not in str(mine)
    assert theirs["facts"]["details"]["asked"] == batch["id"]
    assert theirs["facts"]["actor"]["id"] == str(other_house.boss.id)
    assert str(house.employer_id) not in str(theirs)


def test_an_id_that_nobody_has_is_in_ones_own_history(house: House) -> None:
    """Guessing ids shows, and looks the same whether or not they exist."""
    unknown = {"id": str(uuid4()), "digest": "0" * 64, "revision": 1}

    assert house.boss.approve(unknown).status_code == 404

    assert _refused(house.boss) == [("access.refused", "approve", "not_found")]


def test_an_approval_of_something_else_is_in_the_history_once(house: House) -> None:
    """A digest that is not what stands there is a refused approval; a wrong PIN is not written twice."""
    batch = house.uploaded_batch()

    assert house.boss.approve({**batch, "digest": "0" * 64}).status_code in {409, 412}
    assert house.boss.approve(batch, pin="314159").status_code == 403

    codes = [
        line["facts"]["details"]["code"]
        for line in house.boss.get("/v1/history").json()
        if line["event"] == "approval.refused"
    ]
    assert codes == ["pin_incorrect", "batch_changed"]


def test_looking_is_not_an_attempt(house: House, other_house: House) -> None:
    """Only acting is written: a foreign batch that is merely looked at leaves no record."""
    batch = house.uploaded_batch()

    assert other_house.boss.get(f"/v1/payment-batches/{batch['id']}").status_code == 404

    assert _refused(house.boss) == []
    assert _refused(other_house.boss) == []


def test_a_file_that_is_not_there_is_no_attempt(house: House) -> None:
    """Asking for a second file of one's own batch is a mistake, not something an auditor wants to read."""
    batch = house.uploaded_batch()
    assert house.boss.approve(batch).status_code == 201

    assert house.boss.get(f"/v1/payment-batches/{batch['id']}/files/2").status_code == 404

    assert _refused(house.boss) == []
