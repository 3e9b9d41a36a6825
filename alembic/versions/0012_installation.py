"""Which installation a database belongs to, and holds on everything of one employer.

The installation has no tenant, so no row security. A hold on an employer is seen by whom it bars and may be lifted by
them (the rule that two people do it is the domain's); only the service places one, and nobody of the employer makes a
hold that is lifted hold again.
"""

import sqlalchemy as sa

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_SCOPES = "ck_hold_scope"
_OF_EMPLOYER = "scope = 'employer' AND target_id IN (SELECT loonstroom_organizations())"


def upgrade() -> None:
    """Apply. The row is made by the service when it first finds, or makes, its release counter."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "installation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("is_only", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("is_only", name="ck_installation_only"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("is_only", name="uq_installation_only"),
    )
    op.drop_constraint(_SCOPES, "hold", type_="check")
    op.create_check_constraint(_SCOPES, "hold", "scope IN ('system', 'employer', 'connection', 'account', 'batch')")
    op.execute(f"CREATE POLICY hold_of_employer ON hold FOR SELECT USING ({_OF_EMPLOYER})")
    op.execute(
        f"CREATE POLICY hold_of_employer_lifted ON hold FOR UPDATE USING ({_OF_EMPLOYER} AND lifted_at IS NULL) "
        f"WITH CHECK ({_OF_EMPLOYER} AND lifted_at IS NOT NULL)"
    )


def downgrade() -> None:
    """Undo. A hold on an employer becomes one on everything: fewer payments are safer than one too many."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP POLICY hold_of_employer_lifted ON hold")
    op.execute("DROP POLICY hold_of_employer ON hold")
    op.execute("UPDATE hold SET scope = 'system', target_id = NULL WHERE scope = 'employer'")
    op.drop_constraint(_SCOPES, "hold", type_="check")
    op.create_check_constraint(_SCOPES, "hold", "scope IN ('system', 'connection', 'account', 'batch')")
    op.drop_table("installation")
