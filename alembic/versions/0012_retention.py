"""Privacy: who was shown unmasked lines."""

import sqlalchemy as sa

from alembic import op

revision = "0012"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Reveals are records: they are not deleted."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "reveal",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("employer_id", sa.Uuid(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["employer_id"], ["organization.id"]),
        sa.ForeignKeyConstraint(["batch_id"], ["payment_batch.id"]),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"]),
        sa.ForeignKeyConstraint(["token_id"], ["api_token.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_reveal_employer", "reveal", ["employer_id", "made_at"])
    op.create_index("ix_reveal_token", "reveal", ["token_id", "ends_at"])
    op.execute(
        "DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'loonstroom_app') THEN "
        "REVOKE UPDATE, DELETE, TRUNCATE ON reveal FROM loonstroom_app; "
        "END IF; END $$;"
    )


def downgrade() -> None:
    """Undo."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("reveal")
