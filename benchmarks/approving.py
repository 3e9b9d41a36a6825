"""The last approval of a large batch, over the API, against the sum of the parts that it cannot do without."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Session, col

from app.auth.models import OrganizationKind, Role
from app.auth.pins import hash_pin
from app.core.database import Principal, transaction
from app.payments import claims, filing, revising, sepa
from app.payments.context import Context
from app.payments.filing import BatchContent
from app.payments.models import CreditTransfer, PaymentBatch, TransferStatus
from benchmarks.databases import database_on, running_client, running_postgres
from benchmarks.measuring import Figure, Goal, Scale, as_multiple, show_spread, timed, told
from benchmarks.receiving import payroll
from tests.support.house import PIN, House, add_account, add_organization, add_person, link

SUM_OF_PARTS = Goal(at_most=1.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    name: str
    run: Callable[[], object]


def measure(scale: Scale) -> list[Figure]:
    """Approve batches of 10,000 lines; before each, measure its parts alone."""
    lines = scale.of(10_000, 20)
    seconds: dict[str, list[float]] = {}
    with running_postgres() as postgres, running_client(database_on(postgres, "bench")) as (service, client):
        house = _house(service.context, client)
        for n in range(scale.rounds + 1):
            batch = house.uploaded_batch(payroll(lines, cents=200_000 + n), year=2026, period=n + 1)
            measured = {part.name: timed(part.run) for part in _parts(_working_for_boss(house), UUID(batch["id"]))}
            measured["approval"] = timed(lambda batch=batch: _approve(house, batch))  # type: ignore[misc]
            for name, value in measured.items() if n > 0 or scale.small else ():
                seconds.setdefault(name, []).append(value)
    show_spread(seconds)
    medians = {name: median(values) for name, values in seconds.items()}
    approval = medians.pop("approval")
    name = f"last approval of {lines:,} lines"
    return [
        as_multiple(f"{name}, against the sum of its parts", "s", approval, sum(medians.values()), SUM_OF_PARTS),
        *(told(f"{name}, {part}", value, "s") for part, value in medians.items()),
    ]


def _approve(house: House, batch: dict[str, Any]) -> None:
    answer = house.boss.approve(batch)
    assert answer.is_success, answer.text
    assert answer.json()["status"] == "approved"


def _parts(ctx: Context, batch_id: UUID) -> list[_Part]:
    """Return what an approval is made of: PIN, reading the lines, file, claims, updates.

    On the connections of a request, as the approval itself. What they write is rolled back.
    """
    with transaction(ctx.engine) as session:
        content = revising.content_of(ctx, session, session.get_one(PaymentBatch, batch_id))
        wanted = filing.file_contents(content, created_at=ctx.now().replace(microsecond=0))[0]
    return [
        _Part(name="hash of the PIN", run=lambda: hash_pin(PIN, user_id=UUID(int=0), secret=ctx.identifier_secret)),
        _Part(name="lines read", run=lambda: _rolled_back(ctx, lambda session: _read(ctx, session, batch_id))),
        _Part(name="file with all its checks", run=lambda: sepa.build_file(wanted)),
        _Part(name="claims", run=lambda: _rolled_back(ctx, lambda session: _claim(ctx, session, content))),
        _Part(name="lines updated", run=lambda: _rolled_back(ctx, lambda session: _update(session, batch_id))),
    ]


def _rolled_back(ctx: Context, act: Callable[[Session], None]) -> None:
    with Session(ctx.engine) as session:
        act(session)
        session.flush()
        session.rollback()


def _read(ctx: Context, session: Session, batch_id: UUID) -> None:
    revising.content_of(ctx, session, session.get_one(PaymentBatch, batch_id))


def _claim(ctx: Context, session: Session, content: BatchContent) -> None:
    claims.take(session, content.batch, content.paid, now=ctx.now(), new_id=ctx.new_id)


def _update(session: Session, batch_id: UUID) -> None:
    session.execute(
        sa.update(CreditTransfer)
        .where(col(CreditTransfer.batch_id) == batch_id, col(CreditTransfer.status) == TransferStatus.PAYABLE)
        .values(status=TransferStatus.IN_FILE)
    )


def _working_for_boss(house: House) -> Context:
    """Return the context as a request of the one who approves has it: row security is part of each part."""
    return house.ctx.working_for(Principal(person_id=house.boss.id, organizations=frozenset({house.employer_id})))


def _house(ctx: Context, client: Any) -> House:
    """Set an employer up as the tests do, with a limit that fits so many salaries."""
    employer_id = add_organization(ctx, OrganizationKind.EMPLOYER, "Bakkerij Jansen B.V.")
    boss = add_person(ctx, client, employer_id, (Role.ADMIN, Role.APPROVER), email="boss@bakkerij.example")
    account_id = add_account(boss, employer_id, per_batch="900000000.00")
    connection = boss.post("/v1/connections", {"organization_id": str(employer_id), "kind": "upload"}).json()
    administration = boss.post(
        f"/v1/connections/{connection['id']}/administrations", {"number": "9969", "name": "Bakkerij"}
    ).json()
    assert link(boss, administration["id"], employer_id, account_id).is_success
    return House(
        ctx=ctx,
        client=client,
        employer_id=employer_id,
        boss=boss,
        account_id=account_id,
        administration_id=administration["id"],
        connection_id=connection["id"],
    )
