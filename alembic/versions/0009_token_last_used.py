"""When an API token was last used, so that one nobody uses can be found and ended."""

import sqlalchemy as sa

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the moment; a column without a default changes no row."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("api_token", sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Forget the moments."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("api_token", "last_used_at")
