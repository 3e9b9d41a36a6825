"""Proves that no spoiled answer of a payroll source becomes a wrong batch, and that the right one comes later.

Service and proxy are in this process, the simulated Nmbrs is one of its own. What is right is read from the simulator's
data. For each fault: a run is finished there and seen, its answer is spoiled, the run is fetched, and what came of it
is judged; then the fault is lifted, the run is fetched again, and the batch must be right to the cent.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.core.clock import utc_now
from app.main import Service, build, create_app
from app.nmbrs.source import NmbrsSoapKind
from app.payments import fetching, syncing
from app.payments.context import Context
from app.payments.ports import SourceKind
from simulators.nmbrs.process import DEMO, SimulatorClient, run_simulator
from tests.end_to_end.town import COMPANY, Settled, run_order, settle, town_settings
from tests.proofs.fault_proxy import FaultProxy, Genuine, Spoil, Spoiled, fault_proxy
from tests.proofs.source_faults import DOCUMENT, RUNS, FaultCase, Outcome
from tests.proofs.spoiling import cut_at, document_cut_at, document_in, framed
from tests.support.postgres import TestDatabase

OTHER_COMPANY = 2200
_HASTY_SECONDS = 0.5
_PATIENT_SECONDS = 30.0
_REASON_OF_RUN = "SELECT reason_code FROM payroll_run WHERE description = :text"
_BATCHES_OF_RUN = (
    "SELECT payment_batch.id FROM payment_batch JOIN payroll_run ON payroll_run.id = payment_batch.run_id "
    "WHERE payroll_run.description = :text"
)
Payments = Counter[tuple[str, int]]


@dataclass
class FaultHouse:
    """An employer whose payroll source stands behind the proxy."""

    ctx: Context
    sources: dict[str, SourceKind]
    proxy: FaultProxy
    nmbrs: SimulatorClient
    settled: Settled
    last_run: int = 60_000
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    _twin: Callable[[SourceKind], SourceKind] | None = None

    # ----------------------------------------------------------------------------------------------------------- doing

    def finish_run(self, company: int = COMPANY, *, lines: int = 8) -> int:
        """Finish a run at the source; return its number."""
        self.last_run += 1
        return self.nmbrs.finish_run(company, run_order(self.last_run, lines=lines))

    def sync(self) -> None:
        """Ask the source which runs there are."""
        syncing.sync_runs(self.ctx, UUID(self.settled.connection_id))

    def fetch(self, run_id: int) -> None:
        """Fetch a run, as its job would."""
        fetching.fetch_run(self.ctx, UUID(self.run(run_id)["id"]))

    def hurry(self, *, is_hasty: bool) -> None:
        """Wait only half a second for each answer, or as long as it takes."""
        kind = _kind(self.proxy.base_url, _HASTY_SECONDS if is_hasty else _PATIENT_SECONDS)
        self.sources[NmbrsSoapKind.name] = self._twin(kind) if self._twin else kind

    def change_kind(self, twin: Callable[[SourceKind], SourceKind] | None) -> None:
        """Read the source through a twin of its kind from now on; None: as it is."""
        self._twin = twin
        self.hurry(is_hasty=False)

    @contextmanager
    def spoiled(self, operation: str, spoil: Spoil, *, is_slow: bool = False) -> Iterator[None]:
        """Spoil the answers to an operation inside this block; at least one must have been spoiled at its end."""
        before = self.proxy.struck
        self.proxy.spoil(operation, spoil)
        self.hurry(is_hasty=is_slow)
        try:
            yield
        finally:
            self.proxy.heal()
            self.hurry(is_hasty=False)
        assert self.proxy.struck > before, "nothing was spoiled"

    # --------------------------------------------------------------------------------------------------------- looking

    def _get(self, path: str) -> Any:
        answer = self.settled.boss.get(path)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        return answer.json()

    def runs(self, run_id: int) -> list[dict[str, Any]]:
        """Return the run as the API shows it, in a list that is empty while nobody has seen it."""
        found: list[dict[str, Any]] = self._get("/v1/payroll-runs?limit=200")
        return [each for each in found if each["description"] == _text(run_id)]

    def run(self, run_id: int) -> dict[str, Any]:
        """Return the run as the API shows it."""
        (found,) = self.runs(run_id)
        return found

    def batch(self, run_id: int) -> dict[str, Any] | None:
        """Return the batch of a run, None while it has none; there is never more than one."""
        with self.ctx.engine.connect() as connection:
            found = connection.execute(sa.text(_BATCHES_OF_RUN), {"text": _text(run_id)}).scalars().all()
        assert len(found) < 2, f"run {run_id} has {len(found)} batches"
        return dict(self._get(f"/v1/payment-batches/{found[0]}")) if found else None

    def lines(self, batch: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the lines of a batch."""
        found: list[dict[str, Any]] = self._get(f"/v1/payment-batches/{batch['id']}/transfers?limit=200")["items"]
        return found

    def owed(self, run_id: int, company: int = COMPANY) -> Payments:
        """Return what the source owes in this run: who gets how many cents, how often."""
        return Counter(_payment(each["iban"], each["amount"]) for each in self.nmbrs.show_run(company, run_id)["lines"])

    # --------------------------------------------------------------------------------------------------------- judging

    def prove(self, case: FaultCase) -> None:
        """Prove one case; AssertionError says what came of it instead."""
        try:
            (self._prove_list if case.operation == RUNS else self._prove_document)(case)
        except AssertionError as error:
            error.add_note(f"the fault: {case.name}")
            raise
        self.outcomes[case.outcome] += 1

    def _prove_document(self, case: FaultCase) -> None:
        run_id = self.finish_run()
        self.sync()
        with self.spoiled(case.operation, case.spoil, is_slow=case.is_slow):
            self.fetch(run_id)
        self._judge(case, run_id)
        shown = self.batch(run_id)
        self.fetch(run_id)
        self.expect_right(run_id)
        if case.outcome is Outcome.BELIEVED:
            self._expect_void(shown)

    def _prove_list(self, case: FaultCase) -> None:
        run_id = self.finish_run()
        with self.spoiled(case.operation, case.spoil, is_slow=case.is_slow):
            self.sync()
        assert self.runs(run_id) == [], "a run was taken from a spoiled list"
        fault = self._get(f"/v1/connections/{self.settled.connection_id}")["fault"]
        assert fault is not None, "the connection shows no fault"
        assert fault["code"] in case.codes, f"the connection says {fault['code']}"
        self.sync()
        self.fetch(run_id)
        self.expect_right(run_id)

    def _judge(self, case: FaultCase, run_id: int) -> None:
        batch = self.batch(run_id)
        if case.outcome is Outcome.REFUSED:
            self._expect_refused(case, run_id, batch)
            return
        assert batch is not None, f"no batch came: {self.run(run_id)}"
        if case.outcome is Outcome.HARMLESS:
            self.expect_right(run_id)
        elif case.outcome is Outcome.FLAGGED:
            self._expect_flagged(run_id, batch)
        elif case.outcome is Outcome.ASKED:
            self._expect_asked(case, batch)
        else:
            assert self._payable(batch) != self.owed(run_id) or self._names(batch) != self._names_of(run_id), (
                "the fault shows nowhere"
            )

    def _expect_refused(self, case: FaultCase, run_id: int, batch: dict[str, Any] | None) -> None:
        assert batch is None, f"a batch came of it: {batch}"
        run = self.run(run_id)
        assert run["reason_code"] in case.codes, f"the run says {run['state']}, {run['reason_code']}"
        assert len(run["reason"]) > 30, f"the run says only {run['reason']!r}"
        told = next(each for each in self._get("/v1/history?limit=5") if each["event"].startswith("run."))
        if run["state"] == "doubtful":
            assert told["event"] == "run.doubtful", told
        else:
            assert (told["event"], told["facts"]["details"]["code"]) == ("run.not_fetched", run["reason_code"]), told

    def _expect_flagged(self, run_id: int, batch: dict[str, Any]) -> None:
        statuses = Counter(line["status"] for line in self.lines(batch))
        assert statuses["invalid"] == 1, dict(statuses)
        assert not self._payable(batch) - self.owed(run_id), "a payable line is not owed"
        assert self._payable(batch).total() == self.owed(run_id).total() - 1

    def _expect_asked(self, case: FaultCase, batch: dict[str, Any]) -> None:
        findings = self._get(f"/v1/payment-batches/{batch['id']}/findings")
        asked = {each["code"] for each in findings if each["needs_acknowledgement"] and not each["acknowledged_at"]}
        assert asked & case.codes, f"nobody is asked about it: {asked}"

    def _expect_void(self, shown: dict[str, Any] | None) -> None:
        """What was shown before the source put it right can no longer be approved."""
        assert shown is not None
        answer = self.settled.boss.approve(shown)
        assert answer.status_code == 412, f"approving what was shown before: {answer.status_code} {answer.text}"

    def expect_right(self, run_id: int) -> None:
        """The batch pays what the source owes, to the cent, and nothing else."""
        batch = self.batch(run_id)
        assert batch is not None, f"no batch came of run {run_id}: {self.run(run_id)}"
        assert batch["status"] == "pending", batch["status"]
        found, owed = self._payable(batch), self.owed(run_id)
        assert found == owed, f"run {run_id}: missing {owed - found}, too much {found - owed}"
        assert self._names(batch) == self._names_of(run_id)
        assert Decimal(batch["control_sum"]["amount"]) * 100 == sum(cents * n for (_, cents), n in owed.items())

    def _payable(self, batch: dict[str, Any]) -> Payments:
        lines = [line for line in self.lines(batch) if line["status"] == "payable"]
        return Counter(_payment(line["creditor"]["iban"], line["amount"]["amount"]) for line in lines)

    def _names(self, batch: dict[str, Any]) -> Counter[str]:
        return Counter(line["creditor"]["name"] for line in self.lines(batch) if line["status"] == "payable")

    def _names_of(self, run_id: int) -> Counter[str]:
        return Counter(each["name"] for each in self.nmbrs.show_run(COMPANY, run_id)["lines"])


def _text(run_id: int) -> str:
    return f"Salaris {run_id}"


def _payment(iban: str, amount: object) -> tuple[str, int]:
    return iban, int(Decimal(str(amount)) * 100)


# ------------------------------------------------------------------------------------- faults that need another answer


def answers_of_others(house: FaultHouse) -> list[FaultCase]:
    """Return the cases whose answer is a genuine one to another question: they are fetched now."""
    other_run = house.finish_run(lines=7)
    house.finish_run(OTHER_COMPANY, lines=5)
    house.sync()
    house.fetch(other_run)
    of_other_run, of_runs = house.proxy.answers[DOCUMENT], house.proxy.answers[RUNS]
    of_other_company = _with_payer(of_other_run, b"NL39RABO0300065264")
    return [
        FaultCase(
            name="an answer of another question", spoil=_always(of_runs), codes=frozenset({"source_answer_unusable"})
        ),
        FaultCase(
            name="an answer of another company",
            spoil=_always(of_other_company),
            outcome=Outcome.ASKED,
            codes=frozenset({"source_account_differs"}),
        ),
        FaultCase(name="an answer of another run", spoil=_always(of_other_run), outcome=Outcome.BELIEVED),
    ]


def _always(answer: Genuine) -> Spoil:
    return lambda _: Spoiled(pieces=[answer.whole()])


def _with_payer(answer: Genuine, iban: bytes) -> Genuine:
    body = answer.body.replace(b"NL91ABNA0417164300", iban)
    assert body != answer.body
    return Genuine(status=answer.status, headers=answer.headers, body=body)


def refused_connections(house: FaultHouse) -> None:
    """Prove the one fault that is no answer at all: nobody listens."""
    run_id = house.finish_run()
    house.sync()
    house.proxy.refuse()
    try:
        house.fetch(run_id)
    finally:
        house.proxy.listen()
    _expect_nothing(house, "a refused connection")
    assert house.run(run_id)["reason_code"] == "source_unreachable"
    house.fetch(run_id)
    house.expect_right(run_id)


# ----------------------------------------------------------------------------------------------- cut off at every byte


def cut_everywhere(house: FaultHouse, *, most: int, say: Callable[[str], None]) -> int:
    """Cut the answer off at so many places, spread over all, in three ways; no place makes a batch. Return how many."""
    run_id = house.finish_run()
    house.sync()
    house.proxy.answers.pop(DOCUMENT, None)
    with house.spoiled(DOCUMENT, lambda genuine: Spoiled(pieces=[genuine.whole(b"")])):
        house.fetch(run_id)
    genuine = house.proxy.answers[DOCUMENT]
    start, end = document_in(genuine.body)
    ways: dict[str, tuple[int, Callable[[int], Spoil]]] = {
        "an answer with a length": (len(framed(genuine, has_length=True)), partial(cut_at, has_length=True)),
        "an answer without a length": (len(framed(genuine, has_length=False)), partial(cut_at, has_length=False)),
        "a document in a whole answer": (end - start, document_cut_at),
    }
    done = 0
    for name, (length, cut) in ways.items():
        places = spread(length, -(-most // len(ways)))
        for place in places:
            with house.spoiled(DOCUMENT, partial(_from_memory, genuine, cut(place))):
                house.fetch(run_id)
            _expect_nothing(house, f"{name}, cut off after {place} of {length} bytes")
        done += len(places)
        say(f"{name}: cut off at {len(places)} of {length} places, no batch")
    house.fetch(run_id)
    house.expect_right(run_id)
    return done


def spread(length: int, most: int) -> list[int]:
    """Return so many places from 0 up to and not including `length`, evenly; the last one always among them."""
    wanted = min(length, most)
    return [(index + 1) * length // wanted - 1 for index in range(wanted)]


def _from_memory(genuine: Genuine, spoil: Spoil, _now: Genuine) -> Spoiled:
    """Spoil the same answer each time, so that each place is cut at once."""
    return spoil(genuine)


def _expect_nothing(house: FaultHouse, what: str) -> None:
    with house.ctx.engine.connect() as connection:
        batches = connection.execute(sa.text(_BATCHES_OF_RUN), {"text": _text(house.last_run)}).all()
        reason = connection.execute(sa.text(_REASON_OF_RUN), {"text": _text(house.last_run)}).scalar_one()
    assert not batches, f"a batch came of {what}"
    assert reason, f"nothing is said about {what}"


# --------------------------------------------------------------------------------------------------------------- house


def _kind(base_url: str, seconds: float) -> NmbrsSoapKind:
    return NmbrsSoapKind(
        base_url=f"{base_url}/soap/v3",
        clock=utc_now,
        pause=lambda _: None,
        jitter=lambda: 0.0,
        call_timeout_seconds=seconds,
    )


def _two_companies() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(DEMO.read_text(encoding="utf-8"))
    companies = data["environments"][0]["debtors"][0]["companies"]
    companies.append(
        {**companies[0], "id": OTHER_COMPANY, "number": 9970, "name": "Nmbrs Rotterdam BV", "runs": [], "employees": []}
    )
    return data


@contextmanager
def fault_house(database: TestDatabase) -> Iterator[FaultHouse]:
    """Give a house on an empty database."""
    database.empty()
    with (
        TemporaryDirectory(prefix="faults-") as folder,
        run_simulator(_two_companies()) as nmbrs,
        fault_proxy(nmbrs.base_url) as proxy,
    ):
        sources: dict[str, SourceKind] = {NmbrsSoapKind.name: _kind(proxy.base_url, _PATIENT_SECONDS)}
        settings = town_settings(Path(folder))
        service: Service = build(settings, database_url=database.app_url, sources=sources)
        try:
            with TestClient(create_app(service, with_worker=False), raise_server_exceptions=False) as client:
                settled = settle(service.context, client)
                yield FaultHouse(ctx=service.context, sources=sources, proxy=proxy, nmbrs=nmbrs, settled=settled)
        finally:
            service.context.close()
