"""Rows of the domain.

A table class checks nothing: rows are made in use cases from checked values, and CHECK, UNIQUE and NOT NULL say the
rules once more in the database.
"""

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import declared_attr, deferred
from sqlmodel import Field, SQLModel

from app.core.columns import big, document, moment, one_of


class AccountState(StrEnum):
    """Whether files may be made on a debtor account."""

    UNCONFIRMED = "unconfirmed"
    CONFIRMED = "confirmed"
    SUSPENDED = "suspended"


class ConnectionState(StrEnum):
    """Whether a connection may be used: only after it passed its check."""

    UNCHECKED = "unchecked"
    PASSED = "passed"
    FAILED = "failed"


class LinkMode(StrEnum):
    """Whether approved batches of an administration are real."""

    DRY_RUN = "dry_run"
    LIVE = "live"


class RunState(StrEnum):
    """Where a payroll run stands with us."""

    SEEN = "seen"
    FETCHING = "fetching"
    FETCHED = "fetched"
    EMPTY = "empty"
    DOUBTFUL = "doubtful"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"
    IGNORED = "ignored"
    ERASED = "erased"


class BatchStatus(StrEnum):
    """The one authoritative value of where a batch is; reasons and sub-states are kept apart."""

    PENDING = "pending"
    APPROVED = "approved"
    DELIVERED = "delivered"
    DELIVERY_UNKNOWN = "delivery_unknown"
    ACCEPTED = "accepted"
    EXECUTED = "executed"
    REFUSED = "refused"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"


class TransferStatus(StrEnum):
    """Where one line of a batch is."""

    PAYABLE = "payable"
    INVALID = "invalid"
    HELD = "held"
    EXCLUDED = "excluded"
    IN_FILE = "in_file"
    EXECUTED = "executed"
    REFUSED = "refused"
    RETURNED = "returned"
    PAID_ELSEWHERE = "paid_elsewhere"
    WAIVED = "waived"


# What a person closed: paid by other means, or not owed. No file pays it, whatever the source says.
CLOSED = frozenset({TransferStatus.PAID_ELSEWHERE, TransferStatus.WAIVED})


class Decision(StrEnum):
    """What a person wants with a line: the status follows from it and from the findings."""

    PAY = "pay"
    EXCLUDE = "exclude"
    HOLD = "hold"


class TransferKind(StrEnum):
    """What a line is: it decides the instruction it stands in and its category purpose."""

    SALARY = "salary"
    THIRD_PARTY = "third_party"


class Severity(StrEnum):
    """How much a finding matters: fout, waarschuwing, suggestie, mutatie."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"
    CHANGE = "change"


class ClaimState(StrEnum):
    """Whether the right to pay an obligation is taken, used, or given back."""

    LIVE = "live"
    SPENT = "spent"
    RELEASED = "released"


class ClaimWay(StrEnum):
    """How an obligation is settled: by a payment file, by other means, or not at all because it is not owed."""

    FILE = "file"
    ELSEWHERE = "elsewhere"
    WAIVED = "waived"


class BatchKind(StrEnum):
    """Whether a batch was made of a run, or of lines that an earlier batch of it left unpaid."""

    RUN = "run"
    FOLLOW_UP = "follow_up"


class BankStatus(StrEnum):
    """What the bank said of a file, an instruction or a line so far; none: nothing yet."""

    NONE = "none"
    RECEIVED = "received"
    ACCEPTED = "accepted"
    SETTLED = "settled"
    REJECTED = "rejected"
    CONTRADICTION = "contradiction"


class HoldScope(StrEnum):
    """What a hold bars."""

    SYSTEM = "system"
    EMPLOYER = "employer"
    CONNECTION = "connection"
    ACCOUNT = "account"
    BATCH = "batch"


class DebtorAccount(SQLModel, table=True):
    """A bank account that an employer pays from."""

    __tablename__ = "debtor_account"
    __table_args__ = (
        sa.UniqueConstraint("employer_id", "iban", name="uq_debtor_account_iban"),
        one_of("state", AccountState, table="debtor_account"),
    )

    id: UUID = Field(primary_key=True)
    employer_id: UUID = Field(foreign_key="organization.id")
    iban: str
    bic: str | None = None
    holder_name: str
    bank_profile: str
    file_schema: str
    batch_booking: bool = True
    state: str = AccountState.UNCONFIRMED
    created_at: datetime = moment()
    confirmed_at: datetime | None = moment(default=None)
    confirmed_by: UUID | None = Field(default=None, foreign_key="user_account.id")
    authorised_person: str | None = None
    evidence: str | None = None


class PaymentLimit(SQLModel, table=True):
    """The limits of a debtor account in cents, and a raise that waits for a second person or a day.

    Over a soft limit one more approver is needed; over a hard one (without `soft_`) nothing is approved. After
    `ends_on` the limits are those of `reverts_to` again.
    """

    __tablename__ = "payment_limit"

    debtor_account_id: UUID = Field(primary_key=True, foreign_key="debtor_account.id")
    per_transfer_cents: int | None = big(default=None)
    per_batch_cents: int | None = big(default=None)
    per_day_cents: int | None = big(default=None)
    per_month_cents: int | None = big(default=None)
    soft_per_transfer_cents: int | None = big(default=None)
    soft_per_batch_cents: int | None = big(default=None)
    soft_per_day_cents: int | None = big(default=None)
    soft_per_month_cents: int | None = big(default=None)
    ends_on: date | None = None
    reverts_to: dict[str, Any] | None = document(default=None)
    set_at: datetime = moment()
    set_by: UUID = Field(foreign_key="user_account.id")
    pending: dict[str, Any] | None = document(default=None)
    pending_by: UUID | None = Field(default=None, foreign_key="user_account.id")
    pending_since: datetime | None = moment(default=None)


class ApprovalPolicy(SQLModel, table=True):
    """How many approvers an employer asks for, by amount: `tiers` is [{"from_cents", "required"}], rising from 0."""

    __tablename__ = "approval_policy"

    employer_id: UUID = Field(primary_key=True, foreign_key="organization.id")
    tiers: list[dict[str, int]] = document()
    set_at: datetime = moment()
    set_by: UUID = Field(foreign_key="user_account.id")


class Connection(SQLModel, table=True):
    """Credentials to one payroll source, of an office or of one employer. The secret is sealed."""

    __tablename__ = "connection"
    __table_args__ = (one_of("state", ConnectionState, table="connection"),)

    id: UUID = Field(primary_key=True)
    organization_id: UUID = Field(foreign_key="organization.id", index=True)
    kind: str
    username: str = ""
    domain: str = ""
    secret_sealed: bytes | None = None
    state: str = ConnectionState.UNCHECKED
    created_at: datetime = moment()
    checked_at: datetime | None = moment(default=None)
    check_outcome: list[dict[str, Any]] | None = document(default=None)
    next_poll_at: datetime | None = moment(default=None)
    last_polled_at: datetime | None = moment(default=None)
    last_webhook_at: datetime | None = moment(default=None)
    fault: dict[str, Any] | None = document(default=None)
    deleted_at: datetime | None = moment(default=None)


class WebhookToken(SQLModel, table=True):
    """The secret part of a webhook address; only its SHA-256 is stored. May be narrowed to one administration."""

    __tablename__ = "webhook_token"

    id: UUID = Field(primary_key=True)
    connection_id: UUID = Field(foreign_key="connection.id", index=True)
    administration_id: UUID | None = Field(default=None, foreign_key="administration.id")
    token_hash: str = Field(unique=True)
    created_at: datetime = moment()
    expires_at: datetime | None = moment(default=None)


class WebhookDelivery(SQLModel, table=True):
    """One webhook as it came in, body sealed. `body_state` says whether the whole body is there.

    `too_many` is a mark: more webhooks came than are kept; there is one until the next look at the source.
    """

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        sa.Index(
            "ix_webhook_delivery_unprocessed",
            "connection_id",
            "received_at",
            postgresql_where=sa.text("processed_at IS NULL"),
        ),
        one_of("body_state", ("complete", "too_large", "too_slow", "too_many"), table="webhook_delivery"),
        sa.Index("ix_webhook_delivery_kept", "received_at", postgresql_where=sa.text("erased_at IS NULL")),
    )

    id: UUID = Field(primary_key=True)
    connection_id: UUID = Field(foreign_key="connection.id")
    token_id: UUID = Field(foreign_key="webhook_token.id")
    received_at: datetime = moment()
    method: str
    headers: dict[str, str] = document()
    query: str
    body_state: str
    body_sealed: bytes
    body_sha256: str
    processed_at: datetime | None = moment(default=None)
    erased_at: datetime | None = moment(default=None)


class Administration(SQLModel, table=True):
    """An employer's payroll administration as a connection sees it."""

    __tablename__ = "administration"
    __table_args__ = (sa.UniqueConstraint("connection_id", "external_id", name="uq_administration_external"),)

    id: UUID = Field(primary_key=True)
    connection_id: UUID = Field(foreign_key="connection.id")
    external_id: str
    number: str
    name: str
    client_external_id: str | None = None
    client_name: str | None = None
    frequency: str | None = None
    created_at: datetime = moment()
    last_seen_at: datetime = moment()


class AdministrationLink(SQLModel, table=True):
    """Which employer an administration pays for, from which account, since when, and whether for real."""

    __tablename__ = "administration_link"
    __table_args__ = (one_of("mode", LinkMode, table="administration_link"),)

    administration_id: UUID = Field(primary_key=True, foreign_key="administration.id")
    employer_id: UUID = Field(foreign_key="organization.id", index=True)
    debtor_account_id: UUID = Field(foreign_key="debtor_account.id")
    go_live_on: date
    mode: str
    pay_day_rule: dict[str, Any] = document()
    uploads_allowed: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    needs_locked_run: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    linked_at: datetime = moment()
    linked_by: UUID = Field(foreign_key="user_account.id")


class PayrollRun(SQLModel, table=True):
    """One run of a period at the source. `reason` says in words why it was not fetched or is not payable."""

    __tablename__ = "payroll_run"
    __table_args__ = (
        one_of("state", RunState, table="payroll_run"),
        sa.Index("ix_payroll_run_administration", "administration_id", "first_seen_at"),
        sa.Index(
            "ix_payroll_run_kept",
            "first_seen_at",
            postgresql_where=sa.text("state <> 'erased'"),
        ),
    )

    id: UUID = Field(primary_key=True)
    administration_id: UUID = Field(foreign_key="administration.id")
    employer_id: UUID = Field(foreign_key="organization.id", index=True)
    source_kind: str
    year: int
    period_start: int
    period_end: int
    number: int
    frequency: str | None = None
    description: str
    made_at: datetime | None = moment(default=None)
    is_locked: bool | None = None
    state: str
    reason_code: str | None = None
    reason: str | None = None
    operation: str | None = None
    discovered_by: str
    first_seen_at: datetime = moment()
    absent_since: datetime | None = moment(default=None)
    attempts: int = 0
    next_attempt_at: datetime | None = moment(default=None)
    payment_date_asked: date | None = None
    reading_id: UUID | None = None
    # Obligations that the newest reading lists no longer: nobody is asked to pay them any more.
    unlisted: list[UUID] = Field(
        default_factory=list,
        sa_type=ARRAY(sa.Uuid),
        sa_column_kwargs={"server_default": sa.text("'{}'")},
    )

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        """Read what is no longer listed only where it is wanted: of a large run it may be every line."""
        return {"properties": {"unlisted": deferred(cls.metadata.tables["payroll_run"].c.unlisted)}}


class RunIdentity(SQLModel, table=True):
    """A name by which a source knows a run: a SOAP id, later a REST id, or the key of an upload."""

    __tablename__ = "run_identity"

    administration_id: UUID = Field(primary_key=True, foreign_key="administration.id")
    source_kind: str = Field(primary_key=True)
    external_id: str = Field(primary_key=True)
    run_id: UUID = Field(foreign_key="payroll_run.id", index=True)
    last_seen_at: datetime = moment()


class SourceReading(SQLModel, table=True):
    """One raw answer of a source about one run, sealed and committed before anybody parsed it."""

    __tablename__ = "source_reading"
    __table_args__ = (sa.Index("ix_source_reading_kept", "fetched_at", postgresql_where=sa.text("erased_at IS NULL")),)

    id: UUID = Field(primary_key=True)
    run_id: UUID = Field(foreign_key="payroll_run.id", index=True)
    fetched_at: datetime = moment()
    payment_date_asked: date | None = None
    raw_sealed: bytes
    raw_sha256: str
    size_bytes: int = big()
    outcome: str = "raw"
    lines_hash: str | None = None
    extras: dict[str, Any] | None = document(default=None)
    erased_at: datetime | None = moment(default=None)


class Obligation(SQLModel, table=True):
    """One immutable line of a run: somebody is to be paid this once. Unique by what it is, not by what it is called."""

    __tablename__ = "obligation"
    __table_args__ = (
        sa.UniqueConstraint("administration_id", "run_id", "creditor", "amount_cents", "n", name="uq_obligation"),
        sa.Index("ix_obligation_creditor", "employer_id", "creditor", "year", "period"),
    )

    id: UUID = Field(primary_key=True)
    administration_id: UUID = Field(foreign_key="administration.id")
    run_id: UUID = Field(foreign_key="payroll_run.id", index=True)
    employer_id: UUID = Field(foreign_key="organization.id")
    year: int
    period: int
    creditor: str
    amount_cents: int = big()
    n: int
    first_reading_id: UUID = Field(foreign_key="source_reading.id")
    created_at: datetime = moment()


class RememberedKind(SQLModel, table=True):
    """The kind that a person chose for an account in an administration; the next run proposes it."""

    __tablename__ = "remembered_kind"
    __table_args__ = (one_of("kind", TransferKind, table="remembered_kind"),)

    administration_id: UUID = Field(primary_key=True, foreign_key="administration.id")
    creditor: str = Field(primary_key=True)
    kind: str
    chosen_by: UUID = Field(foreign_key="user_account.id")
    chosen_at: datetime = moment()


_STILL_OPEN = "status IN ('pending', 'approved', 'delivered', 'delivery_unknown')"


class PaymentBatch(SQLModel, table=True):
    """What the employer approves: obligations of one run, one debtor account, one execution date."""

    __tablename__ = "payment_batch"
    __table_args__ = (
        one_of("status", BatchStatus, table="payment_batch"),
        one_of("mode", LinkMode, table="payment_batch"),
        one_of("kind", BatchKind, table="payment_batch"),
        sa.CheckConstraint("revision > 0", name="ck_payment_batch_revision"),
        sa.Index(
            "uq_payment_batch_one_pending",
            "run_id",
            unique=True,
            postgresql_where=sa.text("status = 'pending'"),
        ),
        sa.Index("ix_payment_batch_employer", "employer_id", "created_at", "id"),
        sa.Index("ix_payment_batch_open", "status", "id", postgresql_where=sa.text(_STILL_OPEN)),
        sa.Index(
            "ix_payment_batch_contradicted",
            "employer_id",
            "created_at",
            "id",
            postgresql_where=sa.text("bank_contradicts"),
        ),
    )

    id: UUID = Field(primary_key=True)
    employer_id: UUID = Field(foreign_key="organization.id")
    administration_id: UUID = Field(foreign_key="administration.id", index=True)
    run_id: UUID = Field(foreign_key="payroll_run.id", index=True)
    reading_id: UUID = Field(foreign_key="source_reading.id")
    debtor_account_id: UUID = Field(foreign_key="debtor_account.id", index=True)
    kind: str = Field(default=BatchKind.RUN, sa_column_kwargs={"server_default": BatchKind.RUN.value})
    mode: str
    status: str
    revision: int
    digest: str
    requested_execution_date: date
    number_of_transactions: int
    control_sum_cents: int = big()
    edited_by: UUID | None = Field(default=None, foreign_key="user_account.id")
    status_reason: str | None = None
    source_equal_at: datetime = moment()
    created_at: datetime = moment()
    updated_at: datetime = moment()
    approved_at: datetime | None = moment(default=None)
    delivered_at: datetime | None = moment(default=None)
    expiry_warnings: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    noted_attention: list[str] = document(default_factory=list, sa_column_kwargs={"server_default": sa.text("'[]'")})
    # What the digest covers beside the lines that are paid, as it was when it was approved (`digest.frame`).
    approved_frame: dict[str, Any] | None = document(default=None)
    # The bank's reports contradict each other, or what is known here.
    bank_contradicts: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    erased_at: datetime | None = moment(default=None)

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        """Read the frame only where it is wanted: it names every line that was left out."""
        return {"properties": {"approved_frame": deferred(cls.metadata.tables["payment_batch"].c.approved_frame)}}


class CreditTransfer(SQLModel, table=True):
    """One obligation inside one batch. Names and texts are kept as the source gave them and as they will be written."""

    __tablename__ = "credit_transfer"
    __table_args__ = (
        sa.UniqueConstraint("batch_id", "obligation_id", name="uq_credit_transfer_obligation"),
        sa.UniqueConstraint("batch_id", "position", name="uq_credit_transfer_position"),
        one_of("status", TransferStatus, table="credit_transfer"),
        one_of("kind", TransferKind, table="credit_transfer"),
        one_of("decision", Decision, table="credit_transfer"),
        one_of("bank_status", BankStatus, table="credit_transfer"),
        sa.Index(
            "ix_credit_transfer_left",
            "batch_id",
            postgresql_where=sa.text("status NOT IN ('in_file', 'executed')"),
        ),
        sa.CheckConstraint(
            "status NOT IN ('payable', 'in_file') OR amount_cents > 0", name="ck_credit_transfer_amount"
        ),
    )

    id: UUID = Field(primary_key=True)
    batch_id: UUID = Field(foreign_key="payment_batch.id")
    obligation_id: UUID = Field(foreign_key="obligation.id", index=True)
    position: int
    status: str
    decision: str
    decision_reason: str | None = None
    hold_code: str | None = None
    kind: str
    attempt: int
    end_to_end_id: str
    creditor_name: str
    creditor_name_original: str
    creditor_iban: str
    creditor_bic: str | None = None
    amount_cents: int = big()
    currency: str
    remittance_kind: str
    remittance_text: str
    remittance_text_original: str
    reference_type: str | None = None
    reference_issuer: str | None = None
    source_end_to_end_id: str | None = None
    source_debtor_iban: str | None = None
    source_creditor_bic: str | None = None
    source_execution_date: date | None = None
    file_n: int | None = None
    payment_information_id: str | None = None
    bank_status: str = Field(default=BankStatus.NONE, sa_column_kwargs={"server_default": BankStatus.NONE.value})
    bank_reason: str | None = None
    bank_said_at: datetime | None = moment(default=None)
    name_check: str | None = None
    name_check_proposal: str | None = None


class Finding(SQLModel, table=True):
    """A remark on a batch or one of its lines, computed when a revision is made."""

    __tablename__ = "finding"
    __table_args__ = (one_of("severity", Severity, table="finding"),)

    id: UUID = Field(primary_key=True)
    batch_id: UUID = Field(foreign_key="payment_batch.id", index=True)
    transfer_id: UUID | None = Field(default=None, foreign_key="credit_transfer.id")
    code: str
    severity: str
    field: str | None = None
    figures: dict[str, Any] = document()
    needs_acknowledgement: bool = False
    judged_hash: str
    acknowledged_at: datetime | None = moment(default=None)
    acknowledged_by: UUID | None = Field(default=None, foreign_key="user_account.id")
    acknowledgement_note: str | None = None


class BatchComparison(SQLModel, table=True):
    """What a batch looked like beside the last paid run when its revision was made. Names lines by their ids.

    `changed_accounts` are marks of the accounts that are new for people who are known; `held_accounts` those among
    them for which the batch was put on hold once, so that two people's word on them stands.
    """

    __tablename__ = "batch_comparison"

    batch_id: UUID = Field(primary_key=True, foreign_key="payment_batch.id")
    revision: int
    previous_run_id: UUID | None = Field(default=None, foreign_key="payroll_run.id")
    previous_batch_id: UUID | None = Field(default=None, foreign_key="payment_batch.id")
    is_first: bool
    is_extra: bool
    same_count: int
    peak: dict[str, Any] | None = document(default=None)
    changes: list[dict[str, Any]] = document()
    changed_accounts: list[str] = document()
    held_accounts: list[str] = document()


class Approval(SQLModel, table=True):
    """Who approved what: one person, one revision, one digest.

    `source_state` is what the source said at that moment: `equal`, `unreachable` or `denied` (approved on the last
    equal reading, by name), or `upload` (nothing to ask).
    """

    __tablename__ = "approval"
    __table_args__ = (sa.UniqueConstraint("batch_id", "revision", "user_id", name="uq_approval_person"),)

    id: UUID = Field(primary_key=True)
    batch_id: UUID = Field(foreign_key="payment_batch.id", index=True)
    revision: int
    user_id: UUID = Field(foreign_key="user_account.id")
    token_id: UUID = Field(foreign_key="api_token.id")
    digest: str
    approved_at: datetime = moment()
    voided_at: datetime | None = moment(default=None)
    void_reason: str | None = None
    source_state: str = Field(default="equal", sa_column_kwargs={"server_default": "equal"})


class PaymentFile(SQLModel, table=True):
    """The stored bytes of a payment file, sealed, with their hashes. Never rebuilt, never deleted."""

    __tablename__ = "payment_file"
    __table_args__ = (
        sa.UniqueConstraint("batch_id", "revision", "n", name="uq_payment_file_part"),
        one_of("bank_status", BankStatus, table="payment_file"),
    )

    id: UUID = Field(primary_key=True)
    batch_id: UUID = Field(foreign_key="payment_batch.id", index=True)
    revision: int
    n: int
    message_id: str = Field(unique=True)
    file_schema: str
    file_created_at: datetime = moment()
    content_sealed: bytes
    sha256: str
    sha1: str
    size_bytes: int = big()
    number_of_transactions: int
    control_sum_cents: int = big()
    instructions: list[dict[str, Any]] = document()
    stored_at: datetime = moment()
    handed_out_at: datetime | None = moment(default=None)
    voided_at: datetime | None = moment(default=None)
    void_reason: str | None = None
    delivered_at: datetime | None = moment(default=None)
    unknown_since: datetime | None = moment(default=None)
    bank_status: str = Field(default=BankStatus.NONE, sa_column_kwargs={"server_default": BankStatus.NONE.value})
    awaits_signature: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        """Read the bytes only where they are wanted: a page of batches would hold hundreds of megabytes otherwise."""
        return {"properties": {"content_sealed": deferred(cls.metadata.tables["payment_file"].c.content_sealed)}}


class Delivery(SQLModel, table=True):
    """One attempt to get a file to the bank, and what came of it. `reference` is what the channel calls it."""

    __tablename__ = "delivery"
    __table_args__ = (one_of("outcome", ("accepted", "refused", "unknown"), table="delivery"),)

    id: UUID = Field(primary_key=True)
    file_id: UUID = Field(foreign_key="payment_file.id", index=True)
    channel: str
    outcome: str
    reported_by: UUID | None = Field(default=None, foreign_key="user_account.id")
    reported_at: datetime = moment()
    note: str | None = None
    reference: str | None = None
    hash_seen: str | None = None


class StatusReportRow(SQLModel, table=True):
    """A pain.002 as it came in, sealed: from a person (`uploaded_by`) or fetched by a channel. Twice is harmless."""

    __tablename__ = "status_report"
    __table_args__ = (sa.UniqueConstraint("file_id", "raw_sha256", name="uq_status_report_content"),)

    id: UUID = Field(primary_key=True)
    employer_id: UUID = Field(foreign_key="organization.id", index=True)
    file_id: UUID = Field(foreign_key="payment_file.id", index=True)
    raw_sealed: bytes
    raw_sha256: str
    message_id: str
    channel: str
    uploaded_by: UUID | None = Field(default=None, foreign_key="user_account.id")
    received_at: datetime = moment()
    outcome: dict[str, Any] = document()


class Retention(SQLModel, table=True):
    """How many months an employer keeps the personal data of its lines, and the raw answers of its sources."""

    __tablename__ = "retention"
    __table_args__ = (
        sa.CheckConstraint("lines_months BETWEEN 24 AND 240", name="ck_retention_lines"),
        sa.CheckConstraint("sources_months BETWEEN 3 AND lines_months", name="ck_retention_sources"),
    )

    employer_id: UUID = Field(primary_key=True, foreign_key="organization.id")
    lines_months: int
    sources_months: int
    set_at: datetime = moment()
    set_by: UUID = Field(foreign_key="user_account.id")


class Reveal(SQLModel, table=True):
    """An auditor looks at the unmasked lines of one batch, with one token, until it ends; and why."""

    __tablename__ = "reveal"
    __table_args__ = (
        sa.Index("ix_reveal_employer", "employer_id", "made_at"),
        sa.Index("ix_reveal_token", "token_id", "ends_at"),
    )

    id: UUID = Field(primary_key=True)
    employer_id: UUID = Field(foreign_key="organization.id")
    batch_id: UUID = Field(foreign_key="payment_batch.id")
    user_id: UUID = Field(foreign_key="user_account.id")
    token_id: UUID = Field(foreign_key="api_token.id")
    reason: str
    made_at: datetime = moment()
    ends_at: datetime = moment()


class Claim(SQLModel, table=True):
    """The unique right to pay one obligation once. Never deleted; at most one live or spent claim an obligation."""

    __tablename__ = "claim"
    __table_args__ = (
        sa.UniqueConstraint("obligation_id", "attempt", name="uq_claim_attempt"),
        sa.Index(
            "uq_claim_live_or_spent",
            "obligation_id",
            unique=True,
            postgresql_where=sa.text("state IN ('live', 'spent')"),
        ),
        sa.Index("ix_claim_account_date", "debtor_account_id", "requested_execution_date", "state"),
        one_of("state", ClaimState, table="claim"),
        one_of("way", ClaimWay, table="claim"),
        sa.CheckConstraint("attempt > 0", name="ck_claim_attempt"),
        sa.CheckConstraint("amount_cents > 0", name="ck_claim_amount"),
    )

    id: UUID = Field(primary_key=True)
    obligation_id: UUID = Field(foreign_key="obligation.id")
    attempt: int
    state: str
    batch_id: UUID = Field(foreign_key="payment_batch.id", index=True)
    debtor_account_id: UUID = Field(foreign_key="debtor_account.id")
    requested_execution_date: date
    amount_cents: int = big()
    taken_at: datetime = moment()
    released_at: datetime | None = moment(default=None)
    release_fact: str | None = None
    was_handed_out: bool = False
    way: str = Field(default=ClaimWay.FILE, sa_column_kwargs={"server_default": ClaimWay.FILE.value})


class Hold(SQLModel, table=True):
    """A bar on approving and delivering, with its reason."""

    __tablename__ = "hold"
    __table_args__ = (
        one_of("scope", HoldScope, table="hold"),
        sa.Index("ix_hold_active", "scope", "target_id", postgresql_where=sa.text("lifted_at IS NULL")),
    )

    id: UUID = Field(primary_key=True)
    scope: str
    target_id: UUID | None = None
    code: str
    reason: str
    placed_at: datetime = moment()
    placed_by: UUID | None = Field(default=None, foreign_key="user_account.id")
    lifted_at: datetime | None = moment(default=None)
    lifted_by: UUID | None = Field(default=None, foreign_key="user_account.id")


class Installation(SQLModel, table=True):
    """Which installation this database belongs to: the one row that tells its release counter from another's."""

    __tablename__ = "installation"
    __table_args__ = (
        sa.UniqueConstraint("is_only", name="uq_installation_only"),
        sa.CheckConstraint("is_only", name="ck_installation_only"),
    )

    id: UUID = Field(primary_key=True)
    is_only: bool = Field(default=True, sa_column_kwargs={"server_default": sa.true()})
    begun_at: datetime = moment()
