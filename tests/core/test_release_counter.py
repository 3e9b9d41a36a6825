"""The release counter's file: it never goes back, survives a crash at any byte, and is shared by threads and others."""

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from app.core.release_counter import CounterMissing, CounterUnreadable, HandOut, Mark, ReleaseCounter

INSTALLATION = UUID(int=7)
EMPLOYER, OTHER = UUID(int=1), UUID(int=2)
NINE = datetime(2026, 11, 18, 9, tzinfo=UTC)


def mark(sequence: int, *, of: UUID = EMPLOYER, file: str | None = None, at: datetime = NINE) -> Mark:
    """Return a mark; with `file`, of a file that left."""
    out = None if file is None else HandOut(batch_id=UUID(int=sequence), message_id=file)
    return Mark(organization_id=of, sequence=sequence, mac=f"{sequence:02x}", at=at, hand_out=out)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the counter is, in a folder that is not there yet."""
    return tmp_path / "kept" / "release-counter"


@pytest.fixture
def counter(path: Path) -> ReleaseCounter:
    """A counter that has begun."""
    begun = ReleaseCounter(path)
    assert begun.begin(INSTALLATION) == INSTALLATION
    return begun


def sequences(counter: ReleaseCounter) -> dict[UUID, int]:
    """Return how far each organization is."""
    return {organization_id: each.sequence for organization_id, each in counter.marks().items()}


def names(marks: Sequence[Mark]) -> list[str]:
    """Return the message ids of these hand-outs."""
    return [each.hand_out.message_id for each in marks if each.hand_out is not None]


def test_without_a_file_nobody_has_counted(path: Path) -> None:
    """No file is told apart from an empty one, and nothing is added to what is not there."""
    counter = ReleaseCounter(path)
    assert (counter.installation(), counter.marks()) == (None, {})
    with pytest.raises(CounterMissing):
        counter.add([mark(1)])
    assert not path.exists()


def test_who_begins_second_finds_the_first(counter: ReleaseCounter, path: Path) -> None:
    """Two processes that begin at once have one counter, and only its owner reads it."""
    assert ReleaseCounter(path).begin(UUID(int=8)) == INSTALLATION
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_was_added_is_seen_by_all_in_any_order(counter: ReleaseCounter, path: Path) -> None:
    """The furthest mark counts, also when an earlier one was written after it."""
    other = ReleaseCounter(path)
    assert other.marks() == {}
    counter.add([mark(5, file="MSG-5"), mark(2, of=OTHER)])
    other.add([mark(4, file="MSG-4")])
    for each in (counter, other, ReleaseCounter(path)):
        assert sequences(each) == {EMPLOYER: 5, OTHER: 2}
        assert names(each.hand_outs()) == ["MSG-5", "MSG-4"]
        assert each.mark(EMPLOYER) == mark(5, file="MSG-5")


def test_a_crash_at_every_byte_of_a_line_loses_that_line_only(counter: ReleaseCounter, path: Path) -> None:
    """Half a line says nothing, and is gone when the next one comes."""
    counter.add([mark(1)])
    whole = path.read_bytes()
    counter.add([mark(2, file="MSG-2")])
    longer = path.read_bytes()
    for cut in range(len(whole), len(longer)):
        path.write_bytes(longer[:cut])
        assert sequences(ReleaseCounter(path)) == {EMPLOYER: 1}
        ReleaseCounter(path).add([mark(3)])
        assert sequences(ReleaseCounter(path)) == {EMPLOYER: 3}
        assert path.read_bytes().startswith(whole)
        assert path.read_bytes().count(b"\n") == whole.count(b"\n") + 1


@pytest.mark.parametrize(
    "content",
    [b"", b"{}\n", b"not json\n", b"\xff\xfe\n", b'{"format": "another", "installation": "x"}\n', b"[]\n", b"null\n"],
)
def test_a_file_that_is_something_else_is_refused(path: Path, content: bytes) -> None:
    """An emptied, damaged or foreign file is never taken for a counter that knows nothing."""
    path.parent.mkdir()
    path.write_bytes(content)
    counter = ReleaseCounter(path)
    for look in (counter.installation, counter.marks, lambda: counter.begin(INSTALLATION)):
        with pytest.raises(CounterUnreadable):
            look()


def test_a_line_that_is_no_mark_is_refused_each_time(counter: ReleaseCounter, path: Path) -> None:
    """Damage in the middle is not skipped, however often one looks."""
    counter.add([mark(1)])
    with path.open("ab") as file:
        file.write(b'{"organization": "?"}\n')
    for _ in range(2):
        with pytest.raises(CounterUnreadable):
            counter.marks()


def test_thirty_two_threads_add_whole_lines(counter: ReleaseCounter, path: Path) -> None:
    """Nothing is lost or mixed when many hand out at once."""
    counters = [counter, ReleaseCounter(path)]
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda n: counters[n % 2].add([mark(n, file=f"MSG-{n}")]), range(1, 321)))
    assert sorted(names(ReleaseCounter(path).hand_outs())) == sorted(f"MSG-{n}" for n in range(1, 321))
    assert sequences(counter) == {EMPLOYER: 320}


_ADDS = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID
from app.core.release_counter import Mark, ReleaseCounter
counter = ReleaseCounter(Path(sys.argv[1]), largest_bytes=2000)
print("ready", flush=True)
sys.stdin.readline()
for n in range(int(sys.argv[2]), int(sys.argv[2]) + 50):
    counter.add([Mark(organization_id=UUID(int=n), sequence=n, mac="", at=datetime(2026, 11, 18, tzinfo=UTC))])
"""


def test_processes_share_a_file_that_is_being_shortened(counter: ReleaseCounter, path: Path) -> None:
    """Four processes add to one file while each shortens it; every mark is there in the end."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _ADDS, str(path), str(first)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        for first in (1, 101, 201, 301)
    ]
    for each in running:
        assert each.stdout is not None
        assert each.stdout.readline() == b"ready\n"
    for each in running:
        each.communicate(b"go\n")
        assert each.returncode == 0
    expected = {UUID(int=n) for first in (1, 101, 201, 301) for n in range(first, first + 50)}
    assert set(counter.marks()) == expected


def test_a_file_that_grew_is_shortened_to_what_counts(path: Path) -> None:
    """Of each organization the furthest mark stays, and of what left the house the last 400 days."""
    counter = ReleaseCounter(path, largest_bytes=4000)
    counter.begin(INSTALLATION)
    reader = ReleaseCounter(path)
    counter.add([mark(1, file="OLD", at=NINE - timedelta(days=401)), mark(2, file="RECENT", at=NINE)])
    for n in range(3, 100):
        counter.add([mark(n)])
        assert sequences(reader) == {EMPLOYER: n}
    assert path.stat().st_size < 5000
    assert names(ReleaseCounter(path).hand_outs()) == ["RECENT"]


def test_starting_anew_keeps_the_old_file(counter: ReleaseCounter, path: Path) -> None:
    """After a restore the counter begins from the database as it is; what it knew before is kept as evidence."""
    counter.add([mark(9, file="MSG-9")])
    before, reader = path.read_bytes(), ReleaseCounter(path)
    assert sequences(reader) == {EMPLOYER: 9}
    counter.start_anew(INSTALLATION, [mark(3)], now=NINE)
    kept = [each for each in path.parent.iterdir() if ".until-" in each.name]
    assert [each.read_bytes() for each in kept] == [before]
    for each in (counter, reader, ReleaseCounter(path)):
        assert (sequences(each), each.hand_outs()) == ({EMPLOYER: 3}, ())


def test_a_damaged_file_can_be_started_anew(path: Path) -> None:
    """What cannot be read is kept, and a new one takes its place."""
    path.parent.mkdir()
    path.write_bytes(b"damaged\n")
    counter = ReleaseCounter(path)
    counter.start_anew(INSTALLATION, [mark(3)], now=NINE)
    assert (counter.installation(), sequences(counter)) == (INSTALLATION, {EMPLOYER: 3})
