import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = ["demo", "test", "check", "serve", "worker", "doctor", "cli", "migrate", "prove", "bench", "lock"]
KEEPING = ["sbom", "audit", "example-secrets"]
SIMULATORS = ["nmbrs-simulator", "bank-simulator"]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(ROOT / "run"), *arguments], cwd="/", capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [(), ("help",), ("--help",)])
def test_help_lists_every_command(arguments: tuple[str, ...]) -> None:
    """Whoever types ./run sees what can be done."""
    shown = _run(*arguments)
    assert shown.returncode == 0
    for command in (*COMMANDS, *KEEPING, *SIMULATORS):
        assert f"./run {command}" in shown.stdout


def test_an_unknown_command_is_an_error_with_the_list() -> None:
    """A typing mistake installs nothing and shows what exists."""
    shown = _run("dmeo")
    assert shown.returncode == 2
    assert "there is no command 'dmeo'" in shown.stderr
    assert "./run demo" in shown.stderr


@pytest.mark.parametrize("command", [*COMMANDS, *KEEPING, *SIMULATORS])
def test_every_command_in_the_list_is_handled(command: str) -> None:
    """The list promises nothing that the script does not do."""
    cases = (ROOT / "run").read_text().rsplit("\ncase $command in", 1)[1]
    assert re.search(rf"^    ([a-z-]+ \| )*{command}( \| [a-z-]+)*\)$", cases, re.MULTILINE)


@pytest.mark.parametrize("script", ["run", "deploy/new-secrets", ".ci/run"])
def test_scripts_are_executable_and_well_formed(script: str) -> None:
    """A clone can be run as it is, by the shell named in the script."""
    path = ROOT / script
    assert os.access(path, os.X_OK)
    shell = "bash" if "bash" in path.read_text().splitlines()[0] else "sh"
    assert subprocess.run([shell, "-n", str(path)], check=False).returncode == 0


def test_make_delegates() -> None:
    """The Makefile does nothing of its own: each target is the command of ./run with that name."""
    text = (ROOT / "Makefile").read_text()
    targets = next(line for line in text.splitlines() if line.startswith("COMMANDS :=")).split()[2:]
    assert set(targets) < set(COMMANDS)
    assert "$(COMMANDS):\n\t@./run $@ $(ARGS)\n" in text


def test_the_environment_of_the_tests_is_the_locked_one() -> None:
    """What runs these tests was installed from the lock for developing."""
    installed = Path(sys.prefix) / "installed-requirements-dev.lock"
    assert not installed.exists() or installed.read_bytes() == (ROOT / "requirements-dev.lock").read_bytes()


def test_every_rule_that_is_switched_off_has_a_reason() -> None:
    """An ignored lint rule says why it is ignored."""
    text = (ROOT / "pyproject.toml").read_text()
    section = text[text.index("[tool.ruff.lint]") : text.index("[tool.ruff.lint.flake8-type-checking]")]
    rules = [line for line in section.splitlines() if re.match(r'\s+"[A-Z]+\d*",', line)]
    assert len(rules) > 10
    assert [line for line in rules if not re.search(r"# \w", line)] == []
