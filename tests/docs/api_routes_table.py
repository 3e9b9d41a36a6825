"""The tables of docs/api-routes.md, made from the routes. Run as a program, it writes them into the page."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from fastapi import FastAPI
from pydantic import SecretStr

from app.core.crypto import new_key_text
from app.core.settings import Environment, Settings
from app.main import build, create_app
from tests.docs.made_tables import DOCS, write_into

PAGE = DOCS / "api-routes.md"
_HEADERS = {"if-match": "**If-Match**", "idempotency-key": "key"}


def described_app() -> FastAPI:
    """Return the web service for its description only: it is connected to nothing."""
    settings = Settings(
        environment=Environment.TEST,
        data_dir=Path(gettempdir()),
        encryption_keys=SecretStr(new_key_text("k1")),
        identifier_key=SecretStr("an identifier key for tests, long enough"),
        history_key=SecretStr(new_key_text("h1")),
    )
    return create_app(build(settings, database_url="postgresql+psycopg:///nowhere"), with_worker=False)


def tables() -> str:
    """Return a table of the operations of each chapter, in the order of the routes."""
    chapters: dict[str, list[str]] = {}
    for path, operations in described_app().openapi()["paths"].items():
        for method, operation in operations.items():
            row = f"| `{method.upper()} {path}` | {_what(operation)} | {', '.join(_takes(operation))} |\n"
            chapters.setdefault(operation["tags"][0], []).append(row)
    head = "| operation | does | takes |\n|---|---|---|\n"
    return "\n".join(f"## {name.capitalize()}\n\n{head}{''.join(rows)}" for name, rows in chapters.items())


def _what(operation: Mapping[str, Any]) -> str:
    """Return the first sentence or two of a route's description, as far as its first paragraph goes."""
    return " ".join(operation["description"].partition("\n\n")[0].split()).replace("|", "\\|")


def _takes(operation: Mapping[str, Any]) -> Iterator[str]:
    parameters: Sequence[Mapping[str, Any]] = operation.get("parameters", ())
    headers = {each["name"].lower() for each in parameters if each["in"] == "header"}
    yield from (shown for name, shown in _HEADERS.items() if name in headers)
    yield from (f"`?{each['name']}=`" for each in parameters if each["in"] == "query")


if __name__ == "__main__":
    write_into(PAGE, tables())
