"""Row security: the second net under the tenant filter of every query (ADR 0021).

A transaction says for whom it works, in `loonstroom.person` and `loonstroom.organizations`, or in `loonstroom.service`
that it is the service itself. One that says nothing sees no row and writes none. The owner of the tables, who migrates
and makes backups, has a policy of its own: a migration that silently saw nothing would be worse than one that sees all.
"""

import sqlalchemy as sa

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_FUNCTIONS = (
    """
    CREATE FUNCTION loonstroom_is_service() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS
    $$ SELECT current_setting('loonstroom.service', true) IS NOT DISTINCT FROM 'on' $$
    """,
    """
    CREATE FUNCTION loonstroom_person() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS
    $$ SELECT nullif(current_setting('loonstroom.person', true), '')::uuid $$
    """,
    """
    CREATE FUNCTION loonstroom_organizations() RETURNS SETOF uuid LANGUAGE sql STABLE PARALLEL SAFE AS
    $$ SELECT unnest(string_to_array(current_setting('loonstroom.organizations', true), ',')::uuid[]) $$
    """,
    # Both with the owner's rights: otherwise who sees an administration would depend on who sees its connection and its
    # link, and who sees those on who sees the administration.
    """
    CREATE FUNCTION loonstroom_holds(of_connection uuid) RETURNS boolean LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path = pg_catalog, public AS
    $$ SELECT EXISTS (
        SELECT FROM connection WHERE connection.id = of_connection
        AND connection.organization_id IN (SELECT public.loonstroom_organizations())
    ) $$
    """,
    """
    CREATE FUNCTION loonstroom_serves(of_administration uuid) RETURNS boolean LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path = pg_catalog, public AS
    $$ SELECT EXISTS (
        SELECT FROM administration
        WHERE administration.id = of_administration AND public.loonstroom_holds(administration.connection_id)
    ) $$
    """,
    # Whether approvals of others came from a program; of their tokens no more is shown.
    """
    CREATE FUNCTION loonstroom_unattended(of_tokens uuid[]) RETURNS SETOF uuid LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path = pg_catalog, public AS
    $$ SELECT api_token.id FROM api_token WHERE api_token.id = ANY (of_tokens) AND api_token.is_unattended $$
    """,
    # Doors for a person: a name stays beside an act when its owner has left, and an invitation finds who is known.
    """
    CREATE FUNCTION loonstroom_names(of_people uuid[]) RETURNS TABLE (id uuid, name text) LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path = pg_catalog, public AS
    $$ SELECT user_account.id, user_account.name FROM user_account WHERE user_account.id = ANY (of_people) $$
    """,
    """
    CREATE FUNCTION loonstroom_known(by_email text) RETURNS TABLE (id uuid, name text) LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path = pg_catalog, public AS
    $$ SELECT user_account.id, user_account.name FROM user_account WHERE user_account.email = by_email $$
    """,
)
_NAMES = (
    "loonstroom_unattended(uuid[])",
    "loonstroom_known(text)",
    "loonstroom_names(uuid[])",
    "loonstroom_serves(uuid)",
    "loonstroom_holds(uuid)",
    "loonstroom_organizations()",
    "loonstroom_person()",
    "loonstroom_is_service()",
)

_SERVICE = "(SELECT loonstroom_is_service())"


def _mine(column: str) -> str:
    return f"{column} IN (SELECT loonstroom_organizations())"


def _own(column: str) -> str:
    return f"{column} = (SELECT loonstroom_person())"


def _through(table: str, column: str, parent: str) -> str:
    """Who sees the parent sees the child: the parent's own policy holds inside."""
    return f"EXISTS (SELECT FROM {parent} WHERE {parent}.id = {table}.{column})"


def _of_connection(table: str) -> str:
    """Only who holds the connection, not the employers that are served through it."""
    held = _mine("connection.organization_id")
    return f"EXISTS (SELECT FROM connection WHERE connection.id = {table}.connection_id AND {held})"


_LINKED = _mine("administration_link.employer_id")
_MEMBER = (
    "EXISTS (SELECT FROM membership WHERE membership.user_id = user_account.id AND "
    f"{_mine('membership.organization_id')})"
)

# Who, besides the service, may read and write the rows of each table.
_SEEN = {
    "organization": _mine("id"),
    "membership": f"{_mine('organization_id')} OR {_own('user_id')}",
    "mandate": f"{_mine('employer_id')} OR {_mine('office_id')}",
    "api_token": _own("user_id"),
    "pin_try": _own("user_id"),
    "proposal": _mine("organization_id"),
    "history_entry": _mine("organization_id"),
    "history_head": _mine("organization_id"),
    "idempotency_key": _own("user_id"),
    "debtor_account": _mine("employer_id"),
    "payment_limit": _through("payment_limit", "debtor_account_id", "debtor_account"),
    "approval_policy": _mine("employer_id"),
    "webhook_token": _of_connection("webhook_token"),
    "webhook_delivery": _of_connection("webhook_delivery"),
    "administration": (
        "EXISTS (SELECT FROM administration_link WHERE administration_link.administration_id = administration.id "
        f"AND {_LINKED}) OR loonstroom_holds(connection_id)"
    ),
    "administration_link": f"{_mine('employer_id')} OR loonstroom_serves(administration_id)",
    "payroll_run": _mine("employer_id"),
    "run_identity": _through("run_identity", "run_id", "payroll_run"),
    "source_reading": _through("source_reading", "run_id", "payroll_run"),
    "obligation": _mine("employer_id"),
    "remembered_kind": (
        "EXISTS (SELECT FROM administration_link "
        f"WHERE administration_link.administration_id = remembered_kind.administration_id AND {_LINKED})"
    ),
    "payment_batch": _mine("employer_id"),
    "credit_transfer": _through("credit_transfer", "batch_id", "payment_batch"),
    "finding": _through("finding", "batch_id", "payment_batch"),
    "batch_comparison": _through("batch_comparison", "batch_id", "payment_batch"),
    "approval": _through("approval", "batch_id", "payment_batch"),
    "payment_file": _through("payment_file", "batch_id", "payment_batch"),
    "delivery": _through("delivery", "file_id", "payment_file"),
    "status_report": _mine("employer_id"),
    "claim": _through("claim", "batch_id", "payment_batch"),
    "hold": (
        f"(scope = 'batch' AND {_through('hold', 'target_id', 'payment_batch')}) "
        f"OR (scope = 'account' AND {_through('hold', 'target_id', 'debtor_account')})"
    ),
    "connection": _mine("organization_id"),
    "reveal": _mine("employer_id"),
    "retention": _mine("employer_id"),
    "user_account": f"{_own('id')} OR {_MEMBER}",
}
# What is seen besides, and not written. A hold that somebody cannot see would not hold them.
_ONLY_READ = {
    "connection": (
        "EXISTS (SELECT FROM administration JOIN administration_link "
        "ON administration_link.administration_id = administration.id "
        f"WHERE administration.connection_id = connection.id AND {_LINKED})"
    ),
    "hold": (
        "(scope = 'system' AND (SELECT loonstroom_person()) IS NOT NULL) "
        f"OR (scope = 'connection' AND {_through('hold', 'target_id', 'connection')})"
    ),
}


def upgrade() -> None:
    """Make the functions and the policies, and switch row security on."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for function in _FUNCTIONS:
        op.execute(function)
    for table, seen in _SEEN.items():
        op.execute(f"CREATE POLICY {table}_tenant ON {table} USING ({_SERVICE} OR {seen})")
        op.execute(f"CREATE POLICY {table}_owner ON {table} TO CURRENT_USER USING (true)")
    for table, seen in _ONLY_READ.items():
        op.execute(f"CREATE POLICY {table}_read ON {table} FOR SELECT USING ({seen})")
    op.execute(
        "CREATE POLICY user_account_invited ON user_account FOR INSERT "
        "WITH CHECK ((SELECT loonstroom_person()) IS NOT NULL)"
    )
    for table in _SEEN:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    """Take row security away."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in _SEEN:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY")
    policies = sa.text("SELECT policyname, tablename FROM pg_policies WHERE schemaname = 'public'")
    for policy, table in op.get_bind().execute(policies).all():
        op.execute(f"DROP POLICY {policy} ON {table}")
    for name in _NAMES:
        op.execute(f"DROP FUNCTION {name}")
