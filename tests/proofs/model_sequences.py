"""Draws sequences of steps from seeds, runs them, and makes a sequence that fails as short as it can be."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from tests.proofs import model_bank_steps, model_batch_steps, model_source_steps, model_time_steps
from tests.proofs.model_checks import check_the_end, look
from tests.proofs.model_house import EVERYBODY, ModelHouse
from tests.proofs.model_memory import Model
from tests.proofs.model_step import STEPS, Step, chance, choose

LENGTH = 30
_FIRMS_OF_ONE = 0.12
# So often a failing sequence is tried again while it is made shorter.
_MOST_TRIES = 150
_SOURCES_OF_STEPS = (model_source_steps, model_batch_steps, model_bank_steps, model_time_steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A step that was taken: which one, and the seed of what it drew."""

    step: Step
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What may happen in a sequence, and how many steps it has."""

    steps: Mapping[str, Step] = field(default_factory=lambda: STEPS)
    length: int = LENGTH


USUAL = Plan()


class CounterExample(AssertionError):
    """A sequence after which the books are wrong."""


def run_sequence(house: ModelHouse, seed: int, reached: Counter[str], plan: Plan = USUAL) -> Model:
    """Run the sequence of a seed; `CounterExample` when the books are wrong after one of its steps."""
    steps: list[Taken] = []
    draw = Random(~seed)

    def all_steps(model: Model) -> None:
        for _ in range(plan.length):
            chosen = choose(model, draw, plan.steps.values())
            steps.append(Taken(step=chosen, seed=draw.getrandbits(32)))
            _take(model, steps[-1])

    failed = _try(house, seed, all_steps, reached)
    if isinstance(failed, Model):
        reached["sequences"] += 1
        return failed
    shortest, (error, told) = _shortened(house, seed, steps, failed)
    raise CounterExample(
        f"{error}\nafter {len(shortest)} of the {len(steps)} steps of sequence {seed}: {told}\n"
        f"that sequence alone: ./run prove model --count 1 --seed {seed}"
    )


def _try(house: ModelHouse, seed: int, act: Callable[[Model], None], reached: Counter[str]) -> Model | tuple[str, str]:
    """Return the model after these steps, or what was wrong and what had happened until then."""
    model = Model(house=house, reached=reached)
    try:
        begin(model, seed)
        act(model)
        check_the_end(model)
    except Exception as error:  # noqa: BLE001 - whatever goes wrong is a counter-example; it is raised as one
        return f"{type(error).__name__}: {error}", " ".join(model.told)
    return model


def begin(model: Model, seed: int) -> None:
    """Put everything back, and set limits and numbers of approvers as this seed says."""
    draw = Random(seed)
    model.house.start_over(seed, people=1 if chance(draw, _FIRMS_OF_ONE) else EVERYBODY)
    model_time_steps.begin(model, draw)
    look(model)


def _take(model: Model, taken: Taken) -> None:
    """Take a step, and look at the books."""
    model.told.append(f"[{taken.step.name}]")
    taken.step.act(model, Random(taken.seed))
    look(model)


def _shortened(
    house: ModelHouse, seed: int, steps: Sequence[Taken], failed: tuple[str, str]
) -> tuple[Sequence[Taken], tuple[str, str]]:
    """Leave out steps as long as something goes wrong: halves first, then smaller parts, then single steps."""
    size, tries = len(steps) // 2, 0
    while size > 0:
        start = 0
        while start < len(steps) and tries < _MOST_TRIES:
            fewer = [*steps[:start], *steps[start + size :]]
            tries += 1
            again = _try(house, seed, _these(fewer), Counter())
            if isinstance(again, Model):
                start += size
            else:
                steps, failed = fewer, again
        size //= 2
    return steps, failed


def _these(steps: Sequence[Taken]) -> Callable[[Model], None]:
    def act(model: Model) -> None:
        for each in steps:
            if each.step.when(model):
                _take(model, each)

    return act
