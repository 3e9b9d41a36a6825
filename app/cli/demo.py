"""The demo: the main job on an empty machine, with a simulated Nmbrs, real PostgreSQL and real sockets.

It runs the service as a process of its own, sets everything up as an operator and an employer would, and shows each
step as it happens. Everything lives in a temporary folder, and nothing is left running.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import click
import httpx

from app.auth import people
from app.auth.models import OrganizationKind, Role, Scope
from app.auth.people import Act
from app.cli.runtime import database, with_local_keys
from app.core.clock import amsterdam_date, utc_now
from app.core.database import create_engine, transaction
from app.core.history import OPERATOR
from app.core.ids import new_id
from app.core.settings import Environment, Settings

_SIMULATOR_READY = "nmbrs-simulator listening on "
_COMPANY = 2100
_RUN = 41001
_DEBTOR_IBAN = "NL91ABNA0417164300"
_HOLDER = "Nmbrs Amsterdam BV"
_PATIENCE_SECONDS = 60.0


class DemoFailed(click.ClickException):
    """A step of the demo did not do what it should; its text says which."""


@click.command()
@click.option("--exit", "leave", is_flag=True, help="Also approve, write the file and the history, and end.")
@click.option(
    "--output", type=click.Path(file_okay=False, path_type=Path), default=Path("demo-output"), show_default=True
)
def demo(*, leave: bool, output: Path) -> None:
    """Show the main job: Run Einde becomes an approved SEPA file."""
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
            stage.write_out(batch["id"], output)
            click.echo("Done.")
        else:
            stage.stay(batch)


def _say(text: str) -> None:
    click.echo(f"{utc_now().astimezone():%H:%M:%S}  {text}")


class Stage:
    """What the demo plays on: a simulated Nmbrs, the service, and the employer who approves."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._pin = f"{secrets.randbelow(900_000) + 100_000}"
        while len(set(self._pin)) == 1 or self._pin in {"123456", "654321"}:
            self._pin = f"{secrets.randbelow(900_000) + 100_000}"
        _say("Starting a simulated Nmbrs (administration 9969, salary run April 2020, 8 payments)")
        self._nmbrs = stack.enter_context(_simulated_nmbrs(folder))
        self._settings = with_local_keys(
            Settings(environment=Environment.DEMO, data_dir=folder / "data", nmbrs_soap_url=f"{self._nmbrs}/soap/v3")
        )
        _say("Starting PostgreSQL (embedded), migrations, service and worker")
        self._where = stack.enter_context(database(self._settings))
        self.base_url = stack.enter_context(_running_service(self._settings, folder))
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
        engine = create_engine(self._where.app_url, pool_size=2, history_keys=self._settings.history_keys)
        act = Act(actor=OPERATOR, now=utc_now(), new_id=new_id)
        with transaction(engine) as session:
            employer = people.add_organization(session, act, kind=OrganizationKind.EMPLOYER, name="Demo BV")
            user = people.add_user(session, act, email="werkgever@demo.example", name="Demo Werkgever")
            for role in (Role.ADMIN, Role.APPROVER):
                people.add_membership(session, act, user=user, organization_id=employer.id, role=role)
            people.set_first_pin(session, act, user=user, pin=self._pin)
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
        _say(f"Employer Demo BV pays from {_DEBTOR_IBAN}, confirmed, at most EUR 25.000,00 a batch")
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
        _say(f"Administration {administration['number']} {administration['name']} linked, live since yesterday")

    def _check(self, connection_id: str) -> None:
        checked = self.ask("POST", f"/v1/connections/{connection_id}/check")
        for check in checked["checks"]:
            _say(f"  Test: {check['operation']}: {check['outcome']}")
        if checked["state"] != "passed":
            raise DemoFailed("The connection did not pass its check.")
        _say("Connection passed its check")

    def post_run_einde(self) -> None:
        """Have the simulated Nmbrs post its webhook."""
        _say("Nmbrs posts Run Einde to the webhook address")
        sent = httpx.post(
            f"{self._nmbrs}/_control/webhooks",
            json={"company_id": _COMPANY, "run_ids": [_RUN], "url": self._webhook_url},
            trust_env=False,
            timeout=60,
        )
        sent.raise_for_status()
        status = sent.json()[0]["attempts"][-1]["status"]
        _say(f"Webhook answered with {status}")

    def show_pending_batch(self) -> dict[str, Any]:
        """Wait for the batch and show it as an approver would look at it."""
        batches = _until(lambda: self.ask("GET", "/v1/payment-batches?status=pending"), "a pending batch")
        batch: dict[str, Any] = batches[0]
        total = batch["control_sum"]["amount"]
        _say(
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
                _say(f"Confirmed: {finding['message_nl']}")

    def approve(self, batch: dict[str, Any]) -> None:
        """Approve what was shown, with the PIN."""
        approved = self.ask(
            "POST",
            f"/v1/payment-batches/{batch['id']}/approvals",
            headers={"If-Match": f'"r{batch["revision"]}"', "Idempotency-Key": "demo-approval"},
            json={"digest": batch["digest"], "pin": self._pin},
        )
        _say(f"Approved with PIN on digest {batch['digest'][:8]}; file {approved['file']['message_id']} stored")

    def write_out(self, batch_id: str, output: Path) -> None:
        """Hand the file out, say that it is at the bank, and write the history."""
        output.mkdir(parents=True, exist_ok=True)
        answer = self.ask("GET", f"/v1/payment-batches/{batch_id}/file")
        batch = self.ask("GET", f"/v1/payment-batches/{batch_id}")
        file = batch["file"]
        if sha256(answer.content).hexdigest() != file["sha256"]:
            raise DemoFailed("The bytes handed out are not the bytes that were stored.")
        path = output / f"{file['message_id']}.xml"
        path.write_bytes(answer.content)
        _say(f"SEPA file {path}: {file['schema']}, {len(answer.content)} bytes, SHA-256 {file['sha256'][:16]}...")
        delivered = self.ask(
            "POST",
            f"/v1/payment-batches/{batch_id}/deliveries",
            headers={"If-Match": f'"r{batch["revision"]}"'},
            json={"note": "Uploaded in internet banking", "hash_seen": sha256(answer.content).hexdigest()[:8]},
        )
        _say(f"The employer says it is at the bank: status {delivered['status']}")
        history = self.ask("GET", "/v1/history?format=csv")
        (output / "history.csv").write_bytes(history.content)
        lines = history.content.decode("utf-8-sig").splitlines()
        _say(f"History {output / 'history.csv'}: {len(lines) - 1} records, the newest:")
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
            f"\nCtrl-C ends the demo and everything it started."
        )
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            click.echo("\nThe demo ended.")


def _until(look: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.2)
    raise DemoFailed(f"Waited {_PATIENCE_SECONDS:.0f} seconds for {what}; it did not come.")


@contextmanager
def _simulated_nmbrs(folder: Path) -> Iterator[str]:
    """Run the simulator as a process and give its address."""
    data = Path(__file__).parents[2] / "simulators" / "nmbrs" / "demo.json"
    with _process(["-m", "simulators.nmbrs", "--port", "0", "--data", str(data)], folder / "nmbrs.log") as process:
        yield _first_line(process, folder / "nmbrs.log", _SIMULATOR_READY)


@contextmanager
def _running_service(settings: Settings, folder: Path) -> Iterator[str]:
    """Run `serve` as a process on a free port and give its address once it is ready."""
    port = _free_port()
    base_url = f"http://127.0.0.1:{port}"
    variables = {
        "LOONSTROOM_ENVIRONMENT": settings.environment.value,
        "LOONSTROOM_DATA_DIR": str(settings.data_dir),
        "LOONSTROOM_NMBRS_SOAP_URL": settings.nmbrs_soap_url,
        "LOONSTROOM_PUBLIC_URL": base_url,
        "LOONSTROOM_PORT": str(port),
    }
    log = folder / "service.log"
    with _process(["-m", "app.cli", "serve"], log, variables) as process:
        _until(lambda: _is_ready(process, base_url, log), "the service")
        yield base_url


def _is_ready(process: subprocess.Popen[bytes], base_url: str, log: Path) -> bool:
    if process.poll() is not None:
        raise DemoFailed(f"The service ended at once:\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
    try:
        return httpx.get(f"{base_url}/readyz", trust_env=False, timeout=5).is_success
    except httpx.TransportError:
        return False


@contextmanager
def _process(
    arguments: list[str], log: Path, variables: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python in a process of its own; end it, by id, on leaving."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LOONSTROOM_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=Path(__file__).parents[2],
            env={**clean, **(variables or {})},
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _first_line(process: subprocess.Popen[bytes], log: Path, beginning: str) -> str:
    """Return what follows this beginning in the log, once it is there."""

    def look() -> str | None:
        if process.poll() is not None:
            raise DemoFailed(f"It ended at once:\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line.removeprefix(beginning).strip() for line in lines if line.startswith(beginning)), None)

    return str(_until(look, "the simulator"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
