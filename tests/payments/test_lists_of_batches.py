"""A page of batches asks once for what its batches have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

from app.payments import expiring
from tests.payments.payroll_document import Line
from tests.support.house import House, document, lines


@contextmanager
def _statements(engine: Engine) -> Iterator[list[str]]:
    """Give the statements that are sent to the database in this block."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


def _batches(house: House, count: int) -> list[dict[str, Any]]:
    rows = lines(2)
    return [
        house.uploaded_batch(
            document([Line(**{**vars(row), "amount": f"{1_000 + n}.00"}) for row in rows]), year=2026, period=n
        )
        for n in range(1, count + 1)
    ]


def test_holds_and_limits_are_asked_once_a_page(house: House) -> None:
    """Four batches of one account: one question for holds; the account's limits no oftener than for decided ones."""
    batches = _batches(house, 4)
    for batch in batches:
        shown = {"If-Match": f'"r{batch["revision"]}"'}
        answer = house.boss.post(f"/v1/payment-batches/{batch['id']}/rejection", {"reason": "r"}, headers=shown)
        assert answer.is_success, answer.text

    with _statements(house.ctx.request_engine) as sent:
        page = house.boss.get("/v1/payment-batches").json()

    assert len(page) == 4
    assert len([each for each in sent if "FROM hold" in each]) == 1
    days = {batch["requested_execution_date"] for batch in page}
    assert len([each for each in sent if "FROM payment_limit" in each]) == 2 * len(days)


def test_each_batch_of_a_page_shows_its_own_holds(house: House) -> None:
    """A hold on one batch stands on that one alone."""
    first, second = _batches(house, 2)
    answer = house.boss.post(f"/v1/payment-batches/{first['id']}/holds", {"reason": "Eerst nog bellen."})
    assert answer.is_success, answer.text

    page = {batch["id"]: batch["holds"] for batch in house.boss.get("/v1/payment-batches").json()}

    assert [hold["reason"] for hold in page[first["id"]]] == ["Eerst nog bellen."]
    assert page[second["id"]] == []


def test_neither_a_page_nor_the_sweep_reads_the_bytes_of_files(house: House) -> None:
    """Files of several megabytes are behind a page; the sweep asks for the files of all its batches at once.

    Nor do they read what was kept of each approval.
    """
    for batch in _batches(house, 3):
        assert house.boss.approve(batch).status_code == 201

    with _statements(house.ctx.request_engine) as listed:
        page = house.boss.get("/v1/payment-batches").json()
    with _statements(house.ctx.engine) as swept:
        expiring.note_attention(house.ctx)

    assert [len(batch["files"]) for batch in page] == [1, 1, 1]
    assert [each for each in (*listed, *swept) if "content_sealed" in each or "approved_frame" in each] == []
    assert len([each for each in swept if each.startswith("SELECT payment_file")]) == 1


def test_findings_come_in_pages_without_gap_or_repeat(house: House) -> None:
    """A batch may have as many findings as lines: whoever follows the links reads each once, in the same order."""
    rows = [Line(**{**vars(row), "name": f"{row.name} ✓"}) for row in lines(4)]
    batch = house.uploaded_batch(document(rows))
    whole = house.findings(batch["id"])
    path: str | None = f"/v1/payment-batches/{batch['id']}/findings?limit=3"

    read: list[dict[str, Any]] = []
    while path is not None:
        page = house.boss.get(path)
        assert 0 < len(page.json()) <= 3
        read += page.json()
        path = page.links.get("next", {}).get("url")

    assert len(whole) > 4
    assert read == whole
