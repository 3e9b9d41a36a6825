"""What the comparison with the last paid run means for the approver: findings, few and only where something is odd.

An unchanged month says nothing. Figures hold no amounts and no full accounts.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

from app.payments import iban as ibans
from app.payments.comparing import Change, Comparison
from app.payments.findings import Draft
from app.payments.matching import ChangeKind, Payment
from app.payments.peaks import Peak

# A comma slip is ten times or a tenth; five leaves room for a raise beside it. Small amounts may well do that.
_JUMP = 5
_JUMP_FLOOR_CENTS = 50_000
_REMARK_PERCENT = 20
# More jumps than this are one question, not hundreds.
_MOST_JUMPS = 20
_MOST_POSITIONS = 40
# Changed accounts of at least three lines and two percent of the lines hold the batch.
_MANY_LINES = 3
_MANY_PERCENT = 2
_WHY = {
    ("holiday_pay", True): ("holiday pay", "vakantiegeld"),
    ("holiday_pay", False): ("the run before held holiday pay", "de vorige run bevatte vakantiegeld"),
    ("thirteenth_month", True): ("a thirteenth month", "een dertiende maand"),
    ("thirteenth_month", False): (
        "the run before held a thirteenth month",
        "de vorige run bevatte een dertiende maand",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which lines the findings are about: `paying` are paid as things stand, `left_out` a person took out.

    `lines` is the number of lines of the batch; `own_accounts` are those the employer pays from.
    """

    lines: int
    paying: Mapping[int, str]
    left_out_third_parties: Mapping[int, str]
    own_accounts: Collection[str] = ()


def draft_changes(comparison: Comparison, asked: Asked) -> Iterator[Draft]:
    """Return the findings of a comparison, those on the batch first."""
    changes = [each for each in comparison.changes if each.line is None or each.line.position in asked.paying]
    if not comparison.is_baseline:
        yield from _batch_findings(comparison, changes, asked)
    yield from _left_out(comparison, asked)
    yield from _own_accounts(comparison, asked)
    if comparison.is_baseline:
        return
    for change in changes:
        yield from _account_findings(change)
    yield from _amount_findings(changes, comparison.peak)


def baseline(comparison: Comparison, lines: Iterable[tuple[str, str]], *, is_live: bool) -> Iterator[Draft]:
    """Return the one question about a first batch: it holds for exactly these names and accounts."""
    if comparison.is_first and is_live:
        # As JSON, because a name is as the source wrote it and may hold what stands between two parts.
        yield Draft(code="first_batch", judged={"payees": _hash(*(json.dumps(line) for line in sorted(lines)))})


def changed_accounts(comparison: Comparison, paying: Collection[int]) -> list[str]:
    """Return marks of the accounts on which a person who is known was never paid, of the lines that are paid."""
    if comparison.is_baseline:
        return []
    return sorted(
        _hash(change.line.name.key, change.line.iban)
        for change in comparison.changes
        if change.line is not None and change.line.position in paying and _is_new_account(change)
    )


def many(count: int, lines: int) -> bool:
    """Say whether so many changed accounts hold a batch of so many lines."""
    return count >= _MANY_LINES and count * 100 >= _MANY_PERCENT * lines


def _is_new_account(change: Change) -> bool:
    return change.kind in (ChangeKind.CHANGED_ACCOUNT, ChangeKind.EXTRA_ACCOUNT) and not change.paid_before


def _batch_findings(comparison: Comparison, changes: list[Change], asked: Asked) -> Iterator[Draft]:
    changed = changed_accounts(comparison, asked.paying)
    if many(len(changed), asked.lines):
        of = {"count": len(changed), "of": asked.lines}
        yield Draft(code="many_accounts_changed", figures=of, judged={"accounts": changed})
    new = [
        each.line for each in changes if each.kind is ChangeKind.NEW and each.line is not None and not each.paid_before
    ]
    if new:
        payees = _hash(*(part for line in new for part in (line.name.key, line.iban)))
        figures = {"count": len(new), "positions": _listed([line.position for line in new])}
        yield Draft(code="new_payees", figures=figures, judged={"payees": payees})
    gone = sum(1 for each in comparison.of_kind(ChangeKind.GONE) if each.previous and not each.previous.is_third_party)
    if gone:
        yield Draft(code="payees_gone", figures={"count": gone})
    if comparison.peak is not None:
        yield _peak_finding(comparison.peak)


def _listed(positions: list[int]) -> str:
    shown = ", ".join(str(each) for each in positions[:_MOST_POSITIONS])
    return shown if len(positions) <= _MOST_POSITIONS else f"{shown}, ..."


def _peak_finding(peak: Peak) -> Draft:
    if peak.code is None:
        return Draft(code="whole_run_moved")
    english, dutch = _WHY[peak.code, peak.is_up]
    return Draft(code="peak_expected", figures={"why_en": english, "why_nl": dutch})


def _left_out(comparison: Comparison, asked: Asked) -> Iterator[Draft]:
    """A third party of the last run that is gone, or one of this run that a person took out."""
    for change in comparison.of_kind(ChangeKind.GONE):
        if change.previous is not None and change.previous.is_third_party:
            judged = {"payee": _hash(change.previous.name.key, change.previous.iban)}
            figures = {"account": ibans.mask(change.previous.iban)}
            yield Draft(code="third_party_left_out", figures=figures, judged=judged)
    for position, iban in asked.left_out_third_parties.items():
        yield Draft(code="third_party_left_out", position=position, figures={"account": ibans.mask(iban)})


def _own_accounts(comparison: Comparison, asked: Asked) -> Iterator[Draft]:
    for position, iban in asked.paying.items():
        if iban in asked.own_accounts and position not in comparison.trusted:
            yield Draft(code="own_account", position=position, field="creditor.iban")


def _account_findings(change: Change) -> Iterator[Draft]:
    line = change.line
    if line is None:
        return
    old = change.old_iban or ""
    if _is_new_account(change) or (change.kind is ChangeKind.CHANGED_NAME and line.is_third_party):
        code, figures = _account_code(change, line)
        previous = change.previous.name.key if change.previous is not None else ""
        judged = {"old": _hash(previous, old)}
        yield Draft(code=code, position=line.position, field="creditor.iban", figures=figures, judged=judged)
    elif change.kind is ChangeKind.CHANGED_ACCOUNT:
        figures = {"old_account": ibans.mask(old)}
        yield Draft(code="account_changed_back", position=line.position, field="creditor.iban", figures=figures)
    elif change.kind is ChangeKind.CHANGED_NAME:
        yield Draft(code="payee_name_changed", position=line.position, field="creditor.name")
    if change.is_first_abroad and not change.paid_before:
        figures = {"country": line.iban[:2]}
        yield Draft(code="first_foreign_account", position=line.position, field="creditor.iban", figures=figures)


def _account_code(change: Change, line: Payment) -> tuple[str, dict[str, str]]:
    if line.is_third_party:
        return "third_party_changed", {}
    if change.kind is ChangeKind.EXTRA_ACCOUNT:
        return "account_added", {}
    return "account_changed", {"old_account": ibans.mask(change.old_iban or "")}


def _amount_findings(changes: Iterable[Change], peak: Peak | None) -> Iterator[Draft]:
    amounts = [each for each in changes if each.kind is ChangeKind.CHANGED_AMOUNT and each.before_cents > 0]
    jumps = [each for each in amounts if _has_jumped(each)]
    if len(jumps) > _MOST_JUMPS:
        judged = {"amounts": _hash(*(f"{_position(each)}:{each.before_cents}:{each.after_cents}" for each in jumps))}
        yield Draft(code="amounts_jumped", figures={"count": len(jumps)}, judged=judged)
    else:
        yield from (_amount_draft("amount_jumped", each) for each in jumps)
    for change in amounts:
        if _is_worth_a_remark(change) and not _has_jumped(change) and not _goes_along(change, peak):
            yield _amount_draft("amount_changed", change)


def _amount_draft(code: str, change: Change) -> Draft:
    figures = {"percent": f"{percent(change.before_cents, change.after_cents):+d}"}
    judged = {"before": _hash(str(change.before_cents), str(change.after_cents))}
    return Draft(code=code, position=_position(change), field="amount", figures=figures, judged=judged)


def percent(before_cents: int, after_cents: int) -> int:
    """Return by how much an amount differs from a positive one before, in whole percents rounded down."""
    return (after_cents - before_cents) * 100 // before_cents


def _has_jumped(change: Change) -> bool:
    low, high = sorted((change.before_cents, change.after_cents))
    return high >= _JUMP_FLOOR_CENTS and high >= _JUMP * low


def _is_worth_a_remark(change: Change) -> bool:
    return abs(change.after_cents - change.before_cents) * 100 >= _REMARK_PERCENT * change.before_cents


def _goes_along(change: Change, peak: Peak | None) -> bool:
    return peak is not None and (change.after_cents > change.before_cents) is peak.is_up


def _position(change: Change) -> int:
    return change.line.position if change.line is not None else 0


def _hash(*parts: str) -> str:
    return sha256("\n".join(parts).encode()).hexdigest()[:24]
