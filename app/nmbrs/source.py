"""Nmbrs, spoken to over SOAP, as a `PayrollSource`."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date

from app.core import http
from app.core.clock import Clock, amsterdam_date
from app.core.connections import Deadline, is_loopback_host
from app.nmbrs.checkup import Checkup
from app.nmbrs.credentials import check_credentials
from app.nmbrs.questions import Company, Questions
from app.nmbrs.soap import SoapCaller
from app.nmbrs.webhook import read_webhook
from app.payments.errors import SourceFault
from app.payments.ports import (
    OperationCheck,
    RawDocument,
    SourceAdministration,
    SourceCredentials,
    SourceDebtorAccount,
    SourceEmployee,
    SourceRun,
    WebhookHint,
)

DEFAULT_BASE_URL = "https://api.nmbrs.nl/soap/v3"
DEFAULT_TIMEOUT_SECONDS = 60.0

_NOT_GIVEN = frozenset({"right_missing", "data_not_visible", "administration_unknown"})


class NmbrsSoapSource:
    """One connection to Nmbrs. Holds its credentials only as long as it lives; may be used by several threads.

    It remembers how often companies pay once it has listed them, and then says so with their runs.
    """

    def __init__(self, caller: SoapCaller, *, clock: Clock, timeout_seconds: float | None) -> None:
        self._caller = caller
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._frequencies: dict[str, str | None] = {}

    def check(self) -> Sequence[OperationCheck]:
        """Call each needed operation once and say what came of it; after a refused login nothing more is asked."""
        today = amsterdam_date(self._clock())
        return Checkup(self._questions(), domain=self._caller.credentials.domain, today=today).run()

    def list_administrations(self) -> Sequence[SourceAdministration]:
        """Return every administration these credentials may see, with its client where the login may know it."""
        ask = self._questions()
        companies, denied = _companies_by_client(ask)
        if denied or not companies:
            companies += _every_company(ask, denied)
        found: dict[str, SourceAdministration] = {}
        for company in companies:
            administration = company.administration
            found.setdefault(administration.external_id, administration)
            self._frequencies[administration.external_id] = company.frequency
        return list(found.values())

    def list_runs(self, administration: str, *, year: int) -> Sequence[SourceRun]:
        """Return the runs of one payroll year."""
        return self._questions().runs(administration, year, frequency=self._frequencies.get(administration))

    def fetch_payments(self, administration: str, run: SourceRun, *, payment_date: date) -> RawDocument:
        """Return the payment file as Nmbrs gave it (text as UTF-8; base64 and zip are left as they are)."""
        content = self._questions().payment_file(administration, run, payment_date)
        return RawDocument(content=content, requested_payment_date=payment_date)

    def debtor_account(self, administration: str) -> SourceDebtorAccount | None:
        """Return the account the company pays from, None when Nmbrs has none."""
        return self._questions().bank_account(administration)

    def run_employees(self, administration: str, run: SourceRun) -> Sequence[SourceEmployee] | None:
        """Return who is in the run, or None when the user template does not allow the question."""
        try:
            return self._questions().employees(administration, run)
        except SourceFault as fault:
            if fault.code == "right_missing":
                return None
            raise

    def _questions(self) -> Questions:
        until = None if self._timeout_seconds is None else Deadline(self._timeout_seconds)
        return Questions(caller=self._caller, until=until)


def _companies_by_client(ask: Questions) -> tuple[list[Company], SourceFault | None]:
    """Return the companies of all clients, and the fault that kept some of them from us."""
    companies: list[Company] = []
    denied: SourceFault | None = None
    try:
        clients = ask.clients()
    except SourceFault as fault:
        if fault.code not in _NOT_GIVEN:
            raise
        return [], fault
    for client in clients:
        try:
            companies += ask.companies_of(client)
        except SourceFault as fault:
            if fault.code not in _NOT_GIVEN:
                raise
            denied = fault
            if fault.code == "right_missing":
                break  # it would be the same for every client
    return companies, denied


def _every_company(ask: Questions, denied: SourceFault | None) -> list[Company]:
    """Return the companies without their clients.

    A list with holes would look as if access had been taken away, and a login for one company may see no debtor at all.
    """
    try:
        return ask.companies()
    except SourceFault as fault:
        if denied and fault.code in _NOT_GIVEN:
            raise denied from None
        raise


class NmbrsSoapKind:
    """The connection kind `nmbrs_soap`.

    `base_url` is a setting of the operator, never of a tenant; only when it names this machine may this machine be
    called. `pause` waits that many seconds, `jitter` gives a number from 0 to 1. Raises `HttpRefused` when the
    address is neither https nor of this machine.
    """

    name = "nmbrs_soap"

    def __init__(
        self,
        *,
        clock: Clock,
        pause: Callable[[float], None],
        jitter: Callable[[], float],
        base_url: str = DEFAULT_BASE_URL,
        call_timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> None:
        host = http.check_url(base_url, allow_loopback=True)
        self._base_url = base_url.rstrip("/")
        self._allow_loopback = is_loopback_host(host)
        self._clock = clock
        self._pause = pause
        self._jitter = jitter
        self._call_timeout_seconds = call_timeout_seconds

    def open(self, credentials: SourceCredentials, *, timeout_seconds: float | None = None) -> NmbrsSoapSource:
        """Return a source that speaks with these credentials, or raise `Invalid` as `check_credentials` does.

        `timeout_seconds` caps each call of the port as a whole, tries and pauses included. Without it, each message to
        Nmbrs has its own limit, since listing hundreds of clients takes hundreds of messages.
        """
        caller = SoapCaller(
            base_url=self._base_url,
            allow_loopback=self._allow_loopback,
            credentials=check_credentials(credentials),
            timeout_seconds=self._call_timeout_seconds,
            pause=self._pause,
            jitter=self._jitter,
        )
        return NmbrsSoapSource(caller, clock=self._clock, timeout_seconds=timeout_seconds)

    def check_credentials(self, credentials: SourceCredentials) -> SourceCredentials:
        """Return the credentials normalised, or raise `Invalid` naming the fields."""
        return check_credentials(credentials)

    def read_webhook(self, *, body: bytes, headers: Mapping[str, str], query: str) -> Sequence[WebhookHint]:
        """Return what a delivery seems to be about; never raises."""
        return read_webhook(body=body, headers=headers, query=query)
