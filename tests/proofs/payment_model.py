"""The proof `model`: a state machine drives the whole service over its API, and the books are right after every step.

A counter-example prints its steps, shrunk, and is repeated by the seed. See `model_checks` for what is checked.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import wraps
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.payments.models import BatchStatus, TransferStatus
from app.payments.ports import ChannelOutcome
from tests.proofs import model_bank as bank
from tests.proofs import model_payroll as payroll
from tests.proofs import model_people as people
from tests.proofs.model_checks import check_everything, check_the_end
from tests.proofs.model_house import ModelHouse
from tests.proofs.model_memory import ONE_APPROVER, Limits, Model, Tiers, pays, pick
from tests.proofs.model_picture import Row
from tests.proofs.model_picture import look as look_at

_OPEN = ("approved", "delivered", "delivery_unknown", "accepted")
_WITHOUT_FILE = ("rejected", "cancelled", "superseded", "expired")
_MOST_RUNS = 3
STEPS = 30

N = st.integers(0, 7)
WHO = st.integers(0, 2)
BOTH = st.sampled_from(((0, 1), (1, 2), (2, 0), (0,), (1,), (2,), (0, 0)))
APPROVERS = st.sampled_from(((0, 1), (1, 2), (2, 0), (0, 1, 2), (0,), (1,), (2,)))
ADMINS = st.sampled_from(((0, 1), (1, 0), (0,), (1,)))
LINES = st.lists(st.tuples(st.integers(0, 8), N), min_size=1, max_size=4)
TOLD = st.sampled_from(("webhook", "poll", "sync", "not"))
DAYS = st.sampled_from((0, 1, 2, 5, 7, 7, 8, 30, 400))
CODES = st.sampled_from(("AC01", "AC04", "AM04", "AM05", "DUPL"))
TIERS: tuple[Tiers, ...] = (ONE_APPROVER, ((0, 1), (500_000, 2)), ((0, 2),), ((0, 1), (300_000, 2), (900_000, 3)))
LIMITS: tuple[Limits, ...] = (
    {"per_transfer": 500_000, "per_batch": 1_500_000, "per_day": 2_000_000, "per_month": 3_000_000},
    {"per_batch": 800_000, "per_day": 900_000},
    {"per_batch": 650_000, "per_day": 800_001, "per_month": 1_000_000},
    {"per_transfer": 249_999, "per_batch": 5_000_000},
)


def always(_model: Model) -> bool:
    """Let a rule be tried at any time."""
    return True


def act(when: Callable[[Model], object], **drawn: Any) -> Callable[[Callable[..., None]], Any]:
    """Make a rule of a method: tried when there is something to act on, and followed by a look at the books."""

    def made(method: Callable[..., None]) -> Any:
        @wraps(method)
        def step(machine: "PaymentMachine", **values: Any) -> None:
            machine.model.told.append(f"[{method.__name__}]")
            try:
                method(machine, **values)
                machine.look()
            except AssertionError as found:
                found.add_note("What happened: " + " ".join(machine.model.told))
                raise

        return precondition(lambda machine: bool(when(machine.model)))(rule(**drawn)(step))  # type: ignore[no-untyped-call]

    return made


def _lines(*statuses: str) -> Callable[[Model], list[Row]]:
    def found(model: Model) -> list[Row]:
        order = {batch_id: n for n, batch_id in enumerate(model.memory.order)}
        lines = [line for line in model.now.lines.values() if not statuses or line.status in statuses]
        return sorted(lines, key=lambda line: (order[line.batch_id], line.position))

    return found


def _has_batches(model: Model) -> bool:
    return bool(model.now.batches)


def _waiting(model: Model) -> list[Row]:
    pending = set(model.batches("pending"))
    codes = {"run_changed_after_approval"}
    return [line for line in _lines("held")(model) if line.batch_id in pending and line.hold_code in codes]


def _out(model: Model) -> list[str]:
    return [batch_id for batch_id in model.batches(*_OPEN) if model.is_out(batch_id)]


def _inside(model: Model) -> list[str]:
    return [batch_id for batch_id in model.batches("approved") if not model.is_out(batch_id)]


def _pending_lines(model: Model) -> list[Row]:
    pending = set(model.batches("pending"))
    return [line for line in _lines()(model) if line.batch_id in pending]


class PaymentMachine(RuleBasedStateMachine):
    """Everything that can happen, in any order."""

    house: ModelHouse
    reached: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self.house.start_over()
        self.model = Model(house=self.house, reached=self.reached)

    @initialize(tiers=N, first=st.integers(0, 1), second=N)
    def set_up(self, tiers: int, first: int, second: int) -> None:
        """Set the limits and the numbers of approvers."""
        people.set_limits(self.model, 0, LIMITS[first], (0,))
        people.set_limits(self.model, 1, pick(LIMITS, second), (1,))
        people.set_tiers(self.model, pick(TIERS, tiers), (0,))
        self.look()

    def look(self) -> None:
        """Look, and check what happened since the last look."""
        model = self.model
        before, model.now = model.now, look_at(model.house)
        known = set(model.memory.order)
        model.memory.order += [batch_id for batch_id in model.now.batches if batch_id not in known]
        check_everything(model, before)
        model.memory.agreed.clear()

    def teardown(self) -> None:
        """Look at the whole once more."""
        self.reached["sequences"] += 1
        check_the_end(self.model)

    # --------------------------------------------------------------------------------------- the source

    @act(
        lambda model: len(model.memory.uploads) < _MOST_RUNS or model.memory.uploads,
        who=st.sampled_from((0, 1, 0, 1, 2)),
        number=st.sampled_from((None, 1, 2)),
        rows=LINES,
        again=st.sampled_from((None, None, None, 0, 1)),
    )
    def upload(self, who: int, number: int | None, rows: Sequence[tuple[int, int]], again: int | None) -> None:
        """Upload a file, or one of before once more."""
        uploads = self.model.memory.uploads
        if uploads and (again is not None or len(uploads) >= _MOST_RUNS):
            payroll.upload_again(self.model, who, again or 0)
        else:
            payroll.upload(self.model, who, number, pays(rows))

    @act(lambda model: len(model.memory.runs) < _MOST_RUNS, rows=LINES, told=TOLD)
    def finish_run(self, rows: Sequence[tuple[int, int]], told: str) -> None:
        """Finish a run at the source."""
        payroll.finish_run(self.model, pays(rows), told)

    @act(
        payroll.listed_runs,
        n=N,
        row=N,
        told=TOLD,
        change=st.sampled_from(("iban corrected", "amount corrected", "text corrected", "line gone", "line added")),
    )
    def change_run(self, n: int, row: int, told: str, change: str) -> None:
        """Change a run at the source."""
        payroll.change_run(self.model, n, change, row, told)

    @act(
        payroll.listed_runs,
        n=N,
        told=TOLD,
        what=st.sampled_from(("again", "again", "undone", "down", "denied", "well", "well")),
    )
    def upset(self, n: int, told: str, what: str) -> None:
        """Undo a run, do it again, or let the source be down."""
        if what == "again":
            payroll.do_again(self.model, n, told)
        elif what == "undone":
            payroll.undo_run(self.model, n)
        else:
            payroll.trouble(self.model, what)

    # ------------------------------------------------------------------------------- a pending batch

    @act(lambda model: model.batches("pending"), n=N, who=WHO, days=DAYS, account=st.sampled_from((None, None, 0, 1)))
    def edit(self, n: int, who: int, days: int, account: int | None) -> None:
        """Give a pending batch another date or account."""
        batch_id = pick(self.model.batches("pending"), n)
        if account is None:
            people.edit_date(self.model, batch_id, who, self._day(days))
        else:
            people.edit_account(self.model, batch_id, who, account)

    @act(_pending_lines, n=N, who=WHO, decision=st.sampled_from(("exclude", "hold", "pay", "pay", "third_party")))
    def decide(self, n: int, who: int, decision: str) -> None:
        """Decide on a line of a pending batch."""
        people.decide(self.model, pick(_pending_lines(self.model), n), who, decision)

    @act(
        lambda model: model.batches("pending"),
        n=N,
        who=APPROVERS,
        careful=st.sampled_from((True, True, True, False)),
        without_source=st.booleans(),
    )
    def approve(self, n: int, who: Sequence[int], careful: bool, without_source: bool) -> None:
        """Have some people approve a batch."""
        batch_id = pick(self.model.batches("pending"), n)
        people.approve(self.model, batch_id, who, careful=careful, without_source=without_source)

    @act(lambda model: model.batches("pending"), n=N, who=WHO, far=st.integers(0, 3))
    def go_on(self, n: int, who: int, far: int) -> None:
        """Take a batch some way: everybody approves, it is handed out, delivered, executed."""
        batch_id = pick(self.model.batches("pending"), n)
        people.approve(self.model, batch_id, (0, 1, 2), careful=True, without_source=True)
        self.look()
        if far > 0 and batch_id in _inside(self.model):
            bank.hand_out(self.model, batch_id, who)
            self.look()
        if far > 1 and batch_id in _out(self.model):
            bank.deliver(self.model, batch_id, who, right_hash=True)
            self.look()
        if far > 2 and batch_id in _out(self.model):
            self._pay_day(batch_id, who)

    @act(lambda model: len(model.batches("pending")) > 1, who=WHO)
    def approve_several(self, who: int) -> None:
        """Have one person approve everything that is pending."""
        people.approve_several(self.model, self.model.batches("pending"), who)

    @act(lambda model: model.batches(*_WITHOUT_FILE), n=N, who=WHO)
    def offer_again(self, n: int, who: int) -> None:
        """Offer a run again."""
        people.offer_again(self.model, pick(self.model.batches(*_WITHOUT_FILE), n), who)

    @act(_waiting, n=N, who=BOTH, replaces=st.booleans())
    def release_line(self, n: int, who: Sequence[int], replaces: bool) -> None:
        """Set a line free that came after an approval."""
        line = pick(_waiting(self.model), n)
        run = self.model.now.batches[line.batch_id].run_id
        others = [
            each.id
            for each in _lines()(self.model)
            if self.model.now.batches[each.batch_id].run_id == run and each.id != line.id
        ]
        people.release_line(self.model, line, who, pick(others, n) if replaces and others else None)

    @act(lambda model: model.now.holds, n=N, who=BOTH)
    def lift(self, n: int, who: Sequence[int]) -> None:
        """Lift a hold."""
        people.lift(self.model, pick(self.model.now.holds, n), who)

    @act(
        _has_batches,
        n=N,
        who=WHO,
        days=DAYS,
        what=st.sampled_from(
            ("rejection", "cancellation", "hold", "recall", "recall", "reissue", "hand out", "deliver", "wrong pin")
        ),
    )
    def meddle(self, n: int, who: int, days: int, what: str) -> None:
        """Do something with a batch in whatever status it is."""
        batch_id = pick(self.model.batches(), n)
        match what:
            case "hold":
                people.hold(self.model, batch_id, who)
            case "recall":
                people.recall(self.model, batch_id, who)
            case "reissue":
                people.reissue(self.model, batch_id, who, self._day(days))
            case "hand out":
                bank.hand_out(self.model, batch_id, who)
            case "deliver":
                bank.deliver(self.model, batch_id, who, right_hash=True)
            case "wrong pin":
                people.guess_pin(self.model, batch_id, who)
            case _:
                people.end(self.model, batch_id, who, what)

    # ------------------------------------------------------------------------------ an approved batch

    @act(_inside, n=N, who=WHO)
    def hand_out(self, n: int, who: int) -> None:
        """Fetch a file for the first time."""
        bank.hand_out(self.model, pick(_inside(self.model), n), who)

    @act(_inside, n=N, who=WHO, outcome=st.sampled_from(ChannelOutcome))
    def send(self, n: int, who: int, outcome: ChannelOutcome) -> None:
        """Send a file through a channel."""
        bank.send(self.model, pick(_inside(self.model), n), who, outcome)

    @act(lambda model: model.batches("approved"), n=N, who=WHO, right=st.sampled_from((True, True, True, False)))
    def deliver(self, n: int, who: int, right: bool) -> None:
        """Say that a file is at the bank."""
        out = [batch_id for batch_id in _out(self.model) if batch_id in self.model.batches("approved")]
        bank.deliver(self.model, pick(out or self.model.batches("approved"), n), who, right_hash=right)

    @act(_out, n=N, who=BOTH)
    def withdraw(self, n: int, who: Sequence[int]) -> None:
        """Say that a file is not at the bank."""
        bank.withdraw(self.model, pick(_out(self.model), n), who)

    # --------------------------------------------------------------------------------------- the bank

    @act(
        _out,
        n=N,
        who=BOTH,
        one_line=st.booleans(),
        code=st.sampled_from((None, None, "AC01", "AM04")),
        fact=st.sampled_from(("accepted", "executed", "executed", "refused", "refused", "not_executed")),
    )
    def state(self, n: int, who: Sequence[int], one_line: bool, code: str | None, fact: str) -> None:
        """Say what the bank did."""
        bank.state(self.model, pick(_out(self.model), n), fact, who, one_line=one_line, code=code)

    @act(
        lambda model: [each for each in model.batches() if model.is_out(each)],
        n=N,
        who=BOTH,
        one_line=st.booleans(),
        code=CODES,
        status=st.sampled_from(("ACTC", "ACCP", "ACSC", "ACSC", "RJCT", "RJCT")),
        by_channel=st.booleans(),
    )
    def report(
        self,
        n: int,
        who: Sequence[int],
        one_line: bool,
        code: str,
        status: str,
        by_channel: bool,
    ) -> None:
        """Take in a report of the bank."""
        batch_id = pick([each for each in self.model.batches() if self.model.is_out(each)], n)
        if by_channel:
            bank.channel_report(self.model, batch_id, status, one_line=one_line, code=code)
        else:
            bank.report(self.model, batch_id, status, who, one_line=one_line, code=code)

    @act(_out, n=N, who=WHO)
    def pay_day(self, n: int, who: int) -> None:
        """Wait for the execution date of a batch, and say that it was executed."""
        self._pay_day(pick(_out(self.model), n), who)

    def _pay_day(self, batch_id: str, who: int) -> None:
        """Wait for the execution date, and say that the bank executed the batch."""
        clock, day = self.house.clock, self.model.now.batches[batch_id].day
        clock.forward(days=max(0, (day - clock().date()).days))
        people.time_passed(self.model)
        bank.state(self.model, batch_id, "executed", (who,), one_line=False, code=None)

    @act(_lines("executed"), n=N, who=BOTH)
    def bring_back(self, n: int, who: Sequence[int]) -> None:
        """Say that the money of a line came back."""
        bank.bring_back(self.model, pick(_lines("executed")(self.model), n), who)

    # --------------------------------------------------------------------------- unpaid, settings, time

    @act(_lines("invalid", "held", "excluded", "refused", "returned"), n=N, many=st.integers(0, 3), who=WHO)
    def follow_up(self, n: int, many: int, who: int) -> None:
        """Offer unpaid lines again."""
        people.follow_up(self.model, n, many, who)

    @act(
        _lines(),
        n=N,
        who=WHO,
        way=st.sampled_from(("paid-elsewhere", "waiver")),
        left=st.sampled_from((True, True, False)),
    )
    def close_line(self, n: int, who: int, way: str, left: bool) -> None:
        """Say that a line was paid elsewhere or is not owed."""
        lines = _lines("invalid", "held", "excluded", "refused", "returned")(self.model) if left else []
        people.close_line(self.model, pick(lines or _lines()(self.model), n).id, who, way)

    @act(_has_batches, account=st.integers(0, 2), wanted=N, who=ADMINS)
    def set_up_again(self, account: int, wanted: int, who: Sequence[int]) -> None:
        """Ask for other limits or other numbers of approvers."""
        if account < len(self.house.accounts):
            people.set_limits(self.model, account, pick(LIMITS, wanted), who)
        else:
            people.set_tiers(self.model, pick(TIERS, wanted), who)

    @act(
        lambda model: model.memory.asked or model.memory.tiers_asked,
        n=N,
        who=WHO,
        how=st.sampled_from(("confirm", "confirm", "withdraw")),
    )
    def end_proposal(self, n: int, who: int, how: str) -> None:
        """Confirm or take back what somebody asked for."""
        waiting = self.house.get("/v1/proposals")
        if waiting and how == "confirm":
            bank.confirm(self.model, pick(waiting, n)["id"], who)
        else:
            people.end_proposal(self.model, n, who)

    @act(_has_batches, days=st.sampled_from((0, 1, 3, 7, 30, 250)), outcome=st.sampled_from(ChannelOutcome))
    def later(self, days: int, outcome: ChannelOutcome) -> None:
        """Let days go by, or build the service anew."""
        if days == 0:
            self.house.restart()
            self.model.reach("restart")
        self.house.bank.answers = outcome
        for _ in range(3):  # what ends by itself is warned about twice before
            self.house.clock.forward(days=days / 3)
            people.time_passed(self.model)

    def _day(self, days: int) -> str:
        today: date = self.house.clock().date()
        return (today + timedelta(days=days)).isoformat()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was proved: how many sequences, and how often each act and status was reached."""

    sequences: int
    reached: Counter[str]


def prove_sequences(house: ModelHouse, *, sequences: int, chosen_seed: int, shrinks: bool = True) -> Outcome:
    """Run so many sequences; AssertionError with the (shrunk) steps on the first counter-example."""
    reached: Counter[str] = Counter()

    class Machine(PaymentMachine):
        pass

    Machine.house, Machine.reached = house, reached
    run_state_machine_as_test(
        seed(chosen_seed)(Machine),
        settings=settings(
            max_examples=sequences,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize=False,
            print_blob=True,
            phases=(Phase.generate, Phase.shrink) if shrinks else (Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
    return Outcome(sequences=reached.pop("sequences"), reached=reached)


# What a run of the proof must have come to, or it proved less than it says.
MUST_BE_REACHED = frozenset(
    {f"batch {status.value}" for status in BatchStatus}
    | {f"line {status.value}" for status in TransferStatus}
    | {
        "upload",
        "upload again",
        "run finished",
        "run done again",
        "run undone",
        "run changed: iban corrected",
        "run changed: line added",
        "run changed: line gone",
        "webhook",
        "poll",
        "sync",
        "source down",
        "edit date",
        "edit account",
        "line: exclude",
        "line: hold",
        "line: pay",
        "line: third_party",
        "hold",
        "lift own hold",
        "approve",
        "approve several",
        "approve: pending",
        "approved by 2",
        "approve refused: payment_limit_exceeded",
        "wrong pin refused: pin_incorrect",
        "recall while approved",
        "recall while approved refused: not_allowed_now",
        "reissue",
        "rejection",
        "cancellation",
        "offer again",
        "hand-out",
        "deliver",
        "deliver refused: hash_differs",
        "send: accepted",
        "send: refused",
        "send: unknown",
        "withdraw",
        "withdraw asked",
        "state accepted",
        "state executed",
        "state refused",
        "state refused asked",
        "report ACSC",
        "report RJCT",
        "report refuses: done",
        "channel report RJCT",
        "return",
        "follow-up",
        "paid-elsewhere",
        "waiver",
        "release additional",
        "confirm",
        "proposal withdrawn",
        "claim freed after hand-out",
        "looser tiers after a day",
        "restart",
    }
)


def missing_from(reached: Counter[str]) -> list[str]:
    """Return what was never reached of what must be."""
    return sorted(MUST_BE_REACHED - {what for what, times in reached.items() if times})
