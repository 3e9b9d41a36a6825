import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from app.core.settings import Settings

ROOT = Path(__file__).parents[2]


def _instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    split = [line.strip().split(None, 1) for line in joined.splitlines() if line.strip()]
    return [(word.upper(), re.sub(r"\s+", " ", rest)) for word, rest in split]


INSTRUCTIONS = _instructions()
FINAL = INSTRUCTIONS[max(index for index, (word, _) in enumerate(INSTRUCTIONS) if word == "FROM") :]


def _final(word: str) -> str:
    found = [rest for instruction, rest in FINAL if instruction == word]
    assert found, f"the image has no {word}"
    return found[-1]


def _exec_form(text: str) -> list[str]:
    return re.findall(r'"([^"]*)"', text[text.index("[") :])


def _copied_from_the_checkout() -> list[str]:
    copies = [rest.split() for word, rest in INSTRUCTIONS if word in {"COPY", "ADD"} and "--from=" not in rest]
    return [source for words in copies for source in words[:-1]]


def test_it_is_built_in_stages_on_a_slim_base() -> None:
    """What builds is not in the image."""
    bases = [rest for word, rest in INSTRUCTIONS if word == "FROM"]
    assert len(bases) == 2
    assert all(re.match(r"python:3\.\d+-slim", base) for base in bases)


def test_packages_are_checked_against_their_hashes() -> None:
    """Nothing is installed that is not in the lock, byte for byte."""
    installs = [rest for word, rest in INSTRUCTIONS if word == "RUN" and "pip install" in rest]
    assert len(installs) == 1
    for option in ("--require-hashes", "--no-deps", "--only-binary :all:", "-r /build/requirements.lock"):
        assert option in installs[0]
    assert not any("apt-get" in rest or "curl" in rest for word, rest in INSTRUCTIONS if word == "RUN")


def test_it_does_not_run_as_root() -> None:
    """The image's user is a fixed, ordinary one that the image makes itself."""
    user = _final("USER")
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    assert any(word == "RUN" and f"--uid {user.split(':')[0]}" in rest for word, rest in FINAL)
    assert [word for word, _ in FINAL].index("USER") > max(i for i, (word, _) in enumerate(FINAL) if word == "RUN")


def test_the_files_are_not_the_users_own() -> None:
    """Who takes over the service cannot change its code."""
    assert not any("--chown" in rest or "chown" in rest for _, rest in INSTRUCTIONS)


def test_the_health_check_goes_through_the_programme() -> None:
    """The image needs no curl, and its health check is a command that exists."""
    assert _exec_form(_final("HEALTHCHECK")) == ["python", "-m", "app.cli", "health"]
    assert _exec_form(_final("ENTRYPOINT")) == ["python", "-m", "app.cli"]


@pytest.mark.parametrize("command", ["health", "serve", "worker", "migrate", "doctor"])
def test_the_one_image_runs_every_command(command: str) -> None:
    """Service, worker, migrations and diagnosis are the same entry point."""
    shown = subprocess.run(
        [sys.executable, *_exec_form(_final("ENTRYPOINT"))[1:], command, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr


def test_what_it_starts_without_arguments_is_the_service() -> None:
    """Running the image as it is serves."""
    assert _exec_form(_final("CMD")) == ["serve"]


def test_every_setting_exists() -> None:
    """No LOONSTROOM_ variable is one the service would refuse."""
    names = re.findall(r"LOONSTROOM_(\w+)=", _final("ENV"))
    assert names
    assert {name.lower() for name in names} <= set(Settings.model_fields)


def test_everything_that_is_copied_exists_and_is_let_through() -> None:
    """What the image copies is in the checkout and not kept out of the build."""
    allowed = {line[1:] for line in _ignore_lines() if line.startswith("!")}
    for source in _copied_from_the_checkout():
        assert (ROOT / source).exists(), source
        assert source in allowed, source


@pytest.mark.parametrize("path", [".env", "secrets", "data", ".git", "demo-output", "tests", ".venv", "deploy"])
def test_nothing_else_reaches_the_build(path: str) -> None:
    """Secrets, data and history stay out of the image, also when someone adds a folder later."""
    kept_out = False
    for line in _ignore_lines():
        if fnmatch(path, line.lstrip("!")):
            kept_out = not line.startswith("!")
    assert kept_out
    assert path not in _copied_from_the_checkout()


def _ignore_lines() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]
