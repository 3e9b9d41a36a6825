"""What happens at the payroll source, as steps."""

from random import Random

from tests.proofs import model_payroll as payroll
from tests.proofs.model_memory import Model, Pay, pays
from tests.proofs.model_step import chance, person, step

_MOST_RUNS = 3
_TOLD = ("webhook", "webhook", "poll", "sync", "not")
_CHANGES = ("iban corrected", "amount corrected", "text corrected", "line gone", "line added")


def _rows(draw: Random) -> list[Pay]:
    return pays([(draw.randrange(9), draw.randrange(8)) for _ in range(draw.randint(1, 4))])


@step(5, lambda model: len(model.memory.uploads) < _MOST_RUNS)
def upload(model: Model, draw: Random) -> None:
    """Upload a file."""
    number, is_dry = draw.choice((None, 1, 2)), chance(draw, 0.1)
    payroll.upload(model, person(model, draw), number, _rows(draw), is_dry=is_dry)


@step(2, lambda model: model.memory.uploads)
def upload_again(model: Model, draw: Random) -> None:
    """Upload a file of before once more."""
    payroll.upload_again(model, person(model, draw), draw.randrange(8))


@step(6, lambda model: len(model.memory.runs) < _MOST_RUNS)
def finish_run(model: Model, draw: Random) -> None:
    """Finish a run at the source."""
    payroll.finish_run(model, _rows(draw), draw.choice(_TOLD))


@step(4, payroll.listed_runs)
def change_run(model: Model, draw: Random) -> None:
    """Change a run at the source."""
    payroll.change_run(model, draw.randrange(8), draw.choice(_CHANGES), draw.randrange(8), draw.choice(_TOLD))


@step(2, payroll.listed_runs)
def run_again(model: Model, draw: Random) -> None:
    """Do a run again at the source, or undo it for good."""
    if chance(draw, 0.7):
        payroll.do_again(model, draw.randrange(8), draw.choice(_TOLD))
    else:
        payroll.undo_run(model, draw.randrange(8))


@step(2, payroll.listed_runs)
def trouble(model: Model, draw: Random) -> None:
    """Let the source be down, deny us, or be well again."""
    payroll.trouble(model, draw.choice(("down", "denied", "well", "well")))
