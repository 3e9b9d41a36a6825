"""What must hold of a made-up batch: its findings, and its file as it was read back."""

import re
from collections.abc import Iterable, Mapping, Sequence

from app.core.clock import AMSTERDAM
from app.core.money import CURRENCY
from app.payments.findings import CATALOGUE, Draft, text_of
from app.payments.lines import Line
from app.payments.models import Severity, TransferKind, TransferStatus
from app.payments.ports import RemittanceKind
from benchmarks.file_reader import CHARACTERS, ReadFile
from benchmarks.hostile_batches import MadeBatch, MadeLine

_TIDY = re.compile(r"[^ ]+( [^ ]+)*")


# ------------------------------------------------------------------------------------------------------------ findings


def check_verdicts(made: MadeBatch, rows: Sequence[Line], drafts: Sequence[Draft]) -> None:
    """Each bad line is refused by a finding that names it and its field; no good line is refused."""
    named: dict[int, set[str]] = {}
    for draft in drafts:
        if CATALOGUE[draft.code].severity is Severity.ERROR:
            assert draft.position is not None, f"{draft.code} names no line"
            assert draft.field, f"{draft.code} names no field"
            named.setdefault(draft.position, set()).add(draft.field)
            texts = " ".join(text_of(draft.code, draft.figures))
            assert made.debtor_iban not in texts, f"{draft.code} tells an account"
    for line, row in zip(made.lines, rows, strict=True):
        fields = named.get(row.position, set())
        where = f"line {row.position} of {len(rows)}"
        assert line.bad <= fields, f"{where}: nothing says what is wrong with {sorted(line.bad - fields)}"
        wrongly = fields - line.bad - line.doubtful
        assert not wrongly, f"{where}: {sorted(wrongly)} called wrong: {line.transfer}"
        status = TransferStatus.INVALID if fields else TransferStatus.PAYABLE
        assert row.status == (TransferStatus.EXCLUDED if line.is_left_out else status), f"{where} is {row.status}"


# --------------------------------------------------------------------------------------------------------------- files


def check_file(made: MadeBatch, rows: Sequence[Line], message_id: str, read: ReadFile) -> None:
    """The file says exactly what was approved: the account, the day, and each payable line once, by kind."""
    kinds = [kind for kind in TransferKind if any(row.kind == kind for row in _payable(rows))]
    approved = [[row for row in _payable(rows) if row.kind == kind] for kind in kinds]
    assert read.schema == made.schema
    assert read.header == {
        "MsgId": message_id,
        "CreDtTm": made.created_at.astimezone(AMSTERDAM).replace(tzinfo=None).isoformat(timespec="seconds"),
        "NbOfTxs": str(sum(map(len, approved))),
        "CtrlSum": _euros(row.amount_cents for group in approved for row in group),
        "InitgPty/Nm": made.debtor_name,
    }
    assert [block.lines for block in read.blocks] == [[*map(_as_read, group)] for group in approved], "the lines"
    for number, (kind, group, block) in enumerate(zip(kinds, approved, read.blocks, strict=True), start=1):
        assert block.values == _block_values(made, kind, group, f"{message_id}-{number}"), "an instruction"
    sources = {line.transfer.position: line for line in made.lines}
    for group in approved:
        for row in group:
            _check_against_source(row, sources[row.position])


def _payable(rows: Sequence[Line]) -> list[Line]:
    return [row for row in rows if row.status == TransferStatus.PAYABLE]


def _euros(cents: Iterable[int]) -> str:
    total = sum(cents)
    return f"{total // 100}.{total % 100:02d}"


def _as_read(row: Line) -> Mapping[str, str]:
    """What must be read back for a line, nothing more."""
    values = {
        "end_to_end_id": row.end_to_end_id,
        "amount": _euros([row.amount_cents]),
        "name": row.creditor_name,
        "iban": row.creditor_iban,
    }
    if row.creditor_bic is not None:
        values["bic"] = row.creditor_bic
    if row.remittance_kind == RemittanceKind.UNSTRUCTURED:
        values["text"] = row.remittance_text
    if row.remittance_kind == RemittanceKind.STRUCTURED:
        issuer = "ISO" if row.remittance_text.startswith("RF") else "CUR"
        values |= {"reference_type": "SCOR", "reference_issuer": issuer, "reference": row.remittance_text}
    return values


def _block_values(made: MadeBatch, kind: TransferKind, group: Sequence[Line], name: str) -> dict[str, str]:
    is_new = made.schema.endswith("09")
    values = {
        "PmtInfId": name,
        "PmtMtd": "TRF",
        "BtchBookg": str(made.batch_booking).lower(),
        "NbOfTxs": str(len(group)),
        "CtrlSum": _euros(row.amount_cents for row in group),
        "PmtTpInf/SvcLvl/Cd": "SEPA",
        "ReqdExctnDt/Dt" if is_new else "ReqdExctnDt": made.execution_date.isoformat(),
        "Dbtr/Nm": made.debtor_name,
        "DbtrAcct/Id/IBAN": made.debtor_iban,
        "ChrgBr": "SLEV",
    }
    if kind is TransferKind.SALARY:
        values["PmtTpInf/CtgyPurp/Cd"] = "SALA"
    if made.debtor_bic is None:
        return values | {"DbtrAgt/FinInstnId/Othr/Id": "NOTPROVIDED"}
    return values | {f"DbtrAgt/FinInstnId/{'BICFI' if is_new else 'BIC'}": made.debtor_bic}


def _check_against_source(row: Line, line: MadeLine) -> None:
    """What is paid is what the source said: cents, account, currency; a text that can be written as it is, is."""
    transfer, where = line.transfer, f"line {row.position}"
    assert row.amount_cents == transfer.amount_cents, f"{where}: other cents than the source's"
    assert transfer.currency == CURRENCY, f"{where}: not in euros"
    assert row.creditor_iban == line.iban, f"{where}: another account than the source's"
    for original, written, most in (
        (transfer.creditor_name, row.creditor_name, 70),
        (transfer.remittance_text, row.remittance_text, 140),
    ):
        assert len(written) <= most, f"{where}: a text of {len(written)} characters"
        if set(original) <= CHARACTERS and _TIDY.fullmatch(original):
            assert written == original[:most].rstrip(), f"{where}: a text was changed without need"
