"""Approvals by several people, what the bank says, and lines that are paid later or elsewhere."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_BANK = "bank_status IN ('none', 'received', 'accepted', 'settled', 'rejected', 'contradiction')"
CHECKS = {
    ("payment_batch", "ck_payment_batch_kind"): "kind IN ('run', 'follow_up')",
    ("credit_transfer", "ck_credit_transfer_bank_status"): _BANK,
    ("payment_file", "ck_payment_file_bank_status"): _BANK,
    ("claim", "ck_claim_way"): "way IN ('file', 'elsewhere', 'waived')",
}


def upgrade() -> None:
    """Apply."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "approval_policy",
        sa.Column("employer_id", sa.Uuid(), nullable=False),
        sa.Column("tiers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("set_by", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["employer_id"],
            ["organization.id"],
        ),
        sa.ForeignKeyConstraint(
            ["set_by"],
            ["user_account.id"],
        ),
        sa.PrimaryKeyConstraint("employer_id"),
    )
    op.create_table(
        "proposal",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("target", sa.Uuid(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("proposed_by", sa.Uuid(), nullable=False),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("waits_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("confirmed_by", sa.Uuid(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.CheckConstraint("outcome IN ('applied', 'withdrawn')", name="ck_proposal_outcome"),
        sa.CheckConstraint("(ended_at IS NULL) = (outcome IS NULL)", name="ck_proposal_ended"),
        sa.CheckConstraint("confirmed_by IS DISTINCT FROM proposed_by", name="ck_proposal_two_people"),
        sa.ForeignKeyConstraint(
            ["confirmed_by"],
            ["user_account.id"],
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
        ),
        sa.ForeignKeyConstraint(
            ["proposed_by"],
            ["user_account.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_proposal_organization", "proposal", ["organization_id", "proposed_at", "id"], unique=False)
    op.create_index(
        "uq_proposal_open",
        "proposal",
        ["organization_id", "kind", "target"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "status_report",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("employer_id", sa.Uuid(), nullable=False),
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("raw_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("raw_sha256", sa.String(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("uploaded_by", sa.Uuid(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["employer_id"],
            ["organization.id"],
        ),
        sa.ForeignKeyConstraint(
            ["file_id"],
            ["payment_file.id"],
        ),
        sa.ForeignKeyConstraint(
            ["uploaded_by"],
            ["user_account.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("file_id", "raw_sha256", name="uq_status_report_content"),
    )
    op.create_index(op.f("ix_status_report_employer_id"), "status_report", ["employer_id"], unique=False)
    op.create_index(op.f("ix_status_report_file_id"), "status_report", ["file_id"], unique=False)
    op.add_column(
        "administration_link",
        sa.Column("uploads_allowed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column(
        "administration_link",
        sa.Column("needs_locked_run", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column(
        "api_token", sa.Column("is_unattended", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("approval", sa.Column("source_state", sa.String(), server_default="equal", nullable=False))
    op.add_column("claim", sa.Column("way", sa.String(), server_default="file", nullable=False))
    op.add_column("credit_transfer", sa.Column("file_n", sa.Integer(), nullable=True))
    op.add_column("credit_transfer", sa.Column("payment_information_id", sa.String(), nullable=True))
    op.add_column("credit_transfer", sa.Column("bank_status", sa.String(), server_default="none", nullable=False))
    op.add_column("credit_transfer", sa.Column("bank_reason", sa.String(), nullable=True))
    op.add_column("credit_transfer", sa.Column("bank_said_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("credit_transfer", sa.Column("name_check", sa.String(), nullable=True))
    op.add_column("credit_transfer", sa.Column("name_check_proposal", sa.String(), nullable=True))
    op.add_column("delivery", sa.Column("reference", sa.String(), nullable=True))
    op.add_column("delivery", sa.Column("hash_seen", sa.String(), nullable=True))
    op.add_column("membership", sa.Column("ends_on", sa.Date(), nullable=True))
    op.add_column("payment_batch", sa.Column("kind", sa.String(), server_default="run", nullable=False))
    op.add_column("payment_batch", sa.Column("expiry_warnings", sa.Integer(), server_default="0", nullable=False))
    op.add_column(
        "payment_batch",
        sa.Column(
            "noted_attention", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False
        ),
    )
    op.add_column("payment_file", sa.Column("void_reason", sa.String(), nullable=True))
    op.add_column("payment_file", sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("payment_file", sa.Column("unknown_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("payment_file", sa.Column("bank_status", sa.String(), server_default="none", nullable=False))
    op.add_column(
        "payment_file", sa.Column("awaits_signature", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("payment_limit", sa.Column("soft_per_transfer_cents", sa.BigInteger(), nullable=True))
    op.add_column("payment_limit", sa.Column("soft_per_batch_cents", sa.BigInteger(), nullable=True))
    op.add_column("payment_limit", sa.Column("soft_per_day_cents", sa.BigInteger(), nullable=True))
    op.add_column("payment_limit", sa.Column("soft_per_month_cents", sa.BigInteger(), nullable=True))
    op.add_column("payment_limit", sa.Column("ends_on", sa.Date(), nullable=True))
    op.add_column("payment_limit", sa.Column("reverts_to", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("user_account", sa.Column("pin_changed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("user_account", sa.Column("pin_change_confirmed_by", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        "user_account_pin_change_confirmed_by_fkey", "user_account", "user_account", ["pin_change_confirmed_by"], ["id"]
    )
    op.create_index(
        "ix_payment_batch_open",
        "payment_batch",
        ["status", "id"],
        unique=False,
        postgresql_where=sa.text("status IN ('pending', 'approved', 'delivered', 'delivery_unknown')"),
    )
    op.create_index(
        "ix_credit_transfer_left",
        "credit_transfer",
        ["batch_id"],
        unique=False,
        postgresql_where=sa.text("status NOT IN ('in_file', 'executed')"),
    )
    for (table, name), condition in CHECKS.items():
        op.create_check_constraint(name, table, condition)
    op.execute(
        "CREATE TRIGGER status_report_is_kept BEFORE DELETE OR TRUNCATE ON status_report "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'loonstroom_app') THEN "
        "REVOKE DELETE, TRUNCATE ON status_report, proposal FROM loonstroom_app; "
        "END IF; END $$;"
    )


def downgrade() -> None:
    """Take back."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_credit_transfer_left", table_name="credit_transfer")
    op.drop_index("ix_payment_batch_open", table_name="payment_batch")
    for table, name in CHECKS:
        op.drop_constraint(name, table, type_="check")
    op.drop_constraint("user_account_pin_change_confirmed_by_fkey", "user_account", type_="foreignkey")
    op.drop_column("user_account", "pin_change_confirmed_by")
    op.drop_column("user_account", "pin_changed_at")
    op.drop_column("payment_limit", "reverts_to")
    op.drop_column("payment_limit", "ends_on")
    op.drop_column("payment_limit", "soft_per_month_cents")
    op.drop_column("payment_limit", "soft_per_day_cents")
    op.drop_column("payment_limit", "soft_per_batch_cents")
    op.drop_column("payment_limit", "soft_per_transfer_cents")
    op.drop_column("payment_file", "awaits_signature")
    op.drop_column("payment_file", "bank_status")
    op.drop_column("payment_file", "unknown_since")
    op.drop_column("payment_file", "delivered_at")
    op.drop_column("payment_file", "void_reason")
    op.drop_column("payment_batch", "noted_attention")
    op.drop_column("payment_batch", "expiry_warnings")
    op.drop_column("payment_batch", "kind")
    op.drop_column("membership", "ends_on")
    op.drop_column("delivery", "hash_seen")
    op.drop_column("delivery", "reference")
    op.drop_column("credit_transfer", "name_check_proposal")
    op.drop_column("credit_transfer", "name_check")
    op.drop_column("credit_transfer", "bank_said_at")
    op.drop_column("credit_transfer", "bank_reason")
    op.drop_column("credit_transfer", "bank_status")
    op.drop_column("credit_transfer", "payment_information_id")
    op.drop_column("credit_transfer", "file_n")
    op.drop_column("claim", "way")
    op.drop_column("approval", "source_state")
    op.drop_column("api_token", "is_unattended")
    op.drop_column("administration_link", "needs_locked_run")
    op.drop_column("administration_link", "uploads_allowed")
    op.drop_index(op.f("ix_status_report_file_id"), table_name="status_report")
    op.drop_index(op.f("ix_status_report_employer_id"), table_name="status_report")
    op.drop_table("status_report")
    op.drop_index("uq_proposal_open", table_name="proposal", postgresql_where=sa.text("ended_at IS NULL"))
    op.drop_index("ix_proposal_organization", table_name="proposal")
    op.drop_table("proposal")
    op.drop_table("approval_policy")
