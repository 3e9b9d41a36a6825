"""How long an employer keeps what is personal: its terms, what they may be, and who changes them.

Terms count from the end of the calendar year for lines (art. 52 AWR keeps administrations seven years, by year), and
from the day itself for what only served the fetching. Minimums: a bank may be asked for money back up to thirteen
months after a payment (SEPA rulebooks), and a year is corrected in the next one.
"""

from dataclasses import asdict, dataclass
from uuid import UUID

from sqlmodel import Session

from app.auth.actor import Actor
from app.auth.models import Role, Scope
from app.core import history
from app.core.errors import AppError, Invalid, Problem
from app.core.history import Fact, HistoryActor
from app.payments.context import Context
from app.payments.models import PaymentBatch, Retention

LINES_MONTHS = (24, 240)
SOURCES_MONTHS = (3, 240)
# Webhook bodies and the stored answers to repeated requests: they serve nobody after this, whoever the employer is.
TECHNICAL_DAYS = 90


class Erased(AppError):
    """It was there; what is personal in it was erased after its term. Sums, digests and the history are kept."""

    code = "erased"
    status = 410
    title = "Erased after its term"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Months that an employer keeps lines (names, IBANs, texts, files, reports), and the raw answers of sources."""

    lines_months: int = 84
    sources_months: int = 13


DEFAULT = Terms()


def terms_of(session: Session, employer_id: UUID) -> Terms:
    """Return the terms of an employer; the default ones when it set none."""
    row = session.get(Retention, employer_id)
    return DEFAULT if row is None else Terms(lines_months=row.lines_months, sources_months=row.sources_months)


def check_terms(wanted: Terms) -> None:
    """Refuse terms under the minimum, over twenty years, or raw answers that outlive the lines."""
    problems = []
    for name, (least, most) in (("lines_months", LINES_MONTHS), ("sources_months", SOURCES_MONTHS)):
        if not least <= getattr(wanted, name) <= most:
            message = f"Choose {least} to {most} months."
            problems.append(Problem(pointer=f"/{name}", code="term", message=message))
    if wanted.sources_months > wanted.lines_months:
        message = "Raw answers hold the same lines; they are not kept longer than those."
        problems.append(Problem(pointer="/sources_months", code="longer_than_lines", message=message))
    if problems:
        raise Invalid(errors=problems)


def is_shorter(before: Terms, after: Terms) -> bool:
    """Say whether something would be erased earlier than before: it cannot be undone, so two people or a day."""
    return after.lines_months < before.lines_months or after.sources_months < before.sources_months


def may_change(actor: Actor, employer_id: UUID) -> None:
    """Refuse who may not change how long an employer keeps its data."""
    actor.needs_scope(Scope.PREPARE)
    actor.needs_employer_role(employer_id, Role.ADMIN)


def store_terms(ctx: Context, session: Session, employer_id: UUID, wanted: Terms, actor: HistoryActor) -> None:
    """Write the terms of an employer, from now on."""
    before = terms_of(session, employer_id)
    if actor.id is None:
        message = "terms are set by a person"
        raise ValueError(message)
    row = session.get(Retention, employer_id, with_for_update=True)
    if row is None:
        row = Retention(employer_id=employer_id, set_at=ctx.now(), set_by=actor.id, **asdict(wanted))
    row.lines_months, row.sources_months = wanted.lines_months, wanted.sources_months
    row.set_at, row.set_by = ctx.now(), actor.id
    session.add(row)
    details = {**asdict(wanted), "was": asdict(before)}
    fact = Fact(organization_id=employer_id, event="retention.set", actor=actor, occurred_at=ctx.now(), details=details)
    history.record(session, fact)


def refuse_erased(batch: PaymentBatch) -> None:
    """Refuse what needs the lines of a batch that were erased."""
    if batch.erased_at is not None:
        raise Erased(
            f"Names, accounts, texts and files of this batch were erased on {batch.erased_at.date().isoformat()}, "
            "after the employer's term. Its sums, digest, hashes, approvals and history are kept."
        )
