"""Erasing what is past its term: a few at a time, each by itself, so that a crash loses nothing and repeats nothing.

The database decides once more whether a run is past its term, with its own clock, and erases it in one function that
can do nothing else (migration 0010, ADR 0019). Sums, counts, digests, hashes, ids, approvals and history stay.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Session, col, select

from app.core import history
from app.core.clock import AMSTERDAM
from app.core.crypto import keyed_hash
from app.core.database import transaction
from app.core.history import SYSTEM, Fact
from app.payments.context import Context
from app.payments.locks import lock_administration
from app.payments.models import Obligation, PaymentBatch, PayrollRun
from app.payments.receiving import tell_run
from app.payments.retention import DEFAULT, SOURCES_MONTHS, TECHNICAL_DAYS
from app.payments.transitions import tell

_NIGHT = range(2, 5)
_MOST_RUNS = 20
_MOST_ROWS = 500

_PAST_TERM = sa.text("SELECT runs_past_term(CAST(:only AS uuid), :most)")
_ERASE_RUN = sa.text("SELECT * FROM erase_run(:run, CAST(:creditors AS text[]), CAST(:marks AS text[]))")
# Raw answers of runs that nobody decides on any more; what was approved is in the lines and the file.
_ERASE_READINGS = sa.text(
    """
    WITH old AS (
        SELECT reading.id, run.employer_id
        FROM source_reading reading
        JOIN payroll_run run ON run.id = reading.run_id
        LEFT JOIN retention term ON term.employer_id = run.employer_id
        WHERE reading.erased_at IS NULL
          AND reading.fetched_at < CAST(:now AS timestamptz) - make_interval(months => :least)
          AND reading.fetched_at < CAST(:now AS timestamptz)
              - make_interval(months => coalesce(term.sources_months, :months))
          AND NOT EXISTS (SELECT FROM payment_batch batch
                          WHERE batch.run_id = run.id AND batch.status IN ('pending', 'approved'))
        ORDER BY reading.fetched_at
        LIMIT :most
        FOR UPDATE OF reading SKIP LOCKED
    ), erased AS (
        UPDATE source_reading reading SET raw_sealed = '', erased_at = :now
        FROM old WHERE reading.id = old.id
        RETURNING old.employer_id
    )
    SELECT employer_id AS organization_id, count(*) AS n FROM erased GROUP BY employer_id
    """
)
_ERASE_WEBHOOKS = sa.text(
    """
    WITH old AS (
        SELECT delivery.id, connection.organization_id
        FROM webhook_delivery delivery
        JOIN connection ON connection.id = delivery.connection_id
        WHERE delivery.erased_at IS NULL AND delivery.received_at < :until
          AND (delivery.processed_at IS NOT NULL OR connection.deleted_at IS NOT NULL)  -- nobody reads those any more
        ORDER BY delivery.received_at
        LIMIT :most
        FOR UPDATE OF delivery SKIP LOCKED
    ), erased AS (
        UPDATE webhook_delivery delivery SET body_sealed = '', headers = '{}', query = '', erased_at = :now
        FROM old WHERE delivery.id = old.id
        RETURNING old.organization_id
    )
    SELECT organization_id, count(*) AS n FROM erased GROUP BY organization_id
    """
)
_ERASE_ANSWERS = sa.text(
    "UPDATE idempotency_key SET answer = NULL WHERE (user_id, key) IN (SELECT user_id, key FROM idempotency_key "
    "WHERE answer IS NOT NULL AND created_at < :until ORDER BY created_at LIMIT :most FOR UPDATE SKIP LOCKED)"
)


def erase_at_night(ctx: Context) -> int:
    """Erase between two and five in Amsterdam, when nobody waits for the database; return how much was erased."""
    return erase(ctx) if ctx.now().astimezone(AMSTERDAM).hour in _NIGHT else 0


def erase(ctx: Context) -> int:
    """Erase some of what is past its term; return how many runs, raw answers, webhooks and answers. Repeatable."""
    with transaction(ctx.engine) as session:
        runs = list(session.execute(_PAST_TERM, {"only": None, "most": _MOST_RUNS}).scalars())
    return sum(_erase_run(ctx, run_id) for run_id in runs) + _erase_technical(ctx)


def _erase_run(ctx: Context, run_id: UUID) -> bool:
    with transaction(ctx.engine) as session:
        run = session.get_one(PayrollRun, run_id)
        lock_administration(session, run.administration_id)
        if session.execute(_PAST_TERM, {"only": run_id, "most": 1}).first() is None:
            return False  # somebody offered it again between our look and our lock
        marks = _marks(ctx, session, run)
        values = {"run": run_id, "creditors": list(marks), "marks": list(marks.values())}
        counts = dict(session.execute(_ERASE_RUN, values).mappings().one())
        session.expire_all()
        _tell(ctx, session, run, counts)
        return True


def _marks(ctx: Context, session: Session, run: PayrollRun) -> Mapping[str, str]:
    """Return by which keyed hash each account of a run is replaced: equal accounts stay equal, and are not guessed."""
    creditors = session.exec(select(Obligation.creditor).where(Obligation.run_id == run.id).distinct())
    key, tenant = ctx.identifier_secret, run.employer_id.bytes
    return {each: f"erased:{keyed_hash(key, b'erased-creditor', tenant, each.encode()).hex()}" for each in creditors}


def _tell(ctx: Context, session: Session, run: PayrollRun, counts: Mapping[str, int]) -> None:
    """Say in the history of each batch, and of the run, what was erased: counts only."""
    batches = session.exec(
        select(PaymentBatch).where(PaymentBatch.run_id == run.id).order_by(col(PaymentBatch.created_at))
    )
    for batch in batches:
        details = {"run_id": str(run.id), "lines": batch.number_of_transactions}
        tell(session, batch, event="batch.erased", actor=SYSTEM, now=ctx.now(), details=details)
    tell_run(ctx, session, run, "run.erased", counts)


def _erase_technical(ctx: Context) -> int:
    """Erase raw answers, webhook bodies and stored answers past their term."""
    now = ctx.now()
    until = now - timedelta(days=TECHNICAL_DAYS)
    common = {"now": now, "until": until, "most": _MOST_ROWS}
    with transaction(ctx.engine) as session:
        readings = session.execute(
            _ERASE_READINGS, {**common, "months": DEFAULT.sources_months, "least": SOURCES_MONTHS[0]}
        ).all()
        _tell_counts(ctx, session, "source.erased", readings)
        webhooks = session.execute(_ERASE_WEBHOOKS, common).all()
        _tell_counts(ctx, session, "webhook.erased", webhooks)
        session.execute(_ERASE_ANSWERS, common)
    return sum(row.n for row in (*readings, *webhooks))


def _tell_counts(ctx: Context, session: Session, event: str, rows: Sequence[sa.Row[tuple[UUID, int]]]) -> None:
    for row in rows:
        fact = Fact(
            organization_id=row.organization_id,
            event=event,
            actor=SYSTEM,
            occurred_at=ctx.now(),
            details={"count": row.n},
        )
        history.record(session, fact)
