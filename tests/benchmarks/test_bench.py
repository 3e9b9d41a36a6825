import json
from pathlib import Path

import pytest

from benchmarks.bench import BENCHMARKS, main, report
from benchmarks.measuring import Goal, as_multiple, as_speed, told

COLUMNS = {"name", "value", "unit", "yardstick", "ratio", "goal", "holds"}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BENCHMARKS))
def test_a_benchmark_measures_and_writes_its_figures(name: str, tmp_path: Path) -> None:
    """Each benchmark runs from start to end; its file lists figures that a program can judge."""
    file = tmp_path / "figures.json"
    code = main(["--only", name, "--small", "--json", str(file)])
    figures = json.loads(file.read_text(encoding="utf-8"))
    assert figures
    for figure in figures:
        assert set(figure) == COLUMNS
        assert figure["value"] > 0
        assert figure["name"]
        assert figure["unit"]
        assert (figure["yardstick"] is None) == (figure["ratio"] is None)
        assert figure["goal"] is None or figure["ratio"] is not None
    assert len({figure["name"] for figure in figures}) == len(figures)
    assert code == (0 if all(figure["holds"] for figure in figures) else 1)


def test_a_ratio_is_held_to_its_goal() -> None:
    """A goal is reached at its bound and missed beyond it; a figure without a goal cannot miss."""
    assert as_multiple("", "s", 3.0, 1.0, Goal(at_most=3)).holds
    assert not as_multiple("", "s", 3.1, 1.0, Goal(at_most=3)).holds
    assert as_speed("", "s", 1.0, 15.0, Goal(at_least=15)).holds
    assert not as_speed("", "s", 1.0, 14.9, Goal(at_least=15)).holds
    assert told("", 1.0, "s").holds


def test_a_missed_goal_is_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever runs the benchmarks in a script learns that a goal was missed, and which."""
    missed = as_multiple("a page", "s", 9.0, 1.0, Goal(at_most=2))
    assert report([told("another page", 1.0, "s"), missed], None) == 1
    assert [line for line in capsys.readouterr().out.splitlines() if "MISSED" in line and "a page" in line]
    assert report([told("another page", 1.0, "s")], None) == 0
