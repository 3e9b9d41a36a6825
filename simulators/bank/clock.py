"""The bank's clock: the real one, or one that stands still where it was put."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

AMSTERDAM: Final = ZoneInfo("Europe/Amsterdam")


class BankClock:
    """Gives the moment (aware, UTC) and the day in the Netherlands."""

    def __init__(self, real: Callable[[], datetime]) -> None:
        self._real = real
        self._put: datetime | None = None

    def now(self) -> datetime:
        """The moment."""
        return self._put if self._put is not None else self._real()

    def today(self) -> date:
        """The day in the Netherlands."""
        return self.now().astimezone(AMSTERDAM).date()

    def put(self, moment: datetime | None) -> None:
        """Stand still at a moment (aware), or go on with the real time (None)."""
        self._put = moment
