"""What the newest reading of a run lists no longer: nobody is asked to pay it, whatever becomes of its line later."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Of lines that were left before, their mark tells; of others the next reading of their run does."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "payroll_run",
        sa.Column("unlisted", postgresql.ARRAY(sa.Uuid()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.execute(
        "UPDATE payroll_run SET unlisted = gone.ids FROM ("
        "SELECT batch.run_id, array_agg(DISTINCT line.obligation_id) AS ids FROM credit_transfer line "
        "JOIN payment_batch batch ON batch.id = line.batch_id WHERE line.hold_code = 'gone_at_source' GROUP BY 1"
        ") gone WHERE payroll_run.id = gone.run_id"
    )


def downgrade() -> None:
    """Undo."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("payroll_run", "unlisted")
