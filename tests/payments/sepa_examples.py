"""Builders of invented payment files, for the tests of everything that writes or checks them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from hypothesis import strategies as st

from app.payments.ports import RemittanceKind
from app.payments.sepa_model import SCHEMAS, FileContent, FileInstruction, FileTransfer

CREATED_AT = datetime(2026, 11, 21, 9, 30, 15, 123456, tzinfo=UTC)
EXECUTION_DATE = date(2026, 11, 25)


def iban(number: int, bank: str = "ABNA") -> str:
    """Return a Dutch IBAN with right check digits for an invented account number."""
    account = f"{bank}{number:010d}"
    digits = "".join(str(int(character, 36)) for character in f"{account}NL00")
    return f"NL{98 - int(digits) % 97:02d}{account}"


DEBTOR_IBAN = iban(100_000_001, "INGB")


def transfer(n: int = 1, **changes: Any) -> FileTransfer:
    """Return an ordinary salary line; equal n give equal lines, other n other ids, people, accounts and amounts."""
    line = FileTransfer(
        end_to_end_id=f"LINE{n:026d}",
        amount_cents=200_000 + n,
        creditor_name=f"A. Voorbeeld-{n}",
        creditor_iban=iban(n),
        creditor_bic=None,
        remittance_kind=RemittanceKind.UNSTRUCTURED,
        remittance_text="Salaris november 2026",
    )
    return replace(line, **changes)


def reference_line(n: int = 90, **changes: Any) -> FileTransfer:
    """Return a line with a Dutch payment reference, as a tax office asks for."""
    line = transfer(
        n,
        creditor_name="Ontvanger Voorbeeld",
        remittance_kind=RemittanceKind.STRUCTURED,
        remittance_text="5000056789012345",
        reference_type="SCOR",
        reference_issuer="CUR",
    )
    return replace(line, **changes)


def bare_line(n: int = 80, **changes: Any) -> FileTransfer:
    """Return a line without remittance information."""
    return transfer(n, remittance_kind=RemittanceKind.NONE, remittance_text="", **changes)


def instruction(transfers: Sequence[FileTransfer] | None = None, n: int = 1, **changes: Any) -> FileInstruction:
    """Return a salary instruction with two lines, or with the given ones."""
    block = FileInstruction(
        payment_information_id=f"BATCH-1-{n}",
        category_purpose="SALA",
        batch_booking=True,
        transfers=[transfer(1), transfer(2)] if transfers is None else transfers,
    )
    return replace(block, **changes)


def content(**changes: Any) -> FileContent:
    """Return a file with one salary instruction of two lines."""
    file = FileContent(
        schema="pain.001.001.09",
        message_id="BATCH-1",
        created_at=CREATED_AT,
        debtor_name="Voorbeeld Holding B.V.",
        debtor_iban=DEBTOR_IBAN,
        debtor_bic=None,
        requested_execution_date=EXECUTION_DATE,
        instructions=[instruction()],
    )
    return replace(file, **changes)


def one_line(**changes: Any) -> FileContent:
    """Return a file whose first line has these changes, beside an ordinary second one."""
    return content(instructions=[instruction([transfer(1, **changes), transfer(2)])])


def rich_content(schema: str = "pain.001.001.09") -> FileContent:
    """Return a file with every kind of element that we ever write."""
    salaries = [
        transfer(1, amount_cents=1),
        transfer(2, amount_cents=99_999_999_999, creditor_bic="ABNANL2A"),
        bare_line(3),
        transfer(4, creditor_name="O'Voorbeeld, (J.) +/-?:.", remittance_text="/Salaris// 11-2026 + bonus: 50?"),
    ]
    others = [reference_line(90), reference_line(91, remittance_text="RF18539007547034", reference_issuer="ISO")]
    return content(
        schema=schema,
        debtor_bic="INGBNL2A",
        instructions=[
            instruction(salaries, n=1),
            instruction(others, n=2, category_purpose=None, batch_booking=False),
        ],
    )


_INNER = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/-?:().,'+ "
_IDENTIFIERS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=35)
_BICS = st.none() | st.sampled_from(["ABNANL2A", "INGBNL2A", "RABONL2UXXX"])


def _texts(maximum: int) -> st.SearchStrategy[str]:
    return st.text(_INNER, min_size=1, max_size=maximum).map(str.strip).filter(bool)


@st.composite
def _transfers(draw: st.DrawFn, end_to_end_id: str) -> FileTransfer:
    make = draw(st.sampled_from([transfer, bare_line, reference_line]))
    line: FileTransfer = make(
        draw(st.integers(1, 99_999_999)),
        end_to_end_id=end_to_end_id,
        amount_cents=draw(st.integers(1, 99_999_999_999)),
        creditor_name=draw(_texts(70).filter(lambda name: any(map(str.isalnum, name)))),
        creditor_bic=draw(_BICS),
    )
    if line.remittance_kind is RemittanceKind.UNSTRUCTURED:
        return replace(line, remittance_text=draw(_texts(140)))
    return line


@st.composite
def contents(draw: st.DrawFn) -> FileContent:
    """Draw any content that the rules allow."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    ids = iter(
        draw(
            st.lists(
                _IDENTIFIERS.filter(lambda text: text != "NOTPROVIDED"),
                min_size=sum(sizes) + len(sizes),
                max_size=sum(sizes) + len(sizes),
                unique=True,
            )
        )
    )
    blocks = [
        FileInstruction(
            payment_information_id=next(ids),
            category_purpose=draw(st.sampled_from([None, "SALA", "PENS", "BONU", "TAXS"])),
            batch_booking=draw(st.booleans()),
            transfers=[draw(_transfers(next(ids))) for _ in range(size)],
        )
        for size in sizes
    ]
    return content(
        schema=draw(st.sampled_from(SCHEMAS)),
        created_at=draw(st.datetimes(datetime(2025, 1, 1), datetime(2026, 11, 20))).replace(tzinfo=UTC),  # noqa: DTZ001
        debtor_name=draw(_texts(70).filter(lambda name: any(map(str.isalnum, name)))),
        debtor_bic=draw(_BICS),
        instructions=blocks,
    )
