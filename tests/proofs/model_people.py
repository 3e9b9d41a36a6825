"""What people of the employer do: edit, approve, recall, end, hold, follow up, close lines, set limits and tiers."""

from collections.abc import Callable, Sequence
from typing import Any

import httpx2

from tests.proofs.model_house import if_match, money
from tests.proofs.model_memory import A_DAY, Limits, Model, Tiers, is_enough, pick
from tests.proofs.model_picture import Row
from tests.support.house import PIN, WRONG_PIN

_BECAUSE = {"reason": "So says the proof."}
_STATUS = "SELECT status FROM payment_batch WHERE id::text = :batch_id"
_REVISION = "SELECT revision, digest FROM payment_batch WHERE id::text = :batch_id"


def path_of(batch_id: str, what: str = "") -> str:
    """Return the address of a batch, or of something of it."""
    return f"/v1/payment-batches/{batch_id}" + (f"/{what}" if what else "")


def together(
    model: Model,
    act: str,
    asked: tuple[object, ...],
    people: Sequence[int],
    send: Callable[[int], httpx2.Response],
) -> bool:
    """Have people ask for the same one after the other; say whether it was done because two of them did."""
    for who in people:
        answer = send(who)
        if not model.note(f"{act} asked" if answer.status_code == 202 else act, answer):
            continue
        who_asked = model.memory.asked.setdefault(asked, {})
        who_asked.setdefault(who, model.house.clock())
        if answer.status_code == 202:
            model.memory.proposals[answer.json()["id"]] = asked
            continue
        del model.memory.asked[asked]
        return is_enough(model, who_asked)
    return False


# --------------------------------------------------------------------------------------------------- edit


def edit_date(model: Model, batch_id: str, who: int, day: str) -> None:
    """Give a batch another execution date."""
    _edit(model, batch_id, who, {"requested_execution_date": day}, "edit date")


def edit_account(model: Model, batch_id: str, who: int, account: int) -> None:
    """Give a batch another debtor account."""
    _edit(model, batch_id, who, {"debtor_account_id": model.house.accounts[account]}, "edit account")


def _edit(model: Model, batch_id: str, who: int, body: dict[str, str], act: str) -> None:
    revision = model.now.batches[batch_id].revision
    answer = model.house.ask(who, "PATCH", path_of(batch_id), json=body, headers=if_match(revision))
    if model.note(act, answer) and answer.json()["revision"] > revision:
        model.memory.editor[batch_id] = who


def decide(model: Model, line: Row, who: int, decision: str) -> None:
    """Exclude or hold a line, put it back, or say that it is a third party's."""
    batch = model.now.batches[line.batch_id]
    body: dict[str, str] = {"kind": "third_party"} if decision == "third_party" else {"decision": decision}
    path = path_of(batch.id, f"transfers/{line.id}")
    answer = model.house.ask(who, "PATCH", path, json={**body, **_BECAUSE}, headers=if_match(batch.revision))
    is_new = answer.headers.get("ETag") != if_match(batch.revision)["If-Match"]
    if model.note(f"line: {decision}", answer) and is_new and answer.json()["decision"] == "pay":
        model.memory.editor[batch.id] = who


# ------------------------------------------------------------------------------------------------ approve


def approve(
    model: Model, batch_id: str, people: Sequence[int], *, careful: bool, without_source: bool, until_done: bool = False
) -> None:
    """Have people look at a batch and approve it; careful ones confirm its findings first."""
    for who in people:
        if until_done and model.house.rows(_STATUS, batch_id=batch_id)[0].status != "pending":
            return
        page = _look_at(model, batch_id, who)
        if careful:
            model.house.confirm_findings(who, batch_id)
        body = {"digest": page["batch_digest"], "pin": PIN, "approve_without_source": without_source}
        revision = page["batch_revision"]
        answer = model.house.ask(who, "POST", path_of(batch_id, "approvals"), json=body, headers=if_match(revision))
        model.memory.in_one_act.clear()
        if model.note("approve", answer):
            _approved(model, batch_id, who, page, answer.json()["status"])


def _look_at(model: Model, batch_id: str, who: int) -> dict[str, Any]:
    """Look at the lines of a batch as a person does, and remember what was shown."""
    page: dict[str, Any] = model.house.ask(who, "GET", path_of(batch_id, "transfers")).json()
    lines = [
        (
            line["end_to_end_id"],
            line["creditor"]["iban"],
            line["amount"]["amount"],
            line["creditor"]["name"],
            line["remittance_information"],
        )
        for line in page["items"]
        if line["status"] in {"payable", "in_file"}
    ]
    key = (batch_id, page["batch_revision"], page["batch_digest"])
    # Lines of a batch that ended may be closed afterwards; only what waits can be approved.
    waits = model.house.rows(_STATUS, batch_id=batch_id)[0].status == "pending"
    if lines and waits:
        assert model.memory.shown.setdefault(key, tuple(sorted(lines))) == tuple(sorted(lines)), "one digest, two pages"
    return page


def _approved(model: Model, batch_id: str, who: int, page: dict[str, Any], status: str) -> None:
    key = (batch_id, page["batch_revision"])
    model.memory.approved.setdefault(key, {})[who] = page["batch_digest"]
    model.memory.in_one_act.append(batch_id)
    model.reach(f"approve: {status}")


def approve_several(model: Model, batch_ids: Sequence[str], who: int) -> None:
    """Approve several batches in one act."""
    pages = {batch_id: _look_at(model, batch_id, who) for batch_id in batch_ids}
    for batch_id in batch_ids:
        model.house.confirm_findings(who, batch_id)
    items = [{"batch_id": batch_id, "digest": page["batch_digest"]} for batch_id, page in pages.items()]
    answer = model.house.ask(who, "POST", "/v1/approvals", json={"items": items, "pin": PIN})
    model.memory.in_one_act.clear()
    if not model.note("approve several", answer):
        return
    for item in answer.json()["items"]:
        if item["status"] == 201:
            _approved(model, item["batch_id"], who, pages[item["batch_id"]], item["batch"]["status"])
        else:
            model.reach(f"approve several refused: {item['problem']['code']}")


def guess_pin(model: Model, batch_id: str, who: int) -> None:
    """Approve with a wrong PIN."""
    page = _look_at(model, batch_id, who)
    body = {"digest": page["batch_digest"], "pin": WRONG_PIN}
    headers = if_match(page["batch_revision"])
    answer = model.house.ask(who, "POST", path_of(batch_id, "approvals"), json=body, headers=headers)
    assert answer.status_code in {403, 409, 412}, f"a wrong PIN was taken: {answer.text}"
    model.note("wrong pin", answer)


def approve_what_changed(model: Model, line: Row, who: int) -> None:
    """Approve what was shown when somebody else has changed it since: nothing may come of it."""
    batch_id = line.batch_id
    page = _look_at(model, batch_id, who)
    decide(model, line, (who + 1) % len(model.house.people), "pay" if line.decision == "exclude" else "exclude")
    batch = model.house.rows(_REVISION, batch_id=batch_id)[0]
    is_same = (batch.revision, batch.digest) == (page["batch_revision"], page["batch_digest"])
    for revision in (page["batch_revision"], batch.revision):
        model.house.confirm_findings(who, batch_id)
        body = {"digest": page["batch_digest"], "pin": PIN}
        answer = model.house.ask(who, "POST", path_of(batch_id, "approvals"), json=body, headers=if_match(revision))
        if is_same:
            model.memory.in_one_act.clear()
            if model.note("approve", answer):
                _approved(model, batch_id, who, page, answer.json()["status"])
            return
        assert answer.status_code >= 400, f"what was shown before a change was approved after it: {answer.text}"
        model.note("approve what changed", answer)


def recall(model: Model, batch_id: str, who: int) -> None:
    """Take an approval back."""
    batch = model.now.batches[batch_id]
    answer = model.house.ask(who, "DELETE", path_of(batch_id, "approvals/mine"))
    if model.note(f"recall while {batch.status}", answer) and batch.status == "pending":
        del model.memory.approved[batch_id, batch.revision][who]


def reissue(model: Model, batch_id: str, who: int, day: str) -> None:
    """Give an approved batch another date."""
    headers = if_match(model.now.batches[batch_id].revision)
    body = {"requested_execution_date": day}
    answer = model.house.ask(who, "POST", path_of(batch_id, "reissue"), json=body, headers=headers)
    if model.note("reissue", answer):
        model.memory.editor[batch_id] = who


# ---------------------------------------------------------------------------------------- end, hold, again


def end(model: Model, batch_id: str, who: int, how: str) -> None:
    """Reject or cancel a batch."""
    headers = if_match(model.now.batches[batch_id].revision)
    model.note(how, model.house.ask(who, "POST", path_of(batch_id, how), json=_BECAUSE, headers=headers))


def offer_again(model: Model, batch_id: str, who: int) -> None:
    """Offer the run of a batch again."""
    run_id = model.now.batches[batch_id].run_id
    model.note("offer again", model.house.ask(who, "POST", f"/v1/payroll-runs/{run_id}/batches"))


def hold(model: Model, batch_id: str, who: int) -> None:
    """Bar a batch by hand."""
    model.note("hold", model.house.ask(who, "POST", path_of(batch_id, "holds"), json=_BECAUSE))


def lift(model: Model, held: Row, people: Sequence[int]) -> None:
    """Lift a hold: one person for a person's, two for the service's."""

    def send(who: int) -> httpx2.Response:
        return model.house.ask(who, "POST", path_of(held.batch_id, f"holds/{held.id}/lifting"), json=_BECAUSE)

    by_person = held.code == "placed_by_person"
    act = "lift own hold" if by_person else "lift service's hold"
    together(model, act, ("hold", held.id), people[:1] if by_person else people, send)


def release_line(model: Model, line: Row, people: Sequence[int], replaces: str | None) -> None:
    """Set a line free that came after an approval."""
    body = {**_BECAUSE, "replaces": replaces, "additional": replaces is None}

    def send(who: int) -> httpx2.Response:
        return model.house.ask(who, "POST", path_of(line.batch_id, f"transfers/{line.id}/release"), json=body)

    act = "release additional" if replaces is None else "release replacing"
    if together(model, act, ("release", line.id, replaces), people, send):
        model.memory.editor[line.batch_id] = people[-1]
        model.memory.late.discard(line.obligation)


# --------------------------------------------------------------------------------------------- unpaid lines


def follow_up(model: Model, n: int, many: int, who: int) -> None:
    """Offer some unpaid lines of one run again."""
    unpaid = model.house.get("/v1/unpaid-transfers")
    if not unpaid:
        return
    run_id = pick(unpaid, n)["run"]["id"]
    ids = [each["transfer"]["id"] for each in unpaid if each["run"]["id"] == run_id][: 1 + many]
    model.note("follow-up", model.house.ask(who, "POST", "/v1/follow-up-batches", json={"transfer_ids": ids}))


def close_line(model: Model, line_id: str, who: int, way: str) -> None:
    """Say that a line was paid elsewhere, or is not owed."""
    model.note(way, model.house.ask(who, "POST", f"/v1/transfers/{line_id}/{way}", json=_BECAUSE))


# ------------------------------------------------------------------------------------------------ settings


def set_limits(model: Model, account: int, wanted: Limits, people: Sequence[int]) -> None:
    """Ask for limits on an account."""
    memory, clock = model.memory, model.house.clock
    for who in people:
        answer = model.house.limit(who, account, wanted)
        if not model.note("raise of limits asked" if answer.status_code == 202 else "limits", answer):
            continue
        memory.limits_asked.pop(account, None)
        if answer.status_code == 202:
            memory.limits_asked[account] = (wanted, clock())
        else:
            memory.limits[account] = wanted


def set_tiers(model: Model, wanted: Tiers, people: Sequence[int]) -> None:
    """Ask for other numbers of approvers."""
    memory, house = model.memory, model.house
    body = {"tiers": [{"from": money(cents), "required": required} for cents, required in wanted]}
    path = f"/v1/employers/{house.house.employer_id}/approval-policy"
    for who in people:
        answer = house.ask(who, "PUT", path, json=body)
        if not model.note("looser tiers asked" if answer.status_code == 202 else "tiers", answer):
            continue
        if answer.status_code == 202:
            memory.tiers_asked = memory.tiers_asked or (wanted, house.clock())
            memory.proposals[answer.json()["id"]] = ("tiers",)
        else:
            memory.tiers = wanted
            memory.tiers_asked = None if memory.tiers_asked and memory.tiers_asked[0] == wanted else memory.tiers_asked


def end_proposal(model: Model, proposal_id: str, who: int) -> None:
    """Take back what somebody asked for."""
    if model.note("proposal withdrawn", model.house.ask(who, "DELETE", f"/v1/proposals/{proposal_id}")):
        asked = model.memory.proposals[proposal_id]
        model.memory.asked.pop(asked, None)
        if asked == ("tiers",):
            model.memory.tiers_asked = None


def _waited_a_day(model: Model) -> None:
    """In a firm of one person, what that person asked for a day ago is done without a second one."""
    for asked, who_asked in list(model.memory.asked.items()):
        if not is_enough(model, who_asked):
            continue
        del model.memory.asked[asked]
        model.reach("a day stood in for the second person")
        if asked[0] == "release":
            model.memory.late.discard(model.now.lines[str(asked[1])].obligation)
        elif asked[0] == "return":
            model.memory.agreed.append((model.now.lines[str(asked[1])].batch_id, None))
        elif asked[0] != "hold":
            model.memory.agreed.append((str(asked[1]), None))


def time_passed(model: Model) -> None:
    """Do what time brings. Looser tiers that an admin asked for hold after a day."""
    memory, house = model.memory, model.house
    house.tick()
    if len(house.people) == 1:
        _waited_a_day(model)
    if memory.tiers_asked is not None and memory.tiers_asked[1] + A_DAY <= house.clock():
        memory.tiers, memory.tiers_asked = memory.tiers_asked[0], None
        model.reach("looser tiers after a day")
    shown = house.get(f"/v1/employers/{house.house.employer_id}/approval-policy")["tiers"]
    assert shown == [{"from": money(cents), "required": required} for cents, required in memory.tiers]
