"""Whatever goes wrong is answered as problem+json with a stable code and careful headers, and repeats nothing."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from structlog.testing import capture_logs

from app.core.database import transaction
from app.core.web import router
from app.payments.context import Context
from tests.docs.api_routes_table import described_app
from tests.http.sockets import Answer, connect, head, listening, read_answer, speak, with_body
from tests.support.house import House

CANARY = "canary41"
JSON = "Content-Type: application/json"
EMPLOYERS = "/v1/employers"
TOKEN = "Authorization: Bearer " + "?" * 47  # the place of a token that holds, which has as many characters


@pytest.fixture
def port(app: FastAPI) -> Iterator[int]:
    """The service on a real socket."""
    with listening(app) as port:
        yield port


def _assert_careful(answer: Answer) -> None:
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert len(answer.headers["x-request-id"]) == 36
    assert "server" not in answer.headers


def _assert_problem(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.problem["code"], answer.problem["status"]) == (status, code, status), answer
    assert answer.problem["title"]
    assert answer.problem["detail"]
    assert CANARY not in str(answer)
    _assert_careful(answer)


def _chunked(*chunks: bytes) -> bytes:
    return head(EMPLOYERS, "Transfer-Encoding: chunked", JSON, TOKEN, method="POST") + b"".join(chunks)


REQUESTS = {
    "unknown path": (head(f"/{CANARY}"), 404, "not_found"),
    "slash too many": (head("/healthz/"), 404, "not_found"),
    "bad percent-encoding": (head(f"/v1/%zz%{CANARY}"), 404, "not_found"),
    "bytes that are no text": (head(f"/v1/%ff%fe{CANARY}"), 404, "not_found"),
    "NUL in an unknown path": (head(f"/%00{CANARY}"), 404, "not_found"),
    "dots": (head(f"/v1/../../etc/{CANARY}"), 404, "not_found"),
    "unknown webhook": (head(f"/client/{CANARY}/webhooks/paymentsbatch", method="POST"), 404, "not_found"),
    "NUL in a webhook token": (head(f"/client/%00{CANARY}/webhooks/paymentsbatch"), 404, "not_found"),
    "wrong method": (head("/healthz", method="DELETE"), 405, "method_not_allowed"),
    "OPTIONS": (head(EMPLOYERS, method="OPTIONS"), 405, "method_not_allowed"),
    "absurd method": (head("/healthz", method=CANARY), 405, "method_not_allowed"),
    "very long method": (head("/healthz", method=CANARY * 500), 405, "method_not_allowed"),
    "wrong method on the schema": (head("/openapi.json", method="POST"), 405, "method_not_allowed"),
    "no token": (head("/v1/me"), 401, "unauthenticated"),
    "odd token": (head("/v1/me", "Authorization: Bearer \xff\x01" + CANARY), 401, "unauthenticated"),
    "long query": (head(f"/v1/me?{CANARY * 1100}"), 414, "address_too_long"),
    "long path": (head(f"/v1/{CANARY * 1100}"), 414, "address_too_long"),
    "many headers": (head("/healthz", *[f"X-{n}: {CANARY}" for n in range(200)]), 431, "headers_too_large"),
    "large headers": (head("/healthz", f"X: {CANARY * 5000}"), 431, "headers_too_large"),
    "huge headers": (head("/healthz", f"X: {CANARY * 12_000}")[:-4], 431, "headers_too_large"),
    "no HTTP": (f"{CANARY}\r\n\r\n".encode(), 400, "bad_request"),
    "TLS to a plain port": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "bad_request"),
    "another version": (f"GET / HTTP/x.y\r\nHost: {CANARY}\r\n\r\n".encode(), 400, "bad_request"),
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", 400, "bad_request"),
    "odd host": (f"GET /healthz HTTP/1.1\r\nHost: [{CANARY}\r\n\r\n".encode(), 400, "bad_request"),
    "two hosts": (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad_request"),
    "another's address": (head(f"http://[{CANARY}/healthz"), 400, "bad_request"),
    "tunnel": (head(f"{CANARY}:443", method="CONNECT"), 400, "bad_request"),
    "asterisk": (head("*", method="OPTIONS"), 400, "bad_request"),
    "folded header": (head("/healthz", "X: a", f" {CANARY}", "Y\x0b: b"), 400, "bad_request"),
    "header with CR": (head("/healthz", f"X: a\rSet-Cookie: {CANARY}"), 400, "bad_request"),
    "header with NUL": (head("/healthz", f"X: a\x00{CANARY}"), 400, "bad_request"),
    "blank before the colon": (head("/healthz", f"X : {CANARY}"), 400, "bad_request"),
    "length that is no number": (head(EMPLOYERS, f"Content-Length: {CANARY}", method="POST"), 400, "bad_request"),
    "negative length": (head(EMPLOYERS, "Content-Length: -1", method="POST"), 400, "bad_request"),
    "endless length": (head(EMPLOYERS, f"Content-Length: {'9' * 30}", method="POST"), 400, "bad_request"),
    "two lengths": (head(EMPLOYERS, "Content-Length: 1", "Content-Length: 2", method="POST"), 400, "bad_request"),
    "unknown coding": (head(EMPLOYERS, f"Transfer-Encoding: {CANARY}", method="POST"), 400, "bad_request"),
    "length and coding": (
        head(EMPLOYERS, "Content-Length: 5", "Transfer-Encoding: chunked", method="POST") + b"0\r\n\r\n",
        400,
        "bad_request",
    ),
    "chunks of garbage": (_chunked(f"{CANARY}\r\n".encode()), 400, "bad_request"),
    "chunk with a lie": (_chunked(b"2\r\nabcdef\r\n0\r\n\r\n"), 400, "bad_request"),
    "huge chunk size": (_chunked(b"f" * 40 + b"\r\n"), 400, "bad_request"),
    "body too large": (with_body(EMPLOYERS, b"x" * 70_000, JSON, TOKEN), 413, "payload_too_large"),
    "chunks too large": (_chunked(*[b"4000\r\n" + b"x" * 0x4000 + b"\r\n"] * 8), 413, "payload_too_large"),
}


@pytest.mark.parametrize("name", list(REQUESTS))
def test_every_refusal_is_a_problem(port: int, house: House, name: str) -> None:
    """Whatever the layer that refuses - sockets, edge, framework or route - the answer has one shape."""
    data, status, code = REQUESTS[name]
    answer = speak(port, data.replace(TOKEN.encode(), f"Authorization: Bearer {house.boss.token}".encode()))
    _assert_problem(answer, status, code)
    assert speak(port, head("/healthz")).status == 200


def test_a_wrong_method_is_told_the_right_ones(port: int) -> None:
    """405 names every method of the address, those of the framework's own pages included."""
    allowed = {
        target: speak(port, head(target, method="DELETE")).headers["allow"]
        for target in ("/healthz", EMPLOYERS, "/openapi.json", "/client/x/webhooks/paymentsbatch")
    }
    assert allowed == {
        "/healthz": "GET",
        EMPLOYERS: "GET, POST",
        "/openapi.json": "GET, HEAD",
        "/client/x/webhooks/paymentsbatch": "GET, POST, PUT",
    }


def test_what_the_edge_may_answer_is_documented_everywhere() -> None:
    """Whoever makes a client from the document knows every status that an address can answer with."""
    anywhere = {"400", "408", "413", "414", "431", "500", "503"}
    undocumented = {
        f"{method} {path}": missing
        for path, operations in described_app().openapi()["paths"].items()
        for method, operation in operations.items()
        if (missing := anywhere - set(operation["responses"]))
    }
    assert undocumented == {}


def test_head_has_no_body(port: int) -> None:
    """An answer to HEAD is headers only, also when it is a refusal."""
    answer = speak(port, head("/v1/nothing", method="HEAD"))
    assert (answer.status, answer.body) == (404, b"")
    _assert_careful(answer)


def test_a_good_answer_has_the_careful_headers_too(port: int) -> None:
    """Not only errors: no answer is cached, framed or sniffed."""
    answer = speak(port, head("/healthz"))
    assert answer.status == 200
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    _assert_careful(answer)


BODIES = {
    "NaN": (b'{"name": NaN, "x": "canary41"}', 422),
    "infinite": (b'{"name": 1e999}', 422),
    "twice": (b'{"name": "canary41", "name": "b"}', 422),
    "NUL": (b'{"name": "canary41\\u0000"}', 422),
    "lone surrogate": (b'{"name": "\\ud800canary41"}', 422),
    "no UTF-8": (b'{"name": "\xff\xfecanary41"}', 422),
    "deep": (b"[" * 30_000, 422),
    "huge number": (b'{"name": ' + b"9" * 60_000 + b"}", 422),
    "unknown member": (b'{"NL91canary41": "canary41"}', 422),
    "another type": (b'{"name": {"canary41": 1}}', 422),
    "nothing": (b"", 422),
}


@pytest.mark.parametrize("name", list(BODIES))
def test_hostile_json_is_refused_in_words(port: int, house: House, name: str) -> None:
    """A body that cannot be meant is 422 with field and rule, and none of it comes back."""
    body, status = BODIES[name]
    answer = speak(port, with_body(EMPLOYERS, body, JSON, f"Authorization: Bearer {house.boss.token}"))
    assert answer.status == status
    assert answer.problem["errors"][0]["message"]
    _assert_problem(answer, status, "invalid")


@pytest.mark.parametrize("media", ["text/plain", "application/xml", "", CANARY, "application/json5", "\xff"])
def test_another_content_type_is_refused(port: int, house: House, media: str) -> None:
    """JSON routes read JSON only."""
    token = f"Authorization: Bearer {house.boss.token}"
    answer = speak(port, with_body(EMPLOYERS, b'{"name": "x"}', f"Content-Type: {media}", token))
    _assert_problem(answer, 415, "unsupported_media_type")


def test_nul_in_the_address_of_a_route_is_refused(port: int, house: House) -> None:
    """PostgreSQL holds no NUL: path and query are looked at before."""
    token = f"Authorization: Bearer {house.boss.token}"
    for target in (f"/v1/employers/%00{CANARY}", f"/v1/payment-batches?status=%00{CANARY}"):
        _assert_problem(speak(port, head(target, token)), 422, "invalid")


def _break(app: FastAPI, ctx: Context) -> None:
    """Add routes that fail as a fault of ours, a value that does not fit and a lost database would."""
    broken = router()

    @broken.get("/broken/fault")
    def fault() -> None:
        raise KeyError(CANARY)

    @broken.get("/broken/value")
    def value() -> None:
        with transaction(ctx.engine) as session:
            session.execute(sa.text("SELECT CAST(:value AS integer)"), {"value": CANARY})

    @broken.get("/broken/database")
    def database() -> None:
        with transaction(ctx.engine) as session:
            session.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))

    @broken.get("/broken/rule")
    def rule() -> None:
        with transaction(ctx.engine) as session:
            session.execute(
                sa.text("INSERT INTO retention SELECT gen_random_uuid(), 1, 1, now(), gen_random_uuid()"), {}
            )

    app.include_router(broken)


def test_a_fault_of_ours_is_a_problem_too_and_tells_nothing(app: FastAPI, ctx: Context) -> None:
    """A 500 has the same shape and headers; its message, which may hold anything, is neither answered nor logged."""
    _break(app, ctx)
    with capture_logs() as logs, listening(app) as port:
        answer = speak(port, head("/broken/fault"))
    _assert_problem(answer, 500, "internal_error")
    fault = next(each for each in logs if each["event"] == "unforeseen_error")
    assert (fault["error"], CANARY in str(logs)) == ("KeyError", False)
    assert "test_problems.py" in str(fault["at"])


def test_a_value_that_does_not_fit_is_the_callers(app: FastAPI, ctx: Context) -> None:
    """What only the database finds out of range is 422, not an error of ours."""
    _break(app, ctx)
    with listening(app) as port:
        _assert_problem(speak(port, head("/broken/value")), 422, "not_storable")


def test_the_rule_of_the_database_that_refused_is_logged(app: FastAPI, ctx: Context) -> None:
    """A 500 because a row broke a rule of a table: the log names both, and no value."""
    _break(app, ctx)
    with capture_logs() as logs, listening(app) as port:
        _assert_problem(speak(port, head("/broken/rule")), 500, "internal_error")
    said = next(each for each in logs if each["event"] == "database_error")
    assert (said["error"], said["table"], said["code"][:2]) == ("IntegrityError", "retention", "23")
    assert said["rule"].startswith(("ck_", "fk_", "retention_")), said


def test_a_database_that_goes_away_is_said_to(app: FastAPI, ctx: Context) -> None:
    """503 with Retry-After, and the next request is served."""
    _break(app, ctx)
    with listening(app) as port:
        answer = speak(port, head("/broken/database"))
        _assert_problem(answer, 503, "database_unavailable")
        assert answer.headers["retry-after"] == "2"
        assert speak(port, head("/readyz")).status == 200


@pytest.mark.parametrize("token", ["lst_unknown", "x" * 201, ""])
def test_a_stranger_is_refused_before_the_body_is_read(port: int, token: str) -> None:
    """The answer is there while the body is not: a token that looks like one opens nothing."""
    lines = (f"Authorization: Bearer {token}", "Content-Type: application/json", "Content-Length: 60000")
    with connect(port) as connection:
        connection.sendall(head(EMPLOYERS, *lines, method="POST"))
        answer = read_answer(connection, "POST")
    assert (answer.status, answer.problem["code"], answer.headers["connection"]) == (401, "unauthenticated", "close")
