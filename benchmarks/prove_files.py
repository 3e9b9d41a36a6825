"""Proof `files`: whatever a payroll package sends, each line is paid exactly as approved or refused by name.

Made-up batches go the real way, without the database: a line of the source is written (`rules.write_line`), judged
(`rules.judge`), settled, put in a file (`filing`, `sepa.build_file`). Then the file is read back by a parser of this
proof's own and handed to the simulated bank, which shares no code with the service.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from uuid import UUID

from app.core.clock import amsterdam_date
from app.payments import characters, filing, identifiers, line_rows, revising, rules, sepa
from app.payments.bank_profiles import profile_for
from app.payments.filing import BatchContent
from app.payments.findings import Draft
from app.payments.lines import Line
from app.payments.models import (
    AccountState,
    BatchStatus,
    DebtorAccount,
    Decision,
    LinkMode,
    PaymentBatch,
    TransferStatus,
)
from app.payments.rules import BatchFacts
from app.payments.sepa_model import FileContent
from benchmarks.file_checks import check_file, check_verdicts
from benchmarks.file_reader import read_file
from benchmarks.hostile_batches import MadeBatch, MadeLine, made_batch
from simulators.bank.books import Books
from simulators.bank.clock import BankClock
from simulators.bank.process import BankClient, run_bank
from simulators.bank.upload import Upload

_KEY = b"a key for the proof of files only"
_FORGET_EVERY = 500  # batches, so that the bank in this process does not fill the memory
_SAMPLE_EVERY = 50  # batches that hold a file, handed in over a socket as well
_AFTER_ALL = datetime(2035, 1, 1, tzinfo=UTC)  # every execution date that is drawn lies before


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was tried."""

    batches: int = 0
    files: int = 0
    paid: int = 0
    refused: int = 0
    over_sockets: int = 0

    def __str__(self) -> str:
        """The figure of the proof."""
        return (
            f"{self.batches} batches: {self.paid} lines in {self.files} files, each valid, read back exactly as "
            f"approved and taken by the bank ({self.over_sockets} over a socket); {self.refused} lines refused by name"
        )


def prove_files(count: int, seed: int) -> str:
    """Try so many batches; AssertionError names the first that does not hold."""
    tally = Tally()
    clock = BankClock(lambda: datetime.now(UTC))
    books = Books(clock)
    handed_in = 0
    with run_bank() as bank:
        for number in range(1, count + 1):
            try:
                data = try_batch(made_batch(seed, number), books, tally)
                if data is not None and tally.files % _SAMPLE_EVERY == 1:
                    handed_in += _hand_in(bank, data, clock)
                    tally.over_sockets += 1
            except Exception as error:
                raise AssertionError(f"batch {number}: {type(error).__name__}: {error}") from error
            if number % _FORGET_EVERY == 0:
                books.reset()
                print(tally, flush=True)
        bank.put_clock(_AFTER_ALL)
        ledger = bank.ledger()
    assert (ledger["number"], ledger["doubles"]) == (handed_in, []), "the bank debits each line that it took once"
    assert tally.files, "no batch made a file"
    assert tally.refused, "no line was refused"
    return str(tally)


def try_batch(made: MadeBatch, books: Books, tally: Tally) -> bytes | None:
    """Take one batch the whole way; gives its file, None when nothing in it can be paid."""
    rows, drafts = judged_rows(made)
    tally.batches += 1
    tally.refused += sum(row.status == TransferStatus.INVALID for row in rows)
    check_verdicts(made, rows, drafts)
    content = content_of(made, rows)
    if not content.paid:
        return None
    wanted = filing.file_contents(content, created_at=made.created_at)[0]
    data = sepa.build_file(wanted)
    tally.files += 1
    tally.paid += len(content.paid)
    assert sepa.write_file(wanted) == data, "the same content gives the same bytes"
    check_file(made, rows, wanted.message_id, read_file(data))
    _check_bank(books, made, wanted, data)
    return data


def judged_rows(made: MadeBatch) -> tuple[list[Line], list[Draft]]:
    """The lines as they would be stored with their statuses, and the findings on them."""
    rows = [_row(made, line) for line in made.lines]
    drafts = rules.judge([revising.rule_line(row) for row in rows], _facts(made))
    revising.settle_statuses(rows, drafts)
    return rows, drafts


def _row(made: MadeBatch, line: MadeLine) -> Line:
    """The line as it would be stored."""
    transfer = line.transfer
    written = rules.write_line(transfer, category_purpose=line.purpose, known_kind=line.known_kind)
    obligation_id = _id(made, 1_000 + transfer.position)
    row = Line(
        id=_id(made, 100_000 + transfer.position),
        obligation_id=obligation_id,
        position=transfer.position,
        status=TransferStatus.HELD,
        decision=Decision.EXCLUDE if line.is_left_out else Decision.PAY,
        decision_reason=None,
        hold_code=None,
        attempt=1,
        end_to_end_id=identifiers.end_to_end_id(_KEY, obligation_id, 1),
        amount_cents=transfer.amount_cents or 0,
        currency=transfer.currency,
        kind=written.kind,
        creditor_name=written.creditor_name,
        creditor_name_original=transfer.creditor_name,
        creditor_iban=written.creditor_iban,
        creditor_bic=written.creditor_bic,
        remittance_kind=written.remittance_kind,
        remittance_text=written.remittance_text,
        remittance_text_original=transfer.remittance_text,
        reference_type=written.reference_type,
        reference_issuer=written.reference_issuer,
        source_end_to_end_id=transfer.end_to_end_id,
        source_debtor_iban=line.debtor_iban,
        source_creditor_bic=transfer.creditor_bic,
        source_execution_date=made.execution_date,
    )
    if line.changed_kind is not None:
        row.kind = line.changed_kind
        line_rows.rewrite_text(row)
    return row


def _id(made: MadeBatch, number: int) -> UUID:
    return UUID(int=Random(f"{made.number}:{made.created_at}:{number}").getrandbits(128), version=4)


def _facts(made: MadeBatch) -> BatchFacts:
    return BatchFacts(
        debtor_iban=made.debtor_iban,
        requested_execution_date=made.execution_date,
        today=amsterdam_date(made.created_at),
        run_description="Salaris",
        run_is_locked=True,
        is_upload=False,
        source_debtor_iban=made.lines[0].debtor_iban,
        source_execution_date=made.execution_date,
        people_in_run=len(made.lines),
        people_missing=0,
        paid_before_in_period=0,
    )


def content_of(made: MadeBatch, rows: Sequence[Line]) -> BatchContent:
    """The batch with its rows, as files are made of."""
    account = DebtorAccount(
        id=_id(made, 2),
        employer_id=_id(made, 3),
        iban=made.debtor_iban,
        bic=made.debtor_bic,
        holder_name=characters.clean(made.debtor_name).text,
        bank_profile=profile_for(made.debtor_iban).code,
        file_schema=made.schema,
        batch_booking=made.batch_booking,
        state=AccountState.CONFIRMED,
        created_at=made.created_at,
    )
    batch = PaymentBatch(
        id=_id(made, 1),
        employer_id=account.employer_id,
        administration_id=_id(made, 4),
        run_id=_id(made, 5),
        reading_id=_id(made, 6),
        debtor_account_id=account.id,
        mode=LinkMode.LIVE,
        status=BatchStatus.PENDING,
        revision=1,
        digest="",
        requested_execution_date=made.execution_date,
        number_of_transactions=0,
        control_sum_cents=0,
        source_equal_at=made.created_at,
        created_at=made.created_at,
        updated_at=made.created_at,
    )
    return BatchContent(batch=batch, account=account, transfers=rows, acknowledgement_keys=[], environment="proof")


def _check_bank(books: Books, made: MadeBatch, wanted: FileContent, data: bytes) -> None:
    """The bank takes the file, and has read the same payments in it."""
    books.clock.put(made.created_at)
    taken = books.take(data, file_name=f"{wanted.message_id}.xml")
    assert isinstance(taken, Upload), f"the bank refuses: {taken}"
    paid = [
        (each.end_to_end_id, each.amount_cents, each.creditor_name, each.creditor_iban, each.remittance_text)
        for block in wanted.instructions
        for each in block.transfers
    ]
    booked = [(line.end_to_end_id, line.cents, line.name, line.iban, line.text) for _, line in taken.order.transfers()]
    assert booked == paid, "the bank reads other payments"


def _hand_in(bank: BankClient, data: bytes, clock: BankClock) -> int:
    """Hand in and sign over a socket, as a person would; gives how many lines the bank shows."""
    bank.put_clock(clock.now())
    shown = bank.upload(data)
    bank.sign(shown["id"])
    return int(shown["number"])
