"""What was approved is kept as it was, a bank that contradicts itself is found, and every run is erased in time.

- `approved_frame`: what a digest covers beside the lines that are paid, as it was when the batch was approved. Settings
  of the account and lines that were left out change afterwards; the bytes under the digest must not.
- `bank_contradicts`: the bank's reports contradict each other, or what is known here.
- A proposal that nobody confirmed in time is `expired`.
- `runs_past_term`, `erase_run`: as in 0010, but of runs in every state (those of the dry run before going live, or that
  were never fetched well, hold names as well), and of the frame. A run that still owes somebody stays, unless it was
  withdrawn at the source.
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_BEFORE = ("run.state IN ('fetched', 'withdrawn')", "run.state = 'fetched'")
_NOW = ("run.state <> 'erased'", "run.state <> 'withdrawn'")
_KEPT = "ix_payroll_run_kept"
_OUTCOME = "ck_proposal_outcome"
_CONTRADICTED = "ix_payment_batch_contradicted"

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
    WHERE STATES
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
      AND NOT (OWING AND EXISTS (
          SELECT FROM obligation
          JOIN credit_transfer line ON line.obligation_id = obligation.id
          JOIN payment_batch batch ON batch.id = line.batch_id
          WHERE obligation.run_id = run.id AND batch.mode = 'live' AND line.amount_cents > 0
            AND coalesce(line.hold_code, '') <> 'gone_at_source'
            AND line.status NOT IN ('in_file', 'executed')
            AND (line.status IN ('invalid', 'held', 'excluded', 'refused', 'returned')
                 OR batch.status IN ('rejected', 'cancelled', 'superseded', 'expired'))
            AND NOT EXISTS (SELECT FROM claim
                            WHERE claim.obligation_id = obligation.id AND claim.state IN ('live', 'spent'))))
    ORDER BY run.first_seen_at
    LIMIT p_most
$$
"""

_ERASE = r"""
CREATE OR REPLACE FUNCTION erase_run(p_run uuid, p_creditors text[], p_marks text[])
RETURNS TABLE (lines bigint, files bigint, reports bigint, readings bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_run payroll_run;
    v_batches uuid[];
BEGIN
    SELECT * INTO v_run FROM payroll_run WHERE id = p_run FOR UPDATE;
    -- A report or a return that is under way on one of its batches comes first, and is seen below.
    PERFORM FROM payment_batch WHERE run_id = p_run ORDER BY id FOR UPDATE;
    IF NOT EXISTS (SELECT FROM runs_past_term(p_run, 1)) THEN
        RAISE EXCEPTION 'this run is not past its term' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF EXISTS (SELECT FROM unnest(p_marks) AS mark WHERE mark !~ '^erased:[0-9a-f]{64}$')
       OR cardinality(p_creditors) <> cardinality(p_marks)
       OR EXISTS (SELECT FROM obligation WHERE run_id = p_run AND creditor <> ALL (p_creditors)) THEN
        RAISE EXCEPTION 'every account of the run needs a mark' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT coalesce(array_agg(id), '{}') INTO v_batches FROM payment_batch WHERE run_id = p_run;

    UPDATE credit_transfer SET
        creditor_name = '', creditor_name_original = '', creditor_iban = '', creditor_bic = NULL,
        remittance_text = '', remittance_text_original = '', reference_type = NULL, reference_issuer = NULL,
        source_end_to_end_id = NULL, source_debtor_iban = NULL, source_creditor_bic = NULL,
        decision_reason = NULL, name_check_proposal = NULL
    WHERE batch_id = ANY (v_batches);
    GET DIAGNOSTICS lines = ROW_COUNT;
    UPDATE finding SET figures = '{}', judged_hash = '', acknowledgement_note = NULL
    WHERE batch_id = ANY (v_batches);
    UPDATE batch_comparison SET changes = '[]', changed_accounts = '[]', held_accounts = '[]'
    WHERE batch_id = ANY (v_batches);
    UPDATE status_report SET raw_sealed = ''
    WHERE file_id IN (SELECT id FROM payment_file WHERE batch_id = ANY (v_batches));
    GET DIAGNOSTICS reports = ROW_COUNT;
    UPDATE payment_file SET content_sealed = '' WHERE batch_id = ANY (v_batches);
    GET DIAGNOSTICS files = ROW_COUNT;
    UPDATE source_reading SET raw_sealed = '', extras = NULL, erased_at = now() WHERE run_id = p_run;
    GET DIAGNOSTICS readings = ROW_COUNT;
    -- What a person chose for an account is kept while a later run still names it.
    DELETE FROM remembered_kind
    WHERE administration_id = v_run.administration_id AND creditor = ANY (p_creditors)
      AND NOT EXISTS (SELECT FROM obligation
                      WHERE obligation.administration_id = v_run.administration_id
                        AND obligation.creditor = remembered_kind.creditor AND obligation.run_id <> p_run);
    UPDATE obligation SET creditor = pair.mark
    FROM unnest(p_creditors, p_marks) AS pair(creditor, mark)
    WHERE obligation.run_id = p_run AND obligation.creditor = pair.creditor;
    UPDATE payment_batch SET FRAMEerased_at = now() WHERE id = ANY (v_batches);
    UPDATE payroll_run SET
        state = 'erased', reason_code = NULL, reason = NULL, next_attempt_at = NULL,
        description = CASE source_kind WHEN 'upload' THEN '' ELSE description END
    WHERE id = p_run;
    RETURN NEXT;
END $$
"""


def _in(states: tuple[str, ...]) -> str:
    return ", ".join(f"'{state}'" for state in states)


def _replace_functions(states: tuple[str, str], frame: str) -> None:
    kept, owing = states
    op.execute(_PAST_TERM.replace("STATES", kept).replace("OWING", owing))
    op.execute(_ERASE.replace("FRAME", frame))
    op.drop_index(_KEPT, "payroll_run")
    op.create_index(
        _KEPT, "payroll_run", ["first_seen_at"], postgresql_where=sa.text(kept.replace("run.state", "state"))
    )


def upgrade() -> None:
    """Apply. Batches that were approved before have no frame: their bytes are made of the rows, as until now."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("payment_batch", sa.Column("approved_frame", postgresql.JSONB(), nullable=True))
    op.add_column(
        "payment_batch", sa.Column("bank_contradicts", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.execute(
        "UPDATE payment_batch SET bank_contradicts = true WHERE id IN "
        "(SELECT batch_id FROM credit_transfer WHERE bank_status = 'contradiction')"
    )
    op.create_index(
        _CONTRADICTED,
        "payment_batch",
        ["employer_id", "created_at", "id"],
        postgresql_where=sa.text("bank_contradicts"),
    )
    op.drop_constraint(_OUTCOME, "proposal", type_="check")
    op.create_check_constraint(_OUTCOME, "proposal", f"outcome IN ({_in(('applied', 'withdrawn', 'expired'))})")
    _replace_functions(_NOW, "approved_frame = NULL, ")


def downgrade() -> None:
    """Undo."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    _replace_functions(_BEFORE, "")
    op.execute("UPDATE proposal SET outcome = 'withdrawn' WHERE outcome = 'expired'")
    op.drop_constraint(_OUTCOME, "proposal", type_="check")
    op.create_check_constraint(_OUTCOME, "proposal", f"outcome IN ({_in(('applied', 'withdrawn'))})")
    op.drop_index(_CONTRADICTED, "payment_batch")
    op.drop_column("payment_batch", "bank_contradicts")
    op.drop_column("payment_batch", "approved_frame")
