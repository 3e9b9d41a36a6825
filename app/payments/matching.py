"""Who of this run is who of the last: people by name and account. Pure, and linear.

People are known by the pair (name, IBAN): an account that was paid under another name is no known account, so two
swapped accounts are two changes. The source gives no employee number, so a name that stands for several people is
told apart by its spelling, and where the spelling is the same too, by its accounts.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from app.payments.payee_names import Name, could_be_same, surnames


class ChangeKind(StrEnum):
    """What is different from the last paid run."""

    NEW = "new"
    GONE = "gone"
    CHANGED_AMOUNT = "changed_amount"
    CHANGED_ACCOUNT = "changed_account"
    EXTRA_ACCOUNT = "extra_account"
    CHANGED_NAME = "changed_name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A line of this run or of an earlier one; `id` is its transfer."""

    id: UUID
    position: int
    name: Name
    iban: str
    amount_cents: int
    is_third_party: bool


# When more people than this who left share a surname and initials, a name alone says too little to guess.
_MOST_ALIKE = 20
# A person as far as a name can tell, and that person on one account.
Identity = str
Payee = tuple[Identity, str]


class Past:
    """Who was paid before: the last paid run and all pairs of the employer, by person and by account."""

    def __init__(self, previous: Sequence[Payment], known: Iterable[tuple[Name, str]]) -> None:
        pairs = {(name.key, name.spelling, iban) for name, iban in known}
        pairs |= {(each.name.key, each.name.spelling, each.iban) for each in previous}
        self._people = _people_of(pairs)
        self.accounts: dict[Identity, set[str]] = defaultdict(set)
        self.holders: dict[str, set[Identity]] = defaultdict(set)
        for key, spelling, iban in sorted(pairs):
            person = self._people[key][spelling]
            self.accounts[person].add(iban)
            self.holders[iban].add(person)
        self.last: dict[Payee, list[Payment]] = defaultdict(list)
        self.last_accounts: dict[Identity, list[str]] = defaultdict(list)
        for each in previous:
            payee = (self.identity(each.name), each.iban)
            if payee not in self.last:
                self.last_accounts[payee[0]].append(each.iban)
            self.last[payee].append(each)

    def identity(self, name: Name) -> Identity:
        """Return whom this name stands for: one person for all its spellings, unless several people share it."""
        spellings = self._people.get(name.key)
        if spellings is None:
            return name.key
        if name.spelling in spellings:
            return spellings[name.spelling]
        people = set(spellings.values())
        return people.pop() if len(people) == 1 else name.spelling

    def is_known(self, payee: Payee) -> bool:
        """Say whether this person was paid on this account before."""
        return payee[1] in self.accounts.get(payee[0], ())


def _people_of(pairs: Iterable[tuple[str, str, str]]) -> Mapping[str, Mapping[str, Identity]]:
    """Return by key the person behind each spelling: spellings that shared an account are one person."""
    accounts: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for key, spelling, iban in pairs:
        accounts[key][spelling].add(iban)
    return {key: _joined(key, spellings) for key, spellings in accounts.items()}


def _joined(key: str, spellings: Mapping[str, set[str]]) -> Mapping[str, Identity]:
    groups: list[tuple[set[str], set[str]]] = []
    for spelling in sorted(spellings):
        names, ibans, apart = {spelling}, set(spellings[spelling]), []
        for group in groups:
            if group[1] & ibans:
                names |= group[0]
                ibans |= group[1]
            else:
                apart.append(group)
        groups = [*apart, (names, ibans)]
    if len(groups) == 1:
        return dict.fromkeys(spellings, key)
    return {spelling: min(names) for names, _ in groups for spelling in names}


class Matching:
    """Which payee of the last run each payee of this run answers to (`partner`), and what that makes of it (`kinds`).

    By pair first, then by name, then by account, and what is left by names that could be the same. A payee that is in
    the last run as it is now has no kind.
    """

    def __init__(self, past: Past, payees: Mapping[Payee, Sequence[Payment]]) -> None:
        self.past, self.payees = past, payees
        self.kinds: dict[Payee, ChangeKind] = {}
        self.old_ibans: dict[Payee, str] = {}
        # Of people who were paid before; of all others nothing is asked.
        self._current: dict[Identity, list[str]] = defaultdict(list)
        for person, iban in self.payees:
            if person in self.past.accounts:
                self._current[person].append(iban)
        self.partner = {payee: payee for payee in self.payees if payee in self.past.last}
        self._left = {
            person: [iban for iban in ibans if iban not in self._current[person]]
            for person, ibans in self.past.last_accounts.items()
            if person in self._current
        }
        self._taken = set(self.partner)
        for payee in self.payees:
            if payee not in self.partner:
                self.kinds[payee] = self._kind(payee)
        self._match_alike()

    def _kind(self, payee: Payee) -> ChangeKind:
        person, iban = payee
        accounts = self.past.accounts.get(person)
        if accounts is None:
            return self._kind_of_unknown(payee)
        left = self._left.get(person)
        if left:
            return self._moved(payee, person, left)
        if person in self.past.last_accounts or (accounts - {iban}).intersection(self._current[person]):
            return ChangeKind.EXTRA_ACCOUNT
        if iban in accounts:
            return ChangeKind.NEW
        self.old_ibans[payee] = min(accounts)
        return ChangeKind.CHANGED_ACCOUNT

    def _kind_of_unknown(self, payee: Payee) -> ChangeKind:
        """A name never paid: another name for a known account, unless that account's holder is still paid on it."""
        iban = payee[1]
        holders = sorted(self.past.holders.get(iban, ()))
        if not holders or any(holder in self._current for holder in holders):
            return ChangeKind.NEW
        for holder in holders:
            if (holder, iban) in self.past.last and (holder, iban) not in self._taken:
                return self._answer(payee, (holder, iban), ChangeKind.CHANGED_NAME)
        return ChangeKind.CHANGED_NAME

    def _answer(self, payee: Payee, partner: Payee, kind: ChangeKind) -> ChangeKind:
        self.partner[payee] = partner
        self._taken.add(partner)
        self.old_ibans[payee] = partner[1]
        return kind

    def _match_alike(self) -> None:
        """Somebody new whose name could be that of somebody gone, of one only, is that person with a new account."""
        gone = _by_person(each for each in self.past.last if each not in self._taken and each[0] not in self._current)
        if not gone:
            return
        fresh = _by_person(
            payee
            for payee, kind in self.kinds.items()
            if kind is ChangeKind.NEW and payee[0] not in self.past.accounts and payee[1] not in self.past.holders
        )
        pairs = list(self._alike(fresh, gone))
        news, olds = Counter(new for new, _ in pairs), Counter(old for _, old in pairs)
        for new, old in pairs:
            if news[new] == olds[old] == 1:
                left = [iban for _, iban in gone[old]]
                for payee in fresh[new]:
                    self.kinds[payee] = self._moved(payee, old, left) if left else ChangeKind.EXTRA_ACCOUNT

    def _alike(
        self, fresh: Mapping[Identity, Sequence[Payee]], gone: Mapping[Identity, Sequence[Payee]]
    ) -> Iterator[tuple[Identity, Identity]]:
        names = {person: self.past.last[payees[0]][0].name for person, payees in gone.items()}
        by_surname: dict[tuple[str, str], list[Identity]] = defaultdict(list)
        for person, name in names.items():
            for mark in _marks(name):
                by_surname[mark].append(person)
        for new, payees in fresh.items():
            name = self.payees[payees[0]][0].name
            buckets = [by_surname.get(mark, []) for mark in _marks(name)]
            candidates = dict.fromkeys(old for bucket in buckets if len(bucket) <= _MOST_ALIKE for old in bucket)
            yield from ((new, old) for old in candidates if could_be_same(name, names[old]))

    def _moved(self, payee: Payee, person: Identity, left: list[str]) -> ChangeKind:
        """Answer a payee with the account that this person left and whose amount is nearest."""
        total = _total(self.payees[payee])
        nearest = min(left, key=lambda each: abs(_total(self.past.last[person, each]) - total))
        left.remove(nearest)
        return self._answer(payee, (person, nearest), ChangeKind.CHANGED_ACCOUNT)


def _by_person(payees: Iterable[Payee]) -> Mapping[Identity, Sequence[Payee]]:
    found: dict[Identity, list[Payee]] = defaultdict(list)
    for payee in payees:
        found[payee[0]].append(payee)
    return found


def _total(payments: Iterable[Payment]) -> int:
    return sum(each.amount_cents for each in payments)


def _marks(name: Name) -> set[tuple[str, str]]:
    """Return what two names that could be the same have in common: a surname, and all initials."""
    initials = "".join(sorted(part[0] for part in name.telling_parts))
    return {(surname, initials) for surname in surnames(name)}
