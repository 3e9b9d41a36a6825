"""What stands in a payment file, as values: one message, its instructions and their lines.

Every text is written as it is given here: cleaned to the SEPA character set and cut to length before (`characters`),
so that the digest that people approve covers exactly these texts.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from app.core.clock import AMSTERDAM
from app.payments.ports import RemittanceKind

SCHEMA_2019 = "pain.001.001.09"
SCHEMA_2009 = "pain.001.001.03"
SCHEMAS = (SCHEMA_2019, SCHEMA_2009)

# What a bank may expect, whatever the schema allows (EPC customer-to-PSP guidelines for SCT; ABN AMRO for the lines).
MAXIMUM_IDENTIFIER_LENGTH = 35
MAXIMUM_NAME_LENGTH = 70
MAXIMUM_TEXT_LENGTH = 140
MAXIMUM_TRANSFERS = 100_000

# ISO external code sets: the purpose of a whole instruction, and the Dutch (CUR) and ISO 11649 (RF) references.
CATEGORY_PURPOSES = frozenset({"SALA", "PENS", "BONU", "TAXS"})
REFERENCE_TYPE = "SCOR"
ISSUER_DUTCH = "CUR"
ISSUER_ISO = "ISO"
NOT_PROVIDED = "NOTPROVIDED"
# As the schema of 2009 has it; what fits here fits the schema of 2019 too.
BIC_PATTERN = re.compile(r"[A-Z]{6}[A-Z2-9][A-NP-Z0-9]([A-Z0-9]{3})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTransfer:
    """One line: whom to pay, how many cents, and what the creditor reads.

    `remittance_text` is the free text, or the reference when `remittance_kind` is structured (then `reference_type` is
    SCOR and `reference_issuer` CUR or ISO), or empty when the kind is none. `creditor_bic` is None unless known.
    """

    end_to_end_id: str
    amount_cents: int
    creditor_name: str
    creditor_iban: str
    creditor_bic: str | None
    remittance_kind: RemittanceKind
    remittance_text: str
    reference_type: str | None = None
    reference_issuer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInstruction:
    """One PmtInf: lines of one kind, debited together. `category_purpose` is SALA for salaries, None for third parties.

    `batch_booking` True makes the bank debit one total, so that the statement does not tell who earns what.
    """

    payment_information_id: str
    category_purpose: str | None
    batch_booking: bool
    transfers: Sequence[FileTransfer]

    @property
    def number_of_transactions(self) -> int:
        """How many lines this instruction has."""
        return len(self.transfers)

    @property
    def control_sum_cents(self) -> int:
        """The sum of its lines, in cents."""
        return sum(transfer.amount_cents for transfer in self.transfers)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileContent:
    """A whole file: one debtor account, one execution date, one or more instructions.

    `created_at` is aware UTC and is written as Amsterdam time in whole seconds (a fraction is left off). The initiating
    party of the file is the debtor: `debtor_name` is the name of the account's holder.
    """

    schema: str
    message_id: str
    created_at: datetime
    debtor_name: str
    debtor_iban: str
    debtor_bic: str | None
    requested_execution_date: date
    instructions: Sequence[FileInstruction]

    @property
    def number_of_transactions(self) -> int:
        """How many lines the file has."""
        return sum(instruction.number_of_transactions for instruction in self.instructions)

    @property
    def control_sum_cents(self) -> int:
        """The sum of all lines, in cents."""
        return sum(instruction.control_sum_cents for instruction in self.instructions)

    @property
    def created_at_local(self) -> datetime:
        """The creation time as it stands in the file: Amsterdam time, whole seconds, no zone."""
        return self.created_at.astimezone(AMSTERDAM).replace(tzinfo=None, microsecond=0)


def transfer_pointers(instructions: Sequence[FileInstruction]) -> Iterator[tuple[str, FileTransfer]]:
    """Yield every line in file order with its place, like `/instructions/0/transfers/3`."""
    for i, instruction in enumerate(instructions):
        for j, transfer in enumerate(instruction.transfers):
            yield f"/instructions/{i}/transfers/{j}", transfer
