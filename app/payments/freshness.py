"""Whether the source still says what is shown, asked just before an approval, with no transaction open."""

from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from app.core.database import transaction
from app.core.errors import Conflict
from app.payments import fetching, readings
from app.payments.context import Context
from app.payments.errors import FaultKind, SourceFault, SourceUnreachable, UnreadableDocument
from app.payments.models import PaymentBatch, PayrollRun, RunState
from app.payments.readings import ReadingOutcome

FRESH_FOR = timedelta(minutes=15)
# For so long the last equal reading may stand in for a source that does not answer, if a person says so by name.
STANDS_IN_FOR = timedelta(hours=24)


class SourceState(StrEnum):
    """What the source said at an approval."""

    EQUAL = "equal"
    UNREACHABLE = "unreachable"
    DENIED = "denied"
    UPLOAD = "upload"


class SourceChanged(Conflict):
    """The payroll source could not confirm that the run is still what is shown."""

    code = "source_changed"
    title = "The source does not confirm this run"


def ensure_fresh(ctx: Context, batch_id: UUID, *, is_acknowledged: bool) -> SourceState:
    """See to it that the source was equal at most fifteen minutes ago: else read the run again, now.

    A difference makes a new revision (the approval then fails on its revision). A source that does not answer stops the
    approval, unless the approver says by name that they approve without it (`is_acknowledged`) and the last equal
    reading is of the last 24 hours; one that denies us asks for a second person as well.
    """
    with transaction(ctx.engine) as session:
        batch = session.get_one(PaymentBatch, batch_id)
        run = session.get_one(PayrollRun, batch.run_id)
        if run.source_kind == "upload":
            return SourceState.UPLOAD
        if run.state == RunState.WITHDRAWN:
            # However young the last equal reading: since then two lists said that the run is gone.
            raise SourceChanged(
                "The run was undone at the source, so nothing was approved. Ask the payroll office what happened; "
                "cancel the batch, or approve it when the run is listed there again."
            )
        # What was uploaded in the place of what the source says is not what the source says.
        is_uploaded = readings.is_uploaded(session, batch.reading_id)
        # An equal reading counts for nothing once the source gave an empty document, or one that does not add up.
        is_newest = readings.is_newest_whole(session, run.id)
        if not is_uploaded and is_newest and ctx.now() - batch.source_equal_at <= FRESH_FOR:
            return SourceState.EQUAL
        may_ask = fetching.can_be_asked(session, run)
    stands_in = is_acknowledged and is_newest and ctx.now() - batch.source_equal_at <= STANDS_IN_FOR
    if not may_ask:
        fault = SourceFault(
            FaultKind.PERSON, "connection_not_usable", "", "The connection did not pass its last check, or was deleted."
        )
        return _without_the_source(fault, stands_in=stands_in)
    return _read_again(ctx, run.id, stands_in=stands_in)


def _read_again(ctx: Context, run_id: UUID, *, stands_in: bool) -> SourceState:
    try:
        # The service itself reads: it writes also what the source said to whoever holds the connection.
        outcome = fetching.read_again(ctx.as_service(), run_id, timeout_seconds=ctx.policy.freshness_timeout_seconds)
    except SourceFault as fault:
        return _without_the_source(fault, stands_in=stands_in)
    except UnreadableDocument as fault:
        raise SourceUnreachable(
            "The source's answer could not be used, so nothing was approved. " + fault.explanation,
            extra={"fault": fault.code},
        ) from fault
    if outcome is ReadingOutcome.LATE:
        raise SourceChanged(
            "The run was read by somebody else at the same moment. Look at the batch, then approve again."
        )
    if outcome is None or outcome in (ReadingOutcome.DOUBTFUL, ReadingOutcome.EMPTY):
        raise SourceChanged(
            "The source no longer gives a payment document for this run that adds up. Ask the payroll office what "
            "happened to the run; nothing was approved."
        )
    return SourceState.EQUAL


def _without_the_source(fault: SourceFault, *, stands_in: bool) -> SourceState:
    """Go on without the source where that is allowed. An answer that makes no sense never is: it may be a change."""
    if stands_in and fault.kind is not FaultKind.OURS:
        return SourceState.DENIED if fault.kind is FaultKind.PERSON else SourceState.UNREACHABLE
    raise SourceUnreachable(
        "The run could not be read again at the source, so nothing was approved. " + fault.explanation + " While the "
        "last equal reading is less than 24 hours old you can approve on it by name, with "
        '"approve_without_source": true.',
        extra={"fault": fault.code, "operation": fault.operation},
    ) from fault
