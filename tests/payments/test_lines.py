"""The lines of a batch as plain values: the same as the rows, and written back without losing sight of them."""

from dataclasses import fields
from uuid import UUID

from sqlmodel import col, select

from app.core.database import transaction
from app.payments import fetching, lines, receiving
from app.payments.lines import Line
from app.payments.models import CreditTransfer, PaymentBatch, PayrollRun, TransferStatus
from app.payments.readings import ReadingOutcome
from tests.support.house import House


def test_lines_are_the_rows_in_the_order_of_the_source(house: House) -> None:
    """Each field of each line is the column of that name."""
    batch_id = UUID(house.uploaded_batch()["id"])

    with transaction(house.ctx.engine) as session:
        found = lines.of_batch(session, batch_id)
        rows = session.exec(
            select(CreditTransfer)
            .where(CreditTransfer.batch_id == batch_id)
            .order_by(col(CreditTransfer.position).desc())
        ).all()

    names = [field.name for field in fields(Line)]
    assert [[getattr(line, name) for name in names] for line in found] == [
        [getattr(row, name) for name in names] for row in reversed(rows)
    ]
    assert len(found) == 3


def test_lines_are_read_with_what_the_session_has_not_written_yet(house: House) -> None:
    """Who changed a row and then asks for the lines sees the change."""
    batch_id = UUID(house.uploaded_batch()["id"])

    with transaction(house.ctx.engine) as session:
        row = session.exec(select(CreditTransfer).where(CreditTransfer.batch_id == batch_id)).first()
        assert row is not None
        row.decision_reason = "asked by phone"
        found = lines.of_batch(session, batch_id)

    assert [line.decision_reason for line in found if line.id == row.id] == ["asked by phone"]


def test_what_is_stored_is_what_the_session_shows(house: House) -> None:
    """An object of the same line that was in the session already does not show, nor write, its old value."""
    batch_id = UUID(house.uploaded_batch()["id"])

    with transaction(house.ctx.engine) as session:
        rows = session.exec(select(CreditTransfer).where(CreditTransfer.batch_id == batch_id)).all()
        first, *others = lines.of_batch(session, batch_id)
        first.status, first.hold_code = TransferStatus.HELD, "possibly_already_paid"
        lines.store(session, [first], "status")
        seen = {row.id: (row.status, row.hold_code) for row in rows}

    assert seen[first.id] == ("held", None), "only the named column is written"
    assert {seen[line.id] for line in others} == {("payable", None)}


def test_a_run_is_read_again_without_an_object_for_each_line(house: House) -> None:
    """Lines are plain values all the way: a hundred thousand objects of the database mapper are most of a gigabyte."""
    batch_id = UUID(house.uploaded_batch()["id"])

    with transaction(house.ctx.engine) as session:
        run = session.get_one(PayrollRun, session.get_one(PaymentBatch, batch_id).run_id)
        made: list[object] = []
        assert run.reading_id is not None
        reading = fetching.open_reading(house.ctx, session, run.id, run.reading_id)
        outcome = receiving.take_in(house.ctx, session, run.id, reading)
        made = [row for row in session.identity_map.values() if isinstance(row, CreditTransfer)]

    assert (outcome, made) == (ReadingOutcome.UNCHANGED, [])
    assert not hasattr(reading, "document"), "the document is let go when its lines are rows"
