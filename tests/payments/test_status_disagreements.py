import pytest

from app.payments.status_reports import read_status_report
from app.payments.status_resolution import Disagreement, DisagreementKind
from app.payments.status_resolving import resolve
from tests.payments.status_report_samples import FLAVOURS, Block, Line, Report

FILE = {"PMT-1": ["E2E-1", "E2E-2"], "PMT-2": ["E2E-3"]}
AMOUNTS_CENTS = {"E2E-1": 344_808, "E2E-2": 261_100, "E2E-3": 1}
ACCOUNTS = {"E2E-1": "NL42INGB2268352412", "E2E-2": "NL52ABNA7650143244", "E2E-3": "NL57ABNA7134384551"}


def _found(report: Report) -> list[Disagreement]:
    read = read_status_report(report.bytes())
    resolved = resolve(read, FILE, message_id="MSG-2026-04", amounts_cents=AMOUNTS_CENTS, accounts=ACCOUNTS)
    return list(resolved.disagreements)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_report_that_fits_has_no_disagreements(flavour: str):
    """What banks usually send raises no alarm."""
    assert _found(FLAVOURS[flavour]) == []


@pytest.mark.parametrize("count", ["2", "4", "0", "3.0", "three", "-3"])
def test_another_number_of_payments_in_the_file_is_told(count: str):
    """A number that cannot be read is told too: taking it for absent would switch the check off."""
    assert _found(Report(status="ACSP", count=count)) == [
        Disagreement(kind=DisagreementKind.COUNT, stated=count, known="3")
    ]


@pytest.mark.parametrize("total", ["6059.08", "6059.10", "0", "x", "6059.095"])
def test_another_sum_of_the_file_is_told(total: str):
    """To the cent."""
    assert _found(Report(status="ACSP", total=total)) == [
        Disagreement(kind=DisagreementKind.SUM, stated=total, known="6059.09")
    ]


@pytest.mark.parametrize("total", ["6059.09", "6059.0900", "+6059.09"])
def test_a_sum_is_compared_as_a_number(total: str):
    """Banks write zeros at the end."""
    assert _found(Report(status="ACSP", total=total)) == []


def test_other_totals_of_an_instruction_are_told_with_its_id():
    """Of an instruction of two lines the bank read one."""
    report = Report(blocks=(Block(status="ACSP", count="1", total="3448.08"),))
    assert _found(report) == [
        Disagreement(kind=DisagreementKind.COUNT, payment_information_id="PMT-1", stated="1", known="2"),
        Disagreement(kind=DisagreementKind.SUM, payment_information_id="PMT-1", stated="3448.08", known="6059.08"),
    ]


def test_without_amounts_nothing_is_said_of_sums():
    """Only what is known is compared."""
    report = read_status_report(Report(status="ACSP", total="1.00").bytes())
    assert resolve(report, FILE).disagreements == ()


@pytest.mark.parametrize(("amount", "currency"), [("2611.01", "EUR"), ("2611.00", "USD"), ("2611.005", "EUR")])
def test_another_amount_of_a_line_is_told(amount: str, currency: str):
    """A bank that speaks of another amount may speak of another payment."""
    line = Line(end_to_end_id="E2E-2", status="ACSP", amount=amount, currency=currency)
    assert _found(Report(blocks=(Block(lines=(line,)),))) == [
        Disagreement(
            kind=DisagreementKind.AMOUNT,
            payment_information_id="PMT-1",
            end_to_end_id="E2E-2",
            stated=f"{currency} {amount}",
            known="EUR 2611.00",
        )
    ]


@pytest.mark.parametrize(
    ("iban", "told"),
    [
        ("NL42INGB2268352412", True),
        ("nl42 ingb 2268 3524 12", True),
        ("NL52ABNA7650143244", False),
        ("nl52 abna 7650 1432 44", False),
        ("NL52ABNAXXXXXX3244", False),
        ("", False),
    ],
)
def test_another_account_of_a_line_is_told(iban: str, told: bool):
    """Who edited the file on its way changed an account and kept the ids: the bank's own report shows it."""
    line = Line(end_to_end_id="E2E-2", status="ACSP", iban=iban)
    expected = Disagreement(
        kind=DisagreementKind.ACCOUNT,
        payment_information_id="PMT-1",
        end_to_end_id="E2E-2",
        stated="NL42 **** **** **24 12",
        known="NL52 **** **** **32 44",
    )
    assert _found(Report(blocks=(Block(lines=(line,)),))) == ([expected] if told else [])


@pytest.mark.parametrize(("counted", "told"), [("1", False), ("2", True), ("many", True), ("", True)])
def test_more_rejections_counted_than_given_are_told(counted: str, told: bool):
    """A rejection that is counted and not named would leave somebody unpaid unseen."""
    block = Block(status="PART", lines=(Line(status="RJCT"),), counts=(("RJCT", counted), ("ACSP", "9")))
    expected = [
        Disagreement(
            kind=DisagreementKind.REJECTIONS_NOT_NAMED, payment_information_id="PMT-1", stated=counted, known="1"
        )
    ]
    assert _found(Report(blocks=(block,))) == (expected if told else [])


def test_a_rejected_file_with_an_accepted_instruction_is_told():
    """The instruction holds over the file, and a person sees it."""
    report = Report(status="RJCT", blocks=(Block(id="PMT-2", status="ACSP"),))
    assert _found(report) == [
        Disagreement(kind=DisagreementKind.REJECTION_OVERRIDDEN, payment_information_id="PMT-2", stated="ACSP")
    ]


def test_a_rejected_instruction_with_an_accepted_line_is_told():
    """The line holds over the instruction, and a person sees it."""
    report = Report(blocks=(Block(status="RJCT", lines=(Line(status="ACCP"),)),))
    assert _found(report) == [
        Disagreement(
            kind=DisagreementKind.REJECTION_OVERRIDDEN,
            payment_information_id="PMT-1",
            end_to_end_id="E2E-1",
            stated="ACCP",
        )
    ]


@pytest.mark.parametrize(
    "report",
    [
        Report(status="RJCT", blocks=(Block(status="RJCT", lines=(Line(status="RJCT"),)),)),
        Report(status="RJCT", blocks=(Block(lines=(Line(status="CANC"),)),)),
        Report(status="RJCT", blocks=(Block(lines=(Line(status="RVNM"),)),)),
        Report(blocks=(Block(status="PART", lines=(Line(status="RJCT"), Line(end_to_end_id="E2E-2", status="ACSP"))),)),
    ],
)
def test_levels_that_agree_raise_no_alarm(report: Report):
    """A rejected line in a rejected instruction in a rejected file is one rejection."""
    assert _found(report) == []


@pytest.mark.parametrize(("other", "codes"), [("ACSP", "ACSP, RJCT"), ("CANC", "CANC, RJCT")])
def test_an_instruction_in_differing_blocks_is_told_once(other: str, codes: str):
    """The rejection of another block is not above the lines of this one."""
    report = Report(blocks=(Block(status=other, lines=(Line(status="ACSP"),)), Block(status="RJCT")))
    told = [each for each in _found(report) if each.kind is DisagreementKind.STATEMENTS_DIFFER]
    assert told == [Disagreement(kind=DisagreementKind.STATEMENTS_DIFFER, payment_information_id="PMT-1", stated=codes)]
    overridden = [each.end_to_end_id for each in _found(report) if each.kind is DisagreementKind.REJECTION_OVERRIDDEN]
    assert overridden == (["E2E-1"] if other == "CANC" else [])


def test_a_line_that_is_named_without_anything_said_of_it_is_told():
    """Under PART a bank names lines to say something; here it did not say what."""
    report = Report(status="PART", blocks=(Block(status="PART", lines=(Line(),)),))
    assert _found(report) == [
        Disagreement(kind=DisagreementKind.STATUS_MISSING, payment_information_id="PMT-1", end_to_end_id="E2E-1")
    ]


def test_a_report_that_names_no_file_is_told_and_its_totals_are_not_compared():
    """Totals of another file prove nothing about this one."""
    report = Report(original_message_id="", status="RJCT", count="9")
    assert _found(report) == [Disagreement(kind=DisagreementKind.MESSAGE_ID, known="MSG-2026-04")]
