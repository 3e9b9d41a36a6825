"""Keep app/core/example_secrets.txt: the hashes of everything in this repository that could pass for a secret.

    python -m tools.example_secrets            adds what is missing
    python -m tools.example_secrets --check    says what is missing; exit code 1 when something is

Nothing is ever taken out: a value that once stood here is known for ever.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from app.core.secret_checks import example_hashes, list_of

ROOT = Path(__file__).parents[1]
LIST = ROOT / "app" / "core" / "example_secrets.txt"
_HEAD = """\
# SHA-256 of the values in this repository that could pass for a secret. Production refuses them (secret_checks.py).
# Written by `./run example-secrets`; a line is never taken out.
"""
_NAMED = r"(?:(?<!foreign_)keys?|secret|token|password|passwd|passphrase)"
_PATTERNS = (
    re.compile(r"(?<![0-9A-Za-z])[0-9a-fA-F]{32,}(?![0-9A-Za-z])"),
    re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/_-]{32,}={0,2}(?![A-Za-z0-9+/=_-])"),
    re.compile(r"://[^\s:@/\"']*:([^\s@/\"']+)@"),
    re.compile(rf"(?i){_NAMED}\w*[\"']?\s*[:=]\s*(?:SecretStr\()?[a-z]?\"([^\"\n]+)\""),
    re.compile(rf"(?i){_NAMED}\w*[\"']?\s*[:=]\s*(?:SecretStr\()?[a-z]?'([^'\n]+)'"),
    re.compile(r"(?m)^\W*[A-Z_]*(?:KEY|KEYS|SECRET|TOKEN|PASSWORD)\s*[:=]\s*([^\s\"'#]+)$"),
    re.compile(r"SecretStr\([\"']([^\"'\n]+)[\"']\)"),
)
_LONG = 32
# The hashes of packages are no examples of anything, and there are thousands.
_LEFT_OUT = re.compile(r"(^|/)requirements[\w-]*\.lock$|^app/core/example_secrets\.txt$")


def tracked_texts() -> Iterator[tuple[str, str]]:
    """Give the path and text of every file that git keeps."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S607 - git is found on PATH
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if not _LEFT_OUT.search(name) and path.is_file():
            yield name, path.read_text(encoding="utf-8", errors="replace")


def candidates(text: str) -> set[str]:
    """Return everything in a text that looks like a secret: random-looking words, passwords in addresses, constants."""
    found = {match.group(match.lastindex or 0) for pattern in _PATTERNS for match in pattern.finditer(text)}
    return {each for each in found if not _is_code(each) and not _is_a_name(each)}


def _is_code(text: str) -> bool:
    """Say whether this is an expression, a place for one, or the path of a file."""
    return re.search(r"[{}()]|^/", text) is not None


def _is_a_name(text: str) -> bool:
    """Say whether this is a name of a function, a path or a title: words, not a mixture of letters and digits."""
    return len(text) >= _LONG and re.fullmatch(r"[A-Za-z0-9+/_-]+", text) is not None and not _is_mixed(text)


def _is_mixed(text: str) -> bool:
    if re.fullmatch(r"[0-9a-fA-F]+", text):
        return True
    return all(re.search(kind, text) for kind in ("[A-Z]", "[a-z]", "[0-9]"))


def all_candidates() -> dict[str, str]:
    """Return every candidate of the repository with a file it stands in."""
    return {each: name for name, text in tracked_texts() for each in candidates(text)}


def main() -> int:
    """Add what is missing, or with --check only say so."""
    found = all_candidates()
    missing = list_of(found) - example_hashes()
    if "--check" in sys.argv[1:]:
        for each, name in sorted(found.items()):
            if list_of([each]) - example_hashes():
                print(f"{name} holds something like a secret that production would take: run ./run example-secrets")
        return 1 if missing else 0
    LIST.write_text(_HEAD + "\n".join(sorted(example_hashes() | missing)) + "\n", encoding="ascii")
    print(f"{LIST.relative_to(ROOT)}: {len(missing)} added, {len(example_hashes() | missing)} in all.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
