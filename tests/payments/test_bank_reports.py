"""A bank's status report, uploaded by a person or fetched by a channel, on the files of a batch."""

from typing import Any

import httpx2
import pytest
from sqlmodel import select

from app.core.database import transaction
from app.payments import bank_reports, two_people
from app.payments.context import Context
from app.payments.models import Claim, ClaimState, StatusReportRow
from tests.payments.status_report_samples import Block, Line, Report, Why
from tests.support.clock import FakeClock
from tests.support.house import House, Person, document, lines

VERSIONS = ("pain.002.001.03", "pain.002.001.10", "pain.002.001.12")


def report_on(batch: dict[str, Any], **values: Any) -> bytes:
    """Return a report on the only file of a batch."""
    text = Report(original_message_id=batch["file"]["message_id"], **values).xml()
    return text if isinstance(text, bytes) else text.encode()


def on_lines(house: House, batch: dict[str, Any], said: dict[int, tuple[str, str]], **values: Any) -> bytes:
    """Return a report that says (status, reason) of lines by their place in the batch."""
    rows = house.transfers(batch["id"])
    named = [
        Line(end_to_end_id=rows[n]["end_to_end_id"], status=status, reasons=[Why(code=code)] if code else [])
        for n, (status, code) in said.items()
    ]
    block = Block(id=f"{batch['file']['message_id']}-1", lines=named)
    return report_on(batch, blocks=[block], **values)


def upload(person: Person, data: bytes) -> httpx2.Response:
    """Upload a report."""
    return person.call("POST", "/v1/status-reports", content=data, headers={"Content-Type": "application/xml"})


@pytest.mark.parametrize("version", VERSIONS)
def test_an_accepted_file_makes_the_batch_accepted(house: House, version: str) -> None:
    """Of any version, an acceptance of the file moves its lines, and the batch with them."""
    batch = house.delivered()

    answer = upload(house.boss, report_on(batch, version=version, status="ACCP"))

    assert (answer.status_code, answer.json()["lines"]) == (201, {"accepted": 3})
    assert answer.json()["batch"]["status"] == "accepted"
    assert answer.json()["batch"]["file"]["bank_status"] == "accepted"


def test_a_settled_file_is_executed_and_its_claims_are_spent(house: House, ctx: Context) -> None:
    """ACSC closes every line; nothing of it can be paid again."""
    batch = house.delivered()

    answer = upload(house.boss, report_on(batch, status="ACSC"))

    assert answer.json()["batch"]["status"] == "executed"
    with transaction(ctx.engine) as session:
        assert {claim.state for claim in session.exec(select(Claim))} == {ClaimState.SPENT}


def test_a_report_proves_that_the_bank_has_a_file_nobody_said_was_delivered(house: House) -> None:
    """Handed out is enough: the bank's own word is better than a person's."""
    batch = house.approved()
    house.handed_out(batch["id"])

    answer = upload(house.boss, report_on(batch, status="RCVD"))

    assert answer.json()["batch"]["status"] == "delivered"


def test_a_refused_line_waits_for_a_second_person_and_is_then_unpaid(house: House) -> None:
    """An uploaded refusal is one person's statement; the second uploads the same report, and the line is free."""
    second = house.second_person()
    batch = house.delivered()
    data = on_lines(house, batch, {1: ("RJCT", "AC04")}, status="PART")

    first = upload(house.boss, data).json()
    between = house.boss.get("/v1/unpaid-transfers").json()
    then = upload(second, data).json()
    unpaid = house.boss.get("/v1/unpaid-transfers").json()

    assert (first["lines"], first["proposal"]["outcome"], between) == ({"none": 2, "rejected": 1}, None, [])
    assert (then["is_new"], then["proposal"]["outcome"]) == (False, "applied")
    assert [(each["transfer"]["position"], each["transfer"]["bank_reason"]) for each in unpaid] == [(2, "AC04")]
    assert house.batch(batch["id"])["status"] == "delivered"


def test_a_channel_frees_refused_lines_by_itself(house: House, ctx: Context) -> None:
    """What a channel fetched from the bank needs no second person."""
    batch = house.delivered()
    data = report_on(batch, status="RJCT", reasons=[Why(code="DT01")])

    with transaction(ctx.engine) as session:
        bank_reports.take_from_channel(ctx, session, data, channel="host-to-host")

    assert house.batch(batch["id"])["status"] == "refused"
    assert len(house.boss.get("/v1/unpaid-transfers").json()) == 3


def test_a_channel_does_not_free_what_only_an_upload_refuses(house: House, ctx: Context) -> None:
    """One person's doctored refusal stays one person's word when the bank itself reports on the file next."""
    house.second_person()
    batch = house.delivered()
    upload(house.boss, on_lines(house, batch, {0: ("RJCT", "AC04")}, status="PART"))
    fetched = on_lines(house, batch, {1: ("RJCT", "AC01")}, status="PDNG", message_id="OF-THE-BANK")

    with transaction(ctx.engine) as session:
        bank_reports.take_from_channel(ctx, session, fetched, channel="host-to-host")

    unpaid = house.boss.get("/v1/unpaid-transfers").json()
    assert [each["transfer"]["position"] for each in unpaid] == [2]
    assert [each["status"] for each in house.transfers(batch["id"])] == ["in_file", "refused", "in_file"]


def test_an_uploaded_refusal_that_a_channel_brings_too_is_the_banks(house: House, ctx: Context) -> None:
    """The very report that one person uploaded comes from the bank as well: its line is free, now and later."""
    house.second_person()
    batch = house.delivered()
    data = on_lines(house, batch, {0: ("RJCT", "AC04")}, status="PART")
    upload(house.boss, data)

    with transaction(ctx.engine) as session:
        is_new = bank_reports.take_from_channel(ctx, session, data, channel="host-to-host").is_new
        stored = session.exec(select(StatusReportRow.channel)).all()

    assert (is_new, stored) == (False, ["host-to-host"])
    assert [each["transfer"]["position"] for each in house.boss.get("/v1/unpaid-transfers").json()] == [1]


def test_lack_of_funds_frees_nothing_yet_also_from_a_channel(house: House, ctx: Context) -> None:
    """AM04: the bank tries again for some days, so a second file now would pay twice."""
    batch = house.delivered()
    data = report_on(batch, status="RJCT", reasons=[Why(code="AM04")])

    with transaction(ctx.engine) as session:
        taken = bank_reports.take_from_channel(ctx, session, data, channel="host-to-host")
        waits = taken.waits_because or ""

    assert "may still execute" in waits
    assert house.batch(batch["id"])["status"] == "delivered"
    assert house.boss.get("/v1/unpaid-transfers").json() == []


def test_two_people_free_nothing_of_which_the_bank_said_that_funds_are_short(house: House, clock: FakeClock) -> None:
    """They need not give the code: the bank did, and may still execute the line."""
    second = house.second_person()
    batch = house.delivered()
    upload(house.boss, on_lines(house, batch, {0: ("RJCT", "AM04")}, status="PART"))
    said = {"statement": "refused", "reason": "r", "transfer_ids": [house.transfers(batch["id"])[0]["id"]]}

    early = [person.post(f"/v1/payment-batches/{batch['id']}/statements", said) for person in (house.boss, second)]
    clock.forward(days=20)
    late = [person.post(f"/v1/payment-batches/{batch['id']}/statements", said) for person in (house.boss, second)]

    assert [each.json()["code"] for each in early] == ["too_early", "too_early"]
    assert [each.status_code for each in late] == [202, 201]


def test_a_double_asks_a_person_also_from_a_channel(house: House, ctx: Context) -> None:
    """AM05: the twin may have been paid, so no machine frees the line."""
    batch = house.delivered()
    data = on_lines(house, batch, {0: ("RJCT", "AM05")}, status="PART")

    with transaction(ctx.engine) as session:
        taken = bank_reports.take_from_channel(ctx, session, data, channel="host-to-host")
        asking = taken.asks_a_person

    assert asking == 1
    assert house.boss.get("/v1/unpaid-transfers").json() == []


def test_a_refusal_after_an_acceptance_is_legal(house: House, ctx: Context) -> None:
    """RJCT after ACCP: the line is refused."""
    batch = house.delivered()
    with transaction(ctx.engine) as session:
        bank_reports.take_from_channel(ctx, session, report_on(batch, status="ACCP"), channel="c")
    late = report_on(batch, status="RJCT", reasons=[Why(code="AC01")], message_id="LATER")
    with transaction(ctx.engine) as session:
        bank_reports.take_from_channel(ctx, session, late, channel="c")

    assert house.batch(batch["id"])["status"] == "refused"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 1, 0, 2, 2)])
def test_the_order_of_reports_does_not_matter(house: House, order: tuple[int, ...]) -> None:
    """Received, accepted, settled, in any order and twice: executed."""
    batch = house.delivered()
    reports = [report_on(batch, status=status, message_id=status) for status in ("RCVD", "ACCP", "ACSC")]

    for n in order:
        assert upload(house.boss, reports[n]).status_code == 201

    assert house.batch(batch["id"])["status"] == "executed"
    assert {line["bank_status"] for line in house.transfers(batch["id"])} == {"settled"}


def test_a_freed_line_that_the_bank_executed_bars_what_pays_it_again(house: House, clock: FakeClock) -> None:
    """A false refusal comes to light: the batch that would pay the line a second time is held."""
    second = house.second_person()
    batch = house.delivered()
    said = {"statement": "refused", "reason": "They say so"}
    for person in (house.boss, second):
        person.post(f"/v1/payment-batches/{batch['id']}/statements", said)
    line = house.boss.get("/v1/unpaid-transfers").json()[0]["transfer"]["id"]
    follow_up = house.boss.post("/v1/follow-up-batches", {"transfer_ids": [line]}).json()
    clock.forward(hours=1)

    told = upload(house.boss, report_on(batch, status="ACSC")).json()
    upload(house.boss, report_on(batch, status="ACSC", message_id="AGAIN"))

    assert told["contradictions"] == 3
    assert "bank_contradicts" in told["batch"]["attention"]
    assert [each["id"] for each in contradicted(house)] == [batch["id"]]
    assert house.events().count("batch.attention") == 1
    barred = house.boss.approve(house.batch(follow_up["id"]))
    assert (barred.status_code, barred.json()["code"]) == (409, "held")
    assert house.batch(follow_up["id"])["holds"][0]["code"] == "paid_after_refusal"


def test_a_line_that_the_bank_executed_after_its_refusal_is_barred_also_when_paid_later(
    house: House, clock: FakeClock
) -> None:
    """The follow-up is made after the bank said so: nobody pays the line a second time unseen."""
    second = house.second_person()
    batch = house.delivered()
    said = {"statement": "refused", "reason": "They say so"}
    for person in (house.boss, second):
        person.post(f"/v1/payment-batches/{batch['id']}/statements", said)
    clock.forward(hours=1)
    upload(house.boss, report_on(batch, status="ACSC"))
    line = house.boss.get("/v1/unpaid-transfers").json()[0]["transfer"]["id"]

    follow_up = house.boss.post("/v1/follow-up-batches", {"transfer_ids": [line]}).json()
    barred = house.boss.approve(follow_up)
    for person in (house.boss, second):
        person.post(f"/v1/payment-batches/{follow_up['id']}/holds/{follow_up['holds'][0]['id']}/lifting", said_why())
    edited = change_date(house, follow_up["id"])

    assert [each["code"] for each in follow_up["holds"]] == ["paid_after_refusal"]
    assert (barred.status_code, barred.json()["code"]) == (409, "held")
    assert (edited["revision"], edited["holds"]) == (2, [])  # two people lifted it for this batch


def test_a_line_that_somebody_called_executed_and_the_bank_refused_is_a_contradiction(
    house: House, clock: FakeClock
) -> None:
    """Closed by one person and refused by the bank: told, shown on the line, and freed by two people only."""
    second = house.second_person()
    batch = house.delivered()
    clock.forward(days=7)
    said = {"statement": "executed", "reason": "Seen on the statement"}
    assert house.boss.post(f"/v1/payment-batches/{batch['id']}/statements", said).status_code == 201

    told = upload(house.boss, on_lines(house, batch, {1: ("RJCT", "AC04")}, status="PART")).json()

    lines_now = house.transfers(batch["id"])
    assert (told["contradictions"], told["proposal"]) == (1, None)
    assert (lines_now[1]["status"], lines_now[1]["bank_status"]) == ("executed", "contradiction")
    assert house.boss.get("/v1/unpaid-transfers").json() == []
    for person in (house.boss, second):
        person.post(f"/v1/transfers/{lines_now[1]['id']}/return", {"reason": "Never paid"})
    follow_up = house.boss.post("/v1/follow-up-batches", {"transfer_ids": [lines_now[1]["id"]]}).json()
    assert [each["code"] for each in follow_up["holds"]] == ["paid_after_refusal"]  # two people look once more


def test_what_was_asked_before_the_bank_contradicted_itself_ends(house: House, ctx: Context, clock: FakeClock) -> None:
    """Refused, and within the day executed after all: the wish of before frees nothing, not by waiting either."""
    batch = house.delivered()
    upload(house.boss, on_lines(house, batch, {1: ("RJCT", "AC04")}, status="PART"))
    (asked,) = house.boss.get("/v1/proposals").json()
    clock.forward(hours=1)

    told = upload(house.boss, on_lines(house, batch, {1: ("ACSC", "")}, status="PART")).json()
    clock.forward(hours=25)

    assert asked["waits_until"] is not None
    assert told["contradictions"] == 1
    assert (two_people.apply_due(ctx), house.boss.get("/v1/proposals").json()) == (0, [])
    line = house.transfers(batch["id"])[1]
    assert (line["status"], line["bank_status"]) == ("in_file", "contradiction")
    assert house.boss.get("/v1/unpaid-transfers").json() == []


def test_a_wish_about_other_lines_stays(house: House, clock: FakeClock) -> None:
    """The bank contradicts itself about one line; what was asked about another one waits on."""
    house.second_person()
    batch = house.delivered()
    upload(house.boss, on_lines(house, batch, {0: ("RJCT", "AC04")}, status="PART"))
    (asked,) = house.boss.get("/v1/proposals").json()
    for status, code in (("RJCT", "AC04"), ("ACSC", "")):
        clock.forward(hours=1)
        told = upload(house.boss, on_lines(house, batch, {1: (status, code)}, status="PART")).json()

    assert told["contradictions"] == 1
    assert [each["id"] for each in house.boss.get("/v1/proposals").json()] == [asked["id"]]


@pytest.mark.parametrize("between", [[], ["accepted"]], ids=["at once", "called accepted before"])
def test_people_who_free_a_contradiction_do_not_forget_it(house: House, clock: FakeClock, between: list[str]) -> None:
    """Two people may say that it was refused; whoever pays the line again learns that the bank said both."""
    second = house.second_person()
    batch = house.delivered()
    upload(house.boss, on_lines(house, batch, {1: ("RJCT", "AC04")}, status="PART"))
    clock.forward(hours=1)
    upload(house.boss, on_lines(house, batch, {1: ("ACSC", "")}, status="PART"))
    line = house.transfers(batch["id"])[1]["id"]
    path = f"/v1/payment-batches/{batch['id']}/statements"

    for fact in between:
        said = {"statement": fact, "reason": "The bank shows it", "transfer_ids": [line]}
        assert house.boss.post(path, said).status_code == 201
    said = {"statement": "refused", "reason": "The bank says so by telephone", "transfer_ids": [line]}
    assert [person.post(path, said).status_code for person in (house.boss, second)] == [202, 201]
    follow_up = house.boss.post("/v1/follow-up-batches", {"transfer_ids": [line]}).json()

    assert [each["code"] for each in follow_up["holds"]] == ["paid_after_refusal"]


@pytest.mark.parametrize("ended", ["refused", "executed"])
def test_the_bank_is_heard_on_a_batch_that_ended_and_of_which_lines_were_closed(
    house: House, clock: FakeClock, ended: str
) -> None:
    """A refused batch of which somebody waived a line still takes in that another one was paid, and bars paying it."""
    second = house.second_person()
    batch = house.delivered()
    rows = house.transfers(batch["id"])
    path = f"/v1/payment-batches/{batch['id']}/statements"
    for person in (house.boss, second):
        person.post(path, {"statement": "refused", "reason": "They say so"})
    assert house.batch(batch["id"])["status"] == "refused"
    closed = house.boss.post(f"/v1/transfers/{rows[0]['id']}/waiver", {"reason": "Settled in cash"})
    assert closed.status_code == 201, closed.text
    if ended == "executed":
        paid = [f"/v1/transfers/{row['id']}/paid-elsewhere" for row in rows[2:]]
        assert {house.boss.post(each, {"reason": "By hand"}).status_code for each in paid} <= {201}
    clock.forward(hours=1)
    follow_up = house.boss.post("/v1/follow-up-batches", {"transfer_ids": [rows[1]["id"]]}).json()

    told = upload(house.boss, on_lines(house, batch, {1: ("ACSC", "")}, status="PART"))

    assert (told.status_code, told.json()["contradictions"]) == (201, 1), told.text
    assert [each["code"] for each in house.batch(follow_up["id"])["holds"]] == ["paid_after_refusal"]
    assert house.batch(batch["id"])["status"] == "refused"


def test_a_report_that_names_another_account_is_told_and_written_down(house: House) -> None:
    """The file at the bank was edited: what it reports does apply, and the history says what does not fit."""
    batch = house.delivered()
    rows = house.transfers(batch["id"])
    line = Line(end_to_end_id=rows[0]["end_to_end_id"], status="ACSP", iban=rows[1]["creditor"]["iban"])
    block = Block(id=f"{batch['file']['message_id']}-1", lines=[line])

    told = upload(house.boss, report_on(batch, blocks=[block])).json()
    events = house.boss.get(f"/v1/payment-batches/{batch['id']}/history").json()

    written = next(each["facts"]["details"] for each in events if each["event"] == "bank.reported")
    assert told["disagreements"] == written["disagreements"] == ["account"]
    assert "bank_contradicts" in told["batch"]["attention"]


def test_a_report_in_which_everything_fits_asks_nobody_to_look(house: House) -> None:
    """A refusal is no contradiction, and nothing of a usual month stands in the list of what to look into."""
    batch = house.delivered()

    told = upload(house.boss, on_lines(house, batch, {1: ("RJCT", "AC04")}, status="PART")).json()

    assert told["batch"]["attention"] == []
    assert contradicted(house) == []


def contradicted(house: House) -> list[dict[str, Any]]:
    """Return the batches of which the bank contradicts itself, or what is known here."""
    found: list[dict[str, Any]] = house.boss.get("/v1/payment-batches?attention=bank_contradicts").json()
    return found


def said_why() -> dict[str, str]:
    """Return the body of an act that needs a reason."""
    return {"reason": "Looked at the bank"}


def change_date(house: House, batch_id: str) -> dict[str, Any]:
    """Give a pending batch another date, and return it."""
    revision = house.batch(batch_id)["revision"]
    path, body = f"/v1/payment-batches/{batch_id}", {"requested_execution_date": "2026-11-27"}
    changed: dict[str, Any] = house.boss.call("PATCH", path, json=body, headers={"If-Match": f'"r{revision}"'}).json()
    return changed


@pytest.mark.parametrize("reported", ["before the run is offered again", "after that"])
def test_a_withdrawn_file_that_the_bank_has_bars_what_took_its_place(house: House, reported: str) -> None:
    """Cancelled and offered again, the run of a withdrawn file is another batch: the hold is on that one as well."""
    second = house.second_person()
    batch = house.approved()
    house.handed_out(batch["id"])
    for person in (house.boss, second):
        person.post(f"/v1/payment-batches/{batch['id']}/withdrawals", {"reason": "Not there."})
    report = report_on(batch, status="ACCP")
    if reported == "before the run is offered again":
        upload(house.boss, report)
    now = house.batch(batch["id"])
    house.boss.post(
        f"/v1/payment-batches/{batch['id']}/cancellation",
        {"reason": "r"},
        headers={"If-Match": f'"r{now["revision"]}"'},
    )
    run = next(each["id"] for each in house.boss.get("/v1/payroll-runs").json())
    again = house.boss.post(f"/v1/payroll-runs/{run}/batches").json()
    if reported == "after that":
        upload(house.boss, report)

    assert [each["code"] for each in house.batch(again["id"])["holds"]] == ["withdrawn_file_at_bank"]


def test_name_checks_and_missing_signatures_are_shown_beside_the_status(house: House) -> None:
    """VoP codes and ACTC are sub-states: the batch stays delivered, the line shows what the bank proposes."""
    batch = house.delivered()
    rows = house.transfers(batch["id"])
    named = Line(end_to_end_id=rows[0]["end_to_end_id"], status="RVMC", reasons=[Why(texts=["M. de Werker"])])
    block = Block(id=f"{batch['file']['message_id']}-1", status="ACTC", lines=[named])

    told = upload(house.boss, report_on(batch, blocks=[block])).json()
    line = house.transfers(batch["id"])[0]

    assert (line["name_check"], line["name_check_proposal"]) == ("RVMC", "M. de Werker")
    assert (told["batch"]["status"], told["batch"]["file"]["awaits_signature"]) == ("delivered", True)
    assert "awaits_bank_signature" in told["batch"]["attention"]


def test_a_report_of_another_tenant_is_not_ours(house: House, other_house: House) -> None:
    """The same answer for a file of another employer as for one that was never made."""
    batch = house.delivered()
    foreign = upload(other_house.boss, report_on(batch, status="ACCP"))
    unknown = upload(other_house.boss, Report(original_message_id="NEVER-MADE", status="ACCP").xml().encode())

    assert (foreign.status_code, foreign.json()["code"]) == (422, "not_our_file")
    assert foreign.json() == unknown.json()
    assert house.batch(batch["id"])["status"] == "delivered"


def test_a_file_that_never_left_the_house_has_no_report(house: House) -> None:
    """A bank cannot report on what nobody could have handed in."""
    batch = house.approved()

    answer = upload(house.boss, report_on(batch, status="RJCT"))

    assert (answer.status_code, answer.json()["code"]) == (409, "not_allowed_now")


@pytest.mark.parametrize("data", [b"", b"<html/>", b"not xml", document()])
def test_what_is_no_report_is_refused_with_the_reason(house: House, data: bytes) -> None:
    """Anything else than a status report is 422 with a reason, and changes nothing."""
    answer = upload(house.boss, data)

    assert (answer.status_code, answer.json()["code"]) == (422, "report_unreadable")
    assert answer.json()["reason"]


def test_a_withdrawn_file_that_the_bank_has_after_all_bars_the_batch(house: House) -> None:
    """Two people were wrong: the report of the bank holds the batch that would pay again."""
    second = house.second_person()
    batch = house.approved()
    house.handed_out(batch["id"])
    for person in (house.boss, second):
        person.post(f"/v1/payment-batches/{batch['id']}/withdrawals", {"reason": "Not there."})

    told = upload(house.boss, report_on(batch, status="ACCP"))

    assert told.json()["contradictions"] == 1
    assert house.batch(batch["id"])["holds"][0]["code"] == "withdrawn_file_at_bank"
    assert "bank_contradicts" in house.batch(batch["id"])["attention"]


def test_a_returned_line_is_told_apart_from_a_refused_one(house: House) -> None:
    """A batch with executed and refused lines is executed: none of its lines is open."""
    second = house.second_person()
    batch = house.delivered(document(lines(2)))
    data = on_lines(house, batch, {0: ("RJCT", "AC04"), 1: ("ACSC", "")}, status="PART")

    upload(house.boss, data)
    upload(second, data)

    assert house.batch(batch["id"])["status"] == "executed"
    assert sorted(line["status"] for line in house.transfers(batch["id"])) == ["executed", "refused"]
