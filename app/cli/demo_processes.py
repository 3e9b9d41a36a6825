"""Processes that the demo starts beside itself, and what it waits for. Nothing is left running."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import httpx

from app.core.clock import utc_now
from app.core.settings import Settings

_PATIENCE_SECONDS = 60.0
_ROOT = Path(__file__).parents[2]


class DemoFailed(click.ClickException):
    """A step of the demo did not do what it should; its text says which."""


def say(text: str) -> None:
    """Print a step with the time of day."""
    click.echo(f"{utc_now().astimezone():%H:%M:%S}  {text}")


def until(look: Callable[[], Any], what: str) -> Any:
    """Wait for what `look` gives once it gives something; `DemoFailed` when it never comes."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.2)
    raise DemoFailed(f"Waited {_PATIENCE_SECONDS:.0f} seconds for {what}; it did not come.")


@contextmanager
def simulated(name: str, folder: Path, *options: str) -> Iterator[str]:
    """Run the simulator `name` ("nmbrs", "bank") as a process on a free port and give its address."""
    log = folder / f"{name}.log"
    with _process(["-m", f"simulators.{name}", "--port", "0", *options], log) as process:
        yield _first_line(process, log, f"{name}-simulator listening on ")


@contextmanager
def running_service(settings: Settings, folder: Path) -> Iterator[str]:
    """Run `serve` as a process on a free port and give its address once it is ready."""
    port = _free_port()
    base_url = f"http://127.0.0.1:{port}"
    variables = {
        "LOONSTROOM_ENVIRONMENT": settings.environment.value,
        "LOONSTROOM_DATA_DIR": str(settings.data_dir),
        "LOONSTROOM_NMBRS_SOAP_URL": settings.nmbrs_soap_url,
        "LOONSTROOM_PUBLIC_URL": base_url,
        "LOONSTROOM_PORT": str(port),
    }
    log = folder / "service.log"
    with _process(["-m", "app.cli", "serve"], log, variables) as process:
        until(lambda: _is_ready(process, base_url, log), "the service")
        yield base_url


def _is_ready(process: subprocess.Popen[bytes], base_url: str, log: Path) -> bool:
    if process.poll() is not None:
        raise DemoFailed(f"The service ended at once:\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
    try:
        return httpx.get(f"{base_url}/readyz", trust_env=False, timeout=5).is_success
    except httpx.TransportError:
        return False


@contextmanager
def _process(
    arguments: list[str], log: Path, variables: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python in a process of its own; end it, by id, on leaving."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LOONSTROOM_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=_ROOT,
            env={**clean, **(variables or {})},
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _first_line(process: subprocess.Popen[bytes], log: Path, beginning: str) -> str:
    """Return what follows this beginning in the log, once it is there."""

    def look() -> str | None:
        if process.poll() is not None:
            raise DemoFailed(f"It ended at once:\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line.removeprefix(beginning).strip() for line in lines if line.startswith(beginning)), None)

    return str(until(look, "the simulator"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
