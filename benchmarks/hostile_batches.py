"""Payroll documents as they could come in, made up from a seed: ordinary lines among hostile ones.

Each line carries what must be said of it, decided while it is made up and not by the rules it is meant to try.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Final

from app.core.clock import amsterdam_date
from app.payments.bank_days import is_bank_day
from app.payments.models import TransferKind
from app.payments.ports import RemittanceKind, SourceTransfer
from app.payments.sepa_model import SCHEMAS
from benchmarks.hostile_values import Verdict, account, amount, dutch_iban, name, remittance

_BICS: Final = (None, None, "INGBNL2A", "ABNANL2AXXX", "ingbnl2a", "", "INGB NL 2A", "X<&>")
_KINDS: Final = (None,) * 18 + tuple(TransferKind)
_FIRST_MOMENT: Final = datetime(2026, 11, 21, 6, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeLine:
    """A line of the source with the purpose and account of its block, and what people do with it.

    `known_kind` is what they called this creditor before, `changed_kind` what they call it now, None without a word.
    Errors must name every field in `bad`, may name those in `doubtful`, and no other. `iban` is the account in its
    canonical form, empty when it is bad.
    """

    transfer: SourceTransfer
    purpose: str | None
    debtor_iban: str
    is_left_out: bool
    known_kind: TransferKind | None
    changed_kind: TransferKind | None
    iban: str
    bad: frozenset[str]
    doubtful: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeBatch:
    """One batch as it could be: the account that pays, the day, the lines."""

    number: int
    schema: str
    debtor_name: str
    debtor_iban: str
    debtor_bic: str | None
    batch_booking: bool
    created_at: datetime
    execution_date: date
    lines: Sequence[MadeLine]


def made_batch(seed: int, number: int) -> MadeBatch:
    """Batch `number` of this seed; always the same one."""
    rng = Random(f"{seed}:{number}")
    created_at = _FIRST_MOMENT + timedelta(minutes=rng.randrange(60 * 24 * 700))
    debtor_iban = dutch_iban(rng)
    blocks = [(rng.choice(("SALA", "SALA", None)), debtor_iban), (rng.choice((None, "TAXS", "BONU")), debtor_iban)]
    if rng.random() < 0.02:  # noqa: PLR2004 - now and then
        blocks.append(("SALA", dutch_iban(rng)))
    lines: list[MadeLine] = []
    for position in range(1, _size(rng) + 1):
        purpose, payer = blocks[0] if position == 1 else rng.choice(blocks)
        lines.append(_line(rng, position, purpose=purpose, payer=payer, debtor_iban=debtor_iban))
        if rng.random() < 0.05:  # noqa: PLR2004 - equal payments on purpose
            lines[-1] = _again(rng, lines, position)
    return MadeBatch(
        number=number,
        schema=rng.choice(SCHEMAS),
        debtor_name=rng.choice(("Bakkerij Van Dijk B.V.", "Stichting 't Hof (1e lijn)", "A+B/C: Groep, Noord?")),
        debtor_iban=debtor_iban,
        debtor_bic=rng.choice((None, "INGBNL2A", "RABONL2UXXX")),
        batch_booking=rng.random() < 0.9,  # noqa: PLR2004 - the usual choice
        created_at=created_at,
        execution_date=_bank_day(rng, amsterdam_date(created_at)),
        lines=lines,
    )


def _size(rng: Random) -> int:
    """Small mostly, some of several hundred lines."""
    kind = rng.random()
    if kind < 0.85:  # noqa: PLR2004 - a share
        return rng.randint(1, 8)
    return rng.randint(9, 60) if kind < 0.98 else rng.randint(200, 600)  # noqa: PLR2004 - a share


def _bank_day(rng: Random, today: date) -> date:
    day = today + timedelta(days=rng.choice((0, 1, 3, 30, rng.randrange(350))))
    while not is_bank_day(day):
        day += timedelta(days=1)
    return day


def _again(rng: Random, lines: Sequence[MadeLine], position: int) -> MadeLine:
    """The last line as an equal of an earlier one."""
    earlier = rng.choice(lines)
    return replace(earlier, transfer=replace(earlier.transfer, position=position))


def _line(rng: Random, position: int, *, purpose: str | None, payer: str, debtor_iban: str) -> MadeLine:
    """A line in which every field is by itself good, bad or doubtful."""
    drawn = {
        "creditor.iban": account(rng, debtor_iban),
        "amount": amount(rng),
        "creditor.name": name(rng),
        "remittance_information": remittance(rng),
    }
    bad = {field for field, value in drawn.items() if value.verdict is Verdict.BAD}
    if payer != debtor_iban:
        bad.add("debtor_account")
    iban, canonical = drawn["creditor.iban"].parts
    currency, cents = drawn["amount"].parts
    kind, text = drawn["remittance_information"].parts
    transfer = SourceTransfer(
        position=position,
        end_to_end_id=rng.choice((None, "NOTPROVIDED", "/x//y/", "é" * 40)),
        amount_cents=int(cents) if cents.lstrip("-").isdigit() else None,
        amount_text=cents,
        currency=currency,
        creditor_name=drawn["creditor.name"].parts[0],
        creditor_iban=iban,
        creditor_bic=rng.choice(_BICS),
        remittance_kind=RemittanceKind(kind),
        remittance_text=text,
    )
    return MadeLine(
        transfer=transfer,
        purpose=purpose,
        debtor_iban=payer,
        is_left_out=rng.random() < 0.05,  # noqa: PLR2004 - a share
        known_kind=rng.choice(_KINDS),
        changed_kind=rng.choice(_KINDS),
        iban=canonical,
        bad=frozenset(bad),
        doubtful=frozenset(field for field, value in drawn.items() if value.verdict is Verdict.EITHER),
    )
