"""How benchmarks measure: subject and yardstick in turn, medians, and a ratio with the goal it is held to.

A bare figure says as much about the machine and its neighbours as about us; a ratio between two things that were
measured in turn, minutes ago, on the same machine, does not.
"""

import gc
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

_LEAST_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a ratio must be: `at_least` or `at_most`, both included."""

    at_least: float | None = None
    at_most: float | None = None

    def holds(self, ratio: float) -> bool:
        """Tell whether the ratio is as it must be."""
        return (self.at_least is None or ratio >= self.at_least) and (self.at_most is None or ratio <= self.at_most)

    def __str__(self) -> str:
        """Return the goal in words."""
        bounds = (("at least", self.at_least), ("at most", self.at_most))
        return ", ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One outcome. `value` and `yardstick` have the same unit; without a goal a figure is only told, and holds."""

    name: str
    value: float
    unit: str
    yardstick: float | None = None
    ratio: float | None = None
    goal: str | None = None
    holds: bool = True

    def as_json(self) -> dict[str, Any]:
        """Return the figure as it goes in the JSON file."""
        return asdict(self)

    def __str__(self) -> str:
        """Return the figure as one line of the table."""
        yardstick = "" if self.yardstick is None else f"{self.yardstick:.4g} {self.unit}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        verdict = "" if self.goal is None else f"{self.goal}: {'holds' if self.holds else 'MISSED'}"
        return f"{self.name:<52} {f'{self.value:.4g} {self.unit}':>16} {yardstick:>16} {ratio:>8}  {verdict}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is measured: the figures of the documentation, or tiny ones that only exercise the machinery."""

    small: bool = False

    def of(self, usual: int, small: int) -> int:
        """Return the usual number, or the small one."""
        return small if self.small else usual

    @property
    def rounds(self) -> int:
        """How often subject and yardstick are measured in turn."""
        return self.of(5, 1)


def told(name: str, value: float, unit: str) -> Figure:
    """Return a figure without a yardstick."""
    return Figure(name=name, value=value, unit=unit)


def as_multiple(name: str, unit: str, value: float, yardstick: float, goal: Goal | None = None) -> Figure:
    """Return a figure with the ratio value / yardstick: 2 means twice the yardstick."""
    return _judged(name, unit, value, yardstick, value / yardstick, goal)


def as_speed(name: str, unit: str, value: float, yardstick: float, goal: Goal | None = None) -> Figure:
    """Return a figure of durations with the ratio yardstick / value: 2 means twice as fast as the yardstick."""
    return _judged(name, unit, value, yardstick, yardstick / value, goal)


def _judged(name: str, unit: str, value: float, yardstick: float, ratio: float, goal: Goal | None) -> Figure:
    return Figure(
        name=name,
        value=value,
        unit=unit,
        yardstick=yardstick,
        ratio=ratio,
        goal=None if goal is None else str(goal),
        holds=goal is None or goal.holds(ratio),
    )


def in_turn(subjects: Mapping[str, Callable[[], object]], *, rounds: int, warm_up: bool = True) -> dict[str, float]:
    """Run the subjects one after the other, `rounds` times, and return the median seconds of each.

    Every other round goes backwards, so that none always comes after the same neighbour; garbage of one is collected
    before the next, at nobody's expense. What is over in a moment is repeated, so that a moment's delay of the machine
    is not most of what is measured.
    """
    if warm_up:
        for subject in subjects.values():
            subject()
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    for n in range(rounds):
        names = list(subjects)[:: 1 if n % 2 == 0 else -1]
        for name in names:
            seconds[name].append(_repeated(subjects[name]))
    show_spread(seconds)
    return {name: median(values) for name, values in seconds.items()}


def _repeated(subject: Callable[[], object]) -> float:
    """Return the mean seconds of as many runs as fit in `_LEAST_SECONDS`, one at least."""
    gc.collect()
    begun, runs, lasted = time.perf_counter(), 0, 0.0
    while lasted < _LEAST_SECONDS:
        subject()
        runs += 1
        lasted = time.perf_counter() - begun
    return lasted / runs


def timed(subject: Callable[[], object]) -> float:
    """Return the seconds that one run takes."""
    gc.collect()
    begun = time.perf_counter()
    subject()
    return time.perf_counter() - begun


def show_spread(samples: Mapping[str, Sequence[float]]) -> None:
    """Print smallest, median and largest of what was measured, so that a reader can judge the medians."""
    for name, values in samples.items():
        print(
            f"    {name}: {min(values):.4g} .. {median(values):.4g} .. {max(values):.4g} ({len(values)} x)", flush=True
        )


def all_hold(figures: Iterable[Figure]) -> bool:
    """Tell whether every figure that has a goal reaches it."""
    return all(figure.holds for figure in figures)
