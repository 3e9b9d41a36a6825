import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from app.nmbrs import mapping, operations
from app.nmbrs.operations import NotUnderstood, Record

RUN: Record = {
    "ID": 5501,
    "Number": 4,
    "Year": 2026,
    "PeriodStart": 11,
    "PeriodEnd": 11,
    "Description": "Salaris",
    "RunAt": datetime(2026, 11, 20, 16, 31),  # noqa: DTZ001 (Nmbrs writes local time without a zone)
    "IsLocked": False,
}


def made_at(value: object) -> datetime | None:
    """Read one RunAt."""
    return mapping.run({**RUN, "RunAt": value}).made_at


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-01-15T12:00:00", datetime(2026, 1, 15, 11, tzinfo=UTC)),
        ("2026-07-15T12:00:00", datetime(2026, 7, 15, 10, tzinfo=UTC)),
        ("2026-03-29T01:59:59", datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC)),
        ("2026-03-29T03:00:00", datetime(2026, 3, 29, 1, tzinfo=UTC)),
        ("2026-10-25T02:30:00", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        ("2026-10-25T03:00:00", datetime(2026, 10, 25, 2, tzinfo=UTC)),
        ("2026-11-20T16:31:05.1234567", datetime(2026, 11, 20, 15, 31, 5, 123456, tzinfo=UTC)),
        ("2026-11-20T16:31:05Z", datetime(2026, 11, 20, 16, 31, 5, tzinfo=UTC)),
        ("2026-11-20T16:31:05+01:00", datetime(2026, 11, 20, 15, 31, 5, tzinfo=UTC)),
        (datetime(2026, 7, 15, 12, tzinfo=timezone(timedelta(hours=2))), datetime(2026, 7, 15, 10, tzinfo=UTC)),
        ("0001-01-01T00:00:00", None),
        ("1900-01-01T00:00:00", None),
    ],
)
def test_run_times_are_dutch_and_become_utc(written: object, meant: datetime | None):
    """Summer and winter time, fractions, explicit zones and the empty date of .NET."""
    assert made_at(written) == meant


@pytest.mark.parametrize("written", [None, "", "gisteren", "9999-12-31T23:59:59", "2026-02-30T00:00:00", 5])
def test_a_run_time_that_cannot_be_read_is_an_error(written: object):
    """Go-live compares with this moment, so a missing one is not taken for "unknown"."""
    with pytest.raises(NotUnderstood, match="RunAt"):
        made_at(written)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ID", 0),
        ("ID", -1),
        ("ID", 2**31),
        ("ID", True),
        ("ID", "12345678901"),
        ("ID", "5.0"),
        ("ID", "\u0665"),
        ("Number", -1),
        ("Year", 26),
        ("PeriodStart", 0),
        ("PeriodEnd", 54),
        ("IsLocked", "yes"),
        ("IsLocked", None),
        ("IsLocked", 1),
    ],
)
def test_impossible_values_are_errors(field: str, value: object):
    """Zero is what the service writes for a number it does not have; periods go to 53."""
    with pytest.raises(NotUnderstood, match=field):
        mapping.run({**RUN, field: value})


def test_text_and_typed_values_mean_the_same():
    """What the own reader leaves as text becomes what zeep already typed."""
    text = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in RUN.items()}
    assert mapping.run(text) == mapping.run(RUN)


def test_blank_texts_are_no_texts():
    """Blanks around and nothing within are dropped."""
    record = {"Id": 3, "IBAN": " NL91ABNA0417164300 ", "BIC": "  ", "Name": ""}
    account = mapping.debtor_account(record)
    assert account is not None
    assert (account.iban, account.bic, account.name) == ("NL91ABNA0417164300", None, None)


@pytest.mark.parametrize(
    ("written", "meant"), [("Month", "month"), ("Week4", "four_weeks"), ("Year", None), (None, None)]
)
def test_how_often_a_company_pays_is_told_only_where_it_is_sure(written: str | None, meant: str | None):
    """A yearly wage tax return says nothing about pay-days."""
    assert mapping.frequency({"LoonaangifteTijdvak": written}) == meant


@pytest.mark.parametrize(
    "record", [{"SubDomain": "BG"}, {"SubDomain": None, "Domain": "bg.nmbrs.nl"}, {"SubDomain": " bg ", "Domain": "x"}]
)
def test_the_environment_is_known_by_its_label(record: Record):
    """The sub-domain, else the first part of the domain; lower case."""
    assert mapping.sub_domain(record) == "bg"


def test_an_environment_without_a_name_is_an_error():
    """Without it a wrong domain could not be told from a right one."""
    with pytest.raises(NotUnderstood):
        mapping.sub_domain({"SubDomain": None, "Domain": ""})


def test_an_administration_is_listed_under_its_client():
    """The debtor of Nmbrs is our client; numbers become text."""
    client = mapping.client({"Id": 21, "Number": "D1", "Name": "Jansen Groep"})
    administration = mapping.administration({"ID": 9969, "Number": 12, "Name": None}, client=client)
    assert (administration.external_id, administration.number, administration.name) == ("9969", "12", "")
    assert (administration.client_external_id, administration.client_name) == ("21", "Jansen Groep")


def test_no_call_asks_for_a_citizen_number() -> None:
    """The calls that are made, and the WSDLs they are made with, know no BSN: what is not asked for is not stored."""
    package = Path(operations.__file__).parent
    sources = [path.read_text(encoding="utf-8") for path in (*package.glob("*.py"), *package.glob("wsdl/*.wsdl"))]
    assert len(sources) > 10
    assert not re.search(r"bsn|sofi|citizen|social.?security|personal.?info", "".join(sources), re.IGNORECASE)
    made = {each.full_name for each in vars(operations).values() if isinstance(each, operations.Operation)}
    assert made == {
        "DebtorService.Environment_Get",
        "DebtorService.List_GetAll",
        "CompanyService.List_GetAll",
        "CompanyService.List_GetByDebtor",
        "CompanyService.Run_GetList",
        "CompanyService.Run_GetEmployeesByRunCompany",
        "CompanyService.SalaryDocuments_GetSEPA",
        "CompanyService.BankAccount_GetCurrent",
    }


def test_what_else_an_answer_says_of_a_person_is_left_behind() -> None:
    """A source that adds a BSN, a name or a date of birth tells us nothing: number and id are all that is taken."""
    record = {"EmployeeId": 7, "EmployeeNumber": 12, "BSN": "123456782", "Name": "Kanarie", "DateOfBirth": "1980-01-01"}
    taken = mapping.employee(record)
    assert (taken.external_id, taken.number, taken.name) == ("7", "12", None)
