import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from app.payments.ports import RemittanceKind
from app.payments.sepa_model import SCHEMAS, FileContent, FileTransfer
from app.payments.sepa_second_writer import PORTION, disagreements, second_opinion
from tests.payments.sepa_examples import content, contents, instruction, reference_line, rich_content, transfer


def _lines(file: FileContent) -> list[FileTransfer]:
    return [line for block in file.instructions for line in block.transfers]


def _found(file: FileContent, written: list[FileTransfer]) -> list[tuple[str, str]]:
    return [(problem.pointer, problem.code) for problem in disagreements(file, written)]


@settings(deadline=None, max_examples=50)
@given(contents())
def test_both_writers_agree_on_every_file(file: FileContent):
    """Name, IBAN, cents and text of each line, in order, for both schemas."""
    assert disagreements(file, _lines(file)) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"creditor_name": "A. Voorbeeld-9"}, "creditor_name"),
        ({"creditor_iban": "NL31ABNA0000000002"}, "creditor_iban"),
        ({"amount_cents": 2}, "amount_cents"),
        ({"remittance_text": "Salaris december 2026"}, "remittance_text"),
        ({"remittance_kind": RemittanceKind.NONE}, "remittance_text"),
    ],
)
def test_a_line_that_differs_from_what_sepaxml_writes_is_named(changes: dict[str, Any], field: str):
    """Each of the four facts by itself."""
    file = rich_content()
    written = _lines(file)
    written[0] = replace(written[0], **changes)
    assert _found(file, written) == [(f"/instructions/0/transfers/0/{field}", "second_writer_disagrees")]


def test_the_place_of_a_difference_counts_over_the_instructions():
    """The last line of the file is the second of the second instruction."""
    file = rich_content()
    written = _lines(file)
    written[-1] = replace(written[-1], amount_cents=1)
    assert _found(file, written) == [("/instructions/1/transfers/1/amount_cents", "second_writer_disagrees")]


@pytest.mark.parametrize("change", ["missing", "doubled", "swapped"])
def test_lines_missing_doubled_or_out_of_order_are_a_disagreement(change: str):
    """The two files hold the same lines in the same order."""
    file = rich_content()
    first, second, *rest = _lines(file)
    written = {"missing": [first, *rest], "doubled": [first, first, second, *rest], "swapped": [second, first, *rest]}
    assert _found(file, written[change]) != []


def test_structured_references_are_counted_and_their_text_is_not_compared():
    """Structured references are beyond sepaxml, but one that turned into nothing is noticed."""
    file = content(instructions=[instruction([reference_line(1), transfer(2)])])
    reference, ordinary = _lines(file)
    assert _found(file, [replace(reference, remittance_text="1234567"), ordinary]) == []
    lost = replace(reference, remittance_kind=RemittanceKind.NONE, remittance_text="")
    assert _found(file, [lost, ordinary]) == [("/instructions", "second_writer_disagrees")]


def test_more_lines_than_a_portion_come_back_once_each_and_in_order():
    """Portions neither double nor lose the lines at their edges."""
    lines = [transfer(n) for n in range(1, 2 * PORTION + 2)]
    second = second_opinion(content(instructions=[instruction(lines)]))
    assert [line.amount_cents for line in second] == [line.amount_cents for line in lines]


@pytest.fixture
def _restless_threads() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-9)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_restless_threads")
def test_files_of_both_schemas_can_be_compared_at_the_same_time():
    """A table of the whole process is changed by sepaxml; threads must not trip over each other there."""
    files = [content(schema=schema, instructions=[instruction([transfer(1)])]) for schema in SCHEMAS]
    with ThreadPoolExecutor(max_workers=8) as pool:
        seen = list(pool.map(lambda n: len(second_opinion(files[n % 2])), range(8_000)))
    assert seen == [1] * 8_000
