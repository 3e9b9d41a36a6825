import re
from pathlib import Path

from app.core.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
LINES = re.findall(r"^# (LOONSTROOM_\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)


def test_every_setting_is_in_the_example() -> None:
    """Who reads .env.example has seen everything that can be set, and nothing that does not exist."""
    names = [name.removeprefix("LOONSTROOM_").removesuffix("_FILE").lower() for name, _ in LINES]
    assert sorted(names) == sorted(Settings.model_fields)


def test_every_value_is_the_default() -> None:
    """A line that is commented out says what holds without it."""
    defaults = load_settings({})
    shown = {name: value for name, value in LINES if not name.endswith("_FILE")}
    assert load_settings(shown) == defaults


def test_no_secret_stands_in_the_example() -> None:
    """A secret is shown as the file that holds it, so that nobody copies one."""
    secrets = {"DATABASE_URL", "DATABASE_OWNER_URL", "ENCRYPTION_KEYS", "IDENTIFIER_KEY", "HISTORY_KEY"}
    assert {name.removeprefix("LOONSTROOM_") for name, _ in LINES}.isdisjoint(secrets)


def test_nothing_is_set_by_the_example_itself() -> None:
    """Copying the example changes nothing until a line is chosen."""
    assert all(line.startswith("#") or not line for line in (ROOT / ".env.example").read_text().splitlines())
