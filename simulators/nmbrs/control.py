"""The control API under `/_control/`: JSON in, JSON out; docs/nmbrs-simulator.md lists the routes."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import Field, TypeAdapter, ValidationError

from simulators.nmbrs import lifecycle
from simulators.nmbrs.data import Model, Run, RunDraft, WebhookSetting
from simulators.nmbrs.exchange import HttpRequest, Reply
from simulators.nmbrs.faults import FaultOrder
from simulators.nmbrs.sender import Sending, WebhookSender
from simulators.nmbrs.world import Unknown, World

PREFIX: Final = "/_control/"
_CHANGES: Final = TypeAdapter(dict[str, object])


class FinishOrder(Model):
    """A run to finish, and whether a webhook goes out with it."""

    run: RunDraft
    webhook: Sending | None = None


class SendOrder(Sending):
    """Webhooks to send about a company, one set for each run; without runs they name none."""

    company_id: int
    run_ids: list[int] = Field(default=[])


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One control request: what it names in its path, its query, its body."""

    names: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes

    @property
    def domain(self) -> str | None:
        """The environment meant, where an id alone could mean two."""
        return self.query.get("domain")

    @property
    def company_id(self) -> int:
        """The company in the path."""
        return int(self.names["company_id"])

    @property
    def run_id(self) -> int:
        """The run in the path."""
        return int(self.names["run_id"])

    def changes(self) -> dict[str, object]:
        """The body as fields to set; no body sets none."""
        return _CHANGES.validate_json(self.body or b"{}")


Answer = tuple[int, object]


class Control:
    """Answers the control API."""

    def __init__(self, world: World, sender: WebhookSender) -> None:
        self._world = world
        self._sender = sender
        self._routes: tuple[tuple[str, re.Pattern[str], Callable[[Order], Answer]], ...] = tuple(
            (method, _pattern(path), handler)
            for method, path, handler in (
                ("GET", "state", self._state),
                ("POST", "reset", self._reset),
                ("POST", "companies/{company_id}/runs", self._finish_run),
                ("GET", "companies/{company_id}/runs/{run_id}", self._show_run),
                ("PATCH", "companies/{company_id}/runs/{run_id}", self._change_run),
                ("DELETE", "companies/{company_id}/runs/{run_id}", self._undo_run),
                ("POST", "companies/{company_id}/runs/{run_id}/rerun", self._rerun),
                ("PATCH", "companies/{company_id}/runs/{run_id}/lines/{position}", self._change_line),
                ("PATCH", "companies/{company_id}", self._change_company),
                ("PATCH", "users/{username}", self._change_user),
                ("GET", "faults", self._list_faults),
                ("POST", "faults", self._add_fault),
                ("DELETE", "faults", self._clear_faults),
                ("DELETE", "faults/{fault_id}", self._clear_faults),
                ("GET", "calls", self._list_calls),
                ("DELETE", "calls", self._forget_calls),
                ("POST", "debtors/{debtor_id}/webhooks", self._set_webhook),
                ("DELETE", "debtors/{debtor_id}/webhooks", self._drop_webhooks),
                ("POST", "webhooks", self._send),
                ("GET", "deliveries", self._list_deliveries),
            )
        )

    def answer(self, request: HttpRequest) -> Reply:
        """The answer to one control request; a wrong one is told what is wrong."""
        path = request.path.removeprefix(PREFIX)
        matches = [(method, pattern.fullmatch(path), handler) for method, pattern, handler in self._routes]
        here = {method for method, match, _ in matches if match}
        for method, match, handler in matches:
            if match and method == request.method:
                return self._handled(handler, Order(names=match.groupdict(), query=request.query, body=request.body))
        if here:
            return _reply(405, {"error": f"{request.method} is not for {path}: {', '.join(sorted(here))}"})
        return _reply(404, {"error": f"no control route {path}"})

    def _handled(self, handler: Callable[[Order], Answer], order: Order) -> Reply:
        try:
            status, content = handler(order)
        except Unknown as error:
            return _reply(404, {"error": str(error)})
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False, include_input=False)
            return _reply(422, {"error": str(error), "details": details})
        except ValueError as error:
            return _reply(422, {"error": str(error)})
        return _reply(status, content)

    # -------------------------------------------------------------------------------------------------- state and data

    def _state(self, _order: Order) -> Answer:
        with self._world.locked():
            environments = [lifecycle.summary_of(environment) for environment in self._world.environments]
        return 200, {"environments": environments, "faults": self._world.faults.listing()}

    def _reset(self, _order: Order) -> Answer:
        self._world.reset()
        return 200, {}

    def _change_company(self, order: Order) -> Answer:
        company = lifecycle.change_company(self._world, order.company_id, order.changes(), order.domain)
        return 200, company.model_dump(mode="json", exclude={"runs"})

    def _change_user(self, order: Order) -> Answer:
        user = lifecycle.change_user(self._world, order.names["username"], order.changes(), order.domain)
        return 200, user.model_dump(mode="json", exclude={"token"})

    # ------------------------------------------------------------------------------------------------------------ runs

    def _finish_run(self, order: Order) -> Answer:
        wanted = FinishOrder.model_validate_json(order.body, context=self._world.clock.now())
        run = lifecycle.finish_run(self._world, order.company_id, wanted.run, order.domain)
        content = lifecycle.summary_of_run(run)
        if wanted.webhook is None:
            return 201, {"run": content, "deliveries": []}
        return 201, {"run": content, "deliveries": self._sent(order.company_id, [run.id], wanted.webhook, order.domain)}

    def _show_run(self, order: Order) -> Answer:
        return 200, self._world.run(order.company_id, order.run_id, order.domain).model_dump(mode="json")

    def _change_run(self, order: Order) -> Answer:
        return _run_answer(
            lifecycle.change_run(self._world, order.company_id, order.run_id, order.changes(), order.domain)
        )

    def _undo_run(self, order: Order) -> Answer:
        return _run_answer(lifecycle.undo_run(self._world, order.company_id, order.run_id, order.domain))

    def _rerun(self, order: Order) -> Answer:
        return _run_answer(lifecycle.rerun(self._world, order.company_id, order.run_id, order.changes(), order.domain))

    def _change_line(self, order: Order) -> Answer:
        position = int(order.names["position"])
        return _run_answer(
            lifecycle.change_line(self._world, order.company_id, order.run_id, position, order.changes(), order.domain)
        )

    # ------------------------------------------------------------------------------------------------ faults and calls

    def _list_faults(self, _order: Order) -> Answer:
        return 200, self._world.faults.listing()

    def _add_fault(self, order: Order) -> Answer:
        return 201, {"id": self._world.faults.add(FaultOrder.model_validate_json(order.body))}

    def _clear_faults(self, order: Order) -> Answer:
        fault_id = order.names.get("fault_id")
        cleared = self._world.faults.clear(int(fault_id) if fault_id else None)
        if fault_id and not cleared:
            raise Unknown(f"no fault {fault_id}")
        return 200, {"cleared": cleared}

    def _list_calls(self, order: Order) -> Answer:
        calls = self._world.calls(order.query.get("operation"), order.domain)
        return 200, [call.model_dump(mode="json") for call in calls]

    def _forget_calls(self, _order: Order) -> Answer:
        self._world.forget_calls()
        return 200, {}

    # -------------------------------------------------------------------------------------------------------- webhooks

    def _set_webhook(self, order: Order) -> Answer:
        setting = WebhookSetting.model_validate_json(order.body)
        with self._world.locked():
            self._world.debtor(int(order.names["debtor_id"]), order.domain).webhooks.append(setting)
        return 201, setting.model_dump(mode="json")

    def _drop_webhooks(self, order: Order) -> Answer:
        with self._world.locked():
            self._world.debtor(int(order.names["debtor_id"]), order.domain).webhooks.clear()
        return 200, {}

    def _send(self, order: Order) -> Answer:
        wanted = SendOrder.model_validate_json(order.body)
        return 200, self._sent(wanted.company_id, wanted.run_ids, wanted, order.domain)

    def _list_deliveries(self, _order: Order) -> Answer:
        return 200, [delivery.model_dump(mode="json") for delivery in self._sender.deliveries()]

    def _sent(self, company_id: int, run_ids: list[int], sending: Sending, domain: str | None) -> list[object]:
        messages = lifecycle.address_notices(self._world, company_id, run_ids, sending, domain)
        return [delivery.model_dump(mode="json") for delivery in self._sender.send(messages, sending)]


def _pattern(path: str) -> re.Pattern[str]:
    """Names ending in `id` and positions are numbers; anything else is one path segment."""
    numbers = re.sub(r"\{(\w*id|position)\}", r"(?P<\1>[0-9]{1,10})", path)
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", numbers))


def _run_answer(run: Run) -> Answer:
    return 200, lifecycle.summary_of_run(run)


def _reply(status: int, content: object) -> Reply:
    headers = {"content-type": "application/json; charset=utf-8"}
    return Reply(status=status, headers=headers, body=json.dumps(content).encode())
