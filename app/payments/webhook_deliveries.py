"""Storing webhooks as they came in, and poking the source because of them.

Webhooks of one address that come together are stored by one statement, so all of them or none. Most of the time that
statement is the whole transaction: when many webhooks come, a poke waits already for all but the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from psycopg.types.json import Jsonb
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Session, SQLModel, col, select

from app.core.database import execute_alone, for_driver, transaction
from app.core.ids import token_hash
from app.jobs.deferring import IS_WAITING
from app.payments.context import Context
from app.payments.models import Connection, WebhookDelivery, WebhookToken
from app.payments.syncing import delivery_place, poke, poke_lock

# Columns that are the same for all that are stored at once, and those of each.
_SHARED = ("connection_id", "token_id", "received_at")
_OF_EACH = ("id", "method", "headers", "query", "body_state", "body_sealed", "body_sha256")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A webhook address in use: the token in it and the connection that it belongs to."""

    token_id: UUID
    connection_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A webhook as it came in. `body_state` is `complete`, `too_large`, `too_slow` or `too_many`."""

    address: Address
    method: str
    headers: dict[str, str]
    query: str
    body: bytes
    body_state: str = "complete"


def _in_use() -> sa.ColumnElement[bool]:
    ends_later = sa.or_(col(WebhookToken.expires_at).is_(None), col(WebhookToken.expires_at) > sa.bindparam("now"))
    return sa.and_(ends_later, col(Connection.deleted_at).is_(None))


def _store_statement(*conditions: sa.ColumnElement[bool]) -> sa.Executable:
    """Store deliveries when their address is in use, and on these conditions; its row count is all of them or none.

    All of them are one parameter, so that the statement is the same however many they are, and stays prepared.
    """
    table = SQLModel.metadata.tables["webhook_delivery"]
    rows = (
        sa.func.jsonb_to_recordset(sa.bindparam("rows", type_=JSONB))
        .table_valued(*(sa.column(name, table.columns[name].type) for name in _OF_EACH))
        .render_derived(with_types=True)
    )
    shared = [sa.bindparam(name, type_=table.columns[name].type) for name in _SHARED]
    wanted = (
        sa.select(*shared, *(rows.c[name] for name in _OF_EACH))
        .select_from(WebhookToken)
        .join(Connection, col(Connection.id) == col(WebhookToken.connection_id))
        .join(rows, sa.true())
        .where(col(WebhookToken.id) == sa.bindparam("token_id"), _in_use(), *conditions)
    )
    return sa.insert(table).from_select([*_SHARED, *_OF_EACH], wanted).execution_options(preserve_rowcount=True)


# Made once: every webhook passes here.
_STORE = _store_statement()
_STORE_BESIDE_WAITING_POKE = for_driver(_store_statement(IS_WAITING))


def find_address(ctx: Context, session: Session, text: str) -> Address | None:
    """Return the address with this token, when it is in use.

    It is looked up by its hash, so no comparison can leak a prefix of it.
    """
    statement = (
        sa.select(col(WebhookToken.id), col(WebhookToken.connection_id))
        .where(col(WebhookToken.token_hash) == token_hash(text), _in_use())
        .join(Connection, col(Connection.id) == col(WebhookToken.connection_id))
    )
    found = session.execute(statement, {"now": ctx.now()}).first()
    return None if found is None else Address(token_id=found[0], connection_id=found[1])


def record_deliveries(ctx: Context, address: Address, delivered: Sequence[Delivered]) -> bool:
    """Store webhooks of one address and poke its source, in one transaction; committed when this returns True.

    False, and nothing is stored, when the address is no longer in use: the caller may have looked a while ago. With an
    error of the database none of them is stored, unless the error is that nobody knows what became of the commit.
    """
    values = _values(ctx, address, delivered)
    if execute_alone(ctx.engine, _STORE_BESIDE_WAITING_POKE, {**values, "rows": Jsonb(values["rows"])}):
        return True
    with transaction(ctx.engine) as session:
        if not session.connection().execute(_STORE, values).rowcount:
            return False
        poke(ctx, session, address.connection_id)
        return True


def note_excess(ctx: Context, delivered: Delivered) -> None:
    """Note that more webhooks came than are kept, and poke the source all the same.

    Until the next look there is one mark, however many come: without a body it hints at nothing, so that look is at
    every administration of the connection, the one of the lost body included.
    """
    connection_id = delivered.address.connection_id
    waiting = select(WebhookDelivery.id).where(
        WebhookDelivery.connection_id == connection_id,
        col(WebhookDelivery.processed_at).is_(None),
        WebhookDelivery.body_state == delivered.body_state,
    )
    with transaction(ctx.engine) as session:
        if session.exec(waiting.limit(1)).first() is not None:
            poke(ctx, session, connection_id)
            return
    record_deliveries(ctx, delivered.address, [delivered])


def _values(ctx: Context, address: Address, delivered: Sequence[Delivered]) -> dict[str, Any]:
    now = ctx.now()
    return {
        "connection_id": address.connection_id,
        "token_id": address.token_id,
        "received_at": now,
        "now": now,
        "queueing_lock": poke_lock(address.connection_id),
        "rows": [_row(ctx, each) for each in delivered],
    }


def _row(ctx: Context, delivered: Delivered) -> dict[str, Any]:
    """Return a delivery as JSON that PostgreSQL reads as a row."""
    identifier = ctx.new_id()
    sealed = ctx.keyring.seal(delivered.body, delivery_place(delivered.address.connection_id, identifier))
    return {
        "id": str(identifier),
        "method": delivered.method,
        "headers": delivered.headers,
        "query": delivered.query,
        "body_state": delivered.body_state,
        "body_sealed": f"\\x{sealed.hex()}",
        "body_sha256": sha256(delivered.body).hexdigest(),
    }
