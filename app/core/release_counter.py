"""The release counter: where every history stood, kept in a file outside the database (ADR 0020).

A database that was set back cannot know it. This file can: it says of each organization the number and the mac of its
last record known here, and of each file that left the house when and under which message id. A line is on the disk
before the bytes it speaks of leave. One JSON document a line; the first names the installation. No names, no amounts.

Several processes share one file: they add under a lock on `<file>.lock`, and a line that a crash cut off is removed by
whoever adds next. It never goes back; it is only ever started anew, with the old one kept beside it.
"""

import fcntl
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

_FORMAT: Final = "loonstroom-release-counter-1"
_LARGEST_BYTES: Final = 16 * 1024 * 1024
_HAND_OUTS_KEPT: Final = timedelta(days=400)  # no backup that is put back is older
_READ_BYTES: Final = 1024 * 1024
_LONGEST_HEAD: Final = 1024


class CounterMissing(Exception):
    """There is no such file."""


class CounterUnreadable(Exception):
    """The file holds something else than a release counter, or cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOut:
    """A file that left the house: which batch, and the message id by which the bank and the employer know it."""

    batch_id: UUID
    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Where a history stood: number and mac (hex, empty for records older than the key) of a committed record."""

    organization_id: UUID
    sequence: int
    mac: str
    at: datetime
    hand_out: HandOut | None = None


class ReleaseCounter:
    """One release counter file. Safe for threads and for processes that share it."""

    def __init__(self, path: Path, *, largest_bytes: int = _LARGEST_BYTES) -> None:
        self._path = path
        self._lock_path = path.with_name(f"{path.name}.lock")
        self._largest_bytes = largest_bytes
        self._shortest_bytes = 0
        self._reading = threading.Lock()
        self._forget()

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._path

    def installation(self) -> UUID | None:
        """Return whose counter this is; None when there is no file. `CounterUnreadable` when it is something else."""
        with self._reading:
            self._read_on()
            return self._installation

    def marks(self) -> Mapping[UUID, Mark]:
        """Return the furthest mark of each organization; empty without a file."""
        with self._reading:
            self._read_on()
            return dict(self._marks)

    def mark(self, organization_id: UUID) -> Mark | None:
        """Return the furthest mark of one organization."""
        with self._reading:
            self._read_on()
            return self._marks.get(organization_id)

    def hand_outs(self) -> Sequence[Mark]:
        """Return the marks of files that left the house, oldest first."""
        with self._reading:
            self._read_on()
            return tuple(self._hand_outs)

    def begin(self, installation_id: UUID) -> UUID:
        """Make the file where there is none; return whose counter it is, which another may have made first."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._alone():
            if not self._path.exists():
                self._replace(installation_id, ())
        found = self.installation()
        if found is None:
            raise CounterMissing
        return found

    def add(self, marks: Iterable[Mark]) -> None:
        """Put marks on the disk; they are there when this returns. `CounterMissing` or `OSError` when they are not."""
        lines = b"".join(_line(mark) for mark in marks)
        if not lines:
            return
        with self._alone():
            try:
                descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            except FileNotFoundError:
                raise CounterMissing from None
            try:
                _cut_torn_line(descriptor)
                _write_all(descriptor, lines)
                os.fsync(descriptor)
                size = os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)
            if size > max(self._largest_bytes, 2 * self._shortest_bytes):
                self._shorten()

    def start_anew(self, installation_id: UUID, marks: Iterable[Mark], *, now: datetime) -> None:
        """Begin again from these marks. The old file is kept beside it under the moment, as evidence."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._alone():
            if self._path.exists():
                with suppress(CounterUnreadable):  # it is kept as it is
                    self.installation()
                kept = self._path.with_name(f"{self._path.name}.until-{now:%Y%m%dT%H%M%S%fZ}")
                os.link(self._path, kept)
            self._replace(installation_id, marks)

    def _forget(self) -> None:
        self._head = b""
        self._offset = 0
        self._generation = 0
        self._installation: UUID | None = None
        self._marks: dict[UUID, Mark] = {}
        self._hand_outs: list[Mark] = []

    def _read_on(self) -> None:
        """Take in what was added since the last look; everything again when the file is another one."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._forget()
            return
        except OSError as error:
            raise CounterUnreadable(f"{self._path} cannot be read: {error.strerror}") from error
        with os.fdopen(descriptor, "rb") as file:
            head = file.readline(_LONGEST_HEAD)
            if head != self._head or os.fstat(descriptor).st_size < self._offset:
                self._forget()
                self._head = head
            file.seek(self._offset)
            self._take_in(file.read())
        if self._installation is None:
            raise CounterUnreadable(f"{self._path} is not a release counter")

    def _take_in(self, data: bytes) -> None:
        """Take in whole lines. What follows the last one is being written, or was cut off by a crash."""
        whole = data[: data.rfind(b"\n") + 1]
        try:
            for line in whole.splitlines():
                self._take_line(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._forget()
            raise CounterUnreadable(f"{self._path} holds a line that is no mark") from error
        self._offset += len(whole)

    def _take_line(self, content: Mapping[str, Any]) -> None:
        if self._installation is None:
            if content["format"] != _FORMAT:
                raise ValueError("another format")
            self._generation = int(content["generation"])
            self._installation = UUID(content["installation"])
            return
        mark = _mark(content)
        before = self._marks.get(mark.organization_id)
        if before is None or mark.sequence >= before.sequence:  # two may add in another order than they read
            self._marks[mark.organization_id] = mark
        if mark.hand_out is not None:
            self._hand_outs.append(mark)

    def _shorten(self) -> None:
        """Write only what still counts: the furthest marks and the hand-outs of the last 400 days."""
        with self._reading:
            self._read_on()
            if self._installation is None:
                raise CounterMissing
            newest = max(mark.at for mark in self._marks.values())
            kept = [mark for mark in self._hand_outs if newest - mark.at <= _HAND_OUTS_KEPT]
            self._replace(self._installation, [*kept, *self._marks.values()])
            self._shortest_bytes = self._path.stat().st_size

    def _replace(self, installation_id: UUID, marks: Iterable[Mark]) -> None:
        """Put another file in its place. The generation tells it from every file before it, for who has read one."""
        content = {"format": _FORMAT, "installation": str(installation_id), "generation": self._generation + 1}
        head = json.dumps(content).encode() + b"\n"
        fresh = self._path.with_name(f"{self._path.name}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_all(descriptor, head + b"".join(_line(mark) for mark in marks))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        fresh.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)  # the new name must outlive a power cut as well
        finally:
            os.close(folder)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            raise CounterMissing from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _line(mark: Mark) -> bytes:
    content: dict[str, Any] = {
        "organization": str(mark.organization_id),
        "sequence": mark.sequence,
        "mac": mark.mac,
        "at": mark.at.isoformat(),
    }
    if mark.hand_out is not None:
        content |= {"batch": str(mark.hand_out.batch_id), "message_id": mark.hand_out.message_id}
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def _mark(content: Mapping[str, Any]) -> Mark:
    batch = content.get("batch")
    return Mark(
        organization_id=UUID(content["organization"]),
        sequence=int(content["sequence"]),
        mac=str(content["mac"]),
        at=datetime.fromisoformat(content["at"]),
        hand_out=None if batch is None else HandOut(batch_id=UUID(batch), message_id=content["message_id"]),
    )


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _cut_torn_line(descriptor: int) -> None:
    """Remove what follows the last complete line: somebody died while writing it, so nothing left on its word."""
    size = os.fstat(descriptor).st_size
    end = size
    while end:
        start = max(0, end - _READ_BYTES)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    if end != size:
        os.ftruncate(descriptor, end)
