"""Starts the simulator as a process and speaks to its control API, for tests, proofs and benchmarks."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter

from simulators.nmbrs.faults import FaultKind
from simulators.nmbrs.sender import Delivery, Sending
from simulators.nmbrs.world import Call
from simulators.started import ROOT, SimulatorError, started

__all__ = ["ROOT", "SimulatorClient", "SimulatorError", "run_simulator"]

DEMO: Final = Path(__file__).with_name("demo.json")
_CALLS: Final = TypeAdapter(list[Call])
_DELIVERIES: Final = TypeAdapter(list[Delivery])

Json = Mapping[str, Any]


class SimulatorClient:
    """The control API in typed calls. `base_url` is also where the SOAP services are."""

    def __init__(self, base_url: str, pid: int) -> None:
        self.base_url = base_url
        self.pid = pid
        self._http = httpx.Client(base_url=f"{base_url}/_control/", trust_env=False, timeout=120)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def service_url(self, service: str) -> str:
        """The address of a service, for instance of "CompanyService"."""
        return f"{self.base_url}/soap/v3/{service}.asmx"

    def control(self, method: str, path: str, body: Json | None = None, **query: str) -> Any:
        """Any control request; gives the JSON answered. Raises SimulatorError when it is refused."""
        content = None if body is None else json.dumps(body)
        response = self._http.request(method, path, content=content, params=query)
        if response.is_error:
            raise SimulatorError(f"{method} {path}: {response.status_code} {response.text}")
        return response.json()

    # ------------------------------------------------------------------------------------------------------------ data

    def state(self) -> dict[str, Any]:
        """Everything the simulator holds, without tokens and with the lines of runs counted."""
        return dict(self.control("GET", "state"))

    def reset(self) -> None:
        """Back to the data file; faults, calls and background tasks are forgotten."""
        self.control("POST", "reset")

    def change_company(self, company_id: int, **changes: Any) -> None:
        """Set fields of a company, for instance `bank_account` or `sepa` (the settings of all its runs)."""
        self.control("PATCH", f"companies/{company_id}", changes)

    def change_user(self, username: str, **changes: Any) -> None:
        """Set fields of a user, for instance `rights_off` or `debtor_ids`."""
        self.control("PATCH", f"users/{quote(username, safe='')}", changes)

    # ------------------------------------------------------------------------------------------------------------ runs

    def finish_run(self, company_id: int, run: Json, webhook: Sending | None = None) -> int:
        """Finish a run as the data format describes it, with or without a webhook; gives its id."""
        order = {"run": run, "webhook": webhook.model_dump(mode="json") if webhook else None}
        return int(self.control("POST", f"companies/{company_id}/runs", order)["run"]["id"])

    def show_run(self, company_id: int, run_id: int) -> dict[str, Any]:
        """A run with its lines."""
        return dict(self.control("GET", f"companies/{company_id}/runs/{run_id}"))

    def change_run(self, company_id: int, run_id: int, **changes: Any) -> None:
        """Set fields of a run, for instance `description`, `lines` or `sepa` (the settings of this run)."""
        self.control("PATCH", f"companies/{company_id}/runs/{run_id}", changes)

    def lock_run(self, company_id: int, run_id: int) -> None:
        """Lock a run."""
        self.change_run(company_id, run_id, is_locked=True)

    def undo_run(self, company_id: int, run_id: int) -> None:
        """Take a run back."""
        self.control("DELETE", f"companies/{company_id}/runs/{run_id}")

    def rerun(self, company_id: int, run_id: int, **changes: Any) -> int:
        """Undo a run and make it again; gives the new id."""
        return int(self.control("POST", f"companies/{company_id}/runs/{run_id}/rerun", changes)["id"])

    def change_line(self, company_id: int, run_id: int, position: int, **changes: Any) -> None:
        """Set fields of one line (0 is the first), for instance `iban`."""
        self.control("PATCH", f"companies/{company_id}/runs/{run_id}/lines/{position}", changes)

    # ------------------------------------------------------------------------------------------------ faults and calls

    def add_fault(
        self, kind: FaultKind, operation: str | None = None, *, times: int | None = None, **settings: Any
    ) -> int:
        """Order a fault for one operation ("Company.Run_GetList") or all; gives its id."""
        order = {"kind": kind, "operation": operation, "times": times, **settings}
        return int(self.control("POST", "faults", order)["id"])

    def clear_faults(self) -> None:
        """Forget all faults; calls waiting because of one go on."""
        self.control("DELETE", "faults")

    def calls(self, operation: str | None = None) -> list[Call]:
        """The calls received, oldest first, of one operation or all."""
        query = {} if operation is None else {"operation": operation}
        return _CALLS.validate_python(self.control("GET", "calls", None, **query))

    def forget_calls(self) -> None:
        """Start counting afresh."""
        self.control("DELETE", "calls")

    # -------------------------------------------------------------------------------------------------------- webhooks

    def set_webhook(self, debtor_id: int, url: str, **settings: Any) -> None:
        """Add a webhook to a debtor, as its screen does; `settings`: `name`, `active`, `events`."""
        self.control("POST", f"debtors/{debtor_id}/webhooks", {"url": url, **settings})

    def drop_webhooks(self, debtor_id: int) -> None:
        """Remove all webhooks of a debtor."""
        self.control("DELETE", f"debtors/{debtor_id}/webhooks")

    def send_webhooks(self, company_id: int, *run_ids: int, sending: Sending | None = None) -> list[Delivery]:
        """Send webhooks about a company and runs of it; gives the deliveries."""
        order = {"company_id": company_id, "run_ids": run_ids, **(sending or Sending()).model_dump(mode="json")}
        return _DELIVERIES.validate_python(self.control("POST", "webhooks", order))

    def deliveries(self) -> list[Delivery]:
        """Every webhook sent since the start and its tries."""
        return _DELIVERIES.validate_python(self.control("GET", "deliveries"))


@contextmanager
def run_simulator(
    data: Path | Mapping[str, Any] = DEMO, *, port: int = 0, start_seconds: float = 30
) -> Iterator[SimulatorClient]:
    """A simulator of its own on `data` (a file or its content) while the block runs. Raises SimulatorError."""
    with tempfile.TemporaryDirectory(prefix="nmbrs-simulator-data-") as folder:
        file = data if isinstance(data, Path) else _written(Path(folder), data)
        options = ("--port", str(port), "--data", str(file.resolve()))
        with started("nmbrs", *options, start_seconds=start_seconds) as process:
            client = SimulatorClient(process.base_url, process.pid)
            try:
                yield client
            finally:
                client.close()


def _written(folder: Path, data: Mapping[str, Any]) -> Path:
    file = folder / "data.json"
    file.write_text(json.dumps(data), encoding="utf-8")
    return file
