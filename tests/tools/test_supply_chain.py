"""What the product is made of, and whether every part of it was asked about."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import audit
from tools.locked import Pin, UnreadableLock, pins
from tools.sbom import bill_of_materials, main, text_of

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ONE = Pin(name="one", version="1.0", hashes=("a" * 64,), wanted_by=())
TWO = Pin(name="two", version="2.0", hashes=("b" * 64,), wanted_by=("one",))


def test_every_package_of_the_lock_is_in_the_bill() -> None:
    """Name, version and every hash that the lock allows: nothing is left out, nothing is added."""
    components = bill_of_materials(LOCK, PROJECT)["components"]

    assert len(components) == len(re.findall(r"^[a-z0-9].*==", LOCK, re.MULTILINE))
    assert sum(len(each["hashes"]) for each in components) == LOCK.count("--hash=sha256:")
    for each in components:
        assert f"{each['name']}==" in LOCK
        assert each["purl"] == f"pkg:pypi/{each['name']}@{each['version']}"
        assert re.fullmatch("[0-9a-f]{64}", each["hashes"][0]["content"])


def test_the_bill_says_what_asks_for_what() -> None:
    """Each package is reached from the product; what pyproject.toml names is asked for by the product itself."""
    bill = bill_of_materials(LOCK, PROJECT)
    asks = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    product = bill["metadata"]["component"]["bom-ref"]

    reached, left = set(), [product]
    while left:
        ref = left.pop()
        if ref not in reached:
            reached.add(ref)
            left += asks[ref]

    assert reached == set(asks) == {product, *(each["bom-ref"] for each in bill["components"])}
    assert len(asks[product]) == len(PROJECT["dependencies"])


def test_nearly_every_licence_is_known() -> None:
    """The installed packages state theirs; only a package for another system is not here to ask."""
    without = [each["name"] for each in bill_of_materials(LOCK, PROJECT)["components"] if "licenses" not in each]

    assert set(without) <= {"colorama", "pywin32", "tzlocal"}


def test_the_same_lock_gives_the_same_bytes(tmp_path: Path) -> None:
    """No time and no chance in it; another lock has another serial number."""
    for name in ("one", "two"):
        assert main(["--output", str(tmp_path / name)]) == 0

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").read_text(encoding="utf-8") == text_of(bill_of_materials(LOCK, PROJECT))
    other = bill_of_materials(LOCK + "\n", PROJECT)
    assert other["serialNumber"] != bill_of_materials(LOCK, PROJECT)["serialNumber"]


@pytest.mark.parametrize(
    "text", ["one==1.0", "one>=1.0 \\\n    --hash=sha256:" + "a" * 64, "-e .", "one @ https://x.example/one.whl"]
)
def test_a_lock_that_pins_nothing_is_no_lock(text: str) -> None:
    """A package without a version or a hash is an error, not a gap."""
    with pytest.raises(UnreadableLock):
        pins(f"{text}\n")


def _report(*dependencies: dict[str, Any]) -> dict[str, Any]:
    return {"dependencies": list(dependencies), "fixes": []}


GOOD = {"name": "one", "version": "1.0", "vulns": []}
WEAK = {"name": "two", "version": "2.0", "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["2.1"]}]}


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ({"name": "two", "skip_reason": "not found on the index"}, "was not audited: not found on the index"),
        (None, "was not audited: the report does not name it"),
        ({"name": "two", "version": "1.9", "vulns": []}, "was not audited: the report does not name it"),
        (WEAK, "has PYSEC-2026-1; mended in 2.1"),
    ],
)
def test_what_was_not_asked_about_is_a_fault(second: dict[str, Any] | None, says: str) -> None:
    """Skipped, left out, another version, or weak: each is told by name."""
    report = _report(GOOD, *([] if second is None else [second]))

    assert audit.faults([ONE, TWO], report) == [f"two 2.0 {says}"]
    assert audit.faults([ONE], report) == []


def _program(folder: Path, body: str) -> Path:
    program = folder / "pip-audit"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return program


def test_a_report_that_skips_everything_and_ends_well_is_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code of the other program proves nothing."""
    program = _program(tmp_path, f"echo '{json.dumps(_report())}'; exit 0")

    assert audit.main(["--program", str(program)]) == 1
    assert f"{len(pins(LOCK))}" not in capsys.readouterr().out.splitlines()[0]


def test_a_report_on_everything_without_weaknesses_is_well(tmp_path: Path) -> None:
    """Every package of every lock, in the version that is locked."""
    program = _program(
        tmp_path,
        """printf '{"dependencies": ['
sed 's/^\\(.*\\)==\\(.*\\)$/{"name": "\\1", "version": "\\2", "vulns": []}/' "$2" | paste -s -d ,
printf ']}'""",
    )

    assert audit.main(["--program", str(program)]) == 0


def test_without_a_report_nothing_was_audited(tmp_path: Path) -> None:
    """No network, no report: the program ends with what pip-audit said."""
    with pytest.raises(SystemExit, match=r"no report .*exit code 3"):
        audit.main(["--program", str(_program(tmp_path, "echo no network >&2; exit 3"))])


def test_a_package_in_two_versions_is_asked_about_twice() -> None:
    """The locks may hold another version for another Python; neither hides the other."""
    older = Pin(name="one", version="0.9", hashes=("c" * 64,), wanted_by=())

    assert [len(each) for each in audit.rounds([ONE, older, TWO])] == [2, 1]


WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())


def test_the_workflow_does_what_a_newcomer_does_and_audits() -> None:
    """The same command as anywhere else, the audit, and the bill of materials as a file to fetch."""
    steps = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]

    assert [step["run"] for step in steps if "run" in step] == [
        ".ci/run",
        "./run sbom --output sbom.cdx.json",
        "./run audit",
    ]
    assert any("upload-artifact" in step.get("uses", "") for step in steps)


def test_the_workflow_may_only_read_and_runs_pinned_actions() -> None:
    """A tag can be moved to other code, a commit cannot; nothing may write to the repository."""
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    used = re.findall(r"uses: (\S+)(.*)", text)

    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert "permissions:" not in text.split("permissions:", 1)[1]
    assert used
    for action, comment in used:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), "which version that is, for people"
    assert text.count("persist-credentials: false") == text.count("actions/checkout@")
