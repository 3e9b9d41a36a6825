"""From rows to what goes over the wire. Many batches are loaded in a handful of queries, one batch the same way."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Session, col, select

from app.auth import pins
from app.auth.actor import Actor
from app.auth.models import Organization, Proposal, Role
from app.auth.people import names_of
from app.core.columns import any_of
from app.core.money import dutch, text_to_cents
from app.payments import accounts, attention, bank_profiles, calendar, iban, making, policies, revealing
from app.payments.accounts import LimitSetting
from app.payments.api import schemas
from app.payments.api.allowed import Situation, allowed_actions
from app.payments.api.schemas import money
from app.payments.connections import UPLOAD
from app.payments.context import Context
from app.payments.findings import text_of
from app.payments.holds import of_batches
from app.payments.limits import LimitKind, LimitUse
from app.payments.models import (
    Administration,
    AdministrationLink,
    Approval,
    BatchStatus,
    CreditTransfer,
    DebtorAccount,
    Finding,
    Hold,
    LinkMode,
    PaymentBatch,
    PaymentFile,
    PaymentLimit,
    PayrollRun,
    TransferStatus,
)
from app.payments.tiers import Requirement, still_missing
from app.payments.visibility import HIDDEN, Viewer, Visibility, shown_text, visibility

Row = TypeVar("Row")


def batches_out(
    ctx: Context, session: Session, actor: Actor, batches: Sequence[PaymentBatch]
) -> list[schemas.BatchOut]:
    """Return batches as this person may see them."""
    loaded = _Loaded(ctx, session, batches)
    loaded.pin_faults = _pin_faults(ctx, session, actor, batches)
    viewer = revealing.viewer_of(ctx, session, actor)
    return [_batch(ctx, session, viewer, batch, loaded) for batch in batches]


def _pin_faults(ctx: Context, session: Session, actor: Actor, batches: Sequence[PaymentBatch]) -> Mapping[UUID, str]:
    """Return, by employer, why no PIN of this person would do now; asked only where this person approves."""
    employers = {
        batch.employer_id
        for batch in batches
        if batch.status == BatchStatus.PENDING and Role.APPROVER in actor.employers.get(batch.employer_id, frozenset())
    }
    if not employers:
        return {}
    return pins.known_faults(
        session, user_id=actor.user_id, token_id=actor.token_id, employers=employers, now=ctx.now()
    )


def batch_out(ctx: Context, session: Session, actor: Actor, batch: PaymentBatch) -> schemas.BatchOut:
    """Return one batch as this person may see it."""
    return batches_out(ctx, session, actor, [batch])[0]


class _Loaded:
    """Everything beside the batches themselves, by id."""

    def __init__(self, ctx: Context, session: Session, batches: Sequence[PaymentBatch]) -> None:
        ids = [batch.id for batch in batches]
        self.employers = _by_id(session, Organization, {batch.employer_id for batch in batches})
        self.administrations = _by_id(session, Administration, {batch.administration_id for batch in batches})
        self.runs = _by_id(session, PayrollRun, {batch.run_id for batch in batches})
        self.accounts = _by_id(session, DebtorAccount, {batch.debtor_account_id for batch in batches})
        self.links = {
            link.administration_id: link
            for link in session.exec(
                select(AdministrationLink).where(
                    any_of(col(AdministrationLink.administration_id), self.administrations)
                )
            )
        }
        self.limited = _with_limits(session, batches)
        self.without_approver = policies.employers_without_approver(ctx, session, batches)
        self.counts: dict[UUID, dict[str, int]] = {}
        counted = (
            sa.select(
                col(CreditTransfer.batch_id),
                col(CreditTransfer.status),
                sa.func.count(),
                sa.func.max(col(CreditTransfer.amount_cents)),
            )
            .where(any_of(col(CreditTransfer.batch_id), ids))
            .group_by(col(CreditTransfer.batch_id), col(CreditTransfer.status))
        )
        self.largest: dict[UUID, int] = {}
        self.pin_faults: Mapping[UUID, str] = {}
        for batch_id, status, count, largest in session.execute(counted):
            self.counts.setdefault(batch_id, {})[status] = count
            if status == TransferStatus.PAYABLE:
                self.largest[batch_id] = largest
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
        self.files: dict[UUID, list[PaymentFile]] = {}
        live = select(PaymentFile).where(any_of(col(PaymentFile.batch_id), ids), col(PaymentFile.voided_at).is_(None))
        for file in session.exec(live.order_by(col(PaymentFile.n))):
            self.files.setdefault(file.batch_id, []).append(file)
        self.proposals = _open_proposals(session, batches)
        self.holds = of_batches(session, batches)
        # By account and day: most batches of a page share theirs.
        self.limits: dict[tuple[UUID, date], dict[str, schemas.LimitOut]] = {}
        self.approvals: dict[UUID, list[tuple[Approval, str]]] = {}
        given = (
            select(Approval)
            .where(any_of(col(Approval.batch_id), ids), col(Approval.voided_at).is_(None))
            .order_by(col(Approval.approved_at))
        )
        approvals = session.exec(given).all()
        names = names_of(session, (approval.user_id for approval in approvals))
        for approval in approvals:
            self.approvals.setdefault(approval.batch_id, []).append((approval, names[approval.user_id]))


def _with_limits(session: Session, batches: Sequence[PaymentBatch]) -> set[UUID]:
    """Return the accounts of pending batches that have limits; of others nobody asks."""
    waiting = {batch.debtor_account_id for batch in batches if batch.status == BatchStatus.PENDING}
    if not waiting:
        return set()
    statement = select(PaymentLimit.debtor_account_id).where(any_of(col(PaymentLimit.debtor_account_id), waiting))
    return set(session.exec(statement))


def _open_proposals(session: Session, batches: Sequence[PaymentBatch]) -> dict[UUID, list[UUID]]:
    """Return the open proposals about these batches themselves."""
    found: dict[UUID, list[UUID]] = {}
    statement = select(Proposal.target, Proposal.id).where(
        any_of(col(Proposal.target), [batch.id for batch in batches]), col(Proposal.ended_at).is_(None)
    )
    for target, identifier in session.exec(statement):
        found.setdefault(target, []).append(identifier)
    return found


def _by_id(session: Session, model: type[Row], ids: set[UUID]) -> Mapping[UUID, Row]:
    rows = session.exec(select(model).where(any_of(col(model.id), ids)))  # type: ignore[attr-defined]
    return {row.id: row for row in rows}  # type: ignore[attr-defined]


def _batch(ctx: Context, session: Session, viewer: Viewer, batch: PaymentBatch, loaded: _Loaded) -> schemas.BatchOut:
    account = loaded.accounts[batch.debtor_account_id]
    run, administration = loaded.runs[batch.run_id], loaded.administrations[batch.administration_id]
    files = loaded.files.get(batch.id, [])
    approvals = loaded.approvals.get(batch.id, [])
    required = _required(ctx, session, batch, given=len(approvals))
    seen = visibility(viewer, batch.employer_id, batch.id)
    profile = bank_profiles.profile_for(account.iban)
    limits = _limits(ctx, session, batch, loaded) if seen is Visibility.FULL else None
    situation = _situation(ctx, viewer.actor, batch, loaded, limits)
    somebody = batch.employer_id not in loaded.without_approver
    standing = attention.Standing.of(batch, files, somebody_can_approve=somebody)
    return schemas.BatchOut(
        id=batch.id,
        kind=batch.kind,
        status=batch.status,
        status_reason=shown_text(batch.status_reason, seen),
        mode=batch.mode,
        revision=batch.revision,
        digest=batch.digest,
        employer=schemas.Named(id=batch.employer_id, name=loaded.employers[batch.employer_id].name),
        administration=schemas.AdministrationShort(
            id=administration.id, number=administration.number, name=administration.name
        ),
        run=run_short(run, seen),
        debtor_account=schemas.AccountShort(id=account.id, iban=account.iban, name=account.holder_name),
        requested_execution_date=batch.requested_execution_date,
        pay_day=_pay_day(ctx, batch, loaded),
        approve_before=calendar.approve_before(batch.requested_execution_date, profile),
        release_before=calendar.release_before(batch.requested_execution_date, profile),
        number_of_transactions=batch.number_of_transactions,
        control_sum=money(batch.control_sum_cents) if seen.shows_salaries else None,
        counts=loaded.counts.get(batch.id, {}),
        required_approvals=required.count,
        approval_reasons=list(required.reasons),
        one_person_firm=required.is_one_person_firm,
        approvals=[_approval(row, name) for row, name in approvals],
        approvals_missing=_missing(ctx, session, batch, required, given=len(approvals)),
        limit=limits,
        findings=loaded.findings.get(batch.id, {}),
        acknowledgements_open=loaded.open.get(batch.id, 0),
        holds=[_hold(hold, seen) for hold in loaded.holds[batch.id]],
        proposals=loaded.proposals.get(batch.id, []),
        attention=attention.of_batch(standing, profile, ctx.now()),
        allowed_actions=allowed_actions(viewer.actor, situation),
        visibility=seen.value,
        file=_file_short(files[0]) if len(files) == 1 else None,
        files=[_file_short(file) for file in files],
        erased_at=batch.erased_at,
        created_at=batch.created_at,
        updated_at=batch.updated_at,
    )


def _pay_day(ctx: Context, batch: PaymentBatch, loaded: _Loaded) -> schemas.PayDay | None:
    """Return the day that the rule gives; while a batch waits also why it cannot be that day, so that none wonders."""
    link = loaded.links.get(batch.administration_id)
    if link is None:
        return None
    account = loaded.accounts[batch.debtor_account_id]
    proposed = making.proposed_date(ctx, loaded.runs[batch.run_id], link, account)
    if proposed.pay_day is None:
        return None
    problem = proposed.problem if batch.status == BatchStatus.PENDING else None
    if problem is None:
        return schemas.PayDay(date=proposed.pay_day, problem=None, detail=None, detail_nl=None)
    return schemas.PayDay(date=proposed.pay_day, problem=problem.code, detail=problem.english, detail_nl=problem.dutch)


def _situation(
    ctx: Context,
    actor: Actor,
    batch: PaymentBatch,
    loaded: _Loaded,
    limits: Mapping[str, schemas.LimitOut] | None,
) -> Situation:
    link = loaded.links.get(batch.administration_id)
    must_be_locked = link is not None and link.needs_locked_run
    return Situation(
        batch=batch,
        account=loaded.accounts[batch.debtor_account_id],
        files=loaded.files.get(batch.id, []),
        holds=loaded.holds[batch.id],
        open_acknowledgements=loaded.open.get(batch.id, 0),
        is_approved_by_caller=any(row.user_id == actor.user_id for row, _ in loaded.approvals.get(batch.id, [])),
        run_must_be_locked=must_be_locked and loaded.runs[batch.run_id].is_locked is False,
        limits=limits,
        limits_set=batch.debtor_account_id in loaded.limited,
        largest_cents=loaded.largest.get(batch.id, 0),
        pin_fault=loaded.pin_faults.get(batch.employer_id),
        now=ctx.now(),
    )


def _hold(hold: Hold, seen: Visibility) -> schemas.HoldOut:
    return schemas.HoldOut(id=hold.id, code=hold.code, reason=shown_text(hold.reason, seen) or "")


def _required(ctx: Context, session: Session, batch: PaymentBatch, *, given: int) -> Requirement:
    """Return what a pending batch needs; of a batch that was decided, what it had."""
    if batch.status == BatchStatus.PENDING:
        return policies.needed_for(ctx, session, batch)
    return Requirement(count=given, reasons=(), editor=None, is_one_person_firm=False)


def _missing(ctx: Context, session: Session, batch: PaymentBatch, required: Requirement, *, given: int) -> list[str]:
    """Return what the approvals of a pending batch lack: an approval can be there and not count (any more)."""
    if batch.status != BatchStatus.PENDING:
        return []
    return still_missing(required, policies.given_approvals(ctx, session, batch) if given else [])


def _approval(row: Approval, name: str) -> schemas.ApprovalOut:
    return schemas.ApprovalOut(
        user=name, approved_at=row.approved_at, revision=row.revision, digest=row.digest, source_state=row.source_state
    )


def _limits(ctx: Context, session: Session, batch: PaymentBatch, loaded: _Loaded) -> dict[str, schemas.LimitOut] | None:
    if batch.mode == LinkMode.DRY_RUN:
        return None
    key = (batch.debtor_account_id, batch.requested_execution_date)
    if key not in loaded.limits:
        loaded.limits[key] = limits_out(ctx, session, *key)
    return loaded.limits[key]


def limits_out(ctx: Context, session: Session, account_id: UUID, day: date) -> dict[str, schemas.LimitOut]:
    """Return the limits of an account by kind, with what is used and left on an execution date."""
    soft = accounts.limits_of(ctx, session, account_id).setting.soft
    return {
        use.kind.value: _limit_out(use, soft.get(use.kind))
        for use in accounts.limit_uses(ctx, session, account_id, day)
    }


def _limit_out(use: LimitUse, soft_cents: int | None) -> schemas.LimitOut:
    return schemas.LimitOut(
        soft_limit=None if soft_cents is None else money(soft_cents),
        limit=None if use.limit_cents is None else money(use.limit_cents),
        used=money(use.used_cents),
        headroom=None if use.headroom_cents is None else money(use.headroom_cents),
    )


def _file_short(file: PaymentFile) -> schemas.FileShort:
    return schemas.FileShort(
        n=file.n,
        message_id=file.message_id,
        sha256=file.sha256,
        sha1=file.sha1,
        file_schema=file.file_schema,
        handed_out_at=file.handed_out_at,
        delivered_at=file.delivered_at,
        bank_status=file.bank_status,
        awaits_signature=file.awaits_signature,
    )


def finding_codes(session: Session, transfer_ids: Sequence[UUID]) -> dict[UUID, list[str]]:
    """Return the codes of what was found on these lines, by line."""
    found: dict[UUID, list[str]] = {}
    statement = select(Finding.transfer_id, Finding.code).where(any_of(col(Finding.transfer_id), transfer_ids))
    for transfer_id, code in session.exec(statement.order_by(Finding.code)):
        if transfer_id is not None:
            found.setdefault(transfer_id, []).append(code)
    return found


def transfer_out(row: CreditTransfer, codes: Sequence[str], seen: Visibility) -> schemas.TransferOut:
    """Return a line; masked for who may not see salaries."""
    shows = seen.shows_salaries
    return schemas.TransferOut(
        id=row.id,
        position=row.position,
        status=row.status,
        decision=row.decision,
        decision_reason=shown_text(row.decision_reason, seen),
        hold_code=row.hold_code,
        creditor=creditor_out(row, seen),
        creditor_name_original=row.creditor_name_original if shows else None,
        amount=schemas.line_amount(row) if shows else None,
        remittance_kind=row.remittance_kind,
        remittance_information=row.remittance_text if shows else None,
        remittance_information_original=row.remittance_text_original if shows else None,
        end_to_end_id=row.end_to_end_id,
        kind=row.kind,
        findings=list(codes),
        file=row.file_n,
        bank_status=row.bank_status,
        bank_reason=row.bank_reason,
        name_check=row.name_check,
        name_check_proposal=row.name_check_proposal if shows else None,
    )


def creditor_out(row: CreditTransfer, seen: Visibility) -> schemas.Creditor:
    """Return who is paid; for who may not see salaries the ends of the account at most."""
    if seen.shows_salaries:
        return schemas.Creditor(name=row.creditor_name, iban=row.creditor_iban, bic=row.creditor_bic)
    return schemas.Creditor(name=HIDDEN, iban=iban.mask(row.creditor_iban))


def finding_out(row: Finding, position: int | None, seen: Visibility) -> schemas.FindingOut:
    """Return a finding in words; by how much somebody's pay changed only for who may see salaries."""
    figures = row.figures if seen.shows_salaries else {**row.figures, "percent": HIDDEN}
    english, dutch, remedy, remedy_nl = text_of(row.code, figures)
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


def file_out(file: PaymentFile, seen: Visibility) -> schemas.FileOut:
    """Return a stored file, without its bytes."""
    shows = seen.shows_salaries
    instructions = [
        {name: value for name, value in each.items() if shows or name != "control_sum"} for each in file.instructions
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
        control_sum=money(file.control_sum_cents) if shows else None,
        instructions=instructions,
        stored_at=file.stored_at,
        handed_out_at=file.handed_out_at,
        delivered_at=file.delivered_at,
        voided_at=file.voided_at,
        void_reason=shown_text(file.void_reason, seen),
        bank_status=file.bank_status,
        awaits_signature=file.awaits_signature,
        bank_shows_nl=_bank_shows(file) if shows else None,
    )


def _bank_shows(file: PaymentFile) -> str:
    """Return in words what the bank will show of this file, so that it can be compared before signing."""
    parts = [
        f"{each['number_of_transactions']} x, samen {dutch(text_to_cents(each['control_sum']))}"
        for each in file.instructions
    ]
    return (
        f"{len(parts)} {'batch' if len(parts) == 1 else 'batches'}: {' en '.join(parts)}; "
        f"kenmerk {file.message_id}; SHA-256 begint met {file.sha256[:8]}, SHA-1 met {file.sha1[:8]}."
    )


def limits_body(setting: LimitSetting) -> dict[str, schemas.Money | None]:
    """Return limits by kind as they go over the wire."""
    by_kind = [(kind.value, setting.hard.get(kind)) for kind in LimitKind]
    by_kind += [(f"soft_{kind.value}", setting.soft.get(kind)) for kind in LimitKind]
    return {name: None if cents is None else money(cents) for name, cents in by_kind}


def proposals_out(session: Session, actor: Actor, rows: Sequence[Proposal]) -> list[schemas.ProposalOut]:
    """Return acts of two people with who asked and who confirmed, by name."""
    viewer = Viewer(actor=actor)
    names = names_of(session, [each for row in rows for each in (row.proposed_by, row.confirmed_by) if each])
    return [
        schemas.ProposalOut(
            id=row.id,
            employer_id=row.organization_id,
            kind=row.kind,
            target=row.target,
            payload=row.payload,
            reason=shown_text(row.reason, visibility(viewer, row.organization_id)) or "",
            proposed_by=names[row.proposed_by],
            proposed_at=row.proposed_at,
            waits_until=row.waits_until,
            confirmed_by=names[row.confirmed_by] if row.confirmed_by else None,
            outcome=row.outcome,
            ended_at=row.ended_at,
        )
        for row in rows
    ]


def run_short(run: PayrollRun, seen: Visibility) -> schemas.RunShort:
    """Return a run as it stands beside a batch or a line."""
    return schemas.RunShort(
        id=run.id,
        number=run.number,
        period=run.period_start,
        year=run.year,
        frequency=run.frequency,
        description=run_description(run, seen),
        locked=run.is_locked,
    )


def run_description(run: PayrollRun, seen: Visibility) -> str:
    """Return how a run is called. An uploaded one is called after a line of its file, so it is masked as lines are."""
    return HIDDEN if run.source_kind == UPLOAD and not seen.shows_salaries else run.description
