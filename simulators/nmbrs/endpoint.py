"""The four `.asmx` addresses: WSDL, help page, and calls with their faults and their log."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from simulators.nmbrs.access import sign_in
from simulators.nmbrs.exchange import HttpRequest, Pause, Reply
from simulators.nmbrs.faults import ActiveFault, FaultKind
from simulators.nmbrs.mischief import after_the_call, before_the_call, disturb_records, emptied, pause_of
from simulators.nmbrs.operations import Turn, answer
from simulators.nmbrs.soap import (
    NmbrsFault,
    SoapCall,
    SoapFault,
    SoapVersion,
    Value,
    read_call,
    response_element,
    version_of,
    write_envelope,
    write_fault,
    written_time,
)
from simulators.nmbrs.world import Call, World
from simulators.nmbrs.wsdl import write_wsdl

UNREADABLE: Final = "(unreadable)"
_RATE_LIMIT_DELAY_SECONDS: Final = 0.5


def answer_service(world: World, base_url: str, service: str, request: HttpRequest) -> Reply:
    """The answer of one service to one HTTP request."""
    if request.method in {"GET", "HEAD"}:
        if any(name.lower() == "wsdl" for name in request.query):
            return Reply(headers={"content-type": "text/xml; charset=utf-8"}, body=write_wsdl(service, base_url))
        page = f"<html><head><title>{service}</title></head><body><h1>{service}</h1></body></html>"
        return Reply(headers={"content-type": "text/html; charset=utf-8"}, body=page.encode())
    if request.method != "POST":
        return Reply(status=405, headers={"allow": "GET, HEAD, POST"})
    version = version_of(request.headers.get("content-type", ""))
    if version is None:
        return Reply(status=415)
    return _answer_call(world, service, version, request)


def _answer_call(world: World, service: str, version: SoapVersion, request: HttpRequest) -> Reply:
    try:
        call = read_call(service, version, request.headers, request.body)
    except SoapFault as fault:
        world.record(_entry(world, None, status=500, fault=fault, injected=None))
        return _fault_reply(version, fault)
    fault_ordered = world.faults.take(call.operation)
    failure: SoapFault | None = None
    try:
        reply = _perform(world, version, call, fault_ordered)
    except SoapFault as fault:
        failure = fault
        reply = _fault_reply(version, fault)
    world.record(_entry(world, call, status=reply.status, fault=failure, injected=fault_ordered))
    return replace(reply, pause=_pause(world, call, fault_ordered))


def _perform(world: World, version: SoapVersion, call: SoapCall, fault: ActiveFault | None) -> Reply:
    early = before_the_call(fault) if fault else None
    if early is not None:
        return early
    kind = fault.order.kind if fault else None
    with world.locked():
        login = sign_in(world, call.operation, call.credentials)
        turn = Turn(
            login=login,
            call=call,
            tasks=world.tasks,
            now=world.clock.now(),
            totals_wrong=kind is FaultKind.TOTALS_WRONG,
        )
        result = answer(turn)
    if kind is FaultKind.EMPTY_RESULT:
        result = emptied(call.operation)
    response = response_element(call.operation, result)
    if kind is not None:
        disturb_records(kind, call.operation, response)
    body = write_envelope(version, response)
    reply = Reply(headers={"content-type": version.content_type}, body=body)
    return after_the_call(fault, reply, body) if fault else reply


def _pause(world: World, call: SoapCall, fault: ActiveFault | None) -> Pause | None:
    ordered = pause_of(fault)
    if ordered is None and world.is_above_rate(call.credentials.domain):
        return Pause(seconds=_RATE_LIMIT_DELAY_SECONDS, lifted=world.stopped)
    return ordered


def _fault_reply(version: SoapVersion, fault: SoapFault) -> Reply:
    return Reply(status=500, headers={"content-type": version.content_type}, body=write_fault(version, fault))


def _entry(
    world: World, call: SoapCall | None, *, status: int, fault: SoapFault | None, injected: ActiveFault | None
) -> Call:
    return Call(
        at=world.clock.now(),
        operation=call.operation.key if call else UNREADABLE,
        username=call.credentials.username if call else "",
        domain=call.credentials.domain if call else "",
        parameters={name: _shown(value) for name, value in call.parameters.items()} if call else {},
        status=status,
        fault=fault.code if isinstance(fault, NmbrsFault) else None,
        injected=injected.order.kind if injected else None,
    )


def _shown(value: Value) -> str:
    return written_time(value) if isinstance(value, datetime) else "" if value is None else str(value)
