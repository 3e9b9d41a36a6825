import hashlib
from dataclasses import replace

import pytest

from app.payments.ports import SourceBatch
from app.payments.reading import content_key, lines_hash, read_document, totals_problems
from tests.payments.payroll_document import Block, Document, Line

LINES = (
    Line(),
    Line(name="Donkersloot Meijer, Naomi", iban="NL52ABNA7650143244", amount="2611.00", end_to_end_id="E2E-2"),
)


def _batch(**changes: object) -> SourceBatch:
    return read_document(Document(**{"blocks": (Block(lines=LINES),)} | changes).xml().encode())


def _codes(batch: SourceBatch) -> list[tuple[str, str]]:
    return [(problem.pointer, problem.code) for problem in totals_problems(batch)]


# --------------------------------------------------------------------------------------------------------------- totals


def test_a_document_that_adds_up_has_no_problems():
    """Count and sum agree at both levels."""
    assert totals_problems(_batch(blocks=(Block(lines=LINES, count="2", total="6059.08"), Block(lines=LINES)))) == []


def test_totals_are_compared_as_numbers():
    """Leading zeros and missing decimals are other spellings of the same figure."""
    assert totals_problems(_batch(count="0002", total="6059.080")) == []


def test_each_difference_is_named_with_both_figures():
    """A person sees at once what the source says and what is there, per level."""
    batch = _batch(
        count="3",
        total="7000.00",
        blocks=(Block(lines=LINES), Block(lines=(), count="1", total="0.01")),
    )
    assert [(problem.pointer, problem.code, problem.message) for problem in totals_problems(batch)] == [
        ("/GrpHdr/NbOfTxs", "count_differs", "Declared are 3 payments, found are 2."),
        ("/GrpHdr/CtrlSum", "sum_differs", "Declared is EUR 7000.00, found is EUR 6059.08."),
        ("/PmtInf/2/NbOfTxs", "count_differs", "Declared are 1 payments, found are 0."),
        ("/PmtInf/2/CtrlSum", "sum_differs", "Declared is EUR 0.01, found is EUR 0.00."),
    ]


def test_one_cent_is_a_difference():
    """The sum is compared to the cent."""
    assert _codes(_batch(total="6059.07")) == [("/GrpHdr/CtrlSum", "sum_differs")]


def test_a_declared_nothing_is_compared_too():
    """Zero payments declared is a figure, not the absence of one."""
    assert _codes(_batch(count="0", total="0")) == [
        ("/GrpHdr/NbOfTxs", "count_differs"),
        ("/GrpHdr/CtrlSum", "sum_differs"),
    ]


@pytest.mark.parametrize(("count", "total"), [("2", ""), ("", "6059.08")])
def test_one_of_the_two_group_totals_is_enough(count: str, total: str):
    """ISO lets a package leave out the sum, and some leave out the count."""
    assert totals_problems(_batch(count=count, total=total)) == []


def test_a_document_without_any_group_total_cannot_be_trusted():
    """Without a figure of the source itself nobody can tell that all payments came through."""
    assert _codes(_batch(count="", total="", blocks=(Block(lines=LINES, count="2", total="6059.08"),))) == [
        ("/GrpHdr", "totals_missing")
    ]


def test_an_amount_that_cannot_be_read_counts_as_a_payment_and_is_a_problem():
    """The line is there, its amount is not: no sum says anything then."""
    batch = _batch(blocks=(Block(lines=(*LINES, replace(LINES[0], amount="1,00"))),), count="3", total="6059.08")
    problem = totals_problems(batch)[0]
    assert (problem.code, problem.message) == (
        "amount_unreadable",
        "The amount is not a number in whole cents, or far too large, in 1 payment(s): number 3.",
    )


@pytest.mark.parametrize(("count", "end"), [(10, "9, 10."), (11, "9, 10, ....")])
def test_a_long_list_of_unreadable_amounts_is_cut(count: int, end: str):
    """Ten numbers are enough to start looking."""
    lines = [replace(LINES[0], amount="x")] * count
    message = totals_problems(_batch(blocks=(Block(lines=lines),), count=str(count), total="0"))[0].message
    assert message.endswith(f"in {count} payment(s): number 1, 2, 3, 4, 5, 6, 7, 8, {end}")


def test_an_amount_below_zero_counts_as_written():
    """The sum of the source has it in, so ours has; that the line cannot be paid is judged by line."""
    lines = (*LINES, replace(LINES[0], amount="-59.08"))
    assert totals_problems(_batch(blocks=(Block(lines=lines),), count="3", total="6000.00")) == []


# ----------------------------------------------------------------------------------------------------------------- hash


def test_the_hash_of_known_lines_is_fixed():
    """Stored hashes are compared for years: the recipe does not change unseen."""
    lines = (
        "loonstroom-lines-v1\n"
        '["NL42INGB2268352412",344808,"EUR","Jong, Wouter de","unstructured","Salaris april 2026","SALA"]\n'
        '["NL52ABNA7650143244",261100,"EUR","Donkersloot Meijer, Naomi","unstructured","Salaris april 2026","SALA"]'
    )
    assert lines_hash(_batch()) == hashlib.sha256(lines.encode()).hexdigest()
    assert lines_hash(_batch()) == "d13d3bee3d59d163e5d74afec04976e77b991d0cbb7886f6db04249a920b921f"


def test_ids_dates_order_and_blocks_do_not_matter():
    """The same run exported again, elsewhere or tomorrow, has the same hash."""
    again = Document(
        version="pain.001.001.09",
        message_id="OTHER",
        created_at="2026-05-01T00:00:00",
        blocks=(
            Block(
                id="X", date="2026-05-25", lines=(replace(LINES[1], end_to_end_id="Y", iban="nl52 abna 7650 1432 44"),)
            ),
            Block(id="Z", date="2026-05-26", lines=(LINES[0],)),
        ),
    )
    assert lines_hash(read_document(again.xml().encode())) == lines_hash(_batch())


@pytest.mark.parametrize(
    "changed",
    [
        {"iban": "NL52ABNA7650143244"},
        {"amount": "3448.09"},
        {"name": "Jong, W. de"},
        {"text": "Salaris mei 2026"},
        {"text": "", "reference": "Salaris april 2026"},
        {"currency": "USD"},
    ],
)
def test_anything_that_is_paid_matters(changed: dict[str, str]):
    """Account, amount, currency, name, text and its kind: one letter makes another hash."""
    other = _batch(blocks=(Block(lines=(replace(LINES[0], **changed), LINES[1])),))
    assert lines_hash(other) != lines_hash(_batch())


def test_the_purpose_matters():
    """A salary that becomes something else is another payment."""
    assert lines_hash(_batch(blocks=(Block(lines=LINES, purpose=""),))) != lines_hash(_batch())


def test_a_line_that_comes_twice_matters():
    """Equal lines are not folded into one."""
    assert lines_hash(_batch(blocks=(Block(lines=(*LINES, LINES[0])),))) != lines_hash(_batch())


def test_amounts_that_cannot_be_read_are_told_apart():
    """Two different scribbles are two different contents."""
    first, second = (_batch(blocks=(Block(lines=(replace(LINES[0], amount=text),)),), total="0") for text in ("x", "y"))
    assert lines_hash(first) != lines_hash(second)


def test_values_do_not_run_into_each_other():
    """Moving a letter from the name to the text is another content."""
    first = _batch(blocks=(Block(lines=(Line(name="AB", text="C"),)),))
    second = _batch(blocks=(Block(lines=(Line(name="A", text="BC"),)),))
    assert lines_hash(first) != lines_hash(second)


def test_a_run_that_is_named_is_known_by_its_name():
    """Year, period and number together are the run; its lines may then change."""
    assert content_key(_batch(), year=2026, period=4, run_number=1) == "run-2026-4-1"


@pytest.mark.parametrize(
    "known",
    [{}, {"year": 2026}, {"year": 2026, "period": 4}, {"period": 4, "run_number": 1}, {"year": 2026, "run_number": 1}],
)
def test_a_run_that_is_not_fully_named_is_known_by_its_lines(known: dict[str, int]):
    """Half a name could be that of another run."""
    assert content_key(_batch(), **known) == f"lines-{lines_hash(_batch())}"
