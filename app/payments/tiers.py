"""How many approvals a batch needs, and whether those that were given are enough. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from uuid import UUID

from app.core.errors import Problem

MOST_TIERS = 10
MOST_APPROVERS = 10
ONE_APPROVER: Sequence[Mapping[str, int]] = ({"from_cents": 0, "required": 1},)


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What decides how many approvals a batch needs.

    `tier_cents` is its total with the live batches of the same run and of the same account and date, so that splitting
    escapes nothing. `editor` made the last edit that counts for four eyes. `approvers` could approve today.
    """

    tier_cents: int
    tiers: Sequence[Mapping[str, int]]
    editor: UUID | None
    approvers: frozenset[UUID]
    over_soft_limit: bool
    source_denied: bool
    upload_beside_live: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One approval that counts. `is_unattended`: it came from a token that a program uses."""

    user_id: UUID
    is_unattended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """How many approvals are needed and why more than one; `is_one_person_firm` waives the second pair of eyes."""

    count: int
    reasons: tuple[str, ...]
    editor: UUID | None
    is_one_person_firm: bool


def tier_problems(tiers: Sequence[Mapping[str, int]]) -> list[Problem]:
    """Return what is wrong with tiers as entered: they rise from 0, and a higher amount never needs fewer people."""
    problems = []
    if not 1 <= len(tiers) <= MOST_TIERS or tiers[0]["from_cents"] != 0:
        message = f"Give 1 to {MOST_TIERS} tiers; the first one is from 0.00."
        problems.append(Problem(pointer="/tiers", code="tiers", message=message))
    for n, (lower, higher) in enumerate(pairwise(tiers), start=1):
        if higher["from_cents"] <= lower["from_cents"] or higher["required"] < lower["required"]:
            message = "Amounts rise from tier to tier, and a higher tier never needs fewer approvers."
            problems.append(Problem(pointer=f"/tiers/{n}", code="tier_order", message=message))
    return problems


def is_looser(before: Sequence[Mapping[str, int]], after: Sequence[Mapping[str, int]]) -> bool:
    """Say whether some amount would need fewer approvers than it does."""
    amounts = {tier["from_cents"] for tier in (*before, *after)}
    return any(of_tier(after, cents) < of_tier(before, cents) for cents in amounts)


def of_tier(tiers: Sequence[Mapping[str, int]], cents: int) -> int:
    """Return how many approvers the tiers ask for an amount."""
    return max(tier["required"] for tier in tiers if tier["from_cents"] <= max(0, cents))


def requirement(situation: Situation) -> Requirement:
    """Return how many approvals a batch needs."""
    count, reasons = of_tier(situation.tiers, situation.tier_cents), []
    if count > 1:
        reasons.append("tier")
    if situation.over_soft_limit:
        count, reasons = count + 1, [*reasons, "over_soft_limit"]
    for holds, reason in (
        (situation.source_denied, "source_denied"),
        (situation.upload_beside_live, "upload_beside_live_connection"),
    ):
        if holds:
            count, reasons = max(2, count), [*reasons, reason]
    one_person = len(situation.approvers) <= 1
    if situation.editor in situation.approvers and not one_person and count == 1:
        reasons.append("four_eyes")
    return Requirement(count=count, reasons=tuple(reasons), editor=situation.editor, is_one_person_firm=one_person)


def still_missing(needed: Requirement, given: Sequence[Given]) -> list[str]:
    """Return the codes of what is missing before a batch is approved; empty when these approvals are enough.

    Where more than one approval is needed, one of them at most may come from a program.
    """
    missing = []
    if len({each.user_id for each in given}) < needed.count:
        missing.append("more_approvals")
    elif needed.count > 1 and sum(each.is_unattended for each in given) > len(given) - needed.count + 1:
        missing.append("approval_by_a_person")
    if given and not needed.is_one_person_firm and all(each.user_id == needed.editor for each in given):
        missing.append("another_person_than_the_editor")
    return missing
