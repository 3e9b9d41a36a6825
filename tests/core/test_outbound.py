"""Nothing that a tenant, a name server or another system says leads this service to an address nobody meant.

A canary listens on this machine in both families. Every hostile spelling must end without one connection to it.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest

from app.core import http
from app.core.connections import AddressRefused, Deadline, GuardedBackend, no_longer_than
from app.core.errors import Invalid
from app.nmbrs.credentials import check_credentials, domain_label
from app.payments.ports import SourceCredentials
from tests.local_server import Reply, serving

CLOSED = http.Limits(total_seconds=2, connect_seconds=1)
OPEN = replace(CLOSED, allow_loopback=True)


class Canary:
    """Listens on 127.0.0.1 and ::1, on one port, and counts who comes."""

    def __init__(self) -> None:
        self._four = socket.create_server(("127.0.0.1", 0))
        self.port = self._four.getsockname()[1]
        self._six = socket.create_server(("::1", self.port), family=socket.AF_INET6)
        self.visits = 0
        self._threads = [threading.Thread(target=self._count, args=(each,)) for each in (self._four, self._six)]
        for thread in self._threads:
            thread.start()

    def _count(self, listener: socket.socket) -> None:
        with suppress(OSError):  # closed at the end
            while True:
                connection, _ = listener.accept()
                self.visits += 1
                connection.close()

    def close(self) -> None:
        """Stop listening."""
        for listener in (self._four, self._six):
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def canary() -> Iterator[Canary]:
    """A canary that nobody may wake."""
    made = Canary()
    yield made
    made.close()


def test_the_canary_is_awake(canary: Canary) -> None:
    """What proves that nobody came must notice who does."""
    for host in ("127.0.0.1", "[::1]"):
        with pytest.raises(http.HttpError):
            http.get(f"http://{host}:{canary.port}/", headers={}, limits=OPEN)
    assert canary.visits == 2


# Every spelling of this machine, of inner networks and of the metadata services that some resolver or library reads.
_HOSTS = """
    127.0.0.1 127.1 127.0.1 127.9.9.9 127.0.0.1. 127.0.0.01 0127.0.0.1 0177.0.0.1 0x7f.0.0.1 0x7f.1 0x7f000001
    0X7F000001 2130706433 017700000001 4294967297 6425673729 0 0.0.0.0 00000000 0.0.0.1
    localhost LOCALHOST localhost. LocalHost. localhost.localdomain ip6-localhost
    [::1] [0:0:0:0:0:0:0:1] [0000::0001] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1] [::ffff:0:127.0.0.1]
    [64:ff9b::127.0.0.1] [64:ff9b:1::7f00:1] [2002:7f00:1::] [fe80::1] [fc00::1] [fe80::1%25lo] [::1%25lo] [fec0::1]
    [ff02::1] [100::1] [2001:db8::1] [3fff::1] [2001:10::1] [fd00:ec2::254] [::ffff:169.254.169.254]
    169.254.169.254 169.254.1.1 2852039166 0xa9fea9fe 0251.0376.0251.0376 100.100.100.200 10.0.0.1 172.16.0.1
    192.168.0.1 192.0.0.1 198.18.0.1 240.0.0.1 255.255.255.255 224.0.0.1 192.88.99.1 192.0.2.1
    user@127.0.0.1 user:pass@localhost api.nmbrs.nl@127.0.0.1 127.0.0.1#@api.nmbrs.nl 127.0.0.1\\@api.nmbrs.nl
    127.0.0.1%00.nmbrs.nl %31%32%37.0.0.1
    """
HOSTS = [
    *_HOSTS.split(),
    "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460",  # circled digits
    "127\u30020\u30020\u30021",  # ideographic full stops
    "127\uff0e0\uff0e0\uff0e1",  # full-width stops
    "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54",  # localhost in full-width letters
    "localho\u017ft",
    "loc\u00adalhost",
    "lo\u200bcalhost",
    "127.0.0.1\r\nHost: api.nmbrs.nl",
    "127.0.0.1\tx",
    "127.0.0.1 x",
    "",
]


def test_there_are_enough_of_them() -> None:
    """Eighty spellings at least, each once."""
    assert len(HOSTS) == len(set(HOSTS)) >= 80


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", HOSTS, ids=ascii)
def test_no_spelling_of_a_host_reaches_this_machine(canary: Canary, host: str, scheme: str) -> None:
    """Refused, or not found: never connected to. The operator opened nothing."""
    with pytest.raises((http.HttpRefused, http.HttpUnreachable)):
        http.post(f"{scheme}://{host}:{canary.port}/", content=b"x", headers={}, limits=CLOSED)
    assert canary.visits == 0


_INWARDS = """
    127.0.0.1 ::1 ::ffff:127.0.0.1 ::7f00:1 64:ff9b::7f00:1 64:ff9b:1::7f00:1 2002:7f00:1:: :: 0.0.0.0 0.0.0.1
    10.1.2.3 172.31.255.255 192.168.1.1 100.64.0.1 100.127.255.255 169.254.169.254 192.0.0.8 192.0.2.7 192.88.99.1
    198.18.0.9 198.51.100.1 203.0.113.1 224.0.0.251 240.0.0.9 255.255.255.255 fe80::1 fe80::1%eth0 fec0::1 fc00::1
    fd00:ec2::254 ff02::1 100::1 2001:db8::1 3fff::1 2001:2::1 2001:20::1 ::ffff:0:a00:1 2001:0:a00:1::f5ff:fffe 5f00::1
    """
INWARDS = _INWARDS.split()


@pytest.mark.parametrize("address", INWARDS)
def test_a_name_that_leads_inwards_is_refused(canary: Canary, address: str) -> None:
    """However harmless the name: what is connected to is judged, in whatever it is wrapped."""
    backend = GuardedBackend(allow_loopback=False, resolve=lambda _host, _port: [address])
    with no_longer_than(Deadline(2)), pytest.raises(AddressRefused):
        backend.connect_tcp("api.nmbrs.nl", canary.port, timeout=1)
    assert canary.visits == 0


def test_a_name_is_asked_once_and_its_answer_is_what_is_connected_to(canary: Canary) -> None:
    """Rebinding: what the name leads to a moment later is never asked, so it cannot be another place."""
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    asked: list[str] = []

    def rebinding(host: str, _port: int) -> list[str]:
        asked.append(host)
        return next(answers)

    backend = GuardedBackend(allow_loopback=True, resolve=rebinding)
    with no_longer_than(Deadline(2)):
        backend.connect_tcp("localhost", canary.port, timeout=1).close()
    assert asked == ["localhost"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", ["http://127.0.0.1:{port}/", "http://[::1]:{port}/", "//localhost:{port}/"])
def test_a_redirect_to_this_machine_is_an_answer(canary: Canary, status: int, target: str) -> None:
    """Whoever answers with a redirect sends nobody anywhere, also when this machine may be called."""
    location = {"location": target.replace("{port}", str(canary.port))}
    with serving(lambda _: Reply(status=status, headers=location)) as server:
        assert http.post(server.url, content=b"x", headers={}, limits=OPEN).status == status
    assert canary.visits == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "https://api.nmbrs.se/",
        "https://api.nmbrs.nl.evil.example/",
    ],
)
def test_only_the_host_of_the_settings_is_called(canary: Canary, url: str) -> None:
    """A call that names its host goes to no other, also where that one would be allowed by itself."""
    limits = replace(OPEN, only_host="api.nmbrs.nl")
    with pytest.raises(http.HttpRefused, match="another host"):
        http.post(url.replace("{port}", str(canary.port)), content=b"x", headers={}, limits=limits)
    assert canary.visits == 0


_LABELS = """
    . - a.b evil.example kantoor.nmbrs.nl.evil.example evil.example/kantoor.nmbrs.nl nmbrs.nl kantoor@evil.example
    kantoor.nmbrs.nl@evil.example https://a@kantoor.nmbrs.nl 127.0.0.1 [::1] localhost:80@x kantoor%2eevil ../kantoor
    kantoor\\evil -kantoor kantoor- javascript:alert(1) file:///etc/passwd <b> a..b //evil kantoor.nmbrs.de
    kantoor.xnmbrs.nl http://evil.example#.nmbrs.nl http://evil.example?.nmbrs.nl a_b
    """
LABELS = [
    *_LABELS.split(),
    "",
    "kan toor",
    "kantoor\r\nx: y",
    "kantoor\x00",
    "k" * 64,
    "k\u00e4ntoor",
    "kant\u200boor",
    "\u043aantoor",  # a Cyrillic letter
    "\ufb01",  # one character for two
]


@pytest.mark.parametrize("typed", LABELS, ids=ascii)
def test_a_tenant_gives_a_label_and_nothing_that_could_be_a_host(typed: str) -> None:
    """What is no plain label is refused before anything is asked; the label itself is never part of an address."""
    assert domain_label(typed) is None
    with pytest.raises(Invalid):
        check_credentials(SourceCredentials(username="a@b.nl", secret="token", domain=typed))
