"""What an approval promises, shown over REST on real PostgreSQL."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.auth.models import Role
from app.core.database import transaction
from app.payments.context import Context
from app.payments.models import Claim, PaymentFile
from tests.contracts.fake_source import FakePayroll
from tests.support.clock import FakeClock
from tests.support.house import ACCOUNT_IBAN, PIN, SECOND_IBAN, WRONG_PIN, House, add_person, document, lines, link
from tests.support.jobs import work_off
from tests.support.postgres import TestDatabase

_REBUILD = """
import os, sys
from uuid import UUID
from pydantic import SecretStr
from app.core.database import create_engine, transaction
from app.core.settings import Settings
from app.main import build
from app.payments import filing, revising, sepa
from app.payments.models import PaymentBatch, PaymentFile
from sqlmodel import select
settings = Settings(
    environment="test",
    encryption_keys=SecretStr(os.environ["KEYS"]),
    identifier_key=SecretStr("x" * 40),
    history_key=SecretStr(os.environ["KEYS"]),
)
service = build(settings, database_url=os.environ["URL"], sources={})
with transaction(service.context.engine) as session:
    batch = session.get_one(PaymentBatch, UUID(sys.argv[1]))
    file = session.exec(select(PaymentFile).where(PaymentFile.batch_id == batch.id)).one()
    content = revising.content_of(service.context, session, batch)
    sys.stdout.buffer.write(sepa.build_file(filing.file_contents(content, created_at=file.file_created_at)[0]))
"""


def _rebuilt(database: TestDatabase, batch_id: str, *, zone: str, seed: str) -> bytes:
    keys = "k1:" + "A" * 43 + "="
    environment = {**os.environ, "TZ": zone, "PYTHONHASHSEED": seed, "URL": database.app_url, "KEYS": keys}
    done = subprocess.run(
        [sys.executable, "-c", _REBUILD, batch_id], env=environment, capture_output=True, check=True, timeout=60
    )
    return done.stdout


def _live_claims(ctx: Context) -> list[tuple[Any, int]]:
    with transaction(ctx.engine) as session:
        rows = session.execute(sa.select(Claim).where(Claim.state == "live")).scalars()  # type: ignore[arg-type]
        return [(row.obligation_id, row.amount_cents) for row in rows]


def _files(ctx: Context) -> int:
    with transaction(ctx.engine) as session:
        return int(session.execute(sa.select(sa.func.count()).select_from(PaymentFile)).scalar_one())


def test_the_same_batch_gives_the_same_bytes_in_two_processes(house: House, database: TestDatabase) -> None:
    """Built again from the rows, in other processes, time zones and hash seeds, the file has the stored bytes."""
    batch = house.uploaded_batch(document(lines(18)))
    assert house.boss.approve(batch).status_code == 201
    stored = house.boss.get(f"/v1/payment-batches/{batch['id']}/file").content

    assert _rebuilt(database, batch["id"], zone="Pacific/Auckland", seed="1") == stored
    assert _rebuilt(database, batch["id"], zone="UTC", seed="2") == stored


def test_a_second_approval_is_a_conflict(house: House) -> None:
    """An approved batch cannot be approved again."""
    batch = house.uploaded_batch()
    assert house.boss.approve(batch).status_code == 201

    again = house.boss.approve(batch)

    assert (again.status_code, again.json()["code"]) == (409, "not_allowed_now")


def test_an_approval_on_an_old_revision_fails(house: House) -> None:
    """After a change of date the approval of the revision before is 412, and nothing was stored."""
    batch = house.uploaded_batch()
    changed = house.boss.call(
        "PATCH",
        f"/v1/payment-batches/{batch['id']}",
        json={"requested_execution_date": "2026-11-26"},
        headers={"If-Match": '"r1"'},
    )
    assert (changed.status_code, changed.headers["etag"]) == (200, '"r2"')

    late = house.boss.approve(batch)

    assert (late.status_code, late.json()["code"]) == (412, "revision_changed")
    assert _files(house.ctx) == 0


def test_a_digest_that_was_not_shown_fails_and_is_not_told(house: House) -> None:
    """Another digest is 412 `batch_changed`; the answer does not hold the right one."""
    batch = house.uploaded_batch()

    answer = house.boss.approve({**batch, "digest": "0" * 64})

    assert (answer.status_code, answer.json()["code"]) == (412, "batch_changed")
    assert batch["digest"] not in answer.text


def test_an_approval_without_if_match_is_refused(house: House) -> None:
    """If-Match is required: 428."""
    batch = house.uploaded_batch()

    answer = house.boss.post(f"/v1/payment-batches/{batch['id']}/approvals", {"digest": batch["digest"], "pin": PIN})

    assert (answer.status_code, answer.json()["code"]) == (428, "if_match_required")


def _limit(house: House, **amounts: str) -> int:
    body = {kind: {"amount": amount, "currency": "EUR"} for kind, amount in amounts.items()}
    path = f"/v1/debtor-accounts/{house.account_id}/payment-limit"
    return house.boss.call("PUT", path, json=body).status_code


@pytest.mark.parametrize("kind", ["per_transfer", "per_batch", "per_day", "per_month"])
def test_over_a_limit_is_refused_with_the_figures(house: House, kind: str) -> None:
    """A cent over any limit is 422 with limit, used and asked; nothing is claimed."""
    asked = "2502.00" if kind == "per_transfer" else "7503.00"
    limit = "2501.99" if kind == "per_transfer" else "7502.99"
    assert _limit(house, **{kind: limit}) == 200 if kind == "per_batch" else True
    if kind != "per_batch":
        assert _limit(house, per_batch="50000.00", **{kind: limit}) == 200
    batch = house.uploaded_batch()

    answer = house.boss.approve(batch)

    assert (answer.status_code, answer.json()["code"]) == (422, "payment_limit_exceeded")
    assert answer.json()["exceeded"] == [
        {
            "kind": kind,
            "limit": {"amount": limit, "currency": "EUR"},
            "used": {"amount": "0.00", "currency": "EUR"},
            "asked": {"amount": asked, "currency": "EUR"},
        }
    ]
    assert _live_claims(house.ctx) == []


def test_exactly_the_limit_fits(house: House) -> None:
    """A batch of exactly the limit is approved."""
    assert _limit(house, per_batch="7503.00", per_day="7503.00") == 200

    assert house.boss.approve(house.uploaded_batch()).status_code == 201


@pytest.mark.parametrize(
    ("day", "before", "after"),
    [
        ("2026-11-21", "2026-11-20", "2026-11-23"),
        ("2027-03-26", "2027-03-25", "2027-03-30"),
        ("2026-12-25", "2026-12-24", "2026-12-28"),
    ],
)
def test_a_day_without_banks_is_refused_with_the_nearest_bank_days(
    house: House, day: str, before: str, after: str
) -> None:
    """A Saturday, Good Friday and 25 December are 422, with the bank days around them."""
    batch = house.uploaded_batch()

    answer = house.boss.call(
        "PATCH",
        f"/v1/payment-batches/{batch['id']}",
        json={"requested_execution_date": day},
        headers={"If-Match": '"r1"'},
    )

    assert (answer.status_code, answer.json()["code"]) == (422, "not_a_bank_day")
    assert (answer.json()["nearest_before"], answer.json()["nearest_after"]) == (before, after)


def test_an_execution_date_that_went_by_is_refused_at_the_approval(house: House, clock: FakeClock) -> None:
    """A batch that waited too long is 422 at its approval: the date is checked again under the locks."""
    batch = house.uploaded_batch()
    clock.moment = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)

    answer = house.boss.approve(batch)

    assert (answer.status_code, answer.json()["code"]) == (422, "execution_date_impossible")


def test_a_wrong_pin_is_counted_also_when_the_request_fails(house: House) -> None:
    """Wrong PINs count down on a stale revision as well; five lock the token, and another token still works."""
    batch = house.uploaded_batch()
    stale = {**batch, "revision": 7}

    left = [house.boss.approve(stale, pin=WRONG_PIN).json()["tries_left"] for _ in range(5)]
    locked = house.boss.approve(batch)
    second = add_person(house.ctx, house.client, house.employer_id, (Role.APPROVER,), email=house.boss.email)

    assert left == [4, 3, 2, 1, 0]
    assert (locked.status_code, locked.json()["code"]) == (403, "pin_locked")
    assert second.approve(batch).status_code == 201
    assert house.events().count("approval.refused") == 6


def test_two_hundred_guesses_at_once_are_five_guesses(house: House) -> None:
    """However many guesses are sent at once, five wrong ones are judged and then the token is locked."""
    batch = house.uploaded_batch()

    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda n: house.boss.approve(batch, pin=f"{500_000 + n}"), range(60)))

    codes = [answer.json()["code"] for answer in answers]
    assert codes.count("pin_incorrect") == 5
    assert codes.count("pin_locked") == 55
    with transaction(house.ctx.engine) as session:
        judged = session.execute(sa.text("SELECT count(*) FROM pin_try WHERE correct IS NOT NULL")).scalar_one()
    assert judged == 5


def test_thirty_approvals_at_once_have_one_winner(house: House) -> None:
    """Thirty approvals at the same moment: one 201, one file, each line claimed once."""
    batch = house.uploaded_batch(document(lines(8)))
    people = [house.boss] + [
        add_person(house.ctx, house.client, house.employer_id, (Role.APPROVER,), email=f"p{n}@jansen.example")
        for n in range(5)
    ]

    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda n: people[n % len(people)].approve(batch), range(30)))

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [201] + [409] * 29
    assert _files(house.ctx) == 1
    assert len(_live_claims(house.ctx)) == 8


def test_two_batches_at_once_never_pass_one_limit(house: House) -> None:
    """Two batches that fit the day limit alone but not together: exactly one is approved."""
    assert _limit(house, per_batch="7503.00", per_day="10000.00") == 200
    first = house.uploaded_batch(
        document(lines(text="Salaris november"), day="2026-11-25"), run_number=1, year=2026, period=10
    )
    second = house.uploaded_batch(
        document(lines(text="Salaris december"), day="2026-11-25"), run_number=2, year=2026, period=11
    )

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(house.boss.approve, (first, second)))

    assert sorted(answer.status_code for answer in answers) == [201, 422]
    assert sum(cents for _, cents in _live_claims(house.ctx)) <= 1_000_000


def test_a_repeated_request_gets_the_stored_answer(house: House) -> None:
    """The same Idempotency-Key gives the first answer again, without a PIN; another body is refused."""
    batch = house.uploaded_batch()
    key = {"Idempotency-Key": "approve-1"}
    first = house.boss.approve(batch, **key)

    again = house.boss.approve(batch, pin=WRONG_PIN, **key)
    other = house.boss.approve({**batch, "digest": "1" * 64}, **key)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_a_recall_gives_the_claims_back_and_keeps_the_ids(house: House) -> None:
    """Recalled before hand-out, the lines can be approved again under the same end-to-end ids."""
    batch = house.uploaded_batch()
    house.boss.approve(batch)
    ids = [line["end_to_end_id"] for line in house.transfers(batch["id"])]

    recalled = house.boss.call("DELETE", f"/v1/payment-batches/{batch['id']}/approvals/mine")
    assert (recalled.status_code, recalled.json()["status"], recalled.json()["revision"]) == (200, "pending", 2)
    assert _live_claims(house.ctx) == []
    again = house.boss.approve(recalled.json())

    assert again.status_code == 201, again.text
    assert [line["end_to_end_id"] for line in house.transfers(batch["id"])] == ids
    assert again.json()["file"]["message_id"].endswith("-2")
    assert len(_live_claims(house.ctx)) == 3


def test_a_file_that_was_handed_out_is_not_recalled(house: House) -> None:
    """After the hand-out the bank may have the file: recall is 409."""
    batch = house.uploaded_batch()
    house.boss.approve(batch)
    house.boss.get(f"/v1/payment-batches/{batch['id']}/file")

    answer = house.boss.call("DELETE", f"/v1/payment-batches/{batch['id']}/approvals/mine")

    assert (answer.status_code, answer.json()["code"]) == (409, "not_allowed_now")


@pytest.fixture
def nmbrs_run(ctx: Context, house: House, payroll: FakePayroll) -> tuple[Any, Any, str]:
    """A run of a payroll package, fetched: the administration, the run, and the batch that waits."""
    administration = payroll.add_administration("2100", number="9970")
    run = payroll.add_run(administration, document=document(lines(3)))
    connection = house.boss.post(
        "/v1/connections",
        {
            "organization_id": str(house.employer_id),
            "kind": "nmbrs_soap",
            "username": payroll.credentials.username,
            "token": payroll.credentials.secret,
            "domain": payroll.credentials.domain,
        },
    ).json()
    checked = house.boss.post(f"/v1/connections/{connection['id']}/check")
    assert checked.json()["state"] == "passed", checked.text
    found = house.boss.get(f"/v1/connections/{connection['id']}/administrations").json()[0]
    assert link(house.boss, found["id"], house.employer_id, house.account_id).status_code == 200
    assert house.boss.post(f"/v1/administrations/{found['id']}/sync").status_code == 202
    work_off(ctx)
    waiting = house.boss.get(f"/v1/payment-batches?administration_id={found['id']}").json()
    assert len(waiting) == 1, house.boss.get("/v1/payroll-runs").text
    return administration, run, found["id"]


def _batches(house: House, administration_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = house.boss.get(f"/v1/payment-batches?administration_id={administration_id}").json()
    return found


def test_a_corrected_iban_after_the_approval_pays_nobody_twice(
    ctx: Context, house: House, payroll: FakePayroll, nmbrs_run: tuple[Any, Any, str]
) -> None:
    """Read again with a corrected IBAN: the new line waits for people, and the approved file is not handed out."""
    administration, run, administration_id = nmbrs_run
    approved = _batches(house, administration_id)[0]
    assert house.boss.approve(approved).status_code == 201
    rows = lines(3)
    corrected = [rows[0], rows[1], type(rows[2])(name="Medewerker C", iban="NL23BUNQ0123456789", amount=rows[2].amount)]
    payroll.set_document(administration, run, document(corrected))

    house.boss.post(f"/v1/administrations/{administration_id}/sync")
    work_off(ctx)

    (newest,) = [batch for batch in _batches(house, administration_id) if batch["id"] != approved["id"]]
    assert newest["counts"] == {"held": 1}
    line = house.transfers(newest["id"])[0]
    assert line["hold_code"] == "run_changed_after_approval"
    assert house.boss.approve(newest).json()["code"] == "nothing_to_pay"
    barred = house.boss.get(f"/v1/payment-batches/{approved['id']}/file")
    assert (barred.status_code, barred.json()["code"]) == (409, "held")
    put_back = house.boss.call(
        "PATCH",
        f"/v1/payment-batches/{newest['id']}/transfers/{line['id']}",
        json={"decision": "pay", "reason": "corrected"},
        headers={"If-Match": f'"r{newest["revision"]}"'},
    )
    assert put_back.status_code == 409
    assert len(_live_claims(ctx)) == 3


def test_after_a_recall_the_corrected_run_is_one_batch_again(
    ctx: Context, house: House, payroll: FakePayroll, nmbrs_run: tuple[Any, Any, str]
) -> None:
    """Recalling the approval brings the corrected line and the good ones together, each paid once."""
    administration, run, administration_id = nmbrs_run
    approved = _batches(house, administration_id)[0]
    house.boss.approve(approved)
    rows = lines(3)
    corrected = [rows[0], rows[1], type(rows[2])(name="Medewerker C", iban="NL23BUNQ0123456789", amount=rows[2].amount)]
    payroll.set_document(administration, run, document(corrected))
    house.boss.post(f"/v1/administrations/{administration_id}/sync")
    work_off(ctx)

    house.boss.call("DELETE", f"/v1/payment-batches/{approved['id']}/approvals/mine")
    work_off(ctx)

    merged = house.batch(approved["id"])
    ibans = [line["creditor"]["iban"] for line in house.transfers(merged["id"]) if line["status"] == "payable"]
    assert ibans == [rows[0].iban, rows[1].iban, "NL23BUNQ0123456789"]
    assert house.boss.approve(merged).status_code == 201
    assert len(_live_claims(ctx)) == 3


def test_a_run_done_again_under_a_new_id_is_the_same_run(
    ctx: Context, house: House, payroll: FakePayroll, nmbrs_run: tuple[Any, Any, str], clock: FakeClock
) -> None:
    """Undone and done again with the same lines, nothing new is offered and nobody can be paid twice."""
    administration, run, administration_id = nmbrs_run
    approved = _batches(house, administration_id)[0]
    house.boss.approve(approved)
    payroll.undo_run(administration, run)
    payroll.add_run(administration, document=document(lines(3)), number=run.number)
    clock.forward(minutes=1)

    house.boss.post(f"/v1/administrations/{administration_id}/sync")
    work_off(ctx)

    assert [batch["id"] for batch in _batches(house, administration_id)] == [approved["id"]]
    assert house.boss.get(f"/v1/payment-batches/{approved['id']}/file").status_code == 200


def test_a_run_that_stays_away_is_withdrawn(
    ctx: Context, house: House, payroll: FakePayroll, nmbrs_run: tuple[Any, Any, str], clock: FakeClock
) -> None:
    """Absent from two lists ten minutes apart, the run is withdrawn and its pending batch ends."""
    administration, run, administration_id = nmbrs_run
    payroll.undo_run(administration, run)
    for minutes in (1, 11):
        clock.forward(minutes=minutes)
        house.boss.post(f"/v1/administrations/{administration_id}/sync")
        work_off(ctx)

    runs = [
        each for each in house.boss.get("/v1/payroll-runs").json() if each["administration_id"] == administration_id
    ]
    assert runs[0]["state"] == "withdrawn"
    assert _batches(house, administration_id)[0]["status"] == "superseded"


def test_the_account_of_a_pending_batch_can_be_confirmed_later(ctx: Context, house: House, client: TestClient) -> None:
    """A holder name that changes with the confirmation makes a new revision, not a batch that can never be approved."""
    body = {"iban": SECOND_IBAN, "holder_name": "Bakkerij"}
    account = house.boss.post(f"/v1/employers/{house.employer_id}/debtor-accounts", body).json()
    limit = {"per_batch": {"amount": "50000.00", "currency": "EUR"}}
    house.boss.call("PUT", f"/v1/debtor-accounts/{account['id']}/payment-limit", json=limit)
    batch = house.uploaded_batch(document(payer_iban=ACCOUNT_IBAN))
    moved = house.boss.call(
        "PATCH",
        f"/v1/payment-batches/{batch['id']}",
        json={"debtor_account_id": account["id"]},
        headers={"If-Match": '"r1"'},
    ).json()
    waiting = next(each for each in house.findings(batch["id"]) if each["code"] == "source_account_differs")
    house.boss.post(f"/v1/payment-batches/{batch['id']}/findings/{waiting['id']}/acknowledgement")
    assert house.boss.approve(moved).json()["code"] == "account_not_confirmed"
    stated = {"holder_name": "Bakkerij Jansen B.V.", "authorised_person": "J. Jansen", "evidence": "Register"}

    assert house.boss.post(f"/v1/debtor-accounts/{account['id']}/confirmation", stated).status_code == 201

    assert house.boss.approve(house.batch(batch["id"])).status_code == 201
