"""Buckets of requests, one a token; and a mark for webhooks that came beyond theirs."""

import sqlalchemy as sa

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_STATES = "ck_webhook_delivery_body_state"


def upgrade() -> None:
    """Apply. The table is not logged: losing it in a crash only means that everybody starts with a full bucket."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "rate_limit",
        sa.Column("bucket", sa.String(), nullable=False),
        sa.Column("used_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("bucket"),
        prefixes=["UNLOGGED"],
    )
    op.drop_constraint(_STATES, "webhook_delivery", type_="check")
    op.create_check_constraint(
        _STATES, "webhook_delivery", "body_state IN ('complete', 'too_large', 'too_slow', 'too_many')"
    )


def downgrade() -> None:
    """Undo; the marks stay as deliveries without a body."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("UPDATE webhook_delivery SET body_state = 'too_large' WHERE body_state = 'too_many'")
    op.drop_constraint(_STATES, "webhook_delivery", type_="check")
    op.create_check_constraint(_STATES, "webhook_delivery", "body_state IN ('complete', 'too_large', 'too_slow')")
    op.drop_table("rate_limit")
