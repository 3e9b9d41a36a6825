import pytest

from app.core import http
from app.nmbrs import faults, operations
from app.payments.errors import FaultKind


def vendor(message: str, *, is_our_request: bool = False):
    """Sort a fault text."""
    return faults.vendor_fault(message, is_our_request=is_our_request, operation=operations.RUNS, subject="company 5")


@pytest.mark.parametrize(
    "message",
    [
        "Server was unable to process request. ---> 1002: Unauthorized access",
        "Server was unable to process request. --->1002:Unauthorized",
        "System.Web.Services.Protocols.SoapException: x ---> System.Exception: y 20 ---> 1002 : no\n   at Nmbrs.Api()",
        "1002: Unauthorized access",
        "Serverfout. ---> 1002: Geen toegang",
    ],
)
def test_the_number_is_found_in_any_language(message: str):
    """Only the number counts: the words follow the language of the user."""
    assert vendor(message).code == "right_missing"


@pytest.mark.parametrize("message", ["", "at 10:1002: x", "error 1002", "---> 10020: x", "---> 102: x", "---> abcd: x"])
def test_other_figures_are_no_number(message: str):
    """Times, line numbers and other figures in a fault are not taken for one of the vendor's numbers."""
    fault = vendor(message)
    assert (fault.kind, fault.code, fault.vendor_code) == (FaultKind.WAIT, "source_answer_unusable", None)


@pytest.mark.parametrize(
    ("error", "kind", "code", "is_passing"),
    [
        (http.HttpTimeout("x"), FaultKind.WAIT, "source_timeout", False),
        (http.HttpUnreachable("x"), FaultKind.WAIT, "source_unreachable", True),
        (http.AnswerBroken("x"), FaultKind.WAIT, "source_answer_unusable", True),
        (http.AnswerTooLarge("x"), FaultKind.OURS, "answer_too_large", False),
        (http.HttpRefused("x"), FaultKind.OURS, "source_unreachable", False),
        (http.HttpError("x"), FaultKind.WAIT, "source_unreachable", False),
    ],
)
def test_each_way_of_getting_no_answer_is_sorted(error: http.HttpError, kind: FaultKind, code: str, is_passing: bool):
    """What ends by itself waits; what is our limit or setting is ours; only lost connections are worth another try."""
    fault = faults.http_fault(error, operations.RUNS)
    assert (fault.kind, fault.code, isinstance(fault, faults.PassingFault)) == (kind, code, is_passing)


def test_a_missing_right_names_the_exact_call():
    """People switch on what is named, letter by letter."""
    assert vendor("---> 1002: x").explanation.startswith("Switch on CompanyService.Run_GetList in the API part")


def test_invisible_data_names_what_was_asked_about():
    """A tag or filter is put right for one company, which therefore is named."""
    assert "company 5" in vendor("---> 1003: x").explanation
    assert "tag" in vendor("---> 1003: x").explanation
