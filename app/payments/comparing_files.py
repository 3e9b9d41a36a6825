"""A payment file that somebody holds, compared with the one that was stored: identical, or which lines differ."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from uuid import UUID

from sqlmodel import Session, col, select

from app.core.columns import any_of
from app.core.errors import Invalid
from app.payments import building, reading
from app.payments.context import Context
from app.payments.errors import UnreadableDocument
from app.payments.iban import normalise
from app.payments.models import CreditTransfer, Obligation, PaymentBatch, PaymentFile
from app.payments.ports import SourceBatch, SourceTransfer
from app.payments.retention import refuse_erased
from app.payments.unpacking import unpack

_FIELDS = {
    "creditor_name": "creditor.name",
    "creditor_iban": "creditor.iban",
    "creditor_bic": "creditor.bic",
    "amount_cents": "amount",
    "currency": "currency",
    "remittance_kind": "remittance_information",
    "remittance_text": "remittance_information",
    "reference_type": "remittance_information",
    "reference_issuer": "remittance_information",
    "end_to_end_id": "end_to_end_id",
}
MOST_DIFFERENCES = 200
_BETWEEN_TAGS = re.compile(r">\s+<")

# A line with the id of the instruction that it stands in.
_Placed = tuple[str, SourceTransfer]


class NotOurs(Invalid):
    """No stored file has this message id."""

    code = "not_our_file"
    title = "This file was not made here for an employer of yours"


class FileUnreadable(Invalid):
    """The bytes are no payment file."""

    code = "document_unreadable"
    title = "The file cannot be read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing in which a file differs from the stored one; `line` counts from 1, None is the file as a whole."""

    line: int | None
    fields: Sequence[str]
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The stored file with the same message id, and in what the other one differs from it."""

    file: PaymentFile
    batch: PaymentBatch
    is_identical: bool
    differences: Sequence[Difference]


def compare(ctx: Context, session: Session, employers: frozenset[UUID], data: bytes) -> Compared:
    """Compare a payment file with what was stored under its message id; `NotOurs` when there is none."""
    try:
        other = reading.read_document(data)
    except UnreadableDocument as fault:
        raise FileUnreadable(fault.explanation, extra={"reason": fault.code}) from fault
    found = stored_as(session, other.message_id, employers)
    if found is None:
        raise NotOurs("No file with this message id was stored for an employer of yours.")
    file, batch = found
    if sha256(data).hexdigest() == file.sha256:
        return Compared(file=file, batch=batch, is_identical=True, differences=())
    refuse_erased(batch)
    stored = ctx.keyring.open(file.content_sealed, building.file_place(batch.employer_id, file.id))
    differences = list(_differences(reading.read_document(stored), other))
    differences = differences or [_unnamed(stored, data)]
    return Compared(file=file, batch=batch, is_identical=False, differences=differences[:MOST_DIFFERENCES])


def without_places(found: Compared) -> Compared:
    """Return whether a file is the stored one, without where it differs."""
    if found.is_identical:
        return found
    what = "The file is not the stored one. Where it differs is shown to who may see salaries."
    return replace(found, differences=(Difference(line=None, fields=(), what=what),))


def stored_as(
    session: Session, message_id: str | None, employers: frozenset[UUID]
) -> tuple[PaymentFile, PaymentBatch] | None:
    """Return the file that was stored for one of these employers under a message id, None when there is none."""
    if not message_id:
        return None
    return session.exec(
        select(PaymentFile, PaymentBatch)
        .join(PaymentBatch, col(PaymentBatch.id) == col(PaymentFile.batch_id))
        .where(PaymentFile.message_id == message_id, any_of(col(PaymentBatch.employer_id), employers))
    ).one_or_none()


def batch_with_our_ids(session: Session, employer_id: UUID, document: SourceBatch) -> UUID | None:
    """Return the batch of a payment that has the account and the end-to-end id of a line here, None when none has.

    Those ids are made here and by nobody else, so a document that holds them is a file of ours, whatever it is called.
    """
    lines = [each for each in document.transfers if each.end_to_end_id]
    found = session.exec(
        select(CreditTransfer.batch_id)
        .join(Obligation, col(Obligation.id) == col(CreditTransfer.obligation_id))
        .where(
            Obligation.employer_id == employer_id,
            any_of(col(Obligation.creditor), {normalise(each.creditor_iban) for each in lines}),
            any_of(col(CreditTransfer.end_to_end_id), {each.end_to_end_id for each in lines}),
        )
    )
    return found.first()


def _unnamed(stored: bytes, data: bytes) -> Difference:
    """Tell a file that a program saved with other line ends from one in which something was changed that nobody reads.

    An element that is not compared by itself (instant payment, another payee behind the first) is a change too.
    """
    if _without_layout(stored) == _without_layout(data):
        what = "The payments are the same, the blanks between them are not: it was saved by a program."
    else:
        what = (
            "Account, date and payments are the same, but something else in the file is not. It is not the file that "
            "was approved: do not hand it in."
        )
    return Difference(line=None, fields=(), what=what)


def _without_layout(data: bytes) -> str:
    return _BETWEEN_TAGS.sub("><", unpack(data)).strip()


def _differences(stored: SourceBatch, other: SourceBatch) -> Iterator[Difference]:
    yield from _header_differences(stored, other)
    theirs: dict[str, list[_Placed]] = {}
    for placed in _placed(other):
        theirs.setdefault(placed[1].end_to_end_id or "", []).append(placed)
    for number, ours in enumerate(_placed(stored), start=1):
        found = theirs.get(ours[1].end_to_end_id or "", [])
        if not found:
            yield Difference(line=number, fields=(), what="This line is not in the file.")
            continue
        fields = sorted(set(_changed(ours, found.pop(0))))
        if fields:
            yield Difference(line=number, fields=fields, what="This line was changed.")
    extra = sum(len(left) for left in theirs.values())
    if extra:
        yield Difference(line=None, fields=(), what=f"The file holds {extra} lines that were never approved.")


def _placed(batch: SourceBatch) -> Iterator[_Placed]:
    for block in batch.instructions:
        for transfer in block.transfers:
            yield block.payment_information_id or "", transfer


def _changed(ours: _Placed, theirs: _Placed) -> Iterator[str]:
    if ours[0] != theirs[0]:
        yield "payment_information_id"
    for name, shown in _FIELDS.items():
        if getattr(ours[1], name) != getattr(theirs[1], name):
            yield shown


def _header_differences(stored: SourceBatch, other: SourceBatch) -> Iterator[Difference]:
    """Compare what stands above the lines: the account that pays, the date and the booking, by instruction."""
    ours, theirs = (_heads(each) for each in (stored, other))
    for identifier, (head,) in ours.items():
        found = theirs.get(identifier, [])
        if len(found) != 1:
            times = f"stands {len(found)} times" if found else "is not"
            yield Difference(line=None, fields=(), what=f"The part {identifier} {times} in the file.")
        elif found[0] != head:
            fields = [name for name in head if head[name] != found[0][name]]
            yield Difference(line=None, fields=fields, what=f"The part {identifier} was changed.")
    if theirs.keys() - ours.keys():
        yield Difference(line=None, fields=(), what="The file holds a part that was never approved.")


def _heads(batch: SourceBatch) -> Mapping[str, Sequence[Mapping[str, object]]]:
    """Return what stands above the lines of every instruction with an id; an id of ours stands in a file once."""
    heads: dict[str, list[Mapping[str, object]]] = {}
    for block in batch.instructions:
        head = {
            "debtor_account": block.debtor_iban,
            "debtor_name": block.debtor_name,
            "debtor_bic": block.debtor_bic,
            "requested_execution_date": block.requested_execution_date,
            "category_purpose": block.category_purpose,
            "batch_booking": block.batch_booking,
        }
        heads.setdefault(block.payment_information_id or "", []).append(head)
    return heads
