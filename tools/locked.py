"""What a requirements lock says: each package with its version, hashes, and what asks for it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_PIN = re.compile(r"(?P<name>[a-z0-9][a-z0-9-]*)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_VIA = re.compile(r"^\s+#\s+(?:via\s+)?(?P<name>[A-Za-z0-9][\w.-]*)(?: \(pyproject\.toml\S*\))?$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Pin:
    """One package of a lock. `wanted_by` are names of packages, or of the project itself."""

    name: str
    version: str
    hashes: tuple[str, ...]
    wanted_by: tuple[str, ...]


class UnreadableLock(Exception):
    """A lock holds something that is no pinned package with hashes."""


def pins(text: str) -> list[Pin]:
    """Return every package of a lock, by name and version; UnreadableLock names the line that cannot be read."""
    return sorted(_pin(block) for block in _blocks(text))


def _blocks(text: str) -> Iterator[str]:
    for block in re.split(r"\n(?=\S)", f"\n{text}"):
        if block.strip() and not block.lstrip("\n").startswith("#"):
            yield block.lstrip("\n")


def _pin(block: str) -> Pin:
    found, hashes = _PIN.match(block), _HASH.findall(block)
    if found is None or not hashes:
        raise UnreadableLock(f"no pinned package with hashes: {block.splitlines()[0]}")
    wanted_by = {match["name"].lower() for match in _VIA.finditer(block)} - {"via"}
    return Pin(
        name=found["name"],
        version=found["version"],
        hashes=tuple(sorted(hashes)),
        wanted_by=tuple(sorted(wanted_by)),
    )
