"""schemathesis over the running service, with a valid token: no 5xx, and every answer as documented."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.town import Town, running_town, until
from tests.support.postgres import TestDatabase

# Left out: positive_data_acceptance. A request of the right form may still be refused here: 428 without If-Match, 409
# at the wrong moment, 422 by a rule of money (a limit, a bank day, a PIN) that no schema can say.
_CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection,unsupported_method,missing_required_header,ignored_auth"
)


def _ids(town: Town) -> dict[str, str]:
    run_id = town.finish_run()
    town.sync()
    batch = until(lambda: town.batches_of(run_id), "a batch")[0]
    employer = batch["employer"]["id"]
    connection = town.boss.post("/v1/connections", {"organization_id": employer, "kind": "upload"}).json()
    finding = town.boss.get(f"/v1/payment-batches/{batch['id']}/findings").json()[0]
    line = town.boss.get(f"/v1/payment-batches/{batch['id']}/transfers").json()["items"][0]
    return {
        "batch_id": batch["id"],
        "run_id": town.run(run_id)["id"],
        "transfer_id": line["id"],
        "finding_id": finding["id"],
        "account_id": batch["debtor_account"]["id"],
        "administration_id": town.administration_id,
        "employer_id": employer,
        "connection_id": connection["id"],
        "webhook_token": town.webhook_url.split("/")[4],
        "n": "1",
    }


@pytest.mark.slow
def test_no_call_breaks_the_service_or_the_documentation(database: TestDatabase, tmp_path: Path) -> None:
    """Hundreds of generated calls, right and wrong: never a 5xx, every status, header and body as documented."""
    with running_town(database, tmp_path) as town:
        environment = {
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.http.hooks",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "LOONSTROOM_TEST_IDS": json.dumps(_ids(town)),
        }
        done = subprocess.run(
            [
                *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{town.service.base_url}/openapi.json"),
                *("--header", f"Authorization: Bearer {town.boss.token}"),
                *("--phases", "examples,coverage,fuzzing", "--max-examples", "10", "--seed", "20261121"),
                *("--checks", _CHECKS, "--suppress-health-check", "all", "--no-color", "--workers", "1"),
            ],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=540,
            check=False,
        )
        log = town.service.log.read_text(encoding="utf-8", errors="replace")

    report = done.stdout.partition("= WARNINGS =")[0]
    assert done.returncode == 0, report[-8000:] + done.stderr[-1000:]
    assert "Unresolvable references" not in done.stdout
    assert "unforeseen_error" not in log
    assert "database_error" not in log, log[-2000:]
