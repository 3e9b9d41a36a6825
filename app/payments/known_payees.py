"""Who was paid before, from the claims: the last paid run of an administration and every pair ever paid.

A claim that was released paid nobody, so nothing that is kept beside the claims could say this as well. Neither did one
that closed a line without a file: "not owed" is often said of the very account that somebody smuggled in.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Session, col, select

from app.core.columns import any_of
from app.payments import claims
from app.payments.comparing import Comparison, Question, compare, names_of, needs_history
from app.payments.lines import AT_ONCE, Line
from app.payments.matching import Payment
from app.payments.models import (
    Administration,
    BatchStatus,
    Claim,
    ClaimWay,
    Connection,
    CreditTransfer,
    DebtorAccount,
    LinkMode,
    PaymentBatch,
    PayrollRun,
    TransferKind,
    TransferStatus,
)
from app.payments.payee_names import Name, name_of
from app.payments.peaks import RunPeriod

_WITH_FILE = (
    BatchStatus.APPROVED,
    BatchStatus.DELIVERED,
    BatchStatus.DELIVERY_UNKNOWN,
    BatchStatus.ACCEPTED,
    BatchStatus.EXECUTED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A comparison, and what it was made with."""

    comparison: Comparison
    previous_run_id: UUID | None
    previous_batch_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Paid:
    """A run of the administration that was paid, or approved in a dry run, with its batches, the largest first."""

    run: PayrollRun
    batches: Sequence[tuple[UUID, int]]
    is_live: bool

    @property
    def period(self) -> tuple[int, int]:
        return self.run.year, self.run.period_start

    @property
    def size(self) -> int:
        return sum(lines for _, lines in self.batches)


def compare_batch(
    session: Session,
    batch: PaymentBatch,
    run: PayrollRun,
    transfers: Sequence[Line],
    *,
    home_country: str,
) -> Compared:
    """Compare the lines of a batch with the last paid run, and with all that the employer paid where that is needed."""
    paid = list(_paid_runs(session, batch))
    last = _last_before(paid, run)
    lines = [
        _payment(row.id, row.position, row.creditor_name_original, row.creditor_iban, row.amount_cents, row.kind)
        for row in transfers
        if row.hold_code != "gone_at_source"
    ]
    previous = [] if last is None else _payments_of(session, last)
    is_known = not needs_history(lines, previous)
    question = Question(
        lines=lines,
        previous=previous,
        known=[] if is_known else list(_pairs_paid_by(session, batch.employer_id)),
        period=RunPeriod(year=run.year, number=run.period_start, frequency=run.frequency),
        home_country=home_country,
        is_first=not any(each.is_live for each in paid),
        is_extra=any(_covers(each, run) for each in paid),
    )
    return Compared(
        comparison=compare(question),
        previous_run_id=None if last is None else last.run.id,
        previous_batch_id=None if last is None else last.batches[0][0],
    )


def own_accounts(session: Session, batch: PaymentBatch) -> frozenset[str]:
    """Return the accounts that the employer pays from, and those of the employer whose connection this is."""
    organization = (
        select(Connection.organization_id)
        .join(Administration, col(Administration.connection_id) == col(Connection.id))
        .where(Administration.id == batch.administration_id)
        .scalar_subquery()
    )
    owners = sa.or_(col(DebtorAccount.employer_id) == batch.employer_id, col(DebtorAccount.employer_id) == organization)
    return frozenset(session.exec(select(DebtorAccount.iban).where(owners)))


def _paid_runs(session: Session, batch: PaymentBatch) -> Iterator[_Paid]:
    """Return the runs with a live or spent claim of a file; without any, those approved in a dry run."""
    is_live = sa.exists().where(col(Claim.batch_id) == col(PaymentBatch.id), *_pays())
    is_dry = sa.and_(col(PaymentBatch.mode) == LinkMode.DRY_RUN, col(PaymentBatch.status).in_(_WITH_FILE))
    rows = session.exec(
        select(PaymentBatch.id, PaymentBatch.number_of_transactions, PayrollRun, PaymentBatch.mode)
        .join(PayrollRun, col(PayrollRun.id) == col(PaymentBatch.run_id))
        .where(
            PaymentBatch.administration_id == batch.administration_id,
            PaymentBatch.id != batch.id,
            col(PaymentBatch.erased_at).is_(None),
            sa.or_(is_live, is_dry),
        )
        .order_by(col(PaymentBatch.number_of_transactions).desc(), col(PaymentBatch.id))
    ).all()
    live = [row for row in rows if row[3] == LinkMode.LIVE]
    runs: dict[UUID, list[tuple[UUID, int]]] = {}
    by_id = {}
    for identifier, lines, run, _ in live or rows:
        runs.setdefault(run.id, []).append((identifier, lines))
        by_id[run.id] = run
    return (_Paid(run=by_id[each], batches=batches, is_live=bool(live)) for each, batches in runs.items())


def _last_before(paid: Sequence[_Paid], run: PayrollRun) -> _Paid | None:
    """Return the fullest run of the nearest period up to this run's own, else of the newest period.

    Not simply the newest: a bonus for three people says little of the next salaries, and a run of April may be made
    in November.
    """
    others = [each for each in paid if each.run.id != run.id or not each.is_live]
    alike = [each for each in others if each.run.frequency == run.frequency] or others
    before = [each for each in alike if each.period <= (run.year, run.period_start)] or alike
    newest = max((each.period for each in before), default=None)
    fullest = [each for each in before if each.period == newest]
    return max(fullest, key=lambda each: (each.size, -each.run.number), default=None)


def _covers(paid: _Paid, run: PayrollRun) -> bool:
    """Say whether the period of this run was paid already, by this run itself or by another one."""
    if paid.run.id == run.id:
        return paid.is_live
    return paid.period == (run.year, run.period_start)


def _payments_of(session: Session, paid: _Paid) -> list[Payment]:
    row = CreditTransfer
    statement = sa.select(
        *(col(row.id), col(row.position), col(row.creditor_name_original), col(row.creditor_iban)),
        *(col(row.amount_cents), col(row.kind)),
    ).where(any_of(col(CreditTransfer.batch_id), [each for each, _ in paid.batches]))
    if paid.is_live:
        statement = statement.where(_is_claimed())
    else:
        statement = statement.where(col(CreditTransfer.status) == TransferStatus.IN_FILE)
    order = (col(CreditTransfer.batch_id), col(CreditTransfer.position))
    rows = session.execute(statement.order_by(*order), execution_options={"yield_per": AT_ONCE})
    return [_payment(*row) for row in rows]


def _pairs_paid_by(session: Session, employer_id: UUID) -> Iterator[tuple[Name, str]]:
    """Return every (name, IBAN) that this employer is paying or paid, over all its administrations."""
    statement = (
        select(CreditTransfer.creditor_name_original, CreditTransfer.creditor_iban)
        .join(PaymentBatch, col(PaymentBatch.id) == col(CreditTransfer.batch_id))
        .where(
            PaymentBatch.employer_id == employer_id,
            PaymentBatch.mode == LinkMode.LIVE,
            col(PaymentBatch.erased_at).is_(None),
            _is_claimed(),
        )
        .distinct()
    )
    return names_of(session.exec(statement))


def _is_claimed() -> sa.ColumnElement[bool]:
    return sa.exists().where(
        col(Claim.batch_id) == col(CreditTransfer.batch_id),
        col(Claim.obligation_id) == col(CreditTransfer.obligation_id),
        *_pays(),
    )


def _pays() -> tuple[sa.ColumnElement[bool], ...]:
    """Return what makes a claim a payment from here to the account of its line."""
    return col(Claim.state).in_(claims.HELD_STATES), col(Claim.way) == ClaimWay.FILE


def _payment(identifier: UUID, position: int, name: str, iban: str, amount_cents: int, kind: str) -> Payment:
    return Payment(
        id=identifier,
        position=position,
        name=name_of(name),
        iban=iban,
        amount_cents=amount_cents,
        is_third_party=kind == TransferKind.THIRD_PARTY,
    )
