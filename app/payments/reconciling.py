"""After a restore: what is missing, and letting payments go again (ADR 0020).

The operator lets the installation go. What may have been paid meanwhile only the employer can see at the bank, so every
employer of whom something is missing stays on hold until two of its own people have looked.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Session, col, select

from app.auth.models import Organization, OrganizationKind
from app.core import history
from app.core.clock import AMSTERDAM
from app.core.columns import any_of
from app.core.database import transaction
from app.core.errors import Conflict, Invalid
from app.core.history import OPERATOR, Fact, HistoryEntry
from app.core.release_counter import CounterUnreadable, Mark
from app.payments import claims, delivering, holds, restored
from app.payments.context import Context
from app.payments.locks import lock_batch
from app.payments.models import (
    BatchStatus,
    Hold,
    HoldScope,
    Installation,
    LinkMode,
    PaymentBatch,
    PaymentFile,
)
from app.payments.restored import Fault, Lost
from app.payments.transitions import tell

PAID_MEANWHILE = "paid_after_backup"
_MOST_NAMED = 20
_AT_THE_BANK = (BatchStatus.APPROVED, BatchStatus.DELIVERED, BatchStatus.DELIVERY_UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What the counter knows of an organization and the database does not.

    `name` None: the organization itself is not in the database. `known_until` is the last hand-out that both know
    of; `hand_outs` are the files that left and are not known to have left here.
    """

    organization_id: UUID
    name: str | None
    is_employer: bool
    known_until: datetime | None
    counted_until: datetime
    hand_outs: Sequence[Mark]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is to be settled. `open_files` are message ids of files handed out of which the bank said nothing yet."""

    fault: Fault | None
    holds: Sequence[str]
    missing: Sequence[Missing]
    open_files: Sequence[tuple[UUID, str, datetime]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What reconciling did: the holds that were lifted, and the employers that wait for two of their own people."""

    lifted: Sequence[str]
    employers: Sequence[UUID]


def report(ctx: Context) -> Report:
    """Return how the database stands to the counter, and what is missing."""
    with transaction(ctx.engine) as session:
        standing = restored.judge(ctx, session)
        return Report(
            fault=standing.fault,
            holds=_holds_on_all(session),
            missing=[_missing(ctx, session, each) for each in standing.lost],
            open_files=_open_files(session),
        )


def _holds_on_all(session: Session) -> list[str]:
    statement = select(Hold.code).where(Hold.scope == HoldScope.SYSTEM, col(Hold.lifted_at).is_(None))
    return sorted(session.exec(statement.distinct()))


def _missing(ctx: Context, session: Session, lost: Lost) -> Missing:
    organization = session.get(Organization, lost.organization_id)
    known_until, hand_outs = _hand_outs(ctx, session, lost.organization_id)
    return Missing(
        organization_id=lost.organization_id,
        name=None if organization is None else organization.name,
        is_employer=organization is not None and organization.kind == OrganizationKind.EMPLOYER,
        known_until=known_until,
        counted_until=lost.mark.at,
        hand_outs=hand_outs,
    )


def _hand_outs(ctx: Context, session: Session, organization_id: UUID) -> tuple[datetime | None, list[Mark]]:
    """Return until when the counted hand-outs are in the history here, and those that are not.

    By number and mac: what was written here since the restore has the numbers of what is missing.
    """
    counted = [mark for mark in ctx.releases.hand_outs() if mark.organization_id == organization_id]
    known = _known_here(session, organization_id, counted)
    return max((mark.at for mark in known), default=None), [mark for mark in counted if mark not in known]


def _known_here(session: Session, organization_id: UUID, counted: Sequence[Mark]) -> set[Mark]:
    """Return those of these marks of an organization whose record is in its history here."""
    rows = session.exec(
        select(HistoryEntry.sequence, HistoryEntry.mac).where(
            HistoryEntry.organization_id == organization_id,
            any_of(col(HistoryEntry.sequence), {mark.sequence for mark in counted}),
        )
    )
    here = {sequence: "" if mac is None else mac.hex() for sequence, mac in rows}
    return {mark for mark in counted if here.get(mark.sequence) == mark.mac}


def _open_files(session: Session) -> list[tuple[UUID, str, datetime]]:
    statement = (
        select(PaymentBatch.id, PaymentFile.message_id, PaymentFile.handed_out_at)
        .join(PaymentFile, col(PaymentFile.batch_id) == col(PaymentBatch.id))
        .where(
            col(PaymentBatch.status).in_(_AT_THE_BANK),
            PaymentBatch.mode == LinkMode.LIVE,
            col(PaymentFile.handed_out_at).is_not(None),
            col(PaymentFile.voided_at).is_(None),
        )
        .order_by(col(PaymentFile.handed_out_at).desc())
    )
    return [(batch_id, message_id, at) for batch_id, message_id, at in session.exec(statement) if at is not None]


def reconcile(ctx: Context, *, reason: str, every_employer: bool = False, nothing_restored: bool = False) -> Reconciled:
    """Let the installation go after the operator looked at it: `reason` says on what grounds.

    Each employer of whom something is missing gets a hold that two of its own people lift. Where the counter itself
    is gone or another's, nobody knows who is missing what: then it is `every_employer`, or the operator says that this
    is the newest database (`nothing_restored`). `Invalid` when that is not said, `Conflict` when nothing is on hold.
    """
    if not reason.strip():
        raise Invalid("Say with --reason on what grounds payments may go on; it stands in the history.")
    with transaction(ctx.engine) as meanwhile:
        restored.be_alone(meanwhile)  # also after the commit below, until the counter has begun anew
        installation_id, done = _let_go(
            ctx, reason=reason, every_employer=every_employer, nothing_restored=nothing_restored
        )
        # Not before that commit: until then every hand-out must still find the counter ahead.
        _count_anew(ctx, installation_id)
    return done


def _let_go(ctx: Context, *, reason: str, every_employer: bool, nothing_restored: bool) -> tuple[UUID, Reconciled]:
    """Lift the holds on everything and place those on employers; return whose database this is, and what was done."""
    with transaction(ctx.engine) as session:
        standing = restored.judge(ctx, session)
        codes = {code for code in _holds_on_all(session) if code in set(Fault)}
        faults = codes | ({standing.fault.value} if standing.fault else set())
        if not faults:
            raise Conflict("The database is the newest one as far as the release counter knows; nothing is on hold.")
        blind = faults - {Fault.RESTORED.value}
        if blind and every_employer == nothing_restored:
            raise Invalid(
                "Nobody can tell what is missing here: " + ", ".join(sorted(blind)) + ". Say --every-employer when the "
                "database may be an older one, or --nothing-was-restored when it surely is the newest."
            )
        missing = [_missing(ctx, session, each) for each in standing.lost]
        _remember_hand_outs(ctx, session, missing)
        employers = _hold_employers(ctx, session, missing, every_employer=every_employer)
        lifted = holds.lift_system(ctx, session, [fault.value for fault in Fault])
        # Where the operator alone says that nothing is missing, every employer can read that and on what grounds.
        told = _employers(session) if blind else employers
        _tell(ctx, session, told, reason=reason, faults=faults)
        return _installation(ctx, session), Reconciled(lifted=lifted, employers=employers)


def _remember_hand_outs(ctx: Context, session: Session, missing: Sequence[Missing]) -> None:
    """Write down again which files left that are here as if they never did.

    From there the ordinary rules hold: no free recall, a new attempt only after two people say it is not at the bank.
    """
    left = {
        mark.hand_out.message_id: mark
        for each in missing
        for mark in reversed(each.hand_outs)
        if mark.hand_out is not None
    }
    found = session.exec(
        select(PaymentFile.id, PaymentFile.batch_id)
        .where(
            any_of(col(PaymentFile.message_id), left),
            col(PaymentFile.handed_out_at).is_(None),
            col(PaymentFile.voided_at).is_(None),
        )
        .order_by(col(PaymentFile.batch_id), col(PaymentFile.n))
    ).all()
    for file_id, batch_id in found:
        batch = lock_batch(session, batch_id)
        file = session.get_one(PaymentFile, file_id, populate_existing=True)
        file.handed_out_at = left[file.message_id].at
        session.add(file)
        claims.mark_handed_out(session, batch.id, delivering.obligations_in(session, batch.id, file.n))
        details = {"message_id": file.message_id, "sha256": file.sha256, "first": True, "reason": _FROM_COUNTER}
        tell(session, batch, event="file.handed_out", actor=OPERATOR, now=ctx.now(), details=details)


_FROM_COUNTER = "Handed out before the database was restored; known from the release counter."


def _hold_employers(ctx: Context, session: Session, missing: Sequence[Missing], *, every_employer: bool) -> list[UUID]:
    texts = {each.organization_id: _what_to_look_for(each) for each in missing if each.is_employer}
    if every_employer:
        texts = {employer_id: _look_at_everything() for employer_id in _employers(session)} | texts
    for employer_id, text in sorted(texts.items()):
        holds.place_on_employer(ctx, session, employer_id, code=PAID_MEANWHILE, reason=text, actor=OPERATOR)
    return sorted(texts)


def _employers(session: Session) -> list[UUID]:
    statement = select(Organization.id).where(Organization.kind == OrganizationKind.EMPLOYER)
    return list(session.exec(statement.order_by(col(Organization.id))))


def _what_to_look_for(missing: Missing) -> str:
    begun = "the beginning" if missing.known_until is None else _moment(missing.known_until)
    named = [mark.hand_out.message_id for mark in missing.hand_outs if mark.hand_out is not None]
    shown = list(dict.fromkeys(named))
    files = (
        "No file is known to have been handed out in that time."
        if not shown
        else f"Handed out in that time: {', '.join(shown[:_MOST_NAMED])}"
        + (f" and {len(shown) - _MOST_NAMED} more." if len(shown) > _MOST_NAMED else ".")
    )
    return (
        f"The database was restored. What happened between {begun} and {_moment(missing.counted_until)} is not known "
        f"here. {files} {_AT_YOUR_BANK}"
    )


def _look_at_everything() -> str:
    return f"The database may have been restored from an older moment. {_AT_YOUR_BANK}"


_AT_YOUR_BANK = (
    "Look at your bank, on every account you pay from, which salary files were handed in or signed in that time and "
    "not removed. Say of each line that was paid that way that it was paid elsewhere, and check limits, people and "
    "tokens. Then two people lift this hold together."
)


def _moment(at: datetime) -> str:
    """Return a moment as an employer reads it: the wall clock of Amsterdam."""
    return f"{at.astimezone(AMSTERDAM):%d-%m-%Y %H:%M:%S}"


def _tell(ctx: Context, session: Session, employers: Iterable[UUID], *, reason: str, faults: Iterable[str]) -> None:
    details: Mapping[str, object] = {"reason": reason, "codes": sorted(faults)}
    for employer_id in employers:
        fact = Fact(
            organization_id=employer_id,
            event="restore.reconciled",
            actor=OPERATOR,
            occurred_at=ctx.now(),
            details=details,
        )
        history.record(session, fact)


def _installation(ctx: Context, session: Session) -> UUID:
    """Return whose this database is; one from before its own beginning gets the identity its counter has."""
    found = session.exec(select(Installation.id)).one_or_none()
    if found is not None:
        return found
    try:
        wanted = ctx.releases.installation() or ctx.new_id()
    except CounterUnreadable:
        wanted = ctx.new_id()
    session.execute(sa.insert(Installation).values(id=wanted, begun_at=ctx.now()))
    return wanted


def _count_anew(ctx: Context, installation_id: UUID) -> None:
    with transaction(ctx.engine) as session:
        heads = restored.heads_as_marks(session, ctx.now())
        left = _hand_outs_so_far(ctx, session, installation_id, heads)
    ctx.releases.start_anew(installation_id, [*left, *heads], now=ctx.now())


def _hand_outs_so_far(ctx: Context, session: Session, installation_id: UUID, heads: Sequence[Mark]) -> list[Mark]:
    """Return the hand-outs that the counter knows, for the next restore: that backup may be an older one still.

    A lost one is set at the head of now. From here on the history knows of it, as what the employer has to look for.
    """
    try:
        if ctx.releases.installation() != installation_id:
            return []  # another installation's, or none at all
    except CounterUnreadable:
        return []
    head_of = {mark.organization_id: mark for mark in heads}
    counted = [mark for mark in ctx.releases.hand_outs() if mark.organization_id in head_of]
    known = {
        mark
        for organization_id in {mark.organization_id for mark in counted}
        for mark in _known_here(
            session, organization_id, [each for each in counted if each.organization_id == organization_id]
        )
    }
    return [mark if mark in known else _at_head(mark, head_of[mark.organization_id]) for mark in counted]


def _at_head(mark: Mark, head: Mark) -> Mark:
    return replace(mark, sequence=head.sequence, mac=head.mac)
