"""A webhook in every shape Nmbrs might use. The real one is not published, so a receiver must take them all."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import urlencode
from uuid import NAMESPACE_URL, uuid5
from xml.sax.saxutils import escape

from simulators.nmbrs.data import WebhookEvent

BIG_BODY_BYTES: Final = 1024 * 1024
# Number, English and Dutch name of each event. The numbers are invented: they differ from one environment to the next.
_EVENTS: Final = {
    WebhookEvent.RUN_FINISH: (1, "Run Finish", "Run Einde"),
    WebhookEvent.JOURNALS_FINISH: (2, "Journals Finish", "Journaalposten Einde"),
    WebhookEvent.WAGE_TAX_CREATED: (3, "Wage Tax Declaration Created", "Loonaangifte Aangemaakt"),
    WebhookEvent.WAGE_TAX_SENT: (4, "Wage Tax Declaration Sent", "Loonaangifte Verzonden"),
    WebhookEvent.PENSION_CREATED: (5, "Pension Export Created", "Pensioenexport Aangemaakt"),
    WebhookEvent.PENSION_SENT: (6, "Pension Export Sent", "Pensioenexport Verzonden"),
}


class Shape(StrEnum):
    """How a webhook looks on the wire."""

    JSON_INTS = "json_ints"
    JSON_GUIDS = "json_guids"
    JSON_DUTCH = "json_dutch"
    JSON_NESTED = "json_nested"
    JSON_ARRAY = "json_array"
    JSON_IN_STRING = "json_in_string"
    FORM = "form"
    XML = "xml"
    GET_QUERY = "get_query"
    PUT = "put"
    EMPTY = "empty"
    BROKEN_JSON = "broken_json"
    BIG = "big"
    WRONG_CHARSET = "wrong_charset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a webhook is about; run, year and period are None when it names no run."""

    event: WebhookEvent
    domain: str
    debtor_id: int
    company_id: int
    company_name: str
    run_id: int | None = None
    year: int | None = None
    period: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """The request to send."""

    method: str = "POST"
    query: Mapping[str, str] = field(default_factory=dict)
    content_type: str | None = None
    content: bytes = b""


Members = dict[str, int | str]


def shape_notice(notice: Notice, shape: Shape) -> Outgoing:
    """The notice in that shape."""
    return _SHAPES[shape](notice)


def _guid(kind: str, number: int) -> str:
    """The same GUID for the same thing each time."""
    return str(uuid5(NAMESPACE_URL, f"nmbrs-simulator/{kind}/{number}"))


def _present(members: Mapping[str, int | str | None]) -> Members:
    return {name: value for name, value in members.items() if value is not None}


def _ints(notice: Notice) -> Members:
    number, name, _ = _EVENTS[notice.event]
    return _present(
        {
            "eventId": number,
            "eventName": name,
            "domain": notice.domain,
            "debtorId": notice.debtor_id,
            "companyId": notice.company_id,
            "runId": notice.run_id,
            "year": notice.year,
            "period": notice.period,
        }
    )


def _guids(notice: Notice) -> Members:
    return _present(
        {
            "eventType": _EVENTS[notice.event][1].replace(" ", ""),
            "debtorGuid": _guid("debtor", notice.debtor_id),
            "companyGuid": _guid("company", notice.company_id),
            "payrollRunId": None if notice.run_id is None else _guid("run", notice.run_id),
            "year": notice.year,
            "period": notice.period,
        }
    )


def _dutch(notice: Notice) -> Members:
    return _present(
        {
            "Gebeurtenis": _EVENTS[notice.event][2],
            "DebiteurId": notice.debtor_id,
            "BedrijfId": notice.company_id,
            "RunId": notice.run_id,
            "Jaar": notice.year,
            "Periode": notice.period,
        }
    )


def _json(members: object, *, method: str = "POST") -> Outgoing:
    return Outgoing(method=method, content_type="application/json; charset=utf-8", content=_dumped(members))


def _dumped(members: object) -> bytes:
    return json.dumps(members, ensure_ascii=False).encode()


def _nested(notice: Notice) -> Outgoing:
    members = _ints(notice)
    run = _present({"id": notice.run_id, "year": notice.year, "period": notice.period})
    company = {"id": notice.company_id, "name": notice.company_name}
    return _json(
        {"event": {"id": members["eventId"], "name": members["eventName"]}, "data": {"company": company, "run": run}}
    )


def _form(notice: Notice) -> Outgoing:
    content = urlencode(_ints(notice)).encode()
    return Outgoing(content_type="application/x-www-form-urlencoded", content=content)


def _xml(notice: Notice) -> Outgoing:
    members = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in _ints(notice).items())
    content = f'<?xml version="1.0" encoding="utf-8"?><Webhook>{members}</Webhook>'.encode()
    return Outgoing(content_type="text/xml; charset=utf-8", content=content)


def _get(notice: Notice) -> Outgoing:
    return Outgoing(method="GET", query={name: str(value) for name, value in _ints(notice).items()})


def _broken(notice: Notice) -> Outgoing:
    return Outgoing(content_type="application/json", content=_dumped(_ints(notice))[:-1])


def _big(notice: Notice) -> Outgoing:
    return _json({**_ints(notice), "details": "x" * BIG_BODY_BYTES})


def _wrong_charset(notice: Notice) -> Outgoing:
    """Declared as UTF-8, written in Latin-1, with a letter that tells the two apart."""
    members = {
        **_ints(notice),
        "companyName": f"{notice.company_name} Café".encode("latin-1", "replace").decode("latin-1"),
    }
    content = json.dumps(members, ensure_ascii=False).encode("latin-1")
    return Outgoing(content_type="application/json; charset=utf-8", content=content)


_SHAPES: Final[Mapping[Shape, Callable[[Notice], Outgoing]]] = {
    Shape.JSON_INTS: lambda notice: _json(_ints(notice)),
    Shape.JSON_GUIDS: lambda notice: _json(_guids(notice)),
    Shape.JSON_DUTCH: lambda notice: _json(_dutch(notice)),
    Shape.JSON_NESTED: _nested,
    Shape.JSON_ARRAY: lambda notice: _json([_ints(notice)]),
    Shape.JSON_IN_STRING: lambda notice: _json(_dumped(_ints(notice)).decode()),
    Shape.FORM: _form,
    Shape.XML: _xml,
    Shape.GET_QUERY: _get,
    Shape.PUT: lambda notice: _json(_ints(notice), method="PUT"),
    Shape.EMPTY: lambda _notice: Outgoing(),
    Shape.BROKEN_JSON: _broken,
    Shape.BIG: _big,
    Shape.WRONG_CHARSET: _wrong_charset,
}
