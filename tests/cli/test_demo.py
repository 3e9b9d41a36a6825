"""The demo: the whole way on an empty machine, and nothing of it left behind."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from lxml import etree

from app.payments.sepa import _validator

ROOT = Path(__file__).parents[2]
_STEPS = (
    "simulated Nmbrs",
    "simulated bank",
    "PostgreSQL",
    "passed its check",
    "Run Einde",
    "waits for approval",
    "Approved",
    "with the hash seen there: status delivered",
    "Signed at the bank",
)
_NS = {"p": "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"}


def _environment(folder: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LOONSTROOM_")}
    return {**clean, "TMPDIR": str(folder)}


def _left_behind(folder: Path) -> list[str]:
    """Return the processes whose command or environment still names this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in text and int(process.name) != os.getpid():
            found.append(text[:200].decode(errors="replace"))
    return found


@pytest.fixture
def short_folder() -> Path:
    """A folder with a short name, as sockets need, removed by the demo itself."""
    folder = Path("/tmp") / f"ls-demo-{os.getpid()}-{time.monotonic_ns()}"  # noqa: S108 - named by this process
    folder.mkdir(mode=0o755)
    return folder


@pytest.mark.slow
def test_the_demo_shows_the_whole_way_and_ends(short_folder: Path, tmp_path: Path) -> None:
    """`demo --exit` ends with eight payments executed; it leaves file, report and history, and nothing running."""
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "demo", "--exit", "--output", str(tmp_path)],
        cwd=ROOT,
        env=_environment(short_folder),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    for step in (*_STEPS, "The bank executed 8 payments, EUR 19.806,08, none of them twice", "batch executed"):
        assert step in done.stdout
    (report,) = tmp_path.glob("*.pain.002.xml")
    (file,) = set(tmp_path.glob("*.xml")) - {report}
    tree = etree.fromstring(file.read_bytes())
    assert _validator("pain.001.001.09").validate(tree)
    assert tree.xpath("string(//p:GrpHdr/p:NbOfTxs)", namespaces=_NS) == "8"
    assert tree.xpath("string(//p:GrpHdr/p:CtrlSum)", namespaces=_NS) == "19806.08"
    assert len(tree.xpath("//p:CdtTrfTxInf", namespaces=_NS)) == 8
    assert tree.xpath("string(//p:CtgyPurp/p:Cd)", namespaces=_NS) == "SALA"
    assert tree.xpath("string(//p:ChrgBr)", namespaces=_NS) == "SLEV"
    assert tree.xpath("string(//p:BtchBookg)", namespaces=_NS) == "true"
    assert file.stem == tree.xpath("string(//p:MsgId)", namespaces=_NS)
    said = etree.fromstring(report.read_bytes())
    assert said.xpath("string(//*[local-name()='OrgnlMsgId'])") == file.stem
    assert set(said.xpath("//*[local-name()='PmtInfSts']/text()")) == {"ACSC"}
    assert "Aangeleverd bij de bank" in (tmp_path / "history.csv").read_text(encoding="utf-8-sig")
    assert _left_behind(short_folder) == []
    assert list(short_folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_stays_up_until_it_is_ended(short_folder: Path, number: signal.Signals) -> None:
    """Without --exit it prints where it is and with what to come in, answers there, and ends cleanly."""
    log = short_folder / "out.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "app.cli", "demo"],
            cwd=ROOT,
            env=_environment(short_folder),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + 120
    while "Ctrl-C" not in log.read_text(encoding="utf-8"):
        assert process.poll() is None, log.read_text(encoding="utf-8")
        assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
        time.sleep(0.1)
    shown = log.read_text(encoding="utf-8")
    url = re.search(r"http://127\.0\.0\.1:[0-9]+", shown.partition("The service is at")[2])
    token = re.search(r"token +(lst_\S+)", shown)
    assert url
    assert token
    assert re.search(r"PIN +[0-9]{6}", shown)
    bank = re.search(r"simulated bank, (http://127\.0\.0\.1:[0-9]+)", shown)
    assert bank
    assert httpx.get(f"{bank[1]}/uploads", trust_env=False, timeout=20).json() == []
    me = httpx.get(f"{url[0]}/v1/me", headers={"Authorization": f"Bearer {token[1]}"}, trust_env=False, timeout=20)
    assert me.json()["name"] == "Demo Werkgever"

    process.send_signal(number)
    process.wait(timeout=60)

    assert _left_behind(short_folder) == []
    log.unlink()
    assert list(short_folder.iterdir()) == []
