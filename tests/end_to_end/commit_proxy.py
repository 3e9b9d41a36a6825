"""Stands between the service and PostgreSQL, passes everything on, and strikes at a chosen commit, on a chosen side.

It reads the wire protocol only as far as it must: which statement is run, whether a transaction is open, and how many
rows each statement touched. A commit counts when its transaction wrote something: a COMMIT, or a statement outside a
transaction, which PostgreSQL commits by itself at the Sync that follows it. What is written all the time does not
count: heartbeats and periodic jobs of the job engine, and the allowance that every request takes.
"""

import os
import re
import shutil
import socket
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from select import select

import sqlalchemy as sa

from tests.end_to_end.postgres_wire import (
    CANCEL,
    FLUSH,
    Message,
    bound_id,
    bound_statement,
    first_column_id,
    parsed_statement,
    rows_touched,
    startup,
    take,
    text_of,
)

_WRITES = re.compile(
    r"\b(?:INSERT\s+INTO|UPDATE(?!\s+(?:OF|SET|SKIP|NOWAIT)\b)|DELETE\s+FROM|COPY)\s+\"?([a-z_]+)"
    r"|\b(procrastinate_[a-z_]+)_v\d",
    re.IGNORECASE,
)
# What is written whether or not there is anything to do: heartbeats, and the allowance that each look at a page takes.
_BESIDE = frozenset(
    {
        "rate_limit",
        "procrastinate_register_worker",
        "procrastinate_unregister_worker",
        "procrastinate_update_heartbeat",
        "procrastinate_prune_stalled_workers",
        "procrastinate_defer_periodic_job",
    }
)
_PERIODIC = (b"tick", b"sweep")
_FETCH = "procrastinate_fetch_job"
_FINISH = "procrastinate_finish_job"


class Side(StrEnum):
    """Where a strike falls: the COMMIT never reaches PostgreSQL, or its answer never reaches the service."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """What to do at the `nth` commit from now (1 is the next), and on which side of it."""

    nth: int
    side: Side
    act: Callable[[], None]


@dataclass
class CommitProxy:
    """The proxy. `commits` names the tables that each counted commit wrote, in order; `jobs` are those under way."""

    upstream: str
    folder: Path
    commits: list[str] = field(default_factory=list)
    jobs: set[int] = field(default_factory=set)
    _strike: Strike | None = None
    _left: int = 0
    _fell: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _periodic_jobs: set[int] = field(default_factory=set)

    def arm(self, strike: Strike | None) -> None:
        """Strike at a commit from now on; None: not at all."""
        with self._lock:
            self._strike, self._left = strike, strike.nth if strike else 0
            self._fell.clear()

    def has_struck(self, *, within_seconds: float) -> bool:
        """Say whether the strike fell; wait for it so long, because a commit may wrongly come after the answer."""
        return self._fell.wait(within_seconds)

    def url(self, database_url: str) -> str:
        """Return the address of the same database through this proxy."""
        url = sa.make_url(database_url)
        query = {**url.query, "host": str(self.folder)}
        return url.set(query=query).render_as_string(hide_password=False)

    def note_job(self, job_id: int, *, periodic: bool) -> None:
        """Remember that a worker took a job."""
        with self._lock:
            (self._periodic_jobs if periodic else self.jobs).add(job_id)

    def note_end(self, job_id: int) -> None:
        """Remember that a job has ended."""
        with self._lock:
            self.jobs.discard(job_id)

    def is_periodic(self, job_id: int | None) -> bool:
        """Whether a job is one of those that the engine starts by itself."""
        return job_id in self._periodic_jobs

    def reach(self, what: str) -> Side | None:
        """Count a commit that is about to be passed on; tell on which side of it to strike, if at all."""
        with self._lock:
            self.commits.append(what)
            if self._strike is None:
                return None
            self._left -= 1
            if self._left:
                return None
            side = self._strike.side
            if side is Side.BEFORE:
                self._hit()
            return side

    def reach_answer(self) -> None:
        """Strike: PostgreSQL has committed, and the service does not know it yet."""
        with self._lock:
            self._hit()

    def _hit(self) -> None:
        if self._strike is None:
            return
        strike, self._strike = self._strike, None
        strike.act()
        self._fell.set()


class _Gone(Exception):
    """One of the two ends has gone: this connection is over."""


class _Session:
    """One connection of the service, in a thread of its own."""

    def __init__(self, proxy: CommitProxy, client: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = socket.socket(socket.AF_UNIX)
        self._from_client, self._from_server = bytearray(), bytearray()
        self._started = False
        self._statements: dict[str, str] = {}
        self._statement, self._job = "", None  # type: str, int | None
        self._asked: deque[str] = deque()  # statements that were sent and have no answer yet
        self._waiting = bytearray()  # what came since the last Sync and was not passed on
        self._held: bytes | None = None  # a Sync that would commit; it waits until its statements have been answered
        self._open = False
        self._written: set[str] = set()
        self._committing = False
        self._ends: int | None = None

    def run(self) -> None:
        """Pass everything on until one end goes away."""
        with self._client, self._server, suppress(_Gone, OSError):
            self._server.connect(self._proxy.upstream)
            while True:
                ends = [self._server] if self._held else [self._server, self._client]
                ready, _, _ = select(ends, [], [])
                if self._client in ready:
                    self._read(self._client, self._from_client)
                    self._take_from_client()
                if self._server in ready:
                    self._read(self._server, self._from_server)
                    self._take_from_server()

    @staticmethod
    def _read(end: socket.socket, into: bytearray) -> None:
        data = end.recv(1 << 16)
        if not data:
            raise _Gone
        into += data

    def _take_from_client(self) -> None:
        if not self._started:
            first = startup(self._from_client)
            if first is None:
                return
            self._server.sendall(first.raw)
            self._started = first.kind != CANCEL
        while self._held is None and (message := take(self._from_client)) is not None:
            self._waiting += message.raw
            self._asked_by_client(message)

    def _asked_by_client(self, message: Message) -> None:
        match message.kind:
            case b"P":
                name, text = parsed_statement(message.body)
                self._statements[name] = text
                return
            case b"B":
                self._statement = self._statements.get(bound_statement(message.body), "")
                self._job = bound_id(message.body) if _FINISH in self._statement else None
                return
            case b"E":
                self._ask(self._statement)
                return
            case b"D" | b"C":
                return
            case b"Q":
                self._ask(text_of(message.body))
        if message.kind == b"S" and not self._open and any(map(_tables, self._asked)):
            # PostgreSQL answers the statements at the Flush and commits them only at the Sync, which waits here.
            self._held, self._waiting = message.raw, self._waiting[: -len(message.raw)] + FLUSH
        elif self._asked and self._asked[-1].upper().startswith("COMMIT"):
            self._begin_commit()
        self._pass_on()

    def _ask(self, text: str) -> None:
        self._asked.append(text)
        self._open = self._open or text.upper().startswith("BEGIN")

    def _pass_on(self) -> None:
        data, self._waiting = bytes(self._waiting), bytearray()
        self._server.sendall(data)

    def _begin_commit(self) -> None:
        what = _named(self._written)
        self._written = set()
        if not what:
            return
        side = self._proxy.reach(what)
        if side is Side.BEFORE:
            raise _Gone
        self._committing = side is Side.AFTER

    def _take_from_server(self) -> None:
        answer = bytearray()
        while (message := take(self._from_server)) is not None:
            self._answered(message)
            if message.kind == b"Z" and self._committing:
                self._proxy.reach_answer()
                raise _Gone
            answer += message.raw
        self._client.sendall(bytes(answer))
        if self._held is not None and not self._asked:
            held, self._held = self._held, None
            self._begin_commit()
            self._server.sendall(held)
            self._take_from_client()

    def _answered(self, message: Message) -> None:
        match message.kind:
            case b"D" if self._asked and _FETCH in self._asked[0]:
                self._note_job(message.body)
            case b"C":
                self._complete(self._asked.popleft() if self._asked else "", rows_touched(message.body))
            case b"I" if self._asked:
                self._asked.popleft()
            case b"E":
                self._asked.clear()
                self._written, self._committing = set(), False
            case b"Z":
                self._open = message.body != b"I"
                if not self._open and self._ends is not None:
                    self._proxy.note_end(self._ends)
                    self._ends = None
                if not self._open:
                    self._written = set()

    def _note_job(self, row: bytes) -> None:
        job_id = first_column_id(row)
        if job_id is None:
            return
        periodic = any(name in row for name in _PERIODIC)
        self._proxy.note_job(job_id, periodic=periodic)
        if not periodic:
            self._written.add(_FETCH)

    def _complete(self, text: str, rows: int) -> None:
        names = _tables(text) if rows else set()
        if _FINISH in names:
            self._ends = self._job
            if self._proxy.is_periodic(self._job):
                return
        self._written |= names - _BESIDE - {_FETCH}


def _tables(text: str) -> set[str]:
    """Return the tables and the functions of the job engine that a statement may write."""
    return {(table or function).lower() for table, function in _WRITES.findall(text)}


def _named(tables: set[str]) -> str:
    return ", ".join(sorted(tables))


@contextmanager
def commit_proxy(database_url: str) -> Iterator[CommitProxy]:
    """Run a proxy before the PostgreSQL of this address, on a socket in a folder of its own."""
    query: Mapping[str, object] = sa.make_url(database_url).query
    name = f".s.PGSQL.{query['port']}"
    folder = Path(tempfile.mkdtemp(prefix="lsp-"))
    proxy = CommitProxy(upstream=os.fspath(Path(str(query["host"])) / name), folder=folder)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(folder / name))
        listener.listen(64)
        threading.Thread(target=_serve, args=(proxy, listener), daemon=True).start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            shutil.rmtree(folder)


def _serve(proxy: CommitProxy, listener: socket.socket) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:  # the proxy has ended
            return
        threading.Thread(target=_Session(proxy, client).run, daemon=True).start()
