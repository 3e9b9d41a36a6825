"""Builder: an administration of the payroll package in memory, linked to a house and read through its connection."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2

from app.payments.ports import SourceAdministration, SourceRun
from tests.contracts.fake_source import FakePayroll
from tests.payments.payroll_document import Line
from tests.support.house import House, Person, document, lines, link
from tests.support.jobs import work_off


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """A linked administration, the package that holds it, and the webhook address of its connection."""

    house: House = field(repr=False)
    payroll: FakePayroll = field(repr=False)
    source: SourceAdministration
    connection_id: str
    administration_id: str
    webhook_path: str = field(repr=False)

    def finish_run(self, rows: Iterable[Line] | None = None, **changes: Any) -> SourceRun:
        """Finish a run in the package; nothing is told or asked yet."""
        return self.payroll.add_run(self.source, document=document(rows), **changes)

    def webhook(self, **hint: Any) -> httpx2.Response:
        """Post a webhook with these fields of a hint."""
        return self.house.client.post(self.webhook_path, json=hint)

    def poll(self) -> None:
        """Ask for runs now and work everything off."""
        answer = self.house.boss.post(f"/v1/administrations/{self.administration_id}/sync")
        assert answer.status_code == 202, answer.text
        work_off(self.house.ctx)

    def batches(self) -> Sequence[dict[str, Any]]:
        """Return the batches of this administration, oldest first."""
        found = self.house.boss.get(f"/v1/payment-batches?administration_id={self.administration_id}").json()
        return list(reversed(found))

    def runs(self) -> Sequence[dict[str, Any]]:
        """Return the runs of this administration, oldest first."""
        found = self.house.boss.get(f"/v1/payroll-runs?administration_id={self.administration_id}").json()
        return list(reversed(found))

    def fetched(self, rows: Iterable[Line] | None = None, **changes: Any) -> dict[str, Any]:
        """Finish a run, have it found, confirm what is asked of its batch, and return that batch."""
        known = {batch["id"] for batch in self.batches()}
        self.finish_run(lines(3) if rows is None else rows, **changes)
        self.poll()
        (batch,) = [batch for batch in self.batches() if batch["id"] not in known]
        self.house.acknowledge_all(batch)
        return self.house.batch(batch["id"])

    def approved(self, rows: Iterable[Line] | None = None, **changes: Any) -> dict[str, Any]:
        """Have a run fetched and its batch approved."""
        batch = self.fetched(rows, **changes)
        answer = self.house.boss.approve(batch)
        assert (answer.status_code, answer.json()["status"]) == (201, "approved"), answer.text
        return self.house.batch(batch["id"])


def add_connection(person: Person, organization_id: object, payroll: FakePayroll) -> dict[str, Any]:
    """Add a connection to the package and let it pass its check; return the answer that holds its webhook address."""
    credentials = payroll.credentials
    body = {
        "organization_id": str(organization_id),
        "kind": "nmbrs_soap",
        "username": credentials.username,
        "token": credentials.secret,
        "domain": credentials.domain,
    }
    made: dict[str, Any] = person.post("/v1/connections", body).json()
    assert person.post(f"/v1/connections/{made['id']}/check").json()["state"] == "passed"
    return made


def connect(house: House, payroll: FakePayroll, *, external_id: str = "2100", **changes: Any) -> Connected:
    """Add an administration to the package and link it to the house through a connection of the employer."""
    frequency = changes.pop("frequency", None)
    source = payroll.add_administration(external_id, frequency=frequency)
    made = add_connection(house.boss, house.employer_id, payroll)
    seen = house.boss.get(f"/v1/connections/{made['id']}/administrations").json()
    administration = next(each for each in seen if each["external_id"] == external_id)
    linked = link(house.boss, administration["id"], house.employer_id, house.account_id, **changes)
    assert linked.status_code == 200, linked.text
    return Connected(
        house=house,
        payroll=payroll,
        source=source,
        connection_id=made["id"],
        administration_id=administration["id"],
        webhook_path=made["webhook_url"].replace("http://127.0.0.1:8000", ""),
    )
