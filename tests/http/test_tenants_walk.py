"""Every operation of the API, called by six people of three tenants (and a stranger) with the ids of the others."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.payments.context import Context
from tests.contracts.fake_source import FakePayroll
from tests.http.test_tenancy import call
from tests.support.house import PIN, Person
from tests.support.tenants import Tenant, Town, add_town


class Kind(Enum):
    """What an operation is about, and so what somebody else must get."""

    FOREIGN = "its ids are another tenant's: 404, never 403"
    LIST = "it shows what is one's own: nothing of anybody else"
    OWN = "it makes something of one's own"
    BODY = "the ids stand in its body: as an id that nobody has"
    PUBLIC = "it knows no people: a webhook, a probe"
    FILE = "what it is about stands in an uploaded file; tried in the tests of each"


_OF_ONE_BATCH = (
    *("get ", "patch ", "get /transfers", "patch /transfers/{transfer_id}", "get /findings"),
    *("post /findings/{finding_id}/acknowledgement", "post /approvals", "delete /approvals/mine", "post /reissue"),
    *("post /rejection", "post /cancellation", "get /canonical", "get /comparison", "get /history", "get /files"),
    *("get /file", "get /files/{n}", "post /deliveries", "post /withdrawals", "post /statements", "post /holds"),
    *("post /holds/{hold_id}/lifting", "post /transfers/{transfer_id}/release"),
    "post /reveals",
)
_OF_ONE_THING = (
    *("get /v1/employers/{employer_id}", "put /v1/employers/{employer_id}/mandates/{office_id}"),
    *("delete /v1/employers/{employer_id}/mandates/{office_id}", "post /v1/employers/{employer_id}/debtor-accounts"),
    *("get /v1/employers/{employer_id}/debtor-accounts", "get /v1/employers/{employer_id}/approval-policy"),
    *("put /v1/employers/{employer_id}/approval-policy", "get /v1/employers/{employer_id}/members"),
    *("get /v1/employers/{employer_id}/reveals", "get /v1/employers/{employer_id}/retention"),
    *(
        "put /v1/employers/{employer_id}/retention",
        "post /v1/employers/{employer_id}/members",
        "delete /v1/employers/{employer_id}/members/{user_id}",
    ),
    *("post /v1/employers/{employer_id}/members/{user_id}/pin-confirmation", "get /v1/debtor-accounts/{account_id}"),
    *("patch /v1/debtor-accounts/{account_id}", "post /v1/debtor-accounts/{account_id}/confirmation"),
    *("get /v1/debtor-accounts/{account_id}/payment-limit", "put /v1/debtor-accounts/{account_id}/payment-limit"),
    *("get /v1/connections/{connection_id}", "patch /v1/connections/{connection_id}"),
    *("delete /v1/connections/{connection_id}", "post /v1/connections/{connection_id}/check"),
    *("post /v1/connections/{connection_id}/webhook-token", "get /v1/connections/{connection_id}/administrations"),
    *("post /v1/connections/{connection_id}/administrations", "put /v1/administrations/{administration_id}/link"),
    *(
        "post /v1/administrations/{administration_id}/sync",
        "post /v1/administrations/{administration_id}/payroll-files",
    ),
    *("post /v1/payroll-runs/{run_id}/batches", "post /v1/proposals/{proposal_id}/confirmation"),
    *("delete /v1/proposals/{proposal_id}", "post /v1/transfers/{transfer_id}/return"),
    *("post /v1/transfers/{transfer_id}/paid-elsewhere", "post /v1/transfers/{transfer_id}/waiver"),
)
_LISTS = (
    *("get /v1/me", "get /v1/employers", "get /v1/connections", "get /v1/payment-batches", "get /v1/payroll-runs"),
    *("get /v1/history", "get /v1/history/verification", "get /v1/bank-days", "get /v1/unpaid-transfers"),
    "get /v1/proposals",
)
_WEBHOOK = "/client/{webhook_token}/webhooks/paymentsbatch"
# Every operation there is. A new one is not known here, and the walk fails until somebody says what it is.
TABLE: Mapping[str, Kind] = {
    **{each.replace(" ", " /v1/payment-batches/{batch_id}", 1): Kind.FOREIGN for each in _OF_ONE_BATCH},
    **dict.fromkeys(_OF_ONE_THING, Kind.FOREIGN),
    **dict.fromkeys(_LISTS, Kind.LIST),
    "post /v1/employers": Kind.OWN,
    **dict.fromkeys((f"{each} {_WEBHOOK}" for each in ("get", "post", "put")), Kind.PUBLIC),
    **dict.fromkeys(("get /healthz", "get /readyz", "get /metrics"), Kind.PUBLIC),
    **dict.fromkeys(("post /v1/connections", "post /v1/follow-up-batches", "post /v1/approvals"), Kind.BODY),
    **dict.fromkeys(("post /v1/status-reports", "post /v1/payment-files/comparison"), Kind.FILE),
}
_BODIES: Mapping[str, Callable[[Mapping[str, str]], dict[str, Any]]] = {
    "post /v1/connections": lambda ids: {"organization_id": ids["employer_id"], "kind": "upload"},
    "post /v1/follow-up-batches": lambda ids: {"transfer_ids": [ids["transfer_id"]]},
    "post /v1/approvals": lambda ids: {"items": [{"batch_id": ids["batch_id"], "digest": "0" * 64}], "pin": PIN},
}
# Filters with the ids of another tenant.
_FILTERS = (
    *("/v1/payment-batches?employer_id={employer_id}", "/v1/payment-batches?administration_id={administration_id}"),
    *("/v1/payroll-runs?employer_id={employer_id}", "/v1/payroll-runs?administration_id={administration_id}"),
    *("/v1/unpaid-transfers?employer_id={employer_id}", "/v1/history?format=csv"),
)


@pytest.fixture
def town(ctx: Context, client: TestClient, payroll: FakePayroll) -> Town:
    """Three tenants with data of every kind."""
    return add_town(ctx, client, payroll)


def _leaks(town: Town, actor: str, text: str) -> list[str]:
    return [secret for name in town.foreign_to(actor) for secret in town.tenants[name].secrets if secret in text]


def _of(kind: Kind) -> list[tuple[str, str]]:
    return [(each.partition(" ")[0], each.partition(" ")[2]) for each, known in TABLE.items() if known is kind]


def test_every_operation_is_in_the_table(app: FastAPI) -> None:
    """A route that the walk does not know fails it, and so does one that is gone."""
    assert {f"{method} {path}" for path, each in app.openapi()["paths"].items() for method in each} == set(TABLE)


def test_what_anybody_may_call_tells_nothing(town: Town) -> None:
    """Webhook addresses and probes: no token is asked for, and nothing of any tenant is told."""
    for method, path in _of(Kind.PUBLIC):
        answer = town.first.client.request(method.upper(), path.replace("{webhook_token}", "not-in-use"))
        assert answer.status_code == (404 if "client" in path else 200), (path, answer.text)
        assert not _leaks(town, "stranger", answer.text), path


def test_no_list_holds_anything_of_another_tenant(town: Town) -> None:
    """Nobody finds an id, a name, a text or an account of somebody else in a list, whatever they filter on."""
    walked = 0
    for actor, person in town.people.items():
        for _, path in _of(Kind.LIST):
            query = "?from=2026-11-01&to=2026-11-30" if path.endswith("/bank-days") else ""
            answer = person.get(path + query)
            assert answer.status_code in {200, 403}, (actor, path, answer.text)
            assert not _leaks(town, actor, answer.text), (actor, path)
            walked += 1
        for name in town.foreign_to(actor):
            for template in _FILTERS:
                answer = person.get(template.format(**town.tenants[name].ids))
                assert not _leaks(town, actor, _without_asked(answer.text, town.tenants[name])), (actor, template)
    assert walked == len(town.people) * len(_of(Kind.LIST))


def _without_asked(text: str, tenant: Tenant) -> str:
    """Leave out the ids that the caller sent: a page links to its next one by them."""
    for identifier in (tenant.ids["employer_id"], tenant.ids["administration_id"]):
        text = text.replace(identifier, "")
    return text


def test_what_is_anothers_does_not_exist(town: Town) -> None:
    """Every operation with an id: 404 for everybody to whom it is foreign, and the answer tells nothing."""
    before = [_picture(town.first.boss, town, "Bakkerij Alfa"), _picture(town.second.boss, town, "Slagerij Bravo")]
    walked = 0
    for actor, person in town.people.items():
        for name in town.foreign_to(actor):
            ids = town.tenants[name].ids
            for method, path in _of(Kind.FOREIGN):
                answer = call(person, method, path, ids)
                assert answer.status_code == 404, (actor, name, method, path, answer.text)
                assert not _leaks(town, actor, answer.text), (actor, name, method, path)
                walked += 1
    pairs = sum(len(town.foreign_to(actor)) for actor in town.people)
    assert walked == pairs * len(_of(Kind.FOREIGN))
    assert before == [
        _picture(town.first.boss, town, "Bakkerij Alfa"),
        _picture(town.second.boss, town, "Slagerij Bravo"),
    ]


def _picture(boss: Person, town: Town, name: str) -> list[str]:
    """Return what a boss sees of everything: the same after others tried."""
    ids = town.tenants[name].ids
    shown = ("get ", "get /transfers", "get /findings", "get /files")
    paths = [f"/v1/payment-batches/{ids['batch_id']}{each.partition(' ')[2]}" for each in shown]
    more = [f"/v1/employers/{ids['employer_id']}/{each}" for each in ("members", "debtor-accounts", "approval-policy")]
    others = ["/v1/connections", "/v1/payment-batches", "/v1/payroll-runs", "/v1/proposals", "/v1/employers"]
    return [boss.get(path).text for path in (*paths, *more, *others)]


def test_foreign_ids_in_a_body_do_not_exist(town: Town) -> None:
    """Ids that stand in a body are looked at as those in the address."""
    for actor, person in town.people.items():
        for name in town.foreign_to(actor):
            ids = town.tenants[name].ids
            for method, path in _of(Kind.BODY):
                body = _BODIES[f"{method} {path}"]
                answers = [person.call(method.upper(), path, json=body(each)) for each in (ids, _Unknown())]
                assert _refusals(answers[0]) == _refusals(answers[1]), (actor, name, path, answers[0].text)
                assert not _leaks(town, actor, answers[0].text), (actor, name, path)


class _Unknown(dict[str, str]):
    """Ids that nobody has."""

    def __missing__(self, name: str) -> str:
        return str(uuid4())


def _refusals(answer: httpx2.Response) -> list[tuple[int, str]]:
    """Return the status and the code of a refusal, or of that of each item."""
    items = answer.json().get("items") or [answer.json()]
    refused = [(item["status"], (item.get("problem") or item)["code"]) for item in items]
    assert all(400 <= status < 500 for status, _ in refused), answer.text
    return refused
