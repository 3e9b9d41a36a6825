"""In what ways a status report does not fit the file that it is about, or contradicts itself; nothing is ignored."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.core.money import cents_to_text, decimal_text_to_cents
from app.payments.check_digits import is_iban
from app.payments.iban import mask, normalise
from app.payments.status_codes import REJECTING, Category, category_of, normal_code, status_meaning
from app.payments.status_matching import Matched
from app.payments.status_report_model import StatedStatus, StatedTotals, StatusReport, TransactionStatus
from app.payments.status_resolution import (
    Disagreement,
    DisagreementKind,
    InstructionResolution,
    Level,
    LineResolution,
    Standing,
)

_COUNT = re.compile("[0-9]{1,15}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of the file: its own id, and by end-to-end id the amount and the IBAN of every line.

    What is None is not compared.
    """

    message_id: str | None = None
    amounts_cents: Mapping[str, int] | None = None
    accounts: Mapping[str, str] | None = None


def disagreements(
    report: StatusReport,
    matched: Matched,
    resolved: Sequence[InstructionResolution],
    *,
    group: StatedStatus | None,
    known: Known,
) -> Iterator[Disagreement]:
    """Give everything that does not fit, first about the file, then by instruction and line.

    `group` is the statement about the whole file, None when the report does not name the file.
    """
    amounts_cents = known.amounts_cents
    if group is None:
        stated = report.original_message_id or ""
        yield Disagreement(kind=DisagreementKind.MESSAGE_ID, stated=stated, known=known.message_id or "")
    else:
        lines = [line for instruction in resolved for line in instruction.lines]
        yield from _totals(report.group_totals, lines, amounts_cents, None)
    for place, instruction in enumerate(resolved):
        identifier = instruction.payment_information_id
        blocks = matched.blocks.get(place, [])
        for block in blocks:
            yield from _totals(block.totals, instruction.lines, amounts_cents, identifier)
        yield from _of_instruction(instruction, [block.statement for block in blocks], group)
        for position, line in enumerate(instruction.lines):
            said = [mention.transaction for mention in matched.mentions.get((place, position), [])]
            yield from _of_line(line, said, instruction)
            if amounts_cents is not None:
                yield from _amounts(said, amounts_cents[line.end_to_end_id], identifier, line.end_to_end_id)
            if known.accounts is not None:
                yield from _accounts(said, known.accounts[line.end_to_end_id], identifier, line.end_to_end_id)


def _totals(
    totals: StatedTotals,
    lines: Sequence[LineResolution],
    amounts_cents: Mapping[str, int] | None,
    identifier: str | None,
) -> Iterator[Disagreement]:
    if totals.count_text is not None and _count(totals.count_text) != len(lines):
        yield _of_totals(DisagreementKind.COUNT, identifier, totals.count_text, str(len(lines)))
    if totals.sum_text is not None and amounts_cents is not None:
        known = sum(amounts_cents[line.end_to_end_id] for line in lines)
        if _cents(totals.sum_text) != known:
            yield _of_totals(DisagreementKind.SUM, identifier, totals.sum_text, cents_to_text(known))
    rejected = sum(line.standing.is_rejected for line in lines)
    for counted in totals.by_status:
        if status_meaning(counted.code or "").category in REJECTING:
            number = _count(counted.count_text or "")
            if number is None or number > rejected:
                stated = counted.count_text or ""
                yield _of_totals(DisagreementKind.REJECTIONS_NOT_NAMED, identifier, stated, str(rejected))


def _of_totals(kind: DisagreementKind, identifier: str | None, stated: str, known: str) -> Disagreement:
    return Disagreement(kind=kind, payment_information_id=identifier, stated=stated, known=known)


def _of_instruction(
    instruction: InstructionResolution, blocks: Sequence[StatedStatus], group: StatedStatus | None
) -> Iterator[Disagreement]:
    identifier, standing = instruction.payment_information_id, instruction.standing
    codes = sorted({normal_code(each.code or "") for each in _statuses(blocks)})
    if len(codes) > 1:
        yield Disagreement(
            kind=DisagreementKind.STATEMENTS_DIFFER, payment_information_id=identifier, stated=", ".join(codes)
        )
    is_overridden = standing.level is Level.INSTRUCTION and not standing.is_rejected
    if group is not None and category_of(group) in REJECTING and is_overridden:
        yield Disagreement(
            kind=DisagreementKind.REJECTION_OVERRIDDEN, payment_information_id=identifier, stated=_codes(standing)
        )


def _of_line(
    line: LineResolution, said: Sequence[TransactionStatus], instruction: InstructionResolution
) -> Iterator[Disagreement]:
    kinds = []
    own = {category_of(each) in REJECTING for each in _statuses([each.statement for each in said])}
    if len(own) > 1:
        kinds.append(DisagreementKind.STATEMENTS_DIFFER)
    above = [category_of(each) in REJECTING for each in _statuses(instruction.standing.statements)]
    if line.standing.level is Level.LINE and not line.standing.is_rejected and above and all(above):
        kinds.append(DisagreementKind.REJECTION_OVERRIDDEN)
    if line.is_named and not line.standing.statements:
        kinds.append(DisagreementKind.STATUS_MISSING)
    for kind in kinds:
        yield Disagreement(
            kind=kind,
            payment_information_id=instruction.payment_information_id,
            end_to_end_id=line.end_to_end_id,
            stated=_codes(line.standing),
        )


def _amounts(
    said: Sequence[TransactionStatus], known_cents: int, identifier: str, end_to_end_id: str
) -> Iterator[Disagreement]:
    for each in said:
        if each.amount_text is not None and each.amount_cents != known_cents:
            yield Disagreement(
                kind=DisagreementKind.AMOUNT,
                payment_information_id=identifier,
                end_to_end_id=end_to_end_id,
                stated=f"{each.currency or ''} {each.amount_text}".strip(),
                known=f"EUR {cents_to_text(known_cents)}",
            )


def _accounts(
    said: Sequence[TransactionStatus], known: str, identifier: str, end_to_end_id: str
) -> Iterator[Disagreement]:
    """Give the lines that the bank would pay to another account; one that it hides in part says nothing."""
    for each in said:
        stated = normalise(each.creditor_iban or "")
        if is_iban(stated) and stated != known:
            yield Disagreement(
                kind=DisagreementKind.ACCOUNT,
                payment_information_id=identifier,
                end_to_end_id=end_to_end_id,
                stated=mask(stated),
                known=mask(known),
            )


def _statuses(statements: Sequence[StatedStatus]) -> list[StatedStatus]:
    return [each for each in statements if each.code is not None and category_of(each) is not Category.NAME_CHECK]


def _codes(standing: Standing) -> str:
    return ", ".join(sorted({normal_code(each.code or "") for each in standing.statements}))


def _count(text: str) -> int | None:
    return int(text) if _COUNT.fullmatch(text) else None


def _cents(text: str) -> int | None:
    try:
        return decimal_text_to_cents(text)
    except ValueError:
        return None
