"""The history as people read it: the columns of the payroll world, in Dutch, with who did it; as JSON and as CSV."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from app.auth.models import Organization
from app.core.clock import AMSTERDAM
from app.core.columns import any_of
from app.core.history import HistoryEntry
from app.core.money import dutch
from app.payments import history_words
from app.payments.iban import grouped
from app.payments.models import Administration, DebtorAccount
from app.payments.visibility import Visibility, shown_details

CSV_COLUMNS = (
    "Datum/tijd",
    "Resultaat",
    "Bankrekening",
    "Administratie",
    "Details",
    "Door",
    "Gebeurtenis",
    "Volgnummer",
)

# The result as the history shows it. An event that is not here shows its code: a new one is never hidden.
RESULTS: Mapping[str, str] = {
    "employer.added": "Werkgever toegevoegd",
    "office.added": "Salarisverwerker toegevoegd",
    "member.added": "Gebruiker toegevoegd",
    "member.removed": "Gebruiker verwijderd",
    "pin.set": "Pincode ingesteld",
    "pin.changed": "Pincode gewijzigd",
    "pin.change_confirmed": "Gewijzigde pincode bevestigd",
    "token.issued": "Token uitgegeven",
    "token.rotated": "Token vernieuwd",
    "token.revoked": "Token ingetrokken",
    "keys.rotated": "Opgeslagen gegevens met een andere sleutel verzegeld",
    "mandate.requested": "Machtiging gevraagd",
    "mandate.granted": "Machtiging verleend",
    "mandate.accepted": "Machtiging aanvaard",
    "mandate.revoked": "Machtiging ingetrokken",
    "policy.set": "Aantal goedkeurders ingesteld",
    "proposal.made": "Gevraagd, wacht op een tweede persoon",
    "proposal.confirmed": "Bevestigd door een tweede persoon",
    "proposal.waited": "Doorgegaan na een dag wachten",
    "proposal.withdrawn": "Verzoek vervallen",
    "proposal.expired": "Verzoek verlopen: niet bevestigd binnen 30 dagen",
    "account.added": "Betaalrekening toegevoegd",
    "account.confirmed": "Betaalrekening bevestigd",
    "account.changed": "Betaalrekening gewijzigd",
    "limit.set": "Betaallimiet ingesteld",
    "limit.lowered": "Betaallimiet verlaagd",
    "limit.raised": "Betaallimiet verhoogd",
    "limit.raise_asked": "Verhoging betaallimiet gevraagd",
    "limit.raise_ended": "Verhoging betaallimiet vervallen",
    "connection.added": "Koppeling toegevoegd",
    "connection.credentials_changed": "Inloggegevens koppeling gewijzigd",
    "connection.checked": "Koppeling getest",
    "connection.fault": "Koppeling werkt niet",
    "connection.webhook_rotated": "Webhook-adres vernieuwd",
    "connection.deleted": "Koppeling verwijderd",
    "administration.added": "Administratie toegevoegd",
    "administration.linked": "Administratie gekoppeld",
    "administration.link_changed": "Koppeling administratie gewijzigd",
    "run.seen": "Salarisrun gevonden",
    "run.not_fetched": "Salarisrun niet opgehaald",
    "run.doubtful": "Salarisrun twijfelachtig, geen betaalbatch",
    "run.empty": "Salarisrun zonder betalingen",
    "run.fetch_asked": "Opnieuw ophalen gevraagd",
    "run.withdrawn": "Salarisrun vervallen bij de bron",
    "batch.made": "Betaalbatch klaargezet",
    "batch.follow_up_made": "Vervolgbatch klaargezet",
    "batch.read_again": "Betaalbatch opnieuw gelezen, gewijzigd",
    "batch.judged_again": "Regels vastgehouden of vraag gesteld: deze periode is intussen betaald",
    "batch.edited": "Betaalbatch gewijzigd",
    "batch.account_changed": "Betaalrekening van de batch gewijzigd",
    "batch.line_decided": "Betaalregel gewijzigd",
    "batch.line_released": "Aangehouden regel vrijgegeven",
    "batch.acknowledged": "Bevinding bevestigd",
    "batch.approval_given": "Goedkeuring gegeven, er is er nog een nodig",
    "batch.approved": "Goedgekeurd, bestand klaar",
    "approval.refused": "Goedkeuring geweigerd",
    "access.refused": "Poging geweigerd",
    "batch.recalled": "Goedkeuring teruggetrokken",
    "batch.rejected": "Afgewezen",
    "batch.cancelled": "Ingetrokken",
    "batch.superseded": "Vervangen",
    "batch.held": "Geblokkeerd",
    "batch.hold_lifted": "Blokkade opgeheven",
    "employer.held": "Alle betalingen geblokkeerd",
    "employer.hold_lifted": "Blokkade van alle betalingen opgeheven",
    "restore.reconciled": "Na terugzetten van een back-up nagekeken door de beheerder",
    "batch.reissued": "Andere uitvoerdatum, opnieuw goedkeuren",
    "batch.attention": "Vraagt aandacht",
    "batch.revealed": "Namen, rekeningen en bedragen bekeken",
    "batch.erased": "Namen, rekeningen en bestanden gewist na de bewaartermijn",
    "retention.set": "Bewaartermijnen ingesteld",
    "run.erased": "Salarisrun gewist na de bewaartermijn",
    "source.erased": "Antwoorden van de bron gewist na de bewaartermijn",
    "webhook.erased": "Webhookberichten gewist na de bewaartermijn",
    "batch.expiry_warned": "Verloopt binnenkort",
    "batch.expired": "Verlopen",
    "line.paid_elsewhere": "Regel elders betaald",
    "line.waived": "Regel wordt niet betaald",
    "file.handed_out": "Bestand opgehaald",
    "file.sending": "Wordt naar de bank gestuurd",
    "file.withdrawn": "Bestand ingetrokken, niet bij de bank",
    "file.hash_differs": "Ander bestand bij de bank gezien",
    "file.refused_late": "Bank weigert een bestand dat als ontvangen gemeld is: zoek dit uit",
    "batch.delivered": "Aangeleverd bij de bank",
    "history.sealed": "Historie verzegeld",
    "bank.reported": "Bericht van de bank",
    "bank.accepted": "Geaccepteerd door de bank",
    "bank.executed": "Uitgevoerd door de bank",
    "bank.refused": "Afgekeurd door de bank",
    "bank.not_executed": "Niet uitgevoerd door de bank",
    "bank.returned": "Betaling teruggekomen",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryLine:
    """A record in the words of the history page."""

    organization_id: UUID
    sequence: int
    occurred_at: datetime
    event: str
    result: str
    account: str | None
    administration: str | None
    details: str
    actor: str
    payment_batch_id: UUID | None
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryQuestion:
    """Which records: of these organizations, perhaps of one batch, before a record, so many."""

    organizations: frozenset[UUID]
    with_totals_of: frozenset[UUID] = frozenset()
    payment_batch_id: UUID | None = None
    before: tuple[datetime, UUID, int] | None = None
    limit: int = 100


def history_lines(session: Session, question: HistoryQuestion) -> list[HistoryLine]:
    """Return records, newest first.

    Each organization gives its newest from the index, however long its history is, and the newest of those are shown:
    one sorted scan over all of them would read the whole history of everybody for a page.
    """
    newest = select(HistoryEntry).where(HistoryEntry.organization_id == col(Organization.id))
    if question.payment_batch_id is not None:
        newest = newest.where(HistoryEntry.payment_batch_id == question.payment_batch_id)
    if question.before is not None:
        key = sa.tuple_(col(HistoryEntry.occurred_at), col(HistoryEntry.organization_id), col(HistoryEntry.sequence))
        newest = newest.where(key < sa.tuple_(*question.before))
    newest = newest.order_by(col(HistoryEntry.occurred_at).desc(), col(HistoryEntry.sequence).desc())
    entry = aliased(HistoryEntry, newest.limit(question.limit).correlate(Organization).lateral())
    statement = (
        select(entry)
        .select_from(Organization)
        .join(entry, sa.true())
        .where(any_of(col(Organization.id), question.organizations))
        .order_by(col(entry.occurred_at).desc(), col(entry.organization_id).desc(), col(entry.sequence).desc())
        .limit(question.limit)
    )
    return in_words(session, session.exec(statement).all(), with_totals_of=question.with_totals_of)


def in_words(
    session: Session, entries: Sequence[HistoryEntry], *, with_totals_of: frozenset[UUID]
) -> list[HistoryLine]:
    """Return records with accounts and administrations by name; totals only where salaries may be seen."""
    facts = [_visible(json.loads(entry.payload), entry.organization_id in with_totals_of) for entry in entries]
    accounts = _accounts(session, facts)
    administrations = _administrations(session, {entry.administration_id for entry in entries})
    return [
        HistoryLine(
            organization_id=entry.organization_id,
            sequence=entry.sequence,
            occurred_at=entry.occurred_at,
            event=entry.event,
            result=RESULTS.get(entry.event, entry.event),
            account=accounts.get(fact["details"].get("debtor_account_id", "")),
            administration=administrations.get(entry.administration_id) if entry.administration_id else None,
            details=_details(entry.event, fact["details"]),
            actor=fact["actor"]["name"] or fact["actor"]["kind"],
            payment_batch_id=entry.payment_batch_id,
            facts=fact,
        )
        for entry, fact in zip(entries, facts, strict=True)
    ]


def _visible(fact: dict[str, Any], sees_totals: bool) -> dict[str, Any]:  # noqa: FBT001 - one flag, one caller
    """Take totals and figures in free texts out for who may not see salaries."""
    seen = Visibility.FULL if sees_totals else Visibility.MASKED
    return {**fact, "details": shown_details(fact["details"], seen)}


def _accounts(session: Session, facts: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    ids = {fact["details"]["debtor_account_id"] for fact in facts if "debtor_account_id" in fact["details"]}
    rows = session.exec(
        select(DebtorAccount.id, DebtorAccount.iban).where(any_of(col(DebtorAccount.id), map(UUID, ids)))
    )
    return {str(identifier): grouped(iban) for identifier, iban in rows}


def _administrations(session: Session, ids: set[UUID | None]) -> dict[UUID, str]:
    wanted = [identifier for identifier in ids if identifier is not None]
    rows = session.exec(
        select(Administration.id, Administration.number, Administration.name).where(
            any_of(col(Administration.id), wanted)
        )
    )
    return {identifier: f"{number} {name}" for identifier, number, name in rows}


def _details(event: str, details: Mapping[str, Any]) -> str:
    """Return what a person wants to know beside the result: count and total, a reason, an explanation."""
    if "number_of_transactions" in details and event.startswith(("bank.", "batch.", "file.", "line.")):
        items = details["number_of_transactions"]
        text = f"{items} {'item' if items == 1 else 'items'}"
        if "control_sum_cents" in details:
            text += f", {dutch(details['control_sum_cents'])}"
        extra = history_words.more_of(event, details) or details.get("reason") or details.get("note")
        return f"{text}; {extra}" if extra else text
    if words := history_words.more_of(event, details):
        return words
    for name in ("explanation", "reason", "code", "name"):
        if details.get(name):
            operation = details.get("operation")
            return f"{operation}: {details[name]}" if operation else str(details[name])
    if "problems" in details:
        return " ".join(details["problems"])
    if "run_number" in details:
        return f"run {details['run_number']} van {details['year']}"
    return ""


def as_csv(lines: Iterable[HistoryLine]) -> bytes:
    """Return records as CSV for a spreadsheet in the Netherlands: UTF-8 with BOM, semicolons, times in Amsterdam.

    Text that a spreadsheet would take for a formula gets an apostrophe; numbers stay numbers.
    """
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";", quoting=csv.QUOTE_MINIMAL, lineterminator="\r\n")
    writer.writerow(CSV_COLUMNS)
    for line in lines:
        moment = line.occurred_at.astimezone(AMSTERDAM).strftime("%d-%m-%Y %H:%M:%S")
        texts = (line.result, line.account or "", line.administration or "", line.details, line.actor, line.event)
        writer.writerow([moment, *map(_inert, texts), line.sequence])
    return ("﻿" + out.getvalue()).encode("utf-8")


def _inert(text: str) -> str:
    flat = " ".join(text.split())
    return f"'{flat}" if flat.startswith(("=", "+", "-", "@")) else flat
