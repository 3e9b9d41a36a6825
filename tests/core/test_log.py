"""What is masked on its way to the log, whoever wrote it."""

import json

import psycopg
import pytest

from app.core.log import mask, mask_event
from tests.support.postgres import TestDatabase


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("paid to NL91ABNA0417164300 today", "paid to IBAN*** today"),
        ("paid to NL91 ABNA 0417 1643 00", "paid to IBAN***"),
        ("token lst_" + "a" * 43, "token lst_***"),
        ("POST /client/secret-part/webhooks/paymentsbatch", "POST /client/***/webhooks/paymentsbatch"),
        ("POST /client/{webhook_token}/webhooks", "POST /client/{webhook_token}/webhooks"),
        ("violates\nDETAIL:  Failing row contains (Jansen, 2500.00).\nmore", "violates\nDETAIL: ***\nmore"),
        ('CONTEXT:  COPY credit_transfer, line 1: "Jansen\\t250000"', "CONTEXT: ***"),
        ("2026-11-21 batch 17 approved", "2026-11-21 batch 17 approved"),
    ],
)
def test_secrets_and_people_are_masked(text: str, masked: str) -> None:
    """IBANs, tokens, webhook addresses and quoted rows go; everything else stays."""
    assert mask(text) == masked


class _Talkative:
    """Something that is no JSON; its text holds an account."""

    def __str__(self) -> str:
        """Return a text that must not be logged."""
        return "paid to NL91ABNA0417164300"


@pytest.mark.parametrize(
    "value",
    [
        ["paid to NL91ABNA0417164300"],
        {"a": {"b": ("NL91 ABNA 0417 1643 00",)}},
        {"NL91ABNA0417164300": 1},
        _Talkative(),
        b"NL91ABNA0417164300 was paid",
        RuntimeError("token lst_" + "a" * 43),
    ],
)
def test_what_lies_deeper_or_is_no_text_is_masked(value: object) -> None:
    """A list, a mapping, an exception, bytes: whatever is written in the end went through the mask."""
    logged = json.dumps(mask_event(None, "info", {"event": "x", "value": value}))

    assert "0417" not in logged
    assert "aaaa" not in logged
    assert "***" in logged


@pytest.mark.parametrize("name", ["pin", "token", "Authorization", "secret", "password"])
def test_what_is_named_as_a_secret_is_hidden_whole(name: str) -> None:
    """Also a PIN, which looks like any number, and also inside something else."""
    for event in ({name: "271828"}, {"body": {name: 271828}}):
        assert "271828" not in str(mask_event(None, "info", event))


def test_a_row_that_postgresql_refuses_is_not_in_the_log(database: TestDatabase) -> None:
    """The message of a real refusal quotes the row; what reaches the log does not."""
    conninfo = database.superuser_url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("CREATE TEMP TABLE pay (name text, cents int CHECK (cents > 0))")
        with pytest.raises(psycopg.errors.CheckViolation) as refusal:
            connection.execute("INSERT INTO pay VALUES ('Medewerker Jansen', -250000)")

    logged = mask_event(None, "error", {"event": "job failed", "exception": str(refusal.value)})

    assert "Medewerker Jansen" in str(refusal.value)
    assert "Medewerker Jansen" not in str(logged)
    assert "250000" not in str(logged)
