import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from simulators.nmbrs.faults import FaultKind
from simulators.nmbrs.process import SimulatorClient, run_simulator
from tests.simulators.nmbrs.by_hand import Soap

RUNS = "<CompanyId>100</CompanyId><Year>2026</Year>"


def test_sixty_four_connections_are_served_at_once(soap: Soap):
    """While 64 calls are held up on as many connections the simulator still answers; then all get theirs."""
    soap.simulator.add_fault(FaultKind.DELAY, "Company.Run_GetList", seconds=600)

    def call(_number: int) -> list[str | None]:
        return soap.call("Company.Run_GetList", RUNS).texts("ID")

    with ThreadPoolExecutor(64) as pool:
        soap.http.timeout = httpx.Timeout(60)
        answers = pool.map(call, range(64))
        soap.wait_for_calls("Company.Run_GetList", 64)
        soap.simulator.clear_faults()
        assert list(answers) == [["500"]] * 64


def test_a_connection_is_kept_for_several_calls(soap: Soap):
    """Keep-alive: two calls over one socket."""
    first, second = (soap.call("Company.Run_GetList", RUNS).response for _ in "12")

    streams = [each.extensions["network_stream"].get_extra_info("client_addr") for each in (first, second)]
    assert streams[0] == streams[1]


def test_other_addresses_are_not_found(simulator: SimulatorClient, soap: Soap):
    """Only the four services and the control API are there."""
    for path in ("/", "/soap/v3/SingleSignOn.asmx", "/soap/v2.1/CompanyService.asmx"):
        assert soap.http.get(simulator.base_url + path).status_code == 404


def test_a_service_shows_a_page_and_takes_posts_only(simulator: SimulatorClient, soap: Soap):
    """GET without ?WSDL is a page for people; PUT is refused; HEAD has no body."""
    url = simulator.service_url("CompanyService")

    assert soap.http.get(url).headers["content-type"].startswith("text/html")
    assert soap.http.put(url, content=b"").status_code == 405
    head = soap.http.head(url + "?wsdl")
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    ("header", "status"),
    [("Transfer-Encoding: chunked", "411"), ("Content-Length: many", "411"), ("Content-Length: 99999999999", "413")],
)
def test_a_body_of_unknown_or_absurd_length_is_refused(header: str, status: str, simulator: SimulatorClient):
    """The length has to be said and be bearable; the connection is closed after the refusal."""
    address = httpx.URL(simulator.base_url)
    with socket.create_connection((address.host, address.port or 0), timeout=20) as connection:
        connection.sendall(f"POST /soap/v3/CompanyService.asmx HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(4096), b""))

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())


def test_too_many_calls_a_second_are_slowed_down(data: dict[str, list[dict[str, object]]]):
    """Above the environment's rate a call takes half a second longer, and is answered all the same."""
    data["environments"][0]["calls_per_second"] = 3
    with run_simulator(data) as simulator, httpx.Client(trust_env=False, timeout=20) as http:
        soap = Soap(simulator=simulator, http=http)
        seconds = [soap.call("Company.List_GetAll").response.elapsed.total_seconds() for _ in range(4)]

    assert max(seconds[:3]) < 0.5 <= seconds[3]
