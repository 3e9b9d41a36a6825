"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta

# A Wednesday morning: bank days before and after, no clock change near.
WEDNESDAY = datetime(2026, 11, 18, 9, 0, tzinfo=UTC)


class FakeClock:
    """Give the moment it was set to."""

    def __init__(self, moment: datetime = WEDNESDAY) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        """Return the moment."""
        return self.moment

    def forward(self, **delta: float) -> None:
        """Move on by days, hours, minutes or seconds."""
        self.moment += timedelta(**delta)
