"""Asking Nmbrs over SOAP 1.1: the only module that knows zeep.

zeep writes the question and reads the answer strictly, from descriptions kept in this package. Connections share
nothing but those descriptions: the header with the token is made anew for each call.
"""

import functools
import io
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

import zeep
import zeep.exceptions
import zeep.helpers
import zeep.transports
import zeep.wsdl
import zeep.wsdl.utils
from prometheus_client import Counter

from app.core import http
from app.core.connections import Deadline
from app.nmbrs import envelope, faults
from app.nmbrs.operations import Arguments, NotUnderstood, Operation, Record, Shape
from app.payments.ports import SourceCredentials

log = logging.getLogger(__name__)

# zeep writes whole messages and values in its log.
logging.getLogger("zeep").setLevel(logging.CRITICAL + 1)

READ_LENIENTLY: Final = Counter(
    "loonstroom_nmbrs_answers_read_leniently",
    "Answers that the strict reader refused and the own reader read: the vendor changed something.",
    ["operation"],
)

_OK: Final = 200
_WITH_FAULT: Final = frozenset({400, 500})  # what SOAP faults come with
_PAUSES_SECONDS: Final = (0.2, 0.8)  # before the second and the third try of a read

# zeep's functions carry no types.
_Client: Any = zeep.Client
_Document: Any = zeep.wsdl.Document
_as_plain: Any = zeep.helpers.serialize_object
_as_bytes: Any = zeep.wsdl.utils.etree_to_string

_STRICT: Final = {"strict": True, "forbid_dtd": True, "forbid_entities": True, "forbid_external": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What an operation answered, by its shape: `text`, or the same records read in each way that could read them.

    There are two readings, which must say the same, or one when zeep refused the answer (`is_lenient`).
    """

    readings: Sequence[list[Record]]
    text: bytes
    is_lenient: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SoapCaller:
    """Asks Nmbrs with the credentials of one connection. May be used by several threads.

    `pause` waits that many seconds, `jitter` gives a number from 0 to 1: both come in so that tests need not wait.
    """

    base_url: str
    allow_loopback: bool
    credentials: SourceCredentials
    timeout_seconds: float
    pause: Callable[[float], None]
    jitter: Callable[[], float]

    def ask(
        self, operation: Operation, arguments: Arguments, *, until: Deadline | None = None, subject: str = ""
    ) -> Reply:
        """Call an operation and return its answer, or raise `SourceFault`. A passing fault is tried three times in all.

        `until` ends everything, pauses included; `subject` says in explanations what was asked about.
        """
        for seconds in _PAUSES_SECONDS:
            try:
                return self._ask_once(operation, arguments, until=until, subject=subject)
            except faults.PassingFault:
                self._wait(seconds * (0.5 + self.jitter()), until)
        return self._ask_once(operation, arguments, until=until, subject=subject)

    def _wait(self, seconds: float, until: Deadline | None) -> None:
        self.pause(seconds if until is None else min(seconds, until.seconds_left()))

    def _ask_once(self, operation: Operation, arguments: Arguments, *, until: Deadline | None, subject: str) -> Reply:
        answer = self._send(operation, arguments, until=until)
        try:
            return _understand(answer, operation, subject=subject)
        except NotUnderstood as error:
            raise faults.not_understood(operation, str(error)) from None

    def _send(self, operation: Operation, arguments: Arguments, *, until: Deadline | None) -> http.Answer:
        seconds = self.timeout_seconds if until is None else min(self.timeout_seconds, until.seconds_left())
        limits = http.Limits(
            total_seconds=seconds,
            max_bytes=operation.max_bytes,
            allow_loopback=self.allow_loopback,
            only_host=http.check_url(self.base_url, allow_loopback=self.allow_loopback),
        )
        client = _client(operation.service, limits)
        url = f"{self.base_url}/{operation.service}.asmx"
        service = client.create_service(f"{{{operation.namespace}}}{operation.service}Soap", url)
        try:
            answer: http.Answer = service[operation.name](**arguments, _soapheaders=[self._header(client, operation)])
        except http.HttpError as error:
            raise faults.http_fault(error, operation) from None
        return answer

    def _header(self, client: Any, operation: Operation) -> Any:
        """Return the header in the service's own namespace: in another one the service overlooks it (error 1001)."""
        who = {"Username": self.credentials.username, "Token": self.credentials.secret}
        name = "AuthHeader"
        if operation.asks_domain:
            name, who["Domain"] = "AuthHeaderWithDomain", self.credentials.domain
        return client.get_element(f"{{{operation.namespace}}}{name}")(**who)


# --------------------------------------------------------------------------------------------------- reading answers


def _understand(answer: http.Answer, operation: Operation, *, subject: str) -> Reply:
    """Read an answer. The envelope is checked before zeep sees it: zeep calls any tidy page a fault without a name."""
    if answer.status not in {_OK, *_WITH_FAULT} or "xml" not in (answer.media_type or "xml"):
        raise faults.status_fault(answer.status, operation)
    try:
        opened = envelope.open_envelope(answer.content, operation)
    except envelope.NoEnvelope:
        raise faults.unusable(operation) from None
    except envelope.TooManyElements:
        raise faults.too_large(operation) from None
    if isinstance(opened, envelope.SoapFault):
        raise faults.vendor_fault(
            opened.message, is_our_request=opened.is_our_request, operation=operation, subject=subject
        )
    if answer.status != _OK:
        raise faults.status_fault(answer.status, operation)
    return _read(answer, opened, operation)


def _read(answer: http.Answer, response: envelope.Response, operation: Operation) -> Reply:
    """Read strictly and with the own reader: the same bytes, so that nothing is asked twice."""
    is_lenient, value = _read_strictly(answer, operation)
    if operation.shape is Shape.TEXT:
        # zeep reads XML inside a text as no text at all; only the own reader can say that there is nothing.
        text = response.text()
        if isinstance(value, str) and value.strip() and value.encode() != text:
            raise NotUnderstood("two ways of reading it disagree")
        return Reply(readings=[], text=text, is_lenient=is_lenient)
    own = response.records()
    return Reply(readings=[own] if is_lenient else [_plain(value), own], text=b"", is_lenient=is_lenient)


def _read_strictly(answer: http.Answer, operation: Operation) -> tuple[bool, Any]:
    """Return whether zeep refused the answer, and what it read."""
    client = _client(operation.service, http.DEFAULT_LIMITS)
    binding: Any = client.wsdl.bindings[f"{{{operation.namespace}}}{operation.service}Soap"]
    try:
        return False, binding.process_reply(client, binding.get(operation.name), _AsRequests(answer))
    except (zeep.exceptions.Error, ValueError):  # ValueError: names that lxml refuses inside zeep
        READ_LENIENTLY.labels(operation=operation.full_name).inc()
        log.warning("%s answered with something new; its own fields were read, the rest left", operation.full_name)
        return True, None


def _plain(value: Any) -> list[Record]:
    """Return zeep's objects as plain dictionaries: a list of any length, one record, or none at all."""
    found = value if isinstance(value, list) else [value]
    records = [_as_plain(item, dict) for item in found if item is not None]
    return [record for record in records if any(field is not None for field in record.values())]


class _AsRequests:
    """An answer in the form of the library that zeep is used to."""

    def __init__(self, answer: http.Answer) -> None:
        self.status_code = answer.status
        self.content = answer.content
        self.headers: Mapping[str, str] = {"Content-Type": "text/xml"}
        self.encoding = None


# -------------------------------------------------------------------------------------------------- writing questions


class _Transport(zeep.transports.Transport):
    """Posts through `core.http` within the limits of one call; loads nothing, ever."""

    def __init__(self, limits: http.Limits) -> None:
        # The parent's __init__ would open a session of another HTTP library.
        self.limits = limits
        self.cache = None
        self.logger = log
        self._close_session = False

    def post_xml(self, address: str, envelope: Any, headers: Mapping[str, str]) -> http.Answer:
        content: bytes = _as_bytes(envelope)
        return http.post(address, content=content, headers=headers, limits=self.limits)

    def load(self, url: str) -> bytes:
        raise FileNotFoundError(f"{url} is not part of this package and is not loaded")


def _client(service: str, limits: http.Limits) -> Any:
    """Return a client for one call. `raw_response`: reading is a second step, on the same bytes for both readers."""
    with _describing:
        document = _describe(service)
    return _Client(document, transport=_Transport(limits), settings=zeep.Settings(**_STRICT, raw_response=True))


_describing = threading.Lock()


@functools.cache
def _describe(service: str) -> Any:
    content = resources.files("app.nmbrs").joinpath("wsdl", f"{service}.wsdl").read_bytes()
    return _Document(io.BytesIO(content), _Transport(http.DEFAULT_LIMITS), settings=zeep.Settings(**_STRICT))
