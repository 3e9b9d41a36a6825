"""Reads our own file back, strictly: only the elements we write, once each, nothing empty, totals counted again.

It is not `reading`, which takes any payroll file as it comes. It walks a document that was parsed by the caller
(`sepa.check_file`), after the bytes were seen to hold no DOCTYPE, comment or attribute of others.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Protocol, TypeVar

from app.core.clock import AMSTERDAM
from app.core.errors import Problem
from app.core.money import text_to_cents
from app.payments.ports import RemittanceKind
from app.payments.sepa_model import NOT_PROVIDED, SCHEMA_2009, FileContent, FileInstruction, FileTransfer

REMEDY = "The written file is not as it must be here; it must not be used. Report this to the operator."

_Parsed = TypeVar("_Parsed")
# What may stand at one level: tag -> path within the block, and the level below (None: the element holds a value).
_Level = dict[str, tuple[str, "_Level | None"]]
_Values = Mapping[str, str]

# Path within its block -> our name for the field, which is what a problem points at. Other elements have fixed values.
_HEADER = {
    "MsgId": "message_id",
    "CreDtTm": "created_at",
    "NbOfTxs": "number_of_transactions",
    "CtrlSum": "control_sum",
    "InitgPty/Nm": "debtor_name",
}
_INSTRUCTION = {
    "PmtInfId": "payment_information_id",
    "BtchBookg": "batch_booking",
    "NbOfTxs": "number_of_transactions",
    "CtrlSum": "control_sum",
    "ReqdExctnDt/Dt": "requested_execution_date",
    "Dbtr/Nm": "debtor_name",
    "DbtrAcct/Id/IBAN": "debtor_iban",
}
_FIXED = {"PmtMtd": "TRF", "PmtTpInf/SvcLvl/Cd": "SEPA", "ChrgBr": "SLEV"}
_PURPOSE = "PmtTpInf/CtgyPurp/Cd"
_NO_BIC = "DbtrAgt/FinInstnId/Othr/Id"
_DEBTOR_BIC = "DbtrAgt/FinInstnId/BIC"
_TRANSFER = {
    "PmtId/EndToEndId": "end_to_end_id",
    "Amt/InstdAmt": "amount_cents",
    "Cdtr/Nm": "creditor_name",
    "CdtrAcct/Id/IBAN": "creditor_iban",
}
_CREDITOR_BIC = "CdtrAgt/FinInstnId/BIC"
_TEXT = "RmtInf/Ustrd"
_REFERENCE = "RmtInf/Strd/CdtrRefInf/Ref"
_REFERENCE_TYPE = "RmtInf/Strd/CdtrRefInf/Tp/CdOrPrtry/Cd"
_REFERENCE_ISSUER = "RmtInf/Strd/CdtrRefInf/Tp/Issr"
_FIELDS = {
    _PURPOSE: "category_purpose",
    _NO_BIC: "debtor_bic",
    _DEBTOR_BIC: "debtor_bic",
    _CREDITOR_BIC: "creditor_bic",
    _TEXT: "remittance_text",
    _REFERENCE: "remittance_text",
    _REFERENCE_TYPE: "reference_type",
    _REFERENCE_ISSUER: "reference_issuer",
    **_HEADER,
    **_INSTRUCTION,
    **_TRANSFER,
}

_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_COUNT = re.compile(r"[1-9][0-9]{0,14}")


class Element(Protocol):
    """An element of a parsed document, of whatever library."""

    @property
    def tag(self) -> str:
        """Return the name with its namespace, like `{urn:...}MsgId`."""

    @property
    def text(self) -> str | None:
        """Return the text before the first child."""

    def __iter__(self) -> Iterator["Element"]: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reread:
    """What a file says. `content` is None when something is missing or unreadable; `problems` says what and where."""

    content: FileContent | None
    problems: Sequence[Problem]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Debtor:
    """What every instruction of a file repeats."""

    name: str
    iban: str
    bic: str | None
    execution_date: date


def reread(root: Element, schema: str) -> Reread:
    """Read a file that we wrote for this schema. Never raises; whatever is not as we write it is a problem."""
    reading = _Reading(schema)
    content = reading.document(root)
    return Reread(content=content, problems=reading.problems)


class _Reading:
    """One pass over one file: knows the tags of the schema and gathers the problems."""

    def __init__(self, schema: str) -> None:
        self.schema = schema
        self.problems: list[Problem] = []
        self.header_level = self._level([*_HEADER])
        self.instruction_level = self._level([*_INSTRUCTION, *_FIXED, _PURPOSE, _NO_BIC, _DEBTOR_BIC])
        self.transfer_level = self._level(
            [*_TRANSFER, _CREDITOR_BIC, _TEXT, _REFERENCE, _REFERENCE_TYPE, _REFERENCE_ISSUER]
        )

    def document(self, root: Element) -> FileContent | None:
        """Read the whole file: one group header, then the instructions."""
        blocks = [block for message in root for block in message]
        frame = [root.tag, *(message.tag for message in root), *(block.tag for block in blocks[:1])]
        is_framed = frame == [self._tag(name) for name in ("Document", "CstmrCdtTrfInitn", "GrpHdr")]
        if not is_framed or {block.tag for block in blocks[1:]} != {self._tag("PmtInf")}:
            self._report("", "", "element_not_allowed")
            return None
        header = self._block(blocks[0], self.header_level, "", _HEADER)
        instructions = [self._instruction(block, f"/instructions/{i}") for i, block in enumerate(blocks[1:])]
        return self._content(header, instructions)

    def _content(
        self, header: _Values | None, read: Sequence[tuple[FileInstruction, _Debtor] | None]
    ) -> FileContent | None:
        complete = [pair for pair in read if pair is not None]
        if header is None or len(complete) != len(read):
            return None
        created_at = self._parsed(header, "CreDtTm", "", _moment)
        debtors = {debtor for _, debtor in complete}
        debtor = complete[0][1]
        if len(debtors) != 1 or debtor.name != header["InitgPty/Nm"]:
            self._report("", "debtor_name", "debtors_differ")
        instructions = [instruction for instruction, _ in complete]
        self._totals(header, [transfer for instruction in instructions for transfer in instruction.transfers], "")
        if created_at is None:
            return None
        return FileContent(
            schema=self.schema,
            message_id=header["MsgId"],
            created_at=created_at,
            debtor_name=debtor.name,
            debtor_iban=debtor.iban,
            debtor_bic=debtor.bic,
            requested_execution_date=debtor.execution_date,
            instructions=instructions,
        )

    def _instruction(self, element: Element, pointer: str) -> tuple[FileInstruction, _Debtor] | None:
        line_tag = self._tag("CdtTrfTxInf")
        lines = [child for child in element if child.tag == line_tag]
        own = [child for child in element if child.tag != line_tag]
        values = self._block(own, self.instruction_level, pointer, [*_INSTRUCTION, *_FIXED])
        read = [self._transfer(line, f"{pointer}/transfers/{j}") for j, line in enumerate(lines)]
        transfers = [transfer for transfer in read if transfer is not None]
        if values is None or len(transfers) != len(read):
            return None
        self._fixed(values, pointer)
        self._totals(values, transfers, pointer)
        day = self._parsed(values, "ReqdExctnDt/Dt", pointer, _day)
        booking = self._parsed(values, "BtchBookg", pointer, {"true": True, "false": False}.__getitem__)
        if day is None or booking is None:
            return None
        instruction = FileInstruction(
            payment_information_id=values["PmtInfId"],
            category_purpose=values.get(_PURPOSE),
            batch_booking=booking,
            transfers=transfers,
        )
        return instruction, _Debtor(
            name=values["Dbtr/Nm"], iban=values["DbtrAcct/Id/IBAN"], bic=values.get(_DEBTOR_BIC), execution_date=day
        )

    def _fixed(self, values: _Values, pointer: str) -> None:
        for path, expected in _FIXED.items():
            if values[path] != expected:
                self._report(pointer, path, "value_not_allowed")
        if values.get(_NO_BIC, NOT_PROVIDED) != NOT_PROVIDED or (_NO_BIC in values) is (_DEBTOR_BIC in values):
            self._report(pointer, _NO_BIC, "value_not_allowed")

    def _transfer(self, element: Element, pointer: str) -> FileTransfer | None:
        values = self._block(element, self.transfer_level, pointer, _TRANSFER)
        amount_cents = None if values is None else self._parsed(values, "Amt/InstdAmt", pointer, text_to_cents)
        if values is None or amount_cents is None:
            return None
        kind = RemittanceKind.NONE
        if _TEXT in values:
            kind = RemittanceKind.UNSTRUCTURED
        elif _REFERENCE in values:
            kind = RemittanceKind.STRUCTURED
        if _TEXT in values and "RmtInf/Strd" in values:
            self._report(pointer, _TEXT, "text_and_reference")
        return FileTransfer(
            end_to_end_id=values["PmtId/EndToEndId"],
            amount_cents=amount_cents,
            creditor_name=values["Cdtr/Nm"],
            creditor_iban=values["CdtrAcct/Id/IBAN"],
            creditor_bic=values.get(_CREDITOR_BIC),
            remittance_kind=kind,
            remittance_text=values.get(_TEXT, values.get(_REFERENCE, "")),
            reference_type=values.get(_REFERENCE_TYPE),
            reference_issuer=values.get(_REFERENCE_ISSUER),
        )

    def _totals(self, values: _Values, transfers: Sequence[FileTransfer], pointer: str) -> None:
        count = self._parsed(values, "NbOfTxs", pointer, _count)
        total = self._parsed(values, "CtrlSum", pointer, text_to_cents)
        if count is not None and count != len(transfers):
            self._report(pointer, "NbOfTxs", "count_wrong")
        if total is not None and total != sum(transfer.amount_cents for transfer in transfers):
            self._report(pointer, "CtrlSum", "total_wrong")

    def _block(
        self, elements: Iterable[Element], level: _Level, pointer: str, required: Iterable[str]
    ) -> _Values | None:
        values: dict[str, str] = {}
        self._collect(elements, level, values, pointer)
        missing = [path for path in required if path not in values]
        for path in missing:
            self._report(pointer, path, "element_missing")
        return None if missing else values

    def _collect(self, elements: Iterable[Element], level: _Level, values: dict[str, str], pointer: str) -> None:
        for element in elements:
            known = level.get(element.tag)
            if known is None:
                self._report(pointer, "", "element_not_allowed")
                continue
            path, below = known
            if path in values:
                self._report(pointer, path, "element_repeated")
            elif below is not None and len(element):
                values[path] = ""
                self._collect(element, below, values, pointer)
            elif below is None and (text := element.text) and not len(element):
                values[path] = text
            else:
                self._report(pointer, path, "element_empty")

    def _parsed(self, values: _Values, path: str, pointer: str, parse: Callable[[str], _Parsed]) -> _Parsed | None:
        try:
            return parse(values[path])
        except (ValueError, KeyError):
            self._report(pointer, path, "value_unreadable")
            return None

    def _report(self, pointer: str, path: str, code: str) -> None:
        place = _FIELDS.get(path, path)
        self.problems.append(_problem(f"{pointer}/{place}" if place else pointer, code))

    def _level(self, paths: Iterable[str]) -> _Level:
        top: _Level = {}
        for path in paths:
            level = top
            *parents, leaf = self._steps(path)
            for depth, parent in enumerate(parents, start=1):
                _, below = level.setdefault(self._tag(parent), ("/".join(self._steps(path)[:depth]), {}))
                level = below if below is not None else {}
            level[self._tag(leaf)] = (path, None)
        return top

    def _steps(self, path: str) -> list[str]:
        """Return the tags on the way: the schemas differ in the tag of a BIC and the place of the execution date."""
        if self.schema == SCHEMA_2009:
            return path.removesuffix("/Dt").split("/")
        return (f"{path}FI" if path.endswith("/BIC") else path).split("/")

    def _tag(self, name: str) -> str:
        return f"{{urn:iso:std:iso:20022:tech:xsd:{self.schema}}}{name}"


def _problem(pointer: str, code: str) -> Problem:
    return Problem(pointer=pointer, code=code, message=REMEDY)


def _count(text: str) -> int:
    if not _COUNT.fullmatch(text):
        raise ValueError("a count has no leading zeros")
    return int(text)


def _moment(text: str) -> datetime:
    if not _MOMENT.fullmatch(text):
        raise ValueError("whole seconds without a zone")
    return datetime.fromisoformat(text).replace(tzinfo=AMSTERDAM).astimezone(UTC)


def _day(text: str) -> date:
    if not _DAY.fullmatch(text):
        raise ValueError("a day without a time")
    return date.fromisoformat(text)
