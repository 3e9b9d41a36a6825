"""A database that was set back pays nobody twice: noticed, held, reconciled, and only then paid again (ADR 0020)."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.core.errors import Conflict, Invalid
from app.core.release_counter import HandOut, Mark, ReleaseCounter
from app.main import Service, create_app
from app.payments import reconciling, restored, two_people
from app.payments.context import Context
from app.payments.ports import ChannelAnswer, ChannelOutcome
from app.payments.restored import Fault
from tests.end_to_end.town import until
from tests.support.backups import copy_of, put_back
from tests.support.clock import FakeClock
from tests.support.house import House, add_house, document, lines
from tests.support.postgres import TestDatabase


class SendingBank:
    """A bank channel that counts what it is sent."""

    name = "fake"

    def __init__(self) -> None:
        self.sent: list[str] = []

    def send(self, data: bytes, *, message_id: str) -> ChannelAnswer:
        """Take a file."""
        del data
        self.sent.append(message_id)
        return ChannelAnswer(outcome=ChannelOutcome.UNKNOWN, reference="R-1")

    def ask(self, *, message_id: str, reference: str | None) -> ChannelAnswer:
        """Know nothing."""
        del message_id, reference
        return ChannelAnswer(outcome=ChannelOutcome.UNKNOWN)


@pytest.fixture
def bank() -> SendingBank:
    """A bank that can be sent to."""
    return SendingBank()


@pytest.fixture
def ctx(service: Service, bank: SendingBank) -> Context:
    """The surroundings, with a channel."""
    return replace(service.context, channels={"fake": bank})


@pytest.fixture
def client(service: Service, ctx: Context) -> Iterator[TestClient]:
    """A client of a service on these surroundings."""
    with TestClient(
        create_app(replace(service, context=ctx), with_worker=False), raise_server_exceptions=False
    ) as made:
        yield made


def codes(answer: Any) -> list[str]:
    """Return the codes of the holds that a refusal names."""
    assert (answer.status_code, answer.json()["code"]) == (409, "held"), answer.text
    return [each["code"] for each in answer.json()["holds"]]


def get_file(house: House, batch_id: str) -> Any:
    """Ask for the file of a batch."""
    return house.boss.get(f"/v1/payment-batches/{batch_id}/file")


def go_back(ctx: Context, database: TestDatabase, copy: str) -> None:
    """Put the database back, and let go of the connections to the one that is gone."""
    put_back(database, copy)
    ctx.close()


def lift(house: House, batch_id: str) -> None:
    """Have two people of the employer lift what holds it."""
    second = house.second_person()
    (hold,) = house.batch(batch_id)["holds"]
    path = f"/v1/payment-batches/{batch_id}/holds/{hold['id']}/lifting"
    reason = {"reason": "Looked at the bank: nothing was handed in"}
    assert house.boss.post(path, reason).status_code == 202
    assert house.boss.post(path, reason).status_code != 201
    assert second.post(path, reason).status_code == 201


def test_an_ordinary_day_puts_nothing_on_hold(ctx: Context, house: House) -> None:
    """Looking any number of times between the steps of a payday finds nothing missing."""
    assert restored.watch(ctx).fault is None
    batch = house.approved()
    assert restored.watch(ctx).fault is None
    house.deliver(batch["id"])
    assert restored.watch(ctx).fault is None
    assert house.batch(batch["id"])["holds"] == []
    assert [each.hand_out.message_id for each in ctx.releases.hand_outs() if each.hand_out] == [
        house.batch(batch["id"])["file"]["message_id"]
    ]


def test_what_was_paid_after_the_backup_is_not_approved_again(
    ctx: Context, database: TestDatabase, house: House
) -> None:
    """The batch that was handed out after the backup waits for approval in it, and stays waiting, by name."""
    batch = house.uploaded_batch()
    with copy_of(database) as copy:
        house.boss.approve(batch)
        house.handed_out(batch["id"])
        go_back(ctx, database, copy)
        assert restored.watch(ctx).fault is Fault.RESTORED

        assert codes(house.boss.approve(house.batch(batch["id"]))) == ["database_restored"]
        assert house.batch(batch["id"])["status"] == "pending"
        assert [hold["code"] for hold in house.batch(batch["id"])["holds"]] == ["database_restored"]


def test_a_database_swapped_under_a_running_service_gives_no_file(
    ctx: Context, database: TestDatabase, house: House, bank: SendingBank
) -> None:
    """Before anything has noticed: an approved file does not leave, by download or by channel."""
    batch = house.approved()
    restored.watch(ctx)
    with copy_of(database) as copy:
        house.handed_out(batch["id"])
        go_back(ctx, database, copy)

        assert codes(get_file(house, batch["id"])) == ["database_restored"]
        sent = house.boss.post(
            f"/v1/payment-batches/{batch['id']}/deliveries",
            {"channel": "fake"},
            headers={"If-Match": f'"r{batch["revision"]}"'},
        )
        assert codes(sent) == ["database_restored"]
        assert bank.sent == []


def test_a_file_from_before_the_backup_is_not_given_again(ctx: Context, database: TestDatabase, house: House) -> None:
    """It may have been withdrawn since, and its lines paid by another file: nobody here knows."""
    batch = house.approved()
    house.handed_out(batch["id"])
    with copy_of(database) as copy:
        house.handed_out(batch["id"])
        go_back(ctx, database, copy)
        assert codes(get_file(house, batch["id"])) == ["database_restored"]
        restored.watch(ctx)
        assert codes(get_file(house, batch["id"])) == ["database_restored"]


def test_growing_past_the_counter_does_not_hide_a_restore(ctx: Context, database: TestDatabase, house: House) -> None:
    """The restored history gets longer than the counter knows, but it is another history: its macs differ."""
    batch = house.approved()
    restored.watch(ctx)
    with copy_of(database) as copy:
        house.handed_out(batch["id"])
        go_back(ctx, database, copy)
        for number in range(5):
            house.second_person(f"person{number}")
        assert codes(get_file(house, batch["id"])) == ["database_restored"]


def test_a_file_that_left_after_the_backup_is_known_as_having_left(
    ctx: Context, database: TestDatabase, house: House
) -> None:
    """Approved in the backup, handed out since: after reconciling it is no file that never left, and is delivered."""
    batch = house.approved()
    restored.watch(ctx)
    with copy_of(database) as copy:
        seen = sha256(house.handed_out(batch["id"])).hexdigest()[:8]
        go_back(ctx, database, copy)
        restored.watch(ctx)
        reconciling.reconcile(ctx, reason="Backup of last night")

        headers = {"If-Match": f'"r{batch["revision"]}"'}
        recall = house.boss.call("DELETE", f"/v1/payment-batches/{batch['id']}/approvals/mine", headers=headers)
        assert recall.status_code == 409, recall.text
        assert codes(get_file(house, batch["id"])) == ["paid_after_backup"]
        said = house.boss.post(f"/v1/payment-batches/{batch['id']}/deliveries", {"hash_seen": seen}, headers=headers)
        assert (said.status_code, said.json()["status"]) == (201, "delivered"), said.text
        with ctx.engine.connect() as connection:
            left = sa.text("SELECT bool_and(was_handed_out) FROM claim")
            assert connection.execute(left).scalar_one() is True


def test_what_was_written_since_the_restore_hides_no_file(ctx: Context, database: TestDatabase, house: House) -> None:
    """The restored history grew past the lost hand-outs before anybody asked: each of them is still named."""
    first = house.approved(year=2026, period=11)
    second = house.approved(document(lines(4, cents=90_000), day="2026-11-26"), year=2026, period=10)
    house.handed_out(first["id"])
    with copy_of(database) as copy:
        house.handed_out(second["id"])
        house.handed_out(first["id"])
        go_back(ctx, database, copy)
        for number in range(9):
            house.second_person(f"person{number}")
        (missing,) = reconciling.report(ctx).missing
        assert [each.hand_out.message_id for each in missing.hand_outs if each.hand_out] == [
            second["file"]["message_id"],
            first["file"]["message_id"],
        ]
        assert missing.known_until is not None


def test_another_employer_is_let_go_by_the_operator_alone(
    ctx: Context, database: TestDatabase, house: House, other_house: House
) -> None:
    """Everybody is held at first; after reconciling only who misses something waits for two of its own people."""
    batch, other = house.uploaded_batch(), other_house.uploaded_batch()
    restored.watch(ctx)
    with copy_of(database) as copy:
        house.boss.approve(batch)
        message_id = house.batch(batch["id"])["file"]["message_id"]
        house.handed_out(batch["id"])
        go_back(ctx, database, copy)
        restored.watch(ctx)
        assert codes(other_house.boss.approve(other)) == ["database_restored"]
        (missing,) = reconciling.report(ctx).missing
        assert missing.organization_id == house.employer_id
        assert [each.hand_out.message_id for each in missing.hand_outs if each.hand_out] == [message_id]

        done = reconciling.reconcile(ctx, reason="Asked the employer")

        assert (done.lifted, done.employers) == (["database_restored"], [house.employer_id])
        assert restored.watch(ctx).fault is None
        assert other_house.boss.approve(other).status_code == 201
        refused = house.boss.approve(batch)
        assert codes(refused) == ["paid_after_backup"]
        assert message_id in refused.json()["detail"]
        lift(house, batch["id"])
        assert house.boss.approve(house.batch(batch["id"])).status_code == 201
        assert get_file(house, batch["id"]).status_code == 200
        assert restored.watch(ctx).fault is None
        told = {"restore.reconciled", "employer.held", "employer.hold_lifted"}
        assert told <= set(house.events())
        assert not told & set(other_house.events())


def test_an_employer_that_is_not_in_the_backup_is_named(
    ctx: Context, client: TestClient, database: TestDatabase
) -> None:
    """A whole employer may be younger than the backup: the counter still knows that it paid."""
    with copy_of(database) as copy:
        house = add_house(ctx, client)
        batch = house.approved()
        house.handed_out(batch["id"])
        go_back(ctx, database, copy)
        assert restored.watch(ctx).fault is Fault.RESTORED
        missing = {each.organization_id: each for each in reconciling.report(ctx).missing}
        found = missing[house.employer_id]
        assert (found.name, found.known_until, len(found.hand_outs)) == (None, None, 1)
        assert reconciling.reconcile(ctx, reason="It is set up again").employers == []
        assert restored.watch(ctx).fault is None


def test_what_was_not_given_was_not_counted_and_is_given_later(ctx: Context, house: House) -> None:
    """When the counter cannot be written no byte leaves; afterwards the same file is, and it is counted."""
    batch = house.approved()
    restored.watch(ctx)
    lock = ctx.releases.path.with_name("release-counter.lock")
    lock.unlink()
    lock.mkdir()  # root may write anything but this
    refused = get_file(house, batch["id"])
    assert (refused.status_code, refused.json()["code"]) == (503, "release_not_recorded")
    assert b"<Document" not in refused.content
    assert ctx.releases.hand_outs() == ()
    restored.watch(ctx)
    lock.rmdir()

    assert b"<Document" in house.handed_out(batch["id"])
    assert len(ctx.releases.hand_outs()) == 1


def test_a_crash_between_commit_and_counter_is_caught_up_with(
    ctx: Context, database: TestDatabase, house: House
) -> None:
    """The database ahead is no alarm; the counter follows, and from then on a restore is noticed."""
    batch = house.approved()
    restored.watch(ctx)
    with copy_of(database) as copy:
        counted = ctx.releases.path.read_bytes()
        house.handed_out(batch["id"])
        ctx.releases.path.write_bytes(counted)  # as if the process had died before it wrote
        assert restored.watch(ctx).fault is None
        go_back(ctx, database, copy)
        assert restored.watch(ctx).fault is Fault.RESTORED


def test_a_refused_hand_out_is_not_counted(ctx: Context, house: House) -> None:
    """What was rolled back leaves no mark: a refusal never makes a false alarm."""
    batch = house.approved()
    restored.watch(ctx)
    house.boss.post(f"/v1/payment-batches/{batch['id']}/holds", {"reason": "Wait"})
    assert get_file(house, batch["id"]).status_code == 409
    assert ctx.releases.hand_outs() == ()


def test_what_a_channel_is_sent_is_counted_before(ctx: Context, house: House, bank: SendingBank) -> None:
    """The counter knows of the file when the bank is called."""
    batch = house.approved()
    counted: list[int] = []
    send = bank.send

    def looking(data: bytes, *, message_id: str) -> ChannelAnswer:
        counted.append(len(ctx.releases.hand_outs()))
        return send(data, message_id=message_id)

    bank.send = looking  # type: ignore[method-assign]
    house.boss.post(
        f"/v1/payment-batches/{batch['id']}/deliveries",
        {"channel": "fake"},
        headers={"If-Match": f'"r{batch["revision"]}"'},
    )
    assert (counted, len(bank.sent)) == ([1], 1)


def test_a_dry_run_counts_nothing(ctx: Context, client: TestClient) -> None:
    """What can never be paid does not raise the counter."""
    house = add_house(ctx, client, mode="dry_run")
    batch = house.approved()
    assert house.boss.get(f"/v1/payment-batches/{batch['id']}/file?dry=1").status_code == 200
    assert ctx.releases.hand_outs() == ()


def _lose(path: Path) -> None:
    path.unlink()


def _damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[40:])


def _foreign(path: Path) -> None:
    head, _, rest = path.read_text().partition("\n")
    start = head.index('"installation": "') + len('"installation": "')
    path.write_text(f"{head[:start]}{UUID(int=9)}{head[start + 36 :]}\n{rest}")


@pytest.mark.parametrize(
    ("spoil", "fault"), [(_lose, Fault.LOST), (_damage, Fault.UNREADABLE), (_foreign, Fault.FOREIGN)]
)
def test_without_its_own_counter_nothing_leaves(ctx: Context, house: House, spoil: Any, fault: Fault) -> None:
    """Lost, damaged, or of another installation, as on a copied database: held until the operator says which it is."""
    batch = house.approved()
    restored.watch(ctx)
    spoil(ctx.releases.path)

    assert codes(get_file(house, batch["id"])) == [fault.value]
    assert restored.watch(ctx).fault is fault
    with pytest.raises(Invalid, match="--every-employer"):
        reconciling.reconcile(ctx, reason="?")
    with pytest.raises(Invalid, match="--every-employer"):
        reconciling.reconcile(ctx, reason="?", every_employer=True, nothing_restored=True)
    with pytest.raises(Invalid, match="--reason"):
        reconciling.reconcile(ctx, reason=" ", nothing_restored=True)
    assert codes(get_file(house, batch["id"])) == [fault.value]

    done = reconciling.reconcile(ctx, reason="The disk was replaced", nothing_restored=True)

    assert (done.lifted, done.employers) == ([fault.value], [])
    assert "restore.reconciled" in house.events()  # only the operator's word: everybody can read it
    assert restored.watch(ctx).fault is None
    assert get_file(house, batch["id"]).status_code == 200


def test_a_machine_that_is_reconciled_before_its_first_start_holds_nothing(ctx: Context, house: House) -> None:
    """Its own counter begins there and then; started first, it would put the whole installation on hold."""
    batch = house.approved()
    restored.watch(ctx)
    ctx.releases.path.unlink()

    done = reconciling.reconcile(ctx, reason="Another machine", nothing_restored=True)

    assert (done.lifted, done.employers) == ([], [])
    assert restored.watch(ctx).fault is None
    assert house.batch(batch["id"])["holds"] == []
    assert get_file(house, batch["id"]).status_code == 200


def test_a_counter_that_was_put_back_still_needs_a_word(ctx: Context, house: House) -> None:
    """The hold stands after the file is back; the operator says that the database was not set back."""
    batch = house.approved()
    restored.watch(ctx)
    kept = ctx.releases.path.read_bytes()
    ctx.releases.path.unlink()
    restored.watch(ctx)
    ctx.releases.path.write_bytes(kept)

    assert restored.watch(ctx).fault is None
    assert codes(get_file(house, batch["id"])) == [Fault.LOST]
    with pytest.raises(Invalid, match="--nothing-was-restored"):
        reconciling.reconcile(ctx, reason="Found the file")
    assert reconciling.reconcile(ctx, reason="Found the file", nothing_restored=True).lifted == [Fault.LOST]
    assert get_file(house, batch["id"]).status_code == 200


def test_when_nobody_knows_what_is_missing_everybody_looks(ctx: Context, house: House, other_house: House) -> None:
    """A lost counter beside a restored database: each employer waits for two of its own people."""
    batch = house.approved()
    restored.watch(ctx)
    ctx.releases.path.unlink()
    restored.watch(ctx)

    done = reconciling.reconcile(ctx, reason="The whole machine was restored", every_employer=True)

    assert set(done.employers) == {house.employer_id, other_house.employer_id}
    assert codes(get_file(house, batch["id"])) == ["paid_after_backup"]
    lift(house, batch["id"])
    assert get_file(house, batch["id"]).status_code == 200


class SlowlyBegunAnew(ReleaseCounter):
    """A counter that begins anew only when something else has happened: here, that a tick looked or waits to look."""

    def __init__(self, path: Path, meanwhile: Callable[[], None]) -> None:
        super().__init__(path)
        self._meanwhile = meanwhile

    def start_anew(self, installation_id: UUID, marks: Iterable[Mark], *, now: datetime) -> None:
        """Let the other thing happen, then begin anew."""
        self._meanwhile()
        super().start_anew(installation_id, marks, now=now)


def test_a_tick_between_letting_go_and_counting_anew_holds_nothing(
    ctx: Context, database: TestDatabase, house: House
) -> None:
    """The counter is still ahead when the holds are lifted: a tick at that moment waits, and then finds it anew."""
    batch = house.approved()
    restored.watch(ctx)
    with copy_of(database) as copy, ThreadPoolExecutor(1) as pool:
        house.handed_out(batch["id"])
        go_back(ctx, database, copy)
        restored.watch(ctx)
        ticks: list[Future[restored.Standing]] = []

        def tick() -> None:
            ticks.append(pool.submit(restored.watch, ctx))
            until(lambda: ticks[0].done() or _waits(ctx), "the tick to have looked, or to wait")

        slow = replace(ctx, releases=SlowlyBegunAnew(ctx.releases.path, tick))
        reconciling.reconcile(slow, reason="Backup of last night")

        assert ticks[0].result().fault is None
        assert [hold["code"] for hold in house.batch(batch["id"])["holds"]] == ["paid_after_backup"]


def _waits(ctx: Context) -> bool:
    query = (
        "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
        "WHERE locktype = 'advisory' AND NOT granted AND datname = current_database())"
    )
    with ctx.engine.connect() as connection:
        return bool(connection.execute(sa.text(query)).scalar_one())


def test_there_is_nothing_to_reconcile_on_an_ordinary_day(ctx: Context, house: House) -> None:
    """The command cannot be used to throw the counter away."""
    restored.watch(ctx)
    before = ctx.releases.path.read_bytes()
    with pytest.raises(Conflict):
        reconciling.reconcile(ctx, reason="Just in case", nothing_restored=True)
    assert ctx.releases.path.read_bytes() == before


def test_the_hold_is_placed_once_and_by_nobody_in_person(ctx: Context, house: House) -> None:
    """Every tick looks; one hold stands, and no employer can lift it."""
    batch = house.approved()
    restored.watch(ctx)
    ctx.releases.path.unlink()
    for _ in range(3):
        restored.watch(ctx)
    (hold,) = house.batch(batch["id"])["holds"]
    refused = house.boss.post(
        f"/v1/payment-batches/{batch['id']}/holds/{hold['id']}/lifting", {"reason": "I want to pay"}
    )
    assert refused.status_code == 404


def test_a_hold_on_another_employer_is_not_found(ctx: Context, house: House, other_house: House) -> None:
    """The hold of one employer cannot be lifted, or seen, through a batch of another."""
    batch, other = house.approved(), other_house.approved()
    restored.watch(ctx)
    ctx.releases.path.unlink()
    reconciling.reconcile(ctx, reason="Restored", every_employer=True)
    (hold,) = house.batch(batch["id"])["holds"]
    path = f"/v1/payment-batches/{other['id']}/holds/{hold['id']}/lifting"
    assert other_house.boss.post(path, {"reason": "Mine?"}).status_code == 404
    assert hold["id"] not in [each["id"] for each in other_house.batch(other["id"])["holds"]]


def test_a_hold_on_the_employer_is_lifted_through_a_batch_that_ended(ctx: Context, house: House) -> None:
    """Who first rejects what was paid already has no other batch perhaps: the hold would stay until the next run."""
    batch = house.uploaded_batch()
    restored.watch(ctx)
    ctx.releases.path.unlink()
    reconciling.reconcile(ctx, reason="Restored", every_employer=True)
    path = f"/v1/payment-batches/{batch['id']}/rejection"
    headers = {"If-Match": f'"r{batch["revision"]}"'}
    done = house.boss.call("POST", path, json={"reason": "Paid after the backup"}, headers=headers)
    assert done.status_code == 200, done.text
    (offered,) = [each for each in house.batch(batch["id"])["allowed_actions"] if each["action"] == "lift_hold"]
    assert (offered["allowed"], offered["reasons"]) == (True, [])

    lift(house, batch["id"])

    assert house.batch(batch["id"])["holds"] == []


def test_what_was_paid_after_the_backup_is_said_of_each_line_while_all_is_held(ctx: Context, house: House) -> None:
    """Rejecting alone leaves the lines unpaid, to be offered again: each one is said to be paid, then it is over."""
    batch = house.uploaded_batch()
    restored.watch(ctx)
    ctx.releases.path.unlink()
    reconciling.reconcile(ctx, reason="Restored", every_employer=True)
    paid, *others = [line["id"] for line in house.transfers(batch["id"])]
    said = {"reason": "Paid with the file of yesterday"}

    in_the_waiting_batch = house.boss.post(f"/v1/transfers/{paid}/paid-elsewhere", said)
    fresh = house.batch(batch["id"])
    house.boss.post(
        f"/v1/payment-batches/{batch['id']}/rejection", said, headers={"If-Match": f'"r{fresh["revision"]}"'}
    )
    still_owed = [each["transfer"]["id"] for each in house.boss.get("/v1/unpaid-transfers").json()]
    after_rejecting = [house.boss.post(f"/v1/transfers/{line}/paid-elsewhere", said) for line in others]

    assert [hold["code"] for hold in fresh["holds"]] == [reconciling.PAID_MEANWHILE]
    assert [each.status_code for each in (in_the_waiting_batch, *after_rejecting)] == [201, 201, 201]
    assert sorted(still_owed) == sorted(others)
    assert house.boss.get("/v1/unpaid-transfers").json() == []
    assert house.boss.post(f"/v1/payroll-runs/{batch['run']['id']}/batches").status_code == 409


def test_a_second_restore_still_knows_what_left_before_the_first(
    ctx: Context, database: TestDatabase, house: House
) -> None:
    """The counter begins anew, not empty: an older backup after that names the same files, and holds for them."""
    first = house.approved(year=2026, period=11)
    second = house.approved(document(lines(4, cents=90_000), day="2026-11-26"), year=2026, period=10)
    house.handed_out(first["id"])
    both = [each["file"]["message_id"] for each in (first, second)]
    with copy_of(database) as copy:
        house.handed_out(second["id"])
        go_back(ctx, database, copy)
        reconciling.reconcile(ctx, reason="Backup of last night")
        assert [each.hand_out.message_id for each in ctx.releases.hand_outs() if each.hand_out] == both
        assert restored.watch(ctx).fault is None

        go_back(ctx, database, copy)

        assert restored.watch(ctx).fault is Fault.RESTORED
        (missing,) = reconciling.report(ctx).missing
        assert [each.hand_out.message_id for each in missing.hand_outs if each.hand_out] == both[1:]


def test_what_a_second_restore_loses_is_looked_for_beside_the_first(
    ctx: Context, database: TestDatabase, house: House, clock: FakeClock
) -> None:
    """Nobody has looked yet when the database is set back once more: the new files are named as well."""
    first = house.approved(year=2026, period=11)
    second = house.approved(document(lines(4, cents=90_000), day="2026-11-26"), year=2026, period=10)
    restored.watch(ctx)
    with copy_of(database) as copy:
        house.handed_out(first["id"])
        go_back(ctx, database, copy)
        reconciling.reconcile(ctx, reason="Backup of last night")
        ctx.releases.add([_handed_out(ctx, house, second)])
        clock.forward(minutes=1)

        reconciling.reconcile(ctx, reason="Another machine's counter knew more")

        reasons = [hold["reason"] for hold in house.batch(second["id"])["holds"]]
        assert [sum(each["file"]["message_id"] in reason for reason in reasons) for each in (first, second)] == [1, 1]


def _handed_out(ctx: Context, house: House, batch: dict[str, Any]) -> Mark:
    """Return the mark of a hand-out that is in no database any more."""
    furthest = ctx.releases.marks()[house.employer_id]
    out = HandOut(batch_id=UUID(batch["id"]), message_id=batch["file"]["message_id"])
    return replace(furthest, sequence=furthest.sequence + 5, mac="ab" * 32, hand_out=out)


def test_what_was_stopped_after_the_backup_does_not_happen_by_waiting(
    ctx: Context, database: TestDatabase, house: House, clock: FakeClock
) -> None:
    """A proposal that is open again in the backup, because it was stopped later, is done by nobody but people."""
    batch = house.approved()
    house.handed_out(batch["id"])
    path = f"/v1/payment-batches/{batch['id']}/withdrawals"
    asked = house.boss.post(path, {"reason": "Not read in."}).json()
    with copy_of(database) as copy:
        house.boss.call("DELETE", f"/v1/proposals/{asked['id']}")
        restored.watch(ctx)
        go_back(ctx, database, copy)
        restored.watch(ctx)
        clock.forward(hours=25)

        while_all_is_held = two_people.apply_due(ctx)
        reconciling.reconcile(ctx, reason="Backup of last night")
        while_the_employer_looks = two_people.apply_due(ctx)

        assert (while_all_is_held, while_the_employer_looks) == (0, 0)
        assert house.batch(batch["id"])["status"] == "approved"
        assert [each["id"] for each in house.boss.get("/v1/proposals").json()] == [asked["id"]]


def test_one_person_alone_still_gets_out_of_the_hold_after_a_day(
    ctx: Context, database: TestDatabase, house: House, clock: FakeClock
) -> None:
    """Lifting the hold that a restore brought is asked for after it, so that its day counts."""
    batch = house.approved()
    restored.watch(ctx)
    with copy_of(database) as copy:
        house.handed_out(batch["id"])
        go_back(ctx, database, copy)
        reconciling.reconcile(ctx, reason="Backup of last night")
        (hold,) = house.batch(batch["id"])["holds"]
        clock.forward(minutes=5)
        path = f"/v1/payment-batches/{batch['id']}/holds/{hold['id']}/lifting"
        assert house.boss.post(path, {"reason": "Looked at the bank"}).status_code == 202
        clock.forward(hours=25)

        assert two_people.apply_due(ctx) == 1
        assert house.batch(batch["id"])["holds"] == []
