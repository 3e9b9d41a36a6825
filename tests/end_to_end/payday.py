"""One payday from Run Einde to the follow-up of a refused line, step by step, by somebody who never gives up.

Every request is repeated with the same Idempotency-Key until it is answered, and the service is started again whenever
it is found dead. What was answered is kept, so that it can be held against what is stored.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import httpx

from app.auth.models import Role
from tests.end_to_end.town import COMPANY, STRANGER, Town, until
from tests.payments.status_report_samples import Block, Line, Report
from tests.support.house import PIN, Person, add_person

LINES = 8
_WEBHOOKS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOut:
    """A file as it came over the line."""

    batch_id: str
    data: bytes


@dataclass
class Payday:
    """One run of one employer. `posted` and `acknowledged` know webhooks by their SHA-256: how often sent, answered."""

    town: Town
    second: Person
    run_id: int
    is_busy: Callable[[], bool]
    posted: Counter[str] = field(default_factory=Counter)
    acknowledged: set[str] = field(default_factory=set)
    handed_out: list[HandedOut] = field(default_factory=list)
    restarts: int = 0
    put_off: int = 0
    batch_id: str = ""
    follow_up_id: str = ""

    def steps(self) -> Mapping[str, Callable[[], None]]:
        """Return the steps in their order, by name."""
        boss, second = self.town.boss, self.second
        return {
            "webhooks": self.post_webhooks,
            "batch": self.wait_for_batch,
            "acknowledge": lambda: self.acknowledge(self.batch_id),
            "first approval": lambda: self.approve(boss, self.batch_id),
            "second approval": lambda: self.approve(second, self.batch_id),
            "hand out": lambda: self.fetch_file(self.batch_id),
            "deliver": self.deliver,
            "report": self.upload_report,
            "refusal asked": lambda: self.state_refusal(boss, 202),
            "refusal confirmed": lambda: self.state_refusal(second, 201),
            "follow-up": self.make_follow_up,
            "follow-up acknowledge": lambda: self.acknowledge(self.follow_up_id),
            "follow-up first approval": lambda: self.approve(second, self.follow_up_id),
            "follow-up second approval": lambda: self.approve(boss, self.follow_up_id),
            "follow-up hand out": lambda: self.fetch_file(self.follow_up_id),
        }

    # ----------------------------------------------------------------------------------------------------------- steps

    def post_webhooks(self) -> None:
        """Post Run Einde a few times: the first is stored with a job, the others beside the job that waits."""
        for _ in range(_WEBHOOKS):
            body = json.dumps({"companyId": COMPANY, "runId": self.run_id, "mark": str(uuid4())}).encode()
            answer = self.until_answered(partial(self._post_webhook, body))
            assert answer.status_code == 202, answer.text
            self.acknowledged.add(sha256(body).hexdigest())

    def _post_webhook(self, body: bytes) -> httpx.Response:
        self.posted[sha256(body).hexdigest()] += 1
        headers = {"Content-Type": "application/json"}
        return STRANGER.post(self.town.webhook_url, content=body, headers=headers, timeout=60)

    def wait_for_batch(self) -> None:
        """Wait until the run is a batch and no worker has anything left to do."""
        self.batch_id = until(self._batch_of_run, f"a batch of run {self.run_id}")

    def _batch_of_run(self) -> str:
        found = [
            each["id"] for each in self.get("/v1/payment-batches?limit=20") if each["run"]["description"] == self.text
        ]
        return str(found[0]) if found and not self.is_busy() else ""

    @property
    def text(self) -> str:
        """What the run is called."""
        return f"Salaris {self.run_id}"

    def acknowledge(self, batch_id: str) -> None:
        """Confirm every finding that asks for it."""
        for each in self.get(f"/v1/payment-batches/{batch_id}/findings"):
            if each["needs_acknowledgement"] and each["acknowledged_at"] is None:
                path = f"/v1/payment-batches/{batch_id}/findings/{each['id']}/acknowledgement"
                self.post(self.town.boss, path, {}, expected=200)

    def approve(self, person: Person, batch_id: str) -> None:
        """Approve a batch as it is shown."""
        batch = self.get(f"/v1/payment-batches/{batch_id}")
        self.post(
            person,
            f"/v1/payment-batches/{batch_id}/approvals",
            {"digest": batch["digest"], "pin": PIN},
            headers={"If-Match": f'"r{batch["revision"]}"'},
        )

    def fetch_file(self, batch_id: str) -> None:
        """Have the file handed out."""
        answer = self.until_answered(lambda: self.town.boss.get(f"/v1/payment-batches/{batch_id}/file"))
        assert answer.status_code == 200, f"hand-out of {batch_id}: {answer.text}"
        self.handed_out.append(HandedOut(batch_id=batch_id, data=bytes(answer.content)))

    def deliver(self) -> None:
        """Say that the file is at the bank."""
        batch = self.get(f"/v1/payment-batches/{self.batch_id}")
        self.post(
            self.town.boss,
            f"/v1/payment-batches/{self.batch_id}/deliveries",
            {"hash_seen": sha256(self.handed_out[0].data).hexdigest()[:8]},
            headers={"If-Match": f'"r{batch["revision"]}"'},
        )

    def upload_report(self) -> None:
        """Upload the bank's word that every line but the last was settled."""
        batch, lines = self.get(f"/v1/payment-batches/{self.batch_id}"), self.lines()
        message_id = batch["file"]["message_id"]
        settled = [Line(end_to_end_id=each["end_to_end_id"], status="ACSC") for each in lines[:-1]]
        blocks = (Block(id=f"{message_id}-1", lines=settled),)
        report = Report(message_id=f"BANK-{self.run_id}", original_message_id=message_id, blocks=blocks)
        answer = self.until_answered(
            lambda: self.town.boss.call(
                "POST", "/v1/status-reports", content=report.bytes(), headers={"Content-Type": "application/xml"}
            )
        )
        assert answer.status_code == 201, f"report: {answer.text}"

    def state_refusal(self, person: Person, expected: int) -> None:
        """Say that the bank refused the last line; the second person who says so frees it."""
        body = {
            "statement": "refused",
            "reason": "On the bank's list of refusals",
            "transfer_ids": [self.lines()[-1]["id"]],
            "reason_code": "AC04",
        }
        self.post(person, f"/v1/payment-batches/{self.batch_id}/statements", body, expected=expected)

    def make_follow_up(self) -> None:
        """Offer the refused line again."""
        body = {"transfer_ids": [self.lines()[-1]["id"]]}
        self.follow_up_id = self.post(self.town.boss, "/v1/follow-up-batches", body)["id"]

    # -------------------------------------------------------------------------------------------------------- requests

    def lines(self) -> list[dict[str, Any]]:
        """Return the lines of the first batch."""
        found: list[dict[str, Any]] = self.get(f"/v1/payment-batches/{self.batch_id}/transfers")["items"]
        return found

    def get(self, path: str) -> Any:
        """Look at something."""
        answer = self.until_answered(lambda: self.town.boss.get(path))
        assert answer.status_code == 200, f"{path}: {answer.text}"
        return answer.json()

    def post(
        self,
        person: Person,
        path: str,
        body: Mapping[str, Any],
        *,
        expected: int = 201,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Act, with one key until it is answered; return the answer."""
        sent = {**(headers or {}), "Idempotency-Key": str(uuid4())}
        answer = self.until_answered(lambda: person.post(path, body, headers=sent))
        assert answer.status_code == expected, f"{path}: {answer.status_code} {answer.text}"
        found: dict[str, Any] = answer.json()
        return found

    def until_answered(self, ask: Callable[[], Any]) -> Any:
        """Ask until there is an answer; start the service again when it is found dead, wait when its database is."""
        while True:
            self.revive()
            try:
                answer = ask()
            except httpx.TransportError:
                until(lambda: not self.is_alive(), "the service to be dead, as its silence says", seconds=20)
                continue
            if not _is_put_off(answer):
                return answer
            self.put_off += 1
            self.town.service.wait_until_ready()

    def is_alive(self) -> bool:
        """Whether the service runs."""
        process = self.town.service.process
        return process is not None and process.poll() is None

    def revive(self) -> None:
        """Start the service when it is dead."""
        if not self.is_alive():
            self.restarts += 1
            self.town.service.start()


def _is_put_off(answer: Any) -> bool:
    return bool(answer.status_code == httpx.codes.SERVICE_UNAVAILABLE) and "database_unavailable" in str(answer.text)


def begin_payday(town: Town, second: Person, is_busy: Callable[[], bool]) -> Payday:
    """Finish a run at Nmbrs, and nothing more."""
    return Payday(town=town, second=second, run_id=town.finish_run(lines=LINES), is_busy=is_busy)


def add_second_approver(town: Town) -> Person:
    """Have two people approve from the first cent on; return the second."""
    employer = UUID(town.boss.get("/v1/employers").json()[0]["id"])
    tiers = {"tiers": [{"from": {"amount": "0.00"}, "required": 2}]}
    second = add_person(town.ctx, town.boss.client, employer, (Role.APPROVER,), email="second@demo.example")
    assert town.boss.call("PUT", f"/v1/employers/{employer}/approval-policy", json=tiers).status_code == 200
    return second
