"""Workers as processes of their own: killed, frozen and thawed."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Engine

from tests.end_to_end.town import ROOT, RunningService, until


@dataclass
class RunningWorker:
    """`worker` as a process, with the settings of the service beside it."""

    service: RunningService
    engine: Engine
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it and wait until the database knows it; return the seconds that took."""
        before, begun = newest_worker(self.engine), time.monotonic()
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "worker"],
                cwd=ROOT,
                env=self.service.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        until(lambda: newest_worker(self.engine) > before, f"a worker (see {self.log})")
        return time.monotonic() - begun

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """End it as a power cut would."""
        self._signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait()

    def freeze(self) -> None:
        """Stop it where it stands, as a machine that pages or a paused virtual machine does."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on as if nothing had happened."""
        self._signal(signal.SIGCONT)

    def stop(self) -> int:
        """End it in order, frozen or not; return its exit code."""
        if self.process is None or self.process.poll() is not None:
            return 0
        self.thaw()
        self.process.terminate()
        return self.process.wait(timeout=40)

    def _signal(self, which: signal.Signals) -> None:
        assert self.process is not None
        os.kill(self.process.pid, which)


def newest_worker(engine: Engine) -> int:
    """Return the highest number that a worker registered under; 0 when none did."""
    with engine.connect() as connection:
        return int(connection.execute(sa.text("SELECT coalesce(max(id), 0) FROM procrastinate_workers")).scalar_one())
