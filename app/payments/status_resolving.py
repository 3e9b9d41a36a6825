"""What a status report means for one file: which statement holds for each instruction and each line.

Line over instruction over group: the most specific level that gives a status decides, and the levels above it do not
count for that line, not even a rejection (which is then reported as a disagreement). The name check is looked up by
itself in the same way, because its codes are no statuses: a line with a close match in a rejected file is rejected.

What says nothing of a line leaves it without a statement: PART and RVCM speak of *some* payments and never decide
about those that are not named, and neither does an instruction that stands in several blocks with different statuses.
Every statement that holds is given, not one of them, so that no rejection is lost where a bank states a line twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from app.payments.status_codes import Category, category_of, normal_code
from app.payments.status_disagreements import Known, disagreements
from app.payments.status_matching import Matched, Mention, is_same_id, match
from app.payments.status_report_model import Reason, StatedStatus, StatusReport
from app.payments.status_resolution import (
    InstructionResolution,
    Level,
    LineResolution,
    Resolution,
    Standing,
)

# Codes that speak of some payments without saying which.
_OF_SOME = frozenset({"PART", "RVCM"})


def resolve(
    report: StatusReport,
    instructions: Mapping[str, Sequence[str]],
    *,
    message_id: str | None = None,
    amounts_cents: Mapping[str, int] | None = None,
    accounts: Mapping[str, str] | None = None,
) -> Resolution:
    """Return what the report says of each instruction and line of a file.

    `instructions` gives the end-to-end ids of the lines by payment information id, in the order of the file. With
    `message_id`, the file's own, the statement about the whole file counts only when the report names this file. With
    `amounts_cents`, the amount of every line by its end-to-end id, amounts and sums are compared, and with `accounts`
    the IBANs that the report repeats.
    """
    matched = match(report, instructions)
    is_about_file = message_id is None or is_same_id(report.original_message_id, message_id)
    group = report.group if is_about_file else None
    resolved = tuple(
        _instruction(matched, place, identifier, lines, group)
        for place, (identifier, lines) in enumerate(instructions.items())
    )
    known = Known(message_id=message_id, amounts_cents=amounts_cents, accounts=accounts)
    found = disagreements(report, matched, resolved, group=group, known=known)
    return Resolution(
        group=report.group, instructions=resolved, strangers=matched.strangers, disagreements=tuple(found)
    )


def _instruction(
    matched: Matched, place: int, identifier: str, lines: Sequence[str], group: StatedStatus | None
) -> InstructionResolution:
    blocks = [block.statement for block in matched.blocks.get(place, ())]
    groups = [] if group is None else [group]
    mentions = [matched.mentions.get((place, position), []) for position in range(len(lines))]
    return InstructionResolution(
        payment_information_id=identifier,
        standing=_of_instruction(blocks, groups),
        lines=tuple(
            LineResolution(end_to_end_id=line, standing=_of_line(said, blocks, groups), is_named=bool(said))
            for line, said in zip(lines, mentions, strict=True)
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What is said at one level. `is_final`: it holds as it is, also when it is no more than PART."""

    level: Level
    statements: Sequence[StatedStatus]
    is_final: bool = False


def _of_instruction(blocks: Sequence[StatedStatus], groups: Sequence[StatedStatus]) -> Standing:
    return _standing(
        (
            _Said(level=Level.INSTRUCTION, statements=blocks, is_final=True),
            _Said(level=Level.GROUP, statements=groups),
        )
    )


def _of_line(mentions: Sequence[Mention], blocks: Sequence[StatedStatus], groups: Sequence[StatedStatus]) -> Standing:
    own = [mention.transaction.statement for mention in mentions]
    # A line that is named without a status has that of the block that names it, also where other blocks differ.
    without = [mention for mention, statement in zip(mentions, own, strict=True) if not _is_status(statement)]
    around = [mention.of_block for mention in without if mention.of_block.code is not None] or blocks
    reasons = tuple(reason for statement in own if statement.code is None for reason in statement.reasons)
    return _standing(
        (
            _Said(level=Level.LINE, statements=own, is_final=True),
            _Said(level=Level.INSTRUCTION, statements=_with(reasons, around)),
            _Said(level=Level.GROUP, statements=_with(reasons, groups)),
        )
    )


def _with(reasons: tuple[Reason, ...], statements: Sequence[StatedStatus]) -> Sequence[StatedStatus]:
    return [replace(statement, reasons=reasons + statement.reasons) for statement in statements]


def _standing(levels: Sequence[_Said]) -> Standing:
    """Return what holds: the most specific status and the most specific name check."""
    status_level, statuses = _most_specific(levels, name_check=False)
    check_level, checks = _most_specific(levels, name_check=True)
    return Standing(level=status_level or check_level, statements=_each_once(statuses + checks))


def _most_specific(levels: Sequence[_Said], *, name_check: bool) -> tuple[Level | None, tuple[StatedStatus, ...]]:
    for said in levels:
        here = tuple(
            statement
            for statement in said.statements
            if statement.code is not None and (category_of(statement) is Category.NAME_CHECK) is name_check
        )
        if here:
            decides = said.is_final or _decides(here)
            return (said.level, here) if decides else (None, ())
    return None, ()


def _is_status(statement: StatedStatus) -> bool:
    return statement.code is not None and category_of(statement) is not Category.NAME_CHECK


def _decides(statements: Sequence[StatedStatus]) -> bool:
    """Tell whether a level above the line says one and the same of every line in it."""
    codes = {normal_code(statement.code or "") for statement in statements}
    return len(codes) == 1 and not codes & _OF_SOME


def _each_once(statements: tuple[StatedStatus, ...]) -> tuple[StatedStatus, ...]:
    return tuple(dict.fromkeys(statements))
