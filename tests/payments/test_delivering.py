"""From the stored file to the bank: by a person with the hash that the bank shows, or through a channel; and splits."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.payments import bank_profiles, delivering, two_people
from app.payments.context import Context
from app.payments.ports import ChannelAnswer, ChannelOutcome
from tests.payments.status_report_samples import Report, Why
from tests.support.clock import FakeClock
from tests.support.house import SECOND_IBAN, House, add_account, document, lines


@dataclass(slots=True)
class FakeChannel:
    """A bank channel that answers as it is told, and remembers what it was sent and asked."""

    name: str = "fake"
    answer: ChannelOutcome = ChannelOutcome.ACCEPTED
    later: ChannelOutcome = ChannelOutcome.UNKNOWN
    sent: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    dies: bool = False

    def send(self, data: bytes, *, message_id: str) -> ChannelAnswer:
        """Take a file."""
        assert data.startswith(b"<?xml")
        self.sent.append(message_id)
        if self.dies:
            raise ConnectionAbortedError
        return ChannelAnswer(outcome=self.answer, reference="R-1")

    def ask(self, *, message_id: str, reference: str | None) -> ChannelAnswer:
        """Tell what became of it."""
        del reference
        self.asked.append(message_id)
        return ChannelAnswer(outcome=self.later)


@pytest.fixture
def channel() -> FakeChannel:
    """A channel that accepts."""
    return FakeChannel()


@pytest.fixture
def ctx(service: Any, channel: FakeChannel) -> Context:
    """The surroundings, with a channel to a bank."""
    context: Context = replace(service.context, channels={"fake": channel})
    return context


@pytest.fixture
def client(service: Any, ctx: Context) -> Iterator[TestClient]:
    """A client of a service that has the channel."""
    app = create_app(replace(service, context=ctx), with_worker=False)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def _send(house: House, batch: dict[str, Any], **more: Any) -> Any:
    return house.boss.post(
        f"/v1/payment-batches/{batch['id']}/deliveries",
        {"channel": "fake", **more},
        headers={"If-Match": f'"r{batch["revision"]}"'},
    )


def _say(house: House, batch: dict[str, Any], **said: Any) -> Any:
    return house.boss.post(
        f"/v1/payment-batches/{batch['id']}/deliveries", said, headers={"If-Match": f'"r{batch["revision"]}"'}
    )


def test_a_channel_that_accepts_delivers(house: House, channel: FakeChannel) -> None:
    """Sent once, accepted: delivered, and never handed in by hand as well."""
    batch = house.approved()

    sent = _send(house, batch)
    again = _send(house, batch)

    assert (sent.status_code, sent.json()["status"]) == (201, "delivered")
    assert (again.status_code, len(channel.sent)) == (409, 1)


def test_an_unknown_outcome_is_asked_after_and_never_sent_again(
    house: House, channel: FakeChannel, ctx: Context
) -> None:
    """Nobody knows: the batch says so, the machine only asks, and what it hears ends it."""
    channel.answer = ChannelOutcome.UNKNOWN
    batch = house.approved()

    sent = _send(house, batch)
    again = _send(house, batch)
    still = delivering.ask_about_unknown(ctx)
    channel.later = ChannelOutcome.ACCEPTED
    ended = delivering.ask_about_unknown(ctx)

    assert (sent.json()["status"], again.status_code) == ("delivery_unknown", 409)
    assert (still, ended, len(channel.sent), len(channel.asked)) == (0, 1, 1, 2)
    assert house.batch(batch["id"])["status"] == "delivered"


def test_a_refusal_after_somebody_said_it_was_executed_frees_nothing(
    house: House, channel: FakeChannel, ctx: Context, clock: FakeClock
) -> None:
    """Two words against each other: the lines stay paid, the history says so, and the channel is not asked again."""
    channel.answer, channel.later = ChannelOutcome.UNKNOWN, ChannelOutcome.REFUSED
    batch = house.approved()
    _send(house, batch)
    clock.forward(days=7)
    body = {"statement": "executed", "reason": "It was debited."}
    assert house.boss.post(f"/v1/payment-batches/{batch['id']}/statements", body).status_code == 201

    ended = [delivering.ask_about_unknown(ctx) for _ in range(2)]

    after = house.transfers(batch["id"])
    assert ended == [1, 0]
    assert house.batch(batch["id"])["status"] == "executed"
    assert {(line["status"], line["bank_status"]) for line in after} == {("executed", "contradiction")}
    assert house.events().count("file.refused_late") == 1
    assert "bank_contradicts" in house.batch(batch["id"])["attention"]


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("withdrawals", {"reason": "Not read in."}),
        ("statements", {"statement": "refused", "reason": "Seen at the bank", "reason_code": "AC01"}),
    ],
)
def test_what_was_said_of_an_earlier_file_is_not_done_to_a_later_one(
    house: House, channel: FakeChannel, ctx: Context, clock: FakeClock, what: str, body: dict[str, str]
) -> None:
    """The bank refused it meanwhile, and another file of the batch was handed out: that one may be at the bank."""
    channel.answer, channel.later = ChannelOutcome.UNKNOWN, ChannelOutcome.REFUSED
    batch = house.approved()
    _send(house, batch)
    asked = house.boss.post(f"/v1/payment-batches/{batch['id']}/{what}", body)
    delivering.ask_about_unknown(ctx)
    assert house.boss.approve(house.batch(batch["id"])).status_code == 201
    house.handed_out(batch["id"])
    clock.forward(hours=25)

    done = two_people.apply_due(ctx)

    assert (asked.status_code, asked.json()["waits_until"] is not None) == (202, True)
    assert (done, house.batch(batch["id"])["status"]) == (0, "approved")
    assert {line["status"] for line in house.transfers(batch["id"])} == {"in_file"}
    assert house.boss.get("/v1/proposals?state=all").json()[0]["outcome"] == "withdrawn"


def test_a_crash_while_sending_leaves_unknown_not_approved(house: House, channel: FakeChannel) -> None:
    """Unknown is committed before the first byte leaves, so whatever happens then is never sent again."""
    channel.dies = True
    batch = house.approved()

    crashed = _send(house, batch)
    after = house.batch(batch["id"])
    recall = house.boss.call("DELETE", f"/v1/payment-batches/{batch['id']}/approvals/mine")

    assert crashed.status_code == 500
    assert (after["status"], "delivery_unknown" in after["attention"]) == ("delivery_unknown", True)
    assert recall.status_code == 409


def test_two_people_say_that_an_unknown_file_is_not_at_the_bank(house: House, channel: FakeChannel) -> None:
    """Query, or two people: then the batch is pending again with new ids."""
    second = house.second_person()
    channel.answer = ChannelOutcome.UNKNOWN
    batch = house.approved()
    _send(house, batch)
    path = f"/v1/payment-batches/{batch['id']}/withdrawals"

    answers = [person.post(path, {"reason": "Called the bank."}) for person in (house.boss, second)]

    assert [answer.status_code for answer in answers] == [202, 201]
    assert answers[1].json()["status"] == "pending"


def test_a_channel_that_surely_refused_gives_the_batch_back(house: House, channel: FakeChannel) -> None:
    """A definite no frees the claims: approved anew, it gets new ids."""
    channel.answer = ChannelOutcome.REFUSED
    batch = house.approved()

    answer = _send(house, batch)

    assert (answer.status_code, answer.json()["status"], answer.json()["revision"]) == (201, "pending", 2)


def test_an_unknown_channel_is_refused_by_name(house: House) -> None:
    """The refusal lists what there is."""
    batch = house.approved()

    answer = _say(house, batch, channel="carrier-pigeon")

    assert answer.status_code == 422
    assert "download, fake" in answer.json()["errors"][0]["message"]


def test_the_hash_that_the_bank_shows_is_asked_for(house: House) -> None:
    """ABN AMRO shows a hash: without it, or with another, nothing is delivered and the difference is in the history."""
    batch = house.approved()
    house.handed_out(batch["id"])

    without = _say(house, batch)
    wrong = _say(house, batch, hash_seen="deadbeef")
    right = _say(house, batch, hash_seen=batch["file"]["sha1"][:8].upper())

    assert (without.status_code, without.json()["errors"][0]["code"]) == (422, "hash_missing")
    assert (wrong.status_code, wrong.json()["code"]) == (409, "hash_differs")
    assert "file.hash_differs" in house.events()
    assert right.json()["status"] == "delivered"


def test_a_file_never_handed_out_cannot_be_at_the_bank(house: House) -> None:
    """Nobody delivers what nobody fetched."""
    batch = house.approved()

    answer = _say(house, batch, hash_seen=batch["file"]["sha256"][:8])

    assert (answer.status_code, answer.json()["code"]) == (409, "not_allowed_now")


def test_after_the_cut_off_the_file_is_not_handed_out_but_gets_another_date(house: House, clock: FakeClock) -> None:
    """Too late: 409 with the choices; a new date makes a new revision, new ids, and asks for approval again."""
    batch = house.approved()
    clock.forward(days=8)

    late = house.boss.get(f"/v1/payment-batches/{batch['id']}/file")
    again = house.boss.post(
        f"/v1/payment-batches/{batch['id']}/reissue",
        {"requested_execution_date": "2026-11-30"},
        headers={"If-Match": '"r1"'},
    )
    approved = house.boss.approve(again.json())

    assert (late.status_code, late.json()["code"], late.json()["choices"]) == (
        409,
        "execution_date_passed",
        ["reissue", "recall"],
    )
    assert (again.status_code, again.json()["status"], again.json()["revision"]) == (200, "pending", 2)
    assert approved.json()["file"]["message_id"] != batch["file"]["message_id"]
    assert approved.json()["requested_execution_date"] == "2026-11-30"


def test_a_handed_out_file_is_never_reissued(house: House) -> None:
    """It may be at the bank for the old date."""
    batch = house.approved()
    house.handed_out(batch["id"])

    answer = house.boss.post(
        f"/v1/payment-batches/{batch['id']}/reissue",
        {"requested_execution_date": "2026-11-30"},
        headers={"If-Match": '"r1"'},
    )

    assert (answer.status_code, answer.json()["code"]) == (409, "not_allowed_now")


# ------------------------------------------------------------------------------------------------ several files


@pytest.fixture
def small_bank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rabobank takes three lines in a file; its profile is data."""
    profile = replace(
        bank_profiles.BANK_PROFILES["RABO"],
        maximum_transactions_per_file=3,
        maximum_transactions_per_instruction=2,
        shows_hash=False,
    )
    monkeypatch.setitem(bank_profiles.BANK_PROFILES, "RABO", profile)


def _split_batch(house: House) -> dict[str, Any]:
    account = add_account(house.boss, house.employer_id, iban=SECOND_IBAN)
    batch = house.uploaded_batch(document(lines(7)))
    changed = house.boss.call(
        "PATCH",
        f"/v1/payment-batches/{batch['id']}",
        json={"debtor_account_id": account},
        headers={"If-Match": '"r1"'},
    ).json()
    house.acknowledge_all(changed)
    answer = house.boss.approve(house.batch(batch["id"]))
    assert answer.json()["status"] == "approved", answer.text
    return house.batch(batch["id"])


def test_a_batch_over_the_banks_lines_is_split_into_files_of_their_own(house: House, small_bank: None) -> None:
    """Seven lines at three a file: three files, each with its own id, every line in exactly one."""
    batch = _split_batch(house)
    path = f"/v1/payment-batches/{batch['id']}"

    only = house.boss.get(f"{path}/file")
    bodies = [house.boss.get(f"{path}/files/{n}") for n in (1, 2, 3)]
    counts = [body.content.count(b"<CdtTrfTxInf>") for body in bodies]
    instructions = [body.content.count(b"<PmtInf>") for body in bodies]
    ids = {each["message_id"] for each in batch["files"]}

    assert (batch["file"], only.status_code) == (None, 409)
    assert (counts, instructions, len(ids)) == ([3, 3, 1], [2, 2, 1], 3)
    assert sorted(line["file"] for line in house.transfers(batch["id"])) == [1, 1, 1, 2, 2, 2, 3]


def test_a_split_batch_is_as_far_as_its_last_file(house: House, small_bank: None) -> None:
    """Delivered file by file; the batch shows the least advanced."""
    batch = _split_batch(house)
    states = []
    for n in (1, 2, 3):
        house.boss.get(f"/v1/payment-batches/{batch['id']}/files/{n}")
        states.append(_say(house, batch, file=n).json()["status"])

    assert states == ["approved", "approved", "delivered"]


def test_one_file_of_several_is_withdrawn_alone(house: House, small_bank: None) -> None:
    """The lines of the withdrawn file leave the batch and are unpaid; the other files stay as they are."""
    batch = _split_batch(house)
    second = house.second_person()
    for n in (1, 2, 3):
        house.boss.get(f"/v1/payment-batches/{batch['id']}/files/{n}")
    _say(house, batch, file=1)
    path = f"/v1/payment-batches/{batch['id']}/withdrawals"

    for person in (house.boss, second):
        person.post(path, {"reason": "Never read in.", "file": 2})
    after = house.batch(batch["id"])

    assert (after["status"], [each["n"] for each in after["files"]]) == ("approved", [1, 3])
    assert len(house.boss.get("/v1/unpaid-transfers").json()) == 3
    assert after["counts"] == {"in_file": 4, "excluded": 3}


@pytest.mark.parametrize("is_refused", [False, True])
def test_lines_of_a_withdrawn_file_are_no_part_of_the_file_with_its_number(
    house: House, small_bank: None, *, is_refused: bool
) -> None:
    """All three files are withdrawn, one by one; of what the bank says of the next file they hear nothing."""
    batch = _split_batch(house)
    second = house.second_person()
    path = f"/v1/payment-batches/{batch['id']}"
    for n in (1, 2, 3):
        house.boss.get(f"{path}/files/{n}")
    for n in (1, 2, 3):
        for person in (house.boss, second):
            person.post(f"{path}/withdrawals", {"reason": "Never read in.", "file": n})
    left_out = [line["file"] for line in house.transfers(batch["id"]) if line["status"] == "excluded"]
    house.acknowledge_all(house.batch(batch["id"]))
    assert second.approve(house.batch(batch["id"])).json()["status"] == "approved"
    house.boss.get(f"{path}/files/1")
    after = house.batch(batch["id"])
    assert _say(house, after, file=1).status_code == 201
    total, status = after["control_sum"]["amount"], "RJCT" if is_refused else "ACSC"
    why = [Why(code="AC04")] if is_refused else []
    report = Report(
        original_message_id=after["file"]["message_id"], status=status, reasons=why, count="1", total=total
    ).bytes()

    told = [
        person.call("POST", "/v1/status-reports", content=report, headers={"Content-Type": "application/xml"}).json()
        for person in (house.boss, second)
    ]

    assert told[0]["lines"] == ({"rejected": 1} if is_refused else {"settled": 1})
    assert told[1]["batch"]["status"] == ("refused" if is_refused else "executed")
    assert told[1]["batch"]["attention"] == []
    assert left_out == [None] * 6
    assert [line["bank_status"] for line in house.transfers(batch["id"]) if line["status"] == "excluded"] == [
        "none"
    ] * 6


def test_a_file_that_stayed_here_while_another_left_is_withdrawn(
    house: House, small_bank: None, clock: FakeClock
) -> None:
    """Too late to hand it out, and no recall while another file may be at the bank: two people take its lines out."""
    batch = _split_batch(house)
    second = house.second_person()
    house.boss.get(f"/v1/payment-batches/{batch['id']}/files/1")
    clock.forward(days=14)
    path = f"/v1/payment-batches/{batch['id']}"

    late = house.boss.get(f"{path}/files/2").json()["code"]
    recall = house.boss.call("DELETE", f"{path}/approvals/mine").json()["code"]
    for person in (house.boss, second):
        person.post(f"{path}/withdrawals", {"reason": "Too late.", "file": 2})
    unpaid = [each["transfer"]["id"] for each in house.boss.get("/v1/unpaid-transfers").json()]
    follow_up = house.boss.post("/v1/follow-up-batches", {"transfer_ids": unpaid}).json()
    house.boss.approve(follow_up)

    assert (late, recall, len(unpaid)) == ("execution_date_passed", "not_allowed_now", 3)
    assert second.approve(house.batch(follow_up["id"])).json()["status"] == "approved"


def test_a_delivered_file_of_several_is_fetched_again_only_with_a_reason(house: House, small_bank: None) -> None:
    """Delivered is a state of a file: that another one of its batch is not yet makes no difference."""
    batch = _split_batch(house)
    path = f"/v1/payment-batches/{batch['id']}/files/1"
    house.boss.get(path)
    _say(house, batch, file=1)

    silent = house.boss.get(path)
    named = house.boss.get(f"{path}?reason=Lost")

    assert (silent.status_code, silent.json()["errors"][0]["code"], named.status_code) == (422, "reason_missing", 200)
    assert silent.json()["errors"][0]["pointer"] == "query:reason"


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_looking_at_the_address_of_a_file_is_no_hand_out(house: House, method: str) -> None:
    """A preview that only looks gets no bytes, and the file still never left."""
    batch = house.approved()

    answer = house.boss.call(method, f"/v1/payment-batches/{batch['id']}/file")

    assert (answer.status_code, answer.content if method == "HEAD" else b"") == (405, b"")
    assert "file.handed_out" not in house.events()


def test_a_file_that_does_not_open_is_not_handed_out(house: House, ctx: Context) -> None:
    """Its key was taken out too early, or it was altered: 503 with what to do, and it counts as never fetched."""
    batch = house.approved()
    with ctx.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE payment_file SET content_sealed = content_sealed || '\\x00'::bytea")

    answer = house.boss.get(f"/v1/payment-batches/{batch['id']}/file")

    assert (answer.status_code, answer.json()["code"]) == (503, "sealed_value_unreadable")
    assert "keys status" in answer.json()["detail"]
    assert house.batch(batch["id"])["file"]["handed_out_at"] is None
    assert "file.handed_out" not in house.events()
