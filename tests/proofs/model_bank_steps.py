"""What happens between employer and bank, as steps."""

from random import Random

from app.payments.ports import ChannelOutcome
from tests.proofs import model_bank as bank
from tests.proofs.model_memory import Model
from tests.proofs.model_step import approved, chance, executed, has_batches, inside, out, person, step, two

_CODES = ("AC01", "AC04", "AM04", "AM05", "DUPL")
_FACTS = ("accepted", "executed", "executed", "refused", "refused", "not_executed")


@step(5, inside)
def hand_out(model: Model, draw: Random) -> None:
    """Fetch a file for the first time."""
    bank.hand_out(model, draw.choice(inside(model)), person(model, draw))


@step(1, has_batches)
def hand_out_anything(model: Model, draw: Random) -> None:
    """Fetch the file of a batch in whatever status it is."""
    bank.hand_out(model, draw.choice(model.batches()), person(model, draw))


@step(3, inside)
def send(model: Model, draw: Random) -> None:
    """Send a file through a channel."""
    outcome = draw.choice(list(ChannelOutcome))
    bank.send(model, draw.choice(inside(model)), person(model, draw), outcome)


@step(4, approved)
def deliver(model: Model, draw: Random) -> None:
    """Say that a file is at the bank."""
    handed_out = [batch_id for batch_id in out(model) if batch_id in approved(model)]
    right = chance(draw, 0.75)
    bank.deliver(model, draw.choice(handed_out or approved(model)), person(model, draw), right_hash=right)


@step(3, out)
def withdraw(model: Model, draw: Random) -> None:
    """Say that a file is not at the bank."""
    bank.withdraw(model, draw.choice(out(model)), two(model, draw))


@step(4, out)
def state(model: Model, draw: Random) -> None:
    """Say what the bank did."""
    batch_id, one_line = draw.choice(out(model)), chance(draw, 0.5)
    code = draw.choice((None, None, "AC01", "AM04"))
    bank.state(model, batch_id, draw.choice(_FACTS), two(model, draw), one_line=one_line, code=code)


def _with_file_out(model: Model) -> list[str]:
    return [batch_id for batch_id in model.batches() if model.is_out(batch_id)]


@step(4, _with_file_out)
def report(model: Model, draw: Random) -> None:
    """Take in a report of the bank: from its channel, or uploaded by people."""
    batch_id, one_line = draw.choice(_with_file_out(model)), chance(draw, 0.5)
    status, code = draw.choice(("ACTC", "ACCP", "ACSC", "ACSC", "RJCT", "RJCT")), draw.choice(_CODES)
    if chance(draw, 0.5):
        bank.channel_report(model, batch_id, status, one_line=one_line, code=code)
    else:
        bank.report(model, batch_id, status, two(model, draw), one_line=one_line, code=code)


@step(3, out)
def pay_day(model: Model, draw: Random) -> None:
    """Wait for the execution date of a batch, and say that it was executed."""
    bank.pay_day(model, draw.choice(out(model)), person(model, draw))


@step(3, executed)
def bring_back(model: Model, draw: Random) -> None:
    """Say that the money of a line came back."""
    bank.bring_back(model, draw.choice(executed(model)), two(model, draw))
