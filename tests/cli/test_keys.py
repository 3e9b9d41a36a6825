"""`./run cli keys`: changing the encryption key while people work, interrupted or not, and saying what may go."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import Engine

from app.cli.keys import keys
from app.cli.service import doctor
from app.core.crypto import Keyring, Place, SealBroken, new_key_text, parse_keyring
from app.core.database import transaction
from app.core.history_chain import parse_history_keys
from app.core.resealing import Rotation
from app.main import Service, build, create_app
from app.payments.bank_reports import report_place
from app.payments.building import file_place
from app.payments.connections import secret_place
from app.payments.fetching import reading_place
from app.payments.models import Connection
from app.payments.sealed_columns import SEALED_COLUMNS
from app.payments.syncing import delivery_place
from tests.contracts.fake_source import FakeKind, FakePayroll
from tests.payments.test_bank_reports import report_on, upload
from tests.support.clock import FakeClock
from tests.support.connected import Connected, connect
from tests.support.house import House
from tests.support.postgres import HISTORY_KEY, TestDatabase

ROOT = Path(__file__).parents[2]
NEW_KEY = new_key_text("k2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Somebody who types `keys ...`, and the same product under other keys."""

    service: Service
    database: TestDatabase
    clock: FakeClock
    payroll: FakePayroll

    @property
    def old_key(self) -> str:
        """The key that the house was set up with, as the settings write it."""
        assert self.service.settings.encryption_keys is not None
        return self.service.settings.encryption_keys.get_secret_value()

    def settings(self, *each: str) -> dict[str, str]:
        """The settings of a process with these keys."""
        return {
            "LOONSTROOM_ENVIRONMENT": "test",
            "LOONSTROOM_DATABASE_URL": self.database.app_url,
            "LOONSTROOM_ENCRYPTION_KEYS": ",".join(each),
            "LOONSTROOM_IDENTIFIER_KEY": "an identifier key for tests, long enough",
            "LOONSTROOM_HISTORY_KEY": HISTORY_KEY,
        }

    def types(self, *words: str, key_texts: tuple[str, ...]) -> Result:
        """Type a command with these keys."""
        return CliRunner().invoke(keys, words, env=self.settings(*key_texts))

    def status(self, *key_texts: str) -> dict[str, Any]:
        """Return what `keys status --json` says."""
        return dict(json.loads(self.types("status", "--json", key_texts=key_texts).stdout))

    @contextmanager
    def running(self, *key_texts: str) -> Iterator[TestClient]:
        """Run another process of the service, with these keys."""
        settings = self.service.settings.model_copy(update={"encryption_keys": SecretStr(",".join(key_texts))})
        sources = {"nmbrs_soap": FakeKind(self.payroll)}
        built = build(settings, database_url=self.database.app_url, clock=self.clock, sources=sources)
        with TestClient(create_app(built, with_worker=False), raise_server_exceptions=False) as client:
            yield client
        built.context.close()

    def stop_the_old_one(self) -> None:
        """End the process that the house was set up with, so that nobody seals with the old key in front any more."""
        self.service.context.close()
        until(lambda: "k1" not in _sessions(self.database), "the old process is gone")


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        threading.Event().wait(0.02)


_OURS = "SELECT application_name FROM pg_stat_activity WHERE datname = current_database()"


def _sessions(database: TestDatabase) -> set[str]:
    engine = sa.create_engine(database.superuser_url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        names = connection.execute(sa.text(_OURS)).scalars()
        return {name.rpartition(" ")[2] for name in names if name.startswith("loonstroom seals with")}


@pytest.fixture
def operator(service: Service, database: TestDatabase, clock: FakeClock, payroll: FakePayroll) -> Operator:
    """An operator of the service that the house lives in."""
    return Operator(service=service, database=database, clock=clock, payroll=payroll)


@pytest.fixture
def town(house: House, payroll: FakePayroll) -> Connected:
    """A house with a value in every sealed column."""
    connected = connect(house, payroll)
    assert connected.webhook(run_id=1).status_code == 202
    batch = connected.approved()
    house.deliver(batch["id"])
    assert upload(house.boss, report_on(house.batch(batch["id"]), status="ACCP")).status_code == 201
    return connected


_PLACES: dict[str, Callable[[Any], Any]] = {
    "connection.secret": lambda row: secret_place(
        Connection(id=row.id, organization_id=row.tenant, kind="", created_at=row.at)
    ),
    "webhook_delivery.body": lambda row: delivery_place(row.tenant, row.id),
    "source_reading.raw": lambda row: reading_place(row.tenant, row.id),
    "payment_file.content": lambda row: file_place(row.tenant, row.id),
    "status_report.raw": lambda row: report_place(row.tenant, row.id),
}


def _opened(engine: Engine, keyring: Keyring) -> dict[str, list[bytes]]:
    """Open every sealed value as the use case that reads it would: with its own name for the place."""
    found: dict[str, list[bytes]] = {}
    with transaction(engine) as session:
        for column in SEALED_COLUMNS:
            query = (
                f"SELECT id, {column.column} AS sealed, ({column.tenant}) AS tenant, now() AS at FROM {column.table}"
            )
            rows = [row for row in session.execute(sa.text(query)) if row.sealed]
            found[column.name] = sorted(keyring.open(row.sealed, _PLACES[column.name](row)) for row in rows)
    return found


def test_after_a_rotation_everything_opens_with_the_new_key_alone(town: Connected, operator: Operator) -> None:
    """Every sealed column is reached, only its seal changes, and the old key may go once nobody seals with it."""
    engine, old = operator.service.context.engine, parse_keyring(operator.old_key)
    before = _opened(engine, old)
    both = (NEW_KEY, operator.old_key)

    turned = operator.types("rotate", key_texts=both)
    with pytest.raises(SealBroken):
        _opened(engine, old)
    after = _opened(engine, parse_keyring(NEW_KEY))
    events = town.house.events()
    operator.stop_the_old_one()
    again = operator.types("rotate", "--json", key_texts=both)

    assert all(before.values()), "the house has no value in some sealed column"
    assert after == before
    assert turned.exit_code == 1, "a process that seals with the old key still runs"
    assert "Encryption key k1 stays: a running service or worker still seals with it" in turned.stdout
    assert (again.exit_code, json.loads(again.stdout)["removable"]) == (0, ["k1"])
    assert events.count("keys.rotated") == 1
    assert set(operator.status(NEW_KEY)["values"]) == {column.name for column in SEALED_COLUMNS}
    assert operator.types("status", key_texts=(NEW_KEY,)).exit_code == 0


def test_a_rotation_is_in_the_way_of_nobody(town: Connected, operator: Operator) -> None:
    """While values are sealed anew, people fetch files, webhooks come and credentials change: not one error."""
    both, other_way = (NEW_KEY, operator.old_key), (operator.old_key, NEW_KEY)
    file_path = f"/v1/payment-batches/{town.batches()[0]['id']}/file?reason=lost"
    stop, seen = threading.Event(), [0, 0, 0]
    wrong: list[object] = []
    boss, headers = town.house.boss, {"Authorization": f"Bearer {town.house.boss.token}"}
    known = town.payroll.credentials
    credentials = {"username": known.username, "token": known.secret, "domain": known.domain}
    connection_path = f"/v1/connections/{town.connection_id}"

    def once(client: TestClient, n: int) -> None:
        answers = [
            client.get(file_path, headers=headers),
            client.post(town.webhook_path, json={"run_id": n}),
            client.patch(connection_path, headers=headers, json=credentials),
            client.post(f"{connection_path}/check", headers=headers, json={}),
        ]
        wrong.extend((each.request.url, each.status_code, each.text) for each in answers if each.status_code >= 300)
        seen[n] += 1

    def work(client: TestClient, n: int) -> None:
        while not stop.is_set():
            once(client, n)

    with operator.running(*other_way) as old_first, operator.running(*both) as new_first:
        once(old_first, 0)  # routes are built on first use: not by several threads at once
        once(new_first, 1)
        threads = [
            threading.Thread(target=work, args=(client, n))
            for n, client in enumerate((old_first, new_first, new_first))
        ]
        for thread in threads:
            thread.start()
        for wanted in (4, 8, 12):
            until(lambda wanted=wanted: min(seen) >= wanted or bool(wrong), "everybody works")
            assert operator.types("rotate", key_texts=both).exit_code == 1
        stop.set()
        for thread in threads:
            thread.join()
    operator.stop_the_old_one()
    last = operator.types("rotate", "--json", key_texts=both)

    assert wrong == []
    assert (last.exit_code, json.loads(last.stdout)["left"]) == (0, 0), last.output
    with operator.running(NEW_KEY) as only_new:
        assert only_new.get(file_path, headers=headers).status_code == 200
        assert only_new.post(f"{connection_path}/check", headers=headers, json={}).json()["state"] == "passed"
    assert boss.get("/v1/history/verification").json()[0]["verified"] is True


def _add_deliveries(operator: Operator, connection_id: str, count: int) -> None:
    """Add so many webhooks with a body under the old key, as a busy year leaves them."""
    ring = parse_keyring(operator.old_key)
    insert = sa.text(
        "INSERT INTO webhook_delivery (id, connection_id, token_id, received_at, method, headers, query, body_state, "
        "body_sealed, body_sha256, processed_at) SELECT :id, :connection, id, now(), 'POST', '{}', '', 'complete', "
        ":body, '', now() FROM webhook_token WHERE connection_id = :connection"
    )
    rows = []
    for _ in range(count):
        row_id = uuid4()
        body = ring.seal(b"hook", delivery_place(UUID(connection_id), row_id))
        rows.append({"id": row_id, "connection": connection_id, "body": body})
    with transaction(operator.service.context.engine) as session:
        session.execute(insert, rows)


def test_a_killed_rotation_goes_on_where_it_was(town: Connected, operator: Operator) -> None:
    """Killed half-way, everything still opens; started again, the rest follows and nothing is done twice."""
    _add_deliveries(operator, town.connection_id, 3000)
    operator.stop_the_old_one()
    both = (NEW_KEY, operator.old_key)
    command = [sys.executable, "-m", "app.cli", "keys", "rotate"]
    with subprocess.Popen(
        command, cwd=ROOT, env=operator.settings(*both), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as running:
        assert running.stderr is not None
        said = running.stderr.readline()
        running.kill()
    killed = operator.status(*both)
    opened = _opened(operator.service.context.engine, parse_keyring(",".join(both)))
    operator.stop_the_old_one()

    again = operator.types("rotate", "--json", key_texts=both)

    assert "webhook_delivery.body: 100 sealed anew" in said
    assert killed["values"]["webhook_delivery.body"]["k2"] >= 100
    assert killed["left"] > 0
    assert killed["removable"] == []
    assert len(opened["webhook_delivery.body"]) == 3001
    assert (again.exit_code, json.loads(again.stdout)["left"]) == (0, 0), again.output
    assert town.house.events().count("keys.rotated") == 2


def test_a_dry_run_changes_nothing(town: Connected, operator: Operator) -> None:
    """It counts what is left, and says why the old key must stay."""
    both = (NEW_KEY, operator.old_key)

    done = operator.types("rotate", "--dry-run", key_texts=both)

    assert done.exit_code == 0
    assert "values need it; run ./run cli keys rotate" in done.stdout
    assert "k2" not in operator.status(*both)["values"]["payment_file.content"]
    assert "keys.rotated" not in town.house.events()


def test_a_key_that_is_needed_and_gone_is_named(town: Connected, operator: Operator) -> None:
    """Taken out too early, a key is asked back for by name; no value is touched and exit code 1 stops a script."""
    before = operator.status(operator.old_key)["values"]

    status, turned = operator.types("status", key_texts=(NEW_KEY,)), operator.types("rotate", key_texts=(NEW_KEY,))

    assert (status.exit_code, turned.exit_code) == (1, 1)
    assert "Key k1 is needed and is not in the settings: put it back." in status.stderr
    assert "payment_file.content: no key here opens" in turned.stderr
    assert operator.status(operator.old_key)["values"] == before
    assert town.batches()


def test_another_key_of_the_same_name_is_no_key(town: Connected, operator: Operator) -> None:
    """With the secrets of another installation every name fits and nothing opens: told by name, in each column."""
    other = new_key_text("k1")

    right, wrong = (operator.types("status", key_texts=(each,)) for each in (operator.old_key, other))
    turned = operator.types("rotate", key_texts=(other,))

    assert (right.exit_code, right.stderr) == (0, "")
    assert (wrong.exit_code, turned.exit_code) == (1, 1)
    for name in (column.name for column in SEALED_COLUMNS):
        assert f"Key k1 is here by name, and does not open {name}: it is another key" in wrong.stderr
    assert operator.status(other)["not_opening"] == {column.name: ["k1"] for column in SEALED_COLUMNS}
    told = CliRunner().invoke(doctor, env=operator.settings(other)).output
    assert "connection.secret, " in next(line for line in told.splitlines() if line.startswith("keys"))
    assert town.batches()


def test_an_altered_value_keeps_its_key(town: Connected, operator: Operator) -> None:
    """A value that does not open is named and left as it is, and the key it names is never called removable."""
    with transaction(operator.service.context.engine) as session:
        session.execute(sa.text("UPDATE payment_file SET content_sealed = content_sealed || '\\x00'::bytea"))
        (row_id,) = session.execute(sa.text("SELECT id FROM payment_file")).scalars()
    operator.stop_the_old_one()

    done = operator.types("rotate", "--json", key_texts=(NEW_KEY, operator.old_key))

    assert done.exit_code == 1
    assert f"payment_file.content: no key here opens {row_id}" in done.stderr
    assert (json.loads(done.stdout)["left"], json.loads(done.stdout)["removable"]) == (1, [])
    assert town.batches()


@dataclass(frozen=True, slots=True)
class Meddling(Keyring):
    """A keyring during whose work somebody replaces the value: between reading it and writing it back."""

    meddle: Callable[[], None] = lambda: None

    def seal(self, plaintext: bytes, place: Place) -> bytes:
        """Seal, after the other one has written."""
        self.meddle()
        return Keyring.seal(self, plaintext, place)


def test_what_changed_meanwhile_is_not_undone(town: Connected, operator: Operator) -> None:
    """New credentials that come in between reading and writing stay; the next pass seals those."""
    engine, column = operator.service.context.engine, SEALED_COLUMNS[0]
    old, both = parse_keyring(operator.old_key), parse_keyring(f"{NEW_KEY},{operator.old_key}")
    place = Place(tenant=town.house.employer_id, column=column.name, row=UUID(town.connection_id))

    def replace() -> None:
        with transaction(engine) as session:
            session.execute(
                sa.text("UPDATE connection SET secret_sealed = :fresh WHERE id = :id"),
                {"id": place.row, "fresh": old.seal(b"new credentials", place)},
            )

    meddling = Meddling(both.current, both.keys, replace)
    surroundings = {"engine": engine, "clock": operator.clock, "progress": lambda *_: None}
    first = Rotation(keyring=meddling, **surroundings).reseal(column)
    second = Rotation(keyring=both, **surroundings).reseal(column)

    with transaction(engine) as session:
        sealed = session.execute(sa.text("SELECT secret_sealed FROM connection WHERE id = :id"), {"id": place.row})
        assert parse_keyring(NEW_KEY).open(sealed.scalar_one(), place) == b"new credentials"
    assert (first.resealed, second.resealed) == (0, 1)


def test_history_keys_stay_while_a_record_needs_them(town: Connected, operator: Operator) -> None:
    """A history key that sealed a record is never removable; one that sealed none is."""
    shown = operator.types("status", key_texts=(operator.old_key,)).stdout
    another = {**operator.settings(operator.old_key), "LOONSTROOM_HISTORY_KEY": f"{new_key_text('h2')},{HISTORY_KEY}"}
    later = CliRunner().invoke(keys, ["status"], env=another).stdout

    assert "History key h1 stays: it seals." in shown
    assert "History key h2 stays: it seals." in later
    assert "History key h1 stays: older records are proven with it." in later
    assert parse_history_keys(HISTORY_KEY).current == "h1"
    assert town.batches()


def test_a_new_key_is_one_that_the_settings_take() -> None:
    """What `keys new` prints can be pasted."""
    printed = CliRunner().invoke(keys, ["new", "--name", "k7"]).stdout.strip()

    assert parse_keyring(printed).current == "k7"


@pytest.mark.parametrize("name", ["longer-than-8", "", "with,comma", "a:b"])
def test_a_name_that_no_setting_takes_is_refused(name: str) -> None:
    """A key that was made and kept, and then stops the start, is found out too late."""
    done = CliRunner().invoke(keys, ["new", "--name", name])

    assert done.exit_code == 2
    assert "1 to 8" in done.output
    assert done.stdout == ""
