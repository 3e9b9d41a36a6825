"""The short version of the proof `files`, and that it notices what it is there to notice."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.payments import filing
from app.payments.findings import Draft
from app.payments.lines import Line
from app.payments.models import TransferStatus
from app.payments.sepa import build_file
from benchmarks import prove_files
from benchmarks.file_checks import check_file, check_verdicts
from benchmarks.file_reader import read_file
from benchmarks.hostile_batches import MadeBatch, made_batch
from benchmarks.prove_files import Tally, judged_rows, try_batch
from simulators.bank.books import Books
from simulators.bank.clock import BankClock
from simulators.bank.rulebook import Rulebook

SEED = 20261121


def test_two_hundred_hostile_batches_are_paid_as_approved_or_refused_by_name():
    """Each file is valid, read back to the approved lines and taken by the bank; every other line has its finding."""
    said = prove_files.prove_files(200, SEED)

    assert said.startswith("200 batches: ")
    assert "over a socket" in said


@pytest.fixture(scope="module")
def made() -> MadeBatch:
    """A batch with lines of every fate: paid as salary and to third parties, refused, left out."""
    for number in range(1, 1_000):
        batch = made_batch(SEED, number)
        rows, _ = judged_rows(batch)
        kinds = {row.kind for row in rows if row.status == TransferStatus.PAYABLE}
        if len(rows) < 60 and len(kinds) == 2 and {row.status for row in rows} == {"payable", "invalid", "excluded"}:
            return batch
    raise AssertionError("no such batch")


def _books(rules: Rulebook | None = None) -> Books:
    return Books(BankClock(lambda: datetime.now(UTC)), rules)


def _check(made: MadeBatch, rows: list[Line], spoil: Callable[[bytes], bytes] = bytes) -> None:
    """Check the file of these rows after something was done to its bytes."""
    wanted = filing.file_contents(prove_files.content_of(made, rows), created_at=made.created_at)[0]
    check_file(made, rows, wanted.message_id, read_file(spoil(build_file(wanted))))


def _dropped_line(data: bytes) -> bytes:
    start, end = data.index(b"<CdtTrfTxInf>"), data.index(b"</CdtTrfTxInf>\n") + len(b"</CdtTrfTxInf>\n")
    return data[:start] + data[end:]


def _doubled_line(data: bytes) -> bytes:
    start, end = data.index(b"<CdtTrfTxInf>"), data.index(b"</CdtTrfTxInf>\n") + len(b"</CdtTrfTxInf>\n")
    return data[:end] + data[start:end] + data[end:]


@pytest.mark.parametrize(
    "spoil",
    [
        _dropped_line,
        _doubled_line,
        lambda data: data.replace(b"</InstdAmt>", b"0</InstdAmt>", 1),
        lambda data: data.replace(b"<Cdtr><Nm>", b"<Cdtr><Nm>X", 1),
        lambda data: data.replace(b"<EndToEndId>", b"<EndToEndId>X", 1),
        lambda data: data.replace(b"SALA", b"BONU", 1),
        lambda data: data.replace(b"SLEV", b"SHAR", 1),
        lambda data: data.replace(b"<CtrlSum>", b"<CtrlSum>1", 1),
        lambda data: data.replace(b"<BtchBookg>", b"<BtchBookg>1", 1),
        lambda data: data.replace(b"<Cdtr>", b"<Cdtr><CtryOfRes>NL</CtryOfRes>", 1),
        lambda data: data.replace(b"<Cdtr>", b"<Cdtr><CtryOfRes></CtryOfRes>", 1),
        lambda data: data.replace(b"<Cdtr><Nm>", b"<Cdtr><Nm>\xc3\xa9", 1),
        lambda data: data.replace(b"</Nm></Cdtr>", b" </Nm></Cdtr>", 1),
        lambda data: data.replace(b'Ccy="EUR"', b'Ccy="USD"', 1),
    ],
)
def test_a_file_that_says_anything_else_is_noticed(made: MadeBatch, spoil: Callable[[bytes], bytes]):
    """A line less or more, another value, another tag, a strange character."""
    rows, _ = judged_rows(made)
    _check(made, rows)
    with pytest.raises(AssertionError):
        _check(made, rows, spoil)


def test_a_bank_that_refuses_is_noticed(made: MadeBatch):
    """A file that is good by our own rules alone does not count."""
    with pytest.raises(AssertionError, match="the bank refuses"):
        try_batch(made, _books(Rulebook(maximum_transactions=1)), Tally())


def _without(drafts: list[Draft], rows: list[Line]) -> list[Draft]:
    position = next(row.position for row in rows if row.status == TransferStatus.INVALID)
    return [draft for draft in drafts if draft.position != position]


def test_a_line_that_goes_wrong_unsaid_is_noticed(made: MadeBatch):
    """A bad line without its finding, and a good one that is refused."""
    rows, drafts = judged_rows(made)
    check_verdicts(made, rows, drafts)
    with pytest.raises(AssertionError, match="nothing says what is wrong"):
        check_verdicts(made, rows, _without(drafts, rows))
    good = next(row.position for row in rows if row.status == TransferStatus.PAYABLE)
    with pytest.raises(AssertionError, match="called wrong"):
        check_verdicts(made, rows, [*drafts, Draft(code="name_empty", position=good, field="creditor.name")])
    with pytest.raises(AssertionError, match="names no line"):
        check_verdicts(made, rows, [*drafts, Draft(code="name_empty", field="creditor.name")])
    with pytest.raises(AssertionError, match="names no field"):
        check_verdicts(made, rows, [*drafts, Draft(code="name_empty", position=good)])


def test_a_payment_that_is_not_the_sources_is_noticed(made: MadeBatch):
    """Other cents, or another account, than the payroll package said."""
    rows, _ = judged_rows(made)
    paid = next(row for row in rows if row.status == TransferStatus.PAYABLE)
    line = next(line for line in made.lines if line.transfer.position == paid.position)
    for other in (
        replace(line, transfer=replace(line.transfer, amount_cents=paid.amount_cents + 1)),
        replace(line, iban=made.debtor_iban),
        replace(line, transfer=replace(line.transfer, currency="USD")),
        replace(line, transfer=replace(line.transfer, creditor_name="Iemand Anders")),
    ):
        changed = replace(made, lines=[other if each is line else each for each in made.lines])
        with pytest.raises(AssertionError, match=f"line {paid.position}: "):
            _check(changed, rows)


def test_the_same_seed_gives_the_same_batches():
    """So that a counter-example can be repeated; another seed gives others."""
    assert made_batch(1, 5) == made_batch(1, 5)
    assert made_batch(1, 5) != made_batch(2, 5)
