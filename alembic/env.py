"""Alembic's environment: the models of every package, on the connection that `app.core.migrating` hands over."""

from typing import Any

from sqlmodel import SQLModel

import app.auth.models
import app.core.history
import app.core.idempotency
import app.core.rate_limits
import app.payments.models  # noqa: F401 - the imports fill the metadata
from alembic import context

_ENGINE_TABLES = "procrastinate_"


def _include_name(name: str | None, kind: str, _parents: Any) -> bool:
    """Leave the job engine's tables out of the comparison: it owns them."""
    return not (kind == "table" and name is not None and name.startswith(_ENGINE_TABLES))


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    include_name=_include_name,
    compare_type=True,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
