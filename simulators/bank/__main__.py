"""`python -m simulators.bank --port P`: the bank as a process."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime

from simulators.bank.application import Application
from simulators.bank.books import Books
from simulators.bank.clock import BankClock
from simulators.nmbrs.server import Server


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT."""
    options = _options(arguments)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    signal.signal(signal.SIGINT, lambda *_: stopped.set())
    if options.stop_at_end_of_input:
        threading.Thread(target=_stop_at_end_of_input, args=(stopped,), daemon=True).start()
    with Server(options.host, options.port) as server:
        server.respond = Application(Books(BankClock(lambda: datetime.now(UTC)))).answer
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        print(f"bank-simulator listening on {server.base_url}", flush=True)
        stopped.wait()
        server.shutdown()
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bank-simulator", description="A stand-in for a bank that takes pain.001.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--stop-at-end-of-input", action="store_true", help="stop when standard input is closed")
    return parser.parse_args(arguments)


def _stop_at_end_of_input(stopped: threading.Event) -> None:
    """So that the bank does not outlive the process that started it, however that ended."""
    while os.read(0, 4096):
        pass
    stopped.set()


if __name__ == "__main__":
    sys.exit(main())
