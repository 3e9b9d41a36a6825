"""The rules on lines and batches: values in, written lines and findings out. No database, no clock.

Every rule looks at every line; all findings come at once. Sources: the SEPA credit transfer rulebook and the EPC
customer-to-bank guidelines (character set, lengths, identifiers), ISO 11649 and the Dutch payment reference.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256

from app.core.money import CURRENCY, MAXIMUM_TRANSFER_CENTS
from app.payments import iban as ibans
from app.payments.bank_profiles import DEFAULT_PROFILE, BankProfile
from app.payments.change_findings import Asked, baseline, draft_changes
from app.payments.characters import clean, is_identifier
from app.payments.check_digits import is_creditor_reference, is_dutch_payment_reference
from app.payments.comparing import Comparison
from app.payments.filing import split
from app.payments.findings import CATALOGUE, Draft
from app.payments.models import Severity, TransferKind
from app.payments.ports import RemittanceKind, SourceTransfer
from app.payments.sepa_model import (
    BIC_PATTERN,
    ISSUER_DUTCH,
    ISSUER_ISO,
    MAXIMUM_IDENTIFIER_LENGTH,
    MAXIMUM_NAME_LENGTH,
    MAXIMUM_TEXT_LENGTH,
    REFERENCE_TYPE,
)

# Who is paid from wages but is no employee. It only proposes the kind of a line; unsure means salary.
_THIRD_PARTY = re.compile(
    r"\b(?:gerechtsdeurwaarders?|deurwaarders?(?:kantoor)?|gemeente|lbio|cjib|belastingdienst|incasso(?:bureau)?|"
    r"kredietbank|bewindvoering|bewindvoerder|pensioenfonds|stichting derdengelden)\b",
    re.IGNORECASE,
)
_TEST_RUN = re.compile(r"\b(?:proef\w*|pre[- ]?run|pre|test\w*|concept\w*|pro ?forma)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenLine:
    """A line of the source as it would be written in the file. `creditor` is its part of an obligation's identity."""

    creditor: str
    creditor_name: str
    creditor_iban: str
    creditor_bic: str | None
    remittance_kind: RemittanceKind
    remittance_text: str
    reference_type: str | None
    reference_issuer: str | None
    kind: TransferKind


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleLine:
    """A line of a batch as the rules look at it: as the source gave it and as it will be written."""

    position: int
    status_pays: bool
    hold_code: str | None
    kind: str
    creditor_name: str
    creditor_name_original: str
    creditor_iban: str
    creditor_bic: str | None
    amount_cents: int
    currency: str
    remittance_kind: str
    remittance_text: str
    remittance_text_original: str
    reference_type: str | None
    source_debtor_iban: str | None
    source_creditor_bic: str | None
    source_execution_date: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFacts:
    """What the rules know of the batch beside its lines. `people_in_run` is None when the source would not say.

    `profile` is of the bank that is debited, `batch_booking` what the account asks of it.
    """

    debtor_iban: str
    requested_execution_date: date
    today: date
    run_description: str
    run_is_locked: bool | None
    is_upload: bool
    source_debtor_iban: str | None
    source_execution_date: date | None
    people_in_run: int | None
    people_missing: int
    paid_before_in_period: int
    profile: BankProfile = DEFAULT_PROFILE
    batch_booking: bool = True
    comparison: Comparison | None = None
    own_accounts: frozenset[str] = frozenset()
    is_live: bool = False


def write_line(transfer: SourceTransfer, *, category_purpose: str | None, known_kind: str | None) -> WrittenLine:
    """Return the line as it would be written: IBAN normalised, name and text in SEPA characters, kind proposed."""
    iban = ibans.normalise(transfer.creditor_iban)
    problem = ibans.iban_problem(transfer.creditor_iban)
    usable = problem is None or problem.code == "not_sepa"
    kind = TransferKind(known_kind) if known_kind else propose_kind(transfer.creditor_name, category_purpose)
    name = clean(transfer.creditor_name, maximum=MAXIMUM_NAME_LENGTH).text
    text, remittance_kind = _written_remittance(transfer, kind)
    return WrittenLine(
        creditor=iban if usable else "raw:" + sha256(transfer.creditor_iban.encode()).hexdigest()[:40],
        creditor_name=name,
        creditor_iban=iban,
        creditor_bic=transfer.creditor_bic if _is_bic(transfer.creditor_bic) else None,
        remittance_kind=remittance_kind,
        remittance_text=text,
        reference_type=REFERENCE_TYPE if remittance_kind is RemittanceKind.STRUCTURED else None,
        reference_issuer=_issuer(text) if remittance_kind is RemittanceKind.STRUCTURED else None,
        kind=kind,
    )


def propose_kind(name: str, category_purpose: str | None) -> TransferKind:
    """Propose what a line is, from the purpose that the source gave it and from who is paid."""
    if _THIRD_PARTY.search(name):
        return TransferKind.THIRD_PARTY
    if category_purpose not in (None, "SALA", "BONU"):
        return TransferKind.THIRD_PARTY
    return TransferKind.SALARY


def judge(lines: Sequence[RuleLine], facts: BatchFacts) -> list[Draft]:
    """Return every finding on these lines and this batch, in the order of the lines, batch findings first."""
    names_of_account = _names_of_accounts(lines, facts)
    of_lines: list[Draft] = []
    paying: list[RuleLine] = []
    for line in lines:
        findings = list(_line_findings(line, facts))
        of_lines += [*findings, *_line_remarks(line, names_of_account), *_source_remarks(line, facts)]
        if line.status_pays and not any(CATALOGUE[draft.code].severity is Severity.ERROR for draft in findings):
            paying.append(line)
    kinds = Counter(line.kind for line in paying)
    changes = _changes(lines, paying, facts)
    return [*_source_findings(lines, facts), *_shape_findings(kinds, facts), *changes, *of_lines]


def _names_of_accounts(lines: Sequence[RuleLine], facts: BatchFacts) -> dict[str, set[str]]:
    """Return who is paid on each account that has more than one name on it.

    An account on which all of them were paid before is no news and left out.
    """
    trusted = facts.comparison.trusted if facts.comparison else frozenset()
    news = {line.creditor_iban for line in lines if line.position not in trusted}
    first: dict[str, str] = {}
    names: dict[str, set[str]] = {}
    for line in lines:
        iban, name = line.creditor_iban, line.creditor_name
        if iban in news and first.setdefault(iban, name) != name:
            names.setdefault(iban, {first[iban]}).add(name)
    return names


def _changes(lines: Sequence[RuleLine], paying: Sequence[RuleLine], facts: BatchFacts) -> Iterator[Draft]:
    if facts.comparison is None:
        return
    asked = Asked(
        lines=len(lines),
        paying={line.position: line.creditor_iban for line in paying},
        left_out_third_parties={
            line.position: line.creditor_iban
            for line in lines
            if line.kind == TransferKind.THIRD_PARTY and not line.status_pays and line.hold_code is None
        },
        own_accounts=facts.own_accounts,
    )
    payees = [(line.creditor_name_original, line.creditor_iban) for line in lines if line.hold_code is None]
    yield from baseline(facts.comparison, payees, is_live=facts.is_live)
    yield from draft_changes(facts.comparison, asked)


def _source_findings(lines: Sequence[RuleLine], facts: BatchFacts) -> Iterator[Draft]:
    source = ibans.normalise(facts.source_debtor_iban or "")
    if source and source != facts.debtor_iban:
        # Confirmed is a pair: moved to a third account, or with another one at the source, it is another question.
        accounts = {"accounts": [source, facts.debtor_iban]}
        yield Draft(code="source_account_differs", figures={"account": ibans.mask(source)}, judged=accounts)
    if facts.is_upload:
        yield Draft(code="uploaded")
    if facts.run_is_locked is False:
        yield Draft(code="run_not_locked")
    if _TEST_RUN.search(facts.run_description):
        yield Draft(code="looks_like_a_test")
    if facts.people_in_run is None:
        yield Draft(code="people_not_checked")
    elif facts.people_missing:
        yield Draft(code="people_missing", figures={"of": facts.people_in_run, "missing": facts.people_missing})
    if facts.paid_before_in_period:
        yield Draft(code="partly_paid_period", figures={"count": facts.paid_before_in_period, "of": len(lines)})


def _shape_findings(paying: Counter[str], facts: BatchFacts) -> Iterator[Draft]:
    if (facts.requested_execution_date - facts.today).days > 35:  # noqa: PLR2004 - the figure of the text
        yield Draft(code="date_far_ahead")
    if paying.total() == 1:
        yield Draft(code="one_line")
    elif _leaves_one_alone(paying, facts.profile):
        yield Draft(code="one_line_instruction")
    if not facts.batch_booking and paying:
        yield Draft(code="batch_booking_off")


def _leaves_one_alone(paying: Mapping[str, int], profile: BankProfile) -> bool:
    """Say whether a line stands by itself in its instruction: one of its kind, or the one too many for a full file."""
    instructions = [(kind, range(paying[kind])) for kind in TransferKind if paying[kind]]
    return any(len(rows) == 1 for file in split(instructions, profile) for _, rows in file)


def _line_findings(line: RuleLine, facts: BatchFacts) -> Iterator[Draft]:
    yield from _iban_errors(line, facts)
    if line.currency != CURRENCY:
        yield Draft(
            code="currency_not_eur", position=line.position, field="amount", figures={"currency": line.currency[:3]}
        )
    if line.amount_cents <= 0:
        yield Draft(code="amount_not_positive", position=line.position, field="amount")
    if line.amount_cents > MAXIMUM_TRANSFER_CENTS:
        yield Draft(code="amount_too_large", position=line.position, field="amount")
    yield from _name_errors(line)
    if line.remittance_kind == RemittanceKind.STRUCTURED and not _is_reference(line):
        yield Draft(code="reference_invalid", position=line.position, field="remittance_information")
    elif line.kind == TransferKind.THIRD_PARTY and len(clean(line.remittance_text_original).text) > MAXIMUM_TEXT_LENGTH:
        yield Draft(code="third_party_text_too_long", position=line.position, field="remittance_information")


def _iban_errors(line: RuleLine, facts: BatchFacts) -> Iterator[Draft]:
    problem = ibans.iban_problem(line.creditor_iban)
    if problem is not None:
        code = {"missing": "iban_missing", "not_sepa": "iban_not_sepa"}.get(problem.code, "iban_invalid")
        figures = {"why_en": problem.english, "why_nl": problem.dutch}
        yield Draft(code=code, position=line.position, field="creditor.iban", figures=figures)
    elif line.creditor_iban == facts.debtor_iban:
        yield Draft(code="creditor_is_debtor_account", position=line.position, field="creditor.iban")
    source = line.source_debtor_iban
    if source and facts.source_debtor_iban and ibans.normalise(source) != ibans.normalise(facts.source_debtor_iban):
        yield Draft(
            code="other_debtor_account",
            position=line.position,
            field="debtor_account",
            figures={"account": ibans.mask(source)},
        )


def _name_errors(line: RuleLine) -> Iterator[Draft]:
    cleaned = clean(line.creditor_name_original, maximum=MAXIMUM_NAME_LENGTH)
    if not cleaned.kept:
        yield Draft(code="name_empty", position=line.position, field="creditor.name")
    elif cleaned.lost and cleaned.lost * 2 >= cleaned.kept:
        figures = {"lost": cleaned.lost}
        yield Draft(code="name_lost_letters", position=line.position, field="creditor.name", figures=figures)
    elif cleaned.cut:
        yield Draft(code="name_shortened", position=line.position, field="creditor.name")
    elif cleaned.changed:
        yield Draft(code="name_changed", position=line.position, field="creditor.name")


def _line_remarks(line: RuleLine, names_of_account: Mapping[str, set[str]]) -> Iterator[Draft]:
    if line.hold_code is not None and line.hold_code in CATALOGUE:
        yield Draft(code=line.hold_code, position=line.position)
    yield from _text_remarks(line)
    if line.kind == TransferKind.THIRD_PARTY and _THIRD_PARTY.search(line.creditor_name_original):
        yield Draft(code="third_party_proposed", position=line.position, field="kind")
    names = names_of_account.get(line.creditor_iban)
    if names:
        figures = {"count": len(names)}
        yield Draft(code="iban_shared", position=line.position, field="creditor.iban", figures=figures)
    if ibans.iban_problem(line.creditor_iban) is None and ibans.known_bank(line.creditor_iban) is False:
        yield Draft(code="bank_unknown", position=line.position, field="creditor.iban")


def _source_remarks(line: RuleLine, facts: BatchFacts) -> Iterator[Draft]:
    if line.source_creditor_bic and line.creditor_bic is None:
        yield Draft(code="bic_dropped", position=line.position, field="creditor.bic")
    day = line.source_execution_date
    if day is not None and facts.source_execution_date is not None and day != facts.source_execution_date:
        figures = {"date": day.isoformat()}
        yield Draft(code="other_execution_date", position=line.position, figures=figures)


def _text_remarks(line: RuleLine) -> Iterator[Draft]:
    if line.remittance_kind != RemittanceKind.UNSTRUCTURED:
        return
    cleaned = clean(line.remittance_text_original, maximum=MAXIMUM_TEXT_LENGTH)
    if line.kind == TransferKind.THIRD_PARTY and cleaned.changed and not cleaned.cut:
        code = "third_party_text_changed"
    elif line.kind != TransferKind.THIRD_PARTY and cleaned.cut:
        code = "text_shortened"
    elif line.kind != TransferKind.THIRD_PARTY and cleaned.changed:
        code = "text_changed"
    else:
        return
    figures = {"maximum": MAXIMUM_TEXT_LENGTH}
    yield Draft(code=code, position=line.position, field="remittance_information", figures=figures)


def _written_remittance(transfer: SourceTransfer, kind: TransferKind) -> tuple[str, RemittanceKind]:
    if transfer.remittance_kind is RemittanceKind.STRUCTURED:
        return transfer.remittance_text.strip(), RemittanceKind.STRUCTURED
    text = written_text(transfer.remittance_text, kind)
    return text, RemittanceKind.UNSTRUCTURED if text else RemittanceKind.NONE


def written_text(original: str, kind: TransferKind) -> str:
    """Return a remittance text as it would be written. A third party's is never cut: a long one is refused instead."""
    return clean(original, maximum=None if kind is TransferKind.THIRD_PARTY else MAXIMUM_TEXT_LENGTH).text


def _is_bic(bic: str | None) -> bool:
    return bic is not None and BIC_PATTERN.fullmatch(bic) is not None


def _is_reference(line: RuleLine) -> bool:
    reference = line.remittance_text
    if len(reference) > MAXIMUM_IDENTIFIER_LENGTH or not is_identifier(reference):
        return False
    return (
        is_creditor_reference(reference) if _issuer(reference) == ISSUER_ISO else is_dutch_payment_reference(reference)
    )


def _issuer(reference: str) -> str:
    return ISSUER_ISO if reference.upper().startswith("RF") else ISSUER_DUTCH
