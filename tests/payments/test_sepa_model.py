from datetime import UTC, datetime

from app.payments.sepa_model import transfer_pointers
from tests.payments.sepa_examples import content, rich_content


def test_totals_are_the_sums_of_the_lines():
    """Count and cents, of each instruction and of the file."""
    file = rich_content()
    assert [block.number_of_transactions for block in file.instructions] == [4, 2]
    assert [block.control_sum_cents for block in file.instructions] == [100_000_400_007, 400_181]
    assert file.number_of_transactions == 6
    assert file.control_sum_cents == 100_000_800_188


def test_the_creation_time_is_amsterdam_time_in_whole_seconds():
    """Summer and winter time, the fraction left off."""
    summer = content(created_at=datetime(2026, 7, 1, 22, 30, 0, 999_999, tzinfo=UTC))
    winter = content(created_at=datetime(2026, 12, 1, 22, 30, tzinfo=UTC))
    assert summer.created_at_local.isoformat() == "2026-07-02T00:30:00"
    assert winter.created_at_local.isoformat() == "2026-12-01T23:30:00"


def test_every_line_has_its_place():
    """Pointers follow file order over the instructions."""
    assert [pointer for pointer, _ in transfer_pointers(rich_content().instructions)] == [
        "/instructions/0/transfers/0",
        "/instructions/0/transfers/1",
        "/instructions/0/transfers/2",
        "/instructions/0/transfers/3",
        "/instructions/1/transfers/0",
        "/instructions/1/transfers/1",
    ]
