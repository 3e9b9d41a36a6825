"""A hand-written stand-in for the Nmbrs web services: answers by operation, exactly the bytes a test wants."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from app.nmbrs.source import NmbrsSoapKind
from app.payments.ports import SourceCredentials
from tests.local_server import LocalServer, Received, Reply, serving

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
CREDENTIALS = SourceCredentials(username="salaris@kantoor.example", secret="tok-0123456789-secret", domain="kantoor")

Answer = Reply | Callable[[Received], Reply]


def envelope(operation: str, result: str, *, extra: str = "") -> bytes:
    """Return a SOAP 1.1 answer of `CompanyService.Run_GetList` and its like, with this inside its result element."""
    service, _, name = operation.partition(".")
    inside = f"<{name}Result>{result}</{name}Result>{extra}" if result is not None else extra
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema">'
        f'<soap:Body><{name}Response xmlns="https://api.nmbrs.nl/soap/v3/{service}">{inside}</{name}Response>'
        "</soap:Body></soap:Envelope>"
    ).encode()


def xml(content: bytes, status: int = 200) -> Reply:
    """Return an answer as the web service sends it."""
    return Reply(status=status, body=content, headers={"content-type": "text/xml; charset=utf-8"})


def result(operation: str, inside: str) -> Reply:
    """Return a good answer of this operation."""
    return xml(envelope(operation, inside))


def fault(text: str, code: str = "soap:Server") -> Reply:
    """Return a SOAP 1.1 fault as ASMX sends it."""
    content = (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><soap:Fault>'
        f"<faultcode>{code}</faultcode><faultstring>{text}</faultstring><detail />"
        "</soap:Fault></soap:Body></soap:Envelope>"
    )
    return xml(content.encode(), 500)


def numbered(number: int, text: str = "whatever it says") -> Reply:
    """Return a fault with one of the vendor's numbers."""
    return fault(f"Server was unable to process request. ---&gt; {number}: {text}")


RUN = (
    "<RunInfo><ID>5501</ID><Number>4</Number><Year>2026</Year><PeriodStart>11</PeriodStart><PeriodEnd>11</PeriodEnd>"
    "<Description>Salaris november</Description><RunAt>2026-11-20T16:31:05.123</RunAt><IsLocked>true</IsLocked>"
    "</RunInfo>"
)
COMPANY = (
    "<Company><ID>9969</ID><Number>12</Number><Name>Bakkerij Jansen B.V.</Name>"
    "<LoonaangifteTijdvak>Month</LoonaangifteTijdvak></Company>"
)
ACCOUNT = (
    "<Id>7</Id><Description>Standaard</Description><IBAN>NL91ABNA0417164300</IBAN><BIC>ABNANL2A</BIC>"
    "<Name>Bakkerij Jansen B.V.</Name><Type>Standaard</Type>"
)
EMPLOYEES = (
    "<RunEmployee><EmployeeId>31</EmployeeId><EmployeeNumber>1</EmployeeNumber></RunEmployee>"
    "<RunEmployee><EmployeeId>32</EmployeeId><EmployeeNumber>2</EmployeeNumber></RunEmployee>"
)
DOCUMENT = '<?xml version="1.0" encoding="utf-8"?><Document><GrpHdr>é &amp; co</GrpHdr></Document>'

GOOD: Mapping[str, str] = {
    "DebtorService.Environment_Get": "<Domain>kantoor.nmbrs.nl</Domain><SubDomain>kantoor</SubDomain>",
    "DebtorService.List_GetAll": "<Debtor><Id>21</Id><Number>D1</Number><Name>Jansen Groep</Name></Debtor>",
    "CompanyService.List_GetAll": COMPANY,
    "CompanyService.List_GetByDebtor": COMPANY,
    "CompanyService.Run_GetList": RUN,
    "CompanyService.SalaryDocuments_GetSEPA": DOCUMENT.replace("&", "&amp;").replace("<", "&lt;"),
    "CompanyService.BankAccount_GetCurrent": ACCOUNT,
    "CompanyService.Run_GetEmployeesByRunCompany": EMPLOYEES,
}


class ScriptedNmbrs:
    """Answers as `GOOD` says, unless `answers` says otherwise for an operation."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.paused: list[float] = []
        self.server: LocalServer

    def script(self, request: Received) -> Reply:
        """Answer by the SOAPAction, as the web service does."""
        found = re.fullmatch(r'"https://api\.nmbrs\.nl/soap/v3/(\w+)/(\w+)"', request.headers["soapaction"])
        assert found is not None
        operation = f"{found[1]}.{found[2]}"
        assert request.path == f"/soap/v3/{found[1]}.asmx"
        self.asked.append(operation)
        answer = self.answers.get(operation) or result(operation, GOOD[operation])
        return answer(request) if callable(answer) else answer

    def kind(self, call_timeout_seconds: float = 10.0) -> NmbrsSoapKind:
        """Return the adapter, pointed here; pauses are noted and not taken."""
        return NmbrsSoapKind(
            base_url=self.server.url + "/soap/v3",
            clock=lambda: NOW,
            pause=self.paused.append,
            jitter=lambda: 0.5,
            call_timeout_seconds=call_timeout_seconds,
        )


@contextmanager
def scripted_nmbrs() -> Iterator[ScriptedNmbrs]:
    """Run a stand-in for the length of a block."""
    nmbrs = ScriptedNmbrs()
    with serving(nmbrs.script) as server:
        nmbrs.server = server
        yield nmbrs
