"""docs/operations.md says what can be set, what is measured, and what is looked at."""

import re
from pathlib import Path

from fastapi.testclient import TestClient

from app.core.settings import Settings
from app.payments.history_words import ATTENTION

_PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")


def test_every_setting_is_explained() -> None:
    """The table of settings has each of them, and none that is refused at the start."""
    rows = [line for line in _PAGE.splitlines() if line.startswith("| `LOONSTROOM_")]
    named = [name for row in rows for name in re.findall(r"`LOONSTROOM_([A-Z_]+)`", row.split("|")[1])]

    assert sorted(named) == sorted(field.upper() for field in Settings.model_fields)


def test_every_figure_is_explained(client: TestClient) -> None:
    """Who watches the service reads at which figure to be woken."""
    shown = set(re.findall(r"^(loonstroom_[a-z_]+) ", client.get("/metrics").text, flags=re.MULTILINE))
    named = set(re.findall(r"^\| `(loonstroom_[a-z_]+)` \|", _PAGE, flags=re.MULTILINE))

    assert shown == named


def test_every_code_of_attention_is_explained() -> None:
    """What to do about each thing that a batch says somebody should look at."""
    table = _PAGE.partition("| attention | do |")[2].partition("\n\n")[0]

    assert set(
        re.findall(r"`([a-z_]+)`", "".join(line.split("|")[1] for line in table.splitlines() if "|" in line))
    ) == set(ATTENTION)
