"""Logs: one JSON line an event, with names of events and ids only.

Secrets, IBANs, names and amounts of people are never passed to the log; as a net below that, every text that looks like
an IBAN or one of our tokens is masked on its way out.
"""

import logging
import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

_IBAN = re.compile(r"\b[A-Z]{2}[0-9]{2}(?:[ ]?[A-Z0-9]){11,30}\b")
_TOKEN = re.compile(r"\b(lst|lsw)_[A-Za-z0-9_-]{20,}")
_SECRETS = frozenset({"authorization", "password", "pin", "secret", "token"})
# PostgreSQL quotes the row that it refuses: names, amounts and all.
_QUOTED_ROW = re.compile(r"\b(DETAIL|CONTEXT):[^\n]*")
_WEBHOOK_PATH = re.compile(r"/client/(?!\{webhook_token\})[^/\s\"]+/")  # the template of the route may stand


def configure_logging(level: str) -> None:
    """Send everything, also the libraries' logs, through one processor that masks."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        mask_event,
    ]
    structlog.configure(
        # What is below the level is dropped before anything is made of it.
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                mask_event,
                structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # These print requests or SOAP bodies at their lower levels.
    for name in ("zeep", "httpx", "httpcore", "uvicorn.access", "sqlalchemy.engine"):
        logging.getLogger(name).setLevel(logging.WARNING)


def mask_event(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask IBANs, tokens, webhook addresses and rows that PostgreSQL quotes in a log event, however deep they are.

    What is named as a secret is hidden whole. What is no JSON is written as text first, so that nothing is turned into
    text behind this. Members with `_` in front are the logging library's own and are not written.
    """
    return {key: value if key.startswith("_") else _masked(key, value) for key, value in event.items()}


def _masked(name: str, value: object) -> object:
    if name.lower() in _SECRETS:
        return "***"
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {mask(str(key)): _masked(str(key), each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked("", each) for each in value]
    return mask(value if isinstance(value, str) else str(value))


def mask(text: str) -> str:
    """Return the text with IBANs, tokens, webhook addresses and rows that PostgreSQL quotes masked."""
    text = _QUOTED_ROW.sub(r"\1: ***", text)
    text = _TOKEN.sub(r"\1_***", text)
    text = _WEBHOOK_PATH.sub("/client/***/", text)
    return _IBAN.sub("IBAN***", text)


def frames_of(error: BaseException) -> list[str]:
    """Return where an error came from. Its message stays out: it may hold what a person earns."""
    return [
        f"{frame.filename.rpartition('site-packages/')[2]}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)[-8:]
    ]
