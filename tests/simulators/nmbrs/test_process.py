import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulators.nmbrs.faults import FaultKind
from simulators.nmbrs.process import ROOT, SimulatorClient, SimulatorError, run_simulator
from tests.simulators.nmbrs.by_hand import Soap

START = [sys.executable, "-m", "simulators.nmbrs", "--port", "0"]


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_stops_when_told(signal_number: signal.Signals):
    """One line on standard output when ready; a clean end on SIGTERM and SIGINT."""
    with subprocess.Popen(START, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = line.removeprefix("nmbrs-simulator listening on ").strip()
        assert httpx.get(f"{url}/_control/calls", trust_env=False).json() == []
        process.send_signal(signal_number)

        assert process.wait(timeout=20) == 0
        assert process.stdout.read() == ""


def test_it_ends_with_its_input_when_asked_to():
    """So that it does not outlive a parent that was killed."""
    with subprocess.Popen(
        [*START, "--stop-at-end-of-input"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        process.stdin.close()

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


def test_it_stops_while_a_call_is_held_up():
    """Nobody who waits for an answer keeps the process alive."""
    with subprocess.Popen(START, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("nmbrs-simulator listening on ").strip()
        simulator = SimulatorClient(url, process.pid)
        simulator.add_fault(FaultKind.DELAY, seconds=600)
        with httpx.Client(trust_env=False, timeout=20) as http:
            soap = Soap(simulator=simulator, http=http)
            http.timeout = httpx.Timeout(20, read=0.05)
            with pytest.raises(httpx.ReadTimeout):
                soap.call("Company.List_GetAll")
        simulator.close()
        process.terminate()

        assert process.wait(timeout=20) == 0
