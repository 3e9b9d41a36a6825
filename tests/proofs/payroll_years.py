"""Years of payroll as they happen: people join, leave and get raises, and now and then somebody's account changes."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from tests.payments.payments_of import dutch_iban

_FIRST = ("Anna", "Bram", "Cas", "Daan", "Eva", "Finn", "Guus", "Hanna", "Iris", "Jan", "Kees", "Renée", "Sven", "Tess")
_LAST = ("Bakker", "Smit", "de Vries", "van den Berg", "Jansen", "de Jong", "Visser", "Çelik", "'t Hart", "Müller")
_THIRD_PARTIES = ("Gerechtsdeurwaarder", "Gemeente", "Incassobureau")
MONTHS, FOUR_WEEKS = 12, 13
_HOLIDAY_PAY = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who is paid; `first` is empty for a third party."""

    first: str
    last: str
    iban: str
    cents: int

    def written(self, style: int) -> str:
        """Return the name as a package writes it in one of its styles."""
        if not self.first:
            return self.last
        return (f"{self.first} {self.last}", f"{self.last}, {self.first}", f"{self.first} {self.last}".upper())[style]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of a run."""

    name: str
    iban: str
    cents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run with what must be said of it: `asked` (code, position), exactly; `told` at least; None is the batch."""

    administration: int
    period: int
    rows: tuple[Row, ...]
    planted: str | None
    asked: frozenset[tuple[str, int | None]]
    told: frozenset[tuple[str, int | None]]
    is_unchanged: bool
    is_first: bool
    is_held: bool


@dataclass(slots=True)
class _Plan:
    """What a plant did: who is asked about, by (code, index of the person), and more lines."""

    asked: list[tuple[str, int | None]] = field(default_factory=list)
    told: list[tuple[str, int | None]] = field(default_factory=list)
    more: list[tuple[Person, str]] = field(default_factory=list)


class Firm:
    """One administration over a year: its people, and the accounts that nobody has yet."""

    def __init__(self, chance: random.Random, number: int, *, size: int, periods: int = MONTHS) -> None:
        self.chance, self.number, self.periods = chance, number, periods
        self._next = number * 1_000_000
        self.people = [self._somebody() for _ in range(size)]
        for title in chance.sample(_THIRD_PARTIES, 2):
            self.people.append(
                Person(first="", last=f"{title} {number} {title[-3:]}", iban=self._account(), cents=15_000)
            )
        self._back: tuple[int, str] | None = None
        self._was_abroad: set[str] = set()
        self._was_odd = False
        self._had_extra = ""
        self._paid: set[tuple[str, str]] = set()

    def _account(self, *, bank: str = "INGB") -> str:
        self._next += 1
        return dutch_iban(self._next, bank=bank)

    def _somebody(self) -> Person:
        iban = self._account()
        # The number makes every name one person's; the letters before it are what is written in many ways.
        last = f"{self.chance.choice(_LAST)}-{self._next}"
        return Person(
            first=self.chance.choice(_FIRST), last=last, iban=iban, cents=self.chance.randint(150_000, 450_000)
        )

    def year(self, *, plants: float) -> Iterator[Run]:
        """Yield the runs of a year; a run after the first has a planted change with this chance."""
        for period in range(1, self.periods + 1):
            yield self._run(period, plants=plants)

    def _run(self, period: int, *, plants: float) -> Run:
        plan, planted, is_unchanged = _Plan(), None, period > 1 and not self._was_odd
        if self._back is not None:
            planted, is_unchanged = "back", False
            self._go_back(plan)
        elif period > 1 and self.chance.random() < plants:
            is_unchanged = False
            planted = self.chance.choice(sorted(PLANTS))
            PLANTS[planted](self, plan)
        elif period > 1 and self.chance.random() < 0.5:
            is_unchanged = False
            self._live(plan)
        self._was_odd = bool(plan.more)
        self._paid |= {(person.last, person.iban) for person in self.people}
        peak = 170 if period in (_HOLIDAY_PAY, self.periods) else 100
        if peak != 100 or period == _HOLIDAY_PAY + 1:
            is_unchanged = False
            plan.told.append(("peak_expected", None))
        return self._written(period, plan, planted, peak=peak, is_unchanged=is_unchanged)

    def _written(self, period: int, plan: _Plan, planted: str | None, *, peak: int, is_unchanged: bool) -> Run:
        style, everybody = self.chance.randrange(3), [*enumerate(self.people), *((None, more) for more, _ in plan.more)]
        self.chance.shuffle(everybody)
        position = {index: at for at, (index, _) in enumerate(everybody, start=1) if index is not None}
        rows = tuple(
            Row(
                name=person.written(style),
                iban=person.iban,
                cents=person.cents * (peak if person.first and index is not None else 100) // 100,
            )
            for index, person in everybody
        )
        more = [
            (code, at)
            for at, (_, person) in enumerate(everybody, start=1)
            for each, code in plan.more
            if each is person
        ]
        asked = [(code, None if index is None else position[index]) for code, index in plan.asked]
        told = [(code, None if index is None else position[index]) for code, index in plan.told]
        is_first = period == 1
        return Run(
            administration=self.number,
            period=period,
            rows=rows,
            planted=planted,
            asked=frozenset([("first_batch", None)] if is_first else [*asked, *more]),
            told=frozenset(told),
            is_unchanged=is_unchanged,
            is_first=is_first,
            is_held=planted == "many",
        )

    def _live(self, plan: _Plan) -> None:
        """An ordinary month: somebody joins, or leaves, or gets a raise."""
        event = self.chance.randrange(3)
        who = self._employee()
        if event == 0:
            self.people.append(self._somebody())
            plan.told.append(("new_payees", None))
        elif event == 1:
            del self.people[who]
            plan.told.append(("payees_gone", None))
        else:
            raised = self.people[who].cents * self.chance.randint(101, 115) // 100
            self.people[who] = replace(self.people[who], cents=raised)

    def _employee(self) -> int:
        return self.chance.choice([index for index, person in enumerate(self.people) if person.first])

    def _at_home(self) -> list[int]:
        return [n for n, person in enumerate(self.people) if person.first and person.iban.startswith("NL")]

    def _expect(self, plan: _Plan, index: int) -> None:
        """Expect a question about a changed account; on one that this person had before, only the remark."""
        person = self.people[index]
        if (person.last, person.iban) in self._paid:
            plan.told.append(("account_changed_back", index))
        else:
            plan.asked.append(("account_changed", index))

    def move(self, index: int, iban: str) -> None:
        """Pay somebody on another account from now on."""
        self.people[index] = replace(self.people[index], iban=iban)

    def change(self, plan: _Plan) -> None:
        """Somebody's account changes."""
        who = self._employee()
        self.move(who, self._account())
        plan.asked.append(("account_changed", who))

    def change_and_back(self, plan: _Plan) -> None:
        """Somebody's account changes, and is the old one again next time."""
        who = self._employee()
        self._back = (who, self.people[who].iban)
        self.move(who, self._account())
        plan.asked.append(("account_changed", who))

    def _go_back(self, plan: _Plan) -> None:
        assert self._back is not None
        who, iban = self._back
        self.move(who, iban)
        self._back = None
        plan.told.append(("account_changed_back", who))

    def swap(self, plan: _Plan) -> None:
        """Two people's accounts are exchanged."""
        one, other = self.chance.sample(self._at_home(), 2)
        accounts = self.people[one].iban, self.people[other].iban
        self.move(one, accounts[1])
        self.move(other, accounts[0])
        self._expect(plan, one)
        self._expect(plan, other)

    def take_over(self, plan: _Plan) -> None:
        """Somebody leaves and somebody else is paid on that account from now on."""
        gone, heir = self.chance.sample(self._at_home(), 2)
        self.move(heir, self.people[gone].iban)
        del self.people[gone]
        self._expect(plan, heir - (gone < heir))

    def extra(self, plan: _Plan) -> None:
        """A part of somebody's pay goes to one more account, this once."""
        # Not of somebody who had one last time: one extra account after another is a changed account.
        person = self.chance.choice([each for each in self.people if each.first and each.last != self._had_extra])
        self._had_extra = person.last
        plan.more.append((replace(person, iban=self._account(), cents=20_000), "account_added"))

    def abbreviate(self, plan: _Plan) -> None:
        """Somebody's account changes while the first name becomes an initial: no new person."""
        who = self.chance.choice([n for n in self._at_home() if not self.people[n].first.endswith(".")])
        self.people[who] = replace(self.people[who], first=f"{self.people[who].first[0]}.", iban=self._account())
        plan.asked.append(("account_changed", who))

    def many(self, plan: _Plan) -> None:
        """The accounts of many people change at once."""
        employees = [index for index, person in enumerate(self.people) if person.first]
        for who in self.chance.sample(employees, max(3, (len(self.people) + 49) // 50)):
            self.move(who, self._account())
            plan.asked.append(("account_changed", who))
        plan.told.append(("many_accounts_changed", None))

    def foreign(self, plan: _Plan) -> None:
        """Somebody who was never paid abroad is paid on a Belgian account."""
        who = self.chance.choice([n for n in self._at_home() if self.people[n].last not in self._was_abroad])
        self._was_abroad.add(self.people[who].last)
        self._next += 1
        self.move(who, belgian_iban(self._next))
        plan.asked += [("account_changed", who), ("first_foreign_account", who)]

    def third_party(self, plan: _Plan) -> None:
        """A third party gets another account, or its account another name."""
        who = self.chance.choice([index for index, person in enumerate(self.people) if not person.first])
        if self.chance.random() < 0.5:
            self.move(who, self._account())
        else:
            self._next += 1
            self.people[who] = replace(self.people[who], last=f"Gemeente {self._next}")
        plan.asked.append(("third_party_changed", who))


PLANTS: dict[str, Callable[[Firm, _Plan], None]] = {
    "abbreviate": Firm.abbreviate,
    "change": Firm.change,
    "change_and_back": Firm.change_and_back,
    "swap": Firm.swap,
    "take_over": Firm.take_over,
    "extra": Firm.extra,
    "many": Firm.many,
    "foreign": Firm.foreign,
    "third_party": Firm.third_party,
}


def belgian_iban(number: int) -> str:
    """Return a well-formed Belgian account with this number."""
    body = f"{number:010d}"
    account = f"{body}{int(body) % 97 or 97:02d}"
    return f"BE{98 - int(account + '111400') % 97:02d}{account}"
