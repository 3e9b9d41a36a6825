"""When a whole run is higher or lower than the one before, and whether the calendar expects it. Pure.

Holiday pay is paid in May or June (Wet minimumloon, article 17), a thirteenth month (eindejaarsuitkering) in
November or December, as collective agreements have it. The run after a peak goes down again, which is as expected as
the peak.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

_HOLIDAY_PAY = "holiday_pay"
_THIRTEENTH_MONTH = "thirteenth_month"
_UP = {5: _HOLIDAY_PAY, 6: _HOLIDAY_PAY, 11: _THIRTEENTH_MONTH, 12: _THIRTEENTH_MONTH}
_DOWN = {6: _HOLIDAY_PAY, 7: _HOLIDAY_PAY, 12: _THIRTEENTH_MONTH, 1: _THIRTEENTH_MONTH}
_LAST_MONTH = 12
_LAST_FOUR_WEEKS = 13
_LAST_WEEK = 52
# A person moved when the net changed by a tenth; the run moved together when two thirds of the people did, one way.
_MOVED_PERCENT = 10
_TOGETHER = (2, 3)
# Fewer people than this moving alike may be chance, unless the calendar expects it.
_FEWEST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPeriod:
    """The payroll period of a run; `frequency` is `month`, `four_weeks`, `week` or None."""

    year: int
    number: int
    frequency: str | None = None

    @property
    def month(self) -> int:
        """The month in which most of the period lies, or 12 where there is no such period."""
        if self.frequency == "week":
            return self._month_of_week(self.number)
        if self.frequency == "four_weeks" or self.number == _LAST_FOUR_WEEKS:
            return self._month_of_week(4 * self.number - 1)
        return min(max(self.number, 1), _LAST_MONTH)

    def _month_of_week(self, week: int) -> int:
        return date.fromisocalendar(self.year, min(max(week, 1), _LAST_WEEK), 4).month


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """Most people got more (`is_up`) or less than before. `code` says what the calendar expects, None for nothing."""

    code: str | None
    is_up: bool


def find_peak(totals: Sequence[tuple[int, int]], period: RunPeriod) -> Peak | None:
    """Return how the run moved as a whole, None when it did not. `totals` are (before, after) in cents by person."""
    up = sum(1 for before, after in totals if before > 0 and _moved(before, after) and after > before)
    down = sum(1 for before, after in totals if before > 0 and _moved(before, after) and after < before)
    most = max(up, down)
    if most == 0 or most * _TOGETHER[1] < len(totals) * _TOGETHER[0]:
        return None
    is_up = up > down
    code = (_UP if is_up else _DOWN).get(period.month)
    return Peak(code=code, is_up=is_up) if code is not None or most >= _FEWEST else None


def _moved(before: int, after: int) -> bool:
    return abs(after - before) * 100 >= _MOVED_PERCENT * before
