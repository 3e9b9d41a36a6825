"""The operator's commands for setting up: what they do is what the service then holds people to."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
import pytest
from click.testing import CliRunner

from app.cli import setting_up
from app.core.crypto import new_key_text
from app.core.errors import Conflict, NotFound
from tests.support.clock import FakeClock
from tests.support.house import PIN, House, Person
from tests.support.postgres import TestDatabase


class Terminal:
    """An operator's terminal on the database of the test."""

    def __init__(self, database: TestDatabase) -> None:
        self._variables = {
            "LOONSTROOM_ENVIRONMENT": "test",
            "LOONSTROOM_DATABASE_URL": database.app_url,
            "LOONSTROOM_ENCRYPTION_KEYS": new_key_text("k1"),
            "LOONSTROOM_IDENTIFIER_KEY": "an identifier key for tests, long enough",
        }
        self._commands = click.Group(commands={command.name or "": command for command in setting_up.COMMANDS})

    def run(self, *words: str) -> str:
        """Type a command; return what it prints, raise what it refuses with."""
        done = CliRunner().invoke(self._commands, words, env=self._variables)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output

    def json(self, *words: str) -> dict[str, Any]:
        """Type a command with --json; return what it prints."""
        return dict(json.loads(self.run(*words, "--json")))


@pytest.fixture
def terminal(database: TestDatabase) -> Terminal:
    """An operator's terminal."""
    return Terminal(database)


@pytest.fixture
def new_pin(tmp_path: Path) -> Path:
    """A file with another PIN."""
    path = tmp_path / "pin.txt"
    path.write_text("739146\n", encoding="utf-8")
    return path


def _with_token(person: Person, terminal: Terminal, *options: str) -> Person:
    """The same person with a token that the operator issues now."""
    scopes = ("--scope", "read", "--scope", "approve", "--scope", "prepare")
    issued = terminal.json("token", "issue", "--email", person.email, *scopes, *options)
    return replace(person, token=issued["token"])


def test_unattended_tokens_alone_do_not_give_several_approvals(house: House, terminal: Terminal) -> None:
    """Where two approvals are asked for, two programs are not enough; one of them by a person is."""
    second = house.second_person()
    tiers = {"tiers": [{"from": {"amount": "0.00", "currency": "EUR"}, "required": 2}]}
    house.boss.call("PUT", f"/v1/employers/{house.employer_id}/approval-policy", json=tiers)
    batch = house.uploaded_batch()
    house.acknowledge_all(batch)

    for person in (house.boss, second):
        assert _with_token(person, terminal, "--unattended").approve(batch).status_code == 201
    by_programs = house.batch(batch["id"])
    house.boss.call("DELETE", f"/v1/payment-batches/{batch['id']}/approvals/mine")
    _with_token(house.boss, terminal).approve(batch)

    assert (by_programs["status"], len(by_programs["approvals"])) == ("pending", 2)
    assert house.batch(batch["id"])["status"] == "approved"


def test_a_pin_that_the_operator_resets_approves_nothing_for_a_day(
    house: House, terminal: Terminal, clock: FakeClock, new_pin: Path
) -> None:
    """Who could have a PIN reset may not be who it belongs to: it waits, or another approver confirms it."""
    second = house.second_person()
    said = terminal.run("user", "pin", "--email", house.boss.email, "--pin-file", str(new_pin), "--reset")
    clock.moment = datetime.now(UTC)
    batch = house.uploaded_batch()
    house.acknowledge_all(batch)

    refused = house.boss.approve(batch, pin="739146")
    second.post(f"/v1/employers/{house.employer_id}/members/{house.boss.id}/pin-confirmation")
    old = house.boss.approve(batch, pin=PIN)
    new = house.boss.approve(batch, pin="739146")

    assert "24 hours" in said
    assert (refused.status_code, refused.json()["code"]) == (403, "pin_changed_recently")
    assert (old.status_code, old.json()["code"]) == (403, "pin_incorrect")
    assert new.status_code == 201
    assert {"pin.changed", "pin.change_confirmed"} <= set(house.events())


def test_without_reset_a_pin_is_never_overwritten(house: House, terminal: Terminal, new_pin: Path) -> None:
    """The command for the first PIN does not take over somebody's approvals by accident."""
    with pytest.raises(Conflict) as refusal:
        terminal.run("user", "pin", "--email", house.boss.email, "--pin-file", str(new_pin))

    assert "`user pin --reset`" in refusal.value.detail


def test_reset_sets_a_first_pin_without_a_wait(house: House, terminal: Terminal, new_pin: Path) -> None:
    """Who never had a PIN has nothing to take over: the first one counts at once."""
    somebody = ("--email", "new@bakkerij.example")
    role = ("--organization", str(house.employer_id), "--role", "approver")
    terminal.run("user", "add", *somebody, "--name", "New", *role)

    assert terminal.run("user", "pin", *somebody, "--pin-file", str(new_pin), "--reset") == "The PIN is set.\n"


def test_a_deputy_stays_until_the_last_day(house: House, terminal: Terminal, clock: FakeClock) -> None:
    """A role with a last day is there on that day and gone on the next."""
    somebody = ("--email", "deputy@bakkerij.example")
    role = ("--organization", str(house.employer_id), "--role", "approver")
    terminal.json("user", "add", *somebody, "--name", "Deputy", *role, "--ends-on", "2026-11-18")
    token = terminal.json("token", "issue", *somebody)["token"]
    deputy = replace(house.boss, email="deputy@bakkerij.example", token=token)
    path = f"/v1/employers/{house.employer_id}"

    on_the_day = deputy.get(path).status_code
    clock.forward(days=1)

    assert (on_the_day, deputy.get(path).status_code) == (200, 404)


def test_a_token_is_listed_replaced_and_ended(house: House, terminal: Terminal) -> None:
    """The operator finds a token by its person, replaces it, and never sees the token itself again."""
    somebody = ("--email", house.boss.email)
    issued = terminal.json("token", "issue", *somebody, "--days", "10")
    replaced = terminal.json("token", "rotate", "--id", issued["id"], "--grace-hours", "1")
    listed = {each["id"]: each for each in json.loads(terminal.run("token", "list", *somebody, "--json"))}
    as_text = terminal.run("token", "list", *somebody)
    terminal.run("token", "revoke", "--id", issued["id"])

    assert replaced["token"].startswith("lst_")
    assert replaced["scopes"] == issued["scopes"]
    assert listed[issued["id"]]["expires_at"] < issued["expires_at"]
    assert {"last_used_at", "scopes", "is_unattended"} <= set(listed[replaced["id"]])
    assert replaced["token"] not in as_text
    assert replaced["id"] in as_text
    assert issued["id"] not in terminal.run("token", "list", *somebody)


def test_a_soft_limit_asks_for_one_more_approver(house: House, terminal: Terminal) -> None:
    """Over the soft limit that the operator enters for an admin, a batch needs one approval more."""
    house.second_person()
    account = ("debtor-account", "limit", "--id", house.account_id, "--as", house.boss.email)
    set_now = terminal.json(*account, "--per-batch", "50000.00", "--soft-per-batch", "5000.00")

    batch = house.uploaded_batch()

    assert set_now["waits_for_a_second_admin"] is False
    assert batch["limit"]["per_batch"]["soft_limit"] == {"amount": "5000.00", "currency": "EUR"}
    assert (batch["required_approvals"], batch["approval_reasons"]) == (2, ["over_soft_limit"])


def test_a_limit_with_a_last_day_shows_it(house: House, terminal: Terminal) -> None:
    """A lower limit may hold until a day, after which the one before holds again."""
    account = ("debtor-account", "limit", "--id", house.account_id, "--as", house.boss.email)
    terminal.json(*account, "--per-batch", "1000.00", "--ends-on", "2126-12-31")

    limit = house.boss.get(f"/v1/debtor-accounts/{house.account_id}/payment-limit").json()

    assert (limit["ends_on"], limit["per_batch"]["limit"]["amount"]) == ("2126-12-31", "1000.00")


@pytest.mark.parametrize("amount", ["90071992547409.92", "9999999999999999.99", "5000", "5.000,00", "-1.00"])
def test_a_limit_that_is_no_amount_names_the_option_and_the_form(house: House, terminal: Terminal, amount: str) -> None:
    """A slip of the keyboard is told with what to type, and changes nothing."""
    account = ("debtor-account", "limit", "--id", house.account_id, "--as", house.boss.email)

    told = r"Invalid value for --soft-per-batch: an amount is (at most 90071992547409\.91|written with a point)"
    with pytest.raises(AssertionError, match=told):
        terminal.run(*account, "--soft-per-batch", amount)

    limit = house.boss.get(f"/v1/debtor-accounts/{house.account_id}/payment-limit").json()
    assert limit["per_batch"]["limit"]["amount"] == "50000.00"


def test_checking_a_connection_that_is_not_there_is_told(house: House, terminal: Terminal) -> None:
    """A mistyped id is no traceback, and neither is a connection that was ended."""
    made = house.boss.post("/v1/connections", {"organization_id": str(house.employer_id), "kind": "upload"}).json()
    house.boss.call("DELETE", f"/v1/connections/{made['id']}")

    for identifier in (str(uuid4()), made["id"]):
        with pytest.raises(NotFound):
            terminal.run("connection", "check", "--id", identifier)
