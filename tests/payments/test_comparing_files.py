"""A file at the bank that is not the stored one is noticed: by the hash that the bank shows, or line by line."""

from typing import Any

import pytest

from tests.payments.payments_of import dutch_iban
from tests.support.house import House, Person


def _compare(person: Person, data: bytes) -> Any:
    return person.call(
        "POST", "/v1/payment-files/comparison", content=data, headers={"Content-Type": "application/xml"}
    )


def _deliver(house: House, batch: dict[str, Any], **body: str) -> Any:
    path = f"/v1/payment-batches/{batch['id']}/deliveries"
    return house.boss.post(path, body, headers={"If-Match": f'"r{batch["revision"]}"'})


def test_a_wrong_hash_at_the_bank_stops_the_delivery_and_is_written_down(house: House) -> None:
    """Another hash on the bank's screen is another file: nothing is called delivered, and the history says so."""
    batch = house.approved()
    house.handed_out(batch["id"])

    missing = _deliver(house, batch)
    wrong = _deliver(house, batch, hash_seen="00000000")

    assert (missing.status_code, missing.json()["errors"][0]["code"]) == (422, "hash_missing")
    assert (wrong.status_code, wrong.json()["code"]) == (409, "hash_differs")
    assert house.batch(batch["id"])["status"] == "approved"
    assert house.events().count("file.hash_differs") == 1


def test_the_first_characters_of_either_hash_will_do(house: House) -> None:
    """A bank shows SHA-256 or SHA-1, in capitals or not; both are of the stored bytes."""
    batch = house.approved()
    house.handed_out(batch["id"])

    assert _deliver(house, batch, hash_seen=batch["file"]["sha1"][:8].upper()).json()["status"] == "delivered"


def test_the_stored_file_is_identical(house: House) -> None:
    """Whoever holds the very bytes hears which batch they are of."""
    batch = house.approved()

    found = _compare(house.boss, house.handed_out(batch["id"])).json()

    assert (found["payment_batch_id"], found["is_identical"], found["differences"]) == (batch["id"], True, [])


@pytest.mark.parametrize(
    ("old", "new", "line", "fields"),
    [
        (b'<InstdAmt Ccy="EUR">2501.00', b'<InstdAmt Ccy="EUR">9501.00', 2, ["amount"]),
        (b"<BtchBookg>true", b"<BtchBookg>false", None, ["batch_booking"]),
        (b"<Dbtr><Nm>Bakkerij", b"<Dbtr><Nm>Slagerij", None, ["debtor_name"]),
        (b"</SvcLvl>", b"</SvcLvl><LclInstrm><Cd>INST</Cd></LclInstrm>", None, []),
    ],
)
def test_a_changed_file_shows_where(house: House, old: bytes, new: bytes, line: int | None, fields: list[str]) -> None:
    """A changed amount is named by its line; the same payments in other bytes are not called identical."""
    data = house.handed_out(house.approved()["id"])
    assert data.count(old) == 1

    found = _compare(house.boss, data.replace(old, new)).json()

    assert found["is_identical"] is False
    assert [(each["line"], each["fields"]) for each in found["differences"]] == [(line, fields)]


def test_what_a_program_saved_is_told_from_what_somebody_changed(house: House) -> None:
    """Other line ends are a program's; an element that nobody compares by itself is no reason to trust the file."""
    data = house.handed_out(house.approved()["id"])
    saved, changed = data.replace(b"\n", b"\r\n"), data.replace(b"</CdtTrfTxInf>", b"<X>1</X></CdtTrfTxInf>", 1)

    told = [_compare(house.boss, each).json()["differences"][0]["what"] for each in (saved, changed)]

    assert ["saved by a program" in what for what in told] == [True, False]
    assert told[1].endswith("do not hand it in.")


def test_a_part_that_stands_in_a_file_twice_is_told(house: House) -> None:
    """Some lines moved to a part of the same name that pays from another account: not "the same payments"."""
    batch = house.approved()
    data = house.handed_out(batch["id"]).decode()
    start, line, end = (data.index(tag) for tag in ("<PmtInf>", "<CdtTrfTxInf>", "</PmtInf>"))
    second = data.index("<CdtTrfTxInf>", line + 1)
    other_account = data[start:second].replace(batch["debtor_account"]["iban"], dutch_iban(55))
    moved = f"{data[:start]}{other_account}</PmtInf>{data[start:line]}{data[second:end]}{data[end:]}"

    found = _compare(house.boss, moved.encode()).json()

    assert [each["what"] for each in found["differences"]] == [
        f"The part {batch['file']['message_id']}-1 stands 2 times in the file."
    ]


def test_a_file_of_another_tenant_is_not_ours(house: House, other_house: House) -> None:
    """Nobody learns whose file it is."""
    data = house.handed_out(house.approved()["id"])

    answer = _compare(other_house.boss, data)

    assert (answer.status_code, answer.json()["code"]) == (422, "not_our_file")
