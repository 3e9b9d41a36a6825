"""Canaries: unmistakable names, accounts, amounts, texts and secrets go in everywhere, and are then looked for.

The real service at its most talkative, with faults on: a wrong PIN, documents that are garbage or do not add up, a bank
that refuses, a table that is gone, a row that the database refuses. There are no mails yet; when there are, what was
sent is searched here as well.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from tests.end_to_end.town import COMPANY, Town, running_town, until
from tests.support.house import PIN, WRONG_PIN, Person
from tests.support.postgres import TestDatabase


def _iban(bank: str, account: str) -> str:
    """Return the Dutch IBAN of an account number, with its check digits (ISO 13616)."""
    digits = "".join(str(int(character, 36)) for character in f"{bank}{account}NL00")
    return f"NL{98 - int(digits) % 97:02d}{bank}{account}"


NAMES = ("Kanarie Geelvink", "Kanarie Putter", "Kanarie Barmsijs")
IBANS = (_iban("INGB", "0918273645"), _iban("RABO", "0192837465"), "NL00BANK0555444333")
AMOUNTS = ("4711.37", "4869.39", "3907.41")
TEXTS = ("Kwetterlied november", "Sijsjeszang november", "BSN 123456782 kanarieloon")
GARBAGE = "Kanarie-in-een-bestand"
BANK_WORDS = "Kanarie zegt de bank"
# What people may see, and no log, job, error or history may hold.
PEOPLE = (*NAMES, *IBANS, *(" ".join(re.findall("....|.+", iban)) for iban in IBANS), *TEXTS, "123456782")
FIGURES = tuple(
    form
    for amount in AMOUNTS
    for form in (
        amount,
        amount.replace(".", ","),
        f"{amount[0]}.{amount[1:].replace('.', ',')}",
        amount.replace(".", ""),
    )
)
# The tables that hold lines, and the sum and name of a run; everything else must do without people.
_LINES = {"credit_transfer", "obligation", "batch_comparison", "remembered_kind"}


@dataclass
class Aviary:
    """A town in which every refusal is written down."""

    town: Town
    database: TestDatabase
    refusals: list[str] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)

    def call(self, method: str, path: str, *, by: Person | None = None, **options: Any) -> Any:
        """Send a request; keep what an error says, headers and all."""
        answer = (by or self.town.boss).call(method, path, **options)
        self.statuses.add(answer.status_code)
        if answer.status_code >= 400:
            self.refusals.append(f"{answer.headers} {answer.text}")
        return answer

    def execute(self, *statements: str) -> None:
        """Change the database under the service's feet."""
        with self.superuser() as connection:
            for statement in statements:
                connection.execute(sa.text(statement))

    @contextmanager
    def superuser(self) -> Iterator[sa.Connection]:
        """Give a connection that may see and change everything."""
        engine = sa.create_engine(self.database.superuser_url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            yield connection
        engine.dispose()

    def rows(self) -> Mapping[str, str]:
        """Return every row of every table, as text."""
        with self.superuser() as connection:
            names = connection.execute(sa.text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars()
            return {
                name: "\n".join(connection.execute(sa.text(f'SELECT t::text FROM "{name}" t')).scalars())
                for name in names
            }


def _server_log(database: TestDatabase) -> str:
    """Return the log of PostgreSQL itself: it lies beside the socket's folder."""
    host = sa.make_url(database.superuser_url).query["host"]
    return (Path(str(host)).parent / "postgres.log").read_text("utf-8", "replace")


def _found(text: str, planted: tuple[str, ...]) -> list[str]:
    """Return what of the planted stands in a text. Digits count only where no longer number surrounds them."""
    return [each for each in planted if re.search(rf"(?<![0-9A-Za-z]){re.escape(each)}(?![0-9A-Za-z])", text)]


def _finish(town: Town, **changes: Any) -> int:
    town.last_run += 1
    lines = [
        {"name": name, "iban": iban, "amount": amount, "remittance": text}
        for name, iban, amount, text in zip(NAMES, IBANS, AMOUNTS, TEXTS, strict=True)
    ]
    run = {"id": town.last_run, "number": town.last_run, "year": 2026, "period_start": 11, "period_end": 11}
    described = {"description": f"Salaris {town.last_run}", "run_at": {"minutes_ago": 1}, "lines": lines}
    return town.nmbrs.finish_run(COMPANY, {**run, **described, **changes})


def _main_flow(aviary: Aviary) -> dict[str, Any]:
    """From Run Einde to a bank that refuses, with everything that can be mistyped on the way."""
    town = aviary.town
    run_id = _finish(town)
    batch: dict[str, Any] = until(lambda: town.batches_of(run_id) or town.sync(), "a batch")[0]
    assert batch["number_of_transactions"] == 2
    assert town.boss.approve(batch, pin=WRONG_PIN).status_code == 403
    aviary.refusals.append(town.boss.approve(batch, pin=WRONG_PIN).text)
    town.boss.acknowledge(batch)
    approved = town.boss.approve(batch)
    assert approved.status_code == 201, approved.text
    path = f"/v1/payment-batches/{batch['id']}"
    file = town.boss.get(f"{path}/file")
    assert NAMES[0].encode() in file.content
    etag = {"If-Match": f'"r{batch["revision"]}"'}
    aviary.call("POST", f"{path}/deliveries", json={"hash_seen": "00000000"}, headers=etag)
    seen = {"hash_seen": approved.json()["file"]["sha256"][:8]}
    assert aviary.call("POST", f"{path}/deliveries", json=seen, headers=etag).status_code == 201
    report = _refusal(approved.json()["file"]["message_id"])
    xml = {"Content-Type": "application/xml"}
    told = aviary.call("POST", "/v1/status-reports", content=report, headers=xml)
    assert told.status_code == 201, told.text
    return batch


def _refusal(message_id: str) -> bytes:
    """Return a status report in which the bank refuses the file, in its own words."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.03"><CstmrPmtStsRpt>
<GrpHdr><MsgId>R1</MsgId><CreDtTm>2026-11-21T10:00:00</CreDtTm></GrpHdr>
<OrgnlGrpInfAndSts><OrgnlMsgId>{message_id}</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>
<GrpSts>RJCT</GrpSts><StsRsnInf><Rsn><Cd>AM05</Cd></Rsn><AddtlInf>{BANK_WORDS}</AddtlInf></StsRsnInf>
</OrgnlGrpInfAndSts></CstmrPmtStsRpt></Document>""".encode()


def _mistakes(aviary: Aviary, batch: Mapping[str, Any]) -> None:
    """Garbage where files belong, secrets and people where ids belong."""
    town, path = aviary.town, f"/v1/payment-batches/{batch['id']}"
    xml = {"Content-Type": "application/xml"}
    bad = f"<Document><{GARBAGE.replace('-', '')}>{NAMES[0]} {IBANS[0]}</Document>".encode()
    for where in ("/v1/status-reports", "/v1/payment-files/comparison", _payroll_files(aviary)):
        for content in (bad, bad * 50_000, b"\xff\xfe" + bad, GARBAGE.encode()):
            aviary.call("POST", where, content=content, headers=xml)
    for value in (NAMES[1], IBANS[1], AMOUNTS[1], town.boss.token):
        aviary.call("GET", f"/v1/payment-batches/{value}")
        aviary.call("GET", f"/v1/payment-batches?status={value}")
        aviary.call("POST", f"{path}/rejection", json={"reason": value, value: value})
        aviary.call("GET", "/v1/me", headers={"Authorization": f"Bearer {value}"})
    aviary.call("POST", f"{path}/approvals", json={"digest": IBANS[0], "pin": PIN * 4})
    aviary.call("POST", f"{path}/rejection", json={"reason": f"{NAMES[0]} {IBANS[0]} " * 2_000})
    aviary.call("GET", f"/v1/payment-batches/{uuid4()}?status={NAMES[0]}")
    aviary.call("GET", f"/v1/payment-batches/{uuid4()}")
    hook = town.boss.client.post(town.webhook_url, content=f'{{"Name": "{NAMES[2]}", "IBAN": "{IBANS[0]}"')
    assert hook.status_code == 202


def _payroll_files(aviary: Aviary) -> str:
    organization = aviary.town.boss.get("/v1/employers").json()[0]["id"]
    made = aviary.call("POST", "/v1/connections", json={"organization_id": organization, "kind": "upload"}).json()
    body = {"number": "7", "name": "Los"}
    found = aviary.call("POST", f"/v1/connections/{made['id']}/administrations", json=body).json()
    return f"/v1/administrations/{found['id']}/payroll-files"


def _breakage(aviary: Aviary, batch: Mapping[str, Any]) -> None:
    """Take a table away under a request, and have the database refuse, and quote, a line under a job."""
    aviary.execute("ALTER TABLE finding RENAME TO finding_away")
    assert aviary.call("GET", f"/v1/payment-batches/{batch['id']}/findings").status_code == 500
    aviary.execute(
        "ALTER TABLE finding_away RENAME TO finding",
        "ALTER TABLE credit_transfer ADD CONSTRAINT no_birds CHECK (creditor_name NOT LIKE '%Kanarie%') NOT VALID",
    )
    try:
        run_id = _finish(aviary.town, period_start=12, period_end=12)
        aviary.town.sync()
        log = aviary.town.service.log
        until(lambda: "no_birds" in log.read_text(encoding="utf-8", errors="replace"), f"the failing job of {run_id}")
    finally:
        aviary.execute("ALTER TABLE credit_transfer DROP CONSTRAINT no_birds")


@pytest.mark.slow
def test_no_canary_escapes(database: TestDatabase, tmp_path: Path) -> None:
    """Not into the log, jobs, errors, history or temporary files; secrets into no table, people only into lines."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    with running_town(database, tmp_path, LOONSTROOM_LOG_LEVEL="DEBUG", TMPDIR=str(folder)) as town:
        aviary = Aviary(town, database)
        batch = _main_flow(aviary)
        _mistakes(aviary, batch)
        _breakage(aviary, batch)
        log = town.service.log.read_text(encoding="utf-8", errors="replace")
        tables = aviary.rows()
        left = _server_log(database) + "".join(
            path.read_text("utf-8", "replace") for path in folder.rglob("*") if path.is_file()
        )
        secrets = (town.boss.token, town.webhook_url.split("/")[4], "demo-token-not-a-secret", PIN, WRONG_PIN)

    assert {401, 404, 409, 413, 422, 500} <= aviary.statuses
    assert "CheckViolation" in log
    everything = (*PEOPLE, *FIGURES, GARBAGE, BANK_WORDS, *secrets)
    assert _found(log, (*everything, "boss@demo.example")) == []
    assert _found("\n".join(aviary.refusals), everything) == []
    assert _found(left, everything) == []
    for name, rows in tables.items():
        assert _found(rows, (*secrets, GARBAGE, BANK_WORDS)) == [], name
        if name not in _LINES:
            assert _found(rows, PEOPLE) == [], name
    for name in ("history_entry", "procrastinate_jobs", "procrastinate_events"):
        assert _found(tables[name], FIGURES) == [], name
    assert set(NAMES) <= set(_found(tables["credit_transfer"], PEOPLE)), "the canaries were never let in"
    assert json.loads(log.splitlines()[-1])


def test_a_canary_is_found_where_it_is() -> None:
    """The search itself finds each planted value, grouped, with a comma, and in JSON."""
    said = json.dumps({"who": PEOPLE, "what": FIGURES})
    assert _found(said, (*PEOPLE, *FIGURES)) == [*PEOPLE, *FIGURES]
    assert _found("a4711371b 14711.371", FIGURES) == []
