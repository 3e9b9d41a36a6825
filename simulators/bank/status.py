"""What a status report says, before it is XML: statuses of the message, its batches and their lines."""

from dataclasses import dataclass

from simulators.bank.order import Batch, Transfer


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A status code with its reason: `reason` is an ISO code or None, `texts` what AddtlInf holds."""

    code: str
    reason: str | None = None
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LineStatus:
    """What is said of one transfer."""

    transfer: Transfer
    status: Status


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatus:
    """What is said of one batch: a status of its own, or None when only lines have one."""

    batch: Batch
    status: Status | None = None
    lines: tuple[LineStatus, ...] = ()
    names_batch: bool = True  # False leaves OrgnlPmtInfId out, against the schema, as some banks do


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """A whole report on a message, which may be one that was never sent."""

    message_id: str
    group: Status | None = None
    batches: tuple[BatchStatus, ...] = ()
