"""The rules on lines and batches: each finding for an input that deserves it, and none for a good one."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from app.payments import rules
from app.payments.bank_profiles import DEFAULT_PROFILE
from app.payments.findings import CATALOGUE, text_of
from app.payments.models import TransferKind
from app.payments.ports import RemittanceKind, SourceTransfer
from app.payments.rules import BatchFacts, RuleLine, judge, propose_kind, write_line
from tests.payments.change_cases import CHANGES
from tests.payments.payments_of import dutch_iban

DEBTOR = "NL91ABNA0417164300"


def line(**changes: Any) -> RuleLine:
    """Return a good line, changed."""
    values: dict[str, Any] = {
        "position": 1,
        "status_pays": True,
        "hold_code": None,
        "kind": "salary",
        "creditor_name": "Medewerker A",
        "creditor_name_original": "Medewerker A",
        "creditor_iban": "NL42INGB2268352412",
        "creditor_bic": None,
        "amount_cents": 250_000,
        "currency": "EUR",
        "remittance_kind": "unstructured",
        "remittance_text": "Salaris november 2026",
        "remittance_text_original": "Salaris november 2026",
        "reference_type": None,
        "source_debtor_iban": DEBTOR,
        "source_creditor_bic": None,
        "source_execution_date": date(2026, 11, 25),
    }
    return RuleLine(**{**values, **changes})


def facts(**changes: Any) -> BatchFacts:
    """Return the facts of an ordinary batch, changed."""
    values: dict[str, Any] = {
        "debtor_iban": DEBTOR,
        "requested_execution_date": date(2026, 11, 25),
        "today": date(2026, 11, 18),
        "run_description": "Salaris november 2026",
        "run_is_locked": True,
        "is_upload": False,
        "source_debtor_iban": DEBTOR,
        "source_execution_date": date(2026, 11, 25),
        "people_in_run": 2,
        "people_missing": 0,
        "paid_before_in_period": 0,
    }
    return BatchFacts(**{**values, **changes})


SECOND = line(position=2, creditor_iban="NL52ABNA7650143244", creditor_name="Medewerker B")
LONG = "x" * 141
_TO_BAILIFF = {"kind": "third_party", "creditor_name": "Bakker", "creditor_name_original": "Bakker"}

LINE_FINDINGS: list[tuple[str, dict[str, Any]]] = [
    ("iban_missing", {"creditor_iban": ""}),
    ("iban_invalid", {"creditor_iban": "NL42INGB2268352413"}),
    ("iban_not_sepa", {"creditor_iban": "TR330006100519786457841326"}),
    ("currency_not_eur", {"currency": "USD"}),
    ("amount_not_positive", {"amount_cents": 0}),
    ("amount_not_positive", {"amount_cents": -1}),
    ("amount_too_large", {"amount_cents": 100_000_000_000}),
    ("name_empty", {"creditor_name": "", "creditor_name_original": "."}),
    ("name_lost_letters", {"creditor_name": "Li", "creditor_name_original": "Li 王小明"}),
    ("name_lost_letters", {"creditor_name": "L.", "creditor_name_original": "王 L."}),
    ("creditor_is_debtor_account", {"creditor_iban": DEBTOR}),
    ("other_debtor_account", {"source_debtor_iban": "NL39RABO0300065264"}),
    ("reference_invalid", {"remittance_kind": "structured", "remittance_text": "RF00123"}),
    ("reference_invalid", {"remittance_kind": "structured", "remittance_text": "/12"}),
    ("third_party_text_too_long", {**_TO_BAILIFF, "remittance_text": LONG, "remittance_text_original": LONG}),
    ("name_changed", {"creditor_name_original": "Renée"}),
    ("name_shortened", {"creditor_name_original": "A" * 71}),
    ("text_changed", {"remittance_text_original": "Salaris é"}),
    ("text_shortened", {"remittance_text_original": LONG}),
    ("third_party_text_changed", {**_TO_BAILIFF, "remittance_text_original": "Dossier № 12"}),
    ("bank_unknown", {"creditor_iban": "NL51ZZZZ0123456789"}),
    ("iban_shared", {"creditor_iban": "NL52ABNA7650143244"}),
    ("third_party_proposed", {"kind": "third_party", "creditor_name_original": "Gerechtsdeurwaarder Jansen"}),
    ("possibly_already_paid", {"hold_code": "possibly_already_paid"}),
    ("run_changed_after_approval", {"hold_code": "run_changed_after_approval"}),
    ("gone_at_source", {"hold_code": "gone_at_source"}),
    ("bic_dropped", {"source_creditor_bic": "INGB"}),
    ("other_execution_date", {"source_execution_date": date(2026, 11, 26)}),
]
BATCH_FINDINGS: list[tuple[str, dict[str, Any]]] = [
    ("source_account_differs", {"source_debtor_iban": "NL39RABO0300065264"}),
    ("uploaded", {"is_upload": True}),
    ("run_not_locked", {"run_is_locked": False}),
    ("looks_like_a_test", {"run_description": "Proefrun november"}),
    ("looks_like_a_test", {"run_description": "pro forma"}),
    ("people_not_checked", {"people_in_run": None}),
    ("people_missing", {"people_in_run": 9, "people_missing": 7}),
    ("partly_paid_period", {"paid_before_in_period": 2}),
    ("date_far_ahead", {"requested_execution_date": date(2026, 12, 24)}),
    ("batch_booking_off", {"batch_booking": False}),
]


def _codes(lines: list[RuleLine], of: BatchFacts) -> set[str]:
    return {draft.code for draft in judge(lines, of)}


def test_a_good_batch_has_no_findings() -> None:
    """Two good lines of an ordinary run: nothing to say."""
    assert _codes([line(), SECOND], facts()) == set()


@pytest.mark.parametrize(("code", "changes"), LINE_FINDINGS)
def test_a_line_gets_the_finding_it_deserves(code: str, changes: dict[str, Any]) -> None:
    """Each defect is found on its own line and on no other, with the field where there is one."""
    found = [draft for draft in judge([line(**changes), SECOND], facts()) if draft.code == code]

    assert 1 in [draft.position for draft in found]
    assert all(draft.position == 1 for draft in found) or code == "iban_shared"


@pytest.mark.parametrize(("code", "changes"), BATCH_FINDINGS)
def test_a_batch_gets_the_finding_it_deserves(code: str, changes: dict[str, Any]) -> None:
    """Each remark on a run stands on the batch as a whole."""
    drafts = [draft for draft in judge([line(), SECOND], facts(**changes)) if draft.code == code]

    assert [draft.position for draft in drafts] == [None]


def test_one_line_that_pays_is_said() -> None:
    """A file of one line, and a part of a file of one line, are told; an invalid line does not count."""
    bad = line(position=2, creditor_iban="NL52ABNA7650143245")

    assert "one_line" in _codes([line(), bad], facts())
    bailiff = line(position=3, kind="third_party", creditor_iban="NL57ABNA7134384551")
    assert "one_line_instruction" in _codes([line(), SECOND, bailiff], facts())


@pytest.mark.parametrize(("count", "codes"), [(4, set()), (5, {"one_line_instruction"})])
def test_the_one_line_too_many_for_a_full_file_is_said(count: int, codes: set[str]) -> None:
    """Five lines at a bank that takes two: the last file holds one salary, which its statement shows."""
    small = replace(DEFAULT_PROFILE, maximum_transactions_per_file=2, maximum_transactions_per_instruction=2)
    lines = [line(position=n, creditor_iban=dutch_iban(n)) for n in range(1, count + 1)]

    assert _codes(lines, facts(profile=small)) - {"iban_shared"} == codes


def test_every_code_of_the_catalogue_is_tested_or_said_where() -> None:
    """No finding exists that no test asks for."""
    asked = {code for code, _ in [*LINE_FINDINGS, *BATCH_FINDINGS]} | {"one_line", "one_line_instruction"}
    asked |= {code for code, _, _ in CHANGES}

    assert set(CATALOGUE) == asked


@pytest.mark.parametrize(("code", "changes"), [*LINE_FINDINGS, *BATCH_FINDINGS])
def test_every_finding_reads_as_a_sentence_in_both_languages(code: str, changes: dict[str, Any]) -> None:
    """Figures are filled in, and each text ends as a sentence and says what to do."""
    is_of_batch = (code, changes) in BATCH_FINDINGS
    lines = [line(), SECOND] if is_of_batch else [line(**changes), SECOND]
    of = facts(**changes) if is_of_batch else facts()
    draft = next(draft for draft in judge(lines, of) if draft.code == code)

    for text in text_of(code, draft.figures):
        assert text[-1] in ".:!", text
        assert "{" not in text


def _source(**changes: Any) -> SourceTransfer:
    values: dict[str, Any] = {
        "position": 1,
        "end_to_end_id": "E",
        "amount_cents": 1,
        "amount_text": "0.01",
        "currency": "EUR",
        "creditor_name": "Renée  de Wit",
        "creditor_iban": "nl42 ingb 2268 3524 12",
        "creditor_bic": "INGBNL2A",
        "remittance_kind": RemittanceKind.UNSTRUCTURED,
        "remittance_text": "Salaris\tnovember",
    }
    return SourceTransfer(**{**values, **changes})


def test_a_line_is_written_in_sepa_characters() -> None:
    """IBAN normalised, name and text in the SEPA set; the IBAN is the line's part of the obligation."""
    written = write_line(_source(), category_purpose="SALA", known_kind=None)

    assert written.creditor_iban == written.creditor == "NL42INGB2268352412"
    assert (written.creditor_name, written.remittance_text) == ("Renee de Wit", "Salaris november")
    assert (written.creditor_bic, written.kind) == ("INGBNL2A", TransferKind.SALARY)


def test_a_line_without_a_usable_iban_keeps_a_hash_in_its_place() -> None:
    """Two different unusable accounts stay two obligations, and no raw text is kept as identity."""
    first, second = (
        write_line(_source(creditor_iban=text), category_purpose=None, known_kind=None).creditor
        for text in ("P 1234", "P 1235")
    )

    assert first.startswith("raw:")
    assert first != second


@pytest.mark.parametrize(
    ("name", "purpose", "kind"),
    [
        ("Jansen, A.", "SALA", TransferKind.SALARY),
        ("Jansen, A.", None, TransferKind.SALARY),
        ("Gerechtsdeurwaarders Groot", "SALA", TransferKind.THIRD_PARTY),
        ("Gemeente Utrecht", None, TransferKind.THIRD_PARTY),
        ("Jansen, A.", "TAXS", TransferKind.THIRD_PARTY),
        ("Gemeentester, B.", "SALA", TransferKind.SALARY),
    ],
)
def test_the_kind_of_a_line_is_proposed(name: str, purpose: str | None, kind: TransferKind) -> None:
    """Bailiffs, municipalities and other purposes are third parties; unsure means salary."""
    assert propose_kind(name, purpose) is kind


def test_a_third_partys_text_is_never_cut() -> None:
    """A salary's text is cut at 140; a third party's is kept whole, so that the rule can refuse it."""
    assert len(rules.written_text(LONG, TransferKind.SALARY)) == 140
    assert len(rules.written_text(LONG, TransferKind.THIRD_PARTY)) == 141
