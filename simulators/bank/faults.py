"""What can be ordered to go wrong with the next files, and who gets it."""

import threading
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from simulators.bank.rulebook import Model, ReasonCode


class FaultKind(StrEnum):
    """What happens instead of an ordinary answer to a file."""

    REFUSE = "refuse"  # 422 with the reason code ordered; the file is not taken
    HANG = "hang"  # no answer for so many seconds
    ERROR = "error"  # the status ordered, without a word
    RESET = "reset"  # the connection is reset


class FaultOrder(Model):
    """A fault for the next files. `takes_file`: the bank nevertheless has the file, which the sender cannot know."""

    kind: FaultKind
    takes_file: bool = False
    code: ReasonCode = "AM05"
    status: Annotated[int, Field(ge=400, le=599)] = 500
    seconds: Annotated[float, Field(ge=0, le=600)] = 60
    times: Annotated[int, Field(ge=1)] = 1


class Faults:
    """The ordered faults, oldest first; a file meets the first that is left. Safe under threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: list[tuple[FaultOrder, int]] = []
        self.lifted = threading.Event()

    def add(self, order: FaultOrder) -> None:
        """Order a fault."""
        with self._lock:
            self._orders.append((order, order.times))

    def take(self) -> FaultOrder | None:
        """The fault that this file meets, used up once, or None."""
        with self._lock:
            if not self._orders:
                return None
            order, times = self._orders.pop(0)
            if times > 1:
                self._orders.insert(0, (order, times - 1))
            return order

    def clear(self) -> None:
        """Forget all faults; who waits because of one goes on."""
        with self._lock:
            self._orders.clear()
            lifted, self.lifted = self.lifted, threading.Event()
        lifted.set()
