"""The kinds of report that banks send about a file, on demand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from simulators.bank.order import Batch, PaymentOrder, Transfer
from simulators.bank.rulebook import Model, ReasonCode
from simulators.bank.status import BatchStatus, LineStatus, Status, StatusReport


class Flavour(StrEnum):
    """What a report tells."""

    RECEIVED = "received"
    TECHNICALLY_ACCEPTED = "technically_accepted"
    ACCEPTED = "accepted"
    ACCEPTED_WITH_CHANGE = "accepted_with_change"
    SETTLEMENT_IN_PROCESS = "settlement_in_process"
    SETTLED = "settled"
    CREDITED = "credited"
    PENDING = "pending"
    PARTIALLY_AUTHORISED = "partially_authorised"
    PARTLY_REJECTED = "partly_rejected"
    REJECTED = "rejected"
    REJECTED_INSTRUCTION = "rejected_instruction"
    REJECTED_LINES = "rejected_lines"
    REJECTED_AFTER_ACCEPTANCE = "rejected_after_acceptance"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    DUPLICATE = "duplicate"
    NAME_CHECK = "name_check"
    UNKNOWN_CODE = "unknown_code"
    RETURNED = "returned"
    REVERSED = "reversed"
    NEVER_SENT = "never_sent"
    GROUP_ONLY = "group_only"
    WITHOUT_INSTRUCTION_IDS = "without_instruction_ids"


class Detail(StrEnum):
    """How far down an ordinary status is said."""

    GROUP = "group"
    INSTRUCTIONS = "instructions"
    LINES = "lines"


Text = Annotated[str, StringConstraints(max_length=140)]


class Wish(Model):
    """A report as asked for.

    `lines` names transfers by EndToEndId or by number (from 1 over the file), `instructions` batches by number; the
    first of each when empty. `status` and `reason` replace the flavour's own codes. `statuses` are the name check's
    codes for the chosen lines, in turn, and `name` is the name that the bank suggests. `message_id` is that of a
    message never sent.
    """

    flavour: Flavour = Flavour.ACCEPTED
    version: Annotated[str, StringConstraints(pattern=r"^pain\.002\.001\.(03|10|12)$")] = "pain.002.001.10"
    detail: Detail = Detail.INSTRUCTIONS
    lines: tuple[Text, ...] = ()
    instructions: tuple[Annotated[int, Field(ge=1)], ...] = ()
    status: ReasonCode | None = None
    reason: ReasonCode | None = None
    statuses: tuple[ReasonCode, ...] = ("RVMC",)
    name: Text = "A. Rekeninghouder"
    message_id: Text = "NEVER-SENT-1"


_PLAIN: Final = {
    Flavour.RECEIVED: "RCVD",
    Flavour.TECHNICALLY_ACCEPTED: "ACTC",
    Flavour.ACCEPTED: "ACCP",
    Flavour.ACCEPTED_WITH_CHANGE: "ACWC",
    Flavour.SETTLEMENT_IN_PROCESS: "ACSP",
    Flavour.SETTLED: "ACSC",
    Flavour.CREDITED: "ACCC",
    Flavour.PENDING: "PDNG",
    Flavour.PARTIALLY_AUTHORISED: "PATC",
    Flavour.UNKNOWN_CODE: "XQZ7",
}
# What a name check found, as a reason: another name, a close one, no answer from the other bank.
_NAME_REASONS: Final = {"RVNM": "PN01", "RVMC": "PN02", "RVNC": "NORR"}


class NoSuchLine(LookupError):
    """The file has no line or batch that was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    """The order, the wish, and what the wish chose of the order."""

    order: PaymentOrder
    wish: Wish
    lines: tuple[Transfer, ...]
    batches: tuple[Batch, ...]

    def status(self, code: str, reason: str | None = None, *texts: str) -> Status:
        return Status(code=self.wish.status or code, reason=self.wish.reason or reason, texts=texts)

    def report(self, group: Status | None, batches: Sequence[BatchStatus]) -> StatusReport:
        return StatusReport(message_id=self.order.message_id, group=group, batches=tuple(batches))

    def about_lines(self, status: Status, others: Status | None = None) -> list[BatchStatus]:
        """The chosen lines with a status, and the others with theirs when one is given, by batch."""
        found = []
        for batch in self.order.batches:
            each = [(line, status if line in self.lines else others) for line in batch.transfers]
            lines = tuple(LineStatus(transfer=line, status=said) for line, said in each if said is not None)
            if lines:
                found.append(BatchStatus(batch=batch, lines=lines))
        return found


def status_report(order: PaymentOrder, wish: Wish) -> StatusReport:
    """The report asked for. Raises NoSuchLine."""
    scene = _Scene(order=order, wish=wish, lines=_chosen_lines(order, wish), batches=_chosen_batches(order, wish))
    plain = _PLAIN.get(wish.flavour)
    return _plain(scene, scene.status(plain)) if plain else _TOLD[wish.flavour](scene)


def _chosen_lines(order: PaymentOrder, wish: Wish) -> tuple[Transfer, ...]:
    transfers = [transfer for _, transfer in order.transfers()]
    known = {str(number): transfer for number, transfer in enumerate(transfers, start=1)}
    known |= {transfer.end_to_end_id: transfer for transfer in transfers}
    if unknown := [name for name in wish.lines if name not in known]:
        raise NoSuchLine(f"the file has no line {', '.join(unknown)}")
    return tuple(known[name] for name in wish.lines or ("1",))


def _chosen_batches(order: PaymentOrder, wish: Wish) -> tuple[Batch, ...]:
    numbers = wish.instructions or (1,)
    if max(numbers) > len(order.batches):
        raise NoSuchLine(f"the file has {len(order.batches)} instructions")
    return tuple(order.batches[number - 1] for number in numbers)


def _plain(scene: _Scene, status: Status) -> StatusReport:
    """One status for everything, said as far down as wished."""
    batches = [
        BatchStatus(
            batch=batch,
            status=status,
            lines=_all_lines(batch, status) if scene.wish.detail is Detail.LINES else (),
        )
        for batch in scene.order.batches
    ]
    return scene.report(status, [] if scene.wish.detail is Detail.GROUP else batches)


def _all_lines(batch: Batch, status: Status) -> tuple[LineStatus, ...]:
    return tuple(LineStatus(transfer=transfer, status=status) for transfer in batch.transfers)


def _partly_rejected(scene: _Scene) -> StatusReport:
    """Partly accepted: the batches that hold a refused line are too; the other lines are not named."""
    part = [
        replace(each, status=Status(code="PART")) for each in scene.about_lines(scene.status("RJCT", "AC04", "closed"))
    ]
    named = {each.batch.payment_information_id: each for each in part}
    accepted = Status(code="ACCP")
    batches = [
        named.get(batch.payment_information_id) or BatchStatus(batch=batch, status=accepted)
        for batch in scene.order.batches
    ]
    return scene.report(Status(code="PART"), batches)


def _rejected(scene: _Scene) -> StatusReport:
    return scene.report(scene.status("RJCT", "FF01", "the file was not taken"), [])


def _rejected_instruction(scene: _Scene) -> StatusReport:
    rejected = scene.status("RJCT", "AC02")
    accepted = Status(code="ACCP")
    batches = [
        BatchStatus(batch=batch, status=rejected if batch in scene.batches else accepted)
        for batch in scene.order.batches
    ]
    is_whole = len(scene.batches) == len(scene.order.batches)
    return scene.report(Status(code="RJCT" if is_whole else "PART"), batches)


def _rejected_lines(scene: _Scene) -> StatusReport:
    """Rejects only, as Rabobank describes: nothing is said of the file, its batches or the other lines."""
    return scene.report(None, scene.about_lines(scene.status("RJCT", "AC04")))


def _rejected_after_acceptance(scene: _Scene) -> StatusReport:
    status = scene.status("RJCT", "DS02", "taken back after it was accepted")
    return scene.report(status, [BatchStatus(batch=batch, status=status) for batch in scene.order.batches])


def _insufficient_funds(scene: _Scene) -> StatusReport:
    status = scene.status("RJCT", "AM04")
    return scene.report(None, [BatchStatus(batch=batch, status=status) for batch in scene.batches])


def _duplicate(scene: _Scene) -> StatusReport:
    return scene.report(scene.status("RJCT", "AM05", "a file with this id was taken before"), [])


def _name_check(scene: _Scene) -> StatusReport:
    """Verification of payee: mismatches inside (RVCM), and the chosen lines with the codes in turn."""
    wish = scene.wish
    said = {}
    for place, line in enumerate(scene.lines):
        code = wish.statuses[place % len(wish.statuses)]
        texts = (wish.name,) if code == "RVMC" else ()
        said[line.end_to_end_id] = Status(code=code, reason=wish.reason or _NAME_REASONS.get(code), texts=texts)
    complete = Status(code="RCVC")
    group = Status(code=wish.status or ("RVCM" if {"RVMC", "RVNM"} & set(wish.statuses) else "RCVC"))
    batches = []
    for batch in scene.order.batches:
        lines = tuple(
            LineStatus(transfer=line, status=said.get(line.end_to_end_id, complete))
            for line in batch.transfers
            if line.end_to_end_id in said or wish.detail is Detail.LINES
        )
        batches.append(BatchStatus(batch=batch, status=group if lines else complete, lines=lines))
    return scene.report(group, batches)


def _returned(scene: _Scene) -> StatusReport:
    """The money came back after settlement: the chosen lines, while the file as a whole stays settled."""
    status = scene.status("RJCT", "AC04", "returned by the creditor's bank after settlement")
    return scene.report(Status(code="ACSC"), scene.about_lines(status))


def _reversed(scene: _Scene) -> StatusReport:
    """Every line, batches and lines in the opposite order of the file."""
    batches = [
        BatchStatus(batch=batch, lines=tuple(reversed(_all_lines(batch, scene.status("ACSC")))))
        for batch in reversed(scene.order.batches)
    ]
    return scene.report(None, batches)


def _never_sent(scene: _Scene) -> StatusReport:
    """About a message of somebody else, with a batch and a line of its own."""
    transfer = replace(scene.lines[0], end_to_end_id="NEVER-SENT-LINE")
    batch = replace(scene.batches[0], payment_information_id=f"{scene.wish.message_id}-1"[:35], transfers=(transfer,))
    status = scene.status("RJCT", "AC04")
    lines = (LineStatus(transfer=transfer, status=status),)
    return StatusReport(
        message_id=scene.wish.message_id,
        group=status,
        batches=(BatchStatus(batch=batch, status=status, lines=lines),),
    )


def _group_only(scene: _Scene) -> StatusReport:
    return scene.report(scene.status("ACCP"), [])


def _without_instruction_ids(scene: _Scene) -> StatusReport:
    status = scene.status("RJCT", "AC04")
    return scene.report(None, [replace(each, names_batch=False) for each in scene.about_lines(status)])


_TOLD: Final[dict[Flavour, Callable[[_Scene], StatusReport]]] = {
    Flavour.PARTLY_REJECTED: _partly_rejected,
    Flavour.REJECTED: _rejected,
    Flavour.REJECTED_INSTRUCTION: _rejected_instruction,
    Flavour.REJECTED_LINES: _rejected_lines,
    Flavour.REJECTED_AFTER_ACCEPTANCE: _rejected_after_acceptance,
    Flavour.INSUFFICIENT_FUNDS: _insufficient_funds,
    Flavour.DUPLICATE: _duplicate,
    Flavour.NAME_CHECK: _name_check,
    Flavour.RETURNED: _returned,
    Flavour.REVERSED: _reversed,
    Flavour.NEVER_SENT: _never_sent,
    Flavour.GROUP_ONLY: _group_only,
    Flavour.WITHOUT_INSTRUCTION_IDS: _without_instruction_ids,
}
