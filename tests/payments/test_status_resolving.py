import time
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.payments.line_states import LineStage, NameCheck, state_after
from app.payments.status_report_model import Reason, StatedStatus
from app.payments.status_reports import read_status_report
from app.payments.status_resolution import DisagreementKind, Level, Resolution, Standing
from app.payments.status_resolving import resolve
from tests.payments.status_report_samples import FLAVOURS, VERSIONS, Block, Line, Report, Why, every_flavour

FILE: Mapping[str, Sequence[str]] = {"PMT-1": ["E2E-1", "E2E-2"], "PMT-2": ["E2E-3"]}
NOTHING = Standing()


def _resolved(report: Report, file: Mapping[str, Sequence[str]] = FILE) -> Resolution:
    return resolve(read_status_report(report.bytes()), file)


def _lines(report: Report) -> dict[str, tuple[Level | None, str]]:
    """Return the level and the codes that hold for each line."""
    return {
        line.end_to_end_id: (line.standing.level, " ".join(each.code or "" for each in line.standing.statements))
        for line in _resolved(report).lines
    }


def _stages(report: Report) -> list[LineStage]:
    return [state_after(line.standing.statements).stage for line in _resolved(report).lines]


# ------------------------------------------------------------------------------------ line over instruction over group


@pytest.mark.parametrize(
    "code", ["RCVD", "ACTC", "ACCP", "ACSP", "ACSC", "RJCT", "CANC", "PDNG", "RVNC", "RCVC", "QXYZ"]
)
def test_what_is_said_of_the_file_holds_for_every_line(code: str):
    """A status of the file alone reaches every instruction and line."""
    resolution = _resolved(Report(status=code))
    standings = [each.standing for each in (*resolution.instructions, *resolution.lines)]
    assert standings == [Standing(level=Level.GROUP, statements=(StatedStatus(code=code),))] * 5


def test_the_more_specific_statement_holds():
    """Line over instruction over group."""
    report = Report(
        status="RCVD",
        blocks=(Block(status="ACCP", lines=(Line(end_to_end_id="E2E-2", status="RJCT"),)),),
    )
    assert _lines(report) == {
        "E2E-1": (Level.INSTRUCTION, "ACCP"),
        "E2E-2": (Level.LINE, "RJCT"),
        "E2E-3": (Level.GROUP, "RCVD"),
    }
    assert [each.standing.level for each in _resolved(report).instructions] == [Level.INSTRUCTION, Level.GROUP]


def test_a_rejection_of_the_file_does_not_reach_a_line_that_says_otherwise_but_is_not_ignored():
    """The line's own statement holds, and the rejection above it is reported."""
    report = Report(status="RJCT", blocks=(Block(lines=(Line(status="ACCP"),)),))
    assert _lines(report)["E2E-1"] == (Level.LINE, "ACCP")
    assert _lines(report)["E2E-2"] == (Level.GROUP, "RJCT")
    assert [each.kind for each in _resolved(report).disagreements] == [DisagreementKind.REJECTION_OVERRIDDEN]


@pytest.mark.parametrize("code", ["PART", "part", "RVCM"])
def test_what_is_said_of_some_payments_decides_nothing_about_those_not_named(code: str):
    """PART does not say which; a line that is not named has no statement, neither from the file."""
    of_file = Report(status=code)
    of_instruction = Report(status="ACSP", blocks=(Block(status=code, lines=(Line(status="RJCT"),)),))
    assert _lines(of_file) == {"E2E-1": (None, ""), "E2E-2": (None, ""), "E2E-3": (None, "")}
    named = _lines(of_instruction)
    assert named["E2E-1"] == (Level.LINE, "RJCT")
    assert named["E2E-3"] == (Level.GROUP, "ACSP")


def test_below_an_instruction_that_is_partly_accepted_the_file_does_not_decide():
    """Instruction over group: PART takes the file's acceptance away without putting another in its place."""
    report = Report(status="ACSP", blocks=(Block(status="PART"),))
    assert _lines(report)["E2E-1"] == (None, "")
    assert _resolved(report).instructions[0].standing == Standing(
        level=Level.INSTRUCTION, statements=(StatedStatus(code="PART"),)
    )


def test_a_report_of_rejections_only_says_nothing_of_the_others():
    """No word is not proof of payment."""
    assert _stages(FLAVOURS["rejections only"]) == [LineStage.REJECTED, LineStage.NONE, LineStage.NONE]


def test_a_line_named_without_a_status_has_that_of_its_block_with_its_own_reason():
    """Banks reject a block and give each line in it only its reason."""
    report = Report(
        status="ACSP",
        blocks=(Block(status="RJCT", reasons=(Why(code="NARR"),), lines=(Line(reasons=(Why(code="AC04"),)),)),),
    )
    line = next(iter(_resolved(report).lines))
    assert line.standing == Standing(
        level=Level.INSTRUCTION,
        statements=(StatedStatus(code="RJCT", reasons=(Reason(code="AC04"), Reason(code="NARR"))),),
    )


def test_a_line_named_without_a_status_in_a_rejected_file_keeps_its_own_reason():
    """The reason of the line is why it was rejected, wherever the rejection stands."""
    report = Report(status="RJCT", blocks=(Block(lines=(Line(reasons=(Why(code="AM05"),)),)),))
    line = next(iter(_resolved(report).lines))
    assert line.standing == Standing(
        level=Level.GROUP, statements=(StatedStatus(code="RJCT", reasons=(Reason(code="AM05"),)),)
    )


def test_an_unknown_code_of_a_line_is_not_replaced_by_the_files_acceptance():
    """It may well mean that the line was rejected: it is shown, and settles nothing."""
    report = Report(status="ACSC", blocks=(Block(lines=(Line(status="QXYZ"),)),))
    assert _lines(report)["E2E-1"] == (Level.LINE, "QXYZ")
    assert _stages(report)[0] is LineStage.NONE


# --------------------------------------------------------------------------------------------------------- name check


def test_a_name_check_of_a_line_does_not_hide_the_rejection_of_the_file():
    """Codes of the name check are no statuses, so both hold."""
    report = Report(status="RJCT", blocks=(Block(lines=(Line(status="RVNM"),)),))
    line = next(iter(_resolved(report).lines))
    assert line.standing == Standing(
        level=Level.GROUP, statements=(StatedStatus(code="RJCT"), StatedStatus(code="RVNM"))
    )
    assert line.standing.statement == StatedStatus(code="RJCT")


def test_the_reason_of_a_name_check_is_no_reason_of_the_rejection():
    """What the check found and why the file was rejected are two things."""
    report = Report(status="RJCT", blocks=(Block(lines=(Line(status="RVMC", reasons=(Why(code="PN02"),)),)),))
    line = next(iter(_resolved(report).lines))
    assert line.standing.statements == (
        StatedStatus(code="RJCT"),
        StatedStatus(code="RVMC", reasons=(Reason(code="PN02"),)),
    )


def test_a_name_check_keeps_the_name_that_the_bank_proposes():
    """The employer sees per line what the check found."""
    states = [
        state_after(line.standing.statements) for line in _resolved(FLAVOURS["name check with differences"]).lines
    ]
    assert [state.name_check for state in states] == [
        NameCheck(code="RVMC", proposed_name="J. de Jong"),
        NameCheck(code="RVNM"),
        NameCheck(code="RVNA"),
    ]


def test_the_status_of_the_instruction_holds_beside_the_name_check_of_the_file():
    """A file whose name check runs can wait for a signature at the same time."""
    report = Report(status="RVNC", blocks=(Block(status="ACTC"),))
    assert _lines(report) == {
        "E2E-1": (Level.INSTRUCTION, "ACTC RVNC"),
        "E2E-2": (Level.INSTRUCTION, "ACTC RVNC"),
        "E2E-3": (Level.GROUP, "RVNC"),
    }


# -------------------------------------------------------------------------------------------------- said more than once


@pytest.mark.parametrize("codes", [("ACSP", "RJCT"), ("RJCT", "ACSP")])
def test_a_line_that_is_stated_twice_keeps_its_rejection(codes: tuple[str, str]):
    """Both statements hold, whichever came last; the rejection is shown and the difference reported."""
    report = Report(blocks=(Block(lines=tuple(Line(status=code) for code in codes)),))
    resolution = _resolved(report)
    line = next(iter(resolution.lines))
    assert {each.code for each in line.standing.statements} == {"ACSP", "RJCT"}
    assert line.standing.statement == StatedStatus(code="RJCT")
    assert state_after(line.standing.statements).stage is LineStage.REJECTED
    assert [each.kind for each in resolution.disagreements] == [DisagreementKind.STATEMENTS_DIFFER]


def test_a_line_that_is_stated_twice_in_the_same_way_is_stated_once():
    """A bank that repeats itself says nothing more."""
    resolution = _resolved(Report(blocks=(Block(lines=(Line(status="RJCT"),) * 2),)))
    assert next(iter(resolution.lines)).standing.statements == (StatedStatus(code="RJCT"),)
    assert resolution.disagreements == ()


def test_a_line_that_is_both_settled_and_rejected_is_a_contradiction():
    """Money that went and did not go is for a person."""
    report = Report(blocks=(Block(lines=(Line(status="RJCT"), Line(status="ACSC"))),))
    assert _stages(report)[0] is LineStage.CONTRADICTION


def test_an_instruction_in_two_blocks_decides_only_about_the_lines_that_each_names():
    """A bank splits an instruction by status: neither block speaks of a line that it does not name."""
    report = Report(
        status="ACSP",
        blocks=(
            Block(status="ACSC", lines=(Line(end_to_end_id="E2E-1"),)),
            Block(status="RJCT", lines=(Line(end_to_end_id="E2E-2"),)),
        ),
    )
    file = {"PMT-1": ["E2E-1", "E2E-2", "E2E-4"]}
    resolution = _resolved(report, file)
    assert [state_after(line.standing.statements).stage for line in resolution.lines] == [
        LineStage.SETTLED,
        LineStage.REJECTED,
        LineStage.NONE,
    ]
    assert resolution.instructions[0].standing.statement == StatedStatus(code="RJCT")
    assert [each.kind for each in resolution.disagreements] == [DisagreementKind.STATEMENTS_DIFFER]


def test_an_instruction_in_two_blocks_of_one_status_is_that_status():
    """The same said twice is said once."""
    report = Report(blocks=(Block(status="RJCT"), Block(status="rjct ")))
    assert [state_after(line.standing.statements).stage for line in _resolved(report).lines][:2] == [
        LineStage.REJECTED,
        LineStage.REJECTED,
    ]


# ---------------------------------------------------------------------------------------------------------- of the file


def test_a_report_that_names_another_file_says_nothing_of_the_whole_file():
    """Only what names our own instructions and lines holds, and the difference is reported."""
    report = read_status_report(Report(status="RJCT", blocks=(Block(id="PMT-2", status="ACSP"),)).bytes())
    resolution = resolve(report, FILE, message_id="MSG-2026-05")
    assert [line.standing.level for line in resolution.lines] == [None, None, Level.INSTRUCTION]
    assert [(each.kind, each.stated, each.known) for each in resolution.disagreements] == [
        (DisagreementKind.MESSAGE_ID, "MSG-2026-04", "MSG-2026-05")
    ]
    assert [line.standing.level for line in resolve(report, FILE, message_id=" msg-2026-04").lines] == [
        Level.GROUP,
        Level.GROUP,
        Level.INSTRUCTION,
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_flavour_gives_each_line_of_the_file_exactly_once(version: str):
    """Whatever a bank sends, the answer is about our file, whole and in its order."""
    for report in every_flavour(version).values():
        resolution = _resolved(report)
        assert [each.payment_information_id for each in resolution.instructions] == list(FILE)
        assert [line.end_to_end_id for line in resolution.lines] == ["E2E-1", "E2E-2", "E2E-3"]
        assert resolution.strangers == ()


_ids = st.sampled_from(["PMT-1", "pmt-1", "PMT-2", "PMT-9", "", "NOTPROVIDED"])
_codes = st.sampled_from(["", "RJCT", "ACSP", "ACSC", "PART", "RVNM", "RVCM", "QXYZ", "CANC"])
_some_lines = st.builds(Line, end_to_end_id=st.sampled_from(["E2E-1", "e2e-2", "E2E-3", "E2E-9", ""]), status=_codes)
_some_blocks = st.builds(Block, id=_ids, status=_codes, lines=st.lists(_some_lines, max_size=4).map(tuple))


@given(_codes, st.lists(_some_blocks, max_size=4), st.lists(_some_lines, max_size=3))
def test_no_rejection_of_a_line_is_ever_lost(group: str, blocks: list[Block], loose: list[Line]):
    """Each payment that a bank rejects by name is rejected, or a contradiction, or shown as a stranger."""
    report = read_status_report(Report(status=group or "RCVD", blocks=tuple(blocks), loose=tuple(loose)).bytes())
    resolution = resolve(report, FILE)
    rejected = {line.end_to_end_id for line in resolution.lines if line.standing.is_rejected}
    strange = [each for each in resolution.strangers if each.statement.code == "RJCT"]
    for transaction in report.transactions:
        if transaction.statement.code == "RJCT":
            named = (transaction.end_to_end_id or "").upper()
            assert named in rejected or any(each.end_to_end_id == transaction.end_to_end_id for each in strange)


def test_a_large_file_is_resolved_in_time_that_grows_with_its_size():
    """Twenty thousand lines take seconds, not minutes."""
    count = 20_000
    lines = tuple(Line(end_to_end_id=f"e{number}", status="RJCT") for number in range(count))
    report = read_status_report(Report(blocks=(Block(lines=lines),)).bytes())
    file = {"PMT-1": [f"E{number}" for number in range(count)]}
    started = time.process_time()
    resolution = resolve(report, file, amounts_cents=dict.fromkeys(file["PMT-1"], 100))
    assert time.process_time() - started < 10
    assert all(line.standing.is_rejected for line in resolution.lines)
