"""Payment limits: pure arithmetic in cents. The caller holds the account's lock and supplies what is used already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class LimitKind(StrEnum):
    """What a limit counts: one line, one batch, all batches of one execution date, of one calendar month."""

    TRANSFER = "per_transfer"
    BATCH = "per_batch"
    DAY = "per_day"
    MONTH = "per_month"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitUse:
    """One limit with what is used, in cents. `limit_cents` is None when this kind is not limited."""

    kind: LimitKind
    limit_cents: int | None
    used_cents: int

    @property
    def headroom_cents(self) -> int | None:
        """What may still be approved under this limit; None when it is not limited."""
        return None if self.limit_cents is None else max(0, self.limit_cents - self.used_cents)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceeded:
    """A limit that a batch does not fit in: limit, used and asked, in cents."""

    kind: LimitKind
    limit_cents: int
    used_cents: int
    asked_cents: int


def uses(limits: Mapping[LimitKind, int | None], *, used_day_cents: int, used_month_cents: int) -> list[LimitUse]:
    """Return every kind of limit with what is used of it; a single line and a single batch start from nothing."""
    used = {LimitKind.DAY: used_day_cents, LimitKind.MONTH: used_month_cents}
    return [LimitUse(kind=kind, limit_cents=limits.get(kind), used_cents=used.get(kind, 0)) for kind in LimitKind]


def exceeded(limit_uses: Sequence[LimitUse], *, largest_line_cents: int, total_cents: int) -> list[Exceeded]:
    """Return every limit that a batch of this total and this largest line would pass. Exactly on the limit fits."""
    asked = {LimitKind.TRANSFER: largest_line_cents}
    return [
        Exceeded(
            kind=use.kind,
            limit_cents=use.limit_cents,
            used_cents=use.used_cents,
            asked_cents=asked.get(use.kind, total_cents),
        )
        for use in limit_uses
        if use.limit_cents is not None and use.used_cents + asked.get(use.kind, total_cents) > use.limit_cents
    ]
