"""Much at once, past the database mapper."""

from uuid import UUID, uuid4

import pytest
from sqlmodel import col, select

from app.core.copying import large_value
from app.core.database import transaction
from app.payments.models import SourceReading
from tests.support.house import House


def test_a_large_value_is_what_the_mapper_gives(house: House) -> None:
    """The bytes are the same as those in the row."""
    house.uploaded_batch()

    with transaction(house.ctx.engine) as session:
        identifier, sealed = session.exec(select(col(SourceReading.id), col(SourceReading.raw_sealed))).one()
        found = large_value(session, "source_reading", "raw_sealed", identifier)

    assert (type(found), found) == (bytes, sealed)


def test_a_large_value_of_no_row_is_an_error(house: House) -> None:
    """Nothing is not an empty value."""
    unknown: UUID = uuid4()

    with transaction(house.ctx.engine) as session, pytest.raises(LookupError):
        large_value(session, "source_reading", "raw_sealed", unknown)
