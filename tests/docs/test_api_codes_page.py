"""docs/api-codes.md lists every code that the API can give, and no other."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from app import main
from app.core.errors import AppError, Forbidden, Unavailable
from app.core.web import _STATUS_CODES
from app.payments import guarding, holds, making, reconciling, restored, tiers
from app.payments.api import allowed
from app.payments.history_words import ATTENTION, MISSING
from app.payments.transitions import Action

_ROOT = Path(__file__).parents[2]
_PAGE = (_ROOT / "docs" / "api-codes.md").read_text(encoding="utf-8")
# What others are derived from; nothing raises them themselves.
_ONLY_BASES = frozenset({Forbidden, Unavailable})


def _rows(name: str) -> list[list[str]]:
    table = _PAGE.partition(f"<!-- {name} -->")[2].partition("<!-- end -->")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if "`" in line]
    assert cells, name
    return cells


def _codes(name: str) -> list[str]:
    return [cells[0].strip("`") for cells in _rows(name)]


def _errors(kind: type[AppError] = AppError) -> Iterator[type[AppError]]:
    for each in kind.__subclasses__():
        yield from _errors(each)
        if each.__module__.startswith("app.") and not each.__name__.startswith("_OfStatus"):
            yield each


def test_every_error_stands_on_the_page_with_its_status() -> None:
    """Whoever reads a code in an answer finds it here; the framework's own statuses are among them."""
    assert main.__name__ == "app.main"  # which imports everything that can be raised
    raised = {(str(each.status), each.code) for each in _errors() if each not in _ONLY_BASES}
    framework = {(str(status), code) for status, code in _STATUS_CODES.items()}

    listed = [(cells[0], cells[1].strip("`")) for cells in _rows("errors")]

    assert sorted(listed) == sorted(raised | framework)


def test_every_reason_against_an_action_stands_on_the_page() -> None:
    """What `allowed_actions` gives is the code of an error, or one of the few that the page explains."""
    errors = {each.code for each in _errors()}
    known = set(_named_reasons()) | {"role_missing", "scope_missing"}

    assert sorted(known - errors) == sorted(_codes("reasons"))
    assert {"held", "payment_limit_exceeded", "erased"} <= known


def _named_reasons() -> Iterator[str]:
    for node in ast.walk(ast.parse(inspect.getsource(allowed))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_named":
            (reasons,) = node.args
            assert isinstance(reasons, ast.Dict)
            yield from (
                key.value for key in reasons.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)
            )


def test_every_action_stands_on_the_page() -> None:
    """Each button has its call."""
    named = set(re.findall(r"`([a-z_]+)`", _PAGE.partition("| action | call |")[2].partition("\n\n")[0]))

    assert {action.value for action in Action} <= named


def test_every_hold_stands_on_the_page() -> None:
    """A hold that somebody sees is explained, with who lifts it."""
    by_name = {
        *(holds.BY_PERSON, guarding.MANY_ACCOUNTS_CHANGED, guarding.PAID_AFTER_REFUSAL, guarding.WITHDRAWN_AT_BANK),
        *(making.SOURCE_CHANGED, reconciling.PAID_MEANWHILE, *(fault.value for fault in restored.Fault)),
    }

    assert sorted(_codes("holds")) == sorted(by_name | set(_holds_placed_by_code()))


def _holds_placed_by_code() -> Iterator[str]:
    """Give the codes that stand in the calls that place a hold, and not under a name."""
    for path in (_ROOT / "app" / "payments").glob("*.py"):
        yield from re.findall(r'holds\.place[a-z_]*\([^()]*code="([a-z_]+)"', path.read_text(encoding="utf-8"))


def test_what_approvals_lack_stands_on_the_page() -> None:
    """Why more than one approval is needed, and why those given are not enough."""
    tree = ast.parse(inspect.getsource(tiers.requirement))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    reasons = {text for text in texts if isinstance(text, str) and " " not in text}

    assert sorted(_codes("approvals")) == sorted(reasons | set(MISSING))


def test_every_code_of_attention_stands_on_the_page() -> None:
    """What the batch says that a person should look at."""
    assert sorted(_codes("attention")) == sorted(ATTENTION)
