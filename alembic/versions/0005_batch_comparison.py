"""The comparison of a batch with the last paid run, as it was when the revision was made."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "batch_comparison",
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("previous_run_id", sa.Uuid(), nullable=True),
        sa.Column("previous_batch_id", sa.Uuid(), nullable=True),
        sa.Column("is_first", sa.Boolean(), nullable=False),
        sa.Column("is_extra", sa.Boolean(), nullable=False),
        sa.Column("same_count", sa.Integer(), nullable=False),
        sa.Column("peak", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("changes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("changed_accounts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("held_accounts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["payment_batch.id"]),
        sa.ForeignKeyConstraint(["previous_batch_id"], ["payment_batch.id"]),
        sa.ForeignKeyConstraint(["previous_run_id"], ["payroll_run.id"]),
        sa.PrimaryKeyConstraint("batch_id"),
    )
    op.execute(
        "DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'loonstroom_app') THEN "
        "REVOKE DELETE, TRUNCATE ON batch_comparison FROM loonstroom_app; "
        "END IF; END $$;"
    )


def downgrade() -> None:
    """Undo."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("batch_comparison")
