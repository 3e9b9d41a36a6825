"""The tables of docs/bank-profiles.md, made from the profiles. Run as a program, it writes them into the page."""

from collections.abc import Callable, Sequence

from app.payments.bank_profiles import BANK_PROFILES, DEFAULT_PROFILE, NOT_FOUND, BankProfile
from tests.docs.made_tables import DOCS, write_into

PAGE = DOCS / "bank-profiles.md"
_SAME = "-"
_FIGURES: Sequence[tuple[str, Callable[[BankProfile], str]]] = (
    ("file format", lambda bank: bank.default_schema),
    ("lines a file", lambda bank: f"{bank.maximum_transactions_per_file:,}"),
    ("lines a batch in it", lambda bank: f"{bank.maximum_transactions_per_instruction:,}"),
    ("bytes a file", lambda bank: f"{bank.maximum_bytes:,}"),
    ("hand in before", lambda bank: f"{bank.cut_off:%H:%M}" + _days_earlier(bank.lead_bank_days)),
    ("days ahead", lambda bank: str(bank.horizon_days)),
    ("bank days it tries again without funds", lambda bank: str(bank.retry_bank_days)),
    ("days to sign", lambda bank: str(bank.signature_days)),
    ("shows the hash", lambda bank: "yes" if bank.shows_hash else "no"),
)


def _days_earlier(days: int) -> str:
    return f", {days} bank days earlier" if days else ""


def tables() -> str:
    """Return the table of figures and the table of sources."""
    heads = ["bank", "code in the IBAN", *(name for name, _ in _FIGURES)]
    figures = [[DEFAULT_PROFILE.name, "any other", *(show(DEFAULT_PROFILE) for _, show in _FIGURES)]]
    figures += [[bank.name, f"`{bank.code}`", *_figures(bank)] for bank in BANK_PROFILES.values()]
    sources = [[bank.name, bank.source, _read_on(bank)] for bank in BANK_PROFILES.values()]
    return f"{_table(heads, figures)}\n{_table(['bank', 'source', 'read on'], sources)}"


def _figures(bank: BankProfile) -> list[str]:
    return [_SAME if show(bank) == show(DEFAULT_PROFILE) else show(bank) for _, show in _FIGURES]


def _read_on(bank: BankProfile) -> str:
    return _SAME if bank.source == NOT_FOUND or bank.verified_on is None else bank.verified_on.isoformat()


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    write_into(PAGE, tables())
