"""Tampers with every record of a history, as an administrator of the database would, and demands that each is found.

Triggers are off and the constraints are no help: the attacker is a superuser and may also make the plain hashes anew.
What the attacker does not have is the history key, and the heads that were kept elsewhere.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlmodel import Session

from app.core import history, history_proof, history_sealing
from app.core.database import create_engine, transaction
from app.core.history import SEALED, Fact, HistoryActor
from app.core.history_chain import START, Link, next_hash, parse_history_keys
from app.core.history_proof import Fault, KnownHead, Verdict
from tests.support.postgres import HISTORY_KEY, TestDatabase

_BEGUN = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
_RECORDS_A_DAY = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Tampering:
    """One way to tamper: its name, and what does it. That returns the place and the faults that may be named there."""

    name: str
    act: "Callable[[Attack, int], Expected]"
    with_known_head: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Where the verifier must say that the history breaks, and what it may say of it."""

    sequence: int
    faults: frozenset[Fault]


@dataclass
class Outcome:
    """How many tamperings were tried, by name; all of them were found."""

    records: int
    tried: dict[str, int] = field(default_factory=dict)

    def note(self, name: str) -> None:
        """Count one."""
        self.tried[name] = self.tried.get(name, 0) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """A superuser's transaction on the history of one organization, rolled back afterwards."""

    connection: Connection
    organization_id: UUID
    records: int
    chance: random.Random

    def run(self, statement: str, **values: object) -> sa.CursorResult[Any]:
        """Run a statement on this organization's rows."""
        return self.connection.execute(sa.text(statement), {"id": self.organization_id, **values})

    def payload(self, sequence: int) -> str:
        """Return the payload of a record."""
        found = self.run("SELECT payload FROM history_entry WHERE organization_id = :id AND sequence = :n", n=sequence)
        return str(found.scalar_one())

    def set(self, sequence: int, column: str, value: object) -> None:
        """Change one column of one record."""
        statement = f"UPDATE history_entry SET {column} = :value WHERE organization_id = :id AND sequence = :n"  # noqa: S608
        assert self.run(statement, value=value, n=sequence).rowcount == 1

    def shift(self, first: int, by: int) -> None:
        """Renumber the records from `first` on; over negative numbers, since numbers are unique at every moment."""
        self.run("ALTER TABLE history_entry DROP CONSTRAINT IF EXISTS ck_history_entry_sequence")
        self.run(
            "UPDATE history_entry SET sequence = -(sequence + :by) WHERE organization_id = :id AND sequence >= :n",
            n=first,
            by=by,
        )
        self.run("UPDATE history_entry SET sequence = -sequence WHERE organization_id = :id AND sequence < 0")

    def make_plain_chain_anew(self) -> None:
        """Make the hashes of all records and of the head follow again: everybody can."""
        rows = self.run("SELECT sequence, payload FROM history_entry WHERE organization_id = :id ORDER BY sequence")
        sequences, hashes, link = [], [], START
        for row in rows:
            link = Link(hash=next_hash(link, row.payload), mac=None)
            sequences.append(row.sequence)
            hashes.append(link.hash)
        self.run(
            "UPDATE history_entry entry SET hash = made.hash FROM unnest(CAST(:sequences AS bigint[]), "
            "CAST(:hashes AS bytea[])) AS made (sequence, hash) "
            "WHERE entry.organization_id = :id AND entry.sequence = made.sequence",
            sequences=sequences,
            hashes=hashes,
        )
        self.run("UPDATE history_head SET hash = :hash WHERE organization_id = :id", hash=link.hash)


def _at(sequence: int, *faults: Fault) -> Expected:
    return Expected(sequence=sequence, faults=frozenset(faults))


def _other_words(payload: str) -> str:
    assert '"amount":' in payload or '"count":' in payload
    return payload.replace('"amount":', '"amount":9', 1).replace('"count":', '"count":9', 1)


def alter_payload(attack: Attack, n: int) -> Expected:
    """Another amount, nothing else."""
    attack.set(n, "payload", _other_words(attack.payload(n)))
    return _at(n, Fault.ALTERED)


def alter_payload_and_hashes(attack: Attack, n: int) -> Expected:
    """Another amount, and the plain chain made to follow."""
    attack.set(n, "payload", _other_words(attack.payload(n)))
    attack.make_plain_chain_anew()
    return _at(n, Fault.FORGED)


_COLUMNS: dict[str, object] = {
    "event": "batch.rejected",
    "actor_kind": "bank",
    "actor_id": UUID(int=7),
    "administration_id": UUID(int=8),
    "payment_batch_id": UUID(int=9),
    "occurred_at": _BEGUN - timedelta(days=365),
}


def alter_column(attack: Attack, n: int) -> Expected:
    """One of the columns that queries look at."""
    column = attack.chance.choice(sorted(_COLUMNS))
    attack.set(n, column, _COLUMNS[column])
    return _at(n, Fault.COLUMNS_DIFFER, Fault.NOT_SEALED)


def alter_seal_columns(attack: Attack, n: int) -> Expected:
    """The hash, the mac, the name of the key, or no mac at all."""
    column, fault = attack.chance.choice(
        [("hash", Fault.ALTERED), ("mac", Fault.FORGED), ("key_id", Fault.UNKNOWN_KEY), ("none", Fault.NOT_SEALED)]
    )
    if column == "none":
        attack.run(
            "UPDATE history_entry SET mac = NULL, key_id = NULL WHERE organization_id = :id AND sequence = :n", n=n
        )
        # Without its mac the first record looks older than the key; the next one then shows that it is not.
        return _at(2 if n == 1 and attack.records > 1 else n, fault, Fault.HEAD_DIFFERS)
    attack.set(n, column, "h9" if column == "key_id" else attack.chance.randbytes(32))
    return _at(n, fault)


def drop(attack: Attack, n: int) -> Expected:
    """One record gone."""
    attack.run("DELETE FROM history_entry WHERE organization_id = :id AND sequence = :n", n=n)
    return _at(n, Fault.MISSING)


def drop_and_close_up(attack: Attack, n: int) -> Expected:
    """One record gone, the others renumbered, the plain chain and the head made to follow."""
    drop(attack, n)
    attack.shift(n + 1, -1)
    attack.run("UPDATE history_head SET sequence = sequence - 1 WHERE organization_id = :id")
    attack.make_plain_chain_anew()
    last = n == attack.records
    return _at(n - 1 if last else n, Fault.HEAD_DIFFERS if last else Fault.FORGED)


def insert(attack: Attack, n: int) -> Expected:
    """A record that never was, the others moved on, the head and sometimes the plain chain made to follow."""
    copied = attack.payload(n)
    attack.shift(n, 1)
    attack.run("UPDATE history_head SET sequence = sequence + 1 WHERE organization_id = :id")
    attack.run(
        "INSERT INTO history_entry SELECT organization_id, :n, occurred_at, event, actor_kind, actor_id, "
        "administration_id, payment_batch_id, CAST(:payload AS text), hash, mac, key_id "
        "FROM history_entry WHERE organization_id = :id AND sequence = :n + 1",
        n=n,
        payload=_other_words(copied),
    )
    if attack.chance.choice((True, False)):
        return _at(n, Fault.ALTERED)
    attack.make_plain_chain_anew()
    return _at(n, Fault.FORGED)


def append(attack: Attack, n: int) -> Expected:
    """A record that never was, at the end: a copy of another one, the head made to follow."""
    last = attack.records + 1
    columns = (
        "occurred_at, event, actor_kind, actor_id, administration_id, payment_batch_id, payload, hash, mac, key_id"
    )
    attack.run(
        f"INSERT INTO history_entry (organization_id, sequence, {columns}) SELECT organization_id, :last, {columns} "  # noqa: S608
        "FROM history_entry WHERE organization_id = :id AND sequence = :n",
        last=last,
        n=n,
    )
    attack.run("UPDATE history_head SET sequence = :last WHERE organization_id = :id", last=last)
    attack.make_plain_chain_anew()
    return _at(last, Fault.FORGED)


def swap(attack: Attack, n: int) -> Expected:
    """Two records change places."""
    other = attack.chance.choice([each for each in range(1, attack.records + 1) if each != n])
    attack.run("ALTER TABLE history_entry DROP CONSTRAINT IF EXISTS ck_history_entry_sequence")
    for old, new in ((n, -1), (other, n), (-1, other)):
        attack.set(old, "sequence", new)
    return _at(min(n, other), Fault.ALTERED)


def cut(attack: Attack, n: int) -> Expected:
    """The end gone, from a record on."""
    attack.run("DELETE FROM history_entry WHERE organization_id = :id AND sequence >= :n", n=n)
    return _at(n, Fault.MISSING)


def cut_with_head(attack: Attack, n: int) -> Expected:
    """The end gone and the head set back to what it was then: only a head kept elsewhere shows it."""
    cut(attack, n)
    attack.run(
        "UPDATE history_head head SET sequence = entry.sequence, hash = entry.hash, mac = entry.mac, sealed_sequence = "
        "coalesce((SELECT max(sequence) FROM history_entry WHERE organization_id = :id AND event = :sealed), 0) "
        "FROM history_entry entry "
        "WHERE head.organization_id = :id AND entry.organization_id = :id AND entry.sequence = :n - 1",
        n=n,
        sealed=SEALED,
    )
    if n == 1:
        attack.run("DELETE FROM history_head WHERE organization_id = :id")
    return _at(n, Fault.MISSING)


def change_head(attack: Attack, n: int) -> Expected:
    """The head says something else."""
    changes: list[tuple[str, Expected]] = [
        (f"sequence = {attack.records + n}", _at(attack.records + 1, Fault.MISSING)),
        (f"sequence = {n - 1}", _at(n, Fault.HEAD_DIFFERS)),
        ("hash = sha256(hash)", _at(attack.records, Fault.HEAD_DIFFERS)),
        ("mac = sha256(mac)", _at(attack.records, Fault.HEAD_DIFFERS)),
        ("mac = NULL", _at(attack.records, Fault.HEAD_DIFFERS)),
        ("sealed_sequence = sealed_sequence + 1", _at(attack.records, Fault.HEAD_DIFFERS)),
    ]
    change, expected = attack.chance.choice(changes)
    attack.run(f"UPDATE history_head SET {change} WHERE organization_id = :id")  # noqa: S608
    return expected


TAMPERINGS = (
    Tampering(name="payload altered", act=alter_payload),
    Tampering(name="payload altered, hashes made anew", act=alter_payload_and_hashes),
    Tampering(name="column altered", act=alter_column),
    Tampering(name="hash, mac or key altered", act=alter_seal_columns),
    Tampering(name="dropped", act=drop),
    Tampering(name="dropped, closed up, hashes made anew", act=drop_and_close_up),
    Tampering(name="inserted", act=insert),
    Tampering(name="appended", act=append),
    Tampering(name="swapped", act=swap),
    Tampering(name="end cut off", act=cut),
    Tampering(name="end cut off, head set back", act=cut_with_head, with_known_head=True),
    Tampering(name="head changed", act=change_head),
)


def tamper(database: TestDatabase, *, records: int, seed: int, say: Callable[[str], None] = print) -> Outcome:
    """Make a history of so many records and tamper with each in every way; AssertionError on the first not found."""
    chance = random.Random(seed)
    organization_id, neighbour = UUID(int=chance.getrandbits(128)), uuid4()
    writer = database.engine()
    write_history(writer, organization_id, records, chance)
    write_history(writer, neighbour, 3, chance)
    writer.dispose()
    engine = create_engine(database.superuser_url, pool_size=2, history_keys=parse_history_keys(HISTORY_KEY))
    outcome = Outcome(records=records)
    try:
        known = _known_head(engine, organization_id, records)
        for n in range(1, records + 1):
            for way in TAMPERINGS:
                _try(engine, way, n, organization_id=organization_id, known=known, chance=chance)
                outcome.note(way.name)
            if n % 100 == 0:
                say(f"{n} records tampered with")
        _known_head(engine, organization_id, records)
        _known_head(engine, neighbour, 3)
    finally:
        engine.dispose()
    return outcome


def write_history(engine: Engine, organization_id: UUID, records: int, chance: random.Random) -> None:
    """Write exactly so many records, in transactions of one to four, with a daily seal among them."""
    written = 0
    while written < records:
        now = _BEGUN + timedelta(days=written // _RECORDS_A_DAY, minutes=written)
        written += len(history_sealing.seal_due(engine, now, witness=lambda _head: None))
        count = min(chance.randint(1, 4), records - written)
        with transaction(engine) as session:
            for _ in range(count):
                history.record(session, _fact(organization_id, now, chance))
        written += count


def _fact(organization_id: UUID, now: datetime, chance: random.Random) -> Fact:
    return Fact(
        organization_id=organization_id,
        event=chance.choice(["batch.made", "batch.approved", "file.handed_out", "pin.set"]),
        actor=HistoryActor(kind="user", id=UUID(int=chance.getrandbits(128)), name="Anna de Wit"),
        occurred_at=now,
        administration_id=UUID(int=1) if chance.choice((True, False)) else None,
        payment_batch_id=UUID(int=2) if chance.choice((True, False)) else None,
        details={"amount": chance.randint(1, 10**9), "note": "één"},
    )


@contextmanager
def attack_on(engine: Engine, organization_id: UUID, records: int, chance: random.Random) -> Iterator[Attack]:
    """Give a superuser's transaction without triggers, and roll it back."""
    with engine.connect() as connection, connection.begin() as begun:
        connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
        yield Attack(connection=connection, organization_id=organization_id, records=records, chance=chance)
        begun.rollback()


def verdict_on(attack: Attack, known: KnownHead | None) -> Verdict:
    """Verify what the attacker left, inside the attacker's transaction."""
    with Session(bind=attack.connection) as session:
        return history_proof.verify(session, attack.organization_id, expected=known)


def _try(
    engine: Engine, way: Tampering, n: int, *, organization_id: UUID, known: KnownHead, chance: random.Random
) -> None:
    with attack_on(engine, organization_id, known.sequence, chance) as attack:
        expected = way.act(attack, n)
        broken = verdict_on(attack, known if way.with_known_head else None).first_broken
    assert broken is not None, f"{way.name}: record {n} of {known.sequence}: not found"
    where = (broken.sequence, broken.what.value)
    assert broken.sequence == expected.sequence, f"{way.name}: record {n}: found at {where}, not {expected.sequence}"
    assert broken.what in expected.faults, f"{way.name}: record {n}: found as {where}, not {sorted(expected.faults)}"


def _known_head(engine: Engine, organization_id: UUID, records: int) -> KnownHead:
    with transaction(engine) as session:
        history_proof.snapshot(session)
        verdict = history_proof.verify(session, organization_id)
    assert verdict.verified, f"the untouched history does not verify: {verdict.first_broken}"
    assert verdict.records == records, f"the history has {verdict.records} records, not {records}"
    assert verdict.head_mac is not None
    return KnownHead(sequence=verdict.head_sequence, mac=verdict.head_mac)
