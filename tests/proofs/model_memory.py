"""What the model remembers of a try: who was shown and said what, and which files left the house."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

import httpx2

from app.payments.ports import SourceRun
from tests.payments.payroll_document import Line
from tests.proofs.model_house import ModelHouse
from tests.proofs.model_picture import NOTHING, Picture
from tests.support.house import CREDITORS

Item = TypeVar("Item")
Tiers = tuple[tuple[int, int], ...]
Limits = Mapping[str, int]
# Every payable line of a batch as a person is shown it: end-to-end id, account, amount, name, text.
Shown = tuple[tuple[str, str, str, str, str], ...]

ONE_APPROVER: Tiers = ((0, 1),)
A_DAY = timedelta(hours=24)
_BAD_IBAN = "NL00FOUT0000000000"
_AMOUNTS = (100_000, 150_000, 150_000, 249_999, 400_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pay:
    """A line as the payroll source has it: a person (the last one has no usable account), where to, and how much."""

    person: int
    account: int
    cents: int
    text: str = "Salaris november 2026"

    def line(self, position: int) -> Line:
        """Return the line as a package writes it."""
        iban = _BAD_IBAN if self.account == len(CREDITORS) else CREDITORS[self.account]
        return Line(
            name=f"Medewerker {chr(ord('A') + self.person)}",
            iban=iban,
            amount=f"{self.cents // 100}.{self.cents % 100:02d}",
            text=self.text,
            end_to_end_id=f"E2E-{position}",
        )


def pays(drawn: Iterable[tuple[int, int]]) -> list[Pay]:
    """Return lines for (person, amount) as drawn."""
    return [
        Pay(person=person % 9, account=person % 9, cents=_AMOUNTS[amount % len(_AMOUNTS)]) for person, amount in drawn
    ]


@dataclass(slots=True, kw_only=True)
class SourceRunHeld:
    """A run at the payroll source, with its lines as they are there now."""

    run: SourceRun
    rows: list[Pay]
    is_listed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that was uploaded, and how its run was named."""

    rows: Sequence[Pay]
    query: Mapping[str, int]
    is_dry: bool = False


@dataclass(slots=True, kw_only=True)
class Memory:
    """Everything the model knows that the service did not tell it afterwards.

    `shown` and `approved` by (batch, revision); `in_one_act` is which batches the last act approved, in order; `asked`
    is who asked when for an act of two people, by what was asked; `agreed` (within one step) is for which lines of
    which batch two people or the bank said that they may be paid again; `out` is the file in which an obligation left
    the house and was not agreed to be free again; `late` are the obligations that came after an approval of their run,
    and were not released by two people.
    """

    order: list[str] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)
    runs: list[SourceRunHeld] = field(default_factory=list)
    tiers: Tiers = ONE_APPROVER
    tiers_asked: tuple[Tiers, datetime] | None = None
    limits: dict[int, Limits] = field(default_factory=dict)
    limits_asked: dict[int, tuple[Limits, datetime]] = field(default_factory=dict)
    shown: dict[tuple[str, int, str], Shown] = field(default_factory=dict)
    approved: dict[tuple[str, int], dict[int, str]] = field(default_factory=dict)
    in_one_act: list[str] = field(default_factory=list)
    editor: dict[str, int] = field(default_factory=dict)
    asked: dict[tuple[object, ...], dict[int, datetime]] = field(default_factory=dict)
    proposals: dict[str, tuple[object, ...]] = field(default_factory=dict)
    agreed: list[tuple[str, frozenset[str] | None]] = field(default_factory=list)
    out: dict[str, str] = field(default_factory=dict)
    sealed: dict[str, tuple[str, str]] = field(default_factory=dict)
    late: set[str] = field(default_factory=set)
    present: dict[str, Counter[tuple[str, int]]] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Model:
    """The employer, what is remembered, the last picture of the database, and what was reached so far."""

    house: ModelHouse
    reached: Counter[str]
    memory: Memory = field(default_factory=Memory)
    now: Picture = NOTHING
    told: list[str] = field(default_factory=list)

    def note(self, act: str, answer: httpx2.Response) -> bool:
        """Count an act, or its refusal by code; say whether it was done or asked for."""
        done = answer.status_code < 300
        self.reach(act if done else f"{act} refused: {answer.json()['code']}")
        return done

    def reach(self, what: str) -> None:
        """Count something that happened, and keep it for the story of a counter-example."""
        self.reached[what] += 1
        self.told.append(what)

    def batches(self, *statuses: str) -> list[str]:
        """Return the batches in one of these statuses (all, without one), oldest first."""
        known = [batch_id for batch_id in self.memory.order if batch_id in self.now.batches]
        return [each for each in known if not statuses or self.now.batches[each].status in statuses]

    def is_out(self, batch_id: str) -> bool:
        """Say whether the file of a batch was handed out."""
        file = self.now.live_file(batch_id)
        return file is not None and file.handed_out_at is not None


def is_enough(model: Model, who_asked: Mapping[int, datetime]) -> bool:
    """Say whether two people asked for it; in a firm of one person, whether that one did so a day ago."""
    if len(model.house.people) > 1:
        return len(who_asked) > 1
    return min(who_asked.values()) + A_DAY <= model.house.clock()


def pick(items: Sequence[Item], n: int) -> Item:
    """Return one of these by a drawn number."""
    return items[n % len(items)]


def limits_now(model: Model, account: int) -> Limits:
    """Return the limits that hold for an account at this moment: a raise counts after a day."""
    memory = model.memory
    waiting = memory.limits_asked.get(account)
    if waiting is not None and waiting[1] + A_DAY <= model.house.clock():
        memory.limits[account] = waiting[0]
        del memory.limits_asked[account]
    return memory.limits[account]
