"""Files for the bank: good ones from the service's writer, and the same with one thing spoiled."""

from dataclasses import replace
from datetime import date

from app.payments.sepa import build_file
from app.payments.sepa_model import SCHEMA_2009, SCHEMA_2019, FileContent
from simulators.bank.rulebook import Rulebook
from simulators.bank.taking import Judgement, judge_file
from tests.payments.sepa_examples import CREATED_AT, content, instruction, rich_content

TODAY = CREATED_AT.date()
SCHEMAS = (SCHEMA_2019, SCHEMA_2009)


def good_file(schema: str = SCHEMA_2019, **changes: object) -> bytes:
    """A file of two salary lines."""
    return build_file(replace(content(schema=schema), **changes))  # type: ignore[arg-type]  # any field of the content


def rich_file(schema: str = SCHEMA_2019) -> bytes:
    """A file with every kind of line that the service writes, in two instructions."""
    return build_file(rich_content(schema))


def renamed(content: FileContent, message_id: str) -> FileContent:
    """The same payments under other ids of message and instructions."""
    blocks = [
        replace(block, payment_information_id=f"{message_id}-{n}")
        for n, block in enumerate(content.instructions, start=1)
    ]
    return replace(content, message_id=message_id, instructions=blocks)


def one_block(*, message_id: str = "BATCH-1") -> bytes:
    """A good file with this message id; all its lines are always the same."""
    return build_file(renamed(content(instructions=[instruction()]), message_id))


def spoiled(data: bytes, old: str, new: str, *, times: int = 1) -> bytes:
    """The file with the first `times` places of `old` changed; it must hold them."""
    assert data.count(old.encode()) >= times
    return data.replace(old.encode(), new.encode(), times)


def judged(
    data: bytes, *, rules: Rulebook | None = None, today: date = TODAY, file_name: str | None = None
) -> Judgement:
    """The bank's judgement on the day that the examples were made."""
    return judge_file(data, rules=rules or Rulebook(), today=today, file_name=file_name)


def reasons(data: bytes, *, rules: Rulebook | None = None, today: date = TODAY) -> list[tuple[str, str]]:
    """Code and place of everything that the bank refuses."""
    return [(reason.code, reason.where) for reason in judged(data, rules=rules, today=today).reasons]
