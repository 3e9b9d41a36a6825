"""An index for the first page of history: without it a page sorts every record of an organization."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Index the records of each organization by moment."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_index("ix_history_entry_newest", "history_entry", ["organization_id", "occurred_at", "sequence"])


def downgrade() -> None:
    """Take the index away."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_history_entry_newest", "history_entry")
