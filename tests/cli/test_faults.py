"""What an operator reads when a command cannot do its work: one sentence that says what to do, and no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.cli.runtime import driver_url, with_local_keys
from app.core.crypto import new_key_text
from app.core.settings import Settings, SettingsError
from tests.end_to_end.town import free_port
from tests.support.postgres import HISTORY_KEY, TestDatabase

_ROOT = Path(__file__).parents[2]
_SECRET = "Zx9kQ2Zx9kQ2"


def _verify_on(address: str, folder: Path) -> str:
    """Run a command on this database; return what it says on standard error."""
    ours = {
        "LOONSTROOM_DATABASE_URL": address,
        "LOONSTROOM_DATA_DIR": str(folder),
        "LOONSTROOM_ENCRYPTION_KEYS": new_key_text("k1"),
        "LOONSTROOM_IDENTIFIER_KEY": "an identifier key for tests, long enough",
        "LOONSTROOM_HISTORY_KEY": HISTORY_KEY,
    }
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "history", "verify"],
        env={**{name: value for name, value in os.environ.items() if not name.startswith("LOONSTROOM_")}, **ours},
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.stderr


def test_a_database_that_does_not_answer_is_told(tmp_path: Path) -> None:
    """Where it was looked for, and which command says more; not the password."""
    port = free_port()

    said = _verify_on(f"postgresql://loonstroom_app:{_SECRET}@127.0.0.1:{port}/loonstroom", tmp_path)

    assert str(port) in said
    assert "./run doctor" in said
    assert _SECRET not in said


def test_a_database_that_was_not_migrated_is_told(database: TestDatabase, tmp_path: Path) -> None:
    """The tables are not there yet: the command that makes them is named."""
    empty = sa.make_url(database.app_url).set(database="postgres").render_as_string(hide_password=False)

    assert "./run migrate" in _verify_on(empty, tmp_path)


@pytest.mark.parametrize(
    "address", [f"postgresql://a:{_SECRET}@127.0.0.1:port/x", f"postgresql:a:{_SECRET}@db/x", f"mysql://a:{_SECRET}@b"]
)
def test_an_address_that_cannot_be_read_is_told(address: str) -> None:
    """How it is written, and nothing of what was written: the password stands in it."""
    with pytest.raises(SettingsError, match="postgresql://role:password@host:port/database") as caught:
        driver_url(address)

    assert "LOONSTROOM_DATABASE_URL" in str(caught.value)
    assert _SECRET not in str(caught.value)


def test_a_data_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """The setting and the place are named."""
    (tmp_path / "file").write_text("", encoding="utf-8")

    with pytest.raises(SettingsError, match=f"LOONSTROOM_DATA_DIR: {tmp_path}/file/data/keys"):
        with_local_keys(Settings(data_dir=tmp_path / "file" / "data"))
