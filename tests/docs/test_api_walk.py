"""docs/api.md is true: its commands, run as they stand, lead from an empty database to what came of two files."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import sqlalchemy as sa

from tests.end_to_end.town import ROOT, RunningService, free_port
from tests.support.postgres import TestDatabase

_PAGE = ROOT / "docs" / "api.md"


def _commands() -> str:
    """Return the shell blocks of the upload way, without the one that starts the service and the Nmbrs way."""
    text = _PAGE.read_text(encoding="utf-8")
    way_a, _, rest = text.partition("## B. From Nmbrs")
    blocks = re.findall(r"```sh\n(.*?)```", way_a + rest[rest.index("## The batch") :], flags=re.DOTALL)
    return "\n".join(block for block in blocks if not block.startswith("./run serve"))


def test_the_commands_of_the_page_work_as_they_stand(database: TestDatabase, tmp_path: Path) -> None:
    """Typed one after the other, the commands end with a refused batch, a delivered one, and nobody left unpaid."""
    missing = [name for name in ("bash", "curl", "jq") if shutil.which(name) is None]
    assert not missing, f"install {', '.join(missing)} (Debian packages of the same name) to run the page's commands"
    database.empty()
    service = RunningService(
        database=database, nmbrs_url="http://127.0.0.1:9", log=tmp_path / "service.log", port=free_port()
    )
    service.start()
    run = tmp_path / "run"
    run.write_text(f'#!/bin/sh\nshift\ncd "{ROOT}" && exec "{sys.executable}" -m app.cli "$@"\n', encoding="utf-8")
    run.chmod(0o755)
    # pin.txt is read by the command line, which runs in another folder here.
    script = _commands().replace("--pin-file pin.txt", f'--pin-file "{tmp_path}/pin.txt"')
    try:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path,
            env={**os.environ, **service.variables(), "RUN": str(run), "BASE": service.base_url},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
    finally:
        service.stop()

    assert done.returncode == 0, done.stdout[-2500:] + done.stderr[-2500:]
    assert '"delivered"' in done.stdout
    assert (tmp_path / "salaris-bank.xml").read_bytes().startswith(b"<?xml")
    assert "Aangeleverd bij de bank" in (tmp_path / "history.csv").read_text(encoding="utf-8-sig")
    engine = database.engine()
    with engine.connect() as connection:
        query = sa.text("SELECT kind, status, revision FROM payment_batch ORDER BY created_at")
        batches = [tuple(row) for row in connection.execute(query)]
        held = connection.execute(
            sa.text("SELECT way, count(*) FROM claim WHERE state IN ('live', 'spent') GROUP BY way ORDER BY way")
        )
        assert [tuple(row) for row in held] == [("elsewhere", 1), ("file", 1)]
    engine.dispose()
    assert [(kind, status) for kind, status, _ in batches] == [("run", "refused"), ("follow_up", "delivered")]
    assert batches[1][2] == 2  # one revision on after the withdrawal
