"""Lists that may be long are read page by page, without gap or repeat; nothing at their end is cut off in silence."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from app.auth.models import Role
from tests.support.house import House, Person, document, lines

_FIVE = 5


def _all_pages(person: Person, path: str) -> list[Any]:
    """Follow the links from page to page, two things at a time, and return all that was read."""
    read: list[Any] = []
    address: str | None = f"{path}?limit=2"
    while address is not None:
        page = person.get(address)
        assert page.status_code == 200, page.text
        assert 0 < len(page.json()) <= 2
        read += page.json()
        address = page.links.get("next", {}).get("url")
    return read


def _reject(house: House, batch: Mapping[str, Any]) -> None:
    body = {"reason": "Wrong month."}
    answer = house.boss.post(f"/v1/payment-batches/{batch['id']}/rejection", body, headers={"If-Match": '"r1"'})
    assert answer.is_success, answer.text


def _unpaid(house: House) -> str:
    _reject(house, house.uploaded_batch(document(lines(3))))
    _reject(house, house.uploaded_batch(document(lines(2, cents=300_000), day="2026-12-24")))
    return "/v1/unpaid-transfers"


def _proposals(house: House) -> str:
    house.second_person()
    for n in range(_FIVE):
        batch = house.uploaded_batch(document(lines(1, cents=300_000 + n), day=f"2026-12-{14 + n}"))
        house.acknowledge_all(batch)
        assert house.boss.approve(house.batch(batch["id"])).status_code == 201
        house.handed_out(batch["id"])
        answer = house.boss.post(f"/v1/payment-batches/{batch['id']}/withdrawals", {"reason": "Not read in."})
        assert answer.status_code == 202, answer.text
    return "/v1/proposals"


def _reveals(house: House) -> str:
    batch = house.uploaded_batch(document(lines(1)))
    auditor = house.second_person("auditor", Role.AUDITOR)
    for _ in range(_FIVE):
        answer = auditor.post(f"/v1/payment-batches/{batch['id']}/reveals", {"reason": "Controle jaarrekening"})
        assert answer.status_code == 201, answer.text
    return f"/v1/employers/{house.employer_id}/reveals"


def _history(house: House) -> str:
    batch = house.uploaded_batch(document(lines(1)))
    for n in range(_FIVE):
        answer = house.boss.approve(batch, pin=f"{n:05}1")
        assert answer.status_code == 403, answer.text
    return f"/v1/payment-batches/{batch['id']}/history"


@pytest.mark.parametrize("fill", [_unpaid, _proposals, _reveals, _history])
def test_a_list_comes_in_pages_without_gap_or_repeat(house: House, fill: Callable[[House], str]) -> None:
    """Whoever follows the links reads each thing once, in the order of the whole list."""
    path = fill(house)
    whole = house.boss.get(path).json()

    assert len(whole) >= _FIVE
    assert _all_pages(house.boss, path) == whole


@pytest.mark.parametrize("fill", [_unpaid, _proposals, _reveals, _history])
@pytest.mark.parametrize("cursor", ["none", "bm9uZQ==", "YXxifGM=", "YXxi", "ë"])
def test_a_cursor_of_no_list_is_refused_by_name(house: House, fill: Callable[[House], str], cursor: str) -> None:
    """A cursor that was cut off, or made up, is a fault of the input, and the answer says where to take one from."""
    path = fill(house) if fill is not _proposals else "/v1/proposals"

    answer = house.boss.get(f"{path}?cursor={cursor}")

    assert answer.status_code == 422
    (problem,) = answer.json()["errors"]
    assert (problem["pointer"], problem["code"]) == ("query:cursor", "cursor")


def test_what_leaves_the_list_of_unpaid_lines_between_two_pages_shifts_nothing(house: House) -> None:
    """A line that was on the page before is paid elsewhere meanwhile: the next page starts where it would have."""
    path = _unpaid(house)
    whole = [each["transfer"]["id"] for each in house.boss.get(path).json()]
    first = house.boss.get(f"{path}?limit=2")
    closed = house.boss.post(f"/v1/transfers/{whole[1]}/paid-elsewhere", {"reason": "By hand at the bank."})

    second = house.boss.get(first.links["next"]["url"])

    assert closed.status_code == 201, closed.text
    assert [each["transfer"]["id"] for each in second.json()] == whole[2:4]
    assert (first.headers["X-Total-Count"], second.headers["X-Total-Count"]) == ("5", "4")
