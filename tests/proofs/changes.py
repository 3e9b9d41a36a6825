"""The proof about changes: every planted change is asked about, and nothing else is; an unchanged month says nothing.

Two ways over the same years: the pure rules for many firms, and real uploads on PostgreSQL for some.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col, select

from app.auth.actor import Actor
from app.auth.people import authenticate
from app.core.database import transaction
from app.core.history import SYSTEM
from app.payments import claims, holds, lines, uploading
from app.payments.comparing import Comparison, Question, compare
from app.payments.filing import PAID
from app.payments.findings import CATALOGUE
from app.payments.matching import Payment
from app.payments.models import BatchStatus, CreditTransfer, Finding, PaymentBatch, TransferStatus
from app.payments.payee_names import Name, name_of
from app.payments.peaks import RunPeriod
from app.payments.rules import BatchFacts, RuleLine, judge, propose_kind
from app.payments.transitions import Move, move
from app.payments.uploading import RunName
from tests.payments.payroll_document import Line
from tests.proofs.payroll_years import FOUR_WEEKS, MONTHS, Firm, Run
from tests.support.house import House, document, link

Said = tuple[str, int | None]
# What every batch of an upload says, and what is said of a line by itself: nothing about what changed.
_ALWAYS = frozenset({"uploaded", "people_not_checked", "third_party_proposed", "name_changed", "bank_unknown"})
_DAY, _TODAY = date(2026, 11, 25), date(2026, 11, 18)
_PAYER = "NL91ABNA0417164300"
_YEAR = 2026


@dataclass(slots=True)
class Outcome:
    """What was proved."""

    planted: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    lines: int = 0
    unchanged: int = 0

    def count(self, run: Run) -> None:
        """Count a run of which everything was as it should be."""
        self.runs += 1
        self.lines += len(run.rows)
        self.unchanged += run.is_unchanged
        if run.planted is not None:
            self.planted[run.planted] += 1

    @property
    def all_planted(self) -> int:
        """How many changes were planted."""
        return self.planted.total()

    def __str__(self) -> str:
        return (
            f"{self.all_planted} planted changes all asked about or told, in {self.runs} runs of {self.lines} lines; "
            f"{self.unchanged} unchanged months without a word"
        )


def firms(chance: random.Random, *, first: int = 1, smallest: int = 12, largest: int = 80) -> list[Firm]:
    """Return the administrations of an employer: three that pay by the month, one by four weeks."""
    sizes = [chance.randint(smallest, largest) for _ in range(4)]
    periods = (MONTHS, MONTHS, MONTHS, FOUR_WEEKS)
    return [
        Firm(chance, first + n, size=size, periods=each)
        for n, (size, each) in enumerate(zip(sizes, periods, strict=True))
    ]


def check(run: Run, said: Iterable[Said], *, is_held: bool, seed: int) -> None:
    """Fail when a run was not judged as it should be."""
    found = {each for each in said if each[0] not in _ALWAYS}
    asked = {each for each in found if CATALOGUE[each[0]].needs_acknowledgement}
    where = f"seed {seed}, administration {run.administration}, period {run.period}, planted {run.planted}"
    assert asked == run.asked, f"{where}: asked {sorted(map(str, asked ^ run.asked))} more or less than planted"
    assert run.is_first or run.told <= found, f"{where}: not told {run.told - found}"
    assert not run.is_unchanged or not found, f"{where}: an unchanged month says {found}"
    assert is_held is run.is_held, f"{where}: held {is_held}"


def prove_rules(*, changes: int, seed: int) -> Outcome:
    """Judge years of runs by the pure rules until so many changes were planted and found."""
    outcome, chance, number = Outcome(), random.Random(seed), 1
    while outcome.all_planted < changes:
        known: set[tuple[Name, str]] = set()
        for firm in firms(chance, first=number):
            _judge_year(firm, known, outcome, seed)
        number += 4
    return outcome


def _judge_year(firm: Firm, known: set[tuple[Name, str]], outcome: Outcome, seed: int) -> None:
    previous: list[Payment] = []
    for run in firm.year(plants=0.6):
        lines = [_payment(index, name, iban, cents) for index, (name, iban, cents) in enumerate(_cells(run), start=1)]
        frequency = "four_weeks" if firm.periods == FOUR_WEEKS else "month"
        comparison = compare(
            Question(
                lines=lines,
                previous=previous,
                known=known,
                period=RunPeriod(year=_YEAR, number=run.period, frequency=frequency),
                is_first=run.is_first,
            )
        )
        drafts = judge(
            [_rule_line(line, row.name) for line, row in zip(lines, run.rows, strict=True)], _facts(comparison)
        )
        said = [(draft.code, draft.position) for draft in drafts]
        check(run, said, is_held=("many_accounts_changed", None) in said, seed=seed)
        outcome.count(run)
        previous = lines
        known |= {(line.name, line.iban) for line in lines}


def _cells(run: Run) -> Iterator[tuple[str, str, int]]:
    return ((row.name, row.iban, row.cents) for row in run.rows)


def _payment(position: int, name: str, iban: str, cents: int) -> Payment:
    return Payment(
        id=UUID(int=position),
        position=position,
        name=name_of(name),
        iban=iban,
        amount_cents=cents,
        is_third_party=propose_kind(name, "SALA") == "third_party",
    )


def _rule_line(line: Payment, name: str) -> RuleLine:
    return RuleLine(
        position=line.position,
        status_pays=True,
        hold_code=None,
        kind="third_party" if line.is_third_party else "salary",
        creditor_name=name,
        creditor_name_original=name,
        creditor_iban=line.iban,
        creditor_bic=None,
        amount_cents=line.amount_cents,
        currency="EUR",
        remittance_kind="unstructured",
        remittance_text="Salaris",
        remittance_text_original="Salaris",
        reference_type=None,
        source_debtor_iban=None,
        source_creditor_bic=None,
        source_execution_date=None,
    )


def _facts(comparison: Comparison) -> BatchFacts:
    return BatchFacts(
        debtor_iban=_PAYER,
        requested_execution_date=_DAY,
        today=_TODAY,
        run_description="Salaris",
        run_is_locked=True,
        is_upload=True,
        source_debtor_iban=None,
        source_execution_date=None,
        people_in_run=None,
        people_missing=0,
        paid_before_in_period=0,
        comparison=comparison,
        is_live=True,
    )


def prove_uploads(house: House, *, years: int, seed: int, largest: int = 30) -> Outcome:
    """Upload years of runs for an employer, pay each, and look at what the batch asked: on PostgreSQL."""
    outcome, chance = Outcome(), random.Random(seed)
    with transaction(house.ctx.engine) as session:
        actor = authenticate(session, house.boss.token, now=house.ctx.now())
    for year in range(years):
        for firm in firms(chance, first=1 + 4 * year, largest=largest):
            _upload_year(house, actor, firm, outcome, seed)
    return outcome


def _upload_year(house: House, actor: Actor, firm: Firm, outcome: Outcome, seed: int) -> None:
    path = f"/v1/connections/{house.connection_id}/administrations"
    made = house.boss.post(path, {"number": str(firm.number), "name": f"Firma {firm.number}"}).json()
    assert link(house.boss, made["id"], house.employer_id, house.account_id).status_code == 200
    for run in firm.year(plants=0.8):
        rows = [
            Line(name=row.name, iban=row.iban, amount=f"{row.cents // 100}.{row.cents % 100:02d}") for row in run.rows
        ]
        name = RunName(year=_YEAR, period=run.period, run_number=run.period)
        uploaded = uploading.upload(house.ctx, actor, UUID(made["id"]), document(rows), name)
        said, is_held = _look_and_pay(house, uploaded.run_id)
        check(run, said, is_held=is_held, seed=seed)
        outcome.count(run)


def _look_and_pay(house: House, run_id: UUID) -> tuple[list[Said], bool]:
    """Return what the batch of a run says and whether it is held, and take its claims as its approval would."""
    with transaction(house.ctx.engine) as session:
        batch = session.exec(select(PaymentBatch).where(PaymentBatch.run_id == run_id)).one()
        positions: Mapping[UUID | None, int] = {row.id: row.position for row in lines.of_batch(session, batch.id)}
        found = session.exec(select(Finding.code, Finding.transfer_id).where(Finding.batch_id == batch.id)).all()
        is_held = bool(holds.of_batch(session, batch))
        paid = [row for row in lines.of_batch(session, batch.id) if row.status in PAID]
        claims.take(session, batch, paid, now=house.ctx.now(), new_id=house.ctx.new_id)
        session.execute(
            sa.update(CreditTransfer)
            .where(col(CreditTransfer.batch_id) == batch.id)
            .values(status=TransferStatus.IN_FILE)
        )
        step = Move(
            to=BatchStatus.APPROVED, event="batch.approved", actor=SYSTEM, now=house.ctx.now(), values={}, details={}
        )
        move(session, batch, step)
        return [(code, positions.get(transfer_id)) for code, transfer_id in found], is_held
