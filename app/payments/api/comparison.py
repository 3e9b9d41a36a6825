"""A batch beside the last paid run: who is new, gone, paid elsewhere or paid another amount."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response
from pydantic import BaseModel
from sqlmodel import Session, col, select

from app.auth.models import Scope
from app.auth.web import ActorDep, SessionDep
from app.core.columns import any_of
from app.core.errors import NotFound
from app.core.web import answer, problems, router
from app.payments import iban
from app.payments.api.common import dump, etag
from app.payments.api.schemas import Creditor, LineAmount, line_amount
from app.payments.api.views import creditor_out, run_description
from app.payments.approving import visible_batch
from app.payments.change_findings import percent
from app.payments.matching import ChangeKind
from app.payments.models import BatchComparison, CreditTransfer, PaymentBatch, PayrollRun
from app.payments.visibility import HIDDEN, Viewer, Visibility, visibility

routes = router(prefix="/v1", tags=["payment batches"])


class PreviousBatch(BaseModel):
    """The batch of the last paid run that this one is compared with."""

    id: UUID
    run_id: UUID
    year: int
    period: int
    run_number: int
    description: str
    requested_execution_date: date
    number_of_transactions: int


class Peak(BaseModel):
    """Most amounts moved together. `code` says what the calendar expects, null when it expects nothing."""

    code: str | None
    direction: str


class ChangeOut(BaseModel):
    """One difference. `creditor` and `amount` are of this run, `previous_*` of the last one; masked like the lines.

    `paid_before`: this name was paid on this account before, though not in the last paid run.
    """

    transfer_id: UUID | None
    position: int | None
    kind: str | None
    creditor: Creditor | None
    previous_creditor: Creditor | None
    amount: LineAmount | None
    previous_amount: LineAmount | None
    percent: int | None
    paid_before: bool


class ComparisonOut(BaseModel):
    """What the batch looked like beside the last paid run when its revision was made.

    `is_first`: nothing of this administration was paid yet. `is_extra`: the period was paid already, so absence and
    amounts are not compared. Lists are cut at `limit`; `counts` are of everything.
    """

    batch_id: UUID
    revision: int
    previous: PreviousBatch | None
    is_first: bool
    is_extra: bool
    expected_peak: Peak | None
    counts: dict[str, int]
    same_count: int
    new: list[ChangeOut]
    gone: list[ChangeOut]
    changed_amount: list[ChangeOut]
    changed_account: list[ChangeOut]
    changed_name: list[ChangeOut]
    extra_account: list[ChangeOut]


@routes.get("/payment-batches/{batch_id}/comparison", response_model=ComparisonOut, responses=problems())
def get_comparison(
    actor: ActorDep,
    session: SessionDep,
    batch_id: UUID,
    limit: Annotated[int, Query(ge=1, le=1000, description="The most entries of each list")] = 200,
) -> Response:
    """Return who is new, gone, paid elsewhere or paid another amount than in the last paid run."""
    actor.needs_scope(Scope.READ)
    batch = visible_batch(session, actor, batch_id)
    row = session.get(BatchComparison, batch.id)
    if row is None:
        raise NotFound("This batch was made before batches were compared; its next revision is.")
    # A reveal is of one batch; a comparison shows the lines of another one as well.
    seen = visibility(Viewer(actor=actor), batch.employer_id)
    return answer(200, dump(_comparison(session, batch, row, limit=limit, seen=seen)), ETag=etag(row.revision))


def _comparison(
    session: Session, batch: PaymentBatch, row: BatchComparison, *, limit: int, seen: Visibility
) -> ComparisonOut:
    counts = Counter(change["kind"] for change in row.changes)
    shown = {kind: _shown(row.changes, kind, limit) for kind in ChangeKind}
    lines = _lines(session, [change for changes in shown.values() for change in changes])
    return ComparisonOut(
        batch_id=batch.id,
        revision=row.revision,
        previous=_previous(session, row, seen),
        is_first=row.is_first,
        is_extra=row.is_extra,
        expected_peak=_peak(row),
        counts={kind.value: counts[kind.value] for kind in ChangeKind},
        same_count=row.same_count,
        **{kind.value: [_change(change, lines, seen) for change in changes] for kind, changes in shown.items()},
    )


def _shown(changes: Sequence[Mapping[str, Any]], kind: ChangeKind, limit: int) -> list[Mapping[str, Any]]:
    """Return the changes of a kind that are shown: in the order of the lines, amounts with the largest jumps first."""
    found = [change for change in changes if change["kind"] == kind]
    if kind is ChangeKind.CHANGED_AMOUNT:
        found.sort(key=lambda change: -abs(_percent(change) or 0))
    return found[:limit]


def _lines(session: Session, changes: Sequence[Mapping[str, Any]]) -> Mapping[str, CreditTransfer]:
    ids = {UUID(change[name]) for change in changes for name in ("line", "previous") if name in change}
    rows = session.exec(select(CreditTransfer).where(any_of(col(CreditTransfer.id), ids)))
    return {str(row.id): row for row in rows}


def _previous(session: Session, row: BatchComparison, seen: Visibility) -> PreviousBatch | None:
    if row.previous_batch_id is None:
        return None
    batch = session.get_one(PaymentBatch, row.previous_batch_id)
    run = session.get_one(PayrollRun, batch.run_id)
    return PreviousBatch(
        id=batch.id,
        run_id=run.id,
        year=run.year,
        period=run.period_start,
        run_number=run.number,
        description=run_description(run, seen),
        requested_execution_date=batch.requested_execution_date,
        number_of_transactions=batch.number_of_transactions,
    )


def _peak(row: BatchComparison) -> Peak | None:
    if row.peak is None:
        return None
    return Peak(code=row.peak["code"], direction="up" if row.peak["is_up"] else "down")


def _change(change: Mapping[str, Any], lines: Mapping[str, CreditTransfer], seen: Visibility) -> ChangeOut:
    line, previous = lines.get(change.get("line", "")), lines.get(change.get("previous", ""))
    now, before = _amounts(change, line, previous) if seen.shows_salaries else (None, None)
    of = line or previous
    return ChangeOut(
        transfer_id=line.id if line else None,
        position=line.position if line else None,
        kind=of.kind if of else None,
        creditor=None if line is None else creditor_out(line, seen),
        previous_creditor=_previous_creditor(change, previous, seen),
        amount=now,
        previous_amount=before,
        percent=_percent(change) if seen.shows_salaries else None,
        paid_before=change.get("paid_before", False),
    )


def _amounts(
    change: Mapping[str, Any], line: CreditTransfer | None, previous: CreditTransfer | None
) -> tuple[LineAmount | None, LineAmount | None]:
    """Return what is paid now and was paid before: of a changed amount what the account gets, else of the lines."""
    now, before = None, None
    if change["kind"] == ChangeKind.CHANGED_AMOUNT:
        now, before = change.get("after_cents", 0), change.get("before_cents", 0)  # nothing is not kept
    return line_amount(line, now) if line else None, line_amount(previous, before) if previous else None


def _previous_creditor(change: Mapping[str, Any], previous: CreditTransfer | None, seen: Visibility) -> Creditor | None:
    """Return who was paid before; of somebody who was not in the last run at most the account is known."""
    old = change.get("old_iban")
    if previous is None and old is not None:
        return Creditor(name=HIDDEN, iban=old if seen.shows_salaries else iban.mask(old))
    return None if previous is None else creditor_out(previous, seen)


def _percent(change: Mapping[str, Any]) -> int | None:
    before = change.get("before_cents", 0)
    return percent(before, change.get("after_cents", 0)) if before > 0 else None
