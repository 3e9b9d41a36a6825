"""Starts the bank as a process and speaks to it, for tests, proofs and benchmarks."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from simulators.bank.faults import FaultKind
from simulators.bank.flavours import Flavour
from simulators.started import SimulatorError, started

__all__ = ["BankClient", "FileRefused", "SimulatorError", "run_bank"]


@dataclass(eq=False)
class FileRefused(Exception):
    """The bank did not take a file; `reasons` are {code, where, text}."""

    reasons: Sequence[Mapping[str, str]]

    def __str__(self) -> str:
        """The codes and places."""
        return ", ".join(f"{reason['code']} at {reason['where']}" for reason in self.reasons)


class BankClient:
    """The bank's calls and its control API, typed."""

    def __init__(self, base_url: str, pid: int) -> None:
        self.base_url = base_url
        self.pid = pid
        self._http = httpx.Client(base_url=base_url, trust_env=False, timeout=120)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def call(self, method: str, path: str, body: object = None, **query: str) -> Any:
        """Any request; gives the JSON answered. Raises SimulatorError when it is refused."""
        content = None if body is None else json.dumps(body)
        response = self._http.request(method, path, content=content, params=query)
        if response.is_error:
            raise SimulatorError(f"{method} {path}: {response.status_code} {response.text}")
        return response.json()

    # ----------------------------------------------------------------------------------------------------------- files

    def upload(self, data: bytes, *, file_name: str | None = None) -> dict[str, Any]:
        """Hand in a file; gives what the bank's screen shows. Raises FileRefused, SimulatorError, httpx errors."""
        query = {} if file_name is None else {"file_name": file_name}
        response = self._http.post("/files", content=data, params=query)
        if response.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
            raise FileRefused(response.json()["reasons"])
        if response.is_error:
            raise SimulatorError(f"POST /files: {response.status_code}")
        return dict(response.json())

    def uploads(self, message_id: str | None = None) -> list[dict[str, Any]]:
        """What the bank has, oldest first, or what it has under a message id."""
        return list(self.call("GET", "/uploads", **({} if message_id is None else {"message_id": message_id})))

    def show(self, upload_id: int) -> dict[str, Any]:
        """One upload."""
        return dict(self.call("GET", f"/uploads/{upload_id}"))

    def sign(self, upload_id: int, by: str = "account holder") -> dict[str, Any]:
        """A person signs."""
        return dict(self.call("POST", f"/uploads/{upload_id}/signatures", {"by": by}))

    def remove(self, upload_id: int) -> dict[str, Any]:
        """A person removes an upload before it is signed."""
        return dict(self.call("DELETE", f"/uploads/{upload_id}"))

    def report(self, upload_id: int, flavour: Flavour, **query: str) -> bytes:
        """A pain.002 about an upload; `query` as in docs/bank-simulator.md, section 4."""
        response = self._http.get(f"/uploads/{upload_id}/report", params={"flavour": flavour, **query})
        if response.is_error:
            raise SimulatorError(f"report: {response.status_code} {response.text}")
        return response.content

    def ledger(self) -> dict[str, Any]:
        """Every transfer that was executed."""
        return dict(self.call("GET", "/ledger"))

    # --------------------------------------------------------------------------------------------------------- control

    def reset(self) -> None:
        """Forget everything; the clock is the real one again."""
        self.call("POST", "/_control/reset")

    def put_clock(self, now: datetime | None) -> None:
        """Let the bank's clock stand still at a moment (aware), or go with the real time."""
        self.call("PUT", "/_control/clock", {"now": None if now is None else now.isoformat()})

    def change_rules(self, **changes: Any) -> None:
        """Set figures of the rulebook."""
        self.call("PATCH", "/_control/rules", changes)

    def add_fault(self, kind: FaultKind, **settings: Any) -> None:
        """Let something go wrong with the next file."""
        self.call("POST", "/_control/faults", {"kind": kind, **settings})

    def clear_faults(self) -> None:
        """Forget all faults; whoever waits because of one goes on."""
        self.call("DELETE", "/_control/faults")

    def refuse_lines(self, upload_id: int, *end_to_end_ids: str, code: str = "AC04") -> None:
        """Refuse lines before they are debited, or let them come back afterwards."""
        self.call("POST", f"/_control/uploads/{upload_id}/refusals", {"lines": end_to_end_ids, "code": code})


@contextmanager
def run_bank(*, port: int = 0, start_seconds: float = 30) -> Iterator[BankClient]:
    """A bank of its own while the block runs. Raises SimulatorError."""
    with started("bank", "--port", str(port), start_seconds=start_seconds) as process:
        client = BankClient(process.base_url, process.pid)
        try:
            yield client
        finally:
            client.close()
