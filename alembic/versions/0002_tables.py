"""Organizations, connections, runs, batches, claims, files and history."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "history_entry",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("actor_kind", sa.String(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("administration_id", sa.Uuid(), nullable=True),
        sa.Column("payment_batch_id", sa.Uuid(), nullable=True),
        sa.Column("payload", sa.String(), nullable=False),
        sa.CheckConstraint("sequence > 0", name="ck_history_entry_sequence"),
        sa.PrimaryKeyConstraint("organization_id", "sequence"),
    )
    op.create_index(
        "ix_history_entry_batch", "history_entry", ["payment_batch_id", "organization_id", "sequence"], unique=False
    )
    op.create_table(
        "history_head",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organization_id"),
    )
    op.create_table(
        "idempotency_key",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("route", sa.String(), nullable=False),
        sa.Column("body_hash", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("answer", postgresql.JSONB(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "key"),
    )
    op.create_table(
        "organization",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('employer', 'office')", name="ck_organization_kind"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "user_account",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("pin_hash", sa.String(), nullable=True),
        sa.Column("pin_set_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pin_locked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("email = lower(email)", name="ck_user_account_email"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email"),
    )
    op.create_table(
        "api_token",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pin_locked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["user_account.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("token_hash"),
    )
    op.create_index(op.f("ix_api_token_user_id"), "api_token", ["user_id"], unique=False)
    op.create_table(
        "connection",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("username", sa.String(), nullable=False),
        sa.Column("domain", sa.String(), nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("check_outcome", postgresql.JSONB(), nullable=True),
        sa.Column("next_poll_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_polled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_webhook_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fault", postgresql.JSONB(), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('unchecked', 'passed', 'failed')", name="ck_connection_state"),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_connection_organization_id"), "connection", ["organization_id"], unique=False)
    op.create_table(
        "debtor_account",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("employer_id", sa.Uuid(), nullable=False),
        sa.Column("iban", sa.String(), nullable=False),
        sa.Column("bic", sa.String(), nullable=True),
        sa.Column("holder_name", sa.String(), nullable=False),
        sa.Column("bank_profile", sa.String(), nullable=False),
        sa.Column("file_schema", sa.String(), nullable=False),
        sa.Column("batch_booking", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("confirmed_by", sa.Uuid(), nullable=True),
        sa.Column("authorised_person", sa.String(), nullable=True),
        sa.Column("evidence", sa.String(), nullable=True),
        sa.CheckConstraint("state IN ('unconfirmed', 'confirmed', 'suspended')", name="ck_debtor_account_state"),
        sa.ForeignKeyConstraint(
            ["confirmed_by"],
            ["user_account.id"],
        ),
        sa.ForeignKeyConstraint(
            ["employer_id"],
            ["organization.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("employer_id", "iban", name="uq_debtor_account_iban"),
    )
    op.create_table(
        "hold",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("target_id", sa.Uuid(), nullable=True),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("placed_by", sa.Uuid(), nullable=True),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint("scope IN ('system', 'connection', 'account', 'batch')", name="ck_hold_scope"),
        sa.ForeignKeyConstraint(
            ["lifted_by"],
            ["user_account.id"],
        ),
        sa.ForeignKeyConstraint(
            ["placed_by"],
            ["user_account.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_hold_active", "hold", ["scope", "target_id"], unique=False, postgresql_where=sa.text("lifted_at IS NULL")
    )
    op.create_table(
        "mandate",
        sa.Column("office_id", sa.Uuid(), nullable=False),
        sa.Column("employer_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("granted_by", sa.Uuid(), nullable=True),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("accepted_by", sa.Uuid(), nullable=True),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sees_salaries", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["accepted_by"],
            ["user_account.id"],
        ),
        sa.ForeignKeyConstraint(
            ["employer_id"],
            ["organization.id"],
        ),
        sa.ForeignKeyConstraint(
            ["granted_by"],
            ["user_account.id"],
        ),
        sa.ForeignKeyConstraint(
            ["office_id"],
            ["organization.id"],
        ),
        sa.PrimaryKeyConstraint("office_id", "employer_id"),
    )
    op.create_table(
        "membership",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("role IN ('admin', 'preparer', 'approver', 'auditor')", name="ck_membership_role"),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["user_account.id"],
        ),
        sa.PrimaryKeyConstraint("user_id", "organization_id", "role"),
    )
    op.create_table(
        "administration",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("client_external_id", sa.String(), nullable=True),
        sa.Column("client_name", sa.String(), nullable=True),
        sa.Column("frequency", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["connection.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("connection_id", "external_id", name="uq_administration_external"),
    )
    op.create_table(
        "payment_limit",
        sa.Column("debtor_account_id", sa.Uuid(), nullable=False),
        sa.Column("per_transfer_cents", sa.BigInteger(), nullable=True),
        sa.Column("per_batch_cents", sa.BigInteger(), nullable=True),
        sa.Column("per_day_cents", sa.BigInteger(), nullable=True),
        sa.Column("per_month_cents", sa.BigInteger(), nullable=True),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("set_by", sa.Uuid(), nullable=False),
        sa.Column("pending", postgresql.JSONB(), nullable=True),
        sa.Column("pending_by", sa.Uuid(), nullable=True),
        sa.Column("pending_since", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["debtor_account_id"],
            ["debtor_account.id"],
        ),
        sa.ForeignKeyConstraint(
            ["pending_by"],
            ["user_account.id"],
        ),
        sa.ForeignKeyConstraint(
            ["set_by"],
            ["user_account.id"],
        ),
        sa.PrimaryKeyConstraint("debtor_account_id"),
    )
    op.create_table(
        "pin_try",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("correct", sa.Boolean(), nullable=True),
        sa.ForeignKeyConstraint(
            ["token_id"],
            ["api_token.id"],
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["user_account.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_pin_try_token_id"), "pin_try", ["token_id"], unique=False)
    op.create_index("ix_pin_try_user", "pin_try", ["user_id", "tried_at"], unique=False)
    op.create_table(
        "administration_link",
        sa.Column("administration_id", sa.Uuid(), nullable=False),
        sa.Column("employer_id", sa.Uuid(), nullable=False),
        sa.Column("debtor_account_id", sa.Uuid(), nullable=False),
        sa.Column("go_live_on", sa.Date(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("pay_day_rule", postgresql.JSONB(), nullable=False),
        sa.Column("linked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("linked_by", sa.Uuid(), nullable=False),
        sa.CheckConstraint("mode IN ('dry_run', 'live')", name="ck_administration_link_mode"),
        sa.ForeignKeyConstraint(
            ["administration_id"],
            ["administration.id"],
        ),
        sa.ForeignKeyConstraint(
            ["debtor_account_id"],
            ["debtor_account.id"],
        ),
        sa.ForeignKeyConstraint(
            ["employer_id"],
            ["organization.id"],
        ),
        sa.ForeignKeyConstraint(
            ["linked_by"],
            ["user_account.id"],
        ),
        sa.PrimaryKeyConstraint("administration_id"),
    )
    op.create_index(op.f("ix_administration_link_employer_id"), "administration_link", ["employer_id"], unique=False)
    op.create_table(
        "payroll_run",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("administration_id", sa.Uuid(), nullable=False),
        sa.Column("employer_id", sa.Uuid(), nullable=False),
        sa.Column("source_kind", sa.String(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("period_start", sa.Integer(), nullable=False),
        sa.Column("period_end", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("frequency", sa.String(), nullable=True),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("is_locked", sa.Boolean(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason_code", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("operation", sa.String(), nullable=True),
        sa.Column("discovered_by", sa.String(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("absent_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("payment_date_asked", sa.Date(), nullable=True),
        sa.Column("reading_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "state IN ('seen', 'fetching', 'fetched', 'empty', 'doubtful', 'failed', 'withdrawn', 'ignored')",
            name="ck_payroll_run_state",
        ),
        sa.ForeignKeyConstraint(
            ["administration_id"],
            ["administration.id"],
        ),
        sa.ForeignKeyConstraint(
            ["employer_id"],
            ["organization.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_payroll_run_administration", "payroll_run", ["administration_id", "first_seen_at"], unique=False
    )
    op.create_index(op.f("ix_payroll_run_employer_id"), "payroll_run", ["employer_id"], unique=False)
    op.create_table(
        "remembered_kind",
        sa.Column("administration_id", sa.Uuid(), nullable=False),
        sa.Column("creditor", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("chosen_by", sa.Uuid(), nullable=False),
        sa.Column("chosen_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('salary', 'third_party')", name="ck_remembered_kind_kind"),
        sa.ForeignKeyConstraint(
            ["administration_id"],
            ["administration.id"],
        ),
        sa.ForeignKeyConstraint(
            ["chosen_by"],
            ["user_account.id"],
        ),
        sa.PrimaryKeyConstraint("administration_id", "creditor"),
    )
    op.create_table(
        "webhook_token",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("administration_id", sa.Uuid(), nullable=True),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["administration_id"],
            ["administration.id"],
        ),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["connection.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("token_hash"),
    )
    op.create_index(op.f("ix_webhook_token_connection_id"), "webhook_token", ["connection_id"], unique=False)
    op.create_table(
        "run_identity",
        sa.Column("administration_id", sa.Uuid(), nullable=False),
        sa.Column("source_kind", sa.String(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["administration_id"],
            ["administration.id"],
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["payroll_run.id"],
        ),
        sa.PrimaryKeyConstraint("administration_id", "source_kind", "external_id"),
    )
    op.create_index(op.f("ix_run_identity_run_id"), "run_identity", ["run_id"], unique=False)
    op.create_table(
        "source_reading",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("payment_date_asked", sa.Date(), nullable=True),
        sa.Column("raw_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("raw_sha256", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("lines_hash", sa.String(), nullable=True),
        sa.Column("extras", postgresql.JSONB(), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["payroll_run.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_source_reading_run_id"), "source_reading", ["run_id"], unique=False)
    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("headers", postgresql.JSONB(), nullable=False),
        sa.Column("query", sa.String(), nullable=False),
        sa.Column("body_state", sa.String(), nullable=False),
        sa.Column("body_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("body_sha256", sa.String(), nullable=False),
        sa.Column("processed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "body_state IN ('complete', 'too_large', 'too_slow')", name="ck_webhook_delivery_body_state"
        ),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["connection.id"],
        ),
        sa.ForeignKeyConstraint(
            ["token_id"],
            ["webhook_token.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_webhook_delivery_unprocessed",
        "webhook_delivery",
        ["connection_id", "received_at"],
        unique=False,
        postgresql_where=sa.text("processed_at IS NULL"),
    )
    op.create_table(
        "obligation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("administration_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("employer_id", sa.Uuid(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("period", sa.Integer(), nullable=False),
        sa.Column("creditor", sa.String(), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("first_reading_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["administration_id"],
            ["administration.id"],
        ),
        sa.ForeignKeyConstraint(
            ["employer_id"],
            ["organization.id"],
        ),
        sa.ForeignKeyConstraint(
            ["first_reading_id"],
            ["source_reading.id"],
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["payroll_run.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("administration_id", "run_id", "creditor", "amount_cents", "n", name="uq_obligation"),
    )
    op.create_index("ix_obligation_creditor", "obligation", ["employer_id", "creditor", "year", "period"], unique=False)
    op.create_index(op.f("ix_obligation_run_id"), "obligation", ["run_id"], unique=False)
    op.create_table(
        "payment_batch",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("employer_id", sa.Uuid(), nullable=False),
        sa.Column("administration_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("reading_id", sa.Uuid(), nullable=False),
        sa.Column("debtor_account_id", sa.Uuid(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("requested_execution_date", sa.Date(), nullable=False),
        sa.Column("number_of_transactions", sa.Integer(), nullable=False),
        sa.Column("control_sum_cents", sa.BigInteger(), nullable=False),
        sa.Column("edited_by", sa.Uuid(), nullable=True),
        sa.Column("status_reason", sa.String(), nullable=True),
        sa.Column("source_equal_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("mode IN ('dry_run', 'live')", name="ck_payment_batch_mode"),
        sa.CheckConstraint(
            "status IN ('pending', 'approved', 'delivered', 'delivery_unknown', 'accepted', "
            "'executed', 'refused', 'rejected', 'cancelled', 'superseded', 'expired')",
            name="ck_payment_batch_status",
        ),
        sa.CheckConstraint("revision > 0", name="ck_payment_batch_revision"),
        sa.ForeignKeyConstraint(
            ["administration_id"],
            ["administration.id"],
        ),
        sa.ForeignKeyConstraint(
            ["debtor_account_id"],
            ["debtor_account.id"],
        ),
        sa.ForeignKeyConstraint(
            ["edited_by"],
            ["user_account.id"],
        ),
        sa.ForeignKeyConstraint(
            ["employer_id"],
            ["organization.id"],
        ),
        sa.ForeignKeyConstraint(
            ["reading_id"],
            ["source_reading.id"],
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["payroll_run.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_payment_batch_administration_id"), "payment_batch", ["administration_id"], unique=False)
    op.create_index(op.f("ix_payment_batch_debtor_account_id"), "payment_batch", ["debtor_account_id"], unique=False)
    op.create_index("ix_payment_batch_employer", "payment_batch", ["employer_id", "created_at", "id"], unique=False)
    op.create_index(op.f("ix_payment_batch_run_id"), "payment_batch", ["run_id"], unique=False)
    op.create_index(
        "uq_payment_batch_one_pending",
        "payment_batch",
        ["run_id"],
        unique=True,
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_table(
        "approval",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("voided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("void_reason", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["payment_batch.id"],
        ),
        sa.ForeignKeyConstraint(
            ["token_id"],
            ["api_token.id"],
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["user_account.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("batch_id", "revision", "user_id", name="uq_approval_person"),
    )
    op.create_index(op.f("ix_approval_batch_id"), "approval", ["batch_id"], unique=False)
    op.create_table(
        "claim",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("obligation_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("debtor_account_id", sa.Uuid(), nullable=False),
        sa.Column("requested_execution_date", sa.Date(), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("release_fact", sa.String(), nullable=True),
        sa.Column("was_handed_out", sa.Boolean(), nullable=False),
        sa.CheckConstraint("state IN ('live', 'spent', 'released')", name="ck_claim_state"),
        sa.CheckConstraint("amount_cents > 0", name="ck_claim_amount"),
        sa.CheckConstraint("attempt > 0", name="ck_claim_attempt"),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["payment_batch.id"],
        ),
        sa.ForeignKeyConstraint(
            ["debtor_account_id"],
            ["debtor_account.id"],
        ),
        sa.ForeignKeyConstraint(
            ["obligation_id"],
            ["obligation.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("obligation_id", "attempt", name="uq_claim_attempt"),
    )
    op.create_index(
        "ix_claim_account_date", "claim", ["debtor_account_id", "requested_execution_date", "state"], unique=False
    )
    op.create_index(op.f("ix_claim_batch_id"), "claim", ["batch_id"], unique=False)
    op.create_index(
        "uq_claim_live_or_spent",
        "claim",
        ["obligation_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('live', 'spent')"),
    )
    op.create_table(
        "credit_transfer",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("obligation_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("decision_reason", sa.String(), nullable=True),
        sa.Column("hold_code", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("end_to_end_id", sa.String(), nullable=False),
        sa.Column("creditor_name", sa.String(), nullable=False),
        sa.Column("creditor_name_original", sa.String(), nullable=False),
        sa.Column("creditor_iban", sa.String(), nullable=False),
        sa.Column("creditor_bic", sa.String(), nullable=True),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("remittance_kind", sa.String(), nullable=False),
        sa.Column("remittance_text", sa.String(), nullable=False),
        sa.Column("remittance_text_original", sa.String(), nullable=False),
        sa.Column("reference_type", sa.String(), nullable=True),
        sa.Column("reference_issuer", sa.String(), nullable=True),
        sa.Column("source_end_to_end_id", sa.String(), nullable=True),
        sa.Column("source_debtor_iban", sa.String(), nullable=True),
        sa.Column("source_creditor_bic", sa.String(), nullable=True),
        sa.Column("source_execution_date", sa.Date(), nullable=True),
        sa.CheckConstraint("decision IN ('pay', 'exclude', 'hold')", name="ck_credit_transfer_decision"),
        sa.CheckConstraint("kind IN ('salary', 'third_party')", name="ck_credit_transfer_kind"),
        sa.CheckConstraint(
            "status IN ('payable', 'invalid', 'held', 'excluded', 'in_file', "
            "'executed', 'refused', 'returned', 'paid_elsewhere', 'waived')",
            name="ck_credit_transfer_status",
        ),
        sa.CheckConstraint(
            "status NOT IN ('payable', 'in_file') OR amount_cents > 0", name="ck_credit_transfer_amount"
        ),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["payment_batch.id"],
        ),
        sa.ForeignKeyConstraint(
            ["obligation_id"],
            ["obligation.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("batch_id", "obligation_id", name="uq_credit_transfer_obligation"),
        sa.UniqueConstraint("batch_id", "position", name="uq_credit_transfer_position"),
    )
    op.create_index(op.f("ix_credit_transfer_obligation_id"), "credit_transfer", ["obligation_id"], unique=False)
    op.create_table(
        "payment_file",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("file_schema", sa.String(), nullable=False),
        sa.Column("file_created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("content_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("sha1", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("number_of_transactions", sa.Integer(), nullable=False),
        sa.Column("control_sum_cents", sa.BigInteger(), nullable=False),
        sa.Column("instructions", postgresql.JSONB(), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("handed_out_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("voided_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["payment_batch.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("batch_id", "revision", "n", name="uq_payment_file_part"),
        sa.UniqueConstraint("message_id"),
    )
    op.create_index(op.f("ix_payment_file_batch_id"), "payment_file", ["batch_id"], unique=False)
    op.create_table(
        "delivery",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("reported_by", sa.Uuid(), nullable=True),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.String(), nullable=True),
        sa.CheckConstraint("outcome IN ('accepted', 'refused', 'unknown')", name="ck_delivery_outcome"),
        sa.ForeignKeyConstraint(
            ["file_id"],
            ["payment_file.id"],
        ),
        sa.ForeignKeyConstraint(
            ["reported_by"],
            ["user_account.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_delivery_file_id"), "delivery", ["file_id"], unique=False)
    op.create_table(
        "finding",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("transfer_id", sa.Uuid(), nullable=True),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("field", sa.String(), nullable=True),
        sa.Column("figures", postgresql.JSONB(), nullable=False),
        sa.Column("needs_acknowledgement", sa.Boolean(), nullable=False),
        sa.Column("judged_hash", sa.String(), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_by", sa.Uuid(), nullable=True),
        sa.Column("acknowledgement_note", sa.String(), nullable=True),
        sa.CheckConstraint("severity IN ('error', 'warning', 'notice', 'change')", name="ck_finding_severity"),
        sa.ForeignKeyConstraint(
            ["acknowledged_by"],
            ["user_account.id"],
        ),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["payment_batch.id"],
        ),
        sa.ForeignKeyConstraint(
            ["transfer_id"],
            ["credit_transfer.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_finding_batch_id"), "finding", ["batch_id"], unique=False)
    # ### end Alembic commands ###


def downgrade() -> None:
    """Take back."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index(op.f("ix_finding_batch_id"), table_name="finding")
    op.drop_table("finding")
    op.drop_index(op.f("ix_delivery_file_id"), table_name="delivery")
    op.drop_table("delivery")
    op.drop_index(op.f("ix_payment_file_batch_id"), table_name="payment_file")
    op.drop_table("payment_file")
    op.drop_index(op.f("ix_credit_transfer_obligation_id"), table_name="credit_transfer")
    op.drop_table("credit_transfer")
    op.drop_index("uq_claim_live_or_spent", table_name="claim", postgresql_where=sa.text("state IN ('live', 'spent')"))
    op.drop_index(op.f("ix_claim_batch_id"), table_name="claim")
    op.drop_index("ix_claim_account_date", table_name="claim")
    op.drop_table("claim")
    op.drop_index(op.f("ix_approval_batch_id"), table_name="approval")
    op.drop_table("approval")
    op.drop_index(
        "uq_payment_batch_one_pending", table_name="payment_batch", postgresql_where=sa.text("status = 'pending'")
    )
    op.drop_index(op.f("ix_payment_batch_run_id"), table_name="payment_batch")
    op.drop_index("ix_payment_batch_employer", table_name="payment_batch")
    op.drop_index(op.f("ix_payment_batch_debtor_account_id"), table_name="payment_batch")
    op.drop_index(op.f("ix_payment_batch_administration_id"), table_name="payment_batch")
    op.drop_table("payment_batch")
    op.drop_index(op.f("ix_obligation_run_id"), table_name="obligation")
    op.drop_index("ix_obligation_creditor", table_name="obligation")
    op.drop_table("obligation")
    op.drop_index(
        "ix_webhook_delivery_unprocessed",
        table_name="webhook_delivery",
        postgresql_where=sa.text("processed_at IS NULL"),
    )
    op.drop_table("webhook_delivery")
    op.drop_index(op.f("ix_source_reading_run_id"), table_name="source_reading")
    op.drop_table("source_reading")
    op.drop_index(op.f("ix_run_identity_run_id"), table_name="run_identity")
    op.drop_table("run_identity")
    op.drop_index(op.f("ix_webhook_token_connection_id"), table_name="webhook_token")
    op.drop_table("webhook_token")
    op.drop_table("remembered_kind")
    op.drop_index(op.f("ix_payroll_run_employer_id"), table_name="payroll_run")
    op.drop_index("ix_payroll_run_administration", table_name="payroll_run")
    op.drop_table("payroll_run")
    op.drop_index(op.f("ix_administration_link_employer_id"), table_name="administration_link")
    op.drop_table("administration_link")
    op.drop_index("ix_pin_try_user", table_name="pin_try")
    op.drop_index(op.f("ix_pin_try_token_id"), table_name="pin_try")
    op.drop_table("pin_try")
    op.drop_table("payment_limit")
    op.drop_table("administration")
    op.drop_table("membership")
    op.drop_table("mandate")
    op.drop_index("ix_hold_active", table_name="hold", postgresql_where=sa.text("lifted_at IS NULL"))
    op.drop_table("hold")
    op.drop_table("debtor_account")
    op.drop_index(op.f("ix_connection_organization_id"), table_name="connection")
    op.drop_table("connection")
    op.drop_index(op.f("ix_api_token_user_id"), table_name="api_token")
    op.drop_table("api_token")
    op.drop_table("user_account")
    op.drop_table("organization")
    op.drop_table("idempotency_key")
    op.drop_table("history_head")
    op.drop_index("ix_history_entry_batch", table_name="history_entry")
    op.drop_table("history_entry")
    # ### end Alembic commands ###
