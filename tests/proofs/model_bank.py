"""What happens between employer and bank: hand-out, delivery, withdrawal, statements, reports, returns."""

from collections.abc import Sequence
from hashlib import sha256

import httpx2

from app.core.database import transaction
from app.core.errors import AppError
from app.payments import bank_reports
from app.payments.ports import ChannelOutcome
from benchmarks.file_reader import read_file
from tests.payments.status_report_samples import Block, Line, Report, Why
from tests.proofs.model_house import if_match
from tests.proofs.model_memory import Model, is_enough
from tests.proofs.model_people import path_of, time_passed, together
from tests.proofs.model_picture import Row

_WHY = "So says the proof."


def hand_out(model: Model, batch_id: str, who: int) -> None:
    """Fetch the file of a batch; its bytes must say what was shown to whoever approved."""
    answer = model.house.ask(who, "GET", path_of(batch_id, "file"), params={"reason": _WHY})
    if answer.status_code >= 300:
        model.note("hand-out", answer)
        return
    model.reach("hand-out")
    file = model.now.live_file(batch_id)
    assert file is not None, "bytes of a file that is not there were handed out"
    left_the_house(model, file, answer.content)


def left_the_house(model: Model, file: Row, data: bytes) -> None:
    """Remember what a file pays; each obligation in it may be in no other file that left the house."""
    assert sha256(data).hexdigest() == file.sha256, "other bytes than the stored ones were handed out"
    _check_bytes(model, file, data)
    if file.handed_out_at is not None:
        return
    for line in model.now.lines_of(file.batch_id):
        if line.file_n != file.n:
            continue
        before = model.memory.out.setdefault(line.obligation, file.id)
        assert before == file.id, f"line {line.position} of {file.message_id} left the house in another file before"


def _check_bytes(model: Model, file: Row, data: bytes) -> None:
    digests = set(model.memory.approved.get((file.batch_id, file.revision), {}).values())
    assert len(digests) == 1, f"{file.message_id} was approved on {len(digests)} digests"
    shown = model.memory.shown[file.batch_id, file.revision, digests.pop()]
    names = ("end_to_end_id", "iban", "amount", "name", "text")
    paid = [tuple(line.get(name, "") for name in names) for block in read_file(data).blocks for line in block.lines]
    assert tuple(sorted(paid)) == shown, f"{file.message_id} pays something else than was shown and approved"


def deliver(model: Model, batch_id: str, who: int, *, right_hash: bool) -> None:
    """Say that the file is at the bank."""
    file = model.now.live_file(batch_id)
    seen = file.sha256[:8] if file is not None and right_hash else "0" * 8
    headers = if_match(model.now.batches[batch_id].revision)
    answer = model.house.ask(who, "POST", path_of(batch_id, "deliveries"), json={"hash_seen": seen}, headers=headers)
    model.note("deliver", answer)


def send(model: Model, batch_id: str, who: int, outcome: ChannelOutcome) -> None:
    """Send the file through a channel that takes it, refuses it, or does not know."""
    bank, file = model.house.bank, model.now.live_file(batch_id)
    bank.answers = outcome
    headers = if_match(model.now.batches[batch_id].revision)
    body = {"channel": bank.name}
    answer = model.house.ask(who, "POST", path_of(batch_id, "deliveries"), json=body, headers=headers)
    if model.note(f"send: {outcome.value}", answer) and outcome is not ChannelOutcome.REFUSED and file is not None:
        for line in model.now.lines_of(batch_id):
            if line.file_n == file.n:
                before = model.memory.out.setdefault(line.obligation, file.id)
                assert before == file.id, f"{file.message_id} was sent with a line that is in another file"


def withdraw(model: Model, batch_id: str, people: Sequence[int]) -> None:
    """Say that a handed-out file is not at the bank."""
    file = model.now.live_file(batch_id)

    def ask(who: int) -> httpx2.Response:
        return model.house.ask(who, "POST", path_of(batch_id, "withdrawals"), json={"reason": _WHY})

    if together(model, "withdraw", ("withdraw", batch_id, file.id if file else None), people, ask):
        model.memory.agreed.append((batch_id, None))


def state(model: Model, batch_id: str, fact: str, people: Sequence[int], *, one_line: bool, code: str | None) -> None:
    """Say what the bank did with a file, or with one line of it."""
    file = model.now.live_file(batch_id)
    lines = [line for line in model.now.lines_of(batch_id) if line.status == "in_file"]
    body: dict[str, object] = {"statement": fact, "reason": _WHY, "reason_code": code}
    chosen = lines[:1] if one_line and lines else lines
    if one_line and lines:
        body["transfer_ids"] = [lines[0].id]

    def ask(who: int) -> httpx2.Response:
        return model.house.ask(who, "POST", path_of(batch_id, "statements"), json=body)

    if fact in {"accepted", "executed"}:
        model.note(f"state {fact}", ask(people[0]))
        return
    asked = ("state", batch_id, file.id if file else None, fact, str(body.get("transfer_ids")), code)
    if together(model, f"state {fact}", asked, people, ask):
        model.memory.agreed.append((batch_id, frozenset(line.obligation for line in chosen)))


def pay_day(model: Model, batch_id: str, who: int) -> None:
    """Wait for the execution date, and say that the bank executed the batch."""
    clock, day = model.house.clock, model.now.batches[batch_id].day
    clock.forward(days=max(0, (day - clock().date()).days))
    time_passed(model)
    state(model, batch_id, "executed", (who,), one_line=False, code=None)


def report(model: Model, batch_id: str, status: str, people: Sequence[int], *, one_line: bool, code: str) -> None:
    """Upload the bank's report on the file of a batch."""
    file = model.now.live_file(batch_id)
    if file is None:
        return
    lines = _reported(model, file, one_line=one_line)
    data = _report_on(file, lines, status, code, one_line=one_line)
    for who in people:
        answer = model.house.ask(
            who, "POST", "/v1/status-reports", content=data, headers={"Content-Type": "application/xml"}
        )
        if not model.note(f"report {status}", answer):
            continue
        proposal = answer.json()["proposal"]
        if proposal is not None:
            _refused_by_report(model, file, proposal["id"], who, done=proposal["outcome"] == "applied")


def _refused_by_report(model: Model, file: Row, proposal_id: str, who: int, *, done: bool) -> None:
    asked = ("report", file.batch_id, file.id, proposal_id)
    model.memory.proposals[proposal_id] = asked
    who_asked = model.memory.asked.setdefault(asked, {})
    who_asked.setdefault(who, model.house.clock())
    model.reach("report refuses: done" if done else "report refuses: asked")
    if not done:
        return
    del model.memory.asked[asked]
    if is_enough(model, who_asked):
        # What is freed may be more than this report names: every line that the reports so far refuse.
        model.memory.agreed.append((file.batch_id, None))


def channel_report(model: Model, batch_id: str, status: str, *, one_line: bool, code: str) -> None:
    """A channel fetches the bank's report: it frees what it refuses by itself."""
    file = model.now.live_file(batch_id)
    if file is None:
        return
    lines = _reported(model, file, one_line=one_line)
    data = _report_on(file, lines, status, code, one_line=one_line)
    act = f"channel report {status}"
    try:
        with transaction(model.house.service.context.engine) as session:
            bank_reports.take_from_channel(model.house.service.context, session, data, channel="host-to-host")
    except AppError as refusal:
        model.reach(f"{act} refused: {refusal.code}")
        return
    model.reach(act)
    model.memory.agreed.append((batch_id, None))


def _reported(model: Model, file: Row, *, one_line: bool) -> list[Row]:
    lines = [line for line in model.now.lines_of(file.batch_id) if line.file_n == file.n]
    return lines[:1] if one_line else lines


def _report_on(file: Row, lines: Sequence[Row], status: str, code: str, *, one_line: bool) -> bytes:
    reasons = [Why(code=code)] if status == "RJCT" else []
    if not one_line:
        return Report(original_message_id=file.message_id, status=status, reasons=reasons).bytes()
    named = [Line(end_to_end_id=line.end_to_end_id, status=status, reasons=reasons) for line in lines]
    blocks = [Block(id=lines[0].block, lines=named)] if lines else []
    return Report(original_message_id=file.message_id, status="PART", blocks=blocks).bytes()


def bring_back(model: Model, line: Row, people: Sequence[int]) -> None:
    """Say that the money of an executed line came back."""

    def ask(who: int) -> httpx2.Response:
        return model.house.ask(who, "POST", f"/v1/transfers/{line.id}/return", json={"reason": _WHY})

    if together(model, "return", ("return", line.id), people, ask):
        model.memory.agreed.append((line.batch_id, frozenset({line.obligation})))


def confirm(model: Model, proposal_id: str, who: int) -> None:
    """Confirm a proposal by its id, whatever it is about."""
    answer = model.house.ask(who, "POST", f"/v1/proposals/{proposal_id}/confirmation")
    if not model.note("confirm", answer):
        return
    asked = model.memory.proposals[proposal_id]
    who_asked = {who: model.house.clock(), **model.memory.asked.pop(asked, {})}
    if asked == ("tiers",):
        assert model.memory.tiers_asked is not None, "tiers that nobody asked for"
        model.memory.tiers, model.memory.tiers_asked = model.memory.tiers_asked[0], None
    elif asked[0] == "release":
        line = model.now.lines[str(asked[1])]
        model.memory.editor[line.batch_id] = who
        model.memory.late.discard(line.obligation)
    elif asked[0] in {"state", "withdraw", "report"} and is_enough(model, who_asked) and _is_of_this_file(model, asked):
        model.memory.agreed.append((str(asked[1]), None))
    elif asked[0] == "return" and is_enough(model, who_asked):
        model.memory.agreed.append((model.now.lines[str(asked[1])].batch_id, None))


def _is_of_this_file(model: Model, asked: tuple[object, ...]) -> bool:
    """Say whether what was asked was asked of the file that the batch has now."""
    file = model.now.live_file(str(asked[1]))
    return file is not None and asked[2] == file.id
