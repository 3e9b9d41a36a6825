"""One simulator process for these tests, set back before each; SOAP by hand and by zeep."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import requests
import zeep

from simulators.nmbrs.process import SimulatorClient, run_simulator
from tests.simulators.nmbrs.by_hand import DATA, Soap
from tests.simulators.nmbrs.receiver import Receiver, receiving


@pytest.fixture(scope="session")
def simulator_process() -> Iterator[SimulatorClient]:
    """The process, started once."""
    with run_simulator(DATA) as client:
        yield client


@pytest.fixture
def simulator(simulator_process: SimulatorClient) -> SimulatorClient:
    """The process, set back to its data."""
    simulator_process.reset()
    return simulator_process


@pytest.fixture
def data() -> dict[str, Any]:
    """The data, to be changed at will."""
    return copy.deepcopy(DATA)


@pytest.fixture
def soap(simulator: SimulatorClient) -> Iterator[Soap]:
    """SOAP by hand."""
    with httpx.Client(trust_env=False, timeout=20) as http:
        yield Soap(simulator=simulator, http=http)


@pytest.fixture
def zeep_service(simulator: SimulatorClient) -> Iterator[Callable[..., Any]]:
    """A zeep service proxy built from the simulator's own WSDL, and the headers it needs."""
    with requests.Session() as session:
        session.trust_env = False

        def bind(service: str, port: str = "Soap") -> Any:
            transport = zeep.Transport(session=session, timeout=20, operation_timeout=20)
            client = zeep.Client(simulator.service_url(service) + "?WSDL", transport=transport)
            return client, client.bind(service, service + port)

        yield bind


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somebody who receives webhooks."""
    with receiving() as each:
        yield each
