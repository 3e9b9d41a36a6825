"""The public address: unknown ones all look the same, and nothing is read, stored or believed for them."""

import re

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.core.exchange import DEFAULT_READ_SECONDS
from app.main import Service
from app.payments.context import Context
from tests.contracts.fake_source import FakePayroll
from tests.http.connected import Source, connected
from tests.http.sockets import connect, head, listening, read_answer
from tests.support.clock import FakeClock

PATH = "/client/{}/webhooks/paymentsbatch"


@pytest.fixture
def source(service: Service, client: TestClient, payroll: FakePayroll) -> Source:
    """A connection whose webhook address is in use."""
    return connected(service, client, payroll, "10")


def _token(source: Source) -> str:
    return source.webhook_path.split("/")[2]


def _shape(client: TestClient, token: str) -> tuple[int, str, list[tuple[str, str]]]:
    """Return an answer as a stranger can compare it: the request id aside, which is new each time."""
    answer = client.post(PATH.format(token), content=b"{}")
    return answer.status_code, answer.text, sorted((n, v) for n, v in answer.headers.items() if n != "x-request-id")


def test_every_address_that_is_not_in_use_looks_the_same(client: TestClient, clock: FakeClock, source: Source) -> None:
    """A made-up token, one that is nearly right, one that was replaced and one that is much too long: one answer."""
    token = _token(source)
    assert _shape(client, token)[0] == 202
    assert source.boss.post(f"/v1/connections/{source.connection_id}/webhook-token").status_code == 201
    assert _shape(client, token)[0] == 202
    clock.forward(hours=73)
    made_up = ["x", token[:-1], token + "x", token.swapcase(), "z" * 5_000, "%00", "%ff", token]

    answers = [_shape(client, each) for each in made_up]

    assert [each for each in answers if each != answers[0]] == []
    assert answers[0][0] == 404


def test_a_stranger_is_answered_before_the_body_is_read(app: FastAPI, ctx: Context) -> None:
    """The answer is there while the body is not: not one of its bytes was needed."""
    with listening(app) as port, connect(port) as connection:
        connection.sendall(head(PATH.format("unknown"), "Content-Length: 60000", method="POST"))
        answer = read_answer(connection, "POST")
    assert (answer.status, answer.problem["code"], answer.headers["connection"]) == (404, "not_found", "close")
    with ctx.engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM webhook_delivery")).scalar_one() == 0


def test_an_address_that_was_in_use_is_a_strangers_again(
    app: FastAPI, client: TestClient, clock: FakeClock, source: Source
) -> None:
    """The first webhook after its end is read and refused; from the next on no byte of a body is needed."""
    token = _token(source)
    assert _shape(client, token)[0] == 202
    assert source.boss.post(f"/v1/connections/{source.connection_id}/webhook-token").status_code == 201
    clock.forward(hours=73)
    assert _shape(client, token)[0] == 404
    in_time = DEFAULT_READ_SECONDS / 2  # a body that was waited for would take all of it
    with listening(app) as port, connect(port, seconds=in_time) as connection:
        connection.sendall(head(PATH.format(token), "Content-Length: 60000", method="POST"))
        assert read_answer(connection, "POST").status == 404


def test_only_the_hash_of_a_token_is_kept(ctx: Context, source: Source) -> None:
    """256 random bits, of which the database holds a SHA-256 and nothing else."""
    with ctx.engine.connect() as connection:
        rows = [str(row) for row in connection.execute(sa.text("SELECT * FROM webhook_token"))]
    assert rows
    assert not any(_token(source)[5:] in row for row in rows)
    assert re.fullmatch(r"lsw_[A-Za-z0-9_-]{43}", _token(source))
