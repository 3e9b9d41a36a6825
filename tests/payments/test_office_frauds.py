"""Frauds of a payroll office: it gives itself rights, moves links, doctors files, changes runs behind an approval."""

from dataclasses import replace
from typing import Any

import httpx2

from tests.contracts.fake_source import FakePayroll, unreachable
from tests.payments.payments_of import dutch_iban
from tests.support.clock import FakeClock
from tests.support.connected import Connected, add_connection, connect
from tests.support.house import (
    PIN,
    SECOND_IBAN,
    House,
    Person,
    add_account,
    document,
    lines,
    link,
)
from tests.support.jobs import work_off

_MINE = dutch_iban(666, bank="RABO")


def _outcome(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


def _refused(house: House, event: str = "approval.refused") -> list[str]:
    told = house.boss.get("/v1/history?limit=1000").json()
    return [each["facts"]["details"]["code"] for each in reversed(told) if each["event"] == event]


def _decide(person: Person, batch: dict[str, Any], line: dict[str, Any], **body: Any) -> httpx2.Response:
    path = f"/v1/payment-batches/{batch['id']}/transfers/{line['id']}"
    return person.call("PATCH", path, json=body, headers={"If-Match": f'"r{batch["revision"]}"'})


def _edit(person: Person, path: str, revision: int, **body: str) -> httpx2.Response:
    return person.call("PATCH", path, json=body, headers={"If-Match": f'"r{revision}"'})


def _office_of(clerk: Person) -> str:
    return next(each["id"] for each in clerk.get("/v1/me").json()["organizations"] if each["kind"] == "office")


def test_an_office_gives_itself_no_say_in_what_is_paid(house: House, clerk: Person) -> None:
    """Every route that could make an office an approver, or loosen what the employer asks, is refused to it."""
    batch = house.uploaded_batch()
    member = {"email": clerk.email, "name": "Clerk", "role": "approver"}
    waiting = house.boss.post(f"/v1/employers/{house.employer_id}/members", {**member, "email": "x@y.example"}).json()
    employer, account = f"/v1/employers/{house.employer_id}", f"/v1/debtor-accounts/{house.account_id}"
    stated = {"holder_name": "J", "authorised_person": "J", "evidence": "E"}
    before = _settings(house)

    tried = [
        clerk.post(f"{employer}/members", member),
        clerk.call("DELETE", f"{employer}/members/{house.boss.id}", params={"role": "approver"}),
        clerk.post(f"{employer}/members/{house.boss.id}/pin-confirmation"),
        clerk.call("PUT", f"{employer}/approval-policy", json={"tiers": [{"from": {"amount": "0.00"}, "required": 1}]}),
        clerk.post(f"/v1/proposals/{waiting['id']}/confirmation"),
        clerk.call("DELETE", f"/v1/proposals/{waiting['id']}"),
        clerk.post(f"{employer}/debtor-accounts", {"iban": SECOND_IBAN, "holder_name": "J"}),
        clerk.post(f"{account}/confirmation", stated),
        clerk.call("PUT", f"{account}/payment-limit", json={"per_batch": {"amount": "999999.00"}}),
        clerk.approve(batch),
        clerk.post("/v1/approvals", {"items": [{"batch_id": batch["id"], "digest": batch["digest"]}], "pin": PIN}),
    ]

    assert {_outcome(answer) for answer in tried} == {(403, "role_missing")}
    assert _settings(house) == before
    assert house.batch(batch["id"])["approvals"] == []
    assert _refused(house) == ["role_missing", "role_missing"]


def _settings(house: House) -> list[Any]:
    employer = f"/v1/employers/{house.employer_id}"
    paths = [f"{employer}/members", f"{employer}/approval-policy", f"{employer}/debtor-accounts", "/v1/proposals"]
    return [house.boss.get(path).json() for path in paths]


def test_an_office_widens_no_mandate(house: House, clerk: Person) -> None:
    """Accepting a mandate again with more in it gives no more: only the employer says what an office may see."""
    path = f"/v1/employers/{house.employer_id}/mandates/{_office_of(clerk)}"
    house.boss.call("PUT", path, json={"sees_salaries": False})
    batch = house.uploaded_batch()

    taken = clerk.call("PUT", path, json={"sees_salaries": True})

    assert (taken.status_code, taken.json()["sees_salaries"]) == (200, False)
    assert lines(1)[0].iban not in clerk.get(f"/v1/payment-batches/{batch['id']}/transfers").text
    house.boss.call("DELETE", path)
    assert clerk.call("PUT", path, json={"sees_salaries": True}).status_code == 404


def test_an_office_that_makes_an_employer_holds_nothing_there(clerk: Person) -> None:
    """An employer that an office adds has no admin from the office, and waits for people of its own."""
    made = clerk.post("/v1/employers", {"name": "Bakkerij Jansen Holding"}).json()
    member = {"email": clerk.email, "name": "Clerk", "role": "admin"}

    assert clerk.post(f"/v1/employers/{made['id']}/members", member).status_code == 404
    assert clerk.get(f"/v1/employers/{made['id']}").status_code == 404


def test_an_office_moves_no_link_and_backdates_no_go_live(house: House, clerk: Person) -> None:
    """Another account, an earlier go-live, uploads beside the source: a change of a link is not the office's."""
    other = add_account(house.boss, house.employer_id, iban=SECOND_IBAN)
    changes = [
        {"account_id": other},
        {"account_id": house.account_id, "go_live_on": "2026-01-01"},
        {"account_id": house.account_id, "uploads_allowed": True},
    ]

    tried = [
        link(clerk, house.administration_id, house.employer_id, change.pop("account_id"), **change)
        for change in changes
    ]
    own = link(house.boss, house.administration_id, house.employer_id, house.account_id, go_live_on="2026-01-01")

    assert {_outcome(answer) for answer in tried} == {(403, "role_missing")}
    assert (own.status_code, own.json()["errors"][0]["code"]) == (422, "go_live_earlier")
    assert "administration.link_changed" not in house.events()


def test_a_second_link_of_the_same_administration_pays_nobody_twice(
    house: House, clerk: Person, payroll: FakePayroll
) -> None:
    """An office that links the administration once more, to another account: what is paid already waits in the copy.

    The office does not put it back; whoever does at the employer is asked about it before approving.
    """
    connected = connect(house, payroll)
    connected.approved(lines(3))
    other = add_account(house.boss, house.employer_id, iban=SECOND_IBAN)
    again = _linked_by_office(house, clerk, payroll, other)
    (copy,) = house.boss.get(f"/v1/payment-batches?administration_id={again}").json()
    line = house.transfers(copy["id"])[0]
    tried = _decide(clerk, copy, line, decision="pay", reason="Twice, says the office.")
    put_back = _decide(house.boss, copy, line, decision="pay", reason="Twice, says the office.")

    asked = house.boss.approve(house.batch(copy["id"]))

    assert (copy["counts"], _outcome(tried), put_back.status_code) == ({"held": 3}, (403, "role_missing"), 200)
    assert _outcome(asked) == (409, "acknowledgement_needed")
    assert "partly_paid_period" in [each["code"] for each in asked.json()["findings"]]


def test_an_office_holds_leaves_out_and_proposes_a_date_and_no_more(house: House, clerk: Person) -> None:
    """What makes more money go, or go another way, is for people of the employer: back, other kind, other account."""
    other = add_account(house.boss, house.employer_id, iban=SECOND_IBAN)
    batch = house.uploaded_batch()
    path, line = f"/v1/payment-batches/{batch['id']}", house.transfers(batch["id"])[0]
    held = _decide(clerk, batch, line, decision="hold", reason="Left in April?")
    dated = _edit(clerk, path, 2, requested_execution_date="2026-11-30")
    now = house.batch(batch["id"])
    more = [
        _decide(clerk, now, line, decision="pay"),
        _decide(clerk, now, line, kind="third_party"),
        _edit(clerk, path, now["revision"], debtor_account_id=other),
    ]

    assert (held.status_code, dated.status_code) == (200, 200)
    assert {_outcome(answer) for answer in more} == {(403, "role_missing")}
    assert house.batch(batch["id"])["revision"] == now["revision"] == 3
    assert _decide(house.boss, now, line, decision="pay").status_code == 200


def _linked_by_office(house: House, clerk: Person, payroll: FakePayroll, account_id: str, **changes: Any) -> str:
    made = add_connection(clerk, _office_of(clerk), payroll)
    administration = clerk.get(f"/v1/connections/{made['id']}/administrations").json()[0]
    linked = link(clerk, administration["id"], house.employer_id, account_id, **changes)
    assert linked.status_code == 200, linked.text
    clerk.post(f"/v1/administrations/{administration['id']}/sync")
    work_off(house.ctx)
    return str(administration["id"])


def _upload(person: Person, administration_id: str, data: bytes) -> httpx2.Response:
    path = f"/v1/administrations/{administration_id}/payroll-files"
    return person.call("POST", path, content=data, headers={"Content-Type": "application/xml"})


def test_a_doctored_file_beside_a_live_connection_is_not_taken(
    house: House, clerk: Person, payroll: FakePayroll
) -> None:
    """Where runs come from the package, a file with another account in it is refused: uploading is off."""
    payroll.add_administration("2100")
    administration_id = _linked_by_office(house, clerk, payroll, house.account_id)
    doctored = document([replace(lines(1)[0], iban=_MINE), *lines(3)[1:]])

    tried = _upload(clerk, administration_id, doctored)

    assert (tried.status_code, house.boss.get("/v1/payment-batches").json()) == (409, [])


def test_an_office_does_not_link_with_uploads_allowed(house: House, clerk: Person, payroll: FakePayroll) -> None:
    """That files may be uploaded beside a live connection is for the employer to allow, also in the first link."""
    payroll.add_administration("2100")
    made = add_connection(clerk, _office_of(clerk), payroll)
    administration = clerk.get(f"/v1/connections/{made['id']}/administrations").json()[0]

    tried = link(clerk, administration["id"], house.employer_id, house.account_id, uploads_allowed=True)

    assert _outcome(tried) == (403, "role_missing")
    assert link(clerk, administration["id"], house.employer_id, house.account_id).status_code == 200


def test_an_upload_beside_a_live_connection_takes_two_approvers(house: House, payroll: FakePayroll) -> None:
    """Allowed by the employer, an uploaded run is still not one approver's affair."""
    second = house.second_person()
    connected = connect(house, payroll, uploads_allowed=True)
    sent = _upload(house.boss, connected.administration_id, document(lines(3))).json()
    batch = house.batch(sent["payment_batch_ids"][0])
    house.acknowledge_all(batch)

    first = house.boss.approve(batch).json()
    then = second.approve(house.batch(batch["id"])).json()

    assert (first["status"], first["approval_reasons"]) == ("pending", ["upload_beside_live_connection"])
    assert then["status"] == "approved"


def _upload_as(person: Person, connected: Connected, data: bytes) -> httpx2.Response:
    """Upload a file under the name of the run that the package has."""
    run = connected.runs()[0]
    return person.call(
        "POST",
        f"/v1/administrations/{connected.administration_id}/payroll-files",
        content=data,
        params={"year": run["year"], "period": run["period"], "run_number": run["number"]},
        headers={"Content-Type": "application/xml"},
    )


def test_a_file_uploaded_over_a_run_of_the_package_is_asked_of_the_package(house: House, payroll: FakePayroll) -> None:
    """Under the name of a run that was fetched a doctored file takes its place; the source puts it right again."""
    connected = connect(house, payroll, uploads_allowed=True)
    batch = connected.fetched(lines(3))
    doctored = document([replace(lines(1)[0], iban=_MINE), *lines(3)[1:]])
    assert _upload_as(house.boss, connected, doctored).status_code == 200
    house.acknowledge_all(batch)

    tried = house.boss.approve(house.batch(batch["id"]))

    assert (tried.status_code, house.batch(batch["id"])["status"]) == (412, "pending")
    paying = [line["creditor"]["iban"] for line in house.transfers(batch["id"]) if line["status"] == "payable"]
    assert sorted(paying) == sorted(each.iban for each in lines(3))


def test_a_file_uploaded_over_a_run_of_the_package_takes_two_approvers(house: House, payroll: FakePayroll) -> None:
    """Where the package cannot be asked, it is an upload beside a live connection whatever its run is called."""
    second = house.second_person()
    connected = connect(house, payroll, uploads_allowed=True)
    batch = connected.fetched(lines(3))
    assert _upload_as(house.boss, connected, document(lines(3, cents=260_000))).status_code == 200
    house.acknowledge_all(batch)
    payroll.fail("fetch_payments", unreachable())
    shown = house.batch(batch["id"])

    answers = [
        person.post(
            f"/v1/payment-batches/{batch['id']}/approvals",
            {"digest": shown["digest"], "pin": PIN, "approve_without_source": True},
            headers={"If-Match": f'"r{shown["revision"]}"'},
        ).json()
        for person in (house.boss, second)
    ]

    assert (shown["approval_reasons"], "uploaded" in {each["code"] for each in house.findings(batch["id"])}) == (
        ["upload_beside_live_connection"],
        True,
    )
    assert [answer["status"] for answer in answers] == ["pending", "approved"]


def test_a_run_offered_again_is_asked_of_the_source_again(house: House, payroll: FakePayroll, clock: FakeClock) -> None:
    """It is offered from its last reading, which may be old: that it is offered now makes no fresh reading of it."""
    connected = connect(house, payroll)
    batch = connected.fetched(lines(3))
    ended = house.boss.post(
        f"/v1/payment-batches/{batch['id']}/rejection", {"reason": "r"}, headers={"If-Match": '"r1"'}
    )
    assert ended.status_code == 200
    clock.forward(hours=1)
    payroll.set_only_document(document(lines(2)))
    again = house.boss.post(f"/v1/payroll-runs/{connected.runs()[0]['id']}/batches").json()

    tried = house.boss.approve(again)

    assert (tried.status_code, house.batch(again["id"])["counts"]) == (412, {"payable": 2, "excluded": 1})


def test_a_run_changed_between_approval_and_hand_out_is_not_handed_out(house: House, payroll: FakePayroll) -> None:
    """An account is swapped at the source after the approval: the file with the old one stays here, the new one waits.

    Before the source was asked again the file that leaves holds what was approved, whatever the source says by then.
    """
    connected = connect(house, payroll)
    batch = connected.approved(lines(3))
    changed = document([replace(lines(1)[0], iban=_MINE), *lines(3)[1:]])
    payroll.set_only_document(changed)
    connected.poll()

    barred = house.boss.get(f"/v1/payment-batches/{batch['id']}/file")
    (new,) = [each for each in connected.batches() if each["id"] != batch["id"]]

    assert _outcome(barred) == (409, "held")
    assert new["counts"] == {"held": 1}
    assert "batch.held" in house.events()


def test_a_recalled_batch_does_not_pay_what_is_known_to_be_gone(house: House, payroll: FakePayroll) -> None:
    """A line went at the source after the approval: recalling takes it out, before the source is asked once more."""
    connected = connect(house, payroll)
    batch = connected.approved(lines(3))
    payroll.set_only_document(document(lines(2)))
    connected.poll()

    recalled = house.boss.call("DELETE", f"/v1/payment-batches/{batch['id']}/approvals/mine").json()
    approved = house.boss.approve(house.batch(batch["id"]))

    assert (recalled["status"], recalled["holds"], recalled["counts"]) == ("pending", [], {"payable": 2, "excluded": 1})
    assert (approved.status_code, approved.json()["counts"]) == (201, {"in_file": 2, "excluded": 1})


def test_a_recalled_batch_of_uploads_follows_the_last_upload(house: House) -> None:
    """A run of uploads has no source to ask again: what was uploaded last is what it holds."""
    run = {"year": 2026, "period": 11, "run_number": 1}
    batch = house.approved(document(lines(3)), **run)
    house.upload(document([*lines(2), lines(4)[3]]), **run)

    recalled = house.boss.call("DELETE", f"/v1/payment-batches/{batch['id']}/approvals/mine").json()

    assert recalled["counts"] == {"payable": 3, "excluded": 1}
    gone = [line["hold_code"] for line in house.transfers(batch["id"]) if line["status"] == "excluded"]
    assert gone == ["gone_at_source"]


def test_what_left_the_house_is_what_was_approved_whatever_the_source_says(house: House, payroll: FakePayroll) -> None:
    """Changed at the source and not read again yet: the bytes that are handed out are those of the approval."""
    connected = connect(house, payroll)
    batch = connected.approved(lines(3))
    payroll.set_only_document(document([replace(lines(1)[0], iban=_MINE), *lines(3)[1:]]))

    file = house.handed_out(batch["id"]).decode()

    assert (_MINE in file, lines(1)[0].iban in file) == (False, True)


def test_an_office_uploads_nothing_once_its_mandate_has_ended(house: House, clerk: Person) -> None:
    """The connection is still the office's, but what is paid is the employer's, who ended the mandate."""
    office = _office_of(clerk)
    connection = clerk.post("/v1/connections", {"organization_id": office, "kind": "upload"}).json()
    path = f"/v1/connections/{connection['id']}/administrations"
    administration = clerk.post(path, {"number": "1", "name": "Jansen"}).json()
    assert link(clerk, administration["id"], house.employer_id, house.account_id).status_code == 200
    ended = house.boss.call("DELETE", f"/v1/employers/{house.employer_id}/mandates/{office}")
    assert ended.status_code == 200

    tried = clerk.call(
        "POST",
        f"/v1/administrations/{administration['id']}/payroll-files",
        content=document(),
        headers={"Content-Type": "application/xml"},
    )

    assert _outcome(tried) == (409, "conflict")
    assert house.boss.get("/v1/payroll-runs").json() == []
