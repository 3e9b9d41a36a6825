"""Where a line stands at the bank after everything that was heard of it, in whatever order and however often.

A state is the set of statements heard; what it means is computed from the whole set. So the order of reports does not
matter, a report that comes twice changes nothing, and nothing that a bank said is ever lost:

- A rejection after an acceptance is legal and holds; an acceptance never undoes a rejection, whichever came first.
- Settled is never undone by a lesser statement that comes late.
- Settled *and* rejected (or cancelled, or blocked and rejected) contradict each other: a person looks, nothing is
  released or closed by the machine.
- A name check and a wait for a signature at the bank are sub-states beside the stage.

A return is another fact, known from the account statement and not from a status report: it is none of these stages.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce

from app.payments.reason_codes import ReasonFlag, flags_of
from app.payments.status_codes import REJECTING, Category, category_of, normal_code
from app.payments.status_report_model import Reason, StatedStatus


class LineStage(StrEnum):
    """How far a line is at the bank."""

    NONE = "none"
    RECEIVED = "received"
    ACCEPTED = "accepted"
    SETTLED = "settled"
    REJECTED = "rejected"
    CONTRADICTION = "contradiction"


@dataclass(frozen=True, slots=True, kw_only=True)
class NameCheck:
    """What the bank says of name and account.

    `code` as in the table of statuses; `proposed_name` is what the bank writes with a close match, as it writes it.
    """

    code: str
    proposed_name: str | None = None


# How far each category brings a line. A name check shows that the bank has the line; PART and an unknown code say
# nothing of it. PDNG does not tell whether everybody signed, so it does not end a wait for a signature.
_PROGRESS: Mapping[Category, int] = {
    Category.RECEIVED: 1,
    Category.PENDING: 1,
    Category.NAME_CHECK: 1,
    Category.AWAITING_SIGNATURE: 2,
    Category.ACCEPTED: 3,
    Category.SETTLING: 3,
    Category.BLOCKED: 3,
    Category.SETTLED: 4,
}
_AWAITING = _PROGRESS[Category.AWAITING_SIGNATURE]
_STAGES = (LineStage.NONE, LineStage.RECEIVED, LineStage.RECEIVED, LineStage.ACCEPTED, LineStage.SETTLED)
# Neither paid nor given back, or paid: together with a rejection that cannot be true.
_MONEY_IS_GONE = frozenset({Category.SETTLED, Category.BLOCKED})
# Of several outcomes of the check the last in this order counts: what asks most of a person.
_NAME_CHECKS = ("RVNC", "RCVC", "RVCM", "RVNA", "RVMC", "RVNM")
_PROPOSING = "RVMC"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineState:
    """Everything that banks said of a line. Two states are equal when the same was heard."""

    heard: frozenset[StatedStatus] = frozenset()

    @property
    def stage(self) -> LineStage:
        """How far the line is, as far as what was heard goes together."""
        if self._says(REJECTING):
            return LineStage.CONTRADICTION if self._says(_MONEY_IS_GONE) else LineStage.REJECTED
        return _STAGES[self._progress]

    @property
    def awaiting_bank_signature(self) -> bool:
        """Whether somebody still has to sign at the bank: nothing heard is further than that."""
        return self._progress == _AWAITING and not self._says(REJECTING)

    @property
    def is_blocked(self) -> bool:
        """Whether the bank keeps the money: neither paid to the creditor nor given back."""
        return self._says({Category.BLOCKED})

    @property
    def name_check(self) -> NameCheck | None:
        """The outcome of the name check; of several, the one that asks most of a person."""
        codes = {normal_code(each.code or "") for each in self.heard} & set(_NAME_CHECKS)
        if not codes:
            return None
        return NameCheck(code=max(codes, key=_NAME_CHECKS.index), proposed_name=self._proposed_name)

    @property
    def reasons(self) -> frozenset[Reason]:
        """Why it was rejected or cancelled."""
        return frozenset(reason for each in self.heard if category_of(each) in REJECTING for reason in each.reasons)

    @property
    def flags(self) -> frozenset[ReasonFlag]:
        """What forbids to take the rejection for "not paid, pay again" without more."""
        return flags_of(self.reasons)

    @property
    def unknown_codes(self) -> frozenset[str]:
        """Codes that nobody told of, as the bank wrote them: to be shown."""
        return frozenset(
            each.code for each in self.heard if each.code is not None and category_of(each) is Category.UNKNOWN
        )

    @property
    def _progress(self) -> int:
        return max((_PROGRESS.get(category_of(each), 0) for each in self.heard), default=0)

    @property
    def _proposed_name(self) -> str | None:
        # Banks give the name in the words of the reason. The set has no order, so the names are put in one.
        names = {
            " ".join(reason.texts)
            for each in self.heard
            if normal_code(each.code or "") == _PROPOSING
            for reason in each.reasons
            if reason.texts
        }
        return " / ".join(sorted(names)) or None

    def _says(self, categories: Iterable[Category]) -> bool:
        return not {category_of(each) for each in self.heard}.isdisjoint(categories)


NOTHING_HEARD = LineState()


def advance(current: LineState, statement: StatedStatus) -> LineState:
    """Return the state of a line after one more statement; a statement without a code says nothing."""
    if statement.code is None:
        return current
    return LineState(heard=current.heard | {statement})


def state_after(statements: Iterable[StatedStatus]) -> LineState:
    """Return the state of a line of which exactly these statements were heard, in any order."""
    return reduce(advance, statements, NOTHING_HEARD)
