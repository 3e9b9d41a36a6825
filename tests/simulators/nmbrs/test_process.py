import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulators.nmbrs.faults import FaultKind
from simulators.nmbrs.process import ROOT, SimulatorClient, SimulatorError, run_simulator
from tests.simulators.nmbrs.by_hand import Soap


@contextmanager
def started(*options: str) -> Iterator[tuple[subprocess.Popen[bytes], SimulatorClient]]:
    """A simulator started by hand, and gone afterwards whatever happens."""
    command = [sys.executable, "-m", "simulators.nmbrs", "--port", "0", *options]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline().decode()
            assert line.startswith("nmbrs-simulator listening on http://127.0.0.1:")
            client = SimulatorClient(line.rpartition(" ")[2].strip(), process.pid)
            yield process, client
            client.close()
        finally:
            process.kill()


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_stops_when_told(signal_number: signal.Signals):
    """One line on standard output when ready; a clean end on SIGTERM and SIGINT."""
    with started() as (process, simulator):
        assert simulator.calls() == []
        process.send_signal(signal_number)

        assert process.wait(timeout=20) == 0
        assert process.stdout is not None
        assert process.stdout.read() == b""


def test_it_ends_with_its_input_when_asked_to():
    """So that it does not outlive a parent that was killed."""
    with started("--stop-at-end-of-input") as (process, _):
        assert process.stdin is not None
        process.stdin.close()

        assert process.wait(timeout=20) == 0


def test_it_stops_while_a_call_is_held_up():
    """Nobody who waits for an answer keeps the process alive."""
    with started() as (process, simulator), httpx.Client(trust_env=False) as http:
        simulator.add_fault(FaultKind.DELAY, seconds=600)
        http.timeout = httpx.Timeout(20, read=0.05)
        with pytest.raises(httpx.ReadTimeout):
            Soap(simulator=simulator, http=http).call("Company.List_GetAll")
        process.terminate()

        assert process.wait(timeout=20) == 0


def test_the_process_is_gone_after_the_block():
    """Also when the block ended with an error."""
    with pytest.raises(KeyError), run_simulator() as simulator:
        raise KeyError
    with pytest.raises(ProcessLookupError):
        os.kill(simulator.pid, 0)


def test_it_takes_the_port_it_is_given():
    """A port that was free is listened on."""
    with run_simulator() as first:
        port = httpx.URL(first.base_url).port
    assert port is not None
    with run_simulator(port=port) as second:
        assert second.base_url == first.base_url


def test_data_that_cannot_be_used_is_told(data: dict[str, Any], tmp_path: Path):
    """What is wrong in the file, and where, is in the error."""
    data["environments"][0]["debtors"][0]["companies"][0]["runs"][0]["lines"][0]["amount"] = "12,5"
    with pytest.raises(SimulatorError, match=r"cannot use .*(?s:.)*runs\.0\.lines\.0\.amount"), run_simulator(data):
        pass
    with pytest.raises(SimulatorError, match="No such file"), run_simulator(tmp_path / "none.json"):
        pass
