"""A full disk under PostgreSQL: no webhook is acknowledged that is not stored, and space again is all it takes."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa

from tests.end_to_end.durable import DurablePostgres, durable_postgres
from tests.end_to_end.kills import stored_webhooks
from tests.end_to_end.town import COMPANY, Town, running_town, until

_DISK = "256m"
_BLOCK = b"\0" * 65536
_PADDING = "x" * 60_000  # near the largest webhook: it does not fit in space that PostgreSQL has left over
_MOST_POSTS = 400


@contextmanager
def _small_disk() -> Iterator[Path]:
    """Give a small disk of its own."""
    with tempfile.TemporaryDirectory(prefix="disk-") as name:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={_DISK},mode=0755", "tmpfs", name], capture_output=True, check=False
        )
        if mounted.returncode:
            pytest.skip("needs a small disk: run as root with the right to mount (docker run --privileged)")
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", name], check=True)


def _fill(disk: Path) -> Path:
    """Take all the space that is left."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("ab", buffering=0) as file:
        while file.write(_BLOCK) == len(_BLOCK):
            os.fsync(file.fileno())
    return ballast


def _post(town: Town) -> tuple[str, httpx.Response]:
    body = json.dumps({"companyId": COMPANY, "mark": str(uuid4()), "padding": _PADDING}).encode()
    answer = httpx.post(town.webhook_url, content=body, trust_env=False, timeout=30)
    return sha256(body).hexdigest(), answer


def _post_until_full(town: Town) -> set[str]:
    """Post webhooks until ten were put off; return those that were acknowledged."""
    acknowledged: set[str] = set()
    put_off = 0
    for _ in range(_MOST_POSTS):
        digest, answer = _post(town)
        if answer.status_code == httpx.codes.ACCEPTED:
            acknowledged.add(digest)
            continue
        assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, f"{answer.status_code} {answer.text}"
        assert answer.headers["retry-after"], "nothing says when to come back"
        put_off += 1
        if put_off == 10:
            return acknowledged
    raise AssertionError("the disk never was full")


def _use_up_the_log(postgres: DurablePostgres) -> None:
    """Begin new files of the write-ahead log until there is no place for one: PostgreSQL gives up then."""
    engine = sa.create_engine(postgres.database.superuser_url, poolclass=sa.NullPool)
    with suppress(sa.exc.DBAPIError):
        for _ in range(64):
            with engine.begin() as connection:
                connection.execute(sa.text("SELECT pg_logical_emit_message(true, 'fill', 'x'), pg_switch_wal()"))
    engine.dispose()


@pytest.mark.slow
@pytest.mark.parametrize("gives_up", [False, True], ids=["no room for rows", "no room for the log"])
def test_a_full_disk_loses_nothing_that_was_acknowledged(tmp_path: Path, gives_up: bool) -> None:
    """While it is full webhooks are put off; with space again the service goes on by itself, with every row."""
    with (
        _small_disk() as disk,
        durable_postgres(disk / "postgres") as postgres,
        running_town(postgres.database, tmp_path) as town,
    ):
        before, answer = _post(town)
        ballast = _fill(disk)
        if gives_up:
            _use_up_the_log(postgres)
        acknowledged = _post_until_full(town)
        alive = httpx.get(f"{town.service.base_url}/healthz", trust_env=False, timeout=15)

        ballast.unlink()
        until(lambda: _post(town)[1].status_code == httpx.codes.ACCEPTED, "webhooks to be taken again")
        run_id = town.finish_run()
        until(lambda: _post(town)[1].status_code == httpx.codes.ACCEPTED, "a webhook to be taken")
        batch = until(lambda: town.batches_of(run_id), "a batch once there is space")[0]
        stored = stored_webhooks(town)

    assert answer.status_code == httpx.codes.ACCEPTED
    assert alive.status_code == httpx.codes.OK
    assert {before, *acknowledged} <= stored.keys(), "a webhook was acknowledged and is not stored"
    assert batch["number_of_transactions"] == 8
