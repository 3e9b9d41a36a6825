"""Who sees what: one decision, and one place that asks it."""

import re
from itertools import product
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from app.auth.actor import Actor
from app.auth.models import Role
from app.payments.visibility import (
    HIDDEN,
    SalariesHidden,
    Viewer,
    Visibility,
    require_salaries,
    shown_details,
    shown_text,
    visibility,
)

EMPLOYER, OTHER, BATCH = uuid4(), uuid4(), uuid4()
_PAYMENTS = Path(__file__).parents[2] / "app" / "payments"


def _viewer(*roles: str, office: bool = False, sees: bool = False, revealed: frozenset[UUID] = frozenset()) -> Viewer:
    held = frozenset(roles)
    actor = Actor(
        user_id=uuid4(),
        email="a@example.com",
        name="A",
        token_id=uuid4(),
        scopes=frozenset(),
        employers={} if office else {EMPLOYER: held},
        mandates={EMPLOYER: held} if office else {},
        salaries_through_mandate=frozenset({EMPLOYER}) if sees else frozenset(),
    )
    return Viewer(actor=actor, revealed=revealed)


@pytest.mark.parametrize(
    ("viewer", "seen"),
    [
        (_viewer("admin"), Visibility.FULL),
        (_viewer("approver"), Visibility.FULL),
        (_viewer("auditor", "approver"), Visibility.FULL),
        (_viewer("auditor"), Visibility.MASKED),
        (_viewer("auditor", revealed=frozenset({BATCH})), Visibility.REVEALED),
        (_viewer("auditor", revealed=frozenset({OTHER})), Visibility.MASKED),
        (_viewer("admin", "preparer", office=True), Visibility.MASKED),
        (_viewer("preparer", office=True, sees=True), Visibility.FULL),
        (_viewer("auditor", office=True, revealed=frozenset({BATCH})), Visibility.MASKED),
        (_viewer(), Visibility.MASKED),
    ],
)
def test_who_sees_the_lines_of_a_batch(viewer: Viewer, seen: Visibility) -> None:
    """Admin and approver, an office whose mandate says so, an auditor of that employer for a revealed batch only."""
    assert visibility(viewer, EMPLOYER, BATCH) is seen
    assert visibility(viewer, OTHER, BATCH) is Visibility.MASKED


@pytest.mark.parametrize("role", [role.value for role in Role])
def test_a_reveal_opens_nothing_beside_its_batch(role: str) -> None:
    """What is not of one batch (limits, comparison, history) is as it was."""
    revealed = frozenset({BATCH})
    assert visibility(_viewer(role, revealed=revealed), EMPLOYER) is visibility(_viewer(role), EMPLOYER)


def test_nobody_else_decides_who_sees_salaries() -> None:
    """The domain and its routes ask `visibility`, never the actor itself."""
    asking = {path.name for path in _PAYMENTS.rglob("*.py") if re.search(r"\.sees_salaries\(", path.read_text("utf-8"))}
    assert asking == {"visibility.py"}


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("weg: NL42INGB2268352412", f"weg: {HIDDEN}"),
        ("weg: nl42 ingb 2268 3524 12.", f"weg: {HIDDEN}."),
        ("Declared is EUR 19806.08, found is EUR 19.806,08.", f"Declared is {HIDDEN}, found is {HIDDEN}."),
        ("te laag: 2500,00, 2,500.00 en 1 250 000.00", f"te laag: {HIDDEN}, {HIDDEN} en {HIDDEN}"),
        ("moet € 2500 zijn, of 2500 euro", f"moet {HIDDEN} zijn, of {HIDDEN} euro"),
        ("weg: NL42.INGB.2268.3524.12 en NL42-INGB-2268-3524-12", f"weg: {HIDDEN} {HIDDEN}"),
        ("weg: NL42 INGB 2268 3524 12 en NL39 RABO 0300 0652 64", f"weg: {HIDDEN} {HIDDEN}"),
        ("weg: NL42\u00a0INGB\u00a02268\u00a03524\u00a012.", f"weg: {HIDDEN}."),
        ("te laag: 2500,-, 2.500,-- of 2500,\u2013", f"te laag: {HIDDEN}, {HIDDEN} of {HIDDEN}"),
        ("Declared are 8 payments, found are 7.", "Declared are 8 payments, found are 7."),
        ("uitvoerdatum 25-11-2026, run 3 van 2026, regel 12", "uitvoerdatum 25-11-2026, run 3 van 2026, regel 12"),
        ("regels 3, 4 en 5 wachten, 12 ook", "regels 3, 4 en 5 wachten, 12 ook"),
    ],
)
def test_figures_in_free_texts_are_masked(text: str, masked: str) -> None:
    """IBANs and amounts in what people and sources write; dates, counts and numbers stay."""
    seen = shown_text(text, Visibility.MASKED)
    assert seen == masked
    for open_to in (Visibility.FULL, Visibility.REVEALED):
        assert shown_text(text, open_to) == text


def test_details_of_a_record_are_masked() -> None:
    """No total; reasons, notes and problems without figures; the rest as recorded."""
    details = {
        "control_sum_cents": 471_137,
        "number_of_transactions": 1,
        "reason": "4711.37 is te veel",
        "note": "EUR 4.711,37",
        "problems": ["Declared is EUR 4711.37."],
        "file": 1,
    }
    shown = shown_details(details, Visibility.MASKED)
    assert not re.search(r"4\.?711|471137", str(shown))
    assert (shown["number_of_transactions"], shown["file"]) == (1, 1)
    assert shown_details(details, Visibility.FULL) == details


def test_the_refusal_says_what_and_who() -> None:
    """403 with what was asked for; nothing for who may see it."""
    with pytest.raises(SalariesHidden, match="What the digest is made of"):
        require_salaries(Visibility.MASKED, "What the digest is made of")
    for seen in product((Visibility.FULL, Visibility.REVEALED)):
        require_salaries(*seen, "Anything")
