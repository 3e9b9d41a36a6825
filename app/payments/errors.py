"""Errors of the domain, each named for the business fact. Adapters raise the `SourceFault` family."""

from dataclasses import dataclass
from enum import StrEnum

from app.core.errors import Conflict, Invalid, PreconditionFailed, Unavailable


class FaultKind(StrEnum):
    """Who can end a fault of a payroll source: time, a person, or we."""

    WAIT = "wait"
    PERSON = "person"
    OURS = "ours"


@dataclass(eq=False)
class SourceFault(Exception):
    """A payroll source did not give what was asked.

    `code` is stable (`source_unreachable`, `right_missing`, ...); `operation` is the exact name of the call at the
    source (`CompanyService.Run_GetList`); `explanation` says in plain words what to do and holds no secret and no
    personal data. `vendor_code` is the source's own number when it gave one.
    """

    kind: FaultKind
    code: str
    operation: str
    explanation: str
    vendor_code: str | None = None

    def __str__(self) -> str:
        """Return the code, the operation and the explanation."""
        return f"{self.code} ({self.operation}): {self.explanation}"


@dataclass(eq=False)
class UnreadableDocument(Exception):
    """The bytes are no SEPA message to trust; `code` is stable, `explanation` says why and what to do."""

    code: str
    explanation: str

    def __str__(self) -> str:
        """Return the code and the explanation."""
        return f"{self.code}: {self.explanation}"


class BatchChanged(PreconditionFailed):
    """What was approved is not what is there now."""

    code = "batch_changed"
    title = "The batch has changed since it was shown"


class CanonicalChanged(Conflict):
    """What the digest was made of can no longer be put together from the rows."""

    code = "canonical_changed"
    title = "The bytes of this digest can no longer be shown"


class LimitNotSet(Invalid):
    """The debtor account has no payment limit, so nothing can be approved on it."""

    code = "limit_not_set"
    title = "No payment limit has been set for the account"


class PaymentLimitExceeded(Invalid):
    """The batch does not fit within a payment limit of the account."""

    code = "payment_limit_exceeded"
    title = "Over the payment limit"


class NotABankDay(Invalid):
    """The requested execution date is not a day on which banks settle."""

    code = "not_a_bank_day"
    title = "Not a bank day"


class ExecutionDateImpossible(Invalid):
    """The requested execution date is past, past its cut-off, or too far ahead."""

    code = "execution_date_impossible"
    title = "The execution date is not possible"


class NotAllowedNow(Conflict):
    """The action does not fit the state of the batch."""

    code = "not_allowed_now"
    title = "Not possible in this state"


class AlreadyClaimed(Conflict):
    """An obligation of this batch is already being paid, or was paid."""

    code = "already_claimed"
    title = "Already being paid elsewhere"


class SourceUnreachable(Unavailable):
    """The payroll source could not be asked whether the run is still the same."""

    code = "source_unreachable"
    title = "The payroll source does not answer"


class FileContentRefused(Invalid):
    """What the file would hold breaks a rule; `errors` names line, field and remedy."""

    code = "file_content_refused"
    title = "The payment file would not be right"


class FileCheckFailed(Conflict):
    """The independent checks of the payment file disagree; the file was not stored."""

    code = "file_check_failed"
    title = "The payment file did not pass its checks"
