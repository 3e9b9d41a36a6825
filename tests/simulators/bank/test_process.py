import os
import signal
import subprocess
import sys

import httpx
import pytest

from simulators.bank.process import BankClient, SimulatorError, run_bank
from simulators.started import ROOT


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_stops_when_told(signal_number: signal.Signals):
    """One line on standard output when ready; a clean end on SIGTERM and SIGINT."""
    command = [sys.executable, "-m", "simulators.bank", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline().decode()
            assert line.startswith("bank-simulator listening on http://127.0.0.1:")
            client = BankClient(line.rpartition(" ")[2].strip(), process.pid)
            assert client.uploads() == []
            client.close()
            process.send_signal(signal_number)
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()


def test_the_process_is_gone_after_the_block():
    """Also when the block ended with an error."""
    with pytest.raises(KeyError), run_bank() as bank:
        raise KeyError
    with pytest.raises(ProcessLookupError):
        os.kill(bank.pid, 0)


def test_it_takes_the_port_it_is_given_and_tells_when_it_cannot():
    """A port in use is an error with its reason."""
    with run_bank() as first:
        port = httpx.URL(first.base_url).port
        assert port is not None
        with pytest.raises(SimulatorError, match="in use"), run_bank(port=port):
            pass
    with run_bank(port=port) as second:
        assert second.base_url == first.base_url
