"""Settings that change, proposals that are answered, days that go by, and a service that is built anew, as steps."""

from random import Random

from app.payments.ports import ChannelOutcome
from tests.proofs import model_bank as bank
from tests.proofs import model_people as people
from tests.proofs.model_memory import ONE_APPROVER, Limits, Model, Tiers
from tests.proofs.model_step import chance, has_batches, person, step

TIERS: tuple[Tiers, ...] = (
    ONE_APPROVER,
    ONE_APPROVER,
    ((0, 1), (500_000, 2)),
    ((0, 2),),
    ((0, 1), (300_000, 2), (900_000, 3)),
)
LIMITS: tuple[Limits, ...] = (
    {"per_transfer": 500_000, "per_batch": 1_500_000, "per_day": 2_000_000, "per_month": 3_000_000},
    {"per_batch": 800_000, "per_day": 900_000},
    {"per_batch": 650_000, "per_day": 800_001, "per_month": 1_000_000},
    {"per_transfer": 249_999, "per_batch": 5_000_000},
    {"per_batch": 1_500_000, "per_day": 2_000_000, "soft_per_batch": 400_000, "soft_per_day": 700_000},
    {"per_batch": 1_500_000, "per_month": 3_000_000, "soft_per_transfer": 150_000, "soft_per_month": 900_000},
)
_DAYS = (1, 1, 3, 7, 30, 250)


def begin(model: Model, draw: Random) -> None:
    """Set the limits and the numbers of approvers, as a first setting: no second person is needed."""
    admins = min(2, len(model.house.people))
    people.set_limits(model, 0, draw.choice((*LIMITS[:2], *LIMITS[-2:])), (0,))
    people.set_limits(model, 1, draw.choice(LIMITS), (1 % admins,))
    people.set_tiers(model, draw.choice(TIERS), (0,))


@step(2, has_batches)
def set_up_again(model: Model, draw: Random) -> None:
    """Ask for other limits or other numbers of approvers."""
    admins = min(2, len(model.house.people))
    who = [each % admins for each in draw.choice(((0, 1), (1, 0), (0,), (1,)))]
    if chance(draw, 0.7):
        people.set_limits(model, draw.randrange(2), draw.choice(LIMITS), who)
    else:
        people.set_tiers(model, draw.choice(TIERS), who)


@step(3, lambda model: model.memory.asked or model.memory.tiers_asked)
def end_proposal(model: Model, draw: Random) -> None:
    """Confirm or take back what somebody asked for."""
    waiting = model.house.get("/v1/proposals")
    if not waiting:
        return
    proposal_id = draw.choice(waiting)["id"]
    if chance(draw, 0.7):
        bank.confirm(model, proposal_id, person(model, draw))
    else:
        people.end_proposal(model, proposal_id, person(model, draw))


@step(2, has_batches)
def later(model: Model, draw: Random) -> None:
    """Let days go by; the channel, asked again, answers one thing or another."""
    model.house.bank.answers = draw.choice(list(ChannelOutcome))
    days = draw.choice(_DAYS)
    for _ in range(3):  # what ends by itself is warned about twice before
        model.house.clock.forward(days=days / 3)
        people.time_passed(model)


@step(0.3, has_batches)
def restart(model: Model, _draw: Random) -> None:
    """Build the service anew."""
    model.house.restart()
    model.reach("restart")
