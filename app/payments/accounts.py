"""Debtor accounts and their payment limits: added, confirmed and limited from the employer's side."""

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from app.auth import proposals
from app.auth.actor import Actor
from app.auth.models import Role
from app.core import history
from app.core.clock import amsterdam_date
from app.core.database import transaction
from app.core.errors import Conflict, Invalid, NotFound, Problem
from app.core.history import SYSTEM, Fact, HistoryActor
from app.payments import bank_profiles, claims, iban, revising
from app.payments.characters import clean
from app.payments.context import Context
from app.payments.limits import LimitKind, LimitUse, uses
from app.payments.locks import lock_accounts
from app.payments.models import AccountState, BatchStatus, DebtorAccount, PaymentBatch, PaymentLimit
from app.payments.sepa_model import MAXIMUM_NAME_LENGTH, SCHEMAS

RAISE_WAITS = timedelta(hours=24)
_COLUMNS = {
    LimitKind.TRANSFER: "per_transfer_cents",
    LimitKind.BATCH: "per_batch_cents",
    LimitKind.DAY: "per_day_cents",
    LimitKind.MONTH: "per_month_cents",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """A debtor account as entered. `file_schema` None takes the bank's default."""

    employer_id: UUID
    iban: str
    holder_name: str
    bic: str | None = None
    file_schema: str | None = None
    batch_booking: bool = True


def add_account(ctx: Context, session: Session, actor: Actor, wanted: NewAccount) -> DebtorAccount:
    """Add an account that the employer pays from; unconfirmed until an admin confirms it."""
    actor.needs_employer_role(wanted.employer_id, Role.ADMIN)
    number = iban.normalise(wanted.iban)
    problems = [*_iban_problems(wanted.iban), *_holder_problems(wanted.holder_name), *_schema_problems(wanted)]
    if problems:
        raise Invalid(errors=problems)
    known = select(DebtorAccount.id).where(
        DebtorAccount.employer_id == wanted.employer_id, DebtorAccount.iban == number
    )
    if session.exec(known).first() is not None:
        raise Conflict("This employer has an account with this IBAN already.")
    profile = bank_profiles.profile_for(number)
    account = DebtorAccount(
        id=ctx.new_id(),
        employer_id=wanted.employer_id,
        iban=number,
        bic=wanted.bic,
        holder_name=clean(wanted.holder_name).text,
        bank_profile=profile.code,
        file_schema=wanted.file_schema or profile.default_schema,
        batch_booking=wanted.batch_booking,
        created_at=ctx.now(),
    )
    session.add(account)
    session.flush()
    _tell(ctx, session, actor.as_history(), account, "account.added", {"schema": account.file_schema})
    return account


def _iban_problems(text: str) -> list[Problem]:
    problem = iban.iban_problem(text)
    if problem is None:
        return []
    return [Problem(pointer="/iban", code=f"iban_{problem.code}", message=problem.english)]


def _holder_problems(name: str) -> list[Problem]:
    cleaned = clean(name, maximum=MAXIMUM_NAME_LENGTH)
    if cleaned.kept and not cleaned.lost and not cleaned.cut:
        return []
    message = f"Write the name as the bank has it, in at most {MAXIMUM_NAME_LENGTH} Latin characters."
    return [Problem(pointer="/holder_name", code="holder_name", message=message)]


def _schema_problems(wanted: NewAccount) -> list[Problem]:
    if wanted.file_schema in (None, *SCHEMAS):
        return []
    return [Problem(pointer="/file_schema", code="file_schema", message=f"Choose one of {', '.join(SCHEMAS)}.")]


def find_account(session: Session, actor: Actor, account_id: UUID) -> DebtorAccount:
    """Return an account of an employer that the actor may look at; `NotFound` otherwise."""
    account = session.get(DebtorAccount, account_id)
    if account is None or account.employer_id not in actor.readable_employers:
        raise NotFound("No such debtor account.")
    return account


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """What an employer admin states about an account: holder as the bank has it, authorised person, evidence."""

    holder_name: str
    authorised_person: str
    evidence: str


def confirm_account(
    ctx: Context, session: Session, actor: Actor, account_id: UUID, stated: Confirmation
) -> DebtorAccount | None:
    """Confirm an account: without it no file is made on it. None when it is suspended: that takes two people."""
    account = find_account(session, actor, account_id)
    actor.needs_employer_role(account.employer_id, Role.ADMIN)
    account = lock_accounts(session, {account.id})[account.id]
    check_confirmation(account, stated)
    if account.state == AccountState.SUSPENDED:
        return None
    return put_confirmation(ctx, session, account, stated, actor.as_history())


def check_confirmation(account: DebtorAccount, stated: Confirmation) -> None:
    """Refuse to confirm an account that is confirmed, or with a holder's name that no bank has."""
    if account.state == AccountState.CONFIRMED:
        raise Conflict("The account is confirmed already.")
    problems = _holder_problems(stated.holder_name)
    if problems:
        raise Invalid(errors=problems)


def put_confirmation(
    ctx: Context, session: Session, account: DebtorAccount, stated: Confirmation, actor: HistoryActor
) -> DebtorAccount:
    """Write a confirmation on a locked account; the caller has seen to the two people where it takes two."""
    account.holder_name = clean(stated.holder_name).text
    account.authorised_person, account.evidence = stated.authorised_person, stated.evidence
    account.state, account.confirmed_at, account.confirmed_by = AccountState.CONFIRMED, ctx.now(), actor.id
    session.add(account)
    details = {"authorised_person": stated.authorised_person, "evidence": stated.evidence}
    _tell(ctx, session, actor, account, "account.confirmed", details)
    _revise_pending(ctx, session, actor, account)
    return account


def change_account(
    ctx: Context, session: Session, actor: Actor, account_id: UUID, changes: Mapping[str, Any]
) -> DebtorAccount:
    """Change the schema or batch booking of an account, or suspend it. Pending batches on it get a new revision."""
    account = find_account(session, actor, account_id)
    actor.needs_employer_role(account.employer_id, Role.ADMIN)
    account = lock_accounts(session, {account.id})[account.id]
    if changes.get("file_schema") not in (None, *SCHEMAS):
        message = f"Choose one of {', '.join(SCHEMAS)}."
        raise Invalid(errors=[Problem(pointer="/file_schema", code="file_schema", message=message)])
    for name in ("file_schema", "batch_booking"):
        if changes.get(name) is not None:
            setattr(account, name, changes[name])
    if changes.get("state") == AccountState.SUSPENDED:
        account.state = AccountState.SUSPENDED
    session.add(account)
    _tell(
        ctx,
        session,
        actor.as_history(),
        account,
        "account.changed",
        {name: str(value) for name, value in changes.items()},
    )
    _revise_pending(ctx, session, actor.as_history(), account)
    return account


def _revise_pending(ctx: Context, session: Session, actor: HistoryActor, account: DebtorAccount) -> None:
    """Revise the pending batches on an account: their digest names its holder, schema and batch booking."""
    session.flush()
    batches = session.exec(
        select(PaymentBatch)
        .where(PaymentBatch.debtor_account_id == account.id, PaymentBatch.status == BatchStatus.PENDING)
        .order_by(col(PaymentBatch.id))
        .with_for_update()
    ).all()
    for batch in batches:
        change = revising.Change(event="batch.account_changed", actor=actor, values={"edited_by": actor.id}, details={})
        revising.revise(ctx, session, batch, change)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSetting:
    """The limits of an account in cents; None is no limit of that kind. Over a soft one, one more approver is needed.

    After `ends_on` the limits before it hold again.
    """

    hard: Mapping[LimitKind, int | None]
    soft: Mapping[LimitKind, int | None] = field(default_factory=dict)
    ends_on: date | None = None

    def columns(self) -> dict[str, int | None]:
        """Return the setting by column."""
        hard = {column: self.hard.get(kind) for kind, column in _COLUMNS.items()}
        return hard | {f"soft_{column}": self.soft.get(kind) for kind, column in _COLUMNS.items()}


def _setting(values: Mapping[str, Any], ends_on: date | None = None) -> LimitSetting:
    return LimitSetting(
        hard={kind: values.get(column) for kind, column in _COLUMNS.items()},
        soft={kind: values.get(f"soft_{column}") for kind, column in _COLUMNS.items()},
        ends_on=ends_on,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitView:
    """The limits of an account as they are now, with a raise that waits."""

    setting: LimitSetting
    is_set: bool
    pending: LimitSetting | None = None
    pending_by: UUID | None = None
    pending_until: Any = None

    @property
    def limits(self) -> Mapping[LimitKind, int | None]:
        """The hard limits."""
        return self.setting.hard


def limits_of(ctx: Context, session: Session, account_id: UUID) -> LimitView:
    """Return the limits in force at this moment: a raise counts once its day of waiting is over, until its last day."""
    row = session.get(PaymentLimit, account_id, populate_existing=True)
    if row is None:
        return LimitView(setting=LimitSetting(hard=dict.fromkeys(LimitKind)), is_set=False)
    setting = _in_force(row, amsterdam_date(ctx.now()))
    if row.pending is None or row.pending_since is None:
        return LimitView(setting=setting, is_set=True)
    if not _asker_is_admin(ctx, session, account_id, row):
        return LimitView(setting=setting, is_set=True)  # who asked has left: it waits for nobody any more
    pending = _stored(row.pending)
    until = row.pending_since + RAISE_WAITS
    if until <= ctx.now():
        is_over = pending.ends_on is not None and pending.ends_on < amsterdam_date(ctx.now())
        return LimitView(setting=setting if is_over else pending, is_set=True)
    return LimitView(setting=setting, is_set=True, pending=pending, pending_by=row.pending_by, pending_until=until)


def _asker_is_admin(ctx: Context, session: Session, account_id: UUID, row: PaymentLimit) -> bool:
    employer_id = session.get_one(DebtorAccount, account_id).employer_id
    return row.pending_by in proposals.deciders(session, employer_id, amsterdam_date(ctx.now()), Role.ADMIN)


def settle_raises(ctx: Context) -> int:
    """Write down the raises whose day of waiting is over; return how many: they stay when who asked leaves later."""
    with transaction(ctx.engine) as session:
        due = select(PaymentLimit.debtor_account_id).where(col(PaymentLimit.pending_since) <= ctx.now() - RAISE_WAITS)
        accounts = list(session.exec(due))
    return sum(_settle_raise(ctx, account_id) for account_id in accounts)


def _settle_raise(ctx: Context, account_id: UUID) -> bool:
    with transaction(ctx.engine) as session:
        account = lock_accounts(session, {account_id})[account_id]
        row = session.get_one(PaymentLimit, account_id)
        now = limits_of(ctx, session, account_id)
        if row.pending is None or row.pending_by is None or now.pending is not None:
            return False
        is_raised = now.setting == _stored(row.pending)
        wanted, asked_by = row.pending, row.pending_by
        later = _reverts_to(row, now.setting, amsterdam_date(ctx.now()))
        _put(ctx, row, asked_by if is_raised else row.set_by, now.setting, reverts_to=later)
        session.add(row)
        event = "limit.raised" if is_raised else "limit.raise_ended"
        _tell(ctx, session, SYSTEM, account, event, wanted)
        return is_raised


def _in_force(row: PaymentLimit, today: date) -> LimitSetting:
    if row.ends_on is not None and row.ends_on < today and row.reverts_to is not None:
        return _stored(row.reverts_to)
    return _setting(row.model_dump(), row.ends_on)


def _stored(values: Mapping[str, Any]) -> LimitSetting:
    ends_on = values.get("ends_on")
    return _setting(values, None if ends_on is None else date.fromisoformat(ends_on))


def _as_stored(setting: LimitSetting) -> dict[str, Any]:
    ends_on = None if setting.ends_on is None else setting.ends_on.isoformat()
    return {**setting.columns(), "ends_on": ends_on}


def set_limits(ctx: Context, session: Session, actor: Actor, account_id: UUID, wanted: LimitSetting) -> LimitView:
    """Set the limits of an account.

    The first setting and every lowering hold at once. A raise waits for a second employer admin who asks for exactly
    the same, or for a day; it may end on a date.
    """
    account = find_account(session, actor, account_id)
    actor.needs_employer_role(account.employer_id, Role.ADMIN)
    lock_accounts(session, {account.id})
    _check_setting(ctx, wanted)
    before = limits_of(ctx, session, account.id)
    row = session.get(PaymentLimit, account.id)
    if row is None:
        row = PaymentLimit(debtor_account_id=account.id, set_at=ctx.now(), set_by=actor.user_id)
        _put(ctx, row, actor.user_id, wanted, reverts_to=None)
        event = "limit.set"
    else:
        later = _reverts_to(row, before.setting, amsterdam_date(ctx.now()))
        if not (_raises(before.setting, wanted) or _raises_later(before.setting, later, wanted)):
            _put(ctx, row, actor.user_id, wanted, reverts_to=_after(before.setting, later, wanted))
            event = "limit.lowered"
        elif before.pending == wanted and before.pending_by != actor.user_id:
            _put(ctx, row, actor.user_id, wanted, reverts_to=_after(before.setting, later, wanted))
            event = "limit.raised"
        else:
            _put(ctx, row, actor.user_id, before.setting, reverts_to=later)
            row.pending = _as_stored(wanted)
            row.pending_by, row.pending_since = actor.user_id, ctx.now()
            event = "limit.raise_asked"
    session.add(row)
    session.flush()
    _tell(ctx, session, actor.as_history(), account, event, _as_stored(wanted))
    return limits_of(ctx, session, account.id)


def _after(in_force: LimitSetting, later: LimitSetting | None, wanted: LimitSetting) -> LimitSetting:
    """Return what holds after the last day of `wanted`: never more than holds then without it."""
    if later is None:
        return in_force
    ends_first = wanted.ends_on is not None and in_force.ends_on is not None and wanted.ends_on < in_force.ends_on
    return _lowest(in_force, later) if ends_first else later


def _check_setting(ctx: Context, wanted: LimitSetting) -> None:
    if all(value is None for value in wanted.hard.values()):
        message = "Set at least one limit; per_batch is the usual one."
        raise Invalid(errors=[Problem(pointer="/per_batch", code="limit_missing", message=message)])
    if wanted.ends_on is not None and wanted.ends_on < amsterdam_date(ctx.now()):
        message = "The last day of a limit is today or later."
        raise Invalid(errors=[Problem(pointer="/ends_on", code="date_in_past", message=message)])


def _reverts_to(row: PaymentLimit, in_force: LimitSetting, today: date) -> LimitSetting | None:
    """Return what holds after the last day of the limits in force, be they a raise whose day of waiting is over."""
    if in_force.ends_on is None:
        return None
    own, after_own = _in_force(row, today), None if row.reverts_to is None else _stored(row.reverts_to)
    if row.pending is None or _stored(row.pending) != in_force:
        return after_own
    return own if own.ends_on is None or after_own is None else _lowest(own, after_own)


def _raises_later(in_force: LimitSetting, later: LimitSetting | None, wanted: LimitSetting) -> bool:
    """Say whether limits that are no raise today are one after the last day of those in force, which they outlast."""
    outlasts = wanted.ends_on is None or (in_force.ends_on is not None and wanted.ends_on > in_force.ends_on)
    return later is not None and outlasts and _raises(later, wanted)


def _lowest(one: LimitSetting, other: LimitSetting) -> LimitSetting:
    """Return the stricter of two settings for each kind, without a last day."""
    second = other.columns()
    given = {
        column: [cents for cents in (value, second[column]) if cents is not None]
        for column, value in one.columns().items()
    }
    return _setting({column: min(values, default=None) for column, values in given.items()})


def _put(
    ctx: Context, row: PaymentLimit, set_by: UUID, setting: LimitSetting, *, reverts_to: LimitSetting | None
) -> None:
    for column, value in setting.columns().items():
        setattr(row, column, value)
    row.ends_on = setting.ends_on
    row.reverts_to = None if setting.ends_on is None or reverts_to is None else _as_stored(reverts_to)
    row.set_at, row.set_by = ctx.now(), set_by
    row.pending = row.pending_by = row.pending_since = None


def _raises(before: LimitSetting, wanted: LimitSetting) -> bool:
    after = wanted.columns()
    return any(
        old is not None and (after[column] is None or after[column] > old)  # type: ignore[operator]
        for column, old in before.columns().items()
    )


def limit_uses(ctx: Context, session: Session, account_id: UUID, day: date, *, soft: bool = False) -> list[LimitUse]:
    """Return every limit of an account with what is used of it on this execution date and in its month."""
    first, last = day.replace(day=1), day.replace(day=monthrange(day.year, day.month)[1])
    setting = limits_of(ctx, session, account_id).setting
    return uses(
        setting.soft if soft else setting.hard,
        used_day_cents=claims.used_cents(session, account_id, first=day, last=day),
        used_month_cents=claims.used_cents(session, account_id, first=first, last=last),
    )


def accounts_of(session: Session, employer_id: UUID) -> list[DebtorAccount]:
    """Return the accounts of an employer, oldest first."""
    return list(
        session.exec(
            select(DebtorAccount)
            .where(DebtorAccount.employer_id == employer_id)
            .order_by(col(DebtorAccount.created_at), col(DebtorAccount.id))
        )
    )


def _tell(
    ctx: Context, session: Session, actor: HistoryActor, account: DebtorAccount, event: str, details: Mapping[str, Any]
) -> None:
    fact = Fact(
        organization_id=account.employer_id,
        event=event,
        actor=actor,
        occurred_at=ctx.now(),
        details={"debtor_account_id": str(account.id), "iban": account.iban, **details},
    )
    history.record(session, fact)
