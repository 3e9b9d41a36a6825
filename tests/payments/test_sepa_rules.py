from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings

from app.payments.ports import RemittanceKind
from app.payments.sepa_model import FileContent
from app.payments.sepa_rules import REMEDIES, file_warnings, problems
from tests.payments.sepa_examples import (
    DEBTOR_IBAN,
    bare_line,
    content,
    contents,
    instruction,
    one_line,
    reference_line,
    rich_content,
    transfer,
)

LINE = "/instructions/0/transfers/0"


def _found(file: FileContent) -> list[tuple[str, str]]:
    return [(problem.pointer, problem.code) for problem in problems(file)]


@pytest.mark.parametrize("schema", ["pain.001.001.09", "pain.001.001.03"])
def test_a_good_file_has_no_problems(schema: str):
    """Every kind of line that we write passes."""
    assert problems(rich_content(schema)) == []


@settings(deadline=None, max_examples=50)
@given(contents())
def test_whatever_keeps_the_rules_has_no_problems(file: FileContent):
    """The rules refuse nothing that they describe as good."""
    assert problems(file) == []


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"schema": "pain.001.001.11"}, "/schema", "schema_unknown"),
        ({"message_id": ""}, "/message_id", "id_invalid"),
        ({"message_id": "A" * 36}, "/message_id", "id_invalid"),
        ({"message_id": "A/B"}, "/message_id", "id_invalid"),
        ({"message_id": "A\n"}, "/message_id", "id_invalid"),
        ({"message_id": "NOTPROVIDED"}, "/message_id", "id_placeholder"),
        ({"created_at": datetime(2026, 11, 21, 9)}, "/created_at", "created_at_not_utc"),  # noqa: DTZ001
        (
            {"created_at": datetime(2026, 11, 21, 9, tzinfo=timezone(timedelta(hours=1)))},
            "/created_at",
            "created_at_not_utc",
        ),
        (
            {"requested_execution_date": datetime(2026, 11, 25, 10, tzinfo=UTC)},
            "/requested_execution_date",
            "date_with_time",
        ),
        ({"requested_execution_date": date(2026, 11, 20)}, "/requested_execution_date", "execution_date_past"),
        ({"debtor_name": ""}, "/debtor_name", "empty"),
        ({"debtor_name": "A" * 71}, "/debtor_name", "too_long"),
        ({"debtor_name": "Café"}, "/debtor_name", "character_not_allowed"),
        ({"debtor_name": "./."}, "/debtor_name", "no_letter"),
        ({"debtor_name": " A"}, "/debtor_name", "blank_at_edge"),
        ({"debtor_iban": "NL00INGB0100000001"}, "/debtor_iban", "iban_invalid"),
        ({"debtor_iban": "BR1800360305000010009795493C1"}, "/debtor_iban", "iban_not_sepa"),
        ({"debtor_bic": ""}, "/debtor_bic", "bic_invalid"),
        ({"debtor_bic": "INGBNL2AXX"}, "/debtor_bic", "bic_invalid"),
        ({"instructions": []}, "/instructions", "no_instructions"),
    ],
)
def test_each_rule_on_the_message_names_its_field(changes: dict[str, Any], pointer: str, code: str):
    """One wrong value gives that one problem."""
    assert _found(content(**changes)) == [(pointer, code)]


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"payment_information_id": "A_B"}, "payment_information_id", "id_invalid"),
        ({"category_purpose": "SALX"}, "category_purpose", "category_purpose_unknown"),
        ({"category_purpose": ""}, "category_purpose", "category_purpose_unknown"),
        ({"transfers": []}, "transfers", "no_transfers"),
    ],
)
def test_each_rule_on_an_instruction_names_its_field(changes: dict[str, Any], pointer: str, code: str):
    """One wrong value gives that one problem."""
    second = replace(instruction([bare_line(7), bare_line(8)], n=2), **changes)
    file = content(instructions=[instruction(n=1), second])
    assert _found(file) == [(f"/instructions/1/{pointer}", code)]


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"end_to_end_id": ""}, "end_to_end_id", "id_invalid"),
        ({"end_to_end_id": "/A//B/"}, "end_to_end_id", "id_invalid"),
        ({"end_to_end_id": "A B"}, "end_to_end_id", "id_invalid"),
        ({"end_to_end_id": "A" * 36}, "end_to_end_id", "id_invalid"),
        ({"end_to_end_id": "NOTPROVIDED"}, "end_to_end_id", "id_placeholder"),
        ({"amount_cents": 0}, "amount_cents", "amount_out_of_range"),
        ({"amount_cents": -1}, "amount_cents", "amount_out_of_range"),
        ({"amount_cents": 100_000_000_000}, "amount_cents", "amount_out_of_range"),
        ({"amount_cents": Decimal("100.5")}, "amount_cents", "amount_not_cents"),
        ({"amount_cents": True}, "amount_cents", "amount_not_cents"),
        ({"creditor_name": ""}, "creditor_name", "empty"),
        ({"creditor_name": "A" * 71}, "creditor_name", "too_long"),
        ({"creditor_name": "Jansen & Zn"}, "creditor_name", "character_not_allowed"),
        ({"creditor_name": "Jan\u200bsen"}, "creditor_name", "character_not_allowed"),
        ({"creditor_name": "Jansen "}, "creditor_name", "blank_at_edge"),
        ({"creditor_name": "-"}, "creditor_name", "no_letter"),
        ({"creditor_iban": ""}, "creditor_iban", "iban_invalid"),
        ({"creditor_iban": "NL59ABNA0000000001"}, "creditor_iban", "iban_invalid"),
        ({"creditor_iban": "NL58 ABNA 0000 0000 01"}, "creditor_iban", "iban_invalid"),
        ({"creditor_iban": "BR1800360305000010009795493C1"}, "creditor_iban", "iban_not_sepa"),
        ({"creditor_iban": DEBTOR_IBAN}, "creditor_iban", "creditor_is_debtor"),
        ({"creditor_bic": "abnanl2a"}, "creditor_bic", "bic_invalid"),
        ({"remittance_text": ""}, "remittance_text", "empty"),
        ({"remittance_text": "A" * 141}, "remittance_text", "too_long"),
        ({"remittance_text": "loon\nnovember"}, "remittance_text", "character_not_allowed"),
        ({"remittance_text": " loon"}, "remittance_text", "blank_at_edge"),
        ({"reference_type": "SCOR"}, "reference_type", "reference_with_text"),
        ({"reference_issuer": "CUR"}, "reference_type", "reference_with_text"),
        ({"remittance_kind": RemittanceKind.NONE}, "remittance_text", "text_without_remittance"),
    ],
)
def test_each_rule_on_a_line_names_its_field(changes: dict[str, Any], field: str, code: str):
    """One wrong value gives that one problem, on the line where it is."""
    assert _found(one_line(**changes)) == [(f"{LINE}/{field}", code)]


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"remittance_text": ""}, "remittance_text", "reference_invalid"),
        ({"remittance_text": "5000056789012346"}, "remittance_text", "reference_invalid"),
        ({"remittance_text": "5000 0567 8901 2345"}, "remittance_text", "reference_invalid"),
        ({"remittance_text": "RF18539007547034"}, "remittance_text", "reference_invalid"),
        ({"reference_issuer": "ISO"}, "remittance_text", "reference_invalid"),
        ({"reference_issuer": "BBA"}, "reference_type", "reference_kind_unknown"),
        ({"reference_issuer": None}, "reference_type", "reference_kind_unknown"),
        ({"reference_type": None}, "reference_type", "reference_kind_unknown"),
    ],
)
def test_a_reference_is_of_a_known_kind_and_passes_its_own_check(changes: dict[str, Any], field: str, code: str):
    """A tax office cannot book a payment with a reference that is not its own."""
    file = content(instructions=[instruction([reference_line(1, **changes), transfer(2)])])
    assert _found(file) == [(f"{LINE}/{field}", code)]


def test_ids_stand_once_in_a_file():
    """Banks refuse doubled ids: of lines over the whole file, of instructions."""
    twice = content(instructions=[instruction([transfer(1), transfer(2)]), instruction([transfer(2)])])
    assert _found(twice) == [
        ("/instructions/1/payment_information_id", "id_repeated"),
        ("/instructions/1/transfers/0/end_to_end_id", "id_repeated"),
    ]


def test_ids_of_different_kinds_may_coincide():
    """A line may be called like its instruction: banks compare within one kind."""
    block = instruction([transfer(1, end_to_end_id="BATCH-1-1"), transfer(2)])
    assert problems(content(instructions=[block])) == []


def test_equal_payments_with_ids_of_their_own_are_fine():
    """Two payments that look alike may both be meant."""
    file = content(instructions=[instruction([transfer(1), transfer(1, end_to_end_id="OTHER")])])
    assert problems(file) == []


def test_a_file_is_no_longer_than_a_bank_takes():
    """One line over the limit is refused."""
    line = transfer(1)
    file = content(instructions=[instruction([line] * 100_001)])
    assert ("/instructions", "too_many_transfers") in _found(file)


def test_a_total_fits_in_a_control_sum():
    """Eighteen digits, also when no line is too large for itself."""
    file = content(instructions=[instruction([transfer(1, amount_cents=10**18)])])
    assert ("/instructions", "total_too_large") in _found(file)


def test_an_execution_date_is_judged_by_the_day_in_amsterdam():
    """Just after midnight in Amsterdam the day before is past, although it is still that day in UTC."""
    after_midnight = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)
    assert problems(content(created_at=after_midnight, requested_execution_date=date(2026, 11, 25))) == []
    assert _found(content(created_at=after_midnight, requested_execution_date=date(2026, 11, 24))) == [
        ("/requested_execution_date", "execution_date_past")
    ]


def test_all_problems_come_at_once():
    """Nobody corrects one line only to hear of the next."""
    bad = transfer(1, amount_cents=0, creditor_name="é" * 71, creditor_iban="X", remittance_text="")
    file = content(message_id="", debtor_name="", instructions=[instruction([bad, transfer(2, creditor_bic="X")])])
    assert _found(file) == [
        ("/message_id", "id_invalid"),
        ("/debtor_name", "empty"),
        (f"{LINE}/amount_cents", "amount_out_of_range"),
        (f"{LINE}/creditor_name", "too_long"),
        (f"{LINE}/creditor_name", "character_not_allowed"),
        (f"{LINE}/creditor_iban", "iban_invalid"),
        (f"{LINE}/remittance_text", "empty"),
        ("/instructions/0/transfers/1/creditor_bic", "bic_invalid"),
    ]


def test_no_problem_repeats_a_value():
    """Names and IBANs do not belong in errors; every message says what to do."""
    file = one_line(creditor_name="Geheim & Zoon", creditor_iban="NL00GEHEIM")
    for problem in problems(file):
        assert "GEHEIM" not in f"{problem.message}{problem.pointer}".upper()
        assert problem.message == REMEDIES[problem.code]


def test_single_lines_and_separate_booking_are_warnings():
    """They are allowed, but the payee's name is checked and the amount shows on the statement."""
    single = content(instructions=[instruction([transfer(1)], batch_booking=False)])
    assert problems(single) == []
    assert [(warning.pointer, warning.code) for warning in file_warnings(single)] == [
        ("/instructions", "single_line_file"),
        ("/instructions/0/transfers", "single_line_instruction"),
        ("/instructions/0/batch_booking", "batch_booking_off"),
    ]
    assert file_warnings(content()) == []
