"""What the newest reading of a run lists no longer: nobody is asked to pay it, whatever becomes of its line later.

Nor does it keep a run from being erased after its term.
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# As before, but for UNLISTED.
_PAST_TERM = """
CREATE OR REPLACE FUNCTION runs_past_term(p_only uuid, p_most integer) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT run.id
    FROM payroll_run run
    LEFT JOIN retention term ON term.employer_id = run.employer_id
    CROSS JOIN LATERAL (
        SELECT date_trunc('year', now() - make_interval(months => coalesce(term.lines_months, 84)))
            AS until
    ) past
    WHERE run.state <> 'erased'
      AND (p_only IS NULL OR run.id = p_only)
      AND run.first_seen_at < past.until
      AND run.first_seen_at < now() - interval '24 months'  -- the shortest term, which the index can use
      -- Every batch of it is over: its date, and what may still become of it.
      AND NOT EXISTS (
          SELECT FROM payment_batch batch
          WHERE batch.run_id = run.id
            AND (batch.requested_execution_date >= past.until::date
                 OR batch.status = 'pending'
                 OR (batch.mode = 'live'
                     AND batch.status IN ('approved', 'delivered', 'delivery_unknown', 'accepted'))))
      -- Nobody is being paid, and nobody is still to be paid.
      AND NOT EXISTS (
          SELECT FROM obligation JOIN claim ON claim.obligation_id = obligation.id
          WHERE obligation.run_id = run.id AND claim.state = 'live')
      AND NOT (run.state <> 'withdrawn' AND EXISTS (
          SELECT FROM obligation
          JOIN credit_transfer line ON line.obligation_id = obligation.id
          JOIN payment_batch batch ON batch.id = line.batch_id
          WHERE obligation.run_id = run.id AND batch.mode = 'live' AND line.amount_cents > 0
            AND coalesce(line.hold_code, '') <> 'gone_at_source'UNLISTED
            AND line.status NOT IN ('in_file', 'executed')
            AND (line.status IN ('invalid', 'held', 'excluded', 'refused', 'returned')
                 OR batch.status IN ('rejected', 'cancelled', 'superseded', 'expired'))
            AND NOT EXISTS (SELECT FROM claim
                            WHERE claim.obligation_id = obligation.id AND claim.state IN ('live', 'spent'))))
    ORDER BY run.first_seen_at
    LIMIT p_most
$$
"""


def upgrade() -> None:
    """Apply. Of lines that were left before, their mark tells; of others the next reading of their run does."""
    # Looked for first: the lines are many, and nothing waits for a lock on the runs meanwhile.
    op.execute(
        "CREATE TEMPORARY TABLE no_longer_listed ON COMMIT DROP AS "
        "SELECT batch.run_id, array_agg(DISTINCT line.obligation_id) AS ids FROM credit_transfer line "
        "JOIN payment_batch batch ON batch.id = line.batch_id "
        "WHERE line.hold_code = 'gone_at_source' AND line.status NOT IN ('in_file', 'executed') GROUP BY 1"
    )
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "payroll_run",
        sa.Column("unlisted", postgresql.ARRAY(sa.Uuid()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.execute("UPDATE payroll_run SET unlisted = gone.ids FROM no_longer_listed gone WHERE id = gone.run_id")
    op.execute(_PAST_TERM.replace("UNLISTED", " AND obligation.id <> ALL (run.unlisted)"))


def downgrade() -> None:
    """Undo."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(_PAST_TERM.replace("UNLISTED", ""))
    op.drop_column("payroll_run", "unlisted")
