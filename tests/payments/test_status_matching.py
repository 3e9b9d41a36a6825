import pytest

from app.payments.status_matching import Stranger, is_same_id, match
from app.payments.status_report_model import StatedStatus
from app.payments.status_reports import read_status_report
from tests.payments.status_report_samples import OLDEST, Block, Line, Report

FILE = {"PMT-1": ["E2E-1", "E2E-2"], "PMT-2": ["E2E-3"]}
REJECTED = StatedStatus(code="RJCT")


def _places(report: Report, file: dict[str, list[str]] | None = None) -> set[tuple[int, int]]:
    """Return the positions of the instruction and line that the report mentions."""
    return set(match(read_status_report(report.bytes()), FILE if file is None else file).mentions)


def _one(block_id: str, end_to_end_id: str, **report: str) -> Report:
    lines = (Line(end_to_end_id=end_to_end_id, status="RJCT"),)
    return Report(blocks=(Block(id=block_id, lines=lines),), **report)


@pytest.mark.parametrize(
    ("block_id", "end_to_end_id"),
    [("PMT-1", "E2E-2"), ("pmt-1", "e2e-2"), ("\u00a0PMT-1 ", " E2E-2\u00a0"), ("NOTPROVIDED", "E2E-2"), ("", "e2e-2")],
)
def test_a_line_is_found_by_its_ids_however_the_bank_writes_them(block_id: str, end_to_end_id: str):
    """Banks change case, pad ids, and leave the id of the instruction out."""
    assert _places(_one(block_id, end_to_end_id)) == {(0, 1)}


def test_the_exact_id_goes_before_one_that_differs_in_case():
    """Two ids that differ in case alone stay two ids."""
    file = {"PMT-1": ["e2e-1", "E2E-1"]}
    assert _places(_one("PMT-1", "E2E-1"), file) == {(0, 1)}
    assert _places(_one("PMT-1", "E2e-1"), file) == set()


@pytest.mark.parametrize(
    ("block_id", "end_to_end_id"),
    [
        ("PMT-9", "E2E-1"),  # of another file
        ("PMT-2", "E2E-1"),  # of another instruction
        ("PMT-1", "E2E-9"),
        ("PMT-1", ""),
        ("PMT-1", "NOTPROVIDED"),
        ("", "NOTPROVIDED"),
        ("PMT-1", "E2E-1 x"),
    ],
)
def test_a_line_that_is_not_the_files_is_a_stranger(block_id: str, end_to_end_id: str):
    """A statement is never given to a line that it does not name."""
    matched = match(read_status_report(_one(block_id, end_to_end_id).bytes()), FILE)
    assert matched.mentions == {}
    assert matched.strangers == (
        Stranger(payment_information_id=block_id or None, end_to_end_id=end_to_end_id or None, statement=REJECTED),
    )


def test_the_word_for_no_id_names_no_line():
    """NOTPROVIDED says that there is no id, also where a file has written it as one."""
    assert _places(_one("PMT-1", "NotProvided"), {"PMT-1": ["NOTPROVIDED"]}) == set()
    assert _places(_one("PMT-1", "NOTPROVIDED"), {"PMT-1": ["NOTPROVIDED"]}) == set()


def test_an_id_that_fits_two_lines_fits_none():
    """Which of the two is meant is for a person."""
    file = {"PMT-1": ["E2E-1"], "PMT-2": ["E2E-1", "E2E-2", "E2E-2"]}
    assert _places(_one("", "E2E-1"), file) == set()
    assert _places(_one("PMT-2", "E2E-2"), file) == set()
    assert _places(_one("PMT-1", "E2E-1"), file) == {(0, 0)}


def test_a_block_that_is_not_the_files_is_a_stranger_with_all_its_lines():
    """A rejection of another instruction is shown, also when it names lines of ours."""
    report = Report(blocks=(Block(id="PMT-9", status="RJCT", lines=(Line(status="RJCT"),)),))
    matched = match(read_status_report(report.bytes()), FILE)
    assert [(each.payment_information_id, each.end_to_end_id) for each in matched.strangers] == [
        ("PMT-9", None),
        ("PMT-9", "E2E-1"),
    ]
    assert matched.blocks == {}


def test_in_the_oldest_version_lines_are_found_with_and_without_the_id_of_the_instruction():
    """Without blocks each line says itself where it belongs, or not."""
    lines = (Line(end_to_end_id="E2E-2", status="RJCT"),)
    assert _places(Report(version=OLDEST, blocks=(Block(id="PMT-1", lines=lines),))) == {(0, 1)}
    assert _places(Report(version=OLDEST, loose=lines)) == {(0, 1)}
    assert _places(Report(version=OLDEST, blocks=(Block(id="PMT-2", lines=lines),))) == set()


@pytest.mark.parametrize(
    ("written", "same"), [("MSG-1", True), (" msg-1 ", True), ("MSG-10", False), ("", False), (None, False)]
)
def test_the_id_of_the_file_is_compared_without_blanks_and_case(written: str | None, same: bool):
    """A report that names no file names not this one."""
    assert is_same_id(written, "MSG-1") is same
