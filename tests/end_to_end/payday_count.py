"""Counts a payday that is over from outside: what the API shows, and the bytes that were handed out."""

from collections import Counter
from decimal import Decimal
from hashlib import sha256
from typing import Any

from benchmarks.file_reader import read_file
from simulators.nmbrs.process import SimulatorClient
from tests.end_to_end.kills import stored_webhooks
from tests.end_to_end.payday import Payday
from tests.end_to_end.town import COMPANY

Payment = tuple[str, int]
# What happens once to a batch of a payday, as the history calls it. The second approval is the one that approves.
_ONCE = {
    "run": (
        "batch.made",
        "batch.acknowledged",
        "batch.approval_given",
        "batch.approved",
        "batch.delivered",
        "bank.refused",
    ),
    "follow_up": ("batch.follow_up_made", "batch.approval_given", "batch.approved"),
}
_CLOSED = frozenset({"paid_elsewhere", "waived"})


def count_payday(payday: Payday, seen_ids: set[str]) -> None:
    """Compare what is stored with what was answered; AssertionError names the first thing that is lost or doubled.

    `seen_ids` are the end-to-end ids of earlier paydays; those of this one are added.
    """
    _count_webhooks(payday)
    batches = [each for each in payday.get("/v1/payment-batches?limit=50") if each["run"]["description"] == payday.text]
    kinds = Counter(each["kind"] for each in batches)
    assert kinds == {"run": 1, "follow_up": 1}, f"run {payday.run_id} has batches {dict(kinds)}"
    files = [file for batch in batches for file in _live_files(payday, batch)]
    ids = [line["end_to_end_id"] for file in files for line in file]
    twice = [each for each, times in Counter([*ids, *seen_ids]).items() if times > 1]
    assert not twice, f"end-to-end ids stand in two payments: {twice}"
    seen_ids.update(ids)
    _count_payments(payday, batches, files)
    _count_history(payday, batches)


def _count_webhooks(payday: Payday) -> None:
    """One that was sent again, because its sender never saw an answer, may be stored as often as it was sent."""
    stored = stored_webhooks(payday.town)
    assert payday.acknowledged == payday.posted.keys(), "every webhook was answered in the end"
    for digest, times in payday.posted.items():
        found = stored.get(digest, 0)
        assert 1 <= found <= times, f"a webhook that was acknowledged, and sent {times} times, is stored {found} times"


def _live_files(payday: Payday, batch: dict[str, Any]) -> list[list[Any]]:
    """Return the lines of each file of a batch, as they stand in the bytes that are handed out."""
    listed = payday.get(f"/v1/payment-batches/{batch['id']}/files")
    live = [file for file in listed if file["voided_at"] is None]
    assert len(live) == 1, f"batch {batch['id']} has {len(live)} files"
    received = {each.data for each in payday.handed_out if each.batch_id == batch["id"]}
    assert not received or live[0]["handed_out_at"], f"bytes of {batch['id']} left, and no hand-out is stored"
    again = payday.town.boss.get(f"/v1/payment-batches/{batch['id']}/file?reason=Counting")
    assert again.status_code == 200, again.text
    hashes = {sha256(data).hexdigest() for data in (*received, bytes(again.content))}
    assert hashes == {live[0]["sha256"]}, f"batch {batch['id']} handed out {hashes}, stored is {live[0]['sha256']}"
    return [[line for block in read_file(bytes(again.content)).blocks for line in block.lines]]


def _count_payments(payday: Payday, batches: list[dict[str, Any]], files: list[list[Any]]) -> None:
    """Every line of the run is in a file, on the list, or closed: once, those that the bank refused left out."""
    found: Counter[Payment] = Counter((line["iban"], _cents(line["amount"])) for file in files for line in file)
    for batch in batches:
        for line in payday.get(f"/v1/payment-batches/{batch['id']}/transfers")["items"]:
            if line["status"] in _CLOSED:
                found[_payment(line)] += 1
            elif line["status"] == "refused":
                found[_payment(line)] -= 1
    for each in payday.get("/v1/unpaid-transfers?limit=1000"):
        if each["run"]["description"] == payday.text:
            found[_payment(each["transfer"])] += 1
    wanted = _wanted(payday.town.nmbrs, payday.run_id)
    assert +found == wanted, f"run {payday.run_id}: lost {wanted - found}, too often {found - wanted}"


def _wanted(nmbrs: SimulatorClient, run_id: int) -> Counter[Payment]:
    lines = nmbrs.show_run(COMPANY, run_id)["lines"]
    return Counter((line["iban"], _cents(line["amount"])) for line in lines)


def _payment(line: dict[str, Any]) -> Payment:
    return line["creditor"]["iban"], _cents(line["amount"]["amount"])


def _cents(amount: str) -> int:
    return int(Decimal(str(amount)) * 100)


def _count_history(payday: Payday, batches: list[dict[str, Any]]) -> None:
    """The history verifies, and holds what was answered, once."""
    for verdict in payday.get("/v1/history/verification"):
        assert verdict["verified"], f"the history does not verify: {verdict}"
    for batch in batches:
        lines = payday.get(f"/v1/payment-batches/{batch['id']}/history")
        events = Counter(each["event"] for each in lines)
        firsts = [each for each in lines if each["event"] == "file.handed_out" and each["facts"]["details"]["first"]]
        assert len(firsts) == 1, f"batch {batch['id']} was handed out {len(firsts)} times for the first time"
        # A report has no key: uploaded again it changes nothing, and that it came again is in the history too.
        assert batch["kind"] != "run" or events["bank.reported"], (
            f"batch {batch['id']}: its report is not in the history"
        )
        for event in _ONCE[batch["kind"]]:
            assert events[event] == 1, f"batch {batch['id']}: {event} stands {events[event]} times in the history"
