import ipaddress
import json
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from lxml import etree

from simulators.nmbrs.data import WebhookEvent
from simulators.nmbrs.process import SimulatorClient, SimulatorError
from simulators.nmbrs.sender import Outcome, Sending, SendingOrder
from simulators.nmbrs.webhook_shapes import Shape
from tests.simulators.nmbrs.receiver import Received, Receiver, receiving

MEMBERS = {
    "eventId": 1,
    "eventName": "Run Finish",
    "domain": "kantoor",
    "debtorId": 10,
    "companyId": 100,
    "runId": 500,
    "year": 2026,
    "period": 11,
}


def send_shape(simulator: SimulatorClient, receiver: Receiver, shape: Shape) -> Received:
    """Send one webhook about run 500 in that shape; gives what arrived."""
    deliveries = simulator.send_webhooks(100, 500, sending=Sending(shapes=[shape], url=receiver.url))
    assert [delivery.outcome for delivery in deliveries] == [Outcome.DELIVERED]
    return receiver.received[-1]


def test_json_with_ints(simulator: SimulatorClient, receiver: Receiver):
    """The plainest shape: a JSON object with numbers."""
    received = send_shape(simulator, receiver, Shape.JSON_INTS)

    assert (received.method, received.content_type) == ("POST", "application/json; charset=utf-8")
    assert json.loads(received.body) == MEMBERS


def test_json_with_guids(simulator: SimulatorClient, receiver: Receiver):
    """Ids as GUIDs, the same each time."""
    first, second = (json.loads(send_shape(simulator, receiver, Shape.JSON_GUIDS).body) for _ in "12")

    assert first == second
    assert (first["eventType"], len(first["payrollRunId"]), "runId" in first) == ("RunFinish", 36, False)


def test_json_in_dutch(simulator: SimulatorClient, receiver: Receiver):
    """Dutch names, for members and event."""
    assert json.loads(send_shape(simulator, receiver, Shape.JSON_DUTCH).body) == {
        "Gebeurtenis": "Run Einde",
        "DebiteurId": 10,
        "BedrijfId": 100,
        "RunId": 500,
        "Jaar": 2026,
        "Periode": 11,
    }


def test_json_nested_in_an_array_and_in_a_string(simulator: SimulatorClient, receiver: Receiver):
    """Members inside `data`, inside a list, and inside a JSON string that holds JSON."""
    nested = json.loads(send_shape(simulator, receiver, Shape.JSON_NESTED).body)
    array = json.loads(send_shape(simulator, receiver, Shape.JSON_ARRAY).body)
    string = json.loads(send_shape(simulator, receiver, Shape.JSON_IN_STRING).body)

    assert nested["data"] == {
        "company": {"id": 100, "name": "Bakkerij & Zonen"},
        "run": {"id": 500, "year": 2026, "period": 11},
    }
    assert array == [MEMBERS]
    assert json.loads(string) == MEMBERS


def test_form_xml_and_query(simulator: SimulatorClient, receiver: Receiver):
    """The same members as a form, as XML, and in the query of a GET."""
    expected = {name: str(value) for name, value in MEMBERS.items()}
    form = send_shape(simulator, receiver, Shape.FORM)
    xml = send_shape(simulator, receiver, Shape.XML)
    query = send_shape(simulator, receiver, Shape.GET_QUERY)

    assert {name: values[0] for name, values in parse_qs(form.body.decode()).items()} == expected
    assert {element.tag: element.text for element in etree.fromstring(xml.body)} == expected
    assert (query.method, query.body) == ("GET", b"")
    assert {name: values[0] for name, values in parse_qs(urlsplit(query.path).query).items()} == expected


def test_put_and_empty(simulator: SimulatorClient, receiver: Receiver):
    """PUT instead of POST; a POST with nothing in it."""
    put = send_shape(simulator, receiver, Shape.PUT)
    empty = send_shape(simulator, receiver, Shape.EMPTY)

    assert (put.method, json.loads(put.body)) == ("PUT", MEMBERS)
    assert (empty.method, empty.content_type, empty.body) == ("POST", None, b"")


def test_broken_big_and_wrongly_declared(simulator: SimulatorClient, receiver: Receiver):
    """JSON without its end, a body over 1 MB, and Latin-1 that says it is UTF-8."""
    broken = send_shape(simulator, receiver, Shape.BROKEN_JSON)
    big = send_shape(simulator, receiver, Shape.BIG)
    wrong = send_shape(simulator, receiver, Shape.WRONG_CHARSET)

    with pytest.raises(json.JSONDecodeError):
        json.loads(broken.body)
    assert len(big.body) > 1024 * 1024
    with pytest.raises(UnicodeDecodeError):
        wrong.body.decode("utf-8")
    assert "Café" in wrong.body.decode("latin-1")


def test_ten_webhooks_at_once_in_every_shape(simulator: SimulatorClient, receiver: Receiver):
    """All are under way at the same moment: each waits in the receiver for all others."""
    shapes = list(Shape)
    receiver.meeting = threading.Barrier(len(shapes))

    deliveries = simulator.send_webhooks(
        100, 500, sending=Sending(shapes=shapes, order=SendingOrder.AT_ONCE, url=receiver.url, attempts=1)
    )

    assert {delivery.outcome for delivery in deliveries} == {Outcome.DELIVERED}
    assert len(receiver.received) == len(shapes) >= 10


def test_ten_same_webhooks_at_once(simulator: SimulatorClient, receiver: Receiver):
    """Ten duplicates of one webhook, concurrently."""
    receiver.meeting = threading.Barrier(10)

    simulator.send_webhooks(
        100, 500, sending=Sending(copies=10, order=SendingOrder.AT_ONCE, url=receiver.url, attempts=1)
    )

    assert len(receiver.received) == 10
    assert len({each.body for each in receiver.received}) == 1


def test_events_in_turn_and_in_reverse(simulator: SimulatorClient, receiver: Receiver):
    """The journals event can come after the run or, out of order, before it."""
    events = [WebhookEvent.RUN_FINISH, WebhookEvent.JOURNALS_FINISH]
    for order in (SendingOrder.IN_TURN, SendingOrder.REVERSED):
        simulator.send_webhooks(100, 500, sending=Sending(events=events, order=order, url=receiver.url))

    names = [json.loads(each.body)["eventName"] for each in receiver.received]
    assert names == ["Run Finish", "Journals Finish", "Journals Finish", "Run Finish"]


def test_a_webhook_can_name_no_run(simulator: SimulatorClient, receiver: Receiver):
    """Without a run only debtor and company are told."""
    simulator.send_webhooks(100, sending=Sending(url=receiver.url))

    assert json.loads(receiver.received[0].body).keys() == MEMBERS.keys() - {"runId", "year", "period"}


def test_webhooks_go_to_who_asked_for_the_event(simulator: SimulatorClient, receiver: Receiver):
    """Only active webhooks of the company's debtor that are set for the event are called."""
    simulator.set_webhook(10, receiver.url + "?hook=1")
    simulator.set_webhook(10, receiver.url + "?hook=2", events=["journals_finish"])
    simulator.set_webhook(10, receiver.url + "?hook=3", active=False)
    simulator.set_webhook(20, receiver.url + "?hook=4")

    simulator.send_webhooks(100, 500)

    assert [urlsplit(each.path).query for each in receiver.received] == ["hook=1"]


def test_finishing_a_run_can_send_its_webhook(simulator: SimulatorClient, receiver: Receiver):
    """Finish, then tell: the webhook names the new run."""
    simulator.set_webhook(10, receiver.url)
    run = {"year": 2026, "period_start": 12, "period_end": 12, "kind": "pre"}

    run_id = simulator.finish_run(100, run, webhook=Sending())

    assert json.loads(receiver.received[0].body)["runId"] == run_id


def test_a_server_error_is_tried_again(simulator: SimulatorClient, receiver: Receiver):
    """5xx answers are retried until one is none; the log has every try."""
    receiver.statuses = [503, 500]

    (delivery,) = simulator.send_webhooks(100, 500, sending=Sending(url=receiver.url, retry_seconds=0))

    assert [attempt.status for attempt in delivery.attempts] == [503, 500, 202]
    assert delivery.outcome is Outcome.DELIVERED
    assert simulator.deliveries()[-1] == delivery


@pytest.mark.parametrize(("statuses", "tries"), [([500, 500, 500], 3), ([404], 1), ([302], 1)])
def test_a_delivery_is_given_up(statuses: list[int], tries: int, simulator: SimulatorClient, receiver: Receiver):
    """After the last try, or at once when the answer is a refusal or a redirect."""
    receiver.statuses = statuses

    (delivery,) = simulator.send_webhooks(100, 500, sending=Sending(url=receiver.url, retry_seconds=0))

    assert (delivery.outcome, len(receiver.received)) == (Outcome.FAILED, tries)


def test_a_receiver_that_is_down_is_an_error_in_the_log(simulator: SimulatorClient):
    """No answer at all counts as a try."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"

        (delivery,) = simulator.send_webhooks(100, 500, sending=Sending(url=url, attempts=2, retry_seconds=0))

    assert [attempt.status for attempt in delivery.attempts] == [None, None]
    assert "ConnectError" in str(delivery.attempts[0].error)
    assert delivery.outcome is Outcome.FAILED


def self_signed(folder: Path) -> ssl.SSLContext:
    """TLS with a certificate for 127.0.0.1 that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = folder / "certificate.pem"
    file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def test_a_receiver_without_a_good_certificate_is_not_told(simulator: SimulatorClient, tmp_path: Path):
    """Over https somebody has to vouch for the certificate; otherwise nothing is sent."""
    with receiving(self_signed(tmp_path)) as receiver:
        (delivery,) = simulator.send_webhooks(100, 500, sending=Sending(url=receiver.url, attempts=1))

    assert (delivery.outcome, receiver.received) == (Outcome.FAILED, [])
    assert "certificate" in str(delivery.attempts[0].error).lower()


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hook",
        "http://10.0.0.1/",
        "http://0.0.0.0/",
        "http://127.0.0.1.example.com/",
        "http://127.0.0.1@example.com/",
        "http://localhost.example.com/",
        "ftp://127.0.0.1/",
        "/hook",
    ],
)
def test_webhooks_stay_on_this_machine(url: str, simulator: SimulatorClient):
    """Any target that is not loopback is refused with a reason, set or sent."""
    with pytest.raises(SimulatorError, match=r"422 .*loopback addresses only"):
        simulator.set_webhook(10, url)
    with pytest.raises(SimulatorError, match=r"422 .*loopback addresses only"):
        simulator.control("POST", "webhooks", {"company_id": 100, "url": url})
