"""What is said when an action does not fit the status of a batch: when it does, what the batch is, and how to go on."""

from collections.abc import Collection

from app.payments.models import BatchStatus

_WHAT = {
    "edit": "Date and account are changed",
    "decide": "Lines are decided on",
    "acknowledge": "Findings are confirmed",
    "approve": "A batch is approved",
    "recall": "An approval is recalled",
    "reject": "A batch is rejected",
    "cancel": "A batch is cancelled",
    "hold": "A hold is placed",
    "lift_hold": "A hold is lifted",
    "reissue": "Another date is given to a file",
    "hand_out": "A file is handed out",
    "deliver": "A file is said to be handed in",
    "withdraw": "A file is withdrawn",
    "state": "What the bank did is said",
    "report": "A report of the bank is taken",
    "reveal": "Lines are revealed",
}
_AFTER_BANK = (
    "The bank may have the file: say what it did with a statement (POST .../statements) or upload its status report."
)
_ENDED = "It ended without a file; its run can be offered again (POST /v1/payroll-runs/{run_id}/batches)."
_GO_ON = {
    BatchStatus.PENDING: "Approve it first.",
    BatchStatus.APPROVED: (
        "As long as its file was never handed out, an approver recalls the approval (DELETE .../approvals/mine); "
        "afterwards two people withdraw the file (POST .../withdrawals)."
    ),
    BatchStatus.DELIVERED: _AFTER_BANK,
    BatchStatus.DELIVERY_UNKNOWN: _AFTER_BANK,
    BatchStatus.ACCEPTED: _AFTER_BANK,
    BatchStatus.EXECUTED: (
        "Of money that came back two people say so (POST /v1/transfers/{id}/return); what was not paid is on the list "
        "of unpaid lines (GET /v1/unpaid-transfers)."
    ),
    BatchStatus.REFUSED: "What was not paid is on the list of unpaid lines (GET /v1/unpaid-transfers).",
    BatchStatus.REJECTED: _ENDED,
    BatchStatus.CANCELLED: _ENDED,
    BatchStatus.SUPERSEDED: "A newer batch of its run took its place, or the run was undone at the source.",
    BatchStatus.EXPIRED: _ENDED,
}


def explain(action: str, status: str, fitting: Collection[BatchStatus]) -> str:
    """Return in a sentence or two when `action` is possible, and what can be done with a batch that is `status`."""
    when = " or ".join(each.value for each in BatchStatus if each in fitting)
    return f"{_WHAT[action]} while a batch is {when}; this one is {status}. {_GO_ON[BatchStatus(status)]}"
