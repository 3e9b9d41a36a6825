"""What holds from before a step to after it: nothing goes back, and money only goes where people agreed."""

from collections.abc import Callable, Mapping

import sqlalchemy as sa

from tests.proofs.model_memory import Limits, Model, Tiers, limits_now
from tests.proofs.model_picture import HELD, Picture, Row

FINAL = frozenset({"executed", "refused", "rejected", "cancelled", "superseded", "expired"})
AT_THE_BANK = frozenset({"delivered", "accepted", "executed", "refused"})
_SECOND_CLAIM = (
    "INSERT INTO claim SELECT (jsonb_populate_record(held, jsonb_build_object('id', gen_random_uuid(), 'attempt', "
    "held.attempt + 1000))).* FROM claim AS held WHERE held.state IN ('live', 'spent') LIMIT 1"
)


def nothing_goes_back(model: Model, before: Picture) -> None:
    """Nothing leaves a final state, nothing at the bank is pending again, and no revision falls."""
    for old in before.batches.values():
        new = model.now.batches[old.id]
        assert old.status not in FINAL or new.status == old.status, f"{old.status} became {new.status}"
        assert old.status not in AT_THE_BANK or new.status in AT_THE_BANK, f"{old.status} became {new.status}"
        assert new.revision >= old.revision, "a revision fell"
        model.reached[f"batch {new.status}"] += 1
    model.reached.update(f"line {line.status}" for line in model.now.lines.values() if line.id not in before.lines)
    for line_id, line in before.lines.items():
        if model.now.lines[line_id].status != line.status:
            model.reach(f"line {model.now.lines[line_id].status}")


def files_stay_as_they_were(model: Model, before: Picture) -> None:
    """A stored file keeps its bytes, its hash and its fate; one that left the house is void only when people agree."""
    for old in before.files.values():
        new = model.now.files[old.id]
        same = (new.sealed, new.sha256, new.message_id) == (old.sealed, old.sha256, old.message_id)
        assert same, f"{old.message_id} has other bytes than when it was stored"
        assert old.voided_at is None or new.voided_at == old.voided_at, "a void file came back"
        assert old.handed_out_at is None or new.handed_out_at == old.handed_out_at, "a hand-out was forgotten"
    for file in model.now.files.values():
        if file.id not in before.files:
            _check_new_file(model, file)
        was_void = file.id in before.files and before.files[file.id].voided_at is not None
        if file.voided_at is not None and not was_void and file.handed_out_at is not None:
            assert _agreed(model, file.batch_id, None, file), f"{file.message_id} was out and is void by nobody's word"


def _check_new_file(model: Model, file: Row) -> None:
    asked = _asked_of_limits(model, file)
    limits = limits_now(model, model.house.accounts.index(model.now.batches[file.batch_id].account))
    is_live = model.now.batches[file.batch_id].mode == "live"
    _enough_approvals(model, file, is_over_soft=is_live and bool(_over(limits, asked, "soft_")))
    over = _over(limits, asked, "")
    assert not (is_live and over), f"{over}: asked {asked}, limits {limits}"


def _over(limits: Limits, asked: Mapping[str, int], which: str) -> list[str]:
    return [kind for kind, cents in asked.items() if cents > limits.get(which + kind, cents)]


def _enough_approvals(model: Model, file: Row, *, is_over_soft: bool) -> None:
    """As many different people approved exactly this digest as the tiers ask for, not only who edited it last."""
    batch = model.now.batches[file.batch_id]
    given = model.memory.approved.get((file.batch_id, file.revision), {})
    assert batch.revision == file.revision, "a file of another revision than its batch"
    assert set(given.values()) == {batch.digest}, "approved on another digest than the stored one"
    # Of several that one person approved in one act each is judged beside those before it.
    act = model.memory.in_one_act
    later = act[act.index(batch.id) + 1 :] if batch.id in act else []
    beside = sum(
        claim.cents
        for claim in model.now.held_claims()
        if claim.way == "file"
        and claim.batch_id not in {batch.id, *later}
        and (
            model.now.batches[claim.batch_id].run_id == batch.run_id
            or (claim.account, claim.day) == (batch.account, batch.day)
        )
    )
    needed = required(model.memory.tiers, batch.cents + beside) + is_over_soft
    assert len(given) >= needed, f"{len(given)} of {needed} approvals for {batch.cents} cents beside {beside}"
    is_edited_alone = len(model.house.people) > 1 and set(given) == {model.memory.editor.get(batch.id)}
    assert not is_edited_alone, "only who edited the batch approved it"
    model.reach(f"approved by {len(given)}")
    if is_over_soft:
        model.reach("approved over a soft limit")
    if len(model.house.people) == 1:
        model.reach("approved in a firm of one person")


def required(tiers: Tiers, cents: int) -> int:
    """Return how many approvers an amount asks for."""
    return max(count for lower, count in tiers if lower <= cents)


def _asked_of_limits(model: Model, file: Row) -> Mapping[str, int]:
    """Return what is used of each kind of limit now that this file was approved."""
    batch = model.now.batches[file.batch_id]
    beside = [
        claim
        for claim in model.now.held_claims()
        if claim.account == batch.account and claim.way == "file" and claim.batch_id != batch.id
    ]
    month = [claim for claim in beside if (claim.day.year, claim.day.month) == (batch.day.year, batch.day.month)]
    return {
        "per_transfer": max(line.cents for line in model.now.lines_of(batch.id) if line.file_n == file.n),
        "per_batch": batch.cents,
        "per_day": batch.cents + sum(claim.cents for claim in beside if claim.day == batch.day),
        "per_month": batch.cents + sum(claim.cents for claim in month),
    }


def the_database_has_the_last_word(model: Model, before: Picture) -> None:
    """A second claim on an obligation is refused by the database itself, whoever would write it."""
    if model.now.claims == before.claims or not model.now.held_claims():
        return
    refused = ""
    with model.house.superuser.connect() as connection:
        try:
            connection.execute(sa.text(_SECOND_CLAIM))
        except sa.exc.IntegrityError as error:
            refused = str(error)
    assert "uq_claim_live_or_spent" in refused, "the database takes a second claim on an obligation"


def claims_are_freed_by_people(model: Model, before: Picture) -> None:
    """A claim is never deleted or unspent; one whose file is out is released by two people, or the bank, only."""
    for old in before.claims.values():
        new = model.now.claims[old.id]
        assert (old.state, new.state) != ("spent", "live"), "a paid line became unpaid by itself"
        if old.state == "spent" and new.state == "released":
            assert old.way == "file", "a closed line was opened again"
    holders = {(claim.obligation, claim.batch_id) for claim in model.now.held_claims()}
    for obligation, file_id in list(model.memory.out.items()):
        file = model.now.files[file_id]
        if (obligation, file.batch_id) in holders and file.voided_at is None:
            continue
        assert _agreed(model, file.batch_id, obligation, file), (
            "a line that is out was freed by nobody's word, or one's"
        )
        model.reach("claim freed after hand-out")
        del model.memory.out[obligation]


def _agreed(model: Model, batch_id: str, obligation: str | None, file: Row) -> bool:
    if file.message_id in model.house.bank.refused:
        return True
    return any(
        named == batch_id and (lines is None or obligation is None or obligation in lines)
        for named, lines in model.memory.agreed
    )


def late_lines_wait(model: Model, before: Picture) -> None:
    """A line that came into a run after a claim of that run is in no file before two people release it."""
    now = model.now
    claimed = {before.obligations[claim.obligation].run_id for claim in before.claims.values()}
    fresh = [each for each in model.now.obligations.values() if each.id not in before.obligations]
    model.memory.late |= {each.id for each in fresh if each.run_id in claimed}
    # After a recall nothing of the run was paid, and it is one batch again.
    paid = {now.obligations[each.obligation].run_id for each in now.claims.values() if _counts(each)}
    model.memory.late = {each for each in model.memory.late if now.obligations[each].run_id in paid}
    paying = {line.obligation for line in model.now.lines.values() if line.status == "in_file"}
    assert not paying & model.memory.late, "a line that came after an approval is paid without two people"


def _counts(claim: Row) -> bool:
    return claim.state in HELD or bool(claim.was_handed_out)


OF_A_STEP: tuple[Callable[[Model, Picture], None], ...] = (
    nothing_goes_back,
    files_stay_as_they_were,
    claims_are_freed_by_people,
    late_lines_wait,
    the_database_has_the_last_word,
)
