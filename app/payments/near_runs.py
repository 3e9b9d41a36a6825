"""Runs that may pay the same under another name: their periods tell nothing of each other, and their days are near.

One counts weeks where another counts months; and an upload that nobody named has the month of its date as its period,
which may be the month after.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Session, col, select

from app.payments.models import AdministrationLink, PaymentBatch, PayrollRun, RunIdentity
from app.payments.pay_days import parse_pay_day_rule, pay_day_of_period

# Less than half of a period: what is near one pay day is not near the next one.
_NEAR, _NEAR_OF_A_WEEK = timedelta(days=10), timedelta(days=3)
_WEEK, _LONG = "week", ("month", "four_weeks")
_UPLOAD = "upload"
# An upload whose period was given, not guessed, is known by a name that begins so.
OF_A_RUN, OF_A_PERIOD = "run-", "period-"


def days_of(session: Session, run: PayrollRun, paid_on: Iterable[date | None]) -> list[date]:
    """Return the days on which a run is paid: those given, and the pay day of its period, unless that was guessed.

    What is found weeks late is paid weeks late; what was paid in its place was paid on its pay day.
    """
    days = {day for day in paid_on if day is not None}
    link = session.get(AdministrationLink, run.administration_id)
    if link is not None and not _is_guessed(session, run):
        rule, period = parse_pay_day_rule(link.pay_day_rule), max(run.period_start, run.period_end)
        pay_day = pay_day_of_period(rule, year=run.year, period=period, frequency=run.frequency)
        days |= set() if pay_day is None else {pay_day}
    return sorted(days)


def is_near(column: Any, days: Sequence[date], run: PayrollRun) -> sa.ColumnElement[bool]:
    """Say in SQL whether a date is near one of these days, of a run that is paid as often as this one."""
    return _within(column, days, _NEAR_OF_A_WEEK if run.frequency == _WEEK else _NEAR)


def _within(column: Any, days: Sequence[date], near: timedelta) -> sa.ColumnElement[bool]:
    return sa.or_(sa.false(), *(column.between(day - near, day + near) for day in days))


def runs_beside(session: Session, run: PayrollRun, days: Sequence[date]) -> Sequence[UUID]:
    """Return the employer's other runs with a batch near these days whose period cannot be compared with this one's."""
    day, of_weeks = col(PaymentBatch.requested_execution_date), col(PayrollRun.frequency).is_not_distinct_from(_WEEK)
    statement = (
        select(PayrollRun.id)
        .join(PaymentBatch, col(PaymentBatch.run_id) == col(PayrollRun.id))
        .where(
            PaymentBatch.employer_id == run.employer_id,
            PayrollRun.id != run.id,
            is_near(day, days, run),
            sa.or_(~of_weeks, _within(day, days, _NEAR_OF_A_WEEK)),
        )
        .distinct()
    )
    if not _is_guessed(session, run):
        statement = statement.where(sa.or_(_guessed(), _counts_otherwise(run), _came_otherwise(run)))
    return session.exec(statement).all()


def _is_guessed(session: Session, run: PayrollRun) -> bool:
    if run.source_kind != _UPLOAD:
        return False
    return session.exec(select(PayrollRun.id).where(PayrollRun.id == run.id, _guessed())).first() is not None


def _guessed() -> sa.ColumnElement[bool]:
    """Say in SQL whether a run is an upload whose uploader did not say of which period it is."""
    name = col(RunIdentity.external_id)
    is_named = sa.exists().where(
        col(RunIdentity.run_id) == col(PayrollRun.id),
        col(RunIdentity.source_kind) == _UPLOAD,
        sa.or_(name.startswith(OF_A_RUN), name.startswith(OF_A_PERIOD)),
    )
    return sa.and_(col(PayrollRun.source_kind) == _UPLOAD, ~is_named)


def _counts_otherwise(run: PayrollRun) -> sa.ColumnElement[bool]:
    """Say in SQL whether the periods of a run are of another length than this one's, as far as is known.

    Where that is not known the periods of one administration follow each other; those of two may be of any length.
    """
    frequency = col(PayrollRun.frequency)
    differs = sa.false() if run.frequency is None else frequency != run.frequency
    is_elsewhere = col(PayrollRun.administration_id) != run.administration_id
    return sa.or_(differs, sa.and_(is_elsewhere, frequency.is_distinct_from(run.frequency)))


def _came_otherwise(run: PayrollRun) -> sa.ColumnElement[bool]:
    """Say in SQL whether one of the two was uploaded, and the other is the package's and pays months or four weeks.

    Whatever the uploader called the period: two such pay days are four weeks apart.
    """
    if run.source_kind == _UPLOAD:
        return sa.and_(col(PayrollRun.source_kind) != _UPLOAD, col(PayrollRun.frequency).in_(_LONG))
    return col(PayrollRun.source_kind) == _UPLOAD if run.frequency in _LONG else sa.false()
