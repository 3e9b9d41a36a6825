"""Reads a payment file back with nothing but the standard library's parser: a third pair of eyes on the bytes."""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as ET

CHARACTERS: Final = frozenset(string.ascii_letters + string.digits + "/-?:().,'+ ")

# Everything that may stand in a file, by schema: what is not here was never meant to be written.
_LINE: Final = {
    "PmtId/EndToEndId": "end_to_end_id",
    "Amt/InstdAmt": "amount",
    "CdtrAgt/FinInstnId/BIC*": "bic",
    "Cdtr/Nm": "name",
    "CdtrAcct/Id/IBAN": "iban",
    "RmtInf/Ustrd": "text",
    "RmtInf/Strd/CdtrRefInf/Tp/CdOrPrtry/Cd": "reference_type",
    "RmtInf/Strd/CdtrRefInf/Tp/Issr": "reference_issuer",
    "RmtInf/Strd/CdtrRefInf/Ref": "reference",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBlock:
    """A PmtInf: its values by path, and its lines as values by name."""

    values: Mapping[str, str]
    lines: Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFile:
    """A file: schema, header values by path, blocks."""

    schema: str
    header: Mapping[str, str]
    blocks: Sequence[ReadBlock]


def read_file(data: bytes) -> ReadFile:
    """The file's content. AssertionError for what no bank should see: strange characters, empty or unknown tags."""
    assert data.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="'), "the start of the file"
    assert b"<!" not in data, "no markup but elements"
    assert b"&" not in data, "nothing to escape in the SEPA character set"
    root = ET.fromstring(data)  # noqa: S314 - written by this program a moment ago
    space, _, _ = root.tag[1:].partition("}")
    message = root[0]
    assert [_name(each) for each in (root, message)] == ["Document", "CstmrCdtTrfInitn"]
    for element in root.iter():
        _check_element(element, space)
    assert [_name(each) for each in message[:1]] == ["GrpHdr"]
    assert {_name(each) for each in message[1:]} == {"PmtInf"}, "instructions after the header"
    return ReadFile(
        schema=space.rpartition(":")[2],
        header=_values(message[0]),
        blocks=[_block(each) for each in message[1:]],
    )


def _check_element(element: ET.Element, space: str) -> None:
    assert element.tag.startswith(f"{{{space}}}"), "one namespace"
    assert element.attrib == ({"Ccy": "EUR"} if _name(element) == "InstdAmt" else {}), "no attribute but the currency"
    text = element.text or ""
    if len(element):
        assert not text.strip("\n"), "no text between elements"
        return
    assert text, f"{_name(element)} is empty"
    assert text == text.strip(), f"{_name(element)} has a blank at an end"
    assert set(text) <= CHARACTERS, f"{_name(element)} has characters outside the SEPA character set"


def _block(element: ET.Element) -> ReadBlock:
    lines = [each for each in element if _name(each) == "CdtTrfTxInf"]
    others = [each for each in element if _name(each) != "CdtTrfTxInf"]
    values: dict[str, str] = {}
    for each in others:
        _collect(each, "", values)
    return ReadBlock(values=values, lines=[_line(each) for each in lines])


def _line(element: ET.Element) -> Mapping[str, str]:
    values = _values(element)
    known = {path.replace("BIC*", tag): name for path, name in _LINE.items() for tag in ("BIC", "BICFI")}
    assert values.keys() <= known.keys(), f"unknown: {sorted(values.keys() - known.keys())}"
    return {known[path]: value for path, value in values.items()}


def _values(element: ET.Element) -> dict[str, str]:
    values: dict[str, str] = {}
    for each in element:
        _collect(each, "", values)
    return values


def _collect(element: ET.Element, above: str, values: dict[str, str]) -> None:
    path = f"{above}{_name(element)}"
    if not len(element):
        assert path not in values, f"{path} stands twice"
        values[path] = element.text or ""
    for each in element:
        _collect(each, f"{path}/", values)


def _name(element: ET.Element) -> str:
    return element.tag.partition("}")[2]
