"""History proves itself: a plain and a keyed chain over its records (ADR 0014).

The plain hashes of records that are there already are made here. The keyed ones cannot be: the key is not in the
database. `loonstroom migrate` seals those records right after this revision; until then nothing is added to them.
"""

import sqlalchemy as sa

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_CHAIN = """
DO $$
DECLARE
    head RECORD;
    entry RECORD;
    previous bytea;
BEGIN
    FOR head IN SELECT organization_id FROM history_head LOOP
        previous := decode(repeat('00', 32), 'hex');
        FOR entry IN
            SELECT sequence, payload FROM history_entry
            WHERE organization_id = head.organization_id ORDER BY sequence
        LOOP
            previous := sha256(previous || convert_to(entry.payload, 'UTF8'));
            UPDATE history_entry SET hash = previous
            WHERE organization_id = head.organization_id AND sequence = entry.sequence;
        END LOOP;
        UPDATE history_head SET hash = previous WHERE organization_id = head.organization_id;
    END LOOP;
END $$;
"""


def upgrade() -> None:
    """Add the columns, and the plain hashes of what is there."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("history_entry", sa.Column("hash", sa.LargeBinary(), nullable=True))
    op.add_column("history_entry", sa.Column("mac", sa.LargeBinary(), nullable=True))
    op.add_column("history_entry", sa.Column("key_id", sa.String(), nullable=True))
    op.add_column("history_head", sa.Column("hash", sa.LargeBinary(), nullable=True))
    op.add_column("history_head", sa.Column("mac", sa.LargeBinary(), nullable=True))
    op.add_column(
        "history_head", sa.Column("sealed_sequence", sa.BigInteger(), nullable=False, server_default=sa.text("0"))
    )
    op.execute("ALTER TABLE history_entry DISABLE TRIGGER history_entry_append_only")
    op.execute(_CHAIN)
    op.execute("ALTER TABLE history_entry ENABLE TRIGGER history_entry_append_only")
    op.alter_column("history_entry", "hash", nullable=False)
    op.alter_column("history_head", "hash", nullable=False)
    op.create_check_constraint("ck_history_entry_mac", "history_entry", "(mac IS NULL) = (key_id IS NULL)")


def downgrade() -> None:
    """Take the chains away."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_constraint("ck_history_entry_mac", "history_entry", type_="check")
    for column in ("hash", "mac", "key_id"):
        op.drop_column("history_entry", column)
    for column in ("hash", "mac", "sealed_sequence"):
        op.drop_column("history_head", column)
