"""docs/security.md says what is there."""

import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PAGE = (_ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def test_every_file_and_test_that_the_page_names_exists() -> None:
    """A control or a test that was renamed is found in the table under its new name."""
    named = set(re.findall(r"`((?:app|tests|tools|benchmarks|deploy|alembic)/[\w./-]+)`", _PAGE))

    assert named
    assert sorted(path for path in named if not (_ROOT / path).exists()) == []
