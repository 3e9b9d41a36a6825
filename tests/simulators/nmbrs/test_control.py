from datetime import UTC, datetime, timedelta

import httpx
import pytest

from simulators.nmbrs.data import AMSTERDAM
from simulators.nmbrs.faults import FaultKind
from simulators.nmbrs.process import SimulatorError
from tests.simulators.nmbrs.by_hand import Soap

RUN = {
    "year": 2026,
    "period_start": 12,
    "period_end": 12,
    "description": "Eindejaar",
    "lines": [{"employee_id": 1001, "name": "A", "iban": "NL02ABNA0123456789", "amount": "10.00"}],
}
RUNS = "<CompanyId>100</CompanyId><Year>2026</Year>"


def run_ids(soap: Soap) -> list[str | None]:
    """The runs of 2026 as a client sees them."""
    return soap.call("Company.Run_GetList", RUNS).texts("ID")


def sepa(soap: Soap, run_id: int) -> str:
    """The payment file of a run of 2026."""
    parameters = (
        f"<CompanyId>100</CompanyId><Year>2026</Year><RunID>{run_id}</RunID><paymentDate>2026-12-24</paymentDate>"
    )
    return str(soap.call("Company.SalaryDocuments_GetSEPA", parameters).texts("SalaryDocuments_GetSEPAResult")[0])


def test_a_finished_run_appears(soap: Soap):
    """It gets a new id, the next number of its year and the time of now, in Dutch time."""
    run_id = soap.simulator.finish_run(100, RUN)

    answer = soap.call("Company.Run_GetList", RUNS)
    assert answer.texts("ID") == ["500", str(run_id)]
    assert answer.texts("Number") == ["11", "12"]
    assert "<NbOfTxs>1</NbOfTxs>" in sepa(soap, run_id)
    made_at = datetime.fromisoformat(str(answer.texts("RunAt")[1])).replace(tzinfo=AMSTERDAM)
    assert abs(datetime.now(UTC) - made_at) < timedelta(minutes=1)


def test_a_finished_run_may_bring_its_own_id_number_and_time(soap: Soap):
    """What is given is kept, and an id given is never given out again."""
    run_id = soap.simulator.finish_run(100, {**RUN, "id": 9000, "number": 77, "run_at": {"minutes_ago": 60}})

    assert run_id == 9000
    assert soap.call("Company.Run_GetList", RUNS).texts("Number") == ["11", "77"]
    assert soap.simulator.finish_run(100, RUN) == 9001


def test_an_id_in_use_is_refused(soap: Soap):
    """Two runs of a company never share an id."""
    with pytest.raises(SimulatorError, match="has a run 500 already"):
        soap.simulator.finish_run(100, {**RUN, "id": 500})


def test_a_run_can_be_locked(soap: Soap):
    """The lock is visible in the list."""
    soap.simulator.lock_run(100, 500)

    assert soap.call("Company.Run_GetList", RUNS).texts("IsLocked") == ["true"]


def test_an_undone_run_is_gone(soap: Soap):
    """It is in no list and its file cannot be fetched; its id does not come back."""
    soap.simulator.undo_run(100, 500)

    assert run_ids(soap) == []
    parameters = "<CompanyId>100</CompanyId><Year>2026</Year><RunID>500</RunID>"
    assert "---> 2046:" in soap.call("Company.SalaryDocuments_GetSEPA", parameters).fault
    assert soap.simulator.finish_run(100, RUN) > 501


def test_a_rerun_has_a_new_id_and_the_same_number(soap: Soap):
    """Undone and made again: the old id is gone, what was changed is changed."""
    soap.simulator.lock_run(100, 500)
    run_id = soap.simulator.rerun(100, 500, description="Opnieuw")

    answer = soap.call("Company.Run_GetList", RUNS)
    assert (answer.texts("ID"), answer.texts("Number")) == ([str(run_id)], ["11"])
    assert (answer.texts("Description"), answer.texts("IsLocked")) == (["Opnieuw"], ["false"])


def test_a_line_can_be_corrected(soap: Soap):
    """A corrected IBAN is in the file at the next reading; the rest stays."""
    soap.simulator.change_line(100, 500, 1, iban="NL69INGB0123456789")

    assert "NL44RABO0123456789" not in sepa(soap, 500)
    assert "<IBAN>NL69INGB0123456789</IBAN>" in sepa(soap, 500)
    assert "<CtrlSum>3600.15</CtrlSum>" in sepa(soap, 500)


def test_the_state_tells_what_a_client_would_find(soap: Soap):
    """Runs with their count and total, users without their tokens, faults in force."""
    soap.simulator.add_fault(FaultKind.RESET, times=2)
    state = soap.simulator.state()

    run = state["environments"][0]["debtors"][0]["companies"][0]["runs"][0]
    assert (run["id"], run["lines"], run["payments"], run["total"]) == (500, 5, 3, "3600.15")
    assert "token" not in state["environments"][0]["users"][0]
    assert [(fault["kind"], fault["remaining"], fault["hits"]) for fault in state["faults"]] == [("reset", 2, 0)]
    assert len(soap.simulator.show_run(100, 500)["lines"]) == 5


def test_calls_are_counted(soap: Soap):
    """Each call is kept with who, what and how it ended."""
    run_ids(soap)
    soap.call("Company.List_GetAll", token="wrong")
    soap.call("Company.Nothing")

    calls = soap.simulator.calls()
    assert [(call.operation, call.status, call.fault) for call in calls] == [
        ("Company.Run_GetList", 200, None),
        ("Company.List_GetAll", 500, 1001),
        ("(unreadable)", 500, None),
    ]
    assert (calls[0].username, calls[0].domain) == ("boss@kantoor.example", "kantoor")
    assert calls[0].parameters == {"CompanyId": "100", "Year": "2026"}
    assert len(soap.simulator.calls("Company.Run_GetList")) == 1
    soap.simulator.forget_calls()
    assert soap.simulator.calls() == []


def test_a_reset_brings_the_data_back(soap: Soap):
    """Runs, faults and calls are as they were at the start."""
    soap.simulator.undo_run(100, 500)
    soap.simulator.add_fault(FaultKind.RESET)
    soap.simulator.reset()

    assert run_ids(soap) == ["500"]
    assert len(soap.simulator.calls()) == 1


def test_one_of_several_faults_can_be_cleared(soap: Soap):
    """By its number; a number that is not there is told."""
    first = soap.simulator.add_fault(FaultKind.SOAP_FAULT, code=1002)
    soap.simulator.add_fault(FaultKind.SOAP_FAULT, code=1003)
    soap.simulator.control("DELETE", f"faults/{first}")

    assert "---> 1003:" in soap.call("Company.List_GetAll").fault
    with pytest.raises(SimulatorError, match=r"404 .*no fault"):
        soap.simulator.control("DELETE", f"faults/{first}")


def test_clearing_frees_who_is_waiting(soap: Soap):
    """A call held up by a delay is answered as soon as the fault is cleared."""
    soap.simulator.add_fault(FaultKind.DELAY, "Company.Run_GetList", seconds=600)
    with httpx.Client(base_url=soap.simulator.base_url, trust_env=False) as other:
        with pytest.raises(httpx.ReadTimeout):
            soap.http.post(
                soap.simulator.service_url("CompanyService"),
                content=soap.envelope("Company.Run_GetList", RUNS),
                headers=soap.headers("https://api.nmbrs.nl/soap/v3/CompanyService", "Run_GetList"),
                timeout=httpx.Timeout(5, read=0.05),
            )
        soap.wait_for_calls("Company.Run_GetList", 1)
        assert other.delete("/_control/faults").json() == {"cleared": 1}

    assert run_ids(soap) == ["500"]


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("GET", "nowhere", None, "404 .*no control route"),
        ("PUT", "faults", {}, "405 .*DELETE, GET, POST"),
        ("POST", "companies/77/runs", {"run": RUN}, "404 .*no company 77"),
        ("DELETE", "companies/100/runs/77", None, "404 .*no run 77"),
        ("PATCH", "companies/100/runs/500/lines/5", {}, "404 .*no line 5"),
        ("PATCH", "users/nobody", {}, "404 .*no user nobody"),
        ("POST", "debtors/77/webhooks", {"url": "http://127.0.0.1/"}, "404 .*no debtor 77"),
        ("POST", "companies/100/runs", {"run": {"year": 2026}}, "422 .*period_start"),
        ("POST", "companies/100/runs", {"run": {**RUN, "employee_ids": [7]}}, "422 .*does not have"),
        ("PATCH", "companies/100/runs/500/lines/0", {"amount": "10,00"}, "422 .*amount"),
        ("PATCH", "companies/100/runs/500/lines/0", {"reference": "RF18"}, "422 .*not both"),
        (
            "PATCH",
            "companies/100/runs/500",
            {"lines": [{"name": "\u0001", "amount": "1.00"}]},
            "422 .*XML cannot carry",
        ),
        ("PATCH", "companies/100", {"colour": "red"}, "422 .*colour"),
        ("PATCH", "users/boss@kantoor.example", {"rights_off": ["Company.Nothing"]}, "422 .*is no operation"),
        ("PATCH", "users/boss@kantoor.example", {"accountant": False}, "422 .*exactly one debtor"),
        ("POST", "faults", {"kind": "flood"}, "422 .*kind"),
        ("POST", "faults", {"kind": "reset", "operation": "Company.Nothing"}, "422 .*is no operation"),
    ],
)
def test_a_wrong_order_is_told_what_is_wrong(
    method: str, path: str, body: dict[str, object] | None, said: str, soap: Soap
):
    """Unknown routes, methods, ids and fields are refused with the reason, and nothing changes."""
    before = soap.simulator.state()

    with pytest.raises(SimulatorError, match=said):
        soap.simulator.control(method, path, body)
    assert soap.simulator.state() == before


def test_json_that_is_none_is_refused(soap: Soap):
    """A body that cannot be read is the caller's fault."""
    for method, path in (("POST", "faults"), ("PATCH", "companies/100"), ("PATCH", "companies/100/runs/500")):
        response = soap.http.request(method, f"{soap.simulator.base_url}/_control/{path}", content=b"{broken")
        assert response.status_code == 422


def test_the_same_company_id_in_two_environments_is_told_apart_by_domain(soap: Soap):
    """Debtor 10 exists twice; the query says which is meant."""
    url = "http://127.0.0.1:9/hook"
    soap.simulator.control("POST", "debtors/10/webhooks", {"url": url}, domain="elders")

    kantoor, elders = soap.simulator.state()["environments"]
    assert kantoor["debtors"][0]["webhooks"] == []
    assert [hook["url"] for hook in elders["debtors"][0]["webhooks"]] == [url]
