"""Starts a simulator as a process of its own, for tests, proofs and benchmarks, and ends it."""

import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]


class SimulatorError(RuntimeError):
    """A simulator did not start, or refused what was asked of it; the text is its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A simulator that listens: where, and as which process."""

    base_url: str
    pid: int


@contextmanager
def started(name: str, *options: str, start_seconds: float = 30) -> Iterator[Started]:
    """The simulator `name` ("nmbrs", "bank") while the block runs. Raises SimulatorError when it does not start."""
    with tempfile.TemporaryDirectory(prefix=f"{name}-simulator-") as folder:
        errors = Path(folder) / "errors.txt"
        with errors.open("wb") as error_file:
            process = subprocess.Popen(
                [sys.executable, "-m", f"simulators.{name}", "--stop-at-end-of-input", *options],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=error_file,
            )
        try:
            url = _address(process, f"{name}-simulator listening on ", errors, start_seconds)
            yield Started(base_url=url, pid=process.pid)
        finally:
            _end(process)


def _address(process: subprocess.Popen[bytes], ready: str, errors: Path, start_seconds: float) -> str:
    """What the process says on its one line of output."""
    deadline = time.monotonic() + start_seconds
    stdout = process.stdout
    while stdout and (left := deadline - time.monotonic()) > 0:
        if select.select([stdout], [], [], left)[0]:
            line = stdout.readline().decode()
            if line.startswith(ready):
                return line.removeprefix(ready).strip()
            if not line:
                process.wait(timeout=start_seconds)  # it ended; then its words are all there
            raise SimulatorError(f"the simulator did not start: {line}{errors.read_text(encoding='utf-8')}")
    raise SimulatorError(f"the simulator was not ready within {start_seconds} s")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End that process, politely first, and release its pipes."""
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=10)
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()
