"""`./run prove kills`: service, workers, PostgreSQL are killed under load, then service and PostgreSQL at commits."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from pathlib import Path
from statistics import median

from tests.end_to_end.commit_kills import CommitOutcome, Stage, kill_at_commits, kill_in_first_paydays, stage
from tests.end_to_end.durable import durable_postgres
from tests.end_to_end.kill_all import split_town
from tests.end_to_end.kills import Journal, strike_under_load
from tests.support.postgres import TestDatabase, remove_shared_folder, running_database

_EVERY_COMMIT_FROM = 100  # from this count on no commit is left out
_BACK_SECONDS = 3.0  # the median of each kind of strike; a worker's is when it is known as alive again
_WORK_GOES_ON_SECONDS = 10.0  # with a worker less: what it left lying is taken up by the others
_MARGIN = 5.0  # for a single one, on a machine that does other things as well


def _say(line: str) -> str:
    print(line, flush=True)
    return line


def kills(count: int, seed: int) -> str:
    """Strike so many times under load, then at commits of a payday: at all of them from 100 on."""
    return "; ".join(
        (_say(_under_load(count, seed)), _say(_service_at_commits(count, seed)), _postgres_at_commits(count))
    )


def _under_load(count: int, seed: int) -> str:
    with tempfile.TemporaryDirectory(prefix="prove-") as folder, split_town(Path(folder)) as split:
        journal = Journal(Path(folder) / "journal")
        outcome = strike_under_load(split.town, journal, split.strikes(), count=count, seed=seed, most_runs=150)
    for name, seconds in outcome.recoveries.items():
        usual, most = median(seconds), _WORK_GOES_ON_SECONDS if name == "worker" else _BACK_SECONDS
        assert usual < most, f"{name}: usually {usual:.1f} s until it was back: {outcome.told()}"
    slowest = max(chain.from_iterable(outcome.recoveries.values()))
    limit = _BACK_SECONDS * _MARGIN
    assert slowest < limit, f"{slowest:.1f} s until a webhook was taken again: {outcome.told()}"
    return (
        f"{outcome.kills} strikes under load, {outcome.webhooks} acknowledged webhooks, {outcome.put_off} put off, "
        f"{outcome.runs} runs: nothing lost, nothing doubled; {outcome.told()} (at most {_BACK_SECONDS:.0f} s, "
        f"one alone {limit:.0f} s)"
    )


def _service_at_commits(count: int, seed: int) -> str:
    run_id = f"prove{seed:x}"
    try:
        with running_database(run_id, "prove") as database:
            return _told("the service", _at_commits(lambda: _new_stage(database, kill=None), count))
    finally:
        remove_shared_folder(run_id)


def _postgres_at_commits(count: int) -> str:
    with durable_postgres() as postgres:
        kill = postgres.kill_at_once
        return _told("PostgreSQL", _at_commits(lambda: _new_stage(postgres.database, kill=kill), count))


@contextmanager
def _new_stage(database: TestDatabase, kill: Callable[[], None] | None) -> Iterator[Stage]:
    """Open an empty database with a data folder of its own: a release counter knows the database it counts for."""
    with tempfile.TemporaryDirectory(prefix="prove-") as folder, stage(database, Path(folder), kill=kill) as ready:
        yield ready


def _at_commits(open_stage: Callable[[], AbstractContextManager[Stage]], count: int) -> CommitOutcome:
    with open_stage() as ready:
        outcome = kill_at_commits(ready, count=_points(count), rehearsals=2)
    outcome = kill_in_first_paydays(open_stage, outcome)
    hit = {(point.wrote, point.side) for point in outcome.killed}
    never = [point for point in outcome.missed if (point.wrote, point.side) not in hit]
    assert not never, f"what these commits write was never hit: {[(each.step, each.wrote) for each in never]}"
    return outcome


def _points(count: int) -> int | None:
    return None if count >= _EVERY_COMMIT_FROM else count


def _told(victim: str, outcome: CommitOutcome) -> str:
    hit = {(point.step, point.nth) for point in outcome.killed}
    return (
        f"{victim} killed {len(outcome.killed)} times before and after {len(hit)} of the {outcome.commits} commits of "
        f"a payday; {len(outcome.missed)} came by chance once, and what they write was hit elsewhere: every line paid "
        f"once"
    )
