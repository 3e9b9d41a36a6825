"""Ask whether a known weakness exists in any locked package, and fail unless every one of them was really asked about.

    python -m tools.audit --program .venv-audit/bin/pip-audit

pip-audit passes over what its index does not know and still ends well. Here what was passed over, left out or audited
in another version is a failure as much as a weakness is.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.locked import ROOT, Pin, pins

LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-uv.lock", "requirements-audit.lock")
_SECONDS = 900


def faults(asked: Iterable[Pin], report: Mapping[str, Any]) -> list[str]:
    """Return what is wrong, one sentence each: weaknesses, and packages about which nothing was found out."""
    found = list(report.get("dependencies", []))
    skipped = {each["name"]: each["skip_reason"] for each in found if "skip_reason" in each}
    audited = {(each["name"], each["version"]): each["vulns"] for each in found if "vulns" in each}
    return [fault for pin in asked for fault in _faults_of(pin, skipped, audited)]


def _faults_of(
    pin: Pin, skipped: Mapping[str, str], audited: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]
) -> Iterator[str]:
    weaknesses = audited.get((pin.name, pin.version))
    if weaknesses is None:
        yield f"{pin.name} {pin.version} was not audited: {skipped.get(pin.name, 'the report does not name it')}"
    for each in weaknesses or ():
        mended = ", ".join(each.get("fix_versions", ())) or "no version yet"
        yield f"{pin.name} {pin.version} has {each['id']}; mended in {mended}"


def audit(program: Path, asked: Sequence[Pin]) -> Mapping[str, Any]:
    """Return what pip-audit reports on these packages; without a report the program ends with its words."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.writelines(f"{pin.name}=={pin.version}\n" for pin in asked)
        file.flush()
        options = ("--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off")
        done = subprocess.run(
            [str(program), "--requirement", file.name, *options],
            check=False,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
    try:
        report: Mapping[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError:
        sys.exit(f"audit: pip-audit gave no report (exit code {done.returncode}):\n{done.stderr.strip()}")
    return report


def rounds(locked: Iterable[Pin]) -> list[list[Pin]]:
    """Divide packages so that none is asked about in two versions at once."""
    divided: list[list[Pin]] = []
    for pin in sorted(set(locked)):
        free = next((each for each in divided if all(pin.name != other.name for other in each)), None)
        if free is None:
            divided.append([pin])
        else:
            free.append(pin)
    return divided


def main(arguments: Sequence[str]) -> int:
    """Audit every lock; exit code 1 when something is weak or was not audited."""
    parser = argparse.ArgumentParser(prog="./run audit", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--program", type=Path, required=True, help="pip-audit")
    program = parser.parse_args(arguments).program
    locked = {(pin.name, pin.version): pin for name in LOCKS for pin in pins((ROOT / name).read_text(encoding="utf-8"))}
    wrong = [fault for asked in rounds(locked.values()) for fault in faults(asked, audit(program, asked))]
    for fault in wrong:
        print(fault)
    print(f"{len(locked)} packages asked about, {len(wrong)} faults.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
