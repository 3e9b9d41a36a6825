"""schemathesis as a process over the running service, with a token that is good and ids that exist."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.end_to_end.town import Town
from tests.proofs.hostile import ids_of

# Left out: positive_data_acceptance. A request of the right form may still be refused here: 428 without If-Match, 409
# at the wrong moment, 422 by a rule of money (a limit, a bank day, a PIN) that no schema can say.
_CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection,unsupported_method,missing_required_header,ignored_auth"
)
# What is wrong may be too large first: a body with too many ids (413), an address with a parameter that is repeated
# (414), a header (431). These are refusals as well, which schemathesis does not count as such.
_SETTINGS = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 408, 409, 413, 414, 415, 422, 428, 429, 431]
"""


_CASES = re.compile(r"Test cases:\n +([0-9]+) generated, ([0-9]+) passed\n")


def cases_in(done: subprocess.CompletedProcess[str]) -> int:
    """Return how many calls were made; an assertion when any was not as documented."""
    lines = done.stdout.partition("= WARNINGS =")[0].splitlines()
    report = "\n".join(line[:300] for line in lines)  # a generated body can be very long
    assert done.returncode == 0, report[-8000:] + done.stderr[-1000:]
    assert "Unresolvable references" not in done.stdout
    found = _CASES.search(done.stdout)
    assert found is not None, done.stdout[-1000:]
    made, passed = map(int, found.groups())
    assert made == passed
    return made


def generated_calls(town: Town, folder: Path, *, examples: int, seed: int) -> subprocess.CompletedProcess[str]:
    """Call every operation with so many generated examples, right and wrong; exit code 0 when all was as documented."""
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "tests.http.hooks",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "LOONSTROOM_TEST_IDS": json.dumps(ids_of(town)),
    }
    settings = folder / "schemathesis.toml"
    settings.write_text(_SETTINGS, encoding="utf-8")
    return subprocess.run(
        [
            *(str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(settings)),
            *("run", f"{town.service.base_url}/openapi.json"),
            *("--header", f"Authorization: Bearer {town.boss.token}"),
            *("--phases", "examples,coverage,fuzzing", "--max-examples", str(examples), "--seed", str(seed)),
            *("--checks", _CHECKS, "--suppress-health-check", "all", "--no-color", "--workers", "1"),
        ],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=540 + 60 * examples,
        check=False,
    )
