"""What is sealed: every sealed column is known, opens only where it belongs, and a dump tells no secret."""

import os
import subprocess
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlmodel import SQLModel

from app.core.crypto import Place, SealBroken
from app.core.database import transaction
from app.core.postgres_programs import program
from app.core.resealing import SealedColumn
from app.payments.context import Context
from app.payments.sealed_columns import SEALED_COLUMNS
from tests.contracts.fake_source import FakePayroll
from tests.payments.test_bank_reports import report_on, upload
from tests.support.connected import Connected, connect
from tests.support.house import PIN, House, document
from tests.support.postgres import HISTORY_KEY, TestDatabase

# Bytes that are no secret: the chains of the history.
_PLAIN = {"history_entry.hash", "history_entry.mac", "history_head.hash", "history_head.mac"}


def test_every_sealed_column_is_in_the_list() -> None:
    """A column of bytes is sealed and in the list of those that a rotation reaches, or it is known to be no secret."""
    found = {
        f"{table.name}.{column.name}"
        for table in SQLModel.metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, sa.LargeBinary) or column.name.endswith("_sealed")
    }

    assert found - _PLAIN == {f"{column.table}.{column.column}" for column in SEALED_COLUMNS}


@pytest.fixture
def filled(house: House, other_house: House, payroll: FakePayroll) -> tuple[Connected, Connected]:
    """Two employers with two values or more in every sealed column."""
    found = []
    for n, each in enumerate((house, other_house)):
        connected = connect(each, payroll, external_id=f"21{n}0")
        connect(each, payroll, external_id=f"21{n}1")
        for period in (11, 12):
            connected.webhook(run_id=period)
            batch = connected.approved(period=period, number=period)
            each.deliver(batch["id"])
            assert upload(each.boss, report_on(each.batch(batch["id"]), status="ACCP")).status_code == 201
        found.append(connected)
    return found[0], found[1]


def _values(ctx: Context, column: SealedColumn) -> list[tuple[bytes, Place]]:
    query = f"SELECT id, {column.column} AS sealed, ({column.tenant}) AS tenant FROM {column.table}"
    with transaction(ctx.engine) as session:
        rows = session.execute(sa.text(query)).all()
    return [(row.sealed, Place(tenant=row.tenant, column=column.name, row=row.id)) for row in rows if row.sealed]


def test_a_value_opens_in_its_own_place_only(filled: tuple[Connected, Connected], ctx: Context) -> None:
    """Put in the place of any other value of any tenant, column or row, a sealed value does not open."""
    values = [each for column in SEALED_COLUMNS for each in _values(ctx, column)]
    places = [place for _, place in values]

    opened = 0
    for sealed, own in values:
        for place in places:
            if place == own:
                ctx.keyring.open(sealed, place)
                opened += 1
            else:
                with pytest.raises(SealBroken):
                    ctx.keyring.open(sealed, place)

    assert opened == len(values)
    for column in SEALED_COLUMNS:
        mine = [place for place in places if place.column == column.name]
        assert len(mine) >= 4, f"{column.name}: too few values to swap"
        assert len({place.tenant for place in mine}) >= 2
    assert filled


def test_a_swap_in_the_database_is_refused_to_people(filled: tuple[Connected, Connected], ctx: Context) -> None:
    """Who can change the database and gives one employer the file of another gives nobody anything."""
    mine, theirs = (each.batches()[0]["id"] for each in filled)
    with transaction(ctx.engine) as session:
        session.execute(
            sa.text(
                "UPDATE payment_file SET content_sealed = other.content_sealed FROM payment_file AS other "
                "WHERE payment_file.batch_id = :mine AND other.batch_id = :theirs"
            ),
            {"mine": UUID(mine), "theirs": UUID(theirs)},
        )

    answer = filled[0].house.boss.get(f"/v1/payment-batches/{mine}/file?reason=lost")

    assert (answer.status_code, answer.json()["code"]) == (503, "sealed_value_unreadable")
    assert b"Document" not in answer.content


def test_a_dump_of_the_database_tells_no_secret(
    house: House, payroll: FakePayroll, database: TestDatabase, ctx: Context
) -> None:
    """Credentials, tokens, PIN, keys and everything that came in or went out as bytes: none of it is in a dump."""
    connected = connect(house, payroll)
    connected.webhook(run_id=1, secret="canary-in-a-webhook")
    raw = document().replace(b"</Document>", b"<!-- canary-in-a-source-answer --></Document>")
    assert house.upload(raw).status_code == 201
    batch = house.batch(house.boss.get("/v1/payment-batches").json()[0]["id"])
    house.acknowledge_all(batch)
    assert house.boss.approve(batch).status_code == 201
    house.deliver(batch["id"])
    report = report_on(house.batch(batch["id"]), status="ACCP")
    assert (
        upload(house.boss, report.replace(b"</Document>", b"<!-- canary-in-a-report --></Document>")).status_code == 201
    )

    dump = _dump(database)

    secrets = {
        "credentials": payroll.credentials.secret,
        "webhook token": connected.webhook_path.split("/")[2],
        "API token": house.boss.token,
        "PIN": f"\t{PIN}\t",
        "encryption key": ctx.keyring.keys[ctx.keyring.current].hex(),
        "history key": HISTORY_KEY.partition(":")[2],
        "identifier key": ctx.identifier_secret.decode(),
        "webhook body": "canary-in-a-webhook",
        "source answer": "canary-in-a-source-answer",
        "payment file": "<CstmrCdtTrfInitn>",
        "status report": "canary-in-a-report",
    }
    # bytea columns are written in hex
    leaked = [name for name, text in secrets.items() if text in dump or text.encode().hex() in dump]
    assert leaked == []
    assert batch["id"] in dump, "this is no dump"
    assert "$argon2id$" in dump


def _dump(database: TestDatabase) -> str:
    """Return what pg_dump writes, with the programs that come along."""
    url = sa.make_url(database.superuser_url)
    query = url.query
    address = [
        "--host",
        str(query["host"]),
        "--port",
        str(query["port"]),
        "--username",
        str(url.username or "postgres"),
    ]
    done = subprocess.run(
        [str(program("pg_dump")), *address, "--dbname", str(url.database)],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
