"""The proof of `./run prove tamper`, short: whatever is done to a history in the database is found, at its place."""

import pytest

from benchmarks.prove_tamper import TAMPERINGS, tamper
from tests.support.postgres import TestDatabase


@pytest.mark.slow
def test_every_tampering_with_every_record_is_found(database: TestDatabase) -> None:
    """Sixty records, each altered, dropped, inserted, swapped and cut off by a superuser: found, place named."""
    database.empty()

    outcome = tamper(database, records=60, seed=20261121)

    assert outcome.tried == {way.name: 60 for way in TAMPERINGS}
