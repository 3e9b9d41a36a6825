"""`./run prove changes`: planted changes of accounts, all of them asked about, and unchanged months without a word."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from fastapi.testclient import TestClient
from pydantic import SecretStr

from app.core.crypto import new_key_text
from app.core.settings import Environment, Settings
from app.main import build, create_app
from tests.proofs.changes import prove_rules, prove_uploads
from tests.support.clock import FakeClock
from tests.support.house import House, add_house
from tests.support.postgres import HISTORY_KEY, remove_shared_folder, running_database

# So many planted changes take about a year of uploads for an employer with four administrations.
_CHANGES_A_YEAR = 250


def changes(count: int, seed: int) -> str:
    """Plant so many changes in years of payroll: all by the pure rules, a sample by uploads on PostgreSQL."""
    begun = datetime.now(tz=UTC)
    rules = prove_rules(changes=count, seed=seed)
    print(f"rules: {rules}; planted {dict(sorted(rules.planted.items()))}", flush=True)
    with _house(seed) as house:
        uploads = prove_uploads(house, years=max(1, count // _CHANGES_A_YEAR), seed=seed)
    print(f"uploads: {uploads}; planted {dict(sorted(uploads.planted.items()))}", flush=True)
    seconds = (datetime.now(tz=UTC) - begun).total_seconds()
    return (
        f"{rules.all_planted + uploads.all_planted} planted changes, all asked about or told; "
        f"{rules.unchanged + uploads.unchanged} unchanged months without a question or a remark ({seconds:.0f} s)"
    )


@contextmanager
def _house(seed: int) -> Iterator[House]:
    """Give an employer on a database of its own."""
    run_id = f"changes{seed:x}"
    try:
        with (
            tempfile.TemporaryDirectory(prefix="prove-") as folder,
            running_database(run_id, "prove") as database,
        ):
            settings = Settings(
                environment=Environment.TEST,
                data_dir=Path(folder),
                encryption_keys=SecretStr(new_key_text("k1")),
                identifier_key=SecretStr("an identifier key for proofs, long enough"),
                history_key=SecretStr(HISTORY_KEY),
            )
            service = build(settings, database_url=database.app_url, clock=FakeClock(), sources={})
            with TestClient(create_app(service, with_worker=False)) as client:
                yield add_house(service.context, client)
            service.context.close()
    finally:
        remove_shared_folder(run_id)
