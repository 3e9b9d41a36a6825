"""Debtor accounts and their limits, and the bank days."""

from dataclasses import asdict
from datetime import date, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request, Response
from sqlmodel import Session

from app.auth.actor import Actor
from app.auth.models import ProposalOutcome, Scope
from app.auth.proposals import AnotherProposalOpen, ProposalNotRecorded
from app.auth.web import ActorDep, SessionDep
from app.core.clock import amsterdam_date
from app.core.errors import Conflict, Invalid, NotFound, Problem
from app.core.idempotency import KeyReused
from app.core.web import answer, now_of, problems, router
from app.payments import accounts, bank_profiles, calendar, two_people
from app.payments.accounts import Confirmation, LimitSetting, NewAccount
from app.payments.api import schemas, views
from app.payments.api.bank import WAITING
from app.payments.api.common import ContextDep, KeyDep, attempt_of, dump, once
from app.payments.context import Context
from app.payments.limits import LimitKind
from app.payments.models import DebtorAccount
from app.payments.two_people import Wanted
from app.payments.visibility import SalariesHidden, Viewer, require_salaries, visibility

routes = router(prefix="/v1", tags=["debtor accounts"])
_MOST_DAYS = 400


def _account(row: DebtorAccount) -> dict[str, Any]:
    return dump(
        schemas.DebtorAccountOut(
            id=row.id,
            employer_id=row.employer_id,
            iban=row.iban,
            bic=row.bic,
            holder_name=row.holder_name,
            bank_profile=row.bank_profile,
            file_schema=row.file_schema,
            batch_booking=row.batch_booking,
            state=row.state,
            created_at=row.created_at,
            confirmed_at=row.confirmed_at,
        )
    )


@routes.post(
    "/employers/{employer_id}/debtor-accounts",
    status_code=201,
    response_model=schemas.DebtorAccountOut,
    responses=problems(Conflict, KeyReused),
)
def add_account(
    request: Request,
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    key: KeyDep,
    employer_id: UUID,
    body: schemas.NewDebtorAccount,
) -> Response:
    """Add an account that the employer pays from. It needs a confirmation before files are made on it."""
    actor.needs_scope(Scope.PREPARE)
    wanted = NewAccount(
        employer_id=employer_id,
        iban=body.iban,
        holder_name=body.holder_name,
        bic=body.bic,
        file_schema=body.file_schema,
        batch_booking=body.batch_booking,
    )

    def act() -> tuple[int, dict[str, Any]]:
        return 201, _account(accounts.add_account(ctx, session, actor, wanted))

    return once(session, attempt_of(request, ctx, actor, key, body), act)


@routes.get(
    "/employers/{employer_id}/debtor-accounts",
    response_model=list[schemas.DebtorAccountOut],
    responses=problems(),
)
def list_accounts(actor: ActorDep, session: SessionDep, employer_id: UUID) -> Response:
    """Return the accounts of an employer."""
    actor.needs_scope(Scope.READ)
    if employer_id not in actor.readable_employers:
        raise NotFound("No such employer.")
    return answer(200, [_account(row) for row in accounts.accounts_of(session, employer_id)])


@routes.get("/debtor-accounts/{account_id}", response_model=schemas.DebtorAccountOut, responses=problems())
def get_account(actor: ActorDep, session: SessionDep, account_id: UUID) -> Response:
    """Return one account."""
    actor.needs_scope(Scope.READ)
    return answer(200, _account(accounts.find_account(session, actor, account_id)))


@routes.patch("/debtor-accounts/{account_id}", response_model=schemas.DebtorAccountOut, responses=problems())
def change_account(
    ctx: ContextDep, actor: ActorDep, session: SessionDep, account_id: UUID, body: schemas.ChangedDebtorAccount
) -> Response:
    """Change the file's schema or batch booking, or suspend the account."""
    actor.needs_scope(Scope.PREPARE)
    changes = body.model_dump(exclude_none=True)
    return answer(200, _account(accounts.change_account(ctx, session, actor, account_id, changes)))


@routes.post(
    "/debtor-accounts/{account_id}/confirmation",
    status_code=201,
    response_model=schemas.DebtorAccountOut,
    responses={**problems(Conflict, KeyReused, AnotherProposalOpen, ProposalNotRecorded), **WAITING},
)
def confirm_account(
    request: Request,
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    key: KeyDep,
    account_id: UUID,
    body: schemas.NewConfirmation,
) -> Response:
    """Confirm an account: the holder as the bank has it, who is authorised, on what evidence.

    An account that was suspended waits for a second admin who confirms the same, or for a day.
    """
    actor.needs_scope(Scope.PREPARE)
    stated = Confirmation(
        holder_name=body.holder_name, authorised_person=body.authorised_person, evidence=body.evidence
    )

    def act() -> tuple[int, dict[str, Any]]:
        row = accounts.confirm_account(ctx, session, actor, account_id, stated)
        return _resumed(ctx, session, actor, account_id, stated) if row is None else (201, _account(row))

    return once(session, attempt_of(request, ctx, actor, key, body), act)


def _resumed(
    ctx: Context, session: Session, actor: Actor, account_id: UUID, stated: Confirmation
) -> tuple[int, dict[str, Any]]:
    wanted = Wanted(
        kind=two_people.ACCOUNT_RESUMED, target=account_id, reason="no longer suspended", payload=asdict(stated)
    )
    proposal = two_people.act(ctx, session, actor, wanted)
    if proposal.outcome == ProposalOutcome.APPLIED:
        return 201, _account(session.get_one(DebtorAccount, account_id))
    return 202, dump(views.proposals_out(session, actor, [proposal])[0])


@routes.get(
    "/debtor-accounts/{account_id}/payment-limit",
    response_model=schemas.LimitsOut,
    responses=problems(SalariesHidden),
)
def get_limits(
    ctx: ContextDep,
    actor: ActorDep,
    session: SessionDep,
    account_id: UUID,
    execution_date: Annotated[schemas.Day | None, Query()] = None,
) -> Response:
    """Return the limits of an account with what is used and left on an execution date (today by default)."""
    actor.needs_scope(Scope.READ)
    return answer(200, _limits(ctx, session, actor, account_id, execution_date))


def _limits(
    ctx: Context, session: Session, actor: Actor, account_id: UUID, execution_date: date | None
) -> dict[str, Any]:
    account = accounts.find_account(session, actor, account_id)
    require_salaries(visibility(Viewer(actor=actor), account.employer_id), "What is used of a limit")
    day = execution_date or amsterdam_date(ctx.now())
    view = accounts.limits_of(ctx, session, account.id)
    body = schemas.LimitsOut(
        debtor_account_id=account.id,
        execution_date=day,
        is_set=view.is_set,
        ends_on=view.setting.ends_on,
        pending=None if view.pending is None else views.limits_body(view.pending),
        pending_until=view.pending_until,
        **views.limits_out(ctx, session, account.id, day),
    )
    return dump(body)


@routes.put(
    "/debtor-accounts/{account_id}/payment-limit",
    response_model=schemas.LimitsOut,
    responses={**problems(), 202: {"model": schemas.LimitsOut, "description": "The raise waits for a second admin"}},
)
def put_limits(
    ctx: ContextDep, actor: ActorDep, session: SessionDep, account_id: UUID, body: schemas.LimitsIn
) -> Response:
    """Set the limits. The first setting and a lowering hold at once; a raise waits for a second admin or a day."""
    actor.needs_scope(Scope.PREPARE)
    view = accounts.set_limits(ctx, session, actor, account_id, _wanted(body))
    return answer(200 if view.pending is None else 202, _limits(ctx, session, actor, account_id, None))


def _wanted(body: schemas.LimitsIn) -> LimitSetting:
    def cents(prefix: str) -> dict[LimitKind, int | None]:
        amounts = {kind: getattr(body, f"{prefix}{kind.value}") for kind in LimitKind}
        return {kind: None if money is None else money.cents for kind, money in amounts.items()}

    return LimitSetting(hard=cents(""), soft=cents("soft_"), ends_on=body.ends_on)


@routes.get("/bank-days", response_model=list[schemas.BankDay], responses=problems())
def bank_days(
    request: Request,
    actor: ActorDep,
    session: SessionDep,
    first: Annotated[schemas.Day, Query(alias="from")],
    last: Annotated[schemas.Day, Query(alias="to")],
    debtor_account_id: Annotated[UUID | None, Query()] = None,
) -> Response:
    """Return the days from `from` to `to`, which of them are bank days, and until when they can be reached."""
    actor.needs_scope(Scope.READ)
    if not 0 <= (last - first).days <= _MOST_DAYS or last.year > amsterdam_date(now_of(request)).year + 10:
        message = f"Ask for at most {_MOST_DAYS} days, `from` before `to`, within ten years."
        raise Invalid(errors=[Problem(pointer="query:to", code="range", message=message)])
    profile = bank_profiles.DEFAULT_PROFILE
    if debtor_account_id is not None:
        profile = bank_profiles.profile_for(accounts.find_account(session, actor, debtor_account_id).iban)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return answer(200, [dump(_bank_day(day, profile)) for day in days])


def _bank_day(day: date, profile: bank_profiles.BankProfile) -> schemas.BankDay:
    closure = calendar.closed_because(day)
    return schemas.BankDay(
        date=day,
        is_bank_day=closure is None,
        closed_because=closure.code if closure else None,
        cut_off=None if closure else calendar.release_before(day, profile),
    )
