"""Faults on demand: which there are, and who gets one next."""

import threading
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from simulators.nmbrs.contract import ListOf, Operation, Record
from simulators.nmbrs.data import Model, OperationKey, Text


class FaultKind(StrEnum):
    """What goes wrong."""

    DELAY = "delay"
    HTML = "html"
    BROKEN_HTML = "broken_html"
    REDIRECT = "redirect"
    RESET = "reset"
    HALF_BODY = "half_body"
    SOAP_FAULT = "soap_fault"
    TOTALS_WRONG = "totals_wrong"
    EMPTY_RESULT = "empty_result"
    ELEMENT_INSERTED = "element_inserted"
    ELEMENT_APPENDED = "element_appended"
    ELEMENTS_REORDERED = "elements_reordered"
    DTD = "dtd"
    HUGE = "huge"
    GZIP_BOMB = "gzip_bomb"


RECORD_KINDS: Final = frozenset({FaultKind.ELEMENT_INSERTED, FaultKind.ELEMENT_APPENDED, FaultKind.ELEMENTS_REORDERED})


class FaultOrder(Model):
    """A fault as ordered: for one operation or all, a number of times or until cleared."""

    kind: FaultKind
    operation: OperationKey | None = None
    times: Annotated[int, Field(ge=1)] | None = None
    seconds: float = Field(default=30, ge=0, le=600)
    status: int = Field(default=503, ge=200, le=599)
    code: int = Field(default=9999, ge=0, le=9999)
    message: Text | None = None
    location: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,500}$")] = "https://login.invalid/"
    size_bytes: int = Field(default=128 * 1024 * 1024, ge=1, le=4 * 1024 * 1024 * 1024)

    def suits(self, operation: Operation) -> bool:
        """Whether the fault can happen to this operation; one that cannot is kept for another call."""
        if self.operation not in {None, operation.key}:
            return False
        if self.kind is FaultKind.TOTALS_WRONG:
            return operation.key == "Company.SalaryDocuments_GetSEPA"
        return self.kind not in RECORD_KINDS or isinstance(operation.result, Record | ListOf)


@dataclass(slots=True, kw_only=True)
class ActiveFault:
    """An ordered fault with what is left of it."""

    id: int
    order: FaultOrder
    remaining: int | None
    hits: int = 0
    lifted: threading.Event = field(default_factory=threading.Event)


class Faults:
    """The ordered faults, oldest first; a call gets the first that suits it. Safe under threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: list[ActiveFault] = []
        self._last_id = 0

    def add(self, order: FaultOrder) -> int:
        """Order a fault; gives its number."""
        with self._lock:
            self._last_id += 1
            self._active.append(ActiveFault(id=self._last_id, order=order, remaining=order.times))
            return self._last_id

    def take(self, operation: Operation) -> ActiveFault | None:
        """The fault this call suffers, counted as used, or None."""
        with self._lock:
            for fault in self._active:
                if fault.remaining != 0 and fault.order.suits(operation):
                    fault.hits += 1
                    fault.remaining = None if fault.remaining is None else fault.remaining - 1
                    return fault
            return None

    def clear(self, fault_id: int | None = None) -> int:
        """Forget one fault or all; calls waiting because of them go on. Gives how many were forgotten."""
        with self._lock:
            gone = [fault for fault in self._active if fault_id in {None, fault.id}]
            self._active = [fault for fault in self._active if fault not in gone]
        for fault in gone:
            fault.lifted.set()
        return len(gone)

    def listing(self) -> list[dict[str, object]]:
        """All ordered faults with how often they struck and how often they still will (None: until cleared)."""
        with self._lock:
            return [
                {
                    "id": fault.id,
                    "hits": fault.hits,
                    "remaining": fault.remaining,
                    **fault.order.model_dump(mode="json"),
                }
                for fault in self._active
            ]
