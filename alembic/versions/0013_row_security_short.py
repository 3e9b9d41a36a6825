"""Row security that is short to plan: rules about a connection or an administration ask a function (ADR 0021).

A policy on a table that names another table takes that one's policies into every statement, and these the next ones:
storing a single webhook came to plan and open more than two hundred nodes, none of them ever read. Who sees a row stays
the same. The functions have the owner's rights, as those of before: each answers with yes or no about one row.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_FUNCTIONS = (
    """
    CREATE FUNCTION loonstroom_linked(of_administration uuid) RETURNS boolean LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path = pg_catalog, public AS
    $$ SELECT EXISTS (
        SELECT FROM administration_link WHERE administration_link.administration_id = of_administration
        AND administration_link.employer_id IN (SELECT public.loonstroom_organizations())
    ) $$
    """,
    """
    CREATE FUNCTION loonstroom_uses(of_connection uuid) RETURNS boolean LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path = pg_catalog, public AS
    $$ SELECT EXISTS (
        SELECT FROM administration
        JOIN administration_link ON administration_link.administration_id = administration.id
        WHERE administration.connection_id = of_connection
        AND administration_link.employer_id IN (SELECT public.loonstroom_organizations())
    ) $$
    """,
)
_SERVICE = "(SELECT loonstroom_is_service())"
_MINE = "IN (SELECT loonstroom_organizations())"
_LINKED = f"EXISTS (SELECT FROM administration_link WHERE administration_link.employer_id {_MINE} AND "
# By policy: what it says now, and what it said before.
_POLICIES = {
    ("webhook_token", "webhook_token_tenant"): (
        f"{_SERVICE} OR loonstroom_holds(connection_id)",
        (
            f"{_SERVICE} OR EXISTS (SELECT FROM connection WHERE connection.id = webhook_token.connection_id "
            f"AND connection.organization_id {_MINE})"
        ),
    ),
    ("webhook_delivery", "webhook_delivery_tenant"): (
        f"{_SERVICE} OR loonstroom_holds(connection_id)",
        (
            f"{_SERVICE} OR EXISTS (SELECT FROM connection WHERE connection.id = webhook_delivery.connection_id "
            f"AND connection.organization_id {_MINE})"
        ),
    ),
    ("administration", "administration_tenant"): (
        f"{_SERVICE} OR loonstroom_linked(id) OR loonstroom_holds(connection_id)",
        (
            f"{_SERVICE} OR {_LINKED} administration_link.administration_id = administration.id) "
            "OR loonstroom_holds(connection_id)"
        ),
    ),
    ("remembered_kind", "remembered_kind_tenant"): (
        f"{_SERVICE} OR loonstroom_linked(administration_id)",
        f"{_SERVICE} OR {_LINKED} administration_link.administration_id = remembered_kind.administration_id)",
    ),
    ("connection", "connection_read"): (
        "loonstroom_uses(id)",
        (
            "EXISTS (SELECT FROM administration JOIN administration_link "
            "ON administration_link.administration_id = administration.id "
            f"WHERE administration.connection_id = connection.id AND administration_link.employer_id {_MINE})"
        ),
    ),
}


def upgrade() -> None:
    """Make the functions, and have the policies ask them."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for function in _FUNCTIONS:
        op.execute(function)
    for (table, policy), (now, _) in _POLICIES.items():
        op.execute(f"ALTER POLICY {policy} ON {table} USING ({now})")


def downgrade() -> None:
    """Have the policies say it themselves again."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for (table, policy), (_, before) in _POLICIES.items():
        op.execute(f"ALTER POLICY {policy} ON {table} USING ({before})")
    op.execute("DROP FUNCTION loonstroom_uses(uuid)")
    op.execute("DROP FUNCTION loonstroom_linked(uuid)")
