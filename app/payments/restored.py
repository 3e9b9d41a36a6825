"""A database that was set back: noticed by the release counter, put on hold, and let go again (ADR 0020).

The counter is written after the commit and before the first byte leaves. So a crash in between leaves the database
ahead, which is harmless and caught up with; only a database that was set back, or another one, is behind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlmodel import Session, select

from app.core.columns import any_of
from app.core.database import after_commit, transaction
from app.core.errors import Unavailable
from app.core.history import HistoryEntry, HistoryHead
from app.core.release_counter import CounterMissing, CounterUnreadable, HandOut, Mark
from app.payments import holds
from app.payments.context import Context
from app.payments.models import Installation, LinkMode, PaymentBatch, PaymentFile

_LOG = structlog.get_logger(__name__)
_COMPARING = 7_201_811_003  # advisory lock: of who compares for everybody, or reconciles
_HEAD = HistoryHead.__table__  # type: ignore[attr-defined]
_ENTRY = HistoryEntry.__table__  # type: ignore[attr-defined]


class Fault(StrEnum):
    """Why the database is not believed: the codes of the holds on everything."""

    RESTORED = "database_restored"
    LOST = "release_counter_lost"
    FOREIGN = "release_counter_foreign"
    UNREADABLE = "release_counter_unreadable"


REASONS: Mapping[Fault, str] = {
    Fault.RESTORED: (
        "The database was restored from an older moment: files that were handed out since may be unknown here, and "
        "the same people could be paid twice. Nothing is approved or handed out until the operator has reconciled it "
        "(operations, chapter Restoring a backup)."
    ),
    Fault.LOST: (
        "The release counter of this machine is gone, so nobody can tell whether the database is the newest one. "
        "Nothing is approved or handed out until the operator says so (operations, chapter Restoring a backup)."
    ),
    Fault.FOREIGN: (
        "The release counter of this machine belongs to another installation: this is a copy of a database, or the "
        "wrong file. Nothing is approved or handed out until the operator says so (operations, chapter Restoring a "
        "backup)."
    ),
    Fault.UNREADABLE: (
        "The release counter of this machine cannot be read or made. Nothing is approved or handed out until the "
        "operator says so (operations, chapter Restoring a backup)."
    ),
}


class ReleaseNotRecorded(Unavailable):
    """The release counter could not be written, so the file was not given."""

    code = "release_not_recorded"
    title = "The file cannot be given now"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """An organization of which the counter knows more than the database: its last record here, and the counter's."""

    organization_id: UUID
    here: int
    mark: Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the database stands to the counter. `fault` None: nothing is missing."""

    fault: Fault | None
    lost: Sequence[Lost] = ()


_SOUND = Standing(fault=None)


def judge(ctx: Context, session: Session, organization_id: UUID | None = None) -> Standing:
    """Compare the database with the release counter, for everybody or for one organization.

    Where neither has begun they begin here, together: the row is part of the session's transaction.
    """
    try:
        counted = ctx.releases.installation()
        marks = ctx.releases.marks() if organization_id is None else _only(ctx.releases.mark(organization_id))
        has_marks = counted is not None and bool(ctx.releases.marks())
    except CounterUnreadable:
        return Standing(fault=Fault.UNREADABLE)
    ours = session.exec(select(Installation.id)).one_or_none()
    if ours is None:
        if has_marks:  # restored from before its own beginning, or another database altogether
            return Standing(fault=Fault.RESTORED, lost=_behind(session, marks))
        try:
            counted = counted or ctx.releases.begin(ctx.new_id())
        except (CounterMissing, CounterUnreadable, OSError):
            return Standing(fault=Fault.UNREADABLE)
        ours = _begin(ctx, session, counted)
    if counted is None:
        return Standing(fault=Fault.LOST)
    if counted != ours:
        return Standing(fault=Fault.FOREIGN)
    lost = _behind(session, marks)
    return Standing(fault=Fault.RESTORED, lost=lost) if lost else _SOUND


def _only(mark: Mark | None) -> Mapping[UUID, Mark]:
    return {} if mark is None else {mark.organization_id: mark}


def _begin(ctx: Context, session: Session, counted: UUID) -> UUID:
    """Say whose counter belongs to this database. The file comes first: who says it has a counter always had one."""
    session.execute(insert(Installation).values(id=counted, begun_at=ctx.now()).on_conflict_do_nothing())
    return session.exec(select(Installation.id)).one()


def _behind(session: Session, marks: Mapping[UUID, Mark]) -> list[Lost]:
    """Return the organizations whose history is shorter than the counter knows, or went another way since."""
    heads = _heads(session, marks)
    further = {
        organization_id: mark.sequence
        for organization_id, mark in marks.items()
        if organization_id in heads and heads[organization_id].sequence >= mark.sequence
    }
    macs = _macs(session, further)
    lost = []
    for organization_id, mark in marks.items():
        head = heads.get(organization_id)
        if organization_id not in further:
            lost.append(Lost(organization_id=organization_id, here=head.sequence if head else 0, mark=mark))
        elif macs.get(organization_id, mark.mac) != mark.mac:
            lost.append(Lost(organization_id=organization_id, here=mark.sequence - 1, mark=mark))
    return sorted(lost, key=lambda each: each.organization_id)


def _heads(session: Session, organizations: Mapping[UUID, Mark]) -> dict[UUID, sa.Row[tuple[UUID, int, bytes | None]]]:
    statement = sa.select(_HEAD.c.organization_id, _HEAD.c.sequence, _HEAD.c.mac)
    if len(organizations) == 1:  # a hand-out asks for its employer only
        statement = statement.where(any_of(_HEAD.c.organization_id, list(organizations)))
    return {row.organization_id: row for row in session.execute(statement)}


def _macs(session: Session, wanted: Mapping[UUID, int]) -> dict[UUID, str]:
    """Return the macs of these records, each organization's by its number."""
    if not wanted:
        return {}
    asked = (
        sa.func.unnest(
            sa.literal(list(wanted), ARRAY(sa.Uuid())), sa.literal(list(wanted.values()), ARRAY(sa.BigInteger()))
        )
        .table_valued(sa.column("organization_id", sa.Uuid()), sa.column("sequence", sa.BigInteger()))
        .render_derived()
    )
    statement = sa.select(_ENTRY.c.organization_id, _ENTRY.c.mac).join(
        asked,
        sa.and_(asked.c.organization_id == _ENTRY.c.organization_id, asked.c.sequence == _ENTRY.c.sequence),
    )
    return {row.organization_id: _hex(row.mac) for row in session.execute(statement)}


def _hex(mac: bytes | None) -> str:
    return "" if mac is None else mac.hex()


def refuse_behind(ctx: Context, session: Session, employer_id: UUID) -> None:
    """Refuse to let a file of this employer leave while the counter knows more than the database: `Held`.

    The hold itself is placed by the next tick; this looks by itself, since a database can be swapped under a service
    that runs. A file that left before is refused as well: what became of it since may be what is missing here.
    """
    holds.refuse_when_all_held(session, employer_id)
    fault = judge(ctx, session, employer_id).fault
    if fault is not None:
        raise holds.held([(fault.value, REASONS[fault])])


def count_hand_out(ctx: Context, session: Session, batch: PaymentBatch, file: PaymentFile) -> None:
    """Have the counter know of this hand-out once it is committed, and before its caller sends a byte.

    Every hand-out counts, later ones too: the process that made the first may have died between commit and counter.
    """
    if batch.mode == LinkMode.LIVE:
        hand_out = HandOut(batch_id=batch.id, message_id=file.message_id)
        employer_id = batch.employer_id
        after_commit(session, lambda: _count(ctx, employer_id, hand_out))


def _count(ctx: Context, employer_id: UUID, hand_out: HandOut) -> None:
    with transaction(ctx.engine) as session:
        head = session.get_one(HistoryHead, employer_id)
        mark = Mark(
            organization_id=employer_id,
            sequence=head.sequence,
            mac=_hex(head.mac),
            at=ctx.now(),
            hand_out=hand_out,
        )
    try:
        ctx.releases.add([mark])
    except (CounterMissing, CounterUnreadable, OSError) as error:
        _LOG.exception("release_counter_not_written")
        raise ReleaseNotRecorded(
            "The file was not given, because the release counter outside the database could not be written. "
            "Tell the operator; ask for the file again when it can."
        ) from error


def watch(ctx: Context) -> Standing:
    """Compare everything; put a hold on everything when the database is behind, else let the counter catch up.

    Runs at the start and on every tick. What was not handed out may be up to a tick younger than the counter.
    """
    with transaction(ctx.engine) as session:
        be_alone(session)
        standing = judge(ctx, session)
        if standing.fault is not None:
            if holds.place_on_system(ctx, session, code=standing.fault.value, reason=REASONS[standing.fault]):
                _LOG.error("payments_on_hold", code=standing.fault.value, organizations=len(standing.lost))
            return standing
        grown = _grown(session, ctx.releases.marks(), ctx.now())
    try:
        ctx.releases.add(grown)
    except (CounterMissing, OSError):
        # No file leaves meanwhile (`count_hand_out`); whatever else time brings goes on.
        _LOG.exception("release_counter_not_written")
    return standing


def be_alone(session: Session) -> None:
    """Wait for whoever else compares for everybody or reconciles; until this transaction ends nobody else does.

    Otherwise a tick that read the counter before it began anew would put everything on hold again after it was let go.
    """
    session.execute(sa.select(sa.func.pg_advisory_xact_lock(_COMPARING)))


def _grown(session: Session, marks: Mapping[UUID, Mark], now: datetime) -> list[Mark]:
    """Return the heads that the counter does not know yet."""
    return [
        mark
        for mark in heads_as_marks(session, now)
        if mark.organization_id not in marks or marks[mark.organization_id].sequence < mark.sequence
    ]


def heads_as_marks(session: Session, now: datetime) -> list[Mark]:
    """Return where every history stands now."""
    statement = sa.select(_HEAD.c.organization_id, _HEAD.c.sequence, _HEAD.c.mac).where(_HEAD.c.sequence > 0)
    return [
        Mark(organization_id=row.organization_id, sequence=row.sequence, mac=_hex(row.mac), at=now)
        for row in session.execute(statement)
    ]
