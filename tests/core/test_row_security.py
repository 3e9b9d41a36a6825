"""Row security alone: what a query gets that forgot its tenant filter (ADR 0021)."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import ProgrammingError

from app.core.database import Principal, also_for, on_behalf_of, transaction
from app.payments.context import Context
from tests.contracts.fake_source import FakePayroll
from tests.support.house import House
from tests.support.tenants import Town, add_town

_DECISIONS = Path(__file__).parents[2] / "docs" / "decisions" / "0021-row-security.md"
_ROW = re.compile(r"^\| `(\w+)` \| (none|rows) \|", re.MULTILINE)
DECIDED = dict(_ROW.findall(_DECISIONS.read_text(encoding="utf-8")))
WITH_ROWS = sorted(name for name, decision in DECIDED.items() if decision == "rows")
# What the builder does not make through the API; the rest of a row does not matter to row security.
_MISSING = """
    INSERT INTO remembered_kind
    SELECT administration_id, 'x', 'salary', linked_by, linked_at FROM administration_link;
    INSERT INTO status_report
        (id, employer_id, file_id, raw_sealed, raw_sha256, message_id, channel, received_at, outcome)
    SELECT gen_random_uuid(), batch.employer_id, file.id, '', file.sha256, 'm', 'download', now(), '{}'
    FROM payment_file file JOIN payment_batch batch ON batch.id = file.batch_id;
    INSERT INTO approval_policy
    SELECT employer_id, '[{"from_cents": 0, "required": 1}]', now(), confirmed_by FROM debtor_account;
    INSERT INTO mandate (office_id, employer_id, created_at, sees_salaries)
    SELECT mandate.office_id, account.employer_id, now(), false
    FROM mandate JOIN debtor_account account ON account.employer_id <> mandate.employer_id;
    INSERT INTO retention SELECT employer_id, 84, 13, now(), confirmed_by FROM debtor_account;
    INSERT INTO reveal SELECT gen_random_uuid(), batch.employer_id, batch.id, token.user_id, token.id, 'r', now(), now()
    FROM payment_batch batch CROSS JOIN LATERAL (SELECT id, user_id FROM api_token LIMIT 1) token;
    INSERT INTO idempotency_key (user_id, key, route, body_hash, created_at)
    SELECT user_id, 'k', 'r', 'h', now() FROM api_token;
"""


@pytest.fixture
def town(ctx: Context, client: TestClient, payroll: FakePayroll) -> Town:
    """Three tenants, with at least a row in every table for both employers."""
    made = add_town(ctx, client, payroll)
    with transaction(ctx.engine) as session:
        for statement in _MISSING.split(";")[:-1]:
            session.execute(sa.text(statement))
    return made


def _boss_of(house: House) -> Principal:
    return Principal(person_id=house.boss.id, organizations=frozenset({house.employer_id}))


def _rows(engine: Engine, table: str) -> set[str]:
    with engine.connect() as connection:
        return set(connection.execute(sa.text(f"SELECT CAST(ctid AS text) FROM {table}")).scalars())


def test_each_table_has_a_decision(engine: Engine) -> None:
    """A new table is in the list of ADR 0021, and its row security is as that says: on and forced, or off."""
    query = sa.text(
        "SELECT relname, relrowsecurity AND relforcerowsecurity, relrowsecurity OR relforcerowsecurity "
        "FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
    )
    with engine.connect() as connection:
        found = {name: (both, either) for name, both, either in connection.execute(query)}

    assert set(found) == set(DECIDED)
    assert found == {name: (decision == "rows",) * 2 for name, decision in DECIDED.items()}


def test_a_query_without_a_filter_shows_one_tenant_only(town: Town) -> None:
    """Every table, read whole: each employer finds rows, and none that the other finds."""
    engines = [on_behalf_of(town.ctx.request_engine, _boss_of(house)) for house in (town.first, town.second)]
    found = {table: [_rows(engine, table) for engine in engines] for table in WITH_ROWS}
    assert [table for table, rows in found.items() if not all(rows)] == []
    for table, (first, second) in found.items():
        assert not first & second, table
        assert first | second <= _rows(town.ctx.service_engine, table), table


def test_for_nobody_there_is_nothing(town: Town) -> None:
    """A transaction that does not say for whom it works finds no row, in no table."""
    assert {table: _rows(town.ctx.request_engine, table) for table in WITH_ROWS} == {
        table: set() for table in WITH_ROWS
    }


def test_a_foreign_row_is_neither_written_nor_changed(town: Town) -> None:
    """A copy of another tenant's row is refused; an UPDATE and a DELETE without a filter reach no row of theirs."""
    mine = on_behalf_of(town.ctx.request_engine, _boss_of(town.first))
    theirs = on_behalf_of(town.ctx.request_engine, _boss_of(town.second))
    for table in WITH_ROWS:
        with theirs.connect() as connection:
            row = connection.execute(sa.text(f"SELECT CAST(to_jsonb(t) AS text) FROM {table} t LIMIT 1")).scalar_one()
        with mine.connect() as connection:
            # Anybody may write a person, by an invitation; one that exists is barred by its own key.
            assert table == "user_account" or _is_refused(connection, table, row), table
        before = _rows(theirs, table)
        with mine.connect() as connection:
            assert _changed(connection, table).isdisjoint(before), table


def _is_refused(connection: Connection, table: str, row: str) -> bool:
    insert = sa.text(f"INSERT INTO {table} SELECT * FROM jsonb_populate_record(NULL::{table}, CAST(:row AS jsonb))")
    with pytest.raises(ProgrammingError, match=r"row-level security|permission denied"):
        connection.execute(insert, {"row": row})
    return True


def _changed(connection: Connection, table: str) -> set[str]:
    """Return the rows that an UPDATE of the whole table would lock: row security lets it reach these, and no others."""
    may = sa.text("SELECT has_table_privilege(:table, 'UPDATE')")
    if not connection.execute(may, {"table": table}).scalar_one():
        return set()
    return set(connection.execute(sa.text(f"SELECT CAST(ctid AS text) FROM {table} FOR UPDATE")).scalars())


@pytest.fixture
def mine(town: Town) -> Iterator[Connection]:
    """A connection that works for the boss of the first employer."""
    with on_behalf_of(town.ctx.request_engine, _boss_of(town.first)).connect() as connection:
        yield connection


def test_a_row_does_not_move_to_another_tenant(town: Town, mine: Connection) -> None:
    """Neither a batch nor a line of one's own can be given to somebody else."""
    moves = [
        sa.text("UPDATE payment_batch SET employer_id = :employer"),
        sa.text("UPDATE credit_transfer SET batch_id = :batch"),
    ]
    values = {"employer": town.second.employer_id, "batch": town.tenants["Slagerij Bravo"].ids["batch_id"]}
    for move in moves:
        with pytest.raises(ProgrammingError, match="row-level security"), mine.begin_nested():
            mine.execute(move, values)


def test_a_principal_ends_with_its_transaction(town: Town) -> None:
    """The next transaction on the same connection works for nobody again."""
    with on_behalf_of(town.ctx.request_engine, _boss_of(town.first)).connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM payment_batch")).scalar_one() > 0
        driver = connection.connection.driver_connection
        connection.commit()
        assert driver is not None
        assert driver.execute("SELECT count(*) FROM payment_batch").fetchone() == (0,)
        driver.rollback()


def test_one_more_organization_is_for_one_transaction(town: Town) -> None:
    """What `also_for` lets in is gone in the next transaction."""
    mine = on_behalf_of(town.ctx.request_engine, _boss_of(town.first))
    count = sa.text("SELECT count(*) FROM organization")
    with transaction(mine) as session:
        also_for(session, town.second.employer_id)
        widened = session.execute(count).scalar_one()
    with transaction(mine) as session:
        assert (widened, session.execute(count).scalar_one()) == (2, 1)


def test_a_stranger_gets_no_more_than_a_name(town: Town, mine: Connection) -> None:
    """Through the doors for people, a tenant learns of somebody else's member the id and the name alone."""
    stranger = town.second.boss
    seen = mine.execute(sa.text("SELECT * FROM user_account WHERE id = :id"), {"id": stranger.id}).all()
    named = mine.execute(sa.text("SELECT * FROM loonstroom_names(:ids)"), {"ids": [stranger.id]}).all()
    known = mine.execute(sa.text("SELECT * FROM loonstroom_known(:email)"), {"email": stranger.email}).all()

    assert seen == []
    assert [tuple(row) for row in (*named, *known)] == [(stranger.id, "Boss")] * 2


def test_a_hold_is_seen_by_whom_it_bars(town: Town, mine: Connection) -> None:
    """A hold on the whole system is seen by every tenant, and placed by none."""
    hold = sa.text(
        "INSERT INTO hold (id, scope, code, reason, placed_at) VALUES (gen_random_uuid(), 'system', 'c', 'r', now())"
    )
    with transaction(town.ctx.service_engine) as session:
        session.execute(hold)

    assert mine.execute(sa.text("SELECT count(*) FROM hold WHERE scope = 'system'")).scalar_one() == 1
    with pytest.raises(ProgrammingError, match="row-level security"):
        mine.execute(hold)


def test_a_hold_on_an_employer_is_lifted_by_its_people_and_placed_by_nobody_of_them(
    town: Town, mine: Connection
) -> None:
    """Its own people see it and may lift it; they neither place one nor hold again; another employer sees nothing."""
    place = sa.text(
        "INSERT INTO hold (id, scope, target_id, code, reason, placed_at) "
        "VALUES (gen_random_uuid(), 'employer', :employer, 'c', 'r', now())"
    )
    lift = sa.text("UPDATE hold SET lifted_at = now() WHERE scope = 'employer' AND lifted_at IS NULL")
    change = sa.text("UPDATE hold SET reason = 'x' WHERE scope = 'employer'")
    with transaction(town.ctx.service_engine) as session:
        session.execute(place, {"employer": town.first.employer_id})
    with on_behalf_of(town.ctx.request_engine, _boss_of(town.second)).connect() as theirs:
        seen = theirs.execute(sa.text("SELECT count(*) FROM hold WHERE scope = 'employer'")).scalar_one()
        reached = theirs.execute(lift).rowcount

    assert (seen, reached) == (0, 0)
    for forbidden in (place, change):
        with pytest.raises(ProgrammingError, match="row-level security"), mine.begin_nested():
            mine.execute(forbidden, {"employer": town.first.employer_id})
    assert [mine.execute(each).rowcount for each in (lift, change)] == [1, 0]


_APP = Path(__file__).parents[2] / "app"
_DOOR = re.compile(r"\b(as_service|also_for|loonstroom_names|loonstroom_known|loonstroom_unattended)\(")
# Where the service itself works: these build it, look for who is asking, or take webhooks, and no person's request.
_OF_SERVICE = {"main.py", "auth/web.py", "cli/runtime.py", "cli/demo.py", "core/database.py", "payments/context.py"}


def test_the_doors_are_those_of_the_list() -> None:
    """What a request may do beyond its scope stands in ADR 0021: each door, and where; there is no other."""
    listed = set(
        re.findall(r"^\| `(?:Context\.)?(\w+)` in `([\w/.]+)` \|", _DECISIONS.read_text("utf-8"), re.MULTILINE)
    )
    found = {
        (door, path.relative_to(_APP).as_posix())
        for path in _APP.rglob("*.py")
        for door in _DOOR.findall(
            path.read_text(encoding="utf-8").replace("def also_for(", "").replace("def as_service(", "")
        )
    }

    assert found == listed


def test_only_who_builds_it_knows_the_connections_of_the_service() -> None:
    """No route, query or use case takes an engine of the service itself."""
    found = {
        path.relative_to(_APP).as_posix()
        for path in _APP.rglob("*.py")
        if re.search(r"service_engine|is_service", path.read_text(encoding="utf-8"))
    }

    assert found == _OF_SERVICE
