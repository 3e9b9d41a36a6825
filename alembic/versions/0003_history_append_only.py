"""History is append-only: a trigger refuses change and removal, and the application's role has no right to either."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Refuse UPDATE, DELETE and TRUNCATE of history, and DELETE where money's records are kept."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(
        """
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
        END $$;
        """
    )
    op.execute(
        "CREATE TRIGGER history_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON history_entry "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    for table in ("claim", "payment_file", "obligation", "approval", "history_head"):
        op.execute(
            f"CREATE TRIGGER {table}_is_kept BEFORE DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    op.execute(
        "DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'loonstroom_app') THEN "
        "REVOKE UPDATE, DELETE, TRUNCATE ON history_entry FROM loonstroom_app; "
        "REVOKE DELETE, TRUNCATE ON history_head, claim, payment_file, obligation, approval FROM loonstroom_app; "
        "REVOKE UPDATE ON obligation FROM loonstroom_app; "
        "END IF; END $$;"
    )


def downgrade() -> None:
    """Take the guards away."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP FUNCTION refuse_change() CASCADE")
