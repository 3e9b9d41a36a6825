"""From rows to what goes over the wire. Many batches are loaded in a handful of queries, one batch the same way."""

from collections.abc import Mapping, Sequence
from typing import TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Session, col, select

from app.auth.actor import Actor
from app.auth.models import Organization, User
from app.core.columns import any_of
from app.payments import accounts, bank_profiles, calendar, iban
from app.payments.api import schemas
from app.payments.api.schemas import money
from app.payments.approving import REQUIRED_APPROVALS
from app.payments.context import Context
from app.payments.findings import text_of
from app.payments.holds import of_batch
from app.payments.limits import LimitKind, LimitUse
from app.payments.models import (
    Administration,
    Approval,
    BatchStatus,
    CreditTransfer,
    DebtorAccount,
    Finding,
    LinkMode,
    PaymentBatch,
    PaymentFile,
    PayrollRun,
)
from app.payments.transitions import Action, reasons_against

MASKED = "***"
Row = TypeVar("Row")


def batches_out(
    ctx: Context, session: Session, actor: Actor, batches: Sequence[PaymentBatch]
) -> list[schemas.BatchOut]:
    """Return batches as this person may see them."""
    loaded = _Loaded(session, batches)
    return [_batch(ctx, session, actor, batch, loaded) for batch in batches]


def batch_out(ctx: Context, session: Session, actor: Actor, batch: PaymentBatch) -> schemas.BatchOut:
    """Return one batch as this person may see it."""
    return batches_out(ctx, session, actor, [batch])[0]


class _Loaded:
    """Everything beside the batches themselves, by id."""

    def __init__(self, session: Session, batches: Sequence[PaymentBatch]) -> None:
        ids = [batch.id for batch in batches]
        self.employers = _by_id(session, Organization, {batch.employer_id for batch in batches})
        self.administrations = _by_id(session, Administration, {batch.administration_id for batch in batches})
        self.runs = _by_id(session, PayrollRun, {batch.run_id for batch in batches})
        self.accounts = _by_id(session, DebtorAccount, {batch.debtor_account_id for batch in batches})
        self.counts: dict[UUID, dict[str, int]] = {}
        counted = (
            sa.select(col(CreditTransfer.batch_id), col(CreditTransfer.status), sa.func.count())
            .where(any_of(col(CreditTransfer.batch_id), ids))
            .group_by(col(CreditTransfer.batch_id), col(CreditTransfer.status))
        )
        for batch_id, status, count in session.execute(counted):
            self.counts.setdefault(batch_id, {})[status] = count
        self.findings: dict[UUID, dict[str, int]] = {}
        self.open: dict[UUID, int] = {}
        waiting = sa.and_(col(Finding.needs_acknowledgement), col(Finding.acknowledged_at).is_(None))
        found = (
            sa.select(
                col(Finding.batch_id),
                col(Finding.severity),
                sa.func.count(),
                sa.func.count().filter(waiting),
            )
            .where(any_of(col(Finding.batch_id), ids))
            .group_by(col(Finding.batch_id), col(Finding.severity))
        )
        for batch_id, severity, count, unconfirmed in session.execute(found):
            self.findings.setdefault(batch_id, {})[severity] = count
            self.open[batch_id] = self.open.get(batch_id, 0) + unconfirmed
        self.files = {
            row.batch_id: row
            for row in session.exec(
                select(PaymentFile).where(any_of(col(PaymentFile.batch_id), ids), col(PaymentFile.voided_at).is_(None))
            )
        }
        self.approvals: dict[UUID, list[tuple[Approval, str]]] = {}
        given = (
            select(Approval, User.name)
            .join(User, col(User.id) == col(Approval.user_id))
            .where(any_of(col(Approval.batch_id), ids), col(Approval.voided_at).is_(None))
            .order_by(col(Approval.approved_at))
        )
        for approval, name in session.exec(given):
            self.approvals.setdefault(approval.batch_id, []).append((approval, name))


def _by_id(session: Session, model: type[Row], ids: set[UUID]) -> Mapping[UUID, Row]:
    rows = session.exec(select(model).where(any_of(col(model.id), ids)))  # type: ignore[attr-defined]
    return {row.id: row for row in rows}  # type: ignore[attr-defined]


def _batch(ctx: Context, session: Session, actor: Actor, batch: PaymentBatch, loaded: _Loaded) -> schemas.BatchOut:
    account = loaded.accounts[batch.debtor_account_id]
    run, administration = loaded.runs[batch.run_id], loaded.administrations[batch.administration_id]
    file = loaded.files.get(batch.id)
    sees = actor.sees_salaries(batch.employer_id)
    profile = bank_profiles.profile_for(account.iban)
    return schemas.BatchOut(
        id=batch.id,
        status=batch.status,
        status_reason=batch.status_reason,
        mode=batch.mode,
        revision=batch.revision,
        digest=batch.digest,
        employer=schemas.Named(id=batch.employer_id, name=loaded.employers[batch.employer_id].name),
        administration=schemas.AdministrationShort(
            id=administration.id, number=administration.number, name=administration.name
        ),
        run=schemas.RunShort(
            id=run.id,
            number=run.number,
            period=run.period_start,
            year=run.year,
            frequency=run.frequency,
            description=run.description,
            locked=run.is_locked,
        ),
        debtor_account=schemas.AccountShort(id=account.id, iban=account.iban, name=account.holder_name),
        requested_execution_date=batch.requested_execution_date,
        approve_before=calendar.approve_before(batch.requested_execution_date, profile),
        number_of_transactions=batch.number_of_transactions,
        control_sum=money(batch.control_sum_cents) if sees else None,
        counts=loaded.counts.get(batch.id, {}),
        required_approvals=REQUIRED_APPROVALS,
        approvals=[_approval(row, name) for row, name in loaded.approvals.get(batch.id, [])],
        limit=_limits(ctx, session, batch) if sees else None,
        findings=loaded.findings.get(batch.id, {}),
        acknowledgements_open=loaded.open.get(batch.id, 0),
        holds=[{"code": hold.code, "reason": hold.reason} for hold in of_batch(session, batch)],
        allowed_actions=_actions(actor, batch, file, loaded),
        file=None if file is None else _file_short(file),
        created_at=batch.created_at,
        updated_at=batch.updated_at,
    )


def _approval(row: Approval, name: str) -> schemas.ApprovalOut:
    return schemas.ApprovalOut(user=name, approved_at=row.approved_at, revision=row.revision, digest=row.digest)


def _limits(ctx: Context, session: Session, batch: PaymentBatch) -> dict[str, schemas.LimitOut] | None:
    if batch.mode == LinkMode.DRY_RUN:
        return None
    found = accounts.limit_uses(ctx, session, batch.debtor_account_id, batch.requested_execution_date)
    return {use.kind.value: limit_out(use) for use in found}


def limit_out(use: LimitUse) -> schemas.LimitOut:
    """Return a limit with what is used of it."""
    return schemas.LimitOut(
        limit=None if use.limit_cents is None else money(use.limit_cents),
        used=money(use.used_cents),
        headroom=None if use.headroom_cents is None else money(use.headroom_cents),
    )


def _file_short(file: PaymentFile) -> schemas.FileShort:
    return schemas.FileShort(
        message_id=file.message_id,
        sha256=file.sha256,
        sha1=file.sha1,
        file_schema=file.file_schema,
        handed_out_at=file.handed_out_at,
    )


def _actions(actor: Actor, batch: PaymentBatch, file: PaymentFile | None, loaded: _Loaded) -> list[schemas.ActionOut]:
    actions = []
    for action in Action:
        reasons = reasons_against(actor, batch, action)
        handed_out = file is not None and file.handed_out_at is not None
        if action is Action.RECALL and batch.status == BatchStatus.APPROVED and handed_out:
            reasons.append("file_was_handed_out")
        if action is Action.DELIVER and batch.status == BatchStatus.APPROVED and not handed_out:
            reasons.append("file_never_handed_out")
        if action is Action.DELIVER and batch.mode == LinkMode.DRY_RUN:
            reasons.append("dry_run")
        if action is Action.APPROVE and loaded.open.get(batch.id):
            reasons.append("acknowledgement_needed")
        if action is Action.APPROVE and batch.number_of_transactions == 0:
            reasons.append("nothing_to_pay")
        actions.append(schemas.ActionOut(action=action.value, allowed=not reasons, reasons=reasons))
    return actions


def transfer_out(row: CreditTransfer, codes: Sequence[str], *, sees_salaries: bool) -> schemas.TransferOut:
    """Return a line; masked for who may not see salaries."""
    return schemas.TransferOut(
        id=row.id,
        position=row.position,
        status=row.status,
        decision=row.decision,
        decision_reason=row.decision_reason,
        hold_code=row.hold_code,
        creditor=schemas.Creditor(
            name=row.creditor_name if sees_salaries else MASKED,
            iban=row.creditor_iban if sees_salaries else iban.mask(row.creditor_iban),
        ),
        creditor_name_original=row.creditor_name_original if sees_salaries else None,
        amount=money(row.amount_cents) if sees_salaries else None,
        remittance_information=row.remittance_text if sees_salaries else None,
        remittance_information_original=row.remittance_text_original if sees_salaries else None,
        end_to_end_id=row.end_to_end_id,
        kind=row.kind,
        findings=list(codes),
    )


def finding_out(row: Finding, position: int | None) -> schemas.FindingOut:
    """Return a finding in words."""
    english, dutch, remedy, remedy_nl = text_of(row.code, row.figures)
    return schemas.FindingOut(
        id=row.id,
        code=row.code,
        severity=row.severity,
        transfer_id=row.transfer_id,
        position=position,
        field=row.field,
        message=english,
        message_nl=dutch,
        remedy=remedy,
        remedy_nl=remedy_nl,
        needs_acknowledgement=row.needs_acknowledgement,
        acknowledged_at=row.acknowledged_at,
    )


def file_out(file: PaymentFile, *, sees_salaries: bool) -> schemas.FileOut:
    """Return a stored file, without its bytes."""
    instructions = [
        {name: value for name, value in each.items() if sees_salaries or name != "control_sum"}
        for each in file.instructions
    ]
    return schemas.FileOut(
        n=file.n,
        revision=file.revision,
        message_id=file.message_id,
        file_schema=file.file_schema,
        sha256=file.sha256,
        sha1=file.sha1,
        size_bytes=file.size_bytes,
        number_of_transactions=file.number_of_transactions,
        control_sum=money(file.control_sum_cents) if sees_salaries else None,
        instructions=instructions,
        stored_at=file.stored_at,
        handed_out_at=file.handed_out_at,
        voided_at=file.voided_at,
    )


def limits_body(limits: Mapping[LimitKind, int | None]) -> dict[str, schemas.Money | None]:
    """Return limits by kind as they go over the wire."""
    return {kind.value: None if cents is None else money(cents) for kind, cents in limits.items()}
