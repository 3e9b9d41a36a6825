"""`./run prove hostile`: hostile requests, slow clients and generated calls against the service as it runs.

Zero 5xx, every refusal a problem that repeats nothing, 32 MiB more memory at most, slow clients cut off in ten seconds
while health is told within 100 ms.
"""

import tempfile
from pathlib import Path

from tests.end_to_end.town import Town, running_town
from tests.http.generated_calls import cases_in, generated_calls
from tests.proofs.hostile import NO_LIMITS, attack, ids_of, target_of
from tests.proofs.slow_clients import besiege
from tests.support.postgres import remove_shared_folder, running_database

_SLOW_CLIENTS = 500
_CUT_OFF_SECONDS = 11.0  # ten, and what it takes five hundred of them to be told so on one core
_HEALTH_SECONDS = 0.1
_SHARE = 0.95
# 20,000 generated calls beside 100,000 hostile requests. Each example is one of each of some eighty operations; calls
# that the schema itself suggests come on top.
_HOSTILE_A_GENERATED_CALL = 5
_HOSTILE_A_GENERATED_EXAMPLE = 400


def _say(line: str) -> None:
    print(line, flush=True)


def hostile(count: int, seed: int) -> str:
    """Besiege with slow clients, then send so many hostile requests, then generated calls; return the figures."""
    run_id = f"prove{seed:x}"
    try:
        with (
            tempfile.TemporaryDirectory(prefix="prove-") as folder,
            running_database(run_id, "prove") as database,
            running_town(database, Path(folder), **NO_LIMITS) as town,
        ):
            figures = [_besieged(town), _attacked(town, count, seed), _generated(town, Path(folder), count, seed)]
            log = town.service.log.read_text(encoding="utf-8", errors="replace")
    finally:
        remove_shared_folder(run_id)
    assert "unforeseen_error" not in log, "an error of ours was logged"
    assert "Kanarie" not in log, "input was logged"
    return "; ".join(figures)


def _attacked(town: Town, count: int, seed: int) -> str:
    report = attack(town, target_of(town, ids_of(town)), count=count, seed=seed, progress=_say)
    statuses = ", ".join(f"{status}: {number}" for status, number in sorted(report.statuses.items()))
    growth = report.growth_bytes / 2**20
    return f"{count} hostile requests: no 5xx ({statuses}), memory +{growth:.1f} MiB"


def _besieged(town: Town) -> str:
    outcome = besiege(town, count=_SLOW_CLIENTS)
    assert outcome.left == 0, f"{outcome.left} slow clients were never cut off"
    for kind, seconds in outcome.cut_off.items():
        _say(f"slow clients, {kind}: {len(seconds)} cut off after {min(seconds):.1f} to {max(seconds):.1f} s")
    slowest, health = outcome.slowest_cut_seconds, outcome.health_percentile(_SHARE)
    _say(f"slow clients: the last was cut off after {slowest:.1f} s, health p95 {health * 1000:.0f} ms")
    assert slowest < _CUT_OFF_SECONDS, f"a slow client lasted {slowest:.1f} s"
    assert health < _HEALTH_SECONDS, f"health took {health * 1000:.0f} ms in one of twenty probes"
    return f"{_SLOW_CLIENTS} slow clients cut off within {slowest:.1f} s, health p95 {health * 1000:.0f} ms"


def _generated(town: Town, folder: Path, count: int, seed: int) -> str:
    examples = max(5, count // _HOSTILE_A_GENERATED_EXAMPLE)
    made = cases_in(generated_calls(town, folder, examples=examples, seed=seed))
    assert made * _HOSTILE_A_GENERATED_CALL >= count, f"only {made} calls were generated"
    return f"{made} generated calls: as documented"
