"""The checker that auditors get: one file, run by Python alone, with nothing of the service within reach."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from app.core.history_sealing import seal_due
from tests.support.histories import NINE, export, record, write_key

TOOL = Path(__file__).parents[2] / "tools" / "verify_history.py"
_ORGANIZATION = uuid4()
Lines = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """An auditor's desk: the tool, an export with its key, and another organization's key."""

    folder: Path
    engine: Engine

    def check(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the tool, isolated (`-I`) and without installed packages (`-S`)."""
        command = [sys.executable, "-I", "-S", "verify_history.py", *arguments]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, encoding="utf-8", check=False, env={}
        )

    def rewrite(self, change: Callable[[Lines], object]) -> None:
        """Change the lines of the export."""
        path = self.folder / "export.jsonl"
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        change(lines)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


@pytest.fixture
def desk(engine: Engine, tmp_path: Path) -> Desk:
    """Five records: four and a seal between them."""
    shutil.copy(TOOL, tmp_path)
    record(engine, _ORGANIZATION, ["batch.made", "batch.approved"])
    seal_due(engine, NINE + timedelta(days=1))
    record(engine, _ORGANIZATION, ["file.handed_out", "batch.delivered"], moment=NINE + timedelta(days=1))
    export(engine, _ORGANIZATION, tmp_path / "export.jsonl")
    write_key(engine, _ORGANIZATION, tmp_path / "key")
    write_key(engine, uuid4(), tmp_path / "other-key")
    return Desk(folder=tmp_path, engine=engine)


def test_an_untouched_export_holds(desk: Desk) -> None:
    """With the key everything is checked; without it the macs are not, and the answer says so."""
    with_key = desk.check("export.jsonl", "--key-file", "key")
    without = desk.check("export.jsonl")

    assert (with_key.returncode, without.returncode) == (0, 0), with_key.stdout + with_key.stderr + without.stderr
    assert "5 records" in with_key.stdout
    assert "macs hold" in with_key.stdout
    assert "macs were NOT checked" in without.stdout


def test_the_tool_needs_nothing_but_python() -> None:
    """It imports the standard library only, so it can be read and run anywhere."""
    imported = {line.split()[1] for line in TOOL.read_text().splitlines() if line.startswith(("import ", "from "))}

    assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names


def _set(index: int, **values: object) -> Callable[[Lines], object]:
    return lambda lines: lines[index].update(values)


def _other_amount(lines: Lines) -> None:
    lines[2]["payload"] = lines[2]["payload"].replace('"amount":100', '"amount":900')


def _swap(lines: Lines) -> None:
    lines[1], lines[2] = {**lines[2], "sequence": 1}, {**lines[1], "sequence": 2}


def _double(lines: Lines) -> None:
    lines.insert(3, lines[2])


def _cut(lines: Lines) -> None:
    del lines[4:6]


def _drop(lines: Lines) -> None:
    del lines[3]


@pytest.mark.parametrize(
    ("change", "place", "words"),
    [
        (_other_amount, 2, "altered"),
        (_swap, 1, "altered"),
        (_double, 3, "missing"),
        (_drop, 3, "missing"),
        (_cut, 4, "missing"),
        (_set(3, mac="00" * 32), 3, "forged"),
        (_set(3, mac=None, key_id=None), 3, "no mac"),
        (_set(3, key_id="h9"), 3, "not in the key file"),
        (_set(3, hash="00" * 32), 3, "altered"),
        (_set(6, sequence=4), 5, "head"),
        (_set(6, mac="00" * 32), 5, "head"),
        (_set(6, hash="00" * 32), 5, "head"),
        (_set(6, sealed_sequence=0), 5, "head"),
        (_set(0, organization_id="0"), 1, "another organization"),
    ],
)
def test_what_was_changed_is_named_with_its_place(desk: Desk, change: Any, place: int, words: str) -> None:
    """Exit code 1, the number of the first record that does not hold, and why."""
    desk.rewrite(change)

    done = desk.check("export.jsonl", "--key-file", "key")

    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.startswith(f"BROKEN at record {place}: ")
    assert words in done.stdout


def test_a_history_rewritten_without_the_key_holds_only_without_the_key(desk: Desk) -> None:
    """Whoever makes every plain hash anew fools who checks those alone; the macs show it."""
    desk.rewrite(_forge)

    assert desk.check("export.jsonl").returncode == 0
    assert "BROKEN at record 2: forged" in desk.check("export.jsonl", "--key-file", "key").stdout


def _forge(lines: Lines) -> None:
    _other_amount(lines)
    plain = bytes(32)
    for line in lines[1:6]:
        if '"history.sealed"' in line["payload"]:
            payload = json.loads(line["payload"])
            payload["details"]["hash"] = plain.hex()
            line["payload"] = json.dumps(payload, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        plain = sha256(plain + line["payload"].encode()).digest()
        line["hash"] = plain.hex()
    lines[6]["hash"] = plain.hex()


def test_the_key_of_another_organization_does_not_fit(desk: Desk) -> None:
    """Macs are bound to the organization."""
    assert "BROKEN at record 1: forged" in desk.check("export.jsonl", "--key-file", "other-key").stdout


def test_an_earlier_export_shows_an_end_that_was_cut_off(desk: Desk) -> None:
    """A shorter history that holds by itself does not hold against the head of a longer one."""
    shutil.copy(desk.folder / "export.jsonl", desk.folder / "kept.jsonl")
    desk.rewrite(_cut_with_head)

    alone = desk.check("export.jsonl", "--key-file", "key")
    compared = desk.check("export.jsonl", "--key-file", "key", "--expect-head", "kept.jsonl")

    assert alone.returncode == 0, alone.stdout
    assert compared.returncode == 1
    assert "BROKEN at record 4: missing" in compared.stdout


def _cut_with_head(lines: Lines) -> None:
    last = lines[3]
    del lines[4:6]
    lines[4].update(sequence=3, hash=last["hash"], mac=last["mac"], sealed_sequence=3)


def test_a_later_export_holds_against_an_earlier_one(desk: Desk) -> None:
    """A head that was kept stays true however much comes after it."""
    shutil.copy(desk.folder / "export.jsonl", desk.folder / "kept.jsonl")
    record(desk.engine, _ORGANIZATION, ["batch.made"])
    export(desk.engine, _ORGANIZATION, desk.folder / "export.jsonl")

    done = desk.check("export.jsonl", "--key-file", "key", "--expect-head", "kept.jsonl")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 earlier heads hold" in done.stdout


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json\n",
        "[]\n",
        '{"type": "record"}\n',
        '{"type": "header", "format": "another"}\n',
        '{"type": "header", "format": "loonstroom-history", "version": 1, "organization_id": "1"}\n',
        '{"type": "header", "format": "loonstroom-history", "version": 1, "organization_id": "1"}\n{"type": "head"}\n',
        (
            '{"type": "header", "format": "loonstroom-history", "version": 1, "organization_id": "1"}\n'
            '{"type": "record", "sequence": 1, "payload": 7}\n'
        ),
    ],
)
def test_what_is_no_export_is_no_verdict(desk: Desk, text: str) -> None:
    """Exit code 2 and a sentence: neither "holds" nor "broken"."""
    (desk.folder / "export.jsonl").write_text(text, encoding="utf-8")

    done = desk.check("export.jsonl")

    assert done.returncode == 2, done.stdout
    assert done.stderr.startswith("cannot check: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["", "h1:not base64!"])
def test_a_key_file_that_holds_no_key_is_no_verdict(desk: Desk, text: str) -> None:
    """A wrong key file never passes for "checked"."""
    (desk.folder / "key").write_text(text, encoding="utf-8")

    assert desk.check("export.jsonl", "--key-file", "key").returncode == 2


def _by_hand(*events: tuple[str, str | None], **seal: object) -> str:
    """Return an export made without the service: events with their macs, seals that state the head before them."""
    header = {"type": "header", "format": "loonstroom-history", "version": 1, "organization_id": "1"}
    lines: Lines = [header]
    plain, mac = bytes(32), None
    sealed = 0
    for sequence, (event, made) in enumerate(events, start=1):
        stated = {"sequence": sequence - 1, "hash": plain.hex(), "mac": mac, **seal}
        details = stated if event == "history.sealed" else {}
        sealed = sequence if details else sealed
        content = {"organization_id": "1", "sequence": sequence, "event": event, "details": details}
        plain, mac = sha256(plain + json.dumps(content).encode()).digest(), made
        record = {"type": "record", "sequence": sequence, "payload": json.dumps(content), "hash": plain.hex()}
        lines.append({**record, "mac": mac, "key_id": mac and "h1"})
    head = {"type": "head", "organization_id": "1", "sequence": len(events), "hash": plain.hex(), "mac": mac}
    lines.append({**head, "sealed_sequence": sealed})
    return "".join(json.dumps(line) + "\n" for line in lines)


_ONE, _TWO = "11" * 32, "22" * 32


@pytest.mark.parametrize(
    ("events", "seal", "answer"),
    [
        ((("a", None), ("b", None), ("history.sealed", _ONE)), {}, "records 1 to 2 are older than the key"),
        ((("a", None), ("b", None), ("history.sealed", _ONE)), {"sequence": 1}, "BROKEN at record 3: the seal states"),
        ((("a", None), ("b", None), ("history.sealed", _ONE)), {"mac": _TWO}, "BROKEN at record 3: the seal states"),
        ((("a", None), ("b", _ONE)), {}, "BROKEN at record 2: the first record with a mac after older ones"),
        ((("a", None), ("b", None)), {}, "BROKEN at record 2: the last record has no mac"),
    ],
)
def test_records_older_than_the_key_must_be_sealed(desk: Desk, events: Any, seal: Any, answer: str) -> None:
    """Records without a mac come first only, and the first record after them is a seal that states where they ended."""
    (desk.folder / "export.jsonl").write_text(_by_hand(*events, **seal), encoding="utf-8")

    done = desk.check("export.jsonl")

    assert answer in done.stdout, done.stdout + done.stderr
    assert done.returncode == (1 if "BROKEN" in answer else 0)


def test_another_record_where_a_kept_head_points_is_found(desk: Desk) -> None:
    """An end that was cut off and replaced by other records is as long as before, and does not have the kept mac."""
    (desk.folder / "kept.jsonl").write_text(_by_hand(("a", _ONE), ("b", _ONE)), encoding="utf-8")
    (desk.folder / "export.jsonl").write_text(_by_hand(("a", _ONE), ("b", _TWO), ("c", _ONE)), encoding="utf-8")

    done = desk.check("export.jsonl", "--expect-head", "kept.jsonl")

    assert done.returncode == 1
    assert "BROKEN at record 2: another record stands" in done.stdout
