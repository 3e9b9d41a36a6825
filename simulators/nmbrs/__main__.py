"""`python -m simulators.nmbrs --port P --data FILE`: the simulator as a process."""

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from simulators.nmbrs.application import Application
from simulators.nmbrs.clock import Clock
from simulators.nmbrs.sender import WebhookSender
from simulators.nmbrs.server import Server
from simulators.nmbrs.world import World

DEMO = Path(__file__).with_name("demo.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Exit code 2 when the data cannot be used."""
    options = _options(arguments)
    clock = Clock(now=lambda: datetime.now(UTC), monotonic=time.monotonic)
    try:
        world = World(options.data.read_bytes(), clock)
    except (OSError, ValidationError) as error:
        print(f"nmbrs-simulator: cannot use {options.data}: {error}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: world.stopped.set())
    signal.signal(signal.SIGINT, lambda *_: world.stopped.set())
    if options.stop_at_end_of_input:
        threading.Thread(target=_stop_at_end_of_input, args=(world.stopped,), daemon=True).start()
    with Server(options.host, options.port) as server:
        server.respond = Application(world, WebhookSender(clock, world.stopped), server.base_url).answer
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        print(f"nmbrs-simulator listening on {server.base_url}", flush=True)
        world.stopped.wait()
        server.shutdown()
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="nmbrs-simulator", description="A stand-in for the Nmbrs SOAP API v3.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--data", type=Path, default=DEMO, help="the data file; the demo's when left out")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--stop-at-end-of-input", action="store_true", help="stop when standard input is closed")
    return parser.parse_args(arguments)


def _stop_at_end_of_input(stopped: threading.Event) -> None:
    """So that a simulator does not outlive the process that started it, however that ended."""
    # Not through sys.stdin: a daemon thread holding its lock would break the interpreter's end.
    while os.read(0, 4096):
        pass
    stopped.set()


if __name__ == "__main__":
    sys.exit(main())
