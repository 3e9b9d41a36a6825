"""What goes over the wire. Unknown members are refused; amounts are text; examples are executed in the tests."""

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StrictBool,
    StrictInt,
    StringConstraints,
)

from app.core.history_proof import Fault
from app.core.money import cents_to_text, stated_cents, text_to_cents
from app.payments.models import CreditTransfer, Decision, LinkMode, TransferKind
from app.payments.pay_days import PayDayKind, Roll
from app.payments.sepa_model import BIC_PATTERN


def _printable(text: str) -> str:
    if not all(character.isprintable() for character in text):
        message = "Use printable characters only."
        raise ValueError(message)
    return text


def _is_written_date(value: object) -> object:
    """Refuse what pydantic would take for a date beside one: the number 0 is not 1 January 1970."""
    if not isinstance(value, date) and not (isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value)):
        message = "Write a date like 2026-11-25."
        raise ValueError(message)
    return value


Day = Annotated[date, BeforeValidator(_is_written_date)]
Text = Annotated[
    str, StringConstraints(min_length=1, max_length=140, strip_whitespace=True), AfterValidator(_printable)
]
Reason = Annotated[
    str, StringConstraints(min_length=1, max_length=500, strip_whitespace=True), AfterValidator(_printable)
]
Secret = Annotated[SecretStr, Field(min_length=1, max_length=500)]
ReasonCode = Annotated[str, StringConstraints(pattern="^[A-Z0-9]{1,10}$")]
Digest = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class Strict(BaseModel):
    """A body that is read: unknown members are refused."""

    model_config = ConfigDict(extra="forbid")


def _is_amount(text: str) -> str:
    stated_cents(text)
    return text


class Money(Strict):
    """An amount: text with two decimals and a point, in euros."""

    amount: Annotated[str, StringConstraints(max_length=20), AfterValidator(_is_amount)] = Field(examples=["19806.08"])
    currency: Literal["EUR"] = "EUR"

    @property
    def cents(self) -> int:
        """The amount in cents."""
        return text_to_cents(self.amount)


def money(cents: int) -> Money:
    """Return cents as they go over the wire."""
    return Money.model_construct(amount=cents_to_text(cents), currency="EUR")


class LineAmount(BaseModel):
    """What a line says: text with two decimals, and the currency as the source has it. Only euros are ever paid."""

    amount: str = Field(examples=["2375.40"])
    currency: str = Field(examples=["EUR"], description="As the source has it; a line in another one is invalid")


def line_amount(row: CreditTransfer, cents: int | None = None) -> LineAmount:
    """Return the amount of a line, or so many cents in its currency, as they go over the wire."""
    return LineAmount(amount=cents_to_text(row.amount_cents if cents is None else cents), currency=row.currency)


class NewDebtorAccount(Strict):
    """A bank account that the employer pays from."""

    iban: Annotated[str, StringConstraints(min_length=5, max_length=60)] = Field(examples=["NL02ABNA0123456789"])
    holder_name: Text
    bic: Annotated[str, StringConstraints(pattern=f"^{BIC_PATTERN.pattern}$")] | None = None
    file_schema: Literal["pain.001.001.09", "pain.001.001.03"] | None = None
    batch_booking: StrictBool = True


class ChangedDebtorAccount(Strict):
    """What can change on a debtor account."""

    file_schema: Literal["pain.001.001.09", "pain.001.001.03"] | None = None
    batch_booking: StrictBool | None = None
    state: Literal["suspended"] | None = None


class DebtorAccountOut(BaseModel):
    """A debtor account."""

    id: UUID
    employer_id: UUID
    iban: str
    bic: str | None
    holder_name: str
    bank_profile: str
    file_schema: str
    batch_booking: bool
    state: str
    created_at: datetime
    confirmed_at: datetime | None


class NewConfirmation(Strict):
    """What an employer admin states about an account."""

    holder_name: Text
    authorised_person: Text
    evidence: Reason


class LimitsIn(Strict):
    """The limits of an account; a kind left out is not limited. Over a soft limit one more approver is needed.

    After `ends_on` the limits that were in force before hold again.
    """

    per_transfer: Money | None = None
    per_batch: Money | None = None
    per_day: Money | None = None
    per_month: Money | None = None
    soft_per_transfer: Money | None = None
    soft_per_batch: Money | None = None
    soft_per_day: Money | None = None
    soft_per_month: Money | None = None
    ends_on: Day | None = None


class LimitOut(BaseModel):
    """One limit with what is used of it; null where this kind is not limited."""

    limit: Money | None
    soft_limit: Money | None = None
    used: Money
    headroom: Money | None


class LimitsOut(BaseModel):
    """The limits of an account for an execution date, with a raise that waits for a second admin or a day."""

    debtor_account_id: UUID
    execution_date: date
    is_set: bool
    per_transfer: LimitOut
    per_batch: LimitOut
    per_day: LimitOut
    per_month: LimitOut
    ends_on: date | None
    pending: dict[str, Money | None] | None
    pending_until: datetime | None


class NewConnectionIn(Strict):
    """A connection: credentials to a payroll source, or a place to upload files to."""

    organization_id: UUID
    kind: Annotated[str, StringConstraints(max_length=40)] = Field(examples=["nmbrs_soap"])
    username: Annotated[str, StringConstraints(max_length=254)] = ""
    token: Annotated[SecretStr, Field(max_length=500)] = SecretStr("")
    domain: Annotated[str, StringConstraints(max_length=254)] = ""


class ChangedConnection(Strict):
    """New credentials of a connection; all of them together."""

    username: Annotated[str, StringConstraints(min_length=1, max_length=254)]
    token: Secret
    domain: Annotated[str, StringConstraints(max_length=254)]


class OperationCheckOut(BaseModel):
    """What one call at the source gave, by its exact name there."""

    operation: str
    outcome: str
    required: bool
    explanation: str


class ConnectionOut(BaseModel):
    """A connection. The secret is never shown; the webhook address only in the answer that made it."""

    id: UUID
    organization_id: UUID
    kind: str
    username: str
    domain: str
    state: str
    created_at: datetime
    checked_at: datetime | None
    checks: list[OperationCheckOut] | None
    last_polled_at: datetime | None
    last_webhook_at: datetime | None
    fault: dict[str, Any] | None
    webhook_url: str | None = None


class NewAdministration(Strict):
    """An administration of an upload connection."""

    number: Annotated[str, StringConstraints(pattern="^[A-Za-z0-9 ._-]{1,40}$")]
    name: Text


class PayDayRuleIn(Strict):
    """When an administration pays; a day on which banks are closed goes to the `previous` or the `next` bank day.

    `value`: the day of the month (1 to 31; a shorter month: its last day), the bank days before the end of the month
    (1 to 15), or for four-weekly pay the weekday (1, Monday, to 5). Left out for `last_bank_day`.
    """

    kind: PayDayKind
    value: StrictInt | None = None
    roll: Roll = Roll.PREVIOUS


class LinkIn(Strict):
    """Which employer an administration pays for, from which account, since when, and whether for real."""

    employer_id: UUID
    debtor_account_id: UUID
    go_live_on: Day
    mode: LinkMode
    pay_day_rule: PayDayRuleIn | None = Field(default=None, examples=[{"kind": "day_of_month", "value": 25}])
    uploads_allowed: StrictBool = False
    needs_locked_run: StrictBool = False


class LinkOut(BaseModel):
    """The link of an administration."""

    employer_id: UUID
    debtor_account_id: UUID
    go_live_on: date
    mode: str
    pay_day_rule: dict[str, Any]
    uploads_allowed: bool
    needs_locked_run: bool


class AdministrationOut(BaseModel):
    """An administration as its connection sees it."""

    id: UUID
    number: str
    name: str
    client: str | None
    external_id: str
    link: LinkOut | None


class RunOut(BaseModel):
    """A payroll run: what was seen, when, and why something was not fetched or is not payable."""

    id: UUID
    administration_id: UUID
    employer_id: UUID
    number: int
    year: int
    period: int
    period_end: int
    frequency: str | None
    description: str
    locked: bool | None
    made_at: datetime | None
    state: str
    reason_code: str | None
    reason: str | None
    operation: str | None
    discovered_by: str
    first_seen_at: datetime
    next_attempt_at: datetime | None
    payment_batch_ids: list[UUID]


class Named(BaseModel):
    """Something with an id and a name."""

    id: UUID
    name: str


class AdministrationShort(BaseModel):
    """An administration inside a batch."""

    id: UUID
    number: str
    name: str


class RunShort(BaseModel):
    """A run inside a batch."""

    id: UUID
    number: int
    period: int
    year: int
    frequency: str | None
    description: str
    locked: bool | None


class AccountShort(BaseModel):
    """A debtor account inside a batch."""

    id: UUID
    iban: str
    name: str


class ActionOut(BaseModel):
    """Whether the caller can do something with the batch now, and if not, why."""

    action: str
    allowed: bool
    reasons: list[str]


class ApprovalOut(BaseModel):
    """An approval of this revision. It counts as long as its giver is an approver (`approvals_missing`)."""

    user: str
    approved_at: datetime
    revision: int
    digest: str
    source_state: str


class FileShort(BaseModel):
    """A file of a batch that is not void, and how far it is."""

    n: int
    message_id: str
    sha256: str
    sha1: str
    file_schema: str = Field(serialization_alias="schema")
    handed_out_at: datetime | None
    delivered_at: datetime | None
    bank_status: str
    awaits_signature: bool


class HoldOut(BaseModel):
    """What bars approving and handing out, and why."""

    id: UUID
    code: str
    reason: str


class PayDay(BaseModel):
    """The day that the pay-day rule gives for a run. `problem`: why a pending batch cannot be executed on it any more.

    Codes: date_in_past, cut_off_passed, not_a_bank_day, beyond_horizon.
    """

    date: date
    problem: str | None
    detail: str | None
    detail_nl: str | None


class BatchOut(BaseModel):
    """A payment batch. Amounts are null for who may not see salaries; `visibility` says how much the caller sees.

    `approvals_missing` says what the approvals of a pending batch lack: `more_approvals`, `approval_by_a_person`
    (programs alone do not suffice), `another_person_than_the_editor`.
    """

    id: UUID
    kind: str
    status: str
    status_reason: str | None
    mode: str
    revision: int
    digest: str
    employer: Named
    administration: AdministrationShort
    run: RunShort
    debtor_account: AccountShort
    requested_execution_date: date
    pay_day: PayDay | None
    approve_before: datetime
    release_before: datetime
    number_of_transactions: int
    control_sum: Money | None
    counts: dict[str, int]
    required_approvals: int
    approval_reasons: list[str]
    one_person_firm: bool
    approvals: list[ApprovalOut]
    approvals_missing: list[str]
    limit: dict[str, LimitOut] | None
    findings: dict[str, int]
    acknowledgements_open: int
    holds: list[HoldOut]
    proposals: list[UUID]
    attention: list[str]
    allowed_actions: list[ActionOut]
    visibility: str
    file: FileShort | None
    files: list[FileShort]
    erased_at: datetime | None
    created_at: datetime
    updated_at: datetime


class Creditor(BaseModel):
    """Who is paid; masked for who may not see salaries. `bic` is null where none will be written."""

    name: str
    iban: str
    bic: str | None = None


class TransferOut(BaseModel):
    """A line of a batch. `creditor` and `remittance_information` are as they will be written; originals beside them."""

    id: UUID
    position: int
    status: str
    decision: str
    decision_reason: str | None
    hold_code: str | None
    creditor: Creditor
    creditor_name_original: str | None
    amount: LineAmount | None
    remittance_kind: str
    remittance_information: str | None
    remittance_information_original: str | None
    end_to_end_id: str
    kind: str
    findings: list[str]
    file: int | None
    bank_status: str
    bank_reason: str | None
    name_check: str | None
    name_check_proposal: str | None


class TransferPage(BaseModel):
    """Lines of a batch, with the digest of the batch from the same moment."""

    batch_digest: str
    batch_revision: int
    items: list[TransferOut]


class FindingOut(BaseModel):
    """A finding, in English and Dutch, with what to do."""

    id: UUID
    code: str
    severity: str
    transfer_id: UUID | None
    position: int | None
    field: str | None
    message: str
    message_nl: str
    remedy: str
    remedy_nl: str
    needs_acknowledgement: bool
    acknowledged_at: datetime | None


class BatchChange(Strict):
    """A change of date or account; what is left out stays."""

    requested_execution_date: Day | None = None
    debtor_account_id: UUID | None = None


class LineChange(Strict):
    """What is wanted with a line."""

    decision: Decision | None = None
    kind: TransferKind | None = None
    reason: Reason | None = None


class Acknowledgement(Strict):
    """A person confirms a finding."""

    note: Reason | None = None


Pin = Annotated[SecretStr, Field(min_length=1, max_length=20)]


class NewApproval(Strict):
    """The digest that was shown, and the approver's PIN.

    `approve_without_source`: the approver knows that the payroll source cannot be asked now, and approves on what it
    last said.
    """

    digest: Digest
    pin: Pin
    approve_without_source: StrictBool = False


class ApprovalItem(Strict):
    """One batch of several that are approved in one act, by the digest that was shown."""

    batch_id: UUID
    digest: Digest
    approve_without_source: StrictBool = False


class NewApprovals(Strict):
    """Several batches, approved in one act with one PIN; each stands by itself."""

    items: Annotated[list[ApprovalItem], Field(min_length=1, max_length=50)]
    pin: Pin


class ApprovalOutcome(BaseModel):
    """What became of one of several batches: the batch as it is now, or the problem."""

    batch_id: UUID
    status: int
    batch: BatchOut | None
    problem: dict[str, Any] | None


class ApprovalsOut(BaseModel):
    """What became of each batch."""

    items: list[ApprovalOutcome]


class Ending(Strict):
    """Why a batch is rejected or cancelled."""

    reason: Reason


class NewDelivery(Strict):
    """A file was handed in at the bank by a person (`download`), or is to be sent through a channel.

    `file` is needed when the batch has several. `hash_seen`: the first characters of the hash that the bank shows.
    """

    channel: Annotated[str, StringConstraints(max_length=40)] = "download"
    file: Annotated[int, Field(ge=1, le=10_000)] | None = None
    hash_seen: Annotated[str, StringConstraints(pattern="^[0-9A-Fa-f]{8,64}$")] | None = None
    note: Reason | None = None


class NewWithdrawal(Strict):
    """A file that was handed out is not at the bank (not read in, or removed there). Two people say so."""

    reason: Reason
    file: Annotated[int, Field(ge=1, le=10_000)] = 1


class NewDate(Strict):
    """Another execution date for an approved batch whose file was never handed out."""

    requested_execution_date: Day


class NewStatement(Strict):
    """What a person says of lines at the bank; all open lines, those of one file, or some.

    `refused` and `not_executed` take two people, because they let somebody be paid again.
    """

    statement: Literal["accepted", "executed", "refused", "not_executed"]
    reason: Reason
    file: Annotated[int, Field(ge=1, le=10_000)] | None = None
    transfer_ids: Annotated[list[UUID], Field(min_length=1, max_length=1_000)] | None = None
    reason_code: ReasonCode | None = None


class NewReturn(Strict):
    """The money of an executed line came back. Two people say so."""

    reason: Reason
    reason_code: ReasonCode | None = None


class NewHold(Strict):
    """Why a batch must not be approved or handed out now; or why it may again."""

    reason: Reason


class NewRelease(Strict):
    """A line that came into a run after an approval replaces another line or is additional. Two people say so."""

    reason: Reason
    replaces: UUID | None = None
    additional: StrictBool = False


class NewFollowUp(Strict):
    """Unpaid lines of one run to be offered again in a batch of their own."""

    transfer_ids: Annotated[list[UUID], Field(min_length=1, max_length=1_000)]
    requested_execution_date: Day | None = None


class UnpaidOut(BaseModel):
    """A line that is still to be paid. `late_since` is the pay day that went by, for salaries."""

    transfer: TransferOut
    payment_batch_id: UUID
    employer_id: UUID
    run: RunShort
    late_since: date | None
    text_nl: str


class Tier(Strict):
    """From this amount on, so many approvers."""

    amount: Money = Field(serialization_alias="from", validation_alias="from")
    required: Annotated[int, Field(ge=1, le=10)]


class PolicyIn(Strict):
    """How many approvers an employer asks for, by the amount of a batch; the first tier is from 0.00."""

    tiers: Annotated[list[Tier], Field(min_length=1, max_length=10)]


class PolicyOut(BaseModel):
    """What an employer asks for before a batch is approved, and who could approve today."""

    employer_id: UUID
    tiers: list[Tier]
    approvers: int
    one_person_firm: bool


class ProposalOut(BaseModel):
    """An act that waits for its second person (or a day), or that ended."""

    id: UUID
    employer_id: UUID
    kind: str
    target: UUID
    payload: dict[str, Any]
    reason: str
    proposed_by: str
    proposed_at: datetime
    waits_until: datetime | None
    confirmed_by: str | None
    outcome: str | None
    ended_at: datetime | None


class NewMember(Strict):
    """A role for a person at an employer, for a deputy until a day."""

    email: Annotated[str, StringConstraints(min_length=3, max_length=254)]
    name: Text
    role: Literal["admin", "approver", "auditor"]
    ends_on: Day | None = None


class MemberOut(BaseModel):
    """A person with a role at an employer."""

    user_id: UUID
    name: str
    email: str
    role: str
    ends_on: date | None
    has_pin: bool
    pin_changed_at: datetime | None
    pin_change_confirmed: bool


class NewReveal(Strict):
    """Why an auditor needs to see who is paid what in a batch."""

    reason: Annotated[
        str, StringConstraints(min_length=10, max_length=500, strip_whitespace=True), AfterValidator(_printable)
    ]


class RevealOut(BaseModel):
    """Who sees the unmasked lines of which batch, until when, and why."""

    id: UUID
    payment_batch_id: UUID
    employer_id: UUID
    user: str
    reason: str
    made_at: datetime
    ends_at: datetime


class RetentionIn(Strict):
    """Months that an employer keeps lines (from the end of the year) and the raw answers of its sources."""

    lines_months: Annotated[int, Field(ge=0, le=1000, examples=[84])]
    sources_months: Annotated[int, Field(ge=0, le=1000, examples=[13])]


class RetentionOut(BaseModel):
    """The terms in force. `is_default`: this employer never set any. Technical data go after `technical_days`."""

    employer_id: UUID
    lines_months: int
    sources_months: int
    technical_days: int
    is_default: bool


class FileOut(BaseModel):
    """A stored file of a batch."""

    n: int
    revision: int
    message_id: str
    file_schema: str = Field(serialization_alias="schema")
    sha256: str
    sha1: str
    size_bytes: int
    number_of_transactions: int
    control_sum: Money | None
    instructions: list[dict[str, Any]]
    stored_at: datetime
    handed_out_at: datetime | None
    delivered_at: datetime | None
    voided_at: datetime | None
    void_reason: str | None
    bank_status: str
    awaits_signature: bool
    bank_shows_nl: str | None


class HistoryOut(BaseModel):
    """A record of the history. `result` and `details` are words; `facts` is what the record holds."""

    organization_id: UUID
    sequence: int
    occurred_at: datetime
    event: str
    result: str
    account: str | None
    administration: str | None
    details: str
    actor: str
    payment_batch_id: UUID | None
    facts: dict[str, Any]


class HistoryFault(BaseModel):
    """The first place where a history does not prove itself: the number of the record, and what is wrong there."""

    sequence: int
    what: Fault


class VerifiedHead(BaseModel):
    """Where a history stands. Keep it elsewhere: it shows later whether the end was cut off. `mac` is hexadecimal."""

    sequence: int
    mac: str | None
    sealed_at: datetime | None


class VerificationOut(BaseModel):
    """What verifying the history of an organization found. `unsealed` counts records older than the history key."""

    organization_id: UUID
    verified: bool
    records: int
    unsealed: int
    first_broken: HistoryFault | None
    head: VerifiedHead


class BankDay(BaseModel):
    """A bank day, or a day on which banks are closed."""

    date: date
    is_bank_day: bool
    closed_because: str | None
    cut_off: datetime | None


class Listing(BaseModel):
    """A page of a list; the Link header leads to the next."""

    items: list[Any]


class MembersOut(BaseModel):
    """A person's roles at an employer."""

    items: list[MemberOut]


class StatusReportOut(BaseModel):
    """What became of a bank's status report: lines by what the bank says, and what a person must look at.

    `proposal` waits for a second person before refused lines can be paid again; `waits_because` says why it cannot be
    asked for yet. `asks_a_person`: lines that the bank refused as a double, whose twin may have been paid.
    """

    payment_batch_id: UUID
    file: int
    is_new: bool
    lines: dict[str, int]
    strangers: int
    disagreements: list[str]
    contradictions: int
    asks_a_person: int
    waits_because: str | None
    proposal: ProposalOut | None
    batch: BatchOut


class DifferenceOut(BaseModel):
    """One thing in which a file differs from the stored one; `line` counts from 1, null for the file as a whole."""

    line: int | None
    fields: list[str]
    what: str


class ComparedOut(BaseModel):
    """The stored file with the same message id, and in what the other one differs from it."""

    payment_batch_id: UUID
    file: int
    message_id: str
    is_identical: bool
    is_void: bool
    differences: list[DifferenceOut]
