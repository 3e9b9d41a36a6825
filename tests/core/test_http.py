import gzip
import logging
import socket
import ssl
import struct
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import httpcore
import httpx
import pytest
import respx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from app.core import http
from app.core.connections import AddressRefused, Deadline, GuardedBackend, Resolve, no_longer_than
from tests.local_server import LocalServer, Received, Reply, Script, serving

LIMITS = http.Limits(allow_loopback=True)
QUICK = replace(LIMITS, total_seconds=0.3)


def post(url: str, limits: http.Limits = LIMITS) -> http.Answer:
    """Ask a question with loopback open."""
    return http.post(url, content=b"question", headers={"content-type": "text/plain"}, limits=limits)


@pytest.fixture
def server() -> Iterator[LocalServer]:
    """A server that answers "answer" until told otherwise."""
    with serving(lambda _: Reply(body=b"answer", headers={"content-type": "text/xml; charset=utf-8"})) as running:
        yield running


def leads_to(*addresses: str) -> Resolve:
    """Return a resolver that gives these addresses for any name."""

    def resolve(_host: str, _port: int) -> list[str]:
        return list(addresses)

    return resolve


def wait_for_the_end(server: LocalServer) -> Script:
    """Return a script that says nothing while the server runs."""

    def script(_: Received) -> Reply:
        server.closing.wait(10)
        return Reply()

    return script


def test_an_answer_comes_back_whole(server: LocalServer):
    """Status, headers in lower case and the body are given back; the request arrives as sent."""
    answer = post(server.url + "/path")
    assert (answer.status, answer.content, answer.media_type) == (200, b"answer", "text/xml")
    sent = server.received[0]
    assert (sent.method, sent.path, sent.body) == ("POST", "/path", b"question")
    assert sent.headers["user-agent"] == "Loonstroom"


def test_get_sends_no_body(server: LocalServer):
    """A GET carries headers only."""
    assert http.get(server.url, headers={}, limits=LIMITS).content == b"answer"
    assert (server.received[0].method, server.received[0].body) == ("GET", b"")


def test_an_error_status_is_an_answer(server: LocalServer):
    """A 503 is handed to the caller to judge."""
    server.script = lambda _: Reply(status=503, body=b"<html/>")
    assert post(server.url).status == 503


def test_a_redirect_is_not_followed(server: LocalServer):
    """A redirect comes back as an answer, and its target sees no request."""
    with serving(lambda _: Reply()) as target:
        server.script = lambda _: Reply(status=302, headers={"location": target.url})
        assert post(server.url).status == 302
        assert (target.received, target.connections) == ([], 0)


def test_an_answer_over_the_cap_is_refused_while_it_comes_in(server: LocalServer):
    """An endless body is cut off at the cap."""
    server.script = lambda _: Reply(pieces=server.trickle(b"", b"x" * 4096))
    with pytest.raises(http.AnswerTooLarge):
        post(server.url, replace(LIMITS, max_bytes=20_000))


@pytest.mark.parametrize(("size", "is_refused"), [(1000, False), (1001, True)])
def test_the_cap_is_exact(server: LocalServer, size: int, is_refused: bool):
    """An answer of just the cap is taken, one byte more is not."""
    server.script = lambda _: Reply(body=b"x" * size)
    limits = replace(LIMITS, max_bytes=1000)
    if is_refused:
        with pytest.raises(http.AnswerTooLarge):
            post(server.url, limits)
    else:
        assert len(post(server.url, limits).content) == size


def test_a_gzip_bomb_is_refused_before_it_unfolds(server: LocalServer):
    """The cap counts unpacked bytes: 64 MiB of zeros that travel as 64 KiB never take more memory than the cap."""
    bomb = gzip.compress(bytes(64 * http.MIB))
    server.script = lambda _: Reply(body=bomb, headers={"content-encoding": "gzip"})
    tracemalloc.start()
    with pytest.raises(http.AnswerTooLarge):
        post(server.url, replace(LIMITS, max_bytes=http.MIB))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * http.MIB


def test_a_gzipped_answer_is_unpacked(server: LocalServer):
    """Compression is asked for and undone."""
    server.script = lambda _: Reply(body=gzip.compress(b"answer"), headers={"content-encoding": "gzip"})
    assert post(server.url).content == b"answer"
    assert server.received[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(b"answer")[:-1], "gzip"),
        (gzip.compress(b"answer") + gzip.compress(b"more"), "gzip"),
        (b"no gzip at all", "gzip"),
        (b"answer", "br"),
    ],
    ids=["cut", "continued", "false", "unknown"],  # gzip writes the time, and test names must be the same everywhere
)
def test_a_packed_answer_that_is_not_whole_is_broken(server: LocalServer, body: bytes, encoding: str):
    """Cut, continued, false or unknown packing is an error and never half an answer."""
    server.script = lambda _: Reply(body=body, headers={"content-encoding": encoding})
    with pytest.raises(http.AnswerBroken):
        post(server.url)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
)
def test_half_an_answer_is_broken(server: LocalServer, raw: bytes):
    """A connection that ends before the promised length never gives an answer."""
    server.script = lambda _: Reply(raw=raw)
    with pytest.raises(http.AnswerBroken):
        post(server.url)


def test_a_connection_that_is_reset_is_unreachable():
    """A reset instead of an answer is told apart from a time-out."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def reset_one() -> None:
            connection, _ = listener.accept()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

        thread = threading.Thread(target=reset_one)
        thread.start()
        with pytest.raises((http.HttpUnreachable, http.AnswerBroken)):
            post(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()


def test_a_closed_port_is_unreachable():
    """Nobody listening is unreachable."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(http.HttpUnreachable):
        post(f"http://127.0.0.1:{port}")


def test_silence_ends_at_the_read_timeout(server: LocalServer):
    """A server that says nothing is left after the read time-out."""
    server.script = wait_for_the_end(server)
    with pytest.raises(http.HttpTimeout):
        post(server.url, replace(LIMITS, read_seconds=0.1))


@pytest.mark.parametrize("first", [b"HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: "])
def test_the_total_ends_a_trickle_that_beats_every_read_timeout(first: bytes):
    """A byte every few milliseconds, in body or headers, does not keep a call alive past its total."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def trickle() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(first)
                while not done.wait(0.005):
                    try:
                        connection.sendall(b"x")
                    except OSError:
                        return

        thread = threading.Thread(target=trickle)
        thread.start()
        watch = Deadline(5)
        with pytest.raises(http.HttpTimeout):
            post(f"http://127.0.0.1:{listener.getsockname()[1]}", QUICK)
        done.set()
        thread.join()
    assert watch.seconds_left() > 3.5


def test_the_total_covers_resolving_the_name():
    """A resolver that hangs is not waited for past the connect time-out."""
    release = threading.Event()

    def hang(host: str, port: int) -> list[str]:
        release.wait(10)
        return ["127.0.0.1"]

    backend = GuardedBackend(allow_loopback=True, resolve=hang)
    with no_longer_than(Deadline(0.2)), pytest.raises(httpcore.ConnectTimeout):
        backend.connect_tcp("name.example", 80, timeout=5)
    release.set()


def test_no_time_left_sends_nothing(server: LocalServer):
    """A call whose time is up before it starts does not start."""
    with pytest.raises(http.HttpTimeout):
        post(server.url, replace(LIMITS, total_seconds=0.0))
    assert server.received == []


def test_cookies_are_not_kept(server: LocalServer):
    """What a server wants us to remember is forgotten at once."""
    server.script = lambda _: Reply(headers={"set-cookie": "session=1; Path=/"})
    post(server.url)
    post(server.url)
    assert "cookie" not in server.received[1].headers


def test_proxies_and_logins_of_the_environment_are_ignored(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """HTTP_PROXY and .netrc change neither the route nor the headers."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password something\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert post(server.url).content == b"answer"
    assert "authorization" not in server.received[0].headers


HOSTILE = [
    "http://example.com/",
    "http://api.nmbrs.nl/",
    "http://169.254.169.254/latest/meta-data",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f.1:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://user@127.0.0.1:{port}/",
    "https://user:pass@127.0.0.1:{port}/",
    "https:///path",
    "https://",
    "file:///etc/passwd",
    "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "127.0.0.1:{port}",
    "",
    "http://127.0.0.1:{port}\r\nhost: other/",
]


@pytest.mark.parametrize("url", HOSTILE)
def test_addresses_that_are_not_plainly_allowed_reach_nothing(server: LocalServer, url: str):
    """No http beyond loopback, no logins in addresses, no other schemes, no disguised numbers."""
    with pytest.raises(http.HttpRefused):
        post(url.replace("{port}", str(server.port)))
    assert server.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.9.9.9", "2130706433", "0x7f000001", "0177.0.0.1"])
def test_this_machine_is_closed_unless_it_was_opened(server: LocalServer, host: str):
    """Without allow_loopback no spelling of this machine is connected to."""
    with pytest.raises(http.HttpRefused):
        post(f"https://{host}:{server.port}/", http.Limits(total_seconds=2))
    assert server.connections == 0


def test_an_address_can_be_judged_before_it_is_called():
    """Settings are checked at the start, without connecting."""
    assert http.check_url("https://api.nmbrs.nl/soap/v3", allow_loopback=False) == "api.nmbrs.nl"
    assert http.check_url("http://[::1]:80/", allow_loopback=True) == "::1"
    with pytest.raises(http.HttpRefused, match="this machine"):
        http.check_url("https://127.0.0.1/", allow_loopback=False)


FORBIDDEN = [
    "10.0.0.1",
    "172.16.3.4",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",  # noqa: S104 (a target here, not something to listen on)
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "fe80::1%lo",
    "fd00::1",
    "ff02::1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "2002:a00:1::",
    "64:ff9b::a9fe:a9fe",
]


@pytest.mark.parametrize("address", FORBIDDEN)
@pytest.mark.parametrize("allow_loopback", [False, True])
def test_a_name_that_leads_inwards_is_refused(address: str, allow_loopback: bool):
    """Private, link-local, shared, multicast and wrapped addresses are refused, also when loopback is allowed."""
    backend = GuardedBackend(allow_loopback=allow_loopback, resolve=leads_to(address))
    with no_longer_than(Deadline(2)), pytest.raises(AddressRefused):
        backend.connect_tcp("harmless.example", 443, timeout=1)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1"])
def test_a_name_that_leads_to_this_machine_is_refused(server: LocalServer, address: str):
    """Rebinding a public name to loopback, plain or wrapped, connects to nothing."""
    backend = GuardedBackend(allow_loopback=False, resolve=leads_to(address))
    with no_longer_than(Deadline(2)), pytest.raises(AddressRefused):
        backend.connect_tcp("harmless.example", server.port, timeout=1)
    assert server.connections == 0


def test_localhost_means_this_machine_only():
    """Where plain http is allowed by the name localhost, a public address behind that name is refused."""
    backend = GuardedBackend(allow_loopback=True, resolve=leads_to("93.184.216.34"))
    with no_longer_than(Deadline(2)), pytest.raises(AddressRefused):
        backend.connect_tcp("localhost", 80, timeout=1)


def test_the_next_address_is_tried_when_one_refuses(server: LocalServer):
    """Of several allowed addresses the first that answers is used."""
    backend = GuardedBackend(allow_loopback=True, resolve=leads_to("10.0.0.1", "::1", "127.0.0.1"))
    with no_longer_than(Deadline(2)):
        backend.connect_tcp("localhost", server.port, timeout=2).close()


def self_signed(folder: Path) -> ssl.SSLContext:
    """Return the server side of TLS with a certificate nobody signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def test_a_certificate_nobody_vouches_for_is_refused(tmp_path: Path):
    """TLS is verified: a self-signed server gets no request."""
    with serving(lambda _: Reply(), tls=self_signed(tmp_path)) as server:
        with pytest.raises(http.HttpUnreachable, match="certificate"):
            post(server.url)
        assert server.received == []


def test_errors_and_answers_show_no_secrets(server: LocalServer, caplog: pytest.LogCaptureFixture):
    """Addresses with secrets, headers and bodies stay out of errors, reprs and DEBUG logs."""
    caplog.set_level(logging.DEBUG)
    server.script = lambda _: Reply(body=b"secret-body", headers={"x-answer": "secret-header"})
    answer = http.post(
        f"{server.url}/secret-path?token=secret-query",
        content=b"secret-content",
        headers={"authorization": "secret-authorization"},
        limits=LIMITS,
    )
    server.script = lambda _: Reply(raw=b"")
    with pytest.raises(http.AnswerBroken) as broken:
        post(f"{server.url}/secret-path?token=secret-query")
    shown = [repr(answer), str(answer), repr(broken.value), caplog.text]
    assert [text for text in shown if "secret" in text] == []


def test_one_client_serves_many_threads(server: LocalServer):
    """Sixteen threads get their own answers."""
    server.script = lambda request: Reply(body=request.path.encode())
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: post(f"{server.url}/{number}").content, range(200)))
    assert answers == [f"/{number}".encode() for number in range(200)]


def test_what_is_left_over_after_an_answer_does_not_answer_the_next_question(server: LocalServer):
    """An answer that comes twice answers one question: each question has a connection of its own."""

    def twice(request: Received) -> Reply:
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n" + request.path.encode()
        return Reply(raw=answer * 2, stays_open=True)

    server.script = twice
    assert [post(f"{server.url}/{number}").content for number in range(3)] == [b"/0", b"/1", b"/2"]
    assert server.connections == 3
    assert {request.headers["connection"] for request in server.received} == {"close"}


def test_a_header_that_would_break_out_is_refused(server: LocalServer):
    """A header value with a line break is not sent."""
    with pytest.raises(http.HttpRefused):
        http.post(server.url, content=b"", headers={"x-a": "b\r\nx-c: d"}, limits=LIMITS)
    assert server.received == []


@respx.mock
def test_respx_can_stand_in_for_the_outside():
    """Any outside system can be played by respx, since everything goes through httpx."""
    route = respx.post("https://api.example.com/x").mock(return_value=httpx.Response(201, content=b"played"))
    answer = http.post("https://api.example.com/x", content=b"question", headers={})
    assert (answer.status, answer.content, route.call_count) == (201, b"played", 1)


def test_a_connection_opened_to_this_machine_is_not_lent_to_other_calls(server: LocalServer):
    """A connection to loopback does not serve a call that may not go there."""
    post(server.url)
    with pytest.raises(http.HttpRefused):
        post(server.url.replace("http://", "https://"), http.Limits())
    with pytest.raises(http.HttpRefused):
        post(server.url, http.Limits())
