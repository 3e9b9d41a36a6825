"""Settings: `LOONSTROOM_*` from the environment, secrets also from files named by `LOONSTROOM_*_FILE`.

An unknown `LOONSTROOM_` name is refused, because a mistyped setting that is silently ignored is worse than an error.
"""

import re
import stat
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from app.core import http
from app.core.crypto import Keyring, parse_keyring
from app.core.history_chain import HistoryKeys, parse_history_keys
from app.core.secret_checks import PREFIX, production_faults

_SHORTEST_SECRET = 32
_SECRETS = frozenset({"encryption_keys", "identifier_key", "history_key", "database_url", "database_owner_url"})
_LARGEST_SECRET_BYTES = 64 * 1024
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# Where containers get their secrets: a folder of the container's own, whose files have no owner on its side.
_CONTAINER_SECRETS = Path("/run/secrets")


_ADDRESS = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+(?:/[A-Za-z0-9._~/-]*)?")


class SettingsError(Exception):
    """The settings are not usable; the message names every fault and what to do, and shows no value."""


class Environment(StrEnum):
    """Where this runs. Only production insists on every secret; the digest of a batch names the environment."""

    PRODUCTION = "production"
    DEVELOPMENT = "development"
    DEMO = "demo"
    TEST = "test"


class Settings(BaseModel):
    """Everything that differs between installations. Durations in seconds, sizes in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    environment: Environment = Environment.DEVELOPMENT
    data_dir: Path = Path("data")
    release_counter: Path = Path("release-counter")
    database_url: SecretStr | None = None
    database_owner_url: SecretStr | None = None
    encryption_keys: SecretStr | None = None
    identifier_key: SecretStr | None = None
    history_key: SecretStr | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    public_url: str = "http://127.0.0.1:8000"
    api_docs: Literal["auto", "on", "off"] = "auto"
    log_level: str = "INFO"
    nmbrs_soap_url: str = "https://api.nmbrs.nl/soap/v3"
    nmbrs_timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 60.0
    freshness_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0
    poll_interval_seconds: Annotated[int, Field(ge=1, le=86400)] = 900
    poke_delay_seconds: Annotated[float, Field(ge=0, le=60)] = 2.0
    worker_concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    database_pool_size: Annotated[int, Field(ge=2, le=200)] = 20
    webhook_token_grace_hours: Annotated[int, Field(ge=0, le=720)] = 72
    maximum_connections: Annotated[int, Field(ge=1, le=100_000)] = 800
    trusted_proxies: str = ""
    webhooks_per_second: Annotated[float, Field(gt=0, le=100_000)] = 10.0
    webhooks_at_once: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    api_requests_per_second: Annotated[float, Field(gt=0, le=100_000)] = 50.0
    api_requests_at_once: Annotated[int, Field(ge=1, le=1_000_000)] = 1000

    @field_validator("encryption_keys", "history_key")
    @classmethod
    def _keys_are_readable(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_keyring(value.get_secret_value())
        return value

    @field_validator("identifier_key")
    @classmethod
    def _identifier_key_is_long(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < _SHORTEST_SECRET:
            message = f"needs at least {_SHORTEST_SECRET} characters"
            raise ValueError(message)
        return value

    @field_validator("log_level")
    @classmethod
    def _log_level_is_known(cls, value: str) -> str:
        level = value.strip().upper()
        if level not in _LOG_LEVELS:
            message = f"choose one of {', '.join(_LOG_LEVELS)}"
            raise ValueError(message)
        return level

    @field_validator("public_url")
    @classmethod
    def _public_url_is_an_address(cls, value: str) -> str:
        """Webhook addresses begin with it: a host alone would be pasted in Nmbrs as it is, and never be called."""
        if not _ADDRESS.fullmatch(value):
            message = "write the address that the world uses, for instance https://loon.voorbeeld.nl"
            raise ValueError(message)
        return value

    @field_validator("nmbrs_soap_url")
    @classmethod
    def _source_may_be_called(cls, value: str) -> str:
        try:
            http.check_url(value, allow_loopback=True)
        except http.HttpRefused as refusal:
            message = f"{refusal}; write it as https://host/path"
            raise ValueError(message) from None
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies_are_addresses(cls, value: str) -> str:
        """Addresses only: a name could be answered by anybody, and a star would believe everybody."""
        try:
            return ",".join(str(ip_network(part.strip())) for part in value.split(",") if part.strip())
        except ValueError:
            message = "write addresses or networks, for instance 10.0.0.5,10.1.0.0/16"
            raise ValueError(message) from None

    @model_validator(mode="after")
    def _production_has_its_secrets(self) -> Self:
        if self.environment is not Environment.PRODUCTION:
            return self
        secrets: dict[str, SecretStr | None] = {name: getattr(self, name) for name in _SECRETS}
        texts = {name: None if value is None else value.get_secret_value() for name, value in secrets.items()}
        if faults := production_faults(texts):
            raise ValueError("; ".join(sorted(faults)))
        if not self.release_counter.is_absolute():
            message = (
                f"production needs {PREFIX}RELEASE_COUNTER: the whole path of a file that outlives this process and is "
                "not restored together with the database (docs/operations.md)"
            )
            raise ValueError(message)
        return self

    @property
    def shows_api_docs(self) -> bool:
        """Whether `/docs` and `/openapi.json` are there: `auto` means everywhere but in production."""
        return self.api_docs == "on" or (self.api_docs == "auto" and self.environment is not Environment.PRODUCTION)

    @property
    def release_counter_path(self) -> Path:
        """Where the release counter is kept: inside the data folder when it is not written as a whole path."""
        return self.data_dir / self.release_counter

    @property
    def keyring(self) -> Keyring:
        """The keys that seal; SettingsError when none are set."""
        if self.encryption_keys is None:
            message = f"{PREFIX}ENCRYPTION_KEYS is not set"
            raise SettingsError(message)
        return parse_keyring(self.encryption_keys.get_secret_value())

    @property
    def history_keys(self) -> HistoryKeys:
        """The keys that seal the history; SettingsError when none are set."""
        if self.history_key is None:
            message = f"{PREFIX}HISTORY_KEY is not set"
            raise SettingsError(message)
        return parse_history_keys(self.history_key.get_secret_value())

    @property
    def identifier_secret(self) -> bytes:
        """The key of end-to-end ids and of idempotency hashes."""
        if self.identifier_key is None:
            message = f"{PREFIX}IDENTIFIER_KEY is not set"
            raise SettingsError(message)
        return self.identifier_key.get_secret_value().encode()


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings in this environment; SettingsError names every fault at once."""
    faults: list[str] = []
    values: dict[str, str] = {}
    for name in sorted(environ):
        if not name.startswith(PREFIX):
            continue
        key = name.removeprefix(PREFIX).lower()
        if key in _SECRETS and not environ[name].strip():
            faults.append(f"{name} is set, and empty; give it a value or leave it out")
        elif key in Settings.model_fields:
            values[key] = environ[name]
        elif key.removesuffix("_file") in _SECRETS:
            _read_secret(key.removesuffix("_file"), name, environ, values, faults)
        else:
            faults.append(f"{name} is not a setting; see docs/operations.md for the list")
    if faults:
        raise SettingsError("; ".join(faults))
    return _validated(values)


def _read_secret(key: str, name: str, environ: Mapping[str, str], values: dict[str, str], faults: list[str]) -> None:
    if f"{PREFIX}{key.upper()}" in environ:
        faults.append(f"{PREFIX}{key.upper()} and {name} are both set; keep one")
        return
    try:
        with Path(environ[name]).open("rb") as file:
            content = file.read(_LARGEST_SECRET_BYTES + 1)
        text = content.decode().strip()
    except OSError as error:
        faults.append(f"{name}: the file cannot be read ({error.strerror})")
    except UnicodeDecodeError:
        faults.append(f"{name}: the file does not hold text")
    else:
        if not text or len(content) > _LARGEST_SECRET_BYTES:
            faults.append(f"{name}: the file is {'too large' if text else 'empty'}")
        values[key] = text


def secret_files_open_to_others(environ: Mapping[str, str]) -> list[str]:
    """Return the names of the settings whose secret stands in a file that every user of this machine may read."""
    named = {name: Path(environ[name]) for name in sorted(environ) if _is_secret_file(name)}
    return [name for name, path in named.items() if _CONTAINER_SECRETS not in path.parents and _is_open(path)]


def _is_secret_file(name: str) -> bool:
    key = name.removeprefix(PREFIX).lower()
    return name.startswith(PREFIX) and key.endswith("_file") and key.removesuffix("_file") in _SECRETS


def _is_open(path: Path) -> bool:
    """Say whether others may read a file: they need the right on it, and may pass every folder above it."""
    real = path.resolve()
    return bool(real.stat().st_mode & stat.S_IROTH) and all(
        folder.stat().st_mode & stat.S_IXOTH for folder in real.parents
    )


def _validated(values: Mapping[str, str]) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        faults = [
            ": ".join(
                [*(f"{PREFIX}{part}".upper() for part in fault["loc"]), fault["msg"].removeprefix("Value error, ")]
            )
            for fault in error.errors(include_input=False, include_url=False, include_context=False)
        ]
        raise SettingsError("; ".join(faults)) from None
