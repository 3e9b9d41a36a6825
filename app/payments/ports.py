"""What the outside world and the domain say to each other: values and the Protocols that carry them.

Adapters (`nmbrs`, `banks`) import this page, `reading` and `errors` of the domain and nothing else of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAdministration:
    """An administration as the source lists it. `external_id` is the source's own key; `number` is what people read.

    `frequency` says how often it pays (`month`, `four_weeks`, `week`), None when the source does not say.
    """

    external_id: str
    number: str
    name: str
    client_external_id: str | None = None
    client_name: str | None = None
    frequency: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRun:
    """A payroll run as the source lists it.

    `year`, `period_start` and `period_end` are payroll periods (1-12, 1-13 or 1-53), not dates.
    `made_at` is aware UTC, None when the source says nothing. `frequency` is `month`, `four_weeks`, `week` or None.
    """

    external_id: str
    number: int
    year: int
    period_start: int
    period_end: int
    description: str
    made_at: datetime | None
    is_locked: bool
    frequency: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDebtorAccount:
    """The account that the source pays from for this administration, as stored there (not checked)."""

    iban: str
    bic: str | None
    name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEmployee:
    """Somebody who is in a run. Only what is needed to say who is missing from the payment file."""

    external_id: str
    number: str
    name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RawDocument:
    """The bytes a source answered with, before anybody read them. `content` is empty when there is no document yet.

    `requested_payment_date` is the date the source was asked to write in the document, None for an upload.
    """

    content: bytes
    requested_payment_date: date | None


class RemittanceKind(StrEnum):
    """How the remittance information of a line is written: free text, a structured reference, or not at all."""

    NONE = "none"
    UNSTRUCTURED = "unstructured"
    STRUCTURED = "structured"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTransfer:
    """One CdtTrfTxInf as written in the source's file. Nothing is cleaned or checked except that amounts are numbers.

    `position` counts from 1 over the whole document. `amount_cents` is None with `amount_text` kept when the text is no
    whole number of cents, or one beyond any control sum. `reference_type` and `reference_issuer` go with a structured
    reference (SCOR / CUR or ISO); `category_purpose` is what the line itself says (`SourceInstruction.purpose_of`).
    """

    position: int
    end_to_end_id: str | None
    amount_cents: int | None
    amount_text: str
    currency: str
    creditor_name: str
    creditor_iban: str
    creditor_bic: str | None
    remittance_kind: RemittanceKind
    remittance_text: str
    reference_type: str | None = None
    reference_issuer: str | None = None
    category_purpose: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInstruction:
    """One PmtInf as written in the source's file, with the totals it declares (None where it declares none)."""

    payment_information_id: str | None
    requested_execution_date: date | None
    debtor_name: str | None
    debtor_iban: str
    debtor_bic: str | None
    category_purpose: str | None
    batch_booking: bool | None
    declared_count: int | None
    declared_sum_cents: int | None
    transfers: Sequence[SourceTransfer]

    def purpose_of(self, transfer: SourceTransfer) -> str | None:
        """Return what a line is for: the purpose of its block, else its own; ISO allows either place, not both."""
        return self.category_purpose or transfer.category_purpose


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceBatch:
    """A payroll SEPA file, read. `schema` is like `pain.001.001.09`; the declared totals are of the group header."""

    schema: str
    message_id: str | None
    created_at_text: str | None
    initiating_party_name: str | None
    declared_count: int | None
    declared_sum_cents: int | None
    instructions: Sequence[SourceInstruction]

    @property
    def transfers(self) -> list[SourceTransfer]:
        """All lines in file order."""
        return [transfer for instruction in self.instructions for transfer in instruction.transfers]


class CheckOutcome(StrEnum):
    """What calling one operation showed."""

    OK = "ok"
    DENIED = "denied"
    FAILED = "failed"
    NOT_TRIED = "not_tried"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationCheck:
    """The outcome of one operation in a connection check: its exact name at the source, and what to do when not ok."""

    operation: str
    outcome: CheckOutcome
    required: bool
    explanation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookHint:
    """What a webhook body seems to be about. Never trusted: it only narrows the question to the source."""

    administration_external_id: str | None = None
    client_external_id: str | None = None
    run_external_id: str | None = None
    year: int | None = None
    event: str | None = None
    is_run_finished: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCredentials:
    """The secrets and settings of one connection, opened for one use; `repr` shows no secret."""

    username: str = ""
    secret: str = field(default="", repr=False)
    domain: str = ""


class PayrollSource(Protocol):
    """A payroll package, spoken to with the credentials of one connection. Every call may raise `SourceFault`."""

    def check(self) -> Sequence[OperationCheck]:
        """Call each needed operation once, harmlessly, and say by exact name what was ok, denied or failed."""
        ...

    def list_administrations(self) -> Sequence[SourceAdministration]:
        """Return every administration that these credentials may see."""
        ...

    def list_runs(self, administration: str, *, year: int) -> Sequence[SourceRun]:
        """Return the runs of one payroll year of the administration with this external id."""
        ...

    def fetch_payments(self, administration: str, run: SourceRun, *, payment_date: date) -> RawDocument:
        """Return the payment document of a run as answered; empty content means that there is none (yet)."""
        ...

    def debtor_account(self, administration: str) -> SourceDebtorAccount | None:
        """Return the account the source has for the administration, None when it has none."""
        ...

    def run_employees(self, administration: str, run: SourceRun) -> Sequence[SourceEmployee] | None:
        """Return who is in the run, or None when the right to ask is not given."""
        ...


class SourceKind(Protocol):
    """One kind of payroll source, as registered in `main`: how to reach it and how to read its webhooks."""

    name: str

    def open(self, credentials: SourceCredentials, *, timeout_seconds: float | None = None) -> PayrollSource:
        """Return a source that speaks with these credentials; `timeout_seconds` caps each call as a whole."""
        ...

    def check_credentials(self, credentials: SourceCredentials) -> SourceCredentials:
        """Return the credentials normalised (a pasted host cut to its label), or raise `Invalid` naming the field."""
        ...

    def read_webhook(self, *, body: bytes, headers: Mapping[str, str], query: str) -> Sequence[WebhookHint]:
        """Return what the delivery seems to be about; never raises, an unreadable body gives one empty hint."""
        ...


class ChannelOutcome(StrEnum):
    """What became of a file that was sent, or asked after: the bank has it, will not have it, or nobody knows."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelAnswer:
    """A channel's answer. REFUSED only when the bank surely does not have the file, now or later."""

    outcome: ChannelOutcome
    reference: str | None = None
    explanation: str = ""


class BankChannel(Protocol):
    """A way to a bank. What it cannot know is UNKNOWN; it never raises for what a network does."""

    name: str

    def send(self, data: bytes, *, message_id: str) -> ChannelAnswer:
        """Send a file once. Called at most once for a message id."""
        ...

    def ask(self, *, message_id: str, reference: str | None) -> ChannelAnswer:
        """Ask what became of a file that may have been sent; sends nothing."""
        ...
