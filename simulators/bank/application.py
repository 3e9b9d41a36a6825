"""The bank without its sockets: files, signatures, reports, the ledger."""

from dataclasses import asdict
from typing import Final
from uuid import uuid4

from pydantic import Field

from simulators.bank.books import Books
from simulators.bank.control import Control
from simulators.bank.faults import FaultKind, FaultOrder, Faults
from simulators.bank.flavours import NoSuchLine, Wish, status_report
from simulators.bank.report import write_report
from simulators.bank.routes import SERVER, Asked, answer, as_json, route
from simulators.bank.rulebook import Model
from simulators.bank.upload import Upload
from simulators.nmbrs.exchange import Ending, HttpRequest, Pause, Reply

_LISTS: Final = ("lines", "instructions", "statuses")


class SignatureOrder(Model):
    """Who signs."""

    by: str = Field(default="account holder", min_length=1, max_length=70)


class Application:
    """Answers every request to the bank."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._faults = Faults()
        self._routes = (
            route("POST", "/files", self._take),
            route("GET", "/uploads", self._list),
            route("GET", "/uploads/{upload_id}", self._show),
            route("DELETE", "/uploads/{upload_id}", self._remove),
            route("POST", "/uploads/{upload_id}/signatures", self._sign),
            route("GET", "/uploads/{upload_id}/report", self._report),
            route("GET", "/ledger", self._ledger),
            *Control(books, self._faults).routes(),
        )

    def answer(self, request: HttpRequest) -> Reply:
        """The answer to any request."""
        return answer(self._routes, request)

    def _take(self, asked: Asked) -> Reply:
        lifted = self._faults.lifted
        fault = self._faults.take()
        if fault is None:
            return self._taken(asked)
        if fault.kind is FaultKind.REFUSE:
            return as_json(422, {"reasons": [{"code": fault.code, "where": "file", "text": "refused as ordered"}]})
        if fault.takes_file:
            self._taken(asked)
        return _faulty(fault, Pause(seconds=fault.seconds, lifted=lifted))

    def _taken(self, asked: Asked) -> Reply:
        taken = self._books.take(asked.body, file_name=asked.query.get("file_name"))
        if isinstance(taken, Upload):
            return as_json(201, taken.shown(self._books.clock.now()))
        return as_json(422, {"reasons": [asdict(reason) for reason in taken]})

    def _list(self, asked: Asked) -> Reply:
        now = self._books.clock.now()
        return as_json(200, [upload.shown(now) for upload in self._books.uploads(asked.query.get("message_id"))])

    def _show(self, asked: Asked) -> Reply:
        return self._shown(self._books.upload(asked.upload_id))

    def _remove(self, asked: Asked) -> Reply:
        return self._shown(self._books.remove(asked.upload_id))

    def _sign(self, asked: Asked) -> Reply:
        order = SignatureOrder.model_validate_json(asked.body or b"{}")
        return self._shown(self._books.sign(asked.upload_id, order.by), status=201)

    def _report(self, asked: Asked) -> Reply:
        order = self._books.upload(asked.upload_id).order
        wish = Wish.model_validate(
            {name: tuple(text.split(",")) if name in _LISTS else text for name, text in asked.query.items()}
        )
        try:
            report = status_report(order, wish)
        except NoSuchLine as error:
            return as_json(422, {"error": str(error)})
        now, report_id = self._books.clock.now(), uuid4().hex
        body = write_report(report, order, version=wish.version, report_id=report_id, now=now)
        return Reply(status=200, headers={**SERVER, "content-type": "application/xml; charset=utf-8"}, body=body)

    def _ledger(self, _asked: Asked) -> Reply:
        return as_json(200, self._books.ledger())

    def _shown(self, upload: Upload, *, status: int = 200) -> Reply:
        return as_json(status, upload.shown(self._books.clock.now()))


def _faulty(fault: FaultOrder, pause: Pause) -> Reply:
    if fault.kind is FaultKind.ERROR:
        return Reply(status=fault.status, headers=SERVER)
    if fault.kind is FaultKind.RESET:
        return Reply(ending=Ending.RESET)
    return Reply(ending=Ending.RESET, pause=pause)
