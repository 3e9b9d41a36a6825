"""What somebody can do with a batch now, and why not.

The reasons are the codes that the refusal would carry, as far as they are known without asking the source or building
the file. Whoever acts is judged again; this only tells beforehand.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.auth.actor import Actor
from app.payments import bank_profiles, calendar
from app.payments.api import schemas
from app.payments.limits import LimitKind
from app.payments.models import (
    AccountState,
    BatchStatus,
    DebtorAccount,
    Hold,
    HoldScope,
    LinkMode,
    PaymentBatch,
    PaymentFile,
)
from app.payments.transitions import Action, reasons_against


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """A batch with everything that bears on what can be done with it.

    `limits` is None where limits are not judged (dry runs) or not shown to the caller; `limits_set` says whether the
    account has any. `largest_cents` is the largest line that is paid. `pin_fault` is the code with which any PIN of the
    caller would be refused now.
    """

    batch: PaymentBatch
    account: DebtorAccount
    files: Sequence[PaymentFile]
    holds: Sequence[Hold]
    open_acknowledgements: int
    is_approved_by_caller: bool
    run_must_be_locked: bool
    limits: Mapping[str, schemas.LimitOut] | None
    limits_set: bool
    largest_cents: int
    pin_fault: str | None
    now: datetime

    @property
    def is_handed_out(self) -> bool:
        """Whether any of its files left the house."""
        return any(file.handed_out_at is not None for file in self.files)


def allowed_actions(actor: Actor, situation: Situation) -> list[schemas.ActionOut]:
    """Return every action, whether the caller can do it now, and if not, every reason that is known."""
    actions = []
    for action in Action:
        reasons = reasons_against(actor, situation.batch, action)
        if action is Action.LIFT_HOLD and any(hold.scope == HoldScope.EMPLOYER for hold in situation.holds):
            reasons = [reason for reason in reasons if not reason.startswith("status_is_")]
        if not any(reason.startswith("status_is_") for reason in reasons):
            reasons += _AGAINST.get(action, _nothing)(situation)
        actions.append(schemas.ActionOut(action=action.value, allowed=not reasons, reasons=reasons))
    return actions


def _nothing(_: Situation) -> list[str]:
    return []


def _named(reasons: Mapping[str, bool]) -> list[str]:
    return [code for code, applies in reasons.items() if applies]


def _against_approving(it: Situation) -> list[str]:
    problem = calendar.date_problem(
        it.batch.requested_execution_date, now=it.now, profile=bank_profiles.profile_for(it.account.iban)
    )
    is_bank_day = problem is None or problem.code != "not_a_bank_day"
    pin_fault = {} if it.pin_fault is None else {it.pin_fault: True}
    return _named(
        {
            **pin_fault,
            "already_approved_by_you": it.is_approved_by_caller,
            "nothing_to_pay": it.batch.number_of_transactions == 0,
            "held": bool(it.holds),
            "account_not_confirmed": it.account.state != AccountState.CONFIRMED,
            "run_not_locked": it.run_must_be_locked,
            "acknowledgement_needed": it.open_acknowledgements > 0,
            "not_a_bank_day": not is_bank_day,
            "execution_date_impossible": problem is not None and is_bank_day,
            "limit_not_set": it.batch.mode == LinkMode.LIVE and not it.limits_set,
            "payment_limit_exceeded": _is_over(it),
        }
    )


def _is_over(it: Situation) -> bool:
    if it.limits is None:
        return False
    asked = {LimitKind.TRANSFER.value: it.largest_cents}
    return any(
        use.limit is not None and use.used.cents + asked.get(kind, it.batch.control_sum_cents) > use.limit.cents
        for kind, use in it.limits.items()
    )


def _against_recalling(it: Situation) -> list[str]:
    is_pending = it.batch.status == BatchStatus.PENDING
    return _named(
        {
            "file_was_handed_out": not is_pending and it.is_handed_out,
            "not_approved_by_you": is_pending and not it.is_approved_by_caller,
        }
    )


def _against_reissuing(it: Situation) -> list[str]:
    return _named({"file_was_handed_out": it.is_handed_out})


def _against_handing_out(it: Situation) -> list[str]:
    """A file that left the house before is given again, but not past a hold on everything; else it is judged anew."""
    is_erased = it.batch.erased_at is not None
    if it.batch.mode == LinkMode.DRY_RUN:
        return _named({"erased": is_erased})
    if it.is_handed_out:
        on_everything = (HoldScope.SYSTEM, HoldScope.EMPLOYER)
        return _named({"erased": is_erased, "held": any(hold.scope in on_everything for hold in it.holds)})
    latest = calendar.release_before(it.batch.requested_execution_date, bank_profiles.profile_for(it.account.iban))
    return _named(
        {
            "erased": is_erased,
            "held": bool(it.holds),
            "account_not_confirmed": it.account.state != AccountState.CONFIRMED,
            "execution_date_passed": it.now > latest,
        }
    )


def _against_the_bank(it: Situation) -> list[str]:
    is_approved = it.batch.status == BatchStatus.APPROVED
    return _named(
        {
            "file_never_handed_out": is_approved and not it.is_handed_out,
            "dry_run": it.batch.mode == LinkMode.DRY_RUN,
        }
    )


def _against_lifting(it: Situation) -> list[str]:
    liftable = (HoldScope.BATCH, HoldScope.EMPLOYER)
    return _named({"no_hold": not any(hold.scope in liftable for hold in it.holds)})


def _against_acknowledging(it: Situation) -> list[str]:
    return _named({"nothing_to_acknowledge": it.open_acknowledgements == 0})


_AGAINST: Mapping[Action, Callable[[Situation], list[str]]] = {
    Action.APPROVE: _against_approving,
    Action.ACKNOWLEDGE: _against_acknowledging,
    Action.RECALL: _against_recalling,
    Action.REISSUE: _against_reissuing,
    Action.HAND_OUT: _against_handing_out,
    Action.DELIVER: _against_the_bank,
    Action.WITHDRAW: _against_the_bank,
    Action.STATE: _against_the_bank,
    Action.REPORT: _against_the_bank,
    Action.LIFT_HOLD: _against_lifting,
}
