"""Runs that are gone at the source: their pending batches end, approved ones wait for people.

Gone means absent from two lists at least ten minutes apart: one short answer of the source proves nothing.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlmodel import Session, col, select

from app.core.history import SYSTEM
from app.payments import holds, revising
from app.payments.context import Context
from app.payments.models import BatchStatus, HoldScope, PaymentBatch, PayrollRun, RunIdentity, RunState
from app.payments.ports import SourceRun
from app.payments.receiving import tell_run
from app.payments.transitions import Move, move

ABSENT_FOR = timedelta(minutes=10)


def note_absent(
    ctx: Context,
    session: Session,
    administration_id: UUID,
    source_kind: str,
    listed: Sequence[SourceRun],
    years: Sequence[int],
) -> None:
    """Mark the runs of these years that the source no longer lists, and withdraw those that stay away."""
    present = {run.external_id for run in listed}
    known = session.exec(
        select(PayrollRun).where(
            PayrollRun.administration_id == administration_id,
            PayrollRun.source_kind == source_kind,
            col(PayrollRun.year).in_(years),
            col(PayrollRun.state).not_in((RunState.WITHDRAWN, RunState.IGNORED, RunState.ERASED)),
        )
    ).all()
    for run in known:
        names = session.exec(select(RunIdentity.external_id).where(RunIdentity.run_id == run.id)).all()
        if present.intersection(names):
            continue
        if run.absent_since is None:
            run.absent_since = ctx.now()
            session.add(run)
        elif ctx.now() - run.absent_since >= ABSENT_FOR:
            _withdraw(ctx, session, run)


def _withdraw(ctx: Context, session: Session, run: PayrollRun) -> None:
    run.state, run.reason_code, run.next_attempt_at = RunState.WITHDRAWN, "withdrawn_at_source", None
    run.reason = "The run is no longer listed at the source: it was undone there. Nothing more is paid for it."
    session.add(run)
    tell_run(ctx, session, run, "run.withdrawn", {"reason": run.reason})
    batches = session.exec(
        select(PaymentBatch)
        .where(
            PaymentBatch.run_id == run.id,
            col(PaymentBatch.status).in_((BatchStatus.PENDING, BatchStatus.APPROVED)),
        )
        .order_by(col(PaymentBatch.id))
        .with_for_update()
    ).all()
    for batch in batches:
        if batch.status == BatchStatus.PENDING:
            _supersede(ctx, session, batch)
        elif not holds.active(session, scope=HoldScope.BATCH, target_id=batch.id, code="run_withdrawn"):
            reason = (
                "The run of this batch was undone at the source. Ask the payroll office what happened, and recall the "
                "approval; when the file may be at the bank already, stop it there."
            )
            holds.place(ctx, session, batch, code="run_withdrawn", reason=reason)


def _supersede(ctx: Context, session: Session, batch: PaymentBatch) -> None:
    revising.void_approvals(session, batch, reason="run_withdrawn", ctx=ctx)
    step = Move(
        to=BatchStatus.SUPERSEDED,
        event="batch.superseded",
        actor=SYSTEM,
        now=ctx.now(),
        values={"status_reason": "The run was undone at the source."},
        details={"reason": "run_withdrawn"},
    )
    move(session, batch, step)
