import json
import logging
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.nmbrs.webhook import read_webhook
from app.payments.ports import WebhookHint

GUID = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"


def read(body: object = b"", *, headers: dict[str, str] | None = None, query: str = "") -> list[WebhookHint]:
    """Read a delivery; anything but bytes goes as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return list(read_webhook(body=content, headers=headers or {}, query=query))


def one(body: object = b"", **more: Any) -> WebhookHint:
    """Read a delivery that is about one thing."""
    (hint,) = read(body, **more)
    return hint


EMPTY = WebhookHint()
FULL = WebhookHint(
    administration_external_id="9969", run_external_id="5501", year=2026, event="Run Finish", is_run_finished=True
)

SHAPES = {
    "json integers": {"CompanyId": 9969, "RunId": 5501, "Year": 2026, "EventName": "Run Finish"},
    "json texts": {"companyId": "9969", "runId": " 5501 ", "year": "2026", "event": "Run Finish"},
    "snake": {"company_id": 9969, "run_id": 5501, "year": 2026, "event_name": "Run Finish"},
    "kebab": {"company-id": 9969, "run-id": 5501, "year": 2026, "event-name": "Run Finish"},
    "nested": {"event": "Run Finish", "data": {"company": {"id": 9969}, "run": {"id": 5501, "year": 2026}}},
    "deep": {"payload": {"resource": {"CompanyID": 9969, "RunID": 5501}, "meta": {"jaar": 2026}}, "type": "Run Finish"},
    "event object": {"event": {"id": 1, "name": "Run Finish"}, "companyId": 9969, "runId": 5501, "intYear": 2026},
    "names beside ids": {
        "company": "Bakkerij",
        "companyId": 9969,
        "run": "nov",
        "runId": 5501,
        "year": 2026,
        "event": "Run Finish",
    },
    "text in json": json.dumps({"CompanyId": 9969, "RunId": 5501, "Year": 2026, "Event": "Run Finish"}),
    "json in a field": {"payload": '{"CompanyId": 9969, "RunId": 5501, "Year": 2026}', "event": "Run Finish"},
    "list of one": [{"CompanyId": 9969, "RunId": 5501, "Year": 2026, "Event": "Run Finish"}],
    "floats": {"CompanyId": 9969.0, "RunId": 5501.0, "Year": 2026, "Event": "Run Finish"},
    "form": b"CompanyId=9969&RunId=5501&Year=2026&EventName=Run+Finish",
    "xml": b"<E><CompanyId>9969</CompanyId><RunId>5501</RunId><Year>2026</Year><EventName>Run Finish</EventName></E>",
    "xml nested": (
        b'<?xml version="1.0" encoding="utf-8"?><n:Hook xmlns:n="urn:x" EventName="Run Finish"><!-- c --><n:Data>'
        b'<n:Company Id="9969"/><n:Run Id="5501"><n:Year>2026</n:Year></n:Run></n:Data></n:Hook>'
    ),
    "bom": b"\xef\xbb\xbf" + b'{"CompanyId": 9969, "RunId": 5501, "Year": 2026, "Event": "Run Finish"}',
    "utf-16": '{"CompanyId": 9969, "RunId": 5501, "Year": 2026, "Event": "Run Finish"}'.encode("utf-16"),
    "utf-16 without bom": '{"CompanyId": 9969, "RunId": 5501, "Year": 2026, "Event": "Run Finish"}'.encode("utf-16-le"),
    "blanks": b'\r\n  {"CompanyId": 9969, "RunId": 5501, "Year": 2026, "Event": "Run Finish"}\n',
}


@pytest.mark.parametrize("shape", list(SHAPES))
def test_every_shape_says_the_same(shape: str):
    """JSON flat or nested, JSON in JSON, form, XML, any casing and encoding: one hint, the same."""
    assert one(SHAPES[shape]) == FULL


def test_a_query_string_is_enough():
    """A GET without a body is a delivery too."""
    assert one(query="companyId=9969&runId=5501&year=2026&event=Run%20Finish") == FULL


def test_the_body_goes_before_the_query():
    """What the body leaves open is taken from the query string."""
    hint = one({"CompanyId": 9969}, query="companyId=1&runId=5501")
    assert (hint.administration_external_id, hint.run_external_id) == ("9969", "5501")


def test_dutch_keys_are_known():
    """Bedrijf, debiteur, jaar and gebeurtenis mean what they say."""
    hint = one({"BedrijfId": 9969, "IdRun": 5501, "Jaar": 2026, "DebiteurId": 21, "Gebeurtenis": "Run Einde"})
    assert hint == WebhookHint(
        administration_external_id="9969",
        client_external_id="21",
        run_external_id="5501",
        year=2026,
        event="Run Einde",
        is_run_finished=True,
    )


@pytest.mark.parametrize("written", [GUID, GUID.upper(), f"{{{GUID}}}"])
def test_guids_are_kept_in_lower_case(written: str):
    """REST ids are GUIDs in any dress; a number beside one wins, since SOAP asks by number."""
    assert one({"companyGuid": written}).administration_external_id == GUID
    assert one({"companyGuid": written, "companyId": 9969}).administration_external_id == "9969"


@pytest.mark.parametrize(
    "written", [0, -5, 1.5, "", "abc", "9969; DROP", True, None, "1e3", "9" * 20, [], {}, float("inf"), "\u0665"]
)
def test_what_is_no_id_is_dropped(written: object):
    """Zero, negatives, fractions, truth values and texts never become a key."""
    assert one({"CompanyId": written, "RunId": 5501}) == WebhookHint(run_external_id="5501")


@pytest.mark.parametrize(("written", "meant"), [("007", "7"), (2**62, str(2**62)), ("12.0", "12")])
def test_ids_are_written_plainly(written: object, meant: str):
    """Leading zeros and a zero fraction go."""
    assert one({"RunId": written}).run_external_id == meant


@pytest.mark.parametrize("year", [26, 1899, 1989, 2100, "20266", "n/a", 2026.5])
def test_impossible_years_are_dropped(year: object):
    """Years from 1990 to 2099 are taken."""
    assert one({"RunId": 1, "Year": year}).year is None


@pytest.mark.parametrize(
    ("event", "is_run"),
    [
        ("Run Finish", True),
        ("RunFinish", True),
        ("run_finished", True),
        ("Run Einde", True),
        ("RUN.EINDE", True),
        ("payrollrun.ended", True),
        ("Salarisrun gereed", True),
        ("Journals Finish", False),
        ("Journaalposten Einde", False),
        ("Journal run finish", False),
        ("Wage Tax Declaration Created", False),
        ("Loonaangifte verzonden", False),
        ("Pension Export Sent", False),
        ("Pensioen export aangemaakt", False),
        ("Employee changed", None),
        ("Run Started", None),
        ("7", None),
    ],
)
def test_events_are_told_apart_by_their_name(event: str, is_run: bool | None):
    """The end of a run, surely something else, or nobody knows: a bare number tells nothing."""
    hint = one({"event": event})
    assert (hint.event, hint.is_run_finished) == (event, is_run)


def test_an_event_number_is_kept():
    """It can be looked up later."""
    hint = one({"EventId": 3, "CompanyId": 1})
    assert (hint.event, hint.is_run_finished) == ("3", None)


def test_an_event_may_stand_in_a_header():
    """Many senders put its name there."""
    assert one({"CompanyId": 1}, headers={"X-Nmbrs-Event": "Run Finish"}).is_run_finished is True


def test_event_names_are_made_fit_to_store():
    """Control characters and lone surrogates go, and a hundred characters stay."""
    assert one(b'{"event": "Run\\u0000 \\ud800Finish' + b"x" * 500 + b'"}').event == ("Run Finish" + "x" * 500)[:100]


def test_an_array_gives_a_hint_for_each():
    """One delivery may be about many runs; equal ones are one."""
    hints = read([{"CompanyId": 1, "RunId": 2}, {"CompanyId": 1, "RunId": 3}, {"CompanyId": 1, "RunId": 3}, 5, None])
    assert [(hint.administration_external_id, hint.run_external_id) for hint in hints] == [("1", "2"), ("1", "3")]


@pytest.mark.parametrize("key", ["events", "data", "payload", "Items", "unknown"])
def test_a_list_inside_shares_what_stands_around_it(key: str):
    """Company and event of the envelope count for each item."""
    hints = read({"companyId": 1, "event": "Run Finish", key: [{"runId": 2}, {"runId": 3, "companyId": 4}]})
    assert [(hint.administration_external_id, hint.run_external_id) for hint in hints] == [("1", "2"), ("4", "3")]
    assert all(hint.is_run_finished for hint in hints)


def test_lists_of_bare_ids_are_read():
    """`runIds: [2, 3]` is two runs."""
    hints = read({"companyId": 1, "runIds": [2, 3]})
    assert [hint.run_external_id for hint in hints] == ["2", "3"]


def test_repeated_xml_elements_are_a_list():
    """Two Run elements are two runs."""
    hints = read(b"<Hook><CompanyId>1</CompanyId><Run><Id>2</Id></Run><Run><Id>3</Id></Run></Hook>")
    assert [hint.run_external_id for hint in hints] == ["2", "3"]


def test_at_most_a_thousand_hints_come_from_one_body():
    """The rest is found by the poll."""
    assert len(read([{"RunId": number} for number in range(1, 5000)])) == 1000


DEEP = 20


@pytest.mark.parametrize(
    "body",
    [
        b"[" * DEEP + b'{"RunId": 5}' + b"]" * DEEP,
        b'{"data":' * DEEP + b'{"RunId": 5}' + b"}" * DEEP,
        b"<data>" * DEEP + b"<RunId>5</RunId>" + b"</data>" * DEEP,
    ],
)
def test_what_lies_too_deep_is_not_looked_for(body: bytes):
    """Twelve levels are enough for any sender."""
    assert one(body) == EMPTY


@pytest.mark.parametrize(("left", "right"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]"), (b"<a>", b"</a>")])
def test_no_depth_makes_it_raise(left: bytes, right: bytes):
    """Also not just below the depth at which the readers of JSON and XML themselves give up."""
    for depth in (*range(100, 260, 5), *range(400, 1000, 3)):
        assert read(left * depth + b"5" + right * depth) == [EMPTY]


def test_one_absurd_number_does_not_hide_the_rest():
    """Python refuses to write out a number of ten thousand digits; the ids beside it still count."""
    body = b'{"RunId": 5, "CompanyId": ' + b"9" * 10_000 + b"}"
    assert one(body) == WebhookHint(run_external_id="5")


ODD: list[bytes] = [
    b"",
    b" ",
    b"\0",
    b"null",
    b"[]",
    b"{}",
    b"5",
    b'"text"',
    b'""',
    b"{",
    b'{"a":',
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"[" * 500 + b"]" * 500,
    b'{"a":' * 300 + b"1" + b"}" * 300,
    b"<",
    b"<a",
    b"<!DOCTYPE html><html><body>x</body></html>",
    b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a><CompanyId>&x;</CompanyId></a>',
    b"<a>" * 5000,
    b"<a>" * 200 + b"</a>" * 200,
    b"&" * 1000,
    b"=" * 1000,
    b"a=1&" * 1000,
    b"\xff\xfe",
    b"\xff\xfe\x00",
    b"\xfe\xff\xd8\x00",
    b"\x00{\x00",
    b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    b'{"CompanyId": ' + b"9" * 10_000 + b"}",
    b'{"CompanyId": 1e999}',
    b'{"CompanyId": NaN}',
    b'"' + b"\\u005b" * 1000 + b'"',
    json.dumps(json.dumps(json.dumps(json.dumps("x")))).encode(),
    b"x" * 2_000_000,
]


@pytest.mark.parametrize("body", ODD, ids=range(len(ODD)))
def test_what_cannot_be_read_is_one_empty_hint(body: bytes):
    """Nothing, nonsense, depth, size, document types: the delivery still pokes, and nothing is raised."""
    assert read(body) == [EMPTY]


@given(st.binary(max_size=400), st.text(max_size=100))
@example(b'{"":{"":[]}}', "")
@example(b"[[[]]]", "a=%ff")
def test_no_bytes_make_it_raise(body: bytes, query: str):
    """Any bytes with any query give one hint or more."""
    assert 1 <= len(read(body, query=query)) <= 1000


KEYS = st.sampled_from(
    ["CompanyId", "run", "data", "events", "year", "event", "id", "Debiteur", "x", "", "run_id", "\0"]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["[1]", '{"a":1}', "{"])
)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=25
)


@given(TREES)
def test_no_json_makes_it_raise_and_every_hint_can_be_stored(tree: object):
    """Whatever the tree: ids are digits or GUIDs, events are printable, years are years."""
    for hint in read(tree):
        for key in (hint.administration_external_id, hint.client_external_id, hint.run_external_id):
            assert key is None or key.replace("-", "").isalnum()
        assert hint.event is None or (hint.event.isprintable() and 0 < len(hint.event) <= 100)
        assert hint.year is None or 1990 <= hint.year < 2100


@given(TREES)
def test_xml_of_any_tree_does_not_raise(tree: object):
    """The same trees as elements."""

    def element(name: str, value: object) -> str:
        if isinstance(value, dict):
            inside = "".join(element(str(key) or "x", part) for key, part in value.items())
        elif isinstance(value, list):
            return "".join(element(name, part) for part in value)
        else:
            inside = str(value).replace("&", "&amp;").replace("<", "&lt;")
        return f"<{name}>{inside}</{name}>"

    assert read(element("hook", tree).encode(errors="replace"))


def test_nothing_of_a_body_is_logged(caplog: pytest.LogCaptureFixture):
    """A body may hold anything."""
    caplog.set_level(logging.DEBUG)
    read({"CompanyId": 1, "name": "Jansen"})
    read(b"<a>Jansen")
    assert caplog.text == ""
