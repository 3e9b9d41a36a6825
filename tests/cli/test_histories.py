"""`./run cli history`: verify, heads, export and key, as an operator types them."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from sqlalchemy import Engine

from app.cli.histories import history
from app.cli.service import doctor, migrate
from app.core.crypto import Place, new_key_text, parse_keyring
from app.core.database import create_engine
from app.core.errors import Conflict, Invalid, NotFound
from app.core.release_counter import Mark, ReleaseCounter
from tests.support.histories import NINE, record
from tests.support.postgres import HISTORY_KEY, TestDatabase

ROOT = Path(__file__).parents[2]
FIRST, SECOND = UUID(int=1), UUID(int=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """`history ...` with the settings of this test."""

    settings: Mapping[str, str]

    def __call__(self, *arguments: str, given: str | None = None) -> Result:
        """Run it in this process, with this on its standard input."""
        return CliRunner().invoke(history, arguments, env=self.settings, input=given)


@pytest.fixture
def run(engine: Engine, database: TestDatabase, tmp_path: Path) -> Command:
    """Two histories, and the command line on their database."""
    record(engine, FIRST, ["employer.added", "member.added", "pin.set"])
    record(engine, SECOND, ["office.added"])
    settings = {
        "LOONSTROOM_ENVIRONMENT": "test",
        "LOONSTROOM_DATA_DIR": str(tmp_path / "data"),
        "LOONSTROOM_DATABASE_URL": database.app_url,
        "LOONSTROOM_DATABASE_OWNER_URL": database.owner_url,
        "LOONSTROOM_ENCRYPTION_KEYS": new_key_text("k1"),
        "LOONSTROOM_IDENTIFIER_KEY": "an identifier key for tests, long enough",
        "LOONSTROOM_HISTORY_KEY": HISTORY_KEY,
    }

    return Command(settings=settings)


@pytest.fixture
def admin(database: TestDatabase) -> Iterator[Engine]:
    """An administrator of the database."""
    made = create_engine(database.superuser_url, pool_size=2)
    yield made
    made.dispose()


def _do(admin: Engine, statement: str) -> None:
    with admin.begin() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql(statement)


def _verdicts(done: Result) -> dict[str, dict[str, Any]]:
    return {each["organization_id"]: each for each in json.loads(done.stdout)}


def test_untouched_histories_verify(run: Command) -> None:
    """Every organization, a line each, exit code 0; as JSON with head and mac."""
    plain, as_json = run("verify"), run("verify", "--json")

    assert plain.exit_code == 0, plain.stderr
    assert f"{FIRST}  verified: 3 records" in plain.stdout
    verdict = _verdicts(as_json)[str(FIRST)]
    assert (verdict["verified"], verdict["records"], verdict["first_broken"]) == (True, 3, None)
    assert verdict["head"]["sequence"] == 3
    assert len(bytes.fromhex(verdict["head"]["mac"])) == 32


def test_a_broken_history_is_named_and_the_others_still_verify(run: Command, admin: Engine) -> None:
    """Exit code 1, the organization, the record and what is wrong; one organization can be asked for alone."""
    _do(admin, f"UPDATE history_entry SET event = 'x' WHERE organization_id = '{FIRST}' AND sequence = 2")

    every, first, second = (
        run("verify"),
        run("verify", "--organization", str(FIRST), "--json"),
        run("verify", "--organization", str(SECOND)),
    )

    assert (every.exit_code, first.exit_code, second.exit_code) == (1, 1, 0)
    assert f"{FIRST}  BROKEN at record 2: columns_differ" in every.stdout
    assert f"{SECOND}  verified: 1 records" in every.stdout
    assert _verdicts(first)[str(FIRST)]["first_broken"] == {"sequence": 2, "what": "columns_differ"}


@pytest.mark.parametrize("kept_as", ["heads", "export"])
def test_a_kept_head_shows_what_was_removed_whole(run: Command, admin: Engine, tmp_path: Path, kept_as: str) -> None:
    """An organization of which nothing at all is left is still asked for, because its head was kept."""
    kept = str(tmp_path / "kept.jsonl")
    made = (
        run("heads", "--output", kept)
        if kept_as == "heads"
        else run("export", "--organization", str(FIRST), "--output", kept)
    )
    assert made.exit_code == 0, made.stderr
    before = run("verify", "--expect-head", kept)
    _do(admin, f"DELETE FROM history_entry WHERE organization_id = '{FIRST}'")
    _do(admin, f"DELETE FROM history_head WHERE organization_id = '{FIRST}'")

    unaware, aware = run("verify"), run("verify", "--expect-head", kept)

    assert (before.exit_code, unaware.exit_code, aware.exit_code) == (0, 0, 1)
    assert f"{FIRST}  BROKEN at record 1: missing" in aware.stdout


def test_an_export_and_its_key_are_what_the_checker_reads(run: Command, tmp_path: Path) -> None:
    """What an operator writes for an auditor holds in the auditor's hands; nobody else can read the files."""
    export, key = tmp_path / "export.jsonl", tmp_path / "key"
    done = [
        run("export", "--organization", str(FIRST), "--output", str(export)),
        run("key", "--organization", str(FIRST), "--output", str(key)),
    ]
    assert [each.exit_code for each in done] == [0, 0], done[0].stderr + done[1].stderr

    checked = subprocess.run(
        [sys.executable, "-I", "-S", "tools/verify_history.py", str(export), "--key-file", str(key)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "macs hold" in checked.stdout
    assert [path.stat().st_mode & 0o777 for path in (export, key)] == [0o600, 0o600]
    assert HISTORY_KEY.partition(":")[2] not in key.read_text()


def test_in_a_container_everything_goes_through_standard_input_and_output(
    run: Command, admin: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly what a file would hold, nothing said between it; and a head that was kept comes in the same way."""
    monkeypatch.chdir(tmp_path)
    one = ("--organization", str(FIRST), "--output")
    files = {"heads": ("--output",), "export": one, "key": one}
    for name, options in files.items():
        run(name, *options, str(tmp_path / name))

    printed = {name: run(name, *options, "-") for name, options in files.items()}
    _do(admin, f"DELETE FROM history_entry WHERE organization_id = '{FIRST}' AND sequence = 3")
    _do(
        admin,
        "UPDATE history_head SET (sequence, mac, hash) = (SELECT sequence, mac, hash FROM history_entry "
        f"WHERE organization_id = '{FIRST}' AND sequence = 2) WHERE organization_id = '{FIRST}'",
    )
    unaware, aware = run("verify"), run("verify", "--expect-head", "-", given=printed["heads"].stdout)

    for name in ("heads", "key"):
        assert printed[name].stdout == (tmp_path / name).read_text(), name
    assert printed["export"].stdout.splitlines()[1:] == (tmp_path / "export").read_text().splitlines()[1:]
    assert [each.stderr for each in printed.values()] == [
        "Wrote 2 heads to standard output.\n",
        "Wrote 3 records to standard output.\n",
        "Wrote the key to standard output.\n",
    ]
    assert not (tmp_path / "-").exists()
    assert (unaware.exit_code, aware.exit_code) == (0, 1)


@pytest.mark.parametrize("text", ["", "not json", '{"type":"header"}', '{"type":"head","mac":"zz","sequence":1}'])
def test_a_file_without_heads_is_refused(run: Command, tmp_path: Path, text: str) -> None:
    """A wrong file never passes for "compared"."""
    (tmp_path / "kept").write_text(text)

    done = run("verify", "--expect-head", str(tmp_path / "kept"))

    assert isinstance(done.exception, Invalid)
    assert "history heads" in done.exception.errors[0].message


def test_a_file_that_exists_is_not_overwritten(run: Command, tmp_path: Path) -> None:
    """The head that was kept last month is evidence."""
    (tmp_path / "kept").write_text("evidence")

    done = run("heads", "--output", str(tmp_path / "kept"))

    assert done.exit_code == 2
    assert (tmp_path / "kept").read_text() == "evidence"


def test_an_organization_that_does_not_exist_has_no_export(run: Command, tmp_path: Path) -> None:
    """A mistyped id is a refusal, and leaves no file that looks like an export."""
    done = run("export", "--organization", str(UUID(int=9)), "--output", str(tmp_path / "export"))

    assert isinstance(done.exception, NotFound)
    assert not (tmp_path / "export").exists()


def _strip(admin: Engine) -> None:
    """Take every mac away, as somebody does who manages the database and has no key."""
    _do(admin, "UPDATE history_entry SET mac = NULL, key_id = NULL")
    _do(admin, "UPDATE history_head SET mac = NULL")


def test_an_upgrade_seals_no_history_that_lost_its_macs(run: Command, admin: Engine) -> None:
    """The doctor names it; migrating changes nothing about it, or every upgrade would make a forgery genuine."""
    environment = dict(run.settings)
    _strip(admin)

    ill = CliRunner().invoke(doctor, env=environment)
    migrated = CliRunner().invoke(migrate, env=environment)
    still = CliRunner().invoke(doctor, env=environment)

    assert "history       FAULT: 2 have no mac and take no records; see docs/operations.md" in ill.output
    assert (migrated.exit_code, "Sealed" in migrated.output) == (0, False)
    assert "history       FAULT" in still.output
    assert run("verify").exit_code == 1


def test_the_operator_seals_by_hand_what_a_migration_left(run: Command, admin: Engine) -> None:
    """With a reason, which stands in each of the histories; they verify from then on, and say what has no mac."""
    _strip(admin)

    done = run("seal", "--reason", "The migration of Friday was cut off")

    assert done.exit_code == 0, done.stderr
    assert f"{FIRST}  sealed: 3 records without a mac" in done.stdout
    assert "Sealed 2 histories." in done.stdout
    assert "3 of them older than the key" in run("verify").stdout
    assert "history       ok" in CliRunner().invoke(doctor, env=dict(run.settings)).output
    with admin.connect() as connection:
        sealed = connection.exec_driver_sql("SELECT payload FROM history_entry WHERE event = 'history.sealed'")
        assert all("The migration of Friday was cut off" in payload for payload in sealed.scalars())


def test_a_history_that_had_macs_is_not_sealed_by_hand_either(run: Command, admin: Engine) -> None:
    """The release counter, which lies elsewhere, knows a mac of it: nothing is sealed, and the history is named."""
    counter = ReleaseCounter(Path(run.settings["LOONSTROOM_DATA_DIR"]) / "release-counter")
    counter.begin(UUID(int=7))
    counter.add([Mark(organization_id=FIRST, sequence=3, mac="ab" * 32, at=NINE)])
    _strip(admin)

    done = run("seal", "--reason", "It would not take records")

    assert isinstance(done.exception, Conflict)
    assert f"{FIRST} (record 3)" in done.exception.detail
    assert run("verify").exit_code == 1


@pytest.mark.parametrize("counter", [None, b"not a counter"])
def test_without_the_counter_nothing_is_sealed_by_hand(
    run: Command, admin: Engine, engine: Engine, counter: bytes | None
) -> None:
    """On another machine, or as another user, nobody can tell whether the macs were taken away."""
    _strip(admin)
    with engine.begin() as connection:
        row = {"id": UUID(int=7), "at": NINE}
        connection.execute(sa.text("INSERT INTO installation (id, begun_at) VALUES (:id, :at)"), row)
    if counter is not None:
        folder = Path(run.settings["LOONSTROOM_DATA_DIR"])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "release-counter").write_bytes(counter)

    done = run("seal", "--reason", "It would not take records")

    assert isinstance(done.exception, Conflict)
    assert "on the machine that has it" in done.exception.detail
    assert run("verify").exit_code == 1


def test_the_doctor_names_a_key_that_was_taken_out_too_early(run: Command, engine: Engine) -> None:
    """What another key sealed does not open: the doctor says so before an employer finds out on a pay-day."""
    old = parse_keyring(new_key_text("k0"))
    with engine.begin() as connection:
        at = {"at": NINE, "id": SECOND, "connection": UUID(int=8), "value": old.seal(b"token", _PLACE)}
        connection.execute(sa.text("SET LOCAL loonstroom.service = 'on'"))
        connection.execute(
            sa.text("INSERT INTO organization (id, kind, name, created_at) VALUES (:id, 'office', 'O', :at)"), at
        )
        connection.execute(
            sa.text(
                "INSERT INTO connection "
                "(id, organization_id, kind, username, domain, state, created_at, secret_sealed) "
                "VALUES (:connection, :id, 'nmbrs_soap', '', '', 'passed', :at, :value)"
            ),
            at,
        )

    said = CliRunner().invoke(doctor, env=dict(run.settings)).output

    assert "keys          FAULT: k0 needed, and not in the settings" in said


_PLACE = Place(tenant=SECOND, column="connection.secret", row=UUID(int=8))


def test_the_doctor_warns_of_a_secret_that_everybody_may_read(run: Command) -> None:
    """It is told by the name of the setting; it is no fault, because some installations keep others out otherwise."""
    environment = dict(run.settings)
    with tempfile.TemporaryDirectory(prefix="ls-open-") as name:
        Path(name).chmod(0o755)
        file = Path(name) / "key"
        file.write_text(environment.pop("LOONSTROOM_ENCRYPTION_KEYS"))
        file.chmod(0o644)
        environment["LOONSTROOM_ENCRYPTION_KEYS_FILE"] = str(file)
        warned = CliRunner().invoke(doctor, env=environment).output
        file.chmod(0o600)
        quiet = CliRunner().invoke(doctor, env=environment).output

    assert "WARNING: every user may read the file of LOONSTROOM_ENCRYPTION_KEYS_FILE" in warned
    assert "WARNING" not in quiet
