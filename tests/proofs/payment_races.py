"""The proof `races`: acts that exclude each other, from many threads at once, on a real PostgreSQL.

Whatever the order: one outcome, never over a limit by a cent, no 5xx, no deadlock. A round that finds anything else is
a counter-example.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from threading import Barrier
from typing import Any

import httpx2

from tests.proofs.model_house import ModelHouse, if_match
from tests.proofs.model_memory import Limits, Model, Pay
from tests.proofs.model_payroll import file_of
from tests.proofs.model_people import path_of
from tests.proofs.model_picture import look
from tests.proofs.model_picture_checks import nobody_is_lost, nothing_offered_twice, one_claim_each, sums_are_equal
from tests.support.house import PIN, WRONG_PIN

THREADS = 32
_WHY = {"reason": "So says the race."}
_ROOMY: Limits = {"per_batch": 5_000_000, "per_day": 5_000_000}
# Two batches of 500,000 cents each: one fits, two are a cent too many.
_FOR_ONE: Limits = {"per_batch": 500_000, "per_day": 999_999}
_PIN_GUESSES = 200
_TRIES = 5
_PATIENCE_SECONDS = 5

Send = Callable[[], httpx2.Response]


@dataclass(slots=True, kw_only=True)
class Round:
    """One round of a race: the employer, set up anew, and the answers by the name of the act."""

    house: ModelHouse
    random: random.Random
    answers: dict[str, list[httpx2.Response]] = field(default_factory=dict)

    def start(self, limits: Limits = _ROOMY) -> None:
        """Set everything up anew, with these limits and two approvers for nothing."""
        self.house.start_over()
        for account in (0, 1):
            assert self.house.limit(0, account, limits).status_code == 200

    def batch(self, people: Sequence[int] = (0, 1), *, number: int = 1, cents: int = 250_000) -> str:
        """Upload a run and return its batch, with nothing left to confirm."""
        rows = [Pay(person=number * 2 + each, account=number * 2 + each, cents=cents) for each in people]
        answer = self.upload(rows, number)
        assert answer.status_code == 201, answer.text
        batch_id = str(answer.json()["payment_batch_ids"][-1])
        self.confirm_findings(batch_id)
        return batch_id

    def upload_again(self, *, number: int) -> str:
        """Upload the payments of run 1 once more, as another run of the same period, and return its batch."""
        rows = [Pay(person=2 + each, account=2 + each, cents=250_000) for each in (0, 1)]
        return str(self.upload(rows, number).json()["payment_batch_ids"][-1])

    def upload(self, rows: Sequence[Pay], number: int = 1) -> httpx2.Response:
        """Upload a run under its number."""
        return self.house.ask(
            0,
            "POST",
            f"/v1/administrations/{self.house.house.administration_id}/payroll-files",
            content=file_of(rows),
            params={"year": 2026, "period": 11, "run_number": number},
            headers={"Content-Type": "application/xml"},
        )

    def confirm_findings(self, batch_id: str) -> None:
        """Confirm what must be confirmed before an approval."""
        self.house.confirm_findings(0, batch_id)

    def shown(self, batch_id: str) -> dict[str, Any]:
        """Return a batch as it is shown."""
        found: dict[str, Any] = self.house.get(path_of(batch_id))
        return found

    def post(self, who: int, path: str, body: Mapping[str, object] = _WHY, *, revision: int = 1) -> httpx2.Response:
        """Act as one of the people on a revision."""
        return self.house.ask(who, "POST", path, json=dict(body), headers=if_match(revision))

    def approving(self, batch_id: str, who: int, *, pin: str = PIN) -> Send:
        """Return the approval of a batch as it is shown now."""
        seen = self.shown(batch_id)
        body = {"digest": seen["digest"], "pin": pin}
        return partial(self.post, who, path_of(batch_id, "approvals"), body, revision=seen["revision"])

    def approve(self, batch_id: str, who: int = 0) -> None:
        """Approve a batch before the race begins."""
        answer = self.approving(batch_id, who)()
        assert answer.json()["status"] == "approved", answer.text

    def hand_out(self, batch_id: str, who: int = 0) -> httpx2.Response:
        """Fetch the file of a batch."""
        return self.house.ask(who, "GET", path_of(batch_id, "file"))

    def race(self, acts: Mapping[str, Sequence[Send]]) -> None:
        """Do all of this at once, in an order of chance."""
        pins = self.random.randrange(4)
        chosen = [
            (name, partial(self._after_pins, pins, send) if name != "approve" and "approve" in acts else send)
            for name, sends in acts.items()
            for send in sends
        ]
        self.random.shuffle(chosen)
        barrier = Barrier(len(chosen))

        def go(send: Send) -> httpx2.Response:
            barrier.wait(30)
            return send()

        with ThreadPoolExecutor(len(chosen)) as threads:
            answers = list(threads.map(go, [send for _, send in chosen]))
        for (name, _), answer in zip(chosen, answers, strict=True):
            self.answers.setdefault(name, []).append(answer)

    def _after_pins(self, pins: int, send: Send) -> httpx2.Response:
        """Act when so many PINs were found right: an approval has a long way to go, and would lose every race."""
        query = "SELECT count(*) AS right_ones FROM pin_try WHERE correct"
        until = time.monotonic() + _PATIENCE_SECONDS
        while self.house.rows(query)[0].right_ones < pins and time.monotonic() < until:
            pass
        return send()

    def done(self, name: str) -> int:
        """Return how often an act was done."""
        return sum(answer.status_code in {200, 201} for answer in self.answers[name])

    def codes(self, name: str) -> Counter[str]:
        """Return the refusals of an act by code."""
        refused = [answer for answer in self.answers[name] if answer.status_code >= 400]
        return Counter(str(answer.json()["code"]) for answer in refused)


def _four_times(make: Callable[[int], Send], times: int = THREADS // 2) -> list[Send]:
    """Return the same act for each of the three people in turn."""
    return [make(n % 3) for n in range(times)]


# ----------------------------------------------------------------------------------------------- the races


def approve_approve(run: Round) -> None:
    """Of 32 last approvals one approves; the others are refused, and there is one file."""
    batch_id = run.batch()
    run.race({"approve": _four_times(partial(run.approving, batch_id), THREADS)})
    assert run.done("approve") == 1, run.codes("approve")


def approve_edit(run: Round) -> None:
    """Either the approval comes first and the edit is refused, or the edit and nothing of before is approved."""
    batch_id = run.batch()
    edit = partial(
        run.house.ask,
        1,
        "PATCH",
        path_of(batch_id),
        json={"requested_execution_date": "2026-11-26"},
        headers=if_match(1),
    )
    run.race({"approve": _four_times(partial(run.approving, batch_id)), "edit": [edit] * (THREADS // 2)})
    assert run.done("approve") + run.done("edit") == 1, (run.codes("approve"), run.codes("edit"))
    assert run.shown(batch_id)["status"] == ("approved" if run.done("approve") else "pending")


def approve_reject(run: Round) -> None:
    """Approved or rejected, once."""
    batch_id = run.batch()
    reject = partial(run.post, 1, path_of(batch_id, "rejection"))
    run.race({"approve": _four_times(partial(run.approving, batch_id)), "reject": [reject] * (THREADS // 2)})
    assert run.done("approve") + run.done("reject") == 1
    assert run.shown(batch_id)["status"] == ("approved" if run.done("approve") else "rejected")


def approve_lower_limit(run: Round) -> None:
    """An approval that comes after the lowering is refused; the history knows which came first."""
    batch_id = run.batch()
    lower = partial(run.house.limit, 1, 0, {"per_batch": 499_999, "per_day": 499_999})
    run.race({"approve": _four_times(partial(run.approving, batch_id)), "lower": [lower] * (THREADS // 2)})
    order = [row.event for row in run.house.rows("SELECT event FROM history_entry ORDER BY sequence")]
    if run.done("approve"):
        assert run.done("approve") == 1
        assert order.index("batch.approved") < order.index("limit.lowered"), "approved over a limit in force"
    else:
        assert run.codes("approve").keys() == {"payment_limit_exceeded"}
    assert run.done("lower") == THREADS // 2


def two_batches_one_limit(run: Round) -> None:
    """Two batches that fit the limit of the day alone and not together: one is approved."""
    run.start(_FOR_ONE)
    one, two = run.batch(number=1), run.batch(number=2)
    half = THREADS // 2
    run.race(
        {"one": _four_times(partial(run.approving, one), half), "two": _four_times(partial(run.approving, two), half)}
    )
    assert run.done("one") + run.done("two") == 1
    loser = "two" if run.done("one") else "one"
    assert run.codes(loser).keys() == {"payment_limit_exceeded"}
    (used,) = run.house.rows("SELECT sum(amount_cents) AS cents FROM claim WHERE state = 'live'")
    assert used.cents == 500_000, used


def two_batches_of_the_same_people(run: Round) -> None:
    """Two runs of one period pay the same people the same, from two accounts: one is approved, whichever it is."""
    one, two = run.batch(number=1), run.upload_again(number=2)
    to_second = {"debtor_account_id": run.house.accounts[1]}
    moved = run.house.ask(1, "PATCH", path_of(two), json=to_second, headers=if_match(1))
    assert moved.status_code == 200, moved.text
    run.confirm_findings(two)
    half = THREADS // 2
    run.race(
        {"one": _four_times(partial(run.approving, one), half), "two": _four_times(partial(run.approving, two), half)}
    )
    approved = [each for each in (one, two) if run.shown(each)["status"] == "approved"]
    assert len(approved) == 1, (run.codes("one"), run.codes("two"))


def approve_new_reading(run: Round) -> None:
    """A reading that changes the run makes a new revision, or a batch of what came later: nothing unseen is paid."""
    batch_id = run.batch()
    changed = [Pay(person=2, account=2, cents=250_000), Pay(person=3, account=7, cents=250_000)]
    sends: dict[str, list[Send]] = {
        "approve": _four_times(partial(run.approving, batch_id), 24),
        "read": [partial(run.upload, changed)] * 8,
    }
    run.race(sends)
    seen = run.shown(batch_id)
    assert run.done("read") == 8, run.codes("read")
    assert (seen["status"], seen["revision"]) in {("approved", 1), ("pending", 2)}, seen
    assert run.done("approve") == (seen["status"] == "approved")


def hand_out_recall(run: Round) -> None:
    """Handed out, or recalled: bytes that left the house are never of a batch that is pending again."""
    batch_id = run.batch()
    run.approve(batch_id)
    recall = partial(run.house.ask, 1, "DELETE", path_of(batch_id, "approvals/mine"))
    run.race(
        {"hand out": _four_times(lambda who: partial(run.hand_out, batch_id, who)), "recall": [recall] * (THREADS // 2)}
    )
    status = run.shown(batch_id)["status"]
    assert (run.done("hand out"), status) in {(0, "pending"), (THREADS // 2, "approved")}, (run.answers, status)
    assert run.done("recall") == (status == "pending")


def withdraw_deliver(run: Round) -> None:
    """Withdrawn by two people, or delivered."""
    batch_id = run.batch()
    run.approve(batch_id)
    run.hand_out(batch_id)
    seen = {"hash_seen": run.shown(batch_id)["file"]["sha256"][:8]}
    deliver = partial(run.post, 0, path_of(batch_id, "deliveries"), seen)
    withdrawals = _four_times(lambda who: partial(run.post, who, path_of(batch_id, "withdrawals")))
    run.race({"deliver": [deliver] * (THREADS // 2), "withdraw": withdrawals})
    status = run.shown(batch_id)["status"]
    assert run.done("deliver") + run.done("withdraw") == 1, (run.codes("deliver"), run.codes("withdraw"))
    assert status == ("delivered" if run.done("deliver") else "pending")


def two_confirmations(run: Round) -> None:
    """What two people must agree on is done once, by whichever way the second one says so."""
    batch_id = run.batch()
    run.approve(batch_id)
    run.hand_out(batch_id)
    asked = run.post(0, path_of(batch_id, "withdrawals"))
    assert asked.status_code == 202, asked.text
    proposal = f"/v1/proposals/{asked.json()['id']}/confirmation"
    half = THREADS // 2
    run.race(
        {
            "confirm": [partial(run.post, 1 + n % 2, proposal, {}) for n in range(half)],
            "same": [partial(run.post, 1 + n % 2, path_of(batch_id, "withdrawals")) for n in range(half)],
        }
    )
    assert run.done("confirm") + run.done("same") == 1, (run.codes("confirm"), run.codes("same"))
    assert (run.shown(batch_id)["status"], run.shown(batch_id)["revision"]) == ("pending", 2)


def follow_up_follow_up(run: Round) -> None:
    """An unpaid line is offered again once."""
    batch_id = run.batch()
    run.post(0, path_of(batch_id, "rejection"))
    unpaid = run.house.get("/v1/unpaid-transfers")
    body = {"transfer_ids": [each["transfer"]["id"] for each in unpaid]}
    run.race({"follow-up": _four_times(lambda who: partial(run.post, who, "/v1/follow-up-batches", body), THREADS)})
    assert run.done("follow-up") == 1
    assert run.codes("follow-up").keys() <= {"not_unpaid", "invalid", "conflict"}, run.codes("follow-up")


def paid_elsewhere_approve(run: Round) -> None:
    """A line is paid by the batch, or was paid by other means."""
    batch_id = run.batch()
    (line, *_) = run.house.rows("SELECT id::text FROM credit_transfer ORDER BY position")
    close = _four_times(lambda who: partial(run.post, who, f"/v1/transfers/{line.id}/paid-elsewhere"))
    run.race({"approve": _four_times(partial(run.approving, batch_id)), "close": close})
    assert run.done("approve") + run.done("close") == 1, (run.codes("approve"), run.codes("close"))


def pin_guesses(run: Round) -> None:
    """Of two hundred guesses at once five are looked at; the right PIN is then of no use on that token."""
    batch_id = run.batch()
    guess = run.approving(batch_id, 0, pin=WRONG_PIN)
    with ThreadPoolExecutor(THREADS) as threads:
        answers = list(threads.map(lambda send: send(), [guess] * _PIN_GUESSES))
    codes = Counter(answer.json()["code"] for answer in answers)
    assert codes == {"pin_incorrect": _TRIES, "pin_locked": _PIN_GUESSES - _TRIES}, codes
    assert run.approving(batch_id, 0)().json()["code"] == "pin_locked"
    assert run.approving(batch_id, 1)().json()["status"] == "approved"


RACES: Mapping[str, Callable[[Round], None]] = {
    "approve x approve": approve_approve,
    "approve x edit": approve_edit,
    "approve x reject": approve_reject,
    "approve x limit lowered": approve_lower_limit,
    "two batches x one limit": two_batches_one_limit,
    "two batches x the same people": two_batches_of_the_same_people,
    "approve x new reading": approve_new_reading,
    "hand-out x recall": hand_out_recall,
    "withdrawal x delivery": withdraw_deliver,
    "two confirmations": two_confirmations,
    "follow-up x follow-up": follow_up_follow_up,
    "paid elsewhere x approve": paid_elsewhere_approve,
    "PIN guesses": pin_guesses,
}


def run_round(house: ModelHouse, name: str, *, chosen_seed: int, number: int) -> Round:
    """Run one round of a race and check the books afterwards."""
    chance = random.Random(f"{chosen_seed}/{name}/{number}")
    run = Round(house=house, random=chance)
    run.start()
    RACES[name](run)
    model = Model(house=house, reached=Counter(), now=look(house))
    for check in (one_claim_each, sums_are_equal, nothing_offered_twice, nobody_is_lost):
        check(model)
    return run


def prove_rounds(house: ModelHouse, *, rounds: int, chosen_seed: int) -> Mapping[str, Counter[str]]:
    """Run so many rounds of every race; return by race how often each act came through."""
    won: dict[str, Counter[str]] = {name: Counter() for name in RACES}
    for name in RACES:
        for number in range(rounds):
            try:
                run = run_round(house, name, chosen_seed=chosen_seed, number=number)
            except AssertionError as found:
                message = f"{name}, round {number}: {found}"
                raise AssertionError(message) from found
            won[name].update({act: 1 for act in run.answers if run.done(act)})
    return won
