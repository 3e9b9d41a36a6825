"""The bank's side of the demo: what a person does in internet banking, done over the simulated bank's own calls."""

from datetime import UTC, datetime, time
from typing import Any

import httpx

from app.cli.demo_processes import DemoFailed, say
from app.core.clock import AMSTERDAM, utc_now
from app.core.money import dutch, text_to_cents

_NOON = time(12, 0, tzinfo=AMSTERDAM)


class DemoBank:
    """A simulated bank, as the person who hands a file in sees it. `DemoFailed` when it refuses something."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url

    def hand_in(self, name: str, data: bytes) -> dict[str, Any]:
        """Upload a file and show what the bank's screen shows, the file's SHA-256 among it."""
        upload: dict[str, Any] = self._ask("POST", "/files", content=data, params={"file_name": name}).json()
        total = dutch(text_to_cents(upload["total"]))
        say(f"Handed in at the simulated bank, which shows {upload['number']} payments, {total},")
        say(f"  SHA-256 {upload['sha256'][:16]}..., state {upload['state']}")
        return upload

    def sign(self, upload_id: int) -> None:
        """Sign the upload, as the bank asks before it pays."""
        upload = self._ask("POST", f"/uploads/{upload_id}/signatures", json={"by": "Demo Werkgever"}).json()
        say(f"Signed at the bank by {', '.join(upload['signed_by'])}: {upload['state']}")

    def come_to(self, day: str, upload_id: int) -> None:
        """Put the bank's clock at noon of the execution date, and see that the bank has paid."""
        noon = datetime.combine(datetime.fromisoformat(day), _NOON).astimezone(UTC)
        if noon > utc_now():
            self._ask("PUT", "/_control/clock", json={"now": noon.isoformat()})
            say(f"The bank's clock is put at {day} 12:00, the execution date")
        state = self._ask("GET", f"/uploads/{upload_id}").json()["state"]
        if state != "executed":
            raise DemoFailed(f"The bank did not execute the file; it is {state}.")
        ledger = self._ask("GET", "/ledger").json()
        if ledger["doubles"]:
            raise DemoFailed("The bank paid somebody twice.")
        total = dutch(text_to_cents(ledger["total"]))
        say(f"The bank executed {ledger['number']} payments, {total}, none of them twice")

    def report(self, upload_id: int) -> bytes:
        """Download the status report (pain.002) that says that everything was executed."""
        return self._ask("GET", f"/uploads/{upload_id}/report", params={"flavour": "settled"}).content

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        answer = httpx.request(method, f"{self.base_url}{path}", trust_env=False, timeout=60, **options)
        if answer.is_error:
            raise DemoFailed(f"The bank refuses {method} {path}: {answer.status_code} {answer.text}")
        return answer
