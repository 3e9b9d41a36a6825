"""Background reports, at their least: the payslip report of a run, ready at the third time of asking."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from uuid import NAMESPACE_URL, uuid5
from xml.sax.saxutils import escape

from simulators.nmbrs.data import Company, Run

_PROGRESS: Final = ("Enqueued", "Executing")


@dataclass(slots=True, kw_only=True)
class _Task:
    owner: str
    content: str
    times_asked: int = 0


class Tasks:
    """The background tasks started so far. Safe under threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: dict[str, _Task] = {}

    def start(self, owner: str, content: str) -> str:
        """Start a task that will give `content` to `owner` only; gives its id."""
        with self._lock:
            task_id = str(uuid5(NAMESPACE_URL, f"nmbrs-simulator/task/{len(self._tasks) + 1}"))
            self._tasks[task_id] = _Task(owner=owner, content=content)
            return task_id

    def ask(self, owner: str, task_id: str) -> tuple[str, str | None] | None:
        """Status and content (once there is any); None for an unknown or somebody else's task."""
        with self._lock:
            task = self._tasks.get(task_id)
            if task is None or task.owner != owner:
                return None
            task.times_asked += 1
            if task.times_asked <= len(_PROGRESS):
                return _PROGRESS[task.times_asked - 1], None
            return "Success", task.content

    def clear(self) -> None:
        """Forget all tasks."""
        with self._lock:
            self._tasks.clear()


def payslip_report(company: Company, run: Run) -> str:
    """The payslips of a run as XML text: one line for each payment, amounts with a decimal comma."""
    return f'<?xml version="1.0" encoding="utf-8"?><payslips>{"".join(_payslips(company, run))}</payslips>'


def _payslips(company: Company, run: Run) -> Iterable[str]:
    for employee in company.employees:
        lines = [line for line in run.lines if line.employee_id == employee.id]
        if lines:
            payments = "".join(
                "<line><code>9999</code><description>Uitbetaling</description><group>Payment</group>"
                f"<betaling>{line.amount.replace('.', ',')}</betaling></line>"
                for line in lines
            )
            yield (
                f"<payslip><employeeid>{employee.number}</employeeid>"
                f"<employeename>{escape(employee.display_name)}</employeename>"
                f"<period>{run.period_start}</period><year>{run.year}</year><run>{run.number}</run>"
                f"<lines>{payments}</lines></payslip>"
            )
