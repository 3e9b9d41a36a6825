from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.payments.line_states import NOTHING_HEARD, LineStage, LineState, NameCheck, advance, state_after
from app.payments.reason_codes import ReasonFlag
from app.payments.status_codes import STATUSES
from app.payments.status_report_model import Reason, StatedStatus

_ORDER = [LineStage.NONE, LineStage.RECEIVED, LineStage.ACCEPTED, LineStage.SETTLED]

_codes = st.one_of(st.sampled_from([*STATUSES, "rjct", " acsc", "QXYZ", ""]), st.none())
_reasons = st.builds(
    Reason,
    code=st.sampled_from([None, "AM04", "AM05", "AC01"]),
    texts=st.sampled_from([(), ("J. de Jong",), ("W. de Jong",)]),
)
_statements = st.builds(StatedStatus, code=_codes, reasons=st.lists(_reasons, max_size=2).map(tuple))


def _after(*codes: str) -> LineState:
    return state_after(StatedStatus(code=code) for code in codes)


@pytest.mark.parametrize(
    ("codes", "stage"),
    [
        ("", LineStage.NONE),
        ("RCVD", LineStage.RECEIVED),
        ("PDNG", LineStage.RECEIVED),
        ("ACTC", LineStage.RECEIVED),
        ("RCVC", LineStage.RECEIVED),
        ("RVNM", LineStage.RECEIVED),
        ("PART", LineStage.NONE),
        ("QXYZ", LineStage.NONE),
        ("ACCP", LineStage.ACCEPTED),
        ("ACWC", LineStage.ACCEPTED),
        ("ACSP", LineStage.ACCEPTED),
        ("ACWP", LineStage.ACCEPTED),
        ("BLCK", LineStage.ACCEPTED),
        ("ACSC", LineStage.SETTLED),
        ("ACCC", LineStage.SETTLED),
        ("RJCT", LineStage.REJECTED),
        ("rjct", LineStage.REJECTED),
        ("CANC", LineStage.REJECTED),
        ("ACCP RJCT", LineStage.REJECTED),
        ("ACSP RJCT", LineStage.REJECTED),
        ("RVNM CANC", LineStage.REJECTED),
        ("ACSC ACCP", LineStage.SETTLED),
        ("ACSC RCVD PDNG", LineStage.SETTLED),
        ("RJCT ACSC", LineStage.CONTRADICTION),
        ("CANC ACCC", LineStage.CONTRADICTION),
        ("RJCT BLCK", LineStage.CONTRADICTION),
        ("ACSC QXYZ", LineStage.SETTLED),
    ],
)
def test_the_stage_is_the_same_in_whatever_order_the_statements_come(codes: str, stage: LineStage):
    """A rejection holds over an acceptance, settled over what is less, and both together are for a person."""
    assert {_after(*order).stage for order in permutations(codes.split())} == {stage}


@given(st.lists(_statements, max_size=6), st.randoms(use_true_random=False))
def test_the_same_reports_in_any_order_end_in_the_same_state(statements: list[StatedStatus], random: Random):
    """Reports overtake each other on their way; the outcome does not depend on it."""
    shuffled = random.sample(statements, len(statements))
    assert state_after(shuffled) == state_after(statements)


@given(st.lists(_statements, max_size=6), st.data())
def test_a_report_that_comes_twice_changes_nothing(statements: list[StatedStatus], data: st.DataObject):
    """Banks and people send the same report again."""
    state = state_after(statements)
    assert all(advance(state, again) == state for again in statements)
    if statements:
        assert advance(state, data.draw(st.sampled_from(statements))) == state


@given(st.lists(_statements, max_size=6), _statements)
def test_no_statement_brings_a_line_back(statements: list[StatedStatus], statement: StatedStatus):
    """Forward, to rejected, or to a contradiction: never back, and never out of a rejection by an acceptance."""
    before, after = state_after(statements).stage, advance(state_after(statements), statement).stage
    if before is LineStage.CONTRADICTION:
        assert after is LineStage.CONTRADICTION
    elif before is LineStage.REJECTED:
        assert after in {LineStage.REJECTED, LineStage.CONTRADICTION}
    elif before is LineStage.SETTLED:
        assert after in {LineStage.SETTLED, LineStage.CONTRADICTION}
    else:
        assert after in {*_ORDER[_ORDER.index(before) :], LineStage.REJECTED, LineStage.CONTRADICTION}


@given(st.lists(_statements, max_size=6))
def test_settled_and_rejected_together_are_always_a_contradiction(statements: list[StatedStatus]):
    """Whatever else was said, money that both went and did not go is never closed or released by the machine."""
    both = [StatedStatus(code="ACSC"), *statements, StatedStatus(code="RJCT")]
    assert state_after(both).stage is LineStage.CONTRADICTION


def test_nothing_that_was_said_is_lost():
    """Codes that nobody told of are shown as the bank wrote them; a statement without a code says nothing."""
    state = state_after(
        [StatedStatus(code="qxyz"), StatedStatus(code="ACCP"), StatedStatus(reasons=(Reason(code="AM05"),))]
    )
    assert state.heard == {StatedStatus(code="qxyz"), StatedStatus(code="ACCP")}
    assert state.unknown_codes == {"qxyz"}


@pytest.mark.parametrize(
    ("codes", "awaits"),
    [
        ("ACTC", True),
        ("PATC", True),
        ("RCVD ACTC", True),
        ("ACTC PATC", True),
        ("ACTC PDNG", True),
        ("ACTC RVNM", True),
        ("ACTC ACCP", False),
        ("PATC ACSC", False),
        ("ACTC RJCT", False),
        ("ACTC CANC", False),
        ("RCVD", False),
        ("", False),
    ],
)
def test_a_line_awaits_a_signature_until_something_further_is_heard(codes: str, awaits: bool):
    """Somebody still has to sign at the bank, also when the bank says pending; acceptance or rejection ends it."""
    assert {_after(*order).awaiting_bank_signature for order in permutations(codes.split())} == {awaits}


@pytest.mark.parametrize(
    ("codes", "outcome"),
    [
        ("RVNC", "RVNC"),
        ("RVNC RCVC", "RCVC"),
        ("RVCM RCVC", "RVCM"),
        ("RVCM RVNA", "RVNA"),
        ("RVCM rvmc", "RVMC"),
        ("RVMC RVNM", "RVNM"),
        ("RVNM ACSC", "RVNM"),
    ],
)
def test_of_several_name_checks_the_gravest_outcome_counts(codes: str, outcome: str):
    """The check is a sub-state: it stays known whatever happens to the line."""
    checks = {_after(*order).name_check for order in permutations(codes.split())}
    assert checks == {NameCheck(code=outcome)}


def test_the_name_that_the_bank_proposes_is_given_as_it_writes_it():
    """A close match comes with the name that the other bank knows; a mismatch never does."""
    close = StatedStatus(code="RVMC", reasons=(Reason(code="PN02", texts=("J. de", "Jong")),))
    none = StatedStatus(code="RVNM", reasons=(Reason(code="PN01", texts=("geen overeenkomst",)),))
    assert state_after([close]).name_check == NameCheck(code="RVMC", proposed_name="J. de Jong")
    assert state_after([none]).name_check == NameCheck(code="RVNM")
    assert NOTHING_HEARD.name_check is None


def test_two_proposed_names_are_both_shown():
    """Which of them holds is for a person."""
    names = [StatedStatus(code="RVMC", reasons=(Reason(texts=(name,)),)) for name in ("W. de Jong", "J. de Jong")]
    assert state_after(names).name_check == NameCheck(code="RVMC", proposed_name="J. de Jong / W. de Jong")


def test_a_rejection_carries_its_reasons_and_flags_and_nobody_elses():
    """Why it was rejected decides what may happen next; a reason beside an acceptance does not."""
    state = state_after(
        [
            StatedStatus(code="ACWC", reasons=(Reason(code="AM05"),)),
            StatedStatus(code="RJCT", reasons=(Reason(code="AM04"), Reason(code="NARR", texts=("Saldo",)))),
        ]
    )
    assert state.reasons == {Reason(code="AM04"), Reason(code="NARR", texts=("Saldo",))}
    assert state.flags == {ReasonFlag.FUNDS}


def test_blocked_money_is_told():
    """Neither paid nor given back is no rejection, and no line like any other."""
    assert _after("ACWP", "BLCK").is_blocked
    assert not _after("ACWP").is_blocked
