"""Judges a file by itself: no clock, no memory of earlier files."""

from dataclasses import dataclass
from datetime import date

from lxml import etree

from simulators.bank.block import Block
from simulators.bank.checks import booked, refusals
from simulators.bank.order import PaymentOrder, Reason
from simulators.bank.rulebook import Rulebook
from simulators.bank.schema import Unreadable, read_document


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Either an order, or the reasons why there is none."""

    order: PaymentOrder | None = None
    reasons: tuple[Reason, ...] = ()


def judge_file(data: bytes, *, rules: Rulebook, today: date, file_name: str | None = None) -> Judgement:
    """The bank's judgement on the bytes of a file; every reason at once, schema first."""
    named = _file_name(file_name, rules)
    try:
        schema, document = read_document(data, rules)
    except Unreadable as refusal:
        return Judgement(reasons=(*named, *refusal.reasons))
    message = Block(element=_message(document), where="")
    reasons = (*named, *refusals(message, rules, today))
    return Judgement(reasons=reasons) if reasons else Judgement(order=booked(schema, message))


def _file_name(file_name: str | None, rules: Rulebook) -> tuple[Reason, ...]:
    if file_name is None or 0 < len(file_name) <= rules.maximum_file_name_length:
        return ()
    text = f"1 to {rules.maximum_file_name_length} characters"
    return (Reason(code="FF01", where="file_name", text=text),)


def _message(document: etree._Element) -> etree._Element:
    return document[0]
