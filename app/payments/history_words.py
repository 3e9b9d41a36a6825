"""The details of a history record in Dutch, for the events that need more than a reason. Pure.

Every function takes the details as they were recorded, by this version or an older one: nothing has to be there.
No names of payees, no accounts and no amounts of lines: whoever may read the history may read this.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from app.core.clock import AMSTERDAM
from app.core.money import dutch

Details = Mapping[str, Any]

PROPOSALS: Mapping[str, str] = {
    "file_withdrawal": "bestand intrekken dat niet bij de bank is",
    "statement": "verklaring over wat de bank deed",
    "line_return": "betaling is teruggekomen",
    "line_release": "aangehouden regel vrijgeven",
    "hold_lifting": "blokkade opheffen",
    "approval_policy": "aantal goedkeurders wijzigen",
    "link_change": "koppeling van de administratie wijzigen",
    "account_resumed": "opgeschorte betaalrekening weer bevestigen",
    "member_added": "gebruiker toevoegen",
    "member_removed": "gebruiker verwijderen",
    "retention": "bewaartermijnen inkorten",
}
# What frees money: a day of waiting is only ever given to a firm of one person.
FREES_MONEY = frozenset({"file_withdrawal", "statement", "line_return", "line_release", "hold_lifting"})
ATTENTION: Mapping[str, str] = {
    "delivery_unknown": "onzeker of de bank het bestand heeft: zoek het bij de bank op",
    "nobody_can_approve": "niemand kan goedkeuren: er is geen goedkeurder met een pincode",
    "approve_today": "vandaag goedkeuren om op tijd te betalen",
    "file_not_handed_out": "het bestand is nog niet opgehaald",
    "handed_out_no_word": "opgehaald, maar niet gemeld of het bij de bank is",
    "no_word_after_execution_date": "de uitvoerdatum is voorbij en niemand meldde of het bestand bij de bank is",
    "no_proof": "aangeleverd, maar de bank heeft nog niets laten weten",
    "awaits_bank_signature": "wacht op een handtekening bij de bank",
    "bank_contradicts": "de bank spreekt zichzelf tegen, of wat hier bekend is: zoek bij de bank uit wat waar is",
}
STAGES: Mapping[str, str] = {
    "none": "nog niets gemeld",
    "received": "ontvangen",
    "accepted": "geaccepteerd",
    "settled": "uitgevoerd",
    "rejected": "afgekeurd",
    "contradiction": "tegenstrijdig",
}
# What a report says of the file that may mean that another file lies at the bank.
_NOT_OURS: Mapping[str, str] = {
    "account": "een andere rekening",
    "amount": "een ander bedrag",
    "count": "een ander aantal",
    "sum": "een ander totaal",
}
MISSING: Mapping[str, str] = {
    "more_approvals": "er is nog een goedkeuring nodig",
    "approval_by_a_person": "er is een goedkeuring door een persoon nodig",
    "another_person_than_the_editor": "er is iemand anders nodig dan wie de batch wijzigde",
}


def more_of(event: str, details: Details) -> str:
    """Return what a person wants to know of this event beside count and total; empty when there is nothing to add."""
    words = _WORDS.get(event)
    return "" if words is None else "; ".join(part for part in words(details) if part)


def _day(text: str | None) -> str:
    return f"{date.fromisoformat(text):%d-%m-%Y}" if text else ""


def _moment(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone(AMSTERDAM):%d-%m-%Y %H:%M}"


def _reason(details: Details) -> str:
    reason, code = details.get("reason") or "", details.get("reason_code")
    return f"{reason} ({code})" if code else reason


def _file(details: Details) -> str:
    return f"bestand {details['file']}" if details.get("file") else ""


def _line(details: Details) -> str:
    return f"regel {details['position']}" if details.get("position") else ""


def _lines(count: Any) -> str:
    return f"{count} {'regel' if count == 1 else 'regels'}" if isinstance(count, int) else ""


def _proposal(details: Details) -> list[str]:
    kind = details.get("kind", "")
    return [PROPOSALS.get(kind, kind), _reason(details)]


def _proposal_made(details: Details) -> list[str]:
    waits = "wacht op een tweede persoon"
    if until := details.get("waits_until"):
        alone = ", omdat er maar één persoon is" if details.get("kind") in FREES_MONEY else ""
        waits += f", of tot {_moment(until)}{alone}"
    return [*_proposal(details), waits]


def _proposal_waited(details: Details) -> list[str]:
    alone = details.get("kind") in FREES_MONEY
    return [*_proposal(details), "er was maar één persoon" if alone else "na een dag wachten, zonder tweede persoon"]


def _approval(details: Details) -> list[str]:
    given, required = details.get("given"), details.get("required")
    counted = f"{given} van {required} goedkeuringen" if given and required and max(given, required) > 1 else ""
    alone = "bedrijf met één goedkeurder" if details.get("one_person_firm") else ""
    return [counted, *(MISSING.get(code, code) for code in details.get("missing", ())), alone]


def _bank_reported(details: Details) -> list[str]:
    lines = details.get("lines") or {}
    heard = ", ".join(f"{count} {STAGES.get(stage, stage)}" for stage, count in lines.items())
    against = details.get("contradictions")
    other = [_NOT_OURS[each] for each in details.get("disagreements") or [] if each in _NOT_OURS]
    return [
        _file(details),
        heard,
        f"{_lines(against)} tegenstrijdig: zoek dit uit bij de bank" if against else "",
        f"de bank noemt {', '.join(other)}: is dit wel het bestand dat is goedgekeurd?" if other else "",
    ]


def _bank_said(details: Details) -> list[str]:
    by = {"one_person": "", "two_people": "door twee personen", "channel": "door de bank zelf"}
    return [_file(details), _lines(details.get("lines")), _reason(details), by.get(details.get("by", ""), "")]


def _of_line(details: Details) -> list[str]:
    return [_line(details), _reason(details)]


def _released(details: Details) -> list[str]:
    how = "vervangt een andere regel" if details.get("replaces") else "komt erbij"
    return [_line(details), how, _reason(details)]


def _attention(details: Details) -> list[str]:
    return [ATTENTION.get(code, code) for code in details.get("codes", ())]


def _expiry_warned(details: Details) -> list[str]:
    return [f"waarschuwing {details.get('warning', '')}", f"verloopt op {_day(details.get('expires_on'))}"]


def _date_changed(details: Details) -> list[str]:
    return [f"uitvoerdatum {_day(details.get('requested_execution_date'))} in plaats van {_day(details.get('was'))}"]


def _revealed(details: Details) -> list[str]:
    ends = details.get("ends_at")
    return [_reason(details), f"tot {_moment(ends)}" if ends else ""]


def _terms(details: Details) -> list[str]:
    lines, sources = details.get("lines_months"), details.get("sources_months")
    return [f"regels {lines} maanden", f"antwoorden van de bron {sources} maanden"] if lines and sources else []


def _erased_run(details: Details) -> list[str]:
    return [f"run {details.get('run_number', '')} van {details.get('year', '')}", _lines(details.get("lines"))]


def _count(details: Details) -> list[str]:
    return [f"{details.get('count', 0)} stuks"]


def _withdrawn(details: Details) -> list[str]:
    return [_file(details), _reason(details)]


def _handed_out(details: Details) -> list[str]:
    return ["" if details.get("first", True) else "opnieuw", _reason(details)]


def _follow_up(details: Details) -> list[str]:
    return [f"{_lines(details.get('lines'))} van de niet-betaald-lijst"]


def _tiers(details: Details) -> list[str]:
    return [f"vanaf {dutch(tier['from_cents'])}: {tier['required']}" for tier in details.get("tiers", ())]


def _member(details: Details) -> list[str]:
    ends_on = details.get("ends_on")
    return [details.get("name", ""), details.get("role", ""), f"tot en met {_day(ends_on)}" if ends_on else ""]


def _token(details: Details) -> list[str]:
    program = "voor een programma" if details.get("is_unattended") else ""
    return [details.get("name", ""), ", ".join(details.get("scopes", ())), program]


def _sealed(details: Details) -> list[str]:
    return [f"{details.get('count', 0)} regels, tot en met nummer {details.get('sequence', 0)}"]


_WORDS: Mapping[str, Callable[[Details], list[str]]] = {
    "history.sealed": _sealed,
    "proposal.made": _proposal_made,
    "proposal.confirmed": _proposal,
    "proposal.waited": _proposal_waited,
    "proposal.withdrawn": _proposal,
    "proposal.expired": _proposal,
    "batch.approval_given": _approval,
    "batch.approved": _approval,
    "batch.attention": _attention,
    "batch.expiry_warned": _expiry_warned,
    "batch.follow_up_made": _follow_up,
    "batch.line_decided": _of_line,
    "batch.line_released": _released,
    "batch.reissued": _date_changed,
    "batch.revealed": _revealed,
    "retention.set": _terms,
    "run.erased": _erased_run,
    "source.erased": _count,
    "webhook.erased": _count,
    "bank.reported": _bank_reported,
    "bank.accepted": _bank_said,
    "bank.executed": _bank_said,
    "bank.refused": _bank_said,
    "bank.not_executed": _bank_said,
    "bank.returned": _of_line,
    "line.paid_elsewhere": _of_line,
    "line.waived": _of_line,
    "file.withdrawn": _withdrawn,
    "file.handed_out": _handed_out,
    "policy.set": _tiers,
    "member.added": _member,
    "member.removed": _member,
    "token.issued": _token,
    "token.rotated": _token,
    "keys.rotated": lambda details: [f"sleutel {details.get('key_id', '')}"],
}
