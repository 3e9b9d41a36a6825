"""The one choke point: which action fits which status and role, and the one function that moves a batch.

The table is data. `allowed_actions` of a batch and the refusals of the use cases come from the same rows.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col

from app.auth.actor import Actor
from app.auth.models import Scope
from app.core import history
from app.core.errors import Conflict
from app.core.history import SYSTEM, Fact, HistoryActor
from app.payments.errors import NotAllowedNow
from app.payments.models import BatchStatus, PaymentBatch
from app.payments.not_now import explain


class Action(StrEnum):
    """What a person can do with a batch."""

    EDIT = "edit"
    DECIDE = "decide"
    ACKNOWLEDGE = "acknowledge"
    APPROVE = "approve"
    RECALL = "recall"
    REJECT = "reject"
    CANCEL = "cancel"
    HOLD = "hold"
    LIFT_HOLD = "lift_hold"
    REISSUE = "reissue"
    HAND_OUT = "hand_out"
    DELIVER = "deliver"
    WITHDRAW = "withdraw"
    STATE = "state"
    REPORT = "report"
    REVEAL = "reveal"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRule:
    """When an action is possible, and for whom. An `office_` role is held through a live mandate."""

    statuses: frozenset[BatchStatus]
    roles: frozenset[str]
    scope: Scope


_PENDING = frozenset({BatchStatus.PENDING})
_APPROVED = frozenset({BatchStatus.APPROVED})
_WITH_FILE = frozenset(
    {
        BatchStatus.APPROVED,
        BatchStatus.DELIVERED,
        BatchStatus.DELIVERY_UNKNOWN,
        BatchStatus.ACCEPTED,
        BatchStatus.EXECUTED,
        BatchStatus.REFUSED,
    }
)
_AT_THE_BANK = _WITH_FILE - {BatchStatus.EXECUTED, BatchStatus.REFUSED}
_PREPARERS = frozenset({"admin", "approver", "office_admin", "office_preparer"})
_EMPLOYER = frozenset({"admin", "approver"})
_APPROVERS = frozenset({"approver"})

RULES: Mapping[Action, ActionRule] = {
    Action.EDIT: ActionRule(statuses=_PENDING, roles=_PREPARERS, scope=Scope.PREPARE),
    Action.DECIDE: ActionRule(statuses=_PENDING, roles=_PREPARERS, scope=Scope.PREPARE),
    Action.ACKNOWLEDGE: ActionRule(statuses=_PENDING, roles=_EMPLOYER, scope=Scope.PREPARE),
    Action.APPROVE: ActionRule(statuses=_PENDING, roles=_APPROVERS, scope=Scope.APPROVE),
    Action.RECALL: ActionRule(statuses=_PENDING | _APPROVED, roles=_APPROVERS, scope=Scope.APPROVE),
    Action.REJECT: ActionRule(statuses=_PENDING, roles=_APPROVERS, scope=Scope.PREPARE),
    Action.CANCEL: ActionRule(statuses=_PENDING, roles=_PREPARERS, scope=Scope.PREPARE),
    Action.HOLD: ActionRule(statuses=_PENDING | _APPROVED, roles=_PREPARERS, scope=Scope.PREPARE),
    Action.LIFT_HOLD: ActionRule(statuses=_PENDING | _APPROVED, roles=_EMPLOYER, scope=Scope.APPROVE),
    Action.REISSUE: ActionRule(statuses=_APPROVED, roles=_EMPLOYER, scope=Scope.APPROVE),
    Action.HAND_OUT: ActionRule(statuses=_WITH_FILE, roles=_EMPLOYER, scope=Scope.FILES),
    Action.DELIVER: ActionRule(statuses=_APPROVED, roles=_EMPLOYER, scope=Scope.FILES),
    Action.WITHDRAW: ActionRule(
        statuses=_APPROVED | {BatchStatus.DELIVERY_UNKNOWN}, roles=_EMPLOYER, scope=Scope.APPROVE
    ),
    Action.STATE: ActionRule(statuses=_AT_THE_BANK, roles=_EMPLOYER, scope=Scope.FILES),
    # A bank may report on a file whatever became of its batch here; a withdrawn one above all must be heard of.
    Action.REPORT: ActionRule(statuses=frozenset(BatchStatus), roles=_EMPLOYER, scope=Scope.FILES),
    # Admins and approvers see the lines anyway; an office sees them when its mandate says so, and never for a while.
    Action.REVEAL: ActionRule(statuses=frozenset(BatchStatus), roles=frozenset({"auditor"}), scope=Scope.READ),
}

# Everything that may ever happen to a status. What is not here is forbidden for everyone: nothing leaves `delivered`
# back to `pending`, and nothing leaves an ended batch.
MOVES: Mapping[BatchStatus, frozenset[BatchStatus]] = {
    BatchStatus.PENDING: frozenset(
        {
            BatchStatus.PENDING,
            BatchStatus.APPROVED,
            BatchStatus.REJECTED,
            BatchStatus.CANCELLED,
            BatchStatus.SUPERSEDED,
            BatchStatus.EXPIRED,
        }
    ),
    BatchStatus.APPROVED: frozenset(
        {
            BatchStatus.PENDING,
            BatchStatus.DELIVERED,
            BatchStatus.DELIVERY_UNKNOWN,
            BatchStatus.ACCEPTED,
            BatchStatus.EXECUTED,
            BatchStatus.REFUSED,
            BatchStatus.EXPIRED,
        }
    ),
    BatchStatus.DELIVERY_UNKNOWN: frozenset(
        {
            BatchStatus.PENDING,
            BatchStatus.DELIVERED,
            BatchStatus.ACCEPTED,
            BatchStatus.EXECUTED,
            BatchStatus.REFUSED,
        }
    ),
    BatchStatus.DELIVERED: frozenset({BatchStatus.ACCEPTED, BatchStatus.EXECUTED, BatchStatus.REFUSED}),
    BatchStatus.ACCEPTED: frozenset({BatchStatus.EXECUTED, BatchStatus.REFUSED}),
}


class MovedMeanwhile(Conflict):
    """Somebody else moved the batch between our look and our act."""

    code = "batch_moved"
    title = "The batch changed at this moment"


def authorise(actor: Actor, batch: PaymentBatch, action: Action) -> None:
    """Refuse when this person or token may never do this with the batch, or the batch's status does not fit now."""
    require_rights(actor, batch, action)
    require_status(batch, action)


def require_rights(actor: Actor, batch: PaymentBatch, action: Action) -> None:
    """Refuse with `forbidden` when this person or token may never do this with the batch."""
    rule = RULES[action]
    actor.needs_employer_role(batch.employer_id, *rule.roles)
    actor.needs_scope(rule.scope)


def require_status(batch: PaymentBatch, action: Action) -> None:
    """Refuse with `not_allowed_now` when the action does not fit the status."""
    if batch.status not in RULES[action].statuses:
        raise NotAllowedNow(
            explain(action.value, batch.status, RULES[action].statuses),
            extra={"batch_status": batch.status, "action": action.value},
        )


def reasons_against(actor: Actor, batch: PaymentBatch, action: Action) -> list[str]:
    """Return the codes of why this person cannot do this now; empty when it is possible as far as the table knows."""
    rule = RULES[action]
    reasons = []
    if batch.status not in rule.statuses:
        reasons.append(f"status_is_{batch.status}")
    if not actor.roles_at(batch.employer_id) & rule.roles:
        reasons.append("role_missing")
    if rule.scope not in actor.scopes:
        reasons.append("scope_missing")
    return reasons


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One move of a batch: where to, what else changes on it, and how the history tells it."""

    to: BatchStatus
    event: str
    actor: HistoryActor
    now: datetime
    values: Mapping[str, Any]
    details: Mapping[str, Any]


def move(session: Session, batch: PaymentBatch, step: Move) -> None:
    """Move a batch: compare-and-set on status and revision, history in the same transaction.

    `batch` is the row as the caller saw it; it is refreshed. `MovedMeanwhile` when it is no longer so, `NotAllowedNow`
    when the move is not in the table.
    """
    if step.to not in MOVES.get(BatchStatus(batch.status), frozenset()):
        raise NotAllowedNow(f"A batch that is {batch.status} cannot become {step.to.value}.")
    session.flush()
    statement = (
        sa.update(PaymentBatch)
        .where(
            col(PaymentBatch.id) == batch.id,
            col(PaymentBatch.status) == batch.status,
            col(PaymentBatch.revision) == batch.revision,
        )
        .values(status=step.to, updated_at=step.now, **step.values)
        .execution_options(synchronize_session=False)
        .returning(col(PaymentBatch.id))
    )
    if session.execute(statement).first() is None:
        raise MovedMeanwhile("Look at the batch again; it is no longer as you saw it.")
    session.refresh(batch)
    tell(session, batch, event=step.event, actor=step.actor, now=step.now, details=step.details)


def tell(
    session: Session,
    batch: PaymentBatch,
    *,
    event: str,
    actor: HistoryActor,
    now: datetime,
    details: Mapping[str, Any],
) -> None:
    """Record something about a batch in its employer's history, with the figures every record of a batch carries."""
    history.record(
        session,
        Fact(
            organization_id=batch.employer_id,
            event=event,
            actor=actor,
            occurred_at=now,
            administration_id=batch.administration_id,
            payment_batch_id=batch.id,
            details={
                "status": batch.status,
                "revision": batch.revision,
                "digest": batch.digest,
                "number_of_transactions": batch.number_of_transactions,
                "control_sum_cents": batch.control_sum_cents,
                "requested_execution_date": batch.requested_execution_date.isoformat(),
                "debtor_account_id": str(batch.debtor_account_id),
                **details,
            },
        ),
    )


def tell_attention(session: Session, batch: PaymentBatch, codes: Collection[str], *, now: datetime) -> None:
    """Write down, once each, what a person should look at. The caller holds the batch's lock."""
    news = [code for code in codes if code not in batch.noted_attention]
    if news:
        batch.noted_attention = [*batch.noted_attention, *news]
        session.add(batch)
        session.flush()
        tell(session, batch, event="batch.attention", actor=SYSTEM, now=now, details={"codes": news})
