"""Sends webhooks, tries again after a server error, and keeps a log of every delivery."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import AwareDatetime, Field

from simulators.nmbrs.clock import Clock
from simulators.nmbrs.data import Model, WebhookEvent
from simulators.nmbrs.loopback import LoopbackUrl, require_loopback
from simulators.nmbrs.webhook_shapes import Notice, Outgoing, Shape, shape_notice

if TYPE_CHECKING:
    from simulators.nmbrs.wire import Wire

_REDIRECT = 300
_SERVER_ERROR = 500


class SendingOrder(StrEnum):
    """In which order several webhooks go."""

    IN_TURN = "in_turn"
    REVERSED = "reversed"
    AT_ONCE = "at_once"


class Outcome(StrEnum):
    """What became of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Sending(Model):
    """What to send: each event in each shape, `copies` times, to `url` or else to the webhooks set for the debtor."""

    events: list[WebhookEvent] = Field(default=[WebhookEvent.RUN_FINISH])
    shapes: list[Shape] = Field(default=[Shape.JSON_INTS])
    copies: int = Field(default=1, ge=1, le=500)
    order: SendingOrder = SendingOrder.IN_TURN
    url: LoopbackUrl | None = None
    attempts: int = Field(default=3, ge=1, le=20)
    retry_seconds: float = Field(default=0.5, ge=0, le=60)
    timeout_seconds: float = Field(default=10, gt=0, le=120)
    wait: bool = True


class Attempt(Model):
    """One try: the status answered, or the error when there was no answer."""

    at: AwareDatetime
    status: int | None = None
    error: str | None = None


class Delivery(Model):
    """One webhook and its tries."""

    id: int
    url: str
    method: str
    event: WebhookEvent
    shape: Shape
    run_id: int | None
    attempts: list[Attempt] = Field(default=[])
    outcome: Outcome = Outcome.PENDING


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressed:
    """A notice with its shape and target."""

    notice: Notice
    shape: Shape
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parcel:
    delivery: Delivery
    outgoing: Outgoing


class WebhookSender:
    """Delivers to loopback only, through no proxy and following no redirect. Safe under threads."""

    def __init__(self, clock: Clock, stopped: threading.Event) -> None:
        self._clock = clock
        self._stopped = stopped
        self._lock = threading.Lock()
        self._deliveries: list[Delivery] = []

    @cached_property
    def _wire(self) -> "Wire":
        from simulators.nmbrs.wire import Wire  # noqa: PLC0415 - loading httpx would double the time to start

        return Wire()

    def send(self, messages: Sequence[Addressed], sending: Sending) -> list[Delivery]:
        """Deliver the messages; with `wait` the answer comes when all are delivered or given up."""
        wire = self._wire  # loaded before the start, so that webhooks sent at once leave at once
        parcels = [self._register(message) for message in messages]
        if sending.order is SendingOrder.REVERSED:
            parcels.reverse()
        thread = threading.Thread(target=self._deliver_all, args=(wire, parcels, sending), daemon=True)
        thread.start()
        if sending.wait:
            thread.join()
        with self._lock:
            return [parcel.delivery.model_copy(deep=True) for parcel in parcels]

    def deliveries(self) -> list[Delivery]:
        """Every delivery since the start, oldest first."""
        with self._lock:
            return [delivery.model_copy(deep=True) for delivery in self._deliveries]

    def _register(self, message: Addressed) -> _Parcel:
        outgoing = shape_notice(message.notice, message.shape)
        with self._lock:
            delivery = Delivery(
                id=len(self._deliveries) + 1,
                url=require_loopback(message.url),
                method=outgoing.method,
                event=message.notice.event,
                shape=message.shape,
                run_id=message.notice.run_id,
            )
            self._deliveries.append(delivery)
        return _Parcel(delivery=delivery, outgoing=outgoing)

    def _deliver_all(self, wire: "Wire", parcels: Sequence[_Parcel], sending: Sending) -> None:
        if sending.order is not SendingOrder.AT_ONCE:
            for parcel in parcels:
                self._deliver(wire, parcel, sending)
            return
        threads = [
            threading.Thread(target=self._deliver, args=(wire, parcel, sending), daemon=True) for parcel in parcels
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _deliver(self, wire: "Wire", parcel: _Parcel, sending: Sending) -> None:
        for _ in range(sending.attempts - 1):
            if self._attempt(wire, parcel, sending) or self._stopped.wait(sending.retry_seconds):
                return
        if not self._attempt(wire, parcel, sending):
            self._settle(parcel.delivery, Outcome.FAILED)

    def _attempt(self, wire: "Wire", parcel: _Parcel, sending: Sending) -> bool:
        """Try once; says whether that settled it."""
        at = self._clock.now()
        answered = wire.send(parcel.outgoing, parcel.delivery.url, timeout_seconds=sending.timeout_seconds)
        self._note(parcel.delivery, Attempt(at=at, status=answered.status, error=answered.error))
        if answered.status is None or answered.status >= _SERVER_ERROR:
            return False
        self._settle(parcel.delivery, Outcome.DELIVERED if answered.status < _REDIRECT else Outcome.FAILED)
        return True

    def _note(self, delivery: Delivery, attempt: Attempt) -> None:
        with self._lock:
            delivery.attempts.append(attempt)

    def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        with self._lock:
            delivery.outcome = outcome
