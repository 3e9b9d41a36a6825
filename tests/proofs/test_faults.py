"""The short version of `./run prove faults`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import pytest

from app.payments.ports import PayrollSource, RawDocument, SourceCredentials, SourceKind, SourceRun, WebhookHint
from tests.proofs.faulty_source import FaultHouse, answers_of_others, cut_everywhere, fault_house, refused_connections
from tests.proofs.source_faults import CASES, FaultCase
from tests.support.postgres import TestDatabase

_IN_SHORT = CASES[::3]


@pytest.fixture(scope="module")
def faulty(database: TestDatabase) -> Iterator[FaultHouse]:
    """One employer for all faults; each has a run of its own."""
    with fault_house(database) as house:
        yield house


@pytest.mark.parametrize("case", _IN_SHORT, ids=lambda case: case.name)
def test_a_spoiled_answer_makes_no_wrong_batch(faulty: FaultHouse, case: FaultCase) -> None:
    """Each fault has its outcome, told by name; afterwards the batch is right to the cent."""
    faulty.prove(case)


def test_an_answer_of_somebody_else_makes_no_wrong_batch(faulty: FaultHouse) -> None:
    """Of another question: refused. Of another company: asked about. Of another run: put right by the next reading."""
    for case in answers_of_others(faulty):
        faulty.prove(case)


def test_refused_connections_make_no_wrong_batch(faulty: FaultHouse) -> None:
    """A source that is down: no batch, and the run says so; back again, the right batch comes."""
    refused_connections(faulty)


def test_an_answer_cut_off_anywhere_makes_no_batch(faulty: FaultHouse) -> None:
    """Cut off at places spread over answer and document, nothing is taken; whole, the right batch comes."""
    assert cut_everywhere(faulty, most=45, say=lambda _: None) == 45


def test_there_are_many_faults_and_each_has_a_name() -> None:
    """No two cases share a name, and every outcome has a case."""
    names = [case.name for case in CASES]
    assert len(names) == len(set(names)) > 100
    assert all(case.codes for case in CASES if case.outcome == "refused")


# ------------------------------------------------------------------------------------------------------- a broken twin


def _with_totals_that_fit(document: bytes) -> bytes:
    """Write the totals anew from the lines: what a service without a check of totals would accept."""
    amounts = re.findall(rb"<InstdAmt[^>]*>([0-9.]+)<", document)
    cents = sum(int(amount.replace(b".", b"")) for amount in amounts)
    document = re.sub(rb"(?<=<NbOfTxs>)[0-9]+", str(len(amounts)).encode(), document)
    return re.sub(rb"(?<=<CtrlSum>)[0-9.]+", f"{cents // 100}.{cents % 100:02d}".encode(), document)


@dataclass(frozen=True)
class _CredulousSource:
    """The source, for a service to which every document seems to add up."""

    real: PayrollSource

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)

    def fetch_payments(self, administration: str, run: SourceRun, *, payment_date: date) -> RawDocument:
        found = self.real.fetch_payments(administration, run, payment_date=payment_date)
        return replace(found, content=_with_totals_that_fit(found.content))


@dataclass(frozen=True)
class _CredulousKind:
    """A kind whose sources are credulous."""

    real: SourceKind
    name: str = "nmbrs_soap"

    def open(self, credentials: SourceCredentials, *, timeout_seconds: float | None = None) -> _CredulousSource:
        return _CredulousSource(self.real.open(credentials, timeout_seconds=timeout_seconds))

    def check_credentials(self, credentials: SourceCredentials) -> SourceCredentials:
        return self.real.check_credentials(credentials)

    def read_webhook(self, *, body: bytes, headers: Mapping[str, str], query: str) -> Sequence[WebhookHint]:
        return self.real.read_webhook(body=body, headers=headers, query=query)


@pytest.mark.parametrize("name", ["a digit of an amount", "a line less", "a line twice"])
def test_the_proof_finds_a_service_that_checks_no_totals(faulty: FaultHouse, name: str) -> None:
    """With totals that always fit, a changed amount, a lost line and a doubled line are found by the proof."""
    case = next(case for case in CASES if case.name == name)
    faulty.change_kind(_CredulousKind)
    try:
        with pytest.raises(AssertionError, match="a batch came of it"):
            faulty.prove(case)
    finally:
        faulty.change_kind(None)
