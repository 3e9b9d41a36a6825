"""What holds after every step, whatever happened: checked on the database and on what people are shown."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any
from xml.etree import ElementTree as ET

import sqlalchemy as sa

from app.core.database import transaction
from app.payments import building, fetching
from app.payments.models import PaymentFile, PayrollRun, SourceReading
from tests.proofs.model_house import money
from tests.proofs.model_memory import Model, Tiers, limits_now
from tests.proofs.model_picture import HELD, Picture, Row

FINAL = frozenset({"executed", "refused", "rejected", "cancelled", "superseded", "expired"})
AT_THE_BANK = frozenset({"delivered", "accepted", "executed", "refused"})
_CLOSED = ("elsewhere", "waived")


def check_everything(model: Model, before: Picture) -> None:
    """Check a step: `before` is the picture before it, `model.now` the one after it."""
    if before == model.now:
        # Nothing was written, so everything holds that held before.
        nothing_goes_back(model, before)
        return
    for check in _OF_A_PICTURE:
        check(model)
    for check_step in _OF_A_STEP:
        check_step(model, before)


# ----------------------------------------------------------------------------------------- of one picture


def one_claim_each(model: Model) -> None:
    """No obligation has two live or spent claims."""
    held = Counter(claim.obligation for claim in model.now.held_claims())
    assert max(held.values(), default=0) <= 1, f"{held.most_common(1)}: two live or spent claims"


def sums_are_equal(model: Model) -> None:
    """A batch, its lines, its file and its claims say the same number and the same cents."""
    now = model.now
    for batch in now.batches.values():
        lines = now.lines_of(batch.id)
        if batch.status == "pending":
            said = _totals([line for line in lines if line.status == "payable"])
            assert (batch.number, batch.cents) == said, f"a pending batch says {batch.number}, {batch.cents}: {said}"
        file = now.live_file(batch.id)
        if file is None:
            continue
        in_file = _totals([line for line in lines if line.file_n == file.n])
        assert in_file == (file.number, file.cents) == (batch.number, batch.cents), f"sums of {file.message_id} differ"
        paying = [line for line in lines if line.status in {"in_file", "executed"}]
        claims = [each for each in now.held_claims() if each.batch_id == batch.id and each.way == "file"]
        assert _totals(paying) == _totals(claims), f"claims of {file.message_id} are not its lines"
        assert {line.obligation for line in paying} == {claim.obligation for claim in claims}


def _totals(rows: list[Row]) -> tuple[int, int]:
    return len(rows), sum(row.cents for row in rows)


def claims_are_of_batches_with_a_file(model: Model) -> None:
    """Who has a live claim on a line has a file for it; a closed line is in none."""
    for claim in model.now.held_claims():
        if claim.way in _CLOSED:
            assert claim.obligation not in model.memory.out, "a line was closed that is in a file outside"
        else:
            status = model.now.batches[claim.batch_id].status
            assert model.now.live_file(claim.batch_id) is not None, f"a claim of a {status} batch without a file"


def nothing_offered_twice(model: Model) -> None:
    """No pending batch offers a line that is being paid, was paid or is closed; no line stands in two of them."""
    held = {claim.obligation for claim in model.now.held_claims()}
    offered: Counter[str] = Counter()
    for batch in model.now.batches.values():
        if batch.status == "pending":
            offered.update(line.obligation for line in model.now.lines_of(batch.id) if line.status == "payable")
    assert not held & offered.keys(), "a pending batch offers a line that is being paid or is closed"
    assert max(offered.values(), default=0) <= 1, "two pending batches offer one line"


def nobody_is_lost(model: Model) -> None:
    """Every line of a fetched run is paid, being paid, closed, waiting in a batch, listed, or gone at the source."""
    now = model.now
    safe = {claim.obligation for claim in now.held_claims()}
    pending = {batch.id for batch in now.batches.values() if batch.status == "pending"}
    safe |= {line.obligation for line in now.lines.values() if line.batch_id in pending}
    listed = {each["transfer"]["id"] for each in model.house.get("/v1/unpaid-transfers?limit=1000")}
    on_list = {now.lines[line_id].obligation for line_id in listed}
    assert not on_list & {claim.obligation for claim in now.held_claims()}, "a line on the unpaid list is being paid"
    for obligation in now.obligations.values():
        if obligation.id in safe | on_list or obligation.run_state != "fetched":
            continue
        assert _is_gone(model, obligation), f"nobody knows any more of {obligation.cents} cents to line {obligation.n}"


def _is_gone(model: Model, obligation: Row) -> bool:
    """Say whether the source no longer lists a line, by the document that was read last."""
    present = model.memory.present.get(obligation.reading_id)
    if present is None:
        present = model.memory.present[obligation.reading_id] = _read(model, obligation.reading_id)
    accounts = {line.iban for line in model.now.lines.values() if line.obligation == obligation.id}
    return all(present[account, obligation.cents] < obligation.n for account in accounts)


def _read(model: Model, reading_id: str) -> Counter[tuple[str, int]]:
    ctx = model.house.service.context
    with transaction(ctx.engine) as session:
        row = session.get_one(SourceReading, reading_id)
        run = session.get_one(PayrollRun, row.run_id)
        data = ctx.keyring.open(row.raw_sealed, fetching.reading_place(run.employer_id, row.id))
    lines = [each for each in ET.fromstring(data).iter() if each.tag.endswith("}CdtTrfTxInf")]  # noqa: S314 - our own
    return Counter((_text(line, "IBAN"), int(_text(line, "InstdAmt").replace(".", ""))) for line in lines)


def _text(element: ET.Element, name: str) -> str:
    return next(each.text or "" for each in element.iter() if each.tag.endswith("}" + name))


# -------------------------------------------------------------------------------------------- of one step


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
    _enough_approvals(model, file)
    _within_limits(model, file)


def _enough_approvals(model: Model, file: Row) -> None:
    """As many different people approved exactly this digest as the tiers ask for, not only who edited it last."""
    batch = model.now.batches[file.batch_id]
    given = model.memory.approved.get((file.batch_id, file.revision), {})
    assert batch.revision == file.revision, "a file of another revision than its batch"
    assert set(given.values()) == {batch.digest}, "approved on another digest than the stored one"
    beside = sum(
        claim.cents
        for claim in model.now.held_claims()
        if claim.way == "file"
        and claim.batch_id != batch.id
        and (
            model.now.batches[claim.batch_id].run_id == batch.run_id
            or (claim.account, claim.day) == (batch.account, batch.day)
        )
    )
    needed = required(model.memory.tiers, batch.cents + beside)
    assert len(given) >= needed, f"{len(given)} of {needed} approvals for {batch.cents} cents beside {beside}"
    assert set(given) != {model.memory.editor.get(batch.id)}, "only who edited the batch approved it"
    model.reach(f"approved by {len(given)}")


def required(tiers: Tiers, cents: int) -> int:
    """Return how many approvers an amount asks for."""
    return max(count for lower, count in tiers if lower <= cents)


def _within_limits(model: Model, file: Row) -> None:
    batch = model.now.batches[file.batch_id]
    limits = limits_now(model, model.house.accounts.index(batch.account))
    used = [claim for claim in model.now.held_claims() if claim.account == batch.account and claim.way == "file"]
    month = [claim for claim in used if (claim.day.year, claim.day.month) == (batch.day.year, batch.day.month)]
    asked = {
        "per_transfer": max(line.cents for line in model.now.lines_of(batch.id) if line.file_n == file.n),
        "per_batch": batch.cents,
        "per_day": sum(claim.cents for claim in used if claim.day == batch.day),
        "per_month": sum(claim.cents for claim in month),
    }
    for kind, limit in limits.items():
        assert asked[kind] <= limit, f"{kind}: {asked[kind]} cents, {limit} allowed"


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


# ------------------------------------------------------------------------------------------------- shown


def check_shown(model: Model, before: Picture) -> None:
    """People are shown what stands in the database: every batch that a step changed."""
    for batch_id, batch in model.now.batches.items():
        lines = model.now.lines_of(batch_id)
        if batch != before.batches.get(batch_id) or lines != before.lines_of(batch_id):
            _is_shown_right(model.house.get(f"/v1/payment-batches/{batch_id}"), batch, lines)


def _is_shown_right(said: Mapping[str, Any], batch: Row, lines: Sequence[Row]) -> None:
    assert (said["status"], said["revision"], said["digest"]) == (batch.status, batch.revision, batch.digest)
    assert (said["number_of_transactions"], said["control_sum"]) == (batch.number, money(batch.cents))
    counts = Counter(line.status for line in lines)
    assert said["counts"] == dict(counts), f"counts {said['counts']}, lines {dict(counts)}"


def check_the_end(model: Model) -> None:
    """At the end: the list shows every batch, and every file ever stored opens to the bytes of its hash."""
    shown = {each["id"]: each for each in model.house.get("/v1/payment-batches?limit=200")}
    assert shown.keys() == model.now.batches.keys(), "the list of batches is not complete"
    for batch_id, batch in model.now.batches.items():
        _is_shown_right(shown[batch_id], batch, model.now.lines_of(batch_id))
    ctx = model.house.service.context
    with transaction(ctx.engine) as session:
        for row in session.execute(sa.select(PaymentFile)).scalars():
            place = building.file_place(model.house.house.employer_id, row.id)
            assert sha256(ctx.keyring.open(row.content_sealed, place)).hexdigest() == row.sha256, row.message_id
    assert all(claim.state in {*HELD, "released"} for claim in model.now.claims.values())


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


_OF_A_PICTURE: tuple[Callable[[Model], None], ...] = (
    one_claim_each,
    sums_are_equal,
    claims_are_of_batches_with_a_file,
    nothing_offered_twice,
    nobody_is_lost,
)
_OF_A_STEP: tuple[Callable[[Model, Picture], None], ...] = (
    nothing_goes_back,
    files_stay_as_they_were,
    claims_are_freed_by_people,
    late_lines_wait,
    check_shown,
)
