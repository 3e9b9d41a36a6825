"""docs/history.md is true: an auditor who types its commands gets the answers it promises."""

import os
import re
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Engine

from app.core.crypto import new_key_text
from app.core.history_proof import Fault
from app.core.history_sealing import seal_due
from tests.support.histories import NINE, record
from tests.support.postgres import HISTORY_KEY, TestDatabase

_ROOT = Path(__file__).parents[2]
_TEXT = (_ROOT / "docs" / "history.md").read_text(encoding="utf-8")


def test_the_commands_of_the_page_work_as_they_stand(engine: Engine, database: TestDatabase, tmp_path: Path) -> None:
    """Export, key, checking with and without it, against a kept head, and the first two records by hand."""
    missing = [name for name in ("bash", "jq", "xxd", "sha256sum") if shutil.which(name) is None]
    assert not missing, f"install {', '.join(missing)} to run the page's commands"
    organization_id = uuid4()
    record(engine, organization_id, ["employer.added", "member.added"])
    seal_due(engine, NINE + timedelta(days=1))
    shutil.copy(_ROOT / "tools" / "verify_history.py", tmp_path)
    (tmp_path / "run").write_text(f'#!/bin/sh\nshift\nexec "{sys.executable}" -m app.cli "$@"\n', encoding="utf-8")
    (tmp_path / "run").chmod(0o755)
    blocks = re.findall(r"```sh\n(.*?)```", _TEXT, flags=re.DOTALL)

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "./run cli history heads --output kept.jsonl\n" + "\n".join(blocks)],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(_ROOT),
            "ORGANIZATION": str(organization_id),
            "LOONSTROOM_ENVIRONMENT": "test",
            "LOONSTROOM_DATA_DIR": str(tmp_path / "data"),
            "LOONSTROOM_DATABASE_URL": database.app_url,
            "LOONSTROOM_ENCRYPTION_KEYS": new_key_text("k1"),
            "LOONSTROOM_HISTORY_KEY": HISTORY_KEY,
        },
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("OK: 3 records") == 3
    by_hand = re.findall(r"^[0-9a-f]{64}$", done.stdout, flags=re.MULTILINE)
    assert len(by_hand) == 4
    assert (by_hand[0], by_hand[2]) == (by_hand[1], by_hand[3])


def test_every_fault_is_explained() -> None:
    """Each word that a verdict can hold is in the page's table."""
    table = set(re.findall(r"^\| `(\w+)` \| ", _TEXT, flags=re.MULTILINE))

    assert {fault.value for fault in Fault} <= table
