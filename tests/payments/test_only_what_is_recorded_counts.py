"""Who can write to the database approves nothing by it: the history, under its key, must know who said what."""

import hmac
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import rfc8785
import sqlalchemy as sa

from app.auth import proposals
from app.core import history_witness
from app.core.database import transaction
from app.core.history import keys_of
from app.core.history_chain import HistoryKeys, mark_key
from app.payments import two_people
from app.payments.context import Context
from tests.support.clock import FakeClock
from tests.support.house import House, Person, document, lines

_APPROVAL = """
    INSERT INTO approval (id, batch_id, revision, user_id, token_id, digest, approved_at, source_state)
    SELECT :id, batch.id, batch.revision, token.user_id, token.id, batch.digest, :now, 'upload'
    FROM payment_batch batch, api_token token WHERE batch.id = :batch AND token.user_id = :person
"""
# A record as the service writes it, with the mac of the record before it: nobody without the key makes another.
_RECORD = """
    INSERT INTO history_entry (organization_id, sequence, occurred_at, event, actor_kind, actor_id, payment_batch_id,
                               payload, hash, mac, key_id)
    SELECT organization_id, sequence + 1, :now, CAST(:event AS text), 'user', CAST(:person AS uuid),
           CAST(:batch AS uuid),
           jsonb_build_object('sequence', sequence + 1, 'event', CAST(:event AS text),
                              'payment_batch_id', CAST(:batch AS text),
                              'actor', jsonb_build_object('id', CAST(:person AS text)),
                              'details', CAST(:details AS jsonb))::text,
           hash, mac, key_id
    FROM history_entry WHERE organization_id = :employer ORDER BY sequence DESC LIMIT 1
"""
_HEAD = "UPDATE history_head SET sequence = sequence + 1 WHERE organization_id = :employer"


def _run(house: House, statement: str, **values: Any) -> None:
    with transaction(house.ctx.engine) as session:
        assert session.execute(sa.text(statement), values).rowcount == 1  # type: ignore[attr-defined]


def _two_needed(house: House) -> tuple[Person, dict[str, Any]]:
    """Return a second approver, and a batch that takes both."""
    second = house.second_person()
    body = {"tiers": [{"from": {"amount": "0.00"}, "required": 2}]}
    policy = f"/v1/employers/{house.employer_id}/approval-policy"
    assert house.boss.call("PUT", policy, json=body).status_code == 200
    return second, house.uploaded_batch(document(lines(3)))


def _refused(house: House, batch: dict[str, Any]) -> None:
    answer = house.boss.approve(batch)

    assert (answer.status_code, answer.json()["code"]) == (409, "approval_not_recorded")
    after = house.batch(batch["id"])
    assert (after["status"], after["files"]) == ("pending", [])
    assert house.boss.get(f"/v1/payment-batches/{batch['id']}/file").status_code == 409


@pytest.mark.parametrize("with_record", [False, True], ids=["the row alone", "a record with another mac"])
def test_an_approval_that_was_written_into_the_database_is_none(house: House, with_record: bool) -> None:
    """A row, and even a record beside it, without the key: the last approver is told, and nothing is approved."""
    second, batch = _two_needed(house)
    now = house.ctx.now()
    _run(house, _APPROVAL, id=uuid4(), batch=batch["id"], person=second.id, now=now)
    if with_record:
        details = f'{{"revision": {batch["revision"]}, "digest": "{batch["digest"]}"}}'
        values = {"employer": house.employer_id, "person": str(second.id), "batch": batch["id"], "now": now}
        _run(house, _RECORD, **values, event="batch.approval_given", details=details)
        _run(house, _HEAD, employer=house.employer_id)

    _refused(house, batch)


def test_another_date_voids_what_was_written_in(house: House) -> None:
    """The way out that the refusal names: after it two people approve, and it counts."""
    second, batch = _two_needed(house)
    _run(house, _APPROVAL, id=uuid4(), batch=batch["id"], person=second.id, now=house.ctx.now())
    _refused(house, batch)
    path, body = f"/v1/payment-batches/{batch['id']}", {"requested_execution_date": "2026-11-27"}
    assert house.boss.call("PATCH", path, json=body, headers={"If-Match": '"r1"'}).status_code == 200

    given = [person.approve(house.batch(batch["id"])).json()["status"] for person in (house.boss, second)]

    assert given == ["pending", "approved"]


def test_an_approval_that_was_taken_back_is_not_brought_back_to_life(house: House) -> None:
    """The row of a recalled approval, made to count again: the last word of its giver was the recall."""
    second, batch = _two_needed(house)
    assert second.approve(batch).status_code == 201
    assert second.call("DELETE", f"/v1/payment-batches/{batch['id']}/approvals/mine").status_code == 200
    _run(house, "UPDATE approval SET voided_at = NULL, void_reason = NULL WHERE batch_id = :batch", batch=batch["id"])

    _refused(house, batch)


def test_an_approval_of_what_was_shown_before_is_none_of_what_is_there_now(house: House) -> None:
    """A row moved on to the next revision: the record says which digest its giver approved."""
    second, batch = _two_needed(house)
    assert second.approve(batch).status_code == 201
    path, body = f"/v1/payment-batches/{batch['id']}", {"requested_execution_date": "2026-11-27"}
    assert house.boss.call("PATCH", path, json=body, headers={"If-Match": '"r1"'}).status_code == 200
    after = house.batch(batch["id"])
    moved = "UPDATE approval SET voided_at = NULL, revision = 2, digest = :digest WHERE batch_id = :batch"
    _run(house, moved, batch=batch["id"], digest=after["digest"])

    _refused(house, after)


_PROPOSAL = """
    INSERT INTO proposal (id, organization_id, kind, target, payload, reason, proposed_by, proposed_at, waits_until)
    SELECT :id, organization_id, kind, target, payload, reason, :person, proposed_at, :until
    FROM proposal WHERE id = :like
"""


def _withdrawal_asked(house: House) -> tuple[dict[str, Any], dict[str, Any]]:
    batch = house.approved()
    house.handed_out(batch["id"])
    asked = house.boss.post(f"/v1/payment-batches/{batch['id']}/withdrawals", {"reason": "Not read in."})
    assert asked.status_code == 202, asked.text
    return batch, asked.json()


def _written_in(house: House, *, by: Person, until: Any = None) -> tuple[dict[str, Any], str]:
    """Write a proposal into the database that looks as one that was asked for, in the place of it."""
    batch, asked = _withdrawal_asked(house)
    assert house.boss.call("DELETE", f"/v1/proposals/{asked['id']}").status_code == 200
    written = uuid4()
    _run(house, _PROPOSAL, id=written, like=asked["id"], person=by.id, until=until)
    return batch, str(written)


@pytest.mark.parametrize("way", ["confirming it", "asking for the same"])
def test_a_proposal_that_was_written_into_the_database_is_none(house: House, way: str) -> None:
    """One real person and one row are no two people; withdrawn, the same can be asked for as it should be."""
    second = house.second_person()
    batch, written = _written_in(house, by=second)
    path = f"/v1/payment-batches/{batch['id']}/withdrawals"

    if way == "confirming it":
        answer = house.boss.post(f"/v1/proposals/{written}/confirmation")
    else:
        answer = house.boss.post(path, {"reason": "Not read in."})

    assert (answer.status_code, answer.json()["code"]) == (409, "proposal_not_recorded")
    assert house.batch(batch["id"])["status"] == "approved"
    assert house.boss.call("DELETE", f"/v1/proposals/{written}").status_code == 200
    assert second.post(path, {"reason": "Not read in."}).status_code == 202
    assert house.boss.post(path, {"reason": "Not read in."}).status_code == 201


@pytest.mark.parametrize("ended", ["withdrawn", "applied"])
def test_a_proposal_that_ended_is_not_brought_back_to_life(house: House, ctx: Context, ended: str) -> None:
    """Its row says that it is open again; the history saw it end, and who asked for it then does not ask now."""
    second = house.second_person()
    batch, asked = _withdrawal_asked(house)
    path = f"/v1/payment-batches/{batch['id']}/withdrawals"
    if ended == "withdrawn":
        assert house.boss.call("DELETE", f"/v1/proposals/{asked['id']}").status_code == 200
    else:
        assert second.post(path, {"reason": "Not read in."}).status_code == 201
        assert house.boss.approve(house.batch(batch["id"])).status_code == 201
        house.handed_out(batch["id"])
    open_again = "UPDATE proposal SET ended_at = NULL, outcome = NULL, confirmed_by = NULL{} WHERE id = :id"
    revision = ", payload = payload || jsonb_build_object('revision', 2)" if ended == "applied" else ""
    _run(house, open_again.format(revision), id=asked["id"])
    before = house.batch(batch["id"])["status"]

    answer = second.post(f"/v1/proposals/{asked['id']}/confirmation")

    assert (answer.status_code, before) == (409, "approved")
    assert answer.json()["code"] in {"proposal_not_recorded", "conflict"}
    assert house.batch(batch["id"])["status"] == "approved"


def test_a_day_that_was_waited_for_once_is_not_waited_for_again(house: House, ctx: Context, clock: FakeClock) -> None:
    """In a firm of one person: what was taken back within the day is done by no sweep, though its row is open again."""
    batch, asked = _withdrawal_asked(house)
    assert house.boss.call("DELETE", f"/v1/proposals/{asked['id']}").status_code == 200
    _run(house, "UPDATE proposal SET ended_at = NULL, outcome = NULL WHERE id = :id", id=asked["id"])
    clock.forward(days=2)

    assert two_people.apply_due(ctx) == 0
    assert house.batch(batch["id"])["status"] == "approved"


def test_a_mark_that_the_service_made_passes_for_no_mac(house: House) -> None:
    """Whatever somebody has the service mark in the history, the mark seals no record."""
    second, batch = _two_needed(house)
    now = house.ctx.now()
    _run(house, _APPROVAL, id=uuid4(), batch=batch["id"], person=second.id, now=now)
    said = {
        "sequence": 100_002,
        "event": "batch.approval_given",
        "payment_batch_id": batch["id"],
        "actor": {"id": str(second.id), "token_id": _token_of(house, second)},
        "details": {"revision": batch["revision"], "digest": batch["digest"]},
    }
    payload = rfc8785.dumps(said)
    with transaction(house.ctx.engine) as session:
        key, _, value = history_witness.mark(session, house.employer_id, payload).partition(":")
        keys = keys_of(session)
    common = {"employer": house.employer_id, "now": now, "key": key, "person": second.id, "batch": batch["id"]}
    before = bytes(32)
    forged = hmac.digest(mark_key(keys.keys[key], house.employer_id), payload, "sha256")
    assert forged.hex() == value
    for mac_before in (b"", before):
        with transaction(house.ctx.engine) as session:
            session.execute(sa.text(_PLANTED), {**common, "n": 100_001, "payload": "{}", "mac": mac_before})
            session.execute(sa.text(_PLANTED), {**common, "n": 100_002, "payload": payload.decode(), "mac": forged})
            said_now = history_witness.last_said_of_batch(
                session,
                house.employer_id,
                UUID(batch["id"]),
                actor_id=UUID(str(second.id)),
                events=("batch.approval_given",),
            )
            session.rollback()
        assert said_now is None

    _refused(house, batch)


def _token_of(house: House, person: Person) -> str:
    with transaction(house.ctx.engine) as session:
        found = session.execute(sa.text("SELECT id FROM api_token WHERE user_id = :id"), {"id": person.id})
        return str(found.scalar_one())


_PLANTED = """
    INSERT INTO history_entry (organization_id, sequence, occurred_at, event, actor_kind, actor_id, payment_batch_id,
                               payload, hash, mac, key_id)
    VALUES (:employer, :n, :now, 'batch.approval_given', 'user', :person, :batch, :payload, ''::bytea, :mac, :key)
"""


def test_an_approval_of_a_program_is_not_made_one_of_a_person(house: House) -> None:
    """The row of an approval says another token than its giver used: that one could be of a person."""
    second, batch = _two_needed(house)
    assert second.approve(batch).status_code == 201
    moved = "UPDATE approval SET token_id = :token WHERE batch_id = :batch"
    _run(house, moved, token=_token_of(house, house.boss), batch=batch["id"])

    _refused(house, batch)


def test_a_history_that_takes_no_records_stops_nothing_of_others(
    house: House, other_house: House, ctx: Context, clock: FakeClock
) -> None:
    """A proposal that cannot be ended waits; what is due of another employer is done in the same sweep."""
    house.second_person()
    _withdrawal_asked(house)
    clock.forward(days=31)
    theirs, _ = _withdrawal_asked(other_house)
    clock.forward(days=2)
    with ctx.engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE history_head SET mac = NULL WHERE organization_id = :id"), {"id": house.employer_id}
        )

    assert two_people.apply_due(ctx) == 1
    assert other_house.batch(theirs["id"])["status"] == "pending"


def test_a_proposal_that_was_changed_in_the_database_is_none(house: House) -> None:
    """Who asked, and for what exactly, stands in the record: another person in the row, or another file, is refused."""
    second = house.second_person()
    batch, asked = _withdrawal_asked(house)
    changes = ("proposed_by = :person", "payload = payload || '{\"revision\": 7}'", "reason = 'Something else'")

    for change in changes:
        with transaction(house.ctx.engine) as session:
            statement = sa.text(f"UPDATE proposal SET {change} WHERE id = :id")
            session.execute(statement, {"id": asked["id"], "person": second.id})
            row = session.get_one(proposals.Proposal, asked["id"])
            with pytest.raises(proposals.ProposalNotRecorded):
                proposals.require_recorded(session, row)
            session.rollback()

    done = second.post(f"/v1/proposals/{asked['id']}/confirmation")
    assert done.status_code == 201, done.text
    assert house.batch(batch["id"])["status"] == "pending"


def test_a_day_of_waiting_that_was_written_into_the_database_ends_nothing(
    house: House, ctx: Context, clock: FakeClock
) -> None:
    """The sweep does nothing for a row alone, and ends it."""
    batch, written = _written_in(house, by=house.boss, until=ctx.now() - timedelta(hours=1))

    assert two_people.apply_due(ctx) == 0

    assert house.batch(batch["id"])["status"] == "approved"
    assert [each["id"] for each in house.boss.get("/v1/proposals").json()] == []
    listed = {each["id"]: each["outcome"] for each in house.boss.get("/v1/proposals?state=all").json()}
    assert listed[written] == "withdrawn"


def _without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process that was not restarted since a new history key was put in front."""
    other = HistoryKeys(current="h0", keys={"h0": bytes(range(32))})
    monkeypatch.setattr(history_witness, "keys_of", lambda _session: other)


def test_a_process_without_the_key_calls_nothing_forged(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot tell: 503 until it has the key, and then the approval that was given counts as it always did."""
    second, batch = _two_needed(house)
    house.acknowledge_all(batch)
    assert second.approve(batch).status_code == 201

    with monkeypatch.context() as changed:
        _without_the_key(changed)
        refused = house.boss.approve(batch)

    assert (refused.status_code, refused.json()["code"]) == (503, "history_key_unknown")
    assert house.batch(batch["id"])["status"] == "pending"
    assert house.boss.approve(batch).status_code == 201
    assert house.batch(batch["id"])["status"] == "approved"


def test_a_worker_without_the_key_ends_nothing(
    house: House, ctx: Context, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is due waits for a worker that can tell, and is done by that one."""
    batch, asked = _withdrawal_asked(house)
    clock.forward(hours=25)

    with monkeypatch.context() as changed:
        _without_the_key(changed)
        assert two_people.apply_due(ctx) == 0

    assert house.batch(batch["id"])["proposals"] == [asked["id"]]
    assert two_people.apply_due(ctx) == 1
    assert house.batch(batch["id"])["status"] == "pending"


def test_what_nobody_confirmed_in_thirty_days_ends(house: House, ctx: Context, clock: FakeClock) -> None:
    """What was asked long ago was asked of another state of affairs: it is told as ended, and asked for anew."""
    second = house.second_person()
    batch, asked = _withdrawal_asked(house)
    path = f"/v1/payment-batches/{batch['id']}/withdrawals"
    clock.forward(days=29)
    two_people.apply_due(ctx)
    waiting = house.batch(batch["id"])["proposals"]
    clock.forward(days=1)

    late = second.post(f"/v1/proposals/{asked['id']}/confirmation")
    two_people.apply_due(ctx)

    assert waiting == [asked["id"]]
    assert (late.status_code, "Ask for it anew" in late.json()["detail"]) == (409, True)
    assert house.batch(batch["id"])["proposals"] == []
    assert house.events()[-1] == "proposal.expired"
    anew = [person.post(path, {"reason": "Not read in."}).status_code for person in (house.boss, second)]
    assert anew == [202, 201]


def test_asking_again_after_thirty_days_is_asking_anew(house: House, clock: FakeClock) -> None:
    """Before the sweep came by: the second person's wish does not meet one of a month ago."""
    second = house.second_person()
    batch, asked = _withdrawal_asked(house)
    clock.forward(days=30)

    again = second.post(f"/v1/payment-batches/{batch['id']}/withdrawals", {"reason": "Not read in."})

    assert (again.status_code, again.json()["id"] != asked["id"]) == (202, True)
    assert house.batch(batch["id"])["status"] == "approved"


def test_what_a_day_suffices_for_is_done_however_late_the_service_looks(
    house: House, ctx: Context, clock: FakeClock
) -> None:
    """A service that stood still for a month does what was due then: only waiting for a person comes to an end."""
    batch, asked = _withdrawal_asked(house)
    clock.forward(days=40)

    assert two_people.apply_due(ctx) == 1

    assert (asked["waits_until"] is not None, "proposal.expired" in house.events()) == (True, False)
    assert house.batch(batch["id"])["status"] == "pending"
