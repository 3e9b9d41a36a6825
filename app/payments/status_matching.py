"""Which instruction and line of a file a statement in a status report is about.

Ids are compared letter by letter first; only when that finds nothing, without blanks at the ends and without regard to
case. An id that fits two places fits none. `NOTPROVIDED` is how ISO writes that there is no id.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.payments.status_report_model import InstructionStatus, StatedStatus, StatusReport, TransactionStatus

_NO_ID = "notprovided"

# The position of an instruction in the file, and of a line in that instruction; both from 0.
LineKey = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """A statement about what is not in the file, or cannot be told from something else in it."""

    payment_information_id: str | None
    end_to_end_id: str | None
    statement: StatedStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """One mention of a line of the file, with the statement of the block that it stands in."""

    transaction: TransactionStatus
    of_block: StatedStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """A report laid upon a file: what it says of each instruction and line, and what is not the file's."""

    blocks: Mapping[int, list[InstructionStatus]]
    mentions: Mapping[LineKey, list[Mention]]
    strangers: tuple[Stranger, ...]


def match(report: StatusReport, instructions: Mapping[str, Sequence[str]]) -> Matched:
    """Return which instruction and line each statement of the report is about.

    `instructions` gives the end-to-end ids of the lines by payment information id, in the order of the file. A payment
    without a payment information id is found by its end-to-end id, when that is in the file once. A payment in a block
    that is not of this file is a stranger, whatever its own id.
    """
    index = _FileIndex(instructions)
    blocks: dict[int, list[InstructionStatus]] = {}
    mentions: dict[LineKey, list[Mention]] = {}
    strangers: list[Stranger] = []
    for block in report.instructions:
        place = index.instruction(block.payment_information_id)
        if place is not None:
            blocks.setdefault(place, []).append(block)
        elif block.statement.code is not None:
            strangers.append(_strange_block(block))
    for transaction, of_block in _transactions(report):
        key = index.line(transaction)
        if key is None:
            strangers.append(_strange(transaction))
        else:
            mentions.setdefault(key, []).append(Mention(transaction=transaction, of_block=of_block))
    return Matched(blocks=blocks, mentions=mentions, strangers=tuple(strangers))


def is_same_id(written: str | None, known: str) -> bool:
    """Tell whether an id in a report is this id of ours; false when the report gives none."""
    return written is not None and _loose(written) == _loose(known)


def _transactions(report: StatusReport) -> Iterator[tuple[TransactionStatus, StatedStatus]]:
    for block in report.instructions:
        for transaction in block.transactions:
            yield transaction, block.statement
    for transaction in report.loose_transactions:
        yield transaction, StatedStatus()


def _strange_block(block: InstructionStatus) -> Stranger:
    return Stranger(payment_information_id=block.payment_information_id, end_to_end_id=None, statement=block.statement)


def _strange(transaction: TransactionStatus) -> Stranger:
    return Stranger(
        payment_information_id=transaction.payment_information_id,
        end_to_end_id=transaction.end_to_end_id,
        statement=transaction.statement,
    )


class _FileIndex:
    """Finds instructions and lines of one file by the ids that a bank writes."""

    def __init__(self, instructions: Mapping[str, Sequence[str]]) -> None:
        self._keys = [(i, j) for i, lines in enumerate(instructions.values()) for j in range(len(lines))]
        self._instructions = _IdIndex(instructions)
        self._lines_of = [_IdIndex(lines) for lines in instructions.values()]
        self._lines = _IdIndex(line for lines in instructions.values() for line in lines)

    def instruction(self, written: str | None) -> int | None:
        return self._instructions.find(written)

    def line(self, transaction: TransactionStatus) -> LineKey | None:
        if _is_missing(transaction.payment_information_id):
            found = self._lines.find(transaction.end_to_end_id)
            return None if found is None else self._keys[found]
        instruction = self.instruction(transaction.payment_information_id)
        if instruction is None:
            return None
        line = self._lines_of[instruction].find(transaction.end_to_end_id)
        return None if line is None else (instruction, line)


class _IdIndex:
    """Positions of ids in a list."""

    __slots__ = ("_exact", "_loose")

    def __init__(self, ids: Iterable[str]) -> None:
        self._exact: dict[str, list[int]] = {}
        self._loose: dict[str, list[int]] = {}
        for position, identifier in enumerate(ids):
            self._exact.setdefault(identifier, []).append(position)
            self._loose.setdefault(_loose(identifier), []).append(position)

    def find(self, written: str | None) -> int | None:
        if written is None or _is_missing(written):
            return None
        positions = self._exact.get(written) or self._loose.get(_loose(written), [])
        return positions[0] if len(positions) == 1 else None


def _is_missing(written: str | None) -> bool:
    return written is None or _loose(written) == _NO_ID


def _loose(identifier: str) -> str:
    return identifier.strip().casefold()
