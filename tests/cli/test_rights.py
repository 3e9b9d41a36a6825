"""The doctor says when the role of the service could look past row security."""

from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from app.cli.service import rights_fault
from app.core.database import create_engine
from tests.support.postgres import TestDatabase

_MEMBER = "loonstroom_test_member"


def _fault(url: str) -> str:
    engine = create_engine(url, pool_size=1, is_service=True)
    try:
        return rights_fault(engine) or ""
    finally:
        engine.dispose()


@pytest.fixture
def member_url(database: TestDatabase) -> Iterator[str]:
    """A role that was made a member of the owner, for convenience."""
    superuser = sa.make_url(database.superuser_url)
    with psycopg.connect(superuser.set(drivername="postgresql").render_as_string(False), autocommit=True) as connection:
        connection.execute(f"DROP ROLE IF EXISTS {_MEMBER}")
        connection.execute(f"CREATE ROLE {_MEMBER} LOGIN IN ROLE loonstroom_owner")
        yield superuser.set(username=_MEMBER).render_as_string(hide_password=False)
        connection.execute(f"DROP ROLE {_MEMBER}")


def test_the_role_of_the_service_has_no_right_too_many(database: TestDatabase) -> None:
    """As it is set up, there is nothing to say."""
    assert not _fault(database.app_url)


def test_a_superuser_and_an_owner_are_named(database: TestDatabase, member_url: str) -> None:
    """A superuser, the owner, and whoever is a member of the owner could look past row security."""
    assert "superuser" in _fault(database.superuser_url)
    assert "owner" in _fault(database.owner_url)
    assert "owner" in _fault(member_url)


def test_a_table_without_row_security_is_told(database: TestDatabase, engine: Engine) -> None:
    """Switched off for one table, by hand, is a fault."""
    owner = create_engine(database.owner_url, pool_size=1)
    with owner.begin() as connection:
        connection.execute(sa.text("ALTER TABLE claim DISABLE ROW LEVEL SECURITY"))
    told = rights_fault(engine)
    with owner.begin() as connection:
        connection.execute(sa.text("ALTER TABLE claim ENABLE ROW LEVEL SECURITY"))
    owner.dispose()

    assert told is not None
    assert "row security" in told
