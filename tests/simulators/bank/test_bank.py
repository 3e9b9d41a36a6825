"""What people and programs see of the bank over its sockets: uploads, signatures, the ledger, faults."""

import hashlib
import threading
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from app.payments.sepa import build_file
from simulators.bank.faults import FaultKind
from simulators.bank.process import BankClient, FileRefused, SimulatorError
from tests.payments.sepa_examples import CREATED_AT, DEBTOR_IBAN, content, iban, instruction, rich_content, transfer
from tests.simulators.bank.by_hand import good_file, renamed, rich_file, spoiled

PAY_DAY = datetime(2026, 11, 25, 8, tzinfo=UTC)


def _other_file(message_id: str = "BATCH-2") -> bytes:
    """Other payments than those of the good file, from the same account."""
    block = instruction([transfer(3), transfer(4)], payment_information_id=f"{message_id}-1")
    return build_file(content(message_id=message_id, instructions=[block]))


def test_an_upload_shows_what_a_person_compares(bank: BankClient):
    """Hashes, ids, and the count and total of each batch, as on the bank's screen."""
    file = rich_file()
    shown = bank.upload(file, file_name="BATCH-1.xml")

    assert shown["message_id"] == "BATCH-1"
    assert shown["sha256"] == hashlib.sha256(file).hexdigest()
    assert shown["sha1"] == hashlib.sha1(file).hexdigest()  # noqa: S324 - as banks show it
    assert [(each["payment_information_id"], each["number"], each["total"]) for each in shown["batches"]] == [
        ("BATCH-1-1", 4, "1000004000.07"),
        ("BATCH-1-2", 2, "4001.81"),
    ]
    assert (shown["number"], shown["total"], shown["file_name"]) == (6, "1000008001.88", "BATCH-1.xml")
    assert bank.show(shown["id"]) == shown
    assert bank.uploads() == [shown]


def test_a_refusal_names_code_place_and_words(bank: BankClient):
    """Nothing of a refused file stays at the bank, and its message id is not used up."""
    with pytest.raises(FileRefused) as refusal:
        bank.upload(spoiled(good_file(), "SLEV", "SHAR"), file_name="A" * 36)

    assert [(each["code"], each["where"]) for each in refusal.value.reasons] == [
        ("FF01", "file_name"),
        ("CH16", "PmtInf[1]/ChrgBr"),
    ]
    assert all(each["text"] for each in refusal.value.reasons)
    assert bank.uploads() == []
    assert bank.upload(good_file())["state"] == "waiting_for_signatures"


@pytest.mark.parametrize("removed", [False, True])
def test_a_message_id_is_taken_once(bank: BankClient, removed: bool):
    """Also when the first file was removed, and when the second pays something else."""
    upload = bank.upload(good_file())
    if removed:
        bank.remove(upload["id"])
    for file in (good_file(), _other_file("BATCH-1")):
        with pytest.raises(FileRefused, match="AM05 at GrpHdr/MsgId"):
            bank.upload(file)

    assert [each["id"] for each in bank.uploads("BATCH-1")] == [upload["id"]]
    assert bank.uploads("BATCH-9") == []


def test_a_file_that_pays_the_same_again_is_taken_with_a_warning(bank: BankClient):
    """Other ids, names, texts and order do not hide it; another date or amount is no duplicate."""
    lines = [transfer(2, end_to_end_id="OTHER2"), transfer(1, end_to_end_id="OTHER1", creditor_name="Anders")]
    twin = renamed(content(instructions=[instruction(lines)]), "TWIN")
    bank.upload(good_file())

    assert bank.upload(build_file(twin))["warnings"] == ["possible duplicate of BATCH-1"]
    later = renamed(replace(twin, requested_execution_date=PAY_DAY.date() + timedelta(days=1)), "LATER")
    assert bank.upload(build_file(later))["warnings"] == []
    twice = renamed(content(instructions=[instruction([*lines, transfer(1)])]), "TWICE")
    assert bank.upload(build_file(twice))["warnings"] == []


def test_nothing_is_debited_before_it_is_signed_and_its_day_has_come(bank: BankClient):
    """The ledger holds each transfer once, from the execution date on."""
    upload = bank.upload(good_file())
    assert bank.sign(upload["id"])["state"] == "signed"
    bank.put_clock(PAY_DAY - timedelta(days=1))
    assert bank.ledger()["entries"] == []

    bank.put_clock(PAY_DAY)
    ledger = bank.ledger()
    assert (ledger["number"], ledger["total"], ledger["doubles"]) == (2, "4000.03", [])
    assert [(each["end_to_end_id"], each["iban"], each["cents"]) for each in ledger["entries"]] == [
        (f"LINE{n:026d}", iban(n), 200_000 + n) for n in (1, 2)
    ]
    assert {(each["executed_on"], each["message_id"]) for each in ledger["entries"]} == {("2026-11-25", "BATCH-1")}
    assert bank.show(upload["id"])["state"] == "executed"


def test_who_signs_late_is_served_on_that_day(bank: BankClient):
    """A day that has passed is not waited for."""
    upload = bank.upload(good_file())
    bank.put_clock(PAY_DAY + timedelta(days=2))
    bank.sign(upload["id"])
    assert {each["executed_on"] for each in bank.ledger()["entries"]} == {"2026-11-27"}


def test_an_account_may_need_two_people(bank: BankClient):
    """The same person does not count twice."""
    bank.change_rules(signatures_by_account={DEBTOR_IBAN: 2})
    upload = bank.upload(good_file())

    assert bank.sign(upload["id"], "Anna")["state"] == "waiting_for_signatures"
    with pytest.raises(SimulatorError, match="409"):
        bank.sign(upload["id"], "Anna")
    assert bank.sign(upload["id"], "Bram")["state"] == "signed"
    with pytest.raises(SimulatorError, match="409"):
        bank.sign(upload["id"], "Carla")


def test_an_unsigned_upload_can_be_removed(bank: BankClient):
    """It is never debited; a signed one stays."""
    gone, stays = bank.upload(good_file()), bank.upload(_other_file())
    assert bank.remove(gone["id"])["state"] == "removed"
    for action in (bank.sign, bank.remove):
        with pytest.raises(SimulatorError, match="409"):
            action(gone["id"])
    bank.sign(stays["id"])
    with pytest.raises(SimulatorError, match="409"):
        bank.remove(stays["id"])
    bank.put_clock(PAY_DAY)
    assert {each["message_id"] for each in bank.ledger()["entries"]} == {"BATCH-2"}


def test_an_upload_that_nobody_signs_expires(bank: BankClient):
    """After the days that the rules give."""
    bank.change_rules(signature_days=3)
    upload = bank.upload(good_file())
    bank.put_clock(CREATED_AT + timedelta(days=3))
    assert bank.show(upload["id"])["state"] == "waiting_for_signatures"
    bank.put_clock(CREATED_AT + timedelta(days=3, seconds=1))
    assert bank.show(upload["id"])["state"] == "expired"
    with pytest.raises(SimulatorError, match="409"):
        bank.sign(upload["id"])


def test_a_payment_made_twice_stands_out(bank: BankClient):
    """The same line in two files that were both executed is a double."""
    for message_id in ("A", "B"):
        bank.sign(bank.upload(build_file(renamed(content(), message_id)))["id"])
    bank.put_clock(PAY_DAY)

    doubles = bank.ledger()["doubles"]
    assert doubles == [
        {"end_to_end_id": f"LINE{n:026d}", "iban": iban(n), "cents": 200_000 + n, "times": 2} for n in (1, 2)
    ]


def test_lines_are_refused_before_and_come_back_after_execution(bank: BankClient):
    """A refused line is never debited; a returned one was, and is marked."""
    upload = bank.upload(rich_file())
    bank.sign(upload["id"])
    bank.refuse_lines(upload["id"], f"LINE{1:026d}")
    bank.put_clock(PAY_DAY)
    bank.refuse_lines(upload["id"], f"LINE{2:026d}", code="MD07")

    returned = Counter(each["returned"] for each in bank.ledger()["entries"])
    assert returned == {None: 4, "MD07": 1}
    with pytest.raises(SimulatorError, match=r"404.*has no line X"):
        bank.refuse_lines(upload["id"], "X")


def test_the_rules_can_be_changed(bank: BankClient):
    """For the files to come; a rule that does not exist is refused."""
    bank.change_rules(maximum_transactions=1)
    with pytest.raises(FileRefused, match="AM18"):
        bank.upload(good_file())
    with pytest.raises(SimulatorError, match="422"):
        bank.change_rules(maximum_transaction=1)
    assert bank.call("GET", "/_control/rules")["maximum_transactions"] == 1
    bank.reset()
    assert bank.call("GET", "/_control/rules")["maximum_transactions"] == 10_000


def test_the_next_file_can_be_refused(bank: BankClient):
    """With the code asked for, as often as asked for; then all is well again."""
    bank.add_fault(FaultKind.REFUSE, code="MD07", times=2)
    for _ in range(2):
        with pytest.raises(FileRefused, match="MD07 at file"):
            bank.upload(good_file())
    assert bank.upload(good_file())["id"] == 1


@pytest.mark.parametrize("takes_file", [False, True])
@pytest.mark.parametrize("kind", [FaultKind.ERROR, FaultKind.RESET])
def test_an_answer_can_hide_whether_the_file_was_taken(bank: BankClient, kind: FaultKind, takes_file: bool):
    """The sender cannot tell; whoever looks by message id can."""
    bank.add_fault(kind, takes_file=takes_file)
    with pytest.raises((SimulatorError, httpx.TransportError)):
        bank.upload(good_file())
    assert len(bank.uploads("BATCH-1")) == takes_file


@pytest.mark.parametrize("takes_file", [False, True])
def test_the_bank_can_keep_silent(bank: BankClient, takes_file: bool):
    """No answer until the sender gives up; everybody else is served meanwhile."""
    bank.add_fault(FaultKind.HANG, takes_file=takes_file, seconds=600)
    timeout = httpx.Timeout(20, read=0.1)
    with httpx.Client(base_url=bank.base_url, trust_env=False, timeout=timeout) as http:
        with pytest.raises(httpx.ReadTimeout):
            http.post("/files", content=good_file())
        assert len(bank.uploads("BATCH-1")) == takes_file


def test_who_waits_goes_on_when_faults_are_cleared(bank: BankClient):
    """The connection then ends without an answer."""
    bank.add_fault(FaultKind.HANG, takes_file=True, seconds=600)
    ended: list[type[Exception]] = []

    def send() -> None:
        try:
            bank.upload(good_file())
        except httpx.TransportError as error:
            ended.append(type(error))

    sender = threading.Thread(target=send)
    sender.start()
    while not bank.uploads():  # the file is there before the silence begins
        bank.call("GET", "/ledger")
    bank.clear_faults()
    sender.join(timeout=20)
    assert ended


def test_the_same_file_from_many_at_once_is_taken_once(bank: BankClient):
    """One message id, one upload, whoever is first."""
    outcomes: list[str] = []

    def send() -> None:
        try:
            outcomes.append(str(bank.upload(good_file())["id"]))
        except FileRefused as refusal:
            outcomes.append(refusal.reasons[0]["code"])

    senders = [threading.Thread(target=send) for _ in range(8)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(timeout=30)
    assert Counter(outcomes) == {"1": 1, "AM05": 7}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/uploads/99", 404),
        ("GET", "/uploads/x", 404),
        ("GET", "/files", 405),
        ("POST", "/_control/faults", 422),
        ("PUT", "/_control/clock", 422),
        ("GET", "/", 404),
    ],
)
def test_a_wrong_request_is_told(bank: BankClient, method: str, path: str, status: int):
    """In JSON, with the reason, and never as a failure of the bank."""
    answer = httpx.request(method, f"{bank.base_url}{path}", content=b"{}", trust_env=False)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert answer.headers["server"] == "bank-simulator"


@pytest.mark.parametrize("body", [b"", b"<", b"\x00" * 10, b"{}", b"<?xml version='1.0' encoding='UTF-8'?><a/>"])
def test_whatever_is_no_payment_file_is_refused(bank: BankClient, body: bytes):
    """As a wrong format, never with a failure."""
    with pytest.raises(FileRefused, match="FF01"):
        bank.upload(body)


def test_the_clock_can_go_with_the_real_time_again(bank: BankClient):
    """Files of long ago are then refused."""
    bank.put_clock(None)
    bank.put_clock(datetime(2030, 1, 2, tzinfo=UTC))
    with pytest.raises(FileRefused, match="CH04"):
        bank.upload(build_file(rich_content()))
