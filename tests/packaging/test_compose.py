import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.core.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"] == "loonstroom"]
SECRETS = {"database_url", "database_owner_url", "encryption_keys", "identifier_key", "history_key"}


def _cli_commands() -> list[list[str]]:
    commands = [SERVICES[name]["command"] for name in OURS]
    tests = [SERVICES[name]["healthcheck"].get("test", []) for name in OURS]
    return [*commands, *(test[4:] for test in tests if test)]


def test_postgresql_migrations_service_and_worker_are_there() -> None:
    """One command starts everything the product needs, and nothing that is not needed."""
    assert set(SERVICES) == {"database", "migrate", "service", "worker"}
    assert set(OURS) == {"migrate", "service", "worker"}
    assert SERVICES["database"]["image"] == "postgres:18"


@pytest.mark.parametrize("command", _cli_commands(), ids=" ".join)
def test_every_command_is_one_the_programme_knows(command: list[str]) -> None:
    """Each command and option in compose.yaml is shown by the programme's own help."""
    name, *options = command
    shown = subprocess.run(
        [sys.executable, "-m", "app.cli", name, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr
    for option in options:
        assert re.search(rf"(^|[\s/,]){re.escape(option)}\b", shown.stdout), f"{name} has no {option}"


@pytest.mark.parametrize("name", list(SERVICES))
def test_no_container_has_more_rights_than_it_needs(name: str) -> None:
    """Read-only root, no capabilities, no new privileges, never root."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["tmpfs"]
    assert name in OURS or not service["user"].startswith(("0", "root"))


@pytest.mark.parametrize("name", OURS)
def test_every_setting_exists(name: str) -> None:
    """No LOONSTROOM_ variable is one the service would refuse."""
    for variable in SERVICES[name]["environment"]:
        setting = variable.removeprefix("LOONSTROOM_").lower()
        assert setting in Settings.model_fields or setting.removesuffix("_file") in SECRETS, variable


@pytest.mark.parametrize("name", list(SERVICES))
def test_secrets_come_from_files_that_are_mounted(name: str) -> None:
    """Each file a setting names is mounted there, and no secret stands in the compose file itself."""
    service = SERVICES[name]
    for variable, value in service["environment"].items():
        bare = variable.removeprefix("LOONSTROOM_").lower()
        assert bare not in SECRETS, f"{variable} is a secret: give its file"
        if variable.endswith("_FILE"):
            assert value.removeprefix("/run/secrets/") in service["secrets"]
    assert set(service["secrets"]) <= set(COMPOSE["secrets"])


def test_only_the_migrations_know_the_owner_of_the_database() -> None:
    """The service and the worker cannot change the structure of the database."""
    assert "database_owner_url" in SERVICES["migrate"]["secrets"]
    for name in ("service", "worker"):
        assert "database_owner_url" not in SERVICES[name]["secrets"]


def test_nothing_starts_before_the_database_is_migrated() -> None:
    """The service and the worker wait for the migrations, and those for PostgreSQL."""
    assert SERVICES["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    for name in ("service", "worker"):
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize("name", ["database", "service", "worker"])
def test_what_stays_up_has_a_health_check(name: str) -> None:
    """A container that hangs is seen."""
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


def test_the_database_is_reached_by_nobody_outside() -> None:
    """PostgreSQL has no port on the host and no way out; the service is reached on loopback only."""
    assert "ports" not in SERVICES["database"]
    assert SERVICES["database"]["networks"] == ["database"]
    assert COMPOSE["networks"]["database"] == {"internal": True}
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["service"]["ports"])


def test_the_database_log_quotes_no_rows() -> None:
    """PostgreSQL keeps statements and error details, which hold names and accounts, out of its log."""
    command = " ".join(SERVICES["database"]["command"])
    assert "log_error_verbosity=terse" in command
    assert "log_min_error_statement=panic" in command


def test_every_file_that_is_mounted_exists() -> None:
    """What compose mounts from the checkout is in the checkout."""
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).is_file(), source


@pytest.mark.parametrize("name", ["service", "worker"])
def test_the_release_counter_outlives_the_container(name: str) -> None:
    """It lies on a volume of its own, not on the database's: the two are never put back together."""
    path = SERVICES[name]["environment"]["LOONSTROOM_RELEASE_COUNTER"]
    mounts = dict(volume.split(":")[:2] for volume in SERVICES[name]["volumes"])
    holding = [volume for volume, target in mounts.items() if Path(path).is_relative_to(target)]
    assert holding == ["releases"]
    assert "releases" in COMPOSE["volumes"]
    assert not any(volume.startswith("releases:") for volume in SERVICES["database"]["volumes"])
