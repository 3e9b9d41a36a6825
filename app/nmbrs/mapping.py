"""From the records of Nmbrs to the values of `payments.ports`. Pure.

What is mandatory is checked here, whether zeep or the own reader made the record. Every function
raises `NotUnderstood`, naming the element, when a value we depend on is absent or impossible.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from app.core.clock import AMSTERDAM
from app.nmbrs.operations import NotUnderstood, Record
from app.payments.ports import SourceAdministration, SourceDebtorAccount, SourceEmployee, SourceRun

_LARGEST_INT: Final = 2**31 - 1
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,10}")
_LAST_PERIOD: Final = 53
_FIRST_YEAR: Final = 1990
_LAST_YEAR: Final = 2100
# The only period types of LoonaangifteTijdvak that are also how often people are paid.
_FREQUENCIES: Final = {"Month": "month", "Week4": "four_weeks"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A debtor of Nmbrs: the payroll office's customer that groups administrations."""

    external_id: str
    name: str


def administration(record: Record, *, client: Client | None = None) -> SourceAdministration:
    """Return a Company as an administration of the client it was listed under."""
    return SourceAdministration(
        external_id=str(_key(record, "ID")),
        number=str(_integer(record, "Number", 0, _LARGEST_INT)),
        name=_text(record, "Name") or "",
        client_external_id=client.external_id if client else None,
        client_name=client.name if client else None,
    )


def client(record: Record) -> Client:
    """Return a Debtor as our client."""
    return Client(external_id=str(_key(record, "Id")), name=_text(record, "Name") or "")


def frequency(record: Record) -> str | None:
    """Return how often a Company pays, as far as its wage tax period tells: `month`, `four_weeks` or None."""
    return _FREQUENCIES.get(_text(record, "LoonaangifteTijdvak") or "")


def run(record: Record, *, frequency: str | None = None) -> SourceRun:
    """Return a RunInfo as a run. RunAt is Dutch local time without a zone; .NET writes year 1 for an empty date."""
    return SourceRun(
        external_id=str(_key(record, "ID")),
        number=_integer(record, "Number", 0, _LARGEST_INT),
        year=_integer(record, "Year", _FIRST_YEAR, _LAST_YEAR),
        period_start=_integer(record, "PeriodStart", 1, _LAST_PERIOD),
        period_end=_integer(record, "PeriodEnd", 1, _LAST_PERIOD),
        description=_text(record, "Description") or "",
        made_at=_moment(record, "RunAt"),
        is_locked=_flag(record, "IsLocked"),
        frequency=frequency,
    )


def debtor_account(record: Record) -> SourceDebtorAccount | None:
    """Return a BankAccount, None for the empty record (Id 0) of a company that has none."""
    if _integer(record, "Id", 0, _LARGEST_INT) == 0 and not _text(record, "IBAN"):
        return None
    iban = _text(record, "IBAN")
    if iban is None:
        raise NotUnderstood("the bank account of the company has no IBAN (it may be empty in Nmbrs)")
    return SourceDebtorAccount(iban=iban, bic=_text(record, "BIC"), name=_text(record, "Name"))


def employee(record: Record) -> SourceEmployee:
    """Return somebody in a run. Nmbrs gives a number and no name."""
    return SourceEmployee(
        external_id=str(_key(record, "EmployeeId")),
        number=str(_integer(record, "EmployeeNumber", 0, _LARGEST_INT)),
        name=None,
    )


def sub_domain(record: Record) -> str:
    """Return the label of the environment, `bg` for bg.nmbrs.nl, lower case."""
    label = _text(record, "SubDomain") or (_text(record, "Domain") or "").partition(".")[0]
    if not label:
        raise NotUnderstood("SubDomain is missing")
    return label.lower()


def _key(record: Record, name: str) -> int:
    # The web service writes 0 for a number it does not know.
    return _integer(record, name, 1, _LARGEST_INT)


def _integer(record: Record, name: str, lowest: int, highest: int) -> int:
    value = record.get(name)
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise NotUnderstood(f"{name} is missing or no number")
    if not lowest <= value <= highest:
        raise NotUnderstood(f"{name} is out of range")
    return value


def _text(record: Record, name: str) -> str | None:
    value = record.get(name)
    return value.strip() or None if isinstance(value, str) else None


def _flag(record: Record, name: str) -> bool:
    value = record.get(name)
    if isinstance(value, bool):
        return value
    flags = {"true": True, "1": True, "false": False, "0": False}
    flag = flags.get(value.strip()) if isinstance(value, str) else None
    if flag is None:
        raise NotUnderstood(f"{name} is missing or neither true nor false")
    return flag


def _moment(record: Record, name: str) -> datetime | None:
    value = record.get(name)
    if isinstance(value, str):
        value = _read_moment(value.strip())
    if not isinstance(value, datetime):
        raise NotUnderstood(f"{name} is missing or no date and time")
    if value.year < _FIRST_YEAR:
        return None
    if value.year > _LAST_YEAR:
        raise NotUnderstood(f"{name} is out of range")
    return (value if value.tzinfo else value.replace(tzinfo=AMSTERDAM)).astimezone(UTC)


def _read_moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
