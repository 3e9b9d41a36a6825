"""Settings: what is unknown, short, missing or copied from an example stops the start, in words, without the value."""

import tempfile
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from secrets import token_bytes, token_hex, token_urlsafe
from urllib.parse import quote

import pytest

from app.core.crypto import new_key_text
from app.core.secret_checks import example_hashes, forms_of, list_of, production_faults
from app.core.settings import SettingsError, load_settings, secret_files_open_to_others
from tools.example_secrets import all_candidates

# Made anew for each run: what stands here would be an example, and refused.
GOOD = {
    "LOONSTROOM_ENVIRONMENT": "production",
    "LOONSTROOM_DATABASE_URL": f"postgresql://loonstroom_app:{token_hex(16)}@db.example.nl/loonstroom",
    "LOONSTROOM_DATABASE_OWNER_URL": f"postgresql://loonstroom_owner:{token_hex(16)}@db.example.nl/loonstroom",
    "LOONSTROOM_ENCRYPTION_KEYS": f"{new_key_text('k2')},{new_key_text('k1')}",
    "LOONSTROOM_IDENTIFIER_KEY": token_urlsafe(32),
    "LOONSTROOM_HISTORY_KEY": new_key_text("h1"),
    "LOONSTROOM_RELEASE_COUNTER": "/var/lib/loonstroom/release-counter",
}
_KEYRINGS = ("LOONSTROOM_ENCRYPTION_KEYS", "LOONSTROOM_HISTORY_KEY")
_ADDRESSES = ("LOONSTROOM_DATABASE_URL", "LOONSTROOM_DATABASE_OWNER_URL")
_SECRETS = (*_KEYRINGS, *_ADDRESSES, "LOONSTROOM_IDENTIFIER_KEY")
_COUNTING = bytes(range(32))


def test_production_starts_with_its_own_secrets() -> None:
    """A host may be called anything; only the secrets must be one's own."""
    assert load_settings(GOOD).environment == "production"


@pytest.mark.parametrize("name", ["DATABASE_URL", "ENCRYPTION_KEYS", "IDENTIFIER_KEY", "HISTORY_KEY"])
def test_production_without_a_secret_is_refused(name: str) -> None:
    """The error names the setting and its _FILE variant."""
    rest = {key: value for key, value in GOOD.items() if key != f"LOONSTROOM_{name}"}

    with pytest.raises(SettingsError, match=f"LOONSTROOM_{name}_FILE"):
        load_settings(rest)


@pytest.mark.parametrize("path", [None, "release-counter"])
def test_production_says_where_its_release_counter_is(path: str | None) -> None:
    """In a container's own folder it would be gone with the next version, and nothing could be paid."""
    rest = {key: value for key, value in GOOD.items() if key != "LOONSTROOM_RELEASE_COUNTER"}
    with pytest.raises(SettingsError, match="LOONSTROOM_RELEASE_COUNTER: the whole path"):
        load_settings(rest if path is None else {**rest, "LOONSTROOM_RELEASE_COUNTER": path})


def test_elsewhere_the_release_counter_is_in_the_data_folder() -> None:
    """A first run needs no setting; a whole path is taken as it is."""
    inside = load_settings({"LOONSTROOM_DATA_DIR": "/srv/loonstroom"})
    assert inside.release_counter_path == Path("/srv/loonstroom/release-counter")
    assert load_settings(GOOD).release_counter_path == Path("/var/lib/loonstroom/release-counter")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOONSTROOM_IDENTIFIER_KEY", "short"),
        ("LOONSTROOM_IDENTIFIER_KEY", "example-example-example-example-example"),
        ("LOONSTROOM_ENCRYPTION_KEYS", "k1:tooshort"),
        ("LOONSTROOM_HISTORY_KEY", "h1:tooshort"),
        ("LOONSTROOM_HISTORY_KEY", f"h1:{'A' * 43}="),
        ("LOONSTROOM_HISTORY_KEY", "without-a-name"),
        ("LOONSTROOM_DATABASE_URL", "postgresql://loonstroom_app:changeme@db/loonstroom"),
        ("LOONSTROOM_PORT", "99999"),
        ("LOONSTROOM_WORKER_CONCURRENCY", "0"),
        ("LOONSTROOM_TYPO", "1"),
        ("LOONSTROOM_LOG_LEVEL", "verbose"),
        ("LOONSTROOM_PUBLIC_URL", "salaris.bakkerij"),
        ("LOONSTROOM_PUBLIC_URL", "https://salaris.bakkerij?x=1"),
        ("LOONSTROOM_PUBLIC_URL", "https://anna:geheim@salaris.bakkerij"),
        ("LOONSTROOM_NMBRS_SOAP_URL", "http://nmbrs.voorbeeld/soap"),
        ("LOONSTROOM_NMBRS_SOAP_URL", "nmbrs.voorbeeld"),
    ],
)
def test_a_bad_setting_is_named_and_not_shown(name: str, value: str) -> None:
    """Each wrong setting is named; its value is not in the message."""
    with pytest.raises(SettingsError) as caught:
        load_settings({**GOOD, name: value})

    assert name in str(caught.value)
    if len(value) > 5:
        assert value not in str(caught.value)


def test_a_level_of_logging_is_taken_however_it_is_written() -> None:
    """Small letters are as good as capitals."""
    assert load_settings({"LOONSTROOM_LOG_LEVEL": "debug"}).log_level == "DEBUG"


def test_a_fault_is_told_without_the_words_of_a_library() -> None:
    """What a person reads begins with the setting that is wrong, and names none that does not exist."""
    with pytest.raises(SettingsError) as one:
        load_settings({"LOONSTROOM_LOG_LEVEL": "loud", "LOONSTROOM_PORT": "many"})
    with pytest.raises(SettingsError) as several:
        load_settings({"LOONSTROOM_ENVIRONMENT": "production"})

    assert str(one.value).startswith("LOONSTROOM_PORT: ")
    assert "; LOONSTROOM_LOG_LEVEL: choose one of DEBUG, INFO" in str(one.value)
    assert "Value error" not in str(one.value) + str(several.value)
    assert str(several.value).startswith("production needs LOONSTROOM_DATABASE_URL")


@pytest.mark.parametrize("name", _SECRETS)
@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_secret_is_no_secret(name: str, value: str) -> None:
    """A line left empty in a file of settings is not silently taken for "not set"."""
    with pytest.raises(SettingsError, match=f"{name} is set, and empty"):
        load_settings({**GOOD, name: value})


def _key(value: bytes) -> str:
    return f"k1:{b64encode(value).decode()}"


@pytest.mark.parametrize("name", _KEYRINGS)
@pytest.mark.parametrize(
    "value",
    [
        bytes(32),
        b"\xff" * 32,
        b"a key of thirty-two characters!!",
        _COUNTING,
        _COUNTING[::-1],
        bytes(range(0, 96, 3)),
        bytes(range(100, 116)) * 2,
        b"\x00" * 31 + b"\x01",
        b"changeme" * 4,
    ],
)
def test_a_key_that_a_person_made_up_is_refused(name: str, value: bytes) -> None:
    """Zeros, text, counting and repetition are no keys; also behind a good one."""
    text = _key(value)
    for each in (text, f"{new_key_text('good')},{text}"):
        with pytest.raises(SettingsError, match=f"{name} looks like an example") as caught:
            load_settings({**GOOD, name: each})
        assert text[3:] not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        "this is the identifier key of our company",
        "abcabcabcabcabcabcabcabcabcabcabc",
        "abcdefghijklmnopqrstuvwxyz012345",
        "0123456789abcdef0123456789abcdef",
        "my-Loonstroom-7d1f9c3b5a8e2064-key",
        "Wachtwoord-7d1f9c3b5a8e2064-2026",
    ],
)
def test_a_text_that_a_person_made_up_is_refused(value: str) -> None:
    """Sentences, words of examples, counting and repetition are no secrets, as identifier key or as password."""
    address = f"postgresql://loonstroom_app:{quote(value, safe='')}@db/loonstroom"
    for name, text, remedy in (
        ("LOONSTROOM_IDENTIFIER_KEY", value, "`./run cli keys new`"),
        # What that command prints has signs that mean something in an address.
        ("LOONSTROOM_DATABASE_URL", address, "choose a long random one of letters and digits"),
    ):
        with pytest.raises(SettingsError, match=f"{name} looks like an example: .*; .*{remedy}") as caught:
            load_settings({**GOOD, name: text})
        assert value not in str(caught.value)


@pytest.mark.parametrize("name", _ADDRESSES)
@pytest.mark.parametrize(
    "address", ["postgresql://a:Zx9kQ2@db/x", "postgresql://a:Zx9/Q2@db/x", "postgresql://a@db/x?password=Zx9kQ2"]
)
def test_a_short_password_is_refused(name: str, address: str) -> None:
    """Wherever it stands in the address; an address without one (a certificate, a socket) holds no secret."""
    with pytest.raises(SettingsError, match=f"{name} holds a password of fewer than 16 characters"):
        load_settings({**GOOD, name: address})
    assert load_settings({**GOOD, name: "postgresql:///loonstroom?host=/run/postgresql"})


def _same_secret_twice() -> Iterator[tuple[str, str, str, str]]:
    raw = token_bytes(32)
    for written in (b64encode(raw).decode(), raw.hex(), urlsafe_b64encode(raw).decode().rstrip("=")):
        yield "LOONSTROOM_ENCRYPTION_KEYS", _key(raw), "LOONSTROOM_IDENTIFIER_KEY", written
        yield (
            "LOONSTROOM_HISTORY_KEY",
            _key(raw),
            "LOONSTROOM_DATABASE_URL",
            f"postgresql://a:{quote(written, safe='')}@db/x",
        )
    yield "LOONSTROOM_ENCRYPTION_KEYS", f"{new_key_text('k2')},{_key(raw)}", "LOONSTROOM_HISTORY_KEY", _key(raw)
    password = token_hex(16)
    addresses = [f"postgresql://{role}:{password}@db/loonstroom" for role in ("app", "owner")]
    yield _ADDRESSES[0], addresses[0], _ADDRESSES[1], addresses[1]


@pytest.mark.parametrize(("one", "value", "other", "same"), list(_same_secret_twice()), ids=range(8))
def test_one_secret_in_two_places_is_refused(one: str, value: str, other: str, same: str) -> None:
    """Who learns one must not have the other, however each is written; the two roles have a password each."""
    with pytest.raises(SettingsError, match="hold the same secret") as caught:
        load_settings({**GOOD, one: value, other: same})
    assert one in str(caught.value)
    assert other in str(caught.value)


def _everywhere(value: str) -> Iterator[tuple[str, str]]:
    """Give each secret's place with this value in it, in each way somebody could write it there."""
    raw = value.encode()
    keys = {f"k1:{b64encode(form[:32]).decode()}" for form in {raw, *forms_of(raw)} if len(form) >= 32}
    for name in _KEYRINGS:
        yield from ((name, text) for text in (value, f"k1:{value}", *keys))
    for name in _ADDRESSES:
        yield name, f"postgresql://loonstroom_app:{quote(value, safe='')}@db/loonstroom"
    yield "LOONSTROOM_IDENTIFIER_KEY", value


def test_every_secret_in_the_repository_is_refused_in_production() -> None:
    """Whatever looks like a secret in any file that git keeps starts no production service, in no secret's place."""
    found = all_candidates()
    assert len(found) > 50
    assert {"PASSWORD", "changeme"} <= set(found), "the scanner is blind"
    unknown = sorted({name for value, name in found.items() if list_of([value]) - example_hashes()})
    assert unknown == [], "they hold something like a secret: run ./run example-secrets"

    for value, file in found.items():
        for name, text in _everywhere(value):
            with pytest.raises(SettingsError) as caught:
                pytest.fail(f"{file}: {value} starts as {name}: {load_settings({**GOOD, name: text})}")
            assert name in str(caught.value)
            assert len(value) < 16 or value not in str(caught.value)


def test_no_good_secret_is_refused() -> None:
    """Of what the commands make, nothing is ever taken for an example."""
    for _ in range(2000):
        made = {
            "database_url": f"postgresql://a:{token_hex(32)}@db/x",
            "encryption_keys": new_key_text("k1"),
            "identifier_key": token_urlsafe(48),
            "history_key": new_key_text("h1"),
        }
        assert production_faults(made) == []
        assert production_faults({**made, "identifier_key": token_hex(32)}) == []


def test_every_fault_is_told_at_once() -> None:
    """Who starts for the first time mends everything in one go."""
    bare = {"LOONSTROOM_ENVIRONMENT": "production", "LOONSTROOM_DATABASE_URL": "postgresql://a:b@db/x"}

    with pytest.raises(SettingsError) as caught:
        load_settings(bare)

    for name in ("ENCRYPTION_KEYS_FILE", "IDENTIFIER_KEY_FILE", "HISTORY_KEY_FILE", "fewer than 16"):
        assert name in str(caught.value)


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


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"\xff\xfe", "does not hold text"),
        (b"x" * 65537, "too large"),
        (None, "cannot be read"),
    ],
)
@pytest.mark.parametrize("name", _SECRETS)
def test_a_secret_file_of_no_use_stops_the_start(name: str, content: bytes | None, says: str, tmp_path: Path) -> None:
    """Empty, a folder, too large or no text: the setting and the reason are named."""
    file = tmp_path / "secret"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    rest = {key: value for key, value in GOOD.items() if key != name}

    with pytest.raises(SettingsError, match=f"{name}_FILE: the file .*{says}"):
        load_settings({**rest, f"{name}_FILE": str(file)})


@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "is_open"), [(0o644, 0o755, True), (0o640, 0o755, False), (0o444, 0o700, False)]
)
def test_a_secret_that_everybody_may_read_is_told(*, file_mode: int, folder_mode: int, is_open: bool) -> None:
    """A file that others can read, through folders that let them pass."""
    with tempfile.TemporaryDirectory(prefix="ls-open-") as name:
        folder = Path(name)
        file = folder / "key"
        file.write_text(GOOD["LOONSTROOM_IDENTIFIER_KEY"])
        file.chmod(file_mode)
        folder.chmod(folder_mode)

        found = secret_files_open_to_others({"LOONSTROOM_IDENTIFIER_KEY_FILE": str(file), "HOME_FILE": "x"})

    assert found == (["LOONSTROOM_IDENTIFIER_KEY_FILE"] if is_open else [])
