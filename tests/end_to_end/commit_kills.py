"""Kills service or PostgreSQL at every commit of a payday, before PostgreSQL hears of it or before the service does.

A rehearsal without kills says which commits each step has. Then paydays are walked through with a kill in each step, at
another commit each time, until every commit was hit on both sides. After each payday all of it is counted from outside.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from tests.end_to_end.commit_proxy import CommitProxy, Side, Strike, commit_proxy
from tests.end_to_end.payday import Payday, add_second_approver, begin_payday
from tests.end_to_end.payday_count import count_payday
from tests.end_to_end.town import Town, running_town, until
from tests.support.house import Person
from tests.support.postgres import TestDatabase

_LATE_SECONDS = 3.0  # a commit that comes so long after the answer is still hit; none should


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One commit of the flow, and a side of it: the `nth` commit (from 1) of a step, and what it wrote there."""

    step: str
    nth: int
    side: Side
    wrote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitOutcome:
    """What a round came to. `missed` are points whose commit did not come in that payday: nothing was killed there."""

    commits: int
    killed: Sequence[Point]
    missed: Sequence[Point]
    paydays: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where paydays are played: a town whose service reaches its database through the proxy. `kill` is what falls."""

    town: Town
    kill: Callable[[], None]
    proxy: CommitProxy
    second: Person
    seen_ids: set[str]


@contextmanager
def stage(database: TestDatabase, folder: Path, *, kill: Callable[[], None] | None = None) -> Iterator[Stage]:
    """Set a town up with two approvers. Nothing is polled: what is found, a webhook has told.

    `kill` kills something else than the service, and sees to it that it comes back.
    """
    with commit_proxy(database.app_url) as proxy:
        settings = {
            "LOONSTROOM_DATABASE_URL": proxy.url(database.app_url),
            "LOONSTROOM_POLL_INTERVAL_SECONDS": "86400",
            "LOONSTROOM_POKE_DELAY_SECONDS": "0.5",
            # A service that is started so often need not be compiled each time.
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(folder / "compiled"),
        }
        with running_town(database, folder, **settings) as town:
            town.sync()
            until(lambda: not proxy.jobs and any("connection" in each for each in proxy.commits), "the first look")
            kill = kill or town.service.kill
            yield Stage(town=town, kill=kill, proxy=proxy, second=add_second_approver(town), seen_ids=set())


def kill_at_commits(stage: Stage, *, count: int | None = None, rehearsals: int = 1) -> CommitOutcome:
    """Kill at so many points (None: at all), and count; AssertionError names the first thing lost or doubled.

    The first runs of an employer ask other questions than later ones: a second rehearsal knows the commits of both.
    """
    commits: dict[str, Sequence[str]] = {}
    for _ in range(rehearsals):
        found = rehearse(stage)
        commits = {step: max(commits.get(step, ()), wrote, key=len) for step, wrote in found.items()}
    points = spread(every_point(commits), count)
    killed: list[Point] = []
    missed: list[Point] = []
    plans = in_paydays(points)
    for plan in plans:
        for point, was_hit in play(stage, plan).items():
            (killed if was_hit else missed).append(point)
    return CommitOutcome(
        commits=sum(map(len, commits.values())), killed=killed, missed=missed, paydays=len(plans) + rehearsals
    )


def kill_in_first_paydays(
    open_stage: Callable[[], AbstractContextManager[Stage]], outcome: CommitOutcome
) -> CommitOutcome:
    """Return the outcome after each missed point was tried in the first payday of a town of its own.

    Some commits belong to the first payday of an employer alone, as what its administration is called.
    """
    fell: dict[Point, bool] = {}
    for point in outcome.missed:
        with open_stage() as fresh:
            fell |= play(fresh, {point.step: point})
    return replace(
        outcome,
        killed=[*outcome.killed, *(point for point, was_hit in fell.items() if was_hit)],
        missed=[point for point, was_hit in fell.items() if not was_hit],
        paydays=outcome.paydays + len(fell),
    )


def rehearse(stage: Stage) -> dict[str, Sequence[str]]:
    """Walk a payday through without a kill; return what each commit of each step wrote."""
    payday = _begin(stage)
    found: dict[str, Sequence[str]] = {}
    for name, act in payday.steps().items():
        before = len(stage.proxy.commits)
        act()
        found[name] = stage.proxy.commits[before:]
    count_payday(payday, stage.seen_ids)
    return found


def every_point(commits: Mapping[str, Sequence[str]]) -> list[Point]:
    """Return both sides of every commit, in the order of the flow."""
    return [
        Point(step=step, nth=nth, side=side, wrote=wrote)
        for step, written in commits.items()
        for nth, wrote in enumerate(written, start=1)
        for side in Side
    ]


def spread(points: Sequence[Point], count: int | None) -> Sequence[Point]:
    """Return so many points (rounded up to both sides of a commit), evenly over the flow."""
    pairs = list(zip(points[::2], points[1::2], strict=True))
    wanted = len(pairs) if count is None else min(len(pairs), -(-count // 2))
    return list(chain.from_iterable(pairs[index * len(pairs) // wanted] for index in range(wanted)))


def in_paydays(points: Sequence[Point]) -> list[dict[str, Point]]:
    """Share the points out over paydays, with at most one in each step."""
    plans: list[dict[str, Point]] = []
    for point in points:
        plan = next((each for each in plans if point.step not in each), None)
        if plan is None:
            plans.append(plan := {})
        plan[point.step] = point
    return plans


def play(stage: Stage, plan: Mapping[str, Point]) -> dict[Point, bool]:
    """Walk a payday through with these kills and count it; return which of them fell."""
    payday, fell = _begin(stage), {}
    try:
        for name, act in payday.steps().items():
            payday.revive()
            if name in plan:
                stage.proxy.arm(Strike(nth=plan[name].nth, side=plan[name].side, act=stage.kill))
            act()
            if name in plan:
                fell[plan[name]] = stage.proxy.has_struck(within_seconds=_LATE_SECONDS)
            stage.proxy.arm(None)
        count_payday(payday, stage.seen_ids)
    except AssertionError as error:
        error.add_note(
            f"the kills of this payday: {[(each.step, each.nth, each.side.value) for each in plan.values()]}"
        )
        raise
    return fell


def _begin(stage: Stage) -> Payday:
    return begin_payday(stage.town, stage.second, lambda: bool(stage.proxy.jobs))
