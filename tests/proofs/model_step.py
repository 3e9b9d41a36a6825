"""One step of a sequence: what may happen next, how often it is chosen, and what it does with what it draws."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from tests.proofs.model_memory import Model
from tests.proofs.model_picture import Row

OPEN = ("approved", "delivered", "delivery_unknown", "accepted")
WITHOUT_FILE = ("rejected", "cancelled", "superseded", "expired")
LEFT = ("invalid", "held", "excluded", "refused", "returned")
DAYS = (0, 1, 2, 5, 7, 7, 8, 30, 400)

Act = Callable[[Model, Random], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something that can happen. `when`: whether there is anything to do it with."""

    name: str
    weight: float
    when: Callable[[Model], object]
    act: Act


STEPS: dict[str, Step] = {}


def always(_model: Model) -> bool:
    """Let a step be chosen at any time."""
    return True


def step(weight: float, when: Callable[[Model], object] = always) -> Callable[[Act], Act]:
    """Make a step of a function."""

    def made(act: Act) -> Act:
        STEPS[act.__name__] = Step(name=act.__name__, weight=weight, when=when, act=act)
        return act

    return made


def choose(model: Model, draw: Random, steps: Iterable[Step]) -> Step:
    """Return what happens next, of everything that can."""
    possible = [each for each in steps if each.when(model)]
    return draw.choices(possible, weights=[each.weight for each in possible])[0]


def chance(draw: Random, share: float) -> bool:
    """Return true in this share of the cases."""
    return draw.random() < share


# ----------------------------------------------------------------------------------- what there is to act on


def person(model: Model, draw: Random) -> int:
    """Return somebody."""
    return draw.randrange(len(model.house.people))


def two(model: Model, draw: Random) -> Sequence[int]:
    """Return who says the same thing after each other: mostly two, at times one, or one of them twice."""
    people = len(model.house.people)
    return [who % people for who in draw.choice(((0, 1), (1, 2), (2, 0), (0,), (1,), (2,), (0, 0)))]


def pending(model: Model) -> list[str]:
    """Return the batches that wait for approval."""
    return model.batches("pending")


def without_file(model: Model) -> list[str]:
    """Return the batches that ended without a file."""
    return model.batches(*WITHOUT_FILE)


def approved(model: Model) -> list[str]:
    """Return the approved batches."""
    return model.batches("approved")


def out(model: Model) -> list[str]:
    """Return the open batches whose file was handed out."""
    return [batch_id for batch_id in model.batches(*OPEN) if model.is_out(batch_id)]


def inside(model: Model) -> list[str]:
    """Return the approved batches whose file never left the house."""
    return [batch_id for batch_id in approved(model) if not model.is_out(batch_id)]


def has_batches(model: Model) -> bool:
    """Say whether there is any batch."""
    return bool(model.now.batches)


def lines(model: Model, *statuses: str) -> list[Row]:
    """Return the lines in one of these statuses (all, without one), by batch and place."""
    order = {batch_id: n for n, batch_id in enumerate(model.memory.order)}
    found = [line for line in model.now.lines.values() if not statuses or line.status in statuses]
    return sorted(found, key=lambda line: (order[line.batch_id], line.position))


def executed(model: Model) -> list[Row]:
    """Return the lines that were paid."""
    return lines(model, "executed")


def left(model: Model) -> list[Row]:
    """Return the lines that left a batch unpaid."""
    return lines(model, *LEFT)


def pending_lines(model: Model) -> list[Row]:
    """Return the lines of the batches that wait for approval."""
    waiting = set(pending(model))
    return [line for line in lines(model) if line.batch_id in waiting]


def late_lines(model: Model) -> list[Row]:
    """Return the lines that came after an approval and wait for two people."""
    return [line for line in pending_lines(model) if line.hold_code == "run_changed_after_approval"]


def some_day(model: Model, draw: Random) -> str:
    """Return a day from today on, at times one that cannot be."""
    today: date = model.house.clock().date()
    return (today + timedelta(days=draw.choice(DAYS))).isoformat()
