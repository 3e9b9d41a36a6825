"""What the simulated Nmbrs knows, as read from its JSON file; docs/nmbrs-simulator.md describes every field.

Amounts are texts with two decimals ("3448.08") in the file and integer cents inside. Times are local Dutch times
without a zone, as Nmbrs gives them; `{"minutes_ago": 1}` counts back from the moment of reading.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    model_validator,
)

from simulators.nmbrs.contract import KEYS
from simulators.nmbrs.loopback import LoopbackUrl

AMSTERDAM: Final = ZoneInfo("Europe/Amsterdam")
MAX_LINES: Final = 200_000


def _writable(text: str) -> str:
    if any((character < " " and character not in "\t\n\r") or "\ud800" <= character <= "\udfff" for character in text):
        msg = "holds a character that XML cannot carry"
        raise ValueError(msg)
    return text


def _counted_back(value: object, info: ValidationInfo) -> object:
    match value:
        case {"minutes_ago": int() | float() as minutes} if isinstance(info.context, datetime):
            return local_time(info.context) - timedelta(minutes=minutes)
        case _:
            return value


def _without_zone(moment: datetime) -> datetime:
    return local_time(moment) if moment.tzinfo else moment


def _known_operation(key: str) -> str:
    if key not in KEYS:
        msg = f"is no operation; known are {', '.join(sorted(KEYS))}"
        raise ValueError(msg)
    return key


Text = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_writable)]
Amount = Annotated[str, StringConstraints(pattern=r"^-?\d{1,12}\.\d{2}$")]
LocalTime = Annotated[datetime, BeforeValidator(_counted_back), AfterValidator(_without_zone)]
OperationKey = Annotated[str, AfterValidator(_known_operation)]


def local_time(moment: datetime) -> datetime:
    """An aware moment as Nmbrs writes it: Dutch wall-clock time without a zone."""
    return moment.astimezone(AMSTERDAM).replace(tzinfo=None)


class Model(BaseModel):
    """A part of the data; unknown members are refused so that a typing error is found."""

    model_config = ConfigDict(extra="forbid")


class PeriodType(StrEnum):
    """How often a company pays: monthly, four-weekly, weekly."""

    MONTH = "M"
    FOUR_WEEKS = "W4"
    WEEK = "W1"


class RunKind(StrEnum):
    """What a run is; Nmbrs does not tell it through the SOAP API."""

    NORMAL = "normal"
    PRE = "pre"
    RETRO = "retro"


class SepaVersion(StrEnum):
    """The message version of the payment file."""

    V02 = "pain.001.001.02"
    V03 = "pain.001.001.03"
    V09 = "pain.001.001.09"
    GERMAN_03 = "pain.001.003.03"


class SepaEncoding(StrEnum):
    """How the payment file travels inside the SOAP string."""

    TEXT = "text"
    TEXT_BOM = "text_bom"
    TEXT_UTF16 = "text_utf16"
    BASE64 = "base64"
    BASE64_UTF16 = "base64_utf16"
    ZIP = "zip"


class SepaDefect(StrEnum):
    """What is odd about the payment file."""

    EMPTY = "empty"
    ABSENT = "absent"
    CONTROL_SUM_WRONG = "control_sum_wrong"
    TRANSACTION_COUNT_WRONG = "transaction_count_wrong"
    BLOCK_CONTROL_SUM_WRONG = "block_control_sum_wrong"
    BLOCK_TRANSACTION_COUNT_WRONG = "block_transaction_count_wrong"
    INVALID_IBAN = "invalid_iban"
    DUPLICATE_END_TO_END_ID = "duplicate_end_to_end_id"
    NON_EUR = "non_eur"
    TWO_INSTRUCTIONS = "two_instructions"
    TWO_DATES = "two_dates"
    TWO_DEBTOR_ACCOUNTS = "two_debtor_accounts"
    OTHER_DEBTOR_ACCOUNT = "other_debtor_account"


class WebhookEvent(StrEnum):
    """The events a webhook can be set for."""

    RUN_FINISH = "run_finish"
    JOURNALS_FINISH = "journals_finish"
    WAGE_TAX_CREATED = "wage_tax_created"
    WAGE_TAX_SENT = "wage_tax_sent"
    PENSION_CREATED = "pension_created"
    PENSION_SENT = "pension_sent"


class SepaSettings(Model):
    """How SalaryDocuments_GetSEPA answers; the seconds count from the run's `run_at`."""

    encoding: SepaEncoding = SepaEncoding.TEXT
    version: SepaVersion = SepaVersion.V03
    defects: frozenset[SepaDefect] = frozenset()
    available_after_seconds: float = Field(default=0, ge=0)


class BankAccount(Model):
    """A bank account, in force from one period up to and including another."""

    id: int
    number: Text | None = None
    description: Text | None = None
    iban: Text | None = None
    bic: Text | None = None
    city: Text | None = None
    name: Text | None = None
    type: Text = "Standaard"
    start_year: int = 1
    start_period: int = 1
    end_year: int = 9999
    end_period: int = 99

    def in_force(self, year: int, period: int) -> bool:
        """Whether the account counted in that period."""
        return (self.start_year, self.start_period) <= (year, period) <= (self.end_year, self.end_period)


class Employee(Model):
    """Someone on the payroll, or formerly on it."""

    id: int
    number: int
    display_name: Text
    active: bool = True
    accounts: list[BankAccount] = []


class Line(Model):
    """One payment of a run. Without an IBAN, or at zero or less, it stays out of the payment file."""

    employee_id: int | None = None
    name: Text
    iban: Text | None = None
    bic: Text | None = None
    amount: Amount
    remittance: Text | None = None
    reference: Text | None = None
    end_to_end_id: Text | None = None
    purpose: Text | None = "SALA"

    @model_validator(mode="after")
    def _one_kind_of_text(self) -> Self:
        if self.remittance is not None and self.reference is not None:
            msg = "a line has a remittance text or a structured reference, not both"
            raise ValueError(msg)
        return self

    @property
    def cents(self) -> int:
        """The amount in cents."""
        return int(self.amount.replace(".", ""))

    @property
    def is_payable(self) -> bool:
        """Whether Nmbrs would put the line in the file."""
        return bool(self.iban) and self.cents > 0


class RunContent(Model):
    """What every run has, however it came to be."""

    year: int
    period_start: int
    period_end: int
    description: Text | None = None
    kind: RunKind = RunKind.NORMAL
    is_locked: bool = False
    is_listed: bool = True
    lines: list[Line] = Field(default=[], max_length=MAX_LINES)
    employee_ids: list[int] = []
    sepa: SepaSettings | None = None


class Run(RunContent):
    """A finished run."""

    id: int
    number: int
    run_at: LocalTime


class RunDraft(RunContent):
    """A run about to be finished; id, number and time are given out when left open."""

    id: int | None = None
    number: int | None = None
    run_at: LocalTime | None = None


class Company(Model):
    """An administration."""

    id: int
    number: int
    name: Text
    phone_number: Text | None = None
    email: Text | None = None
    kvk_number: Text | None = None
    period_type: PeriodType = PeriodType.MONTH
    current_year: int
    current_period: int
    bank_account: BankAccount | None = None
    employees: list[Employee] = []
    runs: list[Run] = []
    sepa: SepaSettings = SepaSettings()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _refuse_repeats("employee id", (employee.id for employee in self.employees))
        _refuse_repeats("run id", (run.id for run in self.runs))
        known = {employee.id for employee in self.employees}
        for run in self.runs:
            check_employees(run, known)
        return self


class WebhookSetting(Model):
    """A webhook of a debtor, as set in its screen "Webhook instellingen"."""

    name: Text = "Webhook"
    url: LoopbackUrl
    active: bool = True
    events: frozenset[WebhookEvent] = frozenset({WebhookEvent.RUN_FINISH})


class Debtor(Model):
    """A customer of the payroll office."""

    id: int
    number: Text
    name: Text
    companies: list[Company] = []
    webhooks: list[WebhookSetting] = []


class User(Model):
    """A login with an API token. Absent `debtor_ids` or `company_ids` mean all; an empty list means none."""

    username: Text
    token: Text
    accountant: bool = True
    rights_off: frozenset[OperationKey] = frozenset()
    debtor_ids: frozenset[int] | None = None
    company_ids: frozenset[int] | None = None

    @model_validator(mode="after")
    def _client_has_one_debtor(self) -> Self:
        if not self.accountant and (self.debtor_ids is None or len(self.debtor_ids) != 1):
            msg = "a client login (accountant: false) belongs to exactly one debtor: give debtor_ids with one id"
            raise ValueError(msg)
        return self


class Environment(Model):
    """One Nmbrs environment, known by its sub-domain."""

    domain: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$")]
    calls_per_second: int = Field(default=150, ge=1)
    users: list[User]
    debtors: list[Debtor]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _refuse_repeats("username", (user.username for user in self.users))
        _refuse_repeats("debtor id", (debtor.id for debtor in self.debtors))
        _refuse_repeats("company id", (company.id for debtor in self.debtors for company in debtor.companies))
        return self


class Dataset(Model):
    """The whole file."""

    environments: list[Environment] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _refuse_repeats("domain", (environment.domain for environment in self.environments))
        return self


def check_employees(run: RunContent, known: set[int]) -> None:
    """Refuse a run that names an employee the company does not have."""
    named = {line.employee_id for line in run.lines if line.employee_id is not None} | set(run.employee_ids)
    if unknown := named - known:
        msg = f"the run names employees the company does not have: {sorted(unknown)}"
        raise ValueError(msg)


def _refuse_repeats(what: str, values: Iterable[object]) -> None:
    seen: set[object] = set()
    for value in values:
        if value in seen:
            msg = f"{what} {value!r} is given twice"
            raise ValueError(msg)
        seen.add(value)
