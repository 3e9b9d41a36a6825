"""An HTTP request and its answer, free of sockets; server.py carries them."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto


class Ending(Enum):
    """How the answer ends on the wire."""

    WHOLE = auto()
    HALF = auto()  # headers promise the whole body, the connection closes after half of it
    RESET = auto()  # no byte at all, the connection is reset


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """What came in. Header names are lower case."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Time (seconds) to let pass before answering, cut short when `lifted` is set."""

    seconds: float
    lifted: threading.Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What goes out. A body that is no bytes object is sent in chunks as it is made."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Iterable[bytes] = b""
    ending: Ending = Ending.WHOLE
    pause: Pause | None = None
