"""What holds at any moment: claims, sums, offers, and nobody who is lost."""

from collections import Counter
from collections.abc import Callable
from xml.etree import ElementTree as ET

from app.core.database import transaction
from app.payments import fetching
from app.payments.models import PayrollRun, SourceReading
from tests.proofs.model_memory import Model
from tests.proofs.model_picture import Row

_CLOSED = ("elsewhere", "waived")


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
        if batch.mode != "live":
            continue
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


def dry_runs_pay_nothing(model: Model) -> None:
    """A dry run claims nothing, and its file neither leaves the house nor comes to a bank."""
    dry = {batch.id for batch in model.now.batches.values() if batch.mode != "live"}
    assert not any(claim.batch_id in dry for claim in model.now.held_claims()), "a dry run took a claim"
    for file in model.now.files.values():
        if file.batch_id in dry:
            assert file.message_id.startswith("DRY"), f"{file.message_id} of a dry run could be taken for a real one"
            assert file.handed_out_at is None, f"{file.message_id} of a dry run was handed out"
            assert file.delivered_at is None, f"{file.message_id} of a dry run was delivered"


def nobody_is_lost(model: Model) -> None:
    """Every line of a fetched run is paid, being paid, closed, waiting in a batch, listed, or gone at the source."""
    now = model.now
    safe = {claim.obligation for claim in now.held_claims()}
    pending = {batch.id for batch in now.batches.values() if batch.status == "pending"}
    safe |= {line.obligation for line in now.lines.values() if line.batch_id in pending}
    listed = {each["transfer"]["id"] for each in model.house.get("/v1/unpaid-transfers?limit=1000")}
    on_list = {now.lines[line_id].obligation for line_id in listed}
    assert not on_list & {claim.obligation for claim in now.held_claims()}, "a line on the unpaid list is being paid"
    for obligation_id in on_list:
        obligation = now.obligations[obligation_id]
        assert not _is_gone(model, obligation), f"{obligation.cents} cents are listed as unpaid, and gone at the source"
    dry = {batch.run_id for batch in now.batches.values() if batch.mode != "live"}
    for obligation in now.obligations.values():
        if obligation.run_id in dry or obligation.id in safe | on_list or obligation.run_state != "fetched":
            continue
        assert _is_gone(model, obligation), f"nobody knows any more of {obligation.cents} cents to line {obligation.n}"


def what_is_gone_is_not_handed_out(model: Model) -> None:
    """An approved batch that pays what the source lists no longer was barred, until two people look."""
    now = model.now
    barred = {row.target for row in model.house.rows(_EVER_HELD)}
    for batch in now.batches.values():
        if batch.status != "approved" or batch.mode != "live" or batch.id in barred:
            continue
        for line in now.lines_of(batch.id):
            obligation = now.obligations[line.obligation]
            if line.status == "in_file" and obligation.run_state == "fetched":
                assert not _is_gone(model, obligation), f"batch {batch.id} pays what is gone at the source, unbarred"


_EVER_HELD = "SELECT DISTINCT target_id::text AS target FROM hold WHERE target_id IS NOT NULL"


def _is_gone(model: Model, obligation: Row) -> bool:
    """Say whether the source no longer lists a line, by the document that was read last."""
    present = model.memory.present.get(obligation.reading_id)
    if present is None:
        present = model.memory.present[obligation.reading_id] = _read(model, obligation.reading_id)
    accounts = {line.iban for line in model.now.lines.values() if line.obligation == obligation.id}
    accounts = accounts or {obligation.creditor}  # in no batch at all
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


OF_A_PICTURE: tuple[Callable[[Model], None], ...] = (
    one_claim_each,
    sums_are_equal,
    claims_are_of_batches_with_a_file,
    nothing_offered_twice,
    what_is_gone_is_not_handed_out,
    dry_runs_pay_nothing,
    nobody_is_lost,
)
