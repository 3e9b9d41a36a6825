"""The job engine's tables, from the installed package (its version is pinned exactly)."""

from procrastinate.schema import SchemaManager
from sqlalchemy import text

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the engine's own schema in `public`: in a schema of its own its triggers break."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    # A colon in its functions is no parameter of ours.
    op.execute(text(SchemaManager.get_schema().replace(":", "\\:")))


def downgrade() -> None:
    """Take everything of the engine away."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(
        """
        DO $$
        DECLARE thing record;
        BEGIN
            FOR thing IN SELECT tablename AS name FROM pg_tables
                WHERE schemaname = 'public' AND tablename LIKE 'procrastinate\\_%'
            LOOP EXECUTE format('DROP TABLE IF EXISTS %I CASCADE', thing.name); END LOOP;
            FOR thing IN SELECT oid::regprocedure AS name FROM pg_proc
                WHERE pronamespace = 'public'::regnamespace AND proname LIKE 'procrastinate\\_%'
            LOOP EXECUTE format('DROP FUNCTION IF EXISTS %s CASCADE', thing.name); END LOOP;
            FOR thing IN SELECT typname AS name FROM pg_type
                WHERE typnamespace = 'public'::regnamespace AND typname LIKE 'procrastinate\\_%'
            LOOP EXECUTE format('DROP TYPE IF EXISTS %I CASCADE', thing.name); END LOOP;
        END $$;
        """
    )
