"""A status report laid upon one file, as values: what holds for each instruction and line, and what does not fit."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from app.payments.status_codes import REJECTING, Category, category_of
from app.payments.status_matching import Stranger
from app.payments.status_report_model import StatedStatus

# Of several statements that hold at once the first in this order is shown: what asks most of a person.
_SHOWN_FIRST = (
    Category.REJECTED,
    Category.CANCELLED,
    Category.BLOCKED,
    Category.UNKNOWN,
    Category.SETTLED,
    Category.SETTLING,
    Category.ACCEPTED,
    Category.AWAITING_SIGNATURE,
    Category.NAME_CHECK,
    Category.PENDING,
    Category.PARTIAL,
    Category.RECEIVED,
)


class Level(StrEnum):
    """Where in the report a statement stands."""

    LINE = "line"
    INSTRUCTION = "instruction"
    GROUP = "group"


class DisagreementKind(StrEnum):
    """In what way the report does not fit the file, or itself."""

    MESSAGE_ID = "message_id"  # it does not name the file; what it says of the whole file is then left out
    COUNT = "count"  # it counts other payments in the file or instruction
    SUM = "sum"  # it adds up to another amount
    AMOUNT = "amount"  # it repeats another amount for a line
    ACCOUNT = "account"  # it repeats another account for a line: the file at the bank may not be the stored one
    REJECTIONS_NOT_NAMED = "rejections_not_named"  # it counts more rejections than it gives
    REJECTION_OVERRIDDEN = "rejection_overridden"  # a rejection above a line or instruction that says otherwise
    STATEMENTS_DIFFER = "statements_differ"  # one instruction or line is stated twice, not in the same way
    STATUS_MISSING = "status_missing"  # a line is named, but nothing says what became of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """One thing that does not fit: about the file, an instruction or a line; what is stated, and what we know."""

    kind: DisagreementKind
    payment_information_id: str | None = None
    end_to_end_id: str | None = None
    stated: str = ""
    known: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What holds for an instruction or a line: `statements`, and the level that gave the status.

    Without a status the level is that of the name check; without either it is None and there are no statements. A
    statement from a level above a line that is named carries the line's own reasons too.
    """

    level: Level | None = None
    statements: tuple[StatedStatus, ...] = ()

    @property
    def statement(self) -> StatedStatus | None:
        """The statement to show first; a rejection before anything else."""
        return min(self.statements, key=lambda each: _SHOWN_FIRST.index(category_of(each)), default=None)

    @property
    def is_rejected(self) -> bool:
        """Whether a statement that holds says that it will not be paid."""
        return any(category_of(statement) in REJECTING for statement in self.statements)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineResolution:
    """What the report says of one line. `is_named`: the report mentions the line itself."""

    end_to_end_id: str
    standing: Standing
    is_named: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionResolution:
    """What the report says of one instruction and of each of its lines, in the order of the file."""

    payment_information_id: str
    standing: Standing
    lines: tuple[LineResolution, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """Every instruction and line of a file with what the report says of it, and what does not fit.

    `group` is what the report says of the whole file it names. `strangers` are statements about what is not in the
    file. A person looks at strangers and disagreements; neither stops the statements that do fit.
    """

    group: StatedStatus
    instructions: tuple[InstructionResolution, ...]
    strangers: tuple[Stranger, ...]
    disagreements: tuple[Disagreement, ...]

    @property
    def lines(self) -> Iterator[LineResolution]:
        """Every line of the file, in its order."""
        for instruction in self.instructions:
            yield from instruction.lines
