"""Time as the simulator sees it, handed in from the command line."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The time of day (aware, UTC) and a clock that never goes back (seconds)."""

    now: Callable[[], datetime]
    monotonic: Callable[[], float]
