"""The demo: the main job on an empty machine, with a simulated Nmbrs and bank, real PostgreSQL and real sockets.

It runs the service as a process of its own, sets everything up as an operator and an employer would, and shows each
step as it happens. Everything lives in a temporary folder, and nothing is left running.
"""

import secrets
import shutil
import tempfile
import time
from contextlib import ExitStack
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import click
import httpx

from app.auth import people
from app.auth.models import OrganizationKind, Role, Scope
from app.auth.people import Act
from app.cli.demo_bank import DemoBank
from app.cli.demo_processes import DemoFailed, running_service, say, simulated, until
from app.cli.runtime import database, with_local_keys
from app.core.clock import amsterdam_date, utc_now
from app.core.database import create_engine, transaction
from app.core.history import OPERATOR
from app.core.ids import new_id
from app.core.settings import Environment, Settings

_COMPANY = 2100
_RUN = 41001
_DEBTOR_IBAN = "NL91ABNA0417164300"
_HOLDER = "Nmbrs Amsterdam BV"
_NMBRS_DATA = Path(__file__).parents[2] / "simulators" / "nmbrs" / "demo.json"


@click.command()
@click.option(
    "--exit", "leave", is_flag=True, help="Also approve, pay at the simulated bank, write files and history, and end."
)
@click.option(
    "--output", type=click.Path(file_okay=False, path_type=Path), default=Path("demo-output"), show_default=True
)
def demo(*, leave: bool, output: Path) -> None:
    """Show the main job: Run Einde becomes an approved SEPA file, which the bank executes."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="loonstroom-demo-"))
        folder.chmod(0o711)  # run by root, PostgreSQL is another user and must pass through
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stage = Stage(stack, folder)
        stage.set_up()
        stage.post_run_einde()
        batch = stage.show_pending_batch()
        if leave:
            stage.acknowledge(batch)
            stage.approve(batch)
            stage.hand_in(batch["id"], output)
            stage.hear_from_bank(batch["id"], output)
            stage.show_history(output)
            click.echo("Done.")
        else:
            stage.stay(batch)


class Stage:
    """What the demo plays on: a simulated Nmbrs and bank, the service, and the employer who approves."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._pin = f"{secrets.randbelow(900_000) + 100_000}"
        while len(set(self._pin)) == 1 or self._pin in {"123456", "654321"}:
            self._pin = f"{secrets.randbelow(900_000) + 100_000}"
        say("Starting a simulated Nmbrs (administration 9969, salary run April 2020, 8 payments)")
        self._nmbrs = stack.enter_context(simulated("nmbrs", folder, "--data", str(_NMBRS_DATA)))
        say("Starting a simulated bank, where the file is handed in")
        self._bank = DemoBank(stack.enter_context(simulated("bank", folder)))
        self._settings = with_local_keys(
            Settings(environment=Environment.DEMO, data_dir=folder / "data", nmbrs_soap_url=f"{self._nmbrs}/soap/v3")
        )
        say("Starting PostgreSQL (embedded), migrations, service and worker")
        self._where = stack.enter_context(database(self._settings))
        self.base_url = stack.enter_context(running_service(self._settings, folder))
        self._token = self._add_employer_admin()
        self._api = stack.enter_context(
            httpx.Client(
                base_url=self.base_url,
                headers={"Authorization": f"Bearer {self._token}"},
                trust_env=False,
                timeout=60,
            )
        )

    def _add_employer_admin(self) -> str:
        """Do what `./run cli employer add`, `user add` and `token issue` do."""
        engine = create_engine(
            self._where.app_url, pool_size=2, history_keys=self._settings.history_keys, is_service=True
        )
        act = Act(actor=OPERATOR, now=utc_now(), new_id=new_id)
        with transaction(engine) as session:
            employer = people.add_organization(session, act, kind=OrganizationKind.EMPLOYER, name="Demo BV")
            user = people.add_user(session, act, email="werkgever@demo.example", name="Demo Werkgever")
            for role in (Role.ADMIN, Role.APPROVER):
                people.add_membership(session, act, user=user, organization_id=employer.id, role=role)
            people.set_first_pin(session, act, user=user, pin=self._pin, secret=self._settings.identifier_secret)
            issued = people.issue_token(session, act, user=user, scopes=frozenset(Scope), days=1)
            self._employer = str(employer.id)
        engine.dispose()
        return issued.token

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """Call the REST API; `DemoFailed` with the service's own words when it refuses."""
        answer = self._api.request(method, path, **options)
        if answer.is_error:
            raise DemoFailed(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if "json" in answer.headers.get("content-type", "") else answer

    def set_up(self) -> None:
        """Account, limit, connection, check, link: once for each employer in real life."""
        account = self.ask(
            "POST",
            f"/v1/employers/{self._employer}/debtor-accounts",
            json={"iban": _DEBTOR_IBAN, "holder_name": _HOLDER},
        )
        self.ask(
            "POST",
            f"/v1/debtor-accounts/{account['id']}/confirmation",
            json={
                "holder_name": _HOLDER,
                "authorised_person": "Demo Werkgever",
                "evidence": "Example: extract of the trade register",
            },
        )
        self.ask(
            "PUT",
            f"/v1/debtor-accounts/{account['id']}/payment-limit",
            json={"per_batch": {"amount": "25000.00", "currency": "EUR"}},
        )
        say(f"Employer Demo BV pays from {_DEBTOR_IBAN}, confirmed, at most EUR 25.000,00 a batch")
        connection = self.ask(
            "POST",
            "/v1/connections",
            json={
                "organization_id": self._employer,
                "kind": "nmbrs_soap",
                "username": "salaris@demo.example",
                "token": "demo-token-not-a-secret",
                "domain": "demo",
            },
        )
        self._webhook_url = connection["webhook_url"]
        self._check(connection["id"])
        found = self.ask("GET", f"/v1/connections/{connection['id']}/administrations")
        administration = next(each for each in found if each["number"] == "9969")
        self.ask(
            "PUT",
            f"/v1/administrations/{administration['id']}/link",
            json={
                "employer_id": self._employer,
                "debtor_account_id": account["id"],
                "go_live_on": (amsterdam_date(utc_now()) - timedelta(days=1)).isoformat(),
                "mode": "live",
            },
        )
        say(f"Administration {administration['number']} {administration['name']} linked, live since yesterday")

    def _check(self, connection_id: str) -> None:
        checked = self.ask("POST", f"/v1/connections/{connection_id}/check")
        for check in checked["checks"]:
            say(f"  Test: {check['operation']}: {check['outcome']}")
        if checked["state"] != "passed":
            raise DemoFailed("The connection did not pass its check.")
        say("Connection passed its check")

    def post_run_einde(self) -> None:
        """Have the simulated Nmbrs post its webhook."""
        say("Nmbrs posts Run Einde to the webhook address")
        sent = httpx.post(
            f"{self._nmbrs}/_control/webhooks",
            json={"company_id": _COMPANY, "run_ids": [_RUN], "url": self._webhook_url},
            trust_env=False,
            timeout=60,
        )
        sent.raise_for_status()
        status = sent.json()[0]["attempts"][-1]["status"]
        say(f"Webhook answered with {status}")

    def show_pending_batch(self) -> dict[str, Any]:
        """Wait for the batch and show it as an approver would look at it."""
        batches = until(lambda: self.ask("GET", "/v1/payment-batches?status=pending"), "a pending batch")
        batch: dict[str, Any] = batches[0]
        total = batch["control_sum"]["amount"]
        say(
            f"Betaalbatch waits for approval: {batch['number_of_transactions']} payments, EUR {total}, "
            f"execution {batch['requested_execution_date']}, revision {batch['revision']}"
        )
        for line in self.ask("GET", f"/v1/payment-batches/{batch['id']}/transfers")["items"]:
            creditor = line["creditor"]
            click.echo(f"            {creditor['name']:28} {creditor['iban']}  {line['amount']['amount']:>9}")
        for finding in self.ask("GET", f"/v1/payment-batches/{batch['id']}/findings"):
            click.echo(f"            {finding['severity']}: {finding['message_nl']}")
        limit = batch["limit"]["per_batch"]
        click.echo(f"            limit EUR {limit['limit']['amount']}, digest {batch['digest'][:8]}...")
        return batch

    def acknowledge(self, batch: dict[str, Any]) -> None:
        """Confirm by name what the approver was asked: the first batch of an administration is compared by a person."""
        path = f"/v1/payment-batches/{batch['id']}/findings"
        for finding in self.ask("GET", path):
            if finding["needs_acknowledgement"]:
                self.ask("POST", f"{path}/{finding['id']}/acknowledgement", json={"note": "Compared with last month"})
                say(f"Confirmed: {finding['message_nl']}")

    def approve(self, batch: dict[str, Any]) -> None:
        """Approve what was shown, with the PIN."""
        approved = self.ask(
            "POST",
            f"/v1/payment-batches/{batch['id']}/approvals",
            headers={"If-Match": f'"r{batch["revision"]}"', "Idempotency-Key": "demo-approval"},
            json={"digest": batch["digest"], "pin": self._pin},
        )
        say(f"Approved with PIN on digest {batch['digest'][:8]}; file {approved['file']['message_id']} stored")

    def hand_in(self, batch_id: str, output: Path) -> None:
        """Fetch the stored file, hand it in at the bank, and say so with the hash that the bank shows."""
        output.mkdir(parents=True, exist_ok=True)
        answer = self.ask("GET", f"/v1/payment-batches/{batch_id}/file")
        batch = self.ask("GET", f"/v1/payment-batches/{batch_id}")
        file = batch["file"]
        if sha256(answer.content).hexdigest() != file["sha256"]:
            raise DemoFailed("The bytes handed out are not the bytes that were stored.")
        path = output / f"{file['message_id']}.xml"
        path.write_bytes(answer.content)
        say(f"SEPA file {path}: {file['schema']}, {len(answer.content)} bytes, SHA-256 {file['sha256'][:16]}...")
        self._upload = self._bank.hand_in(path.name, answer.content)
        delivered = self.ask(
            "POST",
            f"/v1/payment-batches/{batch_id}/deliveries",
            headers={"If-Match": f'"r{batch["revision"]}"', "Idempotency-Key": "demo-delivery"},
            json={"note": "Uploaded in internet banking", "hash_seen": self._upload["sha256"][:8]},
        )
        say(f"The employer says it is at the bank, with the hash seen there: status {delivered['status']}")

    def hear_from_bank(self, batch_id: str, output: Path) -> None:
        """Sign at the bank, let its execution date come, and bring its status report home."""
        batch = self.ask("GET", f"/v1/payment-batches/{batch_id}")
        self._bank.sign(self._upload["id"])
        self._bank.come_to(batch["requested_execution_date"], self._upload["id"])
        report = self._bank.report(self._upload["id"])
        path = output / f"{batch['file']['message_id']}.pain.002.xml"
        path.write_bytes(report)
        headers = {"Content-Type": "application/xml"}
        taken = self.ask("POST", "/v1/status-reports", headers=headers, content=report)
        settled, status = taken["lines"].get("settled", 0), taken["batch"]["status"]
        say(f"Status report {path} uploaded: {settled} lines executed, batch {status}")
        if status != "executed":
            raise DemoFailed(f"The bank executed everything, but the batch is {status}.")

    def show_history(self, output: Path) -> None:
        """Write the history as CSV and show its newest records."""
        history = self.ask("GET", "/v1/history?format=csv")
        (output / "history.csv").write_bytes(history.content)
        lines = history.content.decode("utf-8-sig").splitlines()
        say(f"History {output / 'history.csv'}: {len(lines) - 1} records, the newest:")
        for line in lines[1:7]:
            click.echo(f"            {line}")

    def stay(self, batch: dict[str, Any]) -> None:
        """Print where to look and with what, and stay until Ctrl-C."""
        findings = f"/v1/payment-batches/{batch['id']}/findings"
        asked = [
            f"\n  curl -X POST {self.base_url}{findings}/{finding['id']}/acknowledgement \\"
            f"\n    -H 'Authorization: Bearer {self._token}' -H 'Content-Type: application/json' -d '{{}}'"
            for finding in self.ask("GET", findings)
            if finding["needs_acknowledgement"]
        ]
        click.echo(
            f"\nThe service is at {self.base_url}/docs"
            f"\n  token  {self._token}"
            f"\n  PIN    {self._pin}"
            f"\nConfirm what is asked:{''.join(asked)}"
            f"\nApprove the batch yourself:"
            f"\n  curl -X POST {self.base_url}/v1/payment-batches/{batch['id']}/approvals \\"
            f"\n    -H 'Authorization: Bearer {self._token}' -H 'If-Match: \"r{batch['revision']}\"' \\"
            f"\n    -H 'Content-Type: application/json' "
            f'-d \'{{"digest": "{batch["digest"]}", "pin": "{self._pin}"}}\''
            f"\nFetch the file (GET .../file) and hand it in at the simulated bank, {self._bank.base_url}"
            f"\n  curl --data-binary @FILE {self._bank.base_url}/files"
            f"\nIts other calls (sign, clock, status report): docs/bank-simulator.md"
            f"\nCtrl-C ends the demo and everything it started."
        )
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            click.echo("\nThe demo ended.")
