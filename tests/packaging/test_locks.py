import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ["requirements.lock", "requirements-dev.lock", "requirements-uv.lock", "requirements-audit.lock"]
PINNED = re.compile(r"^([a-z0-9][a-z0-9-]*)==([^\s;\\]+)", re.MULTILINE)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def _pins(lock: str) -> dict[str, set[str]]:
    pins: dict[str, set[str]] = {}
    for name, version in PINNED.findall((ROOT / lock).read_text()):
        pins.setdefault(name, set()).add(version)
    return pins


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[=<>; ]", requirement)[0].lower() for requirement in requirements}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_has_a_version_and_hashes(lock: str) -> None:
    """An installed file is known byte for byte."""
    blocks = re.split(r"\n(?=[a-z0-9])", (ROOT / lock).read_text())[1:]
    assert blocks
    for block in blocks:
        assert PINNED.match(block), block.splitlines()[0]
        assert "--hash=sha256:" in block, block.splitlines()[0]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_place(lock: str) -> None:
    """No index, download address or folder of a machine: the lock works wherever packages come from."""
    text = (ROOT / lock).read_text()
    assert not re.search(r"://|--(extra-)?index-url|--find-links|\s@\s", text)
    assert not re.search(r"(^|\s)/\w", text)


def test_what_the_project_asks_for_is_locked() -> None:
    """A dependency added to pyproject.toml without ./run lock is noticed."""
    assert _names(PROJECT["project"]["dependencies"]) <= set(_pins("requirements.lock"))
    assert _names(PROJECT["dependency-groups"]["dev"]) <= set(_pins("requirements-dev.lock"))


def test_tests_run_on_the_versions_of_production() -> None:
    """The lock for developing holds every package of the runtime lock in the same version."""
    runtime, developing = _pins("requirements.lock"), _pins("requirements-dev.lock")
    assert {name: developing.get(name) for name in runtime} == runtime
