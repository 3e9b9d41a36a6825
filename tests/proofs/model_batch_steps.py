"""What people do with batches and lines, as steps."""

from random import Random

from tests.proofs import model_bank as bank
from tests.proofs import model_people as people
from tests.proofs.model_checks import look
from tests.proofs.model_memory import Model
from tests.proofs.model_step import (
    chance,
    has_batches,
    inside,
    late_lines,
    left,
    lines,
    out,
    pending,
    pending_lines,
    person,
    some_day,
    step,
    two,
    without_file,
)

_ALL_THE_WAY = 3
_DECISIONS = ("exclude", "hold", "pay", "pay", "third_party")
_APPROVERS = ((0, 1), (1, 2), (2, 0), (0, 1, 2), (0,), (1,), (2,))


@step(4, pending)
def edit(model: Model, draw: Random) -> None:
    """Give a pending batch another date or account."""
    batch_id, who = draw.choice(pending(model)), person(model, draw)
    if chance(draw, 0.5):
        people.edit_date(model, batch_id, who, some_day(model, draw))
    else:
        people.edit_account(model, batch_id, who, draw.randrange(2))


@step(5, pending_lines)
def decide(model: Model, draw: Random) -> None:
    """Decide on a line of a pending batch."""
    people.decide(model, draw.choice(pending_lines(model)), person(model, draw), draw.choice(_DECISIONS))


@step(7, pending)
def approve(model: Model, draw: Random) -> None:
    """Have some people approve a batch."""
    here = len(model.house.people)
    who = [each % here for each in draw.choice(_APPROVERS)]
    careful, without_source = chance(draw, 0.75), chance(draw, 0.5)
    people.approve(model, draw.choice(pending(model)), who, careful=careful, without_source=without_source)


@step(7, pending)
def go_on(model: Model, draw: Random) -> None:
    """Take a batch some way: everybody approves, it is handed out, delivered, executed."""
    batch_id, who, far = draw.choice(pending(model)), person(model, draw), draw.randint(0, _ALL_THE_WAY)
    everybody = range(len(model.house.people))
    people.approve(model, batch_id, everybody, careful=True, without_source=True, until_done=True)
    look(model)
    if far > 0 and batch_id in inside(model):
        bank.hand_out(model, batch_id, who)
        look(model)
    if far > 1 and batch_id in out(model):
        bank.deliver(model, batch_id, who, right_hash=True)
        look(model)
    if far == _ALL_THE_WAY and batch_id in out(model):
        bank.pay_day(model, batch_id, who)


@step(1, lambda model: len(pending(model)) > 1)
def approve_several(model: Model, draw: Random) -> None:
    """Have one person approve everything that is pending."""
    people.approve_several(model, pending(model), person(model, draw))


@step(2, pending)
def guess_pin(model: Model, draw: Random) -> None:
    """Approve with a wrong PIN."""
    people.guess_pin(model, draw.choice(model.batches()), person(model, draw))


@step(2, pending)
def approve_what_changed(model: Model, draw: Random) -> None:
    """Approve what was shown after somebody else changed it."""
    people.approve_what_changed(model, draw.choice(pending_lines(model)), person(model, draw))


@step(3, without_file)
def offer_again(model: Model, draw: Random) -> None:
    """Offer a run again."""
    people.offer_again(model, draw.choice(without_file(model)), person(model, draw))


@step(4, late_lines)
def release_line(model: Model, draw: Random) -> None:
    """Set a line free that came after an approval."""
    line = draw.choice(late_lines(model))
    batches = model.now.batches
    run = batches[line.batch_id].run_id
    others = [each.id for each in lines(model) if batches[each.batch_id].run_id == run and each.id != line.id]
    replaces = draw.choice(others) if others and chance(draw, 0.5) else None
    people.release_line(model, line, two(model, draw), replaces)


@step(2, lambda model: model.now.holds)
def lift(model: Model, draw: Random) -> None:
    """Lift a hold."""
    people.lift(model, draw.choice(model.now.holds), two(model, draw))


@step(1, has_batches)
def hold(model: Model, draw: Random) -> None:
    """Bar a batch by hand."""
    people.hold(model, draw.choice(model.batches()), person(model, draw))


@step(3, has_batches)
def end(model: Model, draw: Random) -> None:
    """Reject or cancel a batch, in whatever status it is."""
    how = draw.choice(("rejection", "cancellation"))
    people.end(model, draw.choice(pending(model) or model.batches()), person(model, draw), how)


@step(3, has_batches)
def recall(model: Model, draw: Random) -> None:
    """Take an approval back, in whatever status the batch is."""
    people.recall(model, draw.choice(model.batches()), person(model, draw))


@step(2, has_batches)
def reissue(model: Model, draw: Random) -> None:
    """Give an approved batch another date."""
    batch_id = draw.choice(inside(model) or model.batches())
    people.reissue(model, batch_id, person(model, draw), some_day(model, draw))


@step(3, left)
def follow_up(model: Model, draw: Random) -> None:
    """Offer unpaid lines again."""
    people.follow_up(model, draw.randrange(8), draw.randrange(4), person(model, draw))


@step(2, lines)
def close_line(model: Model, draw: Random) -> None:
    """Say that a line was paid elsewhere or is not owed."""
    waiting = left(model) if chance(draw, 0.7) else []
    way = draw.choice(("paid-elsewhere", "waiver"))
    people.close_line(model, draw.choice(waiting or lines(model)).id, person(model, draw), way)
