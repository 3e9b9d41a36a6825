"""`./run prove model`: all that people, payroll source and bank can do, in any order; the books are right each time.

Each sequence has a seed of its own, so it does not matter which process runs it, and it can be run again alone.
"""

import gc
import logging
import multiprocessing
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from queue import Empty

import structlog

from tests.proofs.model_house import ModelHouse
from tests.proofs.model_reached import missing_from
from tests.proofs.model_sequences import LENGTH, CounterExample, run_sequence
from tests.proofs.model_setting_up import model_house
from tests.support.postgres import remove_shared_folder, running_database

# From so many sequences on every act and every state must have been come to.
_ENOUGH = 500
_TOLD_EVERY = 20
_SPAWN = multiprocessing.get_context("spawn")
_Said = tuple[Counter[str], str | None]


def model(count: int, seed: int) -> str:
    """Run so many sequences, with as many processes as there are processors."""
    processes = max(1, min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2, count))
    reached = _run(count, seed, processes)
    for what, times in sorted(reached.items()):
        print(f"  {times:6} {what}")
    missing = missing_from(reached) if count >= _ENOUGH else []
    assert not missing, f"the sequences never came to: {', '.join(missing)}"
    done = reached.pop("sequences")
    return f"{done} sequences of {LENGTH} steps, {len(reached)} different acts and refusals: the books were right"


def _run(count: int, seed: int, processes: int) -> Counter[str]:
    """Share the sequences out; AssertionError with the first counter-example."""
    run_id = f"m{os.getpid()}"
    said: Queue[_Said] = _SPAWN.Queue()
    stop = _SPAWN.Event()
    shares = [range(seed + n, seed + count, processes) for n in range(processes)]
    started = [_SPAWN.Process(target=_work, args=(run_id, share, said, stop), daemon=True) for share in shares]
    try:
        for process in started:
            process.start()
        return _gather(count, said, started)
    finally:
        stop.set()
        for process in started:
            process.join()
        remove_shared_folder(run_id)


def _gather(count: int, said: "Queue[_Said]", started: list[multiprocessing.context.SpawnProcess]) -> Counter[str]:
    begun, reached = datetime.now(tz=UTC), Counter[str]()
    while reached["sequences"] < count:
        try:
            more, wrong = said.get(timeout=5)
        except Empty:
            assert all(process.exitcode in {None, 0} for process in started), "a process of the proof died"
            continue
        assert wrong is None, wrong
        before = reached["sequences"] // _TOLD_EVERY
        reached += more
        if reached["sequences"] // _TOLD_EVERY > before:
            seconds = (datetime.now(tz=UTC) - begun).total_seconds()
            print(f"{reached['sequences']} sequences of {LENGTH} steps ({seconds:.0f} s)", flush=True)
    return reached


def _work(run_id: str, seeds: range, said: "Queue[_Said]", stop: Event) -> None:
    """Run the sequences of these seeds on a database of their own."""
    with _house(run_id, f"model{seeds.start % seeds.step}") as house:
        for seed in seeds:
            if stop.is_set():
                return
            reached: Counter[str] = Counter()
            try:
                run_sequence(house, seed, reached)
            except CounterExample as found:
                said.put((reached, str(found)))
                return
            said.put((reached, None))


@contextmanager
def _house(run_id: str, name: str) -> Iterator[ModelHouse]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with (
        tempfile.TemporaryDirectory(prefix="prove-") as folder,
        running_database(run_id, name) as database,
        model_house(database, Path(folder)) as house,
    ):
        gc.freeze()  # the application itself is no garbage: looking through it each time is a tenth of the work
        yield house
