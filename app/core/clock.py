"""The one place that looks at the clock; everything below `main` is given the time."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

AMSTERDAM = ZoneInfo("Europe/Amsterdam")

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return datetime.now(UTC)


def amsterdam_date(moment: datetime) -> date:
    """Return the calendar day in the Netherlands at this moment: the day that execution dates and limits count by."""
    return moment.astimezone(AMSTERDAM).date()
