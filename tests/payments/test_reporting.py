"""The history in Dutch: every event that the code records has words, and the details say what matters."""

import ast
import csv
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.auth.models import OrganizationKind
from app.core.history import SEALED
from app.payments import attention, history_words, tiers
from app.payments.line_states import LineStage
from app.payments.models import BatchStatus
from app.payments.reporting import RESULTS, HistoryLine, as_csv
from app.payments.statements import Fact
from app.payments.two_people import KINDS
from tests.support.house import House

_SOURCE = Path(__file__).parents[2] / "app"
# What an event's name is made of where it is not written out.
_MADE_OF = {
    "f'bank.{said.fact.value}'": [f"bank.{fact}" for fact in Fact],
    "f'batch.{to.value}'": [f"batch.{status}" for status in (BatchStatus.REJECTED, BatchStatus.CANCELLED)],
    "f'{kind}.added'": [f"{kind}.added" for kind in OrganizationKind],
}


def _recorded_events() -> set[str]:
    """Return every event that the code records, by reading it; what cannot be read fails."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in _recorders()]
    shared = {name: at for tree in trees for name, at in _tellers(tree) if not name.startswith("_")}
    return {event for tree in trees for value in _values(tree, shared) for event in _names(value)}


def _recorders() -> list[Path]:
    """Return the modules that could write history: those that import its words, or a function that tells something."""
    known = re.compile(
        r"^from app\..* import .*\b(history|Fact|Move|Change|Reopening|progress|revising|tell\w*)\b", re.MULTILINE
    )
    return [path for path in sorted(_SOURCE.rglob("*.py")) if known.search(path.read_text(encoding="utf-8"))]


def _tellers(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the functions that tell the history something, with the place of their argument `event`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.lstrip("_").startswith("tell"):
            names = [argument.arg for argument in node.args.args]
            if "event" in names:
                yield node.name, names.index("event")


def _values(tree: ast.Module, shared: dict[str, int]) -> Iterator[ast.expr]:
    """Yield what is given as an event: by name, by its place, or through a variable of that name."""
    places = shared | dict(_tellers(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from (keyword.value for keyword in node.keywords if keyword.arg == "event")
            at = places.get(node.func.id) if isinstance(node.func, ast.Name) else None
            if at is not None and at < len(node.args):
                yield node.args[at]
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "event":
            yield node.value


def _names(value: ast.expr) -> list[str]:
    if isinstance(value, ast.Constant):
        return [str(value.value)]
    if isinstance(value, ast.IfExp):
        return [*_names(value.body), *_names(value.orelse)]
    if isinstance(value, ast.Name) and value.id == "SEALED":
        return [SEALED]
    if isinstance(value, ast.JoinedStr):
        return _MADE_OF[ast.unparse(value)]
    assert ast.unparse(value).rpartition(".")[2] == "event", f"which event is {ast.unparse(value)}?"
    return []  # handed on: where it comes from is read as well


def test_every_event_has_dutch_words() -> None:
    """An employer reads what happened in Dutch, whatever the code recorded; and no words are left of what is gone."""
    recorded = _recorded_events()

    assert len(recorded) > 60
    assert recorded == set(RESULTS)


def test_every_code_in_the_details_has_dutch_words() -> None:
    """Kinds of proposals, what asks for attention, what the bank says and what an approval misses are written out."""
    assert set(history_words.PROPOSALS) == set(KINDS)
    assert {kind for kind, rule in KINDS.items() if rule.frees_money} == history_words.FREES_MONEY
    assert set(history_words.STAGES) == {stage.value for stage in LineStage}
    assert set(history_words.ATTENTION) == _strings_in(attention.of_batch)
    assert set(history_words.MISSING) == _strings_in(tiers.still_missing)


def _strings_in(function: Callable[..., object]) -> set[str]:
    """Return the codes that a function knows: its texts without blanks."""
    tree = ast.parse(inspect.getsource(function))
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {text for text in constants if isinstance(text, str) and " " not in text}


_WITHDRAWAL = "bestand intrekken dat niet bij de bank is; Niet ingelezen"
_REPORTED = {"file": 1, "lines": {"settled": 7, "rejected": 1}, "contradictions": 1}


@pytest.mark.parametrize(
    ("event", "details", "words"),
    [
        (
            "proposal.made",
            {"kind": "statement", "reason": "AC04", "waits_until": None},
            "verklaring over wat de bank deed; AC04; wacht op een tweede persoon",
        ),
        (
            "proposal.made",
            {"kind": "file_withdrawal", "reason": "Niet ingelezen", "waits_until": "2026-11-22T10:00:00+00:00"},
            f"{_WITHDRAWAL}; wacht op een tweede persoon, of tot 22-11-2026 11:00, omdat er maar één persoon is",
        ),
        (
            "proposal.waited",
            {"kind": "hold_lifting", "reason": "Gebeld"},
            "blokkade opheffen; Gebeld; er was maar één persoon",
        ),
        (
            "proposal.waited",
            {"kind": "approval_policy", "reason": "Rustiger"},
            "aantal goedkeurders wijzigen; Rustiger; na een dag wachten, zonder tweede persoon",
        ),
        (
            "batch.approval_given",
            {"given": 1, "required": 2, "missing": ["more_approvals"]},
            "1 van 2 goedkeuringen; er is nog een goedkeuring nodig",
        ),
        ("batch.approved", {"given": 1, "required": 1, "one_person_firm": True}, "bedrijf met één goedkeurder"),
        (
            "bank.reported",
            _REPORTED,
            "bestand 1; 7 uitgevoerd, 1 afgekeurd; 1 regel tegenstrijdig: zoek dit uit bij de bank",
        ),
        (
            "bank.reported",
            {"lines": {"accepted": 3}, "file": 1, "disagreements": ["account", "statements_differ", "sum"]},
            (
                "bestand 1; 3 geaccepteerd; "
                "de bank noemt een andere rekening, een ander totaal: is dit wel het bestand dat is goedgekeurd?"
            ),
        ),
        (
            "bank.refused",
            {"lines": 1, "reason": "Rekening opgeheven", "reason_code": "AC04", "file": 2, "by": "two_people"},
            "bestand 2; 1 regel; Rekening opgeheven (AC04); door twee personen",
        ),
        ("bank.returned", {"position": 3, "reason": "Terug", "reason_code": None}, "regel 3; Terug"),
        (
            "batch.line_released",
            {"position": 3, "replaces": "5f", "reason": "Correctie"},
            "regel 3; vervangt een andere regel; Correctie",
        ),
        ("batch.attention", {"codes": ["approve_today"]}, "vandaag goedkeuren om op tijd te betalen"),
        (
            "batch.expiry_warned",
            {"warning": 1, "expires_on": "2027-02-23"},
            "waarschuwing 1; verloopt op 23-02-2027",
        ),
        (
            "batch.reissued",
            {"requested_execution_date": "2026-11-26", "was": "2026-11-25"},
            "uitvoerdatum 26-11-2026 in plaats van 25-11-2026",
        ),
        ("batch.follow_up_made", {"lines": 2}, "2 regels van de niet-betaald-lijst"),
        ("file.handed_out", {"first": False, "reason": "Kwijt"}, "opnieuw; Kwijt"),
        (
            "policy.set",
            {"tiers": [{"from_cents": 0, "required": 1}, {"from_cents": 5_000_000, "required": 2}]},
            "vanaf EUR 0,00: 1; vanaf EUR 50.000,00: 2",
        ),
        (
            "member.added",
            {"name": "Ada", "role": "approver", "ends_on": "2026-12-31"},
            "Ada; approver; tot en met 31-12-2026",
        ),
        (
            "token.issued",
            {"name": "Ada", "scopes": ["approve", "read"], "is_unattended": True},
            "Ada; approve, read; voor een programma",
        ),
        ("batch.made", {"lines": 3}, ""),
    ],
)
def test_details_say_what_matters(event: str, details: dict[str, Any], words: str) -> None:
    """Beside the result stand the reason, the line or file it is about, and who stood in for whom."""
    assert history_words.more_of(event, details) == words


def test_a_withdrawal_reads_as_a_story(house: House) -> None:
    """Asked by one, confirmed by another, withdrawn: three records that an auditor understands without codes."""
    second = house.second_person()
    batch = house.approved()
    house.handed_out(batch["id"])
    for person in (house.boss, second):
        person.post(f"/v1/payment-batches/{batch['id']}/withdrawals", {"reason": "Niet ingelezen"})

    told = [(line["result"], line["details"]) for line in house.boss.get("/v1/history").json()[:3]]

    assert told == [
        ("Bestand ingetrokken, niet bij de bank", "3 items, EUR 7.503,00; bestand 1; Niet ingelezen"),
        ("Bevestigd door een tweede persoon", _WITHDRAWAL),
        ("Gevraagd, wacht op een tweede persoon", f"{_WITHDRAWAL}; wacht op een tweede persoon"),
    ]


@pytest.mark.parametrize("text", ["=1+1", "+31 6", "-1+1", "@SUM(A1)", "\t=1+1", " \r\n=1+1"])
@pytest.mark.parametrize("column", ["result", "account", "administration", "details", "actor", "event"])
def test_no_cell_begins_as_a_formula(column: str, text: str) -> None:
    """An administration or a person may be named like a formula; a spreadsheet shows the name and counts nothing."""
    plain = HistoryLine(
        organization_id=UUID(int=1),
        sequence=1,
        occurred_at=datetime(2026, 11, 21, tzinfo=UTC),
        event="batch.made",
        result="Betaalbatch klaargezet",
        account="NL02 ABNA 0123 4567 89",
        administration="1000 Bakkerij",
        details="8 betalingen",
        actor="Anna",
        payment_batch_id=None,
        facts={},
    )

    rows = list(csv.reader(as_csv([replace(plain, **{column: text})]).decode("utf-8-sig").splitlines(), delimiter=";"))

    assert f"'{text.strip()}" in rows[1]
    assert not [cell for cell in rows[1] if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
