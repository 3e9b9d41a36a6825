"""The data these tests run on, and SOAP by hand: everything can be sent wrongly."""

import threading
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import httpx
from lxml import etree

from simulators.nmbrs.process import SimulatorClient
from simulators.nmbrs.world import Call

ROOT = "https://api.nmbrs.nl/soap/v3/"
SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"

DATA: dict[str, Any] = {
    "environments": [
        {
            "domain": "kantoor",
            "users": [
                {"username": "boss@kantoor.example", "token": "boss-token"},
                {"username": "tagged@kantoor.example", "token": "tagged-token", "debtor_ids": [10]},
                {
                    "username": "client@kantoor.example",
                    "token": "client-token",
                    "accountant": False,
                    "debtor_ids": [10],
                    "company_ids": [100],
                },
                {
                    "username": "limited@kantoor.example",
                    "token": "limited-token",
                    "rights_off": ["Company.SalaryDocuments_GetSEPA"],
                },
            ],
            "debtors": [
                {
                    "id": 10,
                    "number": "D10",
                    "name": "Bakkerij Groep",
                    "companies": [
                        {
                            "id": 100,
                            "number": 1,
                            "name": "Bakkerij & Zonen",
                            "current_year": 2026,
                            "current_period": 11,
                            "bank_account": {
                                "id": 1,
                                "iban": "NL91ABNA0417164300",
                                "bic": "ABNANL2A",
                                "name": "Bakkerij & Zonen BV",
                            },
                            "employees": [
                                {
                                    "id": 1001,
                                    "number": 1,
                                    "display_name": "Anna",
                                    "accounts": [
                                        {"id": 11, "iban": "NL02ABNA0123456789", "end_year": 2026, "end_period": 10},
                                        {
                                            "id": 12,
                                            "iban": "NL69INGB0123456789",
                                            "start_year": 2026,
                                            "start_period": 11,
                                        },
                                    ],
                                },
                                {"id": 1002, "number": 2, "display_name": "Bas"},
                                {"id": 1003, "number": 3, "display_name": "Cato", "active": False},
                                {"id": 1004, "number": 4, "display_name": "Dirk"},
                            ],
                            "runs": [
                                {
                                    "id": 500,
                                    "number": 11,
                                    "year": 2026,
                                    "period_start": 11,
                                    "period_end": 11,
                                    "description": "Salaris november 2026",
                                    "run_at": "2026-11-20T09:30:15.250",
                                    "employee_ids": [1004],
                                    "lines": [
                                        {
                                            "employee_id": 1001,
                                            "name": "A. Bakker",
                                            "iban": "NL02 ABNA 0123 4567 89",
                                            "bic": "ABNANL2A",
                                            "amount": "2000.10",
                                            "remittance": "Salaris november",
                                        },
                                        {
                                            "employee_id": 1002,
                                            "name": "B. de Vries",
                                            "iban": "NL44RABO0123456789",
                                            "amount": "1500.05",
                                            "remittance": "Salaris november",
                                            "end_to_end_id": "eigen-id-2",
                                        },
                                        {
                                            "employee_id": 1002,
                                            "name": "Deurwaarder X",
                                            "iban": "NL70TRIO0123456789",
                                            "amount": "100.00",
                                            "reference": "RF18539007547034",
                                            "purpose": None,
                                        },
                                        {"employee_id": 1003, "name": "C", "iban": None, "amount": "900.00"},
                                        {
                                            "employee_id": 1001,
                                            "name": "A",
                                            "iban": "NL02ABNA0123456789",
                                            "amount": "-5.00",
                                        },
                                    ],
                                },
                                {
                                    "id": 501,
                                    "number": 1,
                                    "year": 2027,
                                    "period_start": 1,
                                    "period_end": 1,
                                    "run_at": {"minutes_ago": 3},
                                    "is_locked": True,
                                    "kind": "pre",
                                    "lines": [],
                                },
                            ],
                        },
                        {
                            "id": 101,
                            "number": 2,
                            "name": "Leeg BV",
                            "period_type": "W4",
                            "current_year": 2026,
                            "current_period": 12,
                        },
                    ],
                },
                {
                    "id": 20,
                    "number": "D20",
                    "name": "Ander",
                    "companies": [
                        {"id": 200, "number": 1, "name": "Ander BV", "current_year": 2026, "current_period": 11}
                    ],
                },
            ],
        },
        {
            "domain": "elders",
            "users": [{"username": "boss@kantoor.example", "token": "other-token"}],
            "debtors": [
                {
                    "id": 10,
                    "number": "1",
                    "name": "Zelfde nummer",
                    "companies": [
                        {"id": 900, "number": 1, "name": "Elders BV", "current_year": 2026, "current_period": 1}
                    ],
                }
            ],
        },
    ]
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer with its envelope."""

    response: httpx.Response

    @property
    def envelope(self) -> etree._Element:
        """The parsed body."""
        return etree.fromstring(self.response.content)

    @property
    def fault(self) -> str:
        """The fault text of either SOAP version."""
        return self.envelope.findtext(".//faultstring") or self.envelope.findtext(f".//{{{SOAP_12}}}Text") or ""

    def texts(self, name: str) -> list[str | None]:
        """The texts of all elements with that local name."""
        return [element.text for element in self.envelope.iter(f"{{*}}{name}")]


@dataclass(slots=True, kw_only=True)
class Soap:
    """SOAP by hand: everything can be sent wrongly."""

    simulator: SimulatorClient
    http: httpx.Client

    def call(
        self,
        operation: str,
        parameters: str = "",
        *,
        version: str = SOAP_11,
        headers: dict[str, str] | None = None,
        **envelope: Any,
    ) -> Answer:
        """Call for instance "Company.Run_GetList" with the parameters written as XML."""
        content = self.envelope(operation, parameters, version=version, **envelope)
        service, _, name = operation.partition(".")
        announced = self.headers(f"{ROOT}{service}Service", name, version) if headers is None else headers
        return self.post(f"{service}Service", content, announced)

    def envelope(
        self,
        operation: str,
        parameters: str = "",
        *,
        version: str = SOAP_11,
        username: str = "boss@kantoor.example",
        token: str = "boss-token",
        domain: str = "kantoor",
        header: str | None = None,
        body: str | None = None,
    ) -> bytes:
        """The bytes of a call; `header` and `body` replace what would stand there."""
        service, _, name = operation.partition(".")
        space = f"{ROOT}{service}Service"
        if header is None:
            header = (
                f'<AuthHeaderWithDomain xmlns="{space}"><Username>{username}</Username><Token>{token}</Token>'
                f"<Domain>{domain}</Domain></AuthHeaderWithDomain>"
            )
        if body is None:
            body = f'<{name} xmlns="{space}">{parameters}</{name}>'
        content = f'<e:Envelope xmlns:e="{version}"><e:Header>{header}</e:Header><e:Body>{body}</e:Body></e:Envelope>'
        return content.encode()

    def stream(self, operation: str, parameters: str = "") -> AbstractContextManager[httpx.Response]:
        """Call and read the answer as it comes."""
        service, _, name = operation.partition(".")
        return self.http.stream(
            "POST",
            self.simulator.service_url(f"{service}Service"),
            content=self.envelope(operation, parameters),
            headers=self.headers(f"{ROOT}{service}Service", name),
        )

    def wait_for_calls(self, operation: str, number: int) -> list[Call]:
        """The calls of an operation, once the simulator has written down so many."""
        deadline = time.monotonic() + 30
        while len(calls := self.simulator.calls(operation)) < number:
            assert time.monotonic() < deadline, f"{len(calls)} of {number} calls of {operation} arrived"
            threading.Event().wait(0.01)
        return calls

    def post(self, service: str, content: bytes, headers: dict[str, str]) -> Answer:
        """Post any bytes to a service."""
        return Answer(response=self.http.post(self.simulator.service_url(service), content=content, headers=headers))

    @staticmethod
    def headers(space: str, name: str, version: str = SOAP_11) -> dict[str, str]:
        """The headers that announce a call."""
        action = f"{space}/{name}"
        if version == SOAP_11:
            return {"content-type": "text/xml; charset=utf-8", "soapaction": f'"{action}"'}
        return {"content-type": f'application/soap+xml; charset=utf-8; action="{action}"'}
