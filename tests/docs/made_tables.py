"""Tables on a page of the docs that are made by a program, between two marks."""

from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
_BEGIN, _END = "<!-- tables: begin -->\n", "<!-- tables: end -->\n"


def on_page(page: Path) -> str:
    """Return the tables as they stand on the page."""
    return page.read_text(encoding="utf-8").partition(_BEGIN)[2].partition(_END)[0].strip("\n") + "\n"


def write_into(page: Path, tables: str) -> None:
    """Write the page with the tables of now."""
    text = page.read_text(encoding="utf-8")
    before, after = text.partition(_BEGIN)[0], text.partition(_END)[2]
    page.write_text(f"{before}{_BEGIN}\n{tables}\n{_END}{after}", encoding="utf-8")
