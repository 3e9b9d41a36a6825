"""What a run of the proof must have come to, or it proved less than it says."""

from collections import Counter

from app.payments.models import BatchStatus, TransferStatus

MUST_BE_REACHED = frozenset(
    {f"batch {status.value}" for status in BatchStatus}
    | {f"line {status.value}" for status in TransferStatus}
    | {
        "upload",
        "upload again",
        "run finished",
        "run done again",
        "run undone",
        "run changed: iban corrected",
        "run changed: line added",
        "run changed: line gone",
        "webhook",
        "poll",
        "sync",
        "source down",
        "edit date",
        "edit account",
        "line: exclude",
        "line: hold",
        "line: pay",
        "line: third_party",
        "hold",
        "lift own hold",
        "approve",
        "approve several",
        "approve what changed refused: batch_changed",
        "approve what changed refused: revision_changed",
        "approve: pending",
        "approved by 2",
        "approved over a soft limit",
        "approved in a firm of one person",
        "a day stood in for the second person",
        "upload dry",
        "approve refused: payment_limit_exceeded",
        "wrong pin refused: pin_incorrect",
        "recall while approved",
        "recall while approved refused: not_allowed_now",
        "reissue",
        "rejection",
        "cancellation",
        "offer again",
        "hand-out",
        "deliver",
        "deliver refused: hash_differs",
        "send: accepted",
        "send: refused",
        "send: unknown",
        "withdraw",
        "withdraw asked",
        "state accepted",
        "state executed",
        "state refused",
        "state refused asked",
        "report ACSC",
        "report RJCT",
        "report refuses: done",
        "channel report RJCT",
        "return",
        "follow-up",
        "paid-elsewhere",
        "waiver",
        "release additional",
        "confirm",
        "proposal withdrawn",
        "claim freed after hand-out",
        "looser tiers after a day",
        "restart",
    }
)


def missing_from(reached: Counter[str]) -> list[str]:
    """Return what was never reached of what must be."""
    return sorted(MUST_BE_REACHED - {what for what, times in reached.items() if times})
