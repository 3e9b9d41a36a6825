"""After the term: names, accounts, texts, files and answers are gone; sums, digests, hashes and history still prove."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.auth.models import Role
from app.core import history_proof
from app.core.database import transaction
from app.payments import erasing, fetching, retention
from app.payments.context import Context
from app.payments.models import PayrollRun, RunState
from tests.support.clock import FakeClock
from tests.support.house import House, Person, add_house, add_person, document, lines, link
from tests.support.planted import FORMS, PLANTED, found_in
from tests.support.postgres import TestDatabase

# Wednesdays. Eight years back is past seven years from the end of the year; 2019 is not for a run of 2020.
LONG_AGO = datetime(2016, 11, 16, 9, 0, tzinfo=UTC)
RECENT = datetime(2025, 3, 5, 9, 0, tzinfo=UTC)
PAID = PLANTED[:2]


def _house_of(ctx: Context, client: TestClient, clock: FakeClock, moment: datetime) -> House:
    clock.moment = moment
    return add_house(ctx, client, go_live_on="2016-01-01")


def _back_to_now(house: House, clock: FakeClock) -> Person:
    """Return to the clock of the database: the tokens of long ago have ended, so somebody new looks."""
    clock.moment = datetime.now(UTC)
    return add_person(
        house.ctx, house.client, house.employer_id, (Role.ADMIN, Role.APPROVER), email="later@jansen.example"
    )


def _executed(house: House, clock: FakeClock, day: str) -> dict[str, Any]:
    batch = house.delivered(document(PAID, day=day))
    clock.forward(days=20)
    said = {"statement": "executed", "reason": "statement of the bank"}
    assert house.boss.post(f"/v1/payment-batches/{batch['id']}/statements", said).status_code == 201
    return house.batch(batch["id"])


@pytest.fixture
def old(ctx: Context, client: TestClient, clock: FakeClock) -> tuple[House, dict[str, Any]]:
    """A house that paid two people eight years ago and more."""
    house = _house_of(ctx, client, clock, LONG_AGO)
    return house, _executed(house, clock, "2016-11-25")


@contextmanager
def _as_superuser(database: TestDatabase) -> Iterator[sa.Connection]:
    engine = sa.create_engine(database.superuser_url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def _dump(database: TestDatabase) -> str:
    """Return every row of every table as text, sealed bytes and all."""
    with _as_superuser(database) as connection:
        tables = connection.execute(sa.text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars()
        rows = [connection.execute(sa.text(f'SELECT t::text FROM "{table}" t')).scalars().all() for table in tables]
    return "\n".join(row for found in rows for row in found)


def test_what_is_personal_is_gone_and_the_rest_still_proves(
    old: tuple[House, dict[str, Any]], ctx: Context, clock: FakeClock, database: TestDatabase
) -> None:
    """No name, IBAN or text in any table; count, sum, digest, hash, approval and a verified history remain."""
    house, before = old
    person = _back_to_now(house, clock)
    assert len(set(found_in(_dump(database))) & set(FORMS[:10])) > 4

    assert erasing.erase(ctx) > 0

    kept = _dump(database)
    assert [form for line in PAID for form in (line.name, line.iban, line.text) if form in kept] == []
    after = person.get(f"/v1/payment-batches/{before['id']}").json()
    same = ("status", "revision", "digest", "number_of_transactions", "control_sum", "files", "counts")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert after["erased_at"] is not None
    assert before["files"][0]["sha256"] in kept
    with transaction(ctx.engine) as session:
        history_proof.snapshot(session)
        assert history_proof.verify(session, house.employer_id).verified
    told = [each["event"] for each in person.get(f"/v1/payment-batches/{before['id']}/history").json()]
    assert told[0] == "batch.erased"
    assert "batch.approved" in told
    run = next(each for each in person.get("/v1/history").json() if each["event"] == "run.erased")
    assert {name: run["facts"]["details"][name] for name in ("lines", "files", "readings")} == {
        "lines": 2,
        "files": 1,
        "readings": 1,
    }


def test_erasing_again_does_nothing(old: tuple[House, dict[str, Any]], ctx: Context, clock: FakeClock) -> None:
    """What is gone is not erased, nor told, twice."""
    person = _back_to_now(old[0], clock)
    erasing.erase(ctx)
    told = len(person.get("/v1/history?limit=1000").json())

    assert erasing.erase(ctx) == 0
    assert len(person.get("/v1/history?limit=1000").json()) == told


def test_what_needs_the_lines_says_that_they_are_gone(
    old: tuple[House, dict[str, Any]], ctx: Context, clock: FakeClock
) -> None:
    """File, canonical bytes, return and comparison: 410 with words; lines and findings are shown without anybody."""
    house, batch = old
    line = house.transfers(batch["id"])[0]
    stored = house.boss.get(f"/v1/payment-batches/{batch['id']}/file?reason=copy").content
    person = _back_to_now(house, clock)
    erasing.erase(ctx)
    path = f"/v1/payment-batches/{batch['id']}"
    xml = {"Content-Type": "application/xml"}

    answers = [
        person.get(f"{path}/file?reason=again"),
        person.get(f"{path}/canonical"),
        person.post(f"/v1/transfers/{line['id']}/return", {"reason": "came back"}),
        person.call("POST", "/v1/payment-files/comparison", content=stored + b"\n", headers=xml),
    ]

    assert [(each.status_code, each.json()["code"]) for each in answers] == [(410, "erased")] * 4
    same = person.call("POST", "/v1/payment-files/comparison", content=stored, headers=xml)
    assert same.json()["is_identical"]
    for shown in (f"{path}/transfers", f"{path}/findings", f"{path}/comparison", f"{path}/files", "/v1/payroll-runs"):
        answer = person.get(shown)
        assert (answer.status_code, found_in(answer.text.replace("4711.37", "").replace("4869.39", ""))) == (
            200,
            [] if "files" not in shown else found_in(answer.text),
        ), shown


def test_nobody_is_paid_again_because_the_lines_are_gone(
    old: tuple[House, dict[str, Any]], ctx: Context, clock: FakeClock
) -> None:
    """The same document, the same run under a number, and another run of that period are all refused."""
    house, batch = old
    person = _back_to_now(house, clock)
    erasing.erase(ctx)
    path = f"/v1/administrations/{house.administration_id}/payroll-files"

    def upload(data: bytes, query: str = "") -> Any:
        return person.call("POST", path + query, content=data, headers={"Content-Type": "application/xml"})

    again = [
        upload(document(PAID, day="2016-11-25")),
        upload(document(lines(2), day="2016-11-25"), f"?year=2016&period=11&run_number={batch['run']['number']}"),
        upload(document(lines(2), day="2016-11-28")),
    ]

    assert [(each.status_code, each.json()["code"]) for each in again] == [(410, "erased")] * 3
    offered = person.post(f"/v1/payroll-runs/{batch['run']['id']}/batches")
    assert offered.status_code == 409, offered.text
    assert [each["id"] for each in person.get("/v1/payment-batches").json()] == [batch["id"]]


def _unpaid(house: House, clock: FakeClock) -> None:
    batch = house.uploaded_batch(document(PAID, day="2016-11-25"))
    line = house.transfers(batch["id"])[0]
    change = {"decision": "exclude", "reason": "later"}
    etag = {"If-Match": f'"r{batch["revision"]}"'}
    path = f"/v1/payment-batches/{batch['id']}/transfers/{line['id']}"
    assert house.boss.call("PATCH", path, json=change, headers=etag).status_code == 200
    assert house.boss.approve(house.batch(batch["id"])).status_code == 201
    assert house.deliver(batch["id"]).status_code == 201
    clock.forward(days=20)
    said = {"statement": "executed", "reason": "statement of the bank"}
    assert house.boss.post(f"/v1/payment-batches/{batch['id']}/statements", said).status_code == 201


@pytest.mark.parametrize(
    "unfinished",
    [
        _unpaid,
        lambda house, _: house.uploaded_batch(document(PAID, day="2016-11-25")),
        lambda house, _: house.approved(document(PAID, day="2016-11-25")),
        lambda house, _: house.delivered(document(PAID, day="2016-11-25")),
    ],
    ids=["unpaid line", "pending", "approved", "no word of the bank"],
)
def test_what_is_not_finished_is_never_erased(
    ctx: Context, client: TestClient, clock: FakeClock, database: TestDatabase, unfinished: Any
) -> None:
    """Somebody may still have to be paid, or may be paid still: however old it is, it stays."""
    house = _house_of(ctx, client, clock, LONG_AGO)
    unfinished(house, clock)
    _back_to_now(house, clock)

    erasing.erase(ctx)

    assert PAID[0].iban in _dump(database)
    run_id = _only_run(database)
    with pytest.raises(sa.exc.ProgrammingError, match="not past its term"), ctx.engine.begin() as connection:
        connection.execute(sa.text("SELECT erase_run(:run, '{}', '{}')"), {"run": run_id})


def test_a_run_of_the_dry_run_is_erased_as_well(
    ctx: Context, client: TestClient, clock: FakeClock, database: TestDatabase
) -> None:
    """Going live leaves the runs of the dry run for good; the names and accounts in them are as personal."""
    clock.moment = LONG_AGO
    house = add_house(ctx, client, go_live_on="2016-01-01", mode="dry_run")
    house.approved(document(PAID, day="2016-11-25"))
    live = link(house.boss, house.administration_id, house.employer_id, house.account_id, go_live_on="2016-12-01")
    assert live.status_code == 200, live.text
    _back_to_now(house, clock)
    assert PAID[0].iban in _dump(database)

    erasing.erase(ctx)

    kept = _dump(database)
    assert [form for line in PAID for form in (line.name, line.iban, line.text) if form in kept] == []


@pytest.mark.parametrize("state", ["failed", "doubtful", "empty", "seen", "fetching", "ignored"])
def test_a_run_that_still_owes_somebody_stays_whatever_became_of_it(
    ctx: Context, client: TestClient, clock: FakeClock, database: TestDatabase, state: str
) -> None:
    """Fetched well once, offered, and not fetched well again: its unpaid lines are not erased under the employer."""
    house = _house_of(ctx, client, clock, LONG_AGO)
    _unpaid(house, clock)
    with _as_superuser(database) as connection:
        connection.execute(sa.text("UPDATE payroll_run SET state = :state"), {"state": state})
    _back_to_now(house, clock)

    erasing.erase(ctx)

    assert PAID[0].iban in _dump(database)


def test_what_the_source_lists_no_longer_keeps_no_run(
    ctx: Context, client: TestClient, clock: FakeClock, database: TestDatabase
) -> None:
    """Refused by the bank and corrected at the source: on no list, so nobody could ever close it."""
    house, named = _house_of(ctx, client, clock, LONG_AGO), {"year": 2016, "period": 11, "run_number": 1}
    second = house.second_person()
    batch = house.approved(document(PAID, day="2016-11-25"), **named)
    house.deliver(batch["id"])
    wrong = house.transfers(batch["id"])[1]["id"]
    path = f"/v1/payment-batches/{batch['id']}/statements"
    for person in (house.boss, second):
        person.post(path, {"statement": "refused", "reason": "Account closed", "transfer_ids": [wrong]})
    late = house.upload(document([PAID[0]], day="2016-11-25"), **named)
    assert late.is_success, late.text
    assert house.boss.get("/v1/unpaid-transfers").json() == []
    clock.forward(days=20)
    assert house.boss.post(path, {"statement": "executed", "reason": "statement of the bank"}).status_code == 201
    _back_to_now(house, clock)

    erasing.erase(ctx)

    assert PAID[0].iban not in _dump(database)


def test_a_run_that_never_paid_anybody_closes_no_period(
    ctx: Context, client: TestClient, clock: FakeClock, database: TestDatabase
) -> None:
    """A run that was seen and never fetched is erased; the period that it was of can still be paid."""
    house = _house_of(ctx, client, clock, LONG_AGO)
    _executed(house, clock, "2016-11-25")
    with _as_superuser(database) as connection:
        connection.execute(sa.text("UPDATE payroll_run SET state = 'erased'"))
        run = connection.execute(sa.text("SELECT id FROM payroll_run")).scalar_one()
    with transaction(ctx.engine) as session:
        with_lines = fetching.is_of_erased_period(session, session.get_one(PayrollRun, run))
    with _as_superuser(database) as connection:
        values = {"n": uuid4(), "run": run}
        connection.execute(
            sa.text(
                "INSERT INTO payroll_run SELECT (jsonb_populate_record(run, jsonb_build_object('id', CAST(:n AS text), "
                "'period', 12, 'period_start', 12, 'period_end', 12))).* FROM payroll_run run WHERE id = :run"
            ),
            values,
        )
    with transaction(ctx.engine) as session:
        without = fetching.is_of_erased_period(session, session.get_one(PayrollRun, values["n"]))

    assert (with_lines, without) == (True, False)


def test_why_a_line_was_left_out_is_erased_from_what_was_approved(
    ctx: Context, client: TestClient, clock: FakeClock, database: TestDatabase
) -> None:
    """What somebody wrote about a colleague stands in the bytes under the digest; it goes with the lines."""
    house = _house_of(ctx, client, clock, LONG_AGO)
    batch = house.uploaded_batch(document(PAID, day="2016-11-25"))
    line = house.transfers(batch["id"])[1]["id"]
    body = {"decision": "exclude", "reason": "Ruzie met Pietje Planted"}
    path = f"/v1/payment-batches/{batch['id']}/transfers/{line}"
    assert house.boss.call("PATCH", path, json=body, headers={"If-Match": '"r1"'}).status_code == 200
    assert house.boss.approve(house.batch(batch["id"])).status_code == 201
    assert house.deliver(batch["id"]).status_code == 201
    clock.forward(days=20)
    said = {"statement": "executed", "reason": "statement of the bank"}
    assert house.boss.post(f"/v1/payment-batches/{batch['id']}/statements", said).status_code == 201
    assert house.boss.post(f"/v1/transfers/{line}/waiver", {"reason": "Settled"}).status_code == 201
    _back_to_now(house, clock)
    assert "Pietje Planted" in _columns(database, "payment_batch")

    erasing.erase(ctx)

    assert "Pietje Planted" not in _columns(database, "payment_batch") + _columns(database, "credit_transfer")


def _columns(database: TestDatabase, table: str) -> str:
    with _as_superuser(database) as connection:
        return "\n".join(connection.execute(sa.text(f'SELECT t::text FROM "{table}" t')).scalars())


def _only_run(database: TestDatabase) -> UUID:
    with _as_superuser(database) as connection:
        return UUID(str(connection.execute(sa.text("SELECT id FROM payroll_run")).scalar_one()))


def test_the_database_keeps_what_is_within_its_term(
    ctx: Context, client: TestClient, clock: FakeClock, database: TestDatabase
) -> None:
    """A service whose clock is wrong, or that is broken into, erases nothing early: the database looks at its own."""
    house = _house_of(ctx, client, clock, RECENT)
    _executed(house, clock, "2025-03-25")
    clock.moment = datetime(2060, 1, 1, tzinfo=UTC)

    erasing.erase(ctx)

    assert PAID[0].iban in _dump(database)
    with pytest.raises(sa.exc.ProgrammingError, match="not past its term"), ctx.engine.begin() as connection:
        connection.execute(sa.text("SELECT erase_run(:run, '{}', '{}')"), {"run": _only_run(database)})


def test_the_service_cannot_change_an_obligation_otherwise(old: tuple[House, dict[str, Any]], ctx: Context) -> None:
    """Outside that function obligations stay immutable, and the function takes nothing but marks."""
    run_id = old[1]["run"]["id"]
    with pytest.raises(sa.exc.ProgrammingError, match="permission denied"), ctx.engine.begin() as connection:
        connection.execute(sa.text("UPDATE obligation SET creditor = 'x'"))
    ask = sa.text("SELECT erase_run(:run, :creditors, :marks)")
    for marks in (["NL39RABO0300065264"] * 2, [], [f"erased:{'0' * 64}"]):
        values = {"run": run_id, "creditors": [line.iban for line in PAID], "marks": marks}
        with pytest.raises(sa.exc.DBAPIError, match="needs a mark"), ctx.engine.begin() as connection:
            connection.execute(ask, values)


def test_raw_answers_go_before_the_lines(
    ctx: Context, client: TestClient, clock: FakeClock, database: TestDatabase
) -> None:
    """After thirteen months what the source said is gone, and the batch is as it was; its run is offered no more."""
    house = _house_of(ctx, client, clock, RECENT)
    batch = house.uploaded_batch(document(PAID, day="2025-03-25"))
    path = f"/v1/payment-batches/{batch['id']}/rejection"
    etag = {"If-Match": f'"r{batch["revision"]}"'}
    assert house.boss.post(path, {"reason": "wrong"}, headers=etag).status_code == 200
    clock.moment = datetime(2026, 4, 5, tzinfo=UTC)
    erasing.erase(ctx)
    assert _sealed_bytes(database, "source_reading", "raw_sealed") > 0
    clock.moment = datetime(2026, 4, 6, tzinfo=UTC)

    erasing.erase(ctx)

    assert _sealed_bytes(database, "source_reading", "raw_sealed") == 0
    person = _back_to_now(house, clock)
    names = {each["creditor"]["name"] for each in person.get(f"{path[: -len('/rejection')]}/transfers").json()["items"]}
    assert names == {line.name for line in PAID}
    offered = person.post(f"/v1/payroll-runs/{batch['run']['id']}/batches")
    assert (offered.status_code, offered.json()["code"]) == (410, "erased")
    assert "source.erased" in [each["event"] for each in person.get("/v1/history").json()]


def _sealed_bytes(database: TestDatabase, table: str, column: str) -> int:
    with _as_superuser(database) as connection:
        query = sa.text(f"SELECT coalesce(sum(length({column})), 0) FROM {table}")
        return int(connection.execute(query).scalar_one())


def test_stored_answers_go_and_their_keys_stay(house: House, ctx: Context, clock: FakeClock) -> None:
    """Ninety days later a repeat acts no more than before; what was answered, a person's line, is gone."""
    batch = house.uploaded_batch(document(PAID))
    line = house.transfers(batch["id"])[0]
    path, key = f"/v1/transfers/{line['id']}/waiver", {"Idempotency-Key": "waive"}
    assert house.boss.post(path, {"reason": "not owed"}, headers=key).status_code == 201
    clock.forward(days=retention.TECHNICAL_DAYS - 1)
    erasing.erase(ctx)
    assert house.boss.post(path, {"reason": "not owed"}, headers=key).json()["creditor"]["name"] == PAID[0].name
    clock.forward(hours=24, seconds=1)
    erasing.erase(ctx)

    with ctx.engine.connect() as connection:
        answers = connection.execute(sa.text("SELECT count(answer), count(status) FROM idempotency_key")).one()
    assert tuple(answers) == (0, 1)
    again = add_person(ctx, house.client, house.employer_id, (), email=house.boss.email)
    answer = again.post(path, {"reason": "not owed"}, headers=key)
    assert (answer.status_code, answer.json()["code"]) == (410, "answer_erased")


def test_the_default_is_the_same_in_the_service_and_in_the_database(ctx: Context) -> None:
    """An employer without terms of its own has the default ones, on both sides."""
    with ctx.engine.connect() as connection:
        source = connection.execute(sa.text("SELECT prosrc FROM pg_proc WHERE proname = 'runs_past_term'")).scalar_one()
    assert f"coalesce(term.lines_months, {retention.DEFAULT.lines_months})" in source


@pytest.mark.parametrize(("hour", "erases"), [(0, False), (1, True), (3, True), (4, False), (12, False)])
def test_it_is_done_at_night(
    old: tuple[House, dict[str, Any]], ctx: Context, clock: FakeClock, hour: int, erases: bool
) -> None:
    """Between two and five in Amsterdam, which in winter is between one and four in UTC."""
    _back_to_now(old[0], clock)
    clock.moment = datetime(2027, 1, 20, hour, 30, tzinfo=UTC)
    assert bool(erasing.erase_at_night(ctx)) is erases


def test_an_erased_run_is_never_fetched(old: tuple[House, dict[str, Any]], ctx: Context, clock: FakeClock) -> None:
    """Its state says so, once, and nothing under way is left."""
    _back_to_now(old[0], clock)
    erasing.erase(ctx)
    with transaction(ctx.engine) as session:
        run = session.get_one(PayrollRun, UUID(old[1]["run"]["id"]))
    assert (run.state, run.next_attempt_at, run.description) == (RunState.ERASED, None, "")
