"""The main job over REST: a payroll file becomes a batch, an approval, a file and a history."""

from hashlib import sha256

from lxml import etree

from tests.support.house import House, document, lines

_NS = {"p": "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"}


def test_an_uploaded_file_becomes_a_batch_that_waits(house: House) -> None:
    """An upload gives a pending batch with the lines, the total and the date of the file."""
    batch = house.uploaded_batch(document(lines(8), day="2026-11-25"))

    assert batch["status"] == "pending"
    assert batch["number_of_transactions"] == 8
    assert batch["control_sum"] == {"amount": "20028.00", "currency": "EUR"}
    assert batch["requested_execution_date"] == "2026-11-25"
    assert [each["allowed"] for each in batch["allowed_actions"] if each["action"] == "approve"] == [True]


def test_an_approved_batch_hands_out_the_stored_file(house: House) -> None:
    """After the approval the file can be fetched: the stored bytes, with SALA, SLEV and the approved total."""
    batch = house.uploaded_batch(document(lines(8)))

    approved = house.boss.approve(batch)
    assert approved.status_code == 201, approved.text
    file = house.boss.get(f"/v1/payment-batches/{batch['id']}/file")

    assert file.status_code == 200
    assert sha256(file.content).hexdigest() == approved.json()["file"]["sha256"]
    tree = etree.fromstring(file.content)
    assert tree.xpath("string(//p:GrpHdr/p:CtrlSum)", namespaces=_NS) == "20028.00"
    assert tree.xpath("string(//p:PmtInf/p:PmtTpInf/p:CtgyPurp/p:Cd)", namespaces=_NS) == "SALA"
    assert tree.xpath("string(//p:ChrgBr)", namespaces=_NS) == "SLEV"
    assert tree.xpath("string(//p:BtchBookg)", namespaces=_NS) == "true"
    assert len(tree.xpath("//p:CdtTrfTxInf", namespaces=_NS)) == 8


def test_the_history_tells_the_whole_way(house: House) -> None:
    """The history of the employer holds each step of a batch, in order."""
    batch = house.uploaded_batch()
    house.boss.approve(batch)
    delivered = house.deliver(batch["id"])

    assert delivered.json()["status"] == "delivered"
    steps = ["run.seen", "batch.made", "batch.acknowledged", "batch.approved", "file.handed_out", "batch.delivered"]
    assert house.events()[-6:] == steps
