"""The control API under `/_control/`: the clock, the rules, faults, and what happens to lines."""

from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints, TypeAdapter

from simulators.bank.books import Books
from simulators.bank.faults import FaultOrder, Faults
from simulators.bank.routes import Asked, Route, as_json, route
from simulators.bank.rulebook import Model, ReasonCode
from simulators.nmbrs.exchange import Reply

_CHANGES = TypeAdapter(dict[str, object])


class ClockOrder(Model):
    """Where the clock stands still; None lets it go with the real time."""

    now: AwareDatetime | None


class RefusalOrder(Model):
    """Lines that are refused, or that come back when they were debited already."""

    lines: Annotated[list[Annotated[str, StringConstraints(max_length=35)]], Field(min_length=1)]
    code: ReasonCode = "AC04"


class Control:
    """Answers the control API."""

    def __init__(self, books: Books, faults: Faults) -> None:
        self._books = books
        self._faults = faults

    def routes(self) -> tuple[Route, ...]:
        """The routes of the control API."""
        return (
            route("POST", "/_control/reset", self._reset),
            route("PUT", "/_control/clock", self._put_clock),
            route("GET", "/_control/rules", self._show_rules),
            route("PATCH", "/_control/rules", self._change_rules),
            route("POST", "/_control/faults", self._add_fault),
            route("DELETE", "/_control/faults", self._clear_faults),
            route("POST", "/_control/uploads/{upload_id}/refusals", self._refuse_lines),
        )

    def _reset(self, _asked: Asked) -> Reply:
        self._faults.clear()
        self._books.clock.put(None)
        self._books.reset()
        return as_json(200, {})

    def _put_clock(self, asked: Asked) -> Reply:
        self._books.clock.put(ClockOrder.model_validate_json(asked.body).now)
        return as_json(200, {"now": self._books.clock.now().isoformat()})

    def _show_rules(self, _asked: Asked) -> Reply:
        return as_json(200, self._books.rules.model_dump(mode="json"))

    def _change_rules(self, asked: Asked) -> Reply:
        rules = self._books.change_rules(_CHANGES.validate_json(asked.body))
        return as_json(200, rules.model_dump(mode="json"))

    def _add_fault(self, asked: Asked) -> Reply:
        self._faults.add(FaultOrder.model_validate_json(asked.body))
        return as_json(201, {})

    def _clear_faults(self, _asked: Asked) -> Reply:
        self._faults.clear()
        return as_json(200, {})

    def _refuse_lines(self, asked: Asked) -> Reply:
        order = RefusalOrder.model_validate_json(asked.body)
        upload = self._books.refuse_lines(asked.upload_id, order.lines, order.code)
        return as_json(200, {"refused": upload.refused, "returned": upload.returned})
