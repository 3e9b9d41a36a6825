"""Privacy: who was shown unmasked lines, how long an employer keeps what is personal, and the one way to erase it.

`erase_run` runs as the owner, because the service may not change obligations. It looks by itself, with the clock of
the database, whether the run is past its term and owes nobody anything, and writes nothing but erasures.
"""

import sqlalchemy as sa

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_STATE = "ck_payroll_run_state"
_STATES = ("seen", "fetching", "fetched", "empty", "doubtful", "failed", "withdrawn", "ignored")

# 84 months is the default of the service as well (payments/retention.py); a test compares them.
_PAST_TERM = """
CREATE FUNCTION runs_past_term(p_only uuid, p_most integer) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT run.id
    FROM payroll_run run
    LEFT JOIN retention term ON term.employer_id = run.employer_id
    CROSS JOIN LATERAL (
        SELECT date_trunc('year', now() - make_interval(months => coalesce(term.lines_months, 84)))
            AS until
    ) past
    WHERE run.state IN ('fetched', 'withdrawn')
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
      AND NOT (run.state = 'fetched' AND EXISTS (
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
CREATE FUNCTION erase_run(p_run uuid, p_creditors text[], p_marks text[])
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
    UPDATE payment_batch SET erased_at = now() WHERE id = ANY (v_batches);
    UPDATE payroll_run SET
        state = 'erased', reason_code = NULL, reason = NULL, next_attempt_at = NULL,
        description = CASE source_kind WHEN 'upload' THEN '' ELSE description END
    WHERE id = p_run;
    RETURN NEXT;
END $$
"""


def _in(values: tuple[str, ...]) -> str:
    return "state IN (" + ", ".join(f"'{value}'" for value in values) + ")"


def upgrade() -> None:
    """Apply. Reveals are records: they are not deleted."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    _make_tables()
    for table in ("payment_batch", "source_reading", "webhook_delivery"):
        op.add_column(table, sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True))
    kept = sa.text("erased_at IS NULL")
    op.create_index("ix_source_reading_kept", "source_reading", ["fetched_at"], postgresql_where=kept)
    op.create_index("ix_webhook_delivery_kept", "webhook_delivery", ["received_at"], postgresql_where=kept)
    op.create_index(
        "ix_idempotency_key_kept", "idempotency_key", ["created_at"], postgresql_where=sa.text("answer IS NOT NULL")
    )
    op.create_index(
        "ix_payroll_run_kept",
        "payroll_run",
        ["first_seen_at"],
        postgresql_where=sa.text("state IN ('fetched', 'withdrawn')"),
    )
    op.drop_constraint(_STATE, "payroll_run", type_="check")
    op.create_check_constraint(_STATE, "payroll_run", _in((*_STATES, "erased")))
    op.execute(_PAST_TERM)
    op.execute(_ERASE)
    for function in ("runs_past_term(uuid, integer)", "erase_run(uuid, text[], text[])"):
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
    op.execute(
        "DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'loonstroom_app') THEN "
        "REVOKE UPDATE, DELETE, TRUNCATE ON reveal FROM loonstroom_app; "
        "REVOKE DELETE, TRUNCATE ON retention FROM loonstroom_app; "
        "GRANT EXECUTE ON FUNCTION runs_past_term(uuid, integer) TO loonstroom_app; "
        "GRANT EXECUTE ON FUNCTION erase_run(uuid, text[], text[]) TO loonstroom_app; "
        "END IF; END $$;"
    )


def _make_tables() -> None:
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
    op.create_table(
        "retention",
        sa.Column("employer_id", sa.Uuid(), nullable=False),
        sa.Column("lines_months", sa.Integer(), nullable=False),
        sa.Column("sources_months", sa.Integer(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("set_by", sa.Uuid(), nullable=False),
        sa.CheckConstraint("lines_months BETWEEN 24 AND 240", name="ck_retention_lines"),
        sa.CheckConstraint("sources_months BETWEEN 3 AND lines_months", name="ck_retention_sources"),
        sa.ForeignKeyConstraint(["employer_id"], ["organization.id"]),
        sa.ForeignKeyConstraint(["set_by"], ["user_account.id"]),
        sa.PrimaryKeyConstraint("employer_id"),
    )


def downgrade() -> None:
    """Undo; runs that were erased stay so, and are `ignored` from then on: nobody fetches those."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP FUNCTION erase_run(uuid, text[], text[])")
    op.execute("DROP FUNCTION runs_past_term(uuid, integer)")
    op.execute("UPDATE payroll_run SET state = 'ignored', reason_code = 'erased' WHERE state = 'erased'")
    op.drop_constraint(_STATE, "payroll_run", type_="check")
    op.create_check_constraint(_STATE, "payroll_run", _in(_STATES))
    for table in ("payroll_run", "idempotency_key", "webhook_delivery", "source_reading"):
        op.drop_index(f"ix_{table}_kept", table)
    for table in ("webhook_delivery", "source_reading", "payment_batch"):
        op.drop_column(table, "erased_at")
    op.drop_table("retention")
    op.drop_table("reveal")
