"""This run beside the last paid one: who is new, gone, paid elsewhere or paid another amount. Pure, and linear."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.payments.matching import ChangeKind, Matching, Past, Payee, Payment
from app.payments.payee_names import Name, name_of
from app.payments.peaks import Peak, RunPeriod, find_peak


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference. `line` is None for who is gone, `previous` for who was not in the last paid run.

    `paid_before`: this name was paid on this account before, though not in the last run. Of a changed amount
    `before_cents` and `after_cents` are what the account got then and gets now.
    """

    kind: ChangeKind
    line: Payment | None = None
    previous: Payment | None = None
    old_iban: str | None = None
    paid_before: bool = False
    is_first_abroad: bool = False
    before_cents: int = 0
    after_cents: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A run beside the last paid one. `is_extra`: its period was paid already, so absence and amounts say nothing.

    `trusted` are the positions of lines whose pair (name, IBAN) was paid before; `is_first`: nothing of this
    administration was ever paid.
    """

    changes: Sequence[Change] = ()
    same_count: int = 0
    trusted: frozenset[int] = frozenset()
    is_first: bool = False
    is_extra: bool = False
    has_previous: bool = False
    peak: Peak | None = None

    @property
    def is_baseline(self) -> bool:
        """Whether there is nothing to compare with: one question about the whole takes the place of all others."""
        return self.is_first and not self.has_previous

    def of_kind(self, kind: ChangeKind) -> list[Change]:
        """Return the changes of one kind, in the order of the lines."""
        return [change for change in self.changes if change.kind is kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is compared: the lines of this run, those of the last paid run, and every (name, IBAN) ever paid."""

    lines: Sequence[Payment]
    previous: Sequence[Payment]
    known: Iterable[tuple[Name, str]]
    period: RunPeriod
    home_country: str = "NL"
    is_first: bool = False
    is_extra: bool = False


def needs_history(lines: Sequence[Payment], previous: Sequence[Payment]) -> bool:
    """Say whether a line is not, letter by letter, to a name and account of the last paid run."""
    paid = {(each.name.spelling, each.iban) for each in previous}
    return any((line.name.spelling, line.iban) not in paid for line in lines)


def compare(question: Question) -> Comparison:
    """Return every difference with the last paid run, in the order of the lines, those who are gone last."""
    past = Past(question.previous, question.known)
    payees: dict[Payee, list[Payment]] = defaultdict(list)
    for line in question.lines:
        payees[past.identity(line.name), line.iban].append(line)
    matching = Matching(past, payees)
    changes = list(_changes_of_payees(question, past, payees, matching))
    peak, amounts = None, []
    if not question.is_extra:
        amounts = list(_amounts(past, payees, matching))
        totals = [_totals(past, payees, matching, payee) for payee in matching.partner]
        peak = find_peak(totals, question.period)
        changes += _gone(question, past, matching)
    changes += amounts
    touched = {change.line.position for change in changes if change.line is not None}
    return Comparison(
        changes=sorted(changes, key=_order),
        same_count=sum(1 for line in question.lines if line.position not in touched),
        trusted=frozenset(line.position for payee, lines in payees.items() if past.is_known(payee) for line in lines),
        is_first=question.is_first,
        is_extra=question.is_extra,
        has_previous=bool(question.previous),
        peak=peak,
    )


def _changes_of_payees(
    question: Question, past: Past, payees: Mapping[Payee, Sequence[Payment]], matching: Matching
) -> Iterator[Change]:
    """Yield one change a line of every payee that was not in the last run as it is now."""
    for payee, kind in matching.kinds.items():
        partner = matching.partner.get(payee)
        before = past.last[partner] if partner is not None else []
        abroad = _is_first_abroad(question, past, payee, partner)
        for index, line in enumerate(payees[payee]):
            yield Change(
                kind=kind,
                line=line,
                previous=before[min(index, len(before) - 1)] if before else None,
                old_iban=matching.old_ibans.get(payee),
                paid_before=past.is_known(payee),
                is_first_abroad=abroad,
            )


def _is_first_abroad(question: Question, past: Past, payee: Payee, partner: Payee | None) -> bool:
    """Say whether this is the first account abroad of a person: paid abroad before, on another account, is none."""
    home = question.home_country
    accounts = past.accounts.get(payee[0] if partner is None else partner[0], set())
    return payee[1][:2] != home and not any(iban[:2] != home for iban in accounts)


def _gone(question: Question, past: Past, matching: Matching) -> Iterator[Change]:
    present = set(matching.partner.values())
    for each in question.previous:
        if (past.identity(each.name), each.iban) not in present:
            yield Change(kind=ChangeKind.GONE, previous=each)


def _amounts(past: Past, payees: Mapping[Payee, Sequence[Payment]], matching: Matching) -> Iterator[Change]:
    for payee, partner in matching.partner.items():
        yield from _amount_changes(payees[payee], past.last[partner])


def _amount_changes(now: Sequence[Payment], before: Sequence[Payment]) -> Iterator[Change]:
    """Yield the lines of one payee whose amount changed; with another number of lines, what the account gets in all."""
    known = Counter(each.amount_cents for each in before)
    left = [line for line in now if not _taken_from(known, line.amount_cents)]
    lost = sorted(known.elements())
    if len(left) == len(lost):
        left.sort(key=lambda line: line.amount_cents)
        pairs = zip(left, lost, strict=True)
    else:
        total = sum(line.amount_cents for line in now)
        yield _amount_change(max(left or now, key=lambda line: line.amount_cents), before, None, total)
        return
    for line, cents in pairs:
        yield _amount_change(line, before, cents, line.amount_cents)


def _amount_change(line: Payment, before: Sequence[Payment], cents: int | None, after_cents: int) -> Change:
    previous = next((each for each in before if each.amount_cents == cents), before[0])
    return Change(
        kind=ChangeKind.CHANGED_AMOUNT,
        line=line,
        previous=previous,
        before_cents=sum(each.amount_cents for each in before) if cents is None else cents,
        after_cents=after_cents,
    )


def _taken_from(known: Counter[int], cents: int) -> bool:
    if known[cents] <= 0:
        return False
    known[cents] -= 1
    return True


def _totals(past: Past, payees: Mapping[Payee, Sequence[Payment]], matching: Matching, payee: Payee) -> tuple[int, int]:
    before, now = past.last[matching.partner[payee]], payees[payee]
    return sum(each.amount_cents for each in before), sum(each.amount_cents for each in now)


def _order(change: Change) -> tuple[bool, int]:
    return change.line is None, change.line.position if change.line is not None else 0


def names_of(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[Name, str]]:
    """Return (name, IBAN) as they are compared from what the source wrote."""
    return ((name_of(text), iban) for text, iban in pairs)
