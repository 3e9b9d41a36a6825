"""Settings: what is unknown, short, missing or copied from an example stops the start, in words, without the value."""

import re
from pathlib import Path

import pytest

from app.core.crypto import new_key_text
from app.core.settings import SettingsError, load_settings

ROOT = Path(__file__).parents[2]
GOOD = {
    "LOONSTROOM_ENVIRONMENT": "production",
    "LOONSTROOM_DATABASE_URL": "postgresql://loonstroom_app:Zx9kQ2vLm4Tp8Rb6@db.example.nl/loonstroom",
    "LOONSTROOM_ENCRYPTION_KEYS": new_key_text("k1"),
    "LOONSTROOM_IDENTIFIER_KEY": "qL7vN2xR9tB4mK8pW3sD6fG1hJ5zC0yA",
    "LOONSTROOM_HISTORY_KEY": new_key_text("h1"),
}


def test_production_starts_with_its_own_secrets() -> None:
    """A host may be called anything; only the secrets must be one's own."""
    assert load_settings(GOOD).environment == "production"


@pytest.mark.parametrize("name", ["DATABASE_URL", "ENCRYPTION_KEYS", "IDENTIFIER_KEY", "HISTORY_KEY"])
def test_production_without_a_secret_is_refused(name: str) -> None:
    """The error names the setting and its _FILE variant."""
    rest = {key: value for key, value in GOOD.items() if key != f"LOONSTROOM_{name}"}

    with pytest.raises(SettingsError, match=f"LOONSTROOM_{name}_FILE"):
        load_settings(rest)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOONSTROOM_IDENTIFIER_KEY", "short"),
        ("LOONSTROOM_IDENTIFIER_KEY", "example-example-example-example-example"),
        ("LOONSTROOM_ENCRYPTION_KEYS", "k1:tooshort"),
        ("LOONSTROOM_HISTORY_KEY", "h1:tooshort"),
        ("LOONSTROOM_HISTORY_KEY", f"h1:{'A' * 43}="),
        ("LOONSTROOM_HISTORY_KEY", "qL7vN2xR9tB4mK8pW3sD6fG1hJ5zC0yA"),
        ("LOONSTROOM_DATABASE_URL", "postgresql://loonstroom_app:changeme@db/loonstroom"),
        ("LOONSTROOM_PORT", "99999"),
        ("LOONSTROOM_WORKER_CONCURRENCY", "0"),
        ("LOONSTROOM_TYPO", "1"),
    ],
)
def test_a_bad_setting_is_named_and_not_shown(name: str, value: str) -> None:
    """Each wrong setting is named; its value is not in the message."""
    with pytest.raises(SettingsError) as caught:
        load_settings({**GOOD, name: value})

    assert name in str(caught.value)
    if len(value) > 5:
        assert value not in str(caught.value)


def test_every_example_in_the_repository_is_refused_in_production() -> None:
    """No secret that stands in .env.example starts a production service."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    for name, value in re.findall(r"^#?\s*(LOONSTROOM_[A-Z_]+)=(\S+)$", text, flags=re.MULTILINE):
        if name.removesuffix("_FILE") not in GOOD or name == "LOONSTROOM_ENVIRONMENT" or name.endswith("_FILE"):
            continue
        with pytest.raises(SettingsError):
            load_settings({**GOOD, name: value})


def test_a_secret_may_come_from_a_file_but_not_twice(tmp_path: Path) -> None:
    """LOONSTROOM_..._FILE is read and trimmed; both at once, or a file that is not there, is an error."""
    file = tmp_path / "key"
    file.write_text(GOOD["LOONSTROOM_IDENTIFIER_KEY"] + "\n", encoding="utf-8")
    rest = {key: value for key, value in GOOD.items() if key != "LOONSTROOM_IDENTIFIER_KEY"}

    loaded = load_settings({**rest, "LOONSTROOM_IDENTIFIER_KEY_FILE": str(file)})

    assert loaded.identifier_secret == GOOD["LOONSTROOM_IDENTIFIER_KEY"].encode()
    with pytest.raises(SettingsError, match="both set"):
        load_settings({**GOOD, "LOONSTROOM_IDENTIFIER_KEY_FILE": str(file)})
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings({**rest, "LOONSTROOM_IDENTIFIER_KEY_FILE": str(tmp_path / "absent")})
