"""A payment order as the bank books it: a message, its batches (PmtInf) and their transfers."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a file is refused: an ISO 20022 reason code, the place in the file, and words."""

    code: str
    where: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One CdtTrfTxInf. `text` is the free text or the reference, empty when there is none."""

    end_to_end_id: str
    cents: int
    name: str
    iban: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One PmtInf: what the account-holder sees as one batch."""

    payment_information_id: str
    execution_date: date
    debtor_name: str
    debtor_iban: str
    category_purpose: str | None
    transfers: tuple[Transfer, ...]

    @property
    def cents(self) -> int:
        """What is debited for the batch."""
        return sum(transfer.cents for transfer in self.transfers)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentOrder:
    """One accepted pain.001."""

    schema: str
    message_id: str
    batches: tuple[Batch, ...]

    @property
    def count(self) -> int:
        """How many transfers there are."""
        return sum(len(batch.transfers) for batch in self.batches)

    @property
    def cents(self) -> int:
        """The sum of all transfers."""
        return sum(batch.cents for batch in self.batches)

    def transfers(self) -> Iterator[tuple[Batch, Transfer]]:
        """All transfers in file order, each with its batch."""
        for batch in self.batches:
            for transfer in batch.transfers:
                yield batch, transfer

    def likeness(self) -> frozenset[tuple[tuple[str, date, str, int], int]]:
        """What two files that pay the same have in common, whatever their ids: who pays whom how much and when."""
        paid = Counter(
            (batch.debtor_iban, batch.execution_date, transfer.iban, transfer.cents)
            for batch, transfer in self.transfers()
        )
        return frozenset(paid.items())


def euros(cents: int) -> str:
    """Cents as text with a point: 1980608 is `19806.08`."""
    return f"{cents // 100}.{cents % 100:02d}"
